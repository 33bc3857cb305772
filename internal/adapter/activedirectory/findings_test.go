package activedirectory

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// What real domain controllers do, and what this adapter makes of it: each test was a surprise once.

func TestATimedOutWriteIsUnknownLandsLaterAndReconcilesToApplied(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { s.Pause(t) }
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := reset(ctx, a, u, second); !errors.Is(err, directory.ErrUnknown) || directory.OutcomeOf(err) != directory.Unknown {
		t.Fatalf("got %v (%v), want ErrUnknown", err, directory.OutcomeOf(err))
	}
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if got, _ := a.Reconcile(short, u.Ref, u.Status, directory.NewSecret(second)); got != directory.Unknown {
		t.Fatalf("while the server is silent: got %v, want unknown", got)
	}
	s.Resume(t)
	if got, err := a.Reconcile(t.Context(), u.Ref, u.Status, directory.NewSecret(second)); got != directory.Applied || err != nil {
		t.Fatalf("after it came back: got %v, %v, want applied", got, err)
	}
	// After a restart of ours there is no password to try, and the directory names no author: moved is no proof.
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got, err := a.Reconcile(ctx, u.Ref, u.Status, directory.Secret{}); got != directory.Unknown || err != nil {
		t.Errorf("without the password: got %v, %v, want unknown", got, err)
	}
}

func TestAWriteThatNeverArrivedStaysUnknownAndCostsNoFailedSignIn(t *testing.T) {
	s := testserver.Samba(t)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs, c.ServerName = []string{"ldaps://" + proxy.Addr}, s.Host })
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { proxy.LoseRequests(true) }
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := reset(ctx, a, u, second); directory.OutcomeOf(err) != directory.Unknown {
		t.Fatalf("got %v, want unknown: the adapter cannot know that it was lost", err)
	}
	proxy.LoseRequests(false)
	s.Set(t, dn(s, "ada"), "title", "Countess") // a write that is not one of the password
	for _, password := range []directory.Secret{{}, directory.NewSecret(second)} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if got, err := a.Reconcile(ctx, u.Ref, u.Status, password); got != directory.Unknown || err != nil {
			t.Errorf("got %v, %v, want unknown and no error", got, err)
		}
		cancel()
	}
	if got := s.Get(t, dn(s, "ada"), "badPwdCount"); len(got) > 0 && got[0] != "0" {
		t.Errorf("reconciling cost %s failed sign-ins, want none: nobody touched the password", got)
	}
	// Somebody else sets a password: now there is something to try, once.
	s.Set(t, dn(s, "ada"), "unicodePwd", testserver.UnicodePwd("set by an Administrator 1"))
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if got, err := a.Reconcile(ctx, u.Ref, u.Status, directory.NewSecret(second)); got != directory.Unknown || err != nil {
		t.Errorf("after another's write: got %v, %v, want unknown", got, err)
	}
	if got := s.Get(t, dn(s, "ada"), "badPwdCount"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("it cost %s failed sign-ins, want 1", got)
	}
}

func TestAWriteIsSentOnce(t *testing.T) {
	s := testserver.Samba(t)
	proxy, spare := testserver.NewProxy(t, s.Addr), testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) {
		c.URLs, c.ServerName = []string{"ldaps://" + proxy.Addr, "ldaps://" + spare.Addr}, s.Host
	})
	u := person(t, s, a, "ada", nil)
	resets := func() int { return strings.Count(s.Log(), "[Reset]") }
	earlier := resets()
	a.beforeWrite = func() { proxy.LoseAnswers(true) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := reset(ctx, a, u, second); directory.OutcomeOf(err) != directory.Unknown {
		t.Fatalf("got %v, want unknown", err)
	}
	if got := resets() - earlier; got != 1 {
		t.Errorf("%d writes were sent, want 1, and none to the other controller", got)
	}
	a.beforeWrite = proxy.Cut // the connection ends with the request in it
	proxy.LoseAnswers(false)
	if err := reset(t.Context(), a, u, second+"!"); directory.OutcomeOf(err) == directory.Applied {
		t.Errorf("over a cut connection: got applied")
	}
}

