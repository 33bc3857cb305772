package memory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Fault is a way in which real directories fail.
type Fault struct {
	Kind FaultKind
	// Delay is for LateWrite how long after the caller gave up the write lands, for Slow how long each answer takes.
	Delay time.Duration
}

// FaultKind names a fault, as on the command line.
type FaultKind string

// The faults. A timeout lasts until the caller's deadline.
const (
	None               FaultKind = "none"
	Unavailable        FaultKind = "unavailable"          // nothing can be reached; nothing is sent
	TimeoutBeforeWrite FaultKind = "timeout-before-write" // a write is sent and lost: not applied, and nobody can know
	TimeoutAfterWrite  FaultKind = "timeout-after-write"  // a write is applied and its answer is lost
	LateWrite          FaultKind = "late-write"           // a write is applied after the caller gave up
	Slow               FaultKind = "slow"                 // every answer takes Delay; a write lands even if nobody waits
	Silent             FaultKind = "silent"               // nothing is answered and nothing is applied
)

// ParseFault reads a fault from the command line: a kind, and for late-write and slow optionally a delay behind a comma,
// as "late-write,2s". The delay is one second otherwise.
func ParseFault(text string) (Fault, error) {
	kind, delay, _ := strings.Cut(text, ",")
	f := Fault{Kind: FaultKind(kind)}
	switch f.Kind {
	case None, Unavailable, TimeoutBeforeWrite, TimeoutAfterWrite, Silent:
		if delay != "" {
			return Fault{}, fmt.Errorf("fault %q: %s takes no delay", text, kind)
		}
	case LateWrite, Slow:
		f.Delay = time.Second
		if delay != "" {
			d, err := time.ParseDuration(delay)
			if err != nil || d < 0 {
				return Fault{}, fmt.Errorf("fault %q: want a delay like 2s", text)
			}
			f.Delay = d
		}
	default:
		return Fault{}, fmt.Errorf("fault %q: want one of %s %s %s %s %s %s %s", text,
			None, Unavailable, TimeoutBeforeWrite, TimeoutAfterWrite, LateWrite, Slow, Silent)
	}
	return f, nil
}

// SetFault replaces the fault from now on. Calls that wait inside a silent directory go on when the fault changes.
func (d *Directory) SetFault(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.fault = f
	close(d.turned)
	d.turned = make(chan struct{})
}

// bound gives a context without a deadline one.
func (d *Directory) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.cfg.Timeout)
}

// enter begins a call that only reads: it fails or waits as the fault wants.
func (d *Directory) enter(ctx context.Context, op string) error {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	for {
		d.mu.Lock()
		fault, turned, closed := d.fault, d.turned, d.closed
		d.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return &directory.Error{Op: op, Kind: directory.ErrUnavailable, Err: err}
		}
		if closed || fault.Kind == Unavailable {
			return refuse(op, directory.ErrUnavailable)
		}
		var wait <-chan time.Time
		switch fault.Kind {
		case Slow:
			timer := time.NewTimer(fault.Delay)
			defer timer.Stop()
			wait = timer.C
		case Silent:
		default:
			return nil
		}
		select {
		case <-wait:
			return nil
		case <-turned:
		case <-ctx.Done():
		}
	}
}

// write runs apply as the one request of a write. apply runs with d.mu held, at most once, and perhaps after write has
// returned.
func (d *Directory) write(ctx context.Context, op string, apply func() (directory.Result, error)) (directory.Result, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return directory.Result{}, &directory.Error{Op: op, Kind: directory.ErrUnavailable, Err: err}
	}
	if d.closed || d.fault.Kind == Unavailable {
		return directory.Result{}, refuse(op, directory.ErrUnavailable)
	}
	wait := func() {
		d.mu.Unlock()
		defer d.mu.Lock()
		<-ctx.Done()
	}
	switch fault := d.fault; fault.Kind {
	case TimeoutBeforeWrite, Silent:
		wait()
	case TimeoutAfterWrite:
		if _, err := apply(); err != nil {
			return directory.Result{Outcome: directory.NotApplied}, err // a refusal is answered
		}
		wait()
	case LateWrite:
		wait()
		d.later(fault.Delay, func() { apply() })
	case Slow:
		type answer struct {
			res directory.Result
			err error
		}
		answers := make(chan answer, 1)
		d.later(fault.Delay, func() {
			res, err := apply()
			answers <- answer{res, err}
		})
		d.mu.Unlock()
		defer d.mu.Lock() // runs before the deferred unlock above
		select {
		case a := <-answers:
			return a.res, a.err
		case <-ctx.Done():
		}
	default:
		return apply()
	}
	return directory.Result{Outcome: directory.Unknown, Server: "memory"}, &directory.Error{
		Op: op, Kind: directory.ErrUnknown, Outcome: directory.Unknown, Native: directory.Native{Server: "memory"}, Err: context.Cause(ctx),
	}
}

// later runs f with d.mu held after a delay, unless the directory is closed first. d.mu is held by the caller.
func (d *Directory) later(delay time.Duration, f func()) {
	if d.closed {
		return
	}
	d.late.Go(func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		for {
			d.mu.Lock()
			if d.closed {
				d.mu.Unlock()
				return
			}
			turned := d.turned
			d.mu.Unlock()
			select {
			case <-timer.C:
				d.mu.Lock()
				defer d.mu.Unlock()
				if !d.closed {
					f()
				}
				return
			case <-turned:
			}
		}
	})
}
