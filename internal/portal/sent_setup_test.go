package portal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
)

// addMail confirms an address of somebody who is signed in, and returns the answer to the code.
func (w *world) addMail(to string) answer {
	w.t.Helper()
	w.post(PathAddEmail, "destination", to).goes(PathConfirm)
	id := w.get(PathConfirm).shows(200).field("id")
	d, err := w.reg.Prepare(w.t.Context(), id)
	must(w.t, err)
	must(w.t, w.reg.Delivered(w.t.Context(), d, ""))
	return w.post(PathConfirm, "id", id, "code", d.Code)
}

const campaign = "rules: [{name: everyone, kinds: [totp, email, recovery-code], proofs: {reset: 2}, registration: {mode: invited, snooze_days: 3, snoozes: 2}}]"

func TestAnAppSendsSomebodyToSetUpWaysAndHearsThatTheyDid(t *testing.T) {
	w := newWorld(t, campaign)
	ada := w.person("ada")
	w.sendHere(client.ActionRegister)
	w.get(PathSetup).goes(PathSetupNow)
	w.get(PathSetupNow).goes(opLogin + "?for=signin") // nobody is signed in yet
	if got := w.heard(); got.Status != "" || got.Over {
		t.Errorf("before anybody signed in: %+v", got)
	}
	w.signIn(ada, weak)
	w.arrive(session.SignIn, PathSetupNow, "").goes(PathSetupNow)
	w.get(PathSetupNow).shows(200, "Set up how you get back in", "set up 2 ways", "Payroll <b>", "Cancel and go back").
		leads(PathAdd, true).leads(PathSetupLater, false).leads(PathSetupGo, false).leads(pathCancel, true)
	w.get(PathSetupOn).goes(PathSetupNow) // nothing was set up
	w.get(PathSetupGo).goes(PathSetupNow)
	w.get(PathAdd).goes(opLogin + "?for=step-up&to=%2Fsecurity-info%2Fadd")

	s := w.signIn(ada)
	w.clock = w.clock.Add(time.Second)
	w.addMail("ada@example.net").goes(PathAdd) // one more is wanted
	w.get(PathAdd).shows(200, "Way 2 of 2", "Go back to Payroll <b>").leads(pathReturn, true)
	one := w.heard()
	if one.Status != client.StatusDone || one.Person != ada.ID || one.Epoch != s.Epoch || one.Txn != s.ID || !one.At.Equal(w.clock) || !slices.Equal(one.Proofs, []string{"mail"}) || one.Over {
		t.Errorf("got %+v", one)
	}
	// A second step-up is another session; what was added in the first still counts.
	w.clock = w.clock.Add(time.Minute)
	later := w.signIn(ada)
	if got := w.heard(); got.Txn != s.ID || got.Epoch != later.Epoch || got.Status != client.StatusDone {
		t.Errorf("after another step-up: %+v", got)
	}
	w.post(PathAdd, "kind", "totp").goes(PathAddApp)
	page := w.get(PathAddApp).shows(200)
	secret := strings.ReplaceAll(text(elements(page.doc, "output")[0]), " ", "")
	code, err := totp.GenerateCode(secret, w.clock)
	must(t, err)
	w.post(PathAddApp, "id", page.field("id"), "code", code).goes(PathSetupOn)
	for range 2 { // shown again it still says so
		a := w.get(PathSetupOn).shows(200, "That is all", "It is added", "Go back to Payroll <b>").leads(pathReturn, true).leads(pathCancel, false).leads(PathSetupGo, false)
		if said := text(a.doc); strings.Index(said, "It is added") > strings.Index(said, "Go back to Payroll") {
			t.Error("the way back comes before what happened")
		}
	}
	two := w.heard()
	if two.Txn != later.ID || !two.At.Equal(w.clock) || !slices.Equal(two.Proofs, []string{"mail", "app"}) {
		t.Errorf("got %+v", two)
	}
	events, err := w.s.EventsOf(t.Context(), ada.ID, "", 50)
	must(t, err)
	if !slices.ContainsFunc(events, func(e event.Event) bool { return e.Type == event.MethodAdded && e.Txn == two.Txn }) {
		t.Error("the app's number ties to no event")
	}
	w.get(PathSetupNow).shows(200, "You have set up what Contoso asks for").hides("a•••@e•••.org")
	w.get(PathSecurity).shows(200, "Go back to Payroll <b>").leads(pathReturn, true)

	// Once the app had its answer, the pages are as without one.
	delete(w.jar, tieCookie)
	w.get(PathSetupOn).goes(PathSecurity)
	w.get(PathSetup).goes(PathSecurity)
	w.get(PathSetupNow).goes(PathSetupGo)
}

