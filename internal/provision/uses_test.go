package provision

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/scim"
)

// is changes what the connector is.
func (a as) is(change func(*client.Connector)) {
	a.Helper()
	if _, err := a.store.UpdateConnector(a.Context(), a.id, func(c *client.Connector) ([]event.Event, error) { change(c); return nil, nil }); err != nil {
		a.Fatal(err)
	}
}

func TestAConnectorUsesWhatItMayAndNothingElse(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		ada := c.want(201, "POST", "/Users", body("ada", `,"displayName":"Ada Brandt"`, `"recoveryEmail":"ada@mail.example"`)).id()
		group := c.want(201, "POST", "/Groups", groupHead+`"Sales","members":[{"value":"`+ada+`"}]}`).id()
		way := b.ways(ada)["ada@mail.example"].ID
		endpoints := []struct {
			use                            client.Use
			path, one, create, put, change string
		}{
			{client.UseUsers, "/Users", ada, body("ben", "", ""), body("ada", `,"displayName":"Ada"`, ""), patch(`{"op":"replace","path":"displayName","value":"A"}`)},
			{client.UseGroups, "/Groups", group, groupHead + `"More"}`, groupHead + `"Sold"}`, patch(`{"op":"replace","path":"displayName","value":"S"}`)},
			{client.UseMethods, "/AuthenticationMethods", way, wayBody(ada, "email", `,"email":{"address":"x@mail.example"}`), wayBody(ada, "email", `,"email":{"address":"ada@mail.example"},"display":"y"`), patch(`{"op":"replace","path":"display","value":"x"}`)},
		}
		search := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`
		for _, may := range [][]client.Use{{client.UseUsers}, {client.UseGroups}, {client.UseMethods}, {client.UseUsers, client.UseGroups}, {client.UseMethods, client.UseUsers}} {
			c.is(func(c *client.Connector) { c.Uses = may })
			before := fmt.Sprintf("%+v %+v", b.person(ada), b.ways(ada))
			types, schemas := c.want(200, "GET", "/ResourceTypes", "").body, c.want(200, "GET", "/Schemas", "").body
			for _, e := range endpoints {
				allowed := strings.Contains(fmt.Sprint(may), string(e.use))
				if strings.Contains(types, `"endpoint":"`+e.path+`"`) != allowed {
					b.Errorf("%v: %s in the resource types: want %v", may, e.path, allowed)
				}
				if allowed {
					c.want(200, "GET", e.path+"/"+e.one, "")
					c.want(200, "GET", e.path, "")
					continue
				}
				for _, r := range []struct{ verb, path, body string }{
					{"GET", e.path, ""}, {"GET", e.path + "/" + e.one, ""}, {"POST", e.path, e.create}, {"POST", e.path + "/.search", search}, {"PUT", e.path + "/" + e.one, e.put},
					{"PATCH", e.path + "/" + e.one, e.change}, {"DELETE", e.path + "/" + e.one, ""},
				} {
					got := c.want(403, r.verb, r.path, r.body)
					if strings.Contains(got.body, "Brandt") || got.json["status"] != "403" || !strings.Contains(got.body, e.path) {
						b.Errorf("%v: %s %s: %s", may, r.verb, r.path, got.body)
					}
				}
				c.want(404, "GET", "/ResourceTypes/"+map[string]string{"/Users": "User", "/Groups": "Group", "/AuthenticationMethods": "AuthenticationMethod"}[e.path], "")
			}
			if got := strings.Contains(schemas, methodURN); got != strings.Contains(fmt.Sprint(may), "methods") {
				b.Errorf("%v: the schema of methods is shown: %v", may, got)
			}
			if after := fmt.Sprintf("%+v %+v", b.person(ada), b.ways(ada)); after != before {
				b.Errorf("%v: what was refused was done:\n%s\n%s", may, before, after)
			}
		}
	})
}

func TestWhoMayNotUseMethodsNeitherSeesNorBringsThemByAUser(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		ada := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"ada@mail.example"`)).id()
		c.is(func(c *client.Connector) { c.Uses = []client.Use{client.UseUsers, client.UseGroups} })
		shown := c.want(200, "GET", "/Users/"+ada, "")
		for _, r := range []reply{shown, c.want(200, "GET", "/Users", ""), c.want(200, "PATCH", "/Users/"+ada, patch(`{"op":"replace","path":"displayName","value":"A"}`))} {
			if strings.Contains(r.body, "mail.example") || strings.Contains(r.body, "authenticationMethods") || strings.Contains(r.body, recoveryEmail) {
				b.Errorf("a way is shown: %s", r.body)
			}
		}
		for _, r := range []struct{ verb, path, body string }{
			{"POST", "/Users", body("ben", "", `"recoveryPhone":"+491713920001"`)}, {"PUT", "/Users/" + ada, body("ada", "", `"recoveryEmail":"thief@mail.example"`)},
			{"PATCH", "/Users/" + ada, patch(set(recoveryEmail, `"thief@mail.example"`))},
			{"PATCH", "/Users/" + ada, patch(`{"op":"add","path":"` + userURN + `:authenticationMethods","value":[{"type":"email","value":"thief@mail.example"}]}`)},
			{"GET", "/Users?filter=" + url.QueryEscape(userURN+`:recoveryEmail eq "ada@mail.example"`), ""}, {"GET", "/Users?filter=" + url.QueryEscape(userURN+`:authenticationMethods[type eq "email"]`), ""},
			{"GET", "/Users?sortBy=" + url.QueryEscape(userURN+":recoveryEmail"), ""},
		} {
			if got := c.want(403, r.verb, r.path, r.body); !strings.Contains(got.body, "may not use "+userURN) {
				b.Errorf("%s %s: %s", r.verb, r.path, got.body)
			}
		}
		// What was read may be put back: it says nothing of ways, and takes none away.
		c.want(200, "PUT", "/Users/"+ada, shown.body)
		c.want(200, "PATCH", "/Users/"+ada, patch(`{"op":"remove","path":"`+userURN+`:recoveryEmail"}`))
		if ways := b.ways(ada); len(ways) != 1 || ways["ada@mail.example"].ID == "" {
			b.Errorf("ways: %+v", ways)
		}
		c.want(404, "GET", "/Users/"+ada+"/x", "")
	})
}

