package ldap

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// What real servers do, and what this adapter makes of it: each test was a surprise once.

const second = "a Second passw0rd"

func reset(ctx context.Context, a *Adapter, u directory.User, password string) error {
	_, err := a.Reset(ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(password)})
	return err
}

func TestATimedOutWriteIsUnknownLandsLaterAndReconcilesToApplied(t *testing.T) {
	for name, password := range map[string]directory.Secret{"with the password": directory.NewSecret(second), "after a restart of ours, without it": {}} {
		t.Run(name, func(t *testing.T) {
			s := testserver.Slapd(t)
			a := adapter(t, s)
			// pwdChangedTime counts seconds: without the password a change within the second of the last one is no proof.
			yesterday := time.Now().UTC().Add(-24 * time.Hour).Format("20060102150405Z")
			u := person(t, s, a, "ada", map[string][]string{"pwdChangedTime": {yesterday}})
			before := u.Status
			a.beforeWrite = func() { s.Pause(t) }
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := reset(ctx, a, u, second)
			if !errors.Is(err, directory.ErrUnknown) || directory.OutcomeOf(err) != directory.Unknown {
				t.Fatalf("got %v (%v), want ErrUnknown", err, directory.OutcomeOf(err))
			}
			short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer stop()
			if got, _ := a.Reconcile(short, u.Ref, before, password); got != directory.Unknown {
				t.Fatalf("while the server is silent: got %v, want unknown", got)
			}
			s.Resume(t)
			if got, err := a.Reconcile(t.Context(), u.Ref, before, password); got != directory.Applied || err != nil {
				t.Fatalf("after it came back: got %v, %v, want applied", got, err)
			}
			if !s.SignIn(t, "ada", second) || s.SignIn(t, "ada", first) {
				t.Fatal("the late write did not land")
			}
		})
	}
}

func TestAWriteThatNeverArrivedStaysUnknown(t *testing.T) {
	s := testserver.Slapd(t)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://" + proxy.Addr} })
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { proxy.LoseRequests(true) }
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := reset(ctx, a, u, second); directory.OutcomeOf(err) != directory.Unknown {
		t.Fatalf("got %v, want unknown: the adapter cannot know that it was lost", err)
	}
	proxy.LoseRequests(false)
	// Someone else's change of another attribute moves the marker and proves nothing.
	s.Set(t, dn(s, "ada"), "title", "Countess")
	for _, password := range []directory.Secret{{}, directory.NewSecret(second)} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if got, err := a.Reconcile(ctx, u.Ref, u.Status, password); got != directory.Unknown || err != nil {
			t.Errorf("got %v, %v, want unknown and no error", got, err)
		}
		cancel()
	}
	if got := len(s.Get(t, dn(s, "ada"), "pwdFailureTime")); got != 0 {
		t.Errorf("reconciling cost %d failed sign-ins, want none: nobody touched the password", got)
	}
}

func TestReconcilingTriesAWrongPasswordOnceHoweverLongItLooks(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", map[string][]string{"pwdChangedTime": {"20260101000000Z"}})
	s.Set(t, dn(s, "ada"), "userPassword", testserver.SSHA("set by an administrator"))
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	if got, err := a.Reconcile(ctx, u.Ref, u.Status, directory.NewSecret(second)); got != directory.Unknown || err != nil {
		t.Errorf("got %v, %v, want unknown and no error", got, err)
	}
	if got := len(s.Get(t, dn(s, "ada"), "pwdFailureTime")); got != 1 {
		t.Errorf("it cost %d failed sign-ins, want 1", got)
	}
	if got, _ := a.Reconcile(t.Context(), u.Ref, u.Status, directory.NewSecret("set by an administrator")); got != directory.Applied {
		t.Errorf("a password that signs in: got %v, want applied", got)
	}
}

