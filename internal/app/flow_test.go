package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// brought is the root of what a connector brings, made here as the tests need it.
func (w *world) brought(name string, trust client.Trust) method.Root {
	w.t.Helper()
	w.connector(name, trust)
	c, err := w.srv.Store.ConnectorByName(w.t.Context(), name)
	if err != nil || c == nil {
		w.t.Fatalf("connector %s: %v", name, err)
	}
	return method.Root{Kind: method.ByConnector, ID: c.ID}
}

func TestTwoWaysOfOneSourceAreTwoProofsOnlyWhenThatSourceIsTrustedForAll(t *testing.T) {
	w := newWorld(t, scene{})
	none, one, all := w.brought("none", client.TrustNone), w.brought("one", client.TrustOne), w.brought("all", client.TrustAll)
	other := w.brought("other", client.TrustOne)
	since := w.now().Add(-72 * time.Hour)
	both := func(uid string, mail, phone method.Root) *somebody {
		p := w.add(uid)
		w.give(p, mail, since, method.Method{Kind: method.Email, Destination: p.Email})
		w.give(p, phone, since, method.Method{Kind: method.SMS, Destination: p.Phone})
		return p
	}
	t.Run("trusted for one, the page says why it cannot work yet", func(t *testing.T) {
		p := both("ada", one, one)
		v := w.visitor()
		got := v.firstProof("/reset", p).want(t, 200, "/choose", "You cannot finish this here yet", "2 different ways are needed and you can prove 1",
			"Text message: your organisation added it together with a way you have already used", "set up one more way")
		has(t, got.Text, fmt.Sprint(references.FindString(got.Text)))
		lacks(t, got.HTML, p.Phone, `name="way"`)
		v.get("/cannot-finish").want(t, 200, "/cannot-finish", "You cannot finish this here yet")
		for _, m := range w.rows(`SELECT id FROM methods WHERE person = $1 AND kind = 'sms'`, p.ID) { // and asking for it by its id neither
			v.post("/choose", "way", fmt.Sprint(m[0])).want(t, 200, "/choose", "You cannot finish this here yet")
		}
		v.post("/new-password", "password", fresh).want(t, 200, "/choose")
		if a := v.attempt(); a["state"] != "proving" || a["asked"] != 1 || len(w.sms.Texts(p.Phone)) != 0 || !w.signsIn(p, p.Password) {
			t.Errorf("the try became %v", a)
		}
	})
	t.Run("trusted for all", func(t *testing.T) { w.visitor().recovers(both("bob", all, all), fresh) })
	t.Run("two sources", func(t *testing.T) { w.visitor().recovers(both("cyd", one, other), fresh) })
	t.Run("a source and the person", func(t *testing.T) {
		p := w.add("dan", method.SMS)
		w.give(p, one, since, method.Method{Kind: method.Email, Destination: p.Email})
		w.visitor().recovers(p, fresh)
	})
	t.Run("not trusted at all, no code is sent and the owner is told", func(t *testing.T) {
		p := both("eli", none, none)
		v := w.visitor()
		v.asks(p.Login, "email")
		w.drained()
		if len(w.codes(p.Email)) != 0 || len(w.letters(p.Login)) != 1 {
			t.Errorf("%d codes and %d notices", len(w.codes(p.Email)), len(w.letters(p.Login)))
		}
	})
	t.Run("two mailboxes are one class", func(t *testing.T) {
		p := w.add("fay", method.Email)
		w.give(p, method.Root{Kind: method.ByPerson, ID: p.ID}, since, method.Method{Kind: method.Email, Destination: "fay@second.example"})
		v := w.visitor()
		v.post("/reset", "login", p.Login)
		v.post("/choose", "way", "email")
		eventually(t, "a code", func() bool { return len(w.codes(p.Email))+len(w.codes("fay@second.example")) == 1 })
		code := strings.Join(append(w.codes(p.Email), w.codes("fay@second.example")...), "")
		v.post("/code", "code", code).want(t, 200, "/choose", "You cannot finish this here yet")
	})
	t.Run("trust taken away in the middle", func(t *testing.T) {
		p := both("gus", all, all)
		v := w.visitor()
		v.firstProof("/reset", p).want(t, 200, "/choose", "Prove it one more way")
		v.chooseKind("sms").want(t, 200, "/code")
		code := w.textCode(p.Phone, 1)
		_, err := w.srv.Store.UpdateConnector(t.Context(), all.ID, func(c *client.Connector) ([]event.Event, error) {
			c.Trust = client.TrustOne
			return nil, nil
		})
		if err == nil {
			err = w.srv.Store.Refresh(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		v.post("/code", "code", code)
		if a := v.attempt(); a["proofs"] != 1 || a["state"] != "proving" {
			t.Errorf("the try became %v", a)
		}
	})
}

func TestAPolicyMadeStricterInTheMiddleHolds(t *testing.T) {
	const open = "rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s%s}]"
	for name, c := range map[string]struct{ now, page string }{
		"three proofs":          {", proofs: {reset: 3}", "Prove it one more way"},
		"one kind no more":      {", kinds: [email, totp]", "Prove it one more way"},
		"another kind required": {", required: [totp]", "Prove it one more way"},
		"no resets at all":      {", allow: [unlock]", "You cannot finish this here yet"},
		"another network only":  {", networks: [203.0.113.0/24]", "You cannot finish this here yet"},
		"none of the kinds":     {", kinds: [recovery-code, totp]", "Prove that it is you"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, scene{policy: fmt.Sprintf(open, "")})
			ada := w.add("ada", method.Email, method.SMS, method.TOTP)
			v := w.visitor()
			v.proveTwice(ada)
			w.applyPolicy(fmt.Sprintf(open, c.now))
			v.post("/new-password", "password", fresh).want(t, 200, "/choose", c.page)
			if s := v.state(); s == "done" || s == "proved" || !w.signsIn(ada, ada.Password) {
				t.Errorf("the try is %s", s)
			}
		})
	}
	t.Run("and one made looser does not help a try begun before", func(t *testing.T) {
		w := newWorld(t, scene{policy: fmt.Sprintf(open, ", proofs: {unlock: 2}")})
		ada := w.add("ada", method.Email, method.SMS)
		v := w.visitor()
		v.firstProof("/unlock", ada).want(t, 200, "/choose", "Prove it one more way")
		w.applyPolicy(fmt.Sprintf(open, ", proofs: {unlock: 1}"))
		v.get("/unlock-now").want(t, 200, "/choose", "Prove it one more way")
		w.drained()
		w.visitor().firstProof("/unlock", ada).want(t, 200, "/unlock-now")
	})
}

