// Package work carries out what committed events brought along: it leases rows of work, hands each to the handler of
// its kind, and backs off, buries or forgets it by what the handler says.
//
// Work is leased, not locked: a worker that dies leaves its rows to others when the lease runs out, so a handler may run
// twice for one row and must be repeatable. Every replica runs workers; the one that committed work is woken as a hint,
// and all poll each second.
package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// Queue is where rows of work are kept. Done, Retry, Bury and Expand change nothing when the lease was lost.
type Queue interface {
	// Claim leaves alone what is for one of held: items whose ref begins with it.
	Claim(ctx context.Context, now time.Time, owner string, kinds, held []string, n int, lease time.Duration) ([]event.Item, error)
	Done(ctx context.Context, i event.Item) error
	Retry(ctx context.Context, i event.Item, notBefore time.Time, class string) error
	Bury(ctx context.Context, i event.Item, class string, now time.Time) error
	// Expand puts children in the place of an item, once, however often it runs.
	Expand(ctx context.Context, i event.Item, children []event.Child) error
	Wake() <-chan struct{}
}

// Config is what a Pool is made of. Lanes is how many items are worked on at once; 0 means 8.
//
// Work of the kinds in Aside lasts as long as strangers please, as a request to somebody's server does. It has lanes of its
// own, asideLanes for each, and takes none of the others, so that a code somebody waits for never stands behind it. Held
// names whom of these strangers nothing can be done for at the moment: what waits for them waits where it is, or those who
// are slow would soon have every lane, and what is due to everybody else would stand behind all that waits for them.
type Config struct {
	Queue    Queue
	Handlers map[string]event.Handler
	Aside    []string // kinds; those without a handler are passed over
	Held     func() []string
	Owner    string // names this process in leases
	Lanes    int
	Lease    time.Duration // 0 means 60 seconds; a handler is cancelled shortly before it ends
	Now      func() time.Time
	Log      *slog.Logger
	Poll     time.Duration // 0 means one second
}

// asideLanes is how many lanes work set aside has for each of the others: it waits for answers most of the time.
const asideLanes = 4

// Pool runs handlers until its context ends.
type Pool struct {
	Config
	kinds, aside []string
}

// New returns a pool.
func New(c Config) *Pool {
	if c.Lanes == 0 {
		c.Lanes = 8
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	p := &Pool{Config: c}
	for k := range c.Handlers {
		if slices.Contains(c.Aside, k) {
			p.aside = append(p.aside, k)
		} else {
			p.kinds = append(p.kinds, k)
		}
	}
	return p
}

// Run works until ctx ends and every handler that was started has returned.
func (p *Pool) Run(ctx context.Context) {
	if len(p.aside) == 0 {
		p.run(ctx, p.kinds, p.Lanes, nil, p.Queue.Wake())
		return
	}
	// A hint says nothing of the kind of the new work, and goes to one who waits: it is passed on to both.
	here, there := make(chan struct{}, 1), make(chan struct{}, 1)
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx, p.kinds, p.Lanes, nil, here) })
	running.Go(func() { p.run(ctx, p.aside, p.Lanes*asideLanes, p.Held, there) })
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-p.Queue.Wake():
			for _, c := range []chan struct{}{here, there} {
				select {
				case c <- struct{}{}:
				default: // a hint is waiting already
				}
			}
		}
	}
	running.Wait()
}

func (p *Pool) run(ctx context.Context, kinds []string, lanes int, held func() []string, wake <-chan struct{}) {
	if held == nil {
		held = func() []string { return nil }
	}
	free := make(chan struct{}, lanes)
	ended := make(chan struct{}, 1) // when something is held, the end of anything may be what it waits for
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(p.Poll)
	defer tick.Stop()
	for {
		if ctx.Err() != nil {
			return
		}
		room := lanes - len(free)
		n := 0
		var ends <-chan struct{}
		if room > 0 {
			but := held()
			if len(but) > 0 {
				ends = ended
			}
			items, err := p.Queue.Claim(ctx, p.Now(), p.Owner, kinds, but, room, p.Lease)
			if err != nil && ctx.Err() == nil {
				p.Log.WarnContext(ctx, "work not claimed", "err", err)
			}
			n = len(items)
			for _, i := range items {
				free <- struct{}{}
				running.Go(func() {
					defer func() {
						<-free
						select {
						case ended <- struct{}{}:
						default: // it is known already
						}
					}()
					p.do(context.WithoutCancel(ctx), i)
				})
			}
		}
		if n > 0 && n == room { // there may be more: look again as soon as a lane is free
			select {
			case <-ctx.Done():
			case free <- struct{}{}:
				<-free
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-ends:
		case <-tick.C:
		}
	}
}

func (p *Pool) do(ctx context.Context, i event.Item) {
	hctx, cancel := context.WithTimeout(ctx, p.Lease*9/10)
	defer cancel()
	err := p.handle(hctx, i)
	now := p.Now()
	var expanded event.Expanded
	var later event.Later
	var dead event.Dead
	switch {
	case err == nil:
		err = p.Queue.Done(ctx, i)
	case errors.As(err, &expanded):
		err = p.Queue.Expand(ctx, i, expanded)
	case errors.As(err, &later):
		err = p.Queue.Retry(ctx, i, now.Add(later.After), later.Class)
	case errors.As(err, &dead):
		p.Log.WarnContext(ctx, "work given up", "work", i.ID, "kind", i.Kind, "class", dead.Class, "err", dead.Err)
		err = p.Queue.Bury(ctx, i, dead.Class, now)
	default:
		p.Log.WarnContext(ctx, "work failed", "work", i.ID, "kind", i.Kind, "tries", i.Tries, "err", err)
		err = p.Queue.Retry(ctx, i, now.Add(event.Backoff(i.Tries)), "error")
	}
	if err != nil { // the lease runs out and somebody does it again
		p.Log.WarnContext(ctx, "end of work not recorded", "work", i.ID, "kind", i.Kind, "err", err)
	}
}

func (p *Pool) handle(ctx context.Context, i event.Item) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	h, ok := p.Handlers[i.Kind]
	if !ok {
		return event.Dead{Class: "no-handler"}
	}
	return h(ctx, i)
}