func TestAWriteIsSentOnceAndARepetitionWouldBeRefusedByTheHistory(t *testing.T) {
	s := testserver.Slapd(t)
	proxy := testserver.NewProxy(t, s.Addr)
	a := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://" + proxy.Addr} })
	u := person(t, s, a, "ada", nil)
	earlier := strings.Count(s.Log(), " MOD dn=")
	a.beforeWrite = func() { proxy.LoseAnswers(true) }
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := reset(ctx, a, u, second); directory.OutcomeOf(err) != directory.Unknown {
		t.Fatalf("got %v, want unknown", err)
	}
	if got := strings.Count(s.Log(), " MOD dn=") - earlier; got != 1 {
		t.Errorf("%d writes were sent, want 1", got)
	}
	a.beforeWrite = nil
	proxy.LoseAnswers(false)
	err := reset(t.Context(), a, u, second)
	if v := directory.ViolationsOf(err); len(v) != 1 || v[0].Code != directory.InHistory {
		t.Errorf("a repetition: got %v, want the history to refuse it", err)
	}
	if err := a.Verify(t.Context(), u.Ref, directory.NewSecret(second)); err != nil {
		t.Errorf("and yet it is the password: %v", err)
	}
}

func TestAnAdministratorsLockSetBetweenLookingAndWritingIsNotLifted(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	lock := func() { s.Set(t, dn(s, "ada"), "pwdAccountLockedTime", adminLock) }
	for name, write := range map[string]func() error{
		"reset":          func() error { return reset(t.Context(), a, u, second) },
		"unlock":         func() error { _, err := a.Unlock(t.Context(), u.Ref); return err },
		"require change": func() error { _, err := a.RequireChange(t.Context(), u.Ref, true); return err },
	} {
		s.Set(t, dn(s, "ada"), "pwdAccountLockedTime")
		a.beforeWrite = lock
		err := write()
		if !errors.Is(err, directory.ErrAdminLocked) || directory.OutcomeOf(err) != directory.NotApplied {
			t.Errorf("%s: got %v, want ErrAdminLocked", name, err)
		}
		if got := s.Get(t, dn(s, "ada"), "pwdAccountLockedTime"); len(got) != 1 || got[0] != adminLock {
			t.Errorf("%s: the lock is now %v", name, got)
		}
	}
	// The danger is real: without the assertion the server lifts the lock and says nothing.
	c, err := a.pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.pool.Put(c)
	m := ldap.NewModifyRequest(dn(s, "ada"), nil)
	m.Replace("userPassword", []string{second})
	if err := c.LDAP.Modify(m); err != nil {
		t.Fatal(err)
	}
	if got := s.Get(t, dn(s, "ada"), "pwdAccountLockedTime"); len(got) != 0 {
		t.Fatalf("this server keeps the lock %v by itself: the assertion may be unnecessary", got)
	}
}

func TestAMarkerThatMovesBetweenLookingAndWritingIsAConflict(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	a.beforeWrite = func() { s.Set(t, dn(s, "ada"), "userPassword", testserver.SSHA("set by someone else")) }
	_, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), IfMarker: u.Status.Marker})
	if !errors.Is(err, directory.ErrConflict) || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if !s.SignIn(t, "ada", "set by someone else") {
		t.Error("the other write is gone")
	}
}

func TestThePrivilegeOfTheServiceDecidesWhetherThePolicyApplies(t *testing.T) {
	for privilege, enforced := range map[string]bool{"=xw": true, "write": true, "manage": false} {
		t.Run(privilege, func(t *testing.T) {
			s := testserver.Slapd(t, func(c *testserver.SlapdConfig) { c.ServicePrivilege = privilege })
			a := adapter(t, s)
			u := person(t, s, a, "ada", nil)
			d, err := a.Describe(t.Context())
			if err != nil || d.Caps.ResetEnforcesQuality != enforced || d.Caps.ResetEnforcesHistory != enforced {
				t.Errorf("described as %+v (%v), want enforcement %v", d.Caps, err, enforced)
			}
			if !s.SignIn(t, "ada", first) {
				t.Fatal("describing changed the password")
			}
			_, err = a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), EnforceHistory: directory.Require})
			if enforced && err != nil || !enforced && !errors.Is(err, directory.ErrUnsupported) {
				t.Errorf("history required: got %v", err)
			}
			if got := s.SignIn(t, "ada", second); got != enforced {
				t.Errorf("history required: written %v, want %v", got, enforced)
			}
			err = reset(t.Context(), a, u, "short")
			if enforced != errors.Is(err, directory.ErrPolicy) {
				t.Errorf("a short password: got %v", err)
			}
			if st, err := a.Status(t.Context(), u.Ref); err != nil || st.MustChange {
				t.Errorf("nobody asked for a change at next sign-in: %+v, %v", st, err)
			}
		})
	}
}

