package signin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
)

// at lets the provider answer one path in its own way.
func at(path string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		f(w, r)
		return true
	}
}

const discovery = "/.well-known/openid-configuration"

func TestA15AProviderThatIsDownKeepsOnlySignInsWaiting(t *testing.T) {
	w := newWorld(t)
	w.op.handle = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	b := w.browser()
	a := b.get("/in")
	if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "Alder is not answering") || len(b.cookies) != 0 {
		t.Errorf("down from the start: status %d: %s", a.code, a.body)
	}
	for range 5 {
		w.browser().get("/in")
	}
	if n := w.op.count(discovery); n != 1 {
		t.Errorf("%d requests to a provider that is down, want 1 in %s", n, metadataRetry)
	}
	w.op.mu.Lock()
	w.op.handle = nil
	w.op.mu.Unlock()
	w.clock.pass(metadataRetry)
	w.browser().signIn()
	// Down after it was known: the document is used on, and asked for again beside.
	back := w.browser()
	path := back.callback("/in")
	w.op.mu.Lock()
	w.op.handle = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	w.op.mu.Unlock()
	if a := back.get(path); a.code != http.StatusServiceUnavailable || back.session() != nil {
		t.Errorf("token endpoint down: status %d", a.code)
	}
	w.clock.pass(metadataAge)
	if a := w.browser().get("/in"); !strings.HasPrefix(a.to, w.op.issuer()+"/authorize?") {
		t.Errorf("a known provider that is down: status %d to %q", a.code, a.to)
	}
	w.clock.pass(metadataLife)
	if a := w.browser().get("/in"); a.code != http.StatusServiceUnavailable {
		t.Errorf("down for longer than a day: status %d", a.code)
	}
}

func TestA15APersonSignedInIsNotDisturbedWhenTheProviderGoesDown(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn()
	w.op.srv.Close()
	w.clock.pass(2 * time.Minute)
	if a := b.get("/in"); !a.in(w.ada) {
		t.Errorf("status %d", a.code)
	}
	if a := b.post("/signout", nil); a.to != "/signed-out" || b.session() != nil {
		t.Errorf("sign-out while the provider is down: status %d", a.code)
	}
	if a := b.get("/signed-out"); a.code != http.StatusOK {
		t.Errorf("the page after it: status %d", a.code)
	}
}

