package ldap

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

func TestARenamedPersonIsStillTheSameAndARefNeverReachesOthers(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.Rename(t, dn(s, "ada"), "uid=countess")
	person(t, s, a, "ada", nil) // somebody else takes the name
	if err := reset(t.Context(), a, u, second); err != nil {
		t.Fatal(err)
	}
	if !s.SignIn(t, "countess", second) || !s.SignIn(t, "ada", first) {
		t.Error("the reset followed the name and not the person")
	}
}

func TestTheNameTakenBySomeoneElseJustBeforeTheWriteIsNotWrittenTo(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() {
		s.Rename(t, dn(s, "ada"), "uid=countess")
		s.AddUser(t, testserver.SlapdUser{Login: "ada", Password: first})
	}
	if err := reset(t.Context(), a, u, second); directory.OutcomeOf(err) != directory.NotApplied || !errors.Is(err, directory.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if s.SignIn(t, "ada", second) || s.SignIn(t, "countess", second) {
		t.Error("somebody's password was changed")
	}
}

func TestLoginsWithSyntaxInThemAreFoundAndReset(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	for _, login := range []string{"a,b", "plus+minus", `back\slash`, "star*", "(paren)", "#hash", "dot.ted", "Ünï", "semi;colon", "eq=ual"} {
		u := person(t, s, a, login, nil)
		if u.Login != login {
			t.Errorf("%s: canonical login is %q", login, u.Login)
		}
		if err := reset(t.Context(), a, u, second); err != nil || !s.SignIn(t, login, second) {
			t.Errorf("%s: %v, or it does not sign in", login, err)
		}
	}
}

func TestAttributesAndGroupsAreReturned(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	person(t, s, a, "ada", map[string][]string{"mobile": {"+49 1"}})
	staff := s.AddGroup(t, "staff", dn(s, "ada"), dn(s, "bob"))
	s.AddGroup(t, "others", dn(s, "bob"))
	u, err := a.FindUser(t.Context(), directory.Query{Login: "ADA@example.com", Return: []string{"mobile", "title"}})
	if err != nil {
		t.Fatal(err)
	}
	if u.Login != "ada" || !slices.Equal(u.Attrs["mobile"], []string{"+49 1"}) || len(u.Attrs) != 1 || !slices.Equal(u.Groups, []string{staff}) {
		t.Errorf("got %+v", u)
	}
	if _, err := a.FindUser(t.Context(), directory.Query{Login: "ada", Attrs: []string{"mail"}}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("uid was matched although only mail may: %v", err)
	}
	if _, err := a.FindUser(t.Context(), directory.Query{Login: "ada", Attrs: []string{"uid=*)(mail"}}); !errors.Is(err, directory.ErrConfig) {
		t.Errorf("an attribute that is a filter: got %v, want ErrConfig", err)
	}
}

func TestTheServiceAccountItselfIsGuarded(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) {
		c.BaseDN, c.UserFilter, c.LoginAttrs = s.BaseDN, "(|(objectClass=inetOrgPerson)(objectClass=organizationalRole))", []string{"uid", "cn"}
	})
	u, err := a.FindUser(t.Context(), directory.Query{Login: "regain"})
	if err != nil || !u.Guarded {
		t.Fatalf("got %+v, %v, want it guarded", u, err)
	}
	if err := reset(t.Context(), a, u, second); !errors.Is(err, directory.ErrGuarded) {
		t.Errorf("got %v, want ErrGuarded", err)
	}
}

func TestStartTLSWorksAndPlainTextIsNeverUsed(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{s.StartTLSURL} })
	u := person(t, s, a, "ada", nil)
	if err := reset(t.Context(), a, u, second); err != nil || !s.SignIn(t, "ada", second) {
		t.Errorf("reset over StartTLS: %v", err)
	}
	for _, line := range strings.Split(s.Log(), "\n") {
		if strings.Contains(line, `BIND dn="`+s.ServiceDN+`"`) && strings.Contains(line, "mech=") && !strings.Contains(line, "ssf=") {
			t.Errorf("a bind without TLS: %s", line)
		}
	}
}

