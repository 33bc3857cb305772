package portal

import (
	"crypto/rand"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/web"
)

const (
	testBase = "https://reset.contoso.example"
	opLogin  = "https://op.example/authorize"
)

// door stands for the identity provider: who is signed in in which browser a test decides, and what would leave for the
// provider leaves for an address that says why. Package signin has tests of its own for all of that.
type door struct {
	s         *store.Store
	here      string // id of the session of this browser; "" when nobody is signed in
	providers []signin.Provider
	begun     []session.Flow
}

func (d *door) Session(r *web.Request) (*session.Session, error) {
	if d.here == "" {
		return nil, nil
	}
	return d.s.SessionByID(r.Context(), d.here)
}

func (d *door) In(h signin.Handler) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		s, err := d.Session(r)
		if err != nil || s == nil {
			return web.Page{Leave: opLogin + "?for=signin"}, err
		}
		return h(r, s)
	}
}

func (d *door) StepUp(r *web.Request, _ *session.Session, to string, _ ...string) (web.Page, error) {
	if r.Method == http.MethodPost {
		return OverPage{Why: message.Key("setup_on.later")}.Page(), nil
	}
	return web.Page{Leave: opLogin + "?for=step-up&to=" + url.QueryEscape(to)}, nil
}

func (d *door) Trust(_ *web.Request, _ *session.Session, to string) (web.Page, error) {
	return web.Page{Goto: to + "?trust"}, nil
}

func (d *door) Browser(*web.Request) (*session.Browser, error) { return nil, nil }

func (d *door) Begin(_ *web.Request, f session.Flow) (web.Page, error) {
	d.begun = append(d.begun, f)
	return web.Page{Leave: opLogin + "?for=" + string(f.Purpose)}, nil
}

func (d *door) Providers() []signin.Provider { return d.providers }

// world is the pages on a real store, with the real rules behind them.
type world struct {
	t        *testing.T
	s        *store.Store
	reg      *register.Service
	sessions *session.Service
	flow     *reset.Service
	ring     *keyring.Ring
	dir      *memory.Directory
	tie      *tie
	door     *door
	pages    *Pages
	site     *web.Site
	clock    time.Time
	jar      map[string]string // this browser's cookies
}

func newWorld(t *testing.T, rules string) *world {
	t.Helper()
	w := &world{t: t, ring: keyring.Generate(), clock: when, jar: map[string]string{}}
	now := func() time.Time { return w.clock }
	log := slog.New(slog.DiscardHandler)
	w.s = storetest.Open(t, store.SQLite, func(c *store.Config) { c.Ring, c.Now = w.ring, now })
	keys, err := passkey.New("reset.contoso.example", testBase, "Contoso")
	must(t, err)
	kinds := func() []method.Kind { return method.Kinds }
	w.reg, err = register.New(register.Config{Store: w.s, Limits: w.s, Keys: w.ring, Policies: w.s, Passkeys: keys, Kinds: kinds,
		Corporate: []string{"contoso.example"}, Region: "DE", Organisation: "Contoso", Now: now, Log: log})
	must(t, err)
	w.sessions, err = session.New(session.Config{Store: w.s, Limits: w.s, Keys: w.ring, Providers: map[string]session.Rule{"contoso": {Link: "userName"}}, Now: now, Log: log})
	must(t, err)
	w.dir, err = memory.New(memory.Config{Name: "corp"})
	must(t, err)
	w.tie = &tie{w: w}
	w.flow, err = reset.New(reset.Config{Store: w.s, Limits: w.s, Keys: w.ring, Policies: w.s, Kinds: kinds, Passkeys: keys, SignIns: []string{"contoso"},
		Directories: []reset.Directory{{Name: "corp", Label: "Contoso", Adapter: w.dir, Claim: "userName", Attribute: "mail"}}, Now: now, Log: log})
	must(t, err)
	cat, err := message.Load()
	must(t, err)
	w.site, err = web.New(web.Config{Base: testBase, Organisation: web.Organisation{Name: "Contoso"}, Templates: []fs.FS{Templates()}, Sender: w.tie.sender,
		Translator: cat.With("Organisation", "Contoso").Reporting(func(p message.Problem) { t.Errorf("%v", p) })})
	must(t, err)
	w.door = &door{s: w.s, providers: []signin.Provider{{Name: "contoso", Label: "Contoso ID", AccountURL: "https://op.example/account", MayProve: true, StepsUp: true}, {Name: "plant", Label: "Plant"}}}
	w.pages = Mount(w.site, Config{
		Account: Account{Door: w.door, Register: w.reg, Sessions: w.sessions, Reads: w.s}, Flow: w.flow, Now: now,
		Token: func() (string, []byte) { return keyring.NewToken("rgn_try") },
		Hash: func(secret string) []byte {
			hash, _ := keyring.HashToken(secret)
			return hash
		},
	})
	w.pages.Sent = w.tie
	w.site.Handle("POST", pathCancel, func(r *web.Request) (web.Page, error) {
		h, err := w.tie.Of(r)
		must(t, err)
		w.tie.stopped = w.pages.Stop(r, h)
		return web.Page{Goto: PathHome}, nil
	})
	w.site.Handle("GET", "/arrived", func(r *web.Request) (web.Page, error) { // a sign-in that ended well
		s, err := w.door.Session(r)
		must(t, err)
		return w.pages.Arrived(r, s, &w.door.begun[len(w.door.begun)-1])
	})
	w.apply(rules)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) apply(rules string) {
	w.t.Helper()
	if rules == "" {
		rules = "rules: [{name: everyone, kinds: [passkey, totp, recovery-code, email, sms, idp]}]"
	}
	p, err := policy.Parse([]byte(rules))
	must(w.t, err)
	_, err = w.s.ApplyPolicy(w.t.Context(), p, "test", w.clock)
	must(w.t, err)
}

