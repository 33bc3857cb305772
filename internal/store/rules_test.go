package store_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func connector(name string, tokens ...string) *client.Connector {
	c := &client.Connector{Name: name, Trust: client.TrustOne, Preset: client.PresetEntra, Uses: []client.Use{client.UseMethods, client.UseUsers}, ReadOnly: true, SetPassword: true, Rate: 25, Created: noon, Updated: noon}
	for _, k := range tokens {
		c.Tokens = append(c.Tokens, client.Token{Hash: []byte(k), Created: noon, Expires: noon.Add(24 * time.Hour)})
	}
	return c
}

func TestAConnectorIsFoundByNameAndByLiveTokensOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr", "one", "two")
		c.Tokens[1].Expires = time.Time{}
		must(t, s.CreateConnector(t.Context(), c, event.New(noon, event.ConnectorCreated, "cli:x", "", "", event.Success)))
		must(t, s.CreateConnector(t.Context(), connector("bare")))
		same(t, "by name", ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "hr")), c)
		for token, at := range map[string]time.Time{"one": noon.Add(24*time.Hour - 1000), "two": noon.Add(9999 * time.Hour)} {
			same(t, "by token "+token, ok[*client.Connector](t)(s.ConnectorByToken(t.Context(), []byte(token), at)), c)
		}
		for token, at := range map[string]time.Time{"one": noon.Add(24 * time.Hour), "three": noon, "": noon} {
			if got, err := s.ConnectorByToken(t.Context(), []byte(token), at); got != nil || err != nil {
				t.Errorf("token %q: %v, %v", token, got, err)
			}
		}
		all := ok[[]client.Connector](t)(s.Connectors(t.Context()))
		if len(all) != 2 || all[0].Name != "bare" || all[0].Tokens != nil || len(all[1].Tokens) != 2 {
			t.Errorf("all: %+v", all)
		}
		err := s.CreateConnector(t.Context(), connector("hr"))
		if taken, is := errors.AsType[*store.TakenError](err); !is || taken.Attr != "name" {
			t.Errorf("a second of that name: %v", err)
		}
		if err := s.CreateConnector(t.Context(), connector("not a name")); !fault.Is(err, fault.Invalid) {
			t.Errorf("a bad name: %v", err)
		}
		if none, err := s.ConnectorByName(t.Context(), "none"); none != nil || err != nil {
			t.Errorf("none: %v, %v", none, err)
		}
	})
}

func TestChangingAConnectorRotatesItsTokensAndMovesTheGeneration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr", "one", "two")
		must(t, s.CreateConnector(t.Context(), c))
		must(t, s.CreateConnector(t.Context(), connector("lab")))
		generation := ok[int64](t)(s.Generation(t.Context()))
		change := func(fn func(*client.Connector)) (*client.Connector, error) {
			return s.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) {
				fn(c)
				return []event.Event{event.New(noon, event.ConnectorChanged, "cli:x", "", "", event.Success)}, nil
			})
		}
		got := ok[*client.Connector](t)(change(func(c *client.Connector) {
			c.Trust, c.Groups = client.TrustAll, true
			c.Tokens = append(c.Tokens[1:], client.Token{Hash: []byte("three"), Created: noon.Add(time.Second)})
		}))
		same(t, "after", ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "hr")), got)
		if got.Version != 2 || len(got.Tokens) != 2 {
			t.Errorf("got %+v", got)
		}
		if old := ok[*client.Connector](t)(s.ConnectorByToken(t.Context(), []byte("one"), noon)); old != nil {
			t.Error("a token that was taken away still works")
		}
		if ok[*client.Connector](t)(s.ConnectorByToken(t.Context(), []byte("three"), noon)) == nil {
			t.Error("the new token does not work")
		}
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+1 {
			t.Errorf("generation %d, want %d", now, generation+1)
		}
		same(t, "trusts", ok[method.Trusts](t)(s.Trusts(t.Context()))[method.Root{Kind: method.ByConnector, ID: c.ID}], client.TrustAll)
		for name, fn := range map[string]func(*client.Connector){
			"a third token": func(c *client.Connector) { c.Tokens = append(c.Tokens, client.Token{Hash: []byte("four")}) },
			"a bad trust":   func(c *client.Connector) { c.Trust = "lots" },
		} {
			if _, err := change(fn); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := change(func(c *client.Connector) { c.Name = "lab" }); !fault.Is(err, fault.Conflict) {
			t.Errorf("a taken name: %v", err)
		}
		same(t, "unchanged", ok[*client.Connector](t)(s.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { return nil, store.ErrUnchanged })), got)
		if _, err := s.UpdateConnector(t.Context(), "none", nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("none: %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM events`)
	})
}

func TestWhatWasLastHeardOfAConnectorIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr", "one")
		must(t, s.CreateConnector(t.Context(), c))
		heard := func(connector string) client.LastHeard {
			return ok[client.LastHeard](t)(s.Heard(t.Context(), connector))
		}
		last := func() time.Time { return ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "hr")).Last }
		generation := ok[int64](t)(s.Generation(t.Context()))
		same(t, "nothing heard", heard(c.ID), client.LastHeard{})
		must(t, s.NoteHeard(t.Context(), c.ID, "POST Users", 401, true, noon))
		if !last().IsZero() {
			t.Error("who was not let in counts as heard of")
		}
		must(t, s.NoteHeard(t.Context(), c.ID, "POST Users", 201, false, noon.Add(time.Minute)))
		same(t, "heard", heard(c.ID), client.LastHeard{At: noon.Add(time.Minute), What: "POST Users", Status: 201, BadAt: noon, BadWhat: "POST Users", BadStatus: 401})
		if !last().Equal(noon.Add(time.Minute)) {
			t.Errorf("last %v", last())
		}
		must(t, s.NoteHeard(t.Context(), c.ID, "PATCH Groups", 400, true, noon.Add(2*time.Minute)))
		must(t, s.NoteHeard(t.Context(), c.ID, "GET Users", 200, false, noon.Add(time.Minute))) // by a replica that was slower
		same(t, "heard later", heard(c.ID), client.LastHeard{At: noon.Add(2 * time.Minute), What: "PATCH Groups", Status: 400, BadAt: noon.Add(2 * time.Minute), BadWhat: "PATCH Groups", BadStatus: 400})
		must(t, s.NoteHeard(t.Context(), "", "unknown", 401, true, noon))
		same(t, "nobody's", heard("").BadWhat, "unknown")
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation || ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "hr")).Version != 1 {
			t.Error("a request counts as a change of the connector")
		}
		must(t, s.DeleteConnector(t.Context(), c.ID))
		must(t, s.NoteHeard(t.Context(), c.ID, "GET Users", 200, false, noon.Add(time.Hour)))
		same(t, "after it was deleted", heard(c.ID), client.LastHeard{})
	})
}

func TestAConnectorWithPeopleCannotBeDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr", "one")
		must(t, s.CreateConnector(t.Context(), c))
		p := ada(c.ID)
		must(t, s.CreatePerson(t.Context(), p, nil))
		if err := s.DeleteConnector(t.Context(), c.ID); !fault.Is(err, fault.Conflict) {
			t.Errorf("with people: %v", err)
		}
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		must(t, s.DeleteConnector(t.Context(), c.ID, event.New(noon, event.ConnectorDeleted, "cli:x", "", "", event.Success)))
		if got := ok[*client.Connector](t)(s.ConnectorByToken(t.Context(), []byte("one"), noon)); got != nil {
			t.Error("the token of a deleted connector works")
		}
		if err := s.DeleteConnector(t.Context(), c.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("again: %v", err)
		}
	})
}

const strict = "rules:\n- name: all\n  proofs: {reset: 3}\n  hold_new: 1h\n  kinds: [email, totp]\n"

func parsed(t *testing.T, text string) policy.Policy {
	t.Helper()
	return ok[policy.Policy](t)(policy.Parse([]byte(text)))
}

