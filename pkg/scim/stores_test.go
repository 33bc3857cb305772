package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

func TestMembersAreNotLoadedToBeChanged(t *testing.T) {
	// A store that is asked for the members of a group while one is added fails the test.
	b := &loadGuard{}
	db := memstore.New()
	b.Store = db.Type(groupType(t))
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Entra()}, nil },
		Types: []scim.ResourceType{{Name: "Group", Endpoint: "/Groups", Schema: schema.Group(), Store: b}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w
	}
	made := send("POST", "/Groups", `{"displayName":"g"}`)
	var doc struct{ ID string }
	if err := json.Unmarshal(made.Body.Bytes(), &doc); err != nil || made.Code != 201 {
		t.Fatalf("%d %s", made.Code, made.Body)
	}
	for _, body := range []string{
		`{"Operations":[{"op":"Add","path":"members","value":[{"value":"a"}]}]}`,
		`{"Operations":[{"op":"Remove","path":"members[value eq \"a\"]"}]}`,
		`{"Operations":[{"op":"Replace","value":{"displayName":"h"}}]}`,
	} {
		if w := send("PATCH", "/Groups/"+doc.ID, body); w.Code != 204 || b.loaded {
			t.Errorf("%s: %d, members loaded: %v", body, w.Code, b.loaded)
		}
	}
	if w := send("GET", "/Groups/"+doc.ID+"?excludedAttributes=members", ""); w.Code != 200 || b.loaded {
		t.Errorf("GET without members: %d, members loaded: %v", w.Code, b.loaded)
	}
	if send("GET", "/Groups/"+doc.ID, ""); !b.loaded {
		t.Error("the guard does not notice")
	}
}

// loadGuard notes whether members were asked for.
type loadGuard struct {
	*memstore.Store
	loaded bool
}

func (g *loadGuard) Get(ctx context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	g.loaded = g.loaded || sel.Needs("members")
	return g.Store.Get(ctx, id, sel)
}

func (g *loadGuard) Update(ctx context.Context, id string, pre scim.Precondition, need scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	g.loaded = g.loaded || need.Needs("members")
	return g.Store.Update(ctx, id, pre, need, fn)
}

func TestAStoreThatForgetsItselfCannotLeakASecret(t *testing.T) {
	leaky := &schema.Schema{ID: "urn:x:Safe", Attributes: []*schema.Attribute{
		{Name: "name"}, {Name: "pin", Mutability: schema.WriteOnly}, {Name: "hidden", Returned: schema.Never}, {Name: "costly", Returned: schema.Request},
		{Name: "box", Type: schema.Complex, MultiValued: true, SubAttributes: []*schema.Attribute{{Name: "value"}, {Name: "key", Mutability: schema.WriteOnly, Returned: schema.Default}}},
	}}
	typ, err := schema.NewType("Safe", leaky)
	if err != nil {
		t.Fatal(err)
	}
	st := memstore.New().Type(typ)
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{{Name: "Safe", Endpoint: "/Safes", Schema: leaky, Store: st}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string) string {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Body.String()
	}
	all := send("POST", "/Safes?attributes=name,pin,hidden,box,box.key,costly", `{"name":"n","pin":"SECRET1","hidden":"SECRET2","costly":"c","box":[{"value":"v","key":"SECRET3"}]}`)
	if !strings.Contains(all, `"costly":"c"`) || !strings.Contains(all, `"value":"v"`) {
		t.Errorf("asked for, not shown: %s", all)
	}
	all += send("GET", "/Safes", "") + send("GET", "/Safes?attributes=pin,hidden,box.key", "")
	for _, f := range []string{`pin eq "SECRET1"`, `hidden pr`, `box.key sw "S"`, `box[key eq "SECRET3"]`, `box[value eq "v"].key pr`} {
		got := send("GET", "/Safes?filter="+url.QueryEscape(f), "")
		if !strings.Contains(got, "invalidFilter") {
			t.Errorf("%s: %s", f, got)
		}
		all += got
	}
	all += send("GET", "/Safes?sortBy=hidden", "") + send("GET", "/Safes?sortBy=box.key", "")
	if strings.Contains(all, "SECRET") || strings.Contains(send("GET", "/Safes", ""), "costly") {
		t.Errorf("a secret, or what was not asked for, is shown: %s", all)
	}
}

func TestASchemaOfSecretsOnlyIsNotTold(t *testing.T) {
	core := &schema.Schema{ID: "urn:x:Box", Attributes: []*schema.Attribute{{Name: "name"},
		{Name: "owner", Type: schema.Complex, Mutability: schema.WriteOnly, SubAttributes: []*schema.Attribute{{Name: "value"}, {Name: "$ref", Type: schema.Reference, ReferenceTypes: []string{"Box"}}}}}}
	ext := []schema.Extension{{Schema: &schema.Schema{ID: "urn:x:Lock", Attributes: []*schema.Attribute{{Name: "code", Mutability: schema.WriteOnly}, {Name: "serial", Uniqueness: schema.Server}}}}}
	typ, err := schema.NewType("Box", core, ext...)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{{Name: "Box", Endpoint: "/Boxes", Schema: core, Extensions: ext, Store: memstore.New().Type(typ)}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) string {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "/Boxes", strings.NewReader(body)))
		return w.Body.String()
	}
	if got := send(`{"name":"a","urn:x:Lock":{"code":"1234"}}`); strings.Contains(got, "Lock") || !strings.Contains(got, `"name":"a"`) {
		t.Errorf("%s", got)
	}
	if got := send(`{"name":"a","urn:x:Lock":{"code":"1234","serial":"S"}}`); !strings.Contains(got, `"schemas":["urn:x:Box","urn:x:Lock"]`) || strings.Contains(got, "1234") {
		t.Errorf("%s", got)
	}
	if got := send(`{"name":"b","urn:x:Lock":{"serial":"s"}}`); !strings.Contains(got, `"409"`) || !strings.Contains(got, "urn:x:Lock:serial") {
		t.Errorf("%s", got)
	}
	if got := send(`{"name":"c","owner":{"value":"SECRET"}}`); strings.Contains(got, "SECRET") || !strings.Contains(got, "owner.value") {
		t.Errorf("%s", got)
	}
}

