package provision

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
)

// layered is what the three layers show of one person's ways: by reference, kind and value in the second and third.
type layered struct {
	simple   map[string]string // by attribute
	list     []string
	resource []string
}

func (a as) layers(user string) layered {
	a.Helper()
	l := layered{simple: map[string]string{}}
	u := a.want(200, "GET", "/Users/"+user, "")
	for _, attr := range simples {
		if v, ok := u.ext(attr).(string); ok {
			l.simple[attr] = v
		}
	}
	list, _ := u.ext(authMethods).([]any)
	for _, e := range list {
		o := e.(map[string]any)
		l.list = append(l.list, fmt.Sprintf("%v %v %v %v %v", o["$ref"], o["type"], or(o["value"]), or(o["display"]), o["status"]))
	}
	found := a.want(200, "GET", "/AuthenticationMethods?count=100&filter="+url.QueryEscape(`user.value eq "`+user+`"`), "")
	all, _ := found.at("Resources").([]any)
	for _, e := range all {
		r := reply{json: e.(map[string]any)}
		value := ""
		for _, path := range [][]string{{"email", "address"}, {"phone", "number"}, {"external", "id"}} {
			if v, ok := r.at(path...).(string); ok {
				value = v
			}
		}
		l.resource = append(l.resource, fmt.Sprintf("%v %v %v %v %v", r.at("meta", "location"), r.at("type"), value, or(r.at("display")), r.at("status")))
	}
	slices.Sort(l.list)
	slices.Sort(l.resource)
	return l
}

func or(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// has reports in how many layers a value of a kind is seen; the simple attributes show one or two of a kind.
func (l layered) has(kind, value string) (simple, list, resource bool) {
	for attr, v := range l.simple {
		simple = simple || v == value && string(kindOf(attr)) == kind
	}
	in := func(all []string) bool {
		return slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, " "+kind+" "+value+" ") })
	}
	return simple, in(l.list), in(l.resource)
}

// check fails the test when the layers do not tell the same.
func (l layered) check(t *testing.T, after string) {
	t.Helper()
	if !slices.Equal(l.list, l.resource) {
		t.Fatalf("%s: the list shows\n%s\nand the resources\n%s", after, strings.Join(l.list, "\n"), strings.Join(l.resource, "\n"))
	}
	kinds := map[string]int{}
	for _, e := range l.list {
		kinds[strings.Fields(e)[1]]++
	}
	for attr, v := range l.simple {
		if _, in, _ := l.has(string(kindOf(attr)), v); !in {
			t.Fatalf("%s: %s is %q and no way has it:\n%s", after, attr, v, strings.Join(l.list, "\n"))
		}
	}
	for kind, want := range map[string]int{"email": min(kinds["email"], 1), "sms": min(kinds["sms"], 2)} {
		n := 0
		for attr := range l.simple {
			if string(kindOf(attr)) == kind {
				n++
			}
		}
		if n != want {
			t.Fatalf("%s: %d attributes show ways of kind %s, want %d: %v of\n%s", after, n, kind, want, l.simple, strings.Join(l.list, "\n"))
		}
	}
}

const listPath = userURN + ":" + authMethods

func TestWhatIsWrittenInOneLayerIsSeenAndTakenAwayInAll(t *testing.T) {
	type layer struct {
		write func(a as, user, kind, value string)
		take  func(a as, user, kind, value string)
	}
	attr := map[string]string{"email": recoveryEmail, "sms": recoveryPhone}
	layers := map[string]layer{
		"attribute": {
			func(a as, user, kind, value string) {
				a.want(200, "PATCH", "/Users/"+user, patch(set(attr[kind], `"`+value+`"`)))
			},
			func(a as, user, kind, value string) {
				a.want(200, "PATCH", "/Users/"+user, patch(`{"op":"remove","path":"`+userURN+":"+attr[kind]+`"}`))
			},
		},
		"list": {
			func(a as, user, kind, value string) {
				a.want(200, "PATCH", "/Users/"+user, patch(`{"op":"add","path":"`+listPath+`","value":[{"type":"`+kind+`","value":"`+value+`"}]}`))
			},
			func(a as, user, kind, value string) {
				a.want(200, "PATCH", "/Users/"+user, patch(`{"op":"remove","path":"`+listPath+`[type eq \"`+kind+`\"]"}`))
			},
		},
		"resource": {
			func(a as, user, kind, value string) {
				part := map[string]string{"email": `,"email":{"address":"`, "sms": `,"phone":{"number":"`}[kind]
				a.want(201, "POST", "/AuthenticationMethods", wayBody(user, kind, part+value+`"}`))
			},
			func(a as, user, kind, value string) {
				found := a.want(200, "GET", "/AuthenticationMethods?filter="+url.QueryEscape(`user.value eq "`+user+`" and type eq "`+kind+`"`), "")
				for _, e := range found.at("Resources").([]any) {
					a.want(204, "DELETE", "/AuthenticationMethods/"+reply{json: e.(map[string]any)}.id(), "")
				}
			},
		},
	}
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		n := 0
		for by, w := range layers {
			for from, r := range layers {
				for kind, value := range map[string]string{"email": "ada@mail.example", "sms": "+491713920001"} {
					n++
					id := c.want(201, "POST", "/Users", body(fmt.Sprint("u", n), "", "")).id()
					if kind == "sms" {
						value = fmt.Sprintf("+4917139201%02d", n)
					} else {
						value = fmt.Sprintf("u%d@mail.example", n)
					}
					w.write(c, id, kind, value)
					l := c.layers(id)
					if simple, list, resource := l.has(kind, value); !simple || !list || !resource {
						b.Errorf("%s written by %s: attribute %v, list %v, resource %v", kind, by, simple, list, resource)
					}
					for _, f := range []string{userURN + ":" + attr[kind] + ` eq "` + value + `"`, listPath + `[type eq "` + kind + `" and value eq "` + value + `"]`, listPath + `.value eq "` + value + `"`} {
						if got := c.want(200, "GET", "/Users?filter="+url.QueryEscape(f), ""); got.at("totalResults") != 1.0 {
							b.Errorf("%s written by %s is not found by %s: %s", kind, by, f, got.body)
						}
					}
					r.take(c, id, kind, value)
					if l := c.layers(id); len(l.simple)+len(l.list)+len(l.resource) != 0 || len(b.ways(id)) != 0 {
						b.Errorf("%s written by %s and taken away by %s: %+v", kind, by, from, l)
					}
				}
			}
		}
	})
}

