package portal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// tie stands for package handoff, which has tests of its own: which handoff a browser holds a test decides. The browser
// holds it by a cookie, as there.
type tie struct {
	w       *world
	h       *client.Handoff
	late    bool           // it ends between being looked at and being bound
	outcome client.Outcome // as the latest page was made from
	stopped error
}

const (
	tieCookie  = "__Host-handoff"
	pathCancel = "/oauth2/cancel"
	pathReturn = "/oauth2/return"
)

func (s *tie) Of(r *web.Request) (*client.Handoff, error) {
	if s.h == nil || r.Cookie("handoff") == "" {
		return nil, nil
	}
	h := *s.h
	return &h, nil
}

func (s *tie) Bind(_ *web.Request, attempt string) error {
	if s.late {
		return fault.New(fault.Over, message.Key("error.over"))
	}
	s.h.Attempt = attempt
	return nil
}

func (s *tie) Falter(r *web.Request) error {
	if h, err := s.Of(r); h == nil || err != nil {
		return err
	}
	s.h.Why = client.WhyDown
	return nil
}

func (s *tie) Forget() web.Cookie { return web.Cookie{Name: "handoff", MaxAge: -1} }

// sender is what every page of a handoff shows: the way out until something was changed, from then on the way back.
func (s *tie) sender(r *web.Request) (*web.Sender, error) {
	h, err := s.Of(r)
	if h == nil || err != nil {
		return nil, err
	}
	if s.outcome, err = s.w.pages.Outcome(r, h); err != nil {
		return nil, err
	}
	out := &web.Sender{Name: "Payroll <b>", Host: "payroll.contoso.example", Origin: "https://payroll.contoso.example"}
	if s.outcome.Status != "" {
		out.Return = pathReturn
	} else {
		out.Cancel = pathCancel
	}
	return out, nil
}

// sendHere makes this browser one that an app sent here.
func (w *world) sendHere(action client.Action) *client.Handoff {
	w.tie.h = &client.Handoff{ID: "h", App: "a", Key: "payroll", State: client.HandoffOpen, Action: action, Created: w.clock}
	w.jar[tieCookie] = "held"
	return w.tie.h
}

// heard is the outcome as the app would hear it now.
func (w *world) heard() client.Outcome {
	w.t.Helper()
	w.get(PathHelp).shows(200, "Payroll <b>")
	return w.tie.outcome
}

// account gives somebody an account in the directory, with a password.
func (w *world) account(p *account.Person) {
	w.t.Helper()
	must(w.t, w.dir.Put(memory.Account{Login: strings.TrimSuffix(p.UserName, "@contoso.example"), Password: "an old one of theirs", Attrs: map[string][]string{"mail": {p.UserName}}}))
}

// prove takes a try that began to its last step by two codes.
func (w *world) prove() {
	w.t.Helper()
	way := "email"
	for range 2 {
		w.post(PathChoose, "way", way).goes(PathCode)
		d, err := w.flow.Prepare(w.t.Context(), w.jar["__Host-code"])
		must(w.t, err)
		if d == nil {
			w.t.Fatal("no code is sent")
		}
		must(w.t, w.flow.Delivered(w.t.Context(), d, ""))
		if w.post(PathCode, "code", d.Code).to == PathChoose {
			way = w.get(PathChoose).field("way")
		}
	}
}

// capable makes somebody who can reset their password.
func (w *world) capable(name string) *account.Person {
	w.t.Helper()
	p := w.person(name, mail(name+"@example.net"), method.Method{Kind: method.SMS, Destination: "+4915112345678", DestinationHash: []byte(name)})
	w.account(p)
	return p
}

const two = "rules: [{name: everyone, kinds: [email, sms, totp], hold_after_reset: 0s}]"

