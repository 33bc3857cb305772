package scim_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

func TestMeIsTheResourceTheTokenIsBoundTo(t *testing.T) {
	db := memstore.New()
	users := db.Type(userType(t))
	var id string
	principal := &scim.Principal{Compat: schema.Strict()}
	var fault error
	typ := "User"
	srv, err := scim.NewServer(scim.Config{BaseURL: "https://x.example", Auth: func(*http.Request) (*scim.Principal, error) { return principal, nil },
		Me: func(_ context.Context, p *scim.Principal) (string, string, error) {
			if p != principal {
				t.Error("another principal")
			}
			return typ, id, fault
		},
		Types: []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}, Store: users}}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(status int, method, target, body string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		srv.ServeHTTP(w, r)
		if w.Code != status {
			t.Fatalf("%s %s: got %d, want %d: %s", method, target, w.Code, status, w.Body)
		}
		return w
	}
	send(403, "GET", "/Me", "") // bound to nobody
	made, err := users.Create(t.Context(), &scim.Resource{Type: "User", Attrs: scim.Object{"userName": "ada", "password": "hidden"}})
	if err != nil {
		t.Fatal(err)
	}
	id = made.ID
	got := send(200, "GET", "/Me", "")
	if want := send(200, "GET", "/Users/"+id, ""); got.Body.String() != want.Body.String() || got.Header().Get("Location") != "https://x.example/Users/"+id {
		t.Errorf("/Me is %s at %s", got.Body, got.Header().Get("Location"))
	}
	send(304, "GET", "/Me", "", "If-None-Match", got.Header().Get("ETag"))
	if got := send(200, "GET", "/Me?attributes=userName", ""); strings.Contains(got.Body.String(), "meta") {
		t.Errorf("attributes: %s", got.Body)
	}
	const patch = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"t"}]}`
	send(412, "PATCH", "/Me", patch, "If-Match", `W/"7"`)
	send(200, "PATCH", "/Me/", patch)
	send(200, "PUT", "/Me", `{`+userSchemas+`,"userName":"Ada"}`)
	if w := send(200, "POST", "/Bulk", inBulk(`{"method":"PATCH","path":"/Me","data":`+patch+`}`, `{"method":"POST","path":"/Me","bulkId":"b","data":{}}`)); !strings.Contains(w.Body.String(), `"location":"https://x.example/Users/`+id) ||
		strings.Count(w.Body.String(), `"status":"200"`) != 1 || strings.Count(w.Body.String(), `"scimType":"invalidValue"`) != 1 {
		t.Errorf("in bulk: %s", w.Body)
	}
	for _, method := range []string{"POST", "TRACE"} {
		if w := send(405, method, "/Me", "{}"); w.Header().Get("Allow") != "DELETE, GET, PATCH, PUT" {
			t.Errorf("Allow %q", w.Header().Get("Allow"))
		}
	}
	send(404, "GET", "/Me/x", "")
	principal.ReadOnly = true
	send(200, "GET", "/Me", "")
	send(403, "DELETE", "/Me", "")
	principal.ReadOnly, principal.Types = false, []string{"Group"}
	send(403, "GET", "/Me", "")
	principal.Types = nil
	send(204, "DELETE", "/Me", "")
	send(404, "GET", "/Me", "")
	typ = "Nobody"
	if w := send(500, "GET", "/Me", ""); strings.Contains(w.Body.String(), "Nobody") {
		t.Errorf("%s", w.Body)
	}
	fault = errors.New("secret dsn")
	if w := send(500, "GET", "/Me", ""); strings.Contains(w.Body.String(), "dsn") {
		t.Errorf("%s", w.Body)
	}
	fault = scim.ErrNotFound
	send(404, "GET", "/Me", "")
}
