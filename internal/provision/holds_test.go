package provision

import (
	"fmt"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

const contactsOfAda = `"recoveryEmail":"ada@mail.example","recoveryPhone":"+491713920001"`

// rests says until when a destination of a person rests, from now on; -1 when they do not have it.
func (b *bench) rests(id, to string) time.Duration {
	b.Helper()
	m, ok := b.ways(id)[to]
	switch {
	case !ok:
		return -1
	case m.UsableFrom.IsZero():
		return 0
	}
	return m.UsableFrom.Sub(b.now)
}

func (b *bench) wantRest(about, id, to string, want time.Duration) {
	b.Helper()
	if got := b.rests(id, to); got != want {
		b.Errorf("%s: %s rests %v, want %v", about, to, got, want)
	}
}

const day = 24 * time.Hour

func TestOnlyAFirstProvisioningByATrustedSourceCountsAtOnce(t *testing.T) {
	on(t, func(b *bench) {
		for _, test := range []struct {
			trust client.Trust
			want  time.Duration
		}{{client.TrustNone, day}, {client.TrustOne, day}, {client.TrustAll, 0}} {
			c := b.connector("idp-"+string(test.trust), test.trust, client.PresetStandard)
			name := "ada-" + string(test.trust)
			id := c.want(201, "POST", "/Users", body(name, `,"externalId":"`+name+`"`, `"recoveryEmail":"ada@mail.example"`)).id()
			b.wantRest(name, id, "ada@mail.example", test.want)
			trusts, err := b.store.Trusts(b.Context())
			if err != nil || trusts.Of(b.ways(id)["ada@mail.example"].Root) != test.trust {
				b.Errorf("the method's root is trusted %v, %v; want %s", trusts.Of(b.ways(id)["ada@mail.example"].Root), err, test.trust)
			}
			c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"+491713920002"`))) // later: never at once
			b.wantRest(name+", later", id, "+491713920002", day)
			c.want(204, "DELETE", "/Users/"+id, "")
			// Deleted and created again is not the first time, neither by the name nor by the external id.
			again := c.want(201, "POST", "/Users", body(name, "", `"recoveryEmail":"ada@mail.example"`)).id()
			b.wantRest(name+", created again", again, "ada@mail.example", day)
			other := c.want(201, "POST", "/Users", body(name+"2", `,"externalId":"`+name+`"`, `"recoveryEmail":"ada@mail.example"`)).id()
			b.wantRest(name+", external id again", other, "ada@mail.example", day)
			for _, u := range []string{again, other} {
				c.want(204, "DELETE", "/Users/"+u, "")
			}
		}
	})
}

func TestANameIsForgottenAfterThirtyDays(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		c.want(204, "DELETE", "/Users/"+c.want(201, "POST", "/Users", body("ada", "", "")).id(), "")
		b.now = b.now.Add(30*day + time.Second)
		id := c.want(201, "POST", "/Users", body("ADA", "", contactsOfAda)).id()
		b.wantRest("after thirty days", id, "ada@mail.example", 0)
	})
}

func TestWhatSomebodyHadYesterdayIsNotHeldAgain(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", contactsOfAda)).id()
		move := func(from, to, value string) {
			b.Helper()
			c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+":"+from+`"}`))
			c.want(200, "PATCH", "/Users/"+id, patch(set(to, value)))
		}
		b.now = b.now.Add(time.Hour) // it stays held, by whatever attribute it comes
		move(recoveryPhone, alternatePhone, `"0171 3920001"`)
		b.wantRest("moved while held", id, "+491713920001", day)
		b.now = b.now.Add(2 * day)
		move(alternatePhone, recoveryPhone, `"+49 171 3920001"`)
		b.wantRest("moved two days later", id, "+491713920001", 0)
		// A longer hold is not got out of by moving once a day is over.
		hold := policy.Span(3 * day)
		b.policy = policy.Policy{Rules: []policy.Rule{{Name: "everyone", Hold: &hold}}}
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"+491713920009"`)))
		b.now = b.now.Add(day + time.Hour)
		move(recoveryPhone, alternatePhone, `"+491713920009"`)
		b.wantRest("moved within a longer hold", id, "+491713920009", 2*day-time.Hour)
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+":"+alternatePhone+`"}`))
		b.now = b.now.Add(10 * day)
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"+491713920009"`)))
		b.wantRest("back after ten days", id, "+491713920009", 3*day)
	})
}

func TestThePolicyAndAResetSayHowLongAHoldIs(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		none, long := policy.Span(0), policy.Span(48*time.Hour)
		b.policy = policy.Policy{Rules: []policy.Rule{{Name: "careful", Groups: []string{"Board"}, Hold: &long}, {Name: "everyone", Except: []string{"Guests"}, Hold: &none}}}
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"a@mail.example"`)).id()
		b.wantRest("no hold", id, "a@mail.example", 0)
		group := func(name string) string {
			return c.want(201, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+name+`","members":[{"value":"`+id+`"}]}`).id()
		}
		board := group("board")
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"b@mail.example"`)))
		b.wantRest("by group", id, "b@mail.example", 48*time.Hour)
		c.want(204, "DELETE", "/Groups/"+board, "")
		group("guests")
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"c@mail.example"`)))
		b.wantRest("nobody's rule", id, "c@mail.example", day)

		b.policy = policy.Policy{Rules: []policy.Rule{{Name: "everyone", Hold: &none}}}
		if _, err := b.store.UpdatePerson(b.Context(), id, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			p.HoldUntil = b.now.Add(7 * time.Hour)
			return nil, nil
		}); err != nil {
			b.Fatal(err)
		}
		c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"d@mail.example"`)))
		b.wantRest("after a reset", id, "d@mail.example", 7*time.Hour)
	})
}

func TestOneDestinationServesThreePeople(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		for i := range 4 {
			made := c.want(201, "POST", "/Users", body(fmt.Sprint("u", i), "", `"recoveryPhone":"+49 171 3920001"`))
			m := b.ways(made.id())["+491713920001"]
			want := method.Active
			if i == 3 {
				want = method.Disabled
			}
			if m.Status != want || made.ext(recoveryPhone) != "+49 171 3920001" {
				b.Errorf("person %d: %s, %v", i, m.Status, made.ext(recoveryPhone))
			}
			if i == 2 { // who has it already is not one more
				c.want(200, "PATCH", "/Users/"+made.id(), patch(`{"op":"remove","path":"`+userURN+`:recoveryPhone"}`))
				c.want(200, "PATCH", "/Users/"+made.id(), patch(set(recoveryPhone, `"+491713920001"`)))
				c.want(201, "POST", "/AuthenticationMethods", wayBody(made.id(), "voice", `,"phone":{"number":"+491713920001"}`))
				all, err := b.store.Methods(b.Context(), made.id())
				if err != nil || len(all) != 3 || all[1].Status != method.Active || all[2].Status != method.Active {
					b.Errorf("the third person's own: %+v, %v", all, err)
				}
				continue
			}
			if i == 3 {
				e := b.events(made.id())[1]
				if e.Type != event.MethodProvisioned || e.Outcome != event.Failure || e.Data["refused"] != "shared" {
					b.Errorf("event: %+v", e)
				}
			}
		}
	})
}

func TestACorporateAddressIsKeptAndNeverCounts(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		for _, address := range []string{"ada@contoso.example", "ada@Mail.Contoso.Example"} {
			made := c.want(201, "POST", "/Users", body(address, "", `"recoveryEmail":"`+address+`"`))
			m := b.ways(made.id())[address]
			if m.Status != method.Disabled || made.ext(recoveryEmail) != address {
				b.Errorf("%s: %s, %s", address, m.Status, made.body)
			}
			if e := b.events(made.id())[1]; e.Data["refused"] != "corporate" || e.Outcome != event.Failure {
				b.Errorf("event: %+v", e)
			}
		}
	})
}

func TestADestinationIsOnePlainAddressOrNumber(t *testing.T) {
	b := newBench(t, "sqlite")
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	for _, bad := range []string{"ada", "ada@", "@x.example", "a@b@c.example", "a@x.example,b@x.example", "a@x.example;b@x.example", "a@x.example b@x.example",
		"Ada <a@x.example>", "<a@x.example>", `\"a b\"@x.example`, "a@x.example\\r\\nBcc: b@x.example", "a\\n@x.example", "a@[127.0.0.1]", "a@localhost", "a@-x.example", "a..b@x.example",
		".a@x.example", "a@x..example", "a@x.example.", "ä@x.example", "a@exämple.org", "a@x.example\\t", " a@x.example", "a(c)@x.example", "a@x.example (c)"} {
		c.refused(recoveryEmail, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"`+bad+`"`)))
	}
	for _, bad := range []string{"12", "+49", "+49 171", "0800 FLOWERS", "+49 171 3920001 ext. 5", "+49 171 3920001;ext=5", "+49 171 3920001, +49 171 3920002", "++491713920001",
		"+491713920001+491713920002", "+999 171 3920001", "0900 1234567", "+49 171\\n3920001", "٠١٧١٣٩٢٠٠٠١", "911", "110"} {
		c.refused(recoveryPhone, "PATCH", "/Users/"+id, patch(set(recoveryPhone, `"`+bad+`"`)))
		c.refused(alternatePhone, "POST", "/Users", body("ben", "", `"alternatePhone":"`+bad+`"`))
	}
	if n := len(b.ways(id)); n != 0 {
		t.Errorf("%d methods", n)
	}
	for good, want := range map[string]string{"0171 392-0001": "+491713920001", "+44 (0)7911 123456": "+447911123456", "tel:+49-171-3920001": "+491713920001", "00441632960961": ""} {
		r := c.do("PATCH", "/Users/"+id, patch(set(recoveryPhone, `"`+good+`"`)))
		if want == "" {
			continue
		}
		if _, ok := b.ways(id)[want]; !ok || r.ext(recoveryPhone) != good {
			t.Errorf("%s: want %s: %s", good, want, r.body)
		}
	}
	for _, good := range []string{"ada@mail.example", "a.b+c@x-y.example", "O'Hara_%@sub.mail.example"} {
		if r := c.want(200, "PATCH", "/Users/"+id, patch(set(recoveryEmail, `"`+good+`"`))); r.ext(recoveryEmail) != good {
			t.Errorf("%s: %s", good, r.body)
		}
	}
	// The organisation's own list of addresses is told of things: no second line there either.
	c.refused("emails.value", "PATCH", "/Users/"+id, patch(`{"op":"add","path":"emails","value":[{"value":"a@x.example\r\nBcc: b@x.example"}]}`))
}

func TestMethodsAreLimited(t *testing.T) {
	b := newBench(t, "sqlite")
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	var last int
	for i := range maxRemoved + 3 {
		last = c.do("PATCH", "/Users/"+id, patch(set(recoveryEmail, fmt.Sprintf(`"a%d@mail.example"`, i)))).status
	}
	if last != 429 {
		t.Errorf("after %d changes: %d", maxRemoved+3, last)
	}
}

func FuzzADestinationIsNeverTwo(f *testing.F) {
	for _, s := range []string{"ada@mail.example", "+491713920001", "a@b,c@d", "tel:+49 (0) 171", "\r\n"} {
		f.Add(s)
	}
	s := &service{Config: Config{Region: "DE"}}
	f.Fuzz(func(t *testing.T, text string) {
		if to, err := plainAddress("x", text); err == nil {
			if to != text || len(to) > method.MaxAddress {
				t.Errorf("%q became %q", text, to)
			}
			at := 0
			for _, c := range []byte(to) {
				if c <= ' ' || c > '~' || c == ',' || c == ';' || c == '<' || c == '>' || c == '"' || c == '(' || c == ':' || c == '\\' {
					t.Errorf("%q holds %q", to, c)
				}
				if c == '@' {
					at++
				}
			}
			if at != 1 {
				t.Errorf("%q has %d @", to, at)
			}
		}
		to, err := s.number("x", text)
		if err != nil {
			return
		}
		if again, err := s.number("x", to); err != nil || again != to || len(to) > 16 || to[0] != '+' {
			t.Errorf("%q became %q, then %q, %v", text, to, again, err)
		}
	})
}
