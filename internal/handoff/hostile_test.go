package handoff

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
)

// stays reports an answer that sent a browser anywhere, or said anything of the app to it.
func stays(t *testing.T, what string, got answer, code int) {
	t.Helper()
	if got.code != code || got.to != "" || strings.Contains(got.body, "evil") {
		t.Errorf("%s: %d to %q, want %d and nowhere", what, got.code, got.to, code)
	}
	for _, c := range got.header.Values("Set-Cookie") {
		if strings.Contains(c, "handoff=rgn_") {
			t.Errorf("%s: a handoff began", what)
		}
	}
}

func TestB01ARedirectURIIsTheRegisteredOneToTheLetter(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{
		"", "https://hr.example", "https://hr.example/c", "https://hr.example/cb/", "https://hr.example/cb2", "https://hr.example/cb/../cb", "https://hr.example/./cb",
		"https://hr.example/cb?x=1", "https://hr.example/cb?", "https://hr.example/cb#f", "https://hr.example/cb#", "https://hr.example:443/cb", "https://hr.example:8443/cb",
		"http://hr.example/cb", "HTTPS://hr.example/cb", "https://HR.example/cb", "https://hr.example/CB", "https://hr.example/%63b", "https://hr.example/cb%00", "https://hr.example/cb%20",
		"https://hr.example/cb\t", " https://hr.example/cb", "https://evil@hr.example/cb", "https://hr.example@evil.example/cb", "https://hr.example.evil.example/cb",
		"https://evil.example/https://hr.example/cb", "https://hr.example\\.evil.example/cb", "//hr.example/cb", "/cb", "javascript:alert(1)", "data:text/html,evil", "https://hr.example./cb",
	} {
		b := w.browser()
		stays(t, uri, b.authorize(w.hr.request("redirect_uri", uri)), http.StatusBadRequest)
		stays(t, "posted "+uri, b.post(PathAuthorize, w.hr.request("redirect_uri", uri)), http.StatusBadRequest)
		if got := w.hr.post(PathPush, w.hr.request("redirect_uri", uri)); got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_request" {
			t.Errorf("pushed %q: %d %s", uri, got.code, got.body)
		}
	}
	twice := w.hr.request()
	twice["redirect_uri"] = []string{cb, cb}
	stays(t, "twice", w.browser().authorize(twice), http.StatusBadRequest)
	if n := len(w.portal.begun); n != 0 {
		t.Errorf("%d handoffs began", n)
	}
	// What is registered with a query keeps it.
	crm := w.app("crm", func(a *client.App) { a.Redirects = []string{"https://crm.example/cb?tenant=a%2Fb&x="} })
	b, _ := crm.sent()
	if q := b.post(PathCancel, nil).query(t, crm.Redirects[0]); q.Get("error") != "access_denied" {
		t.Errorf("with a query of its own: %v", q)
	}
}

