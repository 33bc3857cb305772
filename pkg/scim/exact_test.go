package scim_test

import (
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

// meters is a server of a type with a value of every type of RFC 7643 §2.3, three resources to a page.
func meters(t *testing.T) func(method, target, body string) (int, string) {
	core := &schema.Schema{ID: "urn:x:Meter", Name: "Meter", Attributes: []*schema.Attribute{
		{Name: "count", Type: schema.Integer}, {Name: "level", Type: schema.Decimal}, {Name: "on", Type: schema.Boolean}, {Name: "at", Type: schema.DateTime},
		{Name: "key", Type: schema.Binary, CaseExact: true}, {Name: "site", Type: schema.Reference, ReferenceTypes: []string{"external"}, CaseExact: true},
		{Name: "marks", MultiValued: true}, {Name: "limits", Type: schema.Integer, MultiValued: true},
		{Name: "names", Type: schema.Complex, MultiValued: true, SubAttributes: []*schema.Attribute{{Name: "value"}, {Name: "primary", Type: schema.Boolean}}},
	}}
	typ, err := schema.NewType("Meter", core)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{}, nil },
		Limits: scim.Limits{MaxResults: 3}, Types: []scim.ResourceType{{Name: "Meter", Endpoint: "/Meters", Schema: core, Store: memstore.New().Type(typ)}}})
	if err != nil {
		t.Fatal(err)
	}
	return func(method, target, body string) (int, string) {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
}

const meterSchemas = `{"schemas":["urn:x:Meter"],`

// RFC 7643 §2.3: a value comes back as it was sent, a number to its last digit.
func TestValuesOfEveryTypeComeBackExactly(t *testing.T) {
	send := meters(t)
	for _, members := range []string{
		`"count":9007199254740993`, `"count":-9223372036854775808`, `"count":9223372036854775807`, `"level":9007199254740993.00000000000000000001`, `"level":1.50`, `"level":-1e-300`,
		`"on":false`, `"at":"2026-11-22T09:30:00.123456789+01:00"`, `"key":"AAE="`, `"site":"HTTPS://x.example/%7Eada"`, `"marks":["b","A","a b"]`, `"limits":[9007199254740993,9007199254740992]`,
	} {
		code, made := send("POST", "/Meters", meterSchemas+members+"}")
		if code != 201 || !strings.Contains(made, members) {
			t.Errorf("%s: POST %d %s", members, code, made)
			continue
		}
		var doc struct{ ID string }
		if err := json.Unmarshal([]byte(made), &doc); err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(members, ":")
		for _, r := range [][3]string{
			{"GET", "", ""}, {"PUT", "", meterSchemas + members + "}"},
			{"PATCH", "", patchOps(`{"op":"replace","path":` + name + `,"value":` + value + `}`)}, {"PATCH", "", patchOps(`{"op":"add","value":{` + members + `}}`)},
		} {
			if code, got := send(r[0], "/Meters/"+doc.ID, r[2]); code != 200 || got != made {
				t.Errorf("%s: %s %d\ngot  %s\nwant %s", members, r[0], code, got, made)
			}
		}
		send("DELETE", "/Meters/"+doc.ID, "")
	}
	for _, wrong := range []string{`"count":9223372036854775808`, `"count":1.0`, `"count":1e3`, `"level":1e400`, `"level":` + strings.Repeat("1", 65), `"limits":[1.5]`} {
		if code, got := send("POST", "/Meters", meterSchemas+wrong+"}"); code != 400 || !strings.Contains(got, `"invalidValue"`) {
			t.Errorf("%s: %d %s", wrong, code, got)
		}
	}
}

func TestNumbersAreFoundAndOrderedExactly(t *testing.T) {
	send := meters(t)
	for _, members := range []string{`"count":9007199254740992,"level":0.1`, `"count":9007199254740993,"level":0.10000000000000000001`} {
		send("POST", "/Meters", meterSchemas+members+"}")
	}
	for filter, want := range map[string]string{
		"count eq 9007199254740993": "9007199254740993", "count lt 9007199254740993": "9007199254740992", "count gt 9007199254740992": "9007199254740993",
		"level gt 0.1": "9007199254740993", "level le 0.100": "9007199254740992", "level eq 0.10000000000000000001": "9007199254740993",
	} {
		if _, got := send("GET", "/Meters?filter="+url.QueryEscape(filter), ""); !strings.Contains(got, `"totalResults":1,`) || !strings.Contains(got, `"count":`+want) {
			t.Errorf("%s: %s", filter, got)
		}
	}
	for _, by := range []string{"count", "level"} {
		if _, got := send("GET", "/Meters?sortOrder=descending&sortBy="+by, ""); strings.Index(got, "740993") > strings.Index(got, "740992") {
			t.Errorf("by %s: %s", by, got)
		}
	}
}

// RFC 7644 §3.4.2.3: a multi-valued attribute orders by its primary value, else by its first, and letter case follows the
// schema. §3.4.2.4: a page holds no more than the server's limit, whatever is asked for.
func TestListsAreOrderedByThePrimaryValueAndPagesAreLimited(t *testing.T) {
	send := meters(t)
	for i, names := range []string{`[{"value":"z"},{"value":"b","primary":true}]`, `[{"value":"C"},{"value":"a"}]`, `[{"value":"A","primary":true},{"value":"d"}]`} {
		send("POST", "/Meters", meterSchemas+fmt.Sprintf(`"count":%d,"names":%s}`, i, names))
	}
	send("POST", "/Meters", meterSchemas+`"count":3}`)
	order := func(query string) string {
		_, got := send("GET", "/Meters?attributes=count&"+query, "")
		var doc struct {
			TotalResults, ItemsPerPage int
			Resources                  []struct{ Count int }
		}
		if err := json.Unmarshal([]byte(got), &doc); err != nil || doc.TotalResults != 4 || doc.ItemsPerPage != len(doc.Resources) {
			t.Fatalf("%s: %v %s", query, err, got)
		}
		var out strings.Builder
		for _, r := range doc.Resources {
			fmt.Fprint(&out, r.Count)
		}
		return out.String()
	}
	for query, want := range map[string]string{
		"sortBy=names.value": "201", "sortBy=names": "201", "sortBy=names.value&sortOrder=descending": "310", "sortBy=names.value&count=1000000": "201", "sortBy=names.value&startIndex=4&count=50": "3",
		"count=1000000": "012", "startIndex=3": "23", "startIndex=-5&count=1": "0", "count=-3": "",
	} {
		if got := order(query); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}
