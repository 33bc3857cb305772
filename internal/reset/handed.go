package reset

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
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

// ErrUnconfirmed says that a password was sent to the directory and no answer came. What became of it is found out, and the
// person told, in the background; until then no other write of the account starts.
var ErrUnconfirmed = errors.New("the directory did not answer: the password may have been set")

// CanHand reports whether a password that somebody is to have would be taken, as far as that can be known before it is sent:
// by our rules and those the directory shows. p need not be stored yet. It returns false without an error when no directory
// has an account of theirs, a *Refusal when the password breaks a rule, and a fault when the account is not to be touched.
func (s *Service) CanHand(ctx context.Context, p *account.Person, fresh string) (bool, error) {
	t, err := s.find(ctx, p, "")
	if err != nil || t == nil {
		return false, err
	}
	if err := untouchable(t); err != nil {
		return false, err
	}
	groups, err := s.Store.Memberships(ctx, p.ID)
	if err != nil {
		return false, err
	}
	d, err := s.decide(ctx, &Attempt{Action: policy.Change}, p, groups)
	if err != nil {
		return false, err
	}
	return true, s.judge(ctx, &subject{person: p, decision: d}, t, password.Normalise(fresh))
}

// Hand writes a password that somebody else brings for a person: an identity provider that keeps it in step. by is who, as
// in events. There are no proofs; everything else is as in a change by the person: an attempt of nobody's browser stands for
// it, so that the write flies alone across all replicas, its outcome is told as it is and looked for when no answer came, the
// epoch moves, and everybody is told who is told of a change. The caller's context does not cancel a write that was sent.
//
// A password that is in force already is no change and no error. Hand returns a *Refusal when the password breaks a rule;
// ErrUnconfirmed when nobody knows yet; fault.NotFound without such a person, fault.Denied when the account is missing or not
// to be touched, fault.Conflict while another write of it is under way, and fault.Unavailable: nothing was changed then.
func (s *Service) Hand(ctx context.Context, person, by, fresh string) error {
	p, err := s.Store.Person(ctx, person)
	if err != nil {
		return err
	}
	if p == nil {
		return fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	t, err := s.target(ctx, p, "")
	if err != nil {
		return err
	}
	a, err := s.handed(ctx, p, t, by)
	if err != nil {
		return err
	}
	u, err := s.standing(ctx, a)
	if err != nil {
		return err
	}
	fresh = password.Normalise(fresh)
	if err := s.judge(ctx, u, t, fresh); err != nil {
		return err
	}
	now := s.Now()
	if err := s.Store.CreateAttempt(ctx, a); err != nil {
		return err
	}
	w, err := s.begin(ctx, a, t, now)
	if err != nil {
		if _, uerr := s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
			if a.State == Proved {
				a.State, a.Why, a.Ended = Blocked, "running", now
			}
			return nil, nil
		}); uerr != nil {
			return uerr
		}
		return err
	}
	s.Crash("after-begin")
	secret := directory.NewSecret(fresh)
	after, err := s.send(ctx, a, t, w, secret, func(ctx context.Context) (directory.Result, error) {
		return t.Directory.Adapter.Reset(ctx, directory.ResetRequest{OpID: w.ID, User: t.User.Ref, New: secret, EnforceHistory: directory.Prefer, IfMarker: w.Marker})
	})
	r, refused := errors.AsType[*Refusal](err)
	switch {
	case refused && r.repeated && s.inForce(ctx, t, secret):
		return nil
	case err != nil:
		return err
	case after.State != Done:
		return ErrUnconfirmed
	}
	return nil
}

// handed returns the attempt that stands for a password somebody else brings. No browser holds its cookie. After a write
// that nobody could find the outcome of it is the one more try: a refusal as "used before" then says that the first one was
// applied.
func (s *Service) handed(ctx context.Context, p *account.Person, t *Target, by string) (*Attempt, error) {
	in, err := s.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	now, id := s.Now(), uuid.Must(uuid.NewV7()).String()
	a := &Attempt{
		ID: id, Reference: NewReference(), Action: policy.Change, State: Proved, Cookie: make([]byte, 32), TypedHash: s.Keys.Hash("handed", id), By: by,
		Person: p.ID, Resolved: true, Epoch: p.Epoch, Policy: in.Version, Lang: p.Language, Started: now, Expires: now.Add(Life),
	}
	rand.Read(a.Cookie)
	last, err := s.Store.LastWrite(ctx, p.ID)
	if err == nil && last != nil && last.State == WriteUnresolved && last.Directory == t.Directory.Name && last.Ref == t.User.Ref.ID {
		a.Again, a.Write = true, last.ID
	}
	return a, err
}

// judge holds a password against our rules and those the directory shows.
func (s *Service) judge(ctx context.Context, u *subject, t *Target, fresh string) error {
	rules := password.Effective(s.rules(u, t), s.directoryPolicy(ctx, t))
	broken := password.Judge(fresh, rules, s.Passwords.Lists)
	if len(broken) == 0 {
		return nil
	}
	r := &Refusal{Field: "password"}
	for _, v := range broken {
		r.Rules = append(r.Rules, v.Message)
	}
	return r
}

// inForce reports whether a password signs in now. It is asked only of one the directory has just called a repetition, and
// at most once for each time somebody brings it.
func (s *Service) inForce(ctx context.Context, t *Target, secret directory.Secret) bool {
	tester, can := t.Directory.Adapter.(directory.PasswordTester)
	if !can || secret.Reveal() == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Directory.timeout())
	defer cancel()
	return tester.Verify(ctx, t.User.Ref, secret) == nil
}

// repeats reports whether one of the rules broken is that the password was used before.
func repeats(all []directory.Violation) bool {
	return slices.ContainsFunc(all, func(v directory.Violation) bool {
		return v.Code == directory.InHistory || v.Code == directory.SameAsCurrent
	})
}

// closeHanded ends an attempt that no person comes back to.
func (a *Attempt) closeHanded(why string, now time.Time) bool {
	if a.By == "" {
		return false
	}
	a.State, a.Why, a.Ended = Blocked, why, now
	return true
}
