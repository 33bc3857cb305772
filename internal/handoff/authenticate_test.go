package handoff

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// pair is a key of a client, and how it is registered.
type pair struct {
	private any
	public  client.PublicKey
}

func newPair(t testing.TB, alg string) pair {
	t.Helper()
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256", "PS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.Import(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, client.PublicKey{ID: base64.RawURLEncoding.EncodeToString(sum), JWK: string(text)}}
}

// signs makes a compact JWS.
func (p pair) signs(t testing.TB, alg string, header, claims map[string]any) string {
	t.Helper()
	a, ok := jwa.LookupSignatureAlgorithm(alg)
	if !ok {
		t.Fatal(alg)
	}
	h := jws.NewHeaders()
	for name, value := range header {
		if err := h.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jws.Sign(payload, jws.WithKey(a, p.private, jws.WithProtectedHeaders(h)))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// asserted are the claims of an assertion without fault.
func (w *world) asserted(key string) map[string]any {
	now := w.clock.now()
	return map[string]any{"iss": key, "sub": key, "aud": base, "jti": uuid.NewString(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

// asserts adds an assertion to a form.
func asserts(form url.Values, assertion string) url.Values {
	return with(form, "client_assertion_type", assertionType, "client_assertion", assertion)
}

// byKey makes the app of a world one that asserts.
func byKey(keys ...pair) func(*options) {
	return func(o *options) {
		o.hr = func(a *client.App) {
			a.Auth, a.Secrets = client.AuthKey, nil
			for _, k := range keys {
				a.Keys = append(a.Keys, k.public)
			}
		}
	}
}

func TestEveryKeyAnAppMayRegisterAsserts(t *testing.T) {
	for _, alg := range assertionAlgs {
		key, older := newPair(t, alg), newPair(t, "ES256")
		w := newWorld(t, byKey(older, key))
		for name, header := range map[string]map[string]any{
			"plain": {}, "with kid": {"kid": key.public.ID}, "with its type": {"typ": "client-authentication+jwt"}, "as JWT": {"typ": "JWT"},
		} {
			got := w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), key.signs(t, alg, header, w.asserted("hr"))))
			if got.code != http.StatusCreated {
				t.Errorf("%s, %s: %d %s", alg, name, got.code, got.body)
			}
		}
		got := w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request("client_id", ""), key.signs(t, alg, nil, w.asserted("hr"))))
		if got.code != http.StatusCreated {
			t.Errorf("%s, without client_id beside it: %d %s", alg, got.code, got.body)
		}
	}
}

// signer returns what signs assertions of a client with a key, with claims changed by name and value; nil takes one away.
func (w *world) signer(key pair, name string) func(change ...any) string {
	return func(change ...any) string {
		c := w.asserted(name)
		for i := 0; i+1 < len(change); i += 2 {
			if change[i+1] == nil {
				delete(c, change[i].(string))
			} else {
				c[change[i].(string)] = change[i+1]
			}
		}
		return key.signs(w.t, "ES256", nil, c)
	}
}

