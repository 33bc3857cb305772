package session

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
)

// Flows keeps sign-ins under way.
type Flows interface {
	PutFlow(ctx context.Context, f *Flow) error
	// TakeFlow removes and returns the flow of a state, for one caller only: nil when there is none, its time is up, or
	// the cookie is another browser's. A wrong cookie does not remove it.
	TakeFlow(ctx context.Context, state, cookie []byte, now time.Time) (*Flow, error)
}

// Sessions keeps sessions.
type Sessions interface {
	// Session returns a session by the hash of its cookie, with the live epoch of its person; nil when there is none.
	Session(ctx context.Context, hash []byte) (*Session, error)
	// SessionByID returns it by its id.
	SessionByID(ctx context.Context, id string) (*Session, error)
	// UpdateSession runs change on the current row and commits it with the events. fault.NotFound when there is none.
	UpdateSession(ctx context.Context, id string, change func(*Session) ([]event.Event, error)) (*Session, error)
	// SeenSession notes that a session was used, at most once every SeenEvery.
	SeenSession(ctx context.Context, id string, now time.Time) error
	// SessionsOf returns the sessions of a person that have not ended and whose time is not up, newest first, at most 100.
	SessionsOf(ctx context.Context, person string, now time.Time) ([]Session, error)
	// EndSessions ends every open session that an identity provider's session (sid), or all of a subject when sid is "",
	// made, and returns how many.
	EndSessions(ctx context.Context, issuer, sid, subject, why string, now time.Time) (int, error)
	// SpendOnce claims a key until a time: true for one caller only.
	SpendOnce(ctx context.Context, key []byte, until, now time.Time) (bool, error)
}

// Arrivals turns an identity into a person and a session in one commit.
type Arrivals interface {
	// Binding returns the tie of a provider's account; nil when there is none.
	Binding(ctx context.Context, idp, key string) (*Binding, error)
	// PeopleBy returns at most two people, active or not, whose userName, externalId or emails.work is the value: folded
	// as names are for userName and emails.work, to the letter for externalId. Only those of the connectors named; of any
	// when there is none.
	PeopleBy(ctx context.Context, attribute, value string, connectors []string) ([]*account.Person, error)
	// Arrive runs change on the person, locked, and commits with its events: the binding when it is new, the session, and
	// the end of the session it replaces ("" for none) with an event of its own. A change without a session makes the
	// binding alone; events of type identity.made are left out when the binding is not new. fault.Conflict when the account
	// is tied to somebody else, or the person to another account of that provider. fault.NotFound when there is no such
	// person.
	Arrive(ctx context.Context, person string, b *Binding, replaces string, change func(*account.Person) (*Session, []event.Event, error)) (*Session, error)
	Person(ctx context.Context, id string) (*account.Person, error)
}

// Notices acts on what providers say of their accounts.
type Notices interface {
	// Hear runs change on the person that an account of a provider is tied to, locked, and commits with it, all of it or
	// nothing: the notice's key spent until a time, the person, the end of sessions, and the events. first is false, and
	// nothing happens, when the key was spent before. person is "" when the account is nobody's here: then the key alone is
	// spent. The closure may run more than once.
	Hear(ctx context.Context, n *Notice, key []byte, until, now time.Time, change func(*account.Person, Crowd) (Effect, error)) (person string, first bool, err error)
}

// Browsers keeps trusted browsers.
type Browsers interface {
	PutBrowser(ctx context.Context, b *Browser, events ...event.Event) error
	// BrowserByHash returns a browser whose epoch is its person's and whose time is not up; nil when there is none.
	BrowserByHash(ctx context.Context, hash []byte, now time.Time) (*Browser, error)
	// BrowsersOf returns those of a person that count, newest first, at most 100.
	BrowsersOf(ctx context.Context, person string, now time.Time) ([]Browser, error)
	// ForgetBrowser deletes one of a person's; false when they have none of that id.
	ForgetBrowser(ctx context.Context, person, id string, events ...event.Event) (bool, error)
}

// Store is everything the service keeps.
type Store interface {
	Flows
	Sessions
	Arrivals
	Browsers
	Notices
	// Record writes facts that come with no other change.
	Record(ctx context.Context, events ...event.Event) error
}
