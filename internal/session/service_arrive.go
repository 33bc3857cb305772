package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// Why somebody who signed in at a provider is not let in here.
const (
	refusedProvider = "provider" // not one of the configuration
	refusedUnknown  = "unknown"  // nobody has the link claim's value
	refusedSeveral  = "several"  // more than one has
	refusedInactive = "inactive"
	refusedTied     = "tied"   // the account or the person is tied to another
	refusedIssuer   = "issuer" // the tie was made with another issuer under this name
	refusedOther    = "other"  // a step-up came back as somebody else
)

// refusal is what people read about each. They proved to their provider who they are, so it may be honest.
func refusal(why string) error {
	say := message.Key("signin.refused.unknown")
	switch why {
	case refusedSeveral:
		say = message.Key("signin.refused.several")
	case refusedInactive:
		say = message.Key("signin.refused.inactive")
	case refusedTied, refusedIssuer:
		say = message.Key("signin.refused.tied")
	case refusedOther:
		say = message.Key("signin.refused.other")
	}
	return &fault.Error{Kind: fault.Denied, Say: say, Cause: errors.New("identity refused: " + why)}
}

// Arrive turns an identity into a session and returns the secret for its cookie. old is the session this browser holds,
// nil for none; it ends in the same commit, so that no session outlives a sign-in (ASVS 7.2.4).
//
// A step-up must come back as the account that holds the session: the same provider, issuer and subject. Anybody else
// is refused and the session ends, because whoever sits there now is not the one who signed in. fault.Denied with what
// people may read when the identity is nobody's, is somebody else's, or its person is not active.
func (s *Service) Arrive(ctx context.Context, id Identity, f *Flow, o Origin, old *Session) (token string, _ *Session, err error) {
	switch f.Purpose {
	case SignIn, Staff:
	case StepUp:
		if old == nil {
			return "", nil, fault.New(fault.Over, message.Key("signin.session_over"))
		}
		if id.IDP != old.IDP || id.Issuer != old.Issuer || id.Subject != old.Subject {
			if err := s.End(ctx, old, WhyOther); err != nil {
				return "", nil, err
			}
			return "", nil, s.refuse(ctx, id, refusedOther, old.Person)
		}
	default:
		return "", nil, fmt.Errorf("session: a sign-in for %q makes no session", f.Purpose)
	}
	person, tie, why, err := s.find(ctx, id)
	if err != nil {
		return "", nil, err
	}
	if why != "" {
		return "", nil, s.refuse(ctx, id, why, person)
	}
	token, hash := keyring.NewToken(prefixSession)
	se, why, err := s.arrive(ctx, person, tie, old, func(p *account.Person) (*Session, []event.Event) {
		return s.open(id, f, o, p, hash)
	})
	switch {
	case err != nil:
		return "", nil, err
	case why != "":
		return "", nil, s.refuse(ctx, id, why, person)
	}
	return token, se, nil
}

// Who returns the person of an identity and ties the two when they are new to each other; it makes no session. nil when
// the identity is nobody's who is active here, which is recorded.
func (s *Service) Who(ctx context.Context, id Identity) (*account.Person, error) {
	person, tie, why, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if why == "" {
		_, why, err = s.arrive(ctx, person, tie, nil, func(p *account.Person) (*Session, []event.Event) {
			return nil, []event.Event{s.made(id, p.ID)}
		})
		if err != nil {
			return nil, err
		}
	}
	if why == "" {
		p, err := s.Store.Person(ctx, person)
		switch {
		case err != nil:
			return nil, fmt.Errorf("person: %w", err)
		case p == nil:
			why = refusedUnknown
		case !p.Active:
			why = refusedInactive
		default:
			return p, nil
		}
	}
	if err := s.refuse(ctx, id, why, person); !fault.Is(err, fault.Denied) {
		return nil, err
	}
	return nil, nil
}

// find returns whose the identity is and the tie between the two, which is still to be written when it is new; why says
// why it is nobody's, and then person may be who it is nearly.
func (s *Service) find(ctx context.Context, id Identity) (person string, tie *Binding, why string, err error) {
	rule, known := s.Providers[id.IDP]
	if !known || id.Key == "" || id.Subject == "" {
		return "", nil, refusedProvider, nil
	}
	b, err := s.Store.Binding(ctx, id.IDP, id.Key)
	if err != nil {
		return "", nil, "", fmt.Errorf("identity: %w", err)
	}
	if b != nil {
		// A name of the configuration that now stands for another issuer must not inherit what the old one's accounts
		// are tied to: equal keys there are other people's.
		if b.Issuer != id.Issuer {
			return b.Person, nil, refusedIssuer, nil
		}
		return b.Person, b, "", nil
	}
	if id.Link == "" {
		return "", nil, refusedUnknown, nil
	}
	people, err := s.Store.PeopleBy(ctx, rule.Link, id.Link, rule.Connectors)
	switch {
	case err != nil:
		return "", nil, "", fmt.Errorf("link: %w", err)
	case len(people) == 0:
		return "", nil, refusedUnknown, nil
	case len(people) > 1:
		return "", nil, refusedSeveral, nil
	case !people[0].Active:
		return people[0].ID, nil, refusedInactive, nil // an account that is switched off is tied to nothing, either
	}
	return people[0].ID, &Binding{IDP: id.IDP, Key: id.Key, Person: people[0].ID, Issuer: id.Issuer, Subject: id.Subject, Made: s.Now()}, "", nil
}

