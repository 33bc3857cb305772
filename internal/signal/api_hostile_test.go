package signal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// A hostile receiver has a token that is good, and wants more than is its own. The rows of the attack list are in the names.

func TestC2AStreamOfAnotherReceiverIsNotThere(t *testing.T) {
	w := newWire(t)
	_, push, poll := w.streams("victim")
	evil, _, own := w.streams("evil")
	w.commit(w.ada, event.PasswordChanged)
	w.work()
	before := have[[]client.Stream](t)(w.store.StreamsOf(t.Context(), w.idOf("victim")))
	never := "01900000-0000-7000-8000-000000000000"
	for _, test := range []struct{ verb, path, body string }{
		{"GET", "/ssf/streams?stream_id=ID", ""}, {"DELETE", "/ssf/streams?stream_id=ID", ""}, {"GET", "/ssf/status?stream_id=ID", ""},
		{"PATCH", "/ssf/streams", `{"stream_id":"ID","description":"mine"}`}, {"PUT", "/ssf/streams", `{"stream_id":"ID"}`},
		{"POST", "/ssf/status", `{"stream_id":"ID","status":"disabled"}`}, {"POST", "/ssf/verify", `{"stream_id":"ID","state":"x"}`},
		{"POST", "/ssf/subjects:remove", `{"stream_id":"ID","subject":{"format":"opaque","id":"x"}}`}, {"POST", "/ssf/subjects:add", `{"stream_id":"ID","subject":{"format":"opaque","id":"x"}}`},
		{"POST", "/ssf/poll/ID", `{"returnImmediately":true}`}, {"POST", "/ssf/poll/ID", `{"returnImmediately":true,"ack":["x"]}`},
	} {
		ask := func(id string) reply {
			return w.call(evil, test.verb, strings.ReplaceAll(test.path, "ID", id), strings.ReplaceAll(test.body, "ID", id))
		}
		unknown := ask(never)
		if unknown.status != http.StatusNotFound {
			t.Errorf("%s %s: of nobody: %d %s", test.verb, test.path, unknown.status, unknown.body)
		}
		for _, id := range []string{push, poll} {
			if a := ask(id); a.status != unknown.status || a.body != unknown.body {
				t.Errorf("%s %s: of another: %d %s, of nobody: %d %s", test.verb, test.path, a.status, a.body, unknown.status, unknown.body)
			}
		}
	}
	// A path is no way around either.
	for _, path := range []string{"/ssf/poll/" + own + "/../" + poll, "/ssf/poll/" + own + "%2f..%2f" + poll, "/ssf/poll/" + poll + "/", "/ssf/poll//" + poll} {
		if a := w.call(evil, http.MethodPost, path, `{"returnImmediately":true}`); a.status == http.StatusOK {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if after := have[[]client.Stream](t)(w.store.StreamsOf(t.Context(), w.idOf("victim"))); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %+v, want %+v", after, before)
	}
	if items, _, err := w.store.Polled(t.Context(), poll, 10, w.clock.now()); err != nil || len(items) == 0 {
		t.Errorf("the victim's events: %v, %v", items, err)
	}
}

func (w *wire) idOf(key string) string {
	w.t.Helper()
	return have[*client.Receiver](w.t)(w.store.Receiver(w.t.Context(), key)).ID
}

// waitingIn returns the ids of what waits to be fetched.
func (w *wire) waitingIn(stream string) (ids []string) {
	w.t.Helper()
	items, _, err := w.store.Polled(w.t.Context(), stream, 100, w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	return ids
}

func TestC4AnAcknowledgementOfAnothersEventChangesNothing(t *testing.T) {
	w := newWire(t)
	victim, push, poll := w.streams("victim")
	evil, _, own := w.streams("evil")
	w.commit(w.ada, event.PasswordChanged)
	// What waits to be pushed is nobody's to acknowledge either.
	if a := w.call(victim, http.MethodPost, "/ssf/verify", `{"stream_id":"`+push+`"}`); a.status != http.StatusNoContent {
		t.Fatalf("verify: %d", a.status)
	}
	items := have[[]store.Work](t)(w.store.Claim(t.Context(), w.clock.now(), "look", []string{pushKind}, 10, time.Second))
	w.clock.pass(2 * time.Second)
	handlers := w.svc.Handlers()
	for _, row := range have[[]store.Work](t)(w.store.Claim(t.Context(), w.clock.now(), "test", []string{"signal"}, 10, time.Minute)) {
		if err := w.done(row, handlers["signal"](t.Context(), event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref, NotAfter: row.NotAfter, Lease: row})); err != nil {
			t.Fatal(err)
		}
	}
	theirs, mine := w.waitingIn(poll), w.waitingIn(own)
	if len(theirs) == 0 || len(mine) == 0 || len(items) != 1 {
		t.Fatalf("%v %v %v", theirs, mine, items)
	}
	foreign := append(slices.Clone(theirs), items[0].ID, "", "nothing", "' OR 1=1 --", strings.Repeat("x", maxJTI))
	acks, errs := have[[]byte](t)(json.Marshal(foreign)), map[string]any{}
	for _, id := range foreign {
		errs[id] = map[string]string{"err": "access_denied"}
	}
	refusals := have[[]byte](t)(json.Marshal(errs))
	for _, body := range []string{`{"returnImmediately":true,"ack":` + string(acks) + `}`, `{"maxEvents":0,"setErrs":` + string(refusals) + `}`} {
		if a := w.call(evil, http.MethodPost, "/ssf/poll/"+own, body); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := w.call(victim, http.MethodPost, "/ssf/poll/"+poll, `{"maxEvents":0,"ack":["`+items[0].ID+`"]}`); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := w.waitingIn(poll); !slices.Equal(got, theirs) {
		t.Errorf("the victim's events were %v and are %v", theirs, got)
	}
	if got := w.waitingIn(own); !slices.Equal(got, mine) {
		t.Errorf("the evil one's events were %v and are %v", mine, got)
	}
	if again := have[[]store.Work](t)(w.store.Claim(t.Context(), w.clock.now(), "look", []string{pushKind}, 10, time.Second)); !slices.ContainsFunc(again, func(row store.Work) bool { return row.ID == items[0].ID }) {
		t.Error("a push was acknowledged by polling")
	}
}

func TestC7ATokenInTheAddressOrTheBodyIsRefused(t *testing.T) {
	w := newWire(t)
	token, push, _ := w.streams("crm")
	for _, test := range []struct {
		name, path, body string
		headers          []string
		status           int
		challenge        string
	}{
		{"in the address", "/ssf/streams?access_token=" + token, "", nil, 400, ""},
		{"in the address, coded", "/ssf/streams?%61ccess_token=" + token, "", nil, 400, ""},
		{"in the address, and in the header", "/ssf/streams?access_token=" + token, "", []string{"Authorization", "Bearer " + token}, 400, ""},
		{"in the path", "/ssf/streams/" + token, "", nil, 404, ""},
		{"nowhere", "/ssf/streams", "", nil, 401, `Bearer realm="ssf"`},
		{"as a user's password", "/ssf/streams", "", []string{"Authorization", basic("crm", token)}, 401, `Bearer realm="ssf"`},
		{"in a cookie", "/ssf/streams", "", []string{"Cookie", "access_token=" + token}, 401, `Bearer realm="ssf"`},
		{"in another header", "/ssf/streams", "", []string{"X-Access-Token", token}, 401, `Bearer realm="ssf"`},
		{"in two headers", "/ssf/streams", "", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, 400, ""},
		{"with more behind it", "/ssf/streams", "", []string{"Authorization", "Bearer " + token + " x"}, 401, "invalid_token"},
		{"cut", "/ssf/streams", "", []string{"Authorization", "Bearer " + token[:len(token)-1]}, 401, "invalid_token"},
		{"the secret of the client", "/ssf/streams", "", []string{"Authorization", "Bearer " + w.secrets["crm"]}, 401, "invalid_token"},
	} {
		a := w.ask(http.MethodGet, test.path, test.body, test.headers...)
		if a.status != test.status || strings.Contains(a.body, push) || test.challenge != "" && !strings.Contains(a.header.Get("WWW-Authenticate"), test.challenge) {
			t.Errorf("%s: got %d %s, WWW-Authenticate %q", test.name, a.status, a.body, a.header.Get("WWW-Authenticate"))
		}
		if strings.Contains(a.body+fmt.Sprint(a.header), token) {
			t.Errorf("%s: the answer holds the token", test.name)
		}
	}
	form := url.Values{"access_token": {token}, "stream_id": {push}}
	if a := w.post("/ssf/verify", form.Encode(), "Content-Type", formType); a.status != http.StatusUnauthorized {
		t.Errorf("in a form: %d", a.status)
	}
	if a := w.post("/ssf/verify", `{"access_token":"`+token+`","stream_id":"`+push+`"}`, "Content-Type", "application/json"); a.status != http.StatusUnauthorized {
		t.Errorf("in JSON: %d", a.status)
	}
	if a := w.ask(http.MethodGet, "/ssf/streams", "", "Authorization", "bEaReR "+token); a.status != http.StatusOK {
		t.Errorf("the scheme is case-insensitive (RFC 9110 §11.1): %d", a.status)
	}
	if said := w.log.String(); strings.Contains(said, token) || strings.Contains(said, w.secrets["crm"]) {
		t.Error("the log holds a token or a secret")
	}
}

func TestC8AFloodOfVerificationsIsOne(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			token, _, poll := w.streams("crm")
			round := 0
			flood := func() (sent int) {
				t.Helper()
				round++
				results := make(chan reply, 20)
				for i := range cap(results) {
					go func() {
						results <- w.call(token, http.MethodPost, "/ssf/verify", fmt.Sprintf(`{"stream_id":%q,"state":"%d of %d"}`, poll, i, round))
					}()
				}
				for range cap(results) {
					switch a := <-results; a.status {
					case http.StatusNoContent:
						sent++
					case http.StatusTooManyRequests:
						if a.header.Get("Retry-After") != "30" {
							t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
						}
					default:
						t.Errorf("%d %s", a.status, a.body)
					}
				}
				return sent
			}
			if n := flood(); n != 1 || len(w.waitingIn(poll)) != 1 {
				t.Errorf("%d of 20 at once were sent, %d wait", n, len(w.waitingIn(poll)))
			}
			w.clock.pass(minVerification*time.Second - time.Second)
			if a := w.call(token, http.MethodPost, "/ssf/verify", `{"stream_id":"`+poll+`"}`); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "1" {
				t.Errorf("a second too early: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
			}
			w.clock.pass(time.Second)
			if n := flood(); n != 1 || len(w.waitingIn(poll)) != 2 {
				t.Errorf("the second time %d were sent, %d wait", n, len(w.waitingIn(poll)))
			}
		})
	}
}