func TestARenamedPersonIsStillTheSameAndARefNeverReachesOthers(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { // between looking and writing
		moved := s.Rename(t, dn(s, "ada"), "CN=countess")
		s.Set(t, moved, "sAMAccountName", "countess")
		s.Set(t, moved, "userPrincipalName", "countess@"+s.Domain)
		s.AddUser(t, testserver.SambaUser{Login: "ada", Password: first}) // somebody else takes the name
	}
	if err := reset(t.Context(), a, u, second); err != nil {
		t.Fatal(err)
	}
	if !s.SignIn(t, "countess", second) || s.SignIn(t, "ada", second) {
		t.Error("the reset followed the name and not the person")
	}
}

func TestAResetDoesNotUnlockUnlessAskedAndThenInTheSameWrite(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.LockOut(t, "ada")
	if st := find(t, a, "ada").Status; !st.Locked || time.Until(st.LockedUntil).Round(time.Minute) != 30*time.Minute {
		t.Errorf("got %+v, want locked for half an hour", st)
	}
	if err := reset(t.Context(), a, u, second); err != nil || s.SignIn(t, "ada", second) {
		t.Errorf("a plain reset: %v, or it unlocked", err)
	}
	res, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second + "!"), Unlock: true, MustChange: true})
	if err != nil || !res.Unlocked || !s.SignIn(t, "ada", second+"!") {
		t.Errorf("a reset that unlocks: got %+v, %v", res, err)
	}
	if st := find(t, a, "ada").Status; !st.MustChange || st.Locked {
		t.Errorf("got %+v, want unlocked and a new password due", st)
	}
}

// The right to pwdLastSet is missing: nothing of the write may stay.
func TestAWriteHappensAsAWholeOrNotAtAll(t *testing.T) {
	s := testserver.Samba(t)
	bare := adapter(t, s, func(c *Config) { c.BindName = s.BareUPN })
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	if err := reset(t.Context(), bare, u, second); !errors.Is(err, directory.ErrPermission) {
		t.Fatalf("without any right: got %v, want ErrPermission", err)
	}
	var fix Finding
	for _, f := range bare.CheckRights(t.Context()) {
		if f.Check == ResetRight {
			fix = f
		}
	}
	grantBy(t, s, fix.Samba[0])
	_, err := bare.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), MustChange: true})
	if !errors.Is(err, directory.ErrPermission) || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("got %v, want ErrPermission", err)
	}
	if s.SignIn(t, "ada", second) || !s.SignIn(t, "ada", first) {
		t.Error("the password was written without the rest")
	}
	if err := reset(t.Context(), bare, u, second); err != nil || !s.SignIn(t, "ada", second) {
		t.Errorf("a reset that needs the one right only: %v", err)
	}
}

// grantBy runs a command of a finding as the administrator of a domain controller would.
func grantBy(t *testing.T, s *testserver.SambaServer, command string) {
	t.Helper()
	args := strings.Split(command, " ")
	if len(args) < 5 || args[0] != "samba-tool" {
		t.Fatalf("no command: %q", command)
	}
	// The shell's part: quotes, and blanks inside them.
	var words []string
	open := false
	for _, arg := range args[1:] {
		if open {
			words[len(words)-1] += " " + arg
		} else {
			words = append(words, arg)
		}
		open = open != (strings.Count(arg, `"`)%2 == 1)
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `"`, "")
	}
	s.Tool(t, words...)
}

func TestADisabledAccountIsRefusedAlthoughTheControllerWouldSetItsPassword(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.Set(t, dn(s, "ada"), "userAccountControl", "514")
	if !find(t, a, "ada").Status.Disabled {
		t.Error("found, and not Disabled: the person would be let type")
	}
	if err := reset(t.Context(), a, u, second); !errors.Is(err, directory.ErrDisabled) {
		t.Errorf("got %v, want ErrDisabled", err)
	}
	c, err := a.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.pool.Put(c)
	m := ldap.NewModifyRequest(dn(s, "ada"), nil)
	m.Replace("unicodePwd", []string{testserver.UnicodePwd(second)})
	if err := c.LDAP.Modify(m); err != nil {
		t.Errorf("the controller refuses by itself (%v): the danger is gone", err)
	}
}

