package register

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Input is what a person types to begin. Destination is an e-mail address or a telephone number; Display is what they call
// the way, at most 60 characters. Both may be empty where the kind needs none.
type Input struct {
	Destination string
	Display     string
}

// seedSize is of the seeds of authenticator apps, in bytes: as long as the hash (RFC 4226 §4, R6).
const seedSize = 20

// Begin starts adding a way, and leaves any other that was begun in the session. It returns ErrStepUp when the sign-in is
// not strong or young enough; fault.Denied when the policy does not let the person, or not from here; fault.Invalid with
// the field at fault; fault.Limited when too many codes were asked for.
func (s *Service) Begin(ctx context.Context, sess *session.Session, o reset.Origin, kind method.Kind, in Input) (*Enrolment, error) {
	now := s.Now()
	st, err := s.standing(ctx, sess, o.Addr.Unmap())
	if err != nil {
		return nil, err
	}
	switch {
	case !st.decision.Allowed:
		return nil, s.refuse(ctx, sess, o, st.decision, now)
	case !steppedUp(sess, st.decision.Registration, now):
		return nil, ErrStepUp
	case !slices.Contains(s.offered(st, now), kind):
		return nil, invalid("kind", message.Key("register.kind.choose"))
	}
	e := &Enrolment{
		ID: uuid.Must(uuid.NewV7()).String(), Person: st.person.ID, Epoch: sess.Epoch, Session: sess.ID, Kind: kind, State: Open,
		Send: reset.NotSent, Created: now, Expires: now.Add(Life),
	}
	if e.Display, err = display(in.Display); err != nil {
		return nil, err
	}
	if err := s.spend(ctx, now, s.bucket(30, 10*time.Minute, "register/begin", sess.Person)); err != nil {
		return nil, err
	}
	var events []event.Event
	switch kind {
	case method.Email, method.SMS:
		if err := s.address(e, st, in.Destination, now); err != nil {
			return nil, err
		}
		if err := s.budget(ctx, e, o, now); err != nil {
			return nil, err
		}
		events = append(events, asked(e, o, now))
	case method.TOTP:
		e.Secret = make([]byte, seedSize)
		rand.Read(e.Secret)
	case method.RecoveryCode:
		for range MaxCodes {
			e.Codes = append(e.Codes, newCode())
		}
	}
	if err := s.Store.PutEnrolment(ctx, e, events...); err != nil {
		return nil, err
	}
	return e, nil
}

// display tidies what a person calls a way.
func display(name string) (string, error) {
	name = strings.TrimSpace(name)
	if len([]rune(name)) > 60 || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return "", invalid("display", message.Key("register.display.form"))
	}
	return name, nil
}

// address reads, normalises and judges where codes are to go.
func (s *Service) address(e *Enrolment, st *standing, typed string, now time.Time) error {
	var err error
	switch typed = strings.TrimSpace(typed); e.Kind {
	case method.Email:
		if e.Destination, err = method.Address(typed); err != nil {
			return invalid("destination", message.Key("register.email.form"))
		}
		if reset.InDomains(e.Destination, s.Corporate) {
			return invalid("destination", message.Key("register.email.corporate"))
		}
	default:
		e.Destination, err = method.Number(typed, s.Region)
		switch {
		case errors.Is(err, method.ErrPremium):
			return invalid("destination", message.Key("register.phone.premium"))
		case err != nil:
			return invalid("destination", message.Key("register.phone.form"))
		}
	}
	e.DestinationHash = s.Store.DestinationHash(e.Kind, e.Destination)
	if slices.ContainsFunc(st.methods, func(m method.Method) bool { return owns(&m, e, now) }) {
		return invalid("destination", message.Key("register.destination.yours"))
	}
	return nil
}

// owns reports whether a way is the very one that is being added, by the person's own word already.
func owns(m *method.Method, e *Enrolment, now time.Time) bool {
	return m.Kind == e.Kind && !m.Gone(now) && m.Leaves.IsZero() && m.Status == method.Active && mayRemove(m) && slices.Equal(m.DestinationHash, e.DestinationHash)
}

func (s *Service) bucket(burst int, per time.Duration, purpose string, parts ...string) limit.Bucket {
	return limit.Bucket{Key: s.Keys.Hash("limit/"+purpose, parts...), Burst: burst, Per: per}
}

