package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
)

// Keys makes keyed hashes; keyring.Ring does.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
}

// Rule is what must be known of a provider to find the person behind one of its accounts for the first time.
type Rule struct {
	Link       string   // attribute of the person that the link claim must equal: userName, externalId or emails.work
	Connectors []string // whose people the provider may speak for; empty: everybody's
}

// Config is what a Service is made of. Every field is needed; Providers may be empty, then nobody can arrive.
type Config struct {
	Store     Store
	Limits    limit.Spender
	Keys      Keys
	Providers map[string]Rule // by the provider's name
	Now       func() time.Time
	Log       *slog.Logger
}

// Service keeps sign-ins under way, sessions and trusted browsers. Its methods are safe for concurrent use.
type Service struct{ Config }

// New returns a service, or an error naming what is missing.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Limits == nil || c.Keys == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("session: store, limits, keys, now and log are needed")
	}
	for name, r := range c.Providers {
		if !slices.Contains([]string{"userName", "externalId", "emails.work"}, r.Link) {
			return nil, fmt.Errorf("session: provider %s: link %q: want userName, externalId or emails.work", name, r.Link)
		}
	}
	return &Service{c}, nil
}

// Origin is where a request came from.
type Origin struct {
	Addr  netip.Addr
	Agent string // browser family
	Lang  string
}

// Prefix returns the network that is counted and shown: one IPv4 address, or an IPv6 /64. The zero Prefix when the
// address is not known.
func (o Origin) Prefix() netip.Prefix { return prefix(o.Addr, 32, 64) }

// Wide returns the wider network of looser limits and of events: IPv4 /24, IPv6 /48.
func (o Origin) Wide() netip.Prefix { return prefix(o.Addr, 24, 48) }

