package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

const bulkURN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

func inBulk(ops ...string) string {
	return `{"schemas":["` + bulkURN + `"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

func post(endpoint, bulkID, data string) string {
	return `{"method":"POST","path":"` + endpoint + `","bulkId":"` + bulkID + `","data":` + data + `}`
}

// states are the status and scimType of each operation of an answer.
func (r reply) states() string {
	var out []string
	ops, _ := r.json["Operations"].([]any)
	for _, o := range ops {
		o := o.(map[string]any)
		s := fmt.Sprint(o["status"])
		if e, ok := o["response"].(map[string]any); ok && e["scimType"] != nil {
			s += fmt.Sprint(" ", e["scimType"])
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestBulkAsksForEachOperationWhetherTheTokenMay(t *testing.T) {
	b := newBench(t)
	user := post("/Users", "u", `{`+userSchemas+`,"userName":"ada"}`)
	b.want(403, "reader", "POST", "/Bulk", inBulk(user))
	got := b.want(200, "people", "POST", "/Bulk", inBulk(user, post("/Groups", "g", `{"schemas":["`+schema.GroupURN+`"],"displayName":"g","members":[{"value":"bulkId:u"}]}`)))
	if got.states() != "201, 403" {
		t.Errorf("%s", got.body)
	}
	b.want(401, "", "POST", "/Bulk", inBulk(user))
}

func TestABulkIDStandsForAResourceOfItsOwnTypeOnly(t *testing.T) {
	b := newBench(t)
	user := post("/Users", "u", `{`+userSchemas+`,"userName":"ada"}`)
	if got := b.want(200, "strict", "POST", "/Bulk", inBulk(user, `{"method":"DELETE","path":"/Groups/bulkId:u"}`, `{"method":"DELETE","path":"/Users/bulkId:u"}`)).states(); got != "201, 400 invalidValue, 204" {
		t.Errorf("states %s", got)
	}
}

func TestBulkPathsAreThoseOfTheServerOnly(t *testing.T) {
	b := newBench(t)
	id := b.user("ada").id()
	patch := func(path string) string {
		return `{"method":"PATCH","path":"` + path + `","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"t"}]}}`
	}
	for path, want := range map[string]string{
		"/Users/" + id: "200", "Users/" + id: "200", b.base + "/Users/" + id: "200", "/Users/" + id + "?attributes=id": "400 invalidValue", "https://evil.example/Users/" + id: "404",
		"/Users/" + id + "/x": "400 invalidValue", "/Users//" + id: "404", "/Users/%00": "404", "/Me/" + id: "404", "/Bulk": "404", "/ServiceProviderConfig": "404", "": "400 invalidValue", "/": "404",
	} {
		if got := b.want(200, "strict", "POST", "/Bulk", inBulk(patch(path))).states(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}

func TestACircleOverARequiredAttributeIsAConflict(t *testing.T) {
	node := &schema.Schema{ID: "urn:x:Node", Attributes: []*schema.Attribute{
		{Name: "name"},
		{Name: "next", Type: schema.Complex, Required: true, SubAttributes: []*schema.Attribute{{Name: "value", CaseExact: true}, {Name: "$ref", Type: schema.Reference, ReferenceTypes: []string{"Node"}}}},
	}}
	typ, err := schema.NewType("Node", node)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{}, nil },
		Types: []scim.ResourceType{{Name: "Node", Endpoint: "/Nodes", Schema: node, Store: memstore.New().Type(typ)}}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	to := func(id string) string { return `{"schemas":["urn:x:Node"],"next":{"value":"bulkId:` + id + `"}}` }
	srv.ServeHTTP(w, httptest.NewRequest("POST", "/Bulk", strings.NewReader(inBulk(post("/Nodes", "a", to("b")), post("/Nodes", "b", to("a"))))))
	if w.Code != 200 || strings.Count(w.Body.String(), `"status":"409","response"`) != 2 || strings.Contains(w.Body.String(), "location") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest("GET", "/Nodes", nil))
	if !strings.Contains(w.Body.String(), `"totalResults":0`) {
		t.Errorf("%s", w.Body)
	}
}

// leavingStore is a store whose client goes away while the first resource is created.
type leavingStore struct {
	*memstore.Store
	leave func()
}

func (s leavingStore) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	s.leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Store.Create(ctx, r)
}

func (s leavingStore) Apply(ctx context.Context, writes []scim.Write) []scim.Result {
	s.leave()
	return s.Store.Apply(ctx, writes)
}

