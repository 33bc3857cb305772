package directorytest

import (
	"errors"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// as skips unless the capability is claimed, and fails when claim and interface disagree.
func as[I any](t *trial, claimed bool, what string) I {
	i, ok := t.Adapter.(I)
	switch {
	case claimed && !ok:
		t.fatalf("%s is claimed and not implemented", what)
	case !claimed:
		t.skipf("%s is not claimed", what)
	}
	return i
}

var honestyPromises = []Promise{
	{"the description names adapter, server and the version of the contract", func(t *trial) {
		d, err := t.Adapter.Describe(t.ctx)
		if err != nil {
			t.fatalf("describe: %v", err)
		}
		major, _, _ := strings.Cut(directory.API, ".")
		if !strings.HasPrefix(d.API, major+".") {
			t.errorf("got API %q, want %s.x", d.API, major)
		}
		if d.Name == "" || d.Version == "" || d.Server == "" {
			t.errorf("got %+v, want name, version and server", d)
		}
		if d.Caps.SuggestedConcurrency < 1 || d.Caps.MaxConcurrentPerUser < 1 {
			t.errorf("got concurrency %d and %d, want at least 1", d.Caps.SuggestedConcurrency, d.Caps.MaxConcurrentPerUser)
		}
	}},
	{"what is claimed about change is so", func(t *trial) {
		c := as[directory.Changer](t, t.caps().Change, "Change")
		u, password := t.find(t.User.Login), t.fresh()
		_, err := c.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret("wrong " + password), New: directory.NewSecret(password)})
		t.refused("change with a wrong old password", err, directory.ErrWrongPassword)
		res, err := c.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(t.User.Password), New: directory.NewSecret(password)})
		if err != nil || res.Outcome != directory.Applied {
			t.fatalf("change with the right old password: got %v, %v", res.Outcome, err)
		}
		if !t.SignIn(t.User.Login, password) {
			t.errorf("change said applied, sign-in says no")
		}
	}},
	{"what is claimed about changing an expired password is so", func(t *trial) {
		t.need(t.MustChange, "must-change")
		c := as[directory.Changer](t, t.caps().ChangeExpired, "ChangeExpired")
		u, password := t.find(t.MustChange.Login), t.fresh()
		if !u.Status.MustChange && !u.Status.PasswordExpired {
			t.errorf("the status says neither MustChange nor PasswordExpired")
		}
		if _, err := c.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(t.MustChange.Password), New: directory.NewSecret(password)}); err != nil {
			t.fatalf("change: %v", err)
		}
		if st := t.status(u.Ref); st.MustChange || st.PasswordExpired {
			t.errorf("after the change the status still says MustChange %v, PasswordExpired %v", st.MustChange, st.PasswordExpired)
		}
		if !t.SignIn(t.MustChange.Login, password) {
			t.errorf("change said applied, sign-in says no")
		}
	}},
	{"what is claimed about unlock is so", func(t *trial) {
		t.need(t.Locked, "locked")
		l := as[directory.Unlocker](t, t.caps().Unlock, "Unlock")
		u := t.find(t.Locked.Login)
		if !u.Status.Locked {
			t.errorf("the status does not say Locked")
		}
		if t.SignIn(t.Locked.Login, t.Locked.Password) {
			t.fatalf("the fixture's locked account signs in")
		}
		for _, what := range []string{"unlock", "unlock again"} {
			if res, err := l.Unlock(t.ctx, u.Ref); err != nil || res.Outcome != directory.Applied {
				t.fatalf("%s: got %v, %v", what, res.Outcome, err)
			}
		}
		if t.status(u.Ref).Locked || !t.SignIn(t.Locked.Login, t.Locked.Password) {
			t.errorf("unlock said applied, the account is still locked")
		}
	}},
	{"what is claimed about a reset lifting a lockout is so", func(t *trial) {
		t.need(t.Locked, "locked")
		u, password, claimed := t.find(t.Locked.Login), t.fresh(), t.caps().ResetUnlocks
		t.reset(u, password)
		if got := t.SignIn(t.Locked.Login, password); got != claimed {
			t.errorf("ResetUnlocks is claimed as %v, measured %v", claimed, got)
		}
	}},
	{"a reset that asks for it lifts a lockout", func(t *trial) {
		t.need(t.Locked, "locked")
		if caps := t.caps(); !caps.Unlock && !caps.ResetUnlocks {
			t.skipf("Unlock is not claimed")
		}
		u, password := t.find(t.Locked.Login), t.fresh()
		res, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(password), Unlock: true})
		if err != nil || !res.Unlocked {
			t.errorf("got unlocked %v and %v", res.Unlocked, err)
		}
		if !t.SignIn(t.Locked.Login, password) {
			t.errorf("the account does not sign in")
		}
	}},
	{"what is claimed about must-change is so", func(t *trial) {
		if !t.caps().MustChange {
			t.skipf("MustChange is not claimed")
		}
		u := t.find(t.User.Login)
		for _, must := range []bool{true, false} {
			if _, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(t.fresh()), MustChange: must}); err != nil {
				t.fatalf("reset: %v", err)
			}
			if st := t.status(u.Ref); st.MustChange != must {
				t.errorf("reset with MustChange %v: the status says %v", must, st.MustChange)
			}
		}
		if f, ok := t.Adapter.(directory.ForceChanger); ok {
			for _, must := range []bool{true, false} {
				_, err := f.RequireChange(t.ctx, u.Ref, must)
				if errors.Is(err, directory.ErrUnsupported) {
					break
				}
				if err != nil {
					t.fatalf("require change %v: %v", must, err)
				}
				if st := t.status(u.Ref); st.MustChange != must {
					t.errorf("require change %v: the status says %v", must, st.MustChange)
				}
			}
		}
	}},
	{"what is claimed about trying a password is so", func(t *trial) {
		v := as[directory.PasswordTester](t, t.caps().Verify, "Verify")
		u := t.find(t.User.Login)
		if err := v.Verify(t.ctx, u.Ref, directory.NewSecret(t.User.Password)); err != nil {
			t.errorf("right password: got %v", err)
		}
		for _, wrong := range []string{t.fresh(), ""} { // an empty one must not become an anonymous bind
			if err := v.Verify(t.ctx, u.Ref, directory.NewSecret(wrong)); !errors.Is(err, directory.ErrWrongPassword) {
				t.errorf("wrong password of %d bytes: got %v, want ErrWrongPassword", len(wrong), err)
			}
		}
		if t.MustChange.Login != "" {
			u := t.find(t.MustChange.Login)
			if err := v.Verify(t.ctx, u.Ref, directory.NewSecret(t.MustChange.Password)); !errors.Is(err, directory.ErrMustChange) && !errors.Is(err, directory.ErrPasswordExpired) {
				t.errorf("must-change account: got %v, want ErrMustChange or ErrPasswordExpired", err)
			}
		}
		if t.Locked.Login != "" {
			u := t.find(t.Locked.Login)
			if err := v.Verify(t.ctx, u.Ref, directory.NewSecret(t.Locked.Password)); !errors.Is(err, directory.ErrLocked) {
				t.errorf("locked account: got %v, want ErrLocked", err)
			}
		}
	}},
	{"what is claimed about the policy is so", func(t *trial) {
		p := as[directory.PolicyReader](t, t.caps().Policy, "Policy")
		got, err := p.Policy(t.ctx, t.find(t.User.Login).Ref)
		if err != nil || got.Source == "" {
			t.errorf("got %+v and %v, want a policy with its source", got, err)
		}
	}},
	{"history is enforced on a reset where that is claimed, and refused where it cannot be", func(t *trial) {
		u, claimed := t.find(t.User.Login), t.caps().ResetEnforcesHistory
		first := t.fresh()
		_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(first), EnforceHistory: directory.Require})
		if !claimed {
			t.refused("reset with EnforceHistory Require", err, directory.ErrUnsupported)
			if t.SignIn(t.User.Login, first) {
				t.errorf("refused, and yet written")
			}
			return
		}
		if err != nil {
			t.fatalf("reset: %v", err)
		}
		t.reset(u, t.fresh())
		_, err = t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(first), EnforceHistory: directory.Require})
		t.refused("reset to an earlier password", err, directory.ErrPolicy)
	}},
	{"everyone is listed once", func(t *trial) {
		l, ok := t.Adapter.(directory.Lister)
		if !ok {
			t.skipf("the adapter is no Lister")
		}
		want, seen, cursor := t.find(t.User.Login).Ref, map[directory.Ref]int{}, ""
		for range 10_000 {
			page, next, err := l.List(t.ctx, cursor, time.Time{})
			if errors.Is(err, directory.ErrUnsupported) {
				t.skipf("the adapter is no Lister")
			}
			if err != nil {
				t.fatalf("list: %v", err)
			}
			if len(page) > 500 {
				t.errorf("got a page of %d, want at most 500", len(page))
			}
			for _, u := range page {
				seen[u.Ref]++
			}
			if next == "" {
				break
			}
			if next == cursor {
				t.fatalf("the cursor %q does not move", cursor)
			}
			cursor = next
		}
		if seen[want] != 1 {
			t.errorf("%s is listed %d times, want once", t.User.Login, seen[want])
		}
		if _, _, err := l.List(t.ctx, "no cursor of yours", time.Time{}); !errors.Is(err, directory.ErrConfig) {
			t.errorf("an unknown cursor: got %v, want ErrConfig", err)
		}
	}},
}