func TestNamesAndGroupsAreToldOnlyToWhoMayUseThem(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		ada := c.want(201, "POST", "/Users", body("ada", `,"displayName":"Ada Brandt"`, `"recoveryEmail":"ada@mail.example"`)).id()
		group := c.want(201, "POST", "/Groups", groupHead+`"Sales","members":[{"value":"`+ada+`"}]}`).id()
		way := b.ways(ada)["ada@mail.example"].ID
		for _, s := range []struct {
			may   client.Use
			paths []string
			never string
		}{
			{client.UseUsers, []string{"/Users", "/Users/" + ada}, "Sales"}, {client.UseGroups, []string{"/Groups", "/Groups/" + group}, "Brandt"},
			{client.UseMethods, []string{"/AuthenticationMethods", "/AuthenticationMethods/" + way}, "Brandt"},
		} {
			for _, path := range s.paths {
				c.is(func(c *client.Connector) { c.Uses = nil })
				if !strings.Contains(c.want(200, "GET", path, "").body, s.never) {
					b.Errorf("%s lacks %q for who may know it", path, s.never)
				}
				c.is(func(c *client.Connector) { c.Uses = []client.Use{s.may} })
				if got := c.want(200, "GET", path, ""); strings.Contains(got.body, s.never) {
					b.Errorf("%s tells %q: %s", path, s.never, got.body)
				}
			}
		}
		c.is(func(c *client.Connector) { c.Uses = []client.Use{client.UseUsers} })
		c.want(403, "GET", "/Users?filter="+url.QueryEscape(`groups.display eq "Sales"`), "")
		c.is(func(c *client.Connector) { c.Uses = []client.Use{client.UseGroups} })
		c.want(200, "PATCH", "/Groups/"+group, patch(`{"op":"remove","path":"members[value eq \"`+ada+`\"]"}`)) // by id, members can be moved all the same
	})
}

func TestWhoMayOnlyReadChangesNothing(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		ada := c.want(201, "POST", "/Users", body("ada", "", "")).id()
		c.is(func(c *client.Connector) { c.ReadOnly = true })
		c.want(200, "GET", "/Users/"+ada, "")
		c.want(200, "POST", "/Users/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`)
		if got := c.want(200, "GET", "/ServiceProviderConfig", ""); got.at("patch", "supported") != false {
			b.Errorf("PATCH is offered: %s", got.body)
		}
		for verb, path := range map[string]string{"POST": "/Users", "PUT": "/Users/" + ada, "PATCH": "/Users/" + ada, "DELETE": "/Users/" + ada} {
			if got := c.want(403, verb, path, body("ada", `,"active":false`, "")); !strings.Contains(got.body, "only read") {
				b.Errorf("%s: %s", verb, got.body)
			}
		}
		if p := b.person(ada); p.Version != 1 || !p.Active {
			b.Errorf("changed: %+v", p)
		}
	})
}

