package provision

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// thief is a destination somebody wants to count at once.
const thief = "thief@mail.example"

// wayThere is one way in which a destination may come to a person who has another one since two days. It returns the person the
// destination is at afterwards.
type wayThere struct {
	name  string
	bring func(b *bench, c as, id string) string
	told  bool // that it is news: an event that goes to the addresses there are
}

// arrivals are every way there is. What is brought is always thief, or the number +491713920009.
var arrivals = []wayThere{
	{"PATCH of the attribute", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"`+thief+`"`)))
		return id
	}, true},
	{"PUT instead of PATCH", func(_ *bench, c as, id string) string {
		c.want(200, "PUT", "/Users/"+id, body("ada", `,"externalId":"E-1"`, `"recoveryEmail":"`+thief+`"`))
		return id
	}, true},
	{"the list", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+listPath+`","value":[{"type":"email","value":"`+thief+`"}]}`))
		return id
	}, true},
	{"the list, by a filter", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"`+listPath+`[type eq \"email\"].value","value":"`+thief+`"}`))
		return id
	}, true},
	{"a resource of its own", func(_ *bench, c as, id string) string {
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "email", `,"email":{"address":"`+thief+`"}`))
		return id
	}, true},
	{"remove and add in one request", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+`:recoveryEmail"}`, `{"op":"add","path":"`+userURN+`:recoveryEmail","value":"`+thief+`"}`))
		return id
	}, true},
	{"remove the list and add to it in one request", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+listPath+`"}`, `{"op":"add","path":"`+listPath+`","value":[{"type":"email","value":"`+thief+`"}]}`))
		return id
	}, true},
	{"bulk", func(_ *bench, c as, id string) string {
		got := c.want(200, "POST", "/Bulk", `{"Operations":[{"method":"PATCH","path":"/Users/`+id+`","data":`+patch(set(recoveryEmail, `"`+thief+`"`))+`}]}`)
		if !strings.Contains(got.body, `"200"`) {
			c.Fatalf("bulk: %s", got.body)
		}
		return id
	}, true},
	{"bulk that deletes and creates the user", func(_ *bench, c as, id string) string {
		got := c.want(200, "POST", "/Bulk", `{"Operations":[{"method":"DELETE","path":"/Users/`+id+`"},{"method":"POST","path":"/Users","bulkId":"u","data":`+body("ada", "", "")+
			`},{"method":"POST","path":"/AuthenticationMethods","bulkId":"m","data":`+wayBody("bulkId:u", "email", `,"email":{"address":"`+thief+`"}`)+`}]}`)
		return c.userOf(got, 1)
	}, true},
	{"delete and create of the user", func(_ *bench, c as, id string) string {
		c.want(204, "DELETE", "/Users/"+id, "")
		return c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"`+thief+`"`)).id()
	}, true},
	{"delete and create under another name with the same external id", func(_ *bench, c as, id string) string {
		c.want(204, "DELETE", "/Users/"+id, "")
		return c.want(201, "POST", "/Users", body("ada2", `,"externalId":"E-1"`, `"recoveryEmail":"`+thief+`"`)).id()
	}, true},
	{"a name that returns", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(set("userName", `"somebody-else"`)))
		return c.want(201, "POST", "/Users", body("ADA", "", `"recoveryEmail":"`+thief+`"`)).id()
	}, true},
	{"another connector", func(b *bench, c as, id string) string {
		c.want(204, "DELETE", "/Users/"+id, "")
		other := b.connector("other", client.TrustAll, client.PresetStandard)
		return other.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"`+thief+`"`)).id()
	}, true},
	{"somebody disabled who is enabled again", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(set("active", "false")))
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"`+thief+`"`)))
		c.want(200, "PATCH", "/Users/"+id, patch(set("active", "true")))
		return id
	}, true},
	{"somebody enabled in the same request", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(set("active", "false")))
		c.want(200, "PATCH", "/Users/"+id, patch(set("active", "true"), set(recoveryEmail, `"`+thief+`"`)))
		return id
	}, true},
	{"somebody who may reset again", func(_ *bench, c as, id string) string {
		c.want(200, "PATCH", "/Users/"+id, patch(set(resetAllowed, "false")))
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"`+thief+`"`)))
		c.want(200, "PATCH", "/Users/"+id, patch(set(resetAllowed, "true")))
		return id
	}, true},
	{"moved from another person", func(_ *bench, c as, id string) string {
		eve := c.want(201, "POST", "/Users", body("eve", "", `"recoveryEmail":"`+thief+`"`)).id()
		way := c.ways(eve)[thief].ID
		got := c.want(400, "PATCH", "/AuthenticationMethods/"+way, patch(`{"op":"replace","path":"user.value","value":"`+id+`"}`))
		if got.json["scimType"] != "mutability" {
			c.Errorf("a way was given to another person: %s", got.body)
		}
		c.want(400, "PUT", "/AuthenticationMethods/"+way, wayBody(id, "email", `,"email":{"address":"`+thief+`"}`))
		c.now = c.now.Add(3 * day) // it counts at the other one
		c.want(204, "DELETE", "/AuthenticationMethods/"+way, "")
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "email", `,"email":{"address":"`+thief+`"}`))
		return id
	}, true},
}

