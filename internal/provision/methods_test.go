package provision

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

func wayBody(user, kind, more string) string {
	return `{"schemas":["` + methodURN + `"],"user":{"value":"` + user + `"},"type":"` + kind + `"` + more + `}`
}

const seedText = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890

func TestAMethodIsCreatedShownChangedAndDeleted(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustAll, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", `,"displayName":"Ada"`, "")).id()
		version := func() any { return c.want(200, "GET", "/Users/"+id, "").at("meta", "version") }
		was := version()
		made := map[string]reply{}
		for kind, more := range map[string]string{
			"email":    `,"email":{"address":"Ada@mail.example"},"display":"private"`,
			"sms":      `,"phone":{"number":"0171 3920001","kind":"mobile"},"primary":true`,
			"voice":    `,"phone":{"number":"+49 30 901820"}`,
			"totp":     `,"totp":{"secret":"` + strings.ToLower(seedText) + `","algorithm":"sha256","digits":8}`,
			"hotp":     `,"totp":{"secret":"` + seedText + `","counter":7}`,
			"external": `,"external":{"system":"push","id":"device-1"},"usage":["reset"]`,
		} {
			r := c.want(201, "POST", "/AuthenticationMethods", wayBody(id, kind, more))
			made[kind] = r
			if r.at("user", "value") != id || r.at("user", "display") != "Ada" || r.at("type") != kind || r.at("status") != "active" || r.at("createdBy") != "connector" ||
				!strings.HasSuffix(fmt.Sprint(r.at("user", "$ref")), "/scim/v2/Users/"+id) || r.header.Get("Location") != "https://id.example.org/scim/v2/AuthenticationMethods/"+r.id() {
				b.Errorf("%s: %s", kind, r.body)
			}
			if got := c.want(200, "GET", "/AuthenticationMethods/"+r.id(), ""); got.body != r.body {
				b.Errorf("%s: GET differs from POST:\n%s\n%s", kind, r.body, got.body)
			}
			if strings.Contains(strings.ToUpper(r.body), seedText) || strings.Contains(r.body, "secret") {
				b.Errorf("%s: the seed came back: %s", kind, r.body)
			}
		}
		if now := version(); now == was {
			b.Error("the user shows new methods under an old version")
		}
		if made["sms"].at("phone", "number") != "0171 3920001" || made["sms"].at("phone", "kind") != "mobile" || made["sms"].at("primary") != true ||
			made["email"].at("email", "address") != "Ada@mail.example" || made["email"].at("display") != "private" || made["external"].at("external", "id") != "device-1" ||
			made["external"].at("external", "system") != "push" || made["totp"].at("totp", "algorithm") != "SHA256" || made["totp"].at("totp", "digits") != 8.0 || made["totp"].at("totp", "period") != 30.0 {
			b.Errorf("what was sent does not come back: %v", made)
		}
		totp, err := b.store.MethodOf(b.Context(), made["totp"].id(), "")
		if err != nil || string(totp.Secret) != "12345678901234567890" || totp.Algorithm != "SHA256" || totp.Digits != 8 || totp.Period != 30 || totp.Root != own(c.id) || !totp.UsableFrom.Equal(noon.Add(day)) {
			b.Errorf("totp: %+v, %v", totp, err)
		}
		if hotp, err := b.store.MethodOf(b.Context(), made["hotp"].id(), ""); err != nil || hotp.LastStep != 6 || hotp.Digits != 6 {
			b.Errorf("hotp: %+v, %v", hotp, err)
		}
		if sms := b.ways(id)["+491713920001"]; sms.Kind != method.SMS || !sms.UsableFrom.Equal(noon.Add(day)) {
			b.Errorf("sms: %+v", sms)
		}

		// Filters, and the same through the user.
		for filter, want := range map[string]int{`user.value eq "` + id + `" and type eq "sms"`: 1, `user.value eq "` + id + `"`: 6, `type eq "SMS"`: 1, `status eq "disabled"`: 0,
			`phone.number eq "0171 3920001"`: 1, `email.address sw "ada@"`: 1, `user.display eq "ada"`: 6, `createdBy eq "connector" and not (type eq "external")`: 5} {
			if got := c.want(200, "GET", "/AuthenticationMethods?filter="+url.QueryEscape(filter), ""); fmt.Sprint(got.at("totalResults")) != fmt.Sprint(want) {
				b.Errorf("%s: %v, want %d", filter, got.at("totalResults"), want)
			}
		}
		c.want(400, "GET", "/AuthenticationMethods?filter="+url.QueryEscape(`totp.secret pr`), "")
		if list, _ := c.want(200, "GET", "/Users/"+id, "").ext(authMethods).([]any); len(list) != 6 {
			b.Errorf("the user shows %v", list)
		}

		// What may change, and what may not.
		mail := "/AuthenticationMethods/" + made["email"].id()
		tag := made["email"].header.Get("ETag")
		c.want(200, "PATCH", mail, patch(`{"op":"replace","path":"display","value":"home"}`), "If-Match", tag)
		c.want(412, "PATCH", mail, patch(`{"op":"replace","path":"display","value":"x"}`), "If-Match", tag)
		if got := c.want(200, "PATCH", mail, patch(`{"op":"replace","path":"display","value":"home"}`)); got.header.Get("ETag") == tag || got.at("display") != "home" {
			b.Errorf("display: %s", got.body)
		}
		for _, op := range []string{`{"op":"replace","path":"email.address","value":"x@mail.example"}`, `{"op":"replace","path":"type","value":"sms"}`, `{"op":"replace","path":"user.value","value":"` + made["sms"].id() + `"}`, `{"op":"remove","path":"email"}`} {
			if r := c.do("PATCH", mail, patch(op)); r.status != 400 {
				b.Errorf("%s: %d %s", op, r.status, r.body)
			}
		}
		if got := c.want(200, "PATCH", mail, patch(`{"op":"replace","path":"status","value":"disabled"}`)); got.at("status") != "disabled" {
			b.Errorf("status: %s", got.body)
		}
		c.refused("status", "PATCH", mail, patch(`{"op":"replace","path":"status","value":"active"}`))
		c.want(204, "DELETE", mail, "")
		c.want(404, "GET", mail, "")
		c.want(404, "DELETE", mail, "")
		all := b.events(id)
		if last := all[len(all)-1]; last.Type != event.MethodRemoved || last.Private["to"] != "A•••@m•••.example" {
			b.Errorf("last event: %+v", last)
		}
		// DELETE of the user takes them along.
		c.want(204, "DELETE", "/Users/"+id, "")
		c.want(404, "GET", "/AuthenticationMethods/"+made["sms"].id(), "")
	})
}

