package signin

import (
	"context"
	"errors"
	"sync"
	"time"
)

// cached is a document of a provider, read when it is first needed, by one request however many wait for it.
type cached[T any] struct {
	now   func() time.Time
	fetch func(context.Context) (T, error)
	age   time.Duration // read again after so long
	life  time.Duration // believed no longer, whatever happens
	retry time.Duration // least time between two reads

	mu      sync.Mutex
	have    T
	fetched time.Time // zero: never
	tried   time.Time
	failed  error
	flight  chan struct{} // closed when the read under way ends; nil when there is none
}

// get returns the document. One that is due is read beside those who go on with what there is; only who has nothing to
// go on with waits, or who asks for a new one. A new one is refused silently within retry of the last read.
func (c *cached[T]) get(ctx context.Context, anew bool) (T, error) {
	c.mu.Lock()
	now := c.now()
	due := anew || c.fetched.IsZero() || now.Sub(c.fetched) >= c.age
	if due && c.flight == nil && (c.tried.IsZero() || now.Sub(c.tried) >= c.retry) {
		c.tried, c.flight = now, make(chan struct{})
		go c.read(context.WithoutCancel(ctx), c.flight)
	}
	flight, wait := c.flight, anew || !c.usable(now)
	c.mu.Unlock()
	if flight != nil && wait {
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usable(c.now()) {
		return c.have, nil
	}
	var none T
	if c.failed == nil {
		return none, errors.Join(errNothing, ctx.Err())
	}
	return none, c.failed
}

var errNothing = errors.New("nothing was read yet")

// readSince reports whether the document was read at a time or later.
func (c *cached[T]) readSince(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.fetched.IsZero() && !c.fetched.Before(at)
}

func (c *cached[T]) usable(now time.Time) bool {
	return !c.fetched.IsZero() && now.Sub(c.fetched) < c.life
}

// read outlives the request that caused it: others may wait for it, and it has a time limit of its own.
func (c *cached[T]) read(ctx context.Context, flight chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	v, err := c.fetch(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed = err; err == nil {
		c.have, c.fetched = v, c.now()
	}
	c.flight = nil
	close(flight)
}
