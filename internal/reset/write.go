package reset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/directory"
)

// Refusal is why a password was not taken: each rule broken, in words. Nothing was changed. errors.AsType finds it.
type Refusal struct {
	Rules []message.Message
	Field string // password or old

	repeated bool // the directory calls it a repetition of the one in force or of one before
}

func (r *Refusal) Error() string { return fmt.Sprintf("password refused by %d rules", len(r.Rules)) }

// SetPassword writes a new password to the person's account: a reset, or a change when old is given. The password goes
// from here to the adapter and nowhere else. The caller's context does not cancel a write that was sent.
//
// It returns the attempt as it stands after: done, unknown (reconciliation goes on in the background), or blocked.
// A *Refusal names the rules when the password was not taken and another may be tried.
func (s *Service) SetPassword(ctx context.Context, a *Attempt, o Origin, old, fresh string) (*Attempt, error) {
	u, t, err := s.ready(ctx, a)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	fresh = password.Normalise(fresh)
	if err := s.judge(ctx, u, t, fresh); err != nil {
		return nil, err
	}
	changer, canChange := t.Directory.Adapter.(directory.Changer)
	if a.Action == policy.Change {
		if !canChange {
			return nil, fault.New(fault.Denied, message.Key("reset.change.unsupported"))
		}
		if old == "" {
			return nil, &Refusal{Rules: []message.Message{message.Key("reset.old.empty")}, Field: "old"}
		}
		if err := s.spendOld(ctx, t, now); err != nil {
			return nil, err
		}
	}
	w, err := s.begin(ctx, a, t, now)
	if err != nil {
		return nil, err
	}
	s.Crash("after-begin")
	secret := directory.NewSecret(fresh)
	return s.send(ctx, a, t, w, secret, func(ctx context.Context) (directory.Result, error) {
		if a.Action == policy.Change {
			return changer.Change(ctx, directory.ChangeRequest{OpID: w.ID, User: t.User.Ref, Old: directory.NewSecret(password.Normalise(old)), New: secret})
		}
		return t.Directory.Adapter.Reset(ctx, directory.ResetRequest{OpID: w.ID, User: t.User.Ref, New: secret, Unlock: true, EnforceHistory: directory.Prefer, IfMarker: w.Marker})
	})
}

// Unlock lifts a lockout by wrong passwords and leaves the password alone.
func (s *Service) Unlock(ctx context.Context, a *Attempt) (*Attempt, error) {
	_, t, err := s.ready(ctx, a)
	if err != nil {
		return nil, err
	}
	unlocker, ok := t.Directory.Adapter.(directory.Unlocker)
	if !ok {
		return nil, fault.New(fault.Denied, message.Key("reset.unlock.unsupported"))
	}
	w, err := s.begin(ctx, a, t, s.Now())
	if err != nil {
		return nil, err
	}
	s.Crash("after-begin")
	return s.send(ctx, a, t, w, directory.Secret{}, func(ctx context.Context) (directory.Result, error) {
		return unlocker.Unlock(ctx, t.User.Ref)
	})
}