// arrive commits what open makes of the locked person.
func (s *Service) arrive(ctx context.Context, person string, tie *Binding, old *Session, open func(*account.Person) (*Session, []event.Event)) (se *Session, why string, err error) {
	replaces := ""
	if old != nil {
		replaces = old.ID
	}
	se, err = s.Store.Arrive(ctx, person, tie, replaces, func(p *account.Person) (*Session, []event.Event, error) {
		if !p.Active {
			return nil, nil, errInactive
		}
		se, events := open(p)
		return se, events, nil
	})
	switch {
	case errors.Is(err, errInactive):
		return nil, refusedInactive, nil
	case fault.Is(err, fault.Conflict):
		return nil, refusedTied, nil
	case fault.Is(err, fault.NotFound): // deleted between looking and locking
		return nil, refusedUnknown, nil
	case err != nil:
		return nil, "", fmt.Errorf("arrive: %w", err)
	}
	return se, "", nil
}

var errInactive = errors.New("person is not active")

// open makes the session and tells of it, and of the tie; the store leaves that out when it is not new, and tells of the
// session that ends.
func (s *Service) open(id Identity, f *Flow, o Origin, p *account.Person, hash []byte) (*Session, []event.Event) {
	now := s.Now()
	se := &Session{
		ID: uuid.Must(uuid.NewV7()).String(), Version: 1, Hash: hash, Person: p.ID, Epoch: p.Epoch,
		IDP: id.IDP, Issuer: id.Issuer, Subject: id.Subject, SID: id.SID, ACR: id.ACR, AMR: id.AMR, AuthTime: id.AuthTime,
		Network: o.Prefix().String(), Agent: o.Agent, IDToken: id.IDToken, Roles: id.Roles, Claims: id.Claims,
		Started: now, Seen: now, Expires: now.Add(Life), LiveEpoch: p.Epoch, LiveActive: true,
	}
	if id.Strong && !id.AuthTime.IsZero() {
		se.StepUp = id.AuthTime
		if se.StepUp.After(now) { // a clock ahead of ours must not make it last longer
			se.StepUp = now
		}
	}
	kind := event.SessionStarted
	if f.Purpose == StepUp {
		kind = event.SessionSteppedUp
	}
	return se, []event.Event{s.made(id, p.ID), event.New(now, kind, "person:"+p.ID, p.ID, se.ID, event.Success).With("idp", id.IDP).
		With("purpose", string(f.Purpose)).With("acr", id.ACR).With("strong", id.Strong).With("network", o.Wide().String()).
		Sealed("network", se.Network).Sealed("agent", o.Agent)}
}

func (s *Service) made(id Identity, person string) event.Event {
	return event.New(s.Now(), event.IdentityMade, "person:"+person, person, "", event.Success).With("idp", id.IDP).With("issuer", id.Issuer).
		Sealed("account", id.Key).Sealed("claim", id.Link)
}

// refuse records that an identity was refused, and returns what people read about it.
func (s *Service) refuse(ctx context.Context, id Identity, why, person string) error {
	e := event.New(s.Now(), event.IdentityRefused, "stranger", person, "", event.Failure).With("idp", id.IDP).With("issuer", id.Issuer).With("why", why).
		Sealed("account", id.Key).Sealed("claim", id.Link)
	if err := s.Store.Record(ctx, e); err != nil {
		return fmt.Errorf("identity refused (%s): %w", why, err)
	}
	s.Log.InfoContext(ctx, "identity refused", "idp", id.IDP, "why", why)
	return refusal(why)
}

// Refused records that an answer of a provider was refused, before anybody is known. why is a word of package signin.
func (s *Service) Refused(ctx context.Context, f *Flow, why string) error {
	e := event.New(s.Now(), event.SignInRefused, "stranger", "", f.Attempt, event.Failure).With("idp", f.IDP).With("purpose", string(f.Purpose)).With("why", why)
	return s.Store.Record(ctx, e)
}
