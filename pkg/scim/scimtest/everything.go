package scimtest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// names are the userName or displayName of each resource of a list, after what they all begin with.
func (a answer) names(run string) []string {
	var out []string
	rs, _ := a.at("Resources").([]any)
	for _, r := range rs {
		o := r.(map[string]any)
		name, ok := o["userName"].(string)
		if !ok {
			name, _ = o["displayName"].(string)
		}
		out = append(out, strings.TrimPrefix(name, run))
	}
	return out
}

// everything searches over all types (RFC 7644 §3.4.2.1).
func (c *client) everything(t *testing.T) {
	run := unique()
	for _, u := range []string{"b", "d"} {
		c.want(t, 201, "POST", "/Users", userBody(run+u, `,"displayName":"`+run+u+`","title":"t"`))
	}
	for _, g := range []string{"a", "c"} {
		c.want(t, 201, "POST", "/Groups", groupBody(run+g))
	}
	both := `displayName sw "` + run + `"`
	for _, f := range []struct {
		filter, want string
	}{
		{both, "a b c d"},
		{both + ` and title pr`, "b d"},
		{both + ` and not (title pr)`, "a c"},
		{both + ` and title ne "t"`, "a c"},
		{both + ` and title eq null`, "a c"},
		{both + ` and meta.resourceType eq "Group"`, "a c"},
		{both + ` and meta.resourceType eq "Nothing"`, ""},
		{both + ` and (userName ew "b" or meta.resourceType eq "group")`, "b"}, // types have exact names
		{both + ` and (userName ew "b" or members pr or ` + groupURN + `:displayName ew "c")`, "b c"},
		{both + ` and emails[type eq "work"]`, ""},
		{both + ` and not (emails[type eq "work" and value eq "x"])`, "a b c d"},
	} {
		a := c.want(t, 200, "GET", escape("/?sortBy=displayName&filter="+f.filter), "")
		if got := strings.Join(a.names(run), " "); got != f.want || fmt.Sprint(a.at("totalResults")) != strconv.Itoa(len(strings.Fields(f.want))) {
			t.Errorf("%s: got %q of %v, want %q", f.filter, got, a.at("totalResults"), f.want)
		}
	}
	a := c.want(t, 200, "POST", "/.search", `{"schemas":["`+searchURN+`"],"filter":"displayName sw \"`+run+`\"","sortBy":"displayName","sortOrder":"descending","startIndex":2,"count":2,"attributes":["displayName","members","userName"]}`)
	if got := a.names(run); !slices.Equal(got, []string{"c", "b"}) || fmt.Sprint(a.at("totalResults")) != "4" || fmt.Sprint(a.at("startIndex")) != "2" || fmt.Sprint(a.at("itemsPerPage")) != "2" {
		t.Errorf("a page: %s", a.body)
	}
	for _, r := range a.at("Resources").([]any) {
		if o := r.(map[string]any); o["meta"] != nil || o["id"] == nil || o["schemas"] == nil {
			t.Errorf("attributes: %v", o)
		}
	}
	// Without an order pages fit each other all the same.
	whole := c.want(t, 200, "GET", escape("/?filter="+both), "").names(run)
	var pages []string
	for i := 1; i <= 5; i += 2 {
		pages = append(pages, c.want(t, 200, "GET", escape(fmt.Sprintf("/?startIndex=%d&count=2&filter=%s", i, both)), "").names(run)...)
	}
	if len(whole) != 4 || !slices.Equal(pages, whole) {
		t.Errorf("pages give %v, the whole list %v", pages, whole)
	}
	for _, bad := range []string{`nothing eq "x"`, `emails[nothing eq "x"]`, `password pr`, `password eq "x" or displayName pr`, `displayName`, `title eq 5`, `nothing[type eq "x"`, `active gt true`} {
		c.refused(t, 400, "invalidFilter", "GET", escape("/?filter="+bad), "")
	}
	c.refused(t, 400, "invalidPath", "GET", "/?sortBy=nothing", "")
	c.refused(t, 400, "invalidPath", "GET", "/?sortBy=password", "")
	if a := c.refused(t, 405, "", "POST", "/", "{}"); a.header.Get("Allow") != "GET" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
	if a := c.refused(t, 405, "", "GET", "/.search", ""); a.header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
}

