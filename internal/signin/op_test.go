package signin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"golang.org/x/oauth2"
)

// op is an OpenID provider that does what the standard says until a test tells it to lie. It shares no line with what it
// judges: tokens are signed with another library than the one that checks them.
type op struct {
	t   *testing.T
	srv *httptest.Server
	now func() time.Time

	mu sync.Mutex
	lies

	codes  map[string]grant
	pushed map[string]url.Values
	n      int
	calls  map[string]int // by path
	asked  url.Values     // the last authorization request
	forms  []url.Values   // of the token endpoint
	auths  []string       // Authorization of the token endpoint
}

// lies is what a provider is told, and what it is told to do wrong.
type lies struct {
	// Who signs in next, how, and with what they come back.
	sub      string
	claims   map[string]any // more claims of the ID token
	userInfo map[string]any
	authTime time.Time // zero: just now
	acr      string
	// What it is told to do wrong, each nil or zero for what is right.
	key         crypto.Signer
	kid         string
	alg         jwa.SignatureAlgorithm
	keys        []any // public keys published; nil: that of key, under kid
	meta        func(map[string]any)
	spoil       func(map[string]any)       // the claims, before they are signed
	header      map[string]any             // more of the JOSE header
	raw         func(claims []byte) string // the whole ID token instead
	answer      func(url.Values)           // what goes back to the browser
	handle      func(w http.ResponseWriter, r *http.Request) bool
	leaveAtHash bool // no at_hash
	accessToken string
}

// grant is what a code is good for.
type grant struct {
	sub, nonce, challenge, redirect, acr string
	authTime                             time.Time
	used                                 bool
}

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func freshKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newOP(t *testing.T, now func() time.Time) *op {
	o := &op{t: t, now: now, codes: map[string]grant{}, pushed: map[string]url.Values{}, calls: map[string]int{},
		lies: lies{sub: "sub-ada", acr: "1", claims: map[string]any{"preferred_username": "ada@alder.example"}, key: ecKey(), kid: "k1", alg: jwa.ES256(), accessToken: "at-canary"}}
	o.srv = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.srv.Close)
	return o
}

func (o *op) issuer() string { return o.srv.URL }

func (o *op) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[path]
}

func (o *op) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[r.URL.Path]++
	if o.handle != nil && o.handle(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		m := map[string]any{
			"issuer": o.srv.URL, "authorization_endpoint": o.srv.URL + "/authorize", "token_endpoint": o.srv.URL + "/token", "jwks_uri": o.srv.URL + "/jwks",
			"userinfo_endpoint": o.srv.URL + "/userinfo", "end_session_endpoint": o.srv.URL + "/logout", "response_types_supported": []string{"code"},
			"code_challenge_methods_supported": []string{"S256"}, "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "PS256", "HS256", "none"},
			"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "private_key_jwt"}, "authorization_response_iss_parameter_supported": true,
			"claims_parameter_supported": true, "backchannel_logout_supported": true,
		}
		if o.meta != nil {
			o.meta(m)
		}
		reply(w, m)
	case "/jwks":
		reply(w, map[string]any{"keys": o.published()})
	case "/token":
		o.token(w, r)
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer "+o.accessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		info := map[string]any{"sub": o.sub}
		maps.Copy(info, o.userInfo)
		reply(w, info)
	case "/par":
		r.ParseForm() //nolint:errcheck // a test's own request
		o.n++
		uri := fmt.Sprintf("urn:ietf:params:oauth:request_uri:%d", o.n)
		o.pushed[uri] = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"request_uri": uri, "expires_in": 60}) //nolint:errcheck
	default:
		http.NotFound(w, r)
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // to ourselves
}

func (o *op) published() []any {
	if o.keys != nil {
		return o.keys
	}
	return []any{public(o.t, o.key, o.kid)}
}

func public(t *testing.T, k crypto.Signer, kid string) jwk.Key {
	t.Helper()
	key, err := jwk.Import(k.Public())
	if err != nil {
		t.Error(err)
		return nil
	}
	if kid != "" {
		key.Set(jwk.KeyIDKey, kid) //nolint:errcheck // a text
	}
	return key
}

