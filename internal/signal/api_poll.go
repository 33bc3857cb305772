package signal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

// Bounds of polling.
const (
	maxPolled   = 100 // events in one answer, whatever was asked for
	maxAcks     = 500 // acknowledged or refused in one request
	maxJTI      = 100 // bytes
	maxErr      = 100 // bytes of an error code
	maxHeld     = 100 // requests that wait for an event at once, in this process
	maxHeldEach = 2   // of them for one stream
)

// How long a request waits for an event, and how often it looks: any replica may commit one. A server that stops lets
// requests end for ten seconds.
const (
	pollWait  = 8 * time.Second
	pollEvery = time.Second
)

// pollRequest is what a receiver asks for (RFC 8936 §2.2).
type pollRequest struct {
	max    int  // events wanted; 0 for an acknowledgement alone
	now    bool // do not wait for one
	acked  []string
	failed map[string]string // jti → error code (RFC 8935 §2.4)
}

// parsePoll reads a request for events. Members we do not know are passed over.
func parsePoll(o object) (p pollRequest, err error) {
	p.max = maxPolled
	if o.has("maxEvents") {
		n, err := strconv.ParseInt(string(o["maxEvents"]), 10, 64)
		if err != nil || n < 0 {
			return p, errors.New("maxEvents is no whole number from 0 on")
		}
		p.max = int(min(n, maxPolled))
	}
	if p.now, err = o.flag("returnImmediately"); err != nil {
		return p, err
	}
	if p.acked, err = o.texts("ack", maxAcks, maxJTI); err != nil {
		return p, err
	}
	errs, err := o.child("setErrs")
	if err != nil {
		return p, err
	}
	if len(errs) > maxAcks {
		return p, fmt.Errorf("setErrs holds more than %d", maxAcks)
	}
	for jti := range errs {
		if len(jti) > maxJTI {
			return p, fmt.Errorf("setErrs: a name is longer than %d bytes", maxJTI)
		}
		e, err := errs.child(jti)
		if err != nil {
			return p, errors.New("setErrs holds what is no object")
		}
		code, err := e.text("err", maxErr) // the description may hold anything, and nobody reads it
		if err != nil {
			return p, fmt.Errorf("setErrs: %w", err)
		}
		if p.failed == nil {
			p.failed = map[string]string{}
		}
		p.failed[jti] = code
	}
	return p, nil
}

// pollAnswer is what it gets (RFC 8936 §2.3): events by jti, and whether there are more.
type pollAnswer struct {
	Sets map[string]string `json:"sets"`
	More bool              `json:"moreAvailable"`
}

// waiting counts the requests that wait for an event.
type waiting struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// begin reports whether one more may wait for a stream.
func (c *waiting) begin(stream string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxHeld || c.of[stream] >= maxHeldEach {
		return false
	}
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.all++
	c.of[stream]++
	return true
}

func (c *waiting) end(stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[stream]--; c.of[stream] == 0 {
		delete(c.of, stream)
	}
}

// poll answers with events of one stream of this receiver (RFC 8936 §2). What is acknowledged goes first; everything else
// stays until it is, and comes again with the next request. An answer holds one event about a person at most, because
// what it holds has no order: the next one comes when this one was acknowledged.
func (a *api) poll(w http.ResponseWriter, r *http.Request, who *client.Receiver) error {
	ctx := r.Context()
	s, err := a.stream(ctx, r.PathValue("stream"), who)
	if err != nil {
		return err
	}
	if s.Delivery != client.DeliverPoll {
		return errNoStream
	}
	o, err := body(w, r)
	if err != nil {
		return err
	}
	p, err := parsePoll(o)
	if err != nil {
		return bad(err)
	}
	if err := a.acknowledge(ctx, s, p); err != nil {
		return err
	}
	answer := pollAnswer{Sets: map[string]string{}}
	if p.max > 0 {
		if answer, err = a.collect(ctx, s.ID, who, p); err != nil {
			return err
		}
	}
	write(w, http.StatusOK, answer)
	return nil
}

// collect finds events, and where there are none waits a while for one.
func (a *api) collect(ctx context.Context, stream string, who *client.Receiver, p pollRequest) (pollAnswer, error) {
	answer, err := a.polled(ctx, stream, who, p.max)
	if err != nil || p.now || len(answer.Sets) > 0 || !a.polls.begin(stream) {
		return answer, err
	}
	defer a.polls.end(stream)
	until, tick := time.NewTimer(a.wait), time.NewTicker(a.every)
	defer until.Stop()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done(): // the receiver is gone, and nobody reads what follows
			return answer, nil
		case <-until.C:
			return answer, nil
		case <-tick.C:
		}
		if answer, err = a.polled(ctx, stream, who, p.max); err != nil || len(answer.Sets) > 0 {
			return answer, err
		}
	}
}

// acknowledge ends what a receiver acknowledged, and gives up what it refused. Names of events of other streams, or of none,
// change nothing.
func (a *api) acknowledge(ctx context.Context, s *client.Stream, p pollRequest) error {
	now := a.Now()
	if len(p.acked) > 0 {
		n, err := a.Store.Acked(ctx, s.ID, p.acked)
		if err == nil && n > 0 {
			err = a.Store.NoteDelivery(ctx, s.ID, true, "", now)
		}
		if err != nil {
			return err
		}
	}
	byClass := map[string][]string{}
	for jti, code := range p.failed {
		class := refusedClass(code)
		byClass[class] = append(byClass[class], jti)
	}
	for class, jtis := range byClass {
		n, err := a.Store.Refused(ctx, s.ID, jtis, class, now)
		if err == nil && n > 0 {
			err = a.Store.NoteDelivery(ctx, s.ID, false, class, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refusedClass is how the error a receiver named is kept: those that are registered by their name, and no text of a
// stranger's.
func refusedClass(code string) string {
	if slices.Contains(refusals, code) {
		return strings.ReplaceAll(code, "_", "-")
	}
	return "refused"
}

// polled returns what waits for a stream now: while it is paused or disabled that it is, and nothing about a person of whom
// something earlier is not acknowledged yet.
func (a *api) polled(ctx context.Context, id string, who *client.Receiver, most int) (pollAnswer, error) {
	answer := pollAnswer{Sets: map[string]string{}}
	s, err := a.stream(ctx, id, who)
	if err != nil {
		return answer, err
	}
	var items []event.Item
	more := false
	if s.Status == client.StreamEnabled {
		items, more, err = a.Store.Polled(ctx, s.ID, most, a.Now())
	} else {
		items, err = a.Store.PolledNews(ctx, s.ID, most, a.Now())
	}
	if err != nil {
		return answer, err
	}
	answer.More = more
	for _, i := range items {
		waits, err := a.early(ctx, s, i)
		if err != nil {
			return answer, err
		}
		if waits {
			answer.More = true
			continue
		}
		token, jti, err := a.Set(ctx, s, who, i)
		class := Dropped(err)
		switch {
		case class != "":
			if _, err = a.Store.Acked(ctx, s.ID, []string{i.ID}); err == nil {
				err = a.Store.NoteDelivery(ctx, s.ID, false, class, a.Now())
			}
		case err == nil:
			answer.Sets[jti] = token
		}
		if err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// early reports whether something about the same person that happened earlier is not acknowledged yet.
func (a *api) early(ctx context.Context, s *client.Stream, i event.Item) (bool, error) {
	if i.Event == "" {
		return false, nil
	}
	e, err := a.Store.Event(ctx, i.Event)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return a.Store.Earlier(ctx, s.ID, e.Subject, e.ID, a.Now())
}
