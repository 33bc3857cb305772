package memory

import (
	"context"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Reset sets a password. A lockout stays unless req.Unlock asks to lift it.
func (d *Directory) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	return d.write(ctx, "reset", func() (directory.Result, error) {
		r, err := d.writable("reset", req.User)
		if err != nil {
			return directory.Result{}, err
		}
		if req.IfMarker != "" && req.IfMarker != r.marker() {
			return directory.Result{}, refuse("reset", directory.ErrConflict)
		}
		if req.EnforceHistory == directory.Require && d.cfg.Policy.History == 0 {
			return directory.Result{}, refuse("reset", directory.ErrUnsupported)
		}
		if broken := d.violations(r, req.New.Reveal(), false, req.EnforceHistory != directory.Off); len(broken) > 0 {
			e := refuse("reset", directory.ErrPolicy)
			e.Violations = broken
			return directory.Result{}, e
		}
		changed := r.clone()
		d.store(changed, req.New.Reveal())
		changed.MustChange = req.MustChange
		return d.finish("reset", r, changed, req.Unlock)
	})
}

// Change exchanges the old password for a new one. A wrong old one counts towards the lockout.
func (d *Directory) Change(ctx context.Context, req directory.ChangeRequest) (directory.Result, error) {
	return d.write(ctx, "change", func() (directory.Result, error) {
		r, err := d.writable("change", req.User)
		if err != nil {
			return directory.Result{}, err
		}
		if kind := d.usable(r); kind != nil {
			return directory.Result{}, refuse("change", kind)
		}
		if r.CannotChange {
			return directory.Result{}, refuse("change", directory.ErrCannotChange)
		}
		if !r.Hash.matches(req.Old.Reveal()) {
			return directory.Result{}, d.authenticate("change", r, req.Old.Reveal())
		}
		if broken := d.violations(r, req.New.Reveal(), true, true); len(broken) > 0 {
			e := refuse("change", directory.ErrPolicy)
			e.Violations = broken
			return directory.Result{}, e
		}
		changed := r.clone()
		d.store(changed, req.New.Reveal())
		changed.MustChange, changed.Failures = false, 0
		return d.finish("change", r, changed, false)
	})
}

// Unlock forgets failed attempts.
func (d *Directory) Unlock(ctx context.Context, ref directory.Ref) (directory.Result, error) {
	return d.write(ctx, "unlock", func() (directory.Result, error) {
		r, err := d.writable("unlock", ref)
		if err != nil {
			return directory.Result{}, err
		}
		return d.finish("unlock", r, r.clone(), true)
	})
}

// RequireChange sets or clears the mark that a new password is due.
func (d *Directory) RequireChange(ctx context.Context, ref directory.Ref, must bool) (directory.Result, error) {
	return d.write(ctx, "require change", func() (directory.Result, error) {
		r, err := d.writable("require change", ref)
		if err != nil {
			return directory.Result{}, err
		}
		changed := r.clone()
		changed.MustChange = must
		return d.finish("require change", r, changed, false)
	})
}

// writable returns an account that may be written to: what an administrator took out of use stays out of use.
func (d *Directory) writable(op string, ref directory.Ref) (*record, error) {
	r, err := d.byRef(op, ref)
	switch {
	case err != nil:
		return nil, err
	case r.Guarded:
		return nil, refuse(op, directory.ErrGuarded)
	case r.Disabled:
		return nil, refuse(op, directory.ErrDisabled)
	case r.AdminLocked:
		return nil, refuse(op, directory.ErrAdminLocked)
	}
	return r, nil
}

// finish lifts a lockout if asked to, commits and reports.
func (d *Directory) finish(op string, before, changed *record, unlock bool) (directory.Result, error) {
	res := directory.Result{Outcome: directory.Applied, Marker: changed.marker(), Server: "memory"}
	if unlock {
		res.Unlocked, _ = d.locked(before, d.cfg.Now())
		changed.LockedAt, changed.Failures = time.Time{}, 0
	}
	changed.Changed = d.cfg.Now()
	if err := d.commit(changed); err != nil {
		return directory.Result{}, &directory.Error{Op: op, Kind: directory.ErrUnavailable, Err: err}
	}
	return res, nil
}
