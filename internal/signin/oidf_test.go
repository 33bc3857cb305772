package signin

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
)

// oidfResults is what docs/oidf.md says of the modules in one of its sections, by their names.
func oidfResults(t *testing.T, section string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/oidf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## "+section)
	if !ok {
		t.Fatalf("no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| ([a-z ]+) \\|").FindAllStringSubmatch(text, -1) {
		if out[m[1]] != "" {
			t.Errorf("%s stands twice", m[1])
		}
		out[m[1]] = m[2]
	}
	return out
}

// rpModule is what a module of the suite's plan "Basic RP" does at its provider, and what has to become of the sign-in.
type rpModule struct {
	lie    func(*op)
	refuse string // the reason we refuse for; "" for taken
}

// otherRSAKey is one that the provider does not sign with.
var otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var rpModules = map[string]rpModule{
	"oidcc-client-test":                        {},
	"oidcc-client-test-invalid-iss":            {set("iss", "https://another.example"), "token"},
	"oidcc-client-test-missing-sub":            {set("sub", nil), "subject"},
	"oidcc-client-test-invalid-aud":            {set("aud", "another"), "token"},
	"oidcc-client-test-missing-iat":            {set("iat", nil), "time"},
	"oidcc-client-test-kid-absent-single-jwks": {func(o *op) { o.kid, o.key, o.alg, o.keys = "", rsaKey(), jwa.RS256(), []any{public(o.t, rsaKey(), "")} }, ""},
	"oidcc-client-test-kid-absent-multiple-jwks": {func(o *op) {
		o.kid, o.key, o.alg, o.keys = "", rsaKey(), jwa.RS256(), []any{public(o.t, otherRSAKey(), ""), public(o.t, rsaKey(), "")}
	}, ""},
	"oidcc-client-test-idtoken-sig-rs256": {func(o *op) { o.key, o.alg = rsaKey(), jwa.RS256() }, ""},
	"oidcc-client-test-idtoken-sig-none": {func(o *op) {
		o.raw = func(c []byte) string { return byHand(`{"alg":"none"}`, c, func([]byte) []byte { return nil }) }
	}, "token"},
	"oidcc-client-test-invalid-sig-rs256": {func(o *op) { o.key, o.alg, o.keys = otherRSAKey(), jwa.RS256(), []any{public(o.t, rsaKey(), "k1")} }, "token"},
	"oidcc-client-test-userinfo-invalid-sub": {func(o *op) {
		o.claims, o.userInfo = nil, map[string]any{"sub": "another", "preferred_username": "ada@alder.example"}
	}, "userinfo"},
	"oidcc-client-test-nonce-invalid":         {set("nonce", "another"), "nonce"},
	"oidcc-client-test-scope-userinfo-claims": {func(o *op) { o.claims, o.userInfo = nil, map[string]any{"preferred_username": "ada@alder.example"} }, ""},
	"oidcc-client-test-client-secret-basic": {func(o *op) {
		o.meta = func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"} }
	}, ""},
	"oidcc-client-test-userinfo-bearer-header": {func(o *op) { o.claims, o.userInfo = nil, map[string]any{"preferred_username": "ada@alder.example"} }, ""},
}

func TestOIDFModulesOfTheRelyingPartyAreWhatTheDocumentSays(t *testing.T) {
	said := oidfResults(t, "Relying party")
	for name, module := range rpModules {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if module.refuse != "" {
				w.mustRefuse(name, "/in", module.refuse, module.lie)
			} else {
				if module.lie != nil {
					module.lie(w.op)
				}
				w.browser().signIn()
			}
			switch {
			case strings.HasSuffix(name, "client-secret-basic") && !strings.HasPrefix(w.op.auths[0], "Basic "):
				t.Errorf("the client showed itself by %q", w.op.auths)
			case strings.Contains(name, "userinfo") && w.op.count("/userinfo") == 0: // it answers the token in the header only
				t.Error("userinfo was not asked")
			}
			if said[name] != "pass" {
				t.Errorf("it passes, and the document says %q", said[name])
			}
		})
	}
	for name, result := range said {
		if _, performed := rpModules[name]; !performed && result != "not applicable" {
			t.Errorf("%s: the document says %q, and nobody performs it", name, result)
		}
	}
	// The one that is not applicable: nothing of a token ever stands in a body or an address.
	w := newWorld(t)
	w.op.claims, w.op.userInfo = nil, map[string]any{"preferred_username": "ada@alder.example"}
	w.op.handle = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/userinfo" && (r.Method != http.MethodGet || r.URL.RawQuery != "") {
			t.Errorf("userinfo is asked by %s with %q", r.Method, r.URL.RawQuery)
		}
		return false
	}
	w.browser().signIn()
}
