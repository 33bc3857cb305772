package signal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

// have fails the test on an error.
func have[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// hand is a clock that only the test moves.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (c *hand) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *hand) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// signers are signing keys in memory.
type signers struct {
	mu   sync.Mutex
	keys []keyring.SigningKey
}

func (s *signers) SigningKeys(context.Context, string) ([]keyring.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, nil
}

func (s *signers) EnsureSigning(_ context.Context, purpose, alg string, _ time.Time) error {
	if purpose != keyring.ForEvents || alg != keyring.RS256 {
		return fmt.Errorf("a key of %s for %s", alg, purpose)
	}
	s.rotate(twoKeys()[2])
	return nil
}

func (s *signers) rotate(fresh keyring.SigningKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keyring.RotateSigning(s.keys, fresh)
}

// twoKeys are made once: an RSA key takes a while.
var twoKeys = sync.OnceValue(func() []keyring.SigningKey {
	var all []keyring.SigningKey
	for range 3 {
		k, err := keyring.NewSigningKey(keyring.RS256, time.Now())
		if err != nil {
			panic(err)
		}
		all = append(all, k)
	}
	return all
})

// logs is a log that the test reads.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wire is a service on a real store, behind a server on loopback, with the token endpoint that the handoff has.
type wire struct {
	t       *testing.T
	clock   *hand
	store   *store.Store
	svc     *Service
	signers *signers
	log     *logs
	base    string
	ca      *testserver.CA
	ada     *account.Person
	secrets map[string]string // of receivers, by key
}

func newWire(t *testing.T, kinds ...store.Kind) *wire {
	t.Helper()
	kind := store.SQLite
	if len(kinds) > 0 {
		kind = kinds[0]
	}
	w := &wire{t: t, clock: &hand{at: time.Now().UTC().Truncate(time.Second)}, log: &logs{}, signers: &signers{}, ca: testserver.NewCA(t), secrets: map[string]string{}}
	w.store = storetest.Open(t, kind, func(c *store.Config) { c.Now = w.clock.now })
	w.signers.rotate(twoKeys()[0])
	w.signers.rotate(twoKeys()[1])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + l.Addr().String()
	w.svc = have[*Service](t)(New(Config{Base: w.base, Organisation: "Alder Works", Store: w.store, Signing: w.signers, Keys: storetest.Ring(), Limits: w.store, Now: w.clock.now,
		HTTP: egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: w.ca.Pool, Timeout: 5 * time.Second}),
		Log:  slog.New(slog.NewTextHandler(w.log, nil))}))
	mux := http.NewServeMux()
	mux.Handle(PathWellKnown, w.svc.WellKnown())
	mux.Handle(PathSSF, w.svc.HTTP())
	mux.HandleFunc("POST /oauth2/token", func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		form, err := url.ParseQuery(string(raw))
		if err != nil || form.Get("grant_type") != "client_credentials" {
			http.Error(rw, "form", http.StatusBadRequest)
			return
		}
		w.svc.ClientCredentials(rw, r, form)
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}
	server.Start()
	t.Cleanup(server.Close)
	w.ada = w.person("ada", "ada@alder.example")
	return w
}

