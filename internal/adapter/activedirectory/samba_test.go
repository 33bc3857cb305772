package activedirectory

import (
	"context"
	"testing"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

const (
	first  = "a First passw0rd"
	second = "a Second passw0rd"
)

// adapter returns one for a test server, closed when the test ends.
func adapter(t testing.TB, s *testserver.SambaServer, change ...func(*Config)) *Adapter {
	t.Helper()
	cfg := Config{
		URLs: []string{s.URL}, CAs: s.Pool, BindName: s.ServiceUPN, BindPassword: directory.NewSecret(s.ServicePassword),
		BaseDN: s.PeopleDN, GroupsBase: s.GroupsDN, GuardedFilter: "(employeeType=chief)",
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
func person(t testing.TB, s *testserver.SambaServer, a *Adapter, login string, attrs map[string][]string) directory.User {
	t.Helper()
	s.AddUser(t, testserver.SambaUser{Login: login, Password: first, Attrs: attrs})
	return find(t, a, login)
}

func find(t testing.TB, a *Adapter, login string) directory.User {
	t.Helper()
	u, err := a.FindUser(t.Context(), directory.Query{Login: login})
	if err != nil {
		t.Fatalf("find %s: %v", login, err)
	}
	return u
}

func reset(ctx context.Context, a *Adapter, u directory.User, password string) error {
	_, err := a.Reset(ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(password)})
	return err
}

func change(t testing.TB, a *Adapter, u directory.User, old, password string) error {
	t.Helper()
	_, err := a.Change(t.Context(), directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(old), New: directory.NewSecret(password)})
	return err
}

func dn(s *testserver.SambaServer, login string) string { return "CN=" + login + "," + s.PeopleDN }

func fixture(t *testing.T) directorytest.Fixture {
	s := testserver.Samba(t)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs, c.ServerName = []string{"ldaps://" + proxy.Addr}, s.Host })
	add := func(login string, attrs map[string][]string) directorytest.Account {
		s.AddUser(t, testserver.SambaUser{Login: login, Password: first, Attrs: attrs})
		return directorytest.Account{Login: login, Password: first}
	}
	for _, twin := range []string{"twin1", "twin2"} {
		add(twin, map[string][]string{"mail": {"twins@example.com"}})
	}
	f := directorytest.Fixture{
		Adapter:    a,
		User:       add("ada", nil),
		SignIn:     func(login, password string) bool { return s.SignIn(t, login, password) },
		Locked:     add("locked", nil),
		Disabled:   add("gone", map[string][]string{"userAccountControl": {"514"}}),
		MustChange: add("mustchange", map[string][]string{"pwdLastSet": {"0"}}),
		Guarded:    add("chief", map[string][]string{"adminCount": {"1"}}),
		Ambiguous:  "twins@example.com",
		StallReads: func() func() { s.Pause(t); return func() { s.Resume(t) } },
		Exceptions: map[string]string{
			directorytest.OldPasswordStops: "Active Directory takes the password before the last at a sign-in for another hour",
			"16 resets of one account at once leave exactly one password": "the last password but one signs in for another hour, too",
		},
	}
	aged, long := add("aged", nil), add("long", nil)
	s.AddPasswordSettings(t, "aged", map[string]string{"msDS-MinimumPasswordAge": "-36000000000", "msDS-MinimumPasswordLength": "10"}, dn(s, "aged"))
	s.AddPasswordSettings(t, "long", map[string]string{"msDS-MinimumPasswordLength": "30"}, dn(s, "long"))
	f.Refused = []directorytest.Refusal{
		{Account: f.User, New: "Shrt-9", Code: directory.TooShort},
		{Account: f.User, New: "nothing but small letters", Code: directory.NotComplex},
		{Account: f.User, New: first, Code: directory.InHistory, ByChange: true},
		{Account: long, New: "Not 30 characters", Code: directory.TooShort},
		{Account: aged, New: second, Code: directory.TooYoung, ByChange: true},
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
	directorytest.Run(t, fixture)
}
