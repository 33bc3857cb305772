package handoff

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/web"
)

// inProcess lets a library speak to the site without a network.
type inProcess struct{ w *world }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != strings.TrimPrefix(base, "https://") {
		return nil, fmt.Errorf("a request to %s", r.URL.Host)
	}
	in := r.Clone(r.Context())
	in.RemoteAddr, in.RequestURI = "198.51.100.9:1", ""
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	p.w.site.ServeHTTP(rec, in)
	return rec.Result(), nil
}

func TestALibraryGoesTheWholeWay(t *testing.T) {
	key := newPair(t, "ES256")
	w := newWorld(t)
	ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: inProcess{w}})
	provider, err := oidc.NewProvider(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range idTokenAlgs {
		for _, auth := range []string{"basic", "post", "private-key-jwt"} {
			name := strings.ToLower(alg) + "-" + auth
			a := w.app(name, func(a *client.App) {
				if a.Alg = alg; auth == "private-key-jwt" {
					a.Auth, a.Keys = client.AuthKey, []client.PublicKey{key.public}
				}
			})
			c := oauth2.Config{ClientID: name, ClientSecret: a.secret, Endpoint: provider.Endpoint(), RedirectURL: a.Redirects[0], Scopes: []string{oidc.ScopeOpenID, "regain.reset"}}
			var more []oauth2.AuthCodeOption
			switch auth {
			case "basic":
				c.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
			case "post":
				c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
			default:
				c.ClientSecret, c.Endpoint.AuthStyle = "", oauth2.AuthStyleInParams
				more = append(more, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", key.signs(t, "ES256", nil, w.asserted(name))))
			}
			verifier := oauth2.GenerateVerifier()
			more = append(more, oauth2.VerifierOption(verifier))
			b := w.browser()
			if got := b.get(strings.TrimPrefix(c.AuthCodeURL(state, oidc.Nonce("n-7"), oauth2.S256ChallengeOption(verifier)), base)); got.to != "/reset" {
				t.Fatalf("%s: authorize: %d to %q", name, got.code, got.to)
			}
			try := b.tries()
			w.portal.becomes(try, w.done(w.ada, try))
			code := a.codeOf(b.post(PathReturn, nil))
			token, err := c.Exchange(ctx, code, more...)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			raw, _ := token.Extra("id_token").(string)
			// The verifier takes what the metadata says of algorithms; the app's own is the one that came.
			id, err := provider.Verifier(&oidc.Config{ClientID: name, Now: w.clock.now, SupportedSigningAlgs: []string{alg}}).Verify(ctx, raw)
			if err != nil || id.Nonce != "n-7" {
				t.Fatalf("%s: %v, %+v", name, err, id)
			}
			if _, err := provider.Verifier(&oidc.Config{ClientID: "hr", Now: w.clock.now}).Verify(ctx, raw); err == nil {
				t.Errorf("%s: another app takes it", name)
			}
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || info.Subject != id.Subject || info.Email != "" {
				t.Errorf("%s: userinfo: %v %+v", name, err, info)
			}
			if _, err := c.Exchange(ctx, code, more...); err == nil {
				t.Errorf("%s: the code works twice", name)
			}
		}
	}
}

func TestTwentyRedemptionsOfOneCodeHaveOneWinner(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
			c := store.Config{URL: storetest.URL(t, kind), Ring: storetest.Ring(), Now: func() time.Time { return now }}
			first := storetest.OpenConfig(t, c)
			w := newWorld(t, func(o *options) { o.store = first })
			sites := []*web.Site{w.site}
			if kind == store.PostgreSQL {
				_, other := w.replica(storetest.OpenConfig(t, c), nil)
				sites = append(sites, other)
			}
			code := w.hr.code()
			var wg sync.WaitGroup
			answers := make([]answer, 20)
			start := make(chan struct{})
			for i := range answers {
				wg.Go(func() {
					<-start
					answers[i] = w.call(sites[i%len(sites)], http.MethodPost, PathToken, w.hr.redemption(code), "Authorization", basic("hr", w.hr.secret))
				})
			}
			close(start)
			wg.Wait()
			won := 0
			for _, got := range answers {
				switch {
				case got.code == http.StatusOK:
					won++
					if got := w.userinfo(w.tokensOf(got).AccessToken); got.code != http.StatusUnauthorized {
						t.Errorf("the access token outlives the code shown twenty times: %d", got.code)
					}
				case got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_grant":
					t.Errorf("lost as %d %s", got.code, got.body)
				}
			}
			if won != 1 {
				t.Errorf("%d of twenty won, want one", won)
			}
			if got := w.hr.post(PathToken, w.hr.redemption(code)); w.errorOf(got) != "invalid_grant" {
				t.Errorf("afterwards: %d %s", got.code, got.body)
			}
			if events := w.events(w.ada.ID); !slices.Contains(events, "handoff.redeemed") || !slices.Contains(events, "handoff.refused used-before") || len(events) != 3 {
				t.Errorf("the story is %v", events)
			}
		})
	}
}

