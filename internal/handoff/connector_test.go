package handoff

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// provisioning lets connectors in, with a client that reaches loopback.
func provisioning(o *options) {
	before := o.config
	o.config = func(c *Config) {
		if before != nil {
			before(c)
		}
		c.Connectors = c.Store.(*store.Store)
		c.HTTP = egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	}
}

// connector makes one; its name has letters that no app's key has.
func (w *world) connector(change func(*client.Connector)) *client.Connector {
	w.t.Helper()
	c := &client.Connector{ID: uuid.NewString(), Name: "HR.main_1", Trust: client.TrustOne, Preset: client.PresetStandard, Created: w.clock.now(), Updated: w.clock.now()}
	change(c)
	if err := w.store.CreateConnector(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// access asks for an access token with an assertion.
func (w *world) access(assertion string, change ...string) answer {
	w.t.Helper()
	return w.call(w.site, http.MethodPost, PathToken, with(asserts(url.Values{"grant_type": {"client_credentials"}}, assertion), change...))
}

// granted is the token of an answer, or a failure of the test.
func (w *world) granted(got answer) string {
	w.t.Helper()
	var v connectorToken
	if err := json.Unmarshal([]byte(got.body), &v); err != nil || got.code != http.StatusOK || v.TokenType != "Bearer" || v.ExpiresIn != 600 || v.Scope != "scim" {
		w.t.Fatalf("%d %s", got.code, got.body)
	}
	return v.AccessToken
}

// letsIn is the connector that a token is of; nil when it opens nothing.
func (w *world) letsIn(token string) *client.Connector {
	w.t.Helper()
	hash, ok := keyring.HashToken(token)
	if !ok {
		w.t.Fatalf("%q is no token", token)
	}
	c, err := w.store.ConnectorByToken(w.t.Context(), hash, w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestAConnectorAssertsWhoItIsAndGetsATokenOfTenMinutes(t *testing.T) {
	for _, alg := range assertionAlgs {
		key, older := newPair(t, alg), newPair(t, "ES256")
		w := newWorld(t, provisioning)
		c := w.connector(func(c *client.Connector) { c.Keys = []client.PublicKey{older.public, key.public} })
		got := w.access(key.signs(t, alg, map[string]any{"kid": key.public.ID}, w.asserted(c.Name)), "scope", "openid scim other")
		token := w.granted(got)
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" || strings.Contains(w.log.String(), token) {
			t.Errorf("%s: %v", alg, got.header)
		}
		w.granted(w.access(key.signs(t, alg, nil, w.asserted(c.Name)), "client_id", c.Name))
		if in := w.letsIn(token); in == nil || in.ID != c.ID {
			t.Fatalf("%s: the token opens nothing", alg)
		}
		w.clock.pass(client.ConnectorAccessTime - time.Second)
		if w.letsIn(token) == nil {
			t.Errorf("%s: over too early", alg)
		}
		w.clock.pass(time.Second)
		if w.letsIn(token) != nil {
			t.Errorf("%s: good after ten minutes", alg)
		}
	}
}

func TestB07AnAssertionOfAConnectorIsForUsFreshSignedAndUsedOnce(t *testing.T) {
	ec := newPair(t, "ES256")
	w := newWorld(t, provisioning)
	w.connector(func(c *client.Connector) { c.Name = "idp"; c.Keys = []client.PublicKey{ec.public} })
	sign := w.signer(ec, "idp")
	good := sign()
	w.granted(w.access(good))
	for name, assertion := range w.badAssertions(ec, "idp", good) {
		if got := w.access(assertion); got.code != http.StatusUnauthorized || w.errorOf(got) != "invalid_client" || strings.Contains(got.body, "access_token") {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	for name, change := range map[string][]string{
		"another type of assertion": {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
		"no type":                   {"client_assertion_type", ""},
		"no assertion":              {"client_assertion", ""},
		"another client_id":         {"client_id", "other"},
		"a client_id in capitals":   {"client_id", "IDP"},
	} {
		if got := w.access(sign(), change...); got.code != http.StatusUnauthorized || w.errorOf(got) != "invalid_client" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	for name, got := range map[string]answer{
		"with a secret too":         w.access(sign(), "client_secret", "x"),
		"with a header too":         w.call(w.site, http.MethodPost, PathToken, asserts(url.Values{"grant_type": {"client_credentials"}}, sign()), "Authorization", basic("idp", "x")),
		"with two assertions":       w.call(w.site, http.MethodPost, PathToken, url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {sign(), sign()}}),
		"with the grant twice":      w.call(w.site, http.MethodPost, PathToken, url.Values{"grant_type": {"client_credentials", "client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {sign()}}),
		"with the scope twice":      w.call(w.site, http.MethodPost, PathToken, url.Values{"grant_type": {"client_credentials"}, "scope": {"scim", "scim"}, "client_assertion_type": {assertionType}, "client_assertion": {sign()}}),
		"as JSON and not as a form": w.call(w.site, http.MethodPost, PathToken, nil, "Content-Type", "application/json"),
	} {
		if got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_request" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	for _, scope := range []string{"openid", "SCIM", "scim.read", "regain.reset", "ssf.manage"} {
		if got := w.access(sign(), "scope", scope); got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_scope" {
			t.Errorf("scope %s: %d %s", scope, got.code, got.body)
		}
	}
	// In the address nothing is looked at.
	if got := w.call(w.site, http.MethodPost, PathToken+"?"+asserts(url.Values{"grant_type": {"client_credentials"}}, sign()).Encode(), url.Values{}); got.code != http.StatusBadRequest {
		t.Errorf("in the address: %d %s", got.code, got.body)
	}
	if strings.Contains(w.log.String(), good) {
		t.Error("an assertion is in the log")
	}
}

func TestAnAssertionOpensOneThingOfOneClient(t *testing.T) {
	key := newPair(t, "ES256")
	w := newWorld(t, provisioning, byKey(key)) // the app hr has the same key
	w.connector(func(c *client.Connector) { c.Name = "hr"; c.Keys = []client.PublicKey{key.public} })
	w.connector(func(c *client.Connector) { c.Name = "bare"; c.Tokens = nil })
	sign := w.signer(key, "hr")
	assertion := sign()
	w.granted(w.access(assertion))
	if got := w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), assertion)); got.code != http.StatusUnauthorized {
		t.Errorf("used at SCIM and by the app of that name again: %d", got.code)
	}
	if got := w.access(w.signer(key, "bare")()); w.errorOf(got) != "invalid_client" {
		t.Errorf("a connector without keys: %d %s", got.code, got.body)
	}
	if got := w.access(w.signer(key, "nobody")()); w.errorOf(got) != "invalid_client" {
		t.Errorf("nobody: %d %s", got.code, got.body)
	}
	// The token of a connector opens nothing of an app's, and a code is not had with it.
	token := w.granted(w.access(sign()))
	if got := w.userinfo(token); got.code != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", got.code)
	}
}

func TestThereIsOneTokenForOneAssertionHoweverManyShowIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		key := newPair(t, "ES256")
		w := newWorld(t, func(o *options) { o.store = s }, provisioning)
		c := w.connector(func(c *client.Connector) { c.Keys = []client.PublicKey{key.public} })
		assertion := w.signer(key, c.Name)()
		var good atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if w.access(assertion).code == http.StatusOK {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Errorf("%d tokens for one assertion", good.Load())
		}
	})
}

func TestATokenEndsWithItsKeyItsConnectorAndWhereItsKeysAre(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := newPair(t, "ES256"), newPair(t, "ES256")
		w := newWorld(t, func(o *options) { o.store = s }, provisioning)
		c := w.connector(func(c *client.Connector) { c.Keys = []client.PublicKey{one.public} })
		change := func(f func(c *client.Connector) error) {
			t.Helper()
			if _, err := w.store.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { return nil, f(c) }); err != nil {
				t.Fatal(err)
			}
		}
		next := func(p pair) client.PublicKey {
			k := p.public
			k.Created = w.clock.now()
			return k
		}
		first := w.granted(w.access(w.signer(one, c.Name)()))
		change(func(c *client.Connector) error { return c.AddKey(next(two), w.clock.now().Add(time.Minute)) })
		second := w.granted(w.access(w.signer(two, c.Name)()))
		if w.letsIn(first) == nil || w.letsIn(second) == nil {
			t.Fatal("a token ended with a rotation that kept its key")
		}
		w.clock.pass(time.Minute)
		if w.letsIn(first) != nil || w.letsIn(second) == nil {
			t.Error("a token outlives its key, or ended with another's")
		}
		if got := w.access(w.signer(one, c.Name)()); w.errorOf(got) != "invalid_client" {
			t.Errorf("by a key that ended: %d %s", got.code, got.body)
		}
		change(func(c *client.Connector) error { c.Keys, c.JWKS = nil, "https://idp.example/jwks"; return nil })
		if w.letsIn(second) != nil {
			t.Error("a token outlives the change to a key set")
		}
		change(func(c *client.Connector) error { c.Keys, c.JWKS = []client.PublicKey{next(two)}, ""; return nil })
		third := w.granted(w.access(w.signer(two, c.Name)()))
		if err := w.store.DeleteConnector(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
		if w.letsIn(third) != nil {
			t.Error("a token outlives its connector")
		}
	})
}

