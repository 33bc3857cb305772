package reset

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/policy"
)

// Config is what a Service is made of. Passkeys, SignIns, Corporate, Rates and Crash may be empty.
type Config struct {
	Store       Store
	Limits      limit.Spender
	Keys        Keys
	Policies    Policies
	Directories []Directory
	Kinds       func() []method.Kind // kinds that are set up here: mail without corporate domains is not
	Passkeys    *passkey.Relying     // nil: passkeys prove nothing here
	SignIns     []string             // identity providers where a sign-in can be known to need no password; none: no such way
	Passwords   Passwords
	Corporate   []string // domains of mailboxes opened with the very password; never used to prove anything
	Rates       Rates
	Now         func() time.Time
	Log         *slog.Logger
	Crash       func(point string) // nil but in tests that kill the process between steps
}

// Passwords judges new passwords: our own rules, offline.
type Passwords struct {
	Words []string // the organisation's own words
	Lists password.Lists
}

// Service is the flow. Its methods are safe for concurrent use.
type Service struct {
	Config
	background *flight
}

// New returns a service, or an error naming what is missing.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil, c.Limits == nil, c.Keys == nil, c.Policies == nil, c.Kinds == nil, c.Now == nil, c.Log == nil:
		return nil, errors.New("reset: store, limits, keys, policies, kinds, now and log are needed")
	case len(c.Directories) == 0:
		return nil, errors.New("reset: no directory")
	}
	if c.Crash == nil {
		c.Crash = func(string) {}
	}
	c.Rates = c.Rates.orDefaults()
	return &Service{Config: c, background: newFlight()}, nil
}

// Close waits until writes that are being sent or reconciled have ended, or ctx does.
func (s *Service) Close(ctx context.Context) error { return s.background.wait(ctx) }

// Rates lower how often something may happen; zero values mean the defaults, which are also the most.
type Rates struct {
	StartsPerOrigin int // in ten minutes; default 20
	ChecksPerOrigin int // codes looked at in an hour; default 60
	SendsPerOrigin  int // codes to one person a day on behalf of one network; default 3
	SendsPerPerson  int // codes to one person a day on behalf of all strangers together; default 12
}

func (r Rates) orDefaults() Rates {
	return Rates{cmp.Or(r.StartsPerOrigin, 20), cmp.Or(r.ChecksPerOrigin, 60), cmp.Or(r.SendsPerOrigin, 3), cmp.Or(r.SendsPerPerson, 12)}
}

type rate struct {
	burst int
	per   time.Duration
}

func (s *Service) bucket(r rate, purpose string, parts ...string) limit.Bucket {
	return limit.Bucket{Key: s.Keys.Hash("limit/"+purpose, parts...), Burst: r.burst, Per: r.per}
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

// Start begins an attempt for the name typed. It looks nobody up: known, unknown, disabled and throttled names take
// the same statements and get the same answer. cookie is SHA-256 of the secret the browser will hold.
func (s *Service) Start(ctx context.Context, o Origin, action policy.Action, typed string, cookie []byte) (*Attempt, error) {
	now := s.Now()
	login := strings.TrimSpace(typed)
	switch {
	case login == "":
		return nil, &fault.Error{Kind: fault.Invalid, Say: message.Key("reset.login.empty"), Field: "login"}
	case len(login) > account.MaxLogin || strings.ContainsFunc(login, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return nil, &fault.Error{Kind: fault.Invalid, Say: message.Key("reset.login.form"), Field: "login"}
	}
	if err := s.spend(ctx, now, s.bucket(rate{4 * s.Rates.StartsPerOrigin, 10 * time.Minute}, "start/wide", o.Wide().String()),
		s.bucket(rate{s.Rates.StartsPerOrigin, 10 * time.Minute}, "start", o.Prefix().String())); err != nil {
		return nil, err
	}
	p, err := s.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	a := &Attempt{
		ID: uuid.Must(uuid.NewV7()).String(), Reference: NewReference(), Action: action, State: Started, Cookie: cookie,
		Typed: login, TypedHash: s.Keys.Hash("login", LoginKey(login)), Policy: p.Version,
		Lang: o.Lang, Network: o.Prefix().String(), Agent: o.Agent, Trusts: o.Trusts, Started: now, Expires: now.Add(Life),
	}
	e := a.event(now, event.AttemptStarted, event.Success).With("policy", p.Version).With("network", o.Wide().String())
	if err := s.Store.CreateAttempt(ctx, a, e); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	s.Crash("after-start")
	return a, nil
}

// LoginKey returns the folded form of a login name as typed, without a leading DOMAIN\.
func LoginKey(typed string) string {
	if i := strings.LastIndexByte(typed, '\\'); i >= 0 {
		typed = typed[i+1:]
	}
	return account.Fold(typed)
}

// Load returns the attempt of a browser. An attempt whose time is up is closed on the way. fault.Over when the browser
// holds none.
func (s *Service) Load(ctx context.Context, cookie []byte) (*Attempt, error) {
	a, err := s.Store.AttemptByCookie(ctx, cookie)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, Over("elsewhere")
	}
	if now := s.Now(); !a.Settled() && a.State != Writing && a.State != Unknown && !now.Before(a.Expires) {
		a, err = s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) {
			if a.Settled() {
				return nil, nil
			}
			return a.End(Expired, "time", "system", now)
		})
	}
	return a, err
}

