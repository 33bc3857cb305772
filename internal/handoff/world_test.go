package handoff

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/web"
)

const (
	base   = "https://account.example.org"
	cb     = "https://hr.example/cb"
	signIn = "https://idp.example/"
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// locked is a buffer that several goroutines write to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// portal plays the pages on which a person works: a try is one in the browser that holds its cookie, and what becomes of it
// is what the test says.
type portal struct {
	mu       sync.Mutex
	outcomes map[string]client.Outcome // by try; of registering: by ""
	stopped  []string
	begun    []client.Handoff
	stop     func() error // runs when somebody wants to end a try
	asked    func()       // runs once, after the outcome of a try was asked for
}

func (p *portal) Begin(r *web.Request, h *client.Handoff) web.Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = append(p.begun, *h)
	return web.Page{Goto: "/" + string(h.Action), Cookies: []web.Cookie{{Name: "hint", Value: "1"}}}
}

func (p *portal) Outcome(r *web.Request, h *client.Handoff) (client.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if meanwhile := p.asked; meanwhile != nil {
		p.asked = nil
		defer meanwhile()
	}
	if h.Action != client.ActionRegister && r.Cookie("try") != h.Attempt {
		return client.Outcome{Over: true}, nil
	}
	return p.outcomes[h.Attempt], nil
}

func (p *portal) Stop(r *web.Request, h *client.Handoff) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = append(p.stopped, h.Attempt)
	if p.stop != nil {
		return p.stop()
	}
	if o := p.outcomes[h.Attempt]; o.Status == "" {
		o.Over = true
		p.outcomes[h.Attempt] = o
	}
	return nil
}

func (p *portal) becomes(attempt string, o client.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes[attempt] = o
}

var pagesOfTest = fstest.MapFS{"test.html": {Data: []byte(`{{define "test"}}<h1>{{.}}</h1>{{end}}`)}}

// world is the provider in a site, on a real store.
type world struct {
	t      *testing.T
	clock  *clock
	store  *store.Store
	svc    *Service
	site   *web.Site
	log    *locked
	portal *portal
	ada    *account.Person
	hr     *app
}

// options change what newWorld makes.
type options struct {
	store  *store.Store
	config func(*Config)
	hr     func(*client.App)
}

func newWorld(t *testing.T, change ...func(*options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}, log: &locked{}, portal: &portal{outcomes: map[string]client.Outcome{}}}
	var o options
	for _, f := range change {
		f(&o)
	}
	if w.store = o.store; w.store == nil {
		w.store = storetest.Open(t, store.SQLite, func(c *store.Config) { c.Now = w.clock.now })
	}
	w.svc, w.site = w.replica(w.store, o.config)
	w.ada = w.person("ada@alder.example")
	w.hr = w.app("hr", o.hr)
	return w
}

// replica is one more server on a store.
func (w *world) replica(s *store.Store, change func(*Config)) (*Service, *web.Site) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, nil))
	c := Config{Base: base, SignIn: signIn, Store: s, Once: s, Limits: s, Keys: storetest.Ring(), Signing: s, Pages: w.portal,
		Languages: []string{"en", "de"}, Now: w.clock.now, Log: log}
	if change != nil {
		change(&c)
	}
	svc, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	cat, err := message.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	site, err := web.New(web.Config{Base: base, Organisation: web.Organisation{Name: "Contoso"}, Translator: cat.With("Organisation", "Contoso"),
		Templates: []fs.FS{Templates(), pagesOfTest}, Log: log, Sender: svc.Sender, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	if err != nil {
		w.t.Fatal(err)
	}
	svc.Mount(site)
	show := func(r *web.Request) (web.Page, error) {
		return web.Page{Template: "test", Title: message.Key("home.heading"), Data: "a page"}, nil
	}
	for _, p := range []string{"/", "/reset", "/unlock", "/change", "/register", "/console/people"} {
		site.Handle(http.MethodGet, p, show)
	}
	site.Handle(http.MethodPost, "/try", func(r *web.Request) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "try"})
		if err == nil {
			err = svc.Bind(r, form["try"])
		}
		return web.Page{Goto: "/", Cookies: []web.Cookie{{Name: "try", Value: form["try"]}}}, err
	})
	return svc, site
}

