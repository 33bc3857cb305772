package provision

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
)

func TestAPersonIsCreatedChangedDisabledAndDeleted(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		made := c.want(201, "POST", "/Users", body("Ada@Contoso.example", `,"externalId":"E-1","displayName":"Ada Brandt","name":{"givenName":"Ada","familyName":"Brandt"},
			"preferredLanguage":"de-AT,de;q=0.8","emails":[{"value":"ada@contoso.example","type":"work","primary":true}],"phoneNumbers":[{"value":"55555555555","type":"work"}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}`,
			`"recoveryEmail":"Ada@mail.example","recoveryPhone":"0171 392-0001"`))
		id := made.id()
		p := b.person(id)
		if p.Connector != c.id || p.UserName != "Ada@Contoso.example" || p.ExternalID != "E-1" || !p.Active || p.DisplayName != "Ada Brandt" ||
			p.GivenName != "Ada" || p.FamilyName != "Brandt" || p.Language != "de-AT" || len(p.Emails) != 1 || !p.Emails[0].Primary || p.Phones[0].Value != "55555555555" {
			b.Errorf("person: %+v", p)
		}
		if made.ext(recoveryEmail) != "Ada@mail.example" || made.ext(recoveryPhone) != "0171 392-0001" || made.at("active") != true ||
			made.at("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "department") != "Engines" {
			b.Errorf("what was sent does not come back: %s", made.body)
		}
		ways := b.ways(id)
		mail, phone := ways["Ada@mail.example"], ways["+491713920001"]
		for _, m := range []method.Method{mail, phone} {
			if m.Root != own(c.id) || m.Status != method.Active || !m.UsableFrom.Equal(noon.Add(24*time.Hour)) || !m.Primary {
				b.Errorf("method: %+v", m)
			}
		}
		if mail.Kind != method.Email || mail.Attribute != recoveryEmail || phone.Kind != method.SMS || phone.Attribute != recoveryPhone {
			b.Errorf("methods: %+v", ways)
		}

		// What changes is told; what does not, keeps its version and is not.
		got := c.want(200, "PATCH", "/Users/"+id, patch(set("displayName", `"Ada B."`), set(recoveryPhone, `"+49 171 3920001"`)))
		if got.ext(recoveryPhone) != "+49 171 3920001" || b.ways(id)["+491713920001"].ID != phone.ID {
			b.Errorf("the same number in other words is another method: %s", got.body)
		}
		old := c.want(200, "GET", "/Users/"+id, "").header.Get("ETag")
		for _, op := range []string{set(recoveryPhone, `"+49 171 3920001"`), set("active", "true"), set("password", `"x"`), set("displayName", `"Ada B."`)} {
			if tag := c.want(200, "PATCH", "/Users/"+id, patch(op)).header.Get("ETag"); tag != old {
				b.Errorf("%s: version %s, was %s", op, tag, old)
			}
		}
		c.want(200, "PUT", "/Users/"+id, c.want(200, "GET", "/Users/"+id, "").body)
		if tag := c.want(200, "GET", "/Users/"+id, "").header.Get("ETag"); tag != old {
			b.Errorf("putting back what was read: version %s, was %s", tag, old)
		}
		if tag := c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"+49 171 3920002"`))).header.Get("ETag"); tag == old {
			b.Error("another number under the same version, at the same time")
		}

		// Disabled is data; the epoch moves, once.
		epoch := b.person(id).Epoch
		for range 2 {
			if got := c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"Replace","path":"active","value":"False"}`)); got.at("active") != false {
				b.Errorf("disabled: %s", got.body)
			}
		}
		if p := b.person(id); p.Active || p.Epoch != epoch+1 {
			b.Errorf("active %v, epoch %d, was %d", p.Active, p.Epoch, epoch)
		}
		if got := c.want(200, "PUT", "/Users/"+id, body("Ada@Contoso.example", "", "")); got.at("active") != false {
			b.Errorf("a PUT that says nothing of active enabled somebody: %s", got.body)
		}
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"active":true}}`))
		if p := b.person(id); !p.Active || p.Epoch != epoch+1 {
			b.Errorf("active %v, epoch %d, want %d", p.Active, p.Epoch, epoch+1)
		}
		c.want(204, "DELETE", "/Users/"+id, "")
		c.want(404, "GET", "/Users/"+id, "")
		c.want(404, "DELETE", "/Users/"+id, "")

		want := []event.Type{event.PersonCreated, event.MethodProvisioned, event.MethodProvisioned, event.PersonUpdated, event.MethodRemoved, event.MethodAdded,
			event.PersonDeactivated, event.PersonUpdated, event.MethodRemoved, event.MethodRemoved, event.PersonReactivated, event.PersonDeleted}
		all := b.events(id)
		if got := types(all); !reflect.DeepEqual(got, want) {
			b.Errorf("events: got  %v\nwant %v", got, want)
		}
		for _, e := range all {
			if e.Actor != "connector:"+c.id {
				b.Errorf("%s by %q", e.Type, e.Actor)
			}
			if data, _ := e.DataJSON(); strings.Contains(string(data), "mail.example") || strings.Contains(string(data), "392") || strings.Contains(string(data), "Ada") {
				b.Errorf("%s: personal data in clear: %s", e.Type, data)
			}
		}
		if to := all[1].Private["to"]; to != "A•••@m•••.example" {
			b.Errorf("masked destination: %q", to)
		}
	})
}

func TestARemovedAddressIsStillListed(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"old@mail.example"`)).id()
		b.now = b.now.Add(48 * time.Hour)
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"thief@mail.example"`)))
		all, err := b.store.Methods(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if len(all) != 2 || all[0].Destination != "old@mail.example" || all[0].Status != method.Removed || !all[0].RemovedAt.Equal(b.now) {
			b.Errorf("methods: %+v", all)
		}
		if from := b.ways(id)["thief@mail.example"].UsableFrom; !from.Equal(b.now.Add(24 * time.Hour)) {
			b.Errorf("the new address counts from %v", from)
		}
		tail := types(b.events(id))
		if !reflect.DeepEqual(tail[len(tail)-2:], []event.Type{event.MethodRemoved, event.MethodAdded}) {
			b.Errorf("events: %v", tail)
		}
	})
}

func TestDisablingEndsWhatIsOpen(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"ada@mail.example"`)).id()
		for _, op := range []string{set("active", "false"), set(resetAllowed, "false")} {
			p := b.person(id)
			a := &reset.Attempt{ID: uuid.NewString(), Reference: uuid.NewString()[:8], Person: id, Epoch: p.Epoch, State: reset.Proving, Cookie: []byte(op), TypedHash: []byte("x")}
			if err := b.store.CreateAttempt(b.Context(), a); err != nil {
				b.Fatal(err)
			}
			if got, err := b.store.AttemptByCookie(b.Context(), a.Cookie); err != nil || got == nil || got.Epoch != b.person(id).Epoch {
				b.Fatalf("the attempt is not there: %+v, %v", got, err)
			}
			c.want(200, "PATCH", "/Users/"+id, patch(op))
			if now := b.person(id).Epoch; now != a.Epoch+1 {
				b.Errorf("%s: epoch %d, the attempt has %d", op, now, a.Epoch)
			}
			c.want(200, "PATCH", "/Users/"+id, patch(set("active", "true")))
		}
	})
}