// spoiled are requests with one thing wrong that is told to the app, and the error that tells it.
func spoiled() map[string]struct {
	change []string
	want   string
} {
	return map[string]struct {
		change []string
		want   string
	}{
		"no response type":          {[]string{"response_type", ""}, "invalid_request"},
		"an implicit response":      {[]string{"response_type", "id_token"}, "unsupported_response_type"},
		"a hybrid response":         {[]string{"response_type", "code id_token"}, "unsupported_response_type"},
		"a token":                   {[]string{"response_type", "token"}, "unsupported_response_type"},
		"no scope":                  {[]string{"scope", ""}, "invalid_scope"},
		"no action":                 {[]string{"scope", "openid"}, "invalid_scope"},
		"no openid":                 {[]string{"scope", "regain.reset"}, "invalid_scope"},
		"two actions":               {[]string{"scope", "openid regain.reset regain.unlock"}, "invalid_scope"},
		"an action not granted":     {[]string{"scope", "openid regain.register"}, "invalid_scope"},
		"an action nobody knows":    {[]string{"scope", "openid regain.everything"}, "invalid_scope"},
		"a scope in capitals":       {[]string{"scope", "openid Regain.reset"}, "invalid_scope"},
		"prompt none":               {[]string{"prompt", "none"}, "interaction_required"},
		"prompt none and login":     {[]string{"prompt", "none login"}, "invalid_request"},
		"a long state":              {[]string{"state", strings.Repeat("s", maxState+1)}, "invalid_request"},
		"a state of two lines":      {[]string{"state", "a\r\nLocation: https://evil.example"}, "invalid_request"},
		"a long nonce":              {[]string{"nonce", strings.Repeat("s", maxNonce+1)}, "invalid_request"},
		"a nonce that is no text":   {[]string{"nonce", "\xff"}, "invalid_request"},
		"a long scope":              {[]string{"scope", "openid regain.reset " + strings.Repeat("s", maxScope)}, "invalid_request"},
		"no challenge":              {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"a request object":          {[]string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		"a request URI from abroad": {[]string{"request_uri", "https://evil.example/r"}, "request_uri_not_supported"},
	}
}

func TestB02NothingIsToldToAnAppThatIsNotKnownToBeTheOne(t *testing.T) {
	w := newWorld(t)
	links := w.app("links", func(a *client.App) { // takes plain links only
		*a = client.App{Key: "links", Name: "Links", Returns: []string{"https://links.example/"}}
	})
	for name, s := range spoiled() {
		// With a client and redirect URI that are right, the app is told, and gets its state back.
		b := w.browser()
		q := b.authorize(w.hr.request(s.change...)).query(t, cb)
		wantState := state
		if slices.Contains(s.change, "state") {
			wantState = "" // what cannot be sent back is not
		}
		if q.Get("error") != s.want || q.Get("error_description") == "" || q.Get("state") != wantState || q.Get("iss") != base || q.Has("code") {
			t.Errorf("%s: %v, want %s", name, q, s.want)
		}
		// With either of them wrong, nobody is sent anywhere.
		for what, wrong := range map[string][]string{
			"no client": {"client_id", ""}, "a client nobody knows": {"client_id", "nobody"}, "a client that is no key": {"client_id", "../hr"}, "another's client": {"client_id", links.Key},
			"no address": {"redirect_uri", ""}, "an address nobody registered": {"redirect_uri", "https://evil.example/"},
		} {
			stays(t, name+", "+what, b.authorize(with(w.hr.request(s.change...), wrong...)), http.StatusBadRequest)
		}
	}
	q := w.browser().authorize(w.hr.request("scope", "openid")).query(t, cb)
	if text := q.Get("error_description"); !strings.Contains(text, "regain.reset") || !strings.Contains(text, "regain.unlock") || strings.Contains(text, "regain.register") {
		t.Errorf("the scopes are not named: %q", text)
	}
	twice := w.hr.request()
	twice["client_id"] = []string{"hr", "hr"}
	stays(t, "the client twice", w.browser().authorize(twice), http.StatusBadRequest)
	stays(t, "an address that does not decode", w.browser().get(PathAuthorize+"?client_id=hr&redirect_uri="+url.QueryEscape(cb)+"&x=%zz"), http.StatusBadRequest)
	stays(t, "many parameters", w.browser().get(PathAuthorize+"?"+w.hr.request("prompt", "none").Encode()+strings.Repeat("&a=b", maxPairs)), http.StatusBadRequest)
	stays(t, "a long address", w.browser().authorize(w.hr.request("prompt", "none", "x", strings.Repeat("x", maxQuery))), http.StatusBadRequest)
	r := httptest.NewRequest(http.MethodHead, PathAuthorize+"?"+w.hr.request().Encode(), nil)
	stays(t, "a look", w.browser().do(r), http.StatusBadRequest)
}

func TestB03ACodeWorksOnceForWhomAndWhatItWasMadeFor(t *testing.T) {
	w := newWorld(t)
	crm := w.app("crm", nil)
	for name, steal := range map[string]func(code string) answer{
		"shown again":          func(code string) answer { return w.hr.post(PathToken, w.hr.redemption(code)) },
		"by another client":    func(code string) answer { return crm.post(PathToken, w.hr.redemption(code)) },
		"another redirect URI": func(code string) answer { return w.hr.post(PathToken, w.hr.redemption(code, "redirect_uri", cb+"2")) },
		"no redirect URI":      func(code string) answer { return w.hr.post(PathToken, w.hr.redemption(code, "redirect_uri", "")) },
		"a wrong verifier": func(code string) answer {
			return w.hr.post(PathToken, w.hr.redemption(code, "code_verifier", verifier+"x"))
		},
		"too late": func(code string) answer {
			w.clock.pass(client.CodeLife)
			return w.hr.post(PathToken, w.hr.redemption(code))
		},
	} {
		code := w.hr.code()
		var access string
		if name == "shown again" {
			access = w.tokensOf(w.hr.post(PathToken, w.hr.redemption(code))).AccessToken
			if got := w.userinfo(access); got.code != http.StatusOK {
				t.Errorf("%s: before it, the access token opens nothing: %d", name, got.code)
			}
		}
		if got := steal(code); got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_grant" {
			t.Errorf("%s: %d %s", name, got.code, got.body)
		}
		// Whatever was wrong, the code is burnt.
		if got := w.hr.post(PathToken, w.hr.redemption(code)); w.errorOf(got) != "invalid_grant" {
			t.Errorf("%s: afterwards the code still works: %d %s", name, got.code, got.body)
		}
		if !w.happened(w.ada.ID, "handoff.refused used-before") {
			t.Errorf("%s: nobody was told: %v", name, w.events(w.ada.ID))
		}
		if access != "" {
			if got := w.userinfo(access); got.code != http.StatusUnauthorized {
				t.Errorf("%s: the access token outlives it: %d", name, got.code)
			}
		}
	}
	// Who is nobody burns nothing.
	code := w.hr.code()
	if got := w.call(w.site, http.MethodPost, PathToken, w.hr.redemption(code), "Authorization", basic("hr", crm.secret)); w.errorOf(got) != "invalid_client" {
		t.Errorf("with another's secret: %s", got.body)
	}
	w.tokensOf(w.hr.post(PathToken, w.hr.redemption(code)))
	for _, none := range []string{"", "x", code[:len(code)-1], "rgn_access" + strings.TrimPrefix(code, "rgn_code")} {
		if got := w.hr.post(PathToken, w.hr.redemption(none)); got.code != http.StatusBadRequest {
			t.Errorf("the code %q: %d", none, got.code)
		}
	}
}

func TestB04WithoutPKCEThereIsNoHandoffAndNoCode(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string][]string{
		"none": {"code_challenge", "", "code_challenge_method", ""}, "plain": {"code_challenge", verifier[:43], "code_challenge_method", "plain"},
		"no method": {"code_challenge_method", ""}, "another case": {"code_challenge_method", "s256"}, "a method and no challenge": {"code_challenge", ""},
		"a short one": {"code_challenge", challenge(verifier)[:42]}, "a padded one": {"code_challenge", challenge(verifier) + "="}, "a method nobody knows": {"code_challenge_method", "S512"},
	} {
		if q := w.browser().authorize(w.hr.request(change...)).query(t, cb); q.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", name, q)
		}
		if got := w.hr.post(PathPush, w.hr.request(change...)); w.errorOf(got) != "invalid_request" {
			t.Errorf("pushed, %s: %d %s", name, got.code, got.body)
		}
	}
	for name, change := range map[string][]string{"no verifier": {"code_verifier", ""}, "the challenge": {"code_verifier", challenge(verifier)}, "another": {"code_verifier", strings.Repeat("x", 50)}} {
		if got := w.hr.post(PathToken, w.hr.redemption(w.hr.code(), change...)); w.errorOf(got) != "invalid_grant" {
			t.Errorf("redeemed with %s: %d %s", name, got.code, got.body)
		}
	}
}

