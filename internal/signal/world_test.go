package signal_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

const issuer = "https://account.example.org"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// clock is a clock that the test moves.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	walks bool // it goes by itself, for what is measured
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.walks {
		return time.Now().UTC()
	}
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// keyBox holds signing keys in memory.
type keyBox struct {
	mu   sync.Mutex
	keys []keyring.SigningKey
}

func (b *keyBox) SigningKeys(_ context.Context, purpose string) ([]keyring.SigningKey, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if purpose != keyring.ForEvents {
		return nil, errors.New("events are signed by keys for events")
	}
	return b.keys, nil
}

func (b *keyBox) EnsureSigning(context.Context, string, string, time.Time) error { return nil }

func (b *keyBox) rotate(fresh keyring.SigningKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = keyring.RotateSigning(b.keys, fresh)
}

// published is the key set as receivers get it.
func (b *keyBox) published(t testing.TB) jwk.Set {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	return ok[jwk.Set](t)(jwk.Parse(ok[[]byte](t)(keyring.JWKS(b.keys...))))
}

// rsaKeys are made once: one takes a while.
var rsaKeys = sync.OnceValue(func() (all []keyring.SigningKey) {
	for range 2 {
		k, err := keyring.NewSigningKey(keyring.RS256, time.Now())
		if err != nil {
			panic(err)
		}
		all = append(all, k)
	}
	return all
})

// buffer is a log that the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is a service on a real store.
type world struct {
	t     testing.TB
	s     *store.Store
	clock *clock
	keys  *keyBox
	log   *buffer
	svc   *signal.Service
	ada   *account.Person
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newWorld(t testing.TB, s *store.Store, options ...egress.Options) *world {
	t.Helper()
	o := egress.Options{Allow: loopback, Timeout: 2 * time.Second}
	if len(options) > 0 {
		o = options[0]
	}
	w := &world{t: t, s: s, clock: &clock{at: time.Now().UTC().Truncate(time.Microsecond)}, keys: &keyBox{}, log: &buffer{}}
	w.keys.rotate(rsaKeys()[0])
	w.svc = w.service(egress.New(o))
	w.ada = w.person("ada")
	return w
}

// service is one replica's.
func (w *world) service(c *http.Client) *signal.Service {
	w.t.Helper()
	return ok[*signal.Service](w.t)(signal.New(signal.Config{Base: issuer, Organisation: "Example", Store: w.s, Signing: w.keys, Keys: storetest.Ring(), HTTP: c, Limits: w.s,
		Now: w.clock.now, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}))
}

// each runs a test on both engines.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, s *store.Store) { fn(t, newWorld(t, s)) })
}

// person is somebody with names that no receiver of opaque names may see, who has signed in at work.
func (w *world) person(name string) *account.Person {
	w.t.Helper()
	p := &account.Person{ID: newID(), Connector: "c", ExternalID: "ext-" + name, UserName: name + ".canary-login", Active: true, DisplayName: name + " Canary-Name",
		Emails: []account.Contact{{Value: name + "@canary-mail.example", Type: "work", Primary: true}}, Attrs: []byte(`{}`), Created: w.clock.now(), Updated: w.clock.now()}
	must(w.t, w.s.CreatePerson(w.t.Context(), p, nil))
	b := session.Binding{IDP: "work", Key: name, Issuer: "https://idp.example", Subject: "sub-" + name, Person: p.ID, Made: w.clock.now()}
	ok[*session.Session](w.t)(w.s.Arrive(w.t.Context(), p.ID, &b, "", func(*account.Person) (*session.Session, []event.Event, error) { return nil, nil, nil }))
	return p
}

// hook registers a receiver of webhooks at an address, and returns it with the secret it verifies by.
func (w *world) hook(key, address string, change ...func(*client.Receiver)) *client.Receiver {
	w.t.Helper()
	r := &client.Receiver{Key: key, Name: key, Kind: client.ReceiverWebhook, Format: client.FormatOpaque, URL: address, Created: w.clock.now(), Updated: w.clock.now(),
		Sign: []client.SignSecret{{Secret: []byte("0123456789abcdef-" + key + "-0123456789")[:32], Created: w.clock.now()}}}
	for _, f := range change {
		f(r)
	}
	must(w.t, w.s.CreateReceiver(w.t.Context(), r))
	return r
}