func TestAConnectorBringsNoMoreThanItMay(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustAll, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	post := func(attr, kind, more string) {
		t.Helper()
		c.refused(attr, "POST", "/AuthenticationMethods", wayBody(id, kind, more))
	}
	for _, kind := range []string{"passkey", "recovery-code", "pass", "question", "idp", "vouch"} {
		post("type: a client may bring", kind, "")
		post("type: a client may bring", kind, `,"external":{"system":"a","id":"b"}`)
		c.refused("type: a client may bring", "PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+userURN+`:authenticationMethods","value":[{"type":"`+kind+`","value":"x"}]}`))
	}
	post("type", "carrier-pigeon", "")
	post("email", "email", "")
	post("phone", "email", `,"email":{"address":"a@mail.example"},"phone":{"number":"+491713920001"}`)
	post("email.address", "email", `,"email":{"address":"a@mail.example,b@mail.example"}`)
	post("phone.number", "sms", `,"phone":{"number":"12"}`)
	post("totp.secret", "totp", `,"totp":{"digits":6}`)
	post("totp.secret", "totp", `,"totp":{"secret":"GEZDGNBVGY3TQOJQ"}`)
	post("totp.secret", "totp", `,"totp":{"secret":"not base32 0189 at all"}`)
	post("totp.digits", "totp", `,"totp":{"secret":"`+seedText+`","digits":9}`)
	post("totp.period", "totp", `,"totp":{"secret":"`+seedText+`","period":1}`)
	post("totp.algorithm", "totp", `,"totp":{"secret":"`+seedText+`","algorithm":"MD5"}`)
	post("totp.counter", "totp", `,"totp":{"secret":"`+seedText+`","counter":1}`)
	post("totp.period", "hotp", `,"totp":{"secret":"`+seedText+`","period":30}`)
	post("status", "email", `,"email":{"address":"a@mail.example"},"status":"pending"`)
	post("usage", "email", `,"email":{"address":"a@mail.example"},"usage":["mfa"]`)
	post("display", "email", `,"email":{"address":"a@mail.example"},"display":"`+strings.Repeat("x", maxDisplay+1)+`"`)
	c.want(400, "POST", "/AuthenticationMethods", wayBody("nobody", "email", `,"email":{"address":"a@mail.example"}`))
	if n := len(b.ways(id)); n != 0 {
		t.Errorf("%d methods came to be", n)
	}
	for i := range maxMethods {
		c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "email", fmt.Sprintf(`,"email":{"address":"a%d@mail.example"}`, i)))
	}
	c.want(400, "POST", "/AuthenticationMethods", wayBody(id, "email", `,"email":{"address":"more@mail.example"}`))
}

func TestASeedIsNowhereInClear(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustAll, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "totp", `,"totp":{"secret":"`+seedText+`"}`))
	c.do("POST", "/AuthenticationMethods", wayBody(id, "totp", `,"totp":{"secret":"`+seedText+`","digits":12}`))
	dump := dumpOf(t, b)
	for _, secret := range []string{seedText, "12345678901234567890", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="} {
		if bytes.Contains(dump, []byte(secret)) || strings.Contains(b.log.String(), secret) {
			t.Errorf("%q is in clear", secret)
		}
	}
}

func TestWhatThePersonRegisteredIsTheirs(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryEmail":"ada@mail.example"`)).id()
		mine := []method.Method{
			{Kind: method.Email, Status: method.Active, Root: method.Root{Kind: method.ByPerson, ID: id}, Destination: "private@mail.example", Display: "mine", Created: b.now},
			{Kind: method.RecoveryCode, Status: method.Active, Root: method.Root{Kind: method.ByPerson, ID: id}, Created: b.now},
		}
		if err := b.store.CreateMethods(b.Context(), id, mine, nil); err != nil {
			b.Fatal(err)
		}
		for _, m := range mine {
			path := "/AuthenticationMethods/" + m.ID
			got := c.want(200, "GET", path, "")
			if strings.Contains(got.body, "private@") || got.at("createdBy") != "person" {
				b.Errorf("GET: %s", got.body)
			}
			c.want(403, "PATCH", path, patch(`{"op":"replace","path":"status","value":"disabled"}`))
			c.want(403, "DELETE", path, "")
		}
		user := c.want(200, "GET", "/Users/"+id, "")
		if strings.Contains(user.body, "private@") {
			b.Errorf("the user shows what the person registered: %s", user.body)
		}
		// What was read can be written back, by PUT and by PATCH, and less of it takes nothing of theirs.
		want := b.ways(id)
		c.want(200, "PUT", "/Users/"+id, user.body)
		c.want(200, "PUT", "/Users/"+id, body("ada", "", `"recoveryEmail":"ada@mail.example"`))
		if got := b.ways(id); !reflect.DeepEqual(got, want) {
			b.Errorf("methods: %+v\nwant %+v", got, want)
		}
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+userURN+`:authenticationMethods"}`))
		delete(want, "ada@mail.example")
		if got := b.ways(id); !reflect.DeepEqual(got, want) {
			b.Errorf("methods: %+v\nwant %+v", got, want)
		}
	})
}

