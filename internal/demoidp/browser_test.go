package demoidp

import (
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/browser"
)

// takeTour leads somebody through every page and shows each.
func takeTour(t *testing.T, prepare func(*browser.Page), see func(p *browser.Page, name string)) {
	t.Helper()
	p, v := browser.New(t), start(t)
	prepare(p)
	step := func(status int, name, selector string) {
		t.Helper()
		if got := p.Follow(selector); got != status {
			t.Fatalf("%s: got status %d at %s, want %d: %s", name, got, p.URL(), status, p.Text("main"))
		}
		see(p, name)
	}
	p.Open(v.issuer + "/")
	see(p, "nobody")
	p.Open(v.address("acr_values=" + Passwordless))
	see(p, "device")
	p.Open(v.address("acr_values=" + SecondFactor))
	see(p, "sign in")
	p.Fill("#login", "ada@works.example")
	p.Fill("#password", "not it")
	step(422, "wrong password", "#sign-in")
	p.Fill("#password", "a first password")
	step(200, "code", "#sign-in")
	p.Fill("#code", "1")
	step(422, "wrong code", "#confirm")
	step(200, "other account", "#other")
	p.Open(v.issuer + "/")
	p.Follow("#sign-in")
	p.Fill("#login", "ada@works.example")
	step(200, "somebody", "#device")
	p.Open(v.issuer + "/sign-out")
	see(p, "sign out")
	step(200, "signed out", "#sign-out")
	p.Open(v.address("client_id=other"))
	see(p, "fault")
}

func TestNobodyIsShutOut(t *testing.T) {
	for _, dark := range []bool{false, true} {
		takeTour(t, func(p *browser.Page) { p.Dark(dark) }, func(p *browser.Page, name string) { p.MustAxe(name) })
	}
}

func TestThePagesFitATelephoneInGermanAndWithoutScripts(t *testing.T) {
	takeTour(t, func(p *browser.Page) {
		p.Language("de")
		p.SetViewport(320, 700)
		p.DisableScripts()
	}, func(p *browser.Page, name string) {
		if over := p.Overflow(); over > 0 {
			t.Errorf("%s is %d pixels wider than a small telephone", name, over)
		}
		text := p.Text("body")
		for key, said := range words {
			if english := said["en"]; english != said["de"] && !strings.Contains(english, "%s") && strings.Contains(text, english) && strings.Contains(english, " ") {
				t.Errorf("%s says %q (%s)", name, english, key)
			}
		}
		if !strings.Contains(text, "Vorführung") {
			t.Errorf("%s does not say that it is a demonstration", name)
		}
	})
}
