package signin

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
)

const eventToken = "event-canary-0123456789-0123456789"

// bothEngines runs a test on each engine.
func bothEngines(t *testing.T, f func(t *testing.T, kind store.Kind)) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) { f(t, kind) })
	}
}

// listening is a world whose providers may tell of their people.
func listening(t *testing.T, change ...func(*options)) *world {
	return newWorld(t, append([]func(*options){func(o *options) {
		o.provider = func(_ int, c *ProviderConfig) { c.Events = &Events{Token: eventToken} }
	}}, change...)...)
}

// set are the claims of a security event about the provider's account of sub.
func (o *op) set(kind, sub string, more map[string]any) map[string]any {
	now := o.now().Unix()
	c := map[string]any{"iss": o.issuer(), "jti": uuid.NewString(), "iat": now, "aud": base, "txn": "t1",
		"sub_id": map[string]any{"format": "iss_sub", "iss": o.issuer(), "sub": sub},
		"events": map[string]any{kind: map[string]any{"event_timestamp": now, "initiating_entity": "policy", "reason_admin": map[string]any{"en": "x"}}}}
	maps.Copy(c, more)
	return c
}

// signSet signs claims as a security event.
func (o *op) signSet(c map[string]any) string {
	return o.sign(marshal(o.t, c), o.key, o.kid, o.alg, map[string]any{"typ": "secevent+jwt"})
}

// push sends a body as a transmitter does; change spoils the request.
func (w *world) push(idp, body string, change ...func(*http.Request)) answer {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/signin/"+idp+"/events", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/secevent+jwt")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+eventToken)
	r.Header.Set("Sec-Fetch-Site", "cross-site") // no browser's business
	r.RemoteAddr = "203.0.113.9:1"
	for _, f := range change {
		f(r)
	}
	rec := httptest.NewRecorder()
	w.site.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Body.String(), "", rec.Header()}
}

// tell pushes a good event and wants it acknowledged.
func (w *world) tell(kind, sub string, more map[string]any) {
	w.t.Helper()
	if a := w.push("corp", w.op.signSet(w.op.set(kind, sub, more))); a.code != http.StatusAccepted || a.body != "" {
		w.t.Fatalf("%s: status %d: %s", kind, a.code, a.body)
	}
}

type methods = []method.Method

// tied makes an account of the provider somebody's, as a sign-in does.
func (w *world) tied(p *account.Person, sub string) {
	w.t.Helper()
	w.arrive(p, sub, nil)
}

// sessionOf is somebody signed in.
func (w *world) sessionOf(p *account.Person, sub string) *session.Session {
	w.t.Helper()
	_, hash := session.Secret()
	now := w.clock.now()
	return w.arrive(p, sub, &session.Session{Hash: hash, IDP: "corp", Issuer: w.op.issuer(), Subject: sub, Started: now, Seen: now, Expires: now.Add(session.Life)})
}

func (w *world) arrive(p *account.Person, sub string, s *session.Session) *session.Session {
	w.t.Helper()
	tie := &session.Binding{IDP: "corp", Key: sub, Person: p.ID, Issuer: w.op.issuer(), Subject: sub, Made: w.clock.now()}
	made, err := w.store.Arrive(w.t.Context(), p.ID, tie, "", func(*account.Person) (*session.Session, []event.Event, error) { return s, nil, nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// now returns the person as they are.
func (w *world) now(p *account.Person) *account.Person {
	w.t.Helper()
	got, err := w.store.Person(w.t.Context(), p.ID)
	if err != nil || got == nil {
		w.t.Fatalf("person %s: %v", p.ID, err)
	}
	return got
}

// word is the error word of RFC 8935 §2.4 in an answer.
func (a answer) word(t *testing.T) string {
	t.Helper()
	var e struct{ Err, Description string }
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Description == "" || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%q is no error of RFC 8935: %v, %v", a.body, err, a.header)
	}
	return e.Err
}

func TestSessionsRevokedEndTheSessionsThatProviderMade(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		for _, name := range []string{caep + "session-revoked", risc + "sessions-revoked"} {
			w := listening(t, func(o *options) { o.kind, o.providers = kind, 2 })
			one, two, elsewhere := w.browser(), w.browser(), w.browser()
			w.ops[1].sub = "other-sub-ada"
			for _, b := range []*browser{one, two} {
				b.follow(b.get("/signin/corp"))
			}
			elsewhere.follow(elsewhere.get("/signin/partner"))
			if one.session() == nil || two.session() == nil || elsewhere.session() == nil {
				t.Fatal("not signed in")
			}
			w.tell(name, "sub-ada", nil)
			if one.session() != nil || two.session() != nil {
				t.Errorf("%s: a session goes on", name)
			}
			if p := w.now(w.ada); elsewhere.session() == nil || p.Epoch != w.ada.Epoch || len(p.Alerts) != 0 {
				t.Errorf("%s: more ended than the provider made: %+v", name, p)
			}
			if got := w.events(w.ada.ID); !slices.Equal(got[len(got)-3:], []string{"signal.received", "session.ended idp", "session.ended idp"}) {
				t.Errorf("%s: told as %q", name, got)
			}
		}
	})
}

