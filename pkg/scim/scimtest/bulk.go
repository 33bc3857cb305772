package scimtest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const bulkURN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

func bulkBody(ops string, more ...string) string {
	return `{"schemas":["` + bulkURN + `"],` + strings.Join(more, "") + `"Operations":[` + ops + `]}`
}

// bulkAnswer is one operation of a bulk answer.
type bulkAnswer struct {
	Location, Method, BulkID, Version, Status string
	Response                                  map[string]any
}

func (r bulkAnswer) id() string { return r.Location[strings.LastIndexByte(r.Location, '/')+1:] }

// inBulk sends operations and wants their states.
func (c *client) inBulk(t *testing.T, states, ops string, more ...string) []bulkAnswer {
	t.Helper()
	a := c.want(t, 200, "POST", "/Bulk", bulkBody(ops, more...))
	var doc struct {
		Schemas    []string
		Operations []bulkAnswer
	}
	if err := json.Unmarshal(a.body, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Schemas) != 1 || doc.Schemas[0] != "urn:ietf:params:scim:api:messages:2.0:BulkResponse" {
		t.Errorf("schemas %v", doc.Schemas)
	}
	var got []string
	for _, r := range doc.Operations {
		got = append(got, r.Status)
		if failed := r.Status >= "300"; failed != (r.Response != nil) || failed && (r.Response["status"] != r.Status || r.Response["schemas"] == nil) {
			t.Errorf("answer of an operation: %+v", r)
		}
		if r.Location == "" && (r.Method != "POST" && r.Status < "400" || r.Status == "201") || r.Status >= "300" && r.Method == "POST" && r.Location != "" {
			t.Errorf("location of an operation: %+v", r)
		}
	}
	if s := strings.Join(got, " "); s != states {
		t.Fatalf("states %q, want %q: %s", s, states, a.body)
	}
	return doc.Operations
}

func postOp(endpoint, bulkID, data string) string {
	return `{"method":"POST","path":"/` + endpoint + `","bulkId":"` + bulkID + `","data":` + data + `}`
}

func groupBody(name string, members ...string) string {
	var list []string
	for _, m := range members {
		list = append(list, `{"value":"`+m+`"}`)
	}
	return `{"schemas":["` + groupURN + `"],"displayName":"` + name + `","members":[` + strings.Join(list, ",") + `]}`
}

func (c *client) memberIDs(t *testing.T, group string) map[string]string {
	t.Helper()
	list, _ := c.want(t, 200, "GET", "/Groups/"+group, "").at("members").([]any)
	out := map[string]string{}
	for _, m := range list {
		o := m.(map[string]any)
		out[fmt.Sprint(o["value"])] = fmt.Sprint(o["type"])
	}
	return out
}

func (c *client) bulk(t *testing.T) {
	spc := c.want(t, 200, "GET", "/ServiceProviderConfig", "")
	if spc.at("bulk", "supported") != true {
		t.Error("bulk is not advertised")
	}
	run := unique()
	// One of each, with versions.
	done := c.inBulk(t, "201 201", postOp("Users", "a", userBody(run+"-a", ""))+","+postOp("Users", "b", userBody(run+"-b", "")))
	a, b := done[0], done[1]
	if got := c.want(t, 200, "GET", "/Users/"+a.id(), ""); got.at("userName") != run+"-a" || got.at("meta", "version") != a.Version || got.at("meta", "location") != a.Location || a.BulkID != "a" || a.Method != "POST" {
		t.Errorf("answer %+v, resource %s", a, got.body)
	}
	op := func(method, id, version, data string) string {
		return `{"method":"` + method + `","path":"/Users/` + id + `"` + version + data + `}`
	}
	title := func(v string) string {
		return `,"data":` + patchBody(`{"op":"replace","path":"title","value":"`+v+`"}`)
	}
	quoted, _ := json.Marshal(a.Version)
	version := `,"version":` + string(quoted)
	done = c.inBulk(t, "200 412 200 412 204 404", strings.Join([]string{
		op("PATCH", a.id(), version, title("1")), op("PATCH", a.id(), version, title("2")),
		op("PUT", a.id(), "", `,"data":`+userBody(run+"-c", "")), op("DELETE", a.id(), version, ""), op("DELETE", b.id(), "", ""), op("DELETE", b.id(), "", ""),
	}, ","))
	if got := c.want(t, 200, "GET", "/Users/"+a.id(), ""); got.at("userName") != run+"-c" || got.at("title") != nil || got.at("meta", "version") != done[2].Version || done[0].Version == a.Version {
		t.Errorf("after: %s, answers %+v", got.body, done)
	}
	c.refused(t, 404, "", "GET", "/Users/"+b.id(), "")
	if x := c.refused(t, 405, "", "GET", "/Bulk", ""); x.header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", x.header.Get("Allow"))
	}
}

