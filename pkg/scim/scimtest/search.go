package scimtest

import (
	"fmt"
	"strings"
	"testing"
)

func (c *client) filters(t *testing.T) {
	run := unique()
	c.want(t, 201, "POST", "/Users", userBody(run+"-a", `,"title":"Café 100%","active":true,"externalId":"`+run+`-E","emails":[{"value":"a@example.org","type":"work","primary":true},{"value":"z@example.net","type":"home"}],"name":{"familyName":"O'Hara"}`))
	c.want(t, 201, "POST", "/Users", userBody(run+"-b", `,"active":false,"emails":[{"value":"b@example.org","type":"home"}]`))
	c.want(t, 201, "POST", "/Users", userBody(run+"-c", `,"active":false`)) // said, for a server may take whoever is not said to be otherwise for active
	for _, f := range []struct {
		filter string
		want   int
	}{
		{`userName pr`, 3},
		{`title pr`, 1},
		{`not (title pr)`, 2},
		{`emails pr`, 2},
		{`userName ew "-A"`, 1},
		{`userName co "` + run[3:] + `-b"`, 1},
		{`userName gt "` + run + `-a"`, 2},
		{`userName ge "` + run + `-a" and userName lt "` + run + `-c"`, 2},
		{`userName le "` + run + `-b"`, 2},
		{`title eq "cafe\u0301 100%"`, 1},
		{`title co "%"`, 1},
		{`title sw "_af"`, 0},
		{`title ne "x"`, 3},
		{`title eq null`, 2},
		{`active eq true`, 1},
		{`active ne true`, 2},
		{`not (active eq false)`, 1},
		{`externalId eq "` + run + `-e"`, 0},
		{`externalId eq "` + run + `-E"`, 1},
		{`name.familyName eq "o'hara"`, 1},
		{`emails.value co "EXAMPLE.org"`, 2},
		{`emails[type eq "work" and value ew ".org"]`, 1},
		{`emails[type eq "work" and value ew ".net"]`, 0},
		{`emails[not (type eq "home")]`, 1},
		{`emails[type eq "home" or primary eq true] and active pr`, 2},
		{`emails.type ne "home"`, 1},
		{`not (emails.type eq "home")`, 1},
		{`title pr and active eq true or userName ew "-c"`, 2},
		{`title pr and (active eq false or userName ew "-c")`, 0},
		{userURN + `:userName ew "-a"`, 1},
		{`meta.resourceType eq "User"`, 3},
		{`meta.created gt "2001-01-01T00:00:00Z"`, 3},
		{`meta.lastModified lt "2001-01-01T00:00:00+02:00"`, 0},
		{`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department pr`, 0},
	} {
		a := c.want(t, 200, "GET", escape(`/Users?filter=userName sw "`+run+`" and (`+f.filter+`)`), "")
		if got := fmt.Sprint(a.at("totalResults")); got != fmt.Sprint(f.want) {
			t.Errorf("%s: %s found, want %d", f.filter, got, f.want)
		}
	}
	for _, bad := range []string{`userName`, `userName eq`, `userName eq x`, `eq "x"`, `userName eq "x" and`, `(userName pr`, `userName pr)`, `active gt true`,
		`active eq "perhaps"`, `name eq "x"`, `emails[type eq "x"`, `emails[nothing eq "x"]`, `userName[value eq "x"]`, `userName eq "x`, `uſerName pr`, `meta.location pr`,
		`urn:ietf:params:scim:schemas:core:2.0:User2:userName pr`, `userName eq 5`, `meta.created gt "yesterday"`, `userName eq "\u0000"`,
		strings.Repeat("(", 100000) + "userName pr", strings.Repeat("not (", 50) + "userName pr" + strings.Repeat(")", 50)} {
		if len(bad) > 5000 { // longer than a request line may be on some servers
			c.refused(t, 400, "invalidFilter", "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"`+bad+`"}`)
			continue
		}
		c.refused(t, 400, "invalidFilter", "GET", escape("/Users?filter="+bad), "")
	}
}

func (c *client) paging(t *testing.T) {
	run := unique()
	for _, n := range []string{"b", "D", "a", "C", "e"} {
		c.want(t, 201, "POST", "/Users", userBody(run+n, ""))
	}
	list := func(query string) (answer, string) {
		a := c.want(t, 200, "GET", escape(`/Users?filter=userName sw "`+run+`"&`+query), "")
		rs, _ := a.at("Resources").([]any)
		var names strings.Builder
		for _, r := range rs {
			name, _ := r.(map[string]any)["userName"].(string)
			names.WriteString(strings.TrimPrefix(name, run))
		}
		if got := fmt.Sprint(a.at("itemsPerPage")); got != fmt.Sprint(len(rs)) || fmt.Sprint(a.at("totalResults")) != "5" {
			t.Errorf("%s: itemsPerPage %s, totalResults %v, %d resources", query, got, a.at("totalResults"), len(rs))
		}
		return a, names.String()
	}
	for query, want := range map[string]string{
		"sortBy=userName": "abCDe", "sortBy=userName&sortOrder=descending": "eDCba",
		"sortBy=USERNAME&startIndex=2&count=2": "bC", "sortBy=userName&startIndex=6": "", "sortBy=userName&startIndex=-3&count=1": "a", "count=-1": "", "count=0": "",
	} {
		if _, got := list(query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	_, all := list("startIndex=1")
	var pages string
	for i := 1; i <= 5; i += 2 {
		_, part := list(fmt.Sprintf("startIndex=%d&count=2", i))
		pages += part
	}
	if pages != all {
		t.Errorf("pages give %q, the whole list %q", pages, all)
	}
	c.refused(t, 400, "invalidValue", "GET", "/Users?startIndex=one", "")
	c.refused(t, 400, "invalidValue", "GET", "/Users?count=1&count=2", "")
	c.refused(t, 400, "invalidValue", "GET", "/Users?sortBy=userName&sortOrder=up", "")
	c.refused(t, 400, "invalidPath", "GET", "/Users?sortBy=favouriteEngine", "")
}

func (c *client) search(t *testing.T) {
	run := unique()
	c.want(t, 201, "POST", "/Users", userBody(run, `,"title":"t"`))
	a := c.want(t, 200, "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"userName eq \"`+run+`\"","attributes":["userName"],"startIndex":1,"count":10}`)
	if s := subset("", map[string]any{"Resources": []any{map[string]any{"userName": run, "title": nil}}}, a.json); s != "" {
		t.Errorf("search: %s", s)
	}
	if a := c.refused(t, 405, "", "GET", "/Users/.search", ""); a.header.Get("Allow") != "POST" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
}