func TestAServerThatCannotBeTrustedIsErrTLS(t *testing.T) {
	past := []time.Time{time.Now().Add(-48 * time.Hour), time.Now().Add(-24 * time.Hour)}
	good := testserver.Slapd(t)
	expired := testserver.Slapd(t, func(c *testserver.SlapdConfig) { c.CertValidity = past })
	noTLS := func() string { // a server that answers StartTLS with "protocol error"
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Read(make([]byte, 100))
				c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x02, 0x04, 0x00, 0x04, 0x00})
				c.Close()
			}
		}()
		return "ldap://" + l.Addr().String()
	}
	for name, c := range map[string]struct {
		s      *testserver.SlapdServer
		change func(*Config)
	}{
		"wrong name":                {good, func(c *Config) { c.ServerName = "ldap.example.net" }},
		"wrong name with StartTLS":  {good, func(c *Config) { c.ServerName, c.URLs = "ldap.example.net", []string{good.StartTLSURL} }},
		"wrong authority":           {good, func(c *Config) { c.CAs = testserver.NewCA(t).Pool }},
		"expired":                   {expired, func(c *Config) {}},
		"expired with StartTLS":     {expired, func(c *Config) { c.URLs = []string{expired.StartTLSURL} }},
		"no TLS on the TLS port":    {good, func(c *Config) { c.URLs = []string{strings.Replace(noTLS(), "ldap:", "ldaps:", 1)} }},
		"StartTLS is not supported": {good, func(c *Config) { c.URLs = []string{noTLS()} }},
	} {
		if err := adapter(t, c.s, c.change).Health(t.Context()); !errors.Is(err, directory.ErrTLS) {
			t.Errorf("%s: got %v, want ErrTLS", name, err)
		}
	}
}

func TestAServerThatHangsUpIsErrUnavailableAndNotErrTLS(t *testing.T) {
	s := testserver.Slapd(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, scheme := range []string{"ldap://", "ldaps://"} {
		a := adapter(t, s, func(c *Config) { c.URLs = []string{scheme + l.Addr().String()} })
		if err := a.Health(t.Context()); !errors.Is(err, directory.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", scheme, err)
		}
	}
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	s := testserver.Slapd(t)
	before := runtime.NumGoroutine()
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { s.Pause(t) }
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		reset(ctx, a, u, second)
		a.Health(ctx)
		cancel()
		s.Resume(t)
	}
	a.beforeWrite = nil
	a.Verify(t.Context(), u.Ref, directory.NewSecret(second))
	a.Close()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestAWrongServicePasswordIsErrConfigAndIsNotShown(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) { c.BindPassword = directory.NewSecret("wrong-service-canary") })
	err := a.Health(t.Context())
	if !errors.Is(err, directory.ErrConfig) || errors.Is(err, directory.ErrWrongPassword) {
		t.Errorf("got %v, want ErrConfig", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestConnectionsThatDiedInThePoolAreReplacedBeforeAWrite(t *testing.T) {
	s := testserver.Slapd(t)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://" + proxy.Addr} })
	u := person(t, s, a, "ada", nil)
	s.Restart(t)
	if err := reset(t.Context(), a, u, second); err != nil {
		t.Fatalf("after a restart of the server: %v", err)
	}
	proxy.Cut()
	if err := reset(t.Context(), a, u, second+"!"); err != nil || !s.SignIn(t, "ada", second+"!") {
		t.Fatalf("after a cut: %v", err)
	}
}

func TestTheNextServerIsTakenWhenOneIsDown(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://127.0.0.1:1", s.URL} })
	u := person(t, s, a, "ada", nil)
	if u.Status.Server != s.URL {
		t.Errorf("got server %q, want %q", u.Status.Server, s.URL)
	}
	down := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://127.0.0.1:1"} })
	if err := reset(t.Context(), down, u, second); !errors.Is(err, directory.ErrUnavailable) || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestReconcileAsksConfiguredServersOnly(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	u.Status.Server = "ldaps://127.0.0.1:1"
	if got, err := a.Reconcile(t.Context(), u.Ref, u.Status, directory.Secret{}); got != directory.Unknown || !errors.Is(err, directory.ErrConfig) {
		t.Errorf("got %v, %v, want unknown and ErrConfig", got, err)
	}
}

func TestMoreCallsThanTheQueueHoldsAreErrBusy(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) { c.PoolSize = 1 })
	u := person(t, s, a, "ada", nil)
	s.Pause(t)
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	busy := 0
	for range 100 { // 17 fit: one that is served and sixteen that wait
		waiting.Go(func() { a.Health(ctx) })
	}
	for end := time.Now().Add(5 * time.Second); busy == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		short, done := context.WithTimeout(ctx, 20*time.Millisecond)
		if err := reset(short, a, u, second); errors.Is(err, directory.ErrBusy) && directory.OutcomeOf(err) == directory.NotApplied {
			busy++
		}
		done()
	}
	cancel()
	waiting.Wait()
	s.Resume(t)
	if busy == 0 {
		t.Error("no call was turned away with ErrBusy")
	}
}