func TestAProtectedAccountIsGuardedBeforeAnybodyTypes(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	if u := person(t, s, a, "chief", map[string][]string{"adminCount": {"1"}}); !u.Guarded {
		t.Error("adminCount 1 is not Guarded")
	}
	// What AdminSDHolder does, where adminCount itself cannot be read: inheritance is off, and with it our rights.
	u := person(t, s, a, "boss", nil)
	s.Protect(t, dn(s, "boss"))
	if !find(t, a, "boss").Guarded {
		t.Error("an account that inherits no rights is not Guarded")
	}
	if err := reset(t.Context(), a, u, second); !errors.Is(err, directory.ErrGuarded) {
		t.Errorf("got %v, want ErrGuarded", err)
	}
	if u := person(t, s, a, "head", map[string][]string{"employeeType": {"chief"}}); !u.Guarded {
		t.Error("the guarded filter does not guard")
	}
	// The service account would lock itself out.
	wide := adapter(t, s, func(c *Config) { c.BaseDN = s.BaseDN })
	if own := find(t, wide, "regain"); !own.Guarded {
		t.Error("the service account is not Guarded")
	}
}

func TestAWrongOldPasswordCountsTowardsTheLockout(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	for range 3 {
		if err := change(t, a, u, "Wrong old passw0rd", second); !errors.Is(err, directory.ErrWrongPassword) || directory.OutcomeOf(err) != directory.NotApplied {
			t.Fatalf("got %v, want ErrWrongPassword", err)
		}
	}
	if err := change(t, a, u, first, second); !errors.Is(err, directory.ErrLocked) {
		t.Errorf("after three of them: got %v, want ErrLocked", err)
	}
}

func TestAnExpiredPasswordIsChangedOnTheServicesConnection(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	person(t, s, a, "ada", nil)
	s.SetStored(t, dn(s, "ada"), "pwdLastSet", "132000000000000000") // 2019
	u := find(t, a, "ada")
	if !u.Status.PasswordExpired || u.Status.MustChange || u.Status.ExpiresAt.Year() != 2019 {
		t.Errorf("got %+v, want a password that expired in 2019", u.Status)
	}
	if err := a.Verify(t.Context(), u.Ref, directory.NewSecret(first)); !errors.Is(err, directory.ErrPasswordExpired) {
		t.Errorf("signing in: got %v, want ErrPasswordExpired", err)
	}
	if err := change(t, a, u, "Wrong old passw0rd", second); !errors.Is(err, directory.ErrWrongPassword) {
		t.Errorf("wrong old password: got %v", err)
	}
	if err := change(t, a, u, first, second); err != nil || a.Verify(t.Context(), u.Ref, directory.NewSecret(second)) != nil {
		t.Errorf("right old password: %v", err)
	}
	if st, err := a.Status(t.Context(), u.Ref); err != nil || st.PasswordExpired || time.Until(st.ExpiresAt) < 41*24*time.Hour {
		t.Errorf("afterwards: got %+v, %v", st, err)
	}
}

func TestWhatASignInSaysIsTold(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	for login, c := range map[string]struct {
		attrs map[string][]string
		want  error
	}{
		"good":    {nil, nil},
		"mustnow": {map[string][]string{"pwdLastSet": {"0"}}, directory.ErrMustChange},
		"gone":    {map[string][]string{"userAccountControl": {"514"}}, directory.ErrDisabled},
		"over":    {map[string][]string{"accountExpires": {"132000000000000000"}}, directory.ErrAccountExpired},
		"locked":  {nil, directory.ErrLocked},
	} {
		u := person(t, s, a, login, c.attrs)
		if login == "locked" {
			s.LockOut(t, login)
			u = find(t, a, login)
		}
		if err := a.Verify(t.Context(), u.Ref, directory.NewSecret(first)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", login, err, c.want)
		}
	}
	if u := find(t, a, "over"); !u.Status.AccountExpired {
		t.Error("an account that has expired does not say so")
	}
	if err := change(t, a, find(t, a, "over"), first, second); !errors.Is(err, directory.ErrAccountExpired) {
		t.Errorf("changing its password: got %v", err)
	}
}

