package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// A server for an own resource type: a schema, a store, a function that knows its clients.
func ExampleNewServer() {
	door := &schema.Schema{ID: "urn:example:Door", Name: "Door", Attributes: []*schema.Attribute{
		{Name: "label", Required: true, Uniqueness: schema.Server},
		{Name: "code", Mutability: schema.WriteOnly},
		{Name: "open", Type: schema.Boolean},
	}}
	typ, err := schema.NewType("Door", door)
	if err != nil {
		panic(err)
	}
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://id.example.org/scim/v2",
		Auth: func(r *http.Request) (*scim.Principal, error) {
			if r.Header.Get("Authorization") != "Bearer let me in" {
				return nil, scim.ErrUnauthenticated
			}
			return &scim.Principal{Subject: "example", Compat: schema.Standard()}, nil
		},
		Types: []scim.ResourceType{{Name: "Door", Endpoint: "/Doors", Schema: door, Store: memstore.New().Type(typ)}},
	})
	if err != nil {
		panic(err)
	}
	send := func(method, target, body string) string {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer let me in")
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	fmt.Println(send("POST", "/scim/v2/Doors?attributes=label,code", `{"label":"Front","code":"1234","open":"False"}`)[:3])
	fmt.Println(send("GET", "/scim/v2/Doors?count=0&filter=label+sw+%22fro%22+and+open+ne+true", ""))
	fmt.Println(send("GET", "/scim/v2/Doors?filter=code+eq+%221234%22", ""))
	// Output:
	// 201
	// 200 {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"startIndex":1,"itemsPerPage":0,"Resources":[]}
	// 400 {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidFilter","detail":"code: cannot be filtered on"}
}
