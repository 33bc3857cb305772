package scimtest

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func titled(v string) string {
	return patchBody(`{"op":"replace","path":"title","value":"` + v + `"}`)
}

// identities mixes up ids: those of other types lead nowhere, and an externalId that looks like an id is not one.
func (c *client) identities(t *testing.T) {
	name := unique()
	user := c.want(t, 201, "POST", "/Users", userBody(name, "")).id(t)
	group := c.want(t, 201, "POST", "/Groups", groupBody(name)).id(t)
	// The other user calls itself, to its client, what the first one is called here.
	twin := c.want(t, 201, "POST", "/Users", userBody(name+"-twin", `,"externalId":"`+user+`"`)).id(t)
	for _, target := range []string{"/Users/" + group, "/Groups/" + user, "/Users/" + strings.ToUpper(user) + "x", "/Users/" + user + "%00", "/Users/..%2FGroups%2F" + group, "/Users/" + name} {
		c.refused(t, 404, "", "GET", target, "")
		c.refused(t, 404, "", "DELETE", target, "")
		body, change := userBody(name+"-x", ""), titled("x")
		if strings.HasPrefix(target, "/Groups") {
			body, change = groupBody(name+"-x"), patchBody(`{"op":"replace","path":"displayName","value":"x"}`)
		}
		c.refused(t, 404, "", "PUT", target, body)
		c.refused(t, 404, "", "PATCH", target, change)
	}
	if a := c.want(t, 200, "GET", "/Users/"+user, ""); a.at("userName") != name {
		t.Errorf("the id of one leads to %s", a.body)
	}
	for filter, want := range map[string]string{`id eq "` + user + `"`: user, `externalId eq "` + user + `"`: twin} {
		a := c.want(t, 200, "GET", escape("/Users?filter="+filter), "")
		if s := subset("", map[string]any{"Resources": []any{map[string]any{"id": want}}}, a.json); s != "" {
			t.Errorf("%s: %s", filter, s)
		}
	}
	c.want(t, 200, "PATCH", "/Groups/"+group+"?attributes=members", patchBody(`{"op":"add","path":"members","value":[{"value":"`+user+`"}]}`))
	for id, in := range map[string]bool{user: true, twin: false} {
		if a := c.want(t, 200, "GET", "/Users/"+id+"?attributes=groups", ""); (a.at("groups") != nil) != in {
			t.Errorf("member by an id that is an externalId elsewhere: %s", a.body)
		}
	}
	c.refused(t, 400, "mutability", "PATCH", "/Users/"+twin, patchBody(`{"op":"replace","path":"id","value":"`+user+`"}`))
	if a := c.want(t, 200, "PUT", "/Users/"+twin, userBody(name+"-twin", `,"id":"`+user+`"`)); a.id(t) != twin {
		t.Errorf("a PUT changed the id: %s", a.body)
	}
	c.want(t, 204, "DELETE", "/Users/"+twin, "")
	c.want(t, 200, "GET", "/Users/"+user, "")
}

// stale sends versions that are no more: nobody's newer change is lost, whatever the verb.
func (c *client) stale(t *testing.T) {
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, `,"title":"1"`))
	target, old := "/Users/"+a.id(t), a.header.Get("ETag")
	c.want(t, 200, "PATCH", target, titled("2"), "If-Match", old)
	for _, tag := range []string{old, strings.TrimPrefix(old, "W/"), `W/"never"`, `"` + strings.Repeat("x", 10_000) + `"`, `W/""`, old + `, W/"never"`} {
		c.refused(t, 412, "", "PATCH", target, titled("3"), "If-Match", tag)
		c.refused(t, 412, "", "PUT", target, userBody(name, `,"title":"3"`), "If-Match", tag)
		c.refused(t, 412, "", "DELETE", target, "", "If-Match", tag)
	}
	ops := func(version string) string {
		in := func(method, data string) string {
			return `{"method":"` + method + `","path":"` + target + `","version":"` + strings.ReplaceAll(version, `"`, `\"`) + `"` + data + `}`
		}
		return bulkBody(in("PATCH", `,"data":`+titled("3")) + "," + in("PUT", `,"data":`+userBody(name, `,"title":"3"`)) + "," + in("DELETE", ""))
	}
	got := c.want(t, 200, "POST", "/Bulk", ops(old))
	list, _ := got.at("Operations").([]any)
	for _, o := range list {
		if o, _ := o.(map[string]any); fmt.Sprint(o["status"]) != "412" {
			t.Errorf("a stale version in bulk: %v", o)
		}
	}
	if now := c.want(t, 200, "GET", target, ""); len(list) != 3 || now.at("title") != "2" {
		t.Errorf("%d operations, now %s", len(list), now.body)
	}
	c.want(t, 204, "DELETE", target, "", "If-Match", c.want(t, 200, "GET", target, "").header.Get("ETag"))
}

