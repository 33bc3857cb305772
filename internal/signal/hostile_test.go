package signal_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
)

// C3: what is for one receiver is of no use to another, and two of them cannot find out that they know the same person.
func TestC3ReceiversGetOnlyWhatIsTheirs(t *testing.T) {
	w := newWorld(t, storeOn(t))
	ears := []*ear{newEar(t, status(202)), newEar(t, status(202))}
	opaque := func(r *client.Receiver, _ *client.Stream) { r.Format = client.FormatOpaque }
	for n, e := range ears {
		w.stream(fmt.Sprint("rp", n), e.URL, opaque)
	}
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	var all []token
	for n, e := range ears {
		sets := w.sets(e)
		if len(sets) != 1 || sets[0].Audience != fmt.Sprintf("https://rp%d.example", n) {
			t.Fatalf("receiver %d got %+v", n, sets)
		}
		if got := e.all()[0].head.Get("Authorization"); got != fmt.Sprintf("Bearer canary-rp%d", n) {
			t.Errorf("receiver %d got the header %q", n, got)
		}
		all = append(all, sets[0])
	}
	if all[0].Subject["id"] == all[1].Subject["id"] || all[0].ID == all[1].ID {
		t.Errorf("two receivers know a person, or an event, by one name: %+v", all)
	}
}

// C5: receivers that do not do as they should.
func TestC5ARepeatCarriesTheSameIDWhateverWasAnswered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		broken := func(n int, rw http.ResponseWriter, r *http.Request) {
			switch n {
			case 1:
				rw.WriteHeader(500)
			case 2: // it took it, and the answer is lost
				conn, _, err := http.NewResponseController(rw).Hijack()
				if err == nil {
					conn.Close()
				}
			case 3:
				rw.WriteHeader(200) // says nothing to a token, and all to a webhook
			case 4:
				rw.WriteHeader(429)
			default:
				rw.WriteHeader(202)
			}
		}
		rp, siem := newEar(t, broken), newEar(t, broken)
		_, st := w.stream("rp", rp.URL)
		hook := w.hook("siem", siem.URL)
		w.happened(w.ada, event.PasswordChanged)
		for range 10 {
			w.work()
			w.clock.pass(10 * time.Minute)
		}
		ids := map[string]bool{}
		for _, k := range w.sets(rp) {
			ids[k.ID] = true
		}
		for _, h := range siem.all() {
			id, _ := w.verify(h, hook.Sign[0].Secret)
			ids[id] = true
		}
		if len(rp.all()) != 5 || len(siem.all()) != 3 || len(ids) != 2 {
			t.Errorf("%d tokens, %d webhooks, %d ids", len(rp.all()), len(siem.all()), len(ids))
		}
		for _, id := range []string{st.ID, hook.ID} {
			if h := w.health(id); h.Waiting != 0 || h.Dead != 0 || h.Good.IsZero() || h.Bad.IsZero() {
				t.Errorf("got %+v", h)
			}
		}
		stamps := map[string]bool{}
		for _, h := range siem.all() {
			stamps[h.head.Get("Webhook-Timestamp")] = true
		}
		if len(stamps) != 3 {
			t.Errorf("a repeat has the time of the first: its replay window is over (%v)", stamps)
		}
	})
}

func TestC5WhoDiesBetweenSendingAndDoneSendsTheSameAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp, siem := newEar(t, status(202)), newEar(t, status(202))
		w.stream("rp", rp.URL)
		hook := w.hook("siem", siem.URL)
		w.happened(w.ada, event.PasswordChanged)
		w.step(1) // expanded
		handlers := w.svc.Handlers()
		for _, row := range ok[[]store.Work](t)(w.s.Claim(t.Context(), w.clock.now(), "dies", []string{"set", "webhook"}, 10, time.Minute)) {
			must(t, handlers[row.Kind](t.Context(), item(row))) // and nobody says that it is done
		}
		if n := w.work(); n != 0 {
			t.Errorf("%d items were taken although they are leased", n)
		}
		w.clock.pass(time.Minute)
		w.work()
		sets := w.sets(rp)
		if len(sets) != 2 || sets[0].ID != sets[1].ID || !bytes.Equal(rp.all()[0].body, rp.all()[1].body) {
			t.Errorf("got %+v", sets)
		}
		var ids []string
		for _, h := range siem.all() {
			id, _ := w.verify(h, hook.Sign[0].Secret)
			ids = append(ids, id)
		}
		if len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("got %v", ids)
		}
	})
}