func TestACompromiseEndsEverythingAndRaisesAnAlertForSevenDays(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		w := listening(t, func(o *options) { o.kind = kind })
		b := w.browser()
		b.signIn()
		w.tell(risc+"credential-compromise", "sub-ada", map[string]any{"iat": w.clock.now().Add(-time.Hour).Unix()})
		p := w.now(w.ada)
		if b.session() != nil || p.Epoch != w.ada.Epoch+1 || len(p.Alerts) != 1 {
			t.Fatalf("session %v, %+v", b.session(), p)
		}
		a := p.Alerts[0]
		if want := w.clock.now().Add(7*24*time.Hour - time.Hour); a.IDP != "corp" || a.Kind != account.Compromised || !a.Until.Equal(want) {
			t.Errorf("alert %+v, want until %s", a, want)
		}
		if p.Barred(w.clock.now()) || !p.Distrusts("corp", w.clock.now()) || p.Distrusts("corp", a.Until) {
			t.Error("it does not hold for its time")
		}
	})
}

func TestACredentialThatAnAdministratorRevokedIsACompromiseAndNoOtherChangeIs(t *testing.T) {
	w := listening(t)
	w.browser().signIn()
	change := func(change, by string) {
		w.tell(caep+"credential-change", "sub-ada", map[string]any{"events": map[string]any{
			caep + "credential-change": map[string]any{"credential_type": "password", "change_type": change, "initiating_entity": by}}})
	}
	for _, mild := range [][2]string{{"update", "user"}, {"update", "admin"}, {"revoke", "user"}, {"revoke", ""}, {"create", "admin"}, {"", "admin"}} {
		change(mild[0], mild[1])
		if p := w.now(w.ada); len(p.Alerts) != 0 || p.Epoch != w.ada.Epoch {
			t.Errorf("%q by %q: %+v", mild[0], mild[1], p.Alerts)
		}
	}
	change("revoke", "admin")
	if p := w.now(w.ada); len(p.Alerts) != 1 || p.Alerts[0].Kind != account.Compromised {
		t.Errorf("alerts %+v", p.Alerts)
	}
}

func TestOnlyTheProviderThatShutAnAccountOpensItAgain(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		w := listening(t, func(o *options) { o.kind, o.providers = kind, 2 })
		w.ops[1].sub = "other-sub-ada"
		for _, idp := range []string{"corp", "partner"} {
			b := w.browser()
			b.follow(b.get("/signin/" + idp))
		}
		at := w.clock.now()
		w.tell(risc+"account-disabled", "sub-ada", nil)
		w.tell(risc+"credential-compromise", "sub-ada", nil)
		w.clock.pass(time.Hour)
		barred := func() bool { return w.now(w.ada).Barred(w.clock.now()) }
		// The other provider, for its own account of the same person.
		if a := w.push("partner", w.ops[1].signSet(w.ops[1].set(risc+"account-enabled", "other-sub-ada", nil))); a.code != http.StatusAccepted || !barred() {
			t.Errorf("the other provider opened it: %d", a.code)
		}
		// What it said before it shut the account, and what came late.
		w.tell(risc+"account-enabled", "sub-ada", map[string]any{"iat": at.Add(-time.Minute).Unix()})
		if !barred() {
			t.Error("opened by what was said before it was shut")
		}
		w.tell(risc+"account-enabled", "sub-ada", nil)
		if p := w.now(w.ada); barred() || len(p.AlertsAt(w.clock.now())) != 1 || p.Alerts[0].Kind != account.Compromised {
			t.Errorf("after it was opened: %+v", p.Alerts)
		}
		// What staff confirmed stays, whatever the provider says.
		w.tell(risc+"account-disabled", "sub-ada", nil)
		w.confirm(w.ada, account.Disabled)
		w.clock.pass(time.Hour)
		w.tell(risc+"account-enabled", "sub-ada", nil)
		w.clock.pass(30 * 24 * time.Hour)
		if !barred() {
			t.Error("what staff confirmed is over")
		}
	})
}

