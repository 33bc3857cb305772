package signin

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/web"
)

const base = "https://account.example.org"

var pagesOfTest = fstest.MapFS{"test.html": {Data: []byte(`{{define "test"}}<h1>{{.}}</h1>{{end}}`)}}

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

// world is the door in a site, on a real store, and the provider it asks.
type world struct {
	t     *testing.T
	clock *clock
	store *store.Store
	ops   []*op // one a provider; the first is "corp"
	op    *op
	svc   *session.Service
	door  *Door
	site  *web.Site
	log   *locked

	proofs []proof
	ada    *account.Person
}

// proof is what came of a sign-in inside an attempt.
type proof struct {
	flow *session.Flow
	who  *account.Person
	id   session.Identity
	err  error
}

var ring = sync.OnceValue(keyring.Generate)

// options change what newWorld makes.
type options struct {
	kind      store.Kind
	providers int
	provider  func(i int, c *ProviderConfig)
	door      func(*Config)
	rule      func(i int, r *session.Rule)
}

func newWorld(t *testing.T, change ...func(*options)) *world {
	t.Helper()
	o := options{kind: store.SQLite, providers: 1}
	for _, f := range change {
		f(&o)
	}
	w := &world{t: t, clock: &clock{at: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}, log: &locked{}}
	w.store = storetest.Open(t, o.kind, func(c *store.Config) { c.Now = w.clock.now })
	log := slog.New(slog.NewTextHandler(w.log, nil))
	rules := map[string]session.Rule{}
	var providers []ProviderConfig
	for i := range o.providers {
		p := newOP(t, w.clock.now)
		w.ops = append(w.ops, p)
		c := ProviderConfig{Name: []string{"corp", "partner"}[i], Label: []string{"Alder", "Birch"}[i], Issuer: p.issuer(), ClientID: "regain", ClientSecret: "client-canary",
			Scopes: []string{"openid", "profile"}, LinkClaim: "preferred_username", AllowPrivate: true, RoleClaims: []string{"groups", "realm_access.roles"},
			StepUp: StepUp{Ask: AskACRValues, Accept: []string{"mfa"}, Claim: "acr", MaxAge: 5 * time.Minute}, NoPassword: []string{"phr"}}
		r := session.Rule{Link: "userName"}
		if o.provider != nil {
			o.provider(i, &c)
		}
		if o.rule != nil {
			o.rule(i, &r)
		}
		providers, rules[c.Name] = append(providers, c), r
	}
	if len(w.ops) > 0 {
		w.op = w.ops[0]
	}
	var err error
	if w.svc, err = session.New(session.Config{Store: w.store, Limits: w.store, Keys: ring(), Providers: rules, Now: w.clock.now, Log: log}); err != nil {
		t.Fatal(err)
	}
	c := Config{Sessions: w.svc, Providers: providers, Base: base, Home: "/home", Now: w.clock.now, Log: log,
		Proved: func(r *web.Request, f *session.Flow, who *account.Person, id session.Identity) (web.Page, error) {
			w.proofs = append(w.proofs, proof{f, who, id, nil})
			return web.Page{Goto: "/proved"}, nil
		},
		Failed: func(r *web.Request, f *session.Flow, err error) (web.Page, error) {
			w.proofs = append(w.proofs, proof{flow: f, err: err})
			return web.Page{Goto: "/failed"}, nil
		}}
	if o.door != nil {
		o.door(&c)
	}
	if w.door, err = New(c); err != nil {
		t.Fatal(err)
	}
	cat, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	w.site, err = web.New(web.Config{Base: base, Organisation: web.Organisation{Name: "Contoso"}, Translator: cat.With("Organisation", "Contoso"),
		Templates: []fs.FS{Templates(), pagesOfTest}, Log: log, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	w.door.Mount(w.site)
	w.pages()
	w.ada = w.person("ada@alder.example")
	return w
}

// pages are a few that need somebody signed in.
func (w *world) pages() {
	show := func(r *web.Request, s *session.Session) (web.Page, error) {
		return web.Page{Template: "test", Title: message.Key("home.heading"), Data: "in as " + s.Person}, nil
	}
	w.site.Handle(http.MethodGet, "/home", w.door.In(show))
	w.site.Handle(http.MethodGet, "/in", w.door.In(show))
	w.site.Handle(http.MethodPost, "/in", w.door.In(show))
	strong := func(r *web.Request, s *session.Session) (web.Page, error) {
		if !s.SteppedUp(w.clock.now(), session.StepUpLife) {
			return w.door.StepUp(r, s, "/strong")
		}
		return show(r, s)
	}
	w.site.Handle(http.MethodGet, "/strong", w.door.In(strong))
	w.site.Handle(http.MethodPost, "/strong", w.door.In(strong))
	w.site.Handle(http.MethodGet, "/never", w.door.In(func(r *web.Request, s *session.Session) (web.Page, error) { return w.door.StepUp(r, s, "/never") }))
	w.site.Handle(http.MethodPost, "/trust", w.door.In(func(r *web.Request, s *session.Session) (web.Page, error) { return w.door.Trust(r, s, "/home") }))
	begin := func(f session.Flow) web.Handler {
		return func(r *web.Request) (web.Page, error) { return w.door.Begin(r, f) }
	}
	w.site.Handle(http.MethodGet, "/console", begin(session.Flow{Purpose: session.Staff, Goto: "/home"}))
	w.site.Handle(http.MethodGet, "/prove", begin(session.Flow{Purpose: session.Proof, Attempt: "attempt-1", Challenge: "challenge-1", Goto: "/home"}))
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

// events returns the types and reasons of what happened to a person, oldest first; of nobody for "".
func (w *world) events(person string) (out []string) {
	w.t.Helper()
	all, err := w.store.EventsOf(w.t.Context(), person, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		s := string(all[i].Type)
		if why, ok := all[i].Data["why"].(string); ok {
			s += " " + why
		}
		out = append(out, s)
	}
	return out
}

// refused reports whether an answer was refused for the reason.
func (w *world) refused(why string) bool {
	w.t.Helper()
	for _, e := range w.events("") {
		if e == string(event.SignInRefused)+" "+why {
			return true
		}
	}
	return false
}

// browser keeps cookies and asks.
type browser struct {
	w       *world
	cookies map[string]string
	agent   string
}

func (w *world) browser() *browser {
	return &browser{w: w, cookies: map[string]string{}, agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
}

// answer is what a browser sees.
type answer struct {
	code     int
	body, to string // the page, or where the redirect leads
	header   http.Header
}

func (b *browser) do(r *http.Request) answer {
	b.w.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	r.Header.Set("User-Agent", b.agent)
	rec := httptest.NewRecorder()
	b.w.site.ServeHTTP(rec, r)
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

// follow goes on along redirects of this site and through the providers, at most so many steps, and returns the page.
func (b *browser) follow(a answer) answer {
	b.w.t.Helper()
	for range 12 {
		if a.to == "" {
			return a
		}
		a = b.get(b.next(a))
	}
	b.w.t.Fatal("sent around without an end")
	return a
}

// next returns where a redirect leads on this site, through the provider when it leads there.
func (b *browser) next(a answer) string {
	b.w.t.Helper()
	for _, o := range b.w.ops {
		if strings.HasPrefix(a.to, o.issuer()+"/authorize") {
			return o.authorize(a.to)
		}
	}
	if !strings.HasPrefix(a.to, "/") {
		b.w.t.Fatalf("status %d leads to %q: %s", a.code, a.to, a.body)
	}
	return a.to
}

// callback starts at a path and returns the answer of the provider, not yet given.
func (b *browser) callback(path string) string {
	b.w.t.Helper()
	a := b.get(path)
	if !strings.HasPrefix(a.to, "http") {
		b.w.t.Fatalf("%s: got status %d to %q, want to leave for the provider", path, a.code, a.to)
	}
	return b.next(a)
}

// session returns the browser's session; nil when nobody is signed in.
func (b *browser) session() *session.Session {
	b.w.t.Helper()
	s, err := b.w.svc.Load(b.w.t.Context(), session.Hash(b.cookies["__Host-session"]))
	if err != nil {
		b.w.t.Fatal(err)
	}
	return s
}

// in reports whether a page is one of somebody signed in.
func (a answer) in(p *account.Person) bool {
	return a.code == http.StatusOK && strings.Contains(a.body, "in as "+p.ID)
}

// signIn signs the person of the provider in and fails the test when that does not work.
func (b *browser) signIn() *session.Session {
	b.w.t.Helper()
	if a := b.follow(b.get("/in")); a.code != http.StatusOK || !strings.Contains(a.body, "in as ") {
		b.w.t.Fatalf("sign-in: status %d: %s", a.code, a.body)
	}
	return b.session()
}

// beginAt begins a sign-in that should go on at a place.
func (w *world) beginAt(to string) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		return w.door.Begin(r, session.Flow{Purpose: session.SignIn, Goto: to})
	}
}

// connector is one of a name and id.
func (w *world) connector(name, id string) {
	w.t.Helper()
	c := &client.Connector{ID: id, Name: name, Trust: client.TrustOne, Preset: client.PresetStandard, Created: w.clock.now(), Updated: w.clock.now()}
	if err := w.store.CreateConnector(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

func request(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }
