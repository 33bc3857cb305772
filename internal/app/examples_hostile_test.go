package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// liar is a server that speaks as ours does and may say anything: the examples must not believe it all.
type liar struct {
	t      testing.TB
	base   string
	key    *ecdsa.PrivateKey
	mu     sync.Mutex
	pushed map[string]url.Values
	asked  url.Values // the request that is open
	calls  int        // of the token endpoint
	answer func(url.Values)
	spoil  func(claims map[string]any)
	sign   *ecdsa.PrivateKey
	token  func(body map[string]any)
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	l := &liar{t: t, pushed: map[string]url.Values{}}
	l.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body) //nolint:errcheck // the reader is gone
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		say(w, 200, map[string]any{
			"issuer": l.base, "authorization_endpoint": l.base + "/authorize", "token_endpoint": l.base + "/token", "jwks_uri": l.base + "/jwks",
			"pushed_authorization_request_endpoint": l.base + "/par", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"pairwise"},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256"}, "code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
			"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, r *http.Request) {
		say(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &l.key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /par", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() //nolint:errcheck // an empty form fails below
		l.mu.Lock()
		defer l.mu.Unlock()
		handle := "urn:ietf:params:oauth:request_uri:" + rand.Text()
		l.pushed[handle] = r.PostForm
		say(w, 201, map[string]any{"request_uri": handle, "expires_in": 60})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asked = r.URL.Query()
		if handle := l.asked.Get("request_uri"); handle != "" {
			l.asked = l.pushed[handle]
		}
		back := url.Values{"code": {"the code"}, "state": {l.asked.Get("state")}, "iss": {l.base}}
		if l.answer != nil {
			l.answer(back)
		}
		http.Redirect(w, r, l.asked.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls++
		now := time.Now().Unix()
		claims := map[string]any{"iss": l.base, "sub": "p", "aud": "shop", "iat": now, "exp": now + 300, "jti": rand.Text(), "nonce": l.asked.Get("nonce"), "acr": "urn:regain:acr:recovery",
			"urn:regain:claim:result": map[string]any{"action": "reset", "status": "done", "time": now, "txn": "t", "proofs": []string{"mail", "phone"}, "sign_in": "https://login.example/"}}
		if l.spoil != nil {
			l.spoil(claims)
		}
		key := l.key
		if l.sign != nil {
			key = l.sign
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			l.t.Error(err)
			return
		}
		raw, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			l.t.Error(err)
			return
		}
		body := map[string]any{"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": raw}
		if l.token != nil {
			l.token(body)
		}
		say(w, 200, body)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	l.base = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return l
}

// lie makes the next answers say something else.
func (l *liar) lie(set func(*liar)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer, l.spoil, l.sign, l.token, l.calls = nil, nil, nil, nil, 0
	if set != nil {
		set(l)
	}
}

func claim(name string, value any) func(*liar) {
	return func(l *liar) {
		l.spoil = func(c map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
}

func answering(change func(url.Values)) func(*liar) { return func(l *liar) { l.answer = change } }

func TestAnExampleBelievesOnlyASignedStatementOfTheResetItAskedFor(t *testing.T) {
	t.Parallel()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	result := func(change func(map[string]any)) func(*liar) {
		return func(l *liar) {
			l.spoil = func(c map[string]any) { change(c["urn:regain:claim:result"].(map[string]any)) }
		}
	}
	const nothing, unknown = "Nothing was changed.", "We could not learn"
	for _, a := range exampleApps {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			s := a.open(t, a.text(t), map[string]string{"ISSUER": l.base, "CLIENT_ID": "shop", "CLIENT_SECRET": "secret", "REDIRECT_URI": freeRedirect(t), "SIGN_IN": shopSignIn})
			for _, test := range []struct {
				name   string
				lie    func(*liar)
				status int // 0: refused by whichever
				says   string
				calls  int
			}{
				{"the truth", nil, 200, "Your password is changed.", 1},
				{"changed in part", result(func(r map[string]any) { r["status"] = "partial" }), 200, "Some systems need a while", 1},
				{"not confirmed", result(func(r map[string]any) { r["status"] = "unknown" }), 200, "Try the new password first", 1},
				{"cancelled", answering(func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }), 200, nothing, 0},
				{"another state", answering(func(v url.Values) { v.Set("state", "x") }), 400, "no answer", 0},
				{"no state", answering(func(v url.Values) { v.Del("state") }), 400, "no answer", 0},
				{"another issuer", answering(func(v url.Values) { v.Set("iss", "https://evil.example") }), 0, "", 0},
				{"no issuer", answering(func(v url.Values) { v.Del("iss") }), 0, "", 0},
				{"no issuer beside an error", answering(func(v url.Values) { v.Del("iss"); v.Del("code"); v.Set("error", "access_denied") }), 0, "", 0},
				{"another nonce", claim("nonce", "x"), 502, unknown, 1},
				{"no nonce", claim("nonce", nil), 502, unknown, 1},
				{"another class", claim("acr", "1"), 502, unknown, 1},
				{"no class", claim("acr", nil), 502, unknown, 1},
				{"no result", claim("urn:regain:claim:result", nil), 502, unknown, 1},
				{"a result that is a text", claim("urn:regain:claim:result", "done"), 502, unknown, 1},
				{"another action", result(func(r map[string]any) { r["action"] = "unlock" }), 502, unknown, 1},
				{"for another app", claim("aud", "other"), 502, unknown, 1},
				{"of another issuer", claim("iss", "https://evil.example"), 502, unknown, 1},
				{"expired", claim("exp", time.Now().Add(-time.Hour).Unix()), 502, unknown, 1},
				{"signed by a stranger", func(l *liar) { l.sign = stranger }, 502, unknown, 1},
				{"no ID token", func(l *liar) { l.token = func(b map[string]any) { delete(b, "id_token") } }, 502, unknown, 1},
			} {
				l.lie(test.lie)
				c := newCustomer(t)
				at := c.get(c.get(c.asks(s)).to)
				if test.status == 0 && at.Status < 400 || test.status != 0 && at.Status != test.status || !strings.Contains(at.HTML, test.says) || l.calls != test.calls {
					t.Errorf("%s: %d with %d calls: %s", test.name, at.Status, l.calls, at.HTML)
				}
				c.nobody(s, at)
				if test.calls == 1 && test.status == 200 {
					c.sentOn(at, "https://login.example/")
				} else if at.Header.Get("Refresh") != "" || !strings.Contains(at.HTML, `href="`+shopSignIn+`"`) {
					t.Errorf("%s: sent on by %q, or not offered to sign in:\n%s", test.name, at.Header.Get("Refresh"), at.HTML)
				}
			}
			t.Run("an answer is good once, and for the browser that asked", func(t *testing.T) {
				l.lie(nil)
				c, other := newCustomer(t), newCustomer(t)
				back := c.get(c.asks(s)).to
				other.asks(s)
				if at := newCustomer(t).get(back); at.Status != 400 || l.calls != 0 {
					t.Errorf("without a question: %d, %d calls", at.Status, l.calls)
				}
				if at := newCustomer(t).get(s.redirect + "?code=x&iss=" + url.QueryEscape(l.base)); at.Status != 400 || l.calls != 0 {
					t.Errorf("without a question or a state: %d, %d calls", at.Status, l.calls)
				}
				if at := other.get(back); at.Status != 400 || l.calls != 0 {
					t.Errorf("with another question: %d, %d calls", at.Status, l.calls)
				}
				c.get(back) // the liar knows one request at a time, and signs the nonce of the other one
				if at := c.get(back); at.Status != 400 || l.calls != 1 {
					t.Errorf("a second time: %d, %d calls", at.Status, l.calls)
				}
			})
			t.Run("without a sign-in address the shop's own serves", func(t *testing.T) {
				l.lie(result(func(r map[string]any) { delete(r, "sign_in") }))
				c := newCustomer(t)
				at := c.get(c.get(c.asks(s)).to)
				c.nobody(s, at)
				c.sentOn(at, shopSignIn)
			})
		})
	}
}
