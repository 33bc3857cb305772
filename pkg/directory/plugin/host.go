package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Process is a child that runs.
type Process struct {
	In  io.WriteCloser // its standard input
	Out io.Reader      // its standard output; it ends when the child does
	// Kill ends the child at once, waits until it is gone, and says why it went where that is known. It may be called more
	// than once.
	Kill func() error
}

// HostConfig says whom a host talks to.
type HostConfig struct {
	Name   string          // of the directory: the Adapter of its Refs
	Config json.RawMessage // for the child; it may hold secrets
	// Start starts the child. What the child writes to standard error is logged by it, through scrub, which takes out the
	// passwords that are on their way and Secrets. It must not wait for the child.
	Start   func(scrub func(string) string) (*Process, error)
	OneShot bool // a child for each request: it gets hello and one request, answers, and exits
	Secrets []directory.Secret
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

const (
	defaultWait = 30 * time.Second // for an answer, without a deadline
	helloWait   = 10 * time.Second
	farewell    = 2 * time.Second // for a child that was told to go

	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
	steady     = time.Minute // a child that lived this long is started again at once
)

// Host is a directory.Adapter whose work a child does. It implements every optional interface; what the child did not offer
// in its hello is ErrUnsupported, and Describe says so. Safe for concurrent use.
//
// The child is started by the first call and again by the first one after it died, with a growing pause (0.2 to 30 seconds)
// when it dies early: calls meanwhile are ErrUnavailable. Writes that a dying child held are ErrUnknown and are not sent
// again.
type Host struct {
	c HostConfig

	mu       sync.Mutex
	closed   bool
	talk     *talk
	starting chan struct{} // closed when the start under way ended; nil when none is
	pause    time.Duration
	notUntil time.Time
	why      error // it died or did not start lately
	busy     sync.WaitGroup
	known    map[*directory.Secret]struct{}
}

// NewHost returns a host. It starts nothing yet.
func NewHost(c HostConfig) (*Host, error) {
	if c.Name == "" || c.Start == nil {
		return nil, errors.New("plugin: a host needs a name and what to start")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Host{c: c, known: map[*directory.Secret]struct{}{}}, nil
}

// scrub takes every secret out of a text of the child's.
func (h *Host) scrub(text string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	secrets := append([]directory.Secret(nil), h.c.Secrets...)
	for s := range h.known {
		secrets = append(secrets, *s)
	}
	return directory.Clean(text, secrets...)
}

// lingers is how long a password is still looked for in what the child says after its request was answered.
const lingers = 5 * time.Second

// mind remembers secrets until some time after the request that held them was answered.
func (h *Host) mind(secrets []directory.Secret) (forget func()) {
	var all []*directory.Secret
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range secrets {
		if !s.Empty() {
			own := directory.NewSecret(s.Reveal()) // the caller may wipe its own
			all = append(all, &own)
			h.known[&own] = struct{}{}
		}
	}
	return func() {
		if len(all) == 0 {
			return
		}
		time.AfterFunc(lingers, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, s := range all {
				delete(h.known, s)
				s.Wipe()
			}
		})
	}
}

// call is one request on its way.
type call struct {
	method  string
	write   bool
	params  any
	secrets []directory.Secret
	seen    func(*talk) // told who answers
}

// refused is an error of a call of which nothing reached the directory.
func refused(op string, kind, cause error) error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Err: cause}
}

// silent is an error of a call that a child got and did not answer.
func (c call) silent(cause error) error {
	if !c.write {
		return refused(c.method, directory.ErrUnavailable, cause)
	}
	return &directory.Error{Op: c.method, Kind: directory.ErrUnknown, Outcome: directory.Unknown, Err: cause}
}

// do asks a child and reads its answer into result.
func (h *Host) do(ctx context.Context, c call, result any) error {
	if err := ctx.Err(); err != nil {
		return refused(c.method, directory.ErrUnavailable, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultWait)
		defer cancel()
	}
	forget := h.mind(c.secrets)
	defer forget()
	t, done, err := h.child(ctx)
	if err != nil {
		return refusedBy(c.method, err)
	}
	defer done()
	if optional(c.method) && !t.offers[c.method] {
		return refused(c.method, directory.ErrUnsupported, nil)
	}
	if c.seen != nil {
		c.seen(t)
	}
	r, err := t.ask(ctx, c)
	if err != nil {
		return err
	}
	if r.Error != nil {
		return r.Error.fault(c.method, c.write, c.secrets...)
	}
	if err := json.Unmarshal(r.Result, result); err != nil || len(r.Result) == 0 {
		t.end(errors.New("an answer that is not to be read"))
		return c.silent(errors.New("an answer that is not to be read"))
	}
	return nil
}

// refusedBy keeps an error that says what it is, such as ErrConfig of a child that does not speak our protocol.
func refusedBy(op string, err error) error {
	if e, ok := errors.AsType[*directory.Error](err); ok {
		own := *e
		own.Op, own.Outcome = op, directory.NotApplied
		return &own
	}
	return refused(op, directory.ErrUnavailable, err)
}

