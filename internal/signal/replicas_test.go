package signal_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// second starts a second replica's workers on the same database.
func (w *world) second(address string) {
	w.t.Helper()
	other := *w
	other.s = storetest.OpenConfig(w.t, store.Config{URL: address, Ring: storetest.Ring()})
	other.svc = ok[*signal.Service](w.t)(signal.New(signal.Config{Base: issuer, Store: other.s, Signing: w.keys, Keys: storetest.Ring(), HTTP: egress.New(egress.Options{Allow: loopback}),
		Limits: other.s, Now: w.clock.now, Log: slog.New(slog.NewTextHandler(w.log, nil))}))
	other.running(nil)
}

// Whatever two replicas make of a receiver that takes, refuses and fails as it likes, what it takes about one person comes in
// order, all of it that it did not refuse arrives, and nothing under two names.
func TestC5TwoReplicasKeepTheOrderOfEachPerson(t *testing.T) {
	address, _ := storetest.Durable(t, store.PostgreSQL)
	w := newWorld(t, storetest.OpenConfig(t, store.Config{URL: address, Ring: storetest.Ring()}))
	fate := func(_ int, rw http.ResponseWriter, _ *http.Request) {
		switch p := rand.IntN(30); {
		case p == 0:
			rw.WriteHeader(503)
		case p < 6:
			time.Sleep(20 * time.Millisecond)
			rw.WriteHeader(202)
		default:
			rw.WriteHeader(202)
		}
	}
	rp := newEar(t, fate)
	w.stream("rp", rp.URL, func(r *client.Receiver, _ *client.Stream) { r.Events = []string{client.CredentialChange} })
	w.clock.walks = true
	w.running(nil)
	w.second(address)
	const people, each = 6, 4
	want := map[string][]string{}
	for n := range people {
		p := w.person(fmt.Sprint("p", n))
		for range each {
			want["sub-p"+fmt.Sprint(n)] = append(want["sub-p"+fmt.Sprint(n)], w.happened(p, event.PasswordChanged).Txn)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, l := range ok[[]store.Load](t)(w.s.Backlog(t.Context(), time.Now())) {
			if l.Kind == "signal" || l.Kind == "set" {
				left += l.Due + l.Later + l.Leased
			}
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d are left", left)
		}
	}
	got, names := map[string][]string{}, map[string]string{}
	for _, k := range w.sets(rp) {
		if id, known := names[k.Txn]; known && id != k.ID {
			t.Errorf("%s came as %s and as %s", k.Txn, id, k.ID)
		}
		names[k.Txn] = k.ID
		who := k.Subject["sub"]
		if last := got[who]; len(last) > 0 && last[len(last)-1] == k.Txn {
			continue // again
		}
		got[who] = append(got[who], k.Txn)
	}
	for who, all := range want {
		if !slices.Equal(got[who], all) {
			t.Errorf("%s: got %v, want %v", who, got[who], all)
		}
	}
}