// ready checks everything a write needs once more: the newest policy, the proofs, the person, the link.
func (s *Service) ready(ctx context.Context, a *Attempt) (*subject, *Target, error) {
	now := s.Now()
	if err := a.Alive(now); err != nil {
		return nil, nil, err
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	probe := *a
	if u.person == nil || a.State != Proved || probe.Fresh(u.decision, now) {
		return nil, nil, Over("step")
	}
	t, err := s.target(ctx, u.person, a.ID)
	return u, t, err
}

// spendOld stops wrong current passwords at half of the directory's lockout threshold, so that nobody can lock an
// account, or guess a password, from here.
func (s *Service) spendOld(ctx context.Context, t *Target, now time.Time) error {
	burst, per := 2, 24*time.Hour
	if p := s.directoryPolicy(ctx, t); p.LockoutThreshold > 0 {
		burst = max(1, p.LockoutThreshold/2)
	}
	err := s.spend(ctx, now, s.bucket(rate{burst, per}, "old", t.Directory.Name, t.User.Ref.ID))
	if fault.Is(err, fault.Limited) {
		return fault.Wrap(fault.Denied, message.Key("reset.old.enough"), err)
	}
	return err
}

// begin records the write before it is sent; one write of an account runs at a time, across all replicas.
func (s *Service) begin(ctx context.Context, a *Attempt, t *Target, now time.Time) (*Write, error) {
	w := &Write{
		ID: uuid.Must(uuid.NewV7()).String(), Attempt: a.ID, Person: a.Person, Directory: t.Directory.Name, Ref: t.User.Ref.ID, Action: a.Action,
		Server: t.User.Status.Server, Marker: t.User.Status.Marker, Changed: t.User.Status.PasswordChangedAt, State: WriteSending, Lease: now.Add(t.Directory.timeout() + 5*time.Second), Created: now,
	}
	_, err := s.Store.BeginWrite(ctx, a.ID, w, func(a *Attempt) ([]event.Event, error) {
		if err := a.Alive(now); err != nil {
			return nil, err
		}
		if a.State != Proved {
			return nil, Over("step")
		}
		a.State, a.Write, a.Directory, a.Login = Writing, w.ID, t.Directory.Name, t.User.Login
		e := a.event(now, event.WriteStarted, event.Success).With("directory", t.Directory.Name).With("server", w.Server).With("write", w.ID)
		e.Ref, e.Due = w.ID, w.Lease.Add(time.Second)
		return []event.Event{e}, nil
	})
	return w, err
}

// send hands the write to the adapter once and records what came of it.
func (s *Service) send(ctx context.Context, a *Attempt, t *Target, w *Write, secret directory.Secret, do func(context.Context) (directory.Result, error)) (*Attempt, error) {
	s.background.begin()
	defer s.background.end()
	ctx = context.WithoutCancel(ctx) // a browser that goes away must not leave a write without a keeper
	wctx, cancel := context.WithTimeout(ctx, t.Directory.timeout())
	res, err := do(wctx)
	cancel()
	s.Crash("after-send")
	before := t.User.Status
	if err != nil {
		res.Outcome = directory.OutcomeOf(err)
		if e, ok := errors.AsType[*directory.Error](err); ok && e.Native.Server != "" {
			before.Server = e.Native.Server // the one that was asked may not be the one that answered before
		}
	}
	if res.Outcome == directory.NotApplied && a.Again && s.ours(ctx, a, t, err, secret) {
		// The one more try with the same password: "used before" and it signs in means the first try was applied.
		res.Outcome, err = directory.Applied, nil
	}
	var after *Attempt
	var say error // for the person
	record := func() (rerr error) {
		switch res.Outcome {
		case directory.Applied:
			after, rerr = s.applied(ctx, a.ID, t.Directory, res.Unlocked)
		case directory.NotApplied:
			after, say, rerr = s.notApplied(ctx, a.ID, err)
		default:
			after, rerr = s.unknown(ctx, a.ID, before.Server, err)
		}
		return rerr
	}
	if rerr := persist(record); rerr != nil {
		// What happened is known here and nowhere else. The row of work for this write finds it out again from the
		// directory; until then the page says what is true: that the write is on its way.
		s.Log.ErrorContext(ctx, "outcome of a write not recorded", "write", w.ID, "outcome", res.Outcome, "err", rerr)
		waiting := *a
		waiting.State = Writing
		return &waiting, nil
	}
	s.Crash("after-record")
	if say != nil {
		return nil, say
	}
	if after.State == Unknown {
		s.background.begin()
		go func() {
			defer s.background.end()
			s.reconcile(ctx, w, t.Directory, before, secret)
		}()
	}
	return after, nil
}

// persist tries a few times to record an outcome: a database that restarts is back in a second.
func persist(record func() error) (err error) {
	for _, wait := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond} {
		time.Sleep(wait)
		if err = record(); err == nil {
			return nil
		}
	}
	return err
}

