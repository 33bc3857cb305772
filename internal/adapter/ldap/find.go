package ldap

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// adminLock is the pwdAccountLockedTime that means an administrator locked the account for good, slapo-ppolicy(5).
const adminLock = "000001010000Z"

// stateAttrs is what the state of an account is worked out from.
var stateAttrs = []string{
	"entryUUID", "entryCSN", "modifiersName", "pwdAccountLockedTime", "pwdReset", "pwdChangedTime", "pwdPolicySubentry", "pwdEndTime", "pwdStartTime",
}

// entry is an account as read at one moment on one server.
type entry struct {
	*ldap.Entry
	id       string
	disabled bool
	guarded  bool
	policy   policy
	status   directory.Status
}

// FindUser searches below BaseDN for the one person with the login. Control characters and invalid UTF-8 match nothing:
// string preparation (RFC 4518 §2.2) would silently drop some of them.
func (a *Adapter) FindUser(ctx context.Context, q directory.Query) (directory.User, error) {
	var u directory.User
	if q.Login == "" || len(q.Login) > 1024 || !utf8.ValidString(q.Login) || strings.ContainsFunc(q.Login, unicode.IsControl) {
		return u, ldapconn.Refuse("find", "", directory.ErrNotFound)
	}
	attrs, want := q.Attrs, q.Return
	if len(attrs) == 0 {
		attrs = a.cfg.LoginAttrs
	}
	if len(want) == 0 {
		want = a.cfg.Return
	}
	var either strings.Builder
	for _, attr := range attrs {
		if !isAttr(attr) {
			return u, ldapconn.Refuse("find", "", directory.ErrConfig)
		}
		either.WriteString("(" + attr + "=" + ldap.EscapeFilter(q.Login) + ")")
	}
	read := slices.Concat(want, a.cfg.LoginAttrs[:1])
	if a.cfg.GroupAttr != "" {
		read = append(read, a.cfg.GroupAttr)
	}
	err := a.read(ctx, "find", func(ctx context.Context, c *ldapconn.Conn) error {
		e, err := a.one(ctx, c, "find", "(|"+either.String()+")", read)
		if err != nil {
			return err
		}
		u = directory.User{
			Ref: directory.Ref{Adapter: a.cfg.Name, ID: e.id}, Login: e.GetEqualFoldAttributeValue(a.cfg.LoginAttrs[0]),
			Attrs: map[string][]string{}, Status: e.status, Guarded: e.guarded,
		}
		for _, attr := range want {
			if values := e.GetEqualFoldAttributeValues(attr); len(values) > 0 {
				u.Attrs[attr] = values
			}
		}
		u.Groups, err = a.groups(ctx, c, e)
		return err
	})
	if err != nil {
		return directory.User{}, err
	}
	return u, nil
}

// groups returns the DNs of the groups a person is in, directly.
func (a *Adapter) groups(ctx context.Context, c *ldapconn.Conn, e *entry) ([]string, error) {
	var groups []string
	if a.cfg.GroupAttr != "" {
		groups = e.GetEqualFoldAttributeValues(a.cfg.GroupAttr)
	}
	if a.cfg.GroupsBase == "" {
		return groups, nil
	}
	req := ldap.NewSearchRequest(a.cfg.GroupsBase, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"("+a.cfg.MemberAttr+"="+ldap.EscapeFilter(e.DN)+")", []string{"1.1"}, nil)
	found := make(chan *ldap.SearchResult, 1)
	if err := c.Do(ctx, func() error {
		res, err := c.LDAP.SearchWithPaging(req, 200) // RFC 2696: someone may be in more groups than one answer may have
		found <- res
		return err
	}); err != nil {
		return nil, err
	}
	for _, g := range (<-found).Entries {
		groups = append(groups, g.DN)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// byRef reads the account a ref names, wherever it has been renamed to below BaseDN.
func (a *Adapter) byRef(ctx context.Context, c *ldapconn.Conn, op string, r directory.Ref) (*entry, error) {
	if r.Adapter != a.cfg.Name || !isUUID(r.ID) {
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrNotFound)
	}
	return a.one(ctx, c, op, "(entryUUID="+r.ID+")", nil)
}

// one reads the one person that a filter matches.
func (a *Adapter) one(ctx context.Context, c *ldapconn.Conn, op, filter string, attrs []string) (*entry, error) {
	res, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		"(&"+a.cfg.UserFilter+filter+")", slices.Concat(stateAttrs, attrs), nil))
	switch {
	case err != nil:
		return nil, err
	case len(res.Entries) == 0:
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrNotFound)
	case len(res.Entries) > 1:
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrAmbiguous)
	}
	e := &entry{Entry: res.Entries[0]}
	e.id = e.GetAttributeValue("entryUUID")
	if !isUUID(e.id) {
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrPermission) // it is there and we may not read it
	}
	if e.disabled, err = a.matches(ctx, c, e.DN, a.cfg.DisabledFilter); err != nil {
		return nil, err
	}
	if e.guarded, err = a.matches(ctx, c, e.DN, a.cfg.GuardedFilter); err != nil {
		return nil, err
	}
	e.guarded = e.guarded || sameDN(e.DN, a.cfg.BindDN) // a reset of our own account would lock us out
	if e.policy, err = a.policyFor(ctx, c, e.GetAttributeValue("pwdPolicySubentry")); err != nil {
		return nil, err
	}
	e.status = e.state(c.Server, a.cfg.Now())
	return e, nil
}

