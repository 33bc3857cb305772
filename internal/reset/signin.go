package reset

import (
	"context"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// signInMethod is how a way that is a sign-in at an identity provider is called: there is no row of it.
const signInMethod = string(method.IDP)

// signIn returns the way that a sign-in at a provider is, for the person of a subject.
func (u *subject) signIn(provider string) *method.Method {
	m := &method.Method{ID: signInMethod + ":" + provider, Kind: method.IDP, Status: method.Active, Root: method.Root{Kind: method.ByIDP, ID: provider}}
	if u.person != nil {
		m.Person = u.person.ID
	}
	return m
}

// signIns returns those of every provider where people can sign in without the password.
func (u *subject) signIns() []method.Method {
	var out []method.Method
	for _, p := range u.providers {
		out = append(out, *u.signIn(p))
	}
	return out
}

// ProveSignIn judges a sign-in that was made for a challenge of the attempt, at a provider, by a person; person is "" for
// somebody who is nobody here. That the sign-in needed no password, was made just now and for this attempt is the
// caller's to have checked, and so is that the browser is the attempt's. As in Check the try is counted first, and
// somebody else's sign-in is refused in the words and by the statements of a wrong code.
func (s *Service) ProveSignIn(ctx context.Context, attemptID, challengeID string, o Origin, person, provider string) (*Attempt, error) {
	now := s.Now()
	if err := s.spend(ctx, now, s.bucket(rate{s.Rates.ChecksPerOrigin, time.Hour}, "check", o.Prefix().String())); err != nil {
		return nil, err
	}
	a, err := s.Store.Attempt(ctx, attemptID)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, Over("elsewhere")
	}
	return s.check(ctx, a, challengeID, now, func(u *subject, a *Attempt, c *Challenge) (*method.Method, error) {
		m := u.signIn(provider)
		if c.Kind != method.IDP || person == "" || person != a.Person || !slices.Contains(u.providers, provider) || !u.usable(m, now) || !a.Counts(m, u.trusts) {
			return nil, nil
		}
		return m, nil
	})
}

// check is what every kind of proof has in common: the try counted, the person resolved, their standing read, the proof
// judged, and refused or taken.
func (s *Service) check(ctx context.Context, a *Attempt, challengeID string, now time.Time, judge func(*subject, *Attempt, *Challenge) (*method.Method, error)) (*Attempt, error) {
	if err := a.Alive(now); err != nil {
		return nil, err
	}
	c, err := s.Store.Try(ctx, challengeID, a.ID, now)
	if err != nil {
		return nil, err
	}
	s.Crash("after-try")
	if c == nil {
		c = &Challenge{Kind: method.Email, ID: "none", Attempt: a.ID} // spent, past or foreign: the work below stays the same
	}
	if a, err = s.resolve(ctx, a, now); err != nil {
		return nil, err
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, err
	}
	m, err := judge(u, a, c)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, s.refuse(ctx, a, c, now)
	}
	s.Crash("before-proof")
	a, err = s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
		return a.Prove(m, c.ID, u.decision, u.trusts, now)
	})
	if err != nil {
		return nil, err
	}
	s.Crash("after-proof")
	if !m.Kind.First() {
		if err := s.Store.Worked(ctx, m.ID, now); err != nil {
			s.Log.WarnContext(ctx, "count of wrong tries not reset", "method", m.ID, "err", err)
		}
	}
	return a, nil
}
