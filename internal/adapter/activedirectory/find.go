package activedirectory

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// inChain is LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS 3.1.1.3.4.4.3: membership through any number of groups.
const inChain = "1.2.840.113556.1.4.1941"

// FindUser searches below BaseDN for the one person with the login. DOMAIN\login looks for the sAMAccountName alone, and
// objectGUID may be one of the attributes. The account that the controller found must carry the name by our own folding,
// too: a controller drops characters when it prepares a string (RFC 4518 §2.2) and may take é for e.
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
	for _, attr := range slices.Concat(attrs, want) {
		if !isAttr(attr) {
			return u, ldapconn.Refuse("find", "", directory.ErrConfig)
		}
	}
	err := a.read(ctx, "find", func(ctx context.Context, c *ldapconn.Conn) error {
		id, err := a.search(ctx, c, q.Login, attrs)
		if err != nil {
			return err
		}
		e, err := a.byRef(ctx, c, "find", directory.Ref{Adapter: a.cfg.Name, ID: id}, slices.Concat(want, a.cfg.LoginAttrs[:1])...)
		if err != nil {
			return err
		}
		u = directory.User{
			Ref: directory.Ref{Adapter: a.cfg.Name, ID: e.id}, Login: e.GetEqualFoldAttributeValue(a.cfg.LoginAttrs[0]),
			Attrs: map[string][]string{}, Status: e.status, Guarded: e.guarded,
		}
		if u.Login == "" {
			u.Login = e.GetAttributeValue("sAMAccountName")
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

// search returns the objectGUID of the one person with a login.
func (a *Adapter) search(ctx context.Context, c *ldapconn.Conn, login string, attrs []string) (string, error) {
	if domain, name, ok := strings.Cut(login, `\`); ok {
		facts, err := a.domain(ctx, c)
		if err != nil {
			return "", err
		}
		if facts.netBIOS == "" || fold(domain) != fold(facts.netBIOS) || !slices.ContainsFunc(attrs, func(attr string) bool { return strings.EqualFold(attr, "sAMAccountName") }) {
			return "", ldapconn.Refuse("find", c.Server, directory.ErrNotFound)
		}
		login, attrs = name, []string{"sAMAccountName"}
	}
	var either strings.Builder
	for _, attr := range attrs {
		value := ldap.EscapeFilter(login)
		if strings.EqualFold(attr, "objectGUID") {
			value = guidFilter(login)
		}
		if value != "" {
			either.WriteString("(" + attr + "=" + value + ")")
		}
	}
	if either.Len() == 0 {
		return "", ldapconn.Refuse("find", c.Server, directory.ErrNotFound)
	}
	// Searching a domain's root gives references to other partitions as well; they are not followed.
	res, err := c.Search(ctx, ldap.NewSearchRequest(a.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		"(&"+a.cfg.UserFilter+"(|"+either.String()+"))", append([]string{"objectGUID"}, attrs...), nil))
	switch {
	case err != nil:
		return "", err
	case len(res.Entries) == 0:
		return "", ldapconn.Refuse("find", c.Server, directory.ErrNotFound)
	case len(res.Entries) > 1:
		return "", ldapconn.Refuse("find", c.Server, directory.ErrAmbiguous)
	}
	e := res.Entries[0]
	id := guidText(e.GetRawAttributeValue("objectGUID"))
	if id == "" {
		return "", ldapconn.Refuse("find", c.Server, directory.ErrPermission) // it is there and we may not read it
	}
	for _, attr := range attrs {
		if strings.EqualFold(attr, "objectGUID") && guidFilter(login) == guidFilter(id) ||
			slices.ContainsFunc(e.GetEqualFoldAttributeValues(attr), func(value string) bool { return fold(value) == fold(login) }) {
			return id, nil
		}
	}
	return "", ldapconn.Refuse("find", c.Server, directory.ErrNotFound)
}

// fold is our own idea of when two names are one: composed alike, and case does not matter.
func fold(text string) string { return norm.NFC.String(cases.Fold().String(norm.NFC.String(text))) }

// groups returns the DNs of the groups a person is in, directly or through others.
func (a *Adapter) groups(ctx context.Context, c *ldapconn.Conn, e *entry) ([]string, error) {
	if a.cfg.GroupsBase == "" {
		return nil, nil
	}
	req := ldap.NewSearchRequest(a.cfg.GroupsBase, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(member:"+inChain+":="+ldap.EscapeFilter(e.DN)+")", []string{"1.1"}, nil)
	found := make(chan *ldap.SearchResult, 1)
	if err := c.Do(ctx, func() error {
		res, err := c.LDAP.SearchWithPaging(req, 500) // RFC 2696: a controller answers 1000 at most
		found <- res
		return err
	}); err != nil {
		return nil, err
	}
	var groups []string
	for _, g := range (<-found).Entries {
		groups = append(groups, g.DN)
	}
	slices.Sort(groups)
	return groups, nil
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
