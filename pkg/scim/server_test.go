package scim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// bench is a server on memstore with one token per preset, named like it, "people", which
// may use users only, and "reader", which may only read them.
type bench struct {
	t    testing.TB
	srv  *httptest.Server
	log  *bytes.Buffer
	base string
	now  time.Time
}

func userType(t testing.TB) *schema.Type {
	t.Helper()
	typ, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func groupType(t testing.TB) *schema.Type {
	t.Helper()
	typ, err := schema.NewType("Group", schema.Group())
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, log: &bytes.Buffer{}, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	b.srv = httptest.NewServer(b.handler())
	t.Cleanup(b.srv.Close)
	return b
}

// newHandler is the server of a bench without a network.
func newHandler(t testing.TB) http.Handler {
	return (&bench{t: t, log: &bytes.Buffer{}}).handler()
}

func (b *bench) handler() http.Handler {
	t := b.t
	db := memstore.New()
	db.Now = func() time.Time { b.now = b.now.Add(time.Second); return b.now }
	b.base = "https://id.example.org/scim/v2"
	srv, err := scim.NewServer(scim.Config{
		BaseURL: b.base,
		Auth: func(r *http.Request) (*scim.Principal, error) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if token == "reader" {
				return &scim.Principal{Subject: token, ReadOnly: true, Types: []string{"User"}}, nil
			}
			if token == "people" {
				return &scim.Principal{Subject: token, Types: []string{"User"}}, nil
			}
			if token == "broken" {
				return nil, errors.New("database down: secret dsn")
			}
			if token == "slow" {
				return nil, &scim.Error{Status: 429, Detail: "slow down", RetryAfter: 1500 * time.Millisecond}
			}
			c, ok := compatOf(token)
			if !ok {
				c, ok = schema.Preset(token)
			}
			if !ok {
				return nil, fmt.Errorf("token: %w", scim.ErrUnauthenticated)
			}
			return &scim.Principal{Subject: token, Compat: c}, nil
		},
		Types: []scim.ResourceType{
			{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}, Store: db.Type(userType(t))},
			{Name: "Group", Endpoint: "/Groups", Schema: schema.Group(), Store: db.Type(groupType(t))},
		},
		Log: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return srv
}

type reply struct {
	*http.Response
	body []byte
	json map[string]any
}

// do sends one request; header pairs follow the body.
func (b *bench) do(token, method, path, body string, header ...string) reply {
	b.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, b.srv.URL+"/scim/v2"+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	r := reply{Response: res, body: data}
	if len(data) > 0 {
		if ct := res.Header.Get("Content-Type"); ct != "application/scim+json" {
			b.t.Errorf("%s %s: content type %q", method, path, ct)
		}
		if err := json.Unmarshal(data, &r.json); err != nil {
			b.t.Fatalf("%s %s: body is not JSON: %v", method, path, err)
		}
	}
	return r
}

// want is do that insists on a status.
func (b *bench) want(status int, token, method, path, body string, header ...string) reply {
	b.t.Helper()
	r := b.do(token, method, path, body, header...)
	if r.StatusCode != status {
		b.t.Fatalf("%s %s: got %d, want %d: %s", method, path, r.StatusCode, status, r.body)
	}
	return r
}

func (r reply) id() string { s, _ := r.json["id"].(string); return s }

const userSchemas = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`

func (b *bench) user(name string) reply {
	b.t.Helper()
	return b.want(201, "strict", "POST", "/Users", `{`+userSchemas+`,"userName":"`+name+`"}`)
}

func TestACreatedUserCanBeReadChangedAndDeleted(t *testing.T) {
	b := newBench(t)
	made := b.user("Ada@example.org")
	id := made.id()
	if got, want := made.Header.Get("Location"), b.base+"/Users/"+id; got != want {
		t.Errorf("Location: got %q, want %q", got, want)
	}
	if made.Header.Get("ETag") != `W/"1"` {
		t.Errorf("ETag: got %q", made.Header.Get("ETag"))
	}
	got := b.want(200, "strict", "GET", "/Users/"+id, "")
	if !bytes.Equal(got.body, made.body) {
		t.Errorf("GET differs from the answer of POST:\n%s\n%s", got.body, made.body)
	}
	b.want(200, "strict", "PATCH", "/Users/"+id, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"name.givenName","value":"Ada"}]}`)
	b.want(200, "strict", "PUT", "/Users/"+id, `{`+userSchemas+`,"userName":"ada"}`)
	b.want(204, "strict", "DELETE", "/Users/"+id, "")
	b.want(404, "strict", "GET", "/Users/"+id, "")
	b.want(404, "strict", "DELETE", "/Users/"+id, "")
	if again := b.user("ada@example.org"); again.id() == id {
		t.Error("an id was given twice")
	}
}

func TestWhoIsNobodyGetsNothing(t *testing.T) {
	b := newBench(t)
	for token, challenge := range map[string]string{"": `Bearer realm="scim"`, "wrong": `Bearer realm="scim", error="invalid_token"`} {
		for _, path := range []string{"/Users", "/Users/x", "/ServiceProviderConfig", "/Nothing", "/"} {
			r := b.want(401, token, "GET", path, "")
			if got := r.Header.Get("WWW-Authenticate"); got != challenge {
				t.Errorf("%s: WWW-Authenticate %q, want %q", path, got, challenge)
			}
			if r.json["status"] != "401" {
				t.Errorf("%s: %s", path, r.body)
			}
		}
	}
	if r := b.want(500, "broken", "GET", "/Users", ""); bytes.Contains(r.body, []byte("dsn")) || !strings.Contains(b.log.String(), "dsn") {
		t.Errorf("the cause belongs into the log alone: %s, log %s", r.body, b.log)
	}
	if r := b.want(429, "slow", "GET", "/Users", ""); r.Header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	id := b.user("ada").id()
	b.want(200, "reader", "GET", "/Users/"+id, "")
	b.want(200, "reader", "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`)
	b.want(403, "reader", "DELETE", "/Users/"+id, "")
	b.want(403, "reader", "GET", "/Groups", "")
}

func TestLinksComeFromTheConfigurationOnly(t *testing.T) {
	b := newBench(t)
	id := b.user("ada").id()
	want := b.want(200, "strict", "GET", "/Users/"+id, "").body
	for _, h := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-URL", "X-Forwarded-Prefix", "Origin"} {
		if got := b.want(200, "strict", "GET", "/Users/"+id, "", h, "evil.example").body; !bytes.Equal(got, want) {
			t.Errorf("%s changes the answer: %s", h, got)
		}
	}
	if made := b.want(201, "strict", "POST", "/Groups", `{"schemas":["`+schema.GroupURN+`"],"displayName":"g","members":[{"value":"`+id+`","$ref":"https://evil.example/Users/1"}]}`, "Host", "evil.example"); bytes.Contains(made.body, []byte("evil")) {
		t.Errorf("a foreign host is in the answer: %s", made.body)
	}
}

func TestEndpointsThatAreNotOfferedSaySo(t *testing.T) {
	b := newBench(t)
	b.want(501, "strict", "GET", "/Me", "")
	for _, path := range []string{"/users", "/Users/a/b/c", "/Users/%00", "/Schemas/x/y", "/ServiceProviderConfig/x"} {
		if r := b.do("strict", "GET", path, ""); r.StatusCode != 404 {
			t.Errorf("%s: got %d", path, r.StatusCode)
		}
	}
	b.want(403, "strict", "GET", "/Schemas?filter=id+pr", "")
	b.want(200, "strict", "GET", "/Schemas/"+schema.UserURN, "")
}
