package app

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
)

// asker is an app registered in a world, with what it authenticates by.
type asker struct {
	*client.App
	w      *world
	secret string
	key    any    // private, when it authenticates by key
	pem    []byte // the same, PKCS #8
}

// asker registers an app that may ask for everything. change may make it another one.
func (w *world) asker(change func(*client.App)) *asker {
	w.t.Helper()
	now := w.now()
	a := &asker{w: w, App: &client.App{ID: newID(), Version: 1, Key: "shop-" + strings.ToLower(rand.Text()[:8]), Name: "Example shop", Created: now, Updated: now,
		Redirects: []string{"http://localhost:1/callback"}, Actions: client.Actions, Auth: client.AuthSecret, Alg: keyring.ES256, Subject: client.Pairwise}}
	if change != nil {
		change(a.App)
	}
	if u, err := url.Parse(a.Redirects[0]); err != nil {
		w.t.Fatal(err)
	} else {
		a.Sector = u.Hostname()
	}
	if a.Auth == client.AuthSecret {
		var hash []byte
		a.secret, hash = keyring.NewToken("rgn_app")
		a.Secrets = []client.Token{{ID: newID(), Hash: hash, Created: now}}
	}
	if err := a.Check(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.srv.Store.CreateApp(w.t.Context(), a.App); err != nil {
		w.t.Fatal(err)
	}
	if err := w.srv.Store.EnsureSigning(w.t.Context(), keyring.ForIDTokens, a.Alg, now); err != nil {
		w.t.Fatal(err)
	}
	if err := w.srv.Store.Refresh(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// keyed is an asker that authenticates by a key of a kind: ES256, RS256, PS256 or EdDSA.
func (w *world) keyed(alg string, change func(*client.App)) *asker {
	w.t.Helper()
	var key any
	var public any
	var err error
	switch alg {
	case "ES256":
		k, e := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		key, public, err = k, k.Public(), e
	case "EdDSA":
		public, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		k, e := rsa.GenerateKey(rand.Reader, 2048)
		key, public, err = k, k.Public(), e
	}
	if err != nil {
		w.t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: public, KeyID: "key-1", Use: "sig"}
	if alg == "PS256" {
		jwk.Algorithm = alg
	}
	text, err := json.Marshal(jwk)
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.asker(func(app *client.App) {
		app.Auth, app.Keys = client.AuthKey, []client.PublicKey{{ID: "key-1", JWK: string(text), Created: w.now()}}
		if change != nil {
			change(app)
		}
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	a.key, a.pem = key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return a
}

// newcomers counts people, so that no two have one telephone: tests that run beside each other read each other's codes then.
var newcomers atomic.Uint32

// newcomer is somebody who can prove themselves by mail and text message, and whom no other test knows.
func (w *world) newcomer() *somebody {
	w.t.Helper()
	n := newcomers.Add(1)
	uid := fmt.Sprintf("n%05d", n)
	p := &somebody{uid: uid, Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: fmt.Sprintf("+4917138%05d", n), Password: "the first password of " + uid, ID: newID()}
	if err := w.memory.Put(memory.Account{Login: uid, Name: uid, Password: p.Password, Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: w.now().Add(-48 * time.Hour)}); err != nil {
		w.t.Fatal(err)
	}
	w.addPerson(p, method.Email, method.SMS)
	return p
}

// question is what an app sends somebody with, and what it keeps to itself.
type question struct {
	state, nonce, verifier string
	form                   url.Values
}

// ask makes the request for an action.
func (a *asker) ask(action client.Action) question {
	q := question{state: rand.Text(), nonce: rand.Text(), verifier: rand.Text() + rand.Text()}
	sum := sha256.Sum256([]byte(q.verifier))
	q.form = url.Values{"response_type": {"code"}, "client_id": {a.Key}, "redirect_uri": {a.Redirects[0]}, "scope": {"openid regain." + string(action)}, "state": {q.state}, "nonce": {q.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	return q
}

// with changes parameters of a question; a value "" takes one away.
func (q question) with(pairs ...string) question {
	form := url.Values{}
	for k, v := range q.form {
		form[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if form.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	q.form = form
	return q
}

// stopAtApps makes a visitor end where an address leaves the world: at the app, which nobody runs.
func (v *visitor) stopAtApps() *visitor {
	v.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if "http://"+r.URL.Host != v.w.base {
			return http.ErrUseLastResponse
		}
		if len(via) > 10 {
			return fmt.Errorf("%d redirects", len(via))
		}
		return nil
	}
	return v
}

// answer is what a browser was sent to an app with.
func (s sight) answer(t testing.TB, redirect string) url.Values {
	t.Helper()
	to := s.Header.Get("Location")
	at, query, _ := strings.Cut(to, "?")
	got, err := url.ParseQuery(query)
	if s.Status != http.StatusSeeOther || at != redirect || err != nil {
		t.Fatalf("not sent to the app: %d to %q, at %s: %s", s.Status, to, s.Path, s.Text)
	}
	return got
}

// goBack presses the button of the last page that leads back to the app.
func (v *visitor) goBack() sight { v.w.t.Helper(); return v.post("/oauth2/return") }