// standing reads what a decision about the attempt's person depends on. Every statement runs for nobody, too.
func (s *Service) standing(ctx context.Context, a *Attempt) (*subject, error) {
	id := a.Person
	p, err := s.Store.Person(ctx, id)
	if err != nil {
		return nil, err
	}
	methods, err := s.Store.Methods(ctx, id)
	if err != nil {
		return nil, err
	}
	groups, err := s.Store.Memberships(ctx, id)
	if err != nil {
		return nil, err
	}
	trusts, err := s.Store.Trusts(ctx)
	if err != nil {
		return nil, err
	}
	d, err := s.decide(ctx, a, p, groups)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	return &subject{person: p, methods: Standing(methods, now), trusts: trusts, decision: d, corporate: s.Corporate, providers: s.trusted(p, now)}, nil
}

// subject is the person behind an attempt, or nobody, and what the policy asks of them.
type subject struct {
	person   *account.Person // nil for nobody
	methods  []method.Method
	trusts   method.Trusts
	decision policy.Decision

	corporate []string
	providers []string // where people can sign in without the password
	anyFirst  bool     // counting only: which of them may be a first proof does not matter
}

// usable reports whether a method counts now: active, of an allowed kind, not resting, trusted at all, and not among
// those that a dispute took out.
func (u *subject) usable(m *method.Method, now time.Time) bool {
	return u.listed(m) && m.Rests(now).IsZero()
}

func (u *subject) listed(m *method.Method) bool {
	if u.person == nil || m.Status != method.Active || !slices.Contains(u.decision.Kinds, m.Kind) || u.trusts.Of(m.Root) == "none" {
		return false
	}
	if m.Kind == method.Email && InDomains(m.Destination, u.corporate) {
		return false
	}
	if d := u.person.Dispute; d != nil {
		if slices.Contains(d.Methods, m.ID) || m.Created.After(d.Since) || m.Confirmed.After(d.Since) {
			return false
		}
	}
	return true
}

// InDomains reports whether an e-mail address is in one of the domains or below one.
func InDomains(address string, domains []string) bool {
	host := account.Fold(address[strings.LastIndexByte(address, '@')+1:])
	return slices.ContainsFunc(domains, func(d string) bool {
		d = account.Fold(strings.TrimPrefix(d, "@"))
		return d != "" && (host == d || strings.HasSuffix(host, "."+d))
	})
}