// stream registers a receiver of security events and its stream to an address.
func (w *world) stream(key, address string, change ...func(*client.Receiver, *client.Stream)) (*client.Receiver, *client.Stream) {
	w.t.Helper()
	u := ok[*url.URL](w.t)(url.Parse(address))
	r := &client.Receiver{Key: key, Name: key, Kind: client.ReceiverSSF, Format: client.FormatIssSub, Audience: "https://" + key + ".example", Hosts: []string{u.Host}, Created: w.clock.now(), Updated: w.clock.now()}
	st := &client.Stream{Delivery: client.DeliverPush, Endpoint: address, Authorization: "Bearer canary-" + key, Status: client.StreamEnabled, Created: w.clock.now(), Updated: w.clock.now()}
	for _, f := range change {
		f(r, st)
	}
	must(w.t, w.s.CreateReceiver(w.t.Context(), r))
	st.Receiver = r.ID
	must(w.t, w.s.CreateStream(w.t.Context(), st))
	return r, st
}

// happened commits an event about somebody.
func (w *world) happened(p *account.Person, t event.Type, facts ...any) event.Event {
	w.t.Helper()
	e := event.New(w.clock.now(), t, "person:"+p.ID, p.ID, newID(), event.Success).Sealed("agent", "canary-agent")
	for i := 0; i < len(facts); i += 2 {
		e = e.With(facts[i].(string), facts[i+1])
	}
	must(w.t, w.s.Record(w.t.Context(), e))
	return e
}

// work does all that is due now, and what comes of it, and returns how many items that were.
func (w *world) work() (n int) {
	w.t.Helper()
	for range 500 {
		done := w.step(8)
		if done == 0 {
			return n
		}
		n += done
	}
	w.t.Fatal("the work has no end")
	return n
}

// step does what is due, at most n items, one after the other.
func (w *world) step(n int) int {
	w.t.Helper()
	handlers := w.svc.Handlers()
	rows := ok[[]store.Work](w.t)(w.s.Claim(w.t.Context(), w.clock.now(), "test", []string{"signal", "set", "webhook"}, n, time.Minute))
	for _, row := range rows {
		err := handlers[row.Kind](w.t.Context(), item(row))
		if dead, is := errors.AsType[event.Dead](err); is {
			fmt.Fprintln(w.log, dead.Err) // as the pool of workers does
		}
		fmt.Fprintln(w.log, err)
		must(w.t, settle(w.t.Context(), w.s, row, err, w.clock.now()))
	}
	return len(rows)
}

func item(row store.Work) event.Item {
	return event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref, Tries: row.Tries - 1, NotAfter: row.NotAfter, Lease: row}
}

// settle says what became of an item, as a pool of workers does.
func settle(ctx context.Context, s *store.Store, row store.Work, err error, now time.Time) error {
	if expanded, is := errors.AsType[event.Expanded](err); is {
		var rows []store.Work
		for _, c := range expanded {
			rows = append(rows, store.Work{Event: row.Event, Kind: c.Kind, Ref: c.Ref, NotBefore: row.NotBefore, NotAfter: row.NotAfter})
		}
		return s.Expand(ctx, row, rows)
	}
	if later, is := errors.AsType[event.Later](err); is {
		return s.Retry(ctx, row, now.Add(later.After), later.Class)
	}
	if dead, is := errors.AsType[event.Dead](err); is {
		return s.Bury(ctx, row, now, dead.Class)
	}
	if err != nil {
		return err
	}
	return s.Done(ctx, row)
}

func (w *world) health(id string) client.Health {
	w.t.Helper()
	return ok[[]client.Health](w.t)(w.s.Health(w.t.Context(), id))[0]
}

// heard is one request a receiver got.
type heard struct {
	head http.Header
	body []byte
}

// ear is a receiver's server: it keeps what it gets and answers as it is told.
type ear struct {
	*httptest.Server
	mu     sync.Mutex
	got    []heard
	answer func(n int, w http.ResponseWriter, r *http.Request) // n: the how-manieth request, from 1
}

