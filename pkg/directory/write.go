package directory

// Tri says how much a caller insists.
type Tri int

// The degrees. Require fails with ErrUnsupported before anything is written when the directory cannot do it.
const (
	Prefer  Tri = iota // do it if the directory can
	Require            // do it or refuse
	Off                // do not
)

// ResetRequest asks for a new password without the old one.
type ResetRequest struct {
	OpID           string // ties audit lines together; directories that can, use it to recognise a repeated request
	User           Ref
	New            Secret
	Unlock         bool   // lift a lockout by failed attempts, too: in the same write where Capabilities.AtomicUnlock
	MustChange     bool   // the person has to choose another one at the next sign-in
	EnforceHistory Tri    // refuse a password used before
	IfMarker       string // "" or a Status.Marker read just before: refuse with ErrConflict if it has moved
}

// ChangeRequest asks for a new password in exchange for the old one.
type ChangeRequest struct {
	OpID     string
	User     Ref
	Old, New Secret
}

// Outcome says whether a write happened.
type Outcome int

// The outcomes of a write.
const (
	NotApplied Outcome = iota // proven: nothing was written, and nothing will be
	Applied                   // proven: written
	Unknown                   // the request left this process and no answer came: it may be written, even later
)

func (o Outcome) String() string {
	switch o {
	case NotApplied:
		return "not applied"
	case Applied:
		return "applied"
	default:
		return "unknown"
	}
}

// Result is what is known about a write.
type Result struct {
	Outcome  Outcome
	Marker   string // of the account after the write, "" if not read
	Server   string // which server got it
	Unlocked bool   // a lockout was lifted
	// Warnings are for the operator and the audit: "the old password stays valid for 60 min", "unlock failed".
	Warnings []string
}
