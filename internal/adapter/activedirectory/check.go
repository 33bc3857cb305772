package activedirectory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// Level says how bad a finding is.
type Level string

// The levels. Skipped means that it could not be looked at, because something before it failed.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Fatal   Level = "fatal" // no reset can work
	Skipped Level = "skipped"
)

// Check names one thing that CheckRights looks at.
type Check string

// The checks, in order.
const (
	Connect     Check = "connect"      // TLS to a writable domain controller; fatal
	Bind        Check = "bind"         // sign-in of the service account; fatal
	Clock       Check = "clock"        // the controller's clock is ours; warning
	People      Check = "people"       // someone is there whose state we may read; fatal
	ResetRight  Check = "reset_right"  // the control access right Reset Password; fatal
	UnlockRight Check = "unlock_right" // lockoutTime may be written; warning
	ForceRight  Check = "force_right"  // pwdLastSet may be written; warning
	ReadPolicy  Check = "read_policy"  // people can be told the rules before typing, fine-grained ones included; warning
	History     Check = "history"      // the controller can be asked to check the history on a reset; warning
	OwnAccount  Check = "own_account"  // our own account is not among the people; warning
)

// Finding is what a check found. Err is nil for OK and Skipped, and for warnings that are facts and not failures.
type Finding struct {
	Check Check
	Level Level
	Err   error // without secrets
	// Windows and Samba are the commands that grant what is missing, for an administrator: on a machine of the domain, and on a
	// domain controller.
	Windows, Samba []string
}

// The rights a reset needs, as the two systems name them. GUIDs: MS-ADTS 5.1.3.2.1, MS-ADA1, MS-ADA3.
const userClass = "bf967aba-0de6-11d0-a285-00aa003049e2"

// grant is one right of the service account, and how it is given.
type grant struct{ windows, sddl string }

var (
	grantReset  = grant{"CA;Reset Password;user", "CR;00299570-246d-11d0-a768-00aa006e0529"}
	grantForce  = grant{"RPWP;pwdLastSet;user", "RPWP;bf967a0a-0de6-11d0-a285-00aa003049e2"}
	grantUnlock = grant{"RPWP;lockoutTime;user", "RPWP;28630ebf-41d5-11d1-a9c1-0000f80367c1"}
	grantState  = grant{"RP;Account Restrictions;user", "RP;4c164200-20c0-11d0-a768-00aa006e0529"}
	grantPolicy = grant{"RP;msDS-ResultantPSO;user", "RP;b77ea093-88d0-4780-9a98-911f8e8b1dca"}
)

// commands fills in how to give a right on the people, to an account by its names.
func (g grant) commands(f *Finding, peopleDN, account, sid string) {
	f.Windows = append(f.Windows, fmt.Sprintf(`dsacls "%s" /I:S /G "%s:%s"`, peopleDN, account, g.windows))
	f.Samba = append(f.Samba, fmt.Sprintf(`samba-tool dsacl set --objectdn="%s" --sddl="(OA;CIIO;%s;%s;%s)"`, peopleDN, g.sddl, userClass, sid))
}

// settingsContainer holds the fine-grained password policies, below the domain.
const settingsContainer = "CN=Password Settings Container,CN=System,"

// CheckRights tries everything a reset needs without changing anything: for `regain check`. The findings are in a fixed
// order and complete; those behind a fatal one are skipped. To one person it sends a password that is none, which a
// controller's log may show as refused.
func (a *Adapter) CheckRights(ctx context.Context) []Finding {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	order := []Check{Connect, Bind, Clock, People, ResetRight, UnlockRight, ForceRight, ReadPolicy, History, OwnAccount}
	var found []Finding
	a.check(ctx, func(f Finding, bad Level, err error) bool {
		f.Level = OK
		if err != nil {
			f.Level, f.Err = bad, err
		} else {
			f.Windows, f.Samba = nil, nil
		}
		found = append(found, f)
		return f.Level != Fatal
	})
	for _, c := range order[len(found):] {
		found = append(found, Finding{Check: c, Level: Skipped})
	}
	return found
}

