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

// A group and its member in one request: the group is named first and waits for the user it refers to. A store need not know
// of bulk requests, nor of searches over all types.
func ExampleServer_bulk() {
	users, err := schema.NewType("User", schema.User())
	if err != nil {
		panic(err)
	}
	groups, err := schema.NewType("Group", schema.Group())
	if err != nil {
		panic(err)
	}
	db := memstore.New()
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://id.example.org/scim/v2",
		Auth: func(*http.Request) (*scim.Principal, error) {
			return &scim.Principal{Subject: "example", Compat: schema.Standard()}, nil
		},
		Types: []scim.ResourceType{
			{Name: "User", Endpoint: "/Users", Schema: users.Core, Store: db.Type(users)},
			{Name: "Group", Endpoint: "/Groups", Schema: groups.Core, Store: db.Type(groups)},
		},
	})
	if err != nil {
		panic(err)
	}
	send := func(method, target, body string) string {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w.Body.String()
	}
	done := send("POST", "/scim/v2/Bulk", `{"Operations":[
		{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"Staff","members":[{"value":"bulkId:u"}]}},
		{"method":"POST","path":"/Users","bulkId":"u","data":{"userName":"ada"}}]}`)
	fmt.Println(strings.Count(done, `"status":"201"`))
	fmt.Println(send("GET", "/scim/v2/?attributes=userName,displayName&count=0&filter=members+pr+or+userName+eq+%22ada%22", ""))
	// Output:
	// 2
	// {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,"itemsPerPage":0,"Resources":[]}
}