func TestAConnectorThatAsksTooOftenIsToldWhenToComeBack(t *testing.T) {
	b := newBench(t, store.SQLite)
	c, other := b.connector("idp", client.TrustOne, client.PresetStandard), b.connector("hr", client.TrustOne, client.PresetStandard)
	for _, a := range []as{c, other} {
		a.is(func(c *client.Connector) { c.Rate = 4 })
	}
	for range 4 {
		c.want(200, "GET", "/Users", "")
	}
	got := c.want(429, "GET", "/Users", "")
	if got.header.Get("Retry-After") != "1" || got.json["status"] != "429" || got.header.Get("Content-Type") != "application/scim+json" || !strings.Contains(got.body, "4 a second") {
		t.Errorf("%v %s", got.header, got.body)
	}
	other.want(200, "GET", "/Users", "") // everybody counts by themselves
	b.now = b.now.Add(time.Second / 4)
	c.want(200, "GET", "/Users", "")
	c.want(429, "GET", "/Users", "")
	b.now = b.now.Add(time.Hour) // what was not used is not saved up
	for i := range 5 {
		c.want(map[bool]int{true: 200, false: 429}[i < 4], "GET", "/Users", "")
	}

	// The allowance is the connector's and not the token's, and a token that was refused costs no look at the database.
	n := &counting{Connectors: b.store}
	g := &guard{store: n, now: func() time.Time { return b.now }, log: b.conf.Log}
	b.now = b.now.Add(time.Minute)
	seen := map[bool]int{}
	for range 10 {
		r := httptest.NewRequest("GET", "/scim/v2/Users", nil)
		r.Header.Set("Authorization", "Bearer "+c.token)
		_, err := g.authenticate(r)
		seen[errors.Is(err, &scim.Error{Status: 429})]++
	}
	if fmt.Sprint(seen) != "map[false:4 true:6]" || n.asked != 4 {
		t.Errorf("%v, %d questions", seen, n.asked)
	}
}

func TestWithoutANumberAConnectorMayDoWhatAProcessCan(t *testing.T) {
	g := &guard{}
	for i := range client.DefaultRate {
		if wait := g.spend("c", (&client.Connector{}).PerSecond(), noon); wait != 0 {
			t.Fatalf("request %d waits %s", i+1, wait)
		}
	}
	if wait := g.spend("c", client.DefaultRate, noon); wait <= 0 || wait > time.Millisecond {
		t.Errorf("the next one waits %s", wait)
	}
}

