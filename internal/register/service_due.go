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

// Due says what a sign-in is to be interrupted for: ways that are missing, or a review that is due. Nothing where the
// person could not register, from here or at all: asking would only keep them from their work. Ways that rest or mature
// count as they will once they do.
func (s *Service) Due(ctx context.Context, sess *session.Session, o reset.Origin) (Due, error) {
	now := s.Now()
	st, err := s.standing(ctx, sess, o.Addr.Unmap())
	if err != nil {
		return Due{}, err
	}
	r := st.decision.Registration
	if !st.decision.Allowed || r.Mode == policy.Off || r.Mode == "" {
		return Due{Mode: policy.Off}, nil
	}
	rec, err := s.Store.Registration(ctx, st.person.ID)
	if err != nil {
		return Due{}, err
	}
	return due(r, rec, s.missing(st, now), reviewed(st.methods, rec, now), now), nil
}

// missing returns how many ways more the policy asks for, once everything there is counts.
func (s *Service) missing(st *standing, now time.Time) int {
	at, owner := settled(st.methods, now), s.owner(st)
	if n := st.decision.Registration.Methods - owner.Distinct(st.decision.Registration.Methods, at); n > 0 {
		return n
	}
	// Enough of them, and still nothing the policy would take for a reset: a kind it requires is not among them, or none that
	// may come first.
	if !owner.Meets(policy.Decision{Allowed: true, Proofs: st.decision.Proofs, Kinds: st.kinds, Required: st.decision.Required}, at) {
		return 1
	}
	return 0
}

// settled returns when every hold has ended, everything has matured, and what is leaving has left.
func settled(methods []method.Method, now time.Time) time.Time {
	at := now
	for _, m := range methods {
		for _, t := range []time.Time{m.UsableFrom, m.Matures, m.Leaves} {
			if t.After(at) {
				at = t
			}
		}
	}
	return at
}

// reviewed returns when the person last said that their ways are right: by saying so, or by confirming one.
func reviewed(methods []method.Method, rec Record, now time.Time) time.Time {
	at := rec.Reviewed
	for i := range methods {
		if m := &methods[i]; m.Confirmed.After(at) && !m.Gone(now) {
			at = m.Confirmed
		}
	}
	return at
}

// due is the decision: the mode is the policy's, and a campaign that was put off as often as it may be is required.
func due(r policy.Registering, rec Record, missing int, reviewed, now time.Time) Due {
	d := Due{Mode: r.Mode, Why: Missing, Missing: missing, Snooze: r.Snooze, Snoozes: max(r.Snoozes-rec.Snoozes, 0)}
	if missing == 0 {
		d.Why = Reconfirm
	}
	switch {
	case r.Mode == policy.Off || r.Mode == "":
		return Due{Mode: policy.Off}
	case missing == 0 && (r.Reconfirm == 0 || now.Before(reviewed.Add(r.Reconfirm))):
		return Due{Mode: policy.Off}
	case r.Mode == policy.Required:
		d.Snooze, d.Snoozes = 0, 0
	case now.Before(rec.Until):
		return Due{Mode: policy.Off}
	case d.Snoozes == 0:
		d.Mode, d.Snooze = policy.Required, 0
	}
	return d
}

// grace is how long somebody who puts it off for no day at all is left alone: for the sign-in under way, not the next.
const grace = 15 * time.Minute

// Snooze puts off what is due. fault.Denied when it may not be any more; nothing due is no error.
func (s *Service) Snooze(ctx context.Context, sess *session.Session, o reset.Origin) error {
	now := s.Now()
	d, err := s.Due(ctx, sess, o)
	if err != nil || d.Mode == policy.Off {
		return err
	}
	if d.Mode == policy.Required {
		return fault.New(fault.Denied, message.Key("register.denied.required"))
	}
	rec, err := s.Store.Registration(ctx, sess.Person)
	if err != nil {
		return err
	}
	rec.Person, rec.Snoozes, rec.Until = sess.Person, rec.Snoozes+1, now.Add(max(d.Snooze, grace))
	return s.Store.PutRegistration(ctx, rec, event.New(now, event.RegistrationSnoozed, "person:"+sess.Person, sess.Person, sess.ID, event.Success).
		With("snoozes", rec.Snoozes).With("until", rec.Until.UTC().Format(time.RFC3339)))
}

// Reviewed records that the person looked at their ways and found them right; what they may put off counts from none again.
func (s *Service) Reviewed(ctx context.Context, sess *session.Session) error {
	now := s.Now()
	return s.Store.PutRegistration(ctx, Record{Person: sess.Person, Reviewed: now},
		event.New(now, event.RegistrationReviewed, "person:"+sess.Person, sess.Person, sess.ID, event.Success))
}