// keySet is a server that publishes keys, and counts who asks.
type keySet struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[func(http.ResponseWriter)]
}

func publishes(t *testing.T, keys ...pair) *keySet {
	t.Helper()
	k := &keySet{}
	k.says(keys...)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked.Add(1)
		(*k.answer.Load())(w)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keySet) says(keys ...pair) {
	all := make([]string, len(keys))
	for i, p := range keys {
		all[i] = strings.Replace(p.public.JWK, "{", fmt.Sprintf(`{"kid":%q,`, p.public.ID), 1)
	}
	k.writes(`{"keys":[` + strings.Join(all, ",") + `]}`)
}

func (k *keySet) writes(body string) {
	f := func(w http.ResponseWriter) { fmt.Fprint(w, body) }
	k.answer.Store(&f)
}

func TestKeysThatAConnectorPublishesAreReadAndRotatedAndForgotten(t *testing.T) {
	one, two := newPair(t, "ES256"), newPair(t, "RS256")
	set := publishes(t, one)
	w := newWorld(t, provisioning)
	c := w.connector(func(c *client.Connector) { c.JWKS = set.URL })
	ask := func(p pair, alg string) int {
		return w.access(p.signs(t, alg, map[string]any{"kid": p.public.ID}, w.asserted(c.Name))).code
	}
	for range 2 {
		if got := ask(one, "ES256"); got != 200 || set.asked.Load() != 1 {
			t.Fatalf("%d, asked %d times", got, set.asked.Load())
		}
	}
	// A kid nobody has makes us look once, and not more often than every half minute.
	w.clock.pass(publishedRetry)
	for range 10 {
		if ask(two, "RS256") != 401 {
			t.Error("a key that is not published is believed")
		}
	}
	if set.asked.Load() != 2 {
		t.Errorf("asked %d times for invented keys", set.asked.Load())
	}
	// It rotates: the new one is found by its kid.
	set.says(one, two)
	w.clock.pass(publishedRetry)
	if ask(two, "RS256") != 200 || ask(one, "ES256") != 200 || set.asked.Load() != 3 {
		t.Errorf("after a rotation; asked %d times", set.asked.Load())
	}
	// What was withdrawn is believed no longer than ten minutes; an address that does not answer changes nothing before.
	set.says(two)
	if ask(one, "ES256") != 200 {
		t.Error("keys are not kept")
	}
	w.clock.pass(publishedAge)
	if ask(one, "ES256") != 401 {
		t.Error("a key that was withdrawn is believed")
	}
	down := func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
	set.answer.Store(&down)
	if ask(two, "RS256") != 200 {
		t.Error("a key that was just read is not believed")
	}
	w.clock.pass(publishedAge)
	if ask(two, "RS256") != 401 {
		t.Error("keys that cannot be read any more are believed for ever")
	}
	asked := set.asked.Load()
	for range 10 {
		ask(two, "RS256")
	}
	if set.asked.Load() != asked {
		t.Error("an address that does not answer is asked each time")
	}
}

