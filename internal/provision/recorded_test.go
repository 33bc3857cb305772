package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
)

// recorded reads one request as an identity provider sends it.
func recorded(t *testing.T, name string, replace ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(data))
}

func TestEntraProvisionsAPersonWithContacts(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("entra", client.TrustOne, client.PresetEntra)
		if r := c.want(200, "GET", "/Users?filter=userName+eq+%22ada%40contoso.example%22", ""); r.at("totalResults") != 0.0 {
			b.Errorf("nobody: %s", r.body)
		}
		id := c.want(201, "POST", "/Users", recorded(b.T, "entra-create.json")).id()
		p := b.person(id)
		if !p.Active || p.ExternalID != "6f0c-ada" || p.GivenName != "Ada" || p.FamilyName != "Brandt" || b.ways(id)["+491713920001"].Kind != method.SMS || b.ways(id)["ada@mail.example"].Kind != method.Email {
			b.Errorf("person %+v, methods %+v", p, b.ways(id))
		}
		c.want(200, "PATCH", "/Users/"+id, recorded(b.T, "entra-update.json"))
		if p := b.person(id); p.DisplayName != "Ada B." || p.GivenName != "Ada-Marie" || b.ways(id)["+491713920009"].Attribute != recoveryPhone {
			b.Errorf("person %+v, methods %+v", p, b.ways(id))
		}
		g := c.want(201, "POST", "/Groups", recorded(b.T, "entra-group.json")).id()
		c.want(204, "PATCH", "/Groups/"+g, recorded(b.T, "entra-member.json", "USER", id))
		if in, err := b.store.Memberships(b.Context(), id); err != nil || len(in) != 1 || in[0].Group != "Everybody" {
			b.Errorf("groups: %+v, %v", in, err)
		}
		epoch := p.Epoch
		c.want(200, "PATCH", "/Users/"+id, recorded(b.T, "entra-disable.json"))
		if p := b.person(id); p.Active || p.Epoch != epoch+1 {
			b.Errorf("disabled: %+v", p)
		}
		if r := c.want(200, "GET", "/Users?filter=externalId+eq+%226f0c-ada%22", ""); r.at("totalResults") != 1.0 {
			b.Errorf("a disabled person must stay visible: %s", r.body)
		}
		c.want(204, "DELETE", "/Users/"+id, "")
		if r := c.want(200, "GET", "/Groups/"+g, ""); strings.Contains(r.body, id) {
			b.Errorf("a deleted member: %s", r.body)
		}
	})
}

func TestOktaProvisionsAPersonAndWritesBackWhatItRead(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("okta", client.TrustAll, client.PresetStandard)
		const kind = "application/scim+json; charset=utf-8"
		c.want(200, "GET", "/Users?startIndex=1&count=2", "")
		made := c.want(201, "POST", "/Users", recorded(b.T, "okta-create.json"), "Content-Type", kind)
		id := made.id()
		if made.at("password") != nil || strings.Contains(made.body, "Mypass") || b.person(id).Language != "en-US" || b.rests(id, "ada@mail.example") != 0 {
			b.Errorf("created: %s, %+v", made.body, b.ways(id))
		}
		b.now = b.now.Add(time.Hour)
		before := c.want(200, "GET", "/Users/"+id, "")
		if put := c.want(200, "PUT", "/Users/"+id, before.body, "Content-Type", kind); put.body != before.body {
			b.Errorf("PUT of what was read changed it:\n%s\n%s", before.body, put.body)
		}
		put := c.want(200, "PUT", "/Users/"+id, strings.Replace(before.body, `"recoveryPhone":"+1 212-555-0142"`, `"recoveryPhone":"+1 212-555-0143"`, 1), "Content-Type", kind)
		if put.ext(recoveryPhone) != "+1 212-555-0143" || b.rests(id, "+12125550143") != 24*time.Hour || b.rests(id, "+12125550142") != -1 || len(b.ways(id)) != 2 {
			b.Errorf("PUT with another number: %s, %+v", put.body, b.ways(id))
		}
		// A list that still shows the number that goes does not bring it back, even when the list says something new, too.
		both := strings.NewReplacer(`"recoveryPhone":"+1 212-555-0143"`, `"recoveryPhone":"+1 212-555-0144"`, `"type":"email",`, `"type":"email","display":"home",`).Replace(put.body)
		c.want(200, "PUT", "/Users/"+id, both, "Content-Type", kind)
		if b.rests(id, "+12125550143") != -1 || b.rests(id, "+12125550144") != 24*time.Hour || b.ways(id)["ada@mail.example"].Display != "home" {
			b.Errorf("PUT of an old list: %+v", b.ways(id))
		}
		c.want(200, "PATCH", "/Users/"+id, recorded(b.T, "okta-disable.json"), "Content-Type", kind)
		if b.person(id).Active {
			b.Error("still active")
		}
		c.want(409, "POST", "/Users", recorded(b.T, "okta-create.json"), "Content-Type", kind)
	})
}