func TestOnlyWhatTheVeryPersonSetUpSinceTheAppAskedIsTold(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [totp, email, sms]}]")
	ada, bob := w.person("ada", phoneApp()), w.person("bob")
	w.signIn(ada)
	w.addMail("before@example.net").goes(PathSecurity)
	w.clock = w.clock.Add(time.Minute)
	w.sendHere(client.ActionRegister)
	nothing := func(what string) {
		t.Helper()
		if got := w.heard(); got.Status != "" || got.Txn != "" || got.Person != "" || got.Over {
			t.Errorf("%s: got %+v", what, got)
		}
	}
	nothing("what was there before")

	// What somebody else brings: a connector, staff, an import.
	for i, root := range []method.Root{{Kind: method.ByConnector, ID: "c"}, {Kind: method.ByPass, ID: "p"}, {Kind: method.ByImport, ID: "i"}, {Kind: method.ByDirectory, ID: "d"}} {
		m := phoneApp()
		if i > 2 {
			m = mail("ada@brought.example")
		}
		m.Status, m.Root, m.Created, m.Confirmed = method.Active, root, w.clock, w.clock
		must(t, w.s.CreateMethods(t.Context(), ada.ID, []method.Method{m}, nil))
	}
	nothing("what others bring")

	// What counts no more, or has left by now.
	for _, change := range []func(*method.Method){
		func(m *method.Method) { m.Status = method.Disabled }, func(m *method.Method) { m.Status = method.Pending }, func(m *method.Method) { m.Leaves = w.clock },
	} {
		m := phoneApp()
		m.Status, m.Root, m.Created, m.Confirmed = method.Active, method.Root{Kind: method.BySession, ID: "s"}, w.clock, w.clock
		change(&m)
		must(t, w.s.CreateMethods(t.Context(), ada.ID, []method.Method{m}, nil))
	}
	nothing("what counts no more")

	// What is only begun.
	w.post(PathAddEmail, "destination", "begun@example.net").goes(PathConfirm)
	nothing("what is only begun")

	w.addMail("new@example.net").goes(PathSetupOn)
	if got := w.heard(); got.Status != client.StatusDone || got.Person != ada.ID || !slices.Equal(got.Proofs, []string{"mail"}) {
		t.Errorf("got %+v", got)
	}

	second := mail("second@example.net")
	second.Status, second.Root, second.Created, second.Confirmed = method.Active, method.Root{Kind: method.BySession, ID: "s"}, w.clock, w.clock
	must(t, w.s.CreateMethods(t.Context(), ada.ID, []method.Method{second}, nil))
	if got := w.heard(); !slices.Equal(got.Proofs, []string{"mail"}) || got.Txn != "s" {
		t.Errorf("two of a class are one: got %+v", got)
	}

	// Somebody else signs in here: nothing of theirs happened.
	w.signIn(bob)
	nothing("another person")
	w.door.here = ""
	nothing("nobody")

	// What is taken away again was not set up.
	w.signIn(ada)
	ways, err := w.s.Methods(t.Context(), ada.ID)
	must(t, err)
	for _, m := range ways[len(ways)-2:] {
		w.post(PathRemove, "id", m.ID).goes(PathSecurity)
	}
	nothing("what was taken away again")
	w.get(PathSetupOn).goes(PathSetupNow)
	must(t, w.stop()) // nothing to stop, and no fault

	// An app that asked for something else hears nothing of it.
	w.clock = w.clock.Add(time.Hour)
	w.signIn(ada)
	w.tie.h.Action = client.ActionReset
	w.addMail("another@example.net").goes(PathSecurity)
	if got := w.heard(); got.Status != "" {
		t.Errorf("asked for a reset: got %+v", got)
	}
	w.get(PathSetup).goes(PathSecurity)
}

func TestAnAppThatAsksForWaysIsNotPutOffByAReview(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [totp, email], registration: {mode: invited, reconfirm_days: 1}}]")
	w.signIn(w.person("ada", mail("ada@example.net"), phoneApp()))
	w.get(PathSetupNow).shows(200, "Do you still have all of them?").leads(PathSetupRight, true).leads(PathSetupLater, true)
	w.sendHere(client.ActionRegister)
	w.get(PathSetupNow).shows(200, "You have set up what Contoso asks for", "a•••@e•••.net").leads(PathAdd, true).leads(PathSetupRight, false).leads(PathSetupLater, false)
	// A sign-in that another app began, with itself to go back to, comes later.
	w.app("payroll", "Payroll", false)
	w.arrive(session.SignIn, "", "payroll").goes(PathSetupGo)
	if _, tied := w.jar[tieCookie]; tied || w.jar[backCookie] != "payroll" {
		t.Errorf("cookies are %v", w.jar)
	}
}