func TestA15AnswersThatNeverEndAreCutShort(t *testing.T) {
	flood := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"x","id_token":"`) //nolint:errcheck
		chunk := strings.Repeat("a", 64<<10)
		for range 1600 { // 100 MiB
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
	for _, path := range []string{discovery, "/jwks", "/token", "/userinfo"} {
		w := newWorld(t)
		w.op.claims = nil // so that userinfo is asked
		var sent atomic.Int64
		w.op.handle = at(path, func(rw http.ResponseWriter, r *http.Request) { flood(&counting{rw, &sent}, r) })
		b := w.browser()
		a := b.get("/in")
		if strings.HasPrefix(a.to, "http") {
			a = b.get(b.next(a))
		}
		if a.code < 400 || b.session() != nil {
			t.Errorf("%s: status %d to %q", path, a.code, a.to)
		}
		if n := sent.Load(); n > 16<<20 {
			t.Errorf("%s: %d bytes were taken", path, n)
		}
	}
}

// counting counts what was sent.
type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func TestA15AProviderThatIsSlowIsGivenUp(t *testing.T) {
	for _, path := range []string{discovery, "/jwks", "/token"} {
		w := newWorld(t)
		w.door.providers[0].client.Timeout = 100 * time.Millisecond
		over := make(chan struct{})
		w.op.mu.Lock()
		w.op.handle = at(path, func(http.ResponseWriter, *http.Request) { <-over })
		w.op.mu.Unlock()
		b := w.browser()
		a := b.get("/in")
		if strings.HasPrefix(a.to, "http") {
			a = b.get(b.next(a))
		}
		close(over)
		if a.code != http.StatusServiceUnavailable || b.session() != nil {
			t.Errorf("%s: status %d to %q", path, a.code, a.to)
		}
	}
}

func TestA15ARedirectIsNoAnswer(t *testing.T) {
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for _, path := range []string{discovery, "/jwks", "/token", "/userinfo", "/par"} {
		for _, to := range []string{elsewhere.URL + path, ""} { // another host, and itself for ever
			w := newWorld(t)
			w.op.claims = nil
			if path == "/par" {
				w.op.meta = func(m map[string]any) { m["pushed_authorization_request_endpoint"] = w.op.issuer() + "/par" }
			}
			w.op.handle = at(path, func(rw http.ResponseWriter, r *http.Request) {
				target := to
				if target == "" {
					target = r.URL.Path
				}
				http.Redirect(rw, r, target, http.StatusTemporaryRedirect)
			})
			b := w.browser()
			a := b.get("/in")
			if strings.HasPrefix(a.to, "http") {
				a = b.get(b.next(a))
			}
			if a.code < 400 || b.session() != nil || w.op.count(path) != 1 {
				t.Errorf("%s to %q: status %d, %d requests", path, to, a.code, w.op.count(path))
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("another host got %d requests", n)
	}
}

func TestA15ADocumentThatWouldWeakenASignInIsNotUsed(t *testing.T) {
	put := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	for name, change := range map[string]func(map[string]any){
		"another issuer":           put("issuer", "https://evil.example"),
		"an issuer with a slash":   func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" },
		"no issuer":                put("issuer", nil),
		"no token endpoint":        put("token_endpoint", ""),
		"no keys":                  put("jwks_uri", nil),
		"a script as endpoint":     put("authorization_endpoint", "javascript:alert(1)"),
		"a file as endpoint":       put("jwks_uri", "file:///etc/passwd"),
		"a user in an endpoint":    put("token_endpoint", "https://a:b@evil.example/"),
		"a fragment":               put("authorization_endpoint", "https://evil.example/#x"),
		"only the plain challenge": put("code_challenge_methods_supported", []string{"plain"}),
		"no challenge at all":      put("code_challenge_methods_supported", []string{}),
		"only implicit":            put("response_types_supported", []string{"id_token"}),
		"only form posts":          put("response_modes_supported", []string{"form_post"}),
		"only shared secrets":      put("id_token_signing_alg_values_supported", []string{"HS256", "none"}),
		"pushed to nowhere":        put("require_pushed_authorization_requests", true),
		"no way to authenticate":   put("token_endpoint_auth_methods_supported", []string{"private_key_jwt", "none"}),
		"a text instead of a list": put("response_types_supported", "code"),
	} {
		w := newWorld(t)
		w.op.meta = change
		b := w.browser()
		a := b.get("/in")
		if strings.HasPrefix(a.to, "http") { // how the client authenticates is decided when it must
			a = b.get(b.next(a))
		}
		if a.code < 400 || b.session() != nil || w.op.count("/token") != 0 {
			t.Errorf("%s: status %d to %q", name, a.code, a.to)
		}
	}
	// https may not be left for http; on loopback, where tests are, both are http.
	m := metadata{Issuer: "https://op.example", Authorization: "https://op.example/a", Token: "http://op.example/t", JWKS: "https://op.example/j"}
	if err := m.check("https://op.example"); err == nil || !strings.Contains(err.Error(), "token_endpoint: is not https") {
		t.Errorf("http downgrade: %v", err)
	}
	w := newWorld(t)
	w.op.meta = func(m map[string]any) { delete(m, "code_challenge_methods_supported") } // Entra ID says nothing
	w.browser().signIn()
	if w.op.asked.Get("code_challenge_method") != "S256" || w.op.asked.Get("response_type") != "code" || w.op.asked.Get("response_mode") != "query" {
		t.Errorf("asked %q", w.op.asked)
	}
}

func TestA15AProviderOnAPrivateAddressIsNotAskedUnlessThatIsMeant(t *testing.T) {
	w := newWorld(t, func(o *options) { o.provider = func(_ int, c *ProviderConfig) { c.AllowPrivate = false } })
	if a := w.browser().get("/in"); a.code != http.StatusServiceUnavailable || w.op.count(discovery) != 0 {
		t.Errorf("status %d, %d requests", a.code, w.op.count(discovery))
	}
}

// logoutToken is one as the standard wants it, changed.
func (o *op) logoutToken(change func(claims, header map[string]any)) string {
	c := map[string]any{"iss": o.issuer(), "aud": "regain", "iat": o.now().Unix(), "exp": o.now().Add(2 * time.Minute).Unix(), "jti": fmt.Sprintf("jti-%d", logoutTokens.Add(1)),
		"sub": o.sub, "sid": "op-session-" + o.sub, "events": map[string]any{logoutEvent: map[string]any{}}}
	h := map[string]any{"typ": "logout+jwt"}
	if change != nil {
		change(c, h)
	}
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	return o.sign(marshal(o.t, c), o.key, o.kid, o.alg, h)
}

var logoutTokens atomic.Int64

// logout brings a logout token, as the provider does.
func (w *world) logout(token string, from string) answer {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/signin/corp/backchannel-logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site") // no browser's business
	r.RemoteAddr = from
	rec := httptest.NewRecorder()
	w.site.ServeHTTP(rec, r)
	if rec.Header().Get("Cache-Control") != "no-store" {
		w.t.Errorf("Cache-Control %q", rec.Header().Get("Cache-Control"))
	}
	return answer{rec.Code, rec.Body.String(), "", rec.Header()}
}

func TestA16ALogoutTokenThatIsForgedOldOrSomethingElseEndsNothing(t *testing.T) {
	w := newWorld(t)
	var idToken string
	w.op.raw = func(c []byte) string { idToken = w.op.sign(c, w.op.key, w.op.kid, w.op.alg, nil); return idToken }
	b := w.browser()
	b.signIn()
	w.op.raw = nil
	sec := func(d time.Duration) int64 { return w.clock.now().Add(d).Unix() }
	put := func(name string, v any) string {
		return w.op.logoutToken(func(c, _ map[string]any) { c[name] = v })
	}
	for name, token := range map[string]string{
		"an ID token":           idToken,
		"nothing":               "",
		"no token":              "a.b.c",
		"with a nonce":          put("nonce", "x"),
		"with an empty nonce":   put("nonce", ""),
		"no events":             put("events", nil),
		"another event":         put("events", map[string]any{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": map[string]any{}}),
		"an event that is text": put("events", map[string]any{logoutEvent: "x"}),
		"an event of nothing":   put("events", map[string]any{logoutEvent: nil}),
		"events as a list":      put("events", []string{logoutEvent}),
		"no jti":                put("jti", nil),
		"an endless jti":        put("jti", strings.Repeat("x", 300)),
		"another client's":      put("aud", "other"),
		"another issuer's":      put("iss", "https://evil.example"),
		"of nobody":             w.op.logoutToken(func(c, _ map[string]any) { delete(c, "sub"); delete(c, "sid") }),
		"no iat":                put("iat", nil),
		"old":                   put("iat", sec(-5*time.Minute-31*time.Second)),
		"of the future":         put("iat", sec(31*time.Second)),
		"expired":               put("exp", sec(-31*time.Second)),
		"no exp":                put("exp", nil),
		"another type":          w.op.logoutToken(func(_, h map[string]any) { h["typ"] = "secevent+jwt" }),
		"forged":                w.op.sign(marshal(t, map[string]any{"iss": w.op.issuer()}), freshKey(t), "k1", jwa.ES256(), nil),
		"unsigned":              byHand(`{"alg":"none"}`, []byte(`{}`), func([]byte) []byte { return nil }),
	} {
		if a := w.logout(token, "203.0.113.9:1"); a.code != http.StatusBadRequest || !strings.Contains(a.body, "invalid_request") {
			t.Errorf("%s: status %d", name, a.code)
		}
		if b.session() == nil {
			t.Fatalf("%s: the session ended", name)
		}
	}
	// And the other way: a logout token is no sign-in.
	w.mustRefuse("a logout token as ID token", "/in", "type", func(o *op) { o.header = map[string]any{"typ": "logout+jwt"} })
	w.mustRefuse("one without its type", "/in", "events", set("events", map[string]any{logoutEvent: map[string]any{}}))

	token := w.op.logoutToken(nil)
	if a := w.logout(token, "203.0.113.9:1"); a.code != http.StatusOK || b.session() != nil {
		t.Errorf("the true one: status %d, session %v", a.code, b.session())
	}
	if got := w.events(w.ada.ID); !slices.Contains(got, "session.ended idp") {
		t.Errorf("told %q", got)
	}
	c := w.browser()
	c.signIn()
	if a := w.logout(token, "203.0.113.9:1"); a.code != http.StatusBadRequest || c.session() == nil {
		t.Errorf("replayed: status %d, session %v", a.code, c.session())
	}
}

func TestA16ALogoutTokenEndsTheSessionItNamesOrAllOfTheSubject(t *testing.T) {
	w := newWorld(t)
	sid := func(v string) func(map[string]any) { return func(c map[string]any) { c["sid"] = v } }
	phone, laptop := w.browser(), w.browser()
	w.op.spoil = sid("phone")
	phone.signIn()
	w.op.spoil = sid("laptop")
	laptop.signIn()
	w.op.spoil = nil
	if a := w.logout(w.op.logoutToken(func(c, _ map[string]any) { c["sid"] = "phone"; delete(c, "sub") }), "203.0.113.9:1"); a.code != 200 || phone.session() != nil || laptop.session() == nil {
		t.Errorf("by sid: status %d", a.code)
	}
	if a := w.logout(w.op.logoutToken(func(c, h map[string]any) { delete(c, "sid"); delete(h, "typ") }), "203.0.113.9:1"); a.code != 200 || laptop.session() != nil {
		t.Errorf("by subject: status %d", a.code)
	}
	if a := w.logout(w.op.logoutToken(nil), "203.0.113.9:1"); a.code != 200 {
		t.Errorf("nothing left to end: status %d, want 200 (§2.8)", a.code)
	}
}

func TestA16LogoutTokensAreCountedBeforeTheyAreLookedAt(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn()
	before := w.op.count("/jwks")
	limited := 0
	for range 700 {
		if a := w.logout("junk", "203.0.113.66:5"); a.code == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited != 100 || w.op.count("/jwks") != before {
		t.Errorf("%d of 700 were stopped, %d key fetches; want 100 and none", limited, w.op.count("/jwks")-before)
	}
	if a := w.logout(w.op.logoutToken(nil), "203.0.113.67:5"); a.code != http.StatusOK {
		t.Errorf("another network: status %d", a.code)
	}
	for name, r := range map[string]*http.Request{
		"GET":             httptest.NewRequest(http.MethodGet, "/signin/corp/backchannel-logout", nil),
		"another form":    httptest.NewRequest(http.MethodPost, "/signin/corp/backchannel-logout", strings.NewReader(`{"logout_token":"x"}`)),
		"nobody's":        httptest.NewRequest(http.MethodPost, "/signin/nobody/backchannel-logout", nil),
		"an endless body": httptest.NewRequest(http.MethodPost, "/signin/corp/backchannel-logout", strings.NewReader("logout_token="+strings.Repeat("x", maxLogoutBody))),
	} {
		if name == "an endless body" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		rec := httptest.NewRecorder()
		w.site.ServeHTTP(rec, r)
		if want := map[string]int{"GET": 405, "nobody's": 404}[name]; rec.Code != max(want, 400) {
			t.Errorf("%s: status %d", name, rec.Code)
		}
	}
}

func TestA16NoOtherSiteSignsAnybodyOut(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn()
	if a := b.get("/signout"); a.code != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", a.code)
	}
	r := httptest.NewRequest(http.MethodPost, "/signout", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := b.do(r); a.code != http.StatusForbidden || b.session() == nil {
		t.Errorf("from another site: status %d", a.code)
	}
	if a := b.get("/signed-out/go"); a.to != "/signed-out" || b.session() == nil {
		t.Errorf("the way out without a sign-out: to %q", a.to)
	}
	if a := b.get("/signed-out?state=x"); a.code != http.StatusOK || strings.Contains(a.body, "and at your work sign-in") {
		t.Errorf("a state nobody gave: status %d", a.code)
	}
}

func TestSigningOutEndsTheSessionHereAndThenOffersTheOneThere(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	s := b.signIn()
	b.post("/signout", nil)
	a := b.get("/signed-out")
	if !strings.Contains(a.body, `href="/signed-out/go"`) || strings.Contains(a.body, s.IDToken) {
		t.Fatalf("status %d: %s", a.code, a.body)
	}
	a = b.get("/signed-out/go")
	u, err := url.Parse(a.to)
	if err != nil || !strings.HasPrefix(a.to, w.op.issuer()+"/logout?") {
		t.Fatalf("leads to %q", a.to)
	}
	q := u.Query()
	if q.Get("id_token_hint") != s.IDToken || q.Get("client_id") != "regain" || q.Get("post_logout_redirect_uri") != base+"/signed-out" || len(q.Get("state")) != 43 {
		t.Errorf("asked %q", q)
	}
	if a := b.get("/signed-out?state=" + q.Get("state")); !strings.Contains(a.body, "here and at your work sign-in") {
		t.Errorf("back: %s", a.body)
	}
	if a := b.get("/signed-out?state=" + q.Get("state")); strings.Contains(a.body, "here and at your work sign-in") {
		t.Error("the state was taken twice")
	}
	// After five minutes nobody is led there any more.
	b.signIn()
	b.post("/signout", nil)
	w.clock.pass(6 * time.Minute)
	if a := b.get("/signed-out/go"); a.to != "/signed-out" {
		t.Errorf("later: leads to %q", a.to)
	}
	// A provider without such a page, and a token too long for an address.
	w.op.meta = func(m map[string]any) { delete(m, "end_session_endpoint") }
	w.clock.pass(metadataLife)
	b.signIn()
	b.post("/signout", nil)
	if a := b.get("/signed-out"); a.code != http.StatusOK || strings.Contains(a.body, "/signed-out/go") {
		t.Errorf("nothing to sign out of there: status %d", a.code)
	}
	w.op.meta = nil
	w.clock.pass(metadataLife)
	w.op.claims["padding"] = strings.Repeat("x", maxAddress)
	b.signIn()
	b.post("/signout", nil)
	if a := b.get("/signed-out/go"); !strings.HasPrefix(a.to, w.op.issuer()+"/logout?") || len(a.to) > maxAddress {
		t.Errorf("a long token: an address of %d bytes", len(a.to))
	}
}