func TestAPolicyIsAppliedOncePerContent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if _, err := s.Policy(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("without a policy: %v", err)
		}
		for range 2 {
			if v := ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon)); v != 1 {
				t.Errorf("the default is version %d", v)
			}
		}
		first := ok[policy.Policy](t)(s.Policy(t.Context()))
		same(t, "rules", first.Rules, policy.Default().Rules)
		if first.Version != 1 || first.Hash == "" || first.By != "system" || !first.Applied.Equal(noon) {
			t.Errorf("got %+v", first)
		}
		generation := ok[int64](t)(s.Generation(t.Context()))
		p := parsed(t, strict)
		for range 2 {
			if v := ok[int64](t)(s.ApplyPolicy(t.Context(), p, "cli:ada", noon.Add(time.Hour))); v != 2 {
				t.Errorf("applied as version %d, want 2", v)
			}
		}
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+1 {
			t.Errorf("generation %d, want %d", now, generation+1)
		}
		count(t, s, 2, `SELECT count(*) FROM events WHERE type = 'policy.applied'`)
		got := ok[policy.Policy](t)(s.Policy(t.Context()))
		same(t, "rules", got.Rules, p.Rules)
		same(t, "version 1", ok[policy.Policy](t)(s.PolicyVersion(t.Context(), 1)), first)
		same(t, "versions", ok[[]policy.Policy](t)(s.PolicyVersions(t.Context())), []policy.Policy{got, first})
		if v := ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon)); v != 2 {
			t.Errorf("there is a policy, but the default became version %d", v)
		}
		if v := ok[int64](t)(s.ApplyPolicy(t.Context(), first, "cli:ada", noon)); v != 3 {
			t.Errorf("going back is version %d, want 3", v)
		}
		if _, err := s.ApplyPolicy(t.Context(), policy.Policy{}, "cli:ada", noon); !fault.Is(err, fault.Invalid) {
			t.Errorf("a policy without rules: %v", err)
		}
		if _, err := s.PolicyVersion(t.Context(), 99); !fault.Is(err, fault.NotFound) {
			t.Errorf("no such version: %v", err)
		}
	})
}

func TestReplicasThatStartAtOnceApplyTheDefaultOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, err := range race(16, func(int) error {
			v, err := s.EnsurePolicy(t.Context(), "system", noon)
			if err == nil && v != 1 {
				err = errors.New("a second version")
			}
			return err
		}) {
			must(t, err)
		}
		count(t, s, 1, `SELECT count(*) FROM policies`)
		count(t, s, 1, `SELECT count(*) FROM events`)
	})
}

func TestACachedPolicyCostsNoStatementAndIsDroppedWhenTheGenerationMoves(t *testing.T) {
	var statements atomic.Int64
	clock := noon
	spy := func(c *store.Config) {
		c.Trace = func(string) { statements.Add(1) }
		c.Now = func() time.Time { return clock }
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon))
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		cached := s.Cached()
		root := method.Root{Kind: method.ByConnector, ID: c.ID}
		look := func() (int64, client.Trust) {
			t.Helper()
			return ok[policy.Policy](t)(cached.Policy(t.Context())).Version, ok[method.Trusts](t)(cached.Trusts(t.Context())).Of(root)
		}
		if v, trust := look(); v != 1 || trust != client.TrustOne {
			t.Errorf("at first: %d, %s", v, trust)
		}
		ok[policy.Policy](t)(cached.PolicyVersion(t.Context(), 1))
		before := statements.Load()
		look()
		ok[policy.Policy](t)(cached.PolicyVersion(t.Context(), 1))
		if n := statements.Load() - before; n != 0 {
			t.Errorf("%d statements for what is cached", n)
		}
		ok[int64](t)(s.ApplyPolicy(t.Context(), parsed(t, strict), "cli:x", noon))
		ok[*client.Connector](t)(s.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { c.Trust = client.TrustNone; return nil, nil }))
		must(t, cached.Refresh(t.Context()))
		if v, trust := look(); v != 2 || trust != client.TrustNone {
			t.Errorf("after a refresh: %d, %s", v, trust)
		}
		before = statements.Load()
		must(t, cached.Refresh(t.Context()))
		if n := statements.Load() - before; n != 1 {
			t.Errorf("%d statements to learn that nothing moved, want 1", n)
		}
		// Nobody polls, and still nothing old stays in force.
		ok[int64](t)(s.ApplyPolicy(t.Context(), policy.Default(), "cli:x", noon))
		clock = clock.Add(store.MaxStale + time.Millisecond)
		if v, _ := look(); v != 3 {
			t.Errorf("after %v: version %d, want 3", store.MaxStale, v)
		}
		if p, err := cached.Person(t.Context(), ""); p != (*account.Person)(nil) || err != nil {
			t.Error("a cached store is no store")
		}
	}, spy)
}
