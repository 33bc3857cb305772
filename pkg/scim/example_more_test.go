package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// inMemory is a server over memory for types, and what sends it a request and returns status and body. The bearer tokens
// "standard", "entra" and "strict" are clients served with that preset.
func inMemory(types ...scim.ResourceType) (send func(token, method, target, body string) (int, string)) {
	db := memstore.New()
	for i, t := range types {
		kind, err := schema.NewType(t.Name, t.Schema, t.Extensions...)
		if err != nil {
			panic(err)
		}
		types[i].Store = db.Type(kind)
	}
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://id.example.org/scim/v2",
		Types:   types,
		Auth: func(r *http.Request) (*scim.Principal, error) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			preset, ok := schema.Preset(token)
			if !ok {
				return nil, scim.ErrUnauthenticated
			}
			return &scim.Principal{Subject: token, Compat: preset}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	return func(token, method, target, body string) (int, string) {
		r := httptest.NewRequest(method, "/scim/v2"+target, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
}

// The shortest server there is: users, in memory, for whoever knows the token.
func Example() {
	users, err := schema.NewType("User", schema.User())
	if err != nil {
		panic(err)
	}
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://id.example.org/scim/v2",
		Auth: func(r *http.Request) (*scim.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer let me in" { // compare real ones in constant time
				return nil, scim.ErrUnauthenticated
			}
			return &scim.Principal{Subject: "example", Compat: schema.Standard()}, nil
		},
		Types: []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: users.Core, Store: memstore.New().Type(users)}},
	})
	if err != nil {
		panic(err)
	}
	// http.ListenAndServe("localhost:8081", srv)

	for _, token := range []string{"let me in", "guess"} {
		r := httptest.NewRequest("POST", "/scim/v2/Users", strings.NewReader(`{"userName":"ada","password":"not shown"}`))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("ETag"), strings.Contains(w.Body.String(), "not shown"))
	}
	// Output:
	// 201 W/"1" false
	// 401  false
}

// An extension a resource must have: without it, or without what it requires, nothing is stored.
func ExampleResourceType_requiredExtension() {
	contract := &schema.Schema{ID: "urn:example:params:scim:schemas:extension:contract:2.0:User", Name: "Contract", Attributes: []*schema.Attribute{
		{Name: "number", Required: true, CaseExact: true, Uniqueness: schema.Server},
		{Name: "ends", Type: schema.DateTime},
	}}
	send := inMemory(scim.ResourceType{Name: "User", Endpoint: "/Users", Schema: schema.User(),
		Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}, {Schema: contract, Required: true}}})

	for _, more := range []string{``, `,"urn:example:params:scim:schemas:extension:contract:2.0:User":{"number":"C-7","ends":"soon"}`,
		`,"urn:example:params:scim:schemas:extension:contract:2.0:User":{"number":"C-7","ends":"2027-01-01T00:00:00Z"}`} {
		status, answer := send("standard", "POST", "/Users", `{"userName":"ada"`+more+`}`)
		var told struct{ Detail string }
		_ = json.Unmarshal([]byte(answer), &told)
		fmt.Println(status, told.Detail)
	}
	// Output:
	// 400 urn:example:params:scim:schemas:extension:contract:2.0:User:number: a value is required
	// 400 urn:example:params:scim:schemas:extension:contract:2.0:User:ends: want a dateTime such as 2026-11-22T09:30:00Z
	// 201
}

// The same PATCH of Microsoft Entra ID for three clients: a preset says how far each may leave the RFCs.
func ExamplePrincipal_entra() {
	send := inMemory(scim.ResourceType{Name: "User", Endpoint: "/Users", Schema: schema.User()})
	_, made := send("standard", "POST", "/Users", `{"userName":"ada"}`)
	var ada struct{ ID string }
	if err := json.Unmarshal([]byte(made), &ada); err != nil {
		panic(err)
	}
	const change = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
		{"op":"Replace","path":"active","value":"False"},
		{"op":"Replace","path":"emails[type eq \"work\"].value","value":"ada@example.org"}]}`
	for _, client := range []string{"strict", "standard", "entra"} {
		status, answer := send(client, "PATCH", "/Users/"+ada.ID+"?attributes=active,emails", change)
		var told struct {
			ScimType string
			Emails   []any
		}
		_ = json.Unmarshal([]byte(answer), &told)
		fmt.Println(client, status, told.ScimType, told.Emails)
	}
	// Output:
	// strict 400 invalidSyntax []
	// standard 400 noTarget []
	// entra 200  [map[type:work value:ada@example.org]]
}

// Pages by cursor (RFC 9865): the server keeps nothing for them, and what comes and goes meanwhile moves no page.
func ExampleConfig_cursor() {
	send := inMemory(scim.ResourceType{Name: "User", Endpoint: "/Users", Schema: schema.User()})
	for _, name := range []string{"ada", "bob", "eve"} {
		send("standard", "POST", "/Users", `{"userName":"`+name+`"}`)
	}
	cursor := ""
	for {
		_, answer := send("standard", "GET", "/Users?attributes=userName&sortBy=userName&count=2&cursor="+url.QueryEscape(cursor), "")
		var page struct {
			TotalResults int
			NextCursor   string
			Resources    []struct{ UserName string }
		}
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			panic(err)
		}
		fmt.Println(page.TotalResults, page.Resources)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	status, answer := send("entra", "GET", "/Users?sortBy=userName&cursor=made-up", "")
	fmt.Println(status, strings.Contains(answer, `"scimType":"invalidCursor"`))
	// Output:
	// 3 [{ada} {bob}]
	// 3 [{eve}]
	// 400 true
}