func TestTheMetadataSaysWhatIsDone(t *testing.T) {
	w := newWorld(t)
	got := w.call(w.site, http.MethodGet, PathDiscovery, nil)
	var m map[string]any
	if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.code != http.StatusOK || got.header.Get("Content-Type") != "application/json" || got.header.Get("Cache-Control") != keepFor {
		t.Fatalf("%d %v %v", got.code, got.header, err)
	}
	for name, want := range map[string]string{
		"issuer": base, "authorization_endpoint": base + "/oauth2/authorize", "token_endpoint": base + "/oauth2/token", "userinfo_endpoint": base + "/oauth2/userinfo",
		"jwks_uri": base + "/oauth2/jwks", "pushed_authorization_request_endpoint": base + "/oauth2/par", "response_types_supported": "[code]", "response_modes_supported": "[query]",
		"grant_types_supported": "[authorization_code]", "subject_types_supported": "[public pairwise]", "id_token_signing_alg_values_supported": "[RS256 ES256 EdDSA]",
		"code_challenge_methods_supported": "[S256]", "authorization_response_iss_parameter_supported": "true",
		"token_endpoint_auth_methods_supported":            "[private_key_jwt client_secret_basic client_secret_post]",
		"token_endpoint_auth_signing_alg_values_supported": "[RS256 PS256 ES256 EdDSA Ed25519]", "scopes_supported": "[openid regain.reset regain.change regain.unlock regain.register]",
		"claims_supported":     "[iss sub aud iat exp jti nonce acr urn:regain:claim:result]",
		"acr_values_supported": "[urn:regain:acr:recovery]", "ui_locales_supported": "[en de]", "prompt_values_supported": "[login none]", "request_parameter_supported": "false",
		"request_uri_parameter_supported": "false", "claims_parameter_supported": "false", "require_pushed_authorization_requests": "false", "require_request_uri_registration": "false",
	} {
		if s := fmt.Sprint(m[name]); s != want {
			t.Errorf("%s: %s, want %s", name, s, want)
		}
		delete(m, name)
	}
	if len(m) > 0 {
		t.Errorf("and %v", m)
	}
	for _, path := range []string{PathDiscovery + "/x", PathDiscovery + "x", PathKeys + "/", PathToken + "2"} {
		if got := w.call(w.site, http.MethodGet, path, nil); got.code != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.code)
		}
	}
	for path, allow := range map[string]string{PathDiscovery: "GET, HEAD", PathKeys: "GET, HEAD", PathUserinfo: "GET, HEAD, POST", PathToken: "POST", PathPush: "POST"} {
		if got := w.call(w.site, http.MethodDelete, path, nil); got.code != http.StatusMethodNotAllowed || got.header.Get("Allow") != allow {
			t.Errorf("%s: %d, Allow %q", path, got.code, got.header.Get("Allow"))
		}
	}
}

