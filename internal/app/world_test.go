package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/notify"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/pkg/directory"
)

func TestMain(m *testing.M) {
	if plan := os.Getenv(crashEnv); plan != "" {
		os.Exit(crashMain(plan))
	}
	os.Exit(browser.Main(m))
}

// world is a whole deployment for one test: a server on loopback, its database, a directory, a mail server and a
// provider of text messages.
type world struct {
	t       testing.TB
	base    string
	setup   Setup
	srv     *Server
	db      string
	mail    *testserver.SMTPServer
	sms     *testserver.WebhookServer
	memory  *memory.Directory       // when the directory is in memory
	slapd   *testserver.SlapdServer // when it is a real one
	log     *logBuffer
	stopped context.CancelFunc
	ended   chan struct{}

	replicas []*Server // all that were opened
}

// scene says what a world is made of. The zero value is SQLite with a directory in memory.
type scene struct {
	kind   store.Kind
	slapd  bool
	policy string // YAML; default: everybody, two proofs, no holds
	now    func() time.Time
	change func(*Setup)
	wire   func(*world) // the same with everything at hand
	noWork bool         // workers do not run
}

const smsSecret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnl0ZXM="

const openPolicy = "rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s}]"

// newWorld starts a deployment and stops it when the test ends.
func newWorld(t testing.TB, s scene) *world {
	t.Helper()
	w, l := stage(t, s)
	w.serve(l, s.noWork)
	return w
}

