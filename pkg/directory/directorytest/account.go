package directorytest

import (
	"errors"

	"github.com/regain-id/regain/pkg/directory"
)

var accountPromises = []Promise{
	{"an administrator's lock is not lifted", func(t *trial) {
		t.need(t.AdminLocked, "admin-locked")
		u := t.find(t.AdminLocked.Login)
		if !u.Status.AdminLocked {
			t.errorf("the status does not say AdminLocked")
		}
		t.refusesWrites(u, t.AdminLocked, directory.ErrAdminLocked)
		if st := t.status(u.Ref); !st.AdminLocked {
			t.errorf("the lock is gone")
		}
	}},
	{"a disabled account is not enabled", func(t *trial) {
		t.need(t.Disabled, "disabled")
		u := t.find(t.Disabled.Login)
		if !u.Status.Disabled {
			t.errorf("the status does not say Disabled")
		}
		t.refusesWrites(u, t.Disabled, directory.ErrDisabled)
		if st := t.status(u.Ref); !st.Disabled {
			t.errorf("the account is enabled")
		}
	}},
	{"a guarded account is not touched", func(t *trial) {
		t.need(t.Guarded, "guarded")
		u := t.find(t.Guarded.Login)
		if !u.Guarded {
			t.errorf("the user is not marked Guarded")
		}
		password := t.fresh()
		_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(password)})
		t.refused("reset", err, directory.ErrGuarded)
		if t.SignIn(t.Guarded.Login, password) || t.Guarded.Password != "" && !t.SignIn(t.Guarded.Login, t.Guarded.Password) {
			t.errorf("the password was changed")
		}
	}},
	{"a stale marker is ErrConflict", func(t *trial) {
		if !t.caps().Marker {
			t.skipf("the directory has no marker")
		}
		u := t.find(t.User.Login)
		before := t.status(u.Ref)
		if before.Marker == "" {
			t.fatalf("Marker is claimed, and the status has none")
		}
		first, second := t.fresh(), t.fresh()
		if _, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(first), IfMarker: before.Marker}); err != nil {
			t.fatalf("reset with the current marker: %v", err)
		}
		if after := t.status(u.Ref); after.Marker == before.Marker {
			t.errorf("the marker did not move with the password")
		}
		_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second), IfMarker: before.Marker})
		t.refused("reset with a stale marker", err, directory.ErrConflict)
		if !t.SignIn(t.User.Login, first) {
			t.errorf("the first reset's password does not sign in")
		}
	}},
}

// refusesWrites insists that no kind of write gets through to an account that an administrator took out of use.
func (t *trial) refusesWrites(u directory.User, a Account, want error) {
	password := directory.NewSecret(t.fresh())
	for _, unlock := range []bool{false, true} {
		_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: u.Ref, New: password, Unlock: unlock})
		t.refused("reset", err, want)
	}
	if unlocker, ok := t.Adapter.(directory.Unlocker); ok {
		if _, err := unlocker.Unlock(t.ctx, u.Ref); !errors.Is(err, directory.ErrUnsupported) { // an adapter behind a wire has the method all the same
			t.refused("unlock", err, want)
		}
	}
	if changer, ok := t.Adapter.(directory.Changer); ok && a.Password != "" {
		_, err := changer.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(a.Password), New: password})
		if !errors.Is(err, directory.ErrUnsupported) {
			t.refused("change", err, want)
		}
	}
	if t.SignIn(a.Login, password.Reveal()) || a.Password != "" && t.SignIn(a.Login, a.Password) {
		t.errorf("the account signs in")
	}
}

func (t *trial) refused(what string, err, want error) {
	if !errors.Is(err, want) {
		t.errorf("%s: got %v, want %v", what, err, want)
	} else if got := directory.OutcomeOf(err); got != directory.NotApplied {
		t.errorf("%s: got outcome %v, want not applied", what, got)
	}
}

func (t *trial) caps() directory.Capabilities {
	d, err := t.Adapter.Describe(t.ctx)
	if err != nil {
		t.fatalf("describe: %v", err)
	}
	return d.Caps
}
