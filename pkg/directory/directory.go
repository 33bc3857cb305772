// Package directory says what a password directory must do for regain: the contract between the program that decides
// who may set a password and the code that writes it into Active Directory, OpenLDAP, a database or anything else.
//
// An adapter implements [Adapter] and those of the optional interfaces ([Changer], [Unlocker], [ForceChanger],
// [PolicyReader], [Lister], [PasswordTester], [Reconciler]) that its directory can honour. One reset runs like this:
//
//	Describe   what can this server do, with the rights we have?      once, and again after a reconnect
//	FindUser   login name → User with an immutable Ref
//	Status     locked? disabled? and a Marker taken before the write
//	Reset      one write, sent at most once → Applied, NotApplied or Unknown
//	Reconcile  only after Unknown: did it land after all?
//
// # Outcomes
//
// A write has three outcomes, and the third is no error in disguise. A directory that is asked and does not answer in
// time may write the password anyway, even after the connection was closed; so once a request has left the process,
// silence is [Unknown] and never [NotApplied]. An adapter never sends a write twice: a blind repeat of a write that
// landed is refused by the password history, and the person is told "you used this before" about the password that now
// is theirs. Finding, Status and Policy may be repeated, and on another server.
//
// # Errors
//
// Errors are [*Error] values around one of the sentinels, for errors.Is; [OutcomeOf] reads the outcome out of any
// error. Callers group them:
//
//	ErrPolicy ErrWrongPassword                       tell the person which rule it was
//	ErrDisabled ErrAdminLocked ErrGuarded            tell only after proof of identity: ask the help desk
//	ErrAccountExpired ErrCannotChange                the same
//	ErrNotFound ErrAmbiguous                         never tell an anonymous visitor
//	ErrPermission ErrTLS ErrConfig ErrReadOnly       a service problem: page the operator
//	ErrBusy ErrUnavailable ErrConflict               nothing was changed, try later
//	ErrUnknown                                       reconcile; say that it could not be confirmed
//
// No error, warning or log line of an adapter contains a password, in clear or hashed. [Secret] helps: it prints itself
// as a placeholder everywhere, and only [Secret.Reveal] gives the text.
//
// # Stability
//
// This package is public and follows semantic versioning together with [API]: within one major version nothing is
// removed, no method is added to an existing interface and no meaning changes. New abilities arrive as new optional
// interfaces, new struct fields whose zero value keeps today's behaviour, new error sentinels and new violation codes;
// treat a sentinel you do not know by its Outcome. Structs must be written with field names. The package imports the
// standard library only, and package directorytest judges whether an adapter keeps these promises.
package directory

import (
	"context"
	"time"
)

// API is the version of this contract, "major.minor". An adapter reports the version it was written for in
// Description.API; the majors must match, minors only add.
const API = "1.0"

// Adapter is the part every directory must implement.
//
// All methods are safe for concurrent use. The deadline of ctx is the whole budget of a call: an adapter stops waiting
// at the deadline (the kit allows 250 ms on top). A context that ended before a request was sent gives an error with
// outcome NotApplied; one that ends after it was sent gives ErrUnknown with outcome Unknown, unless the answer is known.
type Adapter interface {
	// Describe probes the live server and says what it and our rights on it allow. It may be called again at any time,
	// for example after a reconnect. Returns ErrUnavailable, ErrTLS, ErrConfig.
	Describe(ctx context.Context) (Description, error)

	// FindUser returns the one account whose login attribute equals q.Login. Comparison follows the directory, which as
	// a rule ignores case. Text in q.Login is data: filter or query syntax in it matches nothing but itself. Returns
	// ErrNotFound when nothing matches, ErrAmbiguous when more than one account does (never "the first"),
	// ErrUnavailable, ErrTLS, ErrConfig. A disabled, locked or guarded account is found, and says so.
	FindUser(ctx context.Context, q Query) (User, error)

	// Status reads the state of an account afresh, from the server that would be written to. Returns ErrNotFound,
	// ErrUnavailable, ErrTLS.
	Status(ctx context.Context, r Ref) (Status, error)

	// Reset sets a new password without knowing the old one, by the rights of the service. It never lifts an
	// administrator's lock and never enables an account: it returns ErrAdminLocked, ErrDisabled or ErrGuarded and writes
	// nothing. Result.Outcome and OutcomeOf(err) say whether it was written; when both a result and an error are
	// returned they agree. Returns ErrPolicy with Violations when the directory refuses the password; ErrConflict when
	// req.IfMarker no longer holds or another write got in between; ErrBusy and ErrUnavailable when nothing was sent;
	// ErrUnsupported when req.EnforceHistory is Require and the directory would not check; ErrUnknown when the request
	// was sent and no answer came. What fails after the password was written (an unlock as a second step) is a warning
	// in an Applied result, not an error. Sent at most once; callers run one write per account at a time.
	Reset(ctx context.Context, req ResetRequest) (Result, error)

	// Health says whether the directory answers now: nil, ErrUnavailable, ErrTLS, ErrConfig or ErrPermission. It
	// changes nothing and is cheap enough for every few seconds.
	Health(ctx context.Context) error

	// Close releases connections; calls afterwards return ErrUnavailable with outcome NotApplied. It waits for no call
	// in flight longer than that call's own deadline, and may be called more than once.
	Close() error
}