// ours reports whether a refusal as "used before" is about the password that the first try of the attempt wrote: it is
// in force, and the directory's password has changed since before that try. Without the second, somebody who types the
// old password would be told that it no longer works.
func (s *Service) ours(ctx context.Context, a *Attempt, t *Target, err error, secret directory.Secret) bool {
	e, ok := errors.AsType[*directory.Error](err)
	if !ok {
		return false
	}
	first, rerr := s.Store.Write(ctx, a.Write) // a is the attempt as it was before this try
	if rerr != nil || first == nil || !first.changedSince(t.User.Status) {
		return false
	}
	return repeats(e.Violations) && s.inForce(ctx, t, secret)
}

// applied is the happy end: the attempt is done, the person's epoch moves so that everything else they had open dies,
// and everybody who should know is told. All in one commit.
func (s *Service) applied(ctx context.Context, attempt string, d Directory, unlocked bool) (*Attempt, error) {
	now := s.Now()
	u, err := s.holdAfter(ctx, attempt)
	if err != nil {
		return nil, err
	}
	return s.Store.FinishAttempt(ctx, attempt, func(a *Attempt, p *account.Person, w *Write) ([]event.Event, error) {
		if a.State != Writing && a.State != Unknown && a.State != Unresolved {
			return nil, nil // somebody else recorded it
		}
		w.State, w.Ended = WriteApplied, now
		late := a.State != Writing
		a.State, a.Ended, a.Why = Done, now, ""
		if p != nil { // somebody may have deleted them while the directory was writing; what was written is still true
			p.Epoch++
			a.Epoch = p.Epoch
			p.HoldUntil = now.Add(u)
			p.Updated = now
		}
		t := map[policy.Action]event.Type{policy.Reset: event.PasswordReset, policy.Change: event.PasswordChanged, policy.Unlock: event.AccountUnlocked}[a.Action]
		var methods, kinds []string
		for _, pr := range a.Proofs {
			methods, kinds = append(methods, pr.Method), append(kinds, string(pr.Kind))
		}
		e := a.event(now, t, event.Success).With("directory", d.Name).With("write", w.ID).With("unlocked", unlocked).With("lang", a.Lang).
			With("kinds", kinds).With("methods", methods).Sealed("network", a.Network).Sealed("agent", a.Agent)
		out := []event.Event{e}
		if late {
			out = append(out, a.event(now, event.WriteReconciled, event.Success).With("write", w.ID).With("outcome", string(WriteApplied)))
		}
		return out, nil
	})
}

func (s *Service) holdAfter(ctx context.Context, attempt string) (time.Duration, error) {
	a, err := s.Store.Attempt(ctx, attempt)
	if err != nil {
		return 0, err
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return 0, err
	}
	return u.decision.HoldAfter, nil
}

