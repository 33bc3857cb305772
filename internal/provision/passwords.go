package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// A password goes from the request to the directory and nowhere else, and only from a connector that may set passwords: some
// identity providers send one with everybody they create that nobody is to use. From all others it is dropped.
//
// It is written before whatever else a request says, because it is the one part that cannot be taken back: the change is
// rehearsed, the password is handed on, and then the change is made. What can be refused is refused before the directory is
// asked.

// Passwords hands passwords to the directory. See reset.Service, which is one.
type Passwords interface {
	// CanHand reports whether a password would be taken; false without an error when there is no account to set it for.
	CanHand(ctx context.Context, p *account.Person, fresh string) (bool, error)
	// Hand writes it. *reset.Refusal when it breaks a rule, reset.ErrUnconfirmed when no answer came, else a fault.
	Hand(ctx context.Context, person, by, fresh string) error
}

// fresh is the password in a resource that is to be handed on; "" when there is none, or the connector may not set any.
func (s *people) fresh(r *scim.Resource) string {
	if s.Passwords == nil || !s.c.SetPassword {
		return ""
	}
	return r.Text("password")
}

func (s *people) actor() string { return "connector:" + s.c.ID }

// unanswered is the answer when nobody knows whether a password was set. It is no 2xx: a client takes that for done. When it
// asks again with the same password it hears what became of it.
func unanswered(err error) error {
	return &scim.Error{Status: 503, Detail: "the directory did not answer: whether the password was set is being found out", Attr: "password", RetryAfter: 30 * time.Second, Cause: err}
}

// hand hands a password of a person who is there to the directory.
func (s *people) hand(ctx context.Context, p *account.Person, fresh string) error {
	if err := s.protected(ctx, p); err != nil {
		return err
	}
	return handed(s.Passwords.Hand(ctx, p.ID, s.actor(), fresh))
}

// handed turns what became of a password into an answer. Rules are named; the password is in no error.
func handed(err error) error {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*reset.Refusal](err); ok {
		return schema.Invalid(schema.InvalidValue, "password", "refused by the rule %s", strings.Join(ruleNames(r.Rules), ", "))
	}
	if errors.Is(err, reset.ErrUnconfirmed) {
		return unanswered(err)
	}
	switch kind, say := fault.Read(err); kind {
	case fault.Denied:
		return &scim.Error{Status: 403, Detail: "password: no account in a directory can be given it (" + ruleName(say) + "): nothing was changed", Attr: "password", Cause: err}
	case fault.Conflict:
		return &scim.Error{Status: 503, Detail: "password: another one is being set; nothing was changed", Attr: "password", RetryAfter: 5 * time.Second, Cause: err}
	case fault.Unavailable:
		return &scim.Error{Status: 503, Detail: "password: the directory cannot be reached; nothing was changed", Attr: "password", RetryAfter: 10 * time.Second, Cause: err}
	}
	return answer(err)
}

// ruleNames are the rules in messages to people, as words for programs: too_short 15.
func ruleNames(all []message.Message) []string {
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = ruleName(m)
	}
	return names
}

func ruleName(m message.Message) string {
	name := m.Key[strings.LastIndexByte(m.Key, '.')+1:]
	for _, k := range slices.Sorted(maps.Keys(m.Args)) {
		if n, ok := m.Args[k].(int); ok { // a number is a limit; nothing else is repeated
			name += fmt.Sprintf(" %d", n)
		}
	}
	return name
}

// protected refuses passwords for people whom the policy protects, and for those whom a group makes staff, unless the
// connector is trusted to say who is staff: whoever can set the password of an administrator is one.
func (s *people) protected(ctx context.Context, p *account.Person) error {
	if s.c.Roles {
		return nil
	}
	in, err := s.Policies.Policy(ctx)
	if err != nil {
		return answer(err)
	}
	member, err := s.Store.Memberships(ctx, p.ID)
	if err != nil {
		return answer(err)
	}
	d := in.Decide(policy.Standing{UserName: p.UserName, Groups: member}, policy.Change)
	staff := false
	if !d.Protected && len(member) > 0 {
		names, err := (&groups{service: s.service, c: s.c}).staffGroups(ctx)
		if err != nil {
			return err
		}
		staff = slices.ContainsFunc(member, func(m account.Membership) bool { return names[account.Fold(m.Group)] })
	}
	if !d.Protected && !staff {
		return nil
	}
	now := s.Now()
	if s.refused.anew(s.c.ID+"/password/"+p.ID, now) {
		e := event.New(now, event.ConnectorRefused, s.actor(), p.ID, s.c.ID, event.Failure).With("name", s.c.Name).With("why", "password")
		if err := s.Store.Record(ctx, e); err != nil { // refused it is, whether or not it could be written down
			s.Log.ErrorContext(ctx, "refusal of a password not written down", "connector", s.c.Name, "err", err)
		}
	}
	return &scim.Error{Status: 403, Detail: "password: this person is staff or protected here, and this client is not trusted to set their password: nothing was changed", Attr: "password"}
}

// canHand judges a password of a person who is to be created, before they are. handOn is false when there is no account to
// set it for, or none that may be touched: creating somebody is not refused for it.
func (s *people) canHand(ctx context.Context, p *account.Person, fresh string) (handOn bool, err error) {
	handOn, err = s.Passwords.CanHand(ctx, p, fresh)
	if fault.Is(err, fault.Denied) {
		return false, nil
	}
	return handOn, handed(err)
}

// handNew hands on the password of a person just created. A refusal that nobody could foresee takes them away again: a 4xx
// or 5xx to a POST says that nothing was made.
func (s *people) handNew(ctx context.Context, p *account.Person, fresh string) error {
	err := s.hand(ctx, p, fresh)
	e, refused := errors.AsType[*scim.Error](err)
	switch {
	case err == nil, refused && e.Status == 403: // nobody may be given one: as if there was none to give it to
		return nil
	case errors.Is(err, reset.ErrUnconfirmed): // the person is told, and stands
		return nil
	}
	gone := event.New(s.Now(), event.PersonDeleted, s.actor(), p.ID, "", event.Success).With("why", "password")
	if derr := s.Store.DeletePerson(ctx, p.ID, "", p.Version, gone); derr != nil {
		s.Log.ErrorContext(ctx, "a person whose password was refused is not taken away again", "person", p.ID, "err", derr)
	}
	return err
}
