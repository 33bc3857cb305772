package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/testserver"
)

// notMeLink returns the token of the "this was not me" link in a letter.
func notMeLink(t testing.TB, w *world, l testserver.Letter) string {
	t.Helper()
	for _, link := range l.Links() {
		if token, ok := strings.CutPrefix(link, w.base+"/not-me?t="); ok {
			return token
		}
	}
	t.Fatalf("no link in:\n%s", l.Text)
	return ""
}

func TestALinkThatSaysThisWasNotMeActsOnAPostOnly(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.firstProof("/reset", ada)
	token := notMeLink(t, w, w.mail.Letters(ada.Email)[0])
	before := fmt.Sprint(v.attempt(), len(w.events(ada.ID)))
	scanner := w.visitor() // a mail scanner, which also forwards what it found
	for range 5 {
		scanner.get("/not-me?t="+token).want(t, 200, "/not-me", "Was this not you?", "this try is stopped at once")
		scanner.send(http.MethodHead, "/not-me?t="+token, nil).want(t, 200, "/not-me")
		scanner.get("/not-me?t="+token+"&utm_source=mail").want(t, 200, "/not-me")
	}
	if after := fmt.Sprint(v.attempt(), len(w.events(ada.ID))); after != before {
		t.Errorf("looking changed %s to %s", before, after)
	}
	for _, verb := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		scanner.send(verb, "/not-me?t="+token, nil).want(t, 405, "/not-me")
	}
	scanner.post("/not-me?t="+token).want(t, 400, "/not-me")
	if after := fmt.Sprint(v.attempt(), len(w.events(ada.ID))); after != before {
		t.Errorf("other verbs changed %s to %s", before, after)
	}
	scanner.post("/not-me", "token", token).want(t, 200, "/not-me", "Thank you for telling us", "The try is stopped")
	v.get("/choose").want(t, 200, "/choose", ended)
	v.post("/new-password", "password", fresh).want(t, 200, "/new-password", ended)
	if v.state() != "cancelled" || w.count(ada.ID, event.AttemptCancelled) != 1 || w.count(ada.ID, event.AttemptDisputed) != 0 || !w.signsIn(ada, ada.Password) {
		t.Errorf("the try is %s", v.state())
	}
	scanner.get("/not-me?t="+token).want(t, 200, "/not-me", "There is nothing left to stop")
	scanner.post("/not-me", "token", token).want(t, 200, "/not-me", "There is nothing left to stop")
	if w.count(ada.ID, event.AttemptCancelled) != 1 || len(w.mail.Letters("security@alder.example")) != 0 {
		t.Error("a second time did something")
	}
	w.visitor().recovers(ada, fresh) // and stopping a try stops nobody from a new one
}

func TestATicketIsGoodForItsOwnTryOnly(t *testing.T) {
	w := newWorld(t, scene{})
	ada, eve := w.add("ada", method.Email, method.SMS), w.add("eve", method.Email, method.SMS)
	hers, mine := w.visitor(), w.visitor()
	hers.firstProof("/reset", ada)
	mine.firstProof("/reset", eve)
	id, mac, _ := strings.Cut(w.srv.Flow.NotMe(mine.id()), ".")
	_, other, _ := strings.Cut(w.srv.Flow.NotMe(hers.id()), ".")
	for name, token := range map[string]string{
		"somebody else's try with our own ticket": hers.id() + "." + mac,
		"our try with somebody else's":            id + "." + other,
		"cut":                                     id + "." + mac[:42],
		"longer":                                  id + "." + mac + "A",
		"none":                                    id + ".",
		"no dot":                                  id + mac,
		"nothing":                                 "",
		"capitals":                                strings.ToUpper(id) + "." + mac,
		"another encoding":                        id + "." + mac + "=",
		"a try that never was":                    newID() + "." + mac,
		"an injection":                            id + "' OR '1'='1." + mac,
	} {
		t.Run(name, func(t *testing.T) {
			v := w.visitor()
			v.get("/not-me?t="+strings.ReplaceAll(token, " ", "+")).want(t, 410, "/not-me", "This link is not complete or not ours")
			v.post("/not-me", "token", token).want(t, 410, "/not-me", "This link is not complete or not ours")
		})
	}
	if hers.state() != "proving" || mine.state() != "proving" {
		t.Errorf("the tries are %s and %s", hers.state(), mine.state())
	}
}

func TestAfterAResetTheOwnerDisputesItAndRecoversWithOlderWays(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS, method.RecoveryCode, method.TOTP)
	bob := w.add("bob", method.Email, method.SMS)
	thief, ahead, others := w.visitor(), w.visitor(), w.visitor()
	thief.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0")
	thief.recovers(ada, "the thief chose this one")
	w.drained()
	time0.add(time.Hour)
	w.give(ada, method.Root{Kind: method.ByPerson, ID: ada.ID}, time0.now(), method.Method{Kind: method.Email, Destination: "thief@evil.example"}) // younger than the act
	ahead.proveTwice(ada)                                                                                                                          // the thief's next try
	others.proveTwice(bob)
	letters := w.letters(ada.Login)
	if len(letters) != 1 {
		t.Fatalf("%d notices at work", len(letters))
	}
	token := notMeLink(t, w, letters[0])
	owner := w.visitor()
	owner.get("/not-me?t="+token).want(t, 200, "/not-me", "the password of your account at Alder Works was changed", "the ways used for it no longer count")
	owner.post("/not-me", "token", token).want(t, 200, "/not-me", "The security team has been told", "Get my account back")
	owner.post("/not-me", "token", token).want(t, 200, "/not-me") // told twice
	w.drained()
	if n := w.count(ada.ID, event.AttemptDisputed); n != 1 {
		t.Errorf("%d events, want one", n)
	}
	alarm := w.mail.Letters("security@alder.example")
	if len(alarm) != 1 {
		t.Fatalf("%d letters to the security team, want one", len(alarm))
	}
	has(t, words(alarm[0].Subject+" "+alarm[0].Text), "this was not me", ada.Login, "Chrome, Windows", "It had already been finished")
	for _, address := range []string{ada.Login, ada.Email} {
		n := 0
		for _, l := range w.letters(address) {
			if l.Subject == "Thank you for telling us" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d confirmations at %s", n, address)
		}
	}
	ahead.post("/new-password", "password", "the thief chose again now").want(t, 200, "/new-password", ended)
	others.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")

	codes, texts := len(w.codes(ada.Email)), w.textCodes(ada.Phone)
	for _, way := range []string{"email", "sms"} { // neither those of the act nor the younger mailbox
		w.visitor().asks(ada.Login, way)
	}
	w.drained()
	if len(w.codes(ada.Email)) != codes || len(w.codes("thief@evil.example")) != 0 || w.textCodes(ada.Phone) != texts {
		t.Error("a code went to a way that is in dispute")
	}
	owner.asks(ada.Login, "recovery-code")
	owner.post("/recovery-code", "code", ada.Codes[0]).want(t, 200, "/choose", "Prove it one more way", "Authenticator app")
	lacks(t, owner.get("/choose").Text, "Personal email", "Text message")
	owner.chooseKind("totp").want(t, 200, "/app-code")
	owner.post("/app-code", "code", appCode(ada.Seed, time0.now())).want(t, 200, "/new-password")
	owner.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if !w.signsIn(ada, fresh) || w.signsIn(ada, "the thief chose this one") {
		t.Error("the owner did not get the account back")
	}
}

func TestADisputeIsOpenForSeventyTwoHours(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		open  bool
	}{"to the hour": {72 * time.Hour, true}, "later": {72*time.Hour + time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			time0 := newClock()
			w := newWorld(t, scene{now: time0.now})
			ada := w.add("ada", method.Email, method.SMS)
			v := w.visitor()
			v.recovers(ada, fresh)
			w.drained()
			token := w.srv.Flow.NotMe(v.id())
			time0.add(c.after)
			owner := w.visitor()
			look, act := owner.get("/not-me?t="+token), owner.post("/not-me", "token", token)
			if c.open {
				look.want(t, 200, "/not-me", "Was this not you?")
				act.want(t, 200, "/not-me", "The security team has been told")
			} else {
				look.want(t, 200, "/not-me", "This is too long ago to be undone from here")
				act.want(t, 200, "/not-me", "This is too long ago to be undone from here")
				lacks(t, look.Text+act.Text, "Nothing has been changed") // it has
			}
			if got := w.number(`SELECT count(*) FROM events WHERE type = 'attempt.disputed'`); (got == 1) != c.open {
				t.Errorf("%d disputes", got)
			}
		})
	}
}

func TestAChangeNobodyConfirmedIsToldToEveryAddressOnce(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS, method.RecoveryCode)
	w.visitor().recovers(ada, fresh)
	w.drained()
	for _, address := range []string{ada.Login, ada.Email} {
		l := w.letters(address)
		if len(l) != 1 {
			t.Fatalf("%d notices at %s, want one", len(l), address)
		}
		has(t, words(l[0].Subject+" "+l[0].Text), "was reset", "Firefox, Linux", "network 192.0.2.0/24", w.base+"/not-me?t=", "https://login.alder.example/")
		lacks(t, string(l[0].Raw)+l[0].Text, fresh, "192.0.2.10")
	}
	if n := len(w.sms.Texts(ada.Phone)) - w.textCodes(ada.Phone); n != 1 {
		t.Errorf("%d notices on the phone, want one", n)
	}
}
