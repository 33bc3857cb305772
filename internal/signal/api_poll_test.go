package signal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store/storetest"
)

// fetched is what one request for events brings.
type fetched struct {
	Sets map[string]string `json:"sets"`
	More bool              `json:"moreAvailable"`
}

func (f fetched) jtis() (all []string) {
	for jti := range f.Sets {
		all = append(all, jti)
	}
	slices.Sort(all)
	return all
}

func (w *wire) fetch(token, stream, body string) (f fetched) {
	w.t.Helper()
	a := w.call(token, http.MethodPost, "/ssf/poll/"+stream, body)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		w.t.Fatalf("poll: %d %s %s", a.status, a.body, a.header)
	}
	if err := json.Unmarshal([]byte(a.body), &f); err != nil {
		w.t.Fatal(err)
	}
	if f.Sets == nil {
		w.t.Errorf("no sets: %s", a.body)
	}
	return f
}

func TestWhatIsFetchedStaysUntilItIsAcknowledged(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			token, _, poll := w.streams("crm")
			bob, eve := w.person("bob", "bob@alder.example"), w.person("eve", "eve@alder.example")
			w.commit(w.ada, event.PasswordChanged)
			w.clock.pass(time.Millisecond)
			w.commit(w.ada, event.PasswordChanged) // the second about the same person waits for the first
			w.commit(bob, event.PasswordChanged)
			w.commit(eve, event.PasswordChanged)
			w.work()
			const now = `"returnImmediately":true`
			first := w.fetch(token, poll, `{`+now+`}`)
			if len(first.Sets) != 3 || !first.More {
				t.Fatalf("got %d, more %t; want one for each of three people, and more", len(first.Sets), first.More)
			}
			if again := w.fetch(token, poll, `{`+now+`}`); !slices.Equal(again.jtis(), first.jtis()) {
				t.Errorf("the second time %v, the first %v", again.jtis(), first.jtis())
			}
			if one := w.fetch(token, poll, `{`+now+`,"maxEvents":1}`); len(one.Sets) != 1 || !one.More {
				t.Errorf("asked for one: %d, more %t", len(one.Sets), one.More)
			}
			if none := w.fetch(token, poll, `{"maxEvents":0}`); len(none.Sets) != 0 { // and does not wait
				t.Errorf("asked for none: %d", len(none.Sets))
			}
			acks := have[[]byte](t)(json.Marshal(first.jtis()))
			second := w.fetch(token, poll, `{`+now+`,"ack":`+string(acks)+`}`)
			if len(second.Sets) != 1 || second.More || slices.Contains(first.jtis(), second.jtis()[0]) {
				t.Errorf("after an acknowledgement: %v, more %t", second.jtis(), second.More)
			}
			if h := have[[]client.Health](t)(w.store.Health(t.Context(), poll))[0]; h.Good.IsZero() || h.Waiting != 1 {
				t.Errorf("health: %+v", h)
			}
			// What is refused is given up and seen by staff, by the code alone.
			text := `{"maxEvents":0,"setErrs":{"` + second.jtis()[0] + `":{"err":"invalid_key","description":"canary"}}}`
			w.fetch(token, poll, text)
			h := have[[]client.Health](t)(w.store.Health(t.Context(), poll))[0]
			if h.Class != "invalid-key" || h.Dead != 1 || h.Waiting != 0 {
				t.Errorf("health: %+v", h)
			}
			if last := w.fetch(token, poll, `{`+now+`}`); len(last.Sets) != 0 || last.More {
				t.Errorf("at last: %+v", last)
			}
			if got := refusedClass("<script>"); got != "refused" {
				t.Errorf("a code nobody registered is kept as %q", got)
			}
		})
	}
}