// decide evaluates the newest policy, and the one in force at the start when it was another: the stricter holds.
func (s *Service) decide(ctx context.Context, a *Attempt, p *account.Person, groups []account.Membership) (policy.Decision, error) {
	now, err := s.Policies.Policy(ctx)
	if err != nil {
		return policy.Decision{}, err
	}
	st := policy.Standing{Groups: groups}
	if p != nil {
		st.UserName = p.UserName
	}
	if prefix, err := parseNetwork(a.Network); err == nil {
		st.Network = prefix
	}
	d := now.Decide(st, a.Action)
	if a.Policy != now.Version && a.Policy != 0 {
		before, err := s.Policies.PolicyVersion(ctx, a.Policy)
		if err != nil {
			return policy.Decision{}, err
		}
		d = policy.Stricter(d, before.Decide(st, a.Action))
	}
	set := s.set()
	d.Kinds = slices.DeleteFunc(slices.Clone(d.Kinds), func(k method.Kind) bool { return !slices.Contains(set, k) })
	return alerted(d, p, s.Now()), nil
}

// set returns the kinds that are set up here.
func (s *Service) set() []method.Kind {
	return slices.DeleteFunc(slices.Clone(s.Kinds()), func(k method.Kind) bool {
		return k == method.Passkey && s.Passkeys == nil || k == method.IDP && len(s.SignIns) == 0
	})
}

// Offered returns the kinds a page may offer before it knows who is asking: the union over all rules, as far as they
// are set up.
func (s *Service) Offered(ctx context.Context) ([]method.Kind, error) {
	p, err := s.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	set := s.set()
	return slices.DeleteFunc(p.Offered(), func(k method.Kind) bool { return !slices.Contains(set, k) }), nil
}