func TestC9TheHeaderOfPushesIsNeverShownOrLogged(t *testing.T) {
	w := newWire(t)
	token, push, _ := w.streams("crm")
	const canary = "header-canary"
	var answers []reply
	answers = append(answers, w.call(token, http.MethodGet, "/ssf/streams", ""), w.call(token, http.MethodGet, "/ssf/streams?stream_id="+push, ""), w.call(token, http.MethodGet, "/ssf/status?stream_id="+push, ""),
		w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`","description":"x"}`),
		w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/b","authorization_header":"Bearer `+canary+`"}}`),
		w.call(token, http.MethodPut, "/ssf/streams", `{"stream_id":"`+push+`","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/b","authorization_header":"Bearer `+canary+`"}}`),
		w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`","delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://evil.example/b","authorization_header":"Bearer `+canary+`"}}`),
		w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`","delivery":{"method":"x","authorization_header":"`+canary+`\n"}}`))
	w.commit(w.ada, event.PasswordChanged)
	w.work() // to a host that is not there
	for i, a := range answers {
		if strings.Contains(a.body+fmt.Sprint(a.header), canary) || strings.Contains(a.body, "authorization_header") && a.status < 300 {
			t.Errorf("answer %d: %d %s", i, a.status, a.body)
		}
	}
	if strings.Contains(w.log.String(), canary) {
		t.Error("the log holds it")
	}
	if s := have[*client.Stream](t)(w.store.Stream(t.Context(), push)); s.Authorization != "Bearer "+canary {
		t.Errorf("and it is not kept: %q", s.Authorization)
	}
	for _, e := range have[[]event.Event](t)(w.store.EventsOf(t.Context(), "", "", 100)) {
		if strings.Contains(fmt.Sprint(e.Data, e.Private), canary) {
			t.Errorf("an event holds it: %+v", e)
		}
	}
}