func TestAHandoffBeginsOnThePageOfWhatTheAppAskedForWithNothingInTheAddress(t *testing.T) {
	w := newWorld(t, "")
	var h client.Handoff
	w.site.Handle("GET", "/begin", func(r *web.Request) (web.Page, error) { return w.pages.Begin(r, &h), nil })
	for action, to := range map[client.Action]string{
		client.ActionReset: PathReset, client.ActionUnlock: PathUnlock, client.ActionChange: PathChange, client.ActionRegister: PathSetup,
	} {
		h = client.Handoff{Action: action, Hint: "ada@contoso.example", Lang: "de"}
		w.jar = map[string]string{backCookie: "hr"}
		w.get("/begin").goes(to)
		if got := decodeHint(w.jar["__Host-hint"]); got != "ada@contoso.example" || w.jar["__Host-lang"] != "de" || w.jar[backCookie] != "" {
			t.Errorf("%s: cookies are %v", action, w.jar)
		}
		if action != client.ActionRegister {
			if got := w.get(to).shows(200, "Benutzername").field("login"); got != "ada@contoso.example" {
				t.Errorf("%s: %q stands in the field", action, got)
			}
		}
	}
	// What no one could have typed is left out, and an earlier hint goes with it.
	for _, hint := range []string{"", strings.Repeat("a", MaxLogin+1), "a\nb", "a\x00", "\xff", "a\u0085b"} {
		h = client.Handoff{Action: client.ActionReset, Hint: hint}
		w.jar = map[string]string{"__Host-hint": encodeHint("bob")}
		w.get("/begin").goes(PathReset)
		if kept, there := w.jar["__Host-hint"]; there {
			t.Errorf("%q: kept %q", hint, kept)
		}
		w.get(PathReset).shows(200)
	}
	// A language that the person chose here is theirs.
	h = client.Handoff{Action: client.ActionReset, Lang: "de"}
	w.jar = map[string]string{"__Host-lang": "en"}
	w.get("/begin").goes(PathReset)
	w.get(PathReset).shows(200, "Reset your password")
}

func TestATryIsBoundToTheAppOnlyWhenItIsWhatTheAppAskedFor(t *testing.T) {
	w := newWorld(t, "")
	begins := func(a policy.Action) {
		t.Helper()
		w.post(PathOf(a), "login", "ada@contoso.example").goes(PathChoose)
	}
	for _, action := range client.Actions {
		for _, a := range []policy.Action{policy.Reset, policy.Unlock, policy.Change} {
			h := w.sendHere(action)
			h.Attempt = "earlier"
			begins(a)
			if bound := h.Attempt != "earlier"; bound != (string(a) == string(action)) {
				t.Errorf("asked for %s, began %s: bound is %v", action, a, bound)
			}
		}
	}
	h := w.sendHere(client.ActionReset)
	w.tie.late = true
	begins(policy.Reset)
	if h.Attempt != "" {
		t.Error("a try is bound to what has ended")
	}
	delete(w.jar, tieCookie)
	begins(policy.Reset) // nobody waits
	w.pages.Sent = nil   // nobody ever does
	begins(policy.Reset)
	w.get(PathChoose).shows(200)
	if w.get(PathReset + "?return_to=payroll").goes(PathReset); w.jar[backCookie] != "payroll" {
		t.Error("a plain link does not work without apps that wait")
	}
}

func TestAnAppHearsWhatHappenedInThisBrowserAndNothingBefore(t *testing.T) {
	w := newWorld(t, two)
	ada := w.capable("ada")
	h := w.sendHere(client.ActionReset)
	w.get(PathReset).shows(200).leads(pathCancel, true)
	nothing := func(over bool) {
		t.Helper()
		if got := w.heard(); got.Status != "" || got.Person != "" || got.Txn != "" || got.Proofs != nil || got.Over != over {
			t.Errorf("got %+v", got)
		}
	}
	nothing(false)
	w.post(PathReset, "login", ada.UserName).goes(PathChoose)
	nothing(false)
	w.prove()
	nothing(false)
	w.get(PathNewPassword).shows(200).leads(pathCancel, true).leads(PathCancel, false)
	w.clock = w.clock.Add(time.Minute)
	w.post(PathNewPassword, "password", "fresh for every start 1").goes(PathProgress)
	a := w.get(PathProgress).shows(200, "Your password is changed", "Go back to Payroll <b>").leads(pathReturn, true).leads(pathCancel, false)
	if said := text(a.doc); strings.Index(said, "Your password is changed") > strings.Index(said, "Go back to Payroll") {
		t.Errorf("the way back comes before what happened: %s", said)
	}
	now := mustFind(w, "ada")
	got := w.heard()
	if got.Status != client.StatusDone || got.Person != ada.ID || got.Epoch != now.Epoch || now.Epoch == ada.Epoch || got.Txn != h.Attempt ||
		!got.At.Equal(w.clock) || !got.Over || !slices.Equal(got.Proofs, []string{"mail", "phone"}) {
		t.Errorf("got %+v, want done by %s at epoch %d, txn %s", got, ada.ID, now.Epoch, h.Attempt)
	}
	events, err := w.s.EventsOf(t.Context(), ada.ID, "", 50)
	must(t, err)
	if !slices.ContainsFunc(events, func(e event.Event) bool { return e.Type == event.PasswordReset && e.Txn == got.Txn }) {
		t.Error("the app's number ties to no event")
	}

	// In another browser, and in one that began another try since, there is nothing to hear.
	mine := w.jar
	w.jar = map[string]string{tieCookie: "held"}
	nothing(true)
	for _, path := range []string{PathUnlock, PathReset} { // neither is the one the app waits for
		w.tie.late = true
		w.post(path, "login", ada.UserName).goes(PathChoose)
		nothing(true)
	}
	w.jar = mine
	if w.heard().Status != client.StatusDone {
		t.Fatal("the outcome is gone")
	}
	// Nor of what a try at something else would tell.
	h.Action = client.ActionUnlock
	nothing(true)
	h.Action = client.ActionReset

	// Whoever owns the account says that it was not them: no statement is made about it any more.
	_, err = w.flow.Dispute(t.Context(), w.flow.NotMe(h.Attempt))
	must(t, err)
	nothing(true)
	w.get(PathProgress).shows(200, "Your password is changed").leads(pathReturn, false).leads(pathCancel, true)
	must(t, w.stop())
}

