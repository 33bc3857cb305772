package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store/storetest"
)

// An identity provider whose filter was emptied disables one half of its people and deletes the other.
func TestAWaveIsAnsweredAsEverToldOnceAndUndone(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			token := w.connector("entra", client.TrustAll)
			var people []string
			for i := range 40 {
				status, made := w.scim(token, "POST", "/Users", map[string]any{
					"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:regain:2.0:User"}, "userName": fmt.Sprintf("p%02d@alder.example", i),
					"urn:ietf:params:scim:schemas:extension:regain:2.0:User": map[string]any{"recoveryEmail": fmt.Sprintf("p%02d@home.example", i)},
				})
				if status != 201 {
					t.Fatalf("%d %v", status, made)
				}
				people = append(people, made["id"].(string))
			}
			_, group := w.scim(token, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Sales", "members": []map[string]any{{"value": people[39]}}})
			_, before := w.scim(token, "GET", "/Users/"+people[39], nil)
			off := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []map[string]any{{"op": "replace", "path": "active", "value": false}}}
			for i, id := range people {
				verb, body, want := "PATCH", any(off), 200
				if i%2 == 1 {
					verb, body, want = "DELETE", nil, 204
				}
				if status, got := w.scim(token, verb, "/Users/"+id, body); status != want {
					t.Fatalf("%s %d: %d %v", verb, i, status, got)
				}
			}
			if status, _ := w.scim(token, "GET", "/Users/"+people[39], nil); status != 404 {
				t.Errorf("somebody deleted is answered with %d", status)
			}
			eventually(t, "security staff are told", func() bool { return len(w.mail.Letters("security@alder.example")) > 0 })
			w.drained()
			letters := w.mail.Letters("security@alder.example")
			if len(letters) != 1 || !strings.Contains(letters[0].Text, "21 of 40") || !strings.Contains(letters[0].Text, w.base+"/console/connectors/entra") {
				t.Errorf("%d letters: %+v", len(letters), letters)
			}

			a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
			u, err := a.Undo(t.Context(), "entra", "")
			if err != nil || u != (client.Undone{Enabled: 20, Restored: 20}) {
				t.Fatalf("%+v, %v", u, err)
			}
			_, after := w.scim(token, "GET", "/Users/"+people[39], nil)
			delete(before, "meta")
			delete(after, "meta")
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("after the undo:\n%v\nbefore:\n%v", after, before)
			}
			if _, got := w.scim(token, "GET", "/Groups/"+group["id"].(string), nil); len(got["members"].([]any)) != 1 {
				t.Errorf("members: %v", got)
			}
			if _, got := w.scim(token, "GET", "/Users/"+people[0], nil); got["active"] != true {
				t.Errorf("disabled: %v", got)
			}
			if _, got := w.scim(token, "GET", "/Users?count=0", nil); fmt.Sprint(got["totalResults"]) != "40" {
				t.Errorf("%v people", got["totalResults"])
			}
		})
	}
}
