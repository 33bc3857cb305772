package directorytest

import (
	"context"
	"errors"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// budget is the deadline given to calls that will not be answered, grace what an adapter may take on top.
const (
	budget = 300 * time.Millisecond
	grace  = 250 * time.Millisecond
)

var outcomePromises = []Promise{
	{"an answer lost after the write is Unknown, and reconciles to Applied", func(t *trial) {
		if t.LoseAnswer == nil {
			t.skipf("the fixture cannot lose an answer")
		}
		u, password := t.find(t.User.Login), t.fresh()
		before := t.status(u.Ref)
		restore := t.LoseAnswer()
		err := t.timed("reset", func(ctx context.Context) error { return t.resetIn(ctx, u, password) })
		restore()
		if got := directory.OutcomeOf(err); got != directory.Unknown || !errors.Is(err, directory.ErrUnknown) {
			t.errorf("got %v (%v), want ErrUnknown with outcome unknown", err, got)
		}
		t.reconciles(u, before, password)
		if !t.SignIn(t.User.Login, password) {
			t.errorf("the fixture promised that the write was applied, and the password does not sign in")
		}
	}},
	{"a request lost before the directory saw it is never Applied", func(t *trial) {
		if t.LoseRequest == nil {
			t.skipf("the fixture cannot lose a request")
		}
		u, password := t.find(t.User.Login), t.fresh()
		before := t.status(u.Ref)
		restore := t.LoseRequest()
		err := t.timed("reset", func(ctx context.Context) error { return t.resetIn(ctx, u, password) })
		restore()
		if got := directory.OutcomeOf(err); err == nil || got == directory.Applied {
			t.errorf("got %v (%v), want not applied or unknown", err, got)
		}
		if r, ok := t.Adapter.(directory.Reconciler); ok {
			ctx, cancel := context.WithTimeout(t.ctx, budget)
			defer cancel()
			if got, _ := r.Reconcile(ctx, u.Ref, before, directory.NewSecret(password)); got == directory.Applied {
				t.errorf("reconciles to applied, and was never written")
			}
		}
		if t.SignIn(t.User.Login, password) || !t.SignIn(t.User.Login, t.User.Password) {
			t.errorf("the fixture promised that nothing was written, and the old password does not sign in")
		}
	}},
	{"a write that lands after the deadline is Unknown, and reconciles to Applied", func(t *trial) {
		if t.Stall == nil {
			t.skipf("the fixture cannot stall a write")
		}
		u, password := t.find(t.User.Login), t.fresh()
		before := t.status(u.Ref)
		restore := t.Stall()
		err := t.timed("reset", func(ctx context.Context) error { return t.resetIn(ctx, u, password) })
		if got := directory.OutcomeOf(err); got != directory.Unknown || !errors.Is(err, directory.ErrUnknown) {
			t.errorf("got %v (%v), want ErrUnknown with outcome unknown", err, got)
		}
		restore()
		t.reconciles(u, before, password)
		if !t.SignIn(t.User.Login, password) {
			t.errorf("the fixture promised a late write, and the password does not sign in")
		}
	}},
	{"a deadline is obeyed within 250 ms", func(t *trial) {
		if t.StallReads == nil {
			t.skipf("the fixture cannot stall reads")
		}
		u, password := t.find(t.User.Login), t.fresh()
		restore := t.StallReads()
		calls := map[string]func(context.Context) error{
			"find":   func(ctx context.Context) error { _, err := t.Adapter.FindUser(ctx, t.query(t.User.Login)); return err },
			"status": func(ctx context.Context) error { _, err := t.Adapter.Status(ctx, u.Ref); return err },
			"health": t.Adapter.Health,
			"reset":  func(ctx context.Context) error { return t.resetIn(ctx, u, password) },
		}
		errs := map[string]error{}
		for name, call := range calls {
			if errs[name] = t.timed(name, call); errs[name] == nil {
				t.errorf("%s: succeeded while the fixture promised silence", name)
			}
		}
		restore()
		if directory.OutcomeOf(errs["reset"]) == directory.NotApplied && eventually(time.Second, func() bool { return t.signsIn(u, password) }) {
			t.errorf("reset said not applied, and the password signs in")
		}
		if !eventually(3*time.Second, func() bool { return t.Adapter.Health(t.ctx) == nil }) {
			t.errorf("the adapter does not recover: %v", t.Adapter.Health(t.ctx))
		}
	}},
	{"a context that has ended writes nothing", func(t *trial) {
		u, password := t.find(t.User.Login), t.fresh()
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		err := t.resetIn(ctx, u, password)
		if got := directory.OutcomeOf(err); err == nil || got != directory.NotApplied {
			t.errorf("got %v (%v), want an error with outcome not applied", err, got)
		}
		if t.SignIn(t.User.Login, password) || !t.SignIn(t.User.Login, t.User.Password) {
			t.errorf("the password was changed")
		}
	}},
}

func (t *trial) resetIn(ctx context.Context, u directory.User, password string) error {
	res, err := t.Adapter.Reset(ctx, directory.ResetRequest{OpID: "op", User: u.Ref, New: directory.NewSecret(password)})
	if err != nil && res.Outcome != directory.OutcomeOf(err) && res.Outcome != directory.NotApplied {
		t.errorf("reset: result says %v, error says %v", res.Outcome, directory.OutcomeOf(err))
	}
	return err
}

// timed gives a call the budget and insists that it keeps it.
func (t *trial) timed(what string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.ctx, budget)
	defer cancel()
	start := time.Now()
	err := call(ctx)
	if took := time.Since(start); took > budget+grace {
		t.errorf("%s took %v, want at most %v", what, took.Round(time.Millisecond), budget+grace)
	}
	return err
}

func (t *trial) reconciles(u directory.User, before directory.Status, password string) {
	r, ok := t.Adapter.(directory.Reconciler)
	if !ok {
		t.notef("the adapter is no Reconciler")
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	if got, err := r.Reconcile(ctx, u.Ref, before, directory.NewSecret(password)); got != directory.Applied {
		t.errorf("reconcile: got %v (%v), want applied", got, err)
	}
}
