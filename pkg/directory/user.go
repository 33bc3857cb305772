package directory

import "time"

// Ref names one account for good: an object GUID, an entryUUID, a primary key. Never a DN, which a rename between
// finding and writing changes, and never a login name, which can be given to someone else. It is comparable and no
// secret.
type Ref struct {
	Adapter string // the configured name of the adapter that made it; an adapter refuses others with ErrNotFound
	ID      string // opaque outside the adapter
}

// Query asks for one account.
type Query struct {
	Login  string            // what the person typed, trimmed and NFC; any text, at most 1024 bytes
	Attrs  []string          // the directory's names of the attributes that may match; empty: as configured
	Return []string          // further attributes wanted in User.Attrs; empty: as configured
	Scope  map[string]string // opaque to the caller, from the configuration
}

// User is an account as found.
type User struct {
	Ref     Ref
	Login   string              // the canonical login name, for display and audit
	Attrs   map[string][]string // only those asked for; a missing one is absent
	Groups  []string            // transitive where Capabilities.NestedGroups says so
	Status  Status
	Guarded bool // protected by the directory, out of scope, or the service account itself: never self-service
}

// Status is the state of an account on one server at one moment. Zero times mean none or unknown.
type Status struct {
	Disabled    bool // switched off by an administrator; a reset must not change that
	AdminLocked bool // locked by an administrator; a reset must not change that
	Locked      bool // locked out by failed attempts, and still so: a proven owner may lift it
	LockedUntil time.Time

	AccountExpired       bool
	PasswordExpired      bool
	MustChange           bool // a new password is due at the next sign-in
	CannotChange         bool // the person may not change the password
	PasswordNeverExpires bool
	PasswordChangedAt    time.Time
	ExpiresAt            time.Time // when the password expires

	Marker string // opaque; differs after every password write on this server. "": the directory has none
	Server string // which server answered; Reconcile asks the same one
}

// Policy is the password policy that applies to an account. Zero numbers and durations mean none or unknown.
type Policy struct {
	Source           string // where it was read, for the operator: "pwdPolicy cn=default,…", "domain", "static"
	MinLength        int    // characters
	MaxLength        int    // characters
	History          int    // how many earlier passwords are refused
	MinAge, MaxAge   time.Duration
	Complexity       Complexity
	LockoutThreshold int           // failed attempts; 0: no lockout
	LockoutDuration  time.Duration // negative: until an administrator unlocks
	Partial          bool          // true: there are rules we cannot read (filters, check modules)
}

// Complexity names what kinds of characters a policy wants.
type Complexity int

// The complexity rules. ComplexityAD wants three of five classes (upper, lower, digit, symbol, other letter) and no
// part of the account or display name of three or more characters.
const (
	ComplexityUnknown Complexity = iota
	ComplexityNone
	ComplexityAD
	ComplexityCustom // a rule of the directory's own that cannot be described here
)

// Description is what an adapter and the server behind it are.
type Description struct {
	Name    string // of the adapter: "ldap", "memory"
	Version string // of the adapter
	API     string // the version of this contract it was written for, see API
	Server  string // vendor and version of the server as probed
	Caps    Capabilities
}

// Capabilities are facts about this server and the rights we have on it, probed live and not constants of an adapter:
// the same code on the same product can behave in opposite ways depending on the service account's privileges.
type Capabilities struct {
	Change        bool // with the old password
	ChangeExpired bool // also when the password has expired or must be changed

	Unlock       bool
	AtomicUnlock bool // ResetRequest.Unlock happens in the same write
	ResetUnlocks bool // a side effect: a reset that does not ask for it lifts a lockout, too
	// ResetLiftsAdminLock warns that the adapter cannot exclude that a reset lifts an administrator's lock, because the
	// lock can only be looked up before the write and not in it.
	ResetLiftsAdminLock bool

	MustChange       bool // ResetRequest.MustChange is honoured
	AtomicMustChange bool // in the same write

	Policy        bool // can be read
	PolicyPerUser bool // and may differ between accounts

	ResetEnforcesQuality bool // length and complexity are checked on a reset, not only on a change
	ResetEnforcesHistory bool // so is the history
	ViolationDetail      bool // a refusal says which rule it was

	NestedGroups bool
	Verify       bool
	Marker       bool // Status.Marker is filled and IfMarker is honoured
	// WritesEverywhereVisible is true where there is one primary or synchronous replication: no stale read after a write.
	WritesEverywhereVisible bool

	MaxConcurrentPerUser int // writes at once to one account; 1: serialise them
	SuggestedConcurrency int // calls at once to the server; more only queue
}