func TestTheTokenEndpointServesTheOtherGrantToo(t *testing.T) {
	heard := url.Values{}
	w := newWorld(t, func(o *options) {
		o.config = func(c *Config) {
			c.ClientCredentials = func(rw http.ResponseWriter, r *http.Request, form url.Values) {
				heard = form
				rw.WriteHeader(http.StatusTeapot)
			}
		}
	})
	got := w.call(w.site, http.MethodPost, PathToken, url.Values{"grant_type": {"client_credentials"}, "scope": {"ssf.read"}})
	if got.code != http.StatusTeapot || heard.Get("scope") != "ssf.read" {
		t.Errorf("%d, it hears %v", got.code, heard)
	}
	if body := w.call(w.site, http.MethodGet, PathDiscovery, nil).body; !strings.Contains(body, `"grant_types_supported":["authorization_code","client_credentials"]`) {
		t.Errorf("the metadata does not say so: %s", body)
	}
	plain := newWorld(t)
	for grant, want := range map[string]string{"client_credentials": "unsupported_grant_type", "refresh_token": "unsupported_grant_type", "password": "unsupported_grant_type", "": "invalid_request"} {
		if got := plain.hr.post(PathToken, url.Values{"grant_type": {grant}}); got.code != http.StatusBadRequest || plain.errorOf(got) != want {
			t.Errorf("%s: %d %s", grant, got.code, got.body)
		}
	}
	if got := plain.hr.post(PathToken, url.Values{"grant_type": {"authorization_code"}}); plain.errorOf(got) != "invalid_request" {
		t.Errorf("no code: %s", got.body)
	}
	r := httptest.NewRequest(http.MethodPost, PathToken, strings.NewReader(`{"grant_type":"authorization_code"}`))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	plain.site.ServeHTTP(rec, r)
	if rec.Code != http.StatusBadRequest {
		t.Errorf("no form: %d", rec.Code)
	}
	if got := plain.hr.post(PathToken, url.Values{"grant_type": {"authorization_code"}, "x": {strings.Repeat("x", maxBody)}}); got.code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large form: %d", got.code)
	}
	if got := plain.hr.post(PathToken, plain.hr.redemption(plain.hr.code())); got.header.Get("Cache-Control") != "no-store" || got.header.Get("Pragma") != "no-cache" {
		t.Errorf("it may be kept: %v", got.header)
	}
}

func TestUserinfoIsToldByTheHeaderOrTheBody(t *testing.T) {
	w := newWorld(t)
	fresh := func() string { return w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).AccessToken }
	token := fresh()
	call := func(method, path string, form url.Values, header ...string) answer {
		return w.call(w.site, method, path, form, header...)
	}
	for name, got := range map[string]answer{
		"in the header":             call(http.MethodGet, PathUserinfo, nil, "Authorization", "Bearer "+token),
		"in the header of a post":   call(http.MethodPost, PathUserinfo, nil, "Authorization", "bearer "+token),
		"beside an empty form":      call(http.MethodPost, PathUserinfo, url.Values{}, "Authorization", "Bearer "+token),
		"in the body":               call(http.MethodPost, PathUserinfo, url.Values{"access_token": {token}}),
		"in the header, as it came": call(http.MethodGet, PathUserinfo+"?x=1", nil, "Authorization", "Bearer "+token),
	} {
		if got.code != http.StatusOK || !strings.HasPrefix(got.body, `{"sub":"`) || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
	}
	for name, c := range map[string]struct {
		got  answer
		code int
		say  string
	}{
		"nothing":           {call(http.MethodGet, PathUserinfo, nil), 401, "Bearer"},
		"in the address":    {call(http.MethodGet, PathUserinfo+"?access_token="+token, nil), 401, "Bearer"},
		"by another scheme": {call(http.MethodGet, PathUserinfo, nil, "Authorization", "Basic "+token), 401, "Bearer"},
		"in both":           {call(http.MethodPost, PathUserinfo, url.Values{"access_token": {token}}, "Authorization", "Bearer "+token), 400, `error="invalid_request"`},
		"twice":             {call(http.MethodPost, PathUserinfo, url.Values{"access_token": {token, token}}), 400, `error="invalid_request"`},
		"cut off":           {call(http.MethodGet, PathUserinfo, nil, "Authorization", "Bearer "+token[:len(token)-1]), 401, `error="invalid_token"`},
		"another kind":      {call(http.MethodGet, PathUserinfo, nil, "Authorization", "Bearer "+w.hr.secret), 401, `error="invalid_token"`},
		"a code":            {call(http.MethodGet, PathUserinfo, nil, "Authorization", "Bearer "+w.hr.code()), 401, `error="invalid_token"`},
	} {
		if say := c.got.header.Get("WWW-Authenticate"); c.got.code != c.code || !strings.Contains(say, c.say) || strings.Contains(say, "error") != strings.Contains(c.say, "error") {
			t.Errorf("%s: %d %q, want %d %q", name, c.got.code, say, c.code, c.say)
		}
	}
	if got := call(http.MethodGet, PathUserinfo, nil); got.body != "{}" { // RFC 6750 §3.1
		t.Errorf("who shows nothing is told %s", got.body)
	}
	w.clock.pass(client.AccessLife)
	if got := w.userinfo(token); got.code != http.StatusUnauthorized {
		t.Errorf("after a minute: %d", got.code)
	}
}

