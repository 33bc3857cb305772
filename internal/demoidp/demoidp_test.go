package demoidp

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/browser"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

const (
	callback = "http://localhost:1/signin/demo/callback"
	bye      = "http://localhost:1/signed-out"
)

// visit is one person's browser, the provider, and the application that sends the person there.
type visit struct {
	t      *testing.T
	issuer string
	http   *http.Client
	app    oauth2.Config
	op     *oidc.Provider
	ahead  *atomic.Int64 // how far the provider's clock is ahead

	verifier, state, nonce string
}

func start(t *testing.T) *visit {
	t.Helper()
	v := &visit{t: t, ahead: &atomic.Int64{}}
	var p *Provider
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	v.issuer = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	passwords := map[string]string{"ada@works.example": "a first password", "ben@works.example": "another password"}
	p, err := New(Config{
		Issuer: v.issuer, ClientID: "portal", ClientSecret: "a secret/with+signs", RedirectURIs: []string{callback}, PostLogout: []string{bye}, Guide: v.issuer + "/guide",
		People: []Person{
			{Login: "ada@works.example", Sub: "s1", Oid: "o1", Name: "Ada Amari", Email: "ada@works.example", Code: "246810", Device: true, Groups: []string{"staff"}, Roles: []string{"helpdesk"}},
			{Login: "ben@works.example", Sub: "s2", Name: "Ben"},
		},
		AcceptPassword: func(login, password string) bool { return password != "" && passwords[login] == password },
		Now:            func() time.Time { return time.Now().Add(time.Duration(v.ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	v.newBrowser()
	if v.op, err = oidc.NewProvider(t.Context(), v.issuer); err != nil {
		t.Fatal(err)
	}
	v.app = oauth2.Config{ClientID: "portal", ClientSecret: "a secret/with+signs", Endpoint: v.op.Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "profile", "email"}}
	v.app.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return v
}

// newBrowser sits down at another one, without cookies.
func (v *visit) newBrowser() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.http = &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(q *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(q.URL.String(), v.issuer) {
			return http.ErrUseLastResponse // back at the application
		}
		return nil
	}}
}

// place is where the browser has come to.
type place struct {
	url    *url.URL
	status int
	text   string
	header http.Header
}

func (v *visit) arrive(res *http.Response, err error) place {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	p := place{url: res.Request.URL, status: res.StatusCode, text: string(body), header: res.Header}
	if to, err := res.Location(); err == nil {
		p.url = to
	}
	return p
}

// address is a request of the application, with what it has beside the usual; name= without a value leaves one out.
func (v *visit) address(extra ...string) string {
	v.verifier, v.state, v.nonce = oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	u, err := url.Parse(v.app.AuthCodeURL(v.state, oauth2.S256ChallengeOption(v.verifier), oidc.Nonce(v.nonce)))
	if err != nil {
		v.t.Fatal(err)
	}
	q := u.Query()
	for _, e := range extra {
		if name, value, _ := strings.Cut(e, "="); value == "" {
			q.Del(name)
		} else {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (v *visit) ask(extra ...string) place {
	v.t.Helper()
	return v.arrive(v.http.Get(v.address(extra...)))
}

func (v *visit) send(p place, step string, fields ...string) place {
	v.t.Helper()
	form := url.Values{"step": {step}}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		form.Set(name, value)
	}
	return v.arrive(v.http.PostForm(p.url.String(), form))
}

// ada signs in with her password.
func (v *visit) ada(extra ...string) place {
	v.t.Helper()
	return v.send(v.ask(extra...), "password", "login=Ada@works.example ", "password=a first password")
}

// answered returns a parameter of the answer the application got, with its state and the issuer.
func (v *visit) answered(p place, name string) string {
	v.t.Helper()
	q := p.url.Query()
	if !strings.HasPrefix(p.url.String(), callback+"?") || q.Get("state") != v.state || q.Get("iss") != v.issuer {
		v.t.Fatalf("got %d at %s, want the application with state and iss: %s", p.status, p.url, p.text)
	}
	return q.Get(name)
}

// claims redeems the code at a journey's end.
func (v *visit) claims(p place) map[string]any {
	v.t.Helper()
	token, err := v.app.Exchange(context.Background(), v.answered(p, "code"), oauth2.VerifierOption(v.verifier))
	if err != nil {
		v.t.Fatalf("at %s: %v", p.url, err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := v.op.Verifier(&oidc.Config{ClientID: "portal", Now: func() time.Time { return time.Now().Add(time.Duration(v.ahead.Load())) }}).Verify(v.t.Context(), raw)
	if err != nil {
		v.t.Fatal(err)
	}
	if id.Nonce != v.nonce {
		v.t.Fatalf("got nonce %q, want %q", id.Nonce, v.nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		v.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		v.t.Fatal(err)
	}
	claims["id_token"] = raw
	return claims
}

func TestAPersonSignsInAndTheTokenSaysWhoAndHow(t *testing.T) {
	v := start(t)
	p := v.send(v.ask(), "password", "login=ada@works.example", "password=not it")
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text, "User name or password is wrong.") {
		t.Fatalf("a wrong password: got %d %s", p.status, p.text)
	}
	got := v.claims(v.ada())
	for name, want := range map[string]string{"sub": "s1", "oid": "o1", "preferred_username": "ada@works.example", "name": "Ada Amari", "email": "ada@works.example", "acr": Password} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %s", name, got[name], want)
		}
	}
	if !slices.Equal(got["roles"].([]any), []any{"helpdesk"}) || !slices.Equal(got["groups"].([]any), []any{"staff"}) || !slices.Equal(got["amr"].([]any), []any{"pwd"}) {
		t.Errorf("got roles %v, groups %v, amr %v", got["roles"], got["groups"], got["amr"])
	}
	if age := time.Since(time.Unix(int64(got["auth_time"].(float64)), 0)); age.Abs() > 10*time.Second {
		t.Errorf("auth_time is off by %s", age)
	}
	if again := v.claims(v.ask()); again["sid"] != got["sid"] || again["auth_time"] != got["auth_time"] {
		t.Errorf("the session goes on: got sid %v of %v, want %v of %v", again["sid"], again["auth_time"], got["sid"], got["auth_time"])
	}
	if bare := v.claims(v.ask("scope=openid")); bare["email"] != nil || bare["name"] != nil {
		t.Errorf("without the scopes: got email %v, name %v", bare["email"], bare["name"])
	}
}

func TestTheSecondFactorIsAskedForWhenItIsWished(t *testing.T) {
	v := start(t)
	before := v.claims(v.ada())
	wish := "acr_values=" + SecondFactor + " " + Passwordless
	p := v.ask(wish)
	if !strings.Contains(p.text, `id="code"`) || strings.Contains(p.text, `id="password"`) {
		t.Fatalf("want the code asked for and no password: %s", p.text)
	}
	if p = v.send(p, "code", "code=000000"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text, "That code is wrong.") {
		t.Fatalf("a wrong code: got %d %s", p.status, p.text)
	}
	got := v.claims(v.send(p, "code", "code=246810"))
	if got["acr"] != SecondFactor || !slices.Equal(got["amr"].([]any), []any{"pwd", "otp", "mfa"}) || got["sid"] != before["sid"] {
		t.Errorf("got acr %v amr %v sid %v, want the sid %v", got["acr"], got["amr"], got["sid"], before["sid"])
	}
	if p := v.ask(wish); v.answered(p, "code") == "" {
		t.Errorf("the session has what is wished: got %s", p.url)
	}
}

func TestWhoHasNoSecondFactorGoesOnWithWhatTheyHave(t *testing.T) {
	v := start(t)
	p := v.send(v.ask("acr_values="+SecondFactor), "password", "login=ben@works.example", "password=another password")
	if got := v.send(p, "code", "code="); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("an empty code for somebody without one: got %d at %s", got.status, got.url)
	}
	first := v.claims(v.send(p, "less"))
	if first["acr"] != Password {
		t.Errorf("got acr %v", first["acr"])
	}
	v.ahead.Store(int64(time.Minute))
	if again := v.claims(v.send(v.ask("acr_values="+SecondFactor), "less")); again["auth_time"] != first["auth_time"] {
		t.Errorf("nothing was shown anew: got auth_time %v, want %v", again["auth_time"], first["auth_time"])
	}
}

func TestADeviceSignsInWithoutAPassword(t *testing.T) {
	v := start(t)
	p := v.ask("acr_values="+Passwordless, "max_age=0")
	if strings.Index(p.text, `id="device"`) > strings.Index(p.text, `id="password"`) {
		t.Error("want the device first where a password would not do")
	}
	if no := v.send(p, "device", "login=ben@works.example"); no.status != http.StatusUnprocessableEntity || !strings.Contains(no.text, "does not know") {
		t.Fatalf("ben has no device: got %d %s", no.status, no.text)
	}
	if got := v.claims(v.send(p, "device", "login=ada@works.example")); got["acr"] != Passwordless || slices.Contains(got["amr"].([]any), any("pwd")) {
		t.Errorf("got acr %v amr %v", got["acr"], got["amr"])
	}
}

func TestAnOldSignInIsAskedForAgain(t *testing.T) {
	v := start(t)
	first := v.claims(v.ada())
	for _, enough := range []string{"max_age=300", "acr_values=" + Password, "prompt=none"} {
		if p := v.ask(enough); v.answered(p, "code") == "" {
			t.Errorf("%s: got %s, want a code at once", enough, p.url)
		}
	}
	if p := v.ask("max_age=0"); !strings.Contains(p.text, `id="password"`) {
		t.Errorf("max_age=0 asks whoever has just signed in too: got %s", p.url)
	}
	v.ahead.Store(int64(10 * time.Minute))
	for _, old := range []string{"max_age=300", "max_age=0", "prompt=login", "prompt=select_account"} {
		if p := v.ask(old); !strings.Contains(p.text, `id="password"`) || !strings.Contains(p.text, `value="ada@works.example"`) {
			t.Errorf("%s: want the password of ada asked for: %s", old, p.text)
		}
	}
	if got := v.answered(v.ask("prompt=none", "max_age=300"), "error"); got != "login_required" {
		t.Errorf("got %q", got)
	}
	if got := v.claims(v.ada("max_age=300")); got["auth_time"].(float64) < first["auth_time"].(float64)+600 || got["sid"] != first["sid"] {
		t.Errorf("got auth_time %v after %v, sid %v after %v", got["auth_time"], first["auth_time"], got["sid"], first["sid"])
	}
	// Somebody else is another session.
	if got := v.claims(v.send(v.ask("prompt=login"), "password", "login=ben@works.example", "password=another password")); got["sub"] != "s2" || got["sid"] == first["sid"] {
		t.Errorf("got sub %v sid %v", got["sub"], got["sid"])
	}
}

func TestARequestThatIsWrongIsRefused(t *testing.T) {
	v := start(t)
	for extra, want := range map[string]string{
		"code_challenge=": "invalid_request", "code_challenge_method=plain": "invalid_request", "code_challenge=short": "invalid_request", "response_type=token": "unsupported_response_type",
		"response_mode=form_post": "invalid_request", "scope=profile": "invalid_scope", "max_age=-1": "invalid_request", "max_age=soon": "invalid_request", "prompt=none login": "invalid_request",
		"prompt=none": "login_required", "request=x": "request_not_supported", "request_uri=x": "request_uri_not_supported",
	} {
		if got := v.answered(v.ask(extra), "error"); got != want {
			t.Errorf("%s: got %q, want %q", extra, got, want)
		}
	}
	if p := v.arrive(v.http.Get(v.address() + "&nonce=twice")); v.answered(p, "error") != "invalid_request" {
		t.Errorf("a repeated parameter: got %s", p.url)
	}
	v.claims(v.ada())
	if got := v.answered(v.ask("prompt=none", "acr_values="+SecondFactor), "error"); got != "interaction_required" {
		t.Errorf("got %q", got)
	}
	if got := v.answered(v.send(v.ask("prompt=login"), "cancel"), "error"); got != "access_denied" {
		t.Errorf("cancelled: got %q", got)
	}
}

func TestNobodyIsSentToAnAddressThatIsNotRegistered(t *testing.T) {
	v := start(t)
	for _, extra := range []string{"redirect_uri=" + callback + "/", "redirect_uri=" + callback + "?x=1", "redirect_uri=http://LOCALHOST:1/signin/demo/callback",
		"redirect_uri=http://localhost:1@evil.example/signin/demo/callback", "redirect_uri=", "client_id=other", "client_id="} {
		if p := v.ask(extra); p.status != http.StatusBadRequest || p.header.Get("Location") != "" {
			t.Errorf("%s: got %d to %q, want a page", extra, p.status, p.header.Get("Location"))
		}
	}
	if p := v.arrive(v.http.Get(v.issuer + "/sign-out?client_id=portal&post_logout_redirect_uri=https://evil.example/")); p.status != http.StatusBadRequest {
		t.Errorf("sign-out: got %d at %s", p.status, p.url)
	}
	if p := v.arrive(v.http.PostForm(v.issuer+"/sign-out", url.Values{"to": {"https://evil.example/"}})); p.status != http.StatusBadRequest {
		t.Errorf("sign-out by form: got %d at %s", p.status, p.url)
	}
}

func TestACodeIsSpentByTheFirstWhoShowsIt(t *testing.T) {
	v := start(t)
	redeem := func(code, verifier string, change ...func(*oauth2.Config)) error {
		app := v.app
		for _, c := range change {
			c(&app)
		}
		_, err := app.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
		return err
	}
	v.claims(v.ada())
	code := v.answered(v.ask(), "code")
	if err := redeem(code, v.verifier); err != nil {
		t.Fatal(err)
	}
	if redeem(code, v.verifier) == nil {
		t.Error("a code was taken twice")
	}
	for name, change := range map[string]func(*oauth2.Config){
		"another address": func(c *oauth2.Config) { c.RedirectURL += "/" }, "no verifier": func(*oauth2.Config) { v.verifier = "" }, "another verifier": func(*oauth2.Config) { v.verifier = oauth2.GenerateVerifier() },
	} {
		code, right := v.answered(v.ask(), "code"), v.verifier
		app := v.app
		change(&app)
		if redeem(code, v.verifier, func(c *oauth2.Config) { *c = app }) == nil || redeem(code, right) == nil {
			t.Errorf("%s: want the code refused, and spent", name)
		}
	}
	code = v.answered(v.ask(), "code")
	for name, change := range map[string]func(*oauth2.Config){
		"another secret": func(c *oauth2.Config) { c.ClientSecret = "wrong" }, "another client": func(c *oauth2.Config) { c.ClientID = "other" },
	} {
		if redeem(code, v.verifier, change) == nil {
			t.Errorf("%s: want it refused", name)
		}
	}
	if err := redeem(code, v.verifier, func(c *oauth2.Config) { c.Endpoint.AuthStyle = oauth2.AuthStyleInParams }); err != nil {
		t.Errorf("whoever has no secret does not spend a code: %v", err)
	}
	code = v.answered(v.ask(), "code")
	v.ahead.Store(int64(2 * time.Minute))
	if redeem(code, v.verifier) == nil {
		t.Error("a code of two minutes ago was taken")
	}
}

func TestARequestOpensOnlyInItsOwnBrowserAndOnce(t *testing.T) {
	v := start(t)
	p := v.ask()
	first := v.http
	v.newBrowser()
	if got := v.send(p, "password", "login=ada@works.example", "password=a first password"); got.status != http.StatusNotFound {
		t.Fatalf("from another browser: got %d at %s", got.status, got.url)
	}
	v.http = first
	if v.answered(v.send(p, "password", "login=ada@works.example", "password=a first password"), "code") == "" {
		t.Fatal("want a code")
	}
	if got := v.send(p, "password", "login=ada@works.example", "password=a first password"); got.status != http.StatusNotFound {
		t.Errorf("a second time: got %d at %s", got.status, got.url)
	}
	cross, err := http.NewRequest(http.MethodPost, v.ask("prompt=login").url.String(), strings.NewReader("step=cancel"))
	if err != nil {
		t.Fatal(err)
	}
	cross.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	cross.Header.Set("Sec-Fetch-Site", "same-site")
	if got := v.arrive(v.http.Do(cross)); got.status != http.StatusForbidden {
		t.Errorf("posted from another origin: got %d", got.status)
	}
}

func TestGuessingEnds(t *testing.T) {
	v := start(t)
	p := v.ask()
	for range maxTries {
		if got := v.send(p, "password", "login=ada@works.example", "password=guess"); got.status != http.StatusUnprocessableEntity {
			t.Fatalf("got %d at %s", got.status, got.url)
		}
	}
	if got := v.answered(v.send(p, "password", "login=ada@works.example", "password=a first password"), "error"); got != "access_denied" {
		t.Errorf("got %q", got)
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	v := start(t)
	in := v.claims(v.ada())
	asked := v.arrive(v.http.Get(v.issuer + "/sign-out?client_id=portal&state=back&post_logout_redirect_uri=" + url.QueryEscape(bye)))
	if !strings.Contains(asked.text, `id="stay"`) {
		t.Fatalf("without a token: want a question, got %d at %s", asked.status, asked.url)
	}
	if v.send(asked, "stay"); v.answered(v.ask(), "code") == "" {
		t.Fatal("who stays is still signed in")
	}
	v.ahead.Store(int64(time.Hour)) // the token is long over
	p := v.arrive(v.http.Get(v.issuer + "/sign-out?" + url.Values{"id_token_hint": {in["id_token"].(string)}, "post_logout_redirect_uri": {bye}, "state": {"back"}}.Encode()))
	if p.url.String() != bye+"?state=back" {
		t.Fatalf("got %d at %s", p.status, p.url)
	}
	if p := v.ask(); !strings.Contains(p.text, `id="password"`) {
		t.Errorf("want nobody signed in, got %s", p.url)
	}
	v.claims(v.ada())
	if p := v.send(asked, "out", "to="+bye, "state=back"); p.url.String() != bye+"?state=back" {
		t.Errorf("by the form: got %d at %s", p.status, p.url)
	}
	if p := v.arrive(v.http.Get(v.issuer + "/")); !strings.Contains(p.text, "You are not signed in.") {
		t.Errorf("got %s", p.text)
	}
}

func TestEveryWordIsSaidInBothLanguages(t *testing.T) {
	used := regexp.MustCompile(`\bsay "([a-z_.]+)"|"((?:first|code|home|class|sign_out|fault)\.[a-z_]+)"`)
	said := map[string]bool{}
	for _, name := range []string{"templates/pages.html", "signin.go", "signout.go", "authorize.go", "page.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllStringSubmatch(string(b), -1) {
			key := m[1] + m[2]
			said[key] = true
			if words[key] == nil {
				t.Errorf("%s: %s has no words", name, key)
			}
		}
	}
	for key, texts := range words {
		for _, lang := range languages {
			if texts[lang] == "" {
				t.Errorf("%s has no words in %s", key, lang)
			}
		}
		if !said[key] {
			t.Errorf("%s is never said", key)
		}
	}
}

func TestTheLanguageIsTheOneAskedFor(t *testing.T) {
	for _, test := range []struct{ locale, accept, want string }{
		{"", "", "en"}, {"", "de-AT,de;q=0.9,en;q=0.8", "de"}, {"", "fr, en-GB", "en"}, {"de", "en", "de"}, {"fr-CA en", "de", "en"}, {"", "fr", "en"},
	} {
		if got := language(test.locale, test.accept); got != test.want {
			t.Errorf("%q, %q: got %s, want %s", test.locale, test.accept, got, test.want)
		}
	}
}

func TestTheOldestIsForgottenFirst(t *testing.T) {
	now := time.Now()
	s := shelf[int]{life: time.Minute}
	for i := range shelfSize + 1 {
		s.put(strings.Repeat("x", i+1), i, now.Add(time.Duration(i)))
	}
	if len(s.kept) != shelfSize || s.get("xx", now) != 1 || s.until["x"] != (time.Time{}) {
		t.Errorf("got %d kept, the oldest until %v", len(s.kept), s.until["x"])
	}
	if got := s.get("xx", now.Add(2*time.Minute)); got != 0 {
		t.Errorf("what is over is not given out: got %d", got)
	}
}