func TestAClientThatGoesAwayLeavesNothingHalfWritten(t *testing.T) {
	for name, c := range map[string]struct{ ops, total string }{
		"single operations end": {inBulk(post("/Groups", "a", `{"displayName":"a"}`), post("/Groups", "b", `{"displayName":"b"}`)), `"totalResults":0`},
		"a circle is finished, and no more": {inBulk(post("/Groups", "a", `{"displayName":"a","members":[{"value":"bulkId:b"}]}`), post("/Groups", "b", `{"displayName":"b","members":[{"value":"bulkId:a"}]}`),
			post("/Groups", "c", `{"displayName":"c"}`)), `"totalResults":2`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			st := leavingStore{memstore.New().Type(groupType(t)), cancel}
			srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
				Types: []scim.ResourceType{{Name: "Group", Endpoint: "/Groups", Schema: schema.Group(), Store: st}}})
			if err != nil {
				t.Fatal(err)
			}
			srv.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/Bulk", strings.NewReader(c.ops)))
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest("GET", "/Groups", nil))
			if !strings.Contains(w.Body.String(), c.total) || strings.Count(w.Body.String(), `"$ref"`) != strings.Count(w.Body.String(), `"displayName"`) {
				t.Errorf("%s", w.Body)
			}
		})
	}
}

func TestHostileBulkRequestsAreAnsweredFast(t *testing.T) {
	b := newBench(t)
	long := make([]string, 1000)
	for i := range long { // every operation refers to the next one, the last to all
		long[i] = post("/Groups", fmt.Sprint(i), fmt.Sprintf(`{"schemas":["%s"],"displayName":"g%d","members":[{"value":"bulkId:%d"}]}`, schema.GroupURN, i, (i+1)%1000))
	}
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"a circle of 1000":       {inBulk(long...), 200},
		"a chain of 999":         {inBulk(long[:999]...), 200},
		"depth":                  {inBulk(post("/Users", "u", deep)), 400},
		"a list of lists":        {inBulk(post("/Users", "u", strings.Repeat("[", 10)+strings.Repeat("]", 10))), 200},
		"one operation too many": {inBulk(append(long, `{}`)...), 413},
		"a million keys":         {`{"schemas":["` + bulkURN + `"],"Operations":[` + strings.TrimSuffix(strings.Repeat(`{},`, 300000), ",") + `]}`, 413},
		"a long path":            {inBulk(`{"method":"DELETE","path":"/Users/` + strings.Repeat("x", 900000) + `"}`), 200},
		"many slashes":           {inBulk(`{"method":"DELETE","path":"` + strings.Repeat("/", 900000) + `"}`), 200},
		"a filter in a PATCH":    {inBulk(`{"method":"PATCH","path":"/Users/x","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"emails[` + strings.Repeat("(", 9000) + `"}]}}`), 200},
	} {
		start := time.Now()
		got := b.do("strict", "POST", "/Bulk", c.body)
		if got.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %.200s", name, got.StatusCode, c.status, got.body)
		}
		if d := time.Since(start); d > 5*time.Second { // a bound for slow machines under load; alone each is far below a second
			t.Errorf("%s took %s", name, d)
		}
	}
}

func FuzzBulk(f *testing.F) {
	for _, s := range []string{
		inBulk(post("/Users", "a", `{`+userSchemas+`,"userName":"a"}`), post("/Groups", "b", `{"schemas":["`+schema.GroupURN+`"],"displayName":"b","members":[{"value":"bulkId:a"},{"value":"bulkId:b"}]}`)),
		inBulk(`{"method":"DELETE","path":"/Groups/bulkId:b","version":"W/\"1\""}`, `{"method":"PUT","path":"Users/x","data":{}}`),
		`{"failOnErrors":1,"Operations":[{"method":"patch","path":"/Users/a","data":{"Operations":[{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":"bulkId:a"}]}},{"method":"POST","path":"/Users","bulkId":"a"}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b := newHandler(t)
		for _, token := range []string{"strict", "entra"} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "/Bulk", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			b.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 && w.Code != 413 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			var doc struct {
				Operations []struct{ Status, Location string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			for _, op := range doc.Operations { // what is said to be there, is, and nothing refers to a placeholder
				if op.Status >= "500" {
					t.Fatalf("%s", w.Body)
				}
			}
			for _, list := range []string{"/Users", "/Groups"} {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", list+"?attributes=members.value", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				b.ServeHTTP(w, r)
				if strings.Contains(w.Body.String(), "bulkId:") {
					t.Fatalf("a placeholder is stored: %s", w.Body)
				}
			}
		}
	})
}
