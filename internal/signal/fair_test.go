package signal_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// However much waits for those who take everything, but slowly, what happens now is told to the others now. Once it stood
// behind all of it: two slow receivers had every lane, and what is due longest is claimed first.
func TestC5WhatWaitsForASlowReceiverLetsWhatIsNewToOthersPass(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, egress.Options{Allow: loopback, Timeout: time.Minute})
		release := make(chan struct{})
		wait := func(_ int, rw http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
			rw.WriteHeader(202)
		}
		slow, other := newEar(t, wait), newEar(t, wait)
		defer close(release)
		told := make(chan struct{}, 10)
		quick := newEar(t, func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(202); told <- struct{}{} })
		_, st := w.stream("slow", slow.URL)
		_, st2 := w.stream("other", other.URL)
		w.stream("quick", quick.URL)
		var jobs []store.Job
		for n := range 2000 {
			for _, id := range []string{st.ID, st2.ID} {
				jobs = append(jobs, store.Job{Kind: store.PushKind, Ref: ref(id, "verification", fmt.Sprint(n)), NotBefore: w.clock.now()})
			}
		}
		must(t, w.s.Put(t.Context(), jobs...))
		w.clock.walks = true
		w.running(nil)
		for n := range 5 {
			w.happened(w.ada, event.PasswordChanged)
			select {
			case <-told:
			case <-time.After(10 * time.Second):
				t.Fatalf("not told of number %d; the slow ones were asked %d and %d times", n, len(slow.all()), len(other.all()))
			}
		}
	})
}
