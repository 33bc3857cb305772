package activedirectory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// version is that of the adapter.
const version = "1.0"

// rootEntry is what a controller says of itself.
type rootEntry struct {
	vendor string
	samba  bool
	hints  string // the control that makes it check the history on a reset; "" none
	config string // DN of the configuration partition
	until  time.Time
}

// root reads what the controller at the other end says of itself, and believes it for as long as a choice of a controller
// holds.
func (a *Adapter) root(ctx context.Context, c *ldapconn.Conn) (rootEntry, error) {
	now := a.cfg.Now()
	a.factsLock.Lock()
	known, ok := a.roots[c.Server]
	a.factsLock.Unlock()
	if ok && now.Before(known.until) {
		return known, nil
	}
	res, err := c.Search(ctx, rootDSE("vendorName", "supportedControl", "configurationNamingContext", "domainControllerFunctionality"))
	if err != nil {
		return rootEntry{}, err
	}
	if len(res.Entries) != 1 {
		return rootEntry{}, ldapconn.Refuse("describe", c.Server, directory.ErrPermission)
	}
	e := res.Entries[0]
	r := rootEntry{
		vendor: e.GetAttributeValue("vendorName"), samba: strings.HasPrefix(e.GetAttributeValue("vendorName"), "Samba"),
		config: e.GetAttributeValue("configurationNamingContext"), until: now.Add(settle),
	}
	if r.vendor == "" {
		r.vendor = "Active Directory"
	}
	if level := e.GetAttributeValue("domainControllerFunctionality"); level != "" {
		r.vendor += ", functional level " + level
	}
	for _, oid := range []string{policyHints, policyOld} {
		if slices.Contains(e.GetAttributeValues("supportedControl"), oid) {
			r.hints = oid
			break
		}
	}
	a.factsLock.Lock()
	defer a.factsLock.Unlock()
	if a.roots == nil || len(a.roots) > 2*mostControllers {
		a.roots = map[string]rootEntry{}
	}
	a.roots[c.Server] = r
	return r, nil
}

// sample returns someone to probe our rights on: any person whom we may touch, or nil.
func (a *Adapter) sample(ctx context.Context, c *ldapconn.Conn) (*entry, error) {
	// 2 is the bit of a disabled account, MS-ADTS 3.1.1.3.4.4.1.
	filter := "(!(adminCount=1))(!(userAccountControl:1.2.840.113556.1.4.803:=2))"
	if a.cfg.GuardedFilter != "" {
		filter += "(!" + a.cfg.GuardedFilter + ")"
	}
	res, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 3, 0, false,
		"(&"+a.cfg.UserFilter+filter+")", []string{"objectGUID"}, nil))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return nil, err
	}
	for _, found := range res.Entries {
		id := guidText(found.GetRawAttributeValue("objectGUID"))
		if e, err := a.byRef(ctx, c, "describe", directory.Ref{Adapter: a.cfg.Name, ID: id}, "allowedAttributesEffective"); err != nil || !e.guarded {
			return e, err
		}
	}
	return nil, nil
}

// mayWrite reports whether we may write an attribute of an account, as the controller has worked it out.
func (e *entry) mayWrite(attr string) bool {
	return slices.ContainsFunc(e.GetAttributeValues("allowedAttributesEffective"), func(a string) bool { return strings.EqualFold(a, attr) })
}

// mayReset finds out whether we have the right Reset Password on an account, which no attribute tells, and cannot change
// anything by it: the value is one octet, which is no password in any encoding. The access check comes before the look at
// the value (MS-ADTS 3.1.1.5.3.1), so that the answer is 50 without the right and 53 with it.
func (a *Adapter) mayReset(ctx context.Context, c *ldapconn.Conn, e *entry) (bool, error) {
	m := modify(e)
	m.Replace("unicodePwd", []string{"x"})
	err := c.Do(ctx, func() error { return c.LDAP.Modify(m) })
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation):
		return true, nil
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInsufficientAccessRights):
		return false, nil
	}
	return false, err
}

// Describe asks the controller what it supports and probes our rights on the first person it finds. With nobody there,
// what depends on rights is reported as missing.
func (a *Adapter) Describe(ctx context.Context) (directory.Description, error) {
	var d directory.Description
	err := a.read(ctx, "describe", func(ctx context.Context, c *ldapconn.Conn) error {
		root, err := a.root(ctx, c)
		if err != nil {
			return err
		}
		d = directory.Description{Name: "activedirectory", Version: version, API: directory.API, Server: root.vendor, Caps: directory.Capabilities{
			Change: true, ChangeExpired: true,
			AtomicUnlock: true, AtomicMustChange: true,
			PolicyPerUser: true, ResetEnforcesQuality: true, ResetEnforcesHistory: root.hints != "",
			ViolationDetail: root.samba, // in words; Windows has one code for every rule
			NestedGroups:    a.cfg.GroupsBase != "",
			Verify:          true,
			// What was written is elsewhere only after replication, unless there is no elsewhere.
			WritesEverywhereVisible: false,
			MaxConcurrentPerUser:    1, SuggestedConcurrency: a.cfg.PoolSize,
		}}
		all, err := c.Search(ctx, ldap.NewSearchRequest("CN=Sites,"+root.config, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "(objectClass=nTDSDSA)", []string{"1.1"}, nil))
		if err == nil && len(all.Entries) == 1 {
			d.Caps.WritesEverywhereVisible = true
		} else if err != nil && !ldapconn.IsAnswer(err) {
			return err
		}
		e, err := a.sample(ctx, c)
		if err != nil || e == nil {
			return err
		}
		d.Caps.Policy, d.Caps.Marker = !strings.HasPrefix(e.policy.Source, unreadable), e.status.Marker != ""
		d.Caps.ResetEnforcesHistory = d.Caps.ResetEnforcesHistory && e.policy.History > 0
		d.Caps.Unlock, d.Caps.MustChange = e.mayWrite("lockoutTime"), e.mayWrite("pwdLastSet")
		return nil
	})
	if err != nil {
		return directory.Description{}, err
	}
	return d, nil
}
