package provision

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
)

// heardOf is what was last heard of a connector, once it is written down.
func (b *bench) heardOf(connector string) client.LastHeard {
	b.Helper()
	b.settle()
	h, err := b.store.Heard(b.Context(), connector)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func TestTheLastUseIsNotedOnceAMinute(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		last := func() time.Time {
			b.settle()
			got, err := b.store.ConnectorByName(b.Context(), "idp")
			if err != nil || got == nil {
				b.Fatal(err)
			}
			return got.Last
		}
		c.want(200, "GET", "/Users", "")
		b.now = b.now.Add(59 * time.Second)
		c.want(200, "GET", "/Users", "")
		if !last().Equal(noon) {
			b.Errorf("last use %v, want %v", last(), noon)
		}
		b.now = b.now.Add(time.Second)
		c.want(200, "GET", "/Users", "")
		if !last().Equal(b.now) {
			b.Errorf("last use %v, want %v", last(), b.now)
		}
	})
}

func TestWhatAConnectorDidLastIsKeptAndWhatFailed(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	made := c.want(201, "POST", "/Users", body("ada", "", ""))
	if h := b.heardOf(c.id); h.What != "POST Users" || h.Status != 201 || !h.BadAt.IsZero() {
		t.Errorf("%+v", h)
	}
	c.want(404, "GET", "/Users/nobody", "")
	c.want(409, "POST", "/Users", body("ada", "", ""))
	if h := b.heardOf(c.id); !h.BadAt.IsZero() {
		t.Errorf("looking whether somebody is there counts as a failure: %+v", h)
	}
	c.want(400, "PATCH", "/Users/"+made.id(), "{")
	if h := b.heardOf(c.id); h.BadWhat != "PATCH Users" || h.BadStatus != 400 || !h.BadAt.Equal(noon) {
		t.Errorf("a failure in the same minute: %+v", h)
	}
	b.now = b.now.Add(time.Minute)
	c.want(200, "GET", "/Users/"+made.id(), "")
	if h := b.heardOf(c.id); h.What != "GET Users" || h.BadWhat != "PATCH Users" || !h.BadAt.Equal(noon) {
		t.Errorf("a failure is forgotten with the next request: %+v", h)
	}
	for path, want := range map[string]string{"/Groups": "GET Groups", "/AuthenticationMethods": "GET AuthenticationMethods", "/Nothing/" + made.id(): "GET elsewhere", "": "GET everything"} {
		b.now = b.now.Add(time.Minute)
		c.do("GET", path, "")
		if h := b.heardOf(c.id); h.What != want {
			t.Errorf("%s: %q, want %q", path, h.What, want)
		}
	}
}

func TestASecretThatOpensNothingIsToldFromOneThatWasCutAndOneThatEnded(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	try := func(token string) {
		t.Helper()
		b.now = b.now.Add(heardEvery)
		a := c
		a.token = token
		a.want(401, "GET", "/Users", "")
	}
	try(c.token[:len(c.token)-3])
	if h := b.heardOf(""); h.BadWhat != "mistyped" || h.BadStatus != 401 || !h.BadAt.Equal(b.now) {
		t.Errorf("cut: %+v", h)
	}
	other, _ := keyring.NewToken("rgn_scim")
	try(other)
	if h := b.heardOf(""); h.BadWhat != "unknown" {
		t.Errorf("unknown: %+v", h)
	}
	at := b.now
	try("something else altogether")
	if h := b.heardOf(""); !h.BadAt.Equal(at) {
		t.Errorf("what is no secret of ours is written down: %+v", h)
	}
	if _, err := b.store.UpdateConnector(b.Context(), c.id, func(c *client.Connector) ([]event.Event, error) {
		c.Tokens[0].Expires = b.now
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	try(c.token)
	h := b.heardOf(c.id)
	if h.BadStatus != 401 || h.BadWhat != "GET Users" || !h.BadAt.Equal(b.now) {
		t.Errorf("ended: %+v", h)
	}
	if got, err := b.store.ConnectorByName(b.Context(), "idp"); err != nil || !got.Last.IsZero() {
		t.Errorf("who was not let in counts as heard of: %v, %v", got.Last, err)
	}
}

// slow is a store whose notes hang until they are let go.
type slow struct {
	*store.Store
	let   chan struct{}
	asked atomic.Int64
}

func (s *slow) NoteHeard(ctx context.Context, connector, what string, status int, bad bool, now time.Time) error {
	s.asked.Add(1)
	<-s.let
	return s.Store.NoteHeard(ctx, connector, what, status, bad, now)
}

func TestWritingDownWhatWasHeardHoldsNoRequestUp(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	s := &slow{Store: b.store, let: make(chan struct{})}
	b.conf.Store = s
	h, err := New(b.conf)
	if err != nil {
		t.Fatal(err)
	}
	b.srv.Config.Handler = h
	for range 50 {
		c.want(200, "GET", "/Users", "")
	}
	close(s.let)
	h.Settle()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d notes of 50 requests in a minute", n)
	}
	if got := b.heardOf(c.id); got.What != "GET Users" {
		t.Errorf("%+v", got)
	}
}

func TestASwitchBendsToAConnectorWhateverItsPresetSays(t *testing.T) {
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetStrict)
	id := c.want(201, "POST", "/Users", body("ada", "", "")).id()
	turn := func(change func(*client.Connector)) {
		t.Helper()
		if _, err := b.store.UpdateConnector(b.Context(), c.id, func(c *client.Connector) ([]event.Event, error) {
			change(c)
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	loud := strings.Replace(patch(set("displayName", `"Ada"`)), `"replace"`, `"Replace"`, 1)
	c.want(400, "PATCH", "/Users/"+id, loud)
	turn(func(c *client.Connector) { c.Switches = map[string]bool{"any-case-ops": true, "of-tomorrow": true} })
	c.want(200, "PATCH", "/Users/"+id, loud)
	turn(func(c *client.Connector) {
		c.Preset, c.Switches = client.PresetEntra, map[string]bool{"any-case-ops": false}
	})
	if got := c.want(http.StatusBadRequest, "PATCH", "/Users/"+id, loud); !strings.Contains(got.body, "invalidSyntax") {
		t.Errorf("got %s", got.body)
	}
	turn(func(c *client.Connector) { c.Switches = nil })
	c.want(200, "PATCH", "/Users/"+id, loud)
}
