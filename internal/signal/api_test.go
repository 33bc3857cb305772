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
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
)

const formType = "application/x-www-form-urlencoded"

func TestTheMetadataSaysWhatThereIs(t *testing.T) {
	w := newWire(t)
	a := w.ask(http.MethodGet, PathWellKnown, "")
	want := map[string]any{
		"spec_version": "1_0", "issuer": w.base, "jwks_uri": w.base + "/ssf/jwks", "delivery_methods_supported": []any{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"},
		"configuration_endpoint": w.base + "/ssf/streams", "status_endpoint": w.base + "/ssf/status", "add_subject_endpoint": w.base + "/ssf/subjects:add",
		"remove_subject_endpoint": w.base + "/ssf/subjects:remove", "verification_endpoint": w.base + "/ssf/verify",
		"authorization_schemes": []any{map[string]any{"spec_urn": "urn:ietf:rfc:6749"}}, "default_subjects": "ALL",
	}
	if got, _ := json.Marshal(a.json); a.status != http.StatusOK || string(got) != string(have[[]byte](t)(json.Marshal(want))) {
		t.Errorf("%d: got %s", a.status, got)
	}
	if a := w.post(PathWellKnown, "{}"); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
		t.Errorf("a post to it: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
}

func TestTheKeySetHoldsPublicRSAKeysOfEventsOnly(t *testing.T) {
	w := newWire(t)
	a := w.ask(http.MethodGet, "/ssf/jwks", "")
	keys, _ := a.json["keys"].([]any)
	if a.status != http.StatusOK || len(keys) != 2 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	for _, k := range keys {
		var names []string
		for name := range k.(map[string]any) {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != "alg e kid kty n use" {
			t.Errorf("a key has %s", got)
		}
	}
}

func TestTheFirstWhoReadsTheKeysFindsOne(t *testing.T) {
	w := newWire(t)
	w.signers.keys = nil
	for range 2 {
		if a := w.ask(http.MethodGet, "/ssf/jwks", ""); a.status != http.StatusOK || strings.Count(a.body, `"kid"`) != 1 {
			t.Errorf("%d: %s", a.status, a.body)
		}
	}
}

func TestAReceiverGetsATokenByHeaderOrBody(t *testing.T) {
	w := newWire(t)
	w.receiver("crm", client.FormatOpaque)
	secret := w.secrets["crm"]
	both := url.Values{"grant_type": {"client_credentials"}, "client_id": {"crm"}, "client_secret": {secret}}
	for name, a := range map[string]reply{
		"header": w.post("/oauth2/token", "grant_type=client_credentials", "Content-Type", formType, "Authorization", basic("crm", secret)),
		"body":   w.post("/oauth2/token", both.Encode(), "Content-Type", formType),
	} {
		if a.status != http.StatusOK || a.json["token_type"] != "Bearer" || a.json["expires_in"] != 1800.0 || a.json["scope"] != "ssf.manage ssf.read" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %s", name, a.status, a.body, a.header)
		}
		token, _ := a.json["access_token"].(string)
		if a := w.call(token, http.MethodGet, "/ssf/streams", ""); a.status != http.StatusOK || a.body != "[]" {
			t.Errorf("%s: with the token: %d %s", name, a.status, a.body)
		}
	}
	for asked, want := range map[string]string{"ssf.read": "ssf.read", "ssf.read ssf.manage": "ssf.manage ssf.read", "ssf.manage openid profile": "ssf.manage"} {
		a := w.post("/oauth2/token", "grant_type=client_credentials&scope="+url.QueryEscape(asked), "Content-Type", formType, "Authorization", basic("crm", secret))
		if a.status != http.StatusOK || a.json["scope"] != want {
			t.Errorf("scope %q: %d %s", asked, a.status, a.body)
		}
	}
}

func TestWhoIsNoReceiverGetsNoToken(t *testing.T) {
	w := newWire(t)
	w.receiver("crm", client.FormatOpaque)
	w.receiver("gone", client.FormatOpaque)
	if _, err := w.store.UpdateReceiver(t.Context(), "gone", func(r *client.Receiver) ([]event.Event, error) { r.Disable(true); return nil, nil }); err != nil {
		t.Fatal(err)
	}
	other, _ := keyring.NewToken("rgn_receiver")
	secret := w.secrets["crm"]
	const form = "grant_type=client_credentials"
	for _, test := range []struct {
		name, body, header string
		status             int
		code               string
	}{
		{"no secret", form, "", 401, "invalid_client"},
		{"another secret", form, basic("crm", other), 401, "invalid_client"},
		{"no secret at all", form, basic("crm", ""), 401, "invalid_client"},
		{"nobody", form, basic("nobody", secret), 401, "invalid_client"},
		{"one that is disabled", form, basic("gone", w.secrets["gone"]), 401, "invalid_client"},
		{"a secret of another", form, basic("crm", w.secrets["gone"]), 401, "invalid_client"},
		{"no basic header", form, "Bearer " + secret, 401, "invalid_client"},
		{"two names", form + "&client_id=gone", basic("crm", secret), 401, "invalid_client"},
		{"header and body", form + "&client_secret=" + secret, basic("crm", secret), 400, "invalid_request"},
		{"a name twice", form + "&client_id=crm&client_id=gone&client_secret=" + secret, "", 400, "invalid_request"},
		{"a secret twice", form + "&client_id=crm&client_secret=x&client_secret=" + secret, "", 400, "invalid_request"},
		{"no scope of ours", form + "&scope=openid", basic("crm", secret), 400, "invalid_scope"},
	} {
		headers := []string{"Content-Type", formType}
		if test.header != "" {
			headers = append(headers, "Authorization", test.header)
		}
		a := w.post("/oauth2/token", test.body, headers...)
		if a.status != test.status || a.json["error"] != test.code {
			t.Errorf("%s: got %d %s, want %d %s", test.name, a.status, a.body, test.status, test.code)
		}
		if challenged := strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic "); challenged != (test.status == 401) {
			t.Errorf("%s: WWW-Authenticate %q", test.name, a.header.Get("WWW-Authenticate"))
		}
	}
}

func TestATokenEndsWithItsTimeItsSecretAndItsReceiver(t *testing.T) {
	w := newWire(t)
	w.receiver("crm", client.FormatOpaque)
	change := func(f func(r *client.Receiver)) {
		t.Helper()
		if _, err := w.store.UpdateReceiver(t.Context(), "crm", func(r *client.Receiver) ([]event.Event, error) { f(r); return nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	good := func(token string) bool {
		t.Helper()
		a := w.call(token, http.MethodGet, "/ssf/streams", "")
		if a.status == http.StatusUnauthorized && !strings.Contains(a.header.Get("WWW-Authenticate"), `Bearer realm="ssf", error="invalid_token"`) {
			t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
		}
		return a.status == http.StatusOK
	}
	first := w.token("crm")
	w.clock.pass(client.AccessTime - time.Second)
	if !good(first) {
		t.Error("a token of 29 minutes is not good")
	}
	w.clock.pass(time.Second)
	if good(first) {
		t.Error("a token of 30 minutes is good")
	}
	second := w.token("crm")
	change(func(r *client.Receiver) { r.Disable(true) })
	if good(second) {
		t.Error("a token of a disabled receiver is good")
	}
	change(func(r *client.Receiver) { r.Disable(false) })
	if !good(second) {
		t.Error("an enabled receiver's token is not good")
	}
	change(func(r *client.Receiver) {
		_, hash := keyring.NewToken("rgn_receiver")
		if err := r.AddSecret(client.Token{Hash: hash, Created: w.clock.now()}, w.clock.now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	})
	if !good(second) {
		t.Error("the secret works for another minute, and its token does not")
	}
	w.clock.pass(time.Minute)
	if good(second) {
		t.Error("a token outlives the secret it was asked for with")
	}
}

func TestAReceiverCannotHaveTokensWithoutEnd(t *testing.T) {
	w := newWire(t)
	w.receiver("crm", client.FormatOpaque)
	w.receiver("other", client.FormatOpaque)
	for range tokenBurst {
		w.token("crm")
	}
	a := w.post("/oauth2/token", "grant_type=client_credentials", "Content-Type", formType, "Authorization", basic("crm", w.secrets["crm"]))
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", a.status, a.body)
	}
	w.token("other") // the allowance is each receiver's own
}

func TestAScopeThatIsNotEnoughIsNamed(t *testing.T) {
	w := newWire(t)
	w.receiver("crm", client.FormatOpaque)
	token := w.token("crm", "ssf.read")
	for _, route := range []string{"POST /ssf/streams", "PATCH /ssf/streams", "PUT /ssf/streams", "DELETE /ssf/streams?stream_id=x", "POST /ssf/status", "POST /ssf/subjects:add", "POST /ssf/subjects:remove", "POST /ssf/verify"} {
		verb, path, _ := strings.Cut(route, " ")
		a := w.call(token, verb, path, "{}")
		if a.status != http.StatusForbidden || a.header.Get("WWW-Authenticate") != `Bearer realm="ssf", error="insufficient_scope", error_description="the token is not good for this", scope="ssf.manage"` {
			t.Errorf("%s: %d, WWW-Authenticate %q", route, a.status, a.header.Get("WWW-Authenticate"))
		}
	}
	for _, path := range []string{"/ssf/status?stream_id=x", "/ssf/streams?stream_id=x"} {
		if a := w.call(token, http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := w.call(token, http.MethodPost, "/ssf/poll/x", "{}"); a.status != http.StatusNotFound {
		t.Errorf("poll: %d", a.status)
	}
}

// streams is a receiver with a token and a stream of each way of delivery.
func (w *wire) streams(key string) (token, push, poll string) {
	w.t.Helper()
	w.receiver(key, client.FormatOpaque, key+".example")
	token = w.token(key)
	make := func(delivery string) string {
		a := w.call(token, http.MethodPost, "/ssf/streams", `{"delivery":`+delivery+`}`)
		if a.status != http.StatusCreated {
			w.t.Fatalf("stream of %s: %d %s", key, a.status, a.body)
		}
		return a.json["stream_id"].(string)
	}
	return token, make(`{"method":"urn:ietf:rfc:8935","endpoint_url":"https://` + key + `.example/events","authorization_header":"Bearer header-canary"}`), make(`{"method":"urn:ietf:rfc:8936"}`)
}

func TestAStreamIsMadeReadChangedReplacedAndDeleted(t *testing.T) {
	w := newWire(t)
	token, push, poll := w.streams("crm")
	read := func(id string) map[string]any {
		t.Helper()
		a := w.call(token, http.MethodGet, "/ssf/streams?stream_id="+id, "")
		if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("read: %d %s", a.status, a.body)
		}
		return a.json
	}
	doc := read(push)
	if doc["iss"] != w.base || doc["aud"] != "https://crm.example" || doc["min_verification_interval"] != 30.0 || fmt.Sprint(doc["delivery"]) != "map[endpoint_url:https://crm.example/events method:urn:ietf:rfc:8935]" {
		t.Errorf("push: %v", doc)
	}
	if fmt.Sprint(read(poll)["delivery"]) != "map[endpoint_url:"+w.base+"/ssf/poll/"+poll+" method:urn:ietf:rfc:8936]" {
		t.Errorf("poll: %v", read(poll))
	}
	a := w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`","description":"first","events_requested":["`+caepEvents+`session-revoked","urn:example:unknown"]}`)
	if a.status != http.StatusOK || a.json["description"] != "first" || fmt.Sprint(a.json["events_delivered"]) != "["+caepEvents+"session-revoked]" || fmt.Sprint(a.json["delivery"]) != fmt.Sprint(doc["delivery"]) {
		t.Errorf("changed: %d %s", a.status, a.body)
	}
	// What was read may be sent back as it is: all of ours matches.
	sent := have[[]byte](t)(json.Marshal(a.json))
	if b := w.call(token, http.MethodPut, "/ssf/streams", string(sent)); b.status != http.StatusOK || b.body != a.body {
		t.Errorf("replaced by itself: %d %s", b.status, b.body)
	}
	stored := have[*client.Stream](t)(w.store.Stream(t.Context(), push))
	if stored.Authorization != "" { // it cannot be read, so it was not sent, so it is deleted
		t.Errorf("after a replacement without a header: %+v", stored)
	}
	b := w.call(token, http.MethodPut, "/ssf/streams", `{"stream_id":"`+push+`"}`)
	if b.status != http.StatusOK || b.json["description"] != nil || b.json["events_requested"] != nil || fmt.Sprint(b.json["delivery"]) != "map[endpoint_url:"+w.base+"/ssf/poll/"+push+" method:urn:ietf:rfc:8936]" {
		t.Errorf("replaced by nothing: %d %s", b.status, b.body)
	}
	for text, why := range map[string]string{
		`{"description":"x"}`: "no stream_id", `{"stream_id":7}`: "a stream_id that is no text", `{"stream_id":"` + push + `","iss":"https://evil.example"}`: "another issuer",
		`{"stream_id":"` + push + `","aud":"https://other.example"}`: "another audience", `{"stream_id":"` + push + `","events_delivered":[]}`: "other events", `[]`: "no object",
	} {
		for _, verb := range []string{http.MethodPatch, http.MethodPut} {
			if a := w.call(token, verb, "/ssf/streams", text); a.status != http.StatusBadRequest {
				t.Errorf("%s with %s: %d %s", verb, why, a.status, a.body)
			}
		}
	}
	if a := w.call(token, http.MethodGet, "/ssf/streams", ""); !strings.HasPrefix(a.body, "[{") || strings.Count(a.body, `"stream_id"`) != 2 {
		t.Errorf("all: %s", a.body)
	}
	if a := w.call(token, http.MethodDelete, "/ssf/streams?stream_id="+poll, ""); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("deleted: %d %s", a.status, a.body)
	}
	if a := w.call(token, http.MethodGet, "/ssf/streams?stream_id="+poll, ""); a.status != http.StatusNotFound {
		t.Errorf("read after that: %d", a.status)
	}
	for _, path := range []string{"/ssf/streams", "/ssf/streams?stream_id=", "/ssf/streams?stream_id=" + push + "&stream_id=" + push} {
		if a := w.call(token, http.MethodDelete, path, ""); a.status != http.StatusBadRequest {
			t.Errorf("delete %s: %d", path, a.status)
		}
	}
}

func TestAReceiverHasAFewStreamsAndNoMore(t *testing.T) {
	w := newWire(t)
	token, _, _ := w.streams("crm")
	results := make(chan int, 12)
	for range cap(results) {
		go func() { results <- w.call(token, http.MethodPost, "/ssf/streams", `{}`).status }()
	}
	made := 2
	for range cap(results) {
		switch status := <-results; status {
		case http.StatusCreated:
			made++
		case http.StatusConflict:
		default:
			t.Errorf("got %d", status)
		}
	}
	if all := have[[]client.Stream](t)(w.store.StreamsOf(t.Context(), have[*client.Receiver](t)(w.store.Receiver(t.Context(), "crm")).ID)); made > client.MaxStreams || len(all) != made {
		t.Errorf("%d were made, %d are there", made, len(all))
	}
	if a := w.call(token, http.MethodPost, "/ssf/streams", `{"iss":"x"}`); a.status != http.StatusBadRequest {
		t.Errorf("with what is ours to give: %d", a.status)
	}
}

func TestAStatusIsSetByTheReceiver(t *testing.T) {
	w := newWire(t)
	token, push, _ := w.streams("crm")
	read := func() string { return w.call(token, http.MethodGet, "/ssf/status?stream_id="+push, "").body }
	if got := read(); got != `{"stream_id":"`+push+`","status":"enabled"}` {
		t.Errorf("at first: %s", got)
	}
	a := w.call(token, http.MethodPost, "/ssf/status", `{"stream_id":"`+push+`","status":"paused","reason":"maintenance"}`)
	if want := `{"stream_id":"` + push + `","status":"paused","reason":"maintenance"}`; a.status != http.StatusOK || a.body != want || read() != want {
		t.Errorf("paused: %d %s", a.status, a.body)
	}
	if a := w.call(token, http.MethodPost, "/ssf/status", `{"stream_id":"`+push+`","status":"enabled"}`); a.status != http.StatusOK || strings.Contains(a.body, "reason") {
		t.Errorf("a reason outlives its status: %d %s", a.status, a.body)
	}
	for _, text := range []string{`{"stream_id":"` + push + `"}`, `{"stream_id":"` + push + `","status":"Enabled"}`, `{"stream_id":"` + push + `","status":1}`,
		`{"stream_id":"` + push + `","status":"paused","reason":"` + strings.Repeat("x", 201) + `"}`, `{"status":"paused"}`} {
		if a := w.call(token, http.MethodPost, "/ssf/status", text); a.status != http.StatusBadRequest {
			t.Errorf("%.60s: %d", text, a.status)
		}
	}
}

func TestBodiesAreJSONAndBounded(t *testing.T) {
	w := newWire(t)
	token, push, poll := w.streams("crm")
	large := `{"stream_id":"` + push + `","x":"` + strings.Repeat("x", maxBody) + `"}`
	for _, path := range []string{"/ssf/streams", "/ssf/status", "/ssf/subjects:add", "/ssf/subjects:remove", "/ssf/verify", "/ssf/poll/" + poll} {
		for body, want := range map[string]int{"": 400, "{": 400, "[]": 400, `{"stream_id":"a","stream_id":"b"}`: 400, "{\"x\":\"\xff\"}": 400, large: 413} {
			if a := w.post(path, body, "Authorization", "Bearer "+token, "Content-Type", "application/json"); a.status != want {
				t.Errorf("%s: %.40q: got %d, want %d", path, body, a.status, want)
			}
		}
		for _, kind := range []string{"", "text/plain", formType, "application/json; charset=latin1", "application/jwt"} {
			if a := w.post(path, "{}", "Authorization", "Bearer "+token, "Content-Type", kind); a.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s: %q: got %d", path, kind, a.status)
			}
		}
		w.clock.pass(10 * time.Second) // the pace of requests is another test
	}
	for _, route := range []string{"DELETE /ssf/status", "GET /ssf/verify", "PUT /ssf/poll/" + poll, "POST /ssf/jwks"} {
		verb, path, _ := strings.Cut(route, " ")
		if a := w.call(token, verb, path, ""); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
			t.Errorf("%s: %d, Allow %q", route, a.status, a.header.Get("Allow"))
		}
	}
	if a := w.call(token, http.MethodPost, "/ssf/nothing", "{}"); a.status != http.StatusNotFound {
		t.Errorf("a path that is not there: %d", a.status)
	}
}

func TestRequestsHaveAPace(t *testing.T) {
	w := newWire(t)
	token, _, _ := w.streams("crm")
	other, _, _ := w.streams("other")
	limited := 0
	for range paceRequests.burst + 10 {
		if a := w.call(token, http.MethodGet, "/ssf/streams", ""); a.status == http.StatusTooManyRequests {
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Error("nobody says when to come again")
			}
		}
	}
	if limited < 10 {
		t.Errorf("%d of %d were too many", limited, paceRequests.burst+10)
	}
	if a := w.call(other, http.MethodGet, "/ssf/streams", ""); a.status != http.StatusOK {
		t.Errorf("another receiver is kept out by that: %d", a.status)
	}
}

