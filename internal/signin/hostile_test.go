package signin

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"

	"github.com/regain-id/regain/internal/session"
)

// mustRefuse has somebody come back from a provider that lies, and fails unless they are refused for the reason.
func (w *world) mustRefuse(name, path, why string, lie func(*op)) {
	w.t.Helper()
	w.op.mu.Lock()
	before := w.op.lies
	lie(w.op)
	w.op.mu.Unlock()
	events := len(w.events(""))
	b := w.browser()
	a := b.get(b.callback(path))
	if a.to != "" && strings.HasPrefix(a.to, "http") { // the one automatic retry
		a = b.get(b.next(a))
	}
	told := w.events("")[events:]
	if b.session() != nil || len(told) == 0 || told[len(told)-1] != "signin.refused "+why || a.code < 400 && a.to != "/failed" {
		w.t.Errorf("%s: status %d to %q, session %v, told %q, want refused for %q", name, a.code, a.to, b.session() != nil, told, why)
	}
	w.op.mu.Lock()
	w.op.lies = before
	w.op.mu.Unlock()
}

// set makes the provider's tokens say something else.
func set(name string, value any) func(*op) {
	return func(o *op) { o.spoil = func(c map[string]any) { c[name] = value } }
}

func TestA1ATokenWithAnotherNonceOrNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	w.mustRefuse("another", "/in", "nonce", set("nonce", "another"))
	w.mustRefuse("none", "/in", "nonce", set("nonce", nil))
	w.mustRefuse("empty", "/in", "nonce", set("nonce", ""))
	w.mustRefuse("a list", "/in", "token", set("nonce", []string{"a"}))
	var first string
	w.mustRefuse("of another sign-in", "/in", "nonce", func(o *op) {
		o.spoil = func(c map[string]any) {
			if first == "" {
				first = c["nonce"].(string)
			}
			c["nonce"] = "x" + first
		}
	})
	w.browser().signIn() // and the truth is still taken
}

func TestA2AStateServesTheBrowserThatBeganOnceAndTabsDoNotMix(t *testing.T) {
	w := newWorld(t)
	victim, attacker := w.browser(), w.browser()
	back := attacker.callback("/in")
	if a := victim.get(back); a.code != http.StatusGone || victim.session() != nil {
		t.Errorf("login CSRF: status %d, want that it has ended", a.code)
	}
	if w.op.count("/token") != 0 {
		t.Error("the code of another browser was shown to the provider")
	}
	if a := attacker.follow(attacker.get(back)); !a.in(w.ada) {
		t.Errorf("the browser that began cannot go on after another tried: status %d", a.code)
	}
	if a := attacker.get(back); a.code != http.StatusGone || w.op.count("/token") != 1 {
		t.Errorf("a state used twice: status %d, %d token calls", a.code, w.op.count("/token"))
	}
	for name, path := range map[string]string{"no state": "/signin/corp/callback?code=x&iss=y", "an empty one": "/signin/corp/callback?state=&code=x", "nothing": "/signin/corp/callback",
		"one that was never given": "/signin/corp/callback?state=" + strings.Repeat("a", 43) + "&code=x"} {
		if a := w.browser().get(path); a.code != http.StatusGone {
			t.Errorf("%s: status %d", name, a.code)
		}
	}
	// Two tabs of one browser, answered in the other order.
	b := w.browser()
	one, two := b.callback("/in"), b.callback("/home")
	if a := b.get(two); a.to != "/home" {
		t.Errorf("second tab: goes to %q", a.to)
	}
	if a := b.get(one); a.to != "/in" {
		t.Errorf("first tab: goes to %q", a.to)
	}
	late := w.browser()
	back = late.callback("/in")
	w.clock.pass(session.FlowLife)
	if a := late.get(back); a.code != http.StatusGone {
		t.Errorf("after its time: status %d", a.code)
	}
}

