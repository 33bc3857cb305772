package directorytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/regain-id/regain/pkg/directory"
)

// OldPasswordStops is a promise that Active Directory does not keep: it accepts the old password for an hour.
const OldPasswordStops = "the old password stops working"

var passwordPromises = []Promise{
	{"a set password signs in", func(t *trial) {
		u, password := t.find(t.User.Login), t.fresh()
		t.reset(u, password)
		if !t.SignIn(t.User.Login, password) {
			t.errorf("reset said applied, sign-in says no")
		}
	}},
	{OldPasswordStops, func(t *trial) {
		if !t.SignIn(t.User.Login, t.User.Password) {
			t.fatalf("the fixture's password does not sign in before the reset")
		}
		t.reset(t.find(t.User.Login), t.fresh())
		if t.SignIn(t.User.Login, t.User.Password) {
			t.errorf("the old password still signs in")
		}
	}},
	{"any Unicode password signs in exactly as typed", func(t *trial) {
		u, tail := t.find(t.User.Login), t.fresh()
		for name, password := range map[string]string{
			"umlauts":        "Grüße aus Köln äöüß " + tail,
			"astral":         "🔑🦊 𝒫𝒶𝓈𝓈 " + tail,
			"right to left":  "סיסמה كلمة " + tail,
			"80 characters":  tail + strings.Repeat("long enough ", 8),
			"leading space":  "  " + tail,
			"trailing space": tail + "  ",
			"syntax":         `"'\<>&;|*()%$` + "`{}" + tail,
		} {
			t.reset(u, password)
			if !t.SignIn(t.User.Login, password) {
				t.errorf("%s: does not sign in", name)
			}
			for _, other := range []string{strings.TrimSpace(password), password[:len(password)-1]} {
				if other != password && t.SignIn(t.User.Login, other) {
					t.errorf("%s: a different password signs in, too", name)
				}
			}
			// Clear the failures that the tries above counted.
			t.reset(u, t.fresh())
		}
	}},
	{"a refused password is named with its rule and not written", func(t *trial) {
		if len(t.Refused) == 0 {
			t.skipf("the fixture names no refused passwords")
		}
		for _, r := range t.Refused {
			u := t.find(r.Account.Login)
			err := t.try(u, r)
			what := fmt.Sprintf("%s for %s", r.Code, r.Account.Login)
			if !errors.Is(err, directory.ErrPolicy) {
				t.errorf("%s: got %v, want ErrPolicy", what, err)
				continue
			}
			if got := directory.OutcomeOf(err); got != directory.NotApplied {
				t.errorf("%s: got outcome %v, want not applied", what, got)
			}
			if !slices.ContainsFunc(directory.ViolationsOf(err), func(v directory.Violation) bool {
				return v.Code == r.Code || r.AnyReason && v.Code == directory.Rejected
			}) {
				t.errorf("%s: got violations %+v", what, directory.ViolationsOf(err))
			}
			if r.New != r.Account.Password && t.SignIn(r.Account.Login, r.New) {
				t.errorf("%s: refused, and yet it signs in", what)
			}
			if !t.SignIn(r.Account.Login, r.Account.Password) {
				t.errorf("%s: the old password no longer signs in", what)
			}
		}
	}},
	{"16 resets of one account at once leave exactly one password", func(t *trial) {
		u := t.find(t.User.Login)
		passwords, errs := make([]string, 16), make([]error, 16)
		for i := range passwords {
			passwords[i] = t.fresh()
		}
		var all sync.WaitGroup
		for i := range passwords {
			all.Go(func() {
				_, errs[i] = t.Adapter.Reset(t.ctx, directory.ResetRequest{OpID: fmt.Sprint(i), User: u.Ref, New: directory.NewSecret(passwords[i])})
			})
		}
		all.Wait()
		var applied, valid int
		for i, err := range errs {
			switch directory.OutcomeOf(err) {
			case directory.Applied:
				applied++
			case directory.NotApplied:
				if !errors.Is(err, directory.ErrConflict) && !errors.Is(err, directory.ErrBusy) && !errors.Is(err, directory.ErrPolicy) {
					t.errorf("reset %d: got %v, want success, ErrConflict, ErrBusy or ErrPolicy", i, err)
				}
			}
		}
		if applied == 0 {
			t.fatalf("none of 16 was applied: %v", errs[0])
		}
		for i, password := range passwords {
			if !t.signsIn(u, password) {
				continue
			}
			valid++
			if directory.OutcomeOf(errs[i]) == directory.NotApplied {
				t.errorf("password %d signs in, but its reset said not applied: %v", i, errs[i])
			}
		}
		if valid != 1 {
			t.errorf("got %d of 16 passwords that sign in, want 1", valid)
		}
		t.notef("%d of 16 applied", applied)
	}},
}

// try makes the directory refuse r.
func (t *trial) try(u directory.User, r Refusal) error {
	if r.ByChange {
		c, ok := t.Adapter.(directory.Changer)
		if !ok {
			t.fatalf("refused by change, but the adapter is no Changer")
		}
		_, err := c.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(r.Account.Password), New: directory.NewSecret(r.New)})
		return err
	}
	_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(r.New), EnforceHistory: directory.Prefer})
	return err
}

// signsIn tries a password and lifts the lockout that earlier misses may have caused.
func (t *trial) signsIn(u directory.User, password string) bool {
	if unlocker, ok := t.Adapter.(directory.Unlocker); ok {
		if _, err := unlocker.Unlock(t.ctx, u.Ref); err != nil && !errors.Is(err, directory.ErrUnsupported) {
			t.fatalf("unlock: %v", err)
		}
	}
	return t.SignIn(u.Login, password)
}
