package reset

import (
	"context"
	"fmt"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/pkg/directory"
)

// unknown records that a write was sent and not answered. The person is told so, by page and by notice.
func (s *Service) unknown(ctx context.Context, attempt, server string, cause error) (*Attempt, error) {
	now := s.Now()
	s.Log.WarnContext(ctx, "write unanswered", "attempt", attempt, "err", fmt.Sprint(cause))
	return s.Store.FinishAttempt(ctx, attempt, func(a *Attempt, _ *account.Person, w *Write) ([]event.Event, error) {
		if a.State != Writing {
			return nil, nil
		}
		a.State, w.State, w.Server = Unknown, WriteUnknown, server
		return []event.Event{a.event(now, event.WriteUnknown, event.Unknown).With("directory", w.Directory).With("server", w.Server).With("write", w.ID).With("lang", a.Lang).
			Sealed("network", a.Network).Sealed("agent", a.Agent)}, nil
	})
}

// reconcile asks the same server for a while (Directory.Patience) what became of a write. Without proof the outcome stays
// unknown and the attempt is unresolved: it may be tried once more.
func (s *Service) reconcile(ctx context.Context, w *Write, d Directory, before directory.Status, secret directory.Secret) {
	s.Crash("before-reconcile")
	outcome := directory.Unknown
	if r, ok := d.Adapter.(directory.Reconciler); ok {
		rctx, cancel := context.WithTimeout(ctx, d.patience())
		got, err := r.Reconcile(rctx, directory.Ref{Adapter: d.Name, ID: w.Ref}, before, secret)
		cancel()
		if err != nil {
			s.Log.WarnContext(ctx, "reconciliation", "write", w.ID, "err", fmt.Sprint(err))
		} else {
			outcome = got
		}
	}
	s.Crash("before-reconciled")
	var err error
	switch outcome {
	case directory.Applied:
		_, err = s.applied(ctx, w.Attempt, d, before.Locked)
	case directory.NotApplied:
		err = s.reopened(ctx, w.Attempt)
	default:
		err = s.unresolved(ctx, w.Attempt)
	}
	if err != nil { // the row of work for this write finds it again
		s.Log.ErrorContext(ctx, "outcome of a write not recorded", "write", w.ID, "err", err)
	}
}

// reopened takes an attempt back to choosing a password: it is proven that nothing was written.
func (s *Service) reopened(ctx context.Context, attempt string) error {
	now := s.Now()
	_, err := s.Store.FinishAttempt(ctx, attempt, func(a *Attempt, _ *account.Person, w *Write) ([]event.Event, error) {
		if a.State != Unknown && a.State != Writing {
			return nil, nil
		}
		w.State, w.Ended = WriteNotApplied, now
		if !a.closeHanded("not_applied", now) {
			a.State, a.Expires = Proved, now.Add(Life)
		}
		return []event.Event{a.event(now, event.WriteReconciled, event.Success).With("write", w.ID).With("outcome", string(WriteNotApplied))}, nil
	})
	return err
}

func (s *Service) unresolved(ctx context.Context, attempt string) error {
	now := s.Now()
	_, err := s.Store.FinishAttempt(ctx, attempt, func(a *Attempt, _ *account.Person, w *Write) ([]event.Event, error) {
		if a.State != Unknown && a.State != Writing {
			return nil, nil
		}
		w.State, w.Ended = WriteUnresolved, now
		a.State, a.Expires = Unresolved, now.Add(Life)
		return []event.Event{a.event(now, event.WriteUnresolved, event.Unknown).With("write", w.ID).With("directory", w.Directory)}, nil
	})
	return err
}

// Reconcile finds out what became of a write whose sender has not recorded an outcome: its process may be dead. The
// password is gone, so only the directory's own marks can tell. It is what the work of WriteStarted runs, and may be
// repeated.
func (s *Service) Reconcile(ctx context.Context, write string) error {
	w, err := s.Store.Write(ctx, write)
	if err != nil {
		return err
	}
	if w == nil || w.State != WriteSending && w.State != WriteUnknown {
		return nil
	}
	if s.Now().Before(w.Lease) {
		return nil
	}
	if w.State == WriteSending {
		if _, err := s.unknown(ctx, w.Attempt, w.Server, fmt.Errorf("lease of write %s ran out", w.ID)); err != nil {
			return err
		}
	}
	for _, d := range s.Directories {
		if d.Name != w.Directory {
			continue
		}
		if w.State == WriteUnknown && s.Now().Before(w.Lease.Add(d.patience())) {
			return ErrNotYet // its sender may still be looking
		}
		// With the time of the last change: a marker may move for less than a password, as a failed sign-in does.
		s.reconcile(ctx, w, d, directory.Status{Marker: w.Marker, Server: w.Server, PasswordChangedAt: w.Changed}, directory.Secret{})
		return nil
	}
	return s.unresolved(ctx, w.Attempt)
}

// ErrNotYet asks the worker to come back later.
var ErrNotYet = fmt.Errorf("not yet")

// TryAgain takes an unresolved attempt back to choosing a password, once. A second try with the same password finds
// out, from a refusal as "used before", that the first was applied.
func (s *Service) TryAgain(ctx context.Context, a *Attempt) (*Attempt, error) {
	now := s.Now()
	return s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
		if a.State != Unresolved || a.By != "" || a.Again || !now.Before(a.Expires) || !a.live() {
			return nil, Over("step")
		}
		a.State, a.Again, a.Expires = Proved, true, now.Add(Life)
		return nil, nil
	})
}
