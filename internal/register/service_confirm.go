package register

import (
	"context"
	"crypto/subtle"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Saved is the answer that confirms a list of recovery codes: the person says that they kept them.
const Saved = "saved"

// Confirm adds the way of an enrolment when answer proves it: the code that was sent, the first code of an authenticator
// app, the JSON a browser made of Sheet.Options, or Saved. The try is counted before anything is looked at. It returns
// ErrStepUp, with nothing counted, when the sign-in is not strong or young enough any more; fault.Invalid for a wrong
// answer; fault.Over when the enrolment has ended.
func (s *Service) Confirm(ctx context.Context, sess *session.Session, o reset.Origin, id, answer string) (*Own, error) {
	now := s.Now()
	st, err := s.ready(ctx, sess, o, now)
	if err != nil {
		return nil, err
	}
	e, err := s.Store.TryEnrolment(ctx, id, sess.ID, now)
	if err != nil {
		return nil, err
	}
	if err := s.mine(sess, e, now); err != nil {
		return nil, err
	}
	m := &method.Method{ID: uuid.Must(uuid.NewV7()).String(), Person: e.Person, Kind: e.Kind, Display: e.Display}
	right, err := s.judge(e, m, answer, now)
	if err != nil {
		return nil, err
	}
	if !right {
		wrong := event.New(now, event.MethodConfirmWrong, "person:"+e.Person, e.Person, sess.ID, event.Failure).With("kind", string(e.Kind)).
			With("enrolment", e.ID).With("tries", e.Tries)
		if err := s.Store.Record(ctx, wrong); err != nil {
			return nil, err
		}
		return nil, wrongAnswer(e)
	}
	known := false
	if e.DestinationHash != nil {
		if known, err = s.Store.KnownDestination(ctx, e.Person, e.DestinationHash, now.Add(-knownFor)); err != nil {
			return nil, err
		}
	}
	var codes []method.Code
	if e.Kind == method.RecoveryCode {
		if codes, err = s.kept(e.Codes, m.ID); err != nil {
			return nil, err
		}
	}
	var added method.Method
	err = s.change(ctx, sess, o, e.ID, st.decision, func(c *Changing) ([]event.Event, error) {
		if err := s.mine(sess, c.Enrolment, now); err != nil {
			return nil, err
		}
		added = *m
		events, err := c.add(&added, known, st.decision, s.Corporate, now)
		if err != nil {
			return nil, err
		}
		c.Codes = codes
		return events, nil
	})
	if err != nil {
		return nil, err
	}
	out := own(&added, nil, map[string]int{added.ID: len(codes)}, now)
	return &out, nil
}

// knownFor is how long a person must have had a destination for it to be nothing new.
const knownFor = 24 * time.Hour

// wrongAnswer says what to do about a wrong answer, without telling in what it was wrong.
func wrongAnswer(e *Enrolment) error {
	if e.Tries >= MaxTries {
		return over("tries")
	}
	switch e.Kind {
	case method.TOTP:
		return invalid("code", message.Key("register.totp.wrong"))
	case method.Passkey:
		return invalid("passkey", message.Key("register.passkey.refused"))
	case method.RecoveryCode:
		return invalid("saved", message.Key("register.codes.unsaved"))
	}
	return invalid("code", message.Key("register.code.wrong"))
}

// judge reports whether an answer proves the way, and fills in what is to be kept of it.
func (s *Service) judge(e *Enrolment, m *method.Method, answer string, now time.Time) (bool, error) {
	switch e.Kind {
	case method.Email, method.SMS:
		right := subtle.ConstantTimeCompare([]byte(s.code(e)), []byte(reset.Tidy(answer))) == 1
		m.Destination, m.DestinationHash = e.Destination, e.DestinationHash
		return right && (e.Send == reset.Sending || e.Send == reset.Sent), nil // a code that never left cannot be right
	case method.TOTP:
		m.Secret, m.Algorithm, m.Digits, m.Period = e.Secret, "SHA1", 6, 30
		step, right, err := reset.MatchTOTP(m, reset.Tidy(answer), now)
		m.LastStep = step // it proves nothing a second time
		return right, err
	case method.Passkey:
		if s.Passkeys == nil {
			return false, nil
		}
		c, err := s.Passkeys.Created(s.challenge(e), reset.Handle(e.Person), []byte(answer))
		if err != nil {
			s.Log.Info("passkey not made", "enrolment", e.ID, "err", err)
			return false, nil
		}
		m.Secret = c.Bytes()
		return true, nil
	case method.RecoveryCode:
		return answer == Saved && len(e.Codes) == MaxCodes, nil
	}
	return false, nil
}

// code returns the code of the latest message of an enrolment.
func (s *Service) code(e *Enrolment) string {
	return s.Keys.Code("confirm/"+e.ID+"/"+strconv.Itoa(e.Sends), CodeDigits)
}

// kept returns what is kept of recovery codes: a selector and a slow hash each.
func (s *Service) kept(codes []string, methodID string) ([]method.Code, error) {
	var out []method.Code
	for _, c := range codes {
		plain := reset.TidyRecovery(c)
		hash, err := s.Keys.HashSecret(plain)
		if err != nil {
			return nil, err
		}
		out = append(out, method.Code{ID: uuid.Must(uuid.NewV7()).String(), Method: methodID, Selector: plain[:reset.SelectorLength], Hash: hash})
	}
	return out, nil
}

// add puts a proved way among a person's, closes its enrolment, and says so to everybody who should know. known tells that
// the person had the destination a day ago.
func (c *Changing) add(m *method.Method, known bool, d policy.Decision, corporate []string, now time.Time) ([]event.Event, error) {
	e := c.Enrolment
	switch {
	case m.Kind == method.Email && reset.InDomains(m.Destination, corporate):
		return nil, invalid("destination", message.Key("register.email.corporate"))
	case m.DestinationHash != nil && c.Shared >= MaxSharing:
		return nil, invalid("destination", message.Key("register.destination.shared"))
	case full(c.Methods, m.Kind, now):
		return nil, invalid("kind", message.Key("register.kind.enough"))
	case m.DestinationHash != nil && slices.ContainsFunc(c.Methods, func(o method.Method) bool { return owns(&o, e, now) }):
		return nil, invalid("destination", message.Key("register.destination.yours"))
	case m.Kind == method.Passkey && slices.ContainsFunc(c.Methods, func(o method.Method) bool { return samePasskey(&o, m, now) }):
		return nil, invalid("passkey", message.Key("register.passkey.yours"))
	}
	m.Status, m.Root = method.Active, method.Root{Kind: method.BySession, ID: c.Session.ID}
	m.Created, m.Confirmed, m.Matures = now, now, now.Add(d.Registration.Mature)
	m.UsableFrom = c.usableFrom(m, known, d.HoldNew, now)
	m.Primary = m.DestinationHash != nil && !slices.ContainsFunc(c.Methods, func(o method.Method) bool { return o.Kind == m.Kind && o.Primary && !o.Gone(now) })
	var events []event.Event
	if m.Kind == method.RecoveryCode { // the list before it goes with the same word
		for i := range c.Methods {
			if o := &c.Methods[i]; o.Kind == m.Kind && !o.Gone(now) && o.Leaves.IsZero() {
				events = append(events, c.remove(o, now).With("replaced", m.ID))
			}
		}
	}
	c.Methods = append(c.Methods, *m)
	e.close(Added)
	added := c.event(event.MethodAdded, m, now).With("root", string(m.Root.Kind)).With("matures", m.Matures.UTC().Format(time.RFC3339))
	if !m.UsableFrom.IsZero() {
		added = added.With("until", m.UsableFrom.UTC().Format(time.RFC3339))
	}
	return append(events, added), nil
}

// usableFrom says until when a new way rests; zero when it counts at once. A destination the person did not have a day ago
// rests, however it comes; one that rests already does not get out of it by coming another way; and after a reset
// everything rests.
func (c *Changing) usableFrom(m *method.Method, known bool, hold time.Duration, now time.Time) time.Time {
	var from time.Time
	later := func(t time.Time) {
		if t.After(from) {
			from = t
		}
	}
	if m.DestinationHash != nil {
		if !known {
			later(now.Add(hold))
		}
		for _, o := range c.Methods {
			if slices.Equal(o.DestinationHash, m.DestinationHash) {
				later(o.UsableFrom)
			}
		}
	}
	later(c.Person.HoldUntil)
	if !from.After(now) {
		return time.Time{}
	}
	return from
}

// samePasskey reports whether two ways are the same key.
func samePasskey(a, b *method.Method, now time.Time) bool {
	if a.Kind != method.Passkey || a.Gone(now) {
		return false
	}
	x, err := passkey.Parse(a.Secret)
	y, err2 := passkey.Parse(b.Secret)
	return err == nil && err2 == nil && slices.Equal(x.ID, y.ID)
}
