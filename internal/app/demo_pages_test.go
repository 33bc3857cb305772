package app

import (
	"testing"

	"github.com/regain-id/regain/internal/browser"
)

// takeDemoTour leads a person through the demo's own pages.
func takeDemoTour(t *testing.T, prepare func(*browser.Page), see func(p *browser.Page, name string)) {
	t.Helper()
	p := browser.New(t)
	e := runDemo(t, DemoOptions{})
	prepare(p)
	r := &tour{Page: p, t: t, w: e.w, see: func(name string) {
		t.Helper()
		browser.Eval[bool](p, "window.stop(), true")
		see(p, name)
	}}
	ada := e.person("forgot")
	r.open(200, "/", "home")
	r.open(200, "/demo/mailbox", "mailbox-empty")
	r.open(200, "/demo/people", "people")
	v := e.w.visitor()
	e.prove(v, ada)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress")
	eventually(t, "notices", func() bool { return len(e.mail(ada.Login)) > 0 && len(e.mail(ada.Phone)) > 1 })
	r.open(200, "/demo/mailbox", "mailbox")
	r.open(200, "/demo/app", "app")
	r.open(200, "/demo/attack", "attack")
	r.follow("form[action='/demo/attack'] button", 200, "/demo/attack", "attack-done")
	r.open(200, "/demo/policy", "policy")
	r.follow("form[action='/demo/policy'] button", 200, "/demo/policy", "policy-strict")
	r.follow("form[action='/demo/policy'] button", 200, "/demo/policy", "policy-back")
}

func TestNobodyIsShutOutOfTheDemo(t *testing.T) {
	t.Parallel()
	takeDemoTour(t, func(*browser.Page) {}, func(p *browser.Page, page string) { judge(t, p, page) })
}

func TestTheDemoInGermanFitsATelephone(t *testing.T) {
	t.Parallel()
	takeDemoTour(t, func(p *browser.Page) {
		p.Language("de")
		p.SetViewport(320, 700)
	}, func(p *browser.Page, page string) {
		if page != "mailbox" { // letters are in their receiver's language
			browser.Eval[bool](p, `document.querySelectorAll("code, pre").forEach(e => e.remove()), true`) // passwords are words of whatever language
			inGerman(t, p, page)
		}
		if over := p.Overflow(); over > 0 {
			t.Errorf("%s is %d pixels wider than a small telephone", page, over)
		}
	})
}