func TestB05AHandleOfAnothersHandoffIsWorthNothing(t *testing.T) {
	w := newWorld(t)
	// The attacker begins, in their browser; the victim proves, in theirs.
	attacker, _ := w.hr.sent()
	victim, try := w.hr.sent()
	w.portal.becomes(try, w.done(w.ada, try))
	begun := w.portal.begun
	for name, planted := range map[string]map[string]string{
		"nothing":               {},
		"the id as cookie":      {"__Host-handoff": begun[1].ID},
		"the hash as cookie":    {"__Host-handoff": fmt.Sprintf("%x", begun[1].Cookie)},
		"the try as cookie":     {"__Host-try": try},
		"a cookie of plain web": {"handoff": victim.cookies["__Host-handoff"], "regain-handoff": victim.cookies["__Host-handoff"]},
	} {
		thief := w.browser()
		thief.cookies = planted
		stays(t, name, thief.post(PathReturn, nil), http.StatusGone)
		stays(t, name, thief.post(PathCancel, nil), http.StatusGone)
	}
	// The attacker's own handoff knows nothing of the victim's try, not even with its name.
	attacker.cookies["__Host-try"] = try
	if q := attacker.post(PathReturn, nil).query(t, cb); q.Get("error") != "access_denied" {
		t.Errorf("the attacker is answered %v", q)
	}
	// The victim who is handed the attacker's cookie next to an own one holds none: one of the two was planted.
	r := httptest.NewRequest(http.MethodPost, PathReturn, strings.NewReader(""))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "__Host-handoff", Value: attacker.cookies["__Host-handoff"]})
	both := w.browser()
	both.cookies = victim.holding()
	stays(t, "two cookies", both.do(r), http.StatusGone)
	// No handle stands in any address, and the victim's own way is open.
	for _, h := range begun {
		for _, to := range []string{victim.get("/").body, victim.get("/reset").to} {
			if strings.Contains(to, h.ID) {
				t.Errorf("the handoff %s is named in %q", h.ID, to)
			}
		}
	}
	w.hr.codeOf(victim.post(PathReturn, nil))
	stays(t, "once more", victim.post(PathReturn, nil), http.StatusGone)
}

