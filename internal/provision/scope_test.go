package provision

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
)

const groupHead = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":`

func TestTwoConnectorsCannotSeeEachOther(t *testing.T) {
	on(t, func(b *bench) {
		for _, preset := range []client.Preset{client.PresetStandard, client.PresetEntra, client.PresetStrict} {
			p := string(preset)
			one, two := b.connector("one-"+p, client.TrustOne, preset), b.connector("two-"+p, client.TrustAll, preset)
			ada := one.want(201, "POST", "/Users", body("ada-"+p, `,"externalId":"X","displayName":"Secret Name"`, `"recoveryEmail":"ada@mail.example"`)).id()
			way := b.ways(ada)["ada@mail.example"].ID
			group := one.want(201, "POST", "/Groups", groupHead+`"Secret Group","members":[{"value":"`+ada+`"}]}`).id()
			mine := two.want(201, "POST", "/Users", body("ben-"+p, `,"externalId":"X"`, "")).id() // the same external id is somebody else's
			ownGroup := two.want(201, "POST", "/Groups", groupHead+`"own"}`).id()

			before := fmt.Sprintf("%+v %+v", b.person(ada), b.ways(ada))
			for _, target := range []struct{ path, body, patch string }{
				{"/Users/" + ada, body("thief-"+p, "", ""), patch(`{"op":"replace","path":"active","value":false}`)},
				{"/Groups/" + group, groupHead + `"x"}`, patch(`{"op":"add","path":"members","value":[{"value":"` + mine + `"}]}`)},
				{"/AuthenticationMethods/" + way, wayBody(mine, "email", `,"email":{"address":"x@mail.example"}`), patch(`{"op":"replace","path":"display","value":"x"}`)},
			} {
				two.want(404, "GET", target.path, "")
				two.want(404, "HEAD", target.path, "")
				two.want(404, "PUT", target.path, target.body)
				two.want(404, "PATCH", target.path, target.patch)
				two.want(404, "DELETE", target.path, "")
				two.want(404, "DELETE", target.path, "", "If-Match", `W/"99"`)
			}
			for _, list := range []string{"/Users", "/Groups", "/AuthenticationMethods", "/Users?filter=" + url.QueryEscape(`userName eq "ada-`+p+`"`),
				"/Users?filter=" + url.QueryEscape(`id eq "`+ada+`"`), "/Users?filter=" + url.QueryEscape(`not (userName eq "nobody")`),
				"/Users?filter=" + url.QueryEscape(`groups.display eq "Secret Group"`), "/Users?filter=" + url.QueryEscape(userURN+`:recoveryEmail eq "ada@mail.example"`),
				"/Groups?filter=" + url.QueryEscape(`members.value eq "`+ada+`"`), "/AuthenticationMethods?filter=" + url.QueryEscape(`user.value eq "`+ada+`"`)} {
				if r := two.want(200, "GET", list, ""); strings.Contains(r.body, ada) || strings.Contains(r.body, group) || strings.Contains(r.body, way) || strings.Contains(r.body, "Secret") {
					b.Errorf("%s shows another's: %s", list, r.body)
				}
			}
			// References: refused, or with the preset of Entra dropped; never kept.
			two.do("PATCH", "/Groups/"+ownGroup, patch(`{"op":"add","path":"members","value":[{"value":"`+ada+`"}]}`))
			two.do("PATCH", "/Groups/"+ownGroup, patch(`{"op":"add","path":"members","value":[{"value":"`+group+`"}]}`))
			two.do("PUT", "/Groups/"+ownGroup, groupHead+`"own","members":[{"value":"`+ada+`","type":"User"}]}`)
			two.do("POST", "/Groups", groupHead+`"more","members":[{"value":"`+ada+`"}]}`)
			two.do("POST", "/AuthenticationMethods", wayBody(ada, "email", `,"email":{"address":"x@mail.example"}`))
			two.do("PATCH", "/Users/"+mine, patch(`{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":{"value":"`+ada+`"}}`))
			if r := two.want(200, "GET", "/Groups", ""); strings.Contains(r.body, ada) || strings.Contains(r.body, group) {
				b.Errorf("a member of another connector: %s", r.body)
			}
			if r := one.want(200, "GET", "/Users/"+ada, ""); strings.Contains(r.body, ownGroup) || !strings.Contains(r.body, group) {
				b.Errorf("groups of the person: %s", r.body)
			}
			if after := fmt.Sprintf("%+v %+v", b.person(ada), b.ways(ada)); after != before {
				b.Errorf("the person changed:\n%s\n%s", before, after)
			}
			// A name is one person's, whoever brought them; the refusal says no more than that.
			if r := two.want(409, "POST", "/Users", body("ADA-"+p, "", "")); r.json["scimType"] != "uniqueness" || !strings.Contains(r.body, "userName") || strings.Contains(r.body, "Secret") || strings.Contains(r.body, ada) {
				b.Errorf("conflict: %s", r.body)
			}
			if r := two.want(409, "POST", "/Users", body("other-"+p, `,"externalId":"X"`, "")); !strings.Contains(r.body, "externalId") {
				b.Errorf("conflict: %s", r.body)
			}
		}
	})
}

