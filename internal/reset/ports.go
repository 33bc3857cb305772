package reset

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/directory"
)

// Attempts keeps attempts. Closures run on the current row, may run more than once, and have no side effects; the row,
// the events and their work commit together or not at all.
type Attempts interface {
	CreateAttempt(ctx context.Context, a *Attempt, events ...event.Event) error
	// AttemptByCookie returns the attempt of a browser, with the live epoch of its person; nil when there is none.
	AttemptByCookie(ctx context.Context, cookie []byte) (*Attempt, error)
	Attempt(ctx context.Context, id string) (*Attempt, error)
	UpdateAttempt(ctx context.Context, id string, change func(*Attempt) ([]event.Event, error)) (*Attempt, error)
	// EraseTyped forgets the login name somebody typed; the rest of the attempt stays.
	EraseTyped(ctx context.Context, attempt string) error
	// AskChallenge changes the attempt and inserts the challenge the closure returns.
	AskChallenge(ctx context.Context, attempt string, change func(*Attempt) (*Challenge, []event.Event, error)) (*Challenge, error)
	// FinishAttempt changes attempt, person and write in one commit, locked in the order person, attempt, write.
	FinishAttempt(ctx context.Context, id string, change func(*Attempt, *account.Person, *Write) ([]event.Event, error)) (*Attempt, error)
}

// Challenges keeps challenges.
type Challenges interface {
	Challenge(ctx context.Context, id string) (*Challenge, error)
	// Try counts one try in a commit of its own and returns the challenge as it is after; nil when the challenge is not
	// of this attempt, has no tries left, or is past its time.
	Try(ctx context.Context, id, attempt string, now time.Time) (*Challenge, error)
	// ClaimSend moves a challenge from asked to sending, for one caller only.
	ClaimSend(ctx context.Context, id, method string) (bool, error)
	SetSend(ctx context.Context, id string, state SendState) error
}

// People answers who somebody is and what they have. Every call runs its statements also for an empty id.
type People interface {
	// FindPerson returns the one person a folded login name means; nil when there is none or more than one.
	FindPerson(ctx context.Context, loginKey string) (*account.Person, error)
	Person(ctx context.Context, id string) (*account.Person, error)
	Methods(ctx context.Context, person string) ([]method.Method, error)
	Memberships(ctx context.Context, person string) ([]account.Membership, error)
	Trusts(ctx context.Context) (method.Trusts, error)
}

// Secrets spends what may be used once, each by one guarded statement that tells the winner from everybody else.
type Secrets interface {
	// UseStep claims a time step of an authenticator app: true only when it is later than every step claimed before.
	UseStep(ctx context.Context, methodID string, step int64, now time.Time) (bool, error)
	// RecoveryCodes returns the unused codes of a person under a selector (at most four).
	RecoveryCodes(ctx context.Context, person, selector string) ([]method.Code, error)
	UseRecoveryCode(ctx context.Context, id string, now time.Time) (bool, error)
	// Failed counts one more wrong try in a row of a method and disables it at method.MaxFailures.
	Failed(ctx context.Context, methodID string, now time.Time, spent event.Event) error
	Worked(ctx context.Context, methodID string, now time.Time) error
	// UpdatePerson changes a person, of any connector when it is empty, with their methods in one commit: the counter of a
	// passkey moves behind their lock.
	UpdatePerson(ctx context.Context, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, error)
}

// Writes keeps password writes and links.
type Writes interface {
	// BeginWrite changes the attempt and inserts the write. It returns fault.Conflict with reset.write.running when
	// another write of the same account has not ended.
	BeginWrite(ctx context.Context, attempt string, w *Write, change func(*Attempt) ([]event.Event, error)) (*Attempt, error)
	Write(ctx context.Context, id string) (*Write, error)
	// LastWrite returns the newest write of a person; nil when there is none.
	LastWrite(ctx context.Context, person string) (*Write, error)
	Link(ctx context.Context, person, directory string) (*Link, error)
	// PutLink returns fault.Conflict when the account is linked to another person.
	PutLink(ctx context.Context, l Link, events ...event.Event) error
}

// Store is everything the service keeps.
type Store interface {
	Attempts
	Challenges
	People
	Secrets
	Writes
}

// Policies answers which policy is in force, and what an earlier version said.
type Policies interface {
	Policy(ctx context.Context) (policy.Policy, error)
	PolicyVersion(ctx context.Context, version int64) (policy.Policy, error)
}

// Keys is what the service needs of the keyring.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
	Code(challenge string, digits int) string
	Ticket(parts ...string) string
	CheckTicket(ticket string, parts ...string) bool
	VerifySecret(phc, secret string) bool
	DummyHash() string
}

// Directory is one place where passwords live.
type Directory struct {
	Name      string // from the configuration; stands in links, writes and events
	Label     string // what people call it: "your Contoso account"
	Adapter   directory.Adapter
	Claim     string // which attribute of the person names their account: userName, externalId, emails.work
	Attribute string // which attribute of the account it is compared with: uid, userPrincipalName, mail
	Timeout   time.Duration
	Patience  time.Duration // how long what became of an unanswered write is looked for; 0 means 30 s
	After     time.Duration // how long an old password may still work after a reset, 0 when it stops at once
}
