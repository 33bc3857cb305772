package app

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// feed is an identity provider that provisions: it sends what one was recorded to send.
type feed struct {
	t           *testing.T
	base, token string
	kind        string // content type
}

// sends makes one request and returns the status and the id in the answer. A body that is named is a recorded one.
func (s feed) sends(verb, path, recorded string, replace ...string) (status int, id string) {
	s.t.Helper()
	var body io.Reader
	if recorded != "" {
		text, err := os.ReadFile(filepath.Join("../provision/testdata", recorded))
		if err != nil {
			s.t.Fatal(err)
		}
		body = strings.NewReader(strings.NewReplacer(replace...).Replace(string(text)))
	}
	r, err := http.NewRequestWithContext(context.Background(), verb, s.base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", s.kind)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, after, ok := bytes.Cut(text, []byte(`"id":"`)); ok {
		name, _, _ := bytes.Cut(after, []byte(`"`))
		id = string(name)
	}
	return res.StatusCode, id
}

// connects makes a connector in the console and returns the address and the secret that the page shows.
func (g *guest) connects(base, provider, name string) (address, secret string) {
	g.t.Helper()
	g.Open(base + "/console/connectors")
	if strings.HasPrefix(g.URL(), base+"/step-up") || !strings.HasPrefix(g.URL(), base) {
		g.stepUp("emil")
		g.Open(base + "/console/connectors")
	}
	g.at(200, "/console/connectors")
	g.Click("input[name=provider][value=" + provider + "]")
	g.Fill("#name", name)
	g.Follow("form[action='/console/connectors'] button")
	return g.Text("#address"), g.Text("#secret")
}

func TestAnAdministratorConnectsAnIdentityProviderAndSeesTheLightTurnOn(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"emil": {method.Email}},
		users: func(u *testserver.OIDCUser) { u.Claims["groups"] = []string{"account-admins"} }})
	if _, _, err := h.admin().CreateRole(t.Context(), "administrator", RoleSource{Claim: "work:groups=account-admins"}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	g := h.guest(t)
	g.Open(h.base + "/console")
	g.password("emil")
	if strings.HasPrefix(g.URL(), h.idp.Issuer) {
		g.stepUp("emil")
	}
	g.at(200, "/console")
	g.Open(h.base + "/console/connectors")
	g.MustAxe("connect your identity provider")

	address, secret := g.connects(h.base, "entra", "entra")
	if address != h.base+"/scim/v2" || !strings.HasPrefix(secret, "rgn_scim_") {
		t.Fatalf("%q %q", address, secret)
	}
	g.says("Tenant URL", "Secret token", "Enterprise apps", "Provision on demand")
	g.MustAxe("a new secret, step by step")
	g.Follow("main a.btn")
	g.at(200, "/console/connectors/entra")
	g.says("Waiting for the first request", "looks again by itself")
	g.MustAxe("waiting for the first request")

	// The secret was cut when it was copied: the page says what can be said.
	cut := feed{t, address, secret[:len(secret)-5], "application/scim+json"}
	if status, _ := cut.sends("GET", "/Users?filter=userName+eq+%22x%22", ""); status != 401 {
		t.Fatalf("a cut secret: %d", status)
	}
	eventually(t, "the page tells of a secret that was cut", func() bool {
		g.Reload()
		return strings.Contains(g.Text("main"), "cut off or changed on its way")
	})

	// What Entra was recorded to send: the page, left alone, sees the first of it.
	entra := feed{t, address, secret, "application/scim+json"}
	if status, _ := entra.sends("GET", "/Users?filter=userName+eq+%22ada%40contoso.example%22", ""); status != 200 {
		t.Fatalf("the connection test of Entra: %d", status)
	}
	g.WaitFor(".lamp.ok")
	g.says("Connected", "GET Users, answered with 200")
	g.MustAxe("connected")
	_, ada := entra.sends("POST", "/Users", "entra-create.json")
	entra.sends("PATCH", "/Users/"+ada, "entra-update.json")
	_, group := entra.sends("POST", "/Groups", "entra-group.json")
	if status, _ := entra.sends("PATCH", "/Groups/"+group, "entra-member.json", "USER", ada); status != 204 {
		t.Errorf("a member: %d", status)
	}

	// It is bent to otherwise, and the secret stays: from now on an answer has the group in it.
	g.Open(h.base + "/console/connectors/entra")
	g.Click(".folds details:has(.switches) summary")
	browser.Eval[string](g.Page, `document.querySelector("#rule-brief-patch").value = "off"`)
	g.Follow("form[action$='/bend'] button")
	g.at(200, "/console/connectors/entra")
	eventually(t, "the rule is in force on both replicas", func() bool {
		one, _ := entra.sends("PATCH", "/Groups/"+group, "entra-member.json", "USER", ada)
		two, _ := entra.sends("PATCH", "/Groups/"+group, "entra-member.json", "USER", ada)
		return one == 200 && two == 200
	})
	c, err := h.admin().Connector(t.Context(), "entra")
	if err != nil || c.Preset != client.PresetEntra || c.SwitchesText() != "brief-patch=off" || len(c.Tokens) != 1 {
		t.Errorf("%+v, %v", c, err)
	}

	// What fails is told with what it was and how it was answered.
	if status, _ := entra.sends("POST", "/Users", "../recorded_test.go"); status != 400 {
		t.Fatalf("something else than JSON: %d", status)
	}
	eventually(t, "the light is red", func() bool {
		g.Open(h.base + "/console/connectors/entra")
		return g.Count(".lamp.bad") == 1
	})
	g.says("The last request failed", "POST Users was answered with 400")
	g.MustAxe("the last request failed")

	// Okta, with scripts off: everything is there to be selected and read.
	g.DisableScripts()
	address, secret = g.connects(h.base, "okta", "okta")
	g.says("SCIM connector base URL", "Unique identifier field for users", "Test Connector Configuration")
	g.Follow("main a.btn")
	okta := feed{t, address, secret, "application/scim+json; charset=utf-8"}
	if status, _ := okta.sends("GET", "/Users?startIndex=1&count=2", ""); status != 200 {
		t.Fatalf("the connection test of Okta: %d", status)
	}
	if status, _ := okta.sends("POST", "/Users", "okta-create.json", "ada@", "otto@"); status != 201 {
		t.Errorf("a person of Okta: %d", status)
	}
	eventually(t, "the light of Okta is on", func() bool {
		g.Open(h.base + "/console/connectors/okta?with=okta")
		return g.Count(".lamp.ok") == 1
	})
}