// Changer changes a password by knowledge of the old one, also for an account whose password has expired or must be
// changed when Capabilities.ChangeExpired says so. Returns ErrWrongPassword when the old password is wrong (such a try
// may count towards the directory's lockout), otherwise as Reset. Safe for concurrent use.
type Changer interface {
	Change(ctx context.Context, req ChangeRequest) (Result, error)
}

// Unlocker lifts a lockout that failed attempts caused. An account that is not locked is left as it is and reported as
// Applied. Returns ErrAdminLocked, ErrDisabled or ErrGuarded without writing when it is more than a lockout. Safe for
// concurrent use; may be repeated.
type Unlocker interface {
	Unlock(ctx context.Context, r Ref) (Result, error)
}

// ForceChanger sets or clears the mark that makes a person choose a new password at the next sign-in. Returns
// ErrAdminLocked, ErrDisabled or ErrGuarded without writing, otherwise as Reset. Safe for concurrent use; may be
// repeated.
type ForceChanger interface {
	RequireChange(ctx context.Context, r Ref, must bool) (Result, error)
}

// PolicyReader reads the password policy that applies to one account, so that a person sees the rules before typing.
// Policy.Partial is true when the directory has rules the service cannot read. Safe for concurrent use.
type PolicyReader interface {
	Policy(ctx context.Context, r Ref) (Policy, error)
}

// Lister pages through people: for directories that nothing provisions from, and for expiry reminders. A page has at
// most 500 users; next is "" after the last one, otherwise the cursor of the following page. A zero since lists
// everyone; otherwise accounts changed at or after it, and a directory that cannot say so lists everyone. People who
// change while being paged may appear twice, but none is left out. An unknown cursor is ErrConfig. Safe
// for concurrent use.
type Lister interface {
	List(ctx context.Context, cursor string, since time.Time) (page []User, next string, err error)
}

// PasswordTester tries a password once, as a sign-in would, and may count towards lockout. It returns nil when it is
// right; ErrWrongPassword; ErrLocked, ErrAdminLocked, ErrDisabled, ErrAccountExpired; ErrMustChange or
// ErrPasswordExpired when the password was right but opens nothing before it is changed. Safe for concurrent use.
type PasswordTester interface {
	Verify(ctx context.Context, r Ref, password Secret) error
}

// Reconciler answers "was it written?" after Unknown, on the server that got the write. before is the status read
// before the write. password may be empty, after a restart: then marker and author of the last write decide alone. It looks
// again until ctx ends and answers Applied or NotApplied on proof only; an unchanged marker is no proof that a write in
// flight cannot still land, so the answer then is Unknown. The error says why it could not look; with a nil error
// Unknown means it looked and saw no proof. Safe for concurrent use; may be repeated.
type Reconciler interface {
	Reconcile(ctx context.Context, r Ref, before Status, password Secret) (Outcome, error)
}
