package signal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/work"
)

// queue lets a pool of workers run on a store.
type queue struct{ s *store.Store }

func (q queue) Claim(ctx context.Context, now time.Time, owner string, kinds, held []string, n int, lease time.Duration) (items []event.Item, err error) {
	rows, err := q.s.Claim(ctx, now, owner, kinds, n, lease, held...)
	for _, w := range rows {
		items = append(items, item(w))
	}
	return items, err
}

func (q queue) Done(ctx context.Context, i event.Item) error {
	return q.s.Done(ctx, i.Lease.(store.Work))
}

func (q queue) Retry(ctx context.Context, i event.Item, at time.Time, class string) error {
	return q.s.Retry(ctx, i.Lease.(store.Work), at, class)
}

func (q queue) Bury(ctx context.Context, i event.Item, class string, now time.Time) error {
	return q.s.Bury(ctx, i.Lease.(store.Work), now, class)
}

func (q queue) Expand(ctx context.Context, i event.Item, children []event.Child) error {
	return settle(ctx, q.s, i.Lease.(store.Work), event.Expanded(children), time.Time{})
}

func (q queue) Wake() <-chan struct{} { return q.s.Wake() }

// running starts a pool of workers as a server runs it, for as long as the test lasts.
func (w *world) running(more map[string]event.Handler) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	handlers := w.svc.Handlers()
	for kind, h := range more {
		handlers[kind] = h
	}
	pool := work.New(work.Config{Queue: queue{w.s}, Handlers: handlers, Aside: signal.Kinds, Held: w.svc.Held, Owner: fmt.Sprintf("%p", w), Now: time.Now, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	var done sync.WaitGroup
	done.Go(func() { pool.Run(ctx) })
	w.t.Cleanup(func() { stop(); done.Wait() })
}

// BenchmarkFromCommitToAcknowledgement measures how long after a reset was committed both receivers have acknowledged all
// that there is to hear of it: two tokens and a webhook. Resets come evenly, as people do; at least 500 of them. PostgreSQL
// has two replicas at work.
func BenchmarkFromCommitToAcknowledgement(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			address, _ := storetest.Durable(b, kind)
			w := newWorld(b, storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()}))
			var mu sync.Mutex
			last, heard := map[string]time.Time{}, map[string]int{}
			note := func(txn string) {
				mu.Lock()
				defer mu.Unlock()
				heard[txn]++
				last[txn] = time.Now()
			}
			rp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var k token
				if err := json.Unmarshal(decoded(strings.Split(string(body), ".")[1]), &k); err == nil {
					rw.WriteHeader(202)
					note(k.Txn)
				}
			}))
			b.Cleanup(rp.Close)
			siem := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				var hook webhook
				if err := json.NewDecoder(r.Body).Decode(&hook); err == nil {
					rw.WriteHeader(204)
					note(fmt.Sprint(hook.Data["txn"]))
				}
			}))
			b.Cleanup(siem.Close)
			w.stream("rp", rp.URL)
			w.hook("siem", siem.URL)
			n := max(b.N, 500)
			var people []*account.Person
			for i := range n {
				people = append(people, w.person(fmt.Sprint("p", i)))
			}
			w.clock.walks = true
			w.running(nil)
			if kind == store.PostgreSQL { // with a second replica
				w.second(address)
			}
			committed := map[string]time.Time{}
			tick := time.NewTicker(time.Second / 25)
			defer tick.Stop()
			for i := range n {
				<-tick.C
				e := w.happened(people[i], event.PasswordReset, "action", "reset")
				committed[e.Txn] = time.Now()
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				mu.Lock()
				done := 0
				for txn := range committed {
					if heard[txn] >= 3 {
						done++
					}
				}
				mu.Unlock()
				if done == n {
					break
				}
				if time.Now().After(deadline) {
					left, _ := w.s.Backlog(b.Context(), time.Now())
					b.Fatalf("%d of %d were heard; left %+v; %s", done, n, left, w.log)
				}
			}
			var took []time.Duration
			for txn, at := range committed {
				took = append(took, last[txn].Sub(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[n/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[n*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(took[n-1].Microseconds())/1000, "max-ms")
			b.ReportMetric(0, "ns/op")
			if p99 := took[n*99/100]; p99 > 2*time.Second {
				b.Errorf("p99 is %v, want at most 2s", p99)
			}
		})
	}
}
