package signin

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

func TestTheClientShowsItsSecretOnceInTheOneWayTheProviderTakes(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("regain:client-canary"))
	for name, test := range map[string]struct {
		offered any
		header  string
		secret  string
	}{
		"basic": {[]string{"client_secret_post", "client_secret_basic"}, basic, ""},
		"post":  {[]string{"client_secret_post"}, "", "client-canary"},
		"none listed, so the one of the standard": {nil, basic, ""},
	} {
		w := newWorld(t)
		w.op.meta = func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = test.offered }
		b := w.browser()
		b.signIn()
		if n := len(w.op.forms); n != 1 || w.op.auths[0] != test.header || w.op.forms[0].Get("client_secret") != test.secret || w.op.forms[0].Get("client_assertion") != "" {
			t.Errorf("%s: %d calls with %q and %q", name, n, w.op.auths, w.op.forms)
		}
		// A code that is refused is not shown a second time in another way.
		w.op.answer = func(v url.Values) { v.Set("code", "stale") }
		if a := b.get(b.callback("/signin/corp")); a.code != http.StatusForbidden || len(w.op.forms) != 2 {
			t.Errorf("%s: a refused code was shown %d times", name, len(w.op.forms)-1)
		}
	}
}

func TestTheClientProvesItselfByAKeyThatNeverTravels(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key  crypto.Signer
		algs []string
		want jwa.SignatureAlgorithm
	}{
		"EC":      {ecKey(), nil, jwa.ES256()},
		"Ed25519": {edKey, nil, jwa.EdDSA()},
		"RSA":     {rsaKey(), []string{"RS256"}, jwa.RS256()},
		"RSA-PSS": {rsaKey(), []string{"RS256", "PS256"}, jwa.PS256()},
	} {
		w := newWorld(t, func(o *options) { o.provider = func(_ int, c *ProviderConfig) { c.ClientSecret, c.Key = "", test.key } })
		w.op.meta = func(m map[string]any) {
			m["token_endpoint_auth_signing_alg_values_supported"] = test.algs
			m["pushed_authorization_request_endpoint"] = w.op.issuer() + "/par"
		}
		w.browser().signIn()
		form := w.op.forms[0]
		if w.op.auths[0] != "" || form.Get("client_secret") != "" || form.Get("client_id") != "regain" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("%s: %q with %q", name, form, w.op.auths[0])
		}
		var pushed string
		for _, p := range w.op.pushed {
			pushed = p.Get("client_assertion")
		}
		seen := map[string]bool{}
		for _, raw := range []string{form.Get("client_assertion"), pushed} {
			payload, err := jws.Verify([]byte(raw), jws.WithKey(test.want, test.key.Public()))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var c struct {
				Iss, Sub, Jti string
				Aud           json.RawMessage
				Iat, Exp      int64
			}
			if err := json.Unmarshal(payload, &c); err != nil {
				t.Fatal(err)
			}
			now := w.clock.now().Unix()
			if c.Iss != "regain" || c.Sub != "regain" || string(c.Aud) != `"`+w.op.issuer()+`"` || c.Iat != now || c.Exp <= now || c.Exp > now+60 || c.Jti == "" || seen[c.Jti] {
				t.Errorf("%s: claims %s", name, payload)
			}
			seen[c.Jti] = true
		}
	}
}

