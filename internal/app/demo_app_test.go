package app

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/browser"
)

// exported are the variables that a line for a shell sets, as a shell reads them.
func exported(t *testing.T, line string) map[string]string {
	t.Helper()
	out, err := exec.Command("bash", "-c", strings.TrimSpace(line)+"\nenv").Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	env := map[string]string{}
	for l := range strings.Lines(string(out)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(l), "="); strings.Contains(line, name+"=") {
			env[name] = value
		}
	}
	if len(env) != 5 {
		t.Fatalf("%q sets %v", line, env)
	}
	return env
}

// shopLine is the line that the demo's page tells people to paste.
func (e *exhibit) shopLine() string {
	e.t.Helper()
	_, rest, _ := strings.Cut(e.w.visitor().get("/demo/app").want(e.t, 200, "/demo/app").HTML, `id="environment">`)
	line, _, _ := strings.Cut(rest, "</pre>")
	return line
}

// An app of examples/app, run untouched with the line that the demo shows: there, reset, back, and on to the identity provider.
func TestTheExamplesRunUntouchedAgainstTheDemo(t *testing.T) {
	t.Parallel()
	for _, a := range exampleApps {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			e := runDemo(t, DemoOptions{})
			env := exported(t, e.shopLine())
			if env["CLIENT_SECRET"] != e.line.App.ClientSecret || env["CLIENT_ID"] != e.line.App.ClientID || env["REDIRECT_URI"] != e.line.App.RedirectURI || env["ISSUER"] != e.line.Base {
				t.Fatalf("the page says %v, the line %v", env, e.line.App)
			}
			s := a.open(t, a.text(t), env)
			ada := e.person("forgot")
			c := newCustomer(t)
			v := e.w.visitor().stopAtApps()
			v.get(strings.TrimPrefix(c.asks(s), e.line.Base)).want(t, 200, "/reset")
			e.prove(v, ada)
			v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
			left := v.goBack()
			left.answer(t, s.redirect)
			at := c.get(left.Header.Get("Location"))
			if at.Status != http.StatusOK || !strings.Contains(at.HTML, "Your password is changed.") || !e.accepts(ada.Login, fresh) {
				t.Errorf("%d: %s", at.Status, at.HTML)
			}
			c.nobody(s, at)
			c.sentOn(at, e.line.IDP+"/")
			// Nobody is signed in anywhere by it: not here, where the person is asked to sign in, and not at the provider.
			if here := v.get("/security-info"); here.Header.Get("Location") != "" && !strings.HasPrefix(here.Header.Get("Location"), e.line.IDP) || here.Status == http.StatusOK && here.Path == "/security-info" {
				t.Errorf("the reset opened %s: %d %s", here.Path, here.Status, here.Text)
			}
			if there := c.get(e.line.IDP + "/"); there.Status != http.StatusOK || strings.Contains(there.Text, "Ada Brandt") {
				t.Errorf("the provider knows who it is: %s", there.Text)
			}
			// Somebody who stops comes back with nothing, and nothing is changed.
			c, v = newCustomer(t), e.w.visitor().stopAtApps()
			v.get(strings.TrimPrefix(c.asks(s), e.line.Base)).want(t, 200, "/reset")
			left = v.post("/oauth2/cancel")
			if got := left.answer(t, s.redirect); got.Get("error") != "access_denied" || got.Get("code") != "" {
				t.Errorf("stopped: %v", got)
			}
			at = c.get(left.Header.Get("Location"))
			if at.Status != http.StatusOK || !strings.Contains(at.HTML, "Nothing was changed.") || !e.accepts(ada.Login, fresh) {
				t.Errorf("stopped: %d: %s", at.Status, at.HTML)
			}
			c.nobody(s, at)
		})
	}
}