func (w *world) confirm(p *account.Person, kind account.AlertKind) {
	w.t.Helper()
	_, err := w.store.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, _ *methods) ([]event.Event, error) {
		if !p.Confirm("corp", kind, "person:staff", w.clock.now()) {
			w.t.Error("not confirmed")
		}
		return nil, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAProviderThatShutsTooManyKeepsNobodyElseFromResetting(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		w := listening(t, func(o *options) { o.kind = kind })
		var people []*account.Person
		for i := range 120 {
			login := "p" + uuid.NewString()[:8] + "@alder.example"
			p := w.person(login)
			people = append(people, p)
			w.tied(p, "sub-"+string(rune('a'+i/26))+string(rune('a'+i%26)))
		}
		subject := func(i int) string { return "sub-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
		shut := func() (n int) {
			for _, p := range people {
				if w.now(p).Barred(w.clock.now()) {
					n++
				}
			}
			return n
		}
		// 24 of 120 are one in five: as many as may be.
		for i := range 24 {
			w.tell(risc+"account-disabled", subject(i), nil)
		}
		w.tell(risc+"account-disabled", subject(3), nil) // somebody once more is nobody more
		if n := shut(); n != 24 {
			t.Fatalf("%d of 24 are shut", n)
		}
		se := w.sessionOf(people[30], subject(30))
		for i := 24; i < 40; i++ {
			w.tell(risc+"account-disabled", subject(i), nil)
		}
		if n := shut(); n != 24 {
			t.Errorf("%d are shut, want 24", n)
		}
		if got, err := w.store.SessionByID(t.Context(), se.ID); err != nil || got.Ended.IsZero() {
			t.Errorf("of those beyond, a session goes on: %v", err)
		}
		if p := w.now(people[30]); p.Epoch != people[30].Epoch || len(p.Alerts) != 0 {
			t.Errorf("more than sessions ended: %+v", p)
		}
		told := func() (n int) {
			for _, e := range w.events("") {
				if e == string(event.SignalFlooded) {
					n++
				}
			}
			return n
		}
		if n := told(); n != 1 {
			t.Errorf("administrators are told %d times", n)
		}
		// Ten minutes later it is believed again, and a compromise was never held back.
		w.clock.pass(session.CrowdTime)
		w.tell(risc+"account-disabled", subject(100), nil)
		w.tell(risc+"credential-compromise", subject(101), nil)
		if n := shut(); n != 25 || len(w.now(people[101]).Alerts) != 1 {
			t.Errorf("%d are shut, want 25", n)
		}
	})
}

func TestRacersShutNoMoreThanMayBe(t *testing.T) {
	w := listening(t, func(o *options) { o.kind = store.PostgreSQL })
	var people []*account.Person
	for range 40 {
		p := w.person(uuid.NewString() + "@alder.example")
		w.tied(p, "sub-"+p.ID)
		people = append(people, p)
	}
	done := make(chan int)
	for _, p := range people {
		body := w.op.signSet(w.op.set(risc+"account-disabled", "sub-"+p.ID, nil))
		go func() { done <- w.push("corp", body).code }()
	}
	for range people {
		if code := <-done; code != http.StatusAccepted {
			t.Errorf("status %d", code)
		}
	}
	n := 0
	for _, p := range people {
		if w.now(p).Barred(w.clock.now()) {
			n++
		}
	}
	if n != 20 {
		t.Errorf("%d are shut, want 20 to the one", n)
	}
}

func TestAnEventCountsOnceHoweverOftenItComes(t *testing.T) {
	bothEngines(t, func(t *testing.T, kind store.Kind) {
		w := listening(t, func(o *options) { o.kind = kind })
		w.browser().signIn()
		body := w.op.signSet(w.op.set(risc+"credential-compromise", "sub-ada", nil))
		done := make(chan int)
		for range 16 {
			go func() { done <- w.push("corp", body).code }()
		}
		for range 16 {
			if code := <-done; code != http.StatusAccepted {
				t.Errorf("status %d", code)
			}
		}
		if p := w.now(w.ada); p.Epoch != w.ada.Epoch+1 {
			t.Errorf("epoch %d, want %d", p.Epoch, w.ada.Epoch+1)
		}
		// Lifted by staff, and replayed as long as it would be young enough.
		if _, err := w.store.UpdatePerson(t.Context(), w.ada.ID, "", func(p *account.Person, _ *methods) ([]event.Event, error) {
			p.Lift("corp", account.Compromised, w.clock.now())
			return nil, nil
		}); err != nil {
			t.Fatal(err)
		}
		w.clock.pass(7*24*time.Hour - time.Second)
		if a := w.push("corp", body); a.code != http.StatusAccepted || len(w.now(w.ada).Alerts) != 0 {
			t.Errorf("replayed: status %d, %+v", a.code, w.now(w.ada).Alerts)
		}
	})
}

func TestAnOlderTransmitterNamesThePersonInsideTheEvent(t *testing.T) {
	for _, format := range []map[string]any{{"format": "iss_sub"}, {"subject_type": "iss-sub"}, {"subject_type": "iss_sub"}} {
		w := listening(t)
		b := w.browser()
		b.signIn()
		who := map[string]any{"iss": w.op.issuer(), "sub": "sub-ada"}
		maps.Copy(who, format)
		c := w.op.set(risc+"sessions-revoked", "", map[string]any{"events": map[string]any{risc + "sessions-revoked": map[string]any{"subject": who}}})
		delete(c, "sub_id")
		if a := w.push("corp", w.op.signSet(c)); a.code != http.StatusAccepted || b.session() != nil {
			t.Errorf("%v: status %d, session %v", format, a.code, b.session())
		}
	}
}

