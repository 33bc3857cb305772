package testserver

import (
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// SambaUser is a person to put into a domain.
type SambaUser struct {
	Login    string // sAMAccountName, of at most 20 characters; user principal name and mail are made of it where Attrs has none
	Password string // "" for none, which leaves the account disabled
	Attrs    map[string][]string
}

// UnicodePwd returns a password as the attribute unicodePwd takes it, MS-ADTS 3.1.1.3.1.5.1.
func UnicodePwd(password string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	return b.String()
}

// AddUser adds a person and returns the DN.
func (s *SambaServer) AddUser(t testing.TB, u SambaUser) string {
	t.Helper()
	dn := "CN=" + ldap.EscapeDN(u.Login) + "," + s.PeopleDN
	attrs := map[string][]string{
		"objectClass": {"user"}, "sAMAccountName": {u.Login}, "userPrincipalName": {u.Login + "@" + s.Domain},
		"mail": {u.Login + "@example.com"}, "userAccountControl": {"514"},
	}
	if u.Password != "" {
		attrs["unicodePwd"], attrs["userAccountControl"] = []string{UnicodePwd(u.Password)}, []string{"512"}
	}
	maps.Copy(attrs, u.Attrs)
	req := ldap.NewAddRequest(dn, nil)
	for name, values := range attrs {
		if len(values) > 0 {
			req.Attribute(name, values)
		}
	}
	s.asAdmin(t, "add "+dn, func(c *ldap.Conn) error { return c.Add(req) })
	return dn
}

// AddGroup adds a security group with members by DN and returns its DN.
func (s *SambaServer) AddGroup(t testing.TB, name string, members ...string) string {
	t.Helper()
	dn := "CN=" + ldap.EscapeDN(name) + "," + s.GroupsDN
	req := ldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"group"})
	req.Attribute("sAMAccountName", []string{name})
	if len(members) > 0 {
		req.Attribute("member", members)
	}
	s.asAdmin(t, "add "+dn, func(c *ldap.Conn) error { return c.Add(req) })
	return dn
}

// AddPasswordSettings adds a fine-grained password policy for people or groups by DN and returns its DN. attrs change the
// defaults: 16 characters, complexity, 3 passwords remembered, no minimum age.
func (s *SambaServer) AddPasswordSettings(t testing.TB, name string, attrs map[string]string, appliesTo ...string) string {
	t.Helper()
	dn := "CN=" + ldap.EscapeDN(name) + ",CN=Password Settings Container,CN=System," + s.BaseDN
	all := map[string]string{
		"msDS-PasswordSettingsPrecedence": "10", "msDS-PasswordReversibleEncryptionEnabled": "FALSE", "msDS-PasswordHistoryLength": "3",
		"msDS-PasswordComplexityEnabled": "TRUE", "msDS-MinimumPasswordLength": "16", "msDS-MinimumPasswordAge": "0",
		"msDS-MaximumPasswordAge": "-25920000000000", "msDS-LockoutThreshold": "5", "msDS-LockoutObservationWindow": "-18000000000",
		"msDS-LockoutDuration": "-18000000000",
	}
	maps.Copy(all, attrs)
	req := ldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"msDS-PasswordSettings"})
	for name, value := range all {
		req.Attribute(name, []string{value})
	}
	req.Attribute("msDS-PSOAppliesTo", appliesTo)
	s.asAdmin(t, "add "+dn, func(c *ldap.Conn) error { return c.Add(req) })
	return dn
}

// Set replaces one attribute of an entry, as an administrator would; without values it removes it.
func (s *SambaServer) Set(t testing.TB, dn, attr string, values ...string) {
	t.Helper()
	req := ldap.NewModifyRequest(dn, nil)
	req.Replace(attr, values)
	s.asAdmin(t, "set "+attr+" of "+dn, func(c *ldap.Conn) error { return c.Modify(req) })
}

// Harden takes from everybody who is signed in the right to read everything, which a new domain gives by membership in a group
// for systems before Windows 2000: what careful administrators do.
func (s *SambaServer) Harden(t testing.TB) {
	t.Helper()
	s.Set(t, "CN=Pre-Windows 2000 Compatible Access,CN=Builtin,"+s.BaseDN, "member")
}

