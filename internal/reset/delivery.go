package reset

import (
	"bytes"
	"context"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// Delivery is one code on its way to a stored address, with what the message must say of where it came from.
type Delivery struct {
	Challenge string
	Attempt   string
	Person    string
	Kind      method.Kind
	To        string
	Code      string
	Lang      string
	Action    policy.Action
	Reference string
	Started   time.Time
	Network   string
	Agent     string
	Expires   time.Time
	NotMe     string // ticket of the "this was not me" link
}

// Send budgets of a person and day stand in Rates: three for each network, twelve for all strangers together. Whoever
// proved a first way is no stranger and has two thirds of that again. Beyond them one mail an hour tells whoever reads the mailbox.
var (
	floodNotice = rate{1, time.Hour}
	cannotDaily = rate{1, 24 * time.Hour}
)

// Prepare decides whether the code of a challenge is sent, to where, and claims the sending. It returns nil when
// nothing is to be sent: nobody of that name, another kind, a budget spent, sent already. A text message is claimed
// once and for all; a mail may be prepared again until its code runs out.
func (s *Service) Prepare(ctx context.Context, challenge string) (*Delivery, error) {
	now := s.Now()
	c, err := s.Store.Challenge(ctx, challenge)
	if err != nil || c == nil || !now.Before(c.Expires) {
		return nil, err
	}
	again := c.Send == Sending && c.Kind == method.Email
	if c.Send != Asked && !again {
		return nil, nil
	}
	a, err := s.Store.Attempt(ctx, c.Attempt)
	if err != nil || a == nil || a.Alive(now) != nil || a.Settled() {
		return nil, err
	}
	if a, err = s.resolve(ctx, a, now); err != nil {
		return nil, err
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return nil, err
	}
	if u.person == nil {
		return nil, s.unsent(ctx, a, c, "nobody")
	}
	m, why, until := choose(u, c, now)
	if m == nil {
		return nil, s.cannot(ctx, a, c, why, until, now)
	}
	if !again {
		ok, err := s.budget(ctx, a, now)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, s.flooded(ctx, a, c, now)
		}
		if ok, err = s.Store.ClaimSend(ctx, c.ID, m.ID); err != nil || !ok {
			return nil, err
		}
		s.Crash("after-claim")
	}
	lang := a.Lang
	if u.person.Language != "" {
		lang = u.person.Language
	}
	return &Delivery{
		Challenge: c.ID, Attempt: a.ID, Person: u.person.ID, Kind: c.Kind, To: m.Destination, Code: s.Keys.Code(c.ID, CodeDigits), Lang: lang,
		Action: a.Action, Reference: a.Reference, Started: a.Started, Network: a.Network, Agent: a.Agent, Expires: c.Expires, NotMe: s.NotMe(a.ID),
	}, nil
}

// choose returns the method a code goes to, or a word for why there is none, and until when one rests.
func choose(u *subject, c *Challenge, now time.Time) (best *method.Method, why string, until time.Time) {
	var resting *method.Method
	for i := range u.methods {
		m := &u.methods[i]
		if m.Kind != c.Kind || !u.listed(m) || c.Method != "" && m.ID != c.Method {
			continue
		}
		switch {
		case !m.Rests(now).IsZero():
			resting = m
		case best == nil || m.Primary && !best.Primary:
			best = m
		}
	}
	switch {
	case !u.person.Active:
		return nil, "disabled", time.Time{}
	case !u.decision.Allowed:
		return nil, u.decision.Why, time.Time{}
	case best != nil:
		return u.confirmed(best, now), "", time.Time{}
	case resting != nil:
		return nil, "held", resting.UsableFrom
	case !u.owns():
		return nil, "never_registered", time.Time{}
	}
	return nil, "kind", time.Time{}
}

// confirmed returns the person's own way to the same destination, where there is one beside what a source brought: it counts
// by itself.
func (u *subject) confirmed(m *method.Method, now time.Time) *method.Method {
	own := u.find(func(o *method.Method) bool {
		return o.Kind == m.Kind && o.Root.Kind == method.ByPerson && bytes.Equal(o.DestinationHash, m.DestinationHash) && u.usable(o, now)
	})
	if own != nil && m.DestinationHash != nil && m.Root.Kind != method.ByPerson {
		return own
	}
	return m
}

// owns reports whether the person has any method at all.
func (u *subject) owns() bool {
	return u.find(func(m *method.Method) bool { return m.Status == method.Active && m.Kind != method.External }) != nil
}