func TestAPersonDisabledInTheMiddleIsOutAtTheNextStep(t *testing.T) {
	for name, reach := range map[string]func(*world, *visitor, *somebody) string{
		"after one proof":  func(_ *world, v *visitor, p *somebody) string { v.firstProof("/reset", p); return "/choose" },
		"after two proofs": func(_ *world, v *visitor, p *somebody) string { v.proveTwice(p); return "/new-password" },
	} {
		for how, out := range map[string]func(*account.Person, time.Time) []event.Event{
			"disabled": func(p *account.Person, now time.Time) []event.Event { return p.Deactivate("connector:hr", now) },
			"disabled and enabled again": func(p *account.Person, now time.Time) []event.Event {
				return append(p.Deactivate("connector:hr", now), p.Reactivate("connector:hr", now)...)
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				w := newWorld(t, scene{})
				ada := w.add("ada", method.Email, method.SMS)
				v := w.visitor()
				at := reach(w, v, ada)
				w.change(ada, func(p *account.Person, _ *[]method.Method) []event.Event { return out(p, w.now()) })
				v.get(at).want(t, 200, at, ended)
				v.post("/choose", "way", "sms").want(t, 200, "/choose", ended)
				v.post("/code", "code", "12345678").want(t, 200, "/code", ended)
				v.post("/new-password", "password", fresh).want(t, 200, "/new-password", ended)
				v.post("/extend").want(t, 200, "/extend", ended)
				if !w.signsIn(ada, ada.Password) || w.number(`SELECT count(*) FROM writes`) != 0 {
					t.Error("something was written")
				}
			})
		}
	}
	t.Run("before the first proof a right code looks wrong", func(t *testing.T) {
		w := newWorld(t, scene{})
		ada := w.add("ada", method.Email, method.SMS)
		v := w.visitor()
		v.asks(ada.Login, "email")
		code := w.mailCode(ada.Email, 1)
		w.drained()
		w.change(ada, func(p *account.Person, _ *[]method.Method) []event.Event {
			return p.Deactivate("connector:hr", w.now())
		})
		v.post("/code", "code", code).want(t, 422, "/code", wrongCode)
		if v.attempt()["proofs"] != 0 {
			t.Error("a disabled person proved something")
		}
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWorld(t, scene{})
		ada := w.add("ada", method.Email, method.SMS)
		v := w.visitor()
		v.proveTwice(ada)
		if err := w.srv.Store.DeletePerson(t.Context(), ada.ID, "", 0); err != nil {
			t.Fatal(err)
		}
		v.post("/new-password", "password", fresh).want(t, 200, "/new-password", ended)
		if !w.signsIn(ada, ada.Password) {
			t.Error("something was written")
		}
	})
}

