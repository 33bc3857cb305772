// Package session holds what regain believes about somebody who signed in at their identity provider: who they are here,
// how long that lasts, what a step-up is, and what ends it.
//
//	flow      a sign-in under way: bound to one browser by a cookie, to one answer by its state, taken once
//	identity  what a provider said of somebody, after every check of package signin
//	session   a person signed in, for hours; ends by time, by signing out, by the provider, or with the person's epoch
//	browser   one a person said they trust; it proves nothing
//
// A person is found by (provider, immutable claim) alone. The first sign-in ties the two by the link rule; from then on
// no name, no address and no other claim moves the tie. A reset signs nobody in.
package session

import (
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// How long things last. NIST SP 800-63B-4 §2.2.3: at AAL2 at most 24 hours in all and one hour idle; staff get the
// shorter idle time of AAL3.
const (
	Life        = 12 * time.Hour
	Idle        = time.Hour
	StaffIdle   = 15 * time.Minute
	StepUpLife  = 5 * time.Minute // a step-up older than this changes nothing
	FlowLife    = 10 * time.Minute
	SeenEvery   = time.Minute         // how exactly the last use is kept
	BrowserLife = 90 * 24 * time.Hour // a trusted browser
)

// Session is a person signed in. Version guards every write of it.
type Session struct {
	ID      string // UUIDv7; no capability
	Version int64
	Hash    []byte // SHA-256 of the cookie
	Person  string
	Epoch   int64 // the person's; the session is over when it moves

	IDP      string // name of the provider in the configuration
	Issuer   string
	Subject  string
	SID      string // the provider's own session; "" when it names none (OIDC Back-Channel Logout 1.0 §2.1)
	ACR      string
	AMR      []string
	AuthTime time.Time // when they last proved themselves to the provider; zero when it did not say
	StepUp   time.Time // auth_time of the latest sign-in that passed the provider's accept list; zero: none did

	Network string // prefix it was made from; sealed at rest, as the rest of this block
	Agent   string // browser family
	IDToken string // for the hint of a sign-out (OIDC RP-Initiated Logout 1.0 §2)
	Roles   []RoleClaim
	Claims  []string // names of the claims that came, for whoever wonders why somebody is no staff

	Started time.Time
	Seen    time.Time
	Expires time.Time
	Ended   time.Time
	Why     string // one of the Why constants

	// Read with the session in one join, never written with it.
	LiveEpoch  int64
	LiveActive bool
}

// RoleClaim is one value of a claim that may make somebody staff.
type RoleClaim struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
}

// Alive reports whether the session counts: not ended, in time, used lately, and the person's epoch has not moved.
func (s *Session) Alive(now time.Time) bool {
	return s.Ended.IsZero() && now.Before(s.Expires) && now.Sub(s.Seen) < Idle+SeenEvery && s.LiveActive && s.LiveEpoch == s.Epoch
}

// SteppedUp reports whether a step-up of this session is young enough: at most max old, and never older than StepUpLife.
func (s *Session) SteppedUp(now time.Time, max time.Duration) bool {
	return !s.StepUp.IsZero() && now.Sub(s.StepUp) <= min(max, StepUpLife)
}

// Has reports whether one of the values stands among what the provider said of how the person proved themselves.
func (s *Session) Has(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return v != "" && (v == s.ACR || slices.Contains(s.AMR, v)) })
}

// End closes the session with a word for why. It returns nothing when it had ended.
func (s *Session) End(why, actor string, now time.Time) []event.Event {
	if !s.Ended.IsZero() {
		return nil
	}
	s.Ended, s.Why = now, why
	return []event.Event{event.New(now, event.SessionEnded, actor, s.Person, s.ID, event.Success).With("why", why).With("idp", s.IDP)}
}

// Purpose is what a sign-in is for. The answer to one serves no other.
type Purpose string

// The purposes.
const (
	SignIn Purpose = "sign-in" // makes a session
	StepUp Purpose = "step-up" // the same person again, by what the accept list asks for, just now; makes a new session
	Staff  Purpose = "staff"   // makes a session and wants what a step-up wants
	Proof  Purpose = "proof"   // proves something inside one attempt; makes no session
)

// Flow is a sign-in under way. State and Cookie are hashes: neither the row nor a log holds what the browser holds.
type Flow struct {
	State   []byte // SHA-256 of the state parameter (RFC 6749 §10.12)
	Cookie  []byte // SHA-256 of the secret in the browser's cookie of this flow
	IDP     string
	Purpose Purpose
	Session string // the session a step-up is for; "" else
	Attempt string // the attempt a proof is for; "" else

	// Sealed at rest.
	Nonce     string
	Verifier  string   // PKCE (RFC 7636 §4.1)
	Challenge string   // the challenge of a proof
	Goto      string   // a path of this site to go on with
	App       string   // key of the app to send the person back to; "" for none
	Want      []string // of the accept list, what alone will do for this step-up; none: all of it
	Retried   bool     // the one automatic step-up retry was taken
	Trust     bool     // they asked that this browser be trusted
	Invite    []byte   // hash of a staff invitation that is being redeemed; nil for none
	Lang      string

	Created time.Time
	Expires time.Time
}

// Identity is what a provider said of somebody, after every check of package signin.
type Identity struct {
	IDP      string
	Issuer   string
	Subject  string
	Key      string // value of the provider's immutable claim
	Link     string // value of the claim that is compared with the person at the first sign-in
	SID      string
	ACR      string
	AMR      []string  // amr and acrs together
	AuthTime time.Time // zero when the provider did not say
	Strong   bool      // passed the accept list, and fresh when freshness was asked for
	Roles    []RoleClaim
	Claims   []string
	IDToken  string
}

// Binding is the tie between a provider's account and a person.
type Binding struct {
	IDP     string
	Key     string
	Person  string
	Issuer  string
	Subject string
	Made    time.Time
}

// Browser is one that a person said they trust. It proves nothing.
type Browser struct {
	ID      string
	Hash    []byte
	Person  string
	Epoch   int64
	Agent   string // sealed at rest
	Network string // sealed at rest
	Made    time.Time
	Expires time.Time
}