// budget spends one message to a person. Strangers share theirs; whoever proved a first way is no stranger and has one of
// their own, two thirds as large, so that a flood cannot keep the owner from the second message; and so has a browser that
// the person trusts, so that it cannot keep them from the first.
func (s *Service) budget(ctx context.Context, a *Attempt, now time.Time) (bool, error) {
	reserve := rate{max(1, s.Rates.SendsPerPerson*2/3), 24 * time.Hour}
	switch {
	case len(a.Proofs) > 0:
		ok, _, err := s.Limits.Spend(ctx, now, s.bucket(reserve, "send/proved", a.Person))
		return ok, err
	case a.Person != "" && a.Trusts == a.Person:
		ok, _, err := s.Limits.Spend(ctx, now, s.bucket(reserve, "send/trusted", a.Person))
		return ok, err
	}
	ok, _, err := s.Limits.Spend(ctx, now,
		s.bucket(rate{s.Rates.SendsPerOrigin, 24 * time.Hour}, "send/network", a.Person, a.Network),
		s.bucket(rate{s.Rates.SendsPerPerson, 24 * time.Hour}, "send", a.Person))
	return ok, err
}

func (s *Service) unsent(ctx context.Context, a *Attempt, c *Challenge, why string) error {
	e := a.event(s.Now(), event.CodeUnsent, event.Failure).With("kind", string(c.Kind)).With("challenge", c.ID).With("why", why)
	return s.note(ctx, a, c, e)
}

func (s *Service) note(ctx context.Context, a *Attempt, c *Challenge, events ...event.Event) error {
	if _, err := s.Store.UpdateAttempt(ctx, a.ID, func(*Attempt) ([]event.Event, error) { return events, nil }); err != nil {
		return err
	}
	return s.Store.SetSend(ctx, c.ID, NotSent)
}

// cannot tells somebody who cannot finish, at most once a day and only at their stored addresses, why and what to do.
func (s *Service) cannot(ctx context.Context, a *Attempt, c *Challenge, why string, until, now time.Time) error {
	events := []event.Event{a.event(now, event.CodeUnsent, event.Failure).With("kind", string(c.Kind)).With("challenge", c.ID).With("why", why)}
	ok, _, err := s.Limits.Spend(ctx, now, s.bucket(cannotDaily, "cannot", a.Person))
	if err != nil {
		return err
	}
	if ok {
		e := a.event(now, event.AttemptCannot, event.Failure).With("why", why).With("kind", string(c.Kind)).Sealed("network", a.Network).Sealed("agent", a.Agent)
		e.Actor = "system"
		if !until.IsZero() {
			e = e.With("until", until.UTC().Format(time.RFC3339))
		}
		events = append(events, e)
	}
	return s.note(ctx, a, c, events...)
}

// flooded tells the person once an hour that more codes were asked for than may be sent.
func (s *Service) flooded(ctx context.Context, a *Attempt, c *Challenge, now time.Time) error {
	events := []event.Event{a.event(now, event.CodeUnsent, event.Failure).With("kind", string(c.Kind)).With("challenge", c.ID).With("why", "budget")}
	ok, _, err := s.Limits.Spend(ctx, now, s.bucket(floodNotice, "flood", a.Person))
	if err != nil {
		return err
	}
	if ok {
		e := a.event(now, event.AttemptFlooded, event.Failure).Sealed("network", a.Network).Sealed("agent", a.Agent)
		e.Actor = "system"
		events = append(events, e)
	}
	return s.note(ctx, a, c, events...)
}

// Delivered records that a channel took the message, or gave up on it for good.
func (s *Service) Delivered(ctx context.Context, d *Delivery, class string) error {
	s.Crash("before-delivered")
	now := s.Now()
	state, t, outcome := Sent, event.CodeSent, event.Success
	if class != "" {
		t, outcome = event.CodeUnsent, event.Failure
		if class != "uncertain" { // a message that may have arrived still counts
			state = SendLost
		}
	}
	if err := s.Store.SetSend(ctx, d.Challenge, state); err != nil {
		return err
	}
	s.Crash("between-delivered")
	_, err := s.Store.UpdateAttempt(ctx, d.Attempt, func(a *Attempt) ([]event.Event, error) {
		e := a.event(now, t, outcome).With("kind", string(d.Kind)).With("challenge", d.Challenge).Sealed("to", method.Mask(d.Kind, d.To))
		if class != "" {
			e = e.With("why", class)
		}
		e.Actor = "system"
		return []event.Event{e}, nil
	})
	return err
}

// Retire ends an attempt nobody came back to, and erases the name that was typed. It is what the work of
// AttemptStarted runs, a day after the attempt can have ended, and may be repeated.
func (s *Service) Retire(ctx context.Context, attempt string) error {
	now := s.Now()
	_, err := s.Store.UpdateAttempt(ctx, attempt, func(a *Attempt) ([]event.Event, error) {
		if a.Settled() || a.State == Writing || a.State == Unknown {
			return nil, nil
		}
		return a.End(Expired, "time", "system", now)
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Store.EraseTyped(ctx, attempt)
}