// budget spends one code: for the network, for the person, and for the destination, whoever else would have codes sent
// there.
func (s *Service) budget(ctx context.Context, e *Enrolment, o reset.Origin, now time.Time) error {
	to := string(e.DestinationHash)
	return s.spend(ctx, now,
		s.bucket(20, 10*time.Minute, "register/send/network", o.Prefix().String()),
		s.bucket(3, 10*time.Minute, "register/send/10m", e.Person), s.bucket(10, 24*time.Hour, "register/send/day", e.Person),
		s.bucket(3, 10*time.Minute, "register/to/10m", to), s.bucket(10, 24*time.Hour, "register/to/day", to))
}

// asked notes that one more code is to be sent, and returns the event that brings the work along.
func asked(e *Enrolment, o reset.Origin, now time.Time) event.Event {
	e.Sends, e.Send, e.Expires = e.Sends+1, reset.Asked, now.Add(CodeLife)
	out := event.New(now, event.MethodConfirmAsked, "person:"+e.Person, e.Person, e.Session, event.Success).With("kind", string(e.Kind)).With("enrolment", e.ID).
		With("sends", e.Sends).With("lang", o.Lang).Sealed("to", method.Mask(e.Kind, e.Destination)).Sealed("network", o.Prefix().String()).Sealed("agent", o.Agent)
	out.Ref, out.Until = e.ID, e.Expires
	return out
}

// mine returns fault.Over unless an enrolment is open and of the session.
func (s *Service) mine(sess *session.Session, e *Enrolment, now time.Time) error {
	if e == nil || e.Person != sess.Person || e.Session != sess.ID || e.Epoch != sess.Epoch || e.State != Open || !now.Before(e.Expires) {
		return over("enrolment")
	}
	return nil
}

// onItsWay is how long a code that was asked for is waited for before another may be.
const onItsWay = time.Minute

// waits reports whether a code is still to be handed over.
func (e *Enrolment) waits(now time.Time) bool {
	return (e.Send == reset.Asked || e.Send == reset.Sending) && now.Before(e.Expires.Add(onItsWay-CodeLife))
}

// Again sends a new code for an address that is being confirmed; codes sent before count no more. While one is still to be
// handed over nothing happens. It returns fault.Limited after MaxSends.
func (s *Service) Again(ctx context.Context, sess *session.Session, o reset.Origin, id string) error {
	now := s.Now()
	e, err := s.Store.Enrolment(ctx, id)
	if err != nil {
		return err
	}
	if err := s.mine(sess, e, now); err != nil {
		return err
	}
	enough := fault.New(fault.Limited, message.Key("register.sent_enough"))
	switch {
	case !e.Kind.Delivered():
		return over("enrolment")
	case e.waits(now):
		return nil
	case e.Sends >= MaxSends:
		return enough
	}
	if err := s.budget(ctx, e, o, now); err != nil {
		return err
	}
	_, err = s.Store.UpdateEnrolment(ctx, id, func(e *Enrolment) ([]event.Event, error) {
		if err := s.mine(sess, e, now); err != nil {
			return nil, err
		}
		switch {
		case e.waits(now): // pressed twice
			return nil, nil
		case e.Sends >= MaxSends:
			return nil, enough
		}
		return []event.Event{asked(e, o, now)}, nil
	})
	return err
}

// Leave gives an enrolment up. Leaving one that is over already is no error.
func (s *Service) Leave(ctx context.Context, sess *session.Session, id string) error {
	now := s.Now()
	_, err := s.Store.UpdateEnrolment(ctx, id, func(e *Enrolment) ([]event.Event, error) {
		if err := s.mine(sess, e, now); err != nil {
			return nil, err
		}
		e.close(Left)
		return nil, nil
	})
	if fault.Is(err, fault.Over) || fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// close ends an enrolment and forgets what it held.
func (e *Enrolment) close(state State) { e.State, e.Codes, e.Secret = state, nil, nil }

// Resume takes what was begun in a session over into the one that a step-up made of it: the same person went to their
// identity provider and came back. from is the id of the session that was replaced, as the flow of the step-up names it.
func (s *Service) Resume(ctx context.Context, sess *session.Session, from string) error {
	if from == "" || from == sess.ID {
		return nil
	}
	_, err := s.Store.ResumeEnrolment(ctx, from, sess.ID)
	return err
}

// newCode draws a recovery code of eighty bits, in the form people are shown.
func newCode() string {
	b := make([]byte, reset.RecoveryLength)
	rand.Read(b)
	var out strings.Builder
	for i, v := range b {
		if i > 0 && i%4 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(reset.RecoveryAlphabet[int(v)%len(reset.RecoveryAlphabet)]) // 32 letters divide 256
	}
	return out.String()
}