func TestThePolicyIsRead(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	want := directory.Policy{
		Source: "pwdPolicy " + s.DefaultPolicyDN, MinLength: 10, History: 3, MaxAge: 90 * 24 * time.Hour,
		Complexity: directory.ComplexityNone, LockoutThreshold: 3, LockoutDuration: 5 * time.Minute,
	}
	if got, err := a.Policy(t.Context(), person(t, s, a, "ada", nil).Ref); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	strict := person(t, s, a, "eve", map[string][]string{"pwdPolicySubentry": {"cn=strict,ou=policies," + s.BaseDN}})
	if got, err := a.Policy(t.Context(), strict.Ref); err != nil || got.MinLength != 16 || got.MinAge != time.Hour {
		t.Errorf("strict: got %+v, %v", got, err)
	}
	blind := adapter(t, s, func(c *Config) { c.DefaultPolicyDN = "" })
	if _, err := blind.Policy(t.Context(), find(t, blind, "ada").Ref); !errors.Is(err, directory.ErrUnsupported) {
		t.Errorf("without a default policy: got %v, want ErrUnsupported", err)
	}
}

func TestCheckRightsFindsWhatIsMissingAndChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		privilege string
		change    func(*Config)
		want      map[Check]Level // others OK
	}{
		"all is well":        {"=xw", func(*Config) {}, nil},
		"no right to write":  {"=x", func(*Config) {}, map[Check]Level{ResetRight: Fatal, UnlockRight: Skipped, ReadPolicy: Skipped, PolicyEnforced: Skipped, PasswordModify: Skipped, OwnAccount: Skipped}},
		"too much privilege": {"manage", func(*Config) {}, map[Check]Level{PolicyEnforced: Warning}},
		"no policy":          {"=xw", func(c *Config) { c.DefaultPolicyDN = "" }, map[Check]Level{ReadPolicy: Warning, PolicyEnforced: Warning}},
		"wrong password": {"=xw", func(c *Config) { c.BindPassword = directory.NewSecret("no") }, map[Check]Level{Bind: Fatal, People: Skipped, Assertion: Skipped,
			ResetRight: Skipped, UnlockRight: Skipped, ReadPolicy: Skipped, PolicyEnforced: Skipped, PasswordModify: Skipped, OwnAccount: Skipped}},
		"nobody there": {"=xw", func(c *Config) { c.UserFilter = "(objectClass=dcObject)" }, map[Check]Level{People: Fatal, Assertion: Skipped,
			ResetRight: Skipped, UnlockRight: Skipped, ReadPolicy: Skipped, PolicyEnforced: Skipped, PasswordModify: Skipped, OwnAccount: Skipped}},
	} {
		t.Run(name, func(t *testing.T) {
			s := testserver.Slapd(t, func(cfg *testserver.SlapdConfig) { cfg.ServicePrivilege = c.privilege })
			a := adapter(t, s, c.change)
			s.AddUser(t, testserver.SlapdUser{Login: "ada", Password: first})
			before := s.Get(t, dn(s, "ada"), "entryCSN")
			found := a.CheckRights(t.Context())
			for _, f := range found {
				want, ok := c.want[f.Check]
				if !ok {
					want = OK
				}
				if f.Level != want || (f.Err != nil) != (want == Fatal || want == Warning) {
					t.Errorf("%s: got %s (%v), want %s", f.Check, f.Level, f.Err, want)
				}
			}
			if len(found) != 10 {
				t.Errorf("got %d findings, want 10", len(found))
			}
			if after := s.Get(t, dn(s, "ada"), "entryCSN"); !slices.Equal(before, after) || !s.SignIn(t, "ada", first) {
				t.Errorf("checking changed the account: %v to %v", before, after)
			}
		})
	}
}