func TestTheListOnAUserAddsAndRemoves(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		id := c.want(201, "POST", "/Users", body("ada", "", `"recoveryPhone":"+491713920001","authenticationMethods":[{"type":"email","value":"a@mail.example","display":"home"},{"type":"external","value":"device-1"}]`)).id()
		byResource := c.want(201, "POST", "/AuthenticationMethods", wayBody(id, "email", `,"email":{"address":"resource@mail.example"}`)).id()
		at := userURN + ":authenticationMethods"
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"add","path":"`+at+`","value":[{"type":"SMS","value":"0171 3920002","primary":true}]}`))
		ways := b.ways(id)
		if ways["a@mail.example"].Display != "home" || ways["+491713920002"].Kind != method.SMS || !ways["+491713920002"].Primary || ways["+491713920001"].Primary || len(ways) != 5 {
			b.Errorf("methods: %+v", ways)
		}
		first := ways["a@mail.example"].ID
		got := c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"`+at+`[type eq \"sms\" and value eq \"0171 3920002\"].value","value":"+49 171 3920003"}`))
		if _, old := b.ways(id)["+491713920002"]; old || b.ways(id)["+491713920003"].Status != method.Active {
			b.Errorf("replaced: %s", got.body)
		}
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"replace","path":"`+at+`[value eq \"a@mail.example\"].display","value":"work"}`))
		if m := b.ways(id)["a@mail.example"]; m.ID != first || m.Display != "work" {
			b.Errorf("renamed: %+v", m)
		}
		for _, op := range []string{`{"op":"replace","path":"` + at + `[type eq \"email\"].status","value":"disabled"}`, `{"op":"add","path":"` + at + `","value":[{"type":"totp","value":"x"}]}`, `{"op":"add","path":"` + at + `","value":[{"value":"x@mail.example"}]}`, `{"op":"add","path":"` + at + `","value":[{"type":"email","value":"x@mail.example,y@mail.example"}]}`} {
			if r := c.do("PATCH", "/Users/"+id, patch(op)); r.status != 400 {
				b.Errorf("%s: %d %s", op, r.status, r.body)
			}
		}
		c.want(200, "PATCH", "/Users/"+id, patch(`{"op":"remove","path":"`+at+`"}`))
		if left := b.ways(id); len(left) != 0 {
			b.Errorf("left: %+v", left)
		}
		c.want(404, "GET", "/AuthenticationMethods/"+byResource, "")
	})
}

func TestAHoldEndsAndNothingElseHappens(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	id := c.want(201, "POST", "/Users", body("ada", "", contactsOfAda)).id()
	b.now = b.now.Add(25 * time.Hour)
	c.want(200, "PATCH", "/Users/"+id, patch(set("title", `"t"`)))
	for to, m := range b.ways(id) {
		if !m.Rests(b.now).IsZero() || m.Version != 1 {
			t.Errorf("%s: %+v", to, m)
		}
	}
}