func TestTheWayBackIsTrue(t *testing.T) {
	w := newWorld(t)
	// Before a try began, and in one, somebody who wants to go back is led on: nothing can be said yet.
	b := w.browser()
	b.authorize(w.hr.request())
	if got := b.post(PathReturn, nil); got.to != "/reset" {
		t.Errorf("before a try: %d to %q", got.code, got.to)
	}
	try := b.tries()
	if got := b.post(PathReturn, nil); got.to != "/reset" {
		t.Errorf("in a try: %d to %q", got.code, got.to)
	}
	// Who cancels while it is being written is led on, too; and who cancels too late goes back with what happened.
	w.portal.stop = func() error { return fault.New(fault.Over, message.Key("handoff.over")) }
	if got := b.post(PathCancel, nil); got.to != "/reset" {
		t.Errorf("cancelled while it is written: %d to %q", got.code, got.to)
	}
	w.portal.stop = func() error {
		w.portal.outcomes[try] = w.done(w.ada, try)
		return fault.New(fault.Over, message.Key("handoff.over"))
	}
	w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.codeOf(b.post(PathCancel, nil)))))
	// What fails is not taken for an end.
	b, _ = w.hr.sent()
	w.portal.stop = func() error { return errCanary }
	if got := b.post(PathCancel, nil); got.code != http.StatusInternalServerError || got.to != "" || strings.Contains(got.body, "canary") {
		t.Errorf("cancelled, and it fails: %d to %q", got.code, got.to)
	}
	w.portal.stop = nil
	// A try that took the place of the first is the one that is told of.
	b, first := w.hr.sent()
	w.portal.becomes(first, w.done(w.ada, first))
	second := b.tries()
	w.portal.becomes(second, client.Outcome{Over: true})
	if q := b.post(PathReturn, nil).query(t, cb); q.Get("error") != "access_denied" {
		t.Errorf("the later try: %v", q)
	}
	// Nor is an older one told of when the later one began in another tab this very moment.
	for name, o := range map[string]client.Outcome{"done": w.done(w.ada, "x"), "over": {Over: true}} {
		b, first = w.hr.sent()
		w.portal.becomes(first, o)
		w.portal.asked = func() {
			h := w.portal.begun[len(w.portal.begun)-1]
			held, err := w.store.HandoffByCookie(t.Context(), h.Cookie)
			if err == nil {
				_, err = w.store.UpdateHandoff(t.Context(), held, func(h *client.Handoff) ([]event.Event, error) { return nil, h.Begin("later", w.clock.now()) })
			}
			if err != nil {
				t.Error(err)
			}
		}
		if got := b.post(PathReturn, nil); got.to != "/reset" {
			t.Errorf("another try meanwhile, the first %s: %d to %q", name, got.code, got.to)
		}
	}
	// What is not known is said to be not known, and registering is asked for without a try.
	b, try = w.hr.sent()
	o := w.done(w.ada, try)
	o.Status = client.StatusUnknown
	w.portal.becomes(try, o)
	claims := w.claims(w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.codeOf(b.post(PathReturn, nil))))).IDToken)
	if got := claims[ClaimResult].(map[string]any)["status"]; got != "unknown" {
		t.Errorf("status %v, want unknown", got)
	}
	w.hr.change(func(a *client.App) { a.Actions = append(a.Actions, client.ActionRegister) })
	b = w.browser()
	b.authorize(w.hr.request("scope", "openid regain.register"))
	if got := b.post(PathReturn, nil); got.to != "/register" {
		t.Errorf("nothing registered: %d to %q", got.code, got.to)
	}
	w.portal.becomes("", w.done(w.ada, "session-1"))
	claims = w.claims(w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.codeOf(b.post(PathReturn, nil))))).IDToken)
	if got := claims[ClaimResult].(map[string]any); got["action"] != "register" || got["txn"] != "session-1" {
		t.Errorf("registered: %v", got)
	}
	b = w.browser()
	w.portal.becomes("", client.Outcome{})
	b.authorize(w.hr.request("scope", "openid regain.register"))
	if q := b.post(PathCancel, nil).query(t, cb); q.Get("error") != "access_denied" {
		t.Errorf("registering cancelled: %v", q)
	}
	// Somebody who never began, or whose time is up, reads where to start again and is sent nowhere.
	b, _ = w.hr.sent()
	w.clock.pass(client.HandoffLife)
	got := b.post(PathReturn, nil)
	if got.code != http.StatusGone || got.to != "" || !strings.Contains(got.body, `href="https://hr.example/start?iss=`+url.QueryEscape(base)) {
		t.Errorf("expired: %d to %q %s", got.code, got.to, got.body)
	}
	if len(b.holding()["__Host-handoff"]) > 0 || !w.happened("", "handoff.ended expired") {
		t.Errorf("expired: the cookie stays, or nobody is told: %v", w.events(""))
	}
}

