package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// imports brings lines as the connector and returns what became of them, and what was refused.
func (a as) imports(lines iter.Seq2[Line, error]) (Tally, []string) {
	a.Helper()
	c, err := a.store.ConnectorByName(a.Context(), "idp")
	if err != nil {
		a.Fatal(err)
	}
	var refused []string
	t, err := Import(a.Context(), a.conf, a.store, c, lines, func(line int, why string) { refused = append(refused, fmt.Sprint(line, " ", why)) })
	if err != nil {
		a.Fatal(err)
	}
	return t, refused
}

func jsonLines(lines ...string) iter.Seq2[Line, error] {
	return JSONLines(strings.NewReader(strings.Join(lines, "\n")))
}

// find returns the user of that name.
func (a as) find(name string) map[string]any {
	a.Helper()
	all := a.want(200, "GET", "/Users?filter=userName%20eq%20%22"+name+"%22", "").at("Resources").([]any)
	if len(all) != 1 {
		a.Fatalf("%d users are called %s", len(all), name)
	}
	return all[0].(map[string]any)
}

func TestAnImportBringsPeopleAsTheirConnectorWould(t *testing.T) {
	on(t, func(b *bench) {
		c, other := b.connector("idp", client.TrustOne, client.PresetStandard), b.connector("other", client.TrustOne, client.PresetStandard)
		there := c.want(201, "POST", "/Users", body("Bob", `,"externalId":"x2","title":"Engineer","displayName":"Bob"`, `"recoveryEmail":"bob@mail.example"`)).id()
		other.want(201, "POST", "/Users", body("theirs", "", ""))
		tally, refused := c.imports(jsonLines(
			`{"userName":"ada","externalId":"x1","active":"True","emails":[{"value":"ada@contoso.example","type":"work"}],"`+userURN+`":{"recoveryEmail":"ada@mail.example","recoveryPhone":"0171 3920001"}}`,
			`{"externalId":"x2","userName":"bob.new","displayName":"Bob"}`,
			``,
			`{"userName":"theirs"}`,
			`{"userName":"broken"`,
			`{"displayName":"nobody"}`,
			`{"userName":"bad","`+userURN+`":{"recoveryEmail":"no address"}}`,
			`{"userName":"ADA","title":"Countess"}`,
			`{"userName":"eve","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"0192d0aa-0000-7000-8000-000000000000"}}}`,
		))
		if want := (Tally{Created: 1, Changed: 2, Refused: 5}); tally != want {
			b.Errorf("got %+v, want %+v", tally, want)
		}
		slices.Sort(refused)
		for i, want := range []string{"4 userName: the value is taken", "5 ", "6 userName: ", "7 ", "9 manager.value: no such resource"} {
			if i >= len(refused) || !strings.HasPrefix(refused[i], want) {
				b.Errorf("refused: %q, want %q", refused, want)
				break
			}
		}
		ada, bob := c.find("ada"), c.find("bob.new")
		if ada["title"] != "Countess" || ada["externalId"] != "x1" || ada["active"] != true || ada["emails"] == nil {
			b.Errorf("a second line took away what it does not name: %v", ada)
		}
		if bob["id"] != there || bob["title"] != "Engineer" {
			b.Errorf("bob is %v", bob)
		}
		ways, err := b.store.Methods(b.Context(), ada["id"].(string))
		if err != nil || len(ways) != 2 {
			b.Fatalf("%d ways, %v", len(ways), err)
		}
		for _, m := range ways {
			if m.Root != own(c.id) || !m.UsableFrom.After(b.now) {
				b.Errorf("%s stands on %v and rests until %v: want the connector, and a hold as a request has", m.Kind, m.Root, m.UsableFrom)
			}
		}
		if ways, _ := b.store.Methods(b.Context(), there); len(ways) != 1 || ways[0].Status != method.Active {
			b.Errorf("a line without an address took one away: %+v", ways)
		}
		for id, want := range map[string][]event.Type{ada["id"].(string): {event.PersonUpdated, event.MethodProvisioned, event.MethodProvisioned, event.PersonCreated}} {
			events, err := b.store.EventsOf(b.Context(), id, "", 10)
			var got []event.Type
			for _, e := range events {
				got = append(got, e.Type)
				if e.Actor != "connector:"+c.id {
					b.Errorf("%s was done by %s", e.Type, e.Actor)
				}
			}
			if slices.Sort(got); err != nil || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				b.Errorf("events %v, %v; want %v", got, err, want)
			}
		}
		if other.find("theirs")["title"] != nil {
			b.Error("another connector's person was touched")
		}
	})
}