// badAssertions are assertions in a client's name that are no good, by what is wrong with them. good was used before.
func (w *world) badAssertions(ec pair, name, good string) map[string]string {
	t, sign := w.t, w.signer(ec, name)
	other, small := newPair(t, "ES256"), newPair(t, "RS256")
	now := w.clock.now().Unix()
	header := func(h string) string { // a signature over another header
		parts := strings.Split(sign(), ".")
		parts[0] = base64.RawURLEncoding.EncodeToString([]byte(h))
		return strings.Join(parts, ".")
	}
	mac := func(alg jwa.SignatureAlgorithm, secret []byte) string {
		payload, _ := json.Marshal(w.asserted(name))
		signed, err := jws.Sign(payload, jws.WithKey(alg, secret))
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	payload, _ := json.Marshal(w.asserted(name))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	cross := func(claims map[string]any) string {
		return other.signs(t, "ES256", map[string]any{"kid": ec.public.ID}, claims)
	}
	embedded, _ := jwk.Import(other.private.(*ecdsa.PrivateKey).Public())
	return map[string]string{
		"replayed":                      good,
		"for the token endpoint":        sign("aud", base+PathToken),
		"for the push endpoint":         sign("aud", base+PathPush),
		"for a list with us":            sign("aud", []string{base}),
		"for us and another":            sign("aud", []string{base, "https://other.example"}),
		"for us with a slash":           sign("aud", base+"/"),
		"for nobody":                    sign("aud", nil),
		"by another client":             sign("iss", "crm"),
		"about another client":          sign("sub", "crm"),
		"by nobody":                     sign("iss", nil, "sub", nil),
		"without jti":                   sign("jti", nil),
		"with an empty jti":             sign("jti", ""),
		"with a long jti":               sign("jti", strings.Repeat("j", maxJTI+1)),
		"with a jti that is a number":   sign("jti", 7),
		"without exp":                   sign("exp", nil),
		"with exp as text":              sign("exp", "1795599999"),
		"expired":                       sign("exp", now-10),
		"good for too long":             sign("exp", now+71),
		"good for ever":                 sign("exp", 1e18),
		"good since ever":               sign("exp", -1),
		"not good yet":                  sign("nbf", now+11),
		"not good for ever":             sign("nbf", 1e300),
		"from the future":               sign("iat", now+11),
		"signed by another":             other.signs(t, "ES256", nil, w.asserted(name)),
		"signed by another in our name": cross(w.asserted(name)),
		"with a key of its own":         other.signs(t, "ES256", map[string]any{"jwk": embedded}, w.asserted(name)),
		"of another kind of key":        small.signs(t, "RS256", nil, w.asserted(name)),
		"with a kid nobody has":         ec.signs(t, "ES256", map[string]any{"kid": "x"}, w.asserted(name)),
		"of another type":               ec.signs(t, "ES256", map[string]any{"typ": "secevent+jwt"}, w.asserted(name)),
		"with what must be understood":  header(`{"alg":"ES256","crit":["x"],"x":1}`),
		"with another header":           header(`{"alg":"ES256","typ":"JWT"}`),
		"not signed":                    none,
		"signed by nothing":             header(`{"alg":"none"}`),
		"none in another case":          header(`{"alg":"nOnE"}`),
		"with the public key as secret": mac(jwa.HS256(), []byte(ec.public.JWK)),
		"with the client id as secret":  mac(jwa.HS512(), []byte(name)),
		"cut off":                       good[:len(good)-4],
		"of two parts":                  strings.Join(strings.Split(sign(), ".")[:2], "."),
		"as JSON":                       `{"payload":"e30","protected":"e30","signature":""}`,
		"too large":                     sign("x", strings.Repeat("x", maxAssertion)),
		"no assertion":                  "x",
	}
}

func TestB07AnAssertionIsForUsFreshSignedAndUsedOnce(t *testing.T) {
	ec, other := newPair(t, "ES256"), newPair(t, "ES256")
	w := newWorld(t, byKey(ec))
	now := w.clock.now().Unix()
	push := func(assertion string) answer {
		return w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), assertion))
	}
	sign := w.signer(ec, "hr")
	good := sign()
	if got := push(good); got.code != http.StatusCreated {
		t.Fatalf("a good one: %d %s", got.code, got.body)
	}
	for name, assertion := range w.badAssertions(ec, "hr", good) {
		got := push(assertion)
		if got.code != http.StatusUnauthorized || w.errorOf(got) != "invalid_client" || strings.Contains(got.body, "jti") {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	// Nothing but the time: what is just good enough.
	for name, assertion := range map[string]string{"at its last": sign("exp", now-9), "a little far": sign("exp", now+70), "clocks that differ": sign("nbf", now+10, "iat", now+10)} {
		if got := push(assertion); got.code != http.StatusCreated {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	// A jti is remembered until the assertion cannot be good any more.
	w.clock.pass(75 * time.Second)
	if got := push(good); got.code != http.StatusUnauthorized {
		t.Errorf("replayed when it has expired: %d", got.code)
	}
	// The rest of client authentication around it.
	for name, form := range map[string]url.Values{
		"another type of assertion": with(asserts(w.hr.request(), sign()), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
		"no type":                   with(asserts(w.hr.request(), sign()), "client_assertion_type", ""),
		"no assertion":              with(w.hr.request(), "client_assertion_type", assertionType),
		"another client_id":         asserts(w.hr.request("client_id", "crm"), sign()),
	} {
		if got := w.call(w.site, http.MethodPost, PathPush, form); got.code != http.StatusUnauthorized || w.errorOf(got) != "invalid_client" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	if got := w.call(w.site, http.MethodPost, PathPush, with(asserts(w.hr.request(), sign()), "client_secret", "x")); w.errorOf(got) != "invalid_request" {
		t.Errorf("in two ways: %d %s", got.code, got.body)
	}
	// A client with a key has no secret, and one with a secret has no key.
	if got := w.hr.post(PathPush, w.hr.request()); w.errorOf(got) != "invalid_client" {
		t.Errorf("by a secret: %d %s", got.code, got.body)
	}
	crm := w.app("crm", func(a *client.App) { a.Keys = []client.PublicKey{other.public} })
	if got := w.call(w.site, http.MethodPost, PathPush, asserts(crm.request(), other.signs(t, "ES256", nil, w.asserted("crm")))); w.errorOf(got) != "invalid_client" {
		t.Errorf("a client with a secret, by a key: %d %s", got.code, got.body)
	}
	// A key that is registered for one algorithm does not check another, and none is checked that is too small.
	if got := w.log.String(); strings.Contains(got, good) || strings.Contains(got, strings.Split(good, ".")[2]) {
		t.Error("an assertion is in the log")
	}
}

func TestASecretIsTakenFromTheHeaderAndTheBodyAndNowhereElse(t *testing.T) {
	w := newWorld(t)
	call := func(form url.Values, header ...string) answer {
		return w.call(w.site, http.MethodPost, PathPush, form, header...)
	}
	secret := w.hr.secret
	for name, got := range map[string]answer{
		"in the header":                    call(w.hr.request(), "Authorization", basic("hr", secret)),
		"in the header, without client_id": call(w.hr.request("client_id", ""), "Authorization", basic("hr", secret)),
		"in the header, in small letters":  call(w.hr.request(), "Authorization", strings.Replace(basic("hr", secret), "Basic", "basic", 1)),
		"every letter encoded":             call(w.hr.request(), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("%68%72:"+strings.ReplaceAll(secret, "_", "%5F")))),
		"in the body":                      call(w.hr.request("client_secret", secret)),
	} {
		if got.code != http.StatusCreated {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	crm := w.app("crm", nil)
	for name, c := range map[string]struct {
		got   answer
		want  string
		basic bool
	}{
		"none":                             {call(w.hr.request()), "invalid_client", false},
		"in both":                          {call(w.hr.request("client_secret", secret), "Authorization", basic("hr", secret)), "invalid_request", false},
		"in the address":                   {w.call(w.site, http.MethodPost, PathPush+"?client_secret="+secret, w.hr.request()), "invalid_client", false},
		"another's":                        {call(w.hr.request(), "Authorization", basic("hr", crm.secret)), "invalid_client", true},
		"another client than in the body":  {call(w.hr.request("client_id", "crm"), "Authorization", basic("hr", secret)), "invalid_client", true},
		"a client nobody knows":            {call(w.hr.request("client_id", ""), "Authorization", basic("nobody", secret)), "invalid_client", true},
		"no client":                        {call(w.hr.request("client_id", "", "client_secret", secret)), "invalid_client", false},
		"an empty one":                     {call(w.hr.request(), "Authorization", basic("hr", "")), "invalid_client", true},
		"cut off":                          {call(w.hr.request("client_secret", secret[:len(secret)-1])), "invalid_client", false},
		"a token of another kind":          {call(w.hr.request(), "Authorization", "Bearer "+secret), "invalid_client", true},
		"no base64":                        {call(w.hr.request(), "Authorization", "Basic %%%"), "invalid_client", true},
		"no colon":                         {call(w.hr.request(), "Authorization", "Basic aHI="), "invalid_client", true},
		"not form-urlencoded":              {call(w.hr.request(), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("hr:%zz"))), "invalid_client", true},
		"the hash of it":                   {call(w.hr.request("client_secret", string(w.hr.Secrets[0].Hash))), "invalid_client", false},
		"a header that is long":            {call(w.hr.request(), "Authorization", basic("hr", strings.Repeat("x", 2000))), "invalid_client", true},
		"a secret that is long, in a form": {call(w.hr.request("client_secret", strings.Repeat("x", 2000))), "invalid_client", false},
	} {
		wantCode := map[string]int{"invalid_client": http.StatusUnauthorized, "invalid_request": http.StatusBadRequest}[c.want]
		if c.got.code != wantCode || w.errorOf(c.got) != c.want || (c.got.header.Get("WWW-Authenticate") != "") != c.basic {
			t.Errorf("%s: %d %s, WWW-Authenticate %q", name, c.got.code, c.got.body, c.got.header.Get("WWW-Authenticate"))
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("a secret is in the log")
	}
}

func TestASecretIsRotatedWithoutAGap(t *testing.T) {
	w := newWorld(t)
	next, hash := keyring.NewToken("rgn_app")
	w.hr.change(func(a *client.App) {
		a.Secrets[0].Expires = w.clock.now().Add(24 * time.Hour)
		a.Secrets = append(a.Secrets, client.Token{ID: "2", Hash: hash, Created: w.clock.now()})
	})
	with := func(secret string) int {
		return w.call(w.site, http.MethodPost, PathPush, w.hr.request(), "Authorization", basic("hr", secret)).code
	}
	if old, new := with(w.hr.secret), with(next); old != http.StatusCreated || new != http.StatusCreated {
		t.Errorf("while both live: %d, %d", old, new)
	}
	w.clock.pass(24 * time.Hour)
	if old, new := with(w.hr.secret), with(next); old != http.StatusUnauthorized || new != http.StatusCreated {
		t.Errorf("when the older one ended: %d, %d", old, new)
	}
}

func TestWrongSecretsAreCountedBeforeTheyAreCompared(t *testing.T) {
	w := newWorld(t, func(o *options) { o.config = func(c *Config) { c.Rates = Rates{SecretsByOrigin: 5} } })
	try := func(from, secret string) answer {
		return w.call(w.site, http.MethodPost, PathPush, w.hr.request(), "Authorization", basic("hr", secret), "X-Forwarded-For", from)
	}
	// An app that was let in from a place goes on there, whatever else is tried from it.
	if got := try("198.51.100.1", w.hr.secret); got.code != http.StatusCreated {
		t.Fatalf("the app: %d %s", got.code, got.body)
	}
	codes := map[int]int{}
	for range 20 {
		wrong, _ := keyring.NewToken("rgn_app")
		codes[try("198.51.100.1", wrong).code]++
	}
	if codes[http.StatusUnauthorized] != 4 || codes[http.StatusTooManyRequests] != 16 {
		t.Errorf("twenty wrong ones: %v, want 4 looked at and 16 not", codes)
	}
	for range 20 {
		if got := try("198.51.100.1", w.hr.secret); got.code != http.StatusCreated {
			t.Fatalf("the app, amidst them: %d %s", got.code, got.body)
		}
	}
	// From elsewhere the right one is still right; where there were too many, even a right one is not looked at that was
	// not seen from there before.
	crm := w.app("crm", nil)
	other := func(from string) answer {
		return w.call(w.site, http.MethodPost, PathPush, crm.request(), "Authorization", basic("crm", crm.secret), "X-Forwarded-For", from)
	}
	if got := other("198.51.100.1"); got.code != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("another app from there: %d", got.code)
	}
	if got := other("198.51.101.1"); got.code != http.StatusCreated {
		t.Errorf("another app from elsewhere: %d %s", got.code, got.body)
	}
	w.clock.pass(10 * time.Minute)
	if got := other("198.51.100.1"); got.code != http.StatusCreated {
		t.Errorf("ten minutes later: %d", got.code)
	}
	// One that was right once and is so no more is as good as any other.
	w.hr.change(func(a *client.App) { a.Secrets = nil })
	if got := try("198.51.100.1", w.hr.secret); got.code != http.StatusUnauthorized {
		t.Errorf("a secret that was taken back: %d", got.code)
	}
}

func TestAKeyIsUsedForWhatItIsRegisteredForOnly(t *testing.T) {
	rsaKey := newPair(t, "RS256")
	key, err := jwk.ParseKey([]byte(rsaKey.public.JWK))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Set(jwk.AlgorithmKey, jwa.PS256()); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(key)
	rsaKey.public.JWK = string(text)
	w := newWorld(t, byKey(rsaKey))
	for alg, want := range map[string]int{"PS256": http.StatusCreated, "RS256": http.StatusUnauthorized} {
		if got := w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), rsaKey.signs(t, alg, nil, w.asserted("hr")))); got.code != want {
			t.Errorf("%s: %d %s, want %d", alg, got.code, got.body, want)
		}
	}
	// No key that is small, of another curve, symmetric or nothing at all ever checks anything.
	small, _ := rsa.GenerateKey(rand.Reader, 1024)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	texts := map[string]string{"nothing": "{", "small": `{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(small.N.Bytes()) + `"}`}
	for name, raw := range map[string]any{"P-384": p384.Public(), "symmetric": []byte("secret"), "private P-384": p384} {
		key, err := jwk.Import(raw)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(key)
		texts[name] = string(text)
	}
	for name, text := range texts {
		for _, alg := range append([]string{"HS256", "none", "ES384"}, assertionAlgs...) {
			if _, err := publicKey(text, alg); err == nil {
				t.Errorf("%s checks %s", name, alg)
			}
		}
	}
}

func TestAnAssertionIsNotTakenWhenItCannotBeRemembered(t *testing.T) {
	ec := newPair(t, "ES256")
	w := newWorld(t, byKey(ec), func(o *options) { o.config = func(c *Config) { c.Once = lostOnce{} } })
	got := w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), ec.signs(t, "ES256", nil, w.asserted("hr"))))
	if got.code != http.StatusInternalServerError || w.errorOf(got) != "server_error" || strings.Contains(got.body, "canary") {
		t.Errorf("%d %s", got.code, got.body)
	}
}

// lostOnce is a database that does not answer.
type lostOnce struct{}

func (lostOnce) SpendOnce(context.Context, []byte, time.Time, time.Time) (bool, error) {
	return false, errCanary
}