func TestEveryPageKnowsWhoSentThePersonAndTheWayBack(t *testing.T) {
	w := newWorld(t, func(o *options) { o.hr = func(a *client.App) { a.Redirects = []string{"https://hr.example:8443/cb"} } })
	const origin = "form-action 'self' https://hr.example:8443;"
	b, try := w.hr.sent()
	page := b.get("/reset")
	if !strings.Contains(page.body, "Human Resources") || !strings.Contains(page.body, "hr.example:8443") || !strings.Contains(page.body, `action="/oauth2/cancel"`) || strings.Contains(page.body, `action="/oauth2/return"`) {
		t.Errorf("in a try: %s", page.body)
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, origin) {
		t.Errorf("forms lead to %s", csp)
	}
	w.portal.becomes(try, w.done(w.ada, try))
	if page = b.get("/reset"); !strings.Contains(page.body, `action="/oauth2/return"`) || strings.Contains(page.body, `action="/oauth2/cancel"`) {
		t.Errorf("when it is done: %s", page.body)
	}
	for name, got := range map[string]answer{"staff": b.get("/console/people"), "another browser": w.browser().get("/reset")} {
		if strings.Contains(got.body, "Human Resources") || strings.Contains(got.header.Get("Content-Security-Policy"), "hr.example") {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	b.post(PathReturn, nil)
	if got := b.get("/reset"); strings.Contains(got.body, "Human Resources") {
		t.Errorf("afterwards: %s", got.body)
	}
	// Forms lead nowhere that is not registered any more.
	b, _ = w.hr.sent()
	w.hr.change(func(a *client.App) { a.Redirects = []string{"https://hr.example/other"} })
	if got := b.get("/reset"); strings.Contains(got.header.Get("Content-Security-Policy"), "8443") || strings.Contains(got.body, "Human Resources") {
		t.Errorf("the address was taken away: %v", got.header)
	}
}

func TestAnAppThatTakesAnothersKeyHasNothingOfTheOther(t *testing.T) {
	w := newWorld(t)
	b, try := w.hr.sent()
	w.portal.becomes(try, w.done(w.ada, try))
	code, access := w.hr.code(), w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).AccessToken
	if err := w.store.DeleteApp(t.Context(), "hr"); err != nil {
		t.Fatal(err)
	}
	next := w.app("hr", nil)
	if got := b.get("/reset"); strings.Contains(got.body, "Human Resources") {
		t.Error("the pages say that it waits")
	}
	stays(t, "back", b.post(PathReturn, nil), http.StatusGone)
	if got := next.post(PathToken, next.redemption(code)); w.errorOf(got) != "invalid_grant" {
		t.Errorf("the code: %d %s", got.code, got.body)
	}
	if got := w.userinfo(access); got.code != http.StatusUnauthorized {
		t.Errorf("the access token: %d", got.code)
	}
}

func TestAHintOfOursTiesTheAnswerToThatPerson(t *testing.T) {
	w := newWorld(t)
	hint := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).IDToken
	w.clock.pass(30 * 24 * time.Hour) // however old
	eve := w.person("eve@alder.example")
	answered := func(hint string, who string) url.Values {
		b, try := w.hr.sent("id_token_hint", hint)
		o := w.done(w.ada, try)
		if who == "eve" {
			o = w.done(eve, try)
		}
		w.portal.becomes(try, o)
		return b.post(PathReturn, nil).query(t, cb)
	}
	if q := answered(hint, "ada"); !q.Has("code") {
		t.Errorf("the same person: %v", q)
	}
	if q := answered(hint, "eve"); q.Get("error") != "access_denied" || q.Has("code") {
		t.Errorf("another person: %v", q)
	}
	if !w.happened("", "handoff.ended other-person") {
		t.Errorf("nobody is told: %v", w.events(""))
	}
	// Pushed, it is kept, too.
	b := w.browser()
	b.authorize(url.Values{"client_id": {"hr"}, "request_uri": {w.hr.push(w.hr.request("id_token_hint", hint))}})
	try := b.tries()
	w.portal.becomes(try, w.done(eve, try))
	if q := b.post(PathReturn, nil).query(t, cb); q.Get("error") != "access_denied" {
		t.Errorf("another person, pushed: %v", q)
	}
	// What is not ours, or was another app's, is ignored: it might as well not be there.
	crm := w.app("crm", nil)
	foreign := newPair(t, "ES256").signs(t, "ES256", nil, map[string]any{"iss": base, "aud": "hr", "sub": "x"})
	for name, hint := range map[string]string{"of another app": w.tokensOf(crm.post(PathToken, crm.redemption(crm.code()))).IDToken, "of a stranger": foreign, "junk": "x.y.z", "long": strings.Repeat("x", maxToken+1), "cut off": hint[:len(hint)-3]} {
		if q := answered(hint, "eve"); !q.Has("code") {
			t.Errorf("%s: %v", name, q)
		}
	}
}