// userOf is the id that the n-th operation of a bulk answer names.
func (a as) userOf(r reply, n int) string {
	a.Helper()
	ops, _ := r.at("Operations").([]any)
	if len(ops) <= n {
		a.Fatalf("bulk: %s", r.body)
	}
	location := fmt.Sprint(ops[n].(map[string]any)["location"])
	return location[strings.LastIndexByte(location, '/')+1:]
}

func TestADestinationIsHeldHoweverItArrives(t *testing.T) {
	for _, how := range arrivals {
		t.Run(how.name, func(t *testing.T) {
			on(t, func(b *bench) {
				c := b.connector("idp", client.TrustAll, client.PresetStandard)
				id := c.want(201, "POST", "/Users", body("ada", `,"externalId":"E-1"`, `"recoveryEmail":"old@mail.example"`)).id()
				b.now = b.now.Add(2 * day)
				id = how.bring(b, c, id)
				m, ok := b.ways(id)[thief]
				if !ok || !m.UsableFrom.Equal(b.now.Add(day)) {
					b.Fatalf("it counts from %v, now is %v: %+v", m.UsableFrom, b.now, m)
				}
				// Not a second early, and nothing said in between makes it so.
				b.now = b.now.Add(12 * time.Hour)
				c2 := c
				if p := b.person(id); p.Connector != c.id {
					c2 = as{b, p.Connector, ""}
				}
				if c2.token != "" {
					read := c.want(200, "GET", "/Users/"+id, "")
					c.want(200, "PUT", "/Users/"+id, read.body)
					c.want(200, "PATCH", "/Users/"+id, patch(set("active", "false")))
					c.want(200, "PATCH", "/Users/"+id, patch(set("active", "true")))
					c.want(200, "PATCH", "/AuthenticationMethods/"+m.ID, patch(`{"op":"replace","path":"display","value":"home"}`))
					c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+listPath+`[value eq \"`+thief+`\"]"}`))
					c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "email", `,"email":{"address":"`+thief+`"}`))
				}
				again := b.ways(id)[thief]
				if again.UsableFrom.Before(m.UsableFrom) {
					b.Errorf("it counts from %v, and before from %v", again.UsableFrom, m.UsableFrom)
				}
				if again.Rests(again.UsableFrom.Add(-time.Second)).IsZero() || !again.Rests(again.UsableFrom).IsZero() {
					b.Errorf("it rests until %v", again.UsableFrom)
				}
				told := slices.ContainsFunc(b.events(id), func(e event.Event) bool { return e.Type == event.MethodAdded && e.Data["method"] == m.ID })
				if told != how.told {
					b.Errorf("told: %v, want %v: %v", told, how.told, types(b.events(id)))
				}
			})
		})
	}
}

func TestANumberThatRestsRestsAsACallToo(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryPhone":"+491713920001"`)).id()
		b.now = b.now.Add(2 * day)
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"+491713920009"`)))
		until := b.now.Add(day)
		b.now = b.now.Add(23 * time.Hour)
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "voice", `,"phone":{"number":"+491713920009"}`))
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+`:recoveryPhone"}`, `{"op":"add","path":"`+listPath+`","value":[{"type":"sms","value":"0171 3920009"}]}`))
		all, err := b.store.Methods(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, m := range all {
			if m.Status != method.Removed && m.Destination == "+491713920009" {
				n++
				if m.UsableFrom.Before(until) {
					b.Errorf("%s counts from %v, want %v or later", m.Kind, m.UsableFrom, until)
				}
			}
		}
		if n != 2 {
			b.Errorf("%d ways: %+v", n, all)
		}
		// The number they had for days takes calls at once: it is nothing new.
		b.now = b.now.Add(10 * day)
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+listPath+`[type eq \"voice\"]"}`))
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "voice", `,"phone":{"number":"+491713920009"}`))
		all, _ = b.store.Methods(b.Context(), id)
		if m := all[len(all)-1]; m.Kind != method.Voice || !m.Rests(b.now).IsZero() {
			b.Errorf("a number known for days rests: %+v", m)
		}
	})
}
