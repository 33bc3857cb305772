package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

func TestATryEndsFifteenMinutesAfterItsLastAcceptedStep(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.post("/reset", "login", ada.Login)
	time0.add(14 * time.Minute)
	v.post("/choose", "way", "email").want(t, 200, "/code")
	time0.add(30 * time.Second)
	v.post("/code", "code", w.mailCode(ada.Email, 1)).want(t, 200, "/choose", "Prove it one more way") // an accepted step: fifteen more
	time0.add(15*time.Minute - time.Microsecond)
	v.get("/choose").want(t, 200, "/choose", "Prove it one more way")
	time0.add(time.Microsecond)
	for _, path := range []string{"/choose", "/code", "/new-password", "/progress"} {
		v.get(path).want(t, 410, path, "The time is up")
	}
	v.post("/choose", "way", "sms").want(t, 410, "/choose", "The time is up")
	v.post("/new-password", "password", fresh).want(t, 410, "/new-password", "The time is up")
	v.post("/extend").want(t, 410, "/extend", "The time is up")
	if v.state() != "expired" || w.count(ada.ID, event.AttemptExpired) != 1 || !w.signsIn(ada, ada.Password) {
		t.Errorf("state %s, %d events", v.state(), w.count(ada.ID, event.AttemptExpired))
	}
	asking := w.visitor() // asking for codes and wrong codes are no accepted steps
	asking.asks(ada.Login, "email")
	time0.add(8 * time.Minute)
	asking.post("/choose", "way", "email").want(t, 200, "/code")
	asking.post("/code", "code", "00000000").want(t, 422, "/code")
	time0.add(7 * time.Minute)
	asking.get("/code").want(t, 410, "/code", "The time is up")
}

func TestATryIsExtendedTenTimesAndNoMore(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.asks(ada.Login, "email")
	for i := range 10 {
		has(t, v.get("/choose").Text, "Give me 15 more minutes")
		time0.add(14 * time.Minute)
		v.post("/extend").want(t, 200, "/choose")
		if a := v.attempt(); a["extended"] != i+1 || !a["expires"].(time.Time).Equal(time0.now().Add(15*time.Minute)) {
			t.Fatalf("after %d: %v", i+1, a)
		}
	}
	lacks(t, v.get("/choose").Text, "Give me 15 more minutes")
	time0.add(14 * time.Minute)
	v.post("/extend").want(t, 429, "/extend", "cannot be extended any further")
	time0.add(time.Minute)
	v.get("/choose").want(t, 410, "/choose", "The time is up")
	if v.attempt()["extended"] != 10 || w.count(ada.ID, event.AttemptExtended) > 10 {
		t.Errorf("the try became %v", v.attempt())
	}
}

func TestAProofOlderThanAnHourIsRepeated(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.proveTwice(ada)
	for range 4 {
		time0.add(14 * time.Minute)
		v.post("/extend").want(t, 200, "/new-password")
	}
	time0.add(4*time.Minute + time.Second)
	v.post("/new-password", "password", fresh).want(t, 200, "/choose", "Prove that it is you")
	if !w.signsIn(ada, ada.Password) || v.attempt()["proofs"] != 0 {
		t.Error("a proof of an hour ago still counted")
	}
}

func TestTheTypedNameIsErasedADayAfterTheTry(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.SMS)
	v, stranger, done := w.visitor(), w.visitor(), w.visitor()
	v.asks(ada.Login, "email")
	stranger.asks("somebody.private@elsewhere.example", "email")
	w.drained()
	done.recovers(ada, fresh)
	w.drained()
	kept := func() int { return w.number(`SELECT count(*) FROM attempts WHERE typed IS NOT NULL`) }
	if kept() != 3 {
		t.Fatalf("%d typed names are kept", kept())
	}
	time0.add(27 * time.Hour)
	if n := w.number(`SELECT count(*) FROM work WHERE kind = 'retire' AND not_before > $1`, time0.now().UnixMicro()); n != 3 {
		t.Errorf("%d retirements wait, want 3", n)
	}
	time0.add(2 * time.Hour)
	eventually(t, "the names erased by the workers", func() bool { return w.number(`SELECT count(*) FROM work WHERE kind = 'retire'`) == 0 })
	if kept() != 0 {
		t.Errorf("%d typed names are still kept", kept())
	}
	if v.state() != "expired" || done.state() != "done" {
		t.Errorf("states %s and %s", v.state(), done.state())
	}
	if err := w.srv.Flow.Retire(t.Context(), v.id()); err != nil {
		t.Errorf("again: %v", err)
	}
	v.get("/progress").want(t, 410, "/progress", "The time is up")
}

