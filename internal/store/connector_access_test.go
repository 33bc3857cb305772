package store_test

import (
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// twoCached are two processes on one database, whose clock is the test's, and a way to count the statements of the second.
func twoCached(t *testing.T, kind store.Kind, clock *time.Time) (one, two *store.Cached, statements func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	c := store.Config{URL: storetest.URL(t, kind), Ring: storetest.Ring(), Now: func() time.Time { return *clock }}
	one = storetest.OpenConfig(t, c).Cached()
	c.Trace = func(string) { mu.Lock(); defer mu.Unlock(); n++ }
	two = storetest.OpenConfig(t, c).Cached()
	ok[int64](t)(one.EnsurePolicy(t.Context(), "system", *clock))
	return one, two, func() int {
		mu.Lock()
		defer mu.Unlock()
		was := n
		n = 0
		return was
	}
}

func hashed(token string) []byte { h := sha256.Sum256([]byte(token)); return h[:] }

// eachKind runs a test with two replicas on each engine.
func eachKind(t *testing.T, fn func(t *testing.T, clock *time.Time, one, two *store.Cached, statements func() int)) {
	t.Helper()
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			clock := noon
			one, two, statements := twoCached(t, kind, &clock)
			fn(t, &clock, one, two, statements)
		})
	}
}

func TestATokenThatWasLetInCostsNoStatement(t *testing.T) {
	eachKind(t, func(t *testing.T, clock *time.Time, one, two *store.Cached, statements func() int) {
		c := connector("hr")
		c.Tokens = []client.Token{{Hash: hashed("a"), Created: noon, Expires: noon.Add(time.Hour)}}
		must(t, one.CreateConnector(t.Context(), c))
		in := func(token string) *client.Connector {
			t.Helper()
			return ok[*client.Connector](t)(two.ConnectorByToken(t.Context(), hashed(token), *clock))
		}
		same(t, "let in", in("a"), ok[*client.Connector](t)(one.ConnectorByName(t.Context(), "hr")))
		statements()
		for range 100 {
			if in("a") == nil {
				t.Fatal("kept out")
			}
		}
		if n := statements(); n != 0 {
			t.Errorf("%d statements for 100 requests with a token that was let in", n)
		}
		*clock = clock.Add(2 * time.Second)
		in("a")
		if n := statements(); n != 1 {
			t.Errorf("%d statements after two seconds without a poll, want the generation", n)
		}
		// What opens nothing is not remembered: there is no end of it.
		in("b")
		in("b")
		if n := statements(); n != 2 {
			t.Errorf("%d statements for two tokens that are nobody's", n)
		}
		// Whoever changes what they were given changes nobody else's.
		in("a").Name = "other"
		same(t, "name", in("a").Name, "hr")
		*clock = noon.Add(time.Hour)
		must(t, two.Refresh(t.Context()))
		statements()
		if in("a") != nil || statements() > 1 {
			t.Error("a token that ended opens by what is kept")
		}
	})
}

func TestWhatBecomesOfAConnectorHoldsOnEveryReplicaWithinTwoSeconds(t *testing.T) {
	eachKind(t, func(t *testing.T, clock *time.Time, one, two *store.Cached, _ func() int) {
		c := connector("hr")
		c.Tokens = []client.Token{{Hash: hashed("a"), Created: noon}, {Hash: hashed("b"), Created: noon}}
		must(t, one.CreateConnector(t.Context(), c))
		in := func(on *store.Cached, token string) *client.Connector {
			t.Helper()
			return ok[*client.Connector](t)(on.ConnectorByToken(t.Context(), hashed(token), *clock))
		}
		both := func() {
			t.Helper()
			if in(one, "b") == nil || in(two, "b") == nil {
				t.Fatal("kept out")
			}
		}
		in(one, "a")
		in(two, "a")
		both()
		change := func(fn func(*client.Connector)) {
			t.Helper()
			ok[*client.Connector](t)(one.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { fn(c); return nil, nil }))
		}
		// Revoked: where it was done at once, elsewhere with the poll, and without one within two seconds.
		change(func(c *client.Connector) { c.Tokens = c.Tokens[1:] })
		if in(one, "a") != nil {
			t.Error("a revoked token opens where it was revoked")
		}
		*clock = clock.Add(2 * time.Second)
		if in(two, "a") != nil {
			t.Error("a revoked token opens on another replica after two seconds")
		}
		both()
		change(func(c *client.Connector) {
			c.Preset, c.Switches = client.PresetEntra, map[string]bool{"brief-patch": false}
			c.ReadOnly, c.Uses, c.Rate = true, []client.Use{client.UseUsers}, 7
		})
		must(t, two.Refresh(t.Context())) // as the poll does
		if v := in(two, "b"); v == nil || v.Preset != client.PresetEntra || v.Switches["brief-patch"] || len(v.Switches) != 1 || !v.ReadOnly || len(v.Uses) != 1 || v.PerSecond() != 7 {
			t.Errorf("what was changed is not in force: %+v", v)
		}
		must(t, one.DeleteConnector(t.Context(), c.ID))
		*clock = clock.Add(2 * time.Second)
		if in(one, "b") != nil || in(two, "b") != nil {
			t.Error("the token of a connector that is gone opens")
		}
	})
}

