package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

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
	Connect        Check = "connect"         // TLS to the server; fatal
	Bind           Check = "bind"            // sign-in of the service account; fatal
	People         Check = "people"          // someone with an entryUUID and a lock state is there to read; fatal
	Assertion      Check = "assertion"       // RFC 4528, without which an administrator's lock could be lifted; fatal
	ResetRight     Check = "reset_right"     // userPassword and pwdReset may be written; fatal
	UnlockRight    Check = "unlock_right"    // pwdAccountLockedTime may be written; warning
	ReadPolicy     Check = "read_policy"     // people can be told the rules before typing; warning
	PolicyEnforced Check = "policy_enforced" // our privilege does not bypass the password policy; warning
	PasswordModify Check = "password_modify" // RFC 3062, for a change with the old password; warning
	OwnAccount     Check = "own_account"     // our own account is not among the people; warning
)

// Finding is what a check found. Err is nil for OK and Skipped, and for warnings that are facts and not failures.
type Finding struct {
	Check Check
	Level Level
	Err   error // without secrets
}

// CheckRights tries everything a reset needs without changing anything: for `regain check`. The findings are in a fixed
// order and complete; those behind a fatal one are skipped. On one person it sends modifications that cannot succeed,
// which a server's log shows as refused.
func (a *Adapter) CheckRights(ctx context.Context) []Finding {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	order := []Check{Connect, Bind, People, Assertion, ResetRight, UnlockRight, ReadPolicy, PolicyEnforced, PasswordModify, OwnAccount}
	var found []Finding
	add := func(c Check, bad Level, err error) bool {
		f := Finding{Check: c, Level: OK}
		if err != nil {
			f.Level, f.Err = bad, err
		}
		found = append(found, f)
		return err == nil || bad != Fatal
	}
	a.check(ctx, add)
	for _, c := range order[len(found):] {
		found = append(found, Finding{Check: c, Level: Skipped})
	}
	return found
}

func (a *Adapter) check(ctx context.Context, add func(Check, Level, error) bool) {
	c, err := a.pool.Get(ctx)
	if err != nil {
		err = a.errs.Read("connect", "", err)
		if errors.Is(err, directory.ErrConfig) {
			add(Connect, Fatal, nil)
			add(Bind, Fatal, err)
		} else {
			add(Connect, Fatal, err)
		}
		return
	}
	defer a.pool.Put(c)
	add(Connect, Fatal, nil)
	add(Bind, Fatal, nil)
	e, err := a.sample(ctx, c)
	if err == nil && e == nil {
		err = ldapconn.Refuse("find", c.Server, directory.ErrNotFound)
	}
	if !add(People, Fatal, a.errs.Read("find", c.Server, err)) {
		return
	}
	s, err := a.server(ctx, c)
	if err == nil && !slices.Contains(s.controls, oidAssertion) {
		err = ldapconn.Refuse("assertion control", c.Server, directory.ErrUnsupported)
	}
	if !add(Assertion, Fatal, a.errs.Read("assertion control", c.Server, err)) {
		return
	}
	permitted := func(what string, yes bool, err error) error {
		if err == nil && !yes {
			err = ldapconn.Refuse(what, c.Server, directory.ErrPermission)
		}
		return a.errs.Read(what, c.Server, err)
	}
	unlock, unlockErr := a.may(ctx, c, e)
	// A strong password, so that the policy has nothing to say and the access rules are reached.
	reset, err := a.may(ctx, c, e, ldap.PartialAttribute{Type: "userPassword", Vals: []string{"Aa1-" + rand.Text()}}, ldap.PartialAttribute{Type: "pwdReset"})
	if kind := kindOf(err); err != nil && kind == directory.ErrPolicy && policyOf(err) == tooYoung {
		reset, err = true, nil // the policy overlay answered; a minimum age that holds for resets, too, is no missing right
	}
	if !add(ResetRight, Fatal, permitted("write userPassword, pwdReset and pwdAccountLockedTime", reset, err)) {
		return
	}
	add(UnlockRight, Warning, permitted("write pwdAccountLockedTime", unlock, unlockErr))
	var unread error
	if e.policy.Source == "" {
		unread = ldapconn.Refuse("read pwdPolicy", c.Server, directory.ErrPermission)
	}
	add(ReadPolicy, Warning, unread)
	enforced, err := a.enforces(ctx, c, e)
	if err == nil && !enforced {
		err = ldapconn.Refuse("password policy", c.Server, directory.ErrUnsupported)
	}
	add(PolicyEnforced, Warning, a.errs.Read("password policy", c.Server, err))
	var missing error
	if !slices.Contains(s.extensions, oidPasswordModify) {
		missing = ldapconn.Refuse("password modify", c.Server, directory.ErrUnsupported)
	}
	add(PasswordModify, Warning, missing)
	own, err := a.matches(ctx, c, a.cfg.BindDN, a.cfg.UserFilter)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) {
		own, err = false, nil // we cannot even read ourselves
	}
	if err == nil && own && below(a.cfg.BindDN, a.cfg.BaseDN) {
		err = ldapconn.Refuse("service account among the people", c.Server, directory.ErrGuarded)
	}
	add(OwnAccount, Warning, a.errs.Read("own account", c.Server, err))
}

// below reports whether dn lies in the subtree of base.
func below(dn, base string) bool {
	d, err1 := ldap.ParseDN(dn)
	b, err2 := ldap.ParseDN(base)
	return err1 == nil && err2 == nil && b.AncestorOfFold(d)
}
