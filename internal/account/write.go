package account

import (
	"errors"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// PersonWrite is one of several writes of people that share a commit: it creates New with Methods and Events, or runs Change
// on the person ID, or deletes the person ID with Events.
type PersonWrite struct {
	New     *Person
	Methods []method.Method // of New
	Events  []event.Event

	ID            string
	Change        func(*Person, *[]method.Method) ([]event.Event, error)
	ExpectVersion int64 // of one who is deleted; 0: whichever

	FailOn int // not 0: left out, with ErrNotDone, once that many before it failed
}

// PersonResult is what became of a write: the person as they are afterwards, nil for one who was deleted, or an error.
type PersonResult struct {
	Person *Person
	Err    error
}

// ErrNotDone is the result of a write that was left out because of those before it.
var ErrNotDone = errors.New("left out")

// ErrHalt ends a batch where a Change returns it: what came before stands, that write and those after it are left out.
var ErrHalt = errors.New("the batch ends here")