func TestGroupsForStaffAreFilledByTrustedConnectorsOnly(t *testing.T) {
	on(t, func(b *bench) {
		rule := &staff.Rule{Role: staff.Administrator, Source: staff.FromGroup, Value: "Help Desk", Made: noon, By: "cli:x"}
		c, it := b.connector("hr", client.TrustAll, client.PresetEntra), b.connector("it", client.TrustNone, client.PresetStandard)
		it.is(func(c *client.Connector) { c.Roles = true })
		before := c.want(201, "POST", "/Users", body("before", "", "")).id()
		early := c.want(201, "POST", "/Groups", groupHead+`"Help  Desk"}`).id() // another name
		old := c.want(201, "POST", "/Groups", groupHead+`"help desk","members":[{"value":"`+before+`"}]}`).id()
		if _, err := b.store.PutRoleRule(b.Context(), rule); err != nil {
			b.Fatal(err)
		}
		roles := func(person string) (out []string) {
			groups, err := b.store.StaffGroups(b.Context(), person)
			if err != nil {
				b.Fatal(err)
			}
			for _, g := range groups {
				if g.Roles {
					out = append(out, g.Group)
				}
			}
			return out
		}
		ada := c.want(201, "POST", "/Users", body("ada", "", "")).id()
		sales := c.want(201, "POST", "/Groups", groupHead+`"Sales","members":[{"value":"`+ada+`"}]}`).id()
		empty := c.want(201, "POST", "/Groups", groupHead+`"HELP DESK"}`).id() // nobody is in it
		one := `[{"value":"` + ada + `"}]`
		for i, r := range []struct{ verb, path, body string }{
			{"POST", "/Groups", groupHead + `"Help Desk","members":` + one + `}`}, {"POST", "/Groups", groupHead + `" hELP desk ","members":` + one + `}`},
			{"POST", "/Groups", groupHead + `"Help Desk","members":[{"value":"` + sales + `"}]}`},
			{"PATCH", "/Groups/" + empty, patch(`{"op":"add","path":"members","value":` + one + `}`)}, {"PATCH", "/Groups/" + empty, patch(`{"op":"replace","path":"members","value":` + one + `}`)},
			{"PATCH", "/Groups/" + empty, patch(`{"op":"add","value":{"members":` + one + `}}`)}, {"PUT", "/Groups/" + empty, groupHead + `"Help Desk","members":` + one + `}`},
			{"PATCH", "/Groups/" + old, patch(`{"op":"add","path":"members","value":` + one + `}`)},
			{"PATCH", "/Groups/" + sales, patch(`{"op":"replace","path":"displayName","value":"Help Desk"}`)}, {"PUT", "/Groups/" + sales, groupHead + `"Help Desk","members":` + one + `}`},
			{"PATCH", "/Groups/" + empty, patch(`{"op":"replace","path":"displayName","value":"Other"}`, `{"op":"add","path":"members","value":`+one+`}`, `{"op":"replace","path":"displayName","value":"Help Desk"}`)},
		} {
			b.now = b.now.Add(time.Hour)
			if got := c.want(403, r.verb, r.path, r.body); !strings.Contains(got.body, "not trusted") {
				b.Errorf("%s", got.body)
			}
			if n := len(b.refusals(c.id)); n != i+1 {
				b.Errorf("%s %s: %d refusals are written down, want %d", r.verb, r.path, n, i+1)
			}
		}
		if e := b.refusals(c.id)[0]; e.Actor != "connector:"+c.id || e.Outcome != event.Failure || e.Data["why"] != "roles" {
			b.Errorf("written down: %+v", e)
		}
		if got := c.want(200, "GET", "/Groups/"+sales, ""); got.at("displayName") != "Sales" {
			b.Errorf("renamed: %s", got.body)
		}
		if list := c.want(200, "GET", "/Groups/"+empty, ""); list.at("members") != nil {
			b.Errorf("filled: %s", list.body)
		}
		// Who was in a group of that name before the rule was made is no more staff than others.
		if got := append(roles(ada), roles(before)...); got != nil {
			b.Errorf("makes staff by %v", got)
		}
		// Leaving is always taken, and so is everything about other groups.
		c.want(204, "PATCH", "/Groups/"+old, patch(`{"op":"remove","path":"members[value eq \"`+before+`\"]"}`))
		c.want(204, "PATCH", "/Groups/"+early, patch(`{"op":"add","path":"members","value":`+one+`}`))
		c.want(204, "DELETE", "/Groups/"+empty, "")

		// A trusted one may, and only while it is trusted.
		eve := it.want(201, "POST", "/Users", body("eve", "", "")).id()
		it.want(201, "POST", "/Groups", groupHead+`"Help Desk","members":[{"value":"`+eve+`"}]}`)
		if got := fmt.Sprint(roles(eve)); got != "[Help Desk]" {
			b.Errorf("the trusted one makes nobody staff: %s", got)
		}
		it.is(func(c *client.Connector) { c.Roles = false })
		if got := roles(eve); got != nil {
			b.Errorf("trusted no more, and makes staff by %v", got)
		}
	})
}

