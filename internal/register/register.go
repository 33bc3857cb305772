// Package register is what people do to their own ways of proving who they are: add, confirm, name, remove.
//
//	overview ─ begin ─ confirm ─ added        an enrolment lives 15 minutes, in the session it was begun in
//	         └ remove ─ gone, or leaving once the hold after a reset has ended
//
// Adding and removing need a step-up of at most five minutes by the very account that signed in, checked in the
// transaction of the change. What is added stands on the session until it has matured; a destination that the person did
// not have a day ago rests first; after a reset everything rests. Every change is told to every other address.
package register

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Times and counts.
const (
	Life       = 15 * time.Minute // of an enrolment
	CodeLife   = 10 * time.Minute
	CodeDigits = 8
	MaxTries   = 5
	MaxSends   = 3 // codes of one enrolment
	MaxSharing = 3 // people one destination may be of
	MaxCodes   = 10
)

// Most is how many ways of a kind a person may have: ten passkeys, five apps, two numbers, three addresses, one list.
var Most = map[method.Kind]int{method.Passkey: 10, method.TOTP: 5, method.SMS: 2, method.Email: 3, method.RecoveryCode: 1}

// State is where an enrolment stands.
type State string

// The states.
const (
	Open  State = "open" // begun: waiting for a code, a passkey, or the word that the codes were saved
	Added State = "added"
	Left  State = "left" // given up, or another was begun
)

// Enrolment is one way on its way. Version guards every write of it.
type Enrolment struct {
	ID      string // UUIDv7; delivered codes and the challenge of a passkey are derived from it with a key and stored nowhere
	Version int64
	Person  string
	Epoch   int64
	Session string
	Kind    method.Kind
	State   State

	// Sealed at rest.
	Destination string   // normalised address or E.164 number
	Secret      []byte   // seed of an app
	Display     string   // what the person calls it
	Codes       []string // a list of recovery codes, until the person says that they saved them; never after

	DestinationHash []byte
	Tries           int
	Sends           int
	Send            reset.SendState
	Created         time.Time
	Expires         time.Time
}

// Record is what a person put off or confirmed about registering.
type Record struct {
	Person   string
	Snoozes  int
	Until    time.Time
	Reviewed time.Time
}

// Store is everything the service keeps. Closures run on locked or guarded rows, may run more than once, and have no side
// effects; what they change commits with their events.
type Store interface {
	Person(ctx context.Context, id string) (*account.Person, error)
	Methods(ctx context.Context, person string) ([]method.Method, error)
	Memberships(ctx context.Context, person string) ([]account.Membership, error)
	Trusts(ctx context.Context) (method.Trusts, error)
	// Connectors returns those who bring people and ways, for their names.
	Connectors(ctx context.Context) ([]client.Connector, error)
	// CodesLeft counts the unused recovery codes of a person, by method.
	CodesLeft(ctx context.Context, person string) (map[string]int, error)

	// PutEnrolment inserts an enrolment and leaves every other open one of its session, in one commit with the events.
	PutEnrolment(ctx context.Context, e *Enrolment, events ...event.Event) error
	// Enrolment returns one; nil when there is none.
	Enrolment(ctx context.Context, id string) (*Enrolment, error)
	// OpenEnrolment returns the open one of a session whose time is not up; nil when there is none.
	OpenEnrolment(ctx context.Context, session string, now time.Time) (*Enrolment, error)
	// TryEnrolment counts one try in a commit of its own and returns the enrolment as it is after; nil when it is not of
	// the session, not open, has no tries left (MaxTries), or its time is up.
	TryEnrolment(ctx context.Context, id, session string, now time.Time) (*Enrolment, error)
	// ResumeEnrolment takes the open enrolment of a session over into another of the same person; false when there is none.
	ResumeEnrolment(ctx context.Context, from, to string) (bool, error)
	UpdateEnrolment(ctx context.Context, id string, change func(*Enrolment) ([]event.Event, error)) (*Enrolment, error)
	// ClaimConfirm moves the delivery of an enrolment's code from asked to sending, for one caller only.
	ClaimConfirm(ctx context.Context, id string) (bool, error)

	// ChangeMethods changes a person's ways in one commit: person, session and methods are locked in that order and handed
	// to change with the enrolment, if one is named. Shared tells for how many other people the enrolment's destination
	// stands, counted behind a lock so that two cannot both be the last allowed. Codes are added to the methods they name.
	// fault.Over when the session or the enrolment is not there or not the person's.
	ChangeMethods(ctx context.Context, session, enrolment string, change func(*Changing) ([]event.Event, error)) error

	// KnownDestination reports whether a person had a destination at the time before.
	KnownDestination(ctx context.Context, person string, hash []byte, before time.Time) (bool, error)
	DestinationHash(kind method.Kind, destination string) []byte

	// Registration returns what is kept of a person; a zero one when nothing is.
	Registration(ctx context.Context, person string) (Record, error)
	// PutRegistration keeps it, in one commit with the events.
	PutRegistration(ctx context.Context, r Record, events ...event.Event) error
	// Record writes facts that come with no other change.
	Record(ctx context.Context, events ...event.Event) error
}

// Changing is what ChangeMethods hands out and takes back.
type Changing struct {
	Session   *session.Session
	Person    *account.Person
	Methods   []method.Method // removed ones included; a new one has an id of its own; none may vanish
	Enrolment *Enrolment      // nil when none was named
	Shared    int
	Codes     []method.Code // recovery codes to add
}

// Policies answers which policy is in force.
type Policies interface {
	Policy(ctx context.Context) (policy.Policy, error)
}

// Keys is what the service needs of the keyring.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
	Code(challenge string, digits int) string
	HashSecret(secret string) (string, error)
}