func TestTwoLayersThatDisagreeAreRefusedByBothNames(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	mail := func(v string) string { return `{"type":"email","value":"` + v + `"}` }
	id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"a@mail.example","authenticationMethods":[`+mail("a@mail.example")+`,{"type":"sms","value":"+491713920001"}]`)).id()
	if n := len(b.ways(id)); n != 2 {
		t.Errorf("the same in both is one way each: %d", n)
	}
	before := fmt.Sprint(b.ways(id))
	for name, r := range map[string]struct{ verb, path, body string }{
		"POST":                         {"POST", "/Users", body("ben", "", `"recoveryEmail":"a@mail.example","authenticationMethods":[`+mail("b@mail.example")+`]`)},
		"PUT":                          {"PUT", "/Users/" + id, body("ada", "", `"recoveryEmail":"c@mail.example","authenticationMethods":[`+mail("b@mail.example")+`]`)},
		"PUT, the attribute as it was": {"PUT", "/Users/" + id, body("ada", "", `"recoveryEmail":"a@mail.example","authenticationMethods":[`+mail("b@mail.example")+`]`)},
		"PATCH":                        {"PATCH", "/Users/" + id, patch(set(recoveryEmail, `"c@mail.example"`), `{"op":"replace","path":"`+listPath+`[type eq \"email\"].value","value":"b@mail.example"}`)},
		"PATCH, the other way round":   {"PATCH", "/Users/" + id, patch(`{"op":"replace","path":"`+listPath+`[type eq \"email\"].value","value":"b@mail.example"}`, set(recoveryEmail, `"c@mail.example"`))},
		"PATCH without a path":         {"PATCH", "/Users/" + id, patch(`{"op":"replace","value":{"` + userURN + `":{"recoveryEmail":"c@mail.example","authenticationMethods":[` + mail("b@mail.example") + `]}}}`)},
		"a phone of the same kind":     {"PUT", "/Users/" + id, body("ada", "", `"recoveryPhone":"+491713920008","authenticationMethods":[{"type":"sms","value":"+491713920009"}]`)},
	} {
		got := c.want(400, r.verb, r.path, r.body)
		detail := fmt.Sprint(got.json["detail"])
		if got.json["scimType"] != "invalidValue" || !strings.Contains(detail, ":recover") || !strings.Contains(detail, listPath) {
			t.Errorf("%s: %s", name, got.body)
		}
		if after := fmt.Sprint(b.ways(id)); after != before {
			t.Fatalf("%s: refused and done: %s", name, after)
		}
	}
	// The same value in both, written in two ways, is no disagreement; nor is one that goes in both.
	c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"0171 3920005"`), `{"op":"replace","path":"`+listPath+`[type eq \"sms\"].value","value":"+49 171 3920005"}`))
	if w, ok := b.ways(id)["+491713920005"]; !ok || len(b.ways(id)) != 2 || w.Attribute != recoveryPhone {
		t.Errorf("ways %+v", b.ways(id))
	}
	c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+`:recoveryPhone"}`, `{"op":"remove","path":"`+listPath+`[type eq \"sms\"]"}`))
	if len(b.ways(id)) != 1 {
		t.Errorf("ways %+v", b.ways(id))
	}
}