func TestAResidualIsFinishedUnderABound(t *testing.T) {
	typ := userType(t)
	st := residualStore{memstore.New().Type(typ)}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Limits: scim.Limits{MaxScan: 5}, Types: []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}, Store: st}}})
	if err != nil {
		t.Fatal(err)
	}
	find := func(query string) (int, string) {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("GET", "/Users?"+query, nil))
		return w.Code, w.Body.String()
	}
	for i := range 5 {
		if _, err := st.Create(t.Context(), &scim.Resource{Type: "User", Attrs: scim.Object{"userName": fmt.Sprint("u", i), "title": "t"}}); err != nil {
			t.Fatal(err)
		}
	}
	if code, body := find("filter=userName+gt+%22u1%22&sortBy=userName&sortOrder=descending&startIndex=2&count=1"); code != 200 || !strings.Contains(body, `"totalResults":3`) || !strings.Contains(body, `"userName":"u3"`) || strings.Contains(body, `"u4"`) {
		t.Errorf("%d %s", code, body)
	}
	if _, err := st.Create(t.Context(), &scim.Resource{Type: "User", Attrs: scim.Object{"userName": "one too many"}}); err != nil {
		t.Fatal(err)
	}
	if code, body := find("filter=title+pr"); code != 400 || !strings.Contains(body, `"tooMany"`) {
		t.Errorf("%d %s", code, body)
	}
}

// residualStore leaves every filter and order to the engine.
type residualStore struct{ *memstore.Store }

func (s residualStore) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	page, err := s.Store.List(ctx, &scim.Query{Count: q.MaxScan + 1})
	if err == nil {
		page.Residual, page.Unsorted = q.Filter, true
	}
	return page, err
}

func TestABadConfigurationIsRefusedWithAllItsFaults(t *testing.T) {
	_, err := scim.NewServer(scim.Config{BaseURL: "/scim", Types: []scim.ResourceType{
		{Name: "Bulk", Endpoint: "/Bulk", Schema: schema.User()},
		{Name: "User", Endpoint: "/Users", Schema: schema.User()},
		{Name: "Bad", Endpoint: "/Bads", Schema: &schema.Schema{ID: "urn:x", Attributes: []*schema.Attribute{{Name: "a b"}}}},
	}})
	for _, want := range []string{"base URL", "no Auth", `"/Bulk"`, "User: no store", `"a b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func TestAPrincipalHasItsOwnStore(t *testing.T) {
	st := &binder{Store: memstore.New().Type(userType(t))}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example/base/", Auth: func(r *http.Request) (*scim.Principal, error) {
		return &scim.Principal{Subject: r.Header.Get("X-Who")}, nil
	}, Types: []scim.ResourceType{{Name: "User", Endpoint: "Users", Schema: schema.User(), Store: st}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/Users", "/base/Users/"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("X-Who", "c1")
		w := httptest.NewRecorder()
		if srv.ServeHTTP(w, r); w.Code != 200 || st.who != "c1" {
			t.Errorf("%s: %d, store of %q", path, w.Code, st.who)
		}
	}
}

type binder struct {
	scim.Store
	who string
}

func (b *binder) As(p *scim.Principal) scim.Store { b.who = p.Subject; return b.Store }

func TestPUTChangesNeitherImmutableNorReadOnlyValues(t *testing.T) {
	method := &schema.Schema{ID: "urn:x:Method", Attributes: []*schema.Attribute{
		{Name: "kind", Mutability: schema.Immutable}, {Name: "status", Mutability: schema.ReadOnly}, {Name: "display"}, {Name: "seed", Mutability: schema.WriteOnly},
	}}
	typ, err := schema.NewType("Method", method)
	if err != nil {
		t.Fatal(err)
	}
	st := memstore.New().Type(typ)
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{{Name: "Method", Endpoint: "/Methods", Schema: method, Store: st}}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := st.Create(t.Context(), &scim.Resource{Type: "Method", Attrs: scim.Object{"kind": "sms", "status": "active", "seed": "s"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body string
		code int
		want string
	}{
		{`{"kind":"email"}`, 400, `"scimType":"mutability"`},
		{`{"kind":"sms","status":"pending","display":"d"}`, 200, `"kind":"sms","status":"active","display":"d"`},
		{`{"display":"e"}`, 200, `"kind":"sms","status":"active","display":"e"`},
	} {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("PUT", "/Methods/"+made.ID, strings.NewReader(c.body)))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) || strings.Contains(w.Body.String(), "seed") {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
	r, err := st.Get(t.Context(), made.ID, scim.Everything())
	if err != nil || r.Text("seed") != "s" {
		t.Errorf("a PUT that does not name the secret changed it: %+v, %v", r, err)
	}
}
