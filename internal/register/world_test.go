package register_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	virtual "github.com/descope/virtualwebauthn"
	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

const (
	host = "reset.contoso.example"
	site = "https://" + host
	day  = 24 * time.Hour
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// from is where requests come from.
var from = reset.Origin{Addr: netip.MustParseAddr("192.0.2.7"), Agent: "Firefox, Linux", Lang: "en"}

// world is registering on a real store.
type world struct {
	t     testing.TB
	s     *store.Store
	reg   *register.Service
	ring  *keyring.Ring
	keys  *passkey.Relying
	clock time.Time
}

func newWorld(t testing.TB, kind store.Kind, rules string) *world {
	t.Helper()
	w := &world{t: t, ring: keyring.Generate(), clock: noon}
	w.s = storetest.Open(t, kind, func(c *store.Config) { c.Ring, c.Now = w.ring, w.now })
	var err error
	if w.keys, err = passkey.New(host, site, "Contoso"); err != nil {
		t.Fatal(err)
	}
	w.reg, err = register.New(register.Config{
		Store: w.s, Limits: w.s, Keys: w.ring, Policies: w.s, Passkeys: w.keys, Kinds: func() []method.Kind { return method.Kinds },
		Corporate: []string{"contoso.example"}, Region: "DE", Organisation: "Contoso: R&D", Now: w.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(rules)
	return w
}

func (w *world) now() time.Time { return w.clock }

func (w *world) apply(rules string) {
	w.t.Helper()
	if rules == "" {
		rules = "rules: [{name: everyone}]"
	}
	p, err := policy.Parse([]byte(rules))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.s.ApplyPolicy(w.t.Context(), p, "test", w.clock); err != nil {
		w.t.Fatal(err)
	}
}

// person makes somebody with ways that came two days ago.
func (w *world) person(name string, ways ...method.Method) *account.Person {
	w.t.Helper()
	p := &account.Person{UserName: name + "@contoso.example", DisplayName: name, Active: true, Created: w.clock, Updated: w.clock}
	if err := w.s.CreatePerson(w.t.Context(), p, nil); err != nil {
		w.t.Fatal(err)
	}
	for i := range ways {
		ways[i].Status, ways[i].Created = method.Active, w.clock.Add(-2*day)
		if ways[i].Root.Kind == "" {
			ways[i].Root = method.Root{Kind: method.ByPerson, ID: p.ID}
		}
	}
	if err := w.s.CreateMethods(w.t.Context(), p.ID, ways, nil); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// signIn gives somebody a session that was stepped up just now.
func (w *world) signIn(p *account.Person, replaces string, change ...func(*session.Session)) *session.Session {
	w.t.Helper()
	b := &session.Binding{IDP: "work", Key: p.ID, Person: p.ID, Issuer: "https://op.example", Subject: p.ID, Made: w.clock}
	s, err := w.s.Arrive(w.t.Context(), p.ID, b, replaces, func(p *account.Person) (*session.Session, []event.Event, error) {
		s := &session.Session{ID: uuid.Must(uuid.NewV7()).String(), Hash: []byte(rand.Text() + rand.Text())[:32], IDP: "work", Issuer: "https://op.example", Subject: p.ID, ACR: "mfa",
			AuthTime: w.clock, StepUp: w.clock, Network: "192.0.2.7/32", Agent: "Firefox", Started: w.clock, Seen: w.clock, Expires: w.clock.Add(session.Life)}
		for _, f := range change {
			f(s)
		}
		return s, nil, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) begin(s *session.Session, kind method.Kind, to string) *register.Enrolment {
	w.t.Helper()
	e, err := w.reg.Begin(w.t.Context(), s, from, kind, register.Input{Destination: to})
	if err != nil {
		w.t.Fatalf("begin %s %s: %v", kind, to, err)
	}
	return e
}

// deliver hands the code of an enrolment over and returns it, as the person reads it.
func (w *world) deliver(id string) string {
	w.t.Helper()
	d, err := w.reg.Prepare(w.t.Context(), id)
	if err != nil || d == nil {
		w.t.Fatalf("prepare: %+v, %v", d, err)
	}
	if err := w.reg.Delivered(w.t.Context(), d, ""); err != nil {
		w.t.Fatal(err)
	}
	return d.Code
}

func (w *world) confirm(s *session.Session, id, answer string) *register.Own {
	w.t.Helper()
	own, err := w.reg.Confirm(w.t.Context(), s, from, id, answer)
	if err != nil {
		w.t.Fatalf("confirm: %v", err)
	}
	return own
}

// addMail adds a private address, from the first word to the last.
func (w *world) addMail(s *session.Session, to string) *register.Own {
	w.t.Helper()
	e := w.begin(s, method.Email, to)
	return w.confirm(s, e.ID, w.deliver(e.ID))
}

func (w *world) sheet(s *session.Session, e *register.Enrolment) *register.Sheet {
	w.t.Helper()
	sheet, err := w.reg.Sheet(w.t.Context(), s, e)
	if err != nil {
		w.t.Fatal(err)
	}
	return sheet
}

func (w *world) method(p *account.Person, id string) method.Method {
	w.t.Helper()
	all := w.methods(p)
	i := slices.IndexFunc(all, func(m method.Method) bool { return m.ID == id })
	if i < 0 {
		w.t.Fatalf("no method %s", id)
	}
	return all[i]
}

func (w *world) methods(p *account.Person) []method.Method {
	w.t.Helper()
	all, err := w.s.Methods(w.t.Context(), p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// events are the types of what happened to somebody, the newest first.
func (w *world) events(p *account.Person) (types []event.Type, all []event.Event) {
	w.t.Helper()
	all, err := w.s.EventsOf(w.t.Context(), p.ID, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		types = append(types, e.Type)
	}
	return types, all
}

func (w *world) overview(s *session.Session) *register.Overview {
	w.t.Helper()
	o, err := w.reg.Overview(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// changePerson changes somebody behind everybody's back.
func (w *world) changePerson(p *account.Person, change func(*account.Person)) {
	w.t.Helper()
	_, err := w.s.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { change(p); return nil, nil })
	if err != nil {
		w.t.Fatal(err)
	}
}

// device is an authenticator that makes a passkey of the options it is given.
type device struct {
	rp   virtual.RelyingParty
	auth virtual.Authenticator
	key  virtual.Credential
}

func newDevice(p *account.Person) *device {
	d := &device{rp: virtual.RelyingParty{ID: host, Name: "Contoso", Origin: site},
		auth: virtual.NewAuthenticatorWithOptions(virtual.AuthenticatorOptions{UserHandle: reset.Handle(p.ID)})}
	for d.key.Key == nil || len(d.key.Key.AttestationData()) != 77 { // the library cuts leading zeros, which no authenticator does
		d.key = virtual.NewCredential(virtual.KeyTypeEC2)
	}
	return d
}

func (d *device) create(t testing.TB, options []byte) string {
	t.Helper()
	o, err := virtual.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	return virtual.CreateAttestationResponse(d.rp, d.auth, d.key, *o)
}

// says fails the test unless an error is of a kind and says a key.
func says(t testing.TB, what string, err error, kind fault.Kind, key string) {
	t.Helper()
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != kind || string(e.Say.Key) != key {
		t.Errorf("%s: got %v, want %s (%s)", what, err, kind, key)
	}
}

func each(t *testing.T, fn func(t *testing.T, kind store.Kind)) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) { fn(t, kind) })
	}
}

// paused is what a connector says of somebody who may not reset.
var paused = json.RawMessage(`{"urn:ietf:params:scim:schemas:extension:regain:2.0:User":{"resetAllowed":false}}`)