func TestAKeySetIsReadWithCare(t *testing.T) {
	key := newPair(t, "ES256")
	w := newWorld(t, provisioning)
	set := publishes(t, key)
	good := strings.TrimSuffix(strings.TrimPrefix(func() string {
		rec := httptest.NewRecorder()
		(*set.answer.Load())(rec)
		return rec.Body.String()
	}(), `{"keys":[`), `]}`)
	n := 0
	ask := func(address string) int {
		n++
		c := w.connector(func(c *client.Connector) { c.Name, c.JWKS = fmt.Sprint("c", n), address })
		return w.access(key.signs(t, "ES256", map[string]any{"kid": key.public.ID}, w.asserted(c.Name))).code
	}
	for name, body := range map[string]string{
		"not JSON": "<html>", "no set": `{}`, "one key and no set": good, "an empty set": `{"keys":[]}`, "too long": `{"keys":[` + good + `],"x":"` + strings.Repeat("x", maxSet) + `"}`,
		"too many": `{"keys":[` + strings.Repeat(good+",", maxPublished) + good + `]}`, "for another use": `{"keys":[` + strings.Replace(good, "{", `{"use":"enc",`, 1) + `]}`,
		"a shared secret": `{"keys":[{"kty":"oct","kid":"` + key.public.ID + `","k":"c2VjcmV0"}]}`,
	} {
		set.writes(body)
		if got := ask(set.URL + "/" + url.PathEscape(name)); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
	set.writes(`{"keys":[{"kty":"oct","k":"x"},"nonsense",` + good + `]}`)
	if got := ask(set.URL + "/mixed"); got != 200 {
		t.Errorf("a good key among others: %d", got)
	}
	// Nothing leads on to another address.
	elsewhere := publishes(t, key)
	on := func(w http.ResponseWriter) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusFound)
	}
	set.answer.Store(&on)
	if got := ask(set.URL + "/redirect"); got != 401 || elsewhere.asked.Load() != 0 {
		t.Errorf("a redirect: %d, followed %d times", got, elsewhere.asked.Load())
	}
}