func prefix(a netip.Addr, four, six int) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := four
	if a.Is6() {
		bits = six
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// How often one network may begin a sign-in, and how often it may send logout tokens. An office behind one address that
// comes to work at nine must fit in.
const (
	beginsPerOrigin  = 300 // in ten minutes
	logoutsPerOrigin = 600 // in a minute
)

func (s *Service) spend(ctx context.Context, b ...limit.Bucket) error {
	ok, retry, err := s.Limits.Spend(ctx, s.Now(), b...)
	if err != nil { // a limiter that cannot count lets nobody through
		return fault.Wrap(fault.Unavailable, message.Key("error.unavailable"), fmt.Errorf("limits: %w", err))
	}
	if !ok {
		return &fault.Error{Kind: fault.Limited, Say: message.Key("error.limited", "Minutes", int(retry.Minutes())+1), RetryAfter: retry}
	}
	return nil
}

func (s *Service) bucket(burst int, per time.Duration, purpose, part string) limit.Bucket {
	return limit.Bucket{Key: s.Keys.Hash("limit/"+purpose, part), Burst: burst, Per: per}
}

// Secret returns 32 random bytes as text, for a state, a nonce or a cookie, and the hash that is kept of it.
func Secret() (secret string, hash []byte) {
	secret = randomText()
	return secret, HashOf(secret)
}

// HashOf returns what is kept of a secret.
func HashOf(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

func randomText() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

// Begin keeps a sign-in under way for FlowLife. It sets the times of the flow. fault.Limited when the network began too
// many.
func (s *Service) Begin(ctx context.Context, o Origin, f *Flow) error {
	if err := s.spend(ctx, s.bucket(4*beginsPerOrigin, 10*time.Minute, "signin/wide", o.Wide().String()),
		s.bucket(beginsPerOrigin, 10*time.Minute, "signin", o.Prefix().String())); err != nil {
		return err
	}
	return s.Keep(ctx, f)
}

// Keep stores a flow for FlowLife without counting it: one that goes on with a flow that was taken.
func (s *Service) Keep(ctx context.Context, f *Flow) error {
	if len(f.State) != sha256.Size || len(f.Cookie) != sha256.Size {
		return errors.New("session: a flow without state or cookie")
	}
	f.Created = s.Now()
	f.Expires = f.Created.Add(FlowLife)
	if err := s.Store.PutFlow(ctx, f); err != nil {
		return fmt.Errorf("begin sign-in: %w", err)
	}
	return nil
}

// Take returns the flow of a state, once, to the browser that began it. fault.Over when there is none, it was taken,
// its time is up, or another browser asks; the four cannot be told apart.
func (s *Service) Take(ctx context.Context, state, cookie []byte) (*Flow, error) {
	f, err := s.Store.TakeFlow(ctx, state, cookie, s.Now())
	if err != nil {
		return nil, fmt.Errorf("take sign-in: %w", err)
	}
	if f == nil {
		return nil, fault.New(fault.Over, message.Key("signin.over"))
	}
	return f, nil
}

// prefixSession and prefixBrowser begin the secrets in cookies, so that one is never taken for the other.
const (
	prefixSession = "rgn_session"
	prefixBrowser = "rgn_browser"
)

// Hash returns the hash of a session's cookie, nil when it is none.
func Hash(token string) []byte { return hashToken(token, prefixSession) }

// BrowserHash returns the hash of a trusted browser's cookie, nil when it is none.
func BrowserHash(token string) []byte { return hashToken(token, prefixBrowser) }

func hashToken(token, want string) []byte {
	if p, ok := keyring.TokenPrefix(token); !ok || p != want {
		return nil
	}
	h, _ := keyring.HashToken(token)
	return h
}

// Load returns the session of a cookie; nil when there is none or it does not count any more. It notes the use, at most
// once every SeenEvery.
func (s *Service) Load(ctx context.Context, hash []byte) (*Session, error) {
	if hash == nil {
		return nil, nil
	}
	se, err := s.Store.Session(ctx, hash)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	now := s.Now()
	if se == nil || !se.Alive(now) {
		return nil, nil
	}
	if now.Sub(se.Seen) >= SeenEvery {
		if err := s.Store.SeenSession(ctx, se.ID, now); err != nil {
			return nil, fmt.Errorf("session seen: %w", err)
		}
		se.Seen = now
	}
	return se, nil
}

// farewell is how long a session that was signed out here still tells where its provider is to be told.
const farewell = 5 * time.Minute

// SignedOut returns the session of a cookie that was signed out a moment ago, for the provider's own sign-out; nil
// otherwise.
func (s *Service) SignedOut(ctx context.Context, hash []byte) (*Session, error) {
	if hash == nil {
		return nil, nil
	}
	se, err := s.Store.Session(ctx, hash)
	if err != nil || se == nil || se.Why != WhySignedOut || s.Now().Sub(se.Ended) > farewell {
		return nil, err
	}
	return se, nil
}

// Why a session ended.
const (
	WhySignedOut = "signed_out" // by the person, in this browser
	WhyReplaced  = "replaced"   // by the session of a newer sign-in
	WhyIDP       = "idp"        // the provider said so
	WhyElsewhere = "elsewhere"  // by the person, in another browser
	WhyOther     = "other"      // somebody else came back from a step-up
)

// End ends a session. Ending one that has ended changes nothing.
func (s *Service) End(ctx context.Context, se *Session, why string) error {
	now := s.Now()
	actor := "person:" + se.Person
	if why == WhyOther {
		actor = "stranger"
	}
	_, err := s.Store.UpdateSession(ctx, se.ID, func(x *Session) ([]event.Event, error) { return x.End(why, actor, now), nil })
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// EndOf ends another session of the person of by. fault.NotFound when they have none of that id.
func (s *Service) EndOf(ctx context.Context, by *Session, id string) error {
	other, err := s.Store.SessionByID(ctx, id)
	if err != nil {
		return err
	}
	if other == nil || other.Person != by.Person {
		return fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	return s.End(ctx, other, WhyElsewhere)
}

// Sessions returns the sessions of a person that count, newest first.
func (s *Service) Sessions(ctx context.Context, person string) ([]Session, error) {
	now := s.Now()
	all, err := s.Store.SessionsOf(ctx, person, now)
	return slices.DeleteFunc(all, func(x Session) bool { return !x.Alive(now) }), err
}

// MayLogOut counts a logout token before anything of it is looked at. fault.Limited when a network sends too many.
func (s *Service) MayLogOut(ctx context.Context, o Origin) error {
	return s.spend(ctx, s.bucket(logoutsPerOrigin, time.Minute, "backchannel", o.Prefix().String()))
}

// LoggedOut ends what the provider says has ended (OIDC Back-Channel Logout 1.0 §2.7): its session sid, or every
// session of the subject when sid is "". A token, known by its jti, counts once until a time after which its age alone
// refuses it; first is false for one that was used.
func (s *Service) LoggedOut(ctx context.Context, issuer, sid, subject, jti string, until time.Time) (n int, first bool, err error) {
	now := s.Now()
	first, err = s.Store.SpendOnce(ctx, s.Keys.Hash("logout-token", issuer, jti), until, now)
	if err != nil || !first {
		return 0, false, err
	}
	// The token is spent and the provider will not send it again: a passing fault must not leave the sessions open.
	for range 3 {
		if n, err = s.Store.EndSessions(ctx, issuer, sid, subject, WhyIDP, now); err == nil {
			return n, true, nil
		}
	}
	return 0, true, fmt.Errorf("end sessions: %w", err)
}
