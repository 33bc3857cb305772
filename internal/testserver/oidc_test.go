package testserver_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/testserver"
)

// relying is a client of the provider with nothing to it, and the browser of one person.
type relying struct {
	t       *testing.T
	op      *testserver.OIDCServer
	http    *http.Client
	logouts chan string
	back    string // the redirect URI
	// The request under way.
	verifier, state, nonce string
	key                    bool // authenticates with its key
}

// aRelying starts a provider with Ada, who has everything, and Ben, who has a password only.
func aRelying(t *testing.T, change ...func(*testserver.OIDCOptions)) *relying {
	t.Helper()
	r := &relying{t: t, logouts: make(chan string, 10), back: "http://localhost:1/signin/corp/callback"}
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { r.logouts <- q.FormValue("logout_token") }))
	t.Cleanup(app.Close)
	o := testserver.OIDCOptions{
		RedirectURIs: []string{r.back}, PostLogout: []string{"http://localhost:1/signed-out"}, BackChannel: app.URL,
		Users: []testserver.OIDCUser{
			{Login: "ada", Password: "a first password", Code: "123456", Passwordless: true,
				Claims: map[string]any{"oid": "0001", "groups": []string{"staff"}, "roles": []string{"desk"}, "email": "ada@alder.example"}},
			{Login: "ben", Password: "another password"},
		},
	}
	for _, c := range change {
		c(&o)
	}
	r.op = testserver.OIDC(t, o)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// A redirect to the application is the end of a journey, not a request.
	r.http = &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(q *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(q.URL.String(), "http://localhost:1/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return r
}

// place is where the browser is: on a page of the provider, or back at the application.
type place struct {
	url    *url.URL
	status int
	text   string
	forms  map[string]url.Values
}

func (r *relying) arrive(res *http.Response, err error) place {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	p := place{url: res.Request.URL, status: res.StatusCode, forms: map[string]url.Values{}}
	if to, err := res.Location(); err == nil {
		p.url = to
		return p
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	p.text = string(raw)
	root, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		r.t.Fatal(err)
	}
	var form string
	for n := range root.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch n.Data {
		case "form":
			form = attr["id"]
			p.forms[form] = url.Values{"": {attr["action"]}}
		case "input":
			p.forms[form].Set(attr["name"], attr["value"])
		}
	}
	return p
}

// ask sends the browser to the provider with what a request has beside the usual.
func (r *relying) ask(extra ...string) place {
	r.t.Helper()
	q := r.request(extra...)
	return r.arrive(r.http.Get(r.op.Issuer + "/auth?" + q.Encode()))
}

