package ldap

import (
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

const first = "a First passw0rd"

// adapter returns one for a test server, closed when the test ends.
func adapter(t *testing.T, s *testserver.SlapdServer, change ...func(*Config)) *Adapter {
	t.Helper()
	cfg := Config{
		URLs: []string{s.URL}, CAs: s.Pool, ServerName: "localhost",
		BindDN: s.ServiceDN, BindPassword: directory.NewSecret(s.ServicePassword),
		BaseDN: s.PeopleDN, UserFilter: "(objectClass=inetOrgPerson)", GroupsBase: s.GroupsDN,
		DisabledFilter: "(employeeType=left)", GuardedFilter: "(employeeType=chief)",
		DefaultPolicyDN: s.DefaultPolicyDN,
	}
	for _, c := range change {
		c(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// person adds someone with the first password and finds them.
func person(t *testing.T, s *testserver.SlapdServer, a *Adapter, login string, attrs map[string][]string) directory.User {
	t.Helper()
	s.AddUser(t, testserver.SlapdUser{Login: login, Password: first, Attrs: attrs})
	return find(t, a, login)
}

func find(t *testing.T, a *Adapter, login string) directory.User {
	t.Helper()
	u, err := a.FindUser(t.Context(), directory.Query{Login: login})
	if err != nil {
		t.Fatalf("find %s: %v", login, err)
	}
	return u
}

func dn(s *testserver.SlapdServer, login string) string { return "uid=" + login + "," + s.PeopleDN }

func fixture(t *testing.T, change ...func(*testserver.SlapdConfig)) directorytest.Fixture {
	s := testserver.Slapd(t, change...)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://" + proxy.Addr} })
	add := func(login string, attrs map[string][]string) directorytest.Account {
		s.AddUser(t, testserver.SlapdUser{Login: login, Password: first, Attrs: attrs})
		return directorytest.Account{Login: login, Password: first}
	}
	for _, twin := range []string{"twin1", "twin2"} {
		s.AddUser(t, testserver.SlapdUser{Login: twin, Mail: "twins@example.com"})
	}
	f := directorytest.Fixture{
		Adapter:     a,
		User:        add("ada", nil),
		SignIn:      func(login, password string) bool { return s.SignIn(t, login, password) },
		Locked:      add("locked", nil),
		AdminLocked: add("adminlocked", map[string][]string{"pwdAccountLockedTime": {adminLock}}),
		Disabled:    directorytest.Account{Login: add("gone", map[string][]string{"employeeType": {"left"}}).Login},
		MustChange:  add("mustchange", map[string][]string{"pwdReset": {"TRUE"}}),
		Guarded:     add("chief", map[string][]string{"employeeType": {"chief"}}),
		Ambiguous:   "twins@example.com",
		StallReads:  func() func() { s.Pause(t); return func() { s.Resume(t) } },
	}
	young := add("young", map[string][]string{"pwdPolicySubentry": {"cn=strict,ou=policies," + s.BaseDN}})
	f.Refused = []directorytest.Refusal{
		{Account: f.User, New: "Shrt-9", Code: directory.TooShort},
		{Account: f.User, New: first, Code: directory.InHistory},
		{Account: young, New: "long enough for the strict policy", Code: directory.TooYoung},
	}
	fault := func(on, off func()) func() func() {
		return func() func() {
			a.beforeWrite = on
			return func() { a.beforeWrite = nil; off() }
		}
	}
	f.LoseRequest = fault(func() { proxy.LoseRequests(true) }, func() { proxy.LoseRequests(false) })
	f.LoseAnswer = fault(func() { proxy.LoseAnswers(true) }, func() { proxy.LoseAnswers(false) })
	f.Stall = fault(func() { s.Pause(t) }, func() { s.Resume(t) })
	s.LockOut(t, "locked")
	return f
}

func TestKeepsThePromisesOfADirectory(t *testing.T) {
	t.Parallel()
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture { return fixture(t) })
}

// With the privilege "manage" nothing is enforced and pwdReset sets itself: what is claimed has to differ, too.
func TestKeepsThePromisesThatDependOnPrivilegeWithThePrivilegeManage(t *testing.T) {
	t.Parallel()
	for _, p := range directorytest.Promises() {
		if !strings.Contains(p.Name, "claimed") && !strings.Contains(p.Name, "lock") {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			v := p.Judge(fixture(t, func(c *testserver.SlapdConfig) { c.ServicePrivilege = "manage" }))
			for _, failure := range v.Failures {
				t.Error(failure)
			}
		})
	}
}