func TestAnAccessTokenIsKeptWithTheKeyItWasAskedForWith(t *testing.T) {
	eachKind(t, func(t *testing.T, clock *time.Time, one, two *store.Cached, statements func() int) {
		c := connector("hr")
		c.Tokens, c.Keys = nil, []client.PublicKey{{ID: "k1", JWK: `{"kty":"EC"}`, Created: noon}, {ID: "k2", JWK: `{"kty":"OKP"}`, Created: noon, Expires: noon.Add(5 * time.Minute)}}
		must(t, one.CreateConnector(t.Context(), c))
		same(t, "keys", ok[*client.Connector](t)(two.ConnectorByName(t.Context(), "hr")).Keys, c.Keys)
		put := func(token, by string) {
			t.Helper()
			must(t, one.PutConnectorAccess(t.Context(), client.ConnectorAccess{Hash: hashed(token), Connector: c.ID, By: by, Expires: clock.Add(client.ConnectorAccessTime)}, *clock))
		}
		in := func(token string) bool {
			t.Helper()
			return ok[*client.Connector](t)(two.ConnectorByToken(t.Context(), hashed(token), *clock)) != nil
		}
		put("first", "k1")
		put("second", "k2")
		put("lost", "k9")
		if !in("first") || !in("second") || in("lost") {
			t.Error("a token opens by its key and no other")
		}
		statements()
		if !in("first") || statements() != 0 {
			t.Error("an access token costs a statement each time")
		}
		*clock = noon.Add(5 * time.Minute)
		if !in("first") || in("second") {
			t.Error("a token outlives its key")
		}
		ok[*client.Connector](t)(one.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { c.Keys = c.Keys[1:]; return nil, nil }))
		*clock = clock.Add(2 * time.Second)
		if in("first") {
			t.Error("a token outlives the key that was taken away, on another replica")
		}
		same(t, "owner", ok[string](t)(two.TokenOwner(t.Context(), hashed("first"))), c.ID)
		*clock = noon.Add(time.Hour)
		put("third", "k2")
		count(t, one.Store, 1, `SELECT count(*) FROM connector_access`) // what has ended went with it
		must(t, one.DeleteConnector(t.Context(), c.ID))
		count(t, one.Store, 0, `SELECT count(*) FROM connector_access`)
	})
}

func TestSwitchesAndKeysAreCheckedBeforeTheyAreKept(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	key := client.PublicKey{ID: "k", JWK: `{"kty":"EC"}`}
	for name, change := range map[string]func(*client.Connector){
		"three keys": func(c *client.Connector) {
			c.Keys = []client.PublicKey{{ID: "a", JWK: key.JWK}, {ID: "b", JWK: key.JWK}, {ID: "c", JWK: key.JWK}}
		},
		"a key twice":           func(c *client.Connector) { c.Keys = []client.PublicKey{key, key} },
		"a private key":         func(c *client.Connector) { c.Keys = []client.PublicKey{{ID: "k", JWK: `{"kty":"EC","d":"x"}`}} },
		"a shared secret":       func(c *client.Connector) { c.Keys = []client.PublicKey{{ID: "k", JWK: `{"kty":"oct","k":"x"}`}} },
		"keys here and there":   func(c *client.Connector) { c.Keys, c.JWKS = []client.PublicKey{key}, "https://idp.example/jwks" },
		"an address by http":    func(c *client.Connector) { c.JWKS = "http://idp.example/jwks" },
		"an address with user":  func(c *client.Connector) { c.JWKS = "https://me@idp.example/jwks" },
		"a switch with a space": func(c *client.Connector) { c.Switches = map[string]bool{"a b": true} },
		"a switch of nothing":   func(c *client.Connector) { c.Switches = map[string]bool{"": true} },
		"a long switch":         func(c *client.Connector) { c.Switches = map[string]bool{strings.Repeat("x", 41): true} },
	} {
		c := connector("hr")
		change(c)
		if err := s.CreateConnector(t.Context(), c); err == nil {
			t.Errorf("%s is kept", name)
		}
	}
}
