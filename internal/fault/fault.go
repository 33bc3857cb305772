// Package fault gives an error two faces: what anyone may read, and a cause only operators see.
package fault

import (
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/message"
)

// Kind says what went wrong in terms every edge can translate; each edge has one table from Kind to its protocol.
type Kind int

// The kinds. Internal is the zero value: an error nobody marked is our own fault and its text stays inside.
const (
	Internal    Kind = iota // our bug or an unmarked failure
	Invalid                 // the input cannot be understood or breaks a rule
	NotFound                // no such thing, or none the caller may know of
	Conflict                // the thing changed meanwhile, or is taken
	Denied                  // the caller may not do this
	Limited                 // too many; RetryAfter says when
	Unavailable             // something we need is down; nothing was changed
	Over                    // the attempt, code or ticket has ended
)

var names = [...]string{"internal", "invalid", "not found", "conflict", "denied", "limited", "unavailable", "over"}

func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Error is a kind, a message anyone may see, and a cause only operators read. Say is a key of the catalogue and its
// arguments, never built from Cause. Field names the input at fault, when there is one.
type Error struct {
	Kind       Kind
	Say        message.Message
	Field      string
	RetryAfter time.Duration
	Cause      error
}

// New returns an error of a kind with a message and no cause.
func New(kind Kind, say message.Message) *Error { return &Error{Kind: kind, Say: say} }

// Wrap returns an error of a kind with a message for people and a cause for operators.
func Wrap(kind Kind, say message.Message, cause error) *Error {
	return &Error{Kind: kind, Say: say, Cause: cause}
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s (%s): %v", e.Kind, e.Say.Key, e.Cause)
	}
	return fmt.Sprintf("%s (%s)", e.Kind, e.Say.Key)
}

func (e *Error) Unwrap() error { return e.Cause }

// Read returns what an edge may show. An error nobody marked is Internal, and its text is replaced.
func Read(err error) (Kind, message.Message) {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != Internal {
		return e.Kind, e.Say
	}
	return Internal, message.Key("error.internal")
}

// Is reports whether err carries the kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}