func TestC5EventsAboutOnePersonArriveInOrderAndADeadOneLetsTheNextPass(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(503))
		_, st := w.stream("rp", rp.URL)
		bob := w.person("bob")
		var want []string
		for n := range 3 {
			e := w.happened(w.ada, event.PasswordChanged)
			want = append(want, e.Txn)
			if n == 0 {
				want = append(want, w.happened(bob, event.PasswordChanged).Txn)
			}
			w.clock.pass(time.Second)
			w.work()
		}
		for _, k := range w.sets(rp) {
			if k.Txn == want[2] || k.Txn == want[3] {
				t.Error("a later event about ada was sent before the first had arrived")
			}
		}
		rp.reply(status(202))
		before := len(rp.all())
		for range 60 {
			w.clock.pass(10 * time.Second)
			w.work()
		}
		var got []string
		for _, h := range rp.all()[before:] {
			if k := w.set(h); k.Subject["sub"] == "sub-ada" {
				got = append(got, k.Txn)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint([]string{want[0], want[2], want[3]}) {
			t.Errorf("got %v, want %v without the second", got, want)
		}

		refused := w.happened(w.ada, event.PasswordChanged)
		next := w.happened(w.ada, event.PasswordChanged)
		rp.reply(func(_ int, rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(400)
			io.WriteString(rw, `{"err":"invalid_audience","description":"canary-description"}`)
		})
		w.step(2)
		w.step(1)
		rp.reply(status(202))
		for range 10 {
			w.clock.pass(time.Second)
			w.work()
		}
		all := w.sets(rp)
		if h := w.health(st.ID); all[len(all)-2].Txn != refused.Txn || all[len(all)-1].Txn != next.Txn || h.Dead != 1 || h.Waiting != 0 || h.Class != "invalid-audience" {
			t.Errorf("got %+v", h)
		}
		dead := ok[[]store.Work](t)(w.s.DeadLetters(t.Context()))
		if len(dead) != 1 || dead[0].Class != "invalid-audience" || strings.Contains(w.log.String()+fmt.Sprint(dead), "canary-description") {
			t.Errorf("got %+v", dead)
		}
	})
}

func TestC5WhatIsInVainForADayIsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp := newEar(t, status(500))
		_, st := w.stream("rp", rp.URL)
		w.happened(w.ada, event.PasswordChanged)
		w.work()
		for range 24*6 - 1 {
			w.clock.pass(10 * time.Minute)
			w.work()
		}
		if h := w.health(st.ID); h.Waiting != 1 || h.Dead != 0 || h.Class != "status-500" {
			t.Errorf("after almost a day: %+v", h)
		}
		w.clock.pass(20 * time.Minute)
		w.work()
		if h := w.health(st.ID); h.Waiting != 0 || h.Dead != 1 {
			t.Errorf("after a day: %+v", h)
		}
		n := len(rp.all())
		if n < 100 || n > 300 {
			t.Errorf("%d requests in a day", n)
		}
		w.clock.pass(time.Hour)
		w.work()
		if len(rp.all()) != n {
			t.Error("a dead one is sent")
		}
	})
}

func TestC5OneThatDoesNotAnswerIsAskedByOneRequestAtATime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rp, other := newEar(t, status(503)), newEar(t, status(202))
		_, st := w.stream("rp", rp.URL)
		w.stream("other", other.URL)
		const people = 40
		for n := range people {
			w.happened(w.person(fmt.Sprint("p", n)), event.PasswordChanged)
		}
		w.work()
		if len(rp.all()) != 1 || len(other.all()) != people {
			t.Errorf("%d requests to the one that is down, %d to the other", len(rp.all()), len(other.all()))
		}
		if h := w.health(st.ID); h.Waiting != people {
			t.Errorf("got %+v", h)
		}
		rp.reply(status(202))
		for range 40 {
			w.clock.pass(10 * time.Second)
			w.work()
		}
		if h := w.health(st.ID); h.Waiting != 0 || len(rp.all()) != people+1 {
			t.Errorf("once it is up: %d requests, %+v", len(rp.all()), h)
		}
	})
}