func TestWhoMayNotResetHasNoMethodThatCounts(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"ada@mail.example","recoveryPhone":"+491713920001"`)).id()
		spent := b.ways(id)["ada@mail.example"].ID
		if _, err := b.store.UpdatePerson(b.Context(), id, "", disable(spent)); err != nil { // for a reason of its own
			b.Fatal(err)
		}
		status := func(want map[string]method.Status) {
			b.Helper()
			for to, m := range b.ways(id) {
				if m.Status != want[to] {
					b.Errorf("%s is %s, want %s", to, m.Status, want[to])
				}
			}
		}
		c.want(200, "PATCH", "/Users/"+id, patch(set(resetAllowed, "false")))
		status(map[string]method.Status{"ada@mail.example": method.Disabled, "+491713920001": method.Disabled})
		c.want(200, "PATCH", "/Users/"+id, patch(set(alternatePhone, `"+491713920002"`))) // what comes meanwhile does not count either
		status(map[string]method.Status{"ada@mail.example": method.Disabled, "+491713920001": method.Disabled, "+491713920002": method.Disabled})
		if got := c.want(200, "GET", "/Users/"+id, ""); strings.Contains(got.body, "paused") || got.ext(resetAllowed) != false {
			b.Errorf("GET: %s", got.body)
		}
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+":"+resetAllowed+`"}`))
		status(map[string]method.Status{"ada@mail.example": method.Disabled, "+491713920001": method.Active, "+491713920002": method.Active})
		born := c.want(201, "POST", "/Users", body("ben", "", `"recoveryEmail":"ben@mail.example","resetAllowed":false`)).id()
		if m := b.ways(born)["ben@mail.example"]; m.Status != method.Disabled {
			b.Errorf("born without: %s", m.Status)
		}
	})
}

