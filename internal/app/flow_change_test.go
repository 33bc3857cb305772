package app

import (
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

func TestAKnownPasswordIsChangedBehindAnotherProof(t *testing.T) {
	for name, s := range map[string]scene{"memory": {}, "postgresql and openldap": {kind: store.PostgreSQL, slapd: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			ada := w.add("ada", method.Email, method.SMS)
			v := w.visitor()
			v.post("/change", "login", ada.Login)
			v.post("/old-password", "current", ada.Password, "password", fresh).want(t, 200, "/choose") // never before a proof
			v.post("/choose", "way", "email")
			v.post("/code", "code", w.mailCode(ada.Email, 1)).want(t, 200, "/old-password", "Current password")
			v.post("/new-password", "password", fresh).want(t, 200, "/old-password") // never without the old one
			v.post("/old-password", "password", fresh).want(t, 422, "/old-password", "Enter your current password")
			if w.slapd == nil { // that one locks at so few that one wrong try is all we take
				v.post("/old-password", "current", "not the right one at all", "password", fresh).want(t, 422, "/old-password", "Your current password is not right")
			}
			v.post("/old-password", "current", ada.Password, "password", "too short").want(t, 422, "/old-password")
			if !w.signsIn(ada, ada.Password) {
				t.Fatal("the old password is gone too early")
			}
			v.post("/old-password", "current", ada.Password, "password", fresh).want(t, 200, "/progress", "Your password is changed")
			if !w.signsIn(ada, fresh) || w.signsIn(ada, ada.Password) {
				t.Error("the password is not changed")
			}
			w.drained()
			if w.count(ada.ID, event.PasswordChanged) != 1 || w.count(ada.ID, event.PasswordReset) != 0 {
				t.Error("the events tell something else")
			}
			if l := w.letters(ada.Login); len(l) != 1 || !strings.Contains(l[0].Subject, "was changed") {
				t.Errorf("%d notices", len(l))
			}
		})
	}
}

func TestWrongOldPasswordsStopAtHalfOfTheDirectorysThresholdAndNeverLock(t *testing.T) {
	time0 := newClock()
	w := newWorld(t, scene{now: time0.now}) // the directory locks at six
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.firstProof("/change", ada)
	wrong := func(v *visitor) sight {
		return v.post("/old-password", "current", "not the right one", "password", fresh)
	}
	for range 3 {
		wrong(v).want(t, 422, "/old-password", "Your current password is not right")
	}
	for range 3 {
		wrong(v).want(t, 403, "/old-password", "so that nobody can lock your account")
	}
	again := w.visitor() // nor in another try, from elsewhere, with the right one
	again.From = "203.0.113.9"
	again.firstProof("/change", ada)
	wrong(again).want(t, 403, "/old-password", "so that nobody can lock your account")
	again.post("/old-password", "current", ada.Password, "password", fresh).want(t, 403, "/old-password", "so that nobody can lock your account")
	if !w.signsIn(ada, ada.Password) {
		t.Error("the account is locked, or the password changed")
	}
	if n := w.count(ada.ID, event.WriteRefused); n != 3 {
		t.Errorf("the directory was asked %d times, want 3", n)
	}
	for range 2 { // the owner's own slips at the sign-in page still do not lock
		_ = w.memory.Authenticate(ada.uid, "a slip of the finger")
	}
	if !w.signsIn(ada, ada.Password) {
		t.Error("we used up the owner's tries")
	}
	time0.add(25 * time.Hour)
	later := w.visitor()
	later.firstProof("/change", ada)
	later.post("/old-password", "current", ada.Password, "password", fresh).want(t, 200, "/progress", "Your password is changed")
}

func TestSomebodyWhoMustChangeThePasswordDoesItHere(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	if err := w.memory.Put(memory.Account{Login: ada.uid, Attrs: map[string][]string{"mail": {ada.Login}}, MustChange: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.memory.Authenticate(ada.uid, ada.Password); err == nil {
		t.Fatal("the directory does not ask for a new password")
	}
	v := w.visitor()
	v.firstProof("/change", ada).want(t, 200, "/old-password")
	v.post("/old-password", "current", ada.Password, "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if err := w.memory.Authenticate(ada.uid, fresh); err != nil {
		t.Errorf("signing in afterwards: %v", err)
	}
}
