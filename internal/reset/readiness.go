package reset

import (
	"context"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// Readiness is what a try of somebody would come to now, for whoever is asked why it does not work. It is judged by the
// very rules a try goes by, and holds nothing that a page may not show: destinations are masked, there is no secret.
type Readiness struct {
	Registered bool // has a way that could be proved here at all
	Enabled    bool // the policy lets them
	Capable    bool // could finish a try now
	// Why they are not capable: inactive; not_in_scope, action or protected, as the policy says; alerted, as an identity provider says; never_registered; resting,
	// with From; too_few. "" when they are.
	Why      string
	From     time.Time       // when what they have will be enough by itself; zero: never
	Together int             // how many proofs their ways can be together now
	Network  bool            // the policy lets them from some networks only, which cannot be judged from afar
	Decision policy.Decision // what the policy asks of them, wherever they are
	Ways     []Kept
}

// Kept is one way of a person as staff may see it.
type Kept struct {
	ID        string
	Kind      method.Kind
	Masked    string
	Label     string      // what the person calls it
	Root      method.Root // what it stands on now
	Primary   bool
	Added     time.Time
	Confirmed time.Time
	Used      time.Time
	Rests     time.Time // does not count before; zero: counts
	Matures   time.Time // counts together with what was added in the same session until then; zero: by itself
	Leaves    time.Time // will be removed then; zero: stays
	Why       string    // why it does not count now: disabled, pending, elsewhere, off, kind, untrusted, corporate, disputed, resting; "": it does
}

// Readiness judges what somebody could do now.
func (s *Service) Readiness(ctx context.Context, p *account.Person, action policy.Action) (*Readiness, error) {
	methods, err := s.Store.Methods(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	groups, err := s.Store.Memberships(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	trusts, err := s.Store.Trusts(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := s.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	now, set := s.Now(), s.set()
	st := policy.Standing{UserName: p.UserName, Groups: groups}
	r := &Readiness{Network: rules.Decide(st, action).Why == "network"}
	r.Decision = alerted(anywhere(rules).Decide(st, action), p, now)
	allowed := r.Decision.Kinds
	r.Decision.Kinds = slices.DeleteFunc(slices.Clone(allowed), func(k method.Kind) bool { return !slices.Contains(set, k) })
	r.Enabled = r.Decision.Allowed
	u := &subject{person: p, trusts: trusts, decision: r.Decision, corporate: s.Corporate}
	u.methods = Standing(methods, now)
	for _, m := range u.methods {
		k := Kept{ID: m.ID, Kind: m.Kind, Masked: m.Mask(), Label: m.Display, Root: m.Root, Primary: m.Primary, Added: m.Created, Confirmed: m.Confirmed,
			Used: m.LastUsed, Rests: m.Rests(now), Leaves: m.Leaves}
		if m.Root.Kind == method.BySession {
			k.Matures = m.Matures
		}
		if k.Why = u.why(&m, now); k.Why == "kind" && slices.Contains(allowed, m.Kind) {
			k.Why = "off"
		}
		r.Ways = append(r.Ways, k)
		r.Registered = r.Registered || m.Status == method.Active && provable(m.Kind)
	}
	r.Together = u.together(r.Decision, now)
	switch {
	case !p.Active:
		r.Why = "inactive"
	case !r.Enabled:
		r.Why = r.Decision.Why
	case u.reachable(&Attempt{}, r.Decision, now):
		r.Capable = true
	case !r.Registered:
		r.Why = "never_registered"
	default:
		r.Why = "too_few"
		if r.From = u.enoughFrom(methods, now); !r.From.IsZero() {
			r.Why = "resting"
		}
	}
	return r, nil
}

// anywhere is the policy without its networks: where somebody will be cannot be known beforehand.
func anywhere(p policy.Policy) policy.Policy {
	p.Rules = slices.Clone(p.Rules)
	for i := range p.Rules {
		p.Rules[i].Networks = nil
	}
	return p
}

// why says why a method does not count now; "" when it does.
func (u *subject) why(m *method.Method, now time.Time) string {
	d := u.person.Dispute
	switch {
	case m.Status != method.Active:
		return string(m.Status)
	case !provable(m.Kind):
		return "elsewhere"
	case !slices.Contains(u.decision.Kinds, m.Kind):
		return "kind"
	case u.trusts.Of(m.Root) == client.TrustNone:
		return "untrusted"
	case m.Kind == method.Email && InDomains(m.Destination, u.corporate):
		return "corporate"
	case d != nil && !u.listed(m):
		return "disputed"
	case !m.Rests(now).IsZero():
		return "resting"
	}
	return ""
}

// together is how many proofs the methods that count now can be at once, at most as many as the decision asks for.
func (u *subject) together(d policy.Decision, now time.Time) int {
	for n := d.Proofs; n > 0; n-- {
		if u.reachable(&Attempt{}, policy.Decision{Allowed: true, Proofs: n, Kinds: d.Kinds}, now) {
			return n
		}
	}
	return 0
}

// enoughFrom is when a person's methods will meet the decision by themselves: some rest, and some mature, until then.
// Zero when waiting does not help.
func (u *subject) enoughFrom(methods []method.Method, now time.Time) time.Time {
	var times []time.Time
	for i := range methods {
		for _, t := range []time.Time{methods[i].UsableFrom, methods[i].Matures} {
			if t.After(now) {
				times = append(times, t)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, t := range times {
		then := *u
		then.methods = Standing(methods, t)
		if then.reachable(&Attempt{}, u.decision, t) {
			return t
		}
	}
	return time.Time{}
}