func TestB06APushedRequestOpensOnceInTimeForItsClientAndAsItWasPushed(t *testing.T) {
	w := newWorld(t)
	crm := w.app("crm", nil)
	open := func(b *browser, uri string, more ...string) answer {
		return b.authorize(with(url.Values{"client_id": {"hr"}, "request_uri": {uri}}, more...))
	}
	uri := w.hr.push(w.hr.request())
	stays(t, "another client", open(w.browser(), uri, "client_id", crm.Key), http.StatusGone)
	stays(t, "no client", open(w.browser(), uri, "client_id", ""), http.StatusBadRequest)
	first := w.browser()
	if got := open(first, uri); got.to != "/reset" {
		t.Fatalf("the first: %d to %q", got.code, got.to)
	}
	for range 2 {
		stays(t, "again", open(w.browser(), uri), http.StatusGone)
		stays(t, "again, with all else right", open(w.browser(), uri, "redirect_uri", cb, "state", "x"), http.StatusGone)
	}
	if !strings.Contains(open(w.browser(), uri).body, "https://hr.example/start?iss="+url.QueryEscape(base)) {
		t.Error("the page does not say where to start again")
	}
	late := w.hr.push(w.hr.request())
	w.clock.pass(client.PushedLife)
	stays(t, "too late", open(w.browser(), late), http.StatusGone)
	for _, none := range []string{"urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:x", uri[:len(uri)-1] + "0"} {
		stays(t, none, open(w.browser(), none), http.StatusGone)
	}
	// Whatever stands beside it in the address counts nothing.
	mixed := w.browser()
	got := open(mixed, w.hr.push(w.hr.request("login_hint", "ada")), "redirect_uri", "https://evil.example/", "scope", "openid regain.unlock", "state", "evil", "nonce", "evil",
		"code_challenge", challenge("evil"), "login_hint", "evil", "prompt", "none", "response_type", "token", "response_mode", "form_post")
	h := w.portal.begun[len(w.portal.begun)-1]
	if got.to != "/reset" || h.Hint != "ada" || h.Param != state || h.Nonce != "n-1" || h.Challenge != challenge(verifier) || h.Redirect != cb {
		t.Errorf("mixed: %d to %q as %+v", got.code, got.to, h)
	}
	try := mixed.tries()
	w.portal.becomes(try, w.done(w.ada, try))
	w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.codeOf(mixed.post(PathReturn, nil)))))
	// What cannot be pushed, and who cannot push.
	if got := w.hr.post(PathPush, w.hr.request("request_uri", uri)); w.errorOf(got) != "invalid_request" {
		t.Errorf("a pushed request_uri: %s", got.body)
	}
	for name, s := range spoiled() {
		if name == "a request URI from abroad" {
			s.want = "invalid_request"
		}
		if got := w.hr.post(PathPush, w.hr.request(s.change...)); got.code != http.StatusBadRequest || w.errorOf(got) != s.want {
			t.Errorf("pushed, %s: %d %s, want %s", name, got.code, got.body, s.want)
		}
	}
	if got := w.call(w.site, http.MethodPost, PathPush, w.hr.request()); got.code != http.StatusUnauthorized || w.errorOf(got) != "invalid_client" {
		t.Errorf("pushed by nobody: %d %s", got.code, got.body)
	}
	if got := w.call(w.site, http.MethodGet, PathPush, nil); got.code != http.StatusMethodNotAllowed || got.header.Get("Allow") != "POST" {
		t.Errorf("asked for: %d, Allow %q", got.code, got.header.Get("Allow"))
	}
	// One that pushes only takes nothing else.
	strict := w.app("strict", func(a *client.App) { a.PushOnly = true })
	if q := w.browser().authorize(strict.request()).query(t, strict.Redirects[0]); q.Get("error") != "invalid_request" {
		t.Errorf("not pushed: %v", q)
	}
	if got := open(w.browser(), strict.push(strict.request()), "client_id", "strict"); got.to != "/reset" {
		t.Errorf("pushed: %d to %q", got.code, got.to)
	}
}

func TestB08AnAppLearnsNothingOfWhoIsHere(t *testing.T) {
	w := newWorld(t)
	// A name that is known and one that is not: the same answer, and the same to come back with.
	var seen []answer
	for _, hint := range []string{"ada@alder.example", "nobody@alder.example", "", strings.Repeat("x", maxHint+1), "two\nlines"} {
		b := w.browser()
		got := b.authorize(w.hr.request("login_hint", hint))
		got.header.Del("Set-Cookie")
		got.header.Del("X-Request-Id")
		seen = append(seen, got)
	}
	for i, got := range seen {
		if got.code != seen[0].code || got.to != seen[0].to || got.body != seen[0].body || fmt.Sprint(got.header) != fmt.Sprint(seen[0].header) {
			t.Errorf("hint %d is told from the first: %+v, %+v", i, got, seen[0])
		}
	}
	if a, b := w.portal.begun[3].Hint, w.portal.begun[4].Hint; a != "" || b != "" {
		t.Errorf("a hint that is no name is kept: %q, %q", a, b)
	}
	// However it ends without anything changed, the app hears the same.
	var heard []string
	for name, end := range map[string]func(b *browser, try string) answer{
		"cancelled before a try": func(b *browser, _ string) answer { b.cookies = b.holding(); return b.post(PathCancel, nil) },
		"cancelled in a try":     func(b *browser, _ string) answer { return b.post(PathCancel, nil) },
		"the try ended": func(b *browser, try string) answer {
			w.portal.becomes(try, client.Outcome{Over: true})
			return b.post(PathReturn, nil)
		},
		"the try of somebody known ended": func(b *browser, try string) answer {
			w.portal.becomes(try, client.Outcome{Over: true, Person: w.ada.ID, Epoch: 1, Txn: try})
			return b.post(PathReturn, nil)
		},
		"the try is another browser's": func(b *browser, _ string) answer { delete(b.cookies, "__Host-try"); return b.post(PathReturn, nil) },
	} {
		b, try := w.hr.sent()
		got := end(b, try)
		if q := got.query(t, cb); q.Get("error") != "access_denied" {
			t.Errorf("%s: %v", name, q)
		}
		heard = append(heard, got.to)
	}
	slices.Sort(heard)
	if n := len(slices.Compact(heard)); n != 1 {
		t.Errorf("the app hears %d things: %q", n, heard)
	}
	// Events of it name nobody.
	for _, e := range w.events(w.ada.ID) {
		t.Errorf("of the person it is told: %s", e)
	}
}

