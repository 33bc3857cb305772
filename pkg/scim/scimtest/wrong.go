package scimtest

import (
	"fmt"
	"strings"
	"testing"
)

func (c *client) wrong(t *testing.T) {
	name := unique()
	id := c.want(t, 201, "POST", "/Users", userBody(name, "")).id(t)
	for _, w := range []struct {
		about, method, path, body string
		status                    int
		code                      string
	}{
		{"not JSON", "POST", "/Users", `{"userName":`, 400, "invalidSyntax"},
		{"something after it", "POST", "/Users", userBody(name+"1", "") + "{}", 400, "invalidSyntax"},
		{"a list", "POST", "/Users", `[]`, 400, "invalidSyntax"},
		{"a key twice", "POST", "/Users", userBody(name+"1", `,"title":"a","title":"b"`), 400, "invalidSyntax"},
		{"a key twice in another case", "POST", "/Users", userBody(name+"1", `,"title":"a","TITLE":"b"`), 400, "invalidSyntax"},
		{"too deep", "POST", "/Users", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "invalidSyntax"},
		{"not UTF-8", "POST", "/Users", userBody(name+"\xff", ""), 400, "invalidSyntax"},
		{"NUL", "POST", "/Users", userBody(name+`\u0000`, ""), 400, "invalidValue"},
		{"no userName", "POST", "/Users", `{"schemas":["` + userURN + `"]}`, 400, "invalidValue"},
		{"an empty userName", "POST", "/Users", userBody("", ""), 400, "invalidValue"},
		{"a null userName", "POST", "/Users", `{"schemas":["` + userURN + `"],"userName":null}`, 400, "invalidValue"},
		{"a numeric externalId", "POST", "/Users", userBody(name+"1", `,"externalId":5`), 400, "invalidValue"},
		{"a number for a string", "POST", "/Users", userBody(name+"1", `,"title":9007199254740993`), 400, "invalidValue"},
		{"an object for a string", "POST", "/Users", userBody(name+"1", `,"title":{}`), 400, "invalidValue"},
		{"a list for an object", "POST", "/Users", userBody(name+"1", `,"name":["x"]`), 400, "invalidValue"},
		{"a number for a boolean", "POST", "/Users", userBody(name+"1", `,"active":1`), 400, "invalidValue"},
		{"no operations", "PATCH", "/Users/" + id, patchBody(``), 400, "invalidSyntax"},
		{"an unknown operation", "PATCH", "/Users/" + id, patchBody(`{"op":"move","path":"title"}`), 400, "invalidSyntax"},
		{"a path that is no string", "PATCH", "/Users/" + id, patchBody(`{"op":"remove","path":5}`), 400, "invalidPath"},
		{"an unknown path", "PATCH", "/Users/" + id, patchBody(`{"op":"remove","path":"nothing"}`), 400, "invalidPath"},
		{"a path that looks like another", "PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"uſerName","value":"x"}`), 400, "invalidPath"},
		{"a path of another schema", "PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:Group:displayName","value":"x"}`), 400, "invalidPath"},
		{"a sub-attribute of a string", "PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"title.x","value":"x"}`), 400, "invalidPath"},
		{"another type", "PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"title","value":["x"]}`), 400, "invalidValue"},
		{"meta", "PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"meta.version","value":"x"}`), 400, "mutability"},
		{"groups", "PATCH", "/Users/" + id, patchBody(`{"op":"add","path":"groups","value":[{"value":"x"}]}`), 400, "mutability"},
		{"an unknown endpoint", "GET", "/Nothing", "", 404, ""},
		{"a resource below a resource", "GET", "/Users/" + id + "/name", "", 404, ""},
		{"an unknown method", "TRACE", "/Users", "", 405, ""},
		{"POST on a resource", "POST", "/Users/" + id, "{}", 405, ""},
		{"PUT on a list", "PUT", "/Users", "{}", 405, ""},
	} {
		t.Run(w.about, func(t *testing.T) {
			a := c.refused(t, w.status, w.code, w.method, w.path, w.body)
			if w.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	c.refused(t, 415, "", "POST", "/Users", userBody(name+"1", ""), "Content-Type", "application/xml")
	c.refused(t, 415, "", "POST", "/Users", userBody(name+"1", ""), "Content-Encoding", "gzip")
	c.refused(t, 413, "", "POST", "/Users", userBody(name+"1", `,"title":"`+strings.Repeat("x", 1<<20)+`"`))
	c.refused(t, 413, "", "PATCH", "/Users/"+id, patchBody(strings.Repeat(`{"op":"remove","path":"title"},`, 1000)+`{"op":"remove","path":"title"}`))
	long := c.refused(t, 400, "invalidFilter", "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"`+strings.Repeat("x", 17<<10)+`"}`)
	if len(long.body) > 1000 {
		t.Errorf("an error of %d bytes", len(long.body))
	}
	stranger := &client{base: c.base, token: "wrong", preset: c.preset, http: c.http}
	if a := stranger.refused(t, 401, "", "GET", "/Users", ""); a.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	if got := c.want(t, 200, "GET", "/Users/"+id, ""); got.at("userName") != name || got.at("title") != nil {
		t.Errorf("a refused request changed the user: %s", got.body)
	}
}

func (c *client) membership(t *testing.T) {
	run := unique()
	id := c.want(t, 201, "POST", "/Users", userBody(run, "")).id(t)
	group := func(name, member string) answer {
		return c.want(t, 201, "POST", "/Groups", `{"schemas":["`+groupURN+`"],"displayName":"`+name+`","members":[{"value":"`+member+`"},{"value":"`+member+`"}]}`)
	}
	inner := group(run+"-in", id)
	members, _ := inner.at("members").([]any)
	if len(members) != 1 {
		t.Fatalf("one member given twice became %d", len(members))
	}
	m := members[0].(map[string]any)
	if m["type"] != "User" || !strings.HasSuffix(fmt.Sprint(m["$ref"]), "/Users/"+id) {
		t.Errorf("member: %v", m)
	}
	outer := group(run+"-out", inner.id(t))
	user := c.want(t, 200, "GET", "/Users/"+id, "")
	groups, _ := user.at("groups").([]any)
	kinds := map[string]any{}
	for _, g := range groups {
		g := g.(map[string]any)
		kinds[fmt.Sprint(g["value"])] = g["type"]
	}
	if kinds[inner.id(t)] != "direct" || kinds[outer.id(t)] != "indirect" || len(kinds) != 2 {
		t.Errorf("groups of the member: %v", groups)
	}
	// Membership does not change the user.
	if v := c.want(t, 200, "GET", "/Users/"+id+"?attributes=meta.version", "").at("meta", "version"); v != user.at("meta", "version") {
		t.Errorf("version %v, was %v", v, user.at("meta", "version"))
	}
	c.want(t, 204, "DELETE", "/Users/"+id, "")
	if got := c.want(t, 200, "GET", "/Groups/"+inner.id(t), ""); got.at("members") != nil {
		t.Errorf("a deleted user is a member still: %s", got.body)
	}
}
