package activedirectory

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// policyLife is how long a policy that was read is believed.
const policyLife = 30 * time.Second

// unreadable begins the source of a policy that applies and whose rules we may not read.
const unreadable = "unreadable: "

type policyCache struct {
	sync.Mutex
	byDN map[string]cachedPolicy
}

type cachedPolicy struct {
	directory.Policy
	until time.Time
}

// policyFor reads the policy of an account: the fine-grained one that msDS-ResultantPSO names (MS-ADTS 3.1.1.4.5.36), or
// the domain's. One that applies and may not be read is no error: its source says so, and it is Partial.
func (a *Adapter) policyFor(ctx context.Context, c *ldapconn.Conn, e *entry) (directory.Policy, error) {
	facts, err := a.domain(ctx, c)
	if err != nil {
		return directory.Policy{}, err
	}
	dn, names, source := facts.root, domainPolicy, "domain "
	if pso := e.GetAttributeValue("msDS-ResultantPSO"); pso != "" {
		dn, names, source = pso, fineGrained, "password settings "
	}
	now := a.cfg.Now()
	a.known.Lock()
	cached, ok := a.known.byDN[dn]
	a.known.Unlock()
	if ok && now.Before(cached.until) {
		return cached.Policy, nil
	}
	p := directory.Policy{Source: unreadable + source + dn, Partial: true}
	res, err := c.Search(ctx, base(dn, "(objectClass=*)", names.all()...))
	switch {
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights):
	case err != nil:
		return directory.Policy{}, err
	case len(res.Entries) == 1 && res.Entries[0].GetAttributeValue(names.minLength) != "":
		p = names.read(res.Entries[0])
		p.Source = source + dn
	}
	a.known.Lock()
	defer a.known.Unlock()
	if a.known.byDN == nil || len(a.known.byDN) > 1000 {
		a.known.byDN = map[string]cachedPolicy{}
	}
	a.known.byDN[dn] = cachedPolicy{p, now.Add(policyLife)}
	return p, nil
}

// policyAttrs names the attributes of the two kinds of policy, which mean the same.
type policyAttrs struct{ minLength, history, complexity, minAge, maxAge, threshold, duration string }

var (
	domainPolicy = policyAttrs{"minPwdLength", "pwdHistoryLength", "pwdProperties", "minPwdAge", "maxPwdAge", "lockoutThreshold", "lockoutDuration"}
	fineGrained  = policyAttrs{"msDS-MinimumPasswordLength", "msDS-PasswordHistoryLength", "msDS-PasswordComplexityEnabled", "msDS-MinimumPasswordAge",
		"msDS-MaximumPasswordAge", "msDS-LockoutThreshold", "msDS-LockoutDuration"}
)

func (n policyAttrs) all() []string {
	return []string{n.minLength, n.history, n.complexity, n.minAge, n.maxAge, n.threshold, n.duration}
}

func (n policyAttrs) read(e *ldap.Entry) directory.Policy {
	number := func(attr string) int {
		v, err := strconv.Atoi(e.GetAttributeValue(attr))
		if err != nil || v < 0 {
			return 0
		}
		return v
	}
	// Intervals are negative, in units of 100 ns; none and never are 0 and the least number there is.
	span := func(attr string) time.Duration {
		v, err := strconv.ParseInt(e.GetAttributeValue(attr), 10, 64)
		if err != nil || v >= 0 || v < -int64(1<<63-1)/100 {
			return 0
		}
		return time.Duration(-v) * 100
	}
	p := directory.Policy{
		MinLength: number(n.minLength), History: number(n.history), MinAge: span(n.minAge), MaxAge: span(n.maxAge),
		Complexity: directory.ComplexityNone, LockoutThreshold: number(n.threshold),
	}
	// DOMAIN_PASSWORD_COMPLEX of pwdProperties, MS-SAMR 2.2.1.10; a boolean in a fine-grained policy.
	if strings.EqualFold(e.GetAttributeValue(n.complexity), "TRUE") || number(n.complexity)&1 != 0 {
		p.Complexity = directory.ComplexityAD
	}
	if p.LockoutThreshold > 0 {
		if p.LockoutDuration = span(n.duration); p.LockoutDuration == 0 {
			p.LockoutDuration = -1
		}
	}
	return p
}

// Policy reads the policy of an account. On Windows it is Partial: password filters on the controllers may know more rules
// and tell nobody. Returns ErrPermission when a policy applies and may not be read.
func (a *Adapter) Policy(ctx context.Context, r directory.Ref) (directory.Policy, error) {
	var p directory.Policy
	err := a.read(ctx, "policy", func(ctx context.Context, c *ldapconn.Conn) error {
		e, err := a.byRef(ctx, c, "policy", r)
		if err != nil {
			return err
		}
		if p = e.policy; strings.HasPrefix(p.Source, unreadable) {
			return ldapconn.Refuse("policy", c.Server, directory.ErrPermission)
		}
		root, err := a.root(ctx, c)
		p.Partial = p.Partial || !root.samba
		return err
	})
	return p, err
}

// broken lists the rules of a policy that a password breaks, as far as they can be worked out here. aged says whether the
// minimum age applies.
func broken(password string, e *entry, now time.Time, aged bool) []directory.Violation {
	var all []directory.Violation
	add := func(v directory.Violation) {
		v.Inferred = true
		all = append(all, v)
	}
	p := e.policy
	if length := len(utf16.Encode([]rune(password))); length < p.MinLength {
		add(directory.Violation{Code: directory.TooShort, Limit: p.MinLength})
	}
	if p.Complexity == directory.ComplexityAD {
		if classes(password) < 3 {
			add(directory.Violation{Code: directory.NotComplex})
		}
		if containsName(password, e.GetAttributeValue("sAMAccountName"), e.GetAttributeValue("displayName")) {
			add(directory.Violation{Code: directory.ContainsName})
		}
	}
	if until := e.status.PasswordChangedAt.Add(p.MinAge); aged && p.MinAge > 0 && !e.status.PasswordChangedAt.IsZero() && now.Before(until) {
		add(directory.Violation{Code: directory.TooYoung, Until: until})
	}
	return all
}

// classes counts the kinds of characters, MS-SAMR 3.1.1.7.2: upper case, lower case, digits, signs, other letters.
func classes(password string) int {
	var upper, lower, digit, sign, other int
	for _, c := range password {
		switch {
		case unicode.IsUpper(c):
			upper = 1
		case unicode.IsLower(c):
			lower = 1
		case c >= '0' && c <= '9':
			digit = 1
		case unicode.IsLetter(c):
			other = 1
		default:
			sign = 1
		}
	}
	return upper + lower + digit + sign + other
}

// containsName reports whether a password holds the account name, or a part of the display name, of three characters or
// more.
func containsName(password, account, display string) bool {
	password = fold(password)
	parts := strings.FieldsFunc(display, func(c rune) bool { return strings.ContainsRune(",.-_ #\t", c) })
	for _, part := range append(parts, account) {
		if len([]rune(part)) >= 3 && strings.Contains(password, fold(part)) {
			return true
		}
	}
	return false
}