// holding are the cookies of a browser that never tried.
func (b *browser) holding() map[string]string {
	return map[string]string{"__Host-handoff": b.cookies["__Host-handoff"]}
}

func TestB09NoPageOfAHandoffCanBeFramed(t *testing.T) {
	w := newWorld(t)
	b, try := w.hr.sent()
	pages := map[string]answer{"the start": b.authorize(w.hr.request()), "a page": b.get("/reset"), "a broken request": b.authorize(url.Values{}), "an end": w.browser().post(PathReturn, nil)}
	w.portal.becomes(try, w.done(w.ada, try))
	pages["the way back"] = b.post(PathReturn, nil)
	for name, got := range pages {
		if h := got.header; !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, h)
		}
	}
}

func TestB10WhatWasPostedHereIsNeverPostedOn(t *testing.T) {
	w := newWorld(t)
	crossSite := func(b *browser, path string, form url.Values) answer {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://hr.example")
		return b.do(r)
	}
	b := w.browser()
	if got := crossSite(b, PathAuthorize, w.hr.request()); got.code != http.StatusSeeOther || got.to != "/reset" {
		t.Errorf("authorize by a form of the app: %d to %q, want 303", got.code, got.to)
	}
	if got := crossSite(w.browser(), PathAuthorize, w.hr.request("prompt", "none")); got.code != http.StatusSeeOther {
		t.Errorf("its error: %d, want 303", got.code)
	}
	try := b.tries()
	// Nobody else's page ends it.
	for _, path := range []string{PathReturn, PathCancel} {
		if got := crossSite(b, path, nil); got.code != http.StatusForbidden || got.to != "" {
			t.Errorf("%s by a form of another site: %d to %q", path, got.code, got.to)
		}
		if got := b.get(path); got.code != http.StatusMethodNotAllowed {
			t.Errorf("%s by a link: %d", path, got.code)
		}
	}
	w.portal.becomes(try, w.done(w.ada, try))
	if got := b.post(PathReturn, nil); got.code != http.StatusSeeOther {
		t.Errorf("back: %d, want 303", got.code)
	}
	if got := b.post(PathAuthorize+"?x=1", w.hr.request()); got.code != http.StatusBadRequest {
		t.Errorf("a form and a query: %d", got.code)
	}
	r := httptest.NewRequest(http.MethodPost, PathAuthorize, strings.NewReader(`{"client_id":"hr"}`))
	r.Header.Set("Content-Type", "application/json")
	stays(t, "no form", b.do(r), http.StatusBadRequest)
}

func TestB11EveryAnswerSaysWhoGivesIt(t *testing.T) {
	w := newWorld(t)
	answers := map[string]answer{}
	for name, s := range spoiled() {
		answers[name] = w.browser().authorize(w.hr.request(s.change...))
	}
	b, try := w.hr.sent()
	w.portal.becomes(try, w.done(w.ada, try))
	answers["a code"] = b.post(PathReturn, nil)
	b, _ = w.hr.sent()
	answers["cancelled"] = b.post(PathCancel, nil)
	b, try = w.hr.sent()
	w.portal.becomes(try, client.Outcome{Over: true, Down: true})
	answers["nothing answers"] = b.post(PathReturn, nil)
	b, _ = w.hr.sent()
	w.hr.change(func(a *client.App) { a.Disabled = true })
	answers["disabled"] = b.post(PathCancel, nil)
	for name, got := range answers {
		if q := got.query(t, cb); len(q["iss"]) != 1 || q.Get("iss") != base || len(q["state"]) > 1 || len(q["code"])+len(q["error"]) != 1 {
			t.Errorf("%s: %v", name, q)
		}
	}
	if q := answers["nothing answers"].query(t, cb); q.Get("error") != "temporarily_unavailable" {
		t.Errorf("nothing answers: %v", q)
	}
}

func TestB12AnAnswerIsAQueryAndNothingElse(t *testing.T) {
	w := newWorld(t)
	for _, mode := range []string{"fragment", "form_post", "web_message", "query.jwt", "jwt", "QUERY", "query fragment"} {
		got := w.browser().authorize(w.hr.request("response_mode", mode))
		if q := got.query(t, cb); q.Get("error") != "invalid_request" || strings.Contains(got.to, "#") {
			t.Errorf("%s: %s", mode, got.to)
		}
	}
	if got := w.browser().authorize(w.hr.request("response_mode", "query")); got.to != "/reset" {
		t.Errorf("query: %d to %q", got.code, got.to)
	}
}

func TestB13AParameterThatComesTwiceIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, name := range known {
		for _, values := range [][]string{{"x", "y"}, {"", ""}} {
			p := w.hr.request()
			if had := p.Get(name); had != "" {
				values = []string{had, had}
			}
			p[name] = values
			b := w.browser()
			got := b.authorize(p)
			switch name {
			case "client_id", "redirect_uri":
				stays(t, name, got, http.StatusBadRequest)
			case "request", "request_uri":
				if q := got.query(t, cb); q.Get("error") != name+"_not_supported" {
					t.Errorf("%s: %v", name, q)
				}
			default:
				if q := got.query(t, cb); q.Get("error") != "invalid_request" || name == "state" && q.Has("state") {
					t.Errorf("%s: %v", name, q)
				}
			}
			if got := w.hr.post(PathPush, p); got.code == http.StatusCreated {
				t.Errorf("%s: pushed", name)
			}
		}
	}
	for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"} {
		code := w.hr.code()
		p := w.hr.redemption(code)
		p[name] = append(p[name], p.Get(name), p.Get(name))
		if got := w.hr.post(PathToken, p); got.code != http.StatusBadRequest || w.errorOf(got) != "invalid_request" {
			t.Errorf("token, %s: %d %s", name, got.code, got.body)
		}
	}
	// What means nothing here may come as often as it likes.
	p := w.hr.request()
	p["resource"] = []string{"a", "b"}
	if got := w.browser().authorize(p); got.to != "/reset" {
		t.Errorf("another parameter: %d to %q", got.code, got.to)
	}
}

func TestB14NothingIsFetchedThatARequestNames(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var calls atomic.Int64
	go http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) })) //nolint:errcheck // ends with the listener
	here := "http://" + l.Addr().String() + "/r"
	if resp, err := http.Get(here); err != nil || calls.Load() != 1 {
		t.Fatalf("the trap does not work: %v", err)
	} else {
		resp.Body.Close()
	}
	for _, change := range [][]string{{"request_uri", here}, {"request", here}, {"request_uri", here, "request", here}, {"registration", `{"jwks_uri":"` + here + `"}`}, {"claims", here}} {
		got := w.browser().authorize(w.hr.request(change...))
		if strings.HasPrefix(change[0], "request") {
			if q := got.query(t, cb); !strings.HasSuffix(q.Get("error"), "_not_supported") {
				t.Errorf("%v: %v", change, q)
			}
		}
		w.hr.post(PathPush, w.hr.request(change...))
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("%d requests went out", n-1)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(w.call(w.site, http.MethodGet, PathDiscovery, nil).body), &m); err != nil || m["request_uri_parameter_supported"] != false || m["request_parameter_supported"] != false {
		t.Errorf("the metadata says otherwise: %v %v", err, m)
	}
}

func TestB15AnAnswerCannotPassForASignIn(t *testing.T) {
	w := newWorld(t)
	out := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code())))
	claims := w.claims(out.IDToken)
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"acr", "aud", "exp", "iat", "iss", "jti", "nonce", "sub", "urn:regain:claim:result"}; !slices.Equal(names, want) {
		t.Errorf("it says %v, want %v: no amr, no auth_time, no name, no address", names, want)
	}
	now := float64(w.clock.now().Unix())
	if claims["iss"] != base || claims["aud"] != "hr" || claims["acr"] != "urn:regain:acr:recovery" || claims["nonce"] != "n-1" || claims["iat"] != now || claims["exp"] != now+300 {
		t.Errorf("claims %v", claims)
	}
	result := claims["urn:regain:claim:result"].(map[string]any)
	if result["action"] != "reset" || result["status"] != "done" || result["time"] != now || result["sign_in"] != signIn || result["txn"] == "" || fmt.Sprint(result["proofs"]) != "[mail phone]" || len(result) != 6 {
		t.Errorf("result %v", result)
	}
	if got := w.userinfo(out.AccessToken); strings.TrimSpace(got.body) != `{"sub":"`+claims["sub"].(string)+`"}` {
		t.Errorf("userinfo tells %s", got.body)
	}
	if strings.Contains(fmt.Sprint(claims), w.ada.ID) || strings.Contains(fmt.Sprint(claims), "ada") {
		t.Errorf("it names the person: %v", claims)
	}
	if strings.Contains(out.Scope, "offline") || strings.Contains(w.hr.post(PathToken, w.hr.redemption(w.hr.code())).body, "refresh") {
		t.Error("there is a refresh token")
	}
	// Another app gets another name for the person, and takes none of this one's.
	crm := w.app("crm", nil)
	if other := w.claims(w.tokensOf(crm.post(PathToken, crm.redemption(crm.code()))).IDToken); other["sub"] == claims["sub"] || other["aud"] != "crm" {
		t.Errorf("two apps can compare: %v", other)
	}
	open := w.app("open", func(a *client.App) { a.Subject = client.Public })
	if public := w.claims(w.tokensOf(open.post(PathToken, open.redemption(open.code()))).IDToken); public["sub"] != w.ada.ID {
		t.Errorf("public: %v", public)
	}
}