// Ask writes a challenge of the kind. Before the first proof the kind must be among those offered to everybody, and
// methodID is not looked at; after it, methodID names one of the person's own. Whether anything is sent is decided by
// the worker, and the page does not tell.
func (s *Service) Ask(ctx context.Context, a *Attempt, o Origin, kind method.Kind, methodID string) (*Challenge, error) {
	now := s.Now()
	if err := s.spend(ctx, now, s.bucket(rate{s.Rates.StartsPerOrigin, 10 * time.Minute}, "ask", o.Prefix().String())); err != nil {
		return nil, err
	}
	if len(a.Proofs) == 0 {
		methodID = ""
		offered, err := s.Offered(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(offered, kind) {
			return nil, &fault.Error{Kind: fault.Invalid, Say: message.Key("reset.way.choose"), Field: "way"}
		}
	} else {
		u, err := s.standing(ctx, a)
		if err != nil {
			return nil, err
		}
		ways := u.methods
		if kind == method.IDP {
			methodID, ways = signInMethod, u.signIns()
		}
		ok := slices.ContainsFunc(ways, func(m method.Method) bool {
			return (m.ID == methodID || kind == method.IDP) && m.Kind == kind && u.usable(&m, now) && a.Counts(&m, u.trusts)
		})
		if !ok {
			return nil, &fault.Error{Kind: fault.Invalid, Say: message.Key("reset.way.choose"), Field: "way"}
		}
	}
	c, err := s.Store.AskChallenge(ctx, a.ID, func(a *Attempt) (*Challenge, []event.Event, error) {
		if err := a.Alive(now); err != nil {
			return nil, nil, err
		}
		if a.State != Started && a.State != Proving {
			return nil, nil, Over("step")
		}
		if a.Asked >= MaxAsked {
			return nil, nil, fault.New(fault.Limited, message.Key("reset.asked_enough"))
		}
		a.Asked++
		c := NewChallenge(a, kind, methodID, now)
		e := a.event(now, event.CodeAsked, event.Success).With("kind", string(kind)).With("challenge", c.ID)
		e.Ref, e.Until = c.ID, c.Expires
		if !kind.Delivered() { // nothing to deliver: a fact without work would still make work by its route
			return c, nil, nil
		}
		return c, []event.Event{e}, nil
	})
	s.Crash("after-ask")
	return c, err
}

// Check judges a code, or the JSON a browser made of Options. The try is counted first, in a commit of its own; then the
// same statements run whoever the attempt is about. Every refusal is the same refusal.
func (s *Service) Check(ctx context.Context, a *Attempt, o Origin, challengeID, code string) (*Attempt, error) {
	now := s.Now()
	if err := s.spend(ctx, now, s.bucket(rate{s.Rates.ChecksPerOrigin, time.Hour}, "check", o.Prefix().String())); err != nil {
		return nil, err
	}
	return s.check(ctx, a, challengeID, now, func(u *subject, a *Attempt, c *Challenge) (*method.Method, error) {
		return s.verify(ctx, u, a, c, code, now)
	})
}

func (s *Service) refuse(ctx context.Context, a *Attempt, c *Challenge, now time.Time) error {
	e := a.event(now, event.ProofWrong, event.Failure).With("kind", string(c.Kind)).With("challenge", c.ID).With("tries", c.Tries)
	if _, err := s.Store.UpdateAttempt(ctx, a.ID, func(*Attempt) ([]event.Event, error) { return []event.Event{e}, nil }); err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	// Tries behind a first proof are counted on the method, too: strangers cannot get here, so they cannot exhaust it.
	if len(a.Proofs) > 0 && c.Method != "" && !c.Kind.First() {
		spent := event.New(now, event.MethodSpent, "system", a.Person, a.ID, event.Success).With("method", c.Method).With("kind", string(c.Kind))
		if err := s.Store.Failed(ctx, c.Method, now, spent); err != nil {
			return err
		}
	}
	return WrongCode()
}

// resolve finds the person once per attempt, whichever of worker and first check comes first. For a name nobody has,
// the same statements run and the attempt is tied to nobody.
func (s *Service) resolve(ctx context.Context, a *Attempt, now time.Time) (*Attempt, error) {
	if a.Resolved {
		return a, nil
	}
	p, err := s.Store.FindPerson(ctx, LoginKey(a.Typed))
	if err != nil {
		return nil, err
	}
	a, err = s.Store.UpdateAttempt(ctx, a.ID, func(a *Attempt) ([]event.Event, error) { return a.Resolve(p, now), nil })
	s.Crash("after-resolve")
	return a, err
}

// Tidy removes what people and phones put into codes: spaces, dashes, and full-width digits become plain.
func Tidy(code string) string {
	if len(code) > 200 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '\u00a0' || r == '\u2011' || r == '\u2013' || r == '\t':
			return -1
		case r >= '０' && r <= '９':
			return r - '０' + '0'
		}
		return r
	}, code)
}

// verify returns the method the code proves, or nil. It does the same work for a person and for nobody.
func (s *Service) verify(ctx context.Context, u *subject, a *Attempt, c *Challenge, code string, now time.Time) (*method.Method, error) {
	if c.Kind == method.Passkey {
		return s.verifyPasskey(ctx, u, a, c, code, now)
	}
	code = Tidy(code)
	switch {
	case c.Kind.Delivered():
		right := subtle.ConstantTimeCompare([]byte(s.Keys.Code(c.ID, CodeDigits)), []byte(code)) == 1
		m := u.find(func(m *method.Method) bool { return m.ID == c.Method && m.Kind == c.Kind && u.usable(m, now) })
		if right && m != nil && (c.Send == Sending || c.Send == Sent) {
			return m, nil
		}
		return nil, nil
	case c.Kind == method.RecoveryCode:
		return s.verifyRecovery(ctx, u, a, code, now)
	case c.Kind == method.TOTP && len(a.Proofs) > 0:
		return s.verifyTOTP(ctx, u, c, code, now)
	case c.Kind == method.HOTP && len(a.Proofs) > 0:
		return s.verifyHOTP(ctx, u, c, code, now)
	}
	return nil, nil
}

func (u *subject) find(ok func(*method.Method) bool) *method.Method {
	for i := range u.methods {
		if ok(&u.methods[i]) {
			return &u.methods[i]
		}
	}
	return nil
}
