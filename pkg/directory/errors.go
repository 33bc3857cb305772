package directory

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The kinds of failure, for errors.Is. Details are in *Error. Each but ErrUnknown means that nothing was written.
var (
	ErrNotFound        = errors.New("user not found")
	ErrAmbiguous       = errors.New("more than one user matches")
	ErrGuarded         = errors.New("account is protected or out of scope")
	ErrDisabled        = errors.New("account disabled")
	ErrAdminLocked     = errors.New("account locked by an administrator")
	ErrLocked          = errors.New("account locked out")
	ErrAccountExpired  = errors.New("account expired")
	ErrMustChange      = errors.New("password must be changed") // Verify: the password itself was right
	ErrPasswordExpired = errors.New("password expired")         // Verify: the password itself was right
	ErrWrongPassword   = errors.New("current password is wrong")
	ErrCannotChange    = errors.New("user may not change password")
	ErrPolicy          = errors.New("password rejected by directory policy") // see Error.Violations
	ErrPermission      = errors.New("service account lacks the right")       // the operator's problem
	ErrConflict        = errors.New("concurrent change of this account")
	ErrBusy            = errors.New("directory busy") // try later, see Error.RetryAfter
	ErrReadOnly        = errors.New("server is read-only or refers elsewhere")
	ErrUnavailable     = errors.New("directory unreachable") // not sent
	ErrUnknown         = errors.New("outcome unknown")       // sent, not answered
	ErrTLS             = errors.New("connection not trusted")
	ErrConfig          = errors.New("adapter misconfigured")
	ErrUnsupported     = errors.New("not supported by this directory")
)

// kinds lists the sentinels that say nothing was written.
var kinds = []error{
	ErrNotFound, ErrAmbiguous, ErrGuarded, ErrDisabled, ErrAdminLocked, ErrLocked, ErrAccountExpired, ErrMustChange,
	ErrPasswordExpired, ErrWrongPassword, ErrCannotChange, ErrPolicy, ErrPermission, ErrConflict, ErrBusy, ErrReadOnly,
	ErrUnavailable, ErrTLS, ErrConfig, ErrUnsupported,
}

// ViolationCode says which rule a password broke. A code this version does not know means Rejected.
type ViolationCode string

// The rules a password can break.
const (
	TooShort      ViolationCode = "too_short"
	TooLong       ViolationCode = "too_long"
	NotComplex    ViolationCode = "not_complex"
	InHistory     ViolationCode = "in_history"
	SameAsCurrent ViolationCode = "same_as_current"
	TooYoung      ViolationCode = "too_young" // the current password may not be replaced yet
	ContainsName  ViolationCode = "contains_name"
	Banned        ViolationCode = "banned" // dictionary, breach list, password filter
	BadCharacters ViolationCode = "bad_characters"
	Rejected      ViolationCode = "rejected" // the directory did not say why
)

// Violation is one broken rule.
type Violation struct {
	Code     ViolationCode
	Limit    int       // TooShort, TooLong: characters; InHistory: depth; 0 unknown
	Until    time.Time // TooYoung: when a new password is accepted; zero unknown
	Inferred bool      // worked out from the policy; the directory itself did not say so
	Text     string    // the directory's own words, for the operator only
}

// Error is a failed call: what it means, whether anything was written, and what the server said.
type Error struct {
	Op         string // "find", "reset", …
	Kind       error  // one of the sentinels
	Outcome    Outcome
	Violations []Violation   // for ErrPolicy, at least one
	RetryAfter time.Duration // for ErrBusy; 0 unknown
	Native     Native
	Err        error // the cause, or nil
}

// Native is what the server said, for the operator: never shown to the person, never containing a secret.
type Native struct {
	Code    int    // LDAP result code, HTTP status, class of SQLSTATE; 0 none
	Sub     string // "0000052D", "data 775", "ppolicy 8"
	Message string // the server's text without control characters, see Clean
	Server  string
}

// Error names operation, kind and codes; the server's text is in Native only.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Kind != nil {
		fmt.Fprintf(&b, ": %v", e.Kind)
	}
	for i, v := range e.Violations {
		b.WriteString([]string{": ", ", "}[min(i, 1)])
		b.WriteString(string(v.Code))
	}
	if e.Native.Code != 0 || e.Native.Sub != "" {
		b.WriteString(strings.TrimRight(fmt.Sprintf(" (%d %s", e.Native.Code, e.Native.Sub), " ") + ")")
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the kind and the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// OutcomeOf returns what an error of a write says about the write: Applied for nil; the outcome of an *Error, with
// ErrUnknown always Unknown; NotApplied for a bare sentinel; and Unknown for every error it does not recognise, because
// what nobody vouches for may have been written.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Applied
	case errors.Is(err, ErrUnknown):
		return Unknown
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return NotApplied
		}
	}
	return Unknown
}

// ViolationsOf returns the rules a refused password broke, or nil. An ErrPolicy without details gives one Rejected.
func ViolationsOf(err error) []Violation {
	if !errors.Is(err, ErrPolicy) {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok && len(e.Violations) > 0 {
		return e.Violations
	}
	return []Violation{{Code: Rejected}}
}

// Clean makes a server's text fit for Native.Message and Violation.Text: control characters become spaces, secrets a
// placeholder, and it ends after 300 bytes.
func Clean(text string, secrets ...Secret) string {
	text = Scrub(text, secrets...)
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.TrimSpace(text)
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