func TestAPutThatKnowsOneLayerLeavesAloneWhatAnotherBrought(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"a@mail.example"`)).id()
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "totp", `,"totp":{"secret":"`+seedText+`"},"display":"one"`))
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "totp", `,"totp":{"secret":"`+seedText+`"},"display":"two"`))
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "sms", `,"phone":{"number":"+491713920001"}`))
		was := len(b.ways(id))
		c.want(200, "PUT", "/Users/"+id, body("ada", `,"title":"Dr"`, `"recoveryEmail":"a@mail.example"`))
		if now := c.layers(id); len(now.list) != 4 || was != len(b.ways(id)) {
			b.Errorf("after a PUT of a client that knows one attribute: %+v", now)
		}
		// What was read can be written back, again and again, and changes nothing: not even the version.
		read := c.want(200, "GET", "/Users/"+id, "")
		for range 2 {
			if put := c.want(200, "PUT", "/Users/"+id, read.body); put.body != read.body {
				b.Errorf("PUT of what was read:\n%s\n%s", read.body, put.body)
			}
		}
		// The list says which of two seeds goes.
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+listPath+`[display eq \"one\"]"}`))
		l := c.layers(id)
		l.check(b.T, "one seed taken away")
		if !strings.Contains(strings.Join(l.list, "\n"), "totp  two") || strings.Contains(strings.Join(l.list, "\n"), "totp  one") {
			b.Errorf("left: %v", l.list)
		}
	})
}

func TestRandomWritesThroughRandomLayersKeepThemAlike(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			rounds := 40
			if kind == store.PostgreSQL {
				rounds = 12
			}
			b := newBench(t, kind)
			c := b.connector("idp", client.TrustOne, client.PresetStandard)
			for seed := range uint64(rounds) {
				walk(t, c, seed)
			}
		})
	}
}

// walk makes twelve random writes to one person and checks the layers after each.
func walk(t *testing.T, c as, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	id := c.want(201, "POST", "/Users", body(fmt.Sprint("walker", seed), "", "")).id()
	value := func(kind string) string {
		if kind == "email" {
			return fmt.Sprintf("w%d-%d@mail.example", seed, r.IntN(4))
		}
		return fmt.Sprintf("+49171392%02d%02d", seed, r.IntN(4))
	}
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	var story []string
	for range 12 {
		c.now = c.now.Add(time.Minute)
		kind := one("email", "sms")
		v := value(kind)
		attr := recoveryEmail
		if kind == "sms" {
			attr = one(recoveryPhone, alternatePhone)
		}
		var verb, path, data, does string
		before := c.layers(id)
		switch r.IntN(9) {
		case 0, 1:
			verb, path, data, does = "PATCH", "/Users/"+id, patch(set(attr, `"`+v+`"`)), "write"
		case 2:
			verb, path, data = "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+":"+attr+`"}`)
			if v = before.simple[attr]; v != "" {
				does = "take"
			}
		case 3:
			verb, path, data, does = "PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+listPath+`","value":[{"type":"`+kind+`","value":"`+v+`","display":"`+one("a", "b")+`"}]}`), "write"
		case 4:
			verb, path, data, does = "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+listPath+`[type eq \"`+kind+`\" and value eq \"`+v+`\"]"}`), "take"
		case 5:
			verb, path, data = "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"`+listPath+`[type eq \"`+kind+`\"].value","value":"`+v+`"}`)
		case 6:
			part := map[string]string{"email": `,"email":{"address":"`, "sms": `,"phone":{"number":"`}[kind]
			verb, path, data, does = "POST", "/AuthenticationMethods", wayBody(id, kind, part+v+`"}`), "write"
		case 7:
			if len(before.resource) == 0 {
				continue
			}
			ref := strings.Fields(one(before.resource...))[0]
			verb, path = "DELETE", "/AuthenticationMethods/"+ref[strings.LastIndexByte(ref, '/')+1:]
		case 8:
			verb, path, data = "PUT", "/Users/"+id, c.want(200, "GET", "/Users/"+id, "").body
		}
		got := c.do(verb, path, data)
		step := fmt.Sprintf("%s %s %s: %d", verb, path, data, got.status)
		story = append(story, step)
		if got.status >= 300 && got.status != 400 && got.status != 409 {
			t.Fatalf("seed %d: %s %s", seed, strings.Join(story, "\n"), got.body)
		}
		now := c.layers(id)
		now.check(t, fmt.Sprintf("seed %d\n%s", seed, strings.Join(story, "\n")))
		if got.status >= 300 {
			if fmt.Sprint(now) != fmt.Sprint(before) {
				t.Fatalf("seed %d: refused and done: %s", seed, strings.Join(story, "\n"))
			}
			continue
		}
		if _, list, _ := now.has(kind, v); does == "write" && !list {
			t.Fatalf("seed %d: what was written is not there: %s\n%v", seed, strings.Join(story, "\n"), now)
		} else if does == "take" && list && verb == "PATCH" && strings.Contains(data, "value eq") {
			t.Fatalf("seed %d: what was taken away is there: %s\n%v", seed, strings.Join(story, "\n"), now)
		}
		if verb == "PUT" && fmt.Sprint(now) != fmt.Sprint(before) {
			t.Fatalf("seed %d: a PUT of what was read changed it: %s\n%v\n%v", seed, strings.Join(story, "\n"), before, now)
		}
	}
}
