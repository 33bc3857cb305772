package scimtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	patchURN      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

func userBody(name, more string) string {
	return `{"schemas":["` + userURN + `"],"userName":"` + name + `"` + more + `}`
}

func patchBody(ops string) string {
	return `{"schemas":["` + patchURN + `"],"Operations":[` + ops + `]}`
}

// conformance checks rules every preset shares.
func (c *client) conformance(t *testing.T) {
	for _, p := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"discovery is complete, by list and by id", c.discovery},
		{"POST answers 201 with Location, ETag and meta", c.creation},
		{"names are found in any letter case, ids are not", c.letterCase},
		{"attributes and excludedAttributes choose", c.projection},
		{"a password never comes back", c.password},
		{"If-Match and If-None-Match are kept", c.preconditions},
		{"PUT clears what it does not name and ignores readOnly", c.replacement},
		{"PATCH applies all operations or none", c.atomicity},
		{"a PATCH that changes nothing keeps the version", c.noOp},
		{"the operations of RFC 7644 3.5.2 work", c.patches},
		{"filters work on every operator", c.filters},
		{"pages and order are stable", c.paging},
		{"POST .search is a list", c.search},
		{"all types are searched at once", c.everything},
		{"pages are turned by cursor", c.cursors},
		{"bulk operations are done one by one", c.bulk},
		{"bulkIds refer backwards, forwards and in circles", c.bulkReferences},
		{"bulk errors are each operation's own", c.bulkErrors},
		{"wrong requests get the right error", c.wrong},
		{"requests meant to hurt are refused", c.hostile},
		{"no attribute takes a value of another type", c.confusion},
		{"ids of others lead nowhere", c.identities},
		{"a version that is no more is refused", c.stale},
		{"writers at once lose nothing", c.writers},
		{"what did not arrive whole is not begun", c.hangup},
		{"membership shows on both sides and ends with the member", c.membership},
	} {
		t.Run(p.name, p.run)
	}
}

func (c *client) discovery(t *testing.T) {
	spc := c.want(t, 200, "GET", "/ServiceProviderConfig", "")
	for _, k := range [][]string{{"bulk", "maxOperations"}, {"bulk", "maxPayloadSize"}, {"filter", "maxResults"}, {"patch", "supported"}, {"etag", "supported"}, {"sort", "supported"}, {"changePassword", "supported"}} {
		if spc.at(k...) == nil {
			t.Errorf("ServiceProviderConfig lacks %v", k)
		}
	}
	for _, target := range []string{"/ResourceTypes", "/Schemas"} {
		list := c.want(t, 200, "GET", target, "")
		docs, _ := list.at("Resources").([]any)
		if len(docs) < 2 {
			t.Errorf("%s: %d documents", target, len(docs))
		}
		for _, d := range docs {
			id, _ := d.(map[string]any)["id"].(string)
			if one := c.want(t, 200, "GET", target+"/"+id, ""); subset("", d, one.json) != "" {
				t.Errorf("%s/%s differs from the one in the list", target, id)
			}
		}
		if bytes.Contains(list.body, []byte("null")) {
			t.Errorf("%s contains a null", target)
		}
		c.refused(t, 404, "", "GET", target+"/nothing", "")
		if a := c.refused(t, 405, "", "POST", target, "{}"); a.header.Get("Allow") != "GET" {
			t.Errorf("%s: Allow %q", target, a.header.Get("Allow"))
		}
	}
}

func (c *client) creation(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, `,"id":"mine","meta":{"version":"W/\"7\"","location":"https://evil.example/"},"name":{"familyName":"L"},"emails":[]`))
	id := a.id(t)
	if id == "mine" {
		t.Error("the client chose the id")
	}
	location := a.header.Get("Location")
	if a.at("meta", "location") != location || !strings.HasSuffix(location, "/Users/"+id) || !strings.HasPrefix(location, "http") {
		t.Errorf("Location %q, meta.location %v", location, a.at("meta", "location"))
	}
	if tag := a.header.Get("ETag"); a.at("meta", "version") != tag || !strings.HasPrefix(tag, `W/"`) {
		t.Errorf("ETag %q, meta.version %v", tag, a.at("meta", "version"))
	}
	if a.at("meta", "resourceType") != "User" || a.at("emails") != nil {
		t.Errorf("answer: %s", a.body)
	}
	if got := c.want(t, 200, "GET", "/Users/"+id+"/", ""); got.at("name", "familyName") != "L" {
		t.Errorf("GET: %s", got.body)
	}
	// Links must not follow what a request claims about its host.
	if got := c.want(t, 200, "GET", "/Users/"+id, "", "X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example"); got.at("meta", "location") != location {
		t.Errorf("meta.location follows the request: %v", got.at("meta", "location"))
	}
}