// authorize is the person at the provider: it takes the address the browser was sent to and returns the path and query
// with which they come back.
func (o *op) authorize(to string) string {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	u, err := url.Parse(to)
	if err != nil || u.Path != "/authorize" {
		o.t.Fatalf("sent to %q, want the authorization endpoint", to)
	}
	q := u.Query()
	if uri := q.Get("request_uri"); uri != "" {
		q = o.pushed[uri]
	}
	o.asked = q
	o.n++
	code := fmt.Sprintf("code-%d", o.n)
	g := grant{sub: o.sub, nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), acr: o.acr, authTime: o.authTime}
	if g.authTime.IsZero() {
		g.authTime = o.now()
	}
	o.codes[code] = g
	back := url.Values{"state": {q.Get("state")}, "code": {code}, "iss": {o.srv.URL}}
	if o.answer != nil {
		o.answer(back)
	}
	r, err := url.Parse(g.redirect)
	if err != nil {
		o.t.Fatal(err)
	}
	return r.Path + "?" + back.Encode()
}

func (o *op) token(w http.ResponseWriter, r *http.Request) {
	r.ParseForm() //nolint:errcheck // a test's own request
	o.forms, o.auths = append(o.forms, r.PostForm), append(o.auths, r.Header.Get("Authorization"))
	g, ok := o.codes[r.PostForm.Get("code")]
	if !ok || g.used || g.redirect != r.PostForm.Get("redirect_uri") || oauth2.S256ChallengeFromVerifier(r.PostForm.Get("code_verifier")) != g.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"<script>alert(1)</script>"}`)
		return
	}
	g.used = true
	o.codes[r.PostForm.Get("code")] = g
	reply(w, map[string]any{"access_token": o.accessToken, "token_type": "Bearer", "expires_in": 60, "id_token": o.idToken(g)})
}

// idToken makes the token of a grant.
func (o *op) idToken(g grant) string {
	now := o.now()
	c := map[string]any{"iss": o.srv.URL, "sub": g.sub, "aud": "regain", "nonce": g.nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"auth_time": g.authTime.Unix(), "acr": g.acr, "amr": []string{"pwd"}, "sid": "op-session-" + g.sub}
	if !o.leaveAtHash {
		h := sha256.Sum256([]byte(o.accessToken))
		c["at_hash"] = base64.RawURLEncoding.EncodeToString(h[:16])
	}
	maps.Copy(c, o.claims)
	if o.spoil != nil {
		o.spoil(c)
	}
	for name, v := range c {
		if v == nil {
			delete(c, name)
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		o.t.Error(err)
	}
	if o.raw != nil {
		return o.raw(b)
	}
	return o.sign(b, o.key, o.kid, o.alg, o.header)
}

func (o *op) sign(payload []byte, key crypto.Signer, kid string, alg jwa.SignatureAlgorithm, more map[string]any) string {
	h := jws.NewHeaders()
	if kid != "" {
		h.Set(jws.KeyIDKey, kid) //nolint:errcheck // a text
	}
	for name, v := range more {
		if err := h.Set(name, v); err != nil {
			o.t.Error(err)
		}
	}
	b, err := jws.Sign(payload, jws.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		o.t.Error(err)
	}
	return string(b)
}

// byHand puts a token together from a header as it is written, signed by whatever.
func byHand(header string, payload []byte, sign func(input []byte) []byte) string {
	e := base64.RawURLEncoding
	input := e.EncodeToString([]byte(header)) + "." + e.EncodeToString(payload)
	return input + "." + e.EncodeToString(sign([]byte(input)))
}

// withPublicKey signs with the provider's public key as if it were a shared secret.
func withPublicKey(k crypto.Signer) func([]byte) []byte {
	return func(input []byte) []byte {
		der, _ := x509.MarshalPKIXPublicKey(k.Public())
		m := hmac.New(sha256.New, der)
		m.Write(input)
		return m.Sum(nil)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return b
}