// Protect shuts out what an entry's parents grant, as the directory does by itself and in time to members of protected groups
// (MS-ADTS 3.1.1.6.1): it sets SE_DACL_PROTECTED and leaves no inherited entry.
func (s *SambaServer) Protect(t testing.TB, dn string) {
	t.Helper()
	m := ldap.NewModifyRequest(dn, []ldap.Control{ldap.NewControlString("1.2.840.113556.1.4.801", true, "\x30\x03\x02\x01\x04")})
	// Revision 1, control SE_SELF_RELATIVE, SE_DACL_PROTECTED and SE_DACL_PRESENT; a list at 20 with two entries: administrators
	// everything, Authenticated Users read. MS-DTYP 2.4.6, 2.4.5, 2.4.4.2.
	m.Replace("nTSecurityDescriptor", []string{"\x01\x00\x04\x90\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00" +
		"\x04\x00\x34\x00\x02\x00\x00\x00" +
		"\x00\x00\x18\x00\xff\x01\x0f\x00\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00" +
		"\x00\x00\x14\x00\x94\x00\x02\x00\x01\x01\x00\x00\x00\x00\x00\x05\x0b\x00\x00\x00"})
	s.asAdmin(t, "protect "+dn, func(c *ldap.Conn) error { return c.Modify(m) })
}

// Rename gives an entry a new relative name, as "CN=new", and returns its new DN.
func (s *SambaServer) Rename(t testing.TB, dn, rdn string) string {
	t.Helper()
	s.asAdmin(t, "rename "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, "")) })
	return rdn + "," + s.PeopleDN
}

// Move puts an entry into another folder.
func (s *SambaServer) Move(t testing.TB, dn, folder string) {
	t.Helper()
	rdn, _, _ := strings.Cut(dn, ",")
	s.asAdmin(t, "move "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, folder)) })
}

// Get returns the values of one attribute of an entry, constructed ones included.
func (s *SambaServer) Get(t testing.TB, dn, attr string) []string {
	t.Helper()
	var values []string
	s.asAdmin(t, "read "+dn, func(c *ldap.Conn) error {
		res, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{attr}, nil))
		if err == nil && len(res.Entries) == 1 {
			values = res.Entries[0].GetEqualFoldAttributeValues(attr)
		}
		return err
	})
	return values
}

// SignIn tries a password for real, by a bind with the user principal name, and counts towards lockout. A password that
// opens nothing before it is changed counts as signed in.
func (s *SambaServer) SignIn(t testing.TB, login, password string) bool {
	t.Helper()
	c := s.Connect(t)
	defer c.Close()
	err := c.Bind(login+"@"+s.Domain, password)
	if err == nil {
		return true
	}
	l, ok := errors.AsType[*ldap.Error](err)
	if !ok || l.ResultCode != ldap.LDAPResultInvalidCredentials && l.ResultCode != ldap.ErrorEmptyPassword {
		t.Fatalf("sign in %s: %v", login, err)
	}
	return strings.Contains(l.Error(), "data 773,") || strings.Contains(l.Error(), "data 532,")
}

// LockOut lets sign-ins fail until the server locks the account.
func (s *SambaServer) LockOut(t testing.TB, login string) {
	t.Helper()
	for range 3 {
		if s.SignIn(t, login, "wrong password, surely") {
			t.Fatalf("a wrong password signs %s in", login)
		}
	}
}

// Admin returns a connection as the domain's administrator, for the test to close.
func (s *SambaServer) Admin(t testing.TB) *ldap.Conn {
	t.Helper()
	c := s.Connect(t)
	if err := c.Bind("Administrator@"+s.Domain, s.adminPassword); err != nil {
		c.Close()
		t.Fatalf("bind as administrator: %v", err)
	}
	return c
}

// Connect returns a connection that is not signed in, for the test to close.
func (s *SambaServer) Connect(t testing.TB) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(s.URL, ldap.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}),
		ldap.DialWithTLSConfig(&tls.Config{RootCAs: s.Pool, ServerName: s.Host, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatalf("connect to samba: %v\n%s", err, s.Log())
	}
	c.SetTimeout(20 * time.Second)
	return c
}

func (s *SambaServer) asAdmin(t testing.TB, what string, f func(*ldap.Conn) error) {
	t.Helper()
	c := s.Admin(t)
	defer c.Close()
	if err := f(c); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