// claims verifies an ID token by the published keys, and reads it.
func (w *world) claims(token string) map[string]any {
	w.t.Helper()
	set, err := jwk.ParseString(w.call(w.site, http.MethodGet, PathKeys, nil).body)
	if err != nil {
		w.t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(token), jws.WithKeySet(set))
	if err != nil {
		w.t.Fatalf("no published key signed it: %v", err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestB16AClientDisabledMidFlowStopsAtOnce(t *testing.T) {
	for name, take := range map[string]func(*client.App){
		"disabled":               func(a *client.App) { a.Disabled = true },
		"the action taken away":  func(a *client.App) { a.Actions = []client.Action{client.ActionUnlock} },
		"the address taken away": func(a *client.App) { a.Redirects = []string{"https://hr.example/other"} },
	} {
		w := newWorld(t)
		b, try := w.hr.sent()
		w.portal.becomes(try, w.done(w.ada, try))
		pushed := w.hr.push(w.hr.request())
		code := w.hr.code()
		spent := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).AccessToken
		w.hr.change(take)
		back, opened := b.post(PathReturn, nil), w.browser().authorize(url.Values{"client_id": {"hr"}, "request_uri": {pushed}})
		if name == "the address taken away" {
			stays(t, name, back, http.StatusGone)
			stays(t, name, opened, http.StatusGone)
			stays(t, name, w.browser().authorize(w.hr.request()), http.StatusBadRequest)
			continue
		}
		for what, got := range map[string]answer{"back": back, "a pushed request": opened} {
			if q := got.query(t, cb); q.Get("error") != "unauthorized_client" || q.Get("state") != state || q.Has("code") {
				t.Errorf("%s, %s: %v", name, what, q)
			}
		}
		if !w.happened("", "handoff.ended app") {
			t.Errorf("%s: nobody was told: %v", name, w.events(""))
		}
		if name != "disabled" {
			continue
		}
		if q := w.browser().authorize(w.hr.request()).query(t, cb); q.Get("error") != "unauthorized_client" {
			t.Errorf("%s, a new one: %v", name, q)
		}
		for what, got := range map[string]answer{"the code": w.hr.post(PathToken, w.hr.redemption(code)), "a push": w.hr.post(PathPush, w.hr.request())} {
			if w.errorOf(got) != "unauthorized_client" {
				t.Errorf("%s, %s: %d %s", name, what, got.code, got.body)
			}
		}
		if got := w.userinfo(spent); got.code != http.StatusUnauthorized {
			t.Errorf("%s: the access token still opens: %d", name, got.code)
		}
		if got := w.browser().authorize(url.Values{"client_id": {"hr"}, "request_uri": {pushed}}); got.code != http.StatusGone || strings.Contains(got.body, "hr.example") {
			t.Errorf("%s: a page leads there: %d %s", name, got.code, got.body)
		}
		w.hr.change(func(a *client.App) { a.Disabled = false })
		if got := w.hr.post(PathToken, w.hr.redemption(code)); w.errorOf(got) != "invalid_grant" {
			t.Errorf("%s, and enabled again: the code is not burnt: %s", name, got.body)
		}
	}
}

func TestB16APersonWhoMovedOnTakesTheCodeAlong(t *testing.T) {
	w := newWorld(t)
	code := w.hr.code()
	access := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).AccessToken
	w.moves(w.ada)
	if got := w.hr.post(PathToken, w.hr.redemption(code)); w.errorOf(got) != "invalid_grant" {
		t.Errorf("the code outlives the epoch: %d %s", got.code, got.body)
	}
	if got := w.userinfo(access); got.code != http.StatusUnauthorized {
		t.Errorf("the access token outlives the epoch: %d", got.code)
	}
}

func TestB17AFloodOfRequestsIsHeldBackWhereItComesFrom(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.config = func(c *Config) { c.Rates = Rates{OpensPerOrigin: 5, OpensPerApp: 12, PushesPerApp: 3} }
	})
	flood := func(from string) (through int) {
		for range 10 {
			b := w.browser()
			b.from = from
			switch got := b.authorize(w.hr.request()); got.code {
			case http.StatusSeeOther:
				through++
			case http.StatusTooManyRequests:
				if got.header.Get("Retry-After") == "" || got.to != "" {
					t.Errorf("held back: %v to %q", got.header, got.to)
				}
			default:
				t.Errorf("flood: %d", got.code)
			}
		}
		return through
	}
	if n := flood("203.0.113.50"); n != 5 {
		t.Errorf("%d of ten from one address, want 5", n)
	}
	if n := flood("203.0.114.50"); n != 5 {
		t.Errorf("%d of ten from another address, want 5", n)
	}
	if n := flood("2001:db8::1"); n != 2 { // twelve of one app
		t.Errorf("%d of ten from a third, want the 2 that the app has left", n)
	}
	// What the app pushes itself is not held back by strangers.
	b := w.browser()
	b.from = "192.0.2.99"
	if got := b.authorize(url.Values{"client_id": {"hr"}, "request_uri": {w.hr.push(w.hr.request())}}); got.to != "/reset" {
		t.Errorf("pushed: %d to %q", got.code, got.to)
	}
	w.hr.push(w.hr.request())
	w.hr.push(w.hr.request())
	if got := w.hr.post(PathPush, w.hr.request()); got.code != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("the fourth push: %d", got.code)
	}
	// It passes with the time that one nobody began lives.
	w.clock.pass(client.OpenLife)
	if n := flood("203.0.113.50"); n != 5 {
		t.Errorf("%d of ten later, want 5", n)
	}
}