func TestNoDetourFillsAGroupForStaff(t *testing.T) {
	on(t, func(b *bench) {
		c, it := b.connector("hr", client.TrustAll, client.PresetStandard), b.connector("it", client.TrustOne, client.PresetStandard)
		it.is(func(c *client.Connector) { c.Roles = true })
		ada := c.want(201, "POST", "/Users", body("ada", "", "")).id()
		one := `[{"value":"` + ada + `"}]`
		// From before there was a rule: the group, another in it, and one in that.
		inner := c.want(201, "POST", "/Groups", groupHead+`"Inner"}`).id()
		middle := c.want(201, "POST", "/Groups", groupHead+`"Middle","members":[{"value":"`+inner+`"}]}`).id()
		desk := c.want(201, "POST", "/Groups", groupHead+`"Help Desk","externalId":"desk","members":[{"value":"`+middle+`"}]}`).id()
		if _, err := b.store.PutRoleRule(b.Context(), &staff.Rule{Role: staff.Administrator, Source: staff.FromGroup, Value: "Help Desk", Made: noon, By: "cli:x"}); err != nil {
			b.Fatal(err)
		}
		eve := it.want(201, "POST", "/Users", body("eve", "", "")).id()
		theirs := it.want(201, "POST", "/Groups", groupHead+`"Help Desk","externalId":"theirs","members":[{"value":"`+eve+`"}]}`).id()
		staffNow := func() bool {
			groups, err := b.store.StaffGroups(b.Context(), ada)
			if err != nil {
				b.Fatal(err)
			}
			return slices.ContainsFunc(groups, func(g staff.Group) bool { return g.Roles && g.Group == "Help Desk" })
		}
		refused := 0
		step := func(what string, status int, verb, path, body string) reply {
			b.Helper()
			b.now = b.now.Add(time.Hour)
			got := c.want(status, verb, path, body)
			if strings.Contains(got.body, "not trusted") {
				refused++
			}
			if n := len(b.refusals(c.id)); n != refused {
				b.Errorf("%s: %d refusals are written down, want %d", what, n, refused)
			}
			if staffNow() {
				b.Errorf("%s made somebody staff", what)
			}
			return got
		}
		add := patch(`{"op":"add","path":"members","value":` + one + `}`)
		step("a group in it", 403, "PATCH", "/Groups/"+middle, add)
		step("a group in a group in it", 403, "PATCH", "/Groups/"+inner, add)
		step("a group in it, by PUT", 403, "PUT", "/Groups/"+inner, groupHead+`"Inner","members":`+one+`}`)
		if got := step("bulk", 200, "POST", "/Bulk", `{"Operations":[{"method":"POST","path":"/Groups","bulkId":"g","data":`+groupHead+`"Help Desk","members":`+one+`}}]}`); !strings.Contains(got.body, `"403"`) {
			b.Errorf("bulk: %s", got.body)
		}
		for _, ops := range []string{
			`{"method":"PATCH","path":"/Groups/` + desk + `","data":` + add + `},{"method":"PATCH","path":"/Groups/` + desk + `","data":` + patch(`{"op":"replace","path":"displayName","value":"Help Desk"}`) + `}`,
			`{"method":"POST","path":"/Users","bulkId":"u","data":` + body("ben", "", "") + `},{"method":"POST","path":"/Groups","bulkId":"g","data":` + groupHead + `"Help Desk","members":[{"value":"bulkId:u"}]}}`,
		} {
			if got := step("bulk", 200, "POST", "/Bulk", `{"Operations":[`+ops+`]}`); !strings.Contains(got.body, `"403"`) {
				b.Errorf("bulk: %s", got.body)
			}
		}
		// Its name given up, filled, and taken back.
		step("another name", 200, "PATCH", "/Groups/"+desk, patch(`{"op":"replace","path":"displayName","value":"Other"}`))
		step("filled", 200, "PATCH", "/Groups/"+desk, add)
		step("its name again", 403, "PATCH", "/Groups/"+desk, patch(`{"op":"replace","path":"displayName","value":"help desk"}`))
		// Deleted and made again, by the same external id.
		step("deleted", 204, "DELETE", "/Groups/"+desk, "")
		step("made again", 403, "POST", "/Groups", groupHead+`"Help Desk","externalId":"desk","members":`+one+`}`)
		again := step("made again, empty", 201, "POST", "/Groups", groupHead+`"Help Desk","externalId":"desk"}`).id()
		step("filled by its external id", 403, "PUT", "/Groups/"+again, groupHead+`"Help Desk","externalId":"desk","members":`+one+`}`)
		// The id and the external id of the trusted connector's group are nobody else's.
		step("the trusted one's group", 404, "PATCH", "/Groups/"+theirs, add)
		step("the trusted one's external id", 201, "POST", "/Groups", groupHead+`"Sales","externalId":"theirs","members":`+one+`}`)
	})
}

// refusals are the events of what a connector was refused.
func (b *bench) refusals(connector string) (out []event.Event) {
	b.Helper()
	all, err := b.store.EventsIn(b.Context(), connector)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range all {
		if e.Type == event.ConnectorRefused {
			out = append(out, e)
		}
	}
	return out
}

func TestARefusalIsWrittenDownOnceAMinute(t *testing.T) {
	b := newBench(t, store.SQLite)
	if _, err := b.store.PutRoleRule(b.Context(), &staff.Rule{Role: staff.Helpdesk, Source: staff.FromGroup, Value: "Desk", Made: noon, By: "cli:x"}); err != nil {
		t.Fatal(err)
	}
	c := b.connector("hr", client.TrustAll, client.PresetStandard)
	ada := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	for i, want := range []int{1, 1, 2} {
		c.want(403, "POST", "/Groups", groupHead+`"Desk","members":[{"value":"`+ada+`"}]}`)
		if n := len(b.refusals(c.id)); n != want {
			t.Errorf("after %d: %d written down, want %d", i+1, n, want)
		}
		b.now = b.now.Add(31 * time.Second)
	}
	r := &refusals{}
	for i := range 3 * refusedAtAll {
		r.anew(strconv.Itoa(i), noon)
	}
	if len(r.last) > refusedAtAll {
		t.Errorf("%d are remembered", len(r.last))
	}
}
