package register

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
)

// Delivery is one code on its way to an address that somebody says is theirs. Where the asking came from stands in the
// event that brought the work.
type Delivery struct {
	Enrolment string
	Sends     int // which message of the enrolment it is, from 1
	Person    string
	Name      string // of whoever asked: the address may be somebody else's
	Language  string // the person's; "" when not known
	Kind      method.Kind
	To        string
	Code      string
	Asked     time.Time
	Expires   time.Time
}

// Prepare decides whether the code of an enrolment is sent, and claims the sending. It returns nil when nothing is to be
// sent: it has ended, the person may not go on, or it was sent already. A text message is claimed once and for all; a mail
// may be prepared again until its code runs out.
func (s *Service) Prepare(ctx context.Context, enrolment string) (*Delivery, error) {
	now := s.Now()
	e, err := s.Store.Enrolment(ctx, enrolment)
	if err != nil || e == nil || e.State != Open || !e.Kind.Delivered() || !now.Before(e.Expires) {
		return nil, err
	}
	again := e.Send == reset.Sending && e.Kind == method.Email
	if e.Send != reset.Asked && !again {
		return nil, nil
	}
	p, err := s.Store.Person(ctx, e.Person)
	if err != nil || p == nil || !p.Active || p.Epoch != e.Epoch {
		return nil, err
	}
	if !again {
		if ok, err := s.Store.ClaimConfirm(ctx, e.ID); err != nil || !ok {
			return nil, err
		}
	}
	return &Delivery{
		Enrolment: e.ID, Sends: e.Sends, Person: p.ID, Name: p.Name(), Language: p.Language, Kind: e.Kind, To: e.Destination, Code: s.code(e),
		Asked: e.Expires.Add(-CodeLife), Expires: e.Expires,
	}, nil
}

// Delivered records that a channel took the message (class ""), or gave up on it for good. An uncertain one may have
// arrived, and its code counts.
func (s *Service) Delivered(ctx context.Context, d *Delivery, class string) error {
	now := s.Now()
	_, err := s.Store.UpdateEnrolment(ctx, d.Enrolment, func(e *Enrolment) ([]event.Event, error) {
		state, outcome := reset.Sent, event.Success
		if class != "" {
			outcome = event.Failure
			if class != "uncertain" {
				state = reset.SendLost
			}
		}
		if e.Sends == d.Sends { // else another was asked for meanwhile, and this one counts no more
			e.Send = state
		}
		out := event.New(now, event.MethodConfirmSent, "system", d.Person, e.Session, outcome).With("kind", string(d.Kind)).With("enrolment", d.Enrolment).
			With("sends", d.Sends).Sealed("to", method.Mask(d.Kind, d.To))
		if class != "" {
			out = out.With("why", class)
		}
		return []event.Event{out}, nil
	})
	return err
}