func TestWhoeverMayNotChangeIsToldBeforeAndAfter(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.Tool(t, "dsacl", "set", "--objectdn="+dn(s, "ada"), "--sddl=(OD;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)(OD;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;PS)")
	if st := find(t, a, "ada").Status; !st.CannotChange {
		t.Errorf("got %+v, want CannotChange", st)
	}
	if err := change(t, a, u, first, second); !errors.Is(err, directory.ErrCannotChange) {
		t.Errorf("got %v, want ErrCannotChange", err)
	}
	if err := reset(t.Context(), a, u, second); err != nil {
		t.Errorf("a reset is another matter: %v", err)
	}
}

// Neither of the controls is there, and a critical one is ignored all the same: asking is no proof.
func TestTheHistoryIsCheckedOnAResetOnlyWhereTheControllerSaysSo(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	_, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), EnforceHistory: directory.Require})
	if !errors.Is(err, directory.ErrUnsupported) || s.SignIn(t, "ada", second) {
		t.Errorf("got %v, want ErrUnsupported and nothing written", err)
	}
	if d, err := a.Describe(t.Context()); err != nil || d.Caps.ResetEnforcesHistory {
		t.Errorf("claimed: %+v, %v", d.Caps, err)
	}
	c, err := a.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.pool.Put(c)
	for _, oid := range []string{policyHints, policyOld} {
		m := ldap.NewModifyRequest(dn(s, "ada"), []ldap.Control{ldap.NewControlString(oid, true, hinted)})
		m.Replace("unicodePwd", []string{testserver.UnicodePwd(first)})
		if err := c.LDAP.Modify(m); err != nil {
			t.Errorf("%s, critical, unsupported, and a password of the history: got %v, and expected it to be ignored", oid, err)
		}
	}
}

func TestTheRuleBehindARefusalIsNamed(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.AddUser(t, testserver.SambaUser{Login: "young", Password: first})
	s.AddPasswordSettings(t, "hour", map[string]string{"msDS-MinimumPasswordAge": "-36000000000", "msDS-MinimumPasswordLength": "12"}, dn(s, "young"))
	young := find(t, a, "young")
	one := func(err error) directory.Violation {
		t.Helper()
		v := directory.ViolationsOf(err)
		if len(v) != 1 || directory.OutcomeOf(err) != directory.NotApplied {
			t.Fatalf("got %v with %+v, want one rule and nothing written", err, v)
		}
		return v[0]
	}
	if v := one(reset(t.Context(), a, u, "Shrt-9")); v.Code != directory.TooShort || v.Limit != 10 || v.Inferred {
		t.Errorf("too short: got %+v", v)
	}
	if v := one(reset(t.Context(), a, young, "Shrt-9")); v.Code != directory.TooShort || v.Limit != 12 {
		t.Errorf("too short for the settings of one person: got %+v", v)
	}
	if v := one(reset(t.Context(), a, u, "nothing but small letters")); v.Code != directory.NotComplex {
		t.Errorf("not complex: got %+v", v)
	}
	if v := one(change(t, a, young, first, second)); v.Code != directory.TooYoung || time.Until(v.Until).Round(10*time.Minute) != time.Hour {
		t.Errorf("too young: got %+v", v)
	}
	if v := one(change(t, a, u, first, first)); v.Code != directory.InHistory || v.Limit != 5 {
		t.Errorf("the same again: got %+v", v)
	}
	if v := one(reset(t.Context(), a, u, "")); v.Code != directory.TooShort || v.Limit != 10 {
		t.Errorf("none at all: got %+v", v)
	}
}

