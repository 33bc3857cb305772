package provision

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// bench is the handler on a real store, with a clock that stands still until it is moved.
type bench struct {
	*testing.T
	store  *store.Store
	now    time.Time
	log    *bytes.Buffer
	policy policy.Policy
	srv    *httptest.Server
	conf   Config
	url    string // of the database
	settle func() // waits for what is written beside the requests
}

// on runs a test on both engines.
func on(t *testing.T, fn func(*bench)) {
	t.Helper()
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) { fn(newBench(t, kind)) })
	}
}

func newBench(t *testing.T, kind store.Kind, change ...func(*store.Config)) *bench {
	t.Helper()
	b := &bench{T: t, now: noon, log: &bytes.Buffer{}, policy: policy.Default()}
	b.store = storetest.Open(t, kind, append([]func(*store.Config){func(c *store.Config) { c.Now, b.url = func() time.Time { return b.now }, c.URL }}, change...)...)
	b.conf = Config{
		Store: b.store, Policies: b, Base: "https://id.example.org", Corporate: []string{"contoso.example"}, Region: "DE",
		Now: func() time.Time { return b.now }, Log: slog.New(slog.NewTextHandler(b.log, nil)), Hash: b.store.DestinationHash,
	}
	h, err := New(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	b.settle = h.Settle
	t.Cleanup(h.Settle)
	b.srv = httptest.NewServer(h)
	t.Cleanup(b.srv.Close)
	return b
}

// Policy implements Policies.
func (b *bench) Policy(context.Context) (policy.Policy, error) { return b.policy, nil }

// as is a connector that calls.
type as struct {
	*bench
	id, token string
}

func (b *bench) connector(name string, trust client.Trust, preset client.Preset) as {
	b.Helper()
	token, hash := keyring.NewToken("rgn_scim")
	c := client.Connector{ID: uuid.NewString(), Name: name, Trust: trust, Preset: preset, Created: b.now, Updated: b.now,
		Tokens: []client.Token{{Hash: hash, Created: b.now}}}
	if err := b.store.CreateConnector(b.Context(), &c); err != nil {
		b.Fatal(err)
	}
	return as{b, c.ID, token}
}

// reply is an answer and its JSON.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a as) do(verb, path, body string, header ...string) reply {
	a.Helper()
	req, err := http.NewRequestWithContext(a.Context(), verb, a.srv.URL+"/scim/v2"+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		a.Fatal(err)
	}
	r := reply{status: res.StatusCode, header: res.Header, body: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &r.json); err != nil {
			a.Fatalf("%s %s: %v: %s", verb, path, err, raw)
		}
	}
	return r
}

// want is do that ends the test unless the status is as wanted.
func (a as) want(status int, verb, path, body string, header ...string) reply {
	a.Helper()
	r := a.do(verb, path, body, header...)
	if r.status != status {
		a.Fatalf("%s %s: got %d, want %d: %s", verb, path, r.status, status, r.body)
	}
	return r
}

// refused is want for a 400 that names the attribute.
func (a as) refused(attr, verb, path, body string) reply {
	a.Helper()
	r := a.want(400, verb, path, body)
	if r.json["scimType"] != "invalidValue" || !strings.Contains(fmt.Sprint(r.json["detail"]), attr) {
		a.Errorf("%s %s: want invalidValue of %s: %s", verb, path, attr, r.body)
	}
	return r
}

func (r reply) id() string { s, _ := r.json["id"].(string); return s }

// at walks the JSON by keys.
func (r reply) at(keys ...string) any {
	var v any = r.json
	for _, k := range keys {
		o, _ := v.(map[string]any)
		v = o[k]
	}
	return v
}

// ext is an attribute of regain's extension.
func (r reply) ext(name string) any { return r.at(userURN, name) }

// body of a user with more attributes; ways are those of regain's extension.
func body(name, more, ways string) string {
	b := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"` + map[bool]string{true: `,"` + userURN + `"`}[ways != ""] + `],"userName":"` + name + `"` + more
	if ways != "" {
		b += `,"` + userURN + `":{` + ways + `}`
	}
	return b + `}`
}

func patch(ops ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

// set is an operation that replaces one attribute of the extension, or any with a full path.
func set(path, value string) string {
	if !strings.Contains(path, ":") && (strings.HasPrefix(path, "recovery") || strings.HasPrefix(path, "alternate") || path == resetAllowed) {
		path = userURN + ":" + path
	}
	p, _ := json.Marshal(path)
	return `{"op":"replace","path":` + string(p) + `,"value":` + value + `}`
}

func (b *bench) person(id string) *account.Person {
	b.Helper()
	p, err := b.store.Person(b.Context(), id)
	if err != nil || p == nil {
		b.Fatalf("person %s: %v, %v", id, p, err)
	}
	return p
}

// ways returns the methods of a person that are not removed, by destination.
func (b *bench) ways(id string) map[string]method.Method {
	b.Helper()
	all, err := b.store.Methods(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]method.Method{}
	for _, m := range all {
		if m.Status != method.Removed {
			out[m.Destination] = m
		}
	}
	return out
}

// events returns the types of the events about a person, oldest first.
func (b *bench) events(id string) []event.Event {
	b.Helper()
	all, err := b.store.EventsOf(b.Context(), id, "", 100)
	if err != nil {
		b.Fatal(err)
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func types(all []event.Event) []event.Type {
	var out []event.Type
	for _, e := range all {
		out = append(out, e.Type)
	}
	return out
}