func optional(method string) bool {
	switch method {
	case methodChange, methodUnlock, methodForce, methodPolicy, methodList, methodVerify, methodReconcile:
		return true
	}
	return false
}

var errClosed = errors.New("closed")

// child returns a child that said hello, and what to call when it is not needed any more.
func (h *Host) child(ctx context.Context) (*talk, func(), error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, nil, errClosed
	}
	h.busy.Add(1)
	h.mu.Unlock()
	if h.c.OneShot {
		t, err := h.open(ctx)
		if err != nil {
			h.busy.Done()
			return nil, nil, err
		}
		return t, func() {
			go func() { // its answer is here: nobody waits until it is gone
				t.leave()
				h.busy.Done()
			}()
		}, nil
	}
	t, err := h.shared(ctx)
	if err != nil {
		h.busy.Done()
		return nil, nil, err
	}
	return t, h.busy.Done, nil
}

// shared returns the one child, started by whoever needs it first.
func (h *Host) shared(ctx context.Context) (*talk, error) {
	for {
		h.mu.Lock()
		if h.talk != nil && h.talk.dead() != nil {
			h.mourn(h.talk)
		}
		if t := h.talk; t != nil {
			h.mu.Unlock()
			return t, nil
		}
		if wait := h.notUntil.Sub(h.c.Now()); wait > 0 {
			why := h.why
			h.mu.Unlock()
			return nil, &directory.Error{Kind: kindOf(why), RetryAfter: wait, Err: why}
		}
		if starting := h.starting; starting != nil {
			h.mu.Unlock()
			select {
			case <-starting:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		started := make(chan struct{})
		h.starting = started
		h.mu.Unlock()
		// Not the caller's context: others wait for this child, too.
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), helloWait)
			defer cancel()
			t, err := h.open(ctx)
			h.mu.Lock()
			defer h.mu.Unlock()
			defer close(started)
			h.starting = nil
			switch {
			case err != nil:
				h.c.Log.Error("adapter not started", "directory", h.c.Name, "err", h.c.clean(err))
				h.later(h.c.Now(), err)
			case h.closed:
				go t.leave()
			default:
				h.talk = t
			}
		}()
	}
}

// kindOf is how a call fails because of a child that does not run.
func kindOf(why error) error {
	if errors.Is(why, directory.ErrConfig) {
		return directory.ErrConfig
	}
	return directory.ErrUnavailable
}

// clean is the text of an error of starting.
func (c HostConfig) clean(err error) string { return directory.Clean(err.Error(), c.Secrets...) }

// mourn forgets a child that died. The next one is started after a pause, unless this one had lived long.
func (h *Host) mourn(t *talk) {
	h.talk = nil
	h.c.Log.Error("adapter's process ended", "directory", h.c.Name, "err", h.c.clean(t.dead()))
	t.mu.Lock()
	died := t.died
	t.mu.Unlock()
	if died.Sub(t.since) > steady {
		h.pause, h.notUntil = 0, time.Time{}
		return
	}
	h.later(died, t.dead())
}

// later puts the next start off.
func (h *Host) later(from time.Time, why error) {
	h.why = fmt.Errorf("the adapter's process ended lately: %s", h.c.clean(why))
	if kindOf(why) == directory.ErrConfig {
		h.why = fmt.Errorf("%w: %s", directory.ErrConfig, h.c.clean(why))
	}
	h.pause = min(max(2*h.pause, firstPause), maxPause)
	h.notUntil = from.Add(h.pause)
}

// open starts a child and says hello.
func (h *Host) open(ctx context.Context) (*talk, error) {
	p, err := h.c.Start(h.scrub)
	if err != nil {
		return nil, &directory.Error{Kind: directory.ErrConfig, Err: err}
	}
	t := newTalk(p, h.c.Now)
	r, err := t.ask(ctx, call{method: methodHello, params: hello{Protocols: []int{Protocol}, API: directory.API, Name: h.c.Name, Config: h.c.Config}})
	var w welcome
	switch {
	case err != nil:
	case r.Error != nil:
		err = r.Error.fault(methodHello, false, h.c.Secrets...)
	default:
		if err = json.Unmarshal(r.Result, &w); err != nil {
			err = errors.New("a welcome that is not to be read")
		}
	}
	major, _, _ := strings.Cut(directory.API, ".")
	if err == nil && (w.Protocol != Protocol || w.Name == "" || w.API != major && !strings.HasPrefix(w.API, major+".")) {
		err = &directory.Error{Kind: directory.ErrConfig, Err: fmt.Errorf("the adapter speaks protocol %d and api %q; want %d and %s", w.Protocol, directory.Clean(w.API), Protocol, directory.API)}
	}
	if err != nil {
		t.end(err)
		return nil, err
	}
	t.welcome, t.offers = w, map[string]bool{}
	for _, m := range w.Methods {
		t.offers[m] = true
	}
	return t, nil
}

// Close tells the child to go, waits for calls in flight no longer than their own deadlines, and ends it.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	t := h.talk
	h.talk = nil
	h.mu.Unlock()
	h.busy.Wait()
	if t != nil {
		t.leave()
	}
	return nil
}