// stop is the person going back to the app.
func (w *world) stop() error {
	w.t.Helper()
	w.post(pathCancel).goes(PathHome)
	return w.tie.stopped
}

func TestEveryStateOfATryIsOneAnswerAndItsEndIsTold(t *testing.T) {
	w := newWorld(t, two)
	ada := w.capable("ada")
	proof := []reset.Proof{{Kind: method.Email, Class: method.Mail, At: w.clock}, {Kind: method.SMS, Class: method.Phone, At: w.clock}}
	for _, c := range []struct {
		name   string
		state  reset.State
		change func(*reset.Attempt)
		status client.Status
		over   bool // nothing more can be changed
		after  reset.State
	}{
		{"started", reset.Started, nil, "", false, reset.Cancelled},
		{"proving", reset.Proving, nil, "", false, reset.Cancelled},
		{"proved", reset.Proved, nil, "", false, reset.Cancelled},
		{"being written", reset.Writing, nil, client.StatusUnknown, false, reset.Writing},
		{"unknown", reset.Unknown, nil, client.StatusUnknown, false, reset.Unknown},
		{"unresolved", reset.Unresolved, func(a *reset.Attempt) { a.Ended = w.clock }, client.StatusUnknown, true, reset.Unresolved},
		{"done", reset.Done, func(a *reset.Attempt) { a.Ended = w.clock }, client.StatusDone, true, reset.Done},
		{"expired", reset.Expired, nil, "", true, reset.Expired},
		{"cancelled", reset.Cancelled, nil, "", true, reset.Cancelled},
		{"blocked", reset.Blocked, nil, "", true, reset.Blocked},
		{"out of time", reset.Proving, func(a *reset.Attempt) { a.Expires = w.clock }, "", true, reset.Expired},
		{"done, and the account changed since", reset.Done, func(a *reset.Attempt) { a.Epoch-- }, "", true, reset.Done},
		{"unknown, and the account changed since", reset.Unknown, func(a *reset.Attempt) { a.Epoch-- }, "", true, reset.Unknown},
		{"proved, and the account changed since", reset.Proved, func(a *reset.Attempt) { a.Epoch-- }, "", true, reset.Cancelled},
	} {
		w.jar = map[string]string{}
		h := w.sendHere(client.ActionReset)
		w.post(PathReset, "login", ada.UserName).goes(PathChoose)
		_, err := w.s.UpdateAttempt(t.Context(), h.Attempt, func(a *reset.Attempt) ([]event.Event, error) {
			a.Resolve(ada, w.clock)
			if a.State = c.state; a.State != reset.Started {
				a.Proofs = proof
			}
			if c.change != nil {
				c.change(a)
			}
			return nil, nil
		})
		must(t, err)
		got := w.heard()
		if got.Status != c.status || got.Over != c.over {
			t.Errorf("%s: got %+v, want %q, over %v", c.name, got, c.status, c.over)
		}
		if said := got.Person == ada.ID && got.Txn == h.Attempt && got.At.Equal(w.clock) && slices.Equal(got.Proofs, []string{"mail", "phone"}); said != (c.status != "") {
			t.Errorf("%s: got %+v", c.name, got)
		}
		must(t, w.stop())
		after, err := w.s.Attempt(t.Context(), h.Attempt)
		must(t, err)
		if after.State != c.after {
			t.Errorf("%s: stopping leaves it %s, want %s", c.name, after.State, c.after)
		}
		if again := w.heard(); again.Status != c.status || !again.Over && c.status == "" {
			t.Errorf("%s: once stopped, got %+v", c.name, again)
		}
	}
	// Somebody disabled meanwhile is nobody to make a statement about.
	w.jar = map[string]string{}
	h := w.sendHere(client.ActionReset)
	w.post(PathReset, "login", ada.UserName).goes(PathChoose)
	w.prove()
	w.post(PathNewPassword, "password", "fresh for every start 1").goes(PathProgress)
	_, err := w.s.UpdatePerson(t.Context(), ada.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		p.Active = false
		return nil, nil
	})
	must(t, err)
	if got := w.heard(); got.Status != "" || !got.Over || h.Attempt == "" {
		t.Errorf("disabled: got %+v", got)
	}
}