func (c *client) letterCase(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", `{"schemas":["`+userURN+`"],"USERNAME":"`+name+`-Ärger","Name":{"GIVENNAME":"x"},"externalId":"Ext-`+name+`"}`)
	if a.at("userName") != name+"-Ärger" || a.at("name", "givenName") != "x" {
		t.Errorf("names are not canonical: %s", a.body)
	}
	c.refused(t, 409, "uniqueness", "POST", "/Users", userBody(strings.ToUpper(name)+"-äRGER", ""))
	c.refused(t, 404, "", "GET", "/Users/"+a.id(t)+"x", "")
	if got := c.want(t, 200, "GET", escape(`/Users?filter=USERname EQ "`+strings.ToUpper(name)+`-ärger"`), ""); fmt.Sprint(got.at("totalResults")) != "1" {
		t.Errorf("userName is compared with letter case: %s", got.body)
	}
}

func (c *client) projection(t *testing.T) {
	name := unique()
	id := c.want(t, 201, "POST", "/Users", userBody(name, `,"displayName":"d","name":{"givenName":"g","familyName":"f"},"emails":[{"value":"a@example.org","type":"work"}]`)).id(t)
	get := func(query string) answer { return c.want(t, 200, "GET", "/Users/"+id+"?"+query, "") }
	a := get("attributes=name.givenName,EMAILS.value," + userURN + ":displayName")
	if a.at("name", "givenName") != "g" || a.at("name", "familyName") != nil || a.at("displayName") != "d" || a.at("userName") != nil || a.at("id") != id || a.at("schemas") == nil {
		t.Errorf("attributes: %s", a.body)
	}
	if s := subset("", map[string]any{"emails": []any{map[string]any{"value": "a@example.org", "type": nil}}}, a.json); s != "" {
		t.Errorf("attributes: %s", s)
	}
	a = get("excludedAttributes=name.givenName,emails,id")
	if a.at("name", "givenName") != nil || a.at("name", "familyName") != "f" || a.at("emails") != nil || a.at("id") != id {
		t.Errorf("excludedAttributes: %s", a.body)
	}
	if a := c.want(t, 200, "PATCH", "/Users/"+id+"?attributes=userName", patchBody(`{"op":"replace","path":"title","value":"t"}`)); a.at("title") != nil || a.at("userName") != name {
		t.Errorf("PATCH with attributes: %s", a.body)
	}
	// The same choice on every verb, with names of sub-attributes and of schemas.
	body := func(name string) string {
		return `{"schemas":["` + userURN + `","` + enterpriseURN + `"],"userName":"` + name + `","title":"t","name":{"givenName":"g","familyName":"f"},"` + enterpriseURN + `":{"department":"d","division":"v"}}`
	}
	shows := map[string]map[string]any{
		"attributes=NAME.givenName," + enterpriseURN + ":department":        {"name": map[string]any{"givenName": "g", "familyName": nil}, enterpriseURN: map[string]any{"department": "d", "division": nil}, "userName": nil, "title": nil, "meta": nil},
		"attributes=" + enterpriseURN:                                       {enterpriseURN: map[string]any{"department": "d", "division": "v"}, "userName": nil, "name": nil},
		"excludedAttributes=name.familyName," + enterpriseURN + ":division": {"name": map[string]any{"givenName": "g", "familyName": nil}, enterpriseURN: map[string]any{"department": "d", "division": nil}, "title": "t"},
		"excludedAttributes=" + userURN + ":name," + enterpriseURN:          {"name": nil, enterpriseURN: nil, "title": "t"},
	}
	for query, want := range shows {
		kind, list, _ := strings.Cut(query, "=")
		name := unique()
		made := c.want(t, 201, "POST", "/Users?"+query, body(name))
		target := "/Users/" + made.id(t)
		search := c.want(t, 200, "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"userName eq \"`+name+`\"","`+kind+`":["`+strings.ReplaceAll(list, ",", `","`)+`"]}`)
		for verb, got := range map[string]any{
			"POST": made.json, "GET": c.want(t, 200, "GET", target+"?"+query, "").json, "PUT": c.want(t, 200, "PUT", target+"?"+query, body(name)).json,
			"PATCH": c.want(t, 200, "PATCH", target+"?"+query, patchBody(`{"op":"replace","path":"nickName","value":"n"}`)).json,
			"list":  first(c.want(t, 200, "GET", escape(`/Users?filter=userName eq "`+name+`"&`+query), "")), "search": first(search),
		} {
			if s := subset("", want, got); s != "" {
				t.Errorf("%s with %s: %s in %v", verb, query, s, got)
			}
			if o, _ := got.(map[string]any); o["id"] == nil || o["schemas"] == nil {
				t.Errorf("%s with %s lacks what is always shown: %v", verb, query, got)
			}
		}
	}
}

// first is the first resource of a list.
func first(a answer) any {
	if list, _ := a.at("Resources").([]any); len(list) > 0 {
		return list[0]
	}
	return nil
}

func (c *client) password(t *testing.T) {
	name := unique()
	secret := "Hidden-" + name + "-x"
	a := c.want(t, 201, "POST", "/Users?attributes=password,userName", userBody(name, `,"password":"`+secret+`"`))
	id := a.id(t)
	seen := [][]byte{a.body}
	for _, r := range [][3]string{
		{"GET", "/Users/" + id + "?attributes=password", ""},
		{"PUT", "/Users/" + id, userBody(name, `,"password":"`+secret+`2"`)},
		{"PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"password","value":"` + secret + `3"}`)},
		{"PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"password","value":{"` + secret + `":"` + secret + `"}}`)},
		{"PATCH", "/Users/" + id, patchBody(`{"op":"replace","path":"password.` + name + `","value":"` + secret + `"}`)},
		{"POST", "/Users", userBody(name, `,"password":"`+secret+`"`)},
		{"POST", "/Users", userBody("x"+name, `,"password":["`+secret+`"]`)},
		{"GET", escape(`/Users?filter=password eq "` + secret + `"`), ""},
		{"GET", "/Users?sortBy=password", ""},
		{"GET", escape(`/Users?filter=userName eq "` + name + `"`), ""},
	} {
		seen = append(seen, c.send(t, r[0], r[1], r[2]).body)
	}
	for _, body := range seen {
		if bytes.Contains(body, []byte(secret)) {
			t.Errorf("an answer contains the password: %s", body)
		}
	}
	c.refused(t, 400, "invalidFilter", "GET", escape(`/Users?filter=password sw "a"`), "")
	c.refused(t, 400, "invalidFilter", "GET", escape(`/Users?filter=not (password pr)`), "")
	c.refused(t, 400, "invalidPath", "GET", "/Users?sortBy=password", "")
}