// OpenLDAP looks at the assertion before the access rules: an assertion that is false hides a missing right.
func TestAssertionsAreEvaluatedBeforeAccessRules(t *testing.T) {
	s := testserver.Slapd(t, func(cfg *testserver.SlapdConfig) { cfg.ServicePrivilege = "=x" })
	a := adapter(t, s)
	person(t, s, a, "ada", nil)
	c, err := a.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.pool.Put(c)
	for filter, want := range map[string]uint16{neverTrue: ldap.LDAPResultAssertionFailed, "(objectClass=*)": ldap.LDAPResultInsufficientAccessRights} {
		control, err := assertion(filter)
		if err != nil {
			t.Fatal(err)
		}
		m := ldap.NewModifyRequest(dn(s, "ada"), []ldap.Control{control})
		m.Replace("userPassword", []string{second})
		if err := c.LDAP.Modify(m); !ldap.IsErrorWithCode(err, want) {
			t.Errorf("%s: got %v, want %d", filter, err, want)
		}
	}
}

func TestEveryFaultOfAConfigurationIsReportedAtOnce(t *testing.T) {
	_, err := New(Config{
		Flavour: "389", URLs: []string{"http://x", "ldaps://user@host"}, BindDN: "not a dn", UserFilter: "(", LoginAttrs: []string{"uid)("},
		CAFile: "/nonexistent", PoolSize: -1,
	})
	for _, want := range []string{"flavour", "http://x", "user@host", "bind dn", "base dn", "bind password", "user filter", "uid)(", "ca file", "pool size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in: %v", want, err)
		}
	}
	if !errors.Is(err, directory.ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
}

func TestThePasswordModifyValueIsAPrimitiveOctetString(t *testing.T) {
	req := passwordModify("uid=ada", directory.NewSecret("old"), directory.NewSecret("new"))
	if req.Value.ClassType != ber.ClassContext || req.Value.Tag != 1 || req.Value.TagType != ber.TypePrimitive {
		t.Errorf("got class %d, tag %d, type %d", req.Value.ClassType, req.Value.Tag, req.Value.TagType)
	}
	seq, err := ber.DecodePacketErr(req.Value.Data.Bytes())
	if err != nil || len(seq.Children) != 3 {
		t.Fatalf("got %v, %v, want a sequence of three", seq, err)
	}
	for i, want := range []string{"uid=ada", "old", "new"} {
		if got := seq.Children[i].Data.String(); int(seq.Children[i].Tag) != i || got != want {
			t.Errorf("element %d: got [%d] %q, want [%d] %q", i, seq.Children[i].Tag, got, i, want)
		}
	}
}

