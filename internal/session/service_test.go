package session_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

var ring = sync.OnceValue(keyring.Generate)

// world is the service on a real store, with a clock that only the test moves.
type world struct {
	*session.Service
	t     *testing.T
	store *store.Store
	now   time.Time
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := &world{t: t, now: time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)}
			w.store = storetest.Open(t, kind, func(c *store.Config) { c.Now = func() time.Time { return w.now } })
			var err error
			w.Service, err = session.New(session.Config{Store: w.store, Limits: w.store, Keys: ring(), Providers: map[string]session.Rule{"corp": {Link: "userName"}},
				Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			fn(t, w)
		})
	}
}

func (w *world) person(login string) *account.Person {
	w.t.Helper()
	p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), UserName: login, Active: true, Created: w.now, Updated: w.now, Attrs: []byte("{}")}
	if err := w.store.CreatePerson(w.t.Context(), p, nil); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// identity is what the provider says of somebody of a name.
func (w *world) identity(login string) session.Identity {
	return session.Identity{IDP: "corp", Issuer: "https://op.example", Subject: "sub-" + login, Key: "sub-" + login, Link: login, SID: "sid-" + login,
		ACR: "mfa", AMR: []string{"pwd", "otp"}, AuthTime: w.now, Strong: true, IDToken: "token-canary"}
}

var home = session.Origin{Addr: netip.MustParseAddr("2001:db8::7"), Agent: "Firefox", Lang: "en"}

// signIn signs somebody in and returns the secret of their cookie.
func (w *world) signIn(login string) (string, *session.Session) {
	w.t.Helper()
	token, s, err := w.Arrive(w.t.Context(), w.identity(login), &session.Flow{Purpose: session.SignIn}, home, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return token, s
}

func (w *world) load(token string) *session.Session {
	w.t.Helper()
	s, err := w.Load(w.t.Context(), session.Hash(token))
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestASessionLastsForItsTimeAndEndsByItself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("ada")
		token, made := w.signIn("ada")
		if s := w.load(token); s == nil || s.ID != made.ID || s.Network != "2001:db8::/64" || !s.StepUp.Equal(w.now) {
			t.Fatalf("got %+v", s)
		}
		for _, no := range []string{"", "x", token + "x", token[:len(token)-1], "rgn_browser" + token[len("rgn_session"):]} {
			if s := w.load(no); s != nil {
				t.Errorf("%q opens a session", no)
			}
		}
		// Used now and then it goes on, until its whole time is up.
		start := w.now
		for w.now.Sub(start) < session.Life-50*time.Minute {
			w.now = w.now.Add(50 * time.Minute)
			if w.load(token) == nil {
				t.Fatalf("over after %s", w.now.Sub(start))
			}
		}
		w.now = start.Add(session.Life)
		if w.load(token) != nil {
			t.Error("it outlives its time")
		}
		// Not used, it is over after an hour and the minute to which the use is kept.
		token, _ = w.signIn("ada")
		w.now = w.now.Add(session.Idle + session.SeenEvery)
		if w.load(token) != nil {
			t.Error("it outlives an hour without use")
		}
	})
}

func TestTheLastUseIsKeptOnceAMinute(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("ada")
		token, made := w.signIn("ada")
		seen := func() time.Time {
			s, err := w.store.SessionByID(t.Context(), made.ID)
			if err != nil {
				t.Fatal(err)
			}
			return s.Seen
		}
		w.now = w.now.Add(59 * time.Second)
		w.load(token)
		if !seen().Equal(made.Started) {
			t.Error("written within the minute")
		}
		w.now = w.now.Add(time.Second)
		w.load(token)
		if !seen().Equal(w.now) {
			t.Error("not written after a minute")
		}
	})
}

func TestSessionsEndByTheirPersonElsewhereAndByTheEpoch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.person("ada")
		w.person("ben")
		phone, onPhone := w.signIn("ada")
		laptop, onLaptop := w.signIn("ada")
		bens, _ := w.signIn("ben")
		if all, err := w.Sessions(t.Context(), ada.ID); err != nil || len(all) != 2 || all[0].ID != onLaptop.ID {
			t.Fatalf("%d sessions, %v", len(all), err)
		}
		if err := w.EndOf(t.Context(), w.load(bens), onPhone.ID); !fault.Is(err, fault.NotFound) || w.load(phone) == nil {
			t.Errorf("somebody else's: %v", err)
		}
		if err := w.EndOf(t.Context(), w.load(bens), "none"); !fault.Is(err, fault.NotFound) {
			t.Errorf("none: %v", err)
		}
		if err := w.EndOf(t.Context(), onLaptop, onPhone.ID); err != nil || w.load(phone) != nil || w.load(laptop) == nil {
			t.Errorf("own other: %v", err)
		}
		if err := w.End(t.Context(), onPhone, session.WhySignedOut); err != nil {
			t.Errorf("ending twice: %v", err)
		}
		if _, err := w.store.UpdatePerson(t.Context(), ada.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { p.Epoch++; return nil, nil }); err != nil {
			t.Fatal(err)
		}
		if w.load(laptop) != nil || w.load(bens) == nil {
			t.Error("the epoch moved and the session goes on, or somebody else's ended")
		}
		if all, err := w.Sessions(t.Context(), ada.ID); err != nil || len(all) != 0 {
			t.Errorf("%d sessions are listed, %v", len(all), err)
		}
	})
}

