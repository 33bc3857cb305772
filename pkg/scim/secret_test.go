package scim_test

import (
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

// secrets are the paths of a thing nobody may learn about: writeOnly, returned never, and both within other attributes.
var secrets = []string{"wo", "ne", "box.wo", "list.wo", "fixed.wo", "urn:x:More:wo", "urn:x:More:ne", "urn:x:More:box.wo", "urn:x:More:list.wo", "URN:X:THING:WO"}

// A thing holds SECRET at each of these paths. Neither its text nor whether it is SECRET, or there at all, shows in any
// answer: the answer to a right guess is the answer to a wrong one.
func TestASecretShowsInNothing(t *testing.T) {
	for preset, compat := range map[string]scim.Compat{"strict": schema.Strict(), "standard": schema.Standard(), "entra": schema.Entra()} {
		send, newThing := things(t, compat)
		id := newThing()
		is := func(method, target, body string) (int, string) {
			w := send(method, target, body)
			if strings.Contains(w.Body.String(), "SECRET") {
				t.Errorf("%s: %s %s %s: %s", preset, method, target, body, w.Body)
			}
			return w.Code, w.Body.String()
		}
		refused := func(scimType, method, target, body string) {
			t.Helper()
			if code, text := is(method, target, body); code != 400 || !strings.Contains(text, `"scimType":"`+scimType+`"`) {
				t.Errorf("%s: %s %s %s: %d %s, want 400 %s", preset, method, target, body, code, text, scimType)
			}
		}
		patch := func(ops string) string { return patchOps(ops) }
		for _, path := range secrets {
			attr, sub, nested := strings.Cut(path, ".")
			// Asked for, by every way to ask and on every verb.
			for _, target := range []string{"/Things/" + id, "/Things", "/"} {
				for _, query := range []string{"attributes=" + path, "attributes=" + attr, "excludedAttributes=" + path, ""} {
					is("GET", target+"?"+query, "")
				}
			}
			for _, target := range []string{"/Things/.search", "/.search"} {
				is("POST", target, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":["`+path+`","`+attr+`"]}`)
			}
			// Filtered on: by every operator, in brackets, behind or, under not, and where another type has it not.
			for _, filter := range []string{`^ eq "SECRET"`, `^ ne "x"`, `^ co "S"`, `^ sw "S"`, `^ ew "T"`, `^ gt "A"`, `^ le "Z"`, `^ pr`, `^ eq null`, `not (^ pr)`, `name pr or ^ sw "S"`, `(name eq "nobody") and ^ pr`} {
				filter = strings.ReplaceAll(filter, "^", path)
				refused("invalidFilter", "GET", "/Things?filter="+url.QueryEscape(filter), "")
				refused("invalidFilter", "GET", "/?filter="+url.QueryEscape(filter), "")
				refused("invalidFilter", "POST", "/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"`+strings.ReplaceAll(filter, `"`, `\"`)+`"}`)
			}
			refused("invalidPath", "GET", "/Things?sortBy="+path, "")
			refused("invalidPath", "GET", "/Things?sortOrder=descending&sortBy="+path, "")
			refused("invalidPath", "GET", "/?sortBy="+path, "")
			if nested {
				// A path that tells by success or refusal whether the guess in its brackets is right.
				for _, guess := range []string{"SECRET", "another"} {
					in := strings.ReplaceAll(fmt.Sprintf(`%s[%s eq "%s"]`, attr, sub, guess), `"`, `\"`)
					refused("invalidFilter", "PATCH", "/Things/"+id, patch(`{"op":"replace","path":"`+in+`.note","value":"x"}`))
					refused("invalidFilter", "PATCH", "/Things/"+id, patch(`{"op":"remove","path":"`+in+`"}`))
					refused("invalidFilter", "GET", "/Things?filter="+url.QueryEscape(strings.ReplaceAll(in, `\"`, `"`)), "")
				}
			}
			// In the text of errors, whatever is sent in its place.
			for _, value := range []string{`{"SECRET":"SECRET"}`, `["SECRET"]`, `"SECRET\u0000"`} {
				is("PATCH", "/Things/"+id, patch(`{"op":"replace","path":"`+path+`","value":`+value+`}`))
				is("POST", "/Bulk", inBulk(`{"method":"PATCH","path":"/Things/`+id+`","data":`+patch(`{"op":"replace","path":"`+path+`","value":`+value+`}`)+`}`))
			}
		}
		// A right guess is answered as a wrong one: what is written is always a change, and what is removed was never seen.
		for _, path := range []string{"wo", "ne", "urn:x:More:wo"} {
			var answers []string
			for _, guess := range []string{"SECRET", "another"} {
				thing := newThing()
				_, text := is("PATCH", "/Things/"+thing+"?attributes=meta.version,"+path, patch(`{"op":"replace","path":"`+path+`","value":"`+guess+`"}`))
				answers = append(answers, strings.ReplaceAll(text, thing, "id"))
			}
			if answers[0] != answers[1] || strings.Contains(answers[0], "scimType") {
				t.Errorf("%s: %s: a right guess is answered %s, a wrong one %s", preset, path, answers[0], answers[1])
			}
		}
	}
}

// What must be unique and secret at once tells that it is taken, never what it is.
func TestAConflictOverASecretDoesNotRepeatIt(t *testing.T) {
	core := &schema.Schema{ID: "urn:x:Badge", Attributes: []*schema.Attribute{{Name: "name"}, {Name: "pin", Mutability: schema.WriteOnly, Uniqueness: schema.Server}}}
	typ, err := schema.NewType("Badge", core)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return &scim.Principal{Compat: schema.Standard()}, nil },
		Types: []scim.ResourceType{{Name: "Badge", Endpoint: "/Badges", Schema: core, Store: memstore.New().Type(typ)}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{201, 409} {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("POST", "/Badges", strings.NewReader(`{"name":"n","pin":"SECRET"}`)))
		if w.Code != want || strings.Contains(w.Body.String(), "SECRET") {
			t.Errorf("%d %s, want %d", w.Code, w.Body, want)
		}
	}
}