// Access tokens are new each half hour. Once a stranger who sent tokens of no one kept every new one out.
func TestWhoShowsTokensNobodyKnowsKeepsNoOtherOut(t *testing.T) {
	w := newWire(t)
	token, _, _ := w.streams("crm")
	w.streams("other")
	flood := func(prefix string) (limited int) {
		for range paceUnknown.burst + 10 {
			stranger, _ := keyring.NewToken(prefix)
			switch a := w.call(stranger, http.MethodGet, "/ssf/streams", ""); a.status {
			case http.StatusTooManyRequests:
				limited++
			case http.StatusUnauthorized:
			default:
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		return limited
	}
	own, _ := keyring.TokenPrefix(token)
	elsewhere := own[:len(own)-1] + map[bool]string{true: "1", false: "0"}[own[len(own)-1] == '0']
	for _, prefix := range []string{tokenPrefix, tokenPrefix + "_" + strings.Repeat("0", 32) + "_" + strings.Repeat("0", 16), tokenPrefix + "_x", elsewhere} {
		if n := flood(prefix); n != 0 {
			t.Errorf("%s: %d were looked at closely enough to be counted", prefix, n)
		}
	}
	if a := w.call(w.token("crm"), http.MethodGet, "/ssf/streams", ""); a.status != http.StatusOK {
		t.Errorf("a new token of a receiver is kept out: %d", a.status)
	}
	// Who had a token once can pretend to have others, and keeps itself out.
	if n := flood(own); n != 10 {
		t.Errorf("%d were too many", n)
	}
	if a := w.call(w.token("other"), http.MethodGet, "/ssf/streams", ""); a.status != http.StatusOK {
		t.Errorf("a new token of another is kept out: %d", a.status)
	}
}

func TestAReceiverThatChangesItsStreamWithoutEndIsStopped(t *testing.T) {
	w := newWire(t)
	token, push, _ := w.streams("crm")
	told := func() int {
		t.Helper()
		return len(have[[]event.Event](t)(w.store.EventsOf(t.Context(), "", "", store.MaxEvents)))
	}
	before := told()
	for range 5 { // what changes nothing is no change
		w.call(token, http.MethodPatch, "/ssf/streams", `{"stream_id":"`+push+`"}`)
		w.call(token, http.MethodPost, "/ssf/status", `{"stream_id":"`+push+`","status":"enabled"}`)
	}
	if n := told() - before; n != 0 {
		t.Errorf("%d events of nothing", n)
	}
	limited := 0
	for i := range changeBurst + 20 {
		if i%90 == 0 { // the pace of requests is another test
			w.clock.pass(10 * time.Second)
		}
		switch a := w.call(token, http.MethodPatch, "/ssf/streams", fmt.Sprintf(`{"stream_id":%q,"description":"%d"}`, push, i)); a.status {
		case http.StatusOK:
		case http.StatusTooManyRequests:
			limited++
		default:
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if n := told() - before; limited < 20 || n > changeBurst {
		t.Errorf("%d were stopped, %d events", limited, n)
	}
	for _, ask := range []func() reply{
		func() reply { return w.call(token, http.MethodPost, "/ssf/streams", `{}`) },
		func() reply { return w.call(token, http.MethodDelete, "/ssf/streams?stream_id="+push, "") },
		func() reply {
			return w.call(token, http.MethodPost, "/ssf/status", `{"stream_id":"`+push+`","status":"disabled"}`)
		},
	} {
		if a := ask(); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}