func (c *client) preconditions(t *testing.T) {
	a := c.want(t, 201, "POST", "/Users", userBody(unique(), ""))
	target, old := "/Users/"+a.id(t), a.header.Get("ETag")
	if got := c.want(t, 304, "GET", target, "", "If-None-Match", old); len(got.body) > 0 {
		t.Errorf("304 with a body: %s", got.body)
	}
	title := func(v string) string { return patchBody(`{"op":"replace","path":"title","value":"` + v + `"}`) }
	now := c.want(t, 200, "PATCH", target, title("1"), "If-Match", old).header.Get("ETag")
	if now == old {
		t.Error("a change kept the version")
	}
	c.refused(t, 412, "", "PATCH", target, title("2"), "If-Match", old)
	c.refused(t, 412, "", "PUT", target, userBody(unique(), ""), "If-Match", old)
	c.refused(t, 412, "", "DELETE", target, "", "If-Match", old)
	c.refused(t, 412, "", "PATCH", target, title("2"), "If-None-Match", "*")
	if got := c.want(t, 200, "GET", target, "", "If-None-Match", old); got.at("title") != "1" {
		t.Errorf("a refused change was made: %s", got.body)
	}
	c.want(t, 200, "PATCH", target, title("3"), "If-Match", "*")
	c.want(t, 204, "DELETE", target, "", "If-Match", "*")
}

func (c *client) replacement(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, `,"title":"t","externalId":"e","emails":[{"value":"a@example.org"}]`))
	target := "/Users/" + a.id(t)
	got := c.want(t, 200, "PUT", target, userBody(name, `,"displayName":"d","id":"other","groups":[{"value":"x"}]`))
	if got.at("title") != nil || got.at("externalId") != nil || got.at("emails") != nil || got.at("displayName") != "d" || got.at("groups") != nil || got.at("id") != a.id(t) {
		t.Errorf("PUT: %s", got.body)
	}
	if got.at("meta", "created") != a.at("meta", "created") {
		t.Error("PUT changed meta.created")
	}
	c.refused(t, 400, "invalidValue", "PUT", target, `{"schemas":["`+userURN+`"],"title":"t"}`)
	c.refused(t, 404, "", "PUT", "/Users/nothing", userBody(unique(), ""))
}