func TestA3TheIssuerOfAnAnswerIsCheckedBeforeAnythingElseOfIt(t *testing.T) {
	w := newWorld(t)
	answer := func(f func(url.Values)) func(*op) { return func(o *op) { o.answer = f } }
	for name, f := range map[string]func(url.Values){
		"missing": func(v url.Values) { v.Del("iss") }, "another": func(v url.Values) { v.Set("iss", "https://evil.example") },
		"with a slash": func(v url.Values) { v.Set("iss", v.Get("iss")+"/") }, "empty": func(v url.Values) { v.Set("iss", "") },
		"missing beside an error": func(v url.Values) { v.Del("iss"); v.Del("code"); v.Set("error", "access_denied") },
		"another beside an error": func(v url.Values) { v.Set("iss", "https://evil.example"); v.Set("error", "login_required") },
	} {
		w.mustRefuse(name, "/in", "iss", answer(f))
	}
	if n := w.op.count("/token"); n != 0 {
		t.Errorf("%d codes were shown to the provider before the issuer was checked", n)
	}
	for _, name := range []string{"iss", "state", "code", "error"} {
		b := w.browser()
		back := b.callback("/in")
		u, _ := url.Parse(back)
		q := u.Query()
		q.Add(name, "once")
		q.Add(name, "twice")
		if a := b.get(u.Path + "?" + q.Encode()); a.code != http.StatusBadRequest || b.session() != nil {
			t.Errorf("%s twice: status %d", name, a.code)
		}
		if a := b.get(back); a.to != "/in" {
			t.Errorf("after a refused copy with %s twice the true answer leads to %q", name, a.to)
		}
	}
}

func TestA3AProviderThatDoesNotPromiseAnIssuerMayLeaveItOutButNotLie(t *testing.T) {
	w := newWorld(t)
	w.op.meta = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
	w.op.answer = func(v url.Values) { v.Del("iss") }
	w.browser().signIn()
	w.mustRefuse("a lie", "/in", "iss", func(o *op) { o.answer = func(v url.Values) { v.Set("iss", "https://evil.example") } })
}

func TestA4ACodeOfAnotherSignInGetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	victim, attacker := w.browser(), w.browser()
	stolen, _ := url.Parse(victim.callback("/in"))
	own, _ := url.Parse(attacker.callback("/in"))
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	a := attacker.get(own.Path + "?" + q.Encode())
	if a.code != http.StatusForbidden || attacker.session() != nil || !w.refused("code") {
		t.Errorf("an injected code: status %d", a.code)
	}
	if n := w.op.count("/token"); n != 1 {
		t.Errorf("%d token calls for one code, want 1: more look like a replay", n)
	}
	// A token made for another client, though signed and with the right nonce.
	w.mustRefuse("another client's token", "/in", "token", set("aud", "another"))
	w.mustRefuse("no code", "/in", "code", func(o *op) { o.answer = func(v url.Values) { v.Set("code", "") } })
	w.mustRefuse("tokens without an ID token", "/in", "code", func(o *op) {
		o.handle = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/token" {
				return false
			}
			reply(w, map[string]any{"access_token": "x", "token_type": "Bearer"})
			return true
		}
	})
}

func TestA4ASignInAtOneProviderIsNotAnsweredByAnother(t *testing.T) {
	w := newWorld(t, func(o *options) { o.providers = 2 })
	b := w.browser()
	back, _ := url.Parse(b.callback("/signin/corp"))
	a := b.get("/signin/partner/callback?" + back.RawQuery)
	if a.code != http.StatusForbidden || b.session() != nil || !w.refused("provider") || w.ops[1].count("/token")+w.ops[0].count("/token") != 0 {
		t.Errorf("mix-up: status %d, %d and %d token calls", a.code, w.ops[0].count("/token"), w.ops[1].count("/token"))
	}
	if a := w.browser().get("/signin/nobody/callback?state=x"); a.code != http.StatusNotFound {
		t.Errorf("a provider that is none: status %d", a.code)
	}
}