func (r *relying) request(extra ...string) url.Values {
	r.verifier, r.state, r.nonce = rand.Text()+rand.Text(), rand.Text(), rand.Text()
	sum := sha256.Sum256([]byte(r.verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {r.op.ClientID}, "redirect_uri": {r.back}, "scope": {"openid profile email"}, "state": {r.state}, "nonce": {r.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	if r.key {
		q.Set("client_id", r.op.KeyClientID)
	}
	for _, e := range extra {
		name, value, _ := strings.Cut(e, "=")
		q.Set(name, value)
	}
	return q
}

// send fills one form of a page and sends it.
func (r *relying) send(p place, form string, fields ...string) place {
	r.t.Helper()
	values, ok := p.forms[form]
	if !ok {
		r.t.Fatalf("no form %q on %s: %s", form, p.url, p.text)
	}
	action, err := p.url.Parse(values.Get(""))
	if err != nil {
		r.t.Fatal(err)
	}
	values.Del("")
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		values.Set(name, value)
	}
	return r.arrive(r.http.PostForm(action.String(), values))
}

// refused returns the error the application was told, with state and iss.
func (r *relying) refused(p place) string {
	r.t.Helper()
	q := p.url.Query()
	if q.Get("state") != r.state || q.Get("iss") != r.op.Issuer {
		r.t.Fatalf("got %s, want the state and iss %s", p.url, r.op.Issuer)
	}
	return q.Get("error")
}

// claims redeems the code of a journey's end and returns the ID token's claims, its signature, issuer, audience and nonce
// checked.
func (r *relying) claims(p place) map[string]any {
	r.t.Helper()
	if e := r.refused(p); e != "" {
		r.t.Fatalf("got %s, want a code", p.url)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {p.url.Query().Get("code")}, "redirect_uri": {r.back}, "code_verifier": {r.verifier}}
	q, err := http.NewRequest(http.MethodPost, r.op.Issuer+"/token", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	client := r.op.ClientID
	if r.key {
		client = r.op.KeyClientID
		r.assert(form)
	} else {
		q.SetBasicAuth(url.QueryEscape(r.op.ClientID), url.QueryEscape(r.op.ClientSecret))
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Body = io.NopCloser(strings.NewReader(form.Encode()))
	res, err := r.http.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var tokens struct {
		IDToken string `json:"id_token"`
		Error   string
	}
	if err := json.NewDecoder(res.Body).Decode(&tokens); err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatalf("token endpoint: %d %v %s", res.StatusCode, err, tokens.Error)
	}
	claims := r.verify(tokens.IDToken, client)
	if claims["nonce"] != r.nonce {
		r.t.Fatalf("got nonce %v, want %s", claims["nonce"], r.nonce)
	}
	claims["id_token"] = tokens.IDToken
	return claims
}

// verify returns the claims of a token of the provider.
func (r *relying) verify(token, audience string) map[string]any {
	r.t.Helper()
	keys, err := jwk.Fetch(r.t.Context(), r.op.Issuer+"/jwks")
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(r.op.Issuer), jwt.WithAudience(audience)); err != nil {
		r.t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		r.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		r.t.Fatal(err)
	}
	return claims
}

// assert authenticates by private_key_jwt (RFC 7523 §3).
func (r *relying) assert(form url.Values) {
	r.t.Helper()
	block, _ := pem.Decode(r.op.ClientKey)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := jwk.Import(parsed.(*ecdsa.PrivateKey))
	if err == nil {
		err = key.Set(jwk.KeyIDKey, r.op.ClientKeyID)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	now := time.Now()
	token, err := jwt.NewBuilder().Issuer(r.op.KeyClientID).Subject(r.op.KeyClientID).Audience([]string{r.op.Issuer}).JwtID(rand.Text()).IssuedAt(now).Expiration(now.Add(time.Minute)).Build()
	if err != nil {
		r.t.Fatal(err)
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.ES256(), key))
	if err != nil {
		r.t.Fatal(err)
	}
	form.Set("client_id", r.op.KeyClientID)
	form.Set("client_assertion", string(signed))
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
}

func (r *relying) signIn(login, password string, extra ...string) place {
	r.t.Helper()
	return r.send(r.ask(extra...), "password", "login="+login, "password="+password)
}

func TestTheProviderSignsInWithThePasswordAndSaysWhoItIs(t *testing.T) {
	r := aRelying(t)
	if p := r.signIn("ada", "another"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text, `id="error"`) {
		t.Fatalf("a wrong password: got %d %s", p.status, p.text)
	}
	got := r.claims(r.signIn("ada", "a first password", "max_age=600", "acr_values=1"))
	want := map[string]any{"sub": "sub-ada", "oid": "0001", "groups": []any{"staff"}, "roles": []any{"desk"}, "email": "ada@alder.example", "preferred_username": "ada",
		"acr": testserver.OIDCPassword, "amr": []any{"pwd"}}
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s: got %v, want %v", name, got[name], value)
		}
	}
	for _, name := range []string{"auth_time", "sid"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if second := r.claims(r.ask()); second["sid"] != got["sid"] {
		t.Errorf("a second request of the session: got sid %v, want %v", second["sid"], got["sid"])
	}
}

func TestTheProviderStepsUpByClass(t *testing.T) {
	r := aRelying(t)
	r.claims(r.signIn("ada", "a first password"))
	p := r.ask("acr_values=" + testserver.OIDCSecondFactor)
	if p.forms["second"] == nil || p.forms["password"] != nil {
		t.Fatalf("want the second factor and no password asked for: %s", p.text)
	}
	p = r.send(p, "second", "otp=000000")
	if !strings.Contains(p.text, `id="error"`) {
		t.Fatalf("a wrong code: %s", p.text)
	}
	got := r.claims(r.send(p, "second", "otp=123456"))
	if got["acr"] != testserver.OIDCSecondFactor || !slices.Contains(got["amr"].([]any), any("otp")) {
		t.Errorf("got acr %v amr %v", got["acr"], got["amr"])
	}
	if again := r.claims(r.ask("acr_values=" + testserver.OIDCSecondFactor)); again["acr"] != testserver.OIDCSecondFactor {
		t.Errorf("the session keeps its class: got %v", again["acr"])
	}
}

func TestTheProviderLetsThroughWithLessWhereAClassIsAWish(t *testing.T) {
	r := aRelying(t)
	p := r.signIn("ben", "another password", "acr_values="+testserver.OIDCSecondFactor)
	if got := r.claims(r.send(p, "none")); got["acr"] != testserver.OIDCPassword {
		t.Errorf("got acr %v, want the lower one", got["acr"])
	}
}

func TestTheProviderRefusesWhereAnEssentialClassIsNotReached(t *testing.T) {
	r := aRelying(t)
	essential := `claims={"id_token":{"acr":{"essential":true,"values":["` + testserver.OIDCSecondFactor + `"]}}}`
	p := r.signIn("ben", "another password", essential)
	if got := r.refused(r.send(p, "none")); got != "unmet_authentication_requirements" {
		t.Errorf("got %q", got)
	}
	p = r.send(r.send(r.ask(essential), "password", "login=ada", "password=a first password"), "second", "otp=123456")
	if got := r.claims(p); got["acr"] != testserver.OIDCSecondFactor {
		t.Errorf("got acr %v", got["acr"])
	}
	if got := r.refused(r.send(r.ask("prompt=login"), "cancel")); got != "access_denied" {
		t.Errorf("cancelled: got %q", got)
	}
}

func TestTheProviderAsksAgainWhenTheSignInIsTooOld(t *testing.T) {
	r := aRelying(t)
	first := r.claims(r.signIn("ada", "a first password", "max_age=300"))
	if p := r.ask("max_age=300"); p.url.Query().Get("code") == "" {
		t.Fatalf("a young sign-in: got a page %s", p.text)
	}
	r.op.Age(t, "ada", 10*time.Minute)
	p := r.ask("max_age=300")
	if p.forms["password"] == nil {
		t.Fatalf("an old sign-in: want the password asked for, got %s", p.url)
	}
	// Somebody else may sit down at the page: the provider ends the first one's session, then goes on.
	p = r.send(p, "password", "login=ben", "password=another password")
	p = r.send(p, "")
	if ended := r.verify(<-r.logouts, r.op.ClientID); ended["sid"] != first["sid"] {
		t.Errorf("got the logout of %v, want of %v", ended["sid"], first["sid"])
	}
	if got := r.claims(p); got["sub"] == first["sub"] || got["auth_time"].(float64) < first["auth_time"].(float64) {
		t.Errorf("got sub %v auth_time %v", got["sub"], got["auth_time"])
	}
	for _, fresh := range []string{"prompt=login", "max_age=0"} {
		if p := r.ask(fresh); p.forms["password"] == nil {
			t.Errorf("%s: want the password asked for, got %s", fresh, p.url)
		}
	}
}

func TestTheProviderSignsInWithoutAPassword(t *testing.T) {
	r := aRelying(t)
	p := r.ask("acr_values="+testserver.OIDCPasswordless, "max_age=0")
	if wrong := r.send(p, "passwordless", "login=ben"); !strings.Contains(wrong.text, `id="error"`) {
		t.Fatalf("ben has no device: got %s %s", wrong.url, wrong.text)
	}
	got := r.claims(r.send(p, "passwordless", "login=ada", "step=passwordless"))
	if got["acr"] != testserver.OIDCPasswordless || !slices.Contains(got["amr"].([]any), any("hwk")) || slices.Contains(got["amr"].([]any), any("pwd")) {
		t.Errorf("got acr %v amr %v", got["acr"], got["amr"])
	}
}

func TestTheProviderTakesPushedRequestsAndAClientWithAKey(t *testing.T) {
	r := aRelying(t, func(o *testserver.OIDCOptions) { o.PAR = "required" })
	r.key = true
	if got := r.refused(r.ask()); got != "invalid_request" {
		t.Fatalf("not pushed: got %q", got)
	}
	form := r.request("acr_values=1")
	r.assert(form)
	res, err := r.http.PostForm(r.op.Issuer+"/request", form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var pushed struct {
		URI string `json:"request_uri"`
	}
	if err := json.NewDecoder(res.Body).Decode(&pushed); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("got %d %v", res.StatusCode, err)
	}
	p := r.arrive(r.http.Get(r.op.Issuer + "/auth?" + url.Values{"client_id": {r.op.KeyClientID}, "request_uri": {pushed.URI}}.Encode()))
	if got := r.claims(r.send(p, "password", "login=ada", "password=a first password")); got["sub"] != "sub-ada" {
		t.Errorf("got sub %v", got["sub"])
	}
}

func TestTheProviderDeliversLogoutTokens(t *testing.T) {
	r := aRelying(t)
	in := r.claims(r.signIn("ada", "a first password"))
	told := r.op.Logout(t, "ada")
	if len(told) != 1 || told[0].Status != http.StatusOK || told[0].Client != r.op.ClientID {
		t.Fatalf("got %+v", told)
	}
	got := r.verify(<-r.logouts, r.op.ClientID)
	if got["sid"] != in["sid"] || got["sub"] != "sub-ada" || got["jti"] == nil || got["nonce"] != nil || got["events"].(map[string]any)["http://schemas.openid.net/event/backchannel-logout"] == nil {
		t.Errorf("got %v for the session %v", got, in["sid"])
	}
	p := r.ask()
	if p.forms["password"] == nil {
		t.Fatalf("want the session at the provider over, got %s", p.url)
	}
	r.claims(r.send(p, "password", "login=ada", "password=a first password"))
	r.op.LogoutSubject(t, "ada")
	if got := r.verify(<-r.logouts, r.op.ClientID); got["sid"] != nil || got["sub"] != "sub-ada" {
		t.Errorf("of the subject: got %v", got)
	}
}

func TestTheProviderSignsOutForAnApplication(t *testing.T) {
	r := aRelying(t)
	in := r.claims(r.signIn("ada", "a first password"))
	p := r.arrive(r.http.Get(r.op.Issuer + "/session/end?" + url.Values{"id_token_hint": {in["id_token"].(string)}, "client_id": {r.op.ClientID},
		"post_logout_redirect_uri": {"http://localhost:1/signed-out"}, "state": {"back"}}.Encode()))
	if p = r.send(p, "op.logoutForm", "logout=yes"); p.url.String() != "http://localhost:1/signed-out?state=back" {
		t.Fatalf("got %s %s", p.url, p.text)
	}
	if got := r.verify(<-r.logouts, r.op.ClientID); got["sid"] != in["sid"] {
		t.Errorf("got sid %v, want %v", got["sid"], in["sid"])
	}
	if p := r.ask(); p.forms["password"] == nil {
		t.Errorf("want nobody signed in, got %s", p.url)
	}
}

func TestTheProviderComesBackFromAnOutageWithItsSessions(t *testing.T) {
	r := aRelying(t)
	r.claims(r.signIn("ada", "a first password"))
	r.op.Stop(t)
	if res, err := r.http.Get(r.op.Issuer + "/.well-known/openid-configuration"); err == nil {
		res.Body.Close()
		t.Fatal("want nobody to answer during the outage")
	}
	r.op.Start(t)
	if got := r.claims(r.ask()); got["sub"] != "sub-ada" {
		t.Errorf("got sub %v", got["sub"])
	}
}