func TestAnImportOfAnotherPersonsAddressIsRefusedItAsARequestIs(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		var lines []string
		for i := range 5 {
			lines = append(lines, body(fmt.Sprint("user", i), "", `"recoveryEmail":"shared@mail.example"`))
		}
		if tally, refused := c.imports(jsonLines(lines...)); tally.Created != 5 {
			b.Fatalf("%+v, %v", tally, refused)
		}
		usable := 0
		for i := range 5 {
			all, err := b.store.Methods(b.Context(), c.find(fmt.Sprint("user", i))["id"].(string))
			if err != nil || len(all) != 1 {
				b.Fatalf("%d methods, %v", len(all), err)
			}
			if all[0].Status == method.Active {
				usable++
			}
		}
		if usable != maxShared {
			b.Errorf("%d people can use one address, want %d", usable, maxShared)
		}
		// A name that comes back inherits nothing, in an import either.
		c.want(204, "DELETE", "/Users/"+c.find("user0")["id"].(string), "")
		c.imports(jsonLines(body("user0", "", `"recoveryEmail":"zero@mail.example"`), body("new", "", `"recoveryEmail":"new@mail.example"`)))
		for name, held := range map[string]bool{"user0": true, "new": false} {
			all, err := b.store.Methods(b.Context(), c.find(name)["id"].(string))
			if err != nil || len(all) != 1 || all[0].UsableFrom.After(b.now) != held {
				b.Errorf("%s: %+v, %v; want held %t", name, all, err, held)
			}
		}
	})
}

// footprint is every row an import could write.
func footprint(b *bench, connector string) string {
	people, err := b.store.PeopleNamed(b.Context(), connector, nil, personNames(0, 30))
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, p := range people {
		events, err := b.store.EventsOf(b.Context(), p.ID, "", 100)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, fmt.Sprint(p.ID, " ", p.Version, " ", p.Updated, " ", len(events)))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func personNames(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint("person", i))
	}
	return all
}

func peopleLines(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, body(fmt.Sprint("person", i), fmt.Sprintf(`,"externalId":"%d","active":true,"emails":[{"value":"p%d@contoso.example","type":"work","primary":true}]`, i, i),
			fmt.Sprintf(`"recoveryEmail":"p%d@mail.example"`, i)))
	}
	return strings.Join(out, "\n")
}

func TestASecondIdenticalImportWritesNothing(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		if tally, refused := c.imports(jsonLines(peopleLines(0, 30))); tally != (Tally{Created: 30}) {
			b.Fatalf("%+v %v", tally, refused)
		}
		before := footprint(b, c.id)
		b.now = b.now.Add(time.Hour)
		if tally, refused := c.imports(jsonLines(peopleLines(0, 30))); tally != (Tally{Same: 30}) {
			b.Errorf("%+v %v", tally, refused)
		}
		if after := footprint(b, c.id); after != before || strings.Count(after, "\n") != 29 {
			b.Errorf("something was written:\n%s\nbefore\n%s", after, before)
		}
	})
}

// cut is a file whose reader ends the run in the middle.
type cut struct {
	io.Reader
	left int
	end  func()
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.end()
	}
	n, err := c.Reader.Read(p[:min(len(p), 4096)])
	c.left -= n
	return n, err
}

