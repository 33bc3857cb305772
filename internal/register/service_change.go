package register

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// ready reads the person's standing and returns the error that keeps them from changing anything: fault.Denied by the
// policy, or ErrStepUp.
func (s *Service) ready(ctx context.Context, sess *session.Session, o reset.Origin, now time.Time) (*standing, error) {
	st, err := s.standing(ctx, sess, o.Addr.Unmap())
	switch {
	case err != nil:
		return nil, err
	case !st.decision.Allowed:
		return nil, s.refuse(ctx, sess, o, st.decision, now)
	case !steppedUp(sess, st.decision.Registration, now):
		return nil, ErrStepUp
	}
	return st, nil
}

// change runs fn on the person's ways in one commit, once everything that must hold is looked at again where nothing moves
// any more: the session is alive and theirs, and its step-up young and strong enough. Its events say where they come from.
func (s *Service) change(ctx context.Context, sess *session.Session, o reset.Origin, enrolment string, d policy.Decision, fn func(*Changing) ([]event.Event, error)) error {
	now := s.Now()
	return s.Store.ChangeMethods(ctx, sess.ID, enrolment, func(c *Changing) ([]event.Event, error) {
		if err := c.allowed(sess.Person, d.Registration, now); err != nil {
			return nil, err
		}
		events, err := fn(c)
		for i := range events {
			events[i] = events[i].With("lang", o.Lang).Sealed("network", o.Prefix().String()).Sealed("agent", o.Agent)
		}
		return events, err
	})
}

// allowed returns nil while the locked rows let the person change their ways.
func (c *Changing) allowed(person string, r policy.Registering, now time.Time) error {
	switch {
	case c.Session == nil || c.Person == nil || c.Person.ID != person || c.Session.Person != person || !c.Person.Active || c.Session.Epoch != c.Person.Epoch || !c.Session.Alive(now):
		return over("session")
	case c.Person.Paused():
		return denied("paused")
	case c.Person.Distrusts(c.Session.IDP, now):
		return denied("alerted")
	case !steppedUp(c.Session, r, now):
		return ErrStepUp
	}
	return nil
}

// find returns a way that is still there by its id; fault.NotFound when the person has none, fault.Denied when it is not
// theirs to change.
func (c *Changing) find(id string, now time.Time) (*method.Method, error) {
	for i := range c.Methods {
		m := &c.Methods[i]
		if m.ID != id || m.Gone(now) || m.Status == method.Pending {
			continue
		}
		if !mayRemove(m) {
			return nil, fault.New(fault.Denied, message.Key("register.not_yours"))
		}
		return m, nil
	}
	return nil, fault.New(fault.NotFound, message.Key("error.not_found"))
}

// remove takes a way away: at once, or when the hold after a reset ends. The row stays for thirty days, so that the address
// is still told what happens.
func (c *Changing) remove(m *method.Method, now time.Time) event.Event {
	if c.Person.HoldUntil.After(now) {
		m.Leaves = c.Person.HoldUntil
		return c.event(event.MethodLeaving, m, now).With("until", m.Leaves.UTC().Format(time.RFC3339))
	}
	m.Status, m.RemovedAt, m.Leaves, m.Primary = method.Removed, now, time.Time{}, false
	return c.event(event.MethodRemoved, m, now)
}

// Remove takes one of the person's own ways away; during the hold after a reset, once it has ended. It returns ErrStepUp;
// fault.Denied for what a connector brought; fault.NotFound.
func (s *Service) Remove(ctx context.Context, sess *session.Session, o reset.Origin, methodID string) error {
	now := s.Now()
	st, err := s.ready(ctx, sess, o, now)
	if err != nil {
		return err
	}
	return s.change(ctx, sess, o, "", st.decision, func(c *Changing) ([]event.Event, error) {
		m, err := c.find(methodID, now)
		if err != nil || !m.Leaves.IsZero() { // it is leaving already
			return nil, err
		}
		return []event.Event{c.remove(m, now)}, nil
	})
}

// Keep lets a way that was to be removed stay. It returns ErrStepUp; fault.NotFound when the way is gone.
func (s *Service) Keep(ctx context.Context, sess *session.Session, o reset.Origin, methodID string) error {
	now := s.Now()
	st, err := s.ready(ctx, sess, o, now)
	if err != nil {
		return err
	}
	return s.change(ctx, sess, o, "", st.decision, func(c *Changing) ([]event.Event, error) {
		m, err := c.find(methodID, now)
		if err != nil || m.Leaves.IsZero() {
			return nil, err
		}
		m.Leaves = time.Time{}
		return []event.Event{c.event(event.MethodKept, m, now)}, nil
	})
}

// Rename changes what the person calls one of their own ways, at most 60 characters. It returns ErrStepUp.
func (s *Service) Rename(ctx context.Context, sess *session.Session, o reset.Origin, methodID, name string) error {
	now := s.Now()
	st, err := s.ready(ctx, sess, o, now)
	if err != nil {
		return err
	}
	if name, err = display(name); err != nil {
		return err
	}
	return s.change(ctx, sess, o, "", st.decision, func(c *Changing) ([]event.Event, error) {
		m, err := c.find(methodID, now)
		if err != nil || m.Display == name {
			return nil, err
		}
		m.Display = name
		return []event.Event{c.event(event.MethodChanged, m, now).With("why", "renamed")}, nil
	})
}

// event tells of one way of the person, by the person.
func (c *Changing) event(t event.Type, m *method.Method, now time.Time) event.Event {
	e := event.New(now, t, "person:"+c.Person.ID, c.Person.ID, c.Session.ID, event.Success).With("method", m.ID).With("kind", string(m.Kind))
	if m.Destination != "" { // what they call it stays here: whoever added it chose those words, and letters quote "to"
		e = e.Sealed("to", m.Mask())
	}
	return e
}
