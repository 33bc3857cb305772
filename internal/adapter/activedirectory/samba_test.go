package activedirectory

import (
	"context"
	"strconv"
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

// fixtures returns what opens fixtures on one server: each has people of its own.
func fixtures(t *testing.T) func(*testing.T) directorytest.Fixture {
	s := testserver.Samba(t)
	n := 0
	return func(t *testing.T) directorytest.Fixture {
		n++
		return fixture(t, s, strconv.Itoa(n))
	}
}

func fixture(t *testing.T, s *testserver.SambaServer, suffix string) directorytest.Fixture {
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs, c.ServerName = []string{"ldaps://" + proxy.Addr}, s.Host })
	add := func(login string, attrs map[string][]string) directorytest.Account {
		s.AddUser(t, testserver.SambaUser{Login: login + suffix, Password: first, Attrs: attrs})
		return directorytest.Account{Login: login + suffix, Password: first}
	}
	for _, twin := range []string{"twin-a-", "twin-b-"} {
		add(twin, map[string][]string{"mail": {"twins" + suffix + "@example.com"}})
	}
	f := directorytest.Fixture{
		Adapter:    a,
		User:       add("ada", nil),
		SignIn:     func(login, password string) bool { return s.SignIn(t, login, password) },
		Locked:     add("locked", nil),
		Disabled:   add("gone", map[string][]string{"userAccountControl": {"514"}}),
		MustChange: add("mustchange", map[string][]string{"pwdLastSet": {"0"}}),
		Guarded:    add("chief", map[string][]string{"adminCount": {"1"}}),
		Ambiguous:  "twins" + suffix + "@example.com",
		StallReads: func() func() { s.Pause(t); return func() { s.Resume(t) } },
		Exceptions: map[string]string{
			directorytest.OldPasswordStops:                                "Active Directory takes the password before the last at a sign-in for another hour",
			"16 resets of one account at once leave exactly one password": "the last password but one signs in for another hour, too",
		},
	}
	aged, long := add("aged", nil), add("long", nil)
	s.AddPasswordSettings(t, "aged"+suffix, map[string]string{"msDS-MinimumPasswordAge": "-36000000000", "msDS-MinimumPasswordLength": "10"}, dn(s, aged.Login))
	s.AddPasswordSettings(t, "long"+suffix, map[string]string{"msDS-MinimumPasswordLength": "30"}, dn(s, long.Login))
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
	s.LockOut(t, f.Locked.Login)
	return f
}

func TestKeepsThePromisesOfADirectory(t *testing.T) {
	directorytest.Run(t, fixtures(t))
}
