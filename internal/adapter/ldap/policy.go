package ldap

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// policyLife is how long a policy that was read is believed.
const policyLife = 30 * time.Second

// policy is a pwdPolicy entry, slapo-ppolicy(5).
type policy struct {
	directory.Policy
	allowUserChange bool
	checksQuality   bool // pwdCheckQuality: without it length is not enforced
}

type policyCache struct {
	sync.Mutex
	byDN map[string]cachedPolicy
}

type cachedPolicy struct {
	policy
	until time.Time
}

// policyFor reads the policy of an entry with that pwdPolicySubentry. A policy that we may not read, or none at all, is
// no error: Source is empty and Partial true.
func (a *Adapter) policyFor(ctx context.Context, c *ldapconn.Conn, subentry string) (policy, error) {
	dn := subentry
	if dn == "" {
		dn = a.cfg.DefaultPolicyDN
	}
	unknown := policy{Policy: directory.Policy{Partial: true}, allowUserChange: true}
	if dn == "" {
		return unknown, nil
	}
	now := a.cfg.Now()
	a.policies.Lock()
	cached, ok := a.policies.byDN[dn]
	a.policies.Unlock()
	if ok && now.Before(cached.until) {
		return cached.policy, nil
	}
	p := unknown
	res, err := c.Search(ctx, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights):
	case err != nil:
		return policy{}, err
	case len(res.Entries) == 1:
		p = readPolicy(res.Entries[0])
	}
	a.policies.Lock()
	defer a.policies.Unlock()
	if a.policies.byDN == nil || len(a.policies.byDN) > 1000 {
		a.policies.byDN = map[string]cachedPolicy{}
	}
	a.policies.byDN[dn] = cachedPolicy{p, now.Add(policyLife)}
	return p, nil
}

func readPolicy(e *ldap.Entry) policy {
	number := func(attr string) int {
		n, err := strconv.Atoi(e.GetEqualFoldAttributeValue(attr))
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	seconds := func(attr string) time.Duration { return time.Duration(min(number(attr), 1<<31)) * time.Second }
	is := func(attr, value string) bool { return strings.EqualFold(e.GetEqualFoldAttributeValue(attr), value) }
	p := policy{
		Policy: directory.Policy{
			Source: "pwdPolicy " + e.DN, History: number("pwdInHistory"),
			MinAge: seconds("pwdMinAge"), MaxAge: seconds("pwdMaxAge"), Complexity: directory.ComplexityNone,
		},
		allowUserChange: !is("pwdAllowUserChange", "FALSE"),
		checksQuality:   number("pwdCheckQuality") > 0,
	}
	if p.checksQuality {
		p.MinLength, p.MaxLength = number("pwdMinLength"), number("pwdMaxLength")
		if is("pwdUseCheckModule", "TRUE") || e.GetEqualFoldAttributeValue("pwdCheckModule") != "" {
			p.Complexity, p.Partial = directory.ComplexityCustom, true
		}
	}
	if is("pwdLockout", "TRUE") {
		p.LockoutThreshold = number("pwdMaxFailure")
		if p.LockoutDuration = seconds("pwdLockoutDuration"); p.LockoutDuration == 0 {
			p.LockoutDuration = -1
		}
	}
	return p
}

// Policy reads the policy of an account: its pwdPolicySubentry, or else Config.DefaultPolicyDN. Returns ErrUnsupported
// when neither is there to read.
func (a *Adapter) Policy(ctx context.Context, r directory.Ref) (directory.Policy, error) {
	var p directory.Policy
	err := a.read(ctx, "policy", func(ctx context.Context, c *ldapconn.Conn) error {
		e, err := a.byRef(ctx, c, "policy", r)
		if err != nil {
			return err
		}
		if p = e.policy.Policy; p.Source == "" {
			return ldapconn.Refuse("policy", c.Server, directory.ErrUnsupported)
		}
		return nil
	})
	return p, err
}
