package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

// NoticeKind is what a provider says happened to one of its accounts.
type NoticeKind string

// The kinds. Whatever they say, the rules for a person become stricter or end as they began; none gives anybody anything.
const (
	SessionsRevoked      NoticeKind = "sessions_revoked"      // sessions the provider made for the person here end
	CredentialCompromise NoticeKind = "credential_compromise" // everything open ends, and account.Compromised is raised
	AccountDisabled      NoticeKind = "account_disabled"      // everything open ends, and account.Disabled is raised
	AccountEnabled       NoticeKind = "account_enabled"       // account.Disabled of the same provider is over
)

// Notice is what a provider said of an account of its own, after every check of package signin.
type Notice struct {
	IDP     string // name of the provider in the configuration
	Issuer  string // the provider's, as at sign-ins
	Subject string
	Kind    NoticeKind
	From    string    // who signed it: the issuer of the statement
	ID      string    // the statement's own, different from every other of the same issuer (jti)
	At      time.Time // when it was made, by the provider's clock
}

// Actor is who acts, in events.
func (n *Notice) Actor() string { return "idp:" + n.IDP }

// NoticeLife is how old a statement may be when it comes, and noticeKept for how long it is known again after that.
const (
	NoticeLife = 7 * 24 * time.Hour
	noticeKept = 24 * time.Hour
)

// A provider that shuts more than so many people, and more than one in so many of those it has here, within this time, has
// gone wrong itself, or is in other hands: no more are kept from resetting. Whoever has no password and no reset either
// could not be helped by anybody but staff.
const (
	CrowdTime  = 10 * time.Minute
	crowdLeast = 20
	crowdPart  = 5              // one in so many
	crowdQuiet = 24 * time.Hour // administrators are told of it once in so long
)

// Crowd is how many different people a provider shut within CrowdTime, this one included, of how many it has here, and when
// that was last told.
type Crowd struct {
	Shut, All int
	Told      time.Time
}

// brakes reports whether they are too many.
func (c Crowd) brakes() bool { return c.Shut > crowdLeast && c.Shut*crowdPart > c.All }

// Effect is what else is to be committed with a notice.
type Effect struct {
	Events []event.Event
	End    bool // the sessions that the provider made for the person end
	Told   bool // administrators are told that it shuts too many
}

// noticesPerOrigin is how many statements one network may send in a minute. A provider may tell of a whole company at once.
const noticesPerOrigin = 3000

// MayNotify counts a statement before anything of it is looked at. fault.Limited when a network sends too many.
func (s *Service) MayNotify(ctx context.Context, o Origin) error {
	return s.spend(ctx, s.bucket(noticesPerOrigin, time.Minute, "notices", o.Prefix().String()))
}

// Heard acts once on what a provider says of one of its accounts. It returns whose the account is, "" for nobody's, and
// whether it is said for the first time; saying it again changes nothing. Effect and memory are one commit: one that was
// not remembered had no effect and may be sent again.
func (s *Service) Heard(ctx context.Context, n *Notice) (person string, first bool, err error) {
	if _, known := s.Providers[n.IDP]; !known || n.IDP == "" || n.Issuer == "" || n.ID == "" || n.From == "" {
		return "", false, errors.New("session: a notice of no provider")
	}
	now := s.Now()
	key, until := s.Keys.Hash("notice", n.From, n.ID), now.Add(NoticeLife+noticeKept)
	for range 3 { // others change the person at the same moment
		person, first, err = s.Store.Hear(ctx, n, key, until, now, func(p *account.Person, c Crowd) (Effect, error) { return n.act(p, c, now) })
		if !fault.Is(err, fault.Conflict) {
			break
		}
	}
	if err != nil {
		return "", false, fmt.Errorf("notice: %w", err)
	}
	return person, first, nil
}

// act changes the person as the notice says.
func (n *Notice) act(p *account.Person, c Crowd, now time.Time) (Effect, error) {
	e := event.New(now, event.SignalReceived, n.Actor(), p.ID, "", event.Success).With("idp", n.IDP).With("signal", string(n.Kind))
	switch n.Kind {
	case SessionsRevoked:
		return Effect{Events: []event.Event{e.With("effect", "sessions")}, End: true}, nil
	case CredentialCompromise:
		return Effect{Events: []event.Event{raise(p, e, n, account.Compromised, now)}}, nil
	case AccountDisabled:
		if c.brakes() {
			out := Effect{Events: []event.Event{e.With("effect", "braked")}, End: true}
			if out.Told = c.Told.IsZero() || now.Sub(c.Told) >= crowdQuiet; out.Told {
				out.Events = append(out.Events, event.New(now, event.SignalFlooded, n.Actor(), "", "", event.Failure).With("idp", n.IDP).With("people", c.Shut).With("of", c.All))
			}
			return out, nil
		}
		return Effect{Events: []event.Event{raise(p, e, n, account.Disabled, now)}}, nil
	case AccountEnabled:
		effect := "none"
		if p.Clear(n.IDP, n.At) {
			effect, p.Updated = "cleared", now
		}
		return Effect{Events: []event.Event{e.With("effect", effect)}}, nil
	}
	return Effect{}, fmt.Errorf("session: a notice of kind %q", n.Kind)
}

// raise ends everything the person has open, by their epoch, and makes the rules for them stricter.
func raise(p *account.Person, e event.Event, n *Notice, kind account.AlertKind, now time.Time) event.Event {
	p.Epoch++
	p.Updated = now
	if a := p.Raise(n.IDP, kind, n.At, now); a != nil {
		e = e.With("effect", string(kind))
		if a.Confirmed.IsZero() {
			e = e.With("until", a.Until.UTC().Format(time.RFC3339))
		}
		return e
	}
	return e.With("effect", "everything")
}
