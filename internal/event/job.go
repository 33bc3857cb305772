package event

import (
	"context"
	"fmt"
	"time"
)

// Item is one row of work. Ref names what it is about; no secret ever stands in a row.
type Item struct {
	ID       string
	Event    string
	Kind     string
	Ref      string
	Tries    int // how often it was claimed before
	NotAfter time.Time
	Lease    any // what the queue needs to recognise the claim again
}

// Child is one row an item is expanded into: the same event, for one receiver.
type Child struct {
	Kind string
	Ref  string
}

// Handler does the work of one item. What it returns decides: nil, done; Expanded, replaced by children; Later, again
// at a time; Dead, never again but kept to be seen; any other error, again after a back-off.
type Handler func(ctx context.Context, i Item) error

// Expanded asks that an item be replaced by its children.
type Expanded []Child

func (e Expanded) Error() string { return fmt.Sprintf("expanded into %d", len(e)) }

// Later asks that an item be tried again after a while.
type Later struct {
	After time.Duration
	Class string // short word for operators, no personal data
}

func (l Later) Error() string { return "later: " + l.Class }

// Dead asks that an item be kept and not be tried again.
type Dead struct {
	Class string
	Err   error
}

func (d Dead) Error() string { return "dead: " + d.Class }
func (d Dead) Unwrap() error { return d.Err }

// Backoff returns how long to wait after so many tries: 1 s, 2 s, 4 s … at most five minutes.
func Backoff(tries int) time.Duration {
	return min(time.Second<<min(max(tries, 0), 9), 5*time.Minute)
}
