package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

func TestSomebodyWhoCannotFinishIsToldHonestlyOnceADay(t *testing.T) {
	for name, c := range map[string]struct {
		kinds  []method.Kind
		way    string
		change func(*account.Person, *[]method.Method, time.Time)
		policy string
		why    string
		home   int // notices at the private address
	}{
		"without any way":   {nil, "email", nil, "", "you have not set up any way", 0},
		"with another kind": {[]method.Kind{method.SMS}, "email", nil, "", "not set up for your account: code by e-mail", 0},
		"no phone":          {[]method.Kind{method.Email}, "sms", nil, "", "not set up for your account: code by text message", 1},
		"disabled":          {[]method.Kind{method.Email}, "email", func(p *account.Person, _ *[]method.Method, now time.Time) { p.Deactivate("connector:hr", now) }, "", "your account is switched off", 1},
		"shut at work": {[]method.Kind{method.Email}, "email", func(p *account.Person, _ *[]method.Method, now time.Time) {
			p.Raise("work", account.Disabled, now, now)
		}, "", "your work sign-in says that your account is disabled", 1},
		"held": {[]method.Kind{method.Email}, "email", func(_ *account.Person, m *[]method.Method, now time.Time) {
			(*m)[0].UsableFrom = now.Add(96 * time.Hour)
		}, "", "count again from", 1},
		"out of scope":      {[]method.Kind{method.Email}, "email", nil, "rules: [{name: staff, groups: [staff]}]", "your account cannot use this service", 1},
		"not from here":     {[]method.Kind{method.Email}, "email", nil, "rules: [{name: office, networks: [203.0.113.0/24]}]", "only from certain networks", 1},
		"no resets":         {[]method.Kind{method.Email}, "email", nil, "rules: [{name: few, allow: [unlock]}]", "may not do this step here", 1},
		"specially guarded": {[]method.Kind{method.Email}, "email", nil, "protected: {people: [ada@alder.example], deny: true}\nrules: [{name: everyone}]", "specially protected", 1},
	} {
		t.Run(name, func(t *testing.T) {
			time0 := newClock()
			w := newWorld(t, scene{now: time0.now, policy: c.policy})
			ada := w.add("ada", c.kinds...)
			if c.change != nil {
				w.change(ada, func(p *account.Person, m *[]method.Method) []event.Event { c.change(p, m, w.now()); return nil })
			}
			ask := func(n int) {
				for range n {
					w.visitor().asks(ada.Login, c.way)
				}
				w.drained()
			}
			ask(5)
			at := func() (int, int) { return len(w.mail.Letters(ada.Login)), len(w.mail.Letters(ada.Email)) }
			if work, home := at(); work != 1 || home != c.home {
				t.Fatalf("%d letters at work and %d at home, want 1 and %d", work, home, c.home)
			}
			l := w.mail.Letters(ada.Login)[0]
			has(t, words(l.Text), c.why, "What to do")
			if l.Code() != "" || len(w.sms.Texts("")) != 0 || len(w.codes("")) != 0 {
				t.Error("a code was sent")
			}
			time0.add(23 * time.Hour)
			ask(2)
			if work, _ := at(); work != 1 {
				t.Errorf("%d letters within a day", work)
			}
			time0.add(time.Hour)
			ask(2)
			if work, home := at(); work != 2 || home != 2*c.home {
				t.Errorf("the next day: %d letters at work and %d at home", work, home)
			}
		})
	}
}

func TestNothingArrivedIsTheSamePageWhoeverAsks(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	disabled := w.add("bob", method.Email)
	w.change(disabled, func(p *account.Person, _ *[]method.Method) []event.Event { return p.Deactivate("x", w.now()) })
	w.add("cyd")
	held := w.add("dan", method.Email)
	w.change(held, func(_ *account.Person, m *[]method.Method) []event.Event {
		(*m)[0].UsableFrom = w.now().Add(time.Hour)
		return nil
	})
	want := map[string]string{}
	for i, login := range []string{ada.Login, "nobody@alder.example", disabled.Login, "cyd@alder.example", held.Login, "*", strings.Repeat("x", 254)} {
		v := w.visitor()
		for step, page := range []func() sight{
			func() sight { return v.post("/reset", "login", login) },
			func() sight { return v.post("/choose", "way", "email") },
			func() sight { w.drained(); return v.get("/nothing-arrived") },
			func() sight { return v.post("/code", "code", "00000000") },
			func() sight { return v.get("/choose") },
			func() sight { return v.post("/extend") },
			func() sight { return v.get("/cannot-finish") },
			func() sight { return v.post("/cancel") },
		} {
			s := page()
			key := fmt.Sprint(step, s.Status, s.Path, s.H1)
			got := references.ReplaceAllString(s.HTML, "REFE-RENC")
			if i == 0 {
				want[key] = got
			} else if want[key] != got {
				t.Errorf("%q at %s is another page for %q", s.H1, s.Path, login)
			}
		}
	}
	if len(want) != 8 {
		t.Errorf("%d pages were compared", len(want))
	}
}

func TestLookAlikeLettersNeverReachAnotherPerson(t *testing.T) {
	w := newWorld(t, scene{})
	people := map[string]*somebody{}
	for _, uid := range []string{"mike", "kim", "gross", "ada", "office"} {
		people[uid] = w.add(uid, method.Email)
	}
	andre := &somebody{uid: "andre", ID: newID(), Login: "andré@alder.example", Email: "andre@mail.example"}
	w.addPerson(andre, method.Email)
	people["andré"] = andre
	for typed, want := range map[string]string{
		"mike@alder.example": "mike", "MIKE@ALDER.EXAMPLE": "mike",
		"mıke@alder.example": "", "MİKE@alder.example": "", "mіke@alder.example": "", // dotless i, dotted I, Ukrainian i
		"\u212aim@alder.example": "kim", // the Kelvin sign is a k in every fold; the code goes to Kim's stored address
		"кim@alder.example":      "",    // Cyrillic k
		"groß@alder.example":     "gross", "GROẞ@alder.example": "gross",
		"аda@alder.example": "", "adа@alder.example": "", "ａda@alder.example": "", "a\u200bda@alder.example": "", "ada\u00ad@alder.example": "", // Cyrillic a, full width, invisible
		"ada@alder。example": "", "ada@alder.example.": "", "ada@аlder.example": "", "ada@alder.exаmple": "", "ada@xn--alder-.example": "",
		"andre@alder.example": "", "andré@alder.example": "andré", "andre\u0301@alder.example": "andré", "ANDRÉ@alder.example": "andré",
		"oﬃce@alder.example": "office", "o\ufb00ice@alder.example": "office", "０ffice@alder.example": "", "ada": "", "ada@": "", "@alder.example": "", "a%a@alder.example": "", "_da@alder.example": "",
	} {
		before := map[string]int{}
		for who, p := range people {
			before[who] = len(w.codes(p.Email))
		}
		total := len(w.mail.Letters(""))
		v := w.visitor()
		v.asks(typed, "email")
		w.drained()
		for who, p := range people {
			n := len(w.codes(p.Email)) - before[who]
			if wanted := who == want; (n == 1) != wanted {
				t.Errorf("%+q: %d codes to %s", typed, n, who)
			}
		}
		if n := len(w.mail.Letters("")) - total; n > 1 || (want == "") != (n == 0) {
			t.Errorf("%+q: %d mails in all", typed, n)
		}
	}
}
