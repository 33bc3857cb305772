package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Config is what a Service is made of. Passkeys, Corporate and Region may be empty.
type Config struct {
	Store        Store
	Limits       limit.Spender
	Keys         Keys
	Policies     Policies
	Passkeys     *passkey.Relying     // nil: none can be made
	Kinds        func() []method.Kind // kinds that are set up here
	Corporate    []string             // domains of mailboxes opened with the very password
	Region       string               // country of phone numbers written without one
	Organisation string               // what an authenticator app calls us
	Now          func() time.Time
	Log          *slog.Logger
}

// Service is what people do to their own ways. Its methods are safe for concurrent use.
type Service struct {
	Config
}

// New returns a service, or an error naming what is missing.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Limits == nil || c.Keys == nil || c.Policies == nil || c.Kinds == nil || c.Organisation == "" || c.Now == nil || c.Log == nil {
		return nil, errors.New("register: store, limits, keys, policies, kinds, organisation, now and log are needed")
	}
	return &Service{Config: c}, nil
}

// strongest are the kinds people add themselves, the strongest first.
var strongest = []method.Kind{method.Passkey, method.TOTP, method.RecoveryCode, method.Email, method.SMS}

// standing is everything a decision about somebody's ways depends on.
type standing struct {
	person   *account.Person
	methods  []method.Method // as they are kept: those to be removed by now included
	trusts   method.Trusts
	decision policy.Decision // for registering, from where the request came
	kinds    []method.Kind   // allowed and set up
}

// owner returns what counting goes by.
func (s *Service) owner(st *standing) reset.Owner {
	return reset.Owner{Person: st.person, Methods: st.methods, Trusts: st.trusts, Kinds: st.kinds, Corporate: s.Corporate}
}