func (c *client) atomicity(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, ""))
	target := "/Users/" + a.id(t)
	c.refused(t, 400, "mutability", "PATCH", target, patchBody(`{"op":"replace","path":"title","value":"t"},{"op":"replace","path":"id","value":"x"}`))
	c.refused(t, 400, "mutability", "PATCH", target, patchBody(`{"op":"replace","path":"title","value":"t"},{"op":"remove","path":"userName"}`))
	if got := c.want(t, 200, "GET", target, ""); got.at("title") != nil || !bytes.Equal(got.body, a.body) {
		t.Errorf("half of a refused PATCH was applied: %s", got.body)
	}
}

func (c *client) noOp(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, `,"title":"t","emails":[{"value":"a@example.org","type":"work"},{"value":"b@example.org","type":"home"}]`))
	target := "/Users/" + a.id(t)
	for _, ops := range []string{
		`{"op":"replace","path":"title","value":"t"}`,
		`{"op":"add","path":"emails","value":[{"value":"a@example.org","type":"work"}]}`,
		`{"op":"replace","path":"emails","value":[{"value":"b@example.org","type":"home"},{"value":"a@example.org","type":"work"}]}`,
		`{"op":"remove","path":"displayName"}`,
		`{"op":"remove","path":"emails[type eq \"other\"]"}`,
		`{"op":"replace","path":"title","value":"u"},{"op":"replace","path":"title","value":"t"}`,
	} {
		c.want(t, 200, "PATCH", target, patchBody(ops))
		if got := c.want(t, 200, "GET", target, ""); !bytes.Equal(got.body, a.body) {
			t.Errorf("%s changed something:\n%s\n%s", ops, a.body, got.body)
		}
	}
}

func (c *client) patches(t *testing.T) {
	id := c.want(t, 201, "POST", "/Users", userBody(unique(), `,"name":{"givenName":"g"},"addresses":[{"type":"work","locality":"A"},{"type":"home","locality":"B"}]`)).id(t)
	for _, p := range []struct {
		ops  string
		want map[string]any
	}{
		{`{"op":"add","value":{"nickName":"Babs","emails":[{"value":"babs@example.org","type":"home"}]}}`,
			map[string]any{"nickName": "Babs", "emails": []any{map[string]any{"type": "home"}}}},
		{`{"op":"replace","path":"name","value":{"familyName":"f"}}`,
			map[string]any{"name": map[string]any{"familyName": "f", "givenName": "g"}}},
		{`{"op":"replace","path":"addresses[type eq \"work\"].locality","value":"C"}`,
			map[string]any{"addresses": []any{map[string]any{"type": "work", "locality": "C"}, map[string]any{"type": "home", "locality": "B"}}}},
		{`{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","region":"R"}}`,
			map[string]any{"addresses": []any{map[string]any{"type": "work", "locality": nil, "region": "R"}, map[string]any{"type": "home", "locality": "B"}}}},
		{`{"op":"remove","path":"addresses[type eq \"home\"]"}`, map[string]any{"addresses": []any{map[string]any{"type": "work"}}}},
		{`{"op":"remove","path":"emails"}`, map[string]any{"emails": nil}},
		{`{"op":"replace","path":"emails","value":[{"value":"x@example.org","primary":true},{"value":"y@example.org"}]}`,
			map[string]any{"emails": []any{map[string]any{"primary": true}, map[string]any{"primary": nil}}}},
		{`{"op":"replace","path":"emails[value eq \"y@example.org\"].primary","value":true}`,
			map[string]any{"emails": []any{map[string]any{"primary": false}, map[string]any{"primary": true}}}},
		{`{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"D"}`,
			map[string]any{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": "D"}}},
		{`{"op":"remove","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"}`,
			map[string]any{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": nil, "schemas": []any{userURN}}},
		{`{"op":"replace","path":"nickName","value":null}`, map[string]any{"nickName": nil}},
	} {
		c.want(t, 200, "PATCH", "/Users/"+id, patchBody(p.ops))
		if s := subset("", p.want, c.want(t, 200, "GET", "/Users/"+id, "").json); s != "" {
			t.Errorf("%s: %s", p.ops, s)
		}
	}
	c.refused(t, 400, "noTarget", "PATCH", "/Users/"+id, patchBody(`{"op":"remove"}`))
}
