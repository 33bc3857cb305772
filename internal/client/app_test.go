package client

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func asking() *App {
	a := &App{Key: "hr", Name: "HR", Actions: []Action{ActionReset}, Auth: AuthSecret, Alg: "ES256", Subject: Pairwise}
	a.SetRedirects([]string{"https://hr.example/cb", "https://hr.example:8443/cb?x=1"})
	return a
}

// keyed is an app that authenticates by a key.
func keyed() *App {
	a := asking()
	a.SetAuth(AuthKey)
	return a
}

func secretMade(name byte, at time.Time) Token {
	return Token{ID: string(name), Hash: bytes.Repeat([]byte{name}, 32), Created: at}
}

func keyMade(name string, at time.Time) PublicKey {
	return PublicKey{ID: name, JWK: fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, name), Created: at}
}

func TestAnAppThatAsksIsChecked(t *testing.T) {
	if err := asking().Check(); err != nil {
		t.Errorf("good: %v", err)
	}
	public := asking()
	public.SetSubject(Public)
	public.SetRedirects([]string{"https://a.example/cb", "http://127.0.0.1:3000/cb"})
	if err := public.Check(); err != nil || public.Sector != "" {
		t.Errorf("on two hosts, by a public name: %v, sector %q", err, public.Sector)
	}
	plain := &App{Key: "hr", Name: "HR", Returns: []string{"https://hr.example/"}}
	if err := plain.Check(); err != nil || plain.Asks() {
		t.Errorf("a plain one: %v", err)
	}
	for what, spoil := range map[string]func(*App){
		"no address at all":               func(a *App) { *a = App{Key: "hr", Name: "HR"} },
		"a redirect that answers itself":  func(a *App) { a.Redirects = []string{"https://hr.example/cb?state=mine"} },
		"a host in capitals":              func(a *App) { a.Redirects, a.Subject = []string{"https://HR.example/cb"}, Public },
		"an action without redirect":      func(a *App) { a.Redirects, a.Returns = nil, []string{"https://hr.example/"} },
		"a secret without redirect":       func(a *App) { *a = *plain; a.Secrets = []Token{secretMade('a', noon)} },
		"a way to ask without redirect":   func(a *App) { *a = *plain; a.PushOnly = true },
		"another host":                    func(a *App) { a.Redirects = append(a.Redirects, "https://other.example/cb") },
		"a host that begins the same":     func(a *App) { a.Redirects = append(a.Redirects, "https://hr.example.evil.example/cb") },
		"a sector that is not the host":   func(a *App) { a.Sector = "other.example" },
		"http":                            func(a *App) { a.SetRedirects([]string{"http://hr.example/cb"}) },
		"a fragment":                      func(a *App) { a.SetRedirects([]string{"https://hr.example/cb#x"}) },
		"a user":                          func(a *App) { a.SetRedirects([]string{"https://u@hr.example/cb"}) },
		"no host":                         func(a *App) { a.SetRedirects([]string{"https:///cb"}) },
		"a program's own scheme":          func(a *App) { a.SetRedirects([]string{"app.hr:/cb"}) },
		"a script":                        func(a *App) { a.SetRedirects([]string{"javascript:alert(1)"}) },
		"the same twice":                  func(a *App) { a.Redirects = append(a.Redirects, a.Redirects[0]) },
		"eleven":                          func(a *App) { a.Redirects = many("https://hr.example/%d", MaxReturns+1) },
		"no action":                       func(a *App) { a.Actions = nil },
		"an action twice":                 func(a *App) { a.Actions = []Action{ActionReset, ActionReset} },
		"an action nobody knows":          func(a *App) { a.Actions = []Action{"login"} },
		"no authentication":               func(a *App) { a.Auth = "" },
		"none":                            func(a *App) { a.Auth = "none" },
		"an algorithm nobody may use":     func(a *App) { a.Alg = "HS256" },
		"no algorithm":                    func(a *App) { a.Alg = "none" },
		"a subject nobody knows":          func(a *App) { a.Subject = "email" },
		"a start on http":                 func(a *App) { a.Initiate = "http://hr.example/" },
		"three secrets":                   func(a *App) { a.Secrets = []Token{secretMade('a', noon), secretMade('b', noon), secretMade('c', noon)} },
		"a secret without hash":           func(a *App) { a.Secrets = []Token{{ID: "a", Created: noon}} },
		"a key without id":                func(a *App) { *a = *keyed(); a.Keys = []PublicKey{keyMade("", noon)} },
		"a key whose id has a line break": func(a *App) { *a = *keyed(); a.Keys = []PublicKey{{ID: "a\nb", JWK: keyMade("a", noon).JWK}} },
		"a key that is no JSON":           func(a *App) { *a = *keyed(); a.Keys = []PublicKey{{ID: "a", JWK: "x"}} },
		"a key that is a secret":          func(a *App) { *a = *keyed(); a.Keys = []PublicKey{{ID: "a", JWK: `{"kty":"oct","k":"AA"}`}} },
		"a private key": func(a *App) {
			*a = *keyed()
			a.Keys = []PublicKey{{ID: "a", JWK: `{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}`}}
		},
		"a key that is too long": func(a *App) {
			*a = *keyed()
			a.Keys = []PublicKey{keyMade(strings.Repeat("a", 199), noon), keyMade(strings.Repeat("a", 5000), noon)}
		},
		"a key twice": func(a *App) { *a = *keyed(); a.Keys = []PublicKey{keyMade("a", noon), keyMade("a", noon)} },
	} {
		a := asking()
		spoil(a)
		if a.Check() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func many(form string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(form, i))
	}
	return all
}