func TestAnEventIsFetchedWhereItIsPolledFor(t *testing.T) {
	w := newWire(t)
	token, push, poll := w.streams("crm")
	if a := w.call(token, http.MethodPost, "/ssf/poll/"+push, `{}`); a.status != http.StatusNotFound {
		t.Errorf("a stream of pushes is polled: %d", a.status)
	}
	// What waits to be fetched is pushed, once the stream is one of pushes, and the other way round.
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	if n := len(w.waitingIn(poll)); n != 1 {
		t.Fatalf("%d wait", n)
	}
	s, d := w.heard("other", client.FormatIssSub, methodPoll)
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	if a := w.call(w.token("other"), http.MethodPatch, "/ssf/streams", `{"stream_id":"`+d.ID+`","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"`+s.Endpoint+`/events/1"}}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if n := len(w.waitingIn(d.ID)); n != 0 {
		t.Errorf("%d still wait to be fetched", n)
	}
}

func TestARequestWaitsForAnEventAndNotForEver(t *testing.T) {
	w := newWire(t)
	token, _, poll := w.streams("crm")
	patient := &api{Service: w.svc, wait: 20 * time.Second, every: 5 * time.Millisecond}
	server := httptest.NewServer(patient.routes())
	t.Cleanup(server.Close)
	w.base = server.URL
	came := make(chan fetched, maxHeldEach)
	for range cap(came) {
		go func() { came <- w.fetch(token, poll, `{}`) }()
	}
	for deadline := time.Now().Add(10 * time.Second); patient.polls.held() < maxHeldEach; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
	if f := w.fetch(token, poll, `{}`); len(f.Sets) != 0 { // so many wait that one more is answered at once
		t.Errorf("got %+v", f)
	}
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	for range cap(came) {
		if f := <-came; len(f.Sets) != 1 {
			t.Errorf("after waiting: %+v", f)
		}
	}
	if n := patient.polls.held(); n != 0 {
		t.Errorf("%d still wait", n)
	}
	w.fetch(token, poll, `{"maxEvents":0,"ack":["`+w.waitingIn(poll)[0]+`"]}`)
	hasty := &api{Service: w.svc, wait: 20 * time.Millisecond, every: 5 * time.Millisecond}
	short := httptest.NewServer(hasty.routes())
	t.Cleanup(short.Close)
	w.base = short.URL
	if f := w.fetch(token, poll, `{}`); len(f.Sets) != 0 || f.More {
		t.Errorf("when nothing came: %+v", f)
	}
}

func (c *waiting) held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func TestSubjectsAreRemovedAndAddedByTheNameTheReceiverKnows(t *testing.T) {
	for _, format := range []client.SubjectFormat{client.FormatIssSub, client.FormatEmail, client.FormatOpaque} {
		t.Run(string(format), func(t *testing.T) {
			w := newWire(t)
			bob := w.person("bob", "bob@alder.example")
			r := w.receiver("crm", format)
			token := w.token("crm")
			stream := w.call(token, http.MethodPost, "/ssf/streams", `{}`).json["stream_id"].(string)
			named := map[client.SubjectFormat]string{client.FormatIssSub: `{"format":"iss_sub","iss":"https://idp.alder.example","sub":"sub-ada"}`, client.FormatEmail: `{"format":"email","email":"Ada@alder.example"}`,
				client.FormatOpaque: `{"format":"opaque","id":"` + w.svc.OpaqueName(r, w.ada.ID) + `"}`}[format]
			ask := func(what, subject string) reply {
				t.Helper()
				return w.call(token, http.MethodPost, "/ssf/subjects:"+what, `{"stream_id":"`+stream+`","subject":`+subject+`}`)
			}
			excluded := func() bool {
				t.Helper()
				if have[bool](t)(w.store.Excluded(t.Context(), stream, bob.ID)) {
					t.Error("somebody else is removed")
				}
				return have[bool](t)(w.store.Excluded(t.Context(), stream, w.ada.ID))
			}
			for range 2 { // either may be repeated
				if a := ask("remove", named); a.status != http.StatusNoContent || a.body != "" || !excluded() {
					t.Errorf("removed: %d %s", a.status, a.body)
				}
			}
			w.commit(w.ada, event.PasswordChanged)
			w.work()
			if n := len(w.waitingIn(stream)); n != 0 {
				t.Errorf("%d events about somebody who was removed", n)
			}
			for range 2 {
				if a := ask("add", named); a.status != http.StatusOK || a.body != "" || excluded() {
					t.Errorf("added: %d %s", a.status, a.body)
				}
			}
			w.commit(w.ada, event.PasswordChanged)
			w.work()
			if n := len(w.waitingIn(stream)); n != 1 {
				t.Errorf("%d events about somebody who was added again", n)
			}
			// Who is nobody here, or nobody to this receiver, gets the same answer.
			for _, nobody := range map[client.SubjectFormat][]string{
				client.FormatIssSub: {`{"format":"iss_sub","iss":"https://idp.alder.example","sub":"nobody"}`, `{"format":"iss_sub","iss":"https://evil.example","sub":"sub-ada"}`},
				client.FormatEmail:  {`{"format":"email","email":"nobody@alder.example"}`, `{"format":"email","email":"ada@home.example"}`},
				client.FormatOpaque: {`{"format":"opaque","id":"` + strings.Repeat("A", 22) + `"}`, `{"format":"opaque","id":"` + w.ada.ID + `"}`, `{"format":"opaque","id":"ada.login"}`},
			}[format] {
				if a := ask("remove", nobody); a.status != http.StatusNoContent || a.body != "" || excluded() {
					t.Errorf("%s: %d %s", nobody, a.status, a.body)
				}
				if a := ask("add", nobody); a.status != http.StatusOK || a.body != "" {
					t.Errorf("%s: %d %s", nobody, a.status, a.body)
				}
			}
			for _, bad := range []string{`null`, `[]`, `"ada"`, `{}`, `{"format":"phone_number","phone_number":"+1"}`, `{"format":"complex","user":{}}`, fmt.Sprintf(`{"format":%q}`, format),
				fmt.Sprintf(`{"format":%q,"iss":1,"sub":1,"email":1,"id":1}`, format), fmt.Sprintf(`{"format":%q,"format":%q}`, format, format)} {
				if a := ask("remove", bad); a.status != http.StatusBadRequest {
					t.Errorf("%s: %d", bad, a.status)
				}
			}
		})
	}
}

func TestAPausedStreamKeepsWhatWaitsAndADisabledOneDropsIt(t *testing.T) {
	w := newWire(t)
	token, _, poll := w.streams("crm")
	set := func(to string) {
		t.Helper()
		if a := w.call(token, http.MethodPost, "/ssf/status", `{"stream_id":"`+poll+`","status":"`+to+`"}`); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	fetch := func() int { t.Helper(); return len(w.fetch(token, poll, `{"returnImmediately":true}`).Sets) }
	set("paused")
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	if n := fetch(); n != 0 {
		t.Errorf("paused: %d", n)
	}
	set("enabled")
	if n := fetch(); n != 1 {
		t.Errorf("enabled again: %d", n)
	}
	set("disabled")
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	if a := w.call(token, http.MethodPost, "/ssf/verify", `{"stream_id":"`+poll+`"}`); a.status != http.StatusBadRequest {
		t.Errorf("a verification over a disabled stream: %d", a.status)
	}
	set("enabled")
	if n := fetch(); n != 0 {
		t.Errorf("what happened while it was disabled is kept: %d", n)
	}
}

func TestAVerificationThatWasRefusedKeepsNoLaterOneBack(t *testing.T) {
	w := newWire(t)
	token, _, poll := w.streams("crm")
	verify := func() {
		t.Helper()
		w.clock.pass(minVerification * time.Second)
		if a := w.call(token, http.MethodPost, "/ssf/verify", `{"stream_id":"`+poll+`"}`); a.status != http.StatusNoContent {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	verify()
	first := w.waitingIn(poll)
	w.fetch(token, poll, `{"maxEvents":0,"setErrs":{"`+first[0]+`":{"err":"invalid_state"}}}`)
	if n := len(w.waitingIn(poll)); n != 0 {
		t.Fatalf("%d wait", n)
	}
	verify()
	if second := w.waitingIn(poll); len(second) != 1 || second[0] == first[0] {
		t.Errorf("the second time %v wait", second)
	}
}