func TestAnImportThatWasBrokenOffGoesOnWhenItIsRunAgain(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		const n = 2*importChunk + 500
		by, err := b.store.ConnectorByName(b.Context(), "idp")
		if err != nil {
			b.Fatal(err)
		}
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `{"userName":"person%d","externalId":"%d"}`+"\n", i, i)
		}
		ctx, cancel := context.WithCancel(b.Context())
		first, err := Import(ctx, b.conf, b.store, by, JSONLines(&cut{strings.NewReader(text.String()), text.Len() * 9 / 10, cancel}), func(line int, why string) { b.Errorf("line %d: %s", line, why) })
		if err == nil {
			b.Fatal("nothing broke it off")
		}
		second, refused := c.imports(JSONLines(strings.NewReader(text.String())))
		if second.Created+second.Same != n || second.Refused != 0 || second.Same < importChunk || second.Same < first.Created {
			b.Errorf("first %+v, then %+v %v", first, second, refused)
		}
		if got := c.want(200, "GET", "/Users?count=0", "").at("totalResults"); got != float64(n) {
			b.Errorf("%v people, want %d", got, n)
		}
	})
}

func TestATableIsReadByTheNamesOfItsColumns(t *testing.T) {
	read := func(text string) (out []string) {
		for l, err := range CSV(strings.NewReader(text)) {
			body, _ := json.Marshal(l.Body)
			out = append(out, fmt.Sprint(l.Number, " ", string(body), " ", err))
		}
		return out
	}
	got := read("\ufeffuserName;externalId;active;name.givenName;emails.work;emails.home;department;recoveryEmail;manager\n" +
		"ada;x1;True;Ada;ada@contoso.example;ada@home.example;Engines;ada@mail.example;\n" +
		"bob;;;\"Bob\nBobson\";;;;;boss\n" +
		"short;1\n" +
		"eve;;;;;;;;\n")
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	want := []string{
		`2 {"active":"True","emails":[{"primary":true,"type":"work","value":"ada@contoso.example"},{"type":"home","value":"ada@home.example"}],"externalId":"x1","name":{"givenName":"Ada"},"` +
			enterprise + `":{"department":"Engines"},"` + userURN + `":{"recoveryEmail":"ada@mail.example"},"userName":"ada"} <nil>`,
		`3 {"name":{"givenName":"Bob\nBobson"},"` + enterprise + `":{"manager":{"value":"boss"}},"userName":"bob"} <nil>`,
		`5 null 2 columns, want 9`,
		`6 {"userName":"eve"} <nil>`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for text, want := range map[string]string{
		"externalId\nx\n":        "no column userName",
		"userName,nonsense\nx,y": `column "nonsense": no attribute of a person that can be written`,
		"userName,USERNAME\nx,y": "is there twice",
		"userName,groups\nx,y":   "that can be written",
		"userName,name\nx,y":     "want one of its parts",
		"":                       "the names of the columns: EOF",
		"userName\n\"x\n":        "extraneous or missing",
	} {
		if got := read(text); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	tally, refused := c.imports(CSV(strings.NewReader("userName,active,emails.work,recoveryEmail\nada,False,ada@contoso.example,ada@mail.example\nshort\nbob,TRUE,,\n")))
	if tally != (Tally{Created: 2, Refused: 1}) || len(refused) != 1 || refused[0] != "3 1 columns, want 4" {
		t.Errorf("%+v %v", tally, refused)
	}
	if p, err := b.store.PeopleNamed(t.Context(), c.id, nil, []string{account.Fold("ADA")}); err != nil || len(p) != 1 || p[0].Active || p[0].Emails[0].Value != "ada@contoso.example" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAnImportIntoWhatMayNotWriteIsRefused(t *testing.T) {
	b := newBench(t, store.SQLite)
	for _, c := range []client.Connector{{Preset: client.PresetStandard, ReadOnly: true}, {Preset: client.PresetStandard, Uses: []client.Use{client.UseGroups}}} {
		if _, err := Import(t.Context(), b.conf, b.store, &c, jsonLines(`{"userName":"ada"}`), func(int, string) {}); err == nil || !strings.Contains(err.Error(), "may not write users") {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