// cursors pages by cursor (RFC 9865).
func (c *client) cursors(t *testing.T) {
	spc := c.want(t, 200, "GET", "/ServiceProviderConfig", "")
	if spc.at("pagination", "cursor") != true || spc.at("pagination", "index") != true || spc.at("pagination", "defaultPaginationMethod") != "index" || spc.at("pagination", "cursorTimeout") == nil {
		t.Errorf("pagination is not advertised: %v", spc.at("pagination"))
	}
	run := unique()
	for _, n := range []string{"b", "D", "a", "C", "e"} {
		more := ""
		if n != "a" && n != "e" {
			more = `,"displayName":"` + run + n + `"`
		}
		c.want(t, 201, "POST", "/Users", userBody(run+n, more))
	}
	c.want(t, 201, "POST", "/Groups", groupBody(run+"g"))
	const end = "no further page"
	turn := func(path, filter, query, cursor string) (answer, string) {
		a := c.want(t, 200, "GET", escape(path+"?filter="+filter+"&cursor="+cursor+"&"+query), "")
		rs, _ := a.at("Resources").([]any)
		if a.at("startIndex") != nil || fmt.Sprint(a.at("itemsPerPage")) != strconv.Itoa(len(rs)) {
			t.Errorf("%s: %s", query, a.body)
		}
		next, ok := a.at("nextCursor").(string)
		if !ok {
			next = end
		}
		if strings.Trim(next, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~ ") != "" {
			t.Errorf("a cursor may hold unreserved characters only: %q", next)
		}
		return a, next
	}
	users := `userName sw "` + run + `"`
	all := users + ` or displayName sw "` + run + `"`
	for _, w := range []struct{ path, filter, query, want string }{
		{"/Users", users, "sortBy=userName&count=2", "a b|C D|e"},
		{"/Users", users, "sortBy=userName&sortOrder=descending&count=3", "e D C|b a"},
		{"/Users", users, "sortBy=displayName&count=1", "b|C|D|?|?"},
		{"/Users", users, "sortBy=displayName&sortOrder=descending&count=4", "? ? D C|b"},
		{"/Users", users, "sortBy=userName&count=5", "a b C D e"},
		{"/Users", users, "sortBy=userName", "a b C D e"},
		{"/Users", users + ` and title pr`, "count=2", ""},
		{"/", all, "sortBy=displayName&count=3", "b C D|g ? ?"},
		{"/", all, "sortBy=userName&sortOrder=descending&count=4", "g e D C|b a"},
	} {
		var pages []string
		var first string
		cursor := ""
		for cursor != end && len(pages) < 10 {
			var a answer
			a, cursor = turn(w.path, w.filter, w.query, cursor)
			got := a.names(run)
			for i, n := range got {
				if strings.HasPrefix(w.query, "sortBy=displayName") && (n == "a" || n == "e") {
					got[i] = "?" // without the value: by id
				}
			}
			pages = append(pages, strings.Join(got, " "))
			if total := fmt.Sprint(a.at("totalResults")); first == "" {
				first = total
			} else if total != first {
				t.Errorf("%s: totalResults %s, on the first page %s", w.query, total, first)
			}
		}
		if got := strings.Join(pages, "|"); got != w.want || first != strconv.Itoa(len(strings.Fields(strings.ReplaceAll(w.want, "|", " ")))) {
			t.Errorf("%s %s: got %q of %s, want %q", w.path, w.query, got, first, w.want)
		}
	}
	// Over all types without an order, and by POST.
	seen := map[string]bool{}
	for cursor, n := "", 0; cursor != end && n < 10; n++ {
		var a answer
		a, cursor = turn("/", all, "count=1", cursor)
		for _, name := range a.names(run) {
			seen[name] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("all types by cursor: %v", seen)
	}
	body := func(cursor string) string {
		return `{"schemas":["` + searchURN + `"],"filter":"userName sw \"` + run + `\"","sortBy":"userName","count":4,"cursor":"` + cursor + `"}`
	}
	a := c.want(t, 200, "POST", "/Users/.search", body(""))
	next, _ := a.at("nextCursor").(string)
	if got := c.want(t, 200, "POST", "/Users/.search", body(next)); strings.Join(got.names(run), "") != "e" || got.at("nextCursor") != nil {
		t.Errorf("second page: %s", got.body)
	}
	// A resource that comes before the place does not repeat others, and one that goes does not hide any.
	a, next = turn("/Users", users, "sortBy=userName&count=2", "")
	gone, _ := a.at("Resources").([]any)[1].(map[string]any)["id"].(string)
	c.want(t, 201, "POST", "/Users", userBody(run+"0", ""))
	c.want(t, 204, "DELETE", "/Users/"+gone, "")
	if a, _ := turn("/Users", users, "sortBy=userName&count=2", next); strings.Join(a.names(run), "") != "CD" {
		t.Errorf("after a change: %v", a.names(run))
	}
	// A cursor is good for its own question only.
	for about, path := range map[string]string{
		"another filter": "/Users?filter=" + users + " and userName pr&sortBy=userName&count=2", "no filter": "/Users?sortBy=userName&count=2", "another order": "/Users?filter=" + users + "&count=2",
		"the other way round": "/Users?filter=" + users + "&sortBy=userName&sortOrder=descending", "another endpoint": "/?filter=" + users + "&sortBy=userName&count=2",
	} {
		if a := c.send(t, "GET", escape(path+"&cursor="+next), ""); a.status != 400 || a.at("scimType") != "invalidCursor" {
			t.Errorf("%s: %d %s", about, a.status, a.body)
		}
	}
	flipped := []byte(next)
	flipped[len(flipped)/2] ^= 1
	for _, bad := range []string{"x", "AAAA", next + "A", next[1:], string(flipped), strings.Repeat("A", 3000), "%00", "ä"} {
		c.refused(t, 400, "invalidCursor", "GET", escape("/Users?filter="+users+"&sortBy=userName&count=2&cursor="+url.QueryEscape(bad)), "")
	}
	most := fmt.Sprint(spc.at("pagination", "maxPageSize"))
	for _, count := range []string{"0", "-1", "x", most + "0"} {
		c.refused(t, 400, "invalidCount", "GET", "/Users?cursor&count="+count, "")
	}
	c.refused(t, 400, "invalidCount", "POST", "/Users/.search", `{"schemas":["`+searchURN+`"],"cursor":"","count":0}`)
	c.refused(t, 400, "invalidValue", "GET", "/Users?cursor&startIndex=1", "")
	c.refused(t, 400, "invalidValue", "GET", "/Users?cursor&cursor=x", "")
}