func TestAnExternalIDIsNeverAnID(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		ada := c.want(201, "POST", "/Users", body("ada", "", "")).id()
		for i, external := range []string{"1", "0", "-1", "admin", ada, strings.ToUpper(ada), uuid.NewString(), "%2e%2e", "../Users"} {
			got := c.want(201, "POST", "/Users", body(fmt.Sprint("u", i), `,"externalId":"`+external+`"`, ""))
			if got.id() == external || got.id() == ada || got.at("externalId") != external {
				b.Errorf("%s: %s", external, got.body)
			}
			if external == ada {
				if r := c.want(200, "GET", "/Users/"+external, ""); r.at("userName") != "ada" {
					b.Errorf("the id of ada is somebody else: %s", r.body)
				}
				continue
			}
			c.want(404, "GET", "/Users/"+url.PathEscape(external), "")
			c.want(404, "DELETE", "/Users/"+url.PathEscape(external), "")
			c.want(400, "POST", "/Groups", groupHead+`"g","members":[{"value":"`+external+`"}]}`)
		}
		if b.person(ada).UserName != "ada" {
			b.Error("ada changed")
		}
	})
}

func TestAListOfManyMembersIsCheckedInFew(t *testing.T) {
	b := newBench(t, "sqlite")
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	var all []string
	for i := range 203 {
		all = append(all, `{"value":"`+c.want(201, "POST", "/Users", body(fmt.Sprint("u", i), "", `"recoveryEmail":"u`+fmt.Sprint(i)+`@mail.example"`)).id()+`"}`)
	}
	g := c.want(201, "POST", "/Groups", groupHead+`"g","members":[`+strings.Join(all, ",")+`]}`)
	if list, _ := g.at("members").([]any); len(list) != len(all) {
		t.Errorf("%d members, want %d", len(list), len(all))
	}
	lost := uuid.NewString()
	if r := c.want(400, "PATCH", "/Groups/"+g.id(), patch(`{"op":"replace","path":"members","value":[`+strings.Join(all, ",")+`,{"value":"`+lost+`"}]}`)); !strings.Contains(r.body, lost) {
		t.Errorf("the answer does not name who is missing: %s", r.body)
	}
	page := c.want(200, "GET", "/Users?count=200", "")
	list, _ := page.at("Resources").([]any)
	for _, e := range list {
		o := e.(map[string]any)
		if x, _ := o[userURN].(map[string]any); x[recoveryEmail] != fmt.Sprint(o["userName"], "@mail.example") {
			t.Fatalf("a list without methods, or with another's: %v", o)
		}
	}
	if len(list) != 200 {
		t.Errorf("%d resources", len(list))
	}
}