func (a *Adapter) check(ctx context.Context, add func(f Finding, bad Level, err error) bool) {
	c, err := a.pool.Get(ctx)
	if err != nil {
		err = a.errs.Read("connect", "", err)
		if errors.Is(err, directory.ErrConfig) {
			add(Finding{Check: Connect}, Fatal, nil)
			add(Finding{Check: Bind}, Fatal, err)
		} else {
			add(Finding{Check: Connect}, Fatal, err)
		}
		return
	}
	defer a.pool.Put(c)
	wrong := func(what string, kind error) error { return ldapconn.Refuse(what, c.Server, kind) }
	add(Finding{Check: Connect}, Fatal, nil)
	add(Finding{Check: Bind}, Fatal, nil)
	add(Finding{Check: Clock}, Warning, a.errs.Read("clock", c.Server, a.clock(ctx, c)))
	account, sid, err := a.account(ctx, c)
	if err != nil {
		add(Finding{Check: People}, Fatal, a.errs.Read("own account", c.Server, err))
		return
	}
	could := func(check Check, g grant) Finding {
		f := Finding{Check: check}
		g.commands(&f, a.cfg.BaseDN, account, sid)
		return f
	}
	e, err := a.sample(ctx, c)
	if err == nil && e == nil {
		err = wrong("find", directory.ErrNotFound)
	}
	f := Finding{Check: People}
	if errors.Is(err, directory.ErrPermission) {
		f = could(People, grantState)
	}
	if !add(f, Fatal, a.errs.Read("find", c.Server, err)) {
		return
	}
	may, err := a.mayReset(ctx, c, e)
	if err == nil && !may {
		err = wrong("Reset Password", directory.ErrPermission)
	}
	if !add(could(ResetRight, grantReset), Fatal, a.errs.Read("Reset Password", c.Server, err)) {
		return
	}
	for _, right := range []struct {
		check Check
		attr  string
		grant grant
	}{{UnlockRight, "lockoutTime", grantUnlock}, {ForceRight, "pwdLastSet", grantForce}} {
		err = nil
		if !e.mayWrite(right.attr) {
			err = wrong("write "+right.attr, directory.ErrPermission)
		}
		add(could(right.check, right.grant), Warning, err)
	}
	facts, err := a.domain(ctx, c)
	if err == nil {
		err = a.readsPolicies(ctx, c, e, facts)
	}
	settings := settingsContainer + facts.root
	f = could(ReadPolicy, grantPolicy)
	f.Windows = append(f.Windows, fmt.Sprintf(`dsacls "%s" /I:T /G "%s:GR"`, settings, account))
	f.Samba = append(f.Samba, fmt.Sprintf(`samba-tool dsacl set --objectdn="%s" --sddl="(A;CI;RPLCLO;;;%s)"`, settings, sid))
	add(f, Warning, a.errs.Read("read the password policy", c.Server, err))
	root, err := a.root(ctx, c)
	if err == nil && root.hints == "" {
		err = wrong("password policy hints", directory.ErrUnsupported)
	}
	add(Finding{Check: History}, Warning, a.errs.Read("password policy hints", c.Server, err))
	own, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 1, 0, false, "(objectGUID="+guidFilter(facts.own)+")", []string{"1.1"}, nil))
	if err == nil && facts.own != "" && len(own.Entries) > 0 {
		err = wrong("service account among the people", directory.ErrGuarded)
	}
	add(Finding{Check: OwnAccount}, Warning, a.errs.Read("own account", c.Server, err))
}