// notApplied takes the attempt back to choosing a password, or ends it after five refusals or for a reason that no
// other password would change.
func (s *Service) notApplied(ctx context.Context, attempt string, cause error) (after *Attempt, say, err error) {
	now := s.Now()
	e, _ := errors.AsType[*directory.Error](cause)
	refusal := refusalOf(e)
	after, err = s.Store.FinishAttempt(ctx, attempt, func(a *Attempt, _ *account.Person, w *Write) ([]event.Event, error) {
		if a.State != Writing && a.State != Unknown {
			return nil, nil
		}
		w.State, w.Ended = WriteNotApplied, now
		a.State, a.Expires = Proved, now.Add(Life)
		ev := a.event(now, event.WriteRefused, event.Failure).With("directory", w.Directory).With("write", w.ID)
		if e != nil {
			ev = ev.With("kind", fmt.Sprint(e.Kind)).With("code", e.Native.Code).With("sub", e.Native.Sub)
			var codes []string
			for _, v := range e.Violations {
				codes = append(codes, string(v.Code))
			}
			ev = ev.With("violations", codes)
		}
		out := []event.Event{ev}
		if a.closeHanded("refused", now) {
			return out, nil
		}
		if refusal != nil {
			if a.Refusals++; a.Refusals >= MaxRefusals {
				a.State, a.Why, a.Ended = Blocked, "refusals", now
				out = append(out, a.event(now, event.AttemptBlocked, event.Failure).With("why", "refusals"))
			}
		}
		return out, nil
	})
	switch {
	case err != nil:
		return nil, nil, err
	case after.State == Blocked && after.By == "":
		return after, nil, nil
	case refusal != nil:
		return after, refusal, nil
	}
	s.Log.WarnContext(ctx, "write not applied", "attempt", attempt, "err", cause)
	if errors.Is(cause, directory.ErrUnsupported) { // an adapter behind a wire has every method; what is behind it may not
		switch after.Action {
		case policy.Unlock:
			return after, fault.New(fault.Denied, message.Key("reset.unlock.unsupported")), nil
		case policy.Change:
			return after, fault.New(fault.Denied, message.Key("reset.change.unsupported")), nil
		}
	}
	return after, writeFault(cause), nil
}

// refusalOf turns a directory's refusal into the rules broken; nil when another password would not help.
func refusalOf(e *directory.Error) *Refusal {
	switch {
	case e == nil:
		return nil
	case errors.Is(e.Kind, directory.ErrWrongPassword):
		return &Refusal{Rules: []message.Message{message.Key("reset.old.wrong")}, Field: "old"}
	case !errors.Is(e.Kind, directory.ErrPolicy):
		return nil
	}
	r := &Refusal{Field: "password", repeated: repeats(e.Violations)}
	for _, v := range e.Violations {
		r.Rules = append(r.Rules, violation(v))
	}
	if len(r.Rules) == 0 {
		r.Rules = []message.Message{message.Key("reset.violation.rejected")}
	}
	return r
}

func violation(v directory.Violation) message.Message {
	key := "reset.violation." + string(v.Code)
	switch {
	case v.Code == directory.TooShort && v.Limit > 0:
		return message.Key("reset.violation.too_short_limit", "Limit", v.Limit)
	case v.Code == directory.TooYoung && !v.Until.IsZero():
		return message.Key("reset.violation.too_young_until", "Until", v.Until)
	case v.Code == directory.InHistory && v.Inferred:
		return message.Key("reset.violation.history_or_banned")
	}
	switch v.Code {
	case directory.TooShort, directory.TooLong, directory.NotComplex, directory.InHistory, directory.SameAsCurrent, directory.TooYoung,
		directory.ContainsName, directory.Banned, directory.BadCharacters:
		return message.Key(key)
	}
	return message.Key("reset.violation.rejected")
}

// writeFault says why a write was not made, when it was not the password's fault. Nothing was changed.
func writeFault(err error) error {
	for _, r := range []struct {
		kind error
		say  string
		to   fault.Kind
	}{
		{directory.ErrAdminLocked, "reset.account.admin_locked", fault.Denied},
		{directory.ErrDisabled, "reset.account.disabled", fault.Denied},
		{directory.ErrGuarded, "reset.account.guarded", fault.Denied},
		{directory.ErrCannotChange, "reset.account.cannot_change", fault.Denied},
		{directory.ErrLocked, "reset.account.locked", fault.Denied},
		{directory.ErrConflict, "reset.write.running", fault.Conflict},
		{directory.ErrBusy, "reset.directory.busy", fault.Unavailable},
		{directory.ErrPermission, "reset.directory.service", fault.Unavailable},
		{directory.ErrConfig, "reset.directory.service", fault.Unavailable},
		{directory.ErrTLS, "reset.directory.service", fault.Unavailable},
	} {
		if errors.Is(err, r.kind) {
			return fault.Wrap(r.to, message.Key(r.say), err)
		}
	}
	return fault.Wrap(fault.Unavailable, message.Key("reset.directory.unavailable"), err)
}