// person makes somebody who has signed in at the provider "corp" as sub-LOGIN.
func (w *wire) person(login, email string) *account.Person {
	w.t.Helper()
	p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: "c1", ExternalID: "ext-" + login, UserName: login + ".login", Active: true, DisplayName: login + " Display",
		Emails: []account.Contact{{Value: email, Type: "work", Primary: true}, {Value: login + "@home.example", Type: "home"}}, Attrs: []byte(`{}`), Created: w.clock.now(), Updated: w.clock.now()}
	if err := w.store.CreatePerson(w.t.Context(), p, nil); err != nil {
		w.t.Fatal(err)
	}
	bound := session.Binding{IDP: "corp", Key: login, Issuer: "https://idp.alder.example", Subject: "sub-" + login, Person: p.ID, Made: w.clock.now()}
	if _, err := w.store.Arrive(w.t.Context(), p.ID, &bound, "", func(p *account.Person) (*session.Session, []event.Event, error) {
		return nil, nil, nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// receiver registers a receiver of people by a format.
func (w *wire) receiver(key string, format client.SubjectFormat, hosts ...string) *client.Receiver {
	w.t.Helper()
	secret, hash := keyring.NewToken("rgn_receiver")
	r := &client.Receiver{Key: key, Name: key, Kind: client.ReceiverSSF, Format: format, Audience: "https://" + key + ".example", Hosts: hosts, Created: w.clock.now(), Updated: w.clock.now(),
		Secrets: []client.Token{{Hash: hash, Created: w.clock.now()}}}
	if err := w.store.CreateReceiver(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	w.secrets[key] = secret
	return r
}

// commit writes an event about somebody, as the change that brings it does.
func (w *wire) commit(p *account.Person, t event.Type, change ...func(event.Event) event.Event) event.Event {
	w.t.Helper()
	e := event.New(w.clock.now(), t, "person:"+p.ID, p.ID, uuid.Must(uuid.NewV7()).String(), event.Success)
	for _, f := range change {
		e = f(e)
	}
	_, err := w.store.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		p.Updated = p.Updated.Add(time.Microsecond)
		return []event.Event{e}, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// work does all that is due, and what comes of it, until nothing is.
func (w *wire) work() {
	w.t.Helper()
	handlers := w.svc.Handlers()
	var kinds []string
	for k := range handlers {
		kinds = append(kinds, k)
	}
	ctx := w.t.Context()
	for range 200 {
		items, err := w.store.Claim(ctx, w.clock.now(), "test", kinds, 8, time.Minute)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(items) == 0 {
			return
		}
		for _, row := range items {
			err := handlers[row.Kind](ctx, event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref, Tries: row.Tries - 1, NotAfter: row.NotAfter, Lease: row})
			if err := w.done(row, err); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.t.Fatal("work does not end")
}

func (w *wire) done(row store.Work, err error) error {
	ctx, now := w.t.Context(), w.clock.now()
	var expanded event.Expanded
	var later event.Later
	var dead event.Dead
	switch {
	case err == nil:
		return w.store.Done(ctx, row)
	case errors.As(err, &expanded):
		var rows []store.Work
		for _, c := range expanded {
			rows = append(rows, store.Work{Event: row.Event, Kind: c.Kind, Ref: c.Ref, NotBefore: row.NotBefore, NotAfter: row.NotAfter})
		}
		return w.store.Expand(ctx, row, rows)
	case errors.As(err, &later):
		return w.store.Retry(ctx, row, now.Add(later.After), later.Class)
	case errors.As(err, &dead):
		return w.store.Bury(ctx, row, now, dead.Class)
	}
	return w.store.Retry(ctx, row, now.Add(event.Backoff(row.Tries)), "error")
}

// token asks for an access token of a receiver.
func (w *wire) token(key string, scopes ...string) string {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")}}
	a := w.post("/oauth2/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic(key, w.secrets[key]))
	if a.status != http.StatusOK {
		w.t.Fatalf("token of %s: %d %s", key, a.status, a.body)
	}
	return a.json["access_token"].(string)
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(password))
	return r.Header.Get("Authorization")
}

// reply is an answer as a client sees it.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (w *wire) post(path, body string, headers ...string) reply {
	w.t.Helper()
	return w.ask(http.MethodPost, path, body, headers...)
}

func (w *wire) ask(verb, path, body string, headers ...string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), verb, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := reply{status: res.StatusCode, header: res.Header, body: string(raw)}
	_ = json.Unmarshal(raw, &a.json)
	return a
}

// call is a request with a token and JSON.
func (w *wire) call(token, verb, path, body string) reply {
	w.t.Helper()
	headers := []string{"Authorization", "Bearer " + token}
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	return w.ask(verb, path, body, headers...)
}

// strict is the receiver of testdata/receiver.mjs.
type strict struct {
	t        *testing.T
	Endpoint string // of its pushes
	host     string

	mu     sync.Mutex
	orders io.WriteCloser
	answer *bufio.Reader
	log    string
	kill   func()
}

// nodeAndScript returns the paths of Node.js and of the receiver's script, or skips the test, or fails it where servers
// are required.
func nodeAndScript(t *testing.T) (node, script string) {
	t.Helper()
	packages := filepath.Join("..", "app", "testdata", "node_modules")
	node, script = filepath.Join(packages, ".bin", "node"), filepath.Join("testdata", "receiver.mjs")
	for _, path := range []string{script, node, filepath.Join(packages, "jose", "package.json")} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		const text = "Node.js or the package jose is not installed: run make install"
		if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	node, err := filepath.Abs(node)
	if err != nil {
		t.Fatal(err)
	}
	return node, script
}

// strict starts the strict receiver for one that is registered. Its pushes must come to the host it says.
func (w *wire) strict(r *client.Receiver, secrets ...string) *strict {
	w.t.Helper()
	node, script := nodeAndScript(w.t)
	cert, key := w.ca.Issue(w.t, "receiver-"+r.Key, []string{"127.0.0.1"})
	s := &strict{t: w.t, log: filepath.Join(w.t.TempDir(), "log")}
	log, err := os.Create(s.log)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(node, script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.t.TempDir()}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.orders = have[io.WriteCloser](w.t)(cmd.StdinPipe())
	s.answer = bufio.NewReader(have[io.ReadCloser](w.t)(cmd.StdoutPipe()))
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	log.Close()
	s.kill = func() { _ = cmd.Process.Kill() }
	w.t.Cleanup(func() {
		s.orders.Close()
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("receiver: %v", err)
		}
		if said, _ := os.ReadFile(s.log); w.t.Failed() {
			w.t.Logf("receiver %s:\n%s", r.Key, said)
		}
	})
	pem := func(path string) string { return string(have[[]byte](w.t)(os.ReadFile(path))) }
	s.line(map[string]any{"base": w.base, "token_endpoint": w.base + "/oauth2/token", "client_id": r.Key, "client_secret": w.secrets[r.Key], "audience": r.Audience,
		"format": r.Format, "cert": pem(cert), "key": pem(key), "now": w.clock.now().Unix(), "secrets": append([]string{w.secrets[r.Key]}, secrets...)}, &s.Endpoint)
	s.host = strings.TrimPrefix(s.Endpoint, "https://")
	if _, err := w.store.UpdateReceiver(w.t.Context(), r.Key, func(r *client.Receiver) ([]event.Event, error) {
		r.Hosts = append(r.Hosts, s.host)
		return nil, nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// line writes one line and reads its answer.
func (s *strict) line(line map[string]any, value any) {
	s.t.Helper()
	if err := s.try(line, value); err != nil {
		said, _ := os.ReadFile(s.log)
		s.t.Fatalf("receiver %v: %v\n%s", line["order"], err, said)
	}
}

func (s *strict) try(line map[string]any, value any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	late := time.AfterFunc(30*time.Second, s.kill) // ends the read below
	defer late.Stop()
	if _, err := s.orders.Write(append(raw, '\n')); err != nil {
		return err
	}
	said, err := s.answer.ReadBytes('\n')
	if err != nil {
		return err
	}
	var a struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(said, &a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(a.Value, value)
}

// taken is an event that the strict receiver has verified.
type taken struct {
	JTI     string         `json:"jti"`
	Type    string         `json:"type"`
	Subject map[string]any `json:"subject"`
	Event   map[string]any `json:"event"`
	Txn     string         `json:"txn"`
	JWS     string         `json:"jws"`
	Times   int            `json:"times"`
	Issued  int64          `json:"iat"`
}

func (s *strict) events(stream string) (all []taken) {
	s.t.Helper()
	s.line(map[string]any{"order": "events", "stream": stream}, &all)
	return all
}

// unbroken fails the test when something came that broke a rule.
func (s *strict) unbroken() {
	s.t.Helper()
	var all []string
	s.line(map[string]any{"order": "broken"}, &all)
	for _, text := range all {
		s.t.Errorf("the strict receiver refused: %s", text)
	}
}