// clock compares the controller's clock with ours: Kerberos allows five minutes, and so does whoever signs in afterwards.
func (a *Adapter) clock(ctx context.Context, c *ldapconn.Conn) error {
	res, err := c.Search(ctx, rootDSE("currentTime"))
	if err != nil || len(res.Entries) != 1 {
		return err
	}
	now, err := time.Parse("20060102150405.0Z", res.Entries[0].GetAttributeValue("currentTime"))
	if err == nil && now.Sub(a.cfg.Now()).Abs() > 5*time.Minute {
		wrong := ldapconn.Refuse("clock", c.Server, directory.ErrConfig)
		wrong.Err = fmt.Errorf("the controller's clock and ours are %s apart", now.Sub(a.cfg.Now()).Abs().Round(time.Second))
		return wrong
	}
	return nil
}

// account returns the names of the service account, for commands: DOMAIN\login and the SID. Placeholders where they cannot
// be read.
func (a *Adapter) account(ctx context.Context, c *ldapconn.Conn) (name, sid string, err error) {
	name, sid = a.cfg.BindName, "SID-OF-THE-SERVICE-ACCOUNT"
	facts, err := a.domain(ctx, c)
	if err != nil || facts.own == "" {
		return name, sid, err
	}
	res, err := c.Search(ctx, base("<GUID="+facts.own+">", "(objectClass=*)", "sAMAccountName", "objectSid"))
	if err != nil || len(res.Entries) != 1 {
		return name, sid, err
	}
	if text := sidText(res.Entries[0].GetRawAttributeValue("objectSid")); text != "" {
		sid = text
	}
	if login := res.Entries[0].GetAttributeValue("sAMAccountName"); login != "" && facts.netBIOS != "" {
		name = facts.netBIOS + `\` + login
	}
	return name, sid, nil
}

// sidText writes a SID, MS-DTYP 2.4.2; "" for anything else.
func sidText(b []byte) string {
	if len(b) < 8 || b[0] != 1 || len(b) != 8+4*int(b[1]) {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "S-1-%d", binary.BigEndian.Uint64(append([]byte{0, 0}, b[2:8]...)))
	for b = b[8:]; len(b) > 0; b = b[4:] {
		fmt.Fprintf(&text, "-%d", binary.LittleEndian.Uint32(b))
	}
	return text.String()
}

// readsPolicies finds out whether we can read the domain's policy and the fine-grained ones: their container, for there
// need not be any, and of somebody to whom one applies which it is.
func (a *Adapter) readsPolicies(ctx context.Context, c *ldapconn.Conn, e *entry, facts domainFacts) error {
	unread := ldapconn.Refuse("read the password policy", c.Server, directory.ErrPermission)
	if strings.HasPrefix(e.policy.Source, unreadable) {
		return unread
	}
	res, err := c.Search(ctx, ldap.NewSearchRequest(settingsContainer+facts.root, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 20, 0, false,
		"(objectClass=*)", []string{"cn", "msDS-PSOAppliesTo"}, nil))
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) || err == nil && len(res.Entries) == 0 {
		return unread
	} else if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return err
	}
	for _, settings := range res.Entries {
		if settings.GetAttributeValue("cn") == "" {
			return unread
		}
		for _, to := range settings.GetAttributeValues("msDS-PSOAppliesTo") {
			dn := ldap.EscapeFilter(to)
			someone, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 1, 0, false,
				"(&"+a.cfg.UserFilter+"(|(distinguishedName="+dn+")(memberOf:"+inChain+":="+dn+")))", []string{"objectGUID"}, nil))
			if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
				return err
			}
			if len(someone.Entries) == 0 {
				continue
			}
			which, err := c.Search(ctx, base("<GUID="+guidText(someone.Entries[0].GetRawAttributeValue("objectGUID"))+">", "(objectClass=*)", "msDS-ResultantPSO"))
			if err != nil {
				return err
			}
			if len(which.Entries) == 0 || which.Entries[0].GetAttributeValue("msDS-ResultantPSO") == "" {
				return unread
			}
			return nil
		}
	}
	return nil
}