func TestTheAppOfTheDemoStaysTheSameInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := runDemo(t, DemoOptions{Data: dir})
	first.stop()
	second := runDemo(t, DemoOptions{Data: dir})
	if *second.line.App != *first.line.App {
		t.Errorf("got %v, then %v", first.line.App, second.line.App)
	}
	second.knows(first.line.App) // its secret is still the one it was
	second.stop()
	// A folder that remembers none gets another one: from before apps could ask, or left in the middle of it.
	state := filepath.Join(dir, "demo.json")
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	var old map[string]any
	if err := json.Unmarshal(b, &old); err != nil {
		t.Fatal(err)
	}
	delete(old, "app")
	if b, err = json.Marshal(old); err == nil {
		err = os.WriteFile(state, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	third := runDemo(t, DemoOptions{Data: dir})
	if third.line.App.ClientSecret == first.line.App.ClientSecret {
		t.Error("a secret that was forgotten is back")
	}
	third.knows(third.line.App)
}

// knows holds that an app of the demo is let in by its secret.
func (e *exhibit) knows(a *demoApp) {
	e.t.Helper()
	form := url.Values{"response_type": {"code"}, "redirect_uri": {a.RedirectURI}}
	r, err := http.NewRequest(http.MethodPost, e.line.Base+"/oauth2/par", strings.NewReader(form.Encode()))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(a.ClientID, a.ClientSecret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer res.Body.Close()
	var said struct{ Error string }
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || said.Error != "invalid_scope" {
		e.t.Errorf("got %q (%v), want it known and its request judged", said.Error, err)
	}
}

func TestTheDemoPrintsALineThatAnExampleReads(t *testing.T) {
	t.Parallel()
	a := &demoApp{ClientID: "example-shop", ClientSecret: "rgn_app_x", RedirectURI: "http://localhost:8085/callback"}
	var out bytes.Buffer
	if err := announce(&out, false, DemoLine{Portal: "http://localhost:8080/", Base: "http://localhost:8080", IDP: "http://localhost:8081", App: a}); err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "export ") { // at the beginning of its line: it is copied whole
			found = true
			if env := exported(t, line); env["SIGN_IN"] != "http://localhost:8081/" || env["REDIRECT_URI"] != a.RedirectURI {
				t.Errorf("got %v", env)
			}
		}
	}
	if !found {
		t.Errorf("no such line:\n%s", out.String())
	}
}

// The same with a browser: what the pages forbid themselves must not stand in the way of the answer.
func TestAPersonGoesFromTheExampleThroughTheDemoAndBack(t *testing.T) {
	t.Parallel()
	for _, a := range exampleApps {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			p := browser.New(t)
			e := runDemo(t, DemoOptions{})
			s := a.open(t, a.text(t), exported(t, e.shopLine()))
			ada := e.person("forgot")
			at := func(prefix string) {
				t.Helper()
				if !strings.HasPrefix(p.URL(), prefix) {
					t.Fatalf("at %s, want %s:\n%s", p.URL(), prefix, p.Text("body"))
				}
			}
			p.Open(s.base + "/")
			p.Follow("#forgot")
			at(e.line.Base + "/reset")
			if text := words(p.Text("body")); !strings.Contains(text, "Example shop") {
				t.Errorf("the page does not say who sent the person:\n%s", text)
			}
			mails, texts := e.codes(ada.Email), e.codes(ada.Phone)
			p.Fill("#login", ada.Login)
			p.Follow(primary)
			p.Click("input[name=way][value=email]")
			p.Follow(primary)
			p.Fill("#code", e.code(ada.Email, mails+1))
			p.Follow(primary)
			p.Click("label.choice:has(b) input[name=way]")
			p.Follow(primary)
			p.Fill("#code", e.code(ada.Phone, texts+1))
			p.Follow(primary)
			at(e.line.Base + "/new-password")
			p.Fill("#password", fresh)
			p.Follow(primary)
			p.WaitFor(goBack)
			p.Follow(goBack)
			p.Lands(s.redirect)
			if got := p.Text("#told"); got != "Your password is changed." || !e.accepts(ada.Login, fresh) {
				t.Errorf("the shop says %q", got)
			}
			if got := p.Attribute("#sign-in", "href"); got != e.line.IDP+"/" {
				t.Errorf("sent on to %q", got)
			}
			// Stopped on the first page.
			p.Open(s.base + "/")
			p.Follow("#forgot")
			p.Follow(giveUp)
			p.Lands(s.redirect)
			if got := p.Text("#told"); got != "Nothing was changed." {
				t.Errorf("the shop says %q", got)
			}
		})
	}
}
