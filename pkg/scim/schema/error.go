package schema

import (
	"errors"
	"fmt"
	"time"
)

// Code is a scimType of RFC 7644 §3.12, table 9. Empty where the table has none for the status.
type Code string

// The codes of RFC 7644 §3.12.
const (
	InvalidFilter Code = "invalidFilter"
	TooMany       Code = "tooMany"
	Uniqueness    Code = "uniqueness"
	Mutability    Code = "mutability"
	InvalidSyntax Code = "invalidSyntax"
	InvalidPath   Code = "invalidPath"
	NoTarget      Code = "noTarget"
	InvalidValue  Code = "invalidValue"
	InvalidVers   Code = "invalidVers"
	Sensitive     Code = "sensitive"
)

// The codes of RFC 9865 §2.1.
const (
	InvalidCursor Code = "invalidCursor"
	ExpiredCursor Code = "expiredCursor"
	InvalidCount  Code = "invalidCount"
)

// Error is an answer other than success: an HTTP status, a scimType and a detail written for the client's operator.
// Detail names the attribute and never repeats a value, so that a secret sent in the wrong place is not echoed.
// RetryAfter, when set, becomes the header of that name (429, 503). Cause is for the log only. errors.Is compares Status and Type with a target *Error; zero fields of the
// target match anything.
type Error struct {
	Status     int
	Type       Code
	Attr       string
	Detail     string
	RetryAfter time.Duration
	Cause      error
}

// Error returns a text for logs.
func (e *Error) Error() string {
	s := fmt.Sprintf("scim %d", e.Status)
	if e.Type != "" {
		s += " " + string(e.Type)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns Cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an *Error whose non-zero Status and Type are those of e.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t.Status == 0 || t.Status == e.Status) && (t.Type == "" || t.Type == e.Type) && (t.Status != 0 || t.Type != "")
}

// Invalid returns a 400 with a code, about attr; the detail is "attr: text", or text alone when attr is empty.
func Invalid(code Code, attr, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if attr != "" {
		attr = Shown(attr)
		detail = attr + ": " + detail
	}
	return &Error{Status: 400, Type: code, Attr: attr, Detail: detail}
}

// ErrNotFound says that there is no such resource, or none the caller may know of. Answered with 404.
var ErrNotFound = errors.New("resource not found")

// ErrPrecondition says that the version is not the one If-Match asked for (RFC 7644 §3.14). Answered with 412.
var ErrPrecondition = errors.New("the resource has another version")

// ConflictError says that a value that must be unique is taken. Answered with 409 uniqueness.
type ConflictError struct{ Attr string }

// Error names the attribute, never the value.
func (e *ConflictError) Error() string { return e.Attr + ": the value is taken" }

// Shown returns a name a stranger sent, fit for a log or an error: printable ASCII, at most 200 bytes: the longest
// path of a schema fits in.
func Shown(name string) string {
	const most = 200
	cut := false
	if len(name) > most {
		name, cut = name[:most], true
	}
	b := []byte(name)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	if cut {
		return string(b) + "..."
	}
	return string(b)
}
