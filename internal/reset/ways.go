package reset

import (
	"context"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// Ways is what a page may offer next. Before the first proof it depends on the policy alone; after it, it is candid.
type Ways struct {
	Uniform bool // nothing here depends on the account
	Needed  int
	Have    int
	Able    int // how many proofs the person can make together, those there are included
	Ways    []Way
	Resting []Way  // the person's own that do not count yet
	Shared  []Way  // the person's own that count together with one proved already: the same source brought both
	Cannot  string // a word when the try cannot be finished: too_few, not_in_scope, action, network, protected, alerted
}

// Way is one method offered.
type Way struct {
	Kind   method.Kind
	Method string // empty on a uniform page
	Masked string
	Label  string // what the person calls it
	Digits int    // of an authenticator app's codes
	Until  time.Time
}

// Ways returns what can be proved next.
func (s *Service) Ways(ctx context.Context, a *Attempt) (*Ways, error) {
	if len(a.Proofs) == 0 {
		offered, err := s.Offered(ctx)
		if err != nil {
			return nil, err
		}
		p, err := s.Policies.Policy(ctx)
		if err != nil {
			return nil, err
		}
		w := &Ways{Uniform: true, Needed: p.Most(a.Action)}
		for _, k := range offered {
			w.Ways = append(w.Ways, Way{Kind: k})
		}
		return w, nil
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	w := &Ways{Needed: u.decision.Proofs, Have: len(a.Proofs), Able: max(u.together(u.decision, now), len(a.Proofs))}
	for _, k := range u.decision.Kinds {
		if signIns := u.signIns(); k == method.IDP && slices.ContainsFunc(signIns, func(m method.Method) bool { return u.usable(&m, now) && a.Counts(&m, u.trusts) }) {
			w.Ways = append(w.Ways, Way{Kind: k, Method: signInMethod})
		}
		for i := range u.methods {
			m := &u.methods[i]
			if m.Kind != k || !u.listed(m) || !provable(m.Kind) {
				continue
			}
			if !a.Counts(m, u.trusts) {
				if slices.ContainsFunc(a.Proofs, func(p Proof) bool { return p.Class != m.Kind.Class() && u.trusts.Collide(p.Root, m.Root) }) {
					w.Shared = append(w.Shared, Way{Kind: k, Method: m.ID, Masked: m.Mask(), Label: m.Display})
				}
				continue
			}
			way := Way{Kind: k, Method: m.ID, Masked: m.Mask(), Label: m.Display, Until: m.Rests(now)}
			switch {
			case way.Until.IsZero() && k == method.Passkey && slices.ContainsFunc(w.Ways, func(o Way) bool { return o.Kind == k }):
				// One is enough to be asked for: the browser offers all of them.
			case way.Until.IsZero():
				w.Ways = append(w.Ways, way)
			default:
				w.Resting = append(w.Resting, way)
			}
		}
	}
	switch {
	case !u.decision.Allowed:
		w.Cannot = u.decision.Why
	case !u.reachable(a, u.decision, now):
		w.Cannot = "too_few"
	}
	return w, nil
}

// Asked returns the way a challenge of the attempt is about; masked and named only after a first proof. nil when the
// challenge is not the attempt's, or its time is up.
func (s *Service) Asked(ctx context.Context, a *Attempt, challenge string) (*Way, error) {
	c, err := s.Store.Challenge(ctx, challenge)
	if err != nil || c == nil || c.Attempt != a.ID || !s.Now().Before(c.Expires) {
		return nil, err
	}
	w := &Way{Kind: c.Kind}
	if len(a.Proofs) == 0 {
		return w, nil
	}
	methods, err := s.Store.Methods(ctx, a.Person)
	if err != nil {
		return nil, err
	}
	for _, m := range methods {
		if m.ID == c.Method {
			w.Method, w.Masked, w.Label = m.ID, m.Mask(), m.Display
			w.Digits = m.Digits
		}
	}
	return w, nil
}

// Proved returns the ways proved so far, for the page that asks for the next.
func (s *Service) Proved(ctx context.Context, a *Attempt) ([]Way, error) {
	methods, err := s.Store.Methods(ctx, a.Person)
	if err != nil {
		return nil, err
	}
	var out []Way
	for _, p := range a.Proofs {
		w := Way{Kind: p.Kind, Method: p.Method}
		for _, m := range methods {
			if m.ID == p.Method {
				w.Masked, w.Label = m.Mask(), m.Display
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// provable reports whether this build can put the kind to the test.
func provable(k method.Kind) bool {
	return k.Delivered() || k == method.RecoveryCode || k == method.TOTP || k == method.HOTP || k == method.Passkey || k == method.IDP
}

// reachable reports whether the methods usable now can, with the proofs there are, meet the decision: it tries every
// way of adding methods that count beside each other. People have few methods, so the search is small; it is bounded
// by the proofs asked for, three at most in a policy, and one more where one of a kind is required.
func (u *subject) reachable(a *Attempt, d policy.Decision, now time.Time) bool {
	try, all := Attempt{Proofs: slices.Clone(a.Proofs)}, slices.Concat(u.methods, u.signIns())
	var grow func(depth int) bool
	grow = func(depth int) bool {
		if try.Meets(d) {
			return true
		}
		if depth == 0 {
			return false
		}
		for i := range all {
			m := &all[i]
			if !u.usable(m, now) || !provable(m.Kind) || !try.Counts(m, u.trusts) || len(try.Proofs) == 0 && !m.Kind.First() && !u.anyFirst {
				continue
			}
			try.Proofs = append(try.Proofs, Proof{Method: m.ID, Kind: m.Kind, Class: m.Kind.Class(), Root: m.Root})
			if grow(depth - 1) {
				return true
			}
			try.Proofs = try.Proofs[:len(try.Proofs)-1]
		}
		return false
	}
	return grow(max(d.Proofs, 1) + 1)
}

// Refresh re-evaluates the policy for an attempt that is proving or proved, and takes it back a step when its proofs
// no longer do. It returns the attempt as it stands now.
func (s *Service) Refresh(ctx context.Context, a *Attempt) (*Attempt, error) {
	if len(a.Proofs) == 0 || (a.State != Proving && a.State != Proved) {
		return a, nil
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, err
	}
	now, probe := s.Now(), *a
	probe.Proofs = slices.Clone(a.Proofs)
	if !probe.Fresh(u.decision, now) {
		return a, nil
	}
	return s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
		if err := a.Alive(now); err != nil {
			return nil, err
		}
		a.Fresh(u.decision, now)
		return nil, nil
	})
}

// Extend gives the person fifteen more minutes.
func (s *Service) Extend(ctx context.Context, a *Attempt) (*Attempt, error) {
	now := s.Now()
	return s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) { return a.Extend(now) })
}

// Cancel ends the attempt because the person said so.
func (s *Service) Cancel(ctx context.Context, a *Attempt) (*Attempt, error) {
	now := s.Now()
	return s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
		return a.End(Cancelled, "person", "", now)
	})
}