func TestC5ItWaitsAsLongAsItIsAsked(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, func(n int, rw http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			rw.Header().Set("Retry-After", "600")
			rw.WriteHeader(429)
			return
		}
		rw.WriteHeader(202)
	})
	w.stream("rp", rp.URL)
	w.happened(w.ada, event.PasswordChanged)
	for range 59 {
		w.work()
		w.clock.pass(10 * time.Second)
	}
	if n := len(rp.all()); n != 1 {
		t.Errorf("%d requests while it asked for peace", n)
	}
	w.clock.pass(time.Minute)
	w.work()
	if n := len(rp.all()); n != 2 {
		t.Errorf("%d requests afterwards", n)
	}
}

func TestC5WhatWaitsIsBounded(t *testing.T) {
	w := newWorld(t, storeOn(t))
	_, st := w.stream("rp", "http://127.0.0.1:1/")
	other := newEar(t, status(202))
	w.stream("other", other.URL)
	var jobs []store.Job
	for n := range 20000 {
		jobs = append(jobs, store.Job{Kind: store.PushKind, Ref: fmt.Sprint(st.ID, " credential-change ", n), NotBefore: w.clock.now().Add(time.Hour)})
	}
	must(t, w.s.Put(t.Context(), jobs...))
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	if h := w.health(st.ID); h.Waiting != 20000 || h.Class != "too-many-waiting" {
		t.Errorf("got %+v", h)
	}
	if len(other.all()) != 1 {
		t.Error("the other was not told")
	}
}

// A receiver that answers with something endless, or with nothing, holds on to nothing of ours for long.
func TestC5EndlessAnswersAreCutOff(t *testing.T) {
	w := newWorld(t, storeOn(t), egress.Options{Allow: loopback, Timeout: 300 * time.Millisecond})
	flood := func(code int) func(int, http.ResponseWriter, *http.Request) {
		return func(_ int, rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(code)
			for r.Context().Err() == nil {
				if _, err := rw.Write(bytes.Repeat([]byte("x"), 32<<10)); err != nil {
					return
				}
			}
		}
	}
	for key, test := range map[string]struct {
		answer func(int, http.ResponseWriter, *http.Request)
		class  string
		dead   int
		good   bool
	}{
		"accepts-flood": {flood(202), "", 0, true},
		"refuses-flood": {flood(400), "status-400", 1, false},
		"fails-flood":   {flood(500), "status-500", 0, false},
		"says-nothing":  {func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "timeout", 0, false},
		"head-and-no-tail": {func(_ int, rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(202)
			http.NewResponseController(rw).Flush()
			<-r.Context().Done()
		}, "", 0, true},
	} {
		e := newEar(t, test.answer)
		_, st := w.stream(key, e.URL)
		e2 := w.happened(w.ada, event.PasswordChanged)
		w.work()
		h := w.health(st.ID)
		if h.Class != test.class || h.Dead != test.dead || h.Good.IsZero() == test.good {
			t.Errorf("%s: got %+v (%s)", key, h, e2.ID)
		}
		must(t, w.s.DeleteReceiver(t.Context(), key))
	}
}

func TestAWebhookThatIsGoneIsDisabled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		siem := newEar(t, status(410))
		hook := w.hook("siem", siem.URL)
		w.happened(w.ada, event.PasswordChanged)
		w.happened(w.person("bob"), event.PasswordChanged)
		w.work()
		r := ok[*client.Receiver](t)(w.s.Receiver(t.Context(), "siem"))
		if h := w.health(hook.ID); !r.Disabled || len(siem.all()) != 1 || h.Class != "status-410" || h.Waiting != 0 || h.Dead != 1 {
			t.Errorf("disabled %v, %d requests, %+v", r.Disabled, len(siem.all()), h)
		}
		events := ok[[]event.Event](t)(w.s.EventsIn(t.Context(), hook.ID))
		if len(events) != 1 || events[0].Type != event.ReceiverChanged || events[0].Data["why"] != "gone" {
			t.Errorf("got %+v", events)
		}
	})
}