// stage makes a world whose server is wired and does not serve yet, and the listener it is to serve on.
func stage(t testing.TB, s scene) (*world, net.Listener) {
	t.Helper()
	if s.kind == "" {
		s.kind = store.SQLite
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w := &world{t: t, base: "http://localhost:" + port, db: storetest.URL(t, s.kind), log: &logBuffer{}}
	w.mail = testserver.SMTP(t)
	w.sms = testserver.Webhook(t, smsSecret)
	smtp, err := notify.NewSMTP(notify.SMTPConfig{Host: w.mail.Host, Port: w.mail.Port, TLS: "starttls", CA: w.mail.CA.Pool, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := notify.NewWebhook(notify.WebhookConfig{URL: w.sms.URL, Secrets: []string{smsSecret}, Timeout: 3 * time.Second,
		Client: egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
	if err != nil {
		t.Fatal(err)
	}
	w.setup = Setup{
		Base: w.base, Database: w.db, Migrate: true, Ring: keyring.Generate(), Organisation: web.Organisation{Name: "Alder Works", SignIn: "https://login.alder.example/"},
		Corporate: []string{"alder.example"}, MailOn: true, Mail: smtp, Text: hook, From: "account@alder.example", Security: "security@alder.example", Region: "DE",
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Now: s.now, Zone: time.UTC, Log: slog.New(slog.NewJSONHandler(w.log, nil)),
		Rates: reset.Rates{StartsPerOrigin: 10000, ChecksPerOrigin: 10000, SendsPerOrigin: 1000, SendsPerPerson: 1000}, Lanes: 4,
	}
	w.setup.Directories = []reset.Directory{w.directory(s)}
	if s.change != nil {
		s.change(&w.setup)
	}
	if s.wire != nil {
		s.wire(w)
	}
	w.srv = w.open()
	text := s.policy
	if text == "" {
		text = openPolicy
	}
	w.applyPolicy(text)
	return w, l
}

func (w *world) directory(s scene) reset.Directory {
	d := reset.Directory{Name: "corp", Label: "Alder directory", Claim: "userName", Attribute: "mail", Timeout: 3 * time.Second}
	var err error
	if s.slapd {
		w.slapd = testserver.Slapd(w.t)
		d.Adapter, err = ldap.New(ldap.Config{Name: "corp", URLs: []string{w.slapd.URL}, CAFile: w.slapd.CAFile, BindDN: w.slapd.ServiceDN,
			BindPassword: directory.NewSecret(w.slapd.ServicePassword), BaseDN: w.slapd.PeopleDN, DefaultPolicyDN: w.slapd.DefaultPolicyDN})
	} else {
		w.memory, err = memory.New(memory.Config{Name: "corp", Policy: directory.Policy{MinLength: 10, History: 3, LockoutThreshold: 6, LockoutDuration: time.Minute}, Iterations: 1000, Now: s.now})
		d.Adapter = w.memory
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// open wires a server on the world's database: the first, or another replica.
func (w *world) open() *Server {
	w.t.Helper()
	srv, err := New(w.t.Context(), w.setup)
	if err != nil {
		w.t.Fatal(err)
	}
	w.replicas = append(w.replicas, srv)
	return srv
}

func (w *world) serve(l net.Listener, noWork bool) {
	ctx, stop := context.WithCancel(context.Background())
	w.stopped, w.ended = stop, make(chan struct{})
	if noWork {
		w.srv.pool.Handlers = nil
		w.srv.pool.Queue = idle{}
	}
	go func() {
		defer close(w.ended)
		if err := w.srv.Serve(ctx, l); err != nil {
			w.t.Errorf("serve: %v", err)
		}
	}()
	w.t.Cleanup(func() {
		stop()
		<-w.ended
		cctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		if err := w.srv.Close(cctx); err != nil {
			w.t.Errorf("close: %v", err)
		}
		if w.t.Failed() {
			w.t.Log(w.log.tail(60))
		}
	})
}

// idle is a queue nobody works on: for tests that count statements.
type idle struct{}

func (idle) Claim(context.Context, time.Time, string, []string, []string, int, time.Duration) ([]event.Item, error) {
	return nil, nil
}
func (idle) Done(context.Context, event.Item) error                     { return nil }
func (idle) Retry(context.Context, event.Item, time.Time, string) error { return nil }
func (idle) Bury(context.Context, event.Item, string, time.Time) error  { return nil }
func (idle) Expand(context.Context, event.Item, []event.Child) error    { return nil }
func (idle) Wake() <-chan struct{}                                      { return nil }

func (w *world) applyPolicy(text string) {
	w.t.Helper()
	p, err := policy.Parse([]byte(text))
	if err == nil {
		_, err = w.srv.Store.ApplyPolicy(w.t.Context(), p, "test", w.now())
	}
	if err == nil {
		err = w.srv.Store.Refresh(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() time.Time {
	if w.setup.Now != nil {
		return w.setup.Now()
	}
	return time.Now()
}

// somebody is a person of a test.
type somebody struct {
	Login, ID, Email, Phone, Password string
	uid                               string
	Codes                             []string // recovery codes
	Seed                              []byte   // of the authenticator app
}

// add makes a person with an account in the directory and, unless told otherwise by nothing at all, the ways named,
// confirmed by themselves.
func (w *world) add(uid string, kinds ...method.Kind) *somebody {
	w.t.Helper()
	n := len(uid)*7 + int(uid[0])%50
	p := &somebody{uid: uid, Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: fmt.Sprintf("+4917139200%02d", n%100), Password: "the first password of " + uid, ID: newID()}
	if w.slapd != nil {
		w.slapd.AddUser(w.t, testserver.SlapdUser{Login: uid, Password: p.Password, Mail: p.Login,
			Attrs: map[string][]string{"pwdChangedTime": {w.now().Add(-48 * time.Hour).UTC().Format("20060102150405Z")}}})
	} else if err := w.memory.Put(memory.Account{Login: uid, Name: uid, Password: p.Password, Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: w.now().Add(-48 * time.Hour)}); err != nil {
		w.t.Fatal(err)
	}
	w.addPerson(p, kinds...)
	return p
}

// addPerson makes a person without touching the directory.
func (w *world) addPerson(p *somebody, kinds ...method.Kind) {
	w.t.Helper()
	now := w.now().Add(-72 * time.Hour)
	person := &account.Person{ID: p.ID, Version: 1, Epoch: 1, UserName: p.Login, Active: true, DisplayName: strings.ToUpper(p.uid[:1]) + p.uid[1:], Attrs: json.RawMessage(`{}`),
		Emails: []account.Contact{{Value: p.Login, Type: "work", Primary: true}}, Created: now, Updated: now}
	if err := w.srv.Store.CreatePerson(w.t.Context(), person, nil); err != nil {
		w.t.Fatal(err)
	}
	own := method.Root{Kind: method.ByPerson, ID: p.ID}
	var methods []method.Method
	var codes []method.Code
	for _, k := range kinds {
		m := method.Method{ID: newID(), Version: 1, Person: p.ID, Kind: k, Status: method.Active, Root: own, Created: now, Confirmed: now, Primary: true}
		switch k {
		case method.Email:
			m.Destination = p.Email
		case method.SMS:
			m.Destination = p.Phone
		case method.TOTP:
			p.Seed = []byte("12345678901234567890")
			m.Secret, m.Digits, m.Period, m.Display = p.Seed, 6, 30, "My phone"
		case method.Passkey:
			m.Secret = passkey.Credential{ID: []byte("the passkey of " + p.uid), PublicKey: []byte("no key that signs")}.Bytes()
		case method.RecoveryCode:
			for range 10 {
				shown, stored, err := newRecoveryCode(w.srv, m.ID)
				if err != nil {
					w.t.Fatal(err)
				}
				p.Codes, codes = append(p.Codes, shown), append(codes, stored)
			}
		}
		if m.Destination != "" {
			m.DestinationHash = w.srv.Store.DestinationHash(k, m.Destination)
		}
		methods = append(methods, m)
	}
	if len(methods) > 0 {
		if err := w.srv.Store.CreateMethods(w.t.Context(), p.ID, methods, codes); err != nil {
			w.t.Fatal(err)
		}
	}
}

// signsIn tries a password at the directory itself.
func (w *world) signsIn(p *somebody, password string) bool {
	if w.slapd != nil {
		return w.slapd.SignIn(w.t, p.uid, password)
	}
	return w.memory.SignIn(p.uid, password)
}

// mailCode waits for the n-th code sent to a mailbox.
func (w *world) mailCode(to string, n int) string {
	w.t.Helper()
	got := 0
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		got = 0
		for _, l := range w.mail.Letters(to) {
			if c := l.Code(); c != "" {
				if got++; got == n {
					return c
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("code %d to %s did not arrive (%d did)", n, to, got)
	return ""
}

// textCode waits for the n-th code sent to a phone.
func (w *world) textCode(to string, n int) string {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		got := 0
		for _, x := range w.sms.Texts(to) {
			if c := x.Code(); c != "" {
				if got++; got == n {
					return c
				}
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("text code %d to %s did not arrive", n, to)
	return ""
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(15 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within ten seconds: %s", what)
}

// events returns the types of what happened to a person, oldest first.
func (w *world) events(person string) []event.Event {
	w.t.Helper()
	list, err := w.srv.Store.EventsOf(w.t.Context(), person, "", 200)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

func (w *world) count(person string, types ...event.Type) int {
	n := 0
	for _, e := range w.events(person) {
		for _, t := range types {
			if e.Type == t {
				n++
			}
		}
	}
	return n
}

// connector makes a connector and returns its token.
func (w *world) connector(name string, trust client.Trust) string {
	w.t.Helper()
	a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
	token, err := a.CreateConnector(w.t.Context(), name, ConnectorSettings{Trust: string(trust), Groups: "yes"})
	if err == nil {
		err = w.srv.Store.Refresh(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// scim sends one request as an identity provider would.
func (w *world) scim(token, verb, path string, body any) (int, map[string]any) {
	w.t.Helper()
	return w.scimWith(token, verb, path, body)
}

// scimWith is scim with more header fields, alternating names and values.
func (w *world) scimWith(token, verb, path string, body any, header ...string) (int, map[string]any) {
	w.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), verb, w.base+"/scim/v2"+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]any{}
	if b, _ := io.ReadAll(res.Body); len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", verb, path, err, b)
		}
	}
	return res.StatusCode, out
}

// visitor is a browser without a screen: cookies, redirects, forms, and the headers a real one sends.
type visitor struct {
	w      *world
	client *http.Client
	Header http.Header
	From   string // address the visitor comes from, through the trusted proxy
}

func (w *world) visitor() *visitor {
	jar, _ := cookiejar.New(nil)
	return &visitor{w: w, client: &http.Client{Jar: jar}, Header: http.Header{}, From: "192.0.2.10"}
}

// sight is what a visitor sees.
type sight struct {
	Status  int
	Path    string
	Title   string
	H1      string
	Text    string
	HTML    string
	Header  http.Header
	Problem string // text of the error summary
}

func (v *visitor) get(path string) sight { return v.send(http.MethodGet, path, nil) }

// post sends a form given as alternating names and values.
func (v *visitor) post(path string, pairs ...string) sight {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, path, strings.NewReader(form.Encode()))
}

func (v *visitor) send(verb, path string, body io.Reader) sight {
	v.w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), verb, v.w.base+path, body)
	if err != nil {
		v.w.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	r.Header.Set("X-Forwarded-For", v.From)
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range v.Header {
		r.Header[name] = values
	}
	res, err := v.client.Do(r)
	if err != nil {
		v.w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.w.t.Fatal(err)
	}
	return look(v.w.t, res, b)
}

func look(t testing.TB, res *http.Response, b []byte) sight {
	t.Helper()
	s := sight{Status: res.StatusCode, Path: res.Request.URL.Path, HTML: string(b), Header: res.Header}
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var text func(*html.Node, *strings.Builder)
	text = func(n *html.Node, out *strings.Builder) {
		if n.Type == html.TextNode {
			if f := strings.Join(strings.Fields(n.Data), " "); f != "" {
				out.WriteString(f + " ")
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			text(c, out)
		}
	}
	for n := range doc.Descendants() {
		var b strings.Builder
		id := ""
		for _, a := range n.Attr {
			if a.Key == "id" {
				id = a.Val
			}
		}
		switch {
		case n.Data == "title" && s.Title == "":
			text(n, &b)
			s.Title = strings.TrimSpace(b.String())
		case n.Data == "h1" && s.H1 == "":
			text(n, &b)
			s.H1 = strings.TrimSpace(b.String())
		case n.Data == "main":
			text(n, &b)
			s.Text = strings.TrimSpace(b.String())
		case id == "problems":
			text(n, &b)
			s.Problem = strings.TrimSpace(b.String())
		}
	}
	return s
}

// want fails the test when the sight is not what it should be.
func (s sight) want(t testing.TB, status int, path string, texts ...string) sight {
	t.Helper()
	if s.Status != status || s.Path != path {
		t.Fatalf("got status %d at %s, want %d at %s\n%s", s.Status, s.Path, status, path, s.Text)
	}
	for _, x := range texts {
		if !strings.Contains(s.Text, x) {
			t.Fatalf("page %s lacks %q:\n%s", path, x, s.Text)
		}
	}
	return s
}

// proveTwice takes a visitor through mail and text message to the page for a new password.
func (v *visitor) proveTwice(p *somebody) {
	v.w.t.Helper()
	t := v.w.t
	nMail, nText := len(v.w.codes(p.Email)), v.w.textCodes(p.Phone)
	v.post("/reset", "login", p.Login).want(t, 200, "/choose")
	v.post("/choose", "way", "email").want(t, 200, "/code")
	v.post("/code", "code", v.w.mailCode(p.Email, nMail+1)).want(t, 200, "/choose")
	v.chooseKind("sms").want(t, 200, "/code")
	v.post("/code", "code", v.w.textCode(p.Phone, nText+1)).want(t, 200, "/new-password")
}

// textCodes counts the codes sent to a phone; notices go there, too.
func (w *world) textCodes(to string) (n int) {
	for _, x := range w.sms.Texts(to) {
		if x.Code() != "" {
			n++
		}
	}
	return n
}

func (w *world) codes(to string) []string {
	var out []string
	for _, l := range w.mail.Letters(to) {
		if c := l.Code(); c != "" {
			out = append(out, c)
		}
	}
	return out
}

// chooseKind picks the first own way whose label is that of the kind, after a first proof.
func (v *visitor) chooseKind(kind string) sight {
	v.w.t.Helper()
	page := v.get("/choose")
	label := map[string]string{"email": "Personal email", "sms": "Text message", "totp": "Authenticator app", "recovery-code": "Recovery code"}[kind]
	for _, part := range strings.Split(page.HTML, `<label class="choice">`)[1:] {
		if strings.Contains(part, "<b>"+label) {
			value := part[strings.Index(part, `value="`)+7:]
			return v.post("/choose", "way", value[:strings.Index(value, `"`)])
		}
	}
	v.w.t.Fatalf("no way %q on the page:\n%s", label, page.Text)
	return sight{}
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps a line.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(n int) string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