func TestAnAppCodeIsNeverAFirstProofAndEachStepCountsOnceOnEveryReplica(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.TOTP)
	code := appCode(ada.Seed, time0.now())
	early := w.visitor()
	early.post("/reset", "login", ada.Login)
	lacks(t, early.get("/choose").Text, "Authenticator")
	early.post("/choose", "way", "totp").want(t, 422, "/choose")
	early.post("/choose", "way", "email")
	early.post("/app-code", "code", code) // against the mail's challenge
	early.post("/code", "code", code).want(t, 422, "/code", wrongCode)
	if a := early.attempt(); a["proofs"] != 0 || w.number(`SELECT failures FROM methods WHERE kind = 'totp'`) != 0 {
		t.Errorf("a stranger got %v and %d failures", a, w.number(`SELECT failures FROM methods WHERE kind = 'totp'`))
	}

	one, two := w.visitor(), w.visitor()
	one.firstProof("/reset", ada)
	two.firstProof("/reset", ada)
	one.chooseKind("totp").want(t, 200, "/app-code")
	far := two.at(w.replica())
	far.chooseKind("totp").want(t, 200, "/app-code")
	one.post("/app-code", "code", code[:3]+" "+code[3:]).want(t, 200, "/new-password")
	far.post("/app-code", "code", code).want(t, 422, "/app-code", wrongCode)
	two.post("/app-code", "code", code).want(t, 422, "/app-code", wrongCode)
	far.post("/app-code", "code", appCode(ada.Seed, time0.now().Add(-30*time.Second))).want(t, 422, "/app-code", wrongCode) // an earlier step than one used
	far.post("/app-code", "code", appCode(ada.Seed, time0.now().Add(90*time.Second))).want(t, 422, "/app-code", wrongCode)  // too far ahead
	time0.add(30 * time.Second)
	far.post("/app-code", "code", appCode(ada.Seed, time0.now())).want(t, 200, "/new-password")
}

func TestAHundredWrongAppCodesInARowDisableTheAppAndItsOwnerIsTold(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now})
	ada := w.add("ada", method.Email, method.TOTP, method.SMS)
	failures := func() int { return w.number(`SELECT failures FROM methods WHERE kind = 'totp'`) }
	wrong := func(v *visitor, n int) {
		t.Helper()
		for i := range n {
			if i%5 == 0 {
				v.chooseKind("totp").want(t, 200, "/app-code")
			}
			v.post("/app-code", "code", otherThan(appCode(ada.Seed, time0.now()))).want(t, 422, "/app-code", wrongCode)
		}
	}
	v := w.visitor()
	v.firstProof("/reset", ada)
	wrong(v, 3)
	v.post("/app-code", "code", appCode(ada.Seed, time0.now())).want(t, 200, "/new-password")
	if failures() != 0 {
		t.Errorf("%d failures after a right code, want the row to begin anew", failures())
	}
	for i, n := range []int{50, 49} {
		v = w.visitor()
		v.firstProof("/reset", ada)
		wrong(v, n)
		if want := []int{50, 99}[i]; failures() != want {
			t.Fatalf("%d failures, want %d", failures(), want)
		}
	}
	if s := fmt.Sprint(w.rows(`SELECT status FROM methods WHERE kind = 'totp'`)); s != "[[active]]" {
		t.Errorf("after 99: %s", s)
	}
	v.post("/app-code", "code", otherThan(appCode(ada.Seed, time0.now()))).want(t, 422, "/app-code")
	if s := fmt.Sprint(w.rows(`SELECT status FROM methods WHERE kind = 'totp'`)); s != "[[disabled]]" {
		t.Errorf("after 100: %s", s)
	}
	time0.add(time.Minute)
	lacks(t, v.get("/choose").Text, "Authenticator")
	v.post("/app-code", "code", appCode(ada.Seed, time0.now())).want(t, 422, "/app-code", wrongCode)
	w.drained()
	if n := w.count(ada.ID, event.MethodSpent); n != 1 {
		t.Errorf("%d events, want one", n)
	}
	found := 0
	for _, l := range append(w.letters(ada.Login), w.letters(ada.Email)...) {
		if strings.Contains(words(l.Text), "There were too many wrong tries") {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d notices, want one at each address", found)
	}
	w.visitor().recovers(ada, fresh) // the other ways go on
}
