package signal_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
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

// What a receiver leaves until it is too late is dropped: staff see that, for nobody else will say so.
func TestC5WhatNobodyFetchesInTimeIsDroppedAndStaffSeeThat(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		lost := func(r *client.Receiver, s *client.Stream) {
			s.Delivery, s.Endpoint, s.Authorization = client.DeliverPoll, "", ""
		}
		_, poll := w.stream("poll", "http://127.0.0.1:1/", lost)
		_, paused := w.stream("paused", "http://127.0.0.1:1/", func(_ *client.Receiver, s *client.Stream) { s.Status = client.StreamPaused })
		rp := newEar(t, status(202))
		_, well := w.stream("well", rp.URL)
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		w.clock.pass(73 * time.Hour)
		w.work()
		for _, id := range []string{poll.ID, paused.ID} {
			if h := w.health(id); h.Class != "too-late" || !h.Bad.Equal(w.clock.now()) || h.Waiting != 0 {
				t.Errorf("got %+v", h)
			}
		}
		if h := w.health(well.ID); h.Class != "" || len(rp.all()) != 1 {
			t.Errorf("one that was told: %+v", h)
		}
	})
}

// C9 and C10: no secret and no name gets out by a way that is not meant for it.
// Its old address says that it is gone just as staff name the new one: that is no reason to stop what they just repaired.
func TestAWebhookThatMovedIsNotDisabledByItsOldAddress(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		moved := newEar(t, status(204))
		left := newEar(t, func(_ int, rw http.ResponseWriter, _ *http.Request) {
			_, err := w.s.UpdateReceiver(t.Context(), "siem", func(r *client.Receiver) ([]event.Event, error) { r.URL = moved.URL; return nil, nil })
			if err != nil {
				t.Error(err)
			}
			rw.WriteHeader(410)
		})
		w.hook("siem", left.URL)
		w.happened(w.ada, event.PasswordReset)
		w.work()
		if r := ok[*client.Receiver](t)(w.s.Receiver(t.Context(), "siem")); r.Disabled {
			t.Error("it is disabled")
		}
		w.clock.pass(time.Minute)
		w.work()
		if n := len(moved.all()); n != 1 {
			t.Errorf("%d webhooks at the new address, want the one the old one did not take", n)
		}
	})
}

// What waited for two days because its stream was paused was not tried in vain for any of them.
func TestC5WhatAPausedStreamKeptIsTriedForADayOnceItIsEnabled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(503))
		_, st := w.stream("rp", rp.URL)
		turn := func(to client.StreamStatus) {
			t.Helper()
			ok[*client.Stream](t)(w.s.UpdateStream(t.Context(), st.ID, func(s *client.Stream) ([]event.Event, error) {
				s.Turn(to, "", "receiver:x", w.clock.now())
				return nil, nil
			}))
		}
		turn(client.StreamPaused)
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		w.clock.pass(48 * time.Hour)
		turn(client.StreamEnabled)
		w.work()
		if h := w.health(st.ID); len(rp.all()) != 1 || h.Waiting != 1 || h.Dead != 0 {
			t.Errorf("after one try: %d requests, %+v", len(rp.all()), h)
		}
		rp.reply(status(202))
		w.clock.pass(time.Hour)
		w.work()
		if h := w.health(st.ID); h.Good.IsZero() || h.Waiting != 0 {
			t.Errorf("it is there again: %+v", h)
		}
	})
}

// An event is claimed again and again while it lets others go first. Once that counted as if it had failed so often, and the
// first failure kept it, and what followed, back for minutes.
func TestC5WhoseTurnWasLongInComingWaitsNoLongerWhenItFails(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(503))
	w.stream("rp", rp.URL)
	w.happened(w.ada, event.PasswordChanged)
	w.step(1)
	rows := ok[[]store.Work](t)(w.s.Claim(t.Context(), w.clock.now(), "test", []string{"set"}, 1, time.Minute))
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	i := item(rows[0])
	i.Tries = 12
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		later, is := errors.AsType[event.Later](w.svc.Handlers()["set"](t.Context(), i))
		if !is || later.After != want {
			t.Errorf("got %+v, want %s", later, want)
		}
		w.clock.pass(want)
	}
}