// standing reads it for somebody signed in. fault.Over when they are nobody any more.
func (s *Service) standing(ctx context.Context, sess *session.Session, from netip.Addr) (*standing, error) {
	p, err := s.Store.Person(ctx, sess.Person)
	if err != nil {
		return nil, err
	}
	if p == nil || !p.Active {
		return nil, over("session")
	}
	st := &standing{person: p}
	if st.methods, err = s.Store.Methods(ctx, p.ID); err != nil {
		return nil, err
	}
	groups, err := s.Store.Memberships(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	if st.trusts, err = s.Store.Trusts(ctx); err != nil {
		return nil, err
	}
	in, err := s.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	st.decision = in.Decide(policy.Standing{UserName: p.UserName, Groups: groups, Network: from}, policy.Register)
	if st.decision.Allowed && p.Paused() {
		st.decision.Allowed, st.decision.Why = false, "paused"
	}
	// Where they signed in it is said that somebody else may have: ways that are added now could be the thief's.
	if st.decision.Allowed && p.Distrusts(sess.IDP, s.Now()) {
		st.decision.Allowed, st.decision.Why = false, "alerted"
	}
	set := s.Kinds()
	st.kinds = slices.DeleteFunc(slices.Clone(st.decision.Kinds), func(k method.Kind) bool { return !slices.Contains(set, k) })
	return st, nil
}

// over is the error of a step that is not possible any more.
func over(why string) error { return fault.New(fault.Over, message.Key("register.over."+why)) }

// steppedUp reports whether the sign-in is strong and young enough for a change.
func steppedUp(sess *session.Session, r policy.Registering, now time.Time) bool {
	return sess.SteppedUp(now, r.MaxAge) && (len(r.ACR) == 0 || sess.Has(r.ACR))
}

// addr returns the address a network's name begins with; an invalid one for anything else.
func addr(network string) netip.Addr {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}

// Overview returns what somebody signed in is shown of their own ways. Networks are judged by where they signed in from.
func (s *Service) Overview(ctx context.Context, sess *session.Session) (*Overview, error) {
	now := s.Now()
	st, err := s.standing(ctx, sess, addr(sess.Network))
	if err != nil {
		return nil, err
	}
	o := &Overview{
		Person: st.person, Kinds: s.offered(st, now), Needed: st.decision.Proofs, Wanted: st.decision.Registration.Methods, Decision: st.decision,
		Counting: s.owner(st).Together(st.decision.Proofs, now), SteppedUp: steppedUp(sess, st.decision.Registration, now),
	}
	if st.person.HoldUntil.After(now) {
		o.HoldUntil = st.person.HoldUntil
	}
	if o.Open, err = s.Store.OpenEnrolment(ctx, sess.ID, now); err != nil {
		return nil, err
	}
	if o.Open != nil && s.mine(sess, o.Open, now) != nil {
		o.Open = nil
	}
	if o.Record, err = s.Store.Registration(ctx, st.person.ID); err != nil {
		return nil, err
	}
	sources, err := s.sources(ctx)
	if err != nil {
		return nil, err
	}
	left, err := s.Store.CodesLeft(ctx, st.person.ID)
	if err != nil {
		return nil, err
	}
	for i := range st.methods {
		m := &st.methods[i]
		switch {
		case m.Gone(now), m.Status == method.Pending:
		case m.Kind == method.External:
			o.Elsewhere = append(o.Elsewhere, own(m, sources, left, now))
		default:
			o.Own = append(o.Own, own(m, sources, left, now))
		}
	}
	slices.SortStableFunc(o.Own, func(a, b Own) int { return strength(a.Kind) - strength(b.Kind) })
	return o, nil
}

// strength orders kinds, the strongest first, those nobody adds here last.
func strength(k method.Kind) int {
	if n := slices.Index(strongest, k); n >= 0 {
		return n
	}
	return len(strongest) + slices.Index(method.Kinds, k)
}

// sources names who brings ways.
func (s *Service) sources(ctx context.Context) (map[method.Root]string, error) {
	all, err := s.Store.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	out := map[method.Root]string{}
	for _, c := range all {
		out[method.Root{Kind: method.ByConnector, ID: c.ID}] = c.Name
	}
	return out, nil
}

func own(m *method.Method, sources map[method.Root]string, left map[string]int, now time.Time) Own {
	o := Own{
		ID: m.ID, Kind: m.Kind, Masked: m.Mask(), Display: m.Display, Root: m.Stands(now), Primary: m.Primary, Added: m.Created, Used: m.LastUsed,
		Rests: m.Rests(now), Leaves: m.Leaves, Mine: mayRemove(m), CodesLeft: left[m.ID], Disabled: m.Status == method.Disabled,
	}
	if !o.Mine {
		o.Source = sources[m.Root]
	}
	if m.Root.Kind == method.BySession && m.Matures.After(now) {
		o.Matures = m.Matures
	}
	return o
}

// mayRemove reports whether a way is the person's own to remove and to name: what a connector or a directory brought would
// come back.
func mayRemove(m *method.Method) bool {
	return m.Kind != method.External && m.Root.Kind != method.ByConnector && m.Root.Kind != method.ByDirectory
}

// offered returns the kinds the person may add now: allowed, set up, and fewer than Most of them there. A list of recovery
// codes may always be made anew.
func (s *Service) offered(st *standing, now time.Time) []method.Kind {
	return slices.DeleteFunc(slices.Clone(strongest), func(k method.Kind) bool {
		return !slices.Contains(st.kinds, k) || k == method.Passkey && s.Passkeys == nil || full(st.methods, k, now)
	})
}

// full reports whether somebody has as many of their own ways of a kind as they may.
func full(methods []method.Method, k method.Kind, now time.Time) bool {
	n := 0
	for i := range methods {
		if m := &methods[i]; m.Kind == k && !m.Gone(now) && mayRemove(m) {
			n++
		}
	}
	return k != method.RecoveryCode && n >= Most[k]
}

// refuse records that the policy does not let somebody change their ways, and returns the error that says so.
func (s *Service) refuse(ctx context.Context, sess *session.Session, o reset.Origin, d policy.Decision, now time.Time) error {
	e := event.New(now, event.RegistrationRefused, "person:"+sess.Person, sess.Person, sess.ID, event.Failure).With("why", d.Why).With("rule", d.Rule).
		With("policy", d.Version).Sealed("network", o.Prefix().String()).Sealed("agent", o.Agent)
	if err := s.Store.Record(ctx, e); err != nil {
		return err
	}
	return denied(d.Why)
}

// denied says why the policy does not let somebody change their ways.
func denied(why string) error {
	switch why {
	case "network":
		return fault.New(fault.Denied, message.Key("register.denied.network"))
	case "protected":
		return fault.New(fault.Denied, message.Key("register.denied.protected"))
	case "paused":
		return fault.New(fault.Denied, message.Key("register.denied.paused"))
	case "alerted":
		return fault.New(fault.Denied, message.Key("register.denied.alerted"))
	}
	return fault.New(fault.Denied, message.Key("register.denied.not_in_scope"))
}

// invalid is the error of an input that cannot be taken.
func invalid(field string, say message.Message) error {
	return &fault.Error{Kind: fault.Invalid, Say: say, Field: field}
}

func (s *Service) spend(ctx context.Context, now time.Time, b ...limit.Bucket) error {
	ok, retry, err := s.Limits.Spend(ctx, now, b...)
	if err != nil { // a limiter that cannot count lets nobody through
		return fault.Wrap(fault.Unavailable, message.Key("error.unavailable"), fmt.Errorf("limits: %w", err))
	}
	if !ok {
		return &fault.Error{Kind: fault.Limited, Say: message.Key("error.limited", "Minutes", int(retry.Minutes())+1), RetryAfter: retry}
	}
	return nil
}