func TestASecretThatTheServerQuotesIsNotPassedOn(t *testing.T) {
	a := &Adapter{errs: ldapconn.Errors{Password: directory.NewSecret("service-canary"), Answer: answer}}
	quoted := &ldap.Error{ResultCode: 21, Err: errors.New("bad values service-canary\r\nold-canary new-canary")}
	err := a.errs.Write("change", "server", quoted, directory.NewSecret("old-canary"), directory.NewSecret("new-canary"))
	detail, _ := errors.AsType[*directory.Error](err)
	if strings.Contains(detail.Native.Message, "canary") || strings.ContainsAny(detail.Native.Message, "\r\n") || !strings.HasPrefix(detail.Native.Message, "bad values") {
		t.Errorf("got %q", detail.Native.Message)
	}
}

func TestResultCodesMeanWhatTheyMean(t *testing.T) {
	code := func(code uint16, text string) error { return &ldap.Error{ResultCode: code, Err: errors.New(text)} }
	for _, c := range []struct {
		err     error
		kind    error
		outcome directory.Outcome
	}{
		{code(ldap.LDAPResultReferral, ""), directory.ErrReadOnly, directory.NotApplied},
		{code(ldap.LDAPResultUnavailableCriticalExtension, ""), directory.ErrUnsupported, directory.NotApplied},
		{code(ldap.LDAPResultConfidentialityRequired, ""), directory.ErrConfig, directory.NotApplied},
		{code(ldap.LDAPResultNoSuchAttribute, ""), directory.ErrConflict, directory.NotApplied},
		{code(ldap.LDAPResultAttributeOrValueExists, ""), directory.ErrConflict, directory.NotApplied},
		{code(ldap.LDAPResultConstraintViolation, ""), directory.ErrPolicy, directory.NotApplied},
		{code(ldap.LDAPResultNoSuchObject, ""), directory.ErrNotFound, directory.NotApplied},
		{code(ldap.LDAPResultInsufficientAccessRights, ""), directory.ErrPermission, directory.NotApplied},
		{code(ldap.LDAPResultBusy, ""), directory.ErrBusy, directory.NotApplied},
		{code(ldap.LDAPResultUnwillingToPerform, "operation restricted"), directory.ErrReadOnly, directory.NotApplied},
		{code(ldap.LDAPResultUnwillingToPerform, "else"), directory.ErrConfig, directory.NotApplied},
		{code(ldap.LDAPResultUnavailable, ""), directory.ErrUnknown, directory.Unknown},
		{code(ldap.LDAPResultOther, ""), directory.ErrUnknown, directory.Unknown},
		{&ldapconn.TransportError{Sent: false, Err: errors.New("closed")}, directory.ErrUnavailable, directory.NotApplied},
		{&ldapconn.TransportError{Sent: true, Err: errors.New("closed")}, directory.ErrUnknown, directory.Unknown},
	} {
		err := ldapconn.Errors{Answer: answer}.Write("reset", "server", c.err)
		if !errors.Is(err, c.kind) || directory.OutcomeOf(err) != c.outcome {
			t.Errorf("%v: got %v (%v), want %v (%v)", c.err, err, directory.OutcomeOf(err), c.kind, c.outcome)
		}
	}
}

func FuzzWhatServersAndStrangersSendIsHarmless(f *testing.F) {
	for _, seed := range []string{"20260101120000Z", "20260101120000.123456Z", adminLock, "d9428888-122b-11e1-b85c-61cd3cbb3210", "*)(uid=*", "uid", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		generalizedTime(text)
		if (isUUID(text) || isAttr(text)) && strings.ContainsAny(text, "*()\\\x00=& |") {
			t.Errorf("%q could mean something in a filter", text)
		}
		if p, err := ber.DecodePacketErr([]byte(text)); err == nil {
			policyOf(&ldap.Error{Packet: &ber.Packet{Children: []*ber.Packet{nil, nil, p}}})
		}
	})
}
