package app

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// shop is an app of its own that sends people here: a web site on another origin, written with go-oidc and x/oauth2 as
// anybody would write it. It keeps what it got for the test to look at.
type shop struct {
	*httptest.Server
	app    *client.App
	secret string
	w      *world
	scope  string

	onward string // where the callback leads on to at once; "" shows a page
	dawdle func() // what it does before it redeems a code; nil for nothing

	mu    sync.Mutex
	flows map[string]flow // by state
	back  []answered
}

// flow is one that the shop began.
type flow struct{ nonce, verifier string }

// answered is one return of a browser to the shop.
type answered struct {
	query  url.Values
	claims map[string]any
	raw    string // ID token
	access string
	err    error // what the shop's libraries said
	flow   flow
}

// result is the claim that tells what happened.
func (a answered) result() client.Result {
	var r client.Result
	b, err := json.Marshal(a.claims["urn:regain:claim:result"])
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		panic(err)
	}
	return r
}

const shopPage = `<!doctype html><html lang=en><title>The shop</title><main><h1>%s</h1><a id=go href="/go">Forgot your password?</a></main>`

// newShop registers an app that may ask for everything, and serves it. change may change it first.
func newShop(w *world, change func(*client.App)) *shop {
	w.t.Helper()
	s := &shop{w: w, scope: "regain.reset", flows: map[string]flow{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintf(rw, shopPage, "Welcome") })
	mux.HandleFunc("/start", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintf(rw, shopPage, "Start again") })
	mux.HandleFunc("/go", s.begin)
	mux.HandleFunc("/cb", s.callback)
	s.Server = httptest.NewServer(mux)
	w.t.Cleanup(s.Close)
	var hash []byte
	s.secret, hash = keyring.NewToken("rgn_app")
	now := w.now()
	s.app = &client.App{ID: newID(), Key: "shop", Name: "The Shop <b>", Redirects: []string{s.URL + "/cb"}, Actions: client.Actions, Auth: client.AuthSecret, Alg: "ES256",
		Secrets: []client.Token{{ID: newID(), Hash: hash, Created: now}}, Subject: client.Pairwise, Sector: "127.0.0.1", Initiate: s.URL + "/start", Created: now, Updated: now}
	if change != nil {
		change(s.app)
	}
	if err := w.srv.Store.CreateApp(w.t.Context(), s.app); err != nil {
		w.t.Fatal(err)
	}
	// As the command line does, long before the first person comes.
	if err := w.srv.Store.EnsureSigning(w.t.Context(), keyring.ForIDTokens, s.app.Alg, now); err != nil {
		w.t.Fatal(err)
	}
	for _, srv := range w.replicas {
		if err := srv.Store.Refresh(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

// config is the shop's client, made as any app makes it: from the discovery document.
func (s *shop) config(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	p, err := oidc.NewProvider(ctx, s.w.base)
	if err != nil {
		return nil, nil, err
	}
	return p, &oauth2.Config{ClientID: s.app.Key, ClientSecret: s.secret, Endpoint: p.Endpoint(), RedirectURL: s.app.Redirects[0], Scopes: []string{"openid", s.scope}}, nil
}

// link makes the address to send a browser to.
func (s *shop) link(ctx context.Context, more ...oauth2.AuthCodeOption) (string, error) {
	_, c, err := s.config(ctx)
	if err != nil {
		return "", err
	}
	state, f := oauth2.GenerateVerifier(), flow{oauth2.GenerateVerifier(), oauth2.GenerateVerifier()}
	s.mu.Lock()
	s.flows[state] = f
	s.mu.Unlock()
	return c.AuthCodeURL(state, append(more, oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier))...), nil
}

func (s *shop) begin(rw http.ResponseWriter, r *http.Request) {
	var more []oauth2.AuthCodeOption
	for _, name := range []string{"login_hint", "ui_locales"} {
		if v := r.URL.Query().Get(name); v != "" {
			more = append(more, oauth2.SetAuthURLParam(name, v))
		}
	}
	to, err := s.link(r.Context(), more...)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
}

func (s *shop) callback(rw http.ResponseWriter, r *http.Request) {
	a := answered{query: r.URL.Query()}
	s.mu.Lock()
	f, known := s.flows[a.query.Get("state")]
	delete(s.flows, a.query.Get("state"))
	s.mu.Unlock()
	a.flow = f
	switch {
	case !known:
		a.err = fmt.Errorf("state %q is not one of ours", a.query.Get("state"))
	case a.query.Get("iss") != s.w.base:
		a.err = fmt.Errorf("iss %q", a.query.Get("iss"))
	case a.query.Get("code") != "":
		if s.dawdle != nil {
			s.dawdle()
		}
		a.err = s.redeem(r.Context(), &a)
	}
	s.mu.Lock()
	s.back = append(s.back, a)
	s.mu.Unlock()
	if s.onward != "" {
		http.Redirect(rw, r, s.onward, http.StatusSeeOther)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(rw, shopPage, "Back: "+html.EscapeString(fmt.Sprint(a.query.Get("error"), " ", a.err)))
}

// redeem takes the code to the token endpoint and judges what comes back.
func (s *shop) redeem(ctx context.Context, a *answered) error {
	p, c, err := s.config(ctx)
	if err != nil {
		return err
	}
	token, err := c.Exchange(ctx, a.query.Get("code"), oauth2.VerifierOption(a.flow.verifier))
	if err != nil {
		return err
	}
	a.access = token.AccessToken
	a.raw, _ = token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: s.app.Key, SupportedSigningAlgs: []string{s.app.Alg}, Now: s.w.now}).Verify(ctx, a.raw)
	if err != nil {
		return err
	}
	if id.Nonce != a.flow.nonce {
		return fmt.Errorf("nonce %q", id.Nonce)
	}
	return id.Claims(&a.claims)
}

// request is one and the same request of the shop each time, as a path of ours.
func (s *shop) request() string {
	query := url.Values{"response_type": {"code"}, "client_id": {s.app.Key}, "redirect_uri": {s.app.Redirects[0]}, "scope": {"openid regain.reset"}, "state": {"always the same"},
		"nonce": {"n"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"}}
	return "/oauth2/authorize?" + query.Encode()
}

// last waits for the n-th browser to come back.
func (s *shop) last(t testing.TB, n int) answered {
	t.Helper()
	eventually(t, "the browser is back at the shop", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.back) >= n
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.back) != n {
		t.Fatalf("the browser came back %d times, want %d: %+v", len(s.back), n, s.back)
	}
	return s.back[n-1]
}

// quiet holds that no browser came back so far.
func (s *shop) quiet(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.back) > 0 {
		t.Errorf("somebody came back: %+v", s.back)
	}
}

// The forms of the banner.
const (
	giveUp = "form[action='/oauth2/cancel'] button"
	goBack = "form[action='/oauth2/return'] button"
)

// elapsed is for claims in seconds.
func seconds(v any) time.Time {
	f, _ := v.(float64)
	return time.Unix(int64(f), 0)
}
