package activedirectory

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// search is what an administrator would look for a login with.
func search(base, login string, attrs ...string) *ldap.SearchRequest {
	if len(attrs) == 0 {
		attrs = []string{"1.1"}
	}
	return ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(sAMAccountName="+ldap.EscapeFilter(login)+")", attrs, nil)
}

func TestResultCodesMeanWhatTheyMean(t *testing.T) {
	for _, c := range []struct {
		code    uint16
		text    string // as Samba and Windows word it
		kind    error
		outcome directory.Outcome
		sub     string
	}{
		{19, "0000052D: Constraint violation - check_password_restrictions: the password is too short.", directory.ErrPolicy, directory.NotApplied, "0000052D"},
		{53, "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n\x00", directory.ErrPolicy, directory.NotApplied, "0000052D"},
		{19, "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n\x00", directory.ErrPolicy, directory.NotApplied, "0000052D"},
		{19, "00000056: AtrErr: DSID-03190F80, #1:", directory.ErrWrongPassword, directory.NotApplied, "00000056"},
		{19, "00000775: Constraint violation", directory.ErrLocked, directory.NotApplied, "00000775"},
		{53, "00000533: SvcErr", directory.ErrDisabled, directory.NotApplied, "00000533"},
		{50, "00000005: SecErr: DSID-031A1256, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0", directory.ErrPermission, directory.NotApplied, "00000005"},
		{50, "00002098: SecErr: DSID-03150F94, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0", directory.ErrPermission, directory.NotApplied, "00002098"},
		{19, "00000005: AtrErr: DSID-03190F00, #1:", directory.ErrPermission, directory.NotApplied, "00000005"},
		{50, "error in module acl: insufficient access rights during LDB_MODIFY (50)", directory.ErrPermission, directory.NotApplied, ""},
		{53, "0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0", directory.ErrConfig, directory.NotApplied, "0000001F"},
		{53, "00002035: LdapErr: DSID-0C0910A2, comment: Operation not allowed through GC port, data 0, v3839", directory.ErrConfig, directory.NotApplied, "00002035"},
		{8, "00002028: LdapErr: DSID-0C0903D7, comment: The server requires binds to turn on integrity checking", directory.ErrConfig, directory.NotApplied, "00002028"},
		{12, "00000057: LdapErr: DSID-0C090B38, comment: Error processing control, data 0", directory.ErrUnsupported, directory.NotApplied, "00000057"},
		{10, "0000202B: RefErr: DSID-0310082F, data 0, 1 access points", directory.ErrReadOnly, directory.NotApplied, "0000202B"},
		{16, "00000057: LdapErr", directory.ErrConflict, directory.NotApplied, "00000057"},
		{32, "00002030: No such Base DN: CN=x", directory.ErrNotFound, directory.NotApplied, "00002030"},
		{51, "00002024: SvcErr: busy", directory.ErrBusy, directory.NotApplied, "00002024"},
		{52, "00000000: LdapErr: unavailable", directory.ErrUnknown, directory.Unknown, "00000000"},
		{80, "", directory.ErrUnknown, directory.Unknown, ""},
		{49, "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v3839\x00", directory.ErrWrongPassword, directory.NotApplied, "data 52e"},
		{49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 525, v1db1", directory.ErrWrongPassword, directory.NotApplied, "data 525"},
		{49, "Simple Bind Failed: NT_STATUS_LOGON_FAILURE", directory.ErrWrongPassword, directory.NotApplied, ""},
		{49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 532, v1db1", directory.ErrPasswordExpired, directory.NotApplied, "data 532"},
		{49, "8009030C: LdapErr: DSID-0C090334, comment: AcceptSecurityContext error, data 533, v893", directory.ErrDisabled, directory.NotApplied, "data 533"},
		{49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 701, v1db1", directory.ErrAccountExpired, directory.NotApplied, "data 701"},
		{49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 773, v1db1", directory.ErrMustChange, directory.NotApplied, "data 773"},
		{49, "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1", directory.ErrLocked, directory.NotApplied, "data 775"},
	} {
		err := ldapconn.Errors{Answer: answer}.Write("reset", "server", &ldap.Error{ResultCode: c.code, Err: errors.New(c.text)})
		detail, _ := errors.AsType[*directory.Error](err)
		if !errors.Is(err, c.kind) || directory.OutcomeOf(err) != c.outcome || detail.Native.Sub != c.sub {
			t.Errorf("%d %.40s: got %v (%v, %q), want %v (%v, %q)", c.code, c.text, err, directory.OutcomeOf(err), detail.Native.Sub, c.kind, c.outcome, c.sub)
		}
	}
}

// Windows says 0000052D for everything: the policy decides which rule it was, and the answer says that it was worked out.
func TestTheRuleIsWorkedOutWhereWindowsHasOneCodeForAll(t *testing.T) {
	const said = "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0"
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	e := &entry{
		Entry:  ldap.NewEntry("CN=Ada", map[string][]string{"sAMAccountName": {"ada"}, "displayName": {"Ada, Countess of Love-lace"}}),
		policy: directory.Policy{MinLength: 10, History: 5, MinAge: time.Hour, Complexity: directory.ComplexityAD},
		status: directory.Status{PasswordChangedAt: now.Add(-time.Minute)},
	}
	old := *e
	old.status.PasswordChangedAt = now.Add(-2 * time.Hour)
	for _, c := range []struct {
		what, password string
		e              *entry
		change, hints  bool
		want           []directory.ViolationCode
	}{
		{"too short", "Shrt-9", &old, false, false, []directory.ViolationCode{directory.TooShort}},
		{"too short and all small", "short", &old, false, false, []directory.ViolationCode{directory.TooShort, directory.NotComplex}},
		{"ten characters that are twenty units are long enough", "🔑🔑🔑🔑🔑a1", &old, false, false, []directory.ViolationCode{directory.Rejected}},
		{"one class", "nothing but small letters"[:7] + "small", &old, false, false, []directory.ViolationCode{directory.NotComplex}},
		{"the account's name", "Xx-ADA-1234567", &old, false, false, []directory.ViolationCode{directory.ContainsName}},
		{"a part of the display name", "Xx-countess-1234", &old, false, false, []directory.ViolationCode{directory.ContainsName}},
		{"of is too short a part", "Xx-of-123456789", &old, false, false, []directory.ViolationCode{directory.Rejected}},
		{"a change too soon", second, e, true, true, []directory.ViolationCode{directory.TooYoung}},
		{"a change that breaks no rule we know", second, &old, true, true, []directory.ViolationCode{directory.InHistory}},
		{"a reset that breaks no rule we know", second, &old, false, false, []directory.ViolationCode{directory.Rejected}},
		{"the same with the history checked", second, &old, false, true, []directory.ViolationCode{directory.InHistory}},
		{"the history or the age, who knows", second, e, false, true, []directory.ViolationCode{directory.Rejected}},
	} {
		a := &Adapter{cfg: Config{Now: func() time.Time { return now }}, errs: ldapconn.Errors{Answer: answer}}
		_, err := a.failed("reset", "server", &ldap.Error{ResultCode: 53, Err: errors.New(said)},
			plan{password: directory.NewSecret(c.password), history: c.hints, age: c.change}, c.e, nil)
		var got []directory.ViolationCode
		for _, v := range directory.ViolationsOf(err) {
			got = append(got, v.Code)
			if v.Inferred == (v.Code == directory.Rejected) || v.Text != said {
				t.Errorf("%s: %+v does not say that it was worked out, or from what", c.what, v)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

func TestEveryFaultOfAConfigurationIsReportedAtOnce(t *testing.T) {
	_, err := New(Config{
		URLs: []string{"ldap://dc1", "ldaps://user@host", "ldaps://gc:3269", "ldaps://dc2:389"}, Domain: "has space", Sites: []string{"a/b"},
		BindName: "ADEX\\regain", UserFilter: "(", LoginAttrs: []string{"uid)("}, CAFile: "/nonexistent", PoolSize: -1, BaseDN: "no dn",
	})
	for _, want := range []string{"ldap://dc1", "over TLS only", "user@host", "global catalog", "port without TLS", "want one of them", "has space", "a/b", "bind name", "base dn", "bind password", "user filter", "uid)(", "ca file", "pool size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in: %v", want, err)
		}
	}
	if !errors.Is(err, directory.ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
}

func TestTheMarkerMovesWithThePasswordEvenWhereTheVersionCannotBeRead(t *testing.T) {
	entryOf := func(attrs map[string][]string) *entry { return &entry{Entry: ldap.NewEntry("CN=Ada", attrs)} }
	meta := func(version byte) string {
		b := make([]byte, 16+2*48)
		b[0], b[8] = 1, 2
		binary.LittleEndian.PutUint32(b[16:], 3)
		binary.LittleEndian.PutUint32(b[64:], 0x0009005a)
		b[68] = version
		return string(b)
	}
	seen := map[string]bool{}
	for _, e := range []*entry{
		entryOf(map[string][]string{"pwdLastSet": {"0"}, "uSNChanged": {"7"}, "replPropertyMetaData": {meta(1)}}),
		entryOf(map[string][]string{"pwdLastSet": {"0"}, "uSNChanged": {"8"}, "replPropertyMetaData": {meta(2)}}),
		entryOf(map[string][]string{"pwdLastSet": {"0"}, "uSNChanged": {"7"}}),
		entryOf(map[string][]string{"pwdLastSet": {"0"}, "uSNChanged": {"8"}}),
	} {
		seen[e.marker()] = true
	}
	if len(seen) != 4 || entryOf(nil).marker() != "" {
		t.Errorf("got %v, want four different ones, and none without anything to read", seen)
	}
	same := entryOf(map[string][]string{"pwdLastSet": {"0"}, "uSNChanged": {"9"}, "replPropertyMetaData": {meta(2)}})
	if !seen[same.marker()] {
		t.Error("a write of another attribute moved the marker")
	}
}

func FuzzWhatControllersAndStrangersSendIsHarmless(f *testing.F) {
	for _, seed := range []string{"{d9428888-122b-11e1-b85c-61cd3cbb3210}", "*)(cn=*", "0000052D: x", "80090308: LdapErr: x, data 52e, v1", "\x01\x00\x04\x84" + strings.Repeat("\x00", 12) + "\x14\x00\x00\x00\x04\x00\x34\x00\x02\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := string(b)
		if (isGUID(text) || isAttr(text)) && strings.ContainsAny(text, "*()\\\x00=<>& |,") {
			t.Errorf("%q could mean something in a filter or a DN", text)
		}
		if g := guidFilter(text); g != "" && len(g) != 48 {
			t.Errorf("%q is the filter %q", text, g)
		}
		passwordVersion(b)
		deniesChange(b)
		inheritsNothing(b)
		sidText(b)
		guidText(b)
		for _, code := range []uint16{19, 49} {
			subCode(&ldap.Error{ResultCode: code, Err: errors.New(text)})
		}
		wrongURL(text)
		containsName(text, "ada", text)
	})
}