func TestC9SecretsStandInNoLogNoEventAndNoError(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		down := newEar(t, func(n int, rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader([]int{500, 400, 302, 202}[n%4])
			io.WriteString(rw, "canary-answer "+r.Header.Get("Authorization"))
		})
		w.stream("rp", down.URL+"/canary-path")
		hook := w.hook("siem", down.URL+"/canary-path")
		for range 6 {
			w.happened(w.ada, event.PasswordReset)
			w.work()
			w.clock.pass(10 * time.Minute)
		}
		text := w.log.String()
		for _, canary := range []string{"canary", "Bearer", string(hook.Sign[0].Secret), "eyJ"} {
			if strings.Contains(text, canary) {
				t.Errorf("%q stands in the log:\n%s", canary, text)
			}
		}
	})
}

func TestC10AWebhookTellsNoNameBeyondItsFormat(t *testing.T) {
	w := newWorld(t, storeOn(t))
	for _, format := range []client.SubjectFormat{client.FormatIssSub, client.FormatEmail, client.FormatOpaque} {
		e := newEar(t, status(202))
		w.hook("hook-"+strings.ReplaceAll(string(format), "_", "-"), e.URL, func(r *client.Receiver) { r.Format = format })
		for _, typ := range client.Heard(client.ReceiverWebhook) {
			w.happened(w.ada, event.Type(typ), "write", "canary-write", "methods", []string{"canary-write"}, "action", "reset", "kind", "sms", "root", "canary-write")
		}
		for range 20 {
			w.work()
			w.clock.pass(time.Second)
		}
		if len(e.all()) != len(client.Heard(client.ReceiverWebhook)) {
			t.Errorf("%s: %d webhooks", format, len(e.all()))
		}
		for _, h := range e.all() {
			holdsNothing(t, string(format), h.body, format)
			if bytes.Contains(h.body, []byte(w.ada.ID)) {
				t.Errorf("%s: our own name of the person stands in %s", format, h.body)
			}
			if len(h.body) > 64<<10 {
				t.Errorf("%d bytes", len(h.body))
			}
		}
		must(t, w.s.DeleteReceiver(t.Context(), "hook-"+strings.ReplaceAll(string(format), "_", "-")))
	}
}

// With the workers of a server: those that wait for a slow receiver are few, and the rest goes on.
func TestC5ASlowReceiverKeepsNoOtherAndNoOtherWorkWaiting(t *testing.T) {
	w := newWorld(t, storeOn(t), egress.Options{Allow: loopback, Timeout: time.Minute})
	release := make(chan struct{})
	slow := newEar(t, func(_ int, rw http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		rw.WriteHeader(202)
	})
	defer close(release) // before the workers end: they wait for their requests
	const people = 30
	told, code := make(chan struct{}, people), make(chan struct{}, people)
	quick := newEar(t, func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(202); told <- struct{}{} })
	w.stream("slow", slow.URL)
	w.stream("quick", quick.URL)
	for n := range people {
		w.happened(w.person(fmt.Sprint("p", n)), event.PasswordChanged)
	}
	w.clock.walks = true
	w.running(map[string]event.Handler{"code": func(context.Context, event.Item) error { code <- struct{}{}; return nil }})
	for range people {
		must(t, w.s.Put(t.Context(), store.Job{Kind: "code", Ref: newID()}))
	}
	for what, c := range map[string]chan struct{}{"event to the quick receiver": told, "code": code} {
		for n := range people {
			select {
			case <-c:
			case <-time.After(20 * time.Second):
				t.Fatalf("no %s after the first %d", what, n)
			}
		}
	}
	if n := len(slow.all()); n > 4 {
		t.Errorf("%d requests to the slow one at once", n)
	}
}