func TestA5MoreAudiencesAreTakenOnlyWhenTheTokenWasMadeForUs(t *testing.T) {
	w := newWorld(t)
	both := func(azp any) func(*op) {
		return func(o *op) {
			o.spoil = func(c map[string]any) { c["aud"], c["azp"] = []string{"regain", "other"}, azp }
		}
	}
	w.mustRefuse("two without azp", "/in", "audience", both(nil))
	w.mustRefuse("two with another azp", "/in", "audience", both("other"))
	w.mustRefuse("azp of another type", "/in", "audience", both([]string{"regain"}))
	w.mustRefuse("one with another azp", "/in", "audience", set("azp", "other"))
	w.mustRefuse("an empty azp", "/in", "audience", set("azp", ""))
	w.mustRefuse("no audience", "/in", "token", set("aud", nil))
	w.mustRefuse("an empty list", "/in", "token", set("aud", []string{}))
	w.mustRefuse("another issuer", "/in", "token", set("iss", "https://evil.example"))
	w.mustRefuse("an issuer with a slash", "/in", "token", set("iss", w.op.issuer()+"/"))
	for name, sub := range map[string]any{"missing": nil, "empty": "", "a number": 7, "too long": strings.Repeat("x", 257), "with a line break": "a\nb"} {
		want := "subject"
		if name == "a number" {
			want = "token"
		}
		w.mustRefuse("sub "+name, "/in", want, set("sub", sub))
	}
	w.mustRefuse("at_hash of another token", "/in", "at_hash", set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"))
	w.mustRefuse("an empty at_hash", "/in", "at_hash", set("at_hash", ""))
	both("regain")(w.op)
	w.op.leaveAtHash = true
	w.browser().signIn()
}

func TestA6ATokenIsTakenOnlyWithASignatureOfTheProvider(t *testing.T) {
	w := newWorld(t)
	e := base64.RawURLEncoding
	none := func([]byte) []byte { return nil }
	raw := func(f func([]byte) string) func(*op) { return func(o *op) { o.raw = f } }
	w.mustRefuse("none", "/in", "token", raw(func(c []byte) string { return byHand(`{"alg":"none"}`, c, none) }))
	w.mustRefuse("None", "/in", "token", raw(func(c []byte) string { return byHand(`{"alg":"None","kid":"k1"}`, c, none) }))
	w.mustRefuse("HS256 with the public key", "/in", "token", raw(func(c []byte) string { return byHand(`{"alg":"HS256","kid":"k1"}`, c, withPublicKey(w.op.key)) }))
	w.mustRefuse("no signature", "/in", "token", raw(func(c []byte) string { return byHand(`{"alg":"ES256","kid":"k1"}`, c, none) }))
	other := freshKey(t)
	w.mustRefuse("another key under the same id", "/in", "token", func(o *op) { o.key, o.keys = other, []any{public(t, ecKey(), "k1")} })
	w.mustRefuse("a key that comes along", "/in", "token", func(o *op) {
		o.keys = []any{public(t, ecKey(), "k1")}
		o.key, o.header = other, map[string]any{"jwk": public(t, other, "")}
	})
	w.mustRefuse("a key elsewhere", "/in", "token", func(o *op) {
		o.keys = []any{public(t, ecKey(), "k1")}
		o.key, o.header = other, map[string]any{"jku": w.op.issuer() + "/evil"}
	})
	w.mustRefuse("an extension nobody knows", "/in", "token", func(o *op) { o.header = map[string]any{"crit": []string{"x"}, "x": true} })
	w.mustRefuse("an encrypted token", "/in", "token", raw(func(c []byte) string {
		return strings.Repeat(e.EncodeToString([]byte(`{"alg":"RSA-OAEP"}`))+".", 4) + "x"
	}))
	w.mustRefuse("no token at all", "/in", "token", raw(func([]byte) string { return "a.b.c" }))
	w.mustRefuse("one changed letter", "/in", "token", raw(func(c []byte) string {
		return w.op.sign(c, ecKey(), "k1", jwa.ES256(), nil) + "A"
	}))
	w.mustRefuse("a token as JSON", "/in", "token", raw(func(c []byte) string {
		parts := strings.Split(w.op.sign(c, ecKey(), "k1", jwa.ES256(), nil), ".")
		b, _ := json.Marshal(map[string]string{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
		return string(b)
	}))
	w.mustRefuse("claims that are a list", "/in", "token", raw(func([]byte) string { return w.op.sign([]byte(`["sub"]`), ecKey(), "k1", jwa.ES256(), nil) }))
	w.mustRefuse("another kind of token", "/in", "type", func(o *op) { o.header = map[string]any{"typ": "at+jwt"} })
	if n := w.op.count("/evil"); n != 0 {
		t.Error("a key was fetched from where the token said")
	}
	w.op.key, w.op.alg, w.op.keys = rsaKey(), jwa.PS256(), []any{public(t, rsaKey(), "k1"), map[string]any{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}, map[string]any{"kty": "XX"}}
	w.clock.pass(keyAge)
	w.browser().signIn() // keys of other kinds beside the right one do no harm
}

func TestA7KeysAreAskedForWhenTheyMustBeAndNoMoreOften(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn()
	if n := w.op.count("/jwks"); n != 1 {
		t.Fatalf("one sign-in: %d fetches", n)
	}
	// A flood of invented key ids, all within the least interval of the one fetch there was.
	for range 50 {
		w.mustRefuse("a junk key id", "/in", "token", func(o *op) { o.key, o.kid, o.keys = freshKey(t), "junk", []any{public(t, ecKey(), "k1")} })
	}
	if n := w.op.count("/jwks"); n != 1 {
		t.Errorf("fifty junk key ids: %d fetches, want none more", n)
	}
	w.clock.pass(keyRetry)
	for range 20 {
		w.mustRefuse("a junk key id", "/in", "token", func(o *op) { o.key, o.kid, o.keys = freshKey(t), "junk", []any{public(t, ecKey(), "k1")} })
	}
	if n := w.op.count("/jwks"); n != 2 {
		t.Errorf("twenty more after the interval: %d fetches in all, want 2", n)
	}
	// A forged token under a known id causes none at all.
	w.clock.pass(keyRetry)
	w.mustRefuse("a forged one", "/in", "token", func(o *op) { o.key, o.keys = freshKey(t), []any{public(t, ecKey(), "k1")} })
	if n := w.op.count("/jwks"); n != 2 {
		t.Errorf("a forged token of a known key: %d fetches, want 2", n)
	}
	// Rotation: a new key under a new id is found at once when the interval has passed.
	next := freshKey(t)
	w.op.key, w.op.kid = next, "k2"
	w.browser().signIn()
	if n := w.op.count("/jwks"); n != 3 {
		t.Errorf("rotation: %d fetches, want 3", n)
	}
	// Without ids every key is tried, and rotation still works.
	w.op.kid, w.op.keys = "", []any{public(t, freshKey(t), ""), public(t, next, "")}
	w.clock.pass(keyRetry)
	w.browser().signIn()
	w.op.key, w.op.keys = freshKey(t), nil
	w.clock.pass(keyRetry)
	w.browser().signIn()
}

func TestA7AKeyThatWasWithdrawnIsTrustedForAnHourAtMost(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn()
	leaked := w.op.key
	w.op.keys = []any{public(t, freshKey(t), "k2")}
	w.clock.pass(time.Hour)
	w.mustRefuse("a withdrawn key", "/in", "token", func(o *op) { o.key, o.kid = leaked, "k1" })
	if n := w.op.count("/jwks"); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

func TestA7KeySetsThatCannotBeUsedKeepNobodyIn(t *testing.T) {
	many := make([]any, maxKeys+1)
	for i := range many {
		many[i] = public(t, ecKey(), "k1")
	}
	for name, body := range map[string]any{"too many keys": map[string]any{"keys": many}, "no set": []string{"x"}, "an empty object": map[string]any{}, "a text": "x"} {
		w := newWorld(t)
		w.op.handle = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/jwks" {
				reply(rw, body)
			}
			return r.URL.Path == "/jwks"
		}
		b := w.browser()
		if a := b.get(b.callback("/in")); a.code != http.StatusServiceUnavailable || b.session() != nil {
			t.Errorf("%s: status %d", name, a.code)
		}
	}
}

func TestA8ATokenIsTakenInItsTimeOnly(t *testing.T) {
	w := newWorld(t)
	at := func(d time.Duration) int64 { return w.clock.now().Add(d).Unix() }
	for _, test := range []struct {
		name, claim string
		value       any
		why         string // "" is taken
	}{
		{"expired within the skew", "exp", at(-29 * time.Second), ""},
		{"expired", "exp", at(-31 * time.Second), "token"},
		{"no exp", "exp", nil, "token"},
		{"exp in ten years", "exp", at(87600 * time.Hour), "time"},
		{"exp as text", "exp", "4102444800", "time"},
		{"exp with a fraction", "exp", 1.8e9 + 0.5, "time"},
		{"iat ahead within the skew", "iat", at(29 * time.Second), ""},
		{"iat ahead", "iat", at(31 * time.Second), "time"},
		{"iat an hour ahead", "iat", at(time.Hour), "time"},
		{"no iat", "iat", nil, "time"},
		{"iat zero", "iat", 0, "time"},
		{"iat negative", "iat", -5, "time"},
		{"iat five minutes back, as Entra ID dates them", "iat", at(-5 * time.Minute), ""},
		{"iat of long ago", "iat", at(-16 * time.Minute), "time"},
		{"nbf ahead within the skew", "nbf", at(29 * time.Second), ""},
		{"nbf ahead", "nbf", at(31 * time.Second), "time"},
		{"nbf four minutes ahead", "nbf", at(4 * time.Minute), "time"},
	} {
		if test.why == "" {
			set(test.claim, test.value)(w.op)
			w.browser().signIn()
			w.op.spoil = nil
			continue
		}
		w.mustRefuse(test.name, "/in", test.why, set(test.claim, test.value))
	}
}

func TestA9OnlyTheValuesOfTheAcceptListAreStrongEnoughToTheLetter(t *testing.T) {
	w := newWorld(t)
	for name, acr := range map[string]any{"lower": "1", "absent": nil, "empty": "", "another case": "MFA", "a list": []string{"mfa"}, "longer": "mfa2", "shorter": "mf",
		"with a space": "mfa ", "several in one": "mfa phr", "a number": 1, "an object": map[string]string{"value": "mfa"}} {
		w.mustRefuse(name, "/console", "weak", set("acr", acr))
	}
	w.mustRefuse("in amr instead", "/console", "weak", set("amr", []string{"mfa"}))
	w.op.acr = "mfa"
	b := w.browser()
	if a := b.follow(b.get("/console")); !a.in(w.ada) || b.session().StepUp.IsZero() {
		t.Errorf("the right value: status %d", a.code)
	}
}

func TestA9ContextsMustComeAsAListAndMethodsByTheirOwnClaim(t *testing.T) {
	entra := newWorld(t, func(o *options) {
		o.provider = func(_ int, c *ProviderConfig) {
			c.StepUp = StepUp{Ask: AskClaimsACRS, Claim: "acrs", Accept: []string{"c1"}, MaxAge: 5 * time.Minute}
		}
	})
	for name, acrs := range map[string]any{"a text": "c1", "a list in a text": `["c1"]`, "another": []string{"c2"}, "a prefix": []string{"c10"}, "none": nil, "empty": []string{}, "numbers": []int{1}} {
		entra.mustRefuse(name, "/console", "weak", set("acrs", acrs))
	}
	entra.mustRefuse("acr instead", "/console", "weak", set("acr", "c1"))
	set("acrs", []string{"c3", "c1"})(entra.op)
	b := entra.browser()
	if a := b.follow(b.get("/console")); !a.in(entra.ada) {
		t.Errorf("Entra ID: status %d", a.code)
	}
	if got := entra.op.asked.Get("claims"); !strings.Contains(got, `"acrs":{"essential":true,"value":"c1"}`) || entra.op.asked.Get("acr_values") != "" {
		t.Errorf("asked by %s", got)
	}
	if s := b.session(); !slices.Contains(s.AMR, "c1") || !slices.Contains(s.AMR, "pwd") {
		t.Errorf("kept %q", s.AMR)
	}

	const multiple = "http://schemas.microsoft.com/claims/multipleauthn"
	adfs := newWorld(t, func(o *options) {
		o.provider = func(_ int, c *ProviderConfig) {
			c.StepUp = StepUp{Ask: AskACRValues, Claim: "amr", Accept: []string{multiple}}
		}
	})
	adfs.mustRefuse("amr as text", "/console", "weak", set("amr", multiple))
	adfs.mustRefuse("only in acr", "/console", "weak", set("acr", multiple))
	set("amr", []string{"pwd", multiple})(adfs.op)
	b = adfs.browser()
	if a := b.follow(b.get("/console")); !a.in(adfs.ada) || adfs.op.asked.Get("acr_values") != multiple {
		t.Errorf("AD FS: status %d, asked %q", a.code, adfs.op.asked)
	}
}

func TestA10WhenSomebodySignedInMustBeSaidAndRecentEnough(t *testing.T) {
	w := newWorld(t)
	at := func(d time.Duration) any { return w.clock.now().Add(d).Unix() }
	lie := func(v any) func(*op) {
		return func(o *op) { o.acr = "mfa"; o.spoil = func(c map[string]any) { c["auth_time"] = v } }
	}
	w.mustRefuse("absent", "/console", "stale", lie(nil))
	w.mustRefuse("zero", "/console", "stale", lie(0))
	w.mustRefuse("too old", "/console", "stale", lie(at(-5*time.Minute-31*time.Second)))
	w.mustRefuse("ahead", "/console", "auth_time", lie(at(31*time.Second)))
	w.mustRefuse("negative", "/console", "auth_time", lie(-1))
	w.mustRefuse("with a fraction", "/console", "auth_time", lie(float64(w.clock.now().Unix())+0.5))
	w.mustRefuse("as text", "/console", "auth_time", lie("1795597200"))
	w.mustRefuse("huge", "/console", "auth_time", lie(json.Number("99999999999999999999")))
	w.mustRefuse("ahead at a plain sign-in", "/in", "auth_time", lie(at(time.Hour)))
	// A plain sign-in takes an old one and knows it for what it is.
	lie(at(-5 * time.Hour))(w.op)
	if s := w.browser().signIn(); s.SteppedUp(w.clock.now(), session.StepUpLife) {
		t.Error("a sign-in of five hours ago counts as a step-up")
	}
	lie(nil)(w.op)
	if s := w.browser().signIn(); !s.StepUp.IsZero() {
		t.Error("a sign-in of unknown age counts as a step-up")
	}
	// A clock ahead of ours makes nothing last longer.
	lie(at(20 * time.Second))(w.op)
	b := w.browser()
	if b.follow(b.get("/console")); b.session().StepUp.After(w.clock.now()) {
		t.Error("a step-up in the future")
	}
}