func TestAnExpiredPasswordIsChangedOnTheServicesConnection(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", map[string][]string{"pwdChangedTime": {"20200101000000Z"}})
	if !u.Status.PasswordExpired || u.Status.ExpiresAt.IsZero() {
		t.Errorf("got %+v, want an expired password", u.Status)
	}
	if err := a.Verify(t.Context(), u.Ref, directory.NewSecret(first)); !errors.Is(err, directory.ErrPasswordExpired) {
		t.Fatalf("signing in: got %v, want ErrPasswordExpired", err)
	}
	change := func(old, password string) error {
		_, err := a.Change(t.Context(), directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(old), New: directory.NewSecret(password)})
		return err
	}
	if err := change("wrong", second); !errors.Is(err, directory.ErrWrongPassword) || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("wrong old password: got %v", err)
	}
	if v := directory.ViolationsOf(change(first, "short")); len(v) != 1 || v[0].Code != directory.TooShort || v[0].Limit != 10 {
		t.Errorf("short new password: got %+v", v)
	}
	if err := change(first, ""); !errors.Is(err, directory.ErrPolicy) {
		t.Errorf("no new password: got %v; the server would have made one up", err)
	}
	if err := change(first, second); err != nil {
		t.Fatalf("right old password: %v", err)
	}
	if !s.SignIn(t, "ada", second) {
		t.Error("the new password does not sign in")
	}
	if got := len(s.Get(t, dn(s, "ada"), "pwdFailureTime")); got != 0 {
		t.Errorf("got %d failures after a success", got)
	}
}

// Wrong old passwords are not counted by the server here: whoever calls Change has to limit the tries.
func TestAWrongOldPasswordDoesNotCountTowardsTheLockout(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	for range 5 {
		if _, err := a.Change(t.Context(), directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret("wrong"), New: directory.NewSecret(second)}); !errors.Is(err, directory.ErrWrongPassword) {
			t.Fatalf("got %v, want ErrWrongPassword", err)
		}
	}
	if !s.SignIn(t, "ada", first) {
		t.Error("five wrong old passwords locked the account: the server counts them after all")
	}
}

func TestResetsOfOneAccountAtOnceConflictAndNothingElse(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s, func(c *Config) { c.PoolSize = 16 })
	u := person(t, s, a, "ada", nil)
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() { errs[i] = reset(t.Context(), a, u, second+strings.Repeat("!", i)) })
	}
	all.Wait()
	applied := 0
	for _, err := range errs {
		switch {
		case err == nil:
			applied++
		case !errors.Is(err, directory.ErrConflict) || directory.OutcomeOf(err) != directory.NotApplied:
			t.Errorf("got %v (%v), want success or ErrConflict", err, directory.OutcomeOf(err))
		}
	}
	if applied == 0 {
		t.Error("none was applied")
	}
	t.Logf("%d of 16 applied", applied)
}

func TestTheRuleBehindARefusalIsReadFromTheControlOfTheError(t *testing.T) {
	s := testserver.Slapd(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	young := person(t, s, a, "young", map[string][]string{"pwdPolicySubentry": {"cn=strict,ou=policies," + s.BaseDN}})
	safe := person(t, s, a, "safe", map[string][]string{"pwdPolicySubentry": {"cn=safe,ou=policies," + s.BaseDN}})
	err := reset(t.Context(), a, u, "short")
	detail, ok := errors.AsType[*directory.Error](err)
	if !ok || detail.Native.Code != 19 || detail.Native.Sub != "ppolicy 6" || len(detail.Violations) != 1 ||
		detail.Violations[0].Code != directory.TooShort || detail.Violations[0].Limit != 10 {
		t.Errorf("too short: got %+v", detail)
	}
	v := directory.ViolationsOf(reset(t.Context(), a, young, "long enough for the strict policy"))
	if len(v) != 1 || v[0].Code != directory.TooYoung || time.Until(v[0].Until) < 50*time.Minute {
		t.Errorf("too young: got %+v", v)
	}
	if err := reset(t.Context(), a, safe, second); !errors.Is(err, directory.ErrConfig) {
		t.Errorf("pwdSafeModify: got %v, want ErrConfig", err)
	}
	if policyOf(errors.New("no answer at all")) != none || policyOf(&ldap.Error{}) != none {
		t.Error("an error without a control names a rule")
	}
}

func TestAWriteWaitsForItsAnswerEvenIfNobodyElseDoes(t *testing.T) {
	s := testserver.Slapd(t)
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
