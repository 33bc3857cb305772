package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"
)

// talk is a conversation with one child. Two goroutines serve it: one writes, so that a child that does not read holds up
// nobody beyond their deadline, and one reads.
type talk struct {
	process *Process
	lines   *lines
	out     chan request
	over    chan struct{} // closed when the child is not to be talked to any more
	now     func() time.Time
	since   time.Time
	welcome welcome
	offers  map[string]bool

	mu      sync.Mutex
	last    int64
	waiting map[int64]chan response
	cause   error
	died    time.Time
}

func newTalk(p *Process, now func() time.Time) *talk {
	t := &talk{process: p, lines: newLines(p.Out, p.In), out: make(chan request), over: make(chan struct{}), now: now, since: now(), waiting: map[int64]chan response{}}
	go t.writing()
	go t.reading()
	return t
}

func (t *talk) writing() {
	for {
		select {
		case r := <-t.out:
			err := t.lines.write(r)
			clear(r.Params)
			if err != nil {
				t.end(err)
				return
			}
		case <-t.over:
			return
		}
	}
}

func (t *talk) reading() {
	for {
		line, err := t.lines.read()
		if err != nil {
			t.end(err)
			return
		}
		var r response
		if err := json.Unmarshal(line, &r); err != nil {
			t.end(errors.New("a line that is no answer"))
			return
		}
		t.mu.Lock()
		c := t.waiting[r.ID]
		delete(t.waiting, r.ID)
		t.mu.Unlock()
		if c != nil { // else nobody waits for it any more
			c <- r
		}
	}
}

// end ends the conversation and the child; everybody who waits hears silence.
func (t *talk) end(cause error) {
	t.mu.Lock()
	first := t.cause == nil
	if first {
		t.cause, t.died = cause, t.now()
		close(t.over)
	}
	t.mu.Unlock()
	if first {
		t.process.In.Close()
		if err := t.process.Kill(); err != nil {
			t.mu.Lock()
			if errors.Is(t.cause, io.EOF) {
				t.cause = err // how it ended says more than that it did
			}
			t.mu.Unlock()
		}
	}
}

// dead says why the conversation ended; nil while it goes on.
func (t *talk) dead() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cause
}

// leave tells the child to go and ends it when it does not in time.
func (t *talk) leave() {
	t.process.In.Close()
	select {
	case <-t.over:
	case <-time.After(farewell):
	}
	t.end(errClosed)
}

// ask sends a request and waits for its answer. Until the writer took it, nothing was sent; from then on silence is
// silence, whatever became of the child.
func (t *talk) ask(ctx context.Context, c call) (response, error) {
	params, err := json.Marshal(c.params)
	if err != nil {
		return response{}, refused(c.method, errParamsKind, err)
	}
	if len(params) > MaxLine-256 {
		clear(params)
		return response{}, refused(c.method, errParamsKind, errTooLong)
	}
	answer := make(chan response, 1)
	t.mu.Lock()
	t.last++
	r := request{ID: t.last, Method: c.method, Params: params}
	t.waiting[r.ID] = answer
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.waiting, r.ID)
		t.mu.Unlock()
	}()
	if end, ok := ctx.Deadline(); ok {
		if r.Deadline = time.Until(end).Milliseconds(); r.Deadline < 1 {
			clear(params)
			return response{}, refused(c.method, errGone, context.DeadlineExceeded)
		}
	}
	select {
	case t.out <- r:
	case <-ctx.Done():
		clear(params)
		return response{}, refused(c.method, errGone, ctx.Err())
	case <-t.over:
		clear(params)
		return response{}, refused(c.method, errGone, t.dead())
	}
	select {
	case a := <-answer:
		return a, nil
	case <-t.over:
		select { // the answer may have come with the last breath
		case a := <-answer:
			return a, nil
		default:
		}
		return response{}, c.silent(t.dead())
	case <-ctx.Done():
		t.withdraw(r.ID)
		return response{}, c.silent(ctx.Err())
	}
}

// withdraw tells the child that nobody waits any more, if it listens just now.
func (t *talk) withdraw(id int64) {
	params, _ := json.Marshal(cancelParams{id})
	select {
	case t.out <- request{Method: methodCancel, Params: params}:
	case <-t.over:
	case <-time.After(10 * time.Millisecond):
	}
}