func TestThePolicyOfThePersonIsReadAndAnUnreadableOneIsNoOther(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	want := directory.Policy{
		Source: "domain " + s.BaseDN, MinLength: 10, History: 5, MaxAge: 42 * 24 * time.Hour,
		Complexity: directory.ComplexityAD, LockoutThreshold: 3, LockoutDuration: 30 * time.Minute,
	}
	if got, err := a.Policy(t.Context(), person(t, s, a, "ada", nil).Ref); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	s.AddUser(t, testserver.SambaUser{Login: "eve", Password: first})
	group := s.AddGroup(t, "clerks", dn(s, "eve"))
	settings := s.AddPasswordSettings(t, "strict", map[string]string{"msDS-PasswordComplexityEnabled": "FALSE", "msDS-LockoutDuration": "-9223372036854775808", "msDS-LockoutObservationWindow": "-9223372036854775808"}, group)
	want = directory.Policy{
		Source: "password settings " + settings, MinLength: 16, History: 3, MaxAge: 30 * 24 * time.Hour,
		Complexity: directory.ComplexityNone, LockoutThreshold: 5, LockoutDuration: -1,
	}
	if got, err := a.Policy(t.Context(), find(t, a, "eve").Ref); err != nil || got != want {
		t.Errorf("by a group: got %+v, %v, want %+v", got, err, want)
	}
	// The domain's rules would be a lie here.
	blind := adapter(t, s, func(c *Config) { c.BindName = s.BareUPN })
	if got, err := blind.Policy(t.Context(), find(t, blind, "eve").Ref); !errors.Is(err, directory.ErrPermission) {
		t.Errorf("unreadable: got %+v, %v, want ErrPermission", got, err)
	}
}

// In a careful domain nobody reads everything: neither adminCount nor the version of a password.
func TestAHardenedDomainIsServedByTheRightsOfTheGuideAlone(t *testing.T) {
	s := testserver.Samba(t)
	s.Harden(t)
	s.AddUser(t, testserver.SambaUser{Login: "ada", Password: first})
	bare := adapter(t, s, func(c *Config) { c.BindName = s.BareUPN })
	if u, err := bare.FindUser(t.Context(), directory.Query{Login: "ada"}); !errors.Is(err, directory.ErrPermission) {
		t.Errorf("an account whose state cannot be read: got %+v, %v, want ErrPermission", u, err)
	}
	a := adapter(t, s)
	u := find(t, a, "ada")
	if u.Status.Marker == "" || u.Attrs["mail"][0] != "ada@example.com" || u.Status.ExpiresAt.IsZero() {
		t.Errorf("got %+v", u)
	}
	if res, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), IfMarker: u.Status.Marker}); err != nil || res.Marker == u.Status.Marker {
		t.Errorf("got %+v, %v", res, err)
	}
	s.AddUser(t, testserver.SambaUser{Login: "chief", Password: first, Attrs: map[string][]string{"adminCount": {"1"}}})
	s.Protect(t, dn(s, "chief"))
	if !find(t, a, "chief").Guarded {
		t.Error("a protected account whose adminCount cannot be read is not Guarded")
	}
}

func TestTheOldPasswordWorksForAsLongAsTheControllersSay(t *testing.T) {
	for minutes, want := range map[int]bool{60: true, -1: false} {
		s := testserver.Samba(t, func(c *testserver.SambaConfig) { c.OldPasswordMinutes = minutes })
		a := adapter(t, s)
		if err := reset(t.Context(), a, person(t, s, a, "ada", nil), second); err != nil {
			t.Fatal(err)
		}
		if got := s.SignIn(t, "ada", first); got != want {
			t.Errorf("%d minutes: the old password signs in is %v, want %v", minutes, got, want)
		}
	}
}

func TestAWriteWaitsForItsAnswerEvenIfNobodyElseDoes(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	a.beforeWrite = func() {
		s.Pause(t)
		time.AfterFunc(50*time.Millisecond, cancel) // the browser goes away
		time.AfterFunc(150*time.Millisecond, func() { s.Resume(t) })
	}
	if err := reset(ctx, a, u, second); err != nil {
		t.Fatalf("got %v, want applied", err)
	}
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	s := testserver.Samba(t)
	before := runtime.NumGoroutine()
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { s.Pause(t) }
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		reset(ctx, a, u, second)
		a.Health(ctx)
		cancel()
		s.Resume(t)
	}
	a.beforeWrite = nil
	a.Verify(t.Context(), u.Ref, directory.NewSecret(second))
	a.Close()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}
