package provision

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestALookUpIsOneRoundTripAndNoCommit(t *testing.T) {
	b := newBench(t, store.PostgreSQL)
	c := b.connector("idp", client.TrustOne, client.PresetEntra)
	id := c.want(201, "POST", "/Users", body("ada", `,"externalId":"E-1","emails":[{"value":"ada@corp.example","type":"work"}]`, `"recoveryEmail":"ada@home.example"`)).id()
	group := c.want(201, "POST", "/Groups", `{"displayName":"Staff","externalId":"G-1","members":[{"value":"`+id+`"}]}`).id()
	c.want(201, "POST", "/Groups", `{"displayName":"All","members":[{"value":"`+group+`"}]}`)
	wire := storetest.NewWire(t, b.url)
	if _, err := b.store.EnsurePolicy(t.Context(), "system", noon); err != nil {
		t.Fatal(err)
	}
	// As the app has it: the token is known from the request before, and the clock stands still.
	b.conf.Store = storetest.OpenConfig(t, store.Config{URL: wire.URL, Ring: storetest.Ring(), Now: b.conf.Now, Connections: 1}).Cached()
	h, err := New(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	b.srv.Close()
	b.srv = httptest.NewServer(h)
	t.Cleanup(b.srv.Close)
	c.want(200, "GET", "/Users/"+id, "") // that a connector was heard of is noted beside the first request of a minute
	for {
		heard, err := b.store.Heard(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		if !heard.At.IsZero() {
			break
		}
	}
	for _, l := range []struct {
		path, filter string
		trips        int
	}{
		{"/Users/" + id, "", 1},
		{"/Users/" + id + "?attributes=userName", "", 1},
		{"/Users?filter=", `userName eq "ADA"`, 1},
		{"/Users?filter=", `externalId eq "E-1"`, 1},
		{"/Users?filter=", `emails.value eq "ada@corp.example"`, 1},
		{"/Users?filter=", `emails[type eq "work"].value eq "ada@corp.example"`, 1},
		{"/Users?attributes=id&filter=", `userName eq "ADA"`, 1},
		{"/Users?filter=", `userName eq "nobody"`, 1},
		{"/Users?startIndex=1&count=100", "", 1}, // methods and groups of all come with it
		{"/Users?cursor&count=100", "", 1},
		{"/Users?count=1", "", 1}, // a full page: the total was counted a moment ago
		{"/Groups?excludedAttributes=members&filter=", `displayName eq "staff"`, 1},
		{"/Groups?excludedAttributes=members&filter=", `externalId eq "G-1"`, 1},
		{"/Groups?excludedAttributes=members&filter=", `id eq "` + group + `" and members eq "` + id + `"`, 1},
		{"/Groups?filter=", `displayName eq "staff"`, 2}, // and its members
		{"/AuthenticationMethods?filter=", `user.value eq "` + id + `" and type eq "email"`, 1},
	} {
		path := l.path + url.QueryEscape(l.filter)
		c.want(200, "GET", path, "") // from here on the statements are prepared
		var got reply
		trips, commits := wire.Count(func() { got = c.want(200, "GET", path, "") })
		if trips != l.trips || commits != 0 {
			t.Errorf("%s: %d round trips and %d commits, want %d and 0", l.path+l.filter, trips, commits, l.trips)
		}
		if l.filter == `userName eq "ADA"` && l.path == "/Users?filter=" {
			r, _ := got.at("Resources").([]any)
			if len(r) != 1 {
				t.Fatalf("%s", got.body)
			}
			all := reply{json: r[0].(map[string]any)}
			if in, _ := all.at("groups").([]any); len(in) != 2 || all.ext("recoveryEmail") != "ada@home.example" {
				t.Errorf("something is missing: %s", got.body)
			}
		}
	}
}
