package work

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// queue is a queue of one kind in memory: what matters here is what the pool tells it.
type queue struct {
	mu     sync.Mutex
	items  []event.Item
	said   map[string]string
	wake   chan struct{}
	notYet map[string]time.Time
}

func (q *queue) Claim(_ context.Context, now time.Time, _ string, _, _ []string, n int, _ time.Duration) ([]event.Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out, rest []event.Item
	for _, i := range q.items {
		if len(out) < n && !q.notYet[i.ID].After(now) {
			out = append(out, i)
			continue
		}
		rest = append(rest, i)
	}
	q.items = rest
	return out, nil
}

func (q *queue) say(i event.Item, what string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said[i.ID] += what + " "
	return nil
}

func (q *queue) Done(_ context.Context, i event.Item) error { return q.say(i, "done") }
func (q *queue) Retry(_ context.Context, i event.Item, at time.Time, class string) error {
	q.say(i, "retry:"+class)
	q.mu.Lock()
	defer q.mu.Unlock()
	i.Tries++
	q.notYet[i.ID] = at
	q.items = append(q.items, i)
	return nil
}
func (q *queue) Bury(_ context.Context, i event.Item, class string, _ time.Time) error {
	return q.say(i, "bury:"+class)
}
func (q *queue) Expand(_ context.Context, i event.Item, c []event.Child) error {
	return q.say(i, "expand:"+c[0].Ref)
}
func (q *queue) Wake() <-chan struct{} { return q.wake }

func TestWhatAHandlerSaysDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{said: map[string]string{}, wake: make(chan struct{}), notYet: map[string]time.Time{}}
		for _, k := range []string{"ok", "expand", "later", "dead", "error", "panic"} {
			q.items = append(q.items, event.Item{ID: k, Kind: k})
		}
		q.items = append(q.items, event.Item{ID: "unknown", Kind: "unknown"})
		once := func(first error) event.Handler {
			return func(_ context.Context, i event.Item) error {
				if i.Tries == 0 {
					return first
				}
				return nil
			}
		}
		p := New(Config{Queue: q, Owner: "t", Lanes: 2, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Handlers: map[string]event.Handler{
			"ok": once(nil), "expand": once(event.Expanded{{Kind: "x", Ref: "r"}}), "later": once(event.Later{After: time.Minute, Class: "busy"}),
			"dead": once(event.Dead{Class: "refused"}), "error": once(errors.New("no")),
			"panic": func(_ context.Context, i event.Item) error {
				if i.Tries == 0 {
					panic("boom")
				}
				return nil
			},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.Run(ctx); close(ended) }()
		time.Sleep(2 * time.Minute)
		cancel()
		<-ended
		want := map[string]string{"ok": "done ", "expand": "expand:r ", "later": "retry:busy done ", "dead": "bury:refused ",
			"error": "retry:error done ", "panic": "retry:error done ", "unknown": "bury:no-handler "}
		for id, w := range want {
			if q.said[id] != w {
				t.Errorf("%s: got %q, want %q", id, q.said[id], w)
			}
		}
	})
}

func TestTheBackOffDoublesUpToFiveMinutes(t *testing.T) {
	for tries, want := range map[int]time.Duration{-1: time.Second, 0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 9: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := event.Backoff(tries); got != want {
			t.Errorf("Backoff(%d) = %s, want %s", tries, got, want)
		}
	}
}

func TestWorkSetAsideKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &byKind{queue{said: map[string]string{}, wake: make(chan struct{}, 1), notYet: map[string]time.Time{}}}
		release := make(chan struct{})
		slow := func(context.Context, event.Item) error { <-release; return nil }
		p := New(Config{Queue: q, Owner: "t", Lanes: 2, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Aside: []string{"slow", "nobody's"},
			Handlers: map[string]event.Handler{"slow": slow, "quick": func(context.Context, event.Item) error { return nil }}})
		ids := []string{"s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10"}
		for _, id := range ids {
			q.items = append(q.items, event.Item{ID: id, Kind: "slow"})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.Run(ctx); close(ended) }()
		synctest.Wait()
		started := time.Now()
		q.mu.Lock()
		q.items = append(q.items, event.Item{ID: "q", Kind: "quick"})
		q.mu.Unlock()
		q.wake <- struct{}{}
		synctest.Wait()
		if q.said["q"] != "done " || !time.Now().Equal(started) {
			t.Errorf("after %s: %q, want it done at once", time.Since(started), q.said["q"])
		}
		q.mu.Lock()
		if n := len(q.items); n != 2 {
			t.Errorf("%d slow ones wait, want 2: they have four lanes for each of the others", n)
		}
		q.mu.Unlock()
		close(release)
		time.Sleep(time.Minute)
		cancel()
		<-ended
		for _, id := range ids {
			if q.said[id] != "done " {
				t.Errorf("%s: %q", id, q.said[id])
			}
		}
	})
}

// byKind is a queue that gives away what it is asked for, as the real one does.
type byKind struct{ queue }

func (q *byKind) Claim(_ context.Context, now time.Time, _ string, kinds, held []string, n int, _ time.Duration) ([]event.Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out, rest []event.Item
	for _, i := range q.items {
		if len(out) < n && slices.Contains(kinds, i.Kind) && !slices.Contains(held, i.Ref) && !q.notYet[i.ID].After(now) {
			out = append(out, i)
		} else {
			rest = append(rest, i)
		}
	}
	q.items = rest
	return out, nil
}

func TestWhatIsHeldWaitsAndIsDoneAsSoonAsItIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &byKind{queue{said: map[string]string{}, wake: make(chan struct{}, 1), notYet: map[string]time.Time{}}}
		var mu sync.Mutex
		busy := false // with one for "slow", who takes one at a time
		set := func(b bool) {
			mu.Lock()
			defer mu.Unlock()
			busy = b
		}
		held := func() []string {
			mu.Lock()
			defer mu.Unlock()
			if busy {
				return []string{"slow"}
			}
			return nil
		}
		release := make(chan struct{})
		p := New(Config{Queue: q, Owner: "t", Lanes: 1, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Aside: []string{"send"}, Held: held, Poll: time.Hour,
			Handlers: map[string]event.Handler{"send": func(_ context.Context, i event.Item) error {
				if i.Ref == "slow" {
					set(true)
					<-release
					set(false)
				}
				return nil
			}}})
		add := func(id, ref string) {
			q.mu.Lock()
			q.items = append(q.items, event.Item{ID: id, Kind: "send", Ref: ref})
			q.mu.Unlock()
			q.wake <- struct{}{}
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { p.Run(ctx); close(ended) }()
		add("s1", "slow")
		add("s2", "slow")
		add("other", "quick")
		if q.said["other"] != "done " || len(q.items) != 1 {
			t.Errorf("other: %q; %d wait, want the second for the slow one alone", q.said["other"], len(q.items))
		}
		started := time.Now()
		close(release)
		synctest.Wait()
		if q.said["s2"] != "done " || !time.Now().Equal(started) {
			t.Errorf("after %s: %q, want it done when the first had ended", time.Since(started), q.said["s2"])
		}
		cancel()
		<-ended
	})
}