// disable returns a closure that disables one method.
func disable(id string) func(*account.Person, *[]method.Method) ([]event.Event, error) {
	return func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
		for i := range *all {
			if (*all)[i].ID == id {
				(*all)[i].Status = method.Disabled
			}
		}
		return nil, nil
	}
}

func TestAPasswordIsNowhere(t *testing.T) {
	const canary = "Canary-9f2b-password"
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", `,"password":"`+canary+`"`, `"recoveryEmail":"hidden-canary@mail.example","recoveryPhone":"0171 392 0001"`)).id()
	bodies := []string{
		c.want(200, "PUT", "/Users/"+id, body("ada", `,"password":"`+canary+`2"`, `"recoveryEmail":"hidden-canary@mail.example"`)).body,
		c.want(200, "PATCH", "/Users/"+id, patch(set("password", `"`+canary+`3"`))).body,
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"replace","value":{"password":"`+canary+`4"}}`)).body,
		c.do("PATCH", "/Users/"+id, patch(set("password", `{"`+canary+`":1}`))).body,
		c.do("POST", "/Users", body("ada", `,"password":"`+canary+`"`, "")).body,
		c.want(200, "GET", "/Users?attributes=password", "").body,
		c.want(400, "GET", "/Users?filter=password%20sw%20%22"+canary+"%22", "").body,
		c.want(400, "GET", "/Users?sortBy=password", "").body,
		b.log.String(),
	}
	for _, text := range bodies {
		if strings.Contains(text, canary) {
			t.Errorf("the password came back: %s", text)
		}
	}
	dump := dumpOf(t, b)
	if !bytes.Contains(dump, []byte(id)) {
		t.Fatal("the dump does not hold the person: the test looks in the wrong place")
	}
	// Destinations are sealed, so they are not in clear either.
	for _, secret := range []string{canary, "hidden-canary@mail.example", "hidden-canary", "1713920001", "392 0001"} {
		if bytes.Contains(dump, []byte(secret)) {
			t.Errorf("the database holds %q in clear", secret)
		}
	}
}

func TestConcurrentChangesOfMembersLoseNothing(t *testing.T) {
	b := newBench(t, store.PostgreSQL)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	const racers = 16
	var ids []string
	for i := range 2 * racers {
		ids = append(ids, c.want(201, "POST", "/Users", body(fmt.Sprint("u", i), "", "")).id())
	}
	stay, go1 := ids[:racers], ids[racers:]
	member := func(id string) string { return `{"value":"` + id + `"}` }
	var all []string
	for _, id := range go1 {
		all = append(all, member(id))
	}
	g := c.want(201, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"g","members":[`+strings.Join(all, ",")+`]}`).id()
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			if r := c.do("PATCH", "/Groups/"+g, patch(`{"op":"add","path":"members","value":[`+member(stay[i])+`]}`)); r.status != 200 {
				t.Errorf("add: %d %s", r.status, r.body)
			}
		})
		wg.Go(func() {
			if r := c.do("PATCH", "/Groups/"+g, patch(`{"op":"remove","path":"members[value eq \"`+go1[i]+`\"]"}`)); r.status != 200 {
				t.Errorf("remove: %d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	var got []string
	list, _ := c.want(200, "GET", "/Groups/"+g, "").at("members").([]any)
	for _, m := range list {
		got = append(got, m.(map[string]any)["value"].(string))
	}
	slices.Sort(got)
	slices.Sort(stay)
	if !slices.Equal(got, stay) {
		t.Errorf("members: got %d %v, want %d %v", len(got), got, len(stay), stay)
	}
}

// dumpOf returns every byte of a SQLite database, what is not yet in the main file included.
func dumpOf(t *testing.T, b *bench) []byte {
	t.Helper()
	var all []byte
	for _, end := range []string{"", "-wal"} {
		data, err := os.ReadFile(b.url + end)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}
