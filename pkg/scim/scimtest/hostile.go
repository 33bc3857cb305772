package scimtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Request is one meant to hurt a server, and how it must be refused. In Path and Body {{u}} is the id of a user, {{g}} that
// of a group, {{run}} a text nobody else uses.
type Request struct {
	Name, Method, Path, Body string
	Status                   []int    // one of these
	Codes                    []string // one of these; none for a success
}

// Hostile returns requests within and beyond the limits of a server that has those of scim.Limits: bombs of depth, keys,
// members, operations, parentheses and length, keys twice, numbers and texts that are none. A success changes nothing.
func Hostile() []Request {
	const syntax, value, filter, path = "invalidSyntax", "invalidValue", "invalidFilter", "invalidPath"
	bad := func(name, method, path, body string, codes ...string) Request {
		return Request{name, method, path, body, []int{400}, codes}
	}
	search := func(more string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],` + more + `}`
	}
	repeat := func(n int, each func(i int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = each(i)
		}
		return strings.Join(parts, ",")
	}
	nobodies := repeat(100_000, func(i int) string { return fmt.Sprintf(`{"value":"nobody-%d"}`, i) })
	titles := strings.Repeat(`{"op":"replace","path":"title","value":"half"},`, 999)
	const user, group = "/Users/{{u}}", "/Groups/{{g}}"
	return []Request{
		bad("200,000 levels of objects", "POST", "/Users", strings.Repeat(`{"":`, 200_000)+"1"+strings.Repeat("}", 200_000), syntax),
		bad("500,000 levels of lists", "POST", "/Users", `{"userName":`+strings.Repeat("[", 500_000)+strings.Repeat("]", 500_000)+`}`, syntax),
		bad("levels that never end", "POST", "/Users", strings.Repeat("[", 1_000_000), syntax),
		bad("80,000 keys nobody knows", "POST", "/Users", `{"schemas":["`+userURN+`"],`+repeat(80_000, func(i int) string { return fmt.Sprintf(`"k%d":1`, i) })+`}`, syntax, value),
		bad("one key 90,000 times", "POST", "/Users", `{`+strings.Repeat(`"title":"",`, 90_000)+`"title":""}`, syntax),
		bad("a key twice", "POST", "/Users", `{"schemas":["`+userURN+`"],"userName":"a-{{run}}","userName":"b-{{run}}"}`, syntax),
		bad("a key twice, once in another spelling", "POST", "/Users", `{"schemas":["`+userURN+`"],"userName":"a-{{run}}","\u0075serName":"b-{{run}}"}`, syntax),
		bad("a key twice, once in other letters", "PUT", user, `{"schemas":["`+userURN+`"],"userName":"a-{{run}}","USERNAME":"b-{{run}}"}`, syntax),
		bad("a key twice in an operation", "PATCH", user, patchBody(`{"op":"add","path":"title","value":"a","value":"b"}`), syntax),
		bad("a key twice in an extension", "POST", "/Users", `{"schemas":["`+userURN+`","`+enterpriseURN+`"],"userName":"a-{{run}}","`+enterpriseURN+`":{"department":"a","DEPARTMENT":"b"}}`, syntax),
		bad("a number past 2^53 for a text", "POST", "/Users", userBody("a-{{run}}", `,"externalId":9007199254740993`), value),
		bad("a number past 2^53 for a boolean", "PATCH", user, patchBody(`{"op":"replace","path":"active","value":9007199254740993}`), value),
		bad("a number past all numbers", "POST", "/Users", userBody("a-{{run}}", `,"title":1e99999`), value),
		bad("a million digits", "POST", "/Users", userBody("a-{{run}}", `,"active":`+strings.Repeat("9", 1_000_000)), value),
		bad("a count past all counts", "GET", "/Users?count=99999999999999999999", "", value),
		bad("a start past all starts", "GET", "/Users?startIndex=99999999999999999999", "", value),
		bad("a text that is not UTF-8", "POST", "/Users", userBody("a-{{run}}\xc3\x28", ""), syntax),
		bad("a key that is not UTF-8", "POST", "/Users", userBody("a-{{run}}", ",\"titl\xe9\":\"x\""), syntax),
		bad("UTF-8 longer than it need be", "PATCH", user, patchBody("{\"op\":\"add\",\"path\":\"title\",\"value\":\"\xc0\xaf\"}"), syntax),
		bad("half of a surrogate pair in UTF-8", "POST", "/Users", userBody("a-{{run}}\xed\xa0\x80", ""), syntax),
		bad("a byte order mark", "POST", "/Users", "\xef\xbb\xbf"+userBody("a-{{run}}", ""), syntax),
		bad("100,000 members nobody knows", "POST", "/Groups", `{"schemas":["`+groupURN+`"],"displayName":"g-{{run}}","members":[`+nobodies+`]}`, value),
		bad("100,000 members nobody knows, instead of those there", "PUT", group, `{"schemas":["`+groupURN+`"],"displayName":"g-{{run}}","members":[`+nobodies+`]}`, value),
		bad("100,000 members nobody knows, added", "PATCH", group, patchBody(`{"op":"add","path":"members","value":[`+nobodies+`]}`), value),
		{"100,000 members nobody knows, removed", "PATCH", group, patchBody(`{"op":"remove","path":"members","value":[` + nobodies + `]}`), []int{200, 204}, nil},
		bad("50,000 values of a list", "POST", "/Users", userBody("a-{{run}}", `,"roles":[`+repeat(50_000, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) })+`]`), value),
		bad("1000 operations of which the last fails", "PATCH", user, patchBody(titles+`{"op":"replace","path":"emails[type eq \"none\"].value","value":"x"}`), "noTarget"),
		{"1001 operations", "PATCH", user, patchBody(titles + titles + `{"op":"remove","path":"title"}`), []int{413}, nil},
		bad("1000 operations that look at everything", "PATCH", user, patchBody(`{"op":"replace","path":"roles","value":[`+repeat(1000, func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) })+`]},`+
			repeat(990, func(int) string {
				return `{"op":"remove","path":"roles[` + strings.Repeat(`type eq \"a\" or `, 40) + `type eq \"a\"]"}`
			})), "tooMany"),
		bad("10,000 parentheses in a filter", "POST", "/Users/.search", search(`"filter":"`+strings.Repeat("(", 10_000)+"userName pr"+strings.Repeat(")", 10_000)+`"`), filter),
		bad("10,000 parentheses in an address", "GET", "/Users?filter="+strings.Repeat("(", 10_000)+"userName+pr"+strings.Repeat(")", 10_000), "", filter),
		bad("10,000 parentheses in a path", "PATCH", user, patchBody(`{"op":"remove","path":"emails[`+strings.Repeat("(", 10_000)+"type pr"+strings.Repeat(")", 10_000)+`]"}`), filter, path),
		bad("3,000 times not", "POST", "/.search", search(`"filter":"`+strings.Repeat("not (", 3_000)+"userName pr"+strings.Repeat(")", 3_000)+`"`), filter),
		bad("a filter of a megabyte", "POST", "/Users/.search", search(`"filter":"userName eq \"`+strings.Repeat("x", 1_000_000)+`\""`), filter),
		bad("a filter of many comparisons", "POST", "/Users/.search", search(`"filter":"`+strings.Repeat("id pr or ", 1_700)+`id pr"`), filter),
		bad("a path of a megabyte", "PATCH", user, patchBody(`{"op":"remove","path":"`+strings.Repeat("x", 1_000_000)+`"}`), path),
		bad("a sort by a megabyte", "POST", "/Users/.search", search(`"sortBy":"`+strings.Repeat("x", 1_000_000)+`"`), path),
		bad("50,000 attributes asked for", "POST", "/Users/.search", search(`"count":1,"attributes":[`+strings.Repeat(`"name.givenName",`, 50_000)+`"id"]`), value),
		{"a body beyond the limit", "POST", "/Users", userBody("a-{{run}}", `,"title":"`+strings.Repeat("x", 1<<20)+`"`), []int{413}, nil},
		{"a group beyond the limit", "POST", "/Groups", `{"schemas":["` + groupURN + `"],"displayName":"` + strings.Repeat("x", 8<<20) + `"}`, []int{413}, nil},
	}
}

// hostile sends what is meant to hurt: it is refused for what it is, shortly, and nothing of it is done. To the entra preset
// members nobody knows are no fault.
func (c *client) hostile(t *testing.T) {
	if c.preset == "entra" {
		t.Skip("what entra takes would change the group")
	}
	c.hurt(t, func(_ Request, send func()) { send() })
}

// RunHostile sends the requests of Hostile, each within a call of around, which may measure it. The
// token's preset must be strict or standard.
func RunHostile(t *testing.T, baseURL, token string, around func(r Request, send func())) {
	newClient(baseURL, token, "standard").hurt(t, around)
}

func (c *client) hurt(t *testing.T, around func(Request, func())) {
	run := unique()
	u := c.want(t, 201, "POST", "/Users", userBody(run, `,"title":"whole"`))
	g := c.want(t, 201, "POST", "/Groups", `{"schemas":["`+groupURN+`"],"displayName":"`+run+`","members":[{"value":"`+u.id(t)+`"}]}`)
	kept := map[string]answer{"/Users/" + u.id(t): c.want(t, 200, "GET", "/Users/"+u.id(t), ""), "/Groups/" + g.id(t): c.want(t, 200, "GET", "/Groups/"+g.id(t), "")}
	for _, r := range Hostile() {
		fill := strings.NewReplacer("{{u}}", u.id(t), "{{g}}", g.id(t), "{{run}}", run)
		path, body := fill.Replace(r.Path), fill.Replace(r.Body)
		var a answer
		around(r, func() { a = c.send(t, r.Method, path, body) })
		code, _ := a.at("scimType").(string)
		if !slices.Contains(r.Status, a.status) || len(r.Codes) > 0 && !slices.Contains(r.Codes, code) {
			t.Errorf("%s: %d %q, want %v %v: %.300s", r.Name, a.status, code, r.Status, r.Codes, a.body)
		}
		if a.status >= 400 && len(a.body) > 1000 {
			t.Errorf("%s: an error of %d bytes", r.Name, len(a.body))
		}
		for target, was := range kept {
			if now := c.want(t, 200, "GET", target, ""); string(now.body) != string(was.body) {
				t.Fatalf("%s: %s is now %.300s", r.Name, target, now.body)
			}
		}
	}
	for _, target := range []string{escape(`/Users?filter=userName eq "a-` + run + `" or userName eq "b-` + run + `"`), escape(`/Groups?filter=displayName eq "g-` + run + `"`)} {
		if a := c.want(t, 200, "GET", target, ""); fmt.Sprint(a.at("totalResults")) != "0" {
			t.Errorf("something is there that was refused: %s", a.body)
		}
	}
	c.want(t, 201, "POST", "/Users", userBody(run+"-after", ""))
}