// person makes somebody with ways that came two days ago.
func (w *world) person(name string, ways ...method.Method) *account.Person {
	w.t.Helper()
	p := &account.Person{UserName: name + "@contoso.example", DisplayName: strings.ToUpper(name[:1]) + name[1:], Active: true, Created: w.clock, Updated: w.clock}
	must(w.t, w.s.CreatePerson(w.t.Context(), p, nil))
	for i := range ways {
		ways[i].Status, ways[i].Created = method.Active, w.clock.Add(-2*day)
		if ways[i].Root.Kind == "" {
			ways[i].Root = method.Root{Kind: method.ByPerson, ID: p.ID}
		}
	}
	must(w.t, w.s.CreateMethods(w.t.Context(), p.ID, ways, nil))
	return p
}

// signIn gives somebody a session that was stepped up just now, and this browser.
func (w *world) signIn(p *account.Person, change ...func(*session.Session)) *session.Session {
	w.t.Helper()
	b := &session.Binding{IDP: "contoso", Key: p.ID, Person: p.ID, Issuer: "https://op.example", Subject: p.ID, Made: w.clock}
	s, err := w.s.Arrive(w.t.Context(), p.ID, b, "", func(p *account.Person) (*session.Session, []event.Event, error) {
		s := &session.Session{ID: uuid.Must(uuid.NewV7()).String(), Hash: []byte(rand.Text() + rand.Text())[:32], IDP: "contoso", Issuer: "https://op.example", Subject: p.ID,
			ACR: "mfa", AMR: []string{"pwd", "otp"}, AuthTime: w.clock, StepUp: w.clock, Network: "192.0.2.0/24", Agent: "Firefox, Linux", Started: w.clock, Seen: w.clock, Expires: w.clock.Add(session.Life)}
		for _, f := range change {
			f(s)
		}
		return s, nil, nil
	})
	must(w.t, err)
	w.door.here = s.ID
	return s
}

func weak(s *session.Session) { s.StepUp = time.Time{} }

// answer is what came: the page, or where to go.
type answer struct {
	t    *testing.T
	code int
	to   string
	body string
	doc  *html.Node
	head http.Header
}

// ask sends a request of this browser and keeps the cookies of the answer.
func (w *world) ask(r *http.Request) answer {
	w.t.Helper()
	r.RemoteAddr = "192.0.2.7:4711"
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux) Firefox/140.0")
	for name, value := range w.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	w.site.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(w.jar, c.Name)
		} else {
			w.jar[c.Name] = c.Value
		}
	}
	a := answer{t: w.t, code: rec.Code, to: rec.Header().Get("Location"), body: rec.Body.String(), head: rec.Header()}
	doc, err := html.Parse(strings.NewReader(a.body))
	must(w.t, err)
	a.doc = doc
	return a
}

func (w *world) get(path string) answer {
	w.t.Helper()
	return w.ask(httptest.NewRequest("GET", path, nil))
}

func (w *world) post(path string, pairs ...string) answer {
	w.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.ask(r)
}

// goes holds an answer to leading on to a place.
func (a answer) goes(to string) answer {
	a.t.Helper()
	if a.code != http.StatusSeeOther && a.code != http.StatusFound || a.to != to {
		a.t.Fatalf("got %d to %q, want to go to %q:\n%s", a.code, a.to, to, text(a.doc))
	}
	return a
}

// shows holds an answer to being a page that says something.
func (a answer) shows(code int, words ...string) answer {
	a.t.Helper()
	said := text(a.doc)
	if a.code != code {
		a.t.Fatalf("got %d to %q, want %d:\n%s", a.code, a.to, code, said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			a.t.Errorf("the page does not say %q:\n%s", word, said)
		}
	}
	return a
}

func (a answer) hides(words ...string) answer {
	a.t.Helper()
	for _, word := range words {
		if strings.Contains(text(a.doc), word) {
			a.t.Errorf("the page says %q:\n%s", word, text(a.doc))
		}
	}
	return a
}

// links are where the links and forms of a page lead.
func (a answer) links() (out []string) {
	for _, n := range elements(a.doc, "a", "form") {
		for _, key := range []string{"href", "action"} {
			if to, ok := attr(n, key); ok {
				out = append(out, to)
			}
		}
	}
	return out
}

func (a answer) leads(to string, want bool) answer {
	a.t.Helper()
	if slices.Contains(a.links(), to) != want {
		a.t.Errorf("leads to %s: %v, want %v: %q", to, !want, want, a.links())
	}
	return a
}

// field is the value of the hidden input of a name.
func (a answer) field(name string) string {
	a.t.Helper()
	for _, n := range elements(a.doc, "input") {
		if got, _ := attr(n, "name"); got == name {
			v, _ := attr(n, "value")
			return v
		}
	}
	a.t.Fatalf("no field %s:\n%s", name, text(a.doc))
	return ""
}

// app registers a program to go back to.
func (w *world) app(key, name string, disabled bool) {
	w.t.Helper()
	must(w.t, w.s.CreateApp(w.t.Context(), &client.App{Key: key, Name: name, Returns: []string{"https://" + key + ".contoso.example/in"}, Disabled: disabled, Created: w.clock, Updated: w.clock}))
}