func TestAResetEndsEveryOtherOpenTryOfThatPersonAndOfNobodyElse(t *testing.T) {
	w := newWorld(t, scene{})
	ada, bob := w.add("ada", method.Email, method.SMS), w.add("bob", method.Email, method.SMS)
	begun, once, twice, others := w.visitor(), w.visitor(), w.visitor(), w.visitor()
	begun.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 1)
	w.drained()
	once.firstProof("/reset", ada)
	twice.proveTwice(ada)
	others.proveTwice(bob)
	w.visitor().recovers(ada, fresh)
	begun.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	once.get("/choose").want(t, 200, "/choose", ended)
	once.post("/choose", "way", "sms").want(t, 200, "/choose", ended)
	twice.post("/new-password", "password", "another heron on another lake").want(t, 200, "/new-password", ended)
	if !w.signsIn(ada, fresh) {
		t.Error("an older try wrote over the new password")
	}
	others.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
}

func TestADirectoryThatRefusesIsQuotedAndFiveRefusalsEndTheTry(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	w.visitor().recovers(ada, fresh)
	w.visitor().recovers(ada, "another heron on another lake")
	v := w.visitor()
	v.proveTwice(ada)
	v.post("/new-password", "password", "another heron on another lake").want(t, 422, "/new-password", "This is already your password", "4 more passwords")
	v.post("/new-password", "password", "short").want(t, 422, "/new-password", "15", "4 more passwords") // our own rules cost nothing
	for i := range 3 {
		v.post("/new-password", "password", fresh).want(t, 422, "/new-password", "You have used this password before")
		if got := v.attempt(); got["refusals"] != i+2 || got["state"] != "proved" {
			t.Fatalf("after %d refusals: %v", i+2, got)
		}
	}
	has(t, v.get("/new-password").Text, "one more password")
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "This has ended", "Your old password is unchanged")
	v.post("/new-password", "password", "a third heron, a third lake").want(t, 200, "/new-password", "This has ended")
	if v.state() != "blocked" || w.count(ada.ID, event.AttemptBlocked) != 1 || w.count(ada.ID, event.WriteRefused) != 5 || !w.signsIn(ada, "another heron on another lake") {
		t.Errorf("state %s", v.state())
	}
	has(t, fmt.Sprint(w.rows(`SELECT data FROM events WHERE type = 'write.refused'`)), "in_history", "same_as_current")
	w.visitor().recovers(ada, "a third heron, a third lake")
}

func TestALockedAccountIsUnlockedAfterOneProofAndKeepsItsPassword(t *testing.T) {
	for name, s := range map[string]scene{"memory": {}, "openldap": {slapd: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			ada := w.add("ada", method.Email, method.SMS)
			if w.slapd != nil {
				w.slapd.LockOut(t, ada.uid)
			} else {
				for range 6 {
					_ = w.memory.Authenticate(ada.uid, "wrong")
				}
			}
			if w.signsIn(ada, ada.Password) {
				t.Fatal("the account is not locked")
			}
			v := w.visitor()
			v.firstProof("/unlock", ada).want(t, 200, "/unlock-now", "Unlock your account now?")
			v.post("/new-password", "password", fresh).want(t, 200, "/unlock-now") // an unlock is no reset
			v.post("/unlock-now").want(t, 200, "/progress", "Your account is unlocked", "Your password has not changed")
			if !w.signsIn(ada, ada.Password) || w.signsIn(ada, fresh) {
				t.Error("the account is not as it was before the lockout")
			}
			w.drained()
			if w.count(ada.ID, event.AccountUnlocked) != 1 || w.count(ada.ID, event.PasswordReset) != 0 {
				t.Error("the events tell something else")
			}
			if l := w.letters(ada.Login); len(l) != 1 || !strings.Contains(l[0].Subject, "was unlocked") {
				t.Errorf("notices at work: %v", l)
			}
		})
	}
}

func TestAnAccountThatMustNotBeTouchedIsLeftAlone(t *testing.T) {
	w := newWorld(t, scene{})
	for uid, c := range map[string]struct {
		account memory.Account
		says    string
	}{
		"ada": {memory.Account{Disabled: true}, "Your account is disabled"},
		"bob": {memory.Account{AdminLocked: true}, "locked by an administrator"},
		"cyd": {memory.Account{Guarded: true}, "This account is protected"},
		"dan": {memory.Account{ExpiresAt: w.now().Add(-time.Hour)}, "Your account has expired"},
	} {
		p := w.add(uid, method.Email, method.SMS)
		c.account.Login, c.account.Attrs = p.uid, map[string][]string{"mail": {p.Login}}
		if err := w.memory.Put(c.account); err != nil {
			t.Fatal(err)
		}
		v := w.visitor()
		v.post("/reset", "login", p.Login)
		v.post("/choose", "way", "email")
		v.post("/code", "code", w.mailCode(p.Email, 1))
		v.chooseKind("sms")
		v.post("/code", "code", w.textCode(p.Phone, 1)).want(t, http.StatusForbidden, "/new-password", c.says)
		v.post("/new-password", "password", fresh).want(t, http.StatusForbidden, "/new-password", c.says)
	}
	if n := w.number(`SELECT count(*) FROM writes`); n != 0 {
		t.Errorf("%d writes", n)
	}
}
