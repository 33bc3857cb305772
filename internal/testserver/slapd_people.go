package testserver

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// SlapdUser is a person to put into a directory.
type SlapdUser struct {
	Login    string // uid; also the first part of the mail address when Mail is empty
	Password string // "" for none
	Mail     string
	Attrs    map[string][]string // more attributes, operational ones included: pwdPolicySubentry, pwdReset, pwdChangedTime
}

// AddUser adds a person and returns the DN.
func (s *SlapdServer) AddUser(t testing.TB, u SlapdUser) string {
	t.Helper()
	dn := "uid=" + ldap.EscapeDN(u.Login) + "," + s.PeopleDN
	if u.Mail == "" {
		u.Mail = "x@example.com"
		if isASCII(u.Login) { // mail is an IA5String
			u.Mail = u.Login + "@example.com"
		}
	}
	// The relax control lets the root account write what the server otherwise keeps to itself, as pwdChangedTime.
	req := ldap.NewAddRequest(dn, []ldap.Control{ldap.NewControlString("1.3.6.1.4.1.4203.666.5.12", true, "")})
	req.Attribute("objectClass", []string{"inetOrgPerson"})
	req.Attribute("uid", []string{u.Login})
	req.Attribute("cn", []string{"Person " + u.Login})
	req.Attribute("sn", []string{u.Login})
	req.Attribute("mail", []string{u.Mail})
	if u.Password != "" {
		req.Attribute("userPassword", []string{SSHA(u.Password)})
	}
	for name, values := range u.Attrs {
		req.Attribute(name, values)
	}
	c := s.Root(t)
	defer c.Close()
	if err := c.Add(req); err != nil {
		t.Fatalf("add %s: %v", dn, err)
	}
	return dn
}

// AddGroup adds a groupOfNames with members by DN and returns its DN.
func (s *SlapdServer) AddGroup(t testing.TB, name string, members ...string) string {
	t.Helper()
	dn := "cn=" + ldap.EscapeDN(name) + "," + s.GroupsDN
	req := ldap.NewAddRequest(dn, nil)
	req.Attribute("objectClass", []string{"groupOfNames"})
	req.Attribute("cn", []string{name})
	req.Attribute("member", members)
	c := s.Root(t)
	defer c.Close()
	if err := c.Add(req); err != nil {
		t.Fatalf("add %s: %v", dn, err)
	}
	return dn
}

// Set replaces one attribute of an entry, as an administrator would; without values it removes it.
func (s *SlapdServer) Set(t testing.TB, dn, attr string, values ...string) {
	t.Helper()
	c := s.Root(t)
	defer c.Close()
	req := ldap.NewModifyRequest(dn, nil)
	req.Replace(attr, values)
	if err := c.Modify(req); err != nil {
		t.Fatalf("set %s of %s: %v", attr, dn, err)
	}
}

// Rename gives an entry a new relative name, as "uid=new", and returns its new DN.
func (s *SlapdServer) Rename(t testing.TB, dn, rdn string) string {
	t.Helper()
	c := s.Root(t)
	defer c.Close()
	if err := c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, "")); err != nil {
		t.Fatalf("rename %s: %v", dn, err)
	}
	return rdn + "," + s.PeopleDN
}

// Get returns the values of one attribute of an entry, operational ones included.
func (s *SlapdServer) Get(t testing.TB, dn, attr string) []string {
	t.Helper()
	c := s.Root(t)
	defer c.Close()
	res, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{attr}, nil))
	if err != nil {
		t.Fatalf("read %s: %v", dn, err)
	}
	if len(res.Entries) == 0 {
		return nil
	}
	return res.Entries[0].GetAttributeValues(attr)
}

// SignIn tries a password for real, by a bind, and counts towards lockout. A bind that opens nothing before the
// password is changed counts as signed in.
func (s *SlapdServer) SignIn(t testing.TB, login, password string) bool {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	err := c.Bind("uid="+ldap.EscapeDN(login)+","+s.PeopleDN, password)
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
		t.Fatalf("sign in %s: %v", login, err)
	}
	return err == nil
}

// LockOut lets sign-ins fail until the server locks the account.
func (s *SlapdServer) LockOut(t testing.TB, login string) {
	t.Helper()
	for range 3 {
		if s.SignIn(t, login, "wrong password, surely") {
			t.Fatalf("a wrong password signs %s in", login)
		}
	}
}

// Root returns a connection as the directory's root, for the test to close.
func (s *SlapdServer) Root(t testing.TB) *ldap.Conn {
	t.Helper()
	c := s.dial(t)
	if err := c.Bind(s.RootDN, s.rootSecret); err != nil {
		c.Close()
		t.Fatalf("bind as root: %v", err)
	}
	return c
}

func (s *SlapdServer) dial(t testing.TB) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(s.URL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: s.Pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatalf("connect to slapd: %v\n%s", err, s.Log())
	}
	c.SetTimeout(10 * time.Second)
	return c
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 || text[i] <= ' ' {
			return false
		}
	}
	return true
}