func TestAFlowIsTakenOnceByItsBrowserInItsTime(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, state := session.Secret()
		_, cookie := session.Secret()
		_, other := session.Secret()
		f := &session.Flow{State: state, Cookie: cookie, IDP: "corp", Purpose: session.SignIn, Nonce: "n", Verifier: "v", Goto: "/x", Trust: true, Retried: true, Lang: "de"}
		if err := w.Begin(t.Context(), home, f); err != nil {
			t.Fatal(err)
		}
		for name, take := range map[string]func() (*session.Flow, error){
			"another browser": func() (*session.Flow, error) { return w.Take(t.Context(), state, other) },
			"another state":   func() (*session.Flow, error) { return w.Take(t.Context(), other, cookie) },
		} {
			if got, err := take(); got != nil || !fault.Is(err, fault.Over) {
				t.Errorf("%s: got %+v, %v", name, got, err)
			}
		}
		const racers = 16
		var wait sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range racers {
			wait.Go(func() {
				if got, err := w.Take(context.WithoutCancel(t.Context()), state, cookie); err == nil && got.Goto == "/x" && got.Nonce == "n" && got.Trust && got.Lang == "de" {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		if taken != 1 {
			t.Errorf("taken %d times", taken)
		}
		if err := w.Begin(t.Context(), home, f); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(session.FlowLife)
		if got, err := w.Take(t.Context(), state, cookie); got != nil || !fault.Is(err, fault.Over) {
			t.Errorf("after its time: %+v, %v", got, err)
		}
		if err := w.Begin(t.Context(), home, &session.Flow{Purpose: session.SignIn}); err == nil {
			t.Error("a flow that no browser holds was kept")
		}
	})
}

func TestANetworkBeginsOnlySoManySignIns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		begin := func(o session.Origin) error {
			_, state := session.Secret()
			return w.Begin(t.Context(), o, &session.Flow{State: state, Cookie: state, Purpose: session.SignIn})
		}
		n := 0
		for range 400 {
			err := begin(home)
			if err == nil {
				n++
			} else if !fault.Is(err, fault.Limited) {
				t.Fatal(err)
			}
		}
		if n != 300 {
			t.Errorf("%d were begun, want 300", n)
		}
		if err := begin(session.Origin{Addr: netip.MustParseAddr("2001:db8:1::7")}); err != nil {
			t.Errorf("another network: %v", err)
		}
	})
}

func TestALogoutTokenCountsOnceForOneIssuer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("ada")
		token, s := w.signIn("ada")
		until := w.now.Add(6 * time.Minute)
		if n, first, err := w.LoggedOut(t.Context(), "https://other.example", s.SID, s.Subject, "jti", until); n != 0 || !first || err != nil || w.load(token) == nil {
			t.Errorf("another issuer: %d, %t, %v", n, first, err)
		}
		if n, first, err := w.LoggedOut(t.Context(), s.Issuer, s.SID, s.Subject, "jti", until); n != 1 || !first || err != nil || w.load(token) != nil {
			t.Errorf("the provider: %d, %t, %v", n, first, err)
		}
		token, _ = w.signIn("ada")
		if n, first, err := w.LoggedOut(t.Context(), s.Issuer, s.SID, s.Subject, "jti", until); n != 0 || first || err != nil || w.load(token) == nil {
			t.Errorf("replayed: %d, %t, %v", n, first, err)
		}
	})
}