// writers has several clients write one user at once. Who says which version is meant wins alone; who does not loses
// nothing of what others wrote elsewhere in the user.
func (c *client) writers(t *testing.T) {
	const many = 8
	name := unique()
	a := c.want(t, 201, "POST", "/Users", userBody(name, ""))
	target, version := "/Users/"+a.id(t), a.header.Get("ETag")
	together := func(send func(i int) answer) (status map[int]int) {
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			start = make(chan struct{})
		)
		status = map[int]int{}
		for i := range many {
			wg.Go(func() {
				<-start
				a := send(i)
				mu.Lock()
				defer mu.Unlock()
				status[a.status]++
			})
		}
		close(start)
		wg.Wait()
		return status
	}
	if got := together(func(i int) answer { return c.send(t, "PATCH", target, titled(fmt.Sprint(i)), "If-Match", version) }); got[200] != 1 || got[412] != many-1 {
		t.Errorf("%d writers who mean one version: %v", many, got)
	}
	attrs := []string{"title", "nickName", "displayName", "locale", "timezone", "preferredLanguage", "userType", "name.middleName"}
	got := together(func(i int) answer {
		return c.send(t, "PATCH", target, patchBody(`{"op":"replace","path":"`+attrs[i]+`","value":"`+name+`"}`))
	})
	now := c.want(t, 200, "GET", target, "")
	for _, attr := range attrs {
		if got[200] != many || now.at(strings.Split(attr, ".")...) != name {
			t.Errorf("%v: %s is lost in %s", got, attr, now.body)
		}
	}
	// The same newcomer from several connections is one.
	got = together(func(int) answer { return c.send(t, "POST", "/Users", userBody(name+"-new", "")) })
	if got[201] != 1 || got[409] != many-1 {
		t.Errorf("one newcomer from %d connections: %v", many, got)
	}
	if got := together(func(int) answer { return c.send(t, "DELETE", target, "") }); got[204] != 1 || got[404] != many-1 {
		t.Errorf("deleted from %d connections: %v", many, got)
	}
}

// hangup closes the connection in the middle of a bulk request: what did not arrive whole is not begun.
func (c *client) hangup(t *testing.T) {
	u, err := url.Parse(c.base)
	if err != nil || u.Scheme != "http" {
		t.Skip("needs a server without TLS")
	}
	name := unique()
	body := bulkBody(`{"method":"POST","path":"/Users","bulkId":"a","data":` + userBody(name+"-a", "") + `},{"method":"POST","path":"/Users","bulkId":"b","data":` + userBody(name+"-b", "") + `}`)
	for _, sent := range []int{0, 1, len(body) / 2, len(body) - 1} {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST %s/Bulk HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/scim+json\r\nContent-Length: %d\r\n\r\n%s", u.Path, u.Host, c.token, len(body), body[:sent])
		if err != nil {
			t.Fatal(err)
		}
		if half, ok := conn.(*net.TCPConn); ok { // the server is told, and answers or not: both end
			_ = half.CloseWrite()
		}
		rest := make([]byte, 1<<10)
		for err == nil {
			_, err = conn.Read(rest)
		}
		_ = conn.Close()
		if a := c.want(t, 200, "GET", escape(`/Users?filter=userName sw "`+name+`"`), ""); fmt.Sprint(a.at("totalResults")) != "0" {
			t.Errorf("after %d of %d bytes: %s", sent, len(body), a.body)
		}
	}
	got := c.want(t, 200, "POST", "/Bulk", body)
	if s := strings.Count(string(got.body), `"status":"201"`); s != 2 {
		t.Errorf("the whole of it: %s", got.body)
	}
}