// person is somebody in the store.
func (w *world) person(login string) *account.Person {
	w.t.Helper()
	p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: "c1", UserName: login, ExternalID: "x-" + login, Active: true, Created: w.clock.now(), Updated: w.clock.now(), Attrs: []byte("{}")}
	if err := w.store.CreatePerson(w.t.Context(), p, nil); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// app is a registered client, with what only it knows.
type app struct {
	w *world
	*client.App
	secret string
}

func (w *world) app(key string, change func(*client.App)) *app {
	w.t.Helper()
	secret, hash := keyring.NewToken("rgn_app")
	a := &client.App{Key: key, Name: "Human Resources", Redirects: []string{"https://" + key + ".example/cb"}, Actions: []client.Action{client.ActionReset, client.ActionUnlock},
		Auth: client.AuthSecret, Secrets: []client.Token{{ID: "1", Hash: hash, Created: w.clock.now()}}, Alg: keyring.ES256, Subject: client.Pairwise, Sector: key + ".example",
		Initiate: "https://" + key + ".example/start", Created: w.clock.now(), Updated: w.clock.now()}
	if change != nil {
		change(a)
	}
	if err := w.store.CreateApp(w.t.Context(), a); err != nil {
		w.t.Fatal(err)
	}
	return &app{w, a, secret}
}

// change changes an app as an administrator does.
func (a *app) change(f func(*client.App)) {
	a.w.t.Helper()
	if _, err := a.w.store.UpdateApp(a.w.t.Context(), a.Key, func(x *client.App) ([]event.Event, error) { f(x); return nil, nil }); err != nil {
		a.w.t.Fatal(err)
	}
}

// events returns the types and reasons of what happened to a person, oldest first; of nobody for "".
func (w *world) events(person string) (out []string) {
	w.t.Helper()
	all, err := w.store.EventsOf(w.t.Context(), person, "", 200)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range slices.Backward(all) {
		s := string(e.Type)
		if why, ok := e.Data["why"].(string); ok {
			s += " " + why
		}
		out = append(out, s)
	}
	return out
}

// happened reports whether a person's story, or nobody's, has this.
func (w *world) happened(person, what string) bool { return slices.Contains(w.events(person), what) }

// browser keeps cookies and asks.
type browser struct {
	w       *world
	site    *web.Site
	cookies map[string]string
	from    string // address it asks from
}

func (w *world) browser() *browser {
	return &browser{w: w, site: w.site, cookies: map[string]string{}, from: "203.0.113.7"}
}

// answer is what a browser or a client sees.
type answer struct {
	code     int
	body, to string // the page, or where the redirect leads
	header   http.Header
}

// query returns what an answer says to an app, by the redirect URI that it must lead to.
func (a answer) query(t *testing.T, redirect string) url.Values {
	t.Helper()
	rest, ok := strings.CutPrefix(a.to, redirect)
	if a.code != http.StatusSeeOther || !ok || !strings.HasPrefix(rest, "?") && !strings.HasPrefix(rest, "&") {
		t.Fatalf("answer %d to %q, want 303 to %s", a.code, a.to, redirect)
	}
	q, err := url.ParseQuery(rest[1:])
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func (b *browser) do(r *http.Request) answer {
	b.w.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	r.Header.Set("X-Forwarded-For", b.from)
	rec := httptest.NewRecorder()
	b.site.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly || !c.Secure || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			b.w.t.Errorf("cookie %s is set as %q", c.Name, c.String())
		}
	}
	return answer{rec.Code, rec.Body.String(), rec.Header().Get("Location"), rec.Header()}
}

func (b *browser) get(path string) answer {
	b.w.t.Helper()
	return b.do(httptest.NewRequest(http.MethodGet, path, nil))
}