func TestPushedRequestsLeaveNothingForAnybodyToEdit(t *testing.T) {
	w := newWorld(t)
	w.op.meta = func(m map[string]any) {
		m["pushed_authorization_request_endpoint"], m["require_pushed_authorization_requests"] = w.op.issuer()+"/par", true
		m["authorization_endpoint"] = w.op.issuer() + "/authorize?tenant=a"
	}
	b := w.browser()
	a := b.get("/in")
	u, _ := url.Parse(a.to)
	if q := u.Query(); len(q) != 3 || q.Get("client_id") != "regain" || !strings.HasPrefix(q.Get("request_uri"), "urn:") || q.Get("tenant") != "a" {
		t.Errorf("the browser carries %q", q)
	}
	if a = b.follow(a); !a.in(w.ada) {
		t.Errorf("status %d", a.code)
	}
	for _, p := range w.op.pushed {
		if p.Get("code_challenge_method") != "S256" || p.Get("state") == "" || p.Get("nonce") == "" || p.Get("redirect_uri") != base+"/signin/corp/callback" || p.Get("request_uri") != "" {
			t.Errorf("pushed %q", p)
		}
	}
	for name, f := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			w.Write([]byte(`{"error":"invalid_client"}`))
		}, //nolint:errcheck
		"no handle": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.Write([]byte(`{}`)) },     //nolint:errcheck
		"no JSON":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.Write([]byte(`<html>`)) }, //nolint:errcheck
		"200":       func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"request_uri":"urn:x"}`)) },    //nolint:errcheck
	} {
		w.op.handle = at("/par", f)
		if a := w.browser().get("/in"); a.code != http.StatusServiceUnavailable || a.to != "" {
			t.Errorf("%s: status %d to %q: nothing goes past a provider that wants pushed requests", name, a.code, a.to)
		}
	}
}

func TestAStrongerSignInIsAskedForAsTheProviderUnderstandsIt(t *testing.T) {
	for name, test := range map[string]struct {
		stepUp StepUp
		want   map[string]string
	}{
		"acr_values": {StepUp{Ask: AskACRValues, Accept: []string{"mfa", "phr"}, MaxAge: 2 * time.Minute, Prompt: "login"},
			map[string]string{"acr_values": "mfa phr", "max_age": "120", "prompt": "login", "claims": `{"id_token":{"acr":null,"amr":null,"auth_time":null}}`}},
		"an essential claim": {StepUp{Ask: AskClaimsACR, Accept: []string{"mfa", "phr"}, MaxAge: 5 * time.Minute},
			map[string]string{"acr_values": "", "max_age": "300", "prompt": "", "claims": `{"id_token":{"acr":{"essential":true,"values":["mfa","phr"]},"amr":null,"auth_time":null}}`}},
		"nothing": {StepUp{Ask: AskNothing, Accept: []string{"mfa"}},
			map[string]string{"acr_values": "", "max_age": "0", "claims": `{"id_token":{"acr":null,"amr":null,"auth_time":null}}`}},
	} {
		w := newWorld(t, func(o *options) { o.provider = func(_ int, c *ProviderConfig) { c.StepUp = test.stepUp } })
		w.op.acr = "mfa"
		b := w.browser()
		if a := b.follow(b.get("/console")); !a.in(w.ada) {
			t.Errorf("%s: status %d", name, a.code)
		}
		for p, want := range test.want {
			if got := w.op.asked.Get(p); got != want {
				t.Errorf("%s: %s is %q, want %q", name, p, got, want)
			}
		}
	}
	// A plain sign-in asks for nothing that would send people through more than they need.
	w := newWorld(t)
	w.op.meta = func(m map[string]any) { delete(m, "claims_parameter_supported") }
	w.browser().signIn()
	for _, p := range []string{"acr_values", "max_age", "prompt", "claims", "login_hint", "id_token_hint"} {
		if w.op.asked.Has(p) {
			t.Errorf("a plain sign-in asks %s=%q", p, w.op.asked.Get(p))
		}
	}
}

func TestADoorThatWouldBeUnsafeIsNotMade(t *testing.T) {
	good := ProviderConfig{Name: "a", Issuer: "https://op.example", ClientID: "c", ClientSecret: "s"}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ProviderConfig){
		"no name": func(c *ProviderConfig) { c.Name = "" }, "a path as name": func(c *ProviderConfig) { c.Name = "a/b" }, "no issuer": func(c *ProviderConfig) { c.Issuer = "" },
		"no client": func(c *ProviderConfig) { c.ClientID = "" }, "no secret": func(c *ProviderConfig) { c.ClientSecret = "" },
		"two secrets": func(c *ProviderConfig) { c.Key = ecKey() }, "P-384": func(c *ProviderConfig) { c.ClientSecret, c.Key = "", p384 },
		"offline": func(c *ProviderConfig) { c.Scopes = []string{"openid", "offline_access"} }, "prompt none": func(c *ProviderConfig) { c.StepUp.Prompt = "none" },
		"an old step-up": func(c *ProviderConfig) { c.StepUp.MaxAge = time.Hour }, "another claim": func(c *ProviderConfig) { c.StepUp.Claim = "scope" },
		"another way": func(c *ProviderConfig) { c.StepUp.Ask = "x" }, "an empty value": func(c *ProviderConfig) { c.StepUp.Accept = []string{""} },
		"only if possible": func(c *ProviderConfig) { c.NoPassword = []string{"urn:okta:loa:2fa:any:ifpossible"} },
	} {
		c := good
		change(&c)
		if c.check() == nil {
			t.Errorf("%s: taken", name)
		}
		if found := Look(t.Context(), c); len(found) != 1 || found[0].Level != Fatal {
			t.Errorf("%s: looked at all the same: %v", name, found)
		}
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a door of nothing")
	}
}

func TestAProviderIsLookedAtWithoutSigningIn(t *testing.T) {
	o := newOP(t, time.Now)
	c := ProviderConfig{Name: "a", Issuer: o.issuer(), ClientID: "regain", Key: ecKey(), AllowPrivate: true, StepUp: StepUp{Ask: AskClaimsACR, Accept: []string{"mfa"}}}
	look := func(what string) (out []Finding) {
		for _, f := range Look(t.Context(), c) {
			if f.What == what {
				out = append(out, f)
			}
		}
		return out
	}
	for _, what := range []string{"discovery", "keys", "signatures", "pkce", "iss parameter", "step-up", "sign-out", "back-channel"} {
		if f := look(what); len(f) == 0 || f[0].Level != Fine {
			t.Errorf("%s: %v, want fine", what, f)
		}
	}
	if f := look("events"); len(f) != 0 {
		t.Errorf("events: %v, of a provider that may not tell", f)
	}
	c.Events = &Events{Token: eventToken}
	if f := look("events"); len(f) != 1 || f[0].Level != Fine || strings.Contains(f[0].Text, eventToken) {
		t.Errorf("events: %v, want fine", f)
	}
	c.Events.JWKS = o.issuer() + "/none"
	if f := look("events"); len(f) != 1 || f[0].Level != Warning || f[0].Fix == "" {
		t.Errorf("events without keys: %v", f)
	}
	c.Events = nil
	if f := look("client"); len(f) != 2 || !strings.Contains(f[1].Text, `"kty":"EC"`) || strings.Contains(f[1].Text, `"d"`) {
		t.Errorf("client: %v, want the public half of the key", f)
	}
	for what, change := range map[string]func(m map[string]any){
		"pushed requests": func(m map[string]any) {},
		"pkce":            func(m map[string]any) { delete(m, "code_challenge_methods_supported") },
		"client":          func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"} },
		"iss parameter":   func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") },
		"step-up":         func(m map[string]any) { m["acr_values_supported"] = []string{"1", "MFA"} },
		"sign-out":        func(m map[string]any) { delete(m, "end_session_endpoint") },
		"back-channel":    func(m map[string]any) { delete(m, "backchannel_logout_supported") },
		"discovery":       func(m map[string]any) { m["issuer"] = "x" },
		"keys":            func(m map[string]any) { m["jwks_uri"] = o.issuer() + "/none" },
	} {
		o.mu.Lock()
		o.meta = change
		o.mu.Unlock()
		if f := look(what); !slices.ContainsFunc(f, func(f Finding) bool { return f.Level != Fine }) {
			t.Errorf("%s: %v, want it said", what, f)
		}
	}
	if n := o.count("/token") + o.count("/par"); n != 0 {
		t.Errorf("%d requests that are more than looking", n)
	}
	o.srv.Close()
	if f := Look(t.Context(), c); len(f) != 1 || f[0].Level != Fatal {
		t.Errorf("down: %v", f)
	}
}

func TestAPrivateKeyIsReadFromTheFormsThereAre(t *testing.T) {
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	pkcs8 := func(k any) []byte { der, err := x509.MarshalPKCS8PrivateKey(k); return block("PRIVATE KEY", der, err) }
	sec1, err := x509.MarshalECPrivateKey(ecKey())
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	good := map[string][]byte{"PKCS #8 EC": pkcs8(ecKey()), "PKCS #8 RSA": pkcs8(rsaKey()), "Ed25519": pkcs8(ed), "SEC 1": block("EC PRIVATE KEY", sec1, err),
		"PKCS #1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), nil)}
	for name, text := range good {
		if k, err := ReadKey(text); err != nil || k == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	pub, err := x509.MarshalPKIXPublicKey(ecKey().Public())
	for name, text := range map[string][]byte{"nothing": nil, "text": []byte("hunter2"), "two": slices.Concat(good["SEC 1"], good["SEC 1"]), "P-384": pkcs8(p384),
		"a public key": block("PUBLIC KEY", pub, err), "broken": block("PRIVATE KEY", []byte("hunter2"), nil), "with a passphrase": block("ENCRYPTED PRIVATE KEY", []byte("hunter2"), nil)} {
		if k, err := ReadKey(text); err == nil || k != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %T, %v", name, k, err)
		}
	}
}

func TestOneRequestServesAllWhoWaitForADocument(t *testing.T) {
	now := &clock{at: time.Unix(1e9, 0)}
	gate, reads := make(chan struct{}), 0
	c := cached[int]{now: now.now, age: time.Hour, life: time.Hour, retry: time.Minute, fetch: func(context.Context) (int, error) { reads++; <-gate; return reads, nil }}
	got := make(chan int)
	for range 50 {
		go func() {
			v, err := c.get(t.Context(), false)
			if err != nil {
				v = -1
			}
			got <- v
		}()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.get(gone, false); err == nil {
		t.Error("somebody who left waited all the same")
	}
	close(gate)
	for range 50 {
		if v := <-got; v != 1 {
			t.Errorf("got %d, want what the one read brought", v)
		}
	}
	if v, err := c.get(t.Context(), true); v != 1 || err != nil {
		t.Errorf("asked anew within the least interval: got %d, %v", v, err)
	}
	now.pass(time.Minute)
	if v, err := c.get(t.Context(), true); v != 2 || err != nil {
		t.Errorf("asked anew after it: got %d, %v", v, err)
	}
}