func TestOnlyASignInThatIsStrongAndDatedIsAStepUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.person("ada")
		for name, test := range map[string]struct {
			change func(*session.Identity)
			want   bool
		}{
			"strong and now":        {func(*session.Identity) {}, true},
			"not strong":            {func(id *session.Identity) { id.Strong = false }, false},
			"undated":               {func(id *session.Identity) { id.AuthTime = time.Time{} }, false},
			"six minutes ago":       {func(id *session.Identity) { id.AuthTime = w.now.Add(-6 * time.Minute) }, false},
			"by a clock far ahead":  {func(id *session.Identity) { id.AuthTime = w.now.Add(time.Hour) }, true},
			"five minutes, exactly": {func(id *session.Identity) { id.AuthTime = w.now.Add(-5 * time.Minute) }, true},
		} {
			id := w.identity("ada")
			test.change(&id)
			_, s, err := w.Arrive(t.Context(), id, &session.Flow{Purpose: session.SignIn}, home, nil)
			if err != nil || s.SteppedUp(w.now, session.StepUpLife) != test.want || s.SteppedUp(w.now.Add(5*time.Minute+time.Second), time.Hour) {
				t.Errorf("%s: step-up of %s, %v", name, s.StepUp, err)
			}
			_, err = w.TrustBrowser(t.Context(), s, home)
			if fault.Is(err, fault.Denied) == test.want || err == nil != test.want {
				t.Errorf("%s: trusting a browser: %v", name, err)
			}
		}
	})
}

func TestAProofMakesNoSessionWhateverItIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.person("ada")
		if _, s, err := w.Arrive(t.Context(), w.identity("ada"), &session.Flow{Purpose: session.Proof}, home, nil); s != nil || err == nil {
			t.Error("a proof made a session")
		}
		if _, s, err := w.Arrive(t.Context(), w.identity("ada"), &session.Flow{Purpose: session.StepUp}, home, nil); s != nil || !fault.Is(err, fault.Over) {
			t.Errorf("a step-up without a session: %v", err)
		}
		if p, err := w.Who(t.Context(), w.identity("ada")); err != nil || p == nil || p.ID != ada.ID {
			t.Errorf("got %+v, %v", p, err)
		}
		if all, err := w.Sessions(t.Context(), ada.ID); err != nil || len(all) != 0 {
			t.Errorf("%d sessions, %v", len(all), err)
		}
		if p, err := w.Who(t.Context(), w.identity("nobody")); p != nil || err != nil {
			t.Errorf("nobody: %+v, %v", p, err)
		}
		unknown := w.identity("ada")
		unknown.IDP = "partner"
		if p, err := w.Who(t.Context(), unknown); p != nil || err != nil {
			t.Errorf("a provider that is none: %+v, %v", p, err)
		}
		w.store.UpdatePerson(t.Context(), ada.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			return p.Deactivate("system", w.now), nil
		}) //nolint:errcheck
		if p, err := w.Who(t.Context(), w.identity("ada")); p != nil || err != nil {
			t.Errorf("switched off: %+v, %v", p, err)
		}
		// A name that is given to somebody new inherits nothing: the tie went with the person.
		if err := w.store.DeletePerson(t.Context(), ada.ID, "", 0); err != nil {
			t.Fatal(err)
		}
		heir := w.person("ada")
		id := w.identity("ada")
		id.Subject, id.Key = "sub-heir", "sub-heir"
		if p, err := w.Who(t.Context(), id); err != nil || p == nil || p.ID != heir.ID {
			t.Errorf("the heir of a name: %+v, %v", p, err)
		}
		if p, err := w.Who(t.Context(), w.identity("ada")); p != nil || err != nil {
			t.Errorf("the old account became the heir: %+v, %v", p, err)
		}
	})
}

func TestNothingPersonalStandsInClearInTheEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.person("ada")
		_, s := w.signIn("ada")
		if _, err := w.TrustBrowser(t.Context(), s, home); err != nil {
			t.Fatal(err)
		}
		all, err := w.store.EventsOf(t.Context(), ada.ID, "", 10)
		if err != nil || len(all) != 3 {
			t.Fatalf("%d events, %v", len(all), err)
		}
		for _, e := range all {
			b, err := e.DataJSON()
			if err != nil {
				t.Fatal(err)
			}
			for _, no := range []string{"2001:db8::/64", "Firefox", "sub-ada", "token-canary"} {
				if strings.Contains(string(b), no) {
					t.Errorf("%s: %s", e.Type, b)
				}
			}
		}
	})
}

func TestAServiceOfHalfItsPartsIsNotMade(t *testing.T) {
	if _, err := session.New(session.Config{}); err == nil {
		t.Error("a service of nothing")
	}
	s := &store.Store{}
	c := session.Config{Store: s, Limits: s, Keys: ring(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Providers: map[string]session.Rule{"a": {Link: "displayName"}}}
	if _, err := session.New(c); err == nil {
		t.Error("a link by display name")
	}
}