func (b *browser) post(path string, form url.Values) answer {
	b.w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// authorize goes to the provider with parameters.
func (b *browser) authorize(p url.Values) answer {
	b.w.t.Helper()
	return b.get(PathAuthorize + "?" + p.Encode())
}

// tries begins a try, whose name is made of a number.
func (b *browser) tries() string {
	b.w.t.Helper()
	name := uuid.NewString()
	if a := b.post("/try", url.Values{"try": {name}}); a.code != http.StatusSeeOther {
		b.w.t.Fatalf("the try: %d %s", a.code, a.body)
	}
	return name
}

// done is what became of a try that went well, of a person.
func (w *world) done(p *account.Person, txn string) client.Outcome {
	w.t.Helper()
	live, err := w.store.Person(w.t.Context(), p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return client.Outcome{Person: p.ID, Epoch: live.Epoch, Status: client.StatusDone, Proofs: []string{"mail", "phone"}, At: w.clock.now(), Txn: txn, Over: true}
}

const (
	verifier = "a-verifier-of-forty-three-letters-or-more-0123456789"
	state    = "the app's state & = ü"
)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is a request without fault; change makes it another.
func (a *app) request(change ...string) url.Values {
	p := url.Values{"response_type": {"code"}, "client_id": {a.Key}, "redirect_uri": {a.Redirects[0]}, "scope": {"openid regain.reset"}, "state": {state},
		"nonce": {"n-1"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}}
	return with(p, change...)
}

// with sets names to values; an empty value takes the parameter away.
func with(p url.Values, change ...string) url.Values {
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			p.Del(change[i])
		} else {
			p.Set(change[i], change[i+1])
		}
	}
	return p
}

// call is a request of a program.
func (w *world) call(site *web.Site, method, path string, form url.Values, header ...string) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if form != nil {
		r = httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("X-Forwarded-For", "198.51.100.9")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	site.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Body.String(), rec.Header().Get("Location"), rec.Header()}
}

func basic(key, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(key)+":"+url.QueryEscape(secret)))
}

// post calls an endpoint as the app does, with its secret in the header.
func (a *app) post(path string, form url.Values) answer {
	a.w.t.Helper()
	return a.w.call(a.w.site, http.MethodPost, path, form, "Authorization", basic(a.Key, a.secret))
}

// push deposits a request and returns its URI.
func (a *app) push(p url.Values) string {
	a.w.t.Helper()
	got := a.post(PathPush, p)
	var out struct {
		RequestURI string `json:"request_uri"`
		ExpiresIn  int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.code != http.StatusCreated || out.ExpiresIn != 90 || !strings.HasPrefix(out.RequestURI, "urn:ietf:params:oauth:request_uri:") {
		a.w.t.Fatalf("pushed: %d %s", got.code, got.body)
	}
	return out.RequestURI
}

// redemption is a request for the tokens of a code, without fault.
func (a *app) redemption(code string, change ...string) url.Values {
	return with(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.Redirects[0]}, "code_verifier": {verifier}}, change...)
}

// tokensOf reads a token answer.
func (w *world) tokensOf(got answer) tokens {
	w.t.Helper()
	var out tokens
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.code != http.StatusOK || out.IDToken == "" || out.TokenType != "Bearer" {
		w.t.Fatalf("tokens: %d %s", got.code, got.body)
	}
	return out
}

// errorOf reads an error of a machine endpoint.
func (w *world) errorOf(got answer) string {
	w.t.Helper()
	var out struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		w.t.Fatalf("error: %d %s", got.code, got.body)
	}
	return out.Error
}

// sent opens a handoff in a new browser that then tries.
func (a *app) sent(change ...string) (*browser, string) {
	a.w.t.Helper()
	b := a.w.browser()
	if got := b.authorize(a.request(change...)); got.code != http.StatusSeeOther || !strings.HasPrefix(got.to, "/") {
		a.w.t.Fatalf("authorize: %d %s", got.code, got.to)
	}
	return b, b.tries()
}

// code goes the whole way to a code.
func (a *app) code(change ...string) string {
	a.w.t.Helper()
	b, try := a.sent(change...)
	a.w.portal.becomes(try, a.w.done(a.w.ada, try))
	return a.codeOf(b.post(PathReturn, nil))
}

func (a *app) codeOf(got answer) string {
	a.w.t.Helper()
	q := got.query(a.w.t, a.Redirects[0])
	if q.Get("code") == "" || q.Get("state") != state || q.Get("iss") != base || len(q) != 3 {
		a.w.t.Fatalf("the answer is %v", q)
	}
	return q.Get("code")
}

// userinfo asks whom an access token is about.
func (w *world) userinfo(token string) answer {
	w.t.Helper()
	return w.call(w.site, http.MethodGet, PathUserinfo, nil, "Authorization", "Bearer "+token)
}

// errCanary is a cause that must stay in the log.
var errCanary = errors.New("canary of a cause")