func TestTheKeysOfEventsAreFoundWhereTheTransmitterSays(t *testing.T) {
	document := func(o *op, jwks string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/.well-known/ssf-configuration":
				reply(rw, map[string]any{"issuer": o.srv.URL, "jwks_uri": o.srv.URL + jwks})
			case "/event-keys":
				reply(rw, map[string]any{"keys": []any{public(o.t, rsaKey(), "events")}})
			default:
				return false
			}
			return true
		}
	}
	t.Run("its document", func(t *testing.T) {
		w := listening(t)
		w.browser().signIn()
		w.op.handle = document(w.op, "/event-keys")
		c := w.op.set(caep+"session-revoked", "sub-ada", nil)
		if a := w.push("corp", w.op.signSet(c)); a.code != http.StatusBadRequest || a.word(t) != "invalid_key" {
			t.Errorf("signed with the key of ID tokens: status %d", a.code)
		}
		if a := w.push("corp", w.op.sign(marshal(t, c), rsaKey(), "events", jwa.RS256(), map[string]any{"typ": "secevent+jwt"})); a.code != http.StatusAccepted {
			t.Errorf("signed with its key: status %d: %s", a.code, a.body)
		}
	})
	t.Run("no document", func(t *testing.T) {
		w := listening(t)
		w.browser().signIn()
		w.tell(caep+"session-revoked", "sub-ada", nil)
		if n := w.op.count("/.well-known/ssf-configuration"); n != 1 {
			t.Errorf("%d looks for the document", n)
		}
	})
	t.Run("the configuration", func(t *testing.T) {
		w := newWorld(t, func(o *options) {
			o.provider = func(_ int, c *ProviderConfig) {
				c.Events = &Events{Token: eventToken, JWKS: c.Issuer + "/event-keys", Issuer: "https://events.alder.example", Audience: "crm"}
			}
		})
		w.browser().signIn()
		w.op.handle = document(w.op, "/event-keys")
		c := w.op.set(caep+"session-revoked", "sub-ada", map[string]any{"iss": "https://events.alder.example", "aud": []string{"other", "crm"}})
		if a := w.push("corp", w.op.sign(marshal(t, c), rsaKey(), "events", jwa.RS256(), map[string]any{"typ": "secevent+jwt"})); a.code != http.StatusAccepted || w.op.count("/.well-known/ssf-configuration") != 0 {
			t.Errorf("status %d: %s", a.code, a.body)
		}
	})
	// Whatever is wrong for a while is not told as if the event were wrong: it would never come again.
	for name, handle := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"its document is broken": func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(http.StatusBadGateway); return true },
		"its document is another's": func(rw http.ResponseWriter, r *http.Request) bool {
			reply(rw, map[string]any{"issuer": "https://x.example", "jwks_uri": "http://" + r.Host + "/jwks"})
			return true
		},
		"its document names no keys": func(rw http.ResponseWriter, r *http.Request) bool {
			reply(rw, map[string]any{"issuer": "http://" + r.Host})
			return true
		},
		"its document is of a browser": func(rw http.ResponseWriter, _ *http.Request) bool { rw.Write([]byte("<html>")); return true }, //nolint:errcheck
	} {
		w := listening(t)
		b := w.browser()
		b.signIn()
		w.op.handle = func(rw http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == "/.well-known/ssf-configuration" && handle(rw, r)
		}
		if a := w.push("corp", w.op.signSet(w.op.set(caep+"session-revoked", "sub-ada", nil))); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || b.session() == nil {
			t.Errorf("%s: status %d: %s", name, a.code, a.body)
		}
	}
}

func TestANewKeyThatCannotBeReadYetIsToCome(t *testing.T) {
	w := listening(t)
	b := w.browser()
	b.signIn()
	w.tell(caep+"session-revoked", "sub-nobody", nil)
	w.clock.pass(10 * time.Second) // sooner than the keys may be asked for again
	w.op.key, w.op.kid = freshKey(t), "k2"
	body := w.op.signSet(w.op.set(caep+"session-revoked", "sub-ada", nil))
	if a := w.push("corp", body); a.code != http.StatusServiceUnavailable || b.session() == nil {
		t.Errorf("while the keys are not read: status %d", a.code)
	}
	w.clock.pass(keyRetry)
	if a := w.push("corp", body); a.code != http.StatusAccepted || b.session() != nil {
		t.Errorf("afterwards: status %d", a.code)
	}
}