// matches asks the server whether an entry fits a filter of the configuration.
func (a *Adapter) matches(ctx context.Context, c *ldapconn.Conn, dn, filter string) (bool, error) {
	if filter == "" {
		return false, nil
	}
	res, err := c.Search(ctx, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"1.1"}, nil))
	if err != nil {
		return false, err
	}
	return len(res.Entries) > 0, nil
}

// state works out what the attributes mean now.
func (e *entry) state(server string, now time.Time) directory.Status {
	st := directory.Status{
		Disabled:   e.disabled,
		MustChange: strings.EqualFold(e.GetAttributeValue("pwdReset"), "TRUE"),
		Marker:     e.GetAttributeValue("entryCSN"), Server: server,
		PasswordChangedAt:    generalizedTime(e.GetAttributeValue("pwdChangedTime")),
		PasswordNeverExpires: e.policy.Source != "" && e.policy.MaxAge == 0,
		CannotChange:         !e.policy.allowUserChange,
	}
	switch at := e.GetAttributeValue("pwdAccountLockedTime"); at {
	case "":
	case adminLock:
		st.AdminLocked = true
	default:
		since := generalizedTime(at)
		if d := e.policy.LockoutDuration; d > 0 && !since.IsZero() {
			st.LockedUntil = since.Add(d)
			st.Locked = now.Before(st.LockedUntil)
		} else {
			st.Locked = true // for good, or we cannot read for how long
		}
	}
	if end := generalizedTime(e.GetAttributeValue("pwdEndTime")); !end.IsZero() && !now.Before(end) {
		st.AccountExpired = true
	}
	if start := generalizedTime(e.GetAttributeValue("pwdStartTime")); !start.IsZero() && now.Before(start) {
		st.AccountExpired = true // not yet valid, which opens as little
	}
	if e.policy.MaxAge > 0 && !st.PasswordChangedAt.IsZero() {
		st.ExpiresAt = st.PasswordChangedAt.Add(e.policy.MaxAge)
		st.PasswordExpired = !now.Before(st.ExpiresAt)
	}
	return st
}

// Status reads the state of an account.
func (a *Adapter) Status(ctx context.Context, r directory.Ref) (directory.Status, error) {
	var st directory.Status
	err := a.read(ctx, "status", func(ctx context.Context, c *ldapconn.Conn) error {
		e, err := a.byRef(ctx, c, "status", r)
		if err == nil {
			st = e.status
		}
		return err
	})
	return st, err
}

func rootDSE(attrs ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attrs, nil)
}

// generalizedTime reads RFC 4517 §3.3.13 as OpenLDAP writes it; the zero time when it cannot.
func generalizedTime(text string) time.Time {
	for _, layout := range []string{"20060102150405Z", "20060102150405.000000Z", "200601021504Z"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 {
			return t
		}
	}
	return time.Time{}
}

// isUUID reports whether text is a UUID as RFC 4530 writes them: nothing that could mean something in a filter.
func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

func sameDN(a, b string) bool {
	x, err1 := ldap.ParseDN(a)
	y, err2 := ldap.ParseDN(b)
	return err1 == nil && err2 == nil && x.EqualFold(y)
}