func (c *client) bulkReferences(t *testing.T) {
	run := unique()
	user := func(id string) string { return postOp("Users", id, userBody(run+"-"+id, "")) }
	// Backwards, forwards, in a PATCH, in a path, and in an extension.
	done := c.inBulk(t, "201 201 201 200 201", strings.Join([]string{
		user("u1"),
		postOp("Groups", "g1", groupBody(run+"-g1", "bulkId:u1", "bulkId:u2")),
		user("u2"),
		`{"method":"PATCH","path":"/Groups/bulkId:g1","data":` + patchBody(`{"op":"add","path":"members","value":[{"value":"bulkId:u3"}]}`) + `}`,
		postOp("Users", "u3", `{"schemas":["`+userURN+`","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"`+run+`-u3","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"bulkId:u1"}}}`),
	}, ","))
	got := c.memberIDs(t, done[1].id())
	for _, i := range []int{0, 2, 4} {
		if got[done[i].id()] != "User" {
			t.Errorf("members %v lack %s", got, done[i].id())
		}
	}
	if m := c.want(t, 200, "GET", "/Users/"+done[4].id(), "").at("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "manager", "value"); m != done[0].id() {
		t.Errorf("manager %v, want %s", m, done[0].id())
	}
	// In circles: two groups in each other, beside a member that is none of the circle.
	done = c.inBulk(t, "201 201 201", strings.Join([]string{
		postOp("Groups", "x", groupBody(run+"-x", "bulkId:y", "bulkId:u4")), postOp("Groups", "y", groupBody(run+"-y", "bulkId:x")), user("u4"),
	}, ","))
	x, y := c.memberIDs(t, done[0].id()), c.memberIDs(t, done[1].id())
	if x[done[1].id()] != "Group" || x[done[2].id()] != "User" || len(x) != 2 || y[done[0].id()] != "Group" || len(y) != 1 {
		t.Errorf("members of the circle: %v and %v", x, y)
	}
	if v := c.want(t, 200, "GET", "/Groups/"+done[0].id(), "").header.Get("ETag"); v != done[0].Version {
		t.Errorf("version %q, the answer said %q", v, done[0].Version)
	}
	// In circles over an attribute that is single.
	extended := func(id, manager string) string {
		return postOp("Users", id, `{"schemas":["`+userURN+`","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"userName":"`+run+id+`","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"d","manager":{"value":"bulkId:`+manager+`"}}}`)
	}
	done = c.inBulk(t, "201 201 201", extended("m1", "m2")+","+extended("m2", "m1")+","+extended("m3", "m3"))
	for i, boss := range []int{1, 0, 2} {
		got := c.want(t, 200, "GET", "/Users/"+done[i].id(), "")
		if s := subset("", map[string]any{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": "d", "manager": map[string]any{"value": done[boss].id()}}}, got.json); s != "" {
			t.Errorf("%d: %s", i, s)
		}
	}
	// A circle of which one fails is not there.
	c.want(t, 201, "POST", "/Users", userBody(run+"-taken", ""))
	done = c.inBulk(t, "409 409", extended("m4", "m5")+","+strings.Replace(extended("m5", "m4"), run+"m5", run+"-taken", 1))
	if done[0].Response["scimType"] != nil || done[1].Response["scimType"] != "uniqueness" {
		t.Errorf("answers %+v", done)
	}
	if got := c.want(t, 200, "GET", escape(`/Users?filter=userName eq "`+run+`m4"`), ""); fmt.Sprint(got.at("totalResults")) != "0" {
		t.Errorf("half of a circle stayed: %s", got.body)
	}
	// What refers to a failure fails, whatever the preset thinks of lost members.
	c.inBulk(t, "409 409 409", postOp("Groups", "g2", groupBody(run+"-g2", "bulkId:u5"))+","+postOp("Users", "u5", userBody(run+"-taken", ""))+
		`,{"method":"PATCH","path":"/Groups/bulkId:g2","data":`+patchBody(`{"op":"replace","path":"displayName","value":"x"}`)+`}`)
	for _, bad := range []string{postOp("Groups", "g3", groupBody(run+"-g3", "bulkId:nobody")), `{"method":"DELETE","path":"/Users/bulkId:nobody"}`,
		`{"method":"PATCH","path":"/Groups/x","data":` + patchBody(`{"op":"add","path":"members","value":[{"value":"bulkId:nobody"}]}`) + `}`} {
		if done := c.inBulk(t, "400", bad); done[0].Response["scimType"] != "invalidValue" {
			t.Errorf("%s: %+v", bad, done)
		}
	}
}

func (c *client) bulkErrors(t *testing.T) {
	run := unique()
	user := func(id string) string { return postOp("Users", id, userBody(run+"-"+id, "")) }
	for _, w := range []struct {
		op, status, code string
	}{
		{`{"path":"/Users","bulkId":"b","data":{}}`, "400", "invalidSyntax"},
		{`{"method":"GET","path":"/Users/x"}`, "400", "invalidSyntax"},
		{`{"method":5,"path":"/Users/x"}`, "400", "invalidValue"},
		{`{"method":"POST","path":"/Users","data":` + userBody(run, "") + `}`, "400", "invalidSyntax"},
		{`{"method":"POST","path":"/Users/x","bulkId":"b","data":` + userBody(run, "") + `}`, "400", "invalidValue"},
		{`{"method":"DELETE","path":"/Users"}`, "400", "invalidValue"},
		{`{"method":"DELETE"}`, "400", "invalidValue"},
		{`{"method":"DELETE","path":"/Nothing/x"}`, "404", ""},
		{`{"method":"DELETE","path":"/Users/x"}`, "404", ""},
		{`{"method":"PATCH","path":"/Users/x"}`, "400", "invalidSyntax"},
		{`{"method":"PATCH","path":"/Users/x","data":` + patchBody(`{"op":"replace","path":"nothing","value":"x"}`) + `}`, "400", "invalidPath"},
		{postOp("Users", "b", `[]`), "400", "invalidSyntax"},
		{postOp("Users", "b", `{"schemas":["`+userURN+`"]}`), "400", "invalidValue"},
		{postOp("Users", "b", userBody(run, `,"active":1`)), "400", "invalidValue"},
	} {
		done := c.inBulk(t, w.status+" 201", w.op+","+user("n"+strconv.Itoa(len(w.op))+w.code+w.status+unique()))
		if code, _ := done[0].Response["scimType"].(string); code != w.code {
			t.Errorf("%s: %+v", w.op, done[0])
		}
	}
	// failOnErrors ends the request; what was done stays, the rest is not mentioned.
	bad := `{"method":"DELETE","path":"/Users/x"}`
	done := c.inBulk(t, "201 404 404", strings.Join([]string{user("f1"), bad, bad, user("f2")}, ","), `"failOnErrors":2,`)
	c.want(t, 200, "GET", "/Users/"+done[0].id(), "")
	if got := c.want(t, 200, "GET", escape(`/Users?filter=userName eq "`+run+`-f2"`), ""); fmt.Sprint(got.at("totalResults")) != "0" {
		t.Error("an operation after the last error allowed was done")
	}
	c.inBulk(t, "404 404 201", strings.Join([]string{bad, bad, user("f3")}, ","))
	c.inBulk(t, "404", bad+","+bad, `"failOnErrors":1,`)
	// A request that is no bulk request does nothing at all.
	for _, w := range []struct{ body, code string }{
		{`{"schemas":["` + bulkURN + `"]}`, "invalidSyntax"}, {bulkBody(""), "invalidSyntax"}, {bulkBody(user("s1") + `,5`), "invalidSyntax"},
		{bulkBody(user("s1") + "," + user("s1")), "invalidSyntax"}, {bulkBody(user("s1"), `"failOnErrors":-1,`), "invalidValue"}, {bulkBody(user("s1"), `"failOnErrors":"1",`), "invalidValue"},
		{`{"schemas":["` + bulkURN + `"],"Operations":{}}`, "invalidSyntax"},
	} {
		c.refused(t, 400, w.code, "POST", "/Bulk", w.body)
	}
	spc := c.want(t, 200, "GET", "/ServiceProviderConfig", "")
	ops, _ := strconv.Atoi(fmt.Sprint(spc.at("bulk", "maxOperations")))
	size, _ := strconv.Atoi(fmt.Sprint(spc.at("bulk", "maxPayloadSize")))
	if ops <= 0 || size <= 0 {
		t.Fatalf("limits of bulk: %d, %d", ops, size)
	}
	c.refused(t, 413, "", "POST", "/Bulk", bulkBody(user("s1")+strings.Repeat(","+bad, ops)))
	c.refused(t, 413, "", "POST", "/Bulk", bulkBody(user("s1")+strings.Repeat(" ", size)))
	c.refused(t, 415, "", "POST", "/Bulk", bulkBody(user("s1")), "Content-Type", "text/plain")
	if got := c.want(t, 200, "GET", escape(`/Users?filter=userName eq "`+run+`-s1"`), ""); fmt.Sprint(got.at("totalResults")) != "0" {
		t.Error("a refused bulk request made a user")
	}
	// Nothing secret comes back.
	secret := "Hidden-" + run
	a := c.want(t, 200, "POST", "/Bulk", bulkBody(postOp("Users", "p1", userBody(run+"-p1", `,"password":"`+secret+`"`))+","+postOp("Users", "p2", userBody(run+"-p2", `,"password":{"`+secret+`":"`+secret+`"}`))))
	if strings.Contains(string(a.body), secret) {
		t.Errorf("an answer contains the password: %s", a.body)
	}
}