func TestALanguageOfOursIsKeptForThePages(t *testing.T) {
	w := newWorld(t)
	for locales, want := range map[string]string{"de": "de", "de-AT": "de", "fr de": "de", "DE": "de", "fr": "", "": "", "en-GB de": "en", strings.Repeat("de ", 100): ""} {
		w.browser().authorize(w.hr.request("ui_locales", locales))
		if got := w.portal.begun[len(w.portal.begun)-1].Lang; got != want {
			t.Errorf("%.20q: %q, want %q", locales, got, want)
		}
	}
	// What may not matter does not (OIDC Core §15.1).
	if got := w.browser().authorize(w.hr.request("acr_values", "x", "display", "touch", "claims_locales", "fr", "max_age", "1", "prompt", "login consent", "claims", "{", "foo", "bar", "scope", "openid email regain.reset offline_access")); got.to != "/reset" {
		t.Errorf("%d to %q", got.code, got.to)
	}
	for _, p := range []url.Values{w.hr.request("nonce", ""), w.hr.request("state", "")} {
		if got := w.browser().authorize(p); got.to != "/reset" {
			t.Errorf("%d to %q", got.code, got.to)
		}
	}
}

// noLimits is a limiter that cannot count.
type noLimits struct{}

func (noLimits) Spend(context.Context, time.Time, ...limit.Bucket) (bool, time.Duration, error) {
	return false, 0, errCanary
}

func TestWhatCannotBeCountedIsNotDone(t *testing.T) {
	w := newWorld(t, func(o *options) { o.config = func(c *Config) { c.Limits = noLimits{} } })
	if got := w.browser().authorize(w.hr.request()); got.code != http.StatusServiceUnavailable || got.to != "" || strings.Contains(got.body, "canary") {
		t.Errorf("authorize: %d to %q", got.code, got.to)
	}
	got := w.hr.post(PathPush, w.hr.request())
	if got.code != http.StatusServiceUnavailable || w.errorOf(got) != "temporarily_unavailable" || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "canary") {
		t.Errorf("push: %d %s", got.code, got.body)
	}
	if len(w.portal.begun) > 0 {
		t.Error("a handoff began")
	}
}

func TestAServiceIsMadeOfAllItNeeds(t *testing.T) {
	if _, err := New(Config{Base: base}); err == nil {
		t.Error("a service of nothing is made")
	}
	if e := faulty(fault.New(fault.NotFound, message.Key("error.not_found"))); e.status != http.StatusInternalServerError {
		t.Errorf("a fault nobody foresaw is %d", e.status)
	}
}