func TestB17AFloodFromManyAddressesOfOneNetworkIsHeldBackLater(t *testing.T) {
	w := newWorld(t, func(o *options) { o.config = func(c *Config) { c.Rates = Rates{OpensPerOrigin: 5} } })
	through := 0
	for i := range 40 {
		b := w.browser()
		b.from = fmt.Sprintf("203.0.113.%d", i/4)
		if got := b.authorize(w.hr.request()); got.code == http.StatusSeeOther {
			through++
		}
	}
	if through != 20 {
		t.Errorf("%d of forty from ten addresses of one network, want 20", through)
	}
}

func TestB18KeysMayBeRotatedWhileCodesAreOpen(t *testing.T) {
	w := newWorld(t)
	before := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).IDToken
	published := w.keys()
	code := w.hr.code()
	for range 2 {
		if _, err := w.store.RotateSigning(t.Context(), keyring.ForIDTokens, keyring.ES256, w.clock.now(), "cli:test"); err != nil {
			t.Fatal(err)
		}
	}
	after := w.tokensOf(w.hr.post(PathToken, w.hr.redemption(code))).IDToken
	kid := func(token string) string {
		m, err := jws.Parse([]byte(token))
		if err != nil {
			t.Fatal(err)
		}
		kid, _ := m.Signatures()[0].ProtectedHeaders().KeyID()
		return kid
	}
	if kid(before) == kid(after) {
		t.Error("the key did not change")
	}
	if len(published) != 2 || len(w.keys()) != 4 { // current and next; and two retired
		t.Errorf("published %v, then %v", published, w.keys())
	}
	w.claims(before) // is still to be checked
	w.claims(after)
	// A key is known before it signs.
	next := w.keys()
	if _, err := w.store.RotateSigning(t.Context(), keyring.ForIDTokens, keyring.ES256, w.clock.now(), "cli:test"); err != nil {
		t.Fatal(err)
	}
	if got := kid(w.tokensOf(w.hr.post(PathToken, w.hr.redemption(w.hr.code()))).IDToken); !slices.Contains(next, got) {
		t.Errorf("%s signs and was not published before: %v", got, next)
	}
}

// keys are the ids of what is published.
func (w *world) keys() (ids []string) {
	w.t.Helper()
	got := w.call(w.site, http.MethodGet, PathKeys, nil)
	if got.code != http.StatusOK || !strings.HasPrefix(got.header.Get("Cache-Control"), "public, max-age=") || strings.Contains(got.body, `"d"`) {
		w.t.Errorf("keys: %d %v %s", got.code, got.header, got.body)
	}
	set, err := jwk.ParseString(got.body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range set.Len() {
		k, _ := set.Key(i)
		id, _ := k.KeyID()
		ids = append(ids, id)
	}
	return ids
}

func TestB19ANameOfAnAppIsText(t *testing.T) {
	const name = `<img src=x onerror=alert(1)>"&{{.}}`
	w := newWorld(t, func(o *options) { o.hr = func(a *client.App) { a.Name = name } })
	b, _ := w.hr.sent()
	w.clock.pass(client.HandoffLife)
	got := b.post(PathReturn, nil)
	if got.code != http.StatusGone || strings.Contains(got.body, "<img src=x") || !strings.Contains(got.body, "&lt;img src=x onerror=alert(1)&gt;") {
		t.Errorf("%d %s", got.code, got.body)
	}
}

func TestB20ALinkFollowedElsewhereBringsNothingBackElsewhere(t *testing.T) {
	w := newWorld(t)
	// The attacker begins and gives the name of the victim; the victim proves on a device of their own, where a code or link
	// was read: another browser, another try, no handoff.
	attacker, try := w.hr.sent("login_hint", "ada@alder.example")
	victim := w.browser()
	own := victim.tries()
	w.portal.becomes(own, w.done(w.ada, own))
	stays(t, "the victim", victim.post(PathReturn, nil), http.StatusGone)
	got := attacker.post(PathReturn, nil)
	if got.to != "/reset" { // their own try stands where it stood
		t.Errorf("the attacker: %d to %q", got.code, got.to)
	}
	// Not even what became of the attacker's very try is told, if another browser holds it.
	w.portal.becomes(try, w.done(w.ada, try))
	delete(attacker.cookies, "__Host-try")
	if q := attacker.post(PathReturn, nil).query(t, cb); q.Has("code") {
		t.Errorf("the attacker is answered %v", q)
	}
}

// moves lets a person's epoch move, as a reset does.
func (w *world) moves(p *account.Person) {
	w.t.Helper()
	_, err := w.store.UpdatePerson(w.t.Context(), p.ID, p.Connector, func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Epoch++; return nil, nil })
	if err != nil {
		w.t.Fatal(err)
	}
}