func TestTheEndsOfATrySayThatItStartsAgainAtTheApp(t *testing.T) {
	w := newWorld(t, two)
	ada := w.capable("ada")
	w.sendHere(client.ActionReset)
	w.post(PathReset, "login", ada.UserName).goes(PathChoose)
	w.clock = w.clock.Add(reset.Life + time.Minute)
	w.get(PathChoose).shows(410, "The time is up", "You can start again where you came from", "Go back to Payroll <b>").
		leads(pathCancel, true).leads(PathReset, false)
	delete(w.jar, tieCookie)
	w.get(PathChoose).shows(410, "The time is up", "You can start again.").hides("Payroll").leads(pathCancel, false).leads(PathReset, true)
}

func TestAPlainLinkEndsTheTieToAnAppAndKeepsNoNameInTheAddress(t *testing.T) {
	w := newWorld(t, "")
	w.app("hr", "HR", false)
	must(t, w.s.CreateApp(t.Context(), &client.App{Key: "asks-only", Name: "Asks only", Redirects: []string{"https://asks.contoso.example/cb"}, Actions: client.Actions,
		Auth: client.AuthSecret, Alg: "ES256", Subject: client.Pairwise, Sector: "asks.contoso.example", Created: w.clock, Updated: w.clock}))
	login := "login_hint=ada%40contoso.example"
	for _, path := range []string{PathReset, PathUnlock, PathChange} {
		for query, hint := range map[string]string{
			login: "ada@contoso.example", login + "&return_to=hr": "ada@contoso.example", "return_to=hr&utm_source=mail&" + login: "ada@contoso.example",
			"login_hint=": "", "login_hint": "", login + "&" + login: "", "login_hint=" + strings.Repeat("a", MaxLogin+1): "", "login_hint=a%0d%0ab": "", "login_hint=%ff": "",
			"login_hint=CONTOSO%5Cada": `CONTOSO\ada`, "login_hint=ada+b": "ada b", "login_hint=%3Cscript%3E": "<script>",
		} {
			w.jar = map[string]string{"__Host-hint": encodeHint("earlier")}
			w.sendHere(client.ActionReset)
			a := w.get(path + "?" + query).goes(path) // the address without anything
			if _, tied := w.jar[tieCookie]; tied != !strings.Contains(query, "return_to") {
				t.Errorf("%s?%.60s: tied to the app is %v", path, query, tied)
			}
			if strings.Contains(a.body, "ada") {
				t.Errorf("%s?%.60s: the answer says the name", path, query)
			}
			if got := w.get(path).shows(200).field("login"); got != hint {
				t.Errorf("%s?%.60s: %q stands in the field, want %q", path, query, got, hint)
			}
		}
	}
	w.sendHere(client.ActionReset)
	w.get("/forgot?return_to=hr&" + login).goes(PathReset + "?return_to=hr&" + login)
	w.get(PathReset + "?return_to=hr&" + login).goes(PathReset)
	w.get(PathReset).shows(200).hides("Payroll").leads(pathCancel, false)
	w.sendHere(client.ActionRegister)
	w.get(PathSetup + "?return_to=hr").goes(PathSetupGo)
	if _, tied := w.jar[tieCookie]; tied {
		t.Error("a plain link to set up ways keeps the tie")
	}
	// An app that has no address to go back to by a plain link leads nowhere, whatever its redirect URIs are.
	w.site.Handle("GET", "/back", func(r *web.Request) (web.Page, error) {
		back, err := w.pages.back(r)
		must(t, err)
		return DonePage{Back: back}.Page(), nil
	})
	w.get(PathReset + "?return_to=asks-only").goes(PathReset)
	if a := w.get("/back").shows(200).hides("Asks only"); strings.Contains(a.body, "asks.contoso.example") {
		t.Error("a plain link leads to a redirect URI")
	}
}