func TestKeySetsInPrivateNetworksAreNotAskedForUnlessAllowed(t *testing.T) {
	key := newPair(t, "ES256")
	set := publishes(t, key)
	w := newWorld(t, provisioning, func(o *options) {
		before := o.config
		o.config = func(c *Config) { before(c); c.HTTP = egress.New(egress.Options{}) }
	})
	c := w.connector(func(c *client.Connector) { c.JWKS = set.URL })
	if got := w.access(w.signer(key, c.Name)()); got.code != 401 || set.asked.Load() != 0 {
		t.Errorf("%d, asked %d times", got.code, set.asked.Load())
	}
}

func TestConnectorsThatAskTooOftenWaitAndNobodyElseDoes(t *testing.T) {
	key := newPair(t, "ES256")
	w := newWorld(t, provisioning)
	w.connector(func(c *client.Connector) { c.Name = "wild"; c.Keys = []client.PublicKey{key.public} })
	w.connector(func(c *client.Connector) { c.Name = "calm"; c.Keys = []client.PublicKey{key.public} })
	for range accessBurst {
		w.granted(w.access(w.signer(key, "wild")()))
	}
	if got := w.access(w.signer(key, "wild")()); got.code != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.code, got.body)
	}
	w.granted(w.access(w.signer(key, "calm")()))
}

func TestTheConsoleHearsOfARefusalAndTheAnswerSaysNothing(t *testing.T) {
	key, other := newPair(t, "ES256"), newPair(t, "ES256")
	w := newWorld(t, provisioning)
	c := w.connector(func(c *client.Connector) { c.Keys = []client.PublicKey{key.public} })
	known, unknown := w.access(w.signer(other, c.Name)()), w.access(w.signer(other, "nobody")())
	if known.code != unknown.code || known.body != unknown.body {
		t.Errorf("who is known is told: %d %s, %d %s", known.code, known.body, unknown.code, unknown.body)
	}
	h, err := w.store.Heard(t.Context(), c.ID)
	if err != nil || h.BadWhat != "POST token" || h.BadStatus != 401 || !h.BadAt.Equal(w.clock.now()) {
		t.Errorf("%+v, %v", h, err)
	}
	at := w.clock.now()
	w.clock.pass(time.Second)
	w.access(w.signer(other, c.Name)())
	if h, _ := w.store.Heard(t.Context(), c.ID); !h.BadAt.Equal(at) {
		t.Error("each refusal is written down")
	}
}

func TestTheMetadataSayHowConnectorsAsk(t *testing.T) {
	w := newWorld(t, provisioning)
	for _, want := range []string{`"client_credentials"`, `"scim"`, `"private_key_jwt"`} {
		if got := w.call(w.site, http.MethodGet, PathDiscovery, nil); !strings.Contains(got.body, want) {
			t.Errorf("%s is missing in %s", want, got.body)
		}
	}
	without := newWorld(t)
	if got := without.call(without.site, http.MethodGet, PathDiscovery, nil); strings.Contains(got.body, `"scim"`) {
		t.Error("said where there is none")
	}
	if got := without.access("x"); without.errorOf(got) != "unsupported_grant_type" {
		t.Errorf("%d %s", got.code, got.body)
	}
}
