package ldap

import (
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// version is that of the adapter.
const version = "1.0"

// neverTrue is a filter for assertions that keep a probe from writing: every entry has an object class.
const neverTrue = "(!(objectClass=*))"

// neverLocked is a pwdAccountLockedTime that no account has. Deleting a value that is not there fails.
const neverLocked = "19000101000000Z"

// server is what the root entry says.
type server struct {
	vendor               string
	controls, extensions []string
}

func (a *Adapter) server(ctx context.Context, c *ldapconn.Conn) (server, error) {
	res, err := c.Search(ctx, rootDSE("objectClass", "vendorName", "vendorVersion", "supportedControl", "supportedExtension"))
	if err != nil {
		return server{}, err
	}
	if len(res.Entries) == 0 {
		return server{}, ldapconn.Refuse("describe", c.Server, directory.ErrPermission)
	}
	e := res.Entries[0]
	s := server{
		vendor:   strings.TrimSpace(e.GetAttributeValue("vendorName") + " " + e.GetAttributeValue("vendorVersion")),
		controls: e.GetAttributeValues("supportedControl"), extensions: e.GetAttributeValues("supportedExtension"),
	}
	if slices.Contains(e.GetAttributeValues("objectClass"), "OpenLDAProotDSE") {
		s.vendor = strings.TrimSpace("OpenLDAP " + s.vendor)
	}
	if s.vendor == "" {
		s.vendor = "LDAP server"
	}
	return s, nil
}

// sample returns someone to probe our rights on: any person whom we may touch, or nil.
func (a *Adapter) sample(ctx context.Context, c *ldapconn.Conn) (*entry, error) {
	filter := "(entryUUID=*)(!(pwdAccountLockedTime=" + adminLock + "))"
	for _, f := range []string{a.cfg.DisabledFilter, a.cfg.GuardedFilter} {
		if f != "" {
			filter += "(!" + f + ")"
		}
	}
	res, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		"(&"+a.cfg.UserFilter+filter+")", []string{"entryUUID"}, nil))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return nil, err
	}
	for _, found := range res.Entries {
		if !sameDN(found.DN, a.cfg.BindDN) && isUUID(found.GetAttributeValue("entryUUID")) {
			return a.one(ctx, c, "describe", "(entryUUID="+found.GetAttributeValue("entryUUID")+")", nil)
		}
	}
	return nil, nil
}

// enforces finds out whether the password policy applies to what we write. With the privilege "manage" OpenLDAP checks
// nothing and says nothing. The probe is a password that is too short under an assertion that is never true: the policy
// overlay looks before the database does, so 19 means that it checked, and nothing can be written either way. false when
// it cannot be found out, because the policy has no minimum length.
func (a *Adapter) enforces(ctx context.Context, c *ldapconn.Conn, e *entry) (bool, error) {
	if e.policy.MinLength < 2 {
		return false, nil
	}
	control, err := assertion(neverTrue)
	if err != nil {
		return false, err
	}
	m := ldap.NewModifyRequest(e.DN, []ldap.Control{control, ldap.NewControlBeheraPasswordPolicy()})
	m.Replace("userPassword", []string{"x"})
	err = c.Do(ctx, func() error { return c.LDAP.Modify(m) })
	if err != nil && !ldapconn.IsAnswer(err) {
		return false, err
	}
	return ldap.IsErrorWithCode(err, ldap.LDAPResultConstraintViolation), nil
}

// may finds out whether we have the right to write attributes of an entry, without writing. OpenLDAP evaluates an
// assertion before the access rules, so an assertion that is false would hide the answer. Instead one Modify replaces
// the attributes and then deletes a lock time that is not there: without the rights the answer is 50, with them 16, and
// a Modify that fails is undone as a whole (RFC 4511 §4.6).
func (a *Adapter) may(ctx context.Context, c *ldapconn.Conn, e *entry, replace ...ldap.PartialAttribute) (bool, error) {
	m := ldap.NewModifyRequest(e.DN, nil)
	for _, r := range replace {
		m.Replace(r.Type, r.Vals)
	}
	m.Delete("pwdAccountLockedTime", []string{neverLocked})
	err := c.Do(ctx, func() error { return c.LDAP.Modify(m) })
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchAttribute):
		return true, nil
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights) && policyOf(err) == none:
		return false, nil
	default:
		return false, err
	}
}

// Describe asks the server what it supports and probes our rights on the first person it finds. With nobody there, what
// depends on rights is reported as missing.
func (a *Adapter) Describe(ctx context.Context) (directory.Description, error) {
	var d directory.Description
	err := a.read(ctx, "describe", func(ctx context.Context, c *ldapconn.Conn) error {
		s, err := a.server(ctx, c)
		if err != nil {
			return err
		}
		modify := slices.Contains(s.extensions, oidPasswordModify)
		d = directory.Description{Name: "ldap", Version: version, API: directory.API, Server: s.vendor, Caps: directory.Capabilities{
			Change: modify, ChangeExpired: modify,
			AtomicUnlock: true, ResetUnlocks: true,
			AtomicMustChange: true, PolicyPerUser: true,
			ViolationDetail: slices.Contains(s.controls, oidPasswordPolicy),
			Verify:          true, Marker: true,
			WritesEverywhereVisible: len(a.cfg.URLs) == 1,
			MaxConcurrentPerUser:    1, SuggestedConcurrency: a.cfg.PoolSize,
		}}
		e, err := a.sample(ctx, c)
		if err != nil || e == nil {
			return err
		}
		d.Caps.Policy, d.Caps.Marker = e.policy.Source != "", e.status.Marker != ""
		if d.Caps.ResetEnforcesQuality, err = a.enforces(ctx, c, e); err != nil {
			return err
		}
		d.Caps.ResetEnforcesHistory = d.Caps.ResetEnforcesQuality && e.policy.History > 0
		if d.Caps.Unlock, err = a.may(ctx, c, e); err != nil {
			return err
		}
		d.Caps.MustChange, err = a.may(ctx, c, e, ldap.PartialAttribute{Type: "pwdReset", Vals: []string{"TRUE"}})
		return err
	})
	if err != nil {
		return directory.Description{}, err
	}
	return d, nil
}