func newEar(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *ear {
	t.Helper()
	e := &ear{answer: answer}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		e.mu.Lock()
		e.got = append(e.got, heard{r.Header.Clone(), body})
		n, answer := len(e.got), e.answer
		e.mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// status is an ear's answer that is always the same.
func status(code int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (e *ear) reply(answer func(int, http.ResponseWriter, *http.Request)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *ear) all() []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// token is a security event token that was verified.
type token struct {
	Issuer   string            `json:"iss"`
	ID       string            `json:"jti"`
	Issued   int64             `json:"iat"`
	Audience string            `json:"aud"`
	Txn      string            `json:"txn"`
	Subject  map[string]string `json:"sub_id"`
	Events   map[string]struct {
		Timestamp int64             `json:"event_timestamp"`
		Type      string            `json:"credential_type"`
		Change    string            `json:"change_type"`
		By        string            `json:"initiating_entity"`
		Reason    map[string]string `json:"reason_admin"`
		Status    string            `json:"status"`
		Why       string            `json:"reason"`
		State     *string           `json:"state"`
		Subject   map[string]string `json:"subject"`
	} `json:"events"`
}

// name is the one event type of a token, without what stands before it.
func (k token) name() string {
	for u := range k.Events {
		return u[strings.LastIndexByte(u, '/')+1:]
	}
	return ""
}

// set verifies one request as a strict receiver does: signature by a published key, type, members, and nothing more than
// there may be (RFC 8417 §2.2, §4; SSF 1.0 §4).
func (w *world) set(h heard) token {
	w.t.Helper()
	if got := h.head.Get("Content-Type"); got != "application/secevent+jwt" {
		w.t.Errorf("content type %q", got)
	}
	if got := h.head.Get("Accept"); got != "application/json" {
		w.t.Errorf("accept %q", got)
	}
	message := ok[*jws.Message](w.t)(jws.Parse(h.body))
	if len(message.Signatures()) != 1 {
		w.t.Fatalf("%d signatures", len(message.Signatures()))
	}
	head := message.Signatures()[0].ProtectedHeaders()
	typ, _ := head.Type()
	alg, _ := head.Algorithm()
	kid, _ := head.KeyID()
	if typ != "secevent+jwt" || alg != jwa.RS256() || kid == "" {
		w.t.Errorf("header typ %q, alg %v, kid %q", typ, alg, kid)
	}
	payload := ok[[]byte](w.t)(jws.Verify(h.body, jws.WithKeySet(w.keys.published(w.t), jws.WithRequireKid(true))))
	var members map[string]any
	must(w.t, json.Unmarshal(payload, &members))
	for name := range members {
		if !slices.Contains([]string{"iss", "jti", "iat", "aud", "txn", "sub_id", "events"}, name) {
			w.t.Errorf("the token has a member %q", name)
		}
	}
	var k token
	must(w.t, json.Unmarshal(payload, &k))
	if k.Issuer != issuer || k.ID == "" || k.Audience == "" || len(k.Events) != 1 || k.Issued == 0 || time.Unix(k.Issued, 0).After(w.clock.now().Add(time.Minute)) {
		w.t.Errorf("got %s", payload)
	}
	return k
}

// sets are all the tokens an ear got.
func (w *world) sets(e *ear) (all []token) {
	w.t.Helper()
	for _, h := range e.all() {
		all = append(all, w.set(h))
	}
	return all
}

// webhook is the body of one that was verified.
type webhook struct {
	Type string         `json:"type"`
	At   time.Time      `json:"timestamp"`
	Data map[string]any `json:"data"`
}

// verify checks one request by one secret, as Standard Webhooks says, and returns its id.
func (w *world) verify(h heard, secret []byte) (id string, hook webhook) {
	w.t.Helper()
	id, stamp := h.head.Get("Webhook-Id"), h.head.Get("Webhook-Timestamp")
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(id + "." + stamp + "." + string(h.body)))
	want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
	if !slices.Contains(strings.Split(h.head.Get("Webhook-Signature"), " "), want) || id == "" {
		w.t.Errorf("signature %q, want %q among them", h.head.Get("Webhook-Signature"), want)
	}
	if got := h.head.Get("Content-Type"); got != "application/json" {
		w.t.Errorf("content type %q", got)
	}
	must(w.t, json.Unmarshal(h.body, &hook))
	return id, hook
}

// way gives somebody a way to prove who they are, for events that name it.
func (w *world) way(p *account.Person, m method.Method) string {
	w.t.Helper()
	m.ID, m.Person, m.Status, m.Created, m.Root = newID(), p.ID, method.Active, w.clock.now(), method.Root{Kind: method.ByPerson, ID: p.ID}
	ok[*account.Person](w.t)(w.s.UpdatePerson(w.t.Context(), p.ID, "", func(_ *account.Person, all *[]method.Method) ([]event.Event, error) {
		*all = append(*all, m)
		return nil, nil
	}))
	return m.ID
}

// storeOn is a store for what does not depend on the engine.
func storeOn(t testing.TB) *store.Store {
	t.Helper()
	return storetest.Open(t, store.SQLite)
}

// ref names a delivery with a word about it.
func ref(id, name, arg string) string {
	return id + " " + name + " " + base64.RawURLEncoding.EncodeToString([]byte(arg))
}

func decoded(part string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err) // a token of ours
	}
	return b
}