func TestTheSectorFollowsTheRedirects(t *testing.T) {
	a := asking()
	if a.Sector != "hr.example" {
		t.Errorf("sector %q", a.Sector)
	}
	list := []string{"http://localhost:3000/cb"}
	a.SetRedirects(list)
	list[0] = "https://evil.example/"
	if a.Sector != "localhost" || a.Redirects[0] != "http://localhost:3000/cb" || a.Check() != nil {
		t.Errorf("moved: %+v, %v", a, a.Check())
	}
	a.SetSubject(Public)
	if a.Sector != "" {
		t.Errorf("public: sector %q", a.Sector)
	}
	a.SetSubject(Pairwise)
	if a.Sector != "localhost" {
		t.Errorf("and back: sector %q", a.Sector)
	}
	a.SetRedirects([]string{"://"})
	if a.Check() == nil {
		t.Error("no address: taken")
	}
}

// lives are the names of what opens something at a time.
func lives(a *App, now time.Time) (names string) {
	for _, k := range a.LiveSecrets(now) {
		names += k.ID
	}
	for _, k := range a.LiveKeys(now) {
		names += k.ID
	}
	return names
}

func TestAnOldSecretOrKeyWorksBesideTheNewOneForAWhile(t *testing.T) {
	for name, w := range map[string]struct {
		app *App
		add func(a *App, name byte, at, keep time.Time) error
	}{
		"secret": {asking(), func(a *App, name byte, at, keep time.Time) error { return a.AddSecret(secretMade(name, at), keep) }},
		"key":    {keyed(), func(a *App, name byte, at, keep time.Time) error { return a.AddKey(keyMade(string(name), at), keep) }},
	} {
		t.Run(name, func(t *testing.T) {
			add := func(name byte, at, keep time.Time, want string) {
				t.Helper()
				if err := w.add(w.app, name, at, keep); err != nil {
					t.Fatal(err)
				}
				if got := lives(w.app, at); got != want {
					t.Errorf("after %c: %s live, want %s", name, got, want)
				}
			}
			day := noon.Add(24 * time.Hour)
			add('a', noon, day, "a")
			if got := lives(w.app, noon.Add(9000*time.Hour)); got != "a" {
				t.Errorf("the only one ended: %q", got)
			}
			add('b', noon, day, "ab")
			if before, after := lives(w.app, day.Add(-time.Microsecond)), lives(w.app, day); before != "ab" || after != "b" {
				t.Errorf("a day on: %s, then %s", before, after)
			}
			add('c', noon.Add(time.Hour), day.Add(time.Hour), "bc") // the oldest goes
			if got := lives(w.app, day.Add(time.Hour)); got != "c" {
				t.Errorf("a day on: %s", got)
			}
			add('d', noon.Add(2*time.Hour), noon.Add(2*time.Hour), "d") // at once
			if n := len(w.app.Secrets) + len(w.app.Keys); n != 1 {
				t.Errorf("%d are kept, want the one that works", n)
			}
			add('e', noon.Add(3*time.Hour), noon.Add(4*time.Hour), "de")
			add('f', noon.Add(5*time.Hour), noon.Add(9*time.Hour), "ef") // d has ended, and does not come back
			add('g', noon.Add(6*time.Hour), noon.Add(99*time.Hour), "fg")
			if got := lives(w.app, noon.Add(98*time.Hour)); got != "fg" {
				t.Errorf("got %s", got)
			}
			add('h', noon.Add(7*time.Hour), noon.Add(500*time.Hour), "gh")
			if got := lives(w.app, noon.Add(499*time.Hour)); got != "gh" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestARotationNeverMakesWhatEndsLastLonger(t *testing.T) {
	s, k := asking(), keyed()
	s.Secrets, k.Keys = []Token{secretMade('a', noon)}, []PublicKey{keyMade("a", noon)}
	s.Secrets[0].Expires, k.Keys[0].Expires = noon.Add(time.Hour), noon.Add(time.Hour)
	if err := errors.Join(s.AddSecret(secretMade('b', noon), noon.Add(24*time.Hour)), k.AddKey(keyMade("b", noon), noon.Add(24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*App{s, k} {
		if got := lives(a, noon.Add(time.Hour)); got != "b" {
			t.Errorf("%s: %s live", a.Auth, got)
		}
	}
}

func TestWhatAuthenticatesInAnotherWayIsRefused(t *testing.T) {
	a := asking()
	if err := a.AddSecret(secretMade('a', noon), noon); err != nil {
		t.Fatal(err)
	}
	if a.AddKey(keyMade("k", noon), noon) == nil || keyed().AddSecret(secretMade('a', noon), noon) == nil {
		t.Error("the other way was taken")
	}
	a.SetAuth(AuthSecret)
	if lives(a, noon) != "a" {
		t.Error("the same way took the secret away")
	}
	a.SetAuth(AuthKey)
	if lives(a, noon) != "" || a.Check() != nil {
		t.Errorf("the secret went on: %+v, %v", a, a.Check())
	}
	for range 2 {
		err := a.AddKey(keyMade("k", noon), noon.Add(time.Hour))
		if again := len(a.Keys) == 1 && !a.Keys[0].Expires.IsZero(); again {
			t.Errorf("the same key again ends: %v", err)
		}
	}
	twin := keyMade("k", noon)
	twin.ID = "other"
	if a.AddKey(twin, noon) == nil {
		t.Error("the same key by another name was taken")
	}
	bad := keyed()
	if bad.AddKey(PublicKey{ID: "a", JWK: "x", Created: noon}, noon) == nil || asking().AddSecret(Token{ID: "a", Created: noon}, noon) == nil {
		t.Error("what is none was taken")
	}
}

func TestDisablingTwiceChangesNothing(t *testing.T) {
	a := asking()
	if !a.Disable(true) || a.Disable(true) || !a.Disabled || !a.Disable(false) || a.Disabled {
		t.Errorf("got %+v", a)
	}
}
