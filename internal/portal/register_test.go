package portal

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
)

func mail(to string) method.Method {
	return method.Method{Kind: method.Email, Destination: to, DestinationHash: []byte(to)}
}

func phoneApp() method.Method {
	return method.Method{Kind: method.TOTP, Display: "Old", Secret: []byte("12345678901234567890"), Algorithm: "SHA1", Digits: 6, Period: 30}
}

func TestPagesOfOnesOwnAskToSignInFirst(t *testing.T) {
	w := newWorld(t, "")
	for _, path := range []string{PathSecurity, PathAdd, PathAddPasskey, PathAddApp, PathAddEmail, PathAddPhone, PathConfirm, PathAddCodes, PathCodesFile,
		PathRemove, PathRename, PathActivity, PathSetupGo, PathSetupNow, PathSetupOn} {
		w.get(path).goes(opLogin + "?for=signin")
	}
	for _, path := range []string{PathReviewed, PathAdd, PathLeave, PathAddPasskey, PathAddApp, PathConfirm, PathAgain, PathAddCodes, PathRemove, PathRename,
		PathKeep, PathSetupLater, PathSetupRight, PathEndSession, PathEndOthers, PathForget, PathTrust} {
		w.post(path, "id", "x").goes(opLogin + "?for=signin")
	}
}

func TestAChangeAsksForAStepUpAndComesBackToTheVeryStep(t *testing.T) {
	w := newWorld(t, "")
	ada := w.person("ada", mail("ada@example.net"))
	methods, err := w.s.Methods(t.Context(), ada.ID)
	must(t, err)
	w.signIn(ada, weak)
	w.get(PathSecurity).shows(200, "Ada", "One more way is needed") // looking needs none
	for path, to := range map[string]string{
		PathAdd: "%2Fsecurity-info%2Fadd", PathAddEmail: "%2Fsecurity-info%2Femail", PathAddPhone: "%2Fsecurity-info%2Fphone",
		withID(PathRemove, methods[0].ID): "%2Fsecurity-info%2Fremove%3Fid%3D" + methods[0].ID, withID(PathRename, methods[0].ID): "%2Fsecurity-info%2Frename%3Fid%3D" + methods[0].ID,
	} {
		w.get(path).goes(opLogin + "?for=step-up&to=" + to)
	}
	for path, form := range map[string][]string{
		PathAdd: {"kind", "totp"}, PathAddEmail: {"destination", "new@example.net"}, PathRemove: {"id", methods[0].ID}, PathRename: {"id", methods[0].ID, "name", "x"}, PathKeep: {"id", methods[0].ID},
	} {
		w.post(path, form...).shows(410)
	}
	after, err := w.s.Methods(t.Context(), ada.ID)
	must(t, err)
	if len(after) != 1 || after[0].Status != method.Active {
		t.Errorf("something changed without a step-up: %+v", after)
	}
}

func TestAPolicyThatDoesNotLetSomebodyIsToldPlainly(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, registration: {networks: [10.0.0.0/8]}}]")
	w.signIn(w.person("ada"))
	w.get(PathAdd).shows(403, "certain networks", "What you have set up still works")
	w.post(PathAddEmail, "destination", "ada@example.net").shows(403, "certain networks")
	w.get(PathSecurity).shows(200)
}

func TestSomebodyAddsAsManyWaysAsAreWantedWithoutAnyScript(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [totp, recovery-code, email, sms]}]")
	ada := w.person("ada")
	w.signIn(ada)
	w.get(PathSecurity).shows(200, "2 more ways are needed", "You have set up none", "Contoso ID", "password, one-time code").leads(PathAdd, true).leads("https://op.example/account", true)

	// An app: the first and strongest, chosen already.
	page := w.get(PathAdd).shows(200, "Way 1 of 2")
	for _, n := range elements(page.doc, "input") {
		if v, _ := attr(n, "value"); v == "totp" {
			if _, ok := attr(n, "checked"); !ok {
				t.Error("the strongest is not chosen already")
			}
		}
	}
	w.post(PathAdd, "kind", "voice").shows(422, "Choose one of the ways")
	w.post(PathAdd, "kind", "totp").goes(PathAddApp)
	page = w.get(PathAddApp).shows(200, "Set up an authenticator app")
	id, secret := page.field("id"), ""
	for _, n := range elements(page.doc, "output") {
		secret = strings.ReplaceAll(text(n), " ", "")
	}
	if len(elements(page.doc, "svg")) < 2 || !strings.Contains(page.body, `href="otpauth://totp/`) {
		t.Error("there is no picture, or no link for the phone in hand")
	}
	w.get(PathConfirm).goes(PathAddApp) // what is open is what goes on
	w.get(PathSecurity).shows(200, "You began to add a way").leads(PathAddApp, true)
	w.post(PathAddApp, "id", id, "code", "").shows(422, "Enter the code")
	w.post(PathAddApp, "id", id, "code", "000000").shows(422, "did not match")
	code, err := totp.GenerateCode(secret, w.clock)
	must(t, err)
	w.post(PathAddApp, "id", id, "code", code[:3]+" "+code[3:]).goes(PathAdd)
	w.get(PathAdd).shows(200, "It is added", "Way 2 of 2")
	w.get(PathAdd).hides("It is added")
	w.get(PathAddApp).goes(PathAdd)

	// A list: it counts once the person says that it is saved.
	w.post(PathAdd, "kind", "recovery-code").goes(PathAddCodes)
	page = w.get(PathAddCodes).shows(200, "You see them only now")
	file := w.get(PathCodesFile)
	if got := strings.Fields(file.body); len(got) != register.MaxCodes || !strings.Contains(page.body, got[9]) || strings.Contains(file.body, "ada") {
		t.Errorf("the file holds %q", file.body)
	}
	if got := file.head.Get("Content-Disposition"); got != "attachment; filename=codes.txt" {
		t.Errorf("the file is %q", got)
	}
	w.get(PathSecurity).hides("10 codes left")
	w.post(PathAddCodes, "id", page.field("id")).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "It is added", "10 codes left", "Soon you can get back in by yourself", "Counts by itself from")
	w.get(PathCodesFile).goes(PathAdd)

	// Nothing more is wanted; a mail address all the same.
	w.get(PathAdd).shows(200).hides("Way 3")
	w.post(PathAdd, "kind", "email").goes(PathAddEmail)
	w.post(PathAddEmail, "destination", "ada@contoso.example").shows(422, "private address")
	if v := w.post(PathAddEmail, "destination", "ada@").shows(422).field("destination"); v != "ada@" {
		t.Errorf("what was typed became %q", v)
	}
	w.post(PathAddEmail, "destination", "ada@example.net").goes(PathConfirm)
	page = w.get(PathConfirm).shows(200, "on its way to ada@example.net", "Change it")
	if v := w.get(PathAddEmail).field("destination"); v != "ada@example.net" {
		t.Errorf("the address to change is %q", v)
	}
	w.post(PathConfirm, "id", page.field("id"), "code", "00000000").shows(422, "did not work")
	d, err := w.reg.Prepare(t.Context(), page.field("id"))
	must(t, err)
	must(t, w.reg.Delivered(t.Context(), d, ""))
	w.clock = w.clock.Add(2 * time.Minute)
	w.post(PathAgain, "id", page.field("id")).goes(PathConfirm)
	w.get(PathConfirm).shows(200, "Code number 2 is on its way")
	if d, err = w.reg.Prepare(t.Context(), page.field("id")); err != nil {
		t.Fatal(err)
	}
	must(t, w.reg.Delivered(t.Context(), d, ""))
	w.post(PathConfirm, "id", page.field("id"), "code", d.Code[:4]+"-"+d.Code[4:]).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "a•••@e•••.net", "Works from")
	w.post(PathConfirm, "id", page.field("id"), "code", d.Code).shows(410, "Start again")
}

func TestWhatWasBegunIsDroppedOrOver(t *testing.T) {
	w := newWorld(t, "")
	w.signIn(w.person("ada"))
	w.post(PathAdd, "kind", "totp").goes(PathAddApp)
	id := w.get(PathAddApp).field("id")
	w.post(PathLeave, "id", id).goes(PathAdd)
	w.get(PathAdd).shows(200, "Nothing was added")
	w.post(PathAddApp, "id", id, "code", "123456").shows(410, "Start again")
	w.post(PathAdd, "kind", "totp").goes(PathAddApp)
	w.clock = w.clock.Add(register.Life + time.Minute)
	w.get(PathSecurity).hides("You began to add a way")
	w.get(PathAddApp).goes(PathAdd)
}

func TestAPasskeyPageHoldsWhatTheBrowserNeedsAndNothingRunsInline(t *testing.T) {
	w := newWorld(t, "")
	w.signIn(w.person("ada"))
	w.post(PathAdd, "kind", "passkey").goes(PathAddPasskey)
	page := w.get(PathAddPasskey).shows(200, "Passkeys need a browser with JavaScript", "Use another way")
	options := ""
	for _, n := range elements(page.doc, "form") {
		if v, ok := attr(n, "data-options"); ok {
			options = v
		}
	}
	if !strings.Contains(options, `"userVerification":"required"`) || !strings.Contains(options, `"rp":`) {
		t.Errorf("options are %s", options)
	}
	w.post(PathAddPasskey, "id", page.field("id"), "answer", "").shows(422, "No passkey was made")
	w.post(PathAddPasskey, "id", page.field("id"), "answer", "{}").shows(422, "No passkey was made")
}

func TestAWayIsRenamedRemovedAndKept(t *testing.T) {
	w := newWorld(t, "")
	ada := w.person("ada", mail("ada@example.net"), phoneApp(),
		method.Method{Kind: method.SMS, Destination: "+491713920001", DestinationHash: []byte("x"), Root: method.Root{Kind: method.ByConnector, ID: "hr"}})
	bob := w.person("bob", mail("bob@example.net"))
	ways := map[method.Kind]string{}
	for _, p := range []string{bob.ID, ada.ID} {
		methods, err := w.s.Methods(t.Context(), p)
		must(t, err)
		for _, m := range methods {
			if p == bob.ID {
				ways["bob"] = m.ID
			} else {
				ways[m.Kind] = m.ID
			}
		}
	}
	w.signIn(ada)
	for _, id := range []string{ways["bob"], ways[method.SMS], "nobody", ""} {
		w.get(withID(PathRemove, id)).shows(404)
		w.get(withID(PathRename, id)).shows(404)
		if a := w.post(PathRemove, "id", id); a.code < 400 {
			t.Errorf("removing %q: %d", id, a.code)
		}
		if a := w.post(PathRename, "id", id, "name", "mine"); a.code < 400 {
			t.Errorf("renaming %q: %d", id, a.code)
		}
	}
	page := w.get(withID(PathRename, ways[method.TOTP])).shows(200)
	if page.field("name") != "Old" {
		t.Errorf("the name to change is %q", page.field("name"))
	}
	w.post(PathRename, "id", ways[method.TOTP], "name", strings.Repeat("é", 61)).shows(422, "60")
	w.post(PathRename, "id", ways[method.TOTP], "name", "Pixel 9").goes(PathSecurity)
	w.get(PathSecurity).shows(200, "It has a new name", "Pixel 9")

	w.get(withID(PathRemove, ways[method.TOTP])).shows(200, "Pixel 9", "It stops working at once").hides("no longer get back in")
	w.post(PathRemove, "id", ways[method.TOTP]).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "It is removed").hides("Pixel 9")
	w.get(withID(PathRemove, ways[method.Email])).shows(200, "Then you can no longer get back in by yourself")
}

func TestWhatRestsAfterAResetIsSaidAndKept(t *testing.T) {
	w := newWorld(t, "")
	ada := w.person("ada", mail("ada@example.net"), phoneApp())
	methods, err := w.s.Methods(t.Context(), ada.ID)
	must(t, err)
	_, err = w.s.UpdatePerson(t.Context(), ada.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		p.HoldUntil = w.clock.Add(20 * time.Hour)
		return nil, nil
	})
	must(t, err)
	w.signIn(ada)
	id := methods[0].ID
	w.get(PathSecurity).shows(200, "Changes have to wait", "23 November 2026")
	w.get(withID(PathRemove, id)).shows(200, "only removed on 23 November 2026")
	w.post(PathRemove, "id", id).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "It will be removed once the waiting time is over", "Will be removed 23 November 2026").leads(PathKeep, true)
	w.post(PathKeep, "id", id).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "It stays").leads(PathKeep, false)
}

func TestRemovingDropsSomebodyOnlyWhenTooFewAreLeft(t *testing.T) {
	own := method.Root{Kind: method.ByPerson, ID: "p"}
	hr := method.Root{Kind: method.ByConnector, ID: "hr"}
	way := func(id string, k method.Kind, r method.Root, change ...func(*register.Own)) register.Own {
		o := register.Own{ID: id, Kind: k, Root: r}
		for _, f := range change {
			f(&o)
		}
		return o
	}
	rests := func(o *register.Own) { o.Rests = when }
	shut := func(o *register.Own) { o.Disabled = true }
	for name, test := range map[string]struct {
		own              []register.Own
		needed, counting int
		want             bool
	}{
		"two of two":                       {[]register.Own{way("a", method.Email, own), way("b", method.SMS, own)}, 2, 2, true},
		"one of three":                     {[]register.Own{way("a", method.Email, own), way("b", method.SMS, own), way("c", method.TOTP, own)}, 2, 2, false},
		"the third is of the same class":   {[]register.Own{way("a", method.Email, own), way("b", method.SMS, own), way("c", method.SMS, own)}, 2, 2, true},
		"the third rests":                  {[]register.Own{way("a", method.Email, own), way("b", method.SMS, own), way("c", method.TOTP, own, rests)}, 2, 2, true},
		"the third is shut":                {[]register.Own{way("a", method.Email, own), way("b", method.SMS, own), way("c", method.TOTP, own, shut)}, 2, 2, true},
		"what is left is of one source":    {[]register.Own{way("a", method.Email, own), way("b", method.SMS, hr), way("c", method.TOTP, hr)}, 2, 2, true},
		"a source that is trusted for all": {[]register.Own{way("a", method.Email, hr), way("b", method.SMS, hr), way("c", method.TOTP, hr)}, 2, 2, false},
		"an app proves nothing first":      {[]register.Own{way("a", method.Email, own), way("b", method.TOTP, own), way("c", method.HOTP, own)}, 1, 1, true},
		"it was too few before":            {[]register.Own{way("a", method.Email, own)}, 2, 1, false},
	} {
		if got := drops(&register.Overview{Own: test.own, Needed: test.needed, Counting: test.counting}, "a"); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestWhereSomebodyStandsIsSaidAsItIs(t *testing.T) {
	app := register.Own{Kind: method.TOTP}
	rests := register.Own{Kind: method.Email, Rests: when}
	codes := register.Own{Kind: method.RecoveryCode}
	shut, leaves := codes, codes
	shut.Disabled, leaves.Leaves = true, when
	for name, test := range map[string]struct {
		own      []register.Own
		counting int
		want     Standing
	}{
		"nothing":             {nil, 0, Standing{Needed: 2, Missing: 2, More: 3, Wanted: 3}},
		"enough":              {[]register.Own{codes, app}, 2, Standing{Ready: true, Needed: 2, Have: 2, Missing: 1, More: 1, Wanted: 3}},
		"enough soon":         {[]register.Own{app, rests}, 0, Standing{Waiting: true, Needed: 2, Have: 2, Missing: 1, More: 1, Wanted: 3}},
		"nothing that begins": {[]register.Own{app, {Kind: method.HOTP, Matures: when}}, 0, Standing{Needed: 2, Have: 1, Missing: 1, More: 2, Wanted: 3}},
		"shut and leaving":    {[]register.Own{app, shut, leaves}, 0, Standing{Needed: 2, Have: 1, Missing: 1, More: 2, Wanted: 3}},
	} {
		if got := standing(&register.Overview{Own: test.own, Needed: 2, Wanted: 3, Counting: test.counting}); got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestEverythingIsRightIsNoted(t *testing.T) {
	w := newWorld(t, "")
	w.signIn(w.person("ada", mail("ada@example.net")))
	w.post(PathReviewed).goes(PathSecurity)
	w.get(PathSecurity).shows(200, "Thank you for looking", "You last said so on 22 November 2026")
	w.post(PathReviewed, "extra", "x").shows(400)
}

func TestEveryEventIsToldOrLeftOutOnPurpose(t *testing.T) {
	for typ := range event.Catalogue {
		h, told := tell(event.New(when, typ, "person:p", "p", "", event.Success).With("why", "signed_out"))
		hidden := false
		for _, u := range untold {
			hidden = hidden || u == typ
		}
		if told == hidden {
			t.Errorf("%s: told is %v, and among those untold is %v", typ, told, hidden)
		}
		if told && (h.Text.IsZero() || h.Icon == "") {
			t.Errorf("%s: no words or no picture", typ)
		}
	}
	if _, told := tell(event.Event{Type: "from.the.future", Data: map[string]any{"kind": 7}}); told {
		t.Error("a type nobody knows is shown")
	}
}

func TestActivityIsOnesOwnInPagesAndEndsOtherSignIns(t *testing.T) {
	w := newWorld(t, "")
	ada, bob := w.person("ada"), w.person("bob")
	for i := range 60 {
		w.clock = w.clock.Add(time.Second)
		e := event.New(w.clock, event.PasswordChanged, "person:"+ada.ID, ada.ID, "", event.Success).Sealed("agent", "Safari, iPhone")
		if i%2 == 0 { // told to nobody, and no gap in the page
			must(t, w.s.Record(t.Context(), event.New(w.clock, event.CodeAsked, "stranger", ada.ID, "", event.Success).With("kind", "email")))
		}
		must(t, w.s.Record(t.Context(), e))
	}
	must(t, w.s.Record(t.Context(), event.New(w.clock, event.AccountUnlocked, "person:"+bob.ID, bob.ID, "", event.Success)))
	other := w.signIn(ada, func(s *session.Session) { s.Agent = "Safari, iPhone" })
	third := w.signIn(ada, func(s *session.Session) { s.Agent = "Edge, Windows" })
	bobs := w.signIn(bob)
	mine := w.signIn(ada)
	page := w.get(PathActivity).shows(200, "Your password was changed", "Safari, iPhone", "This browser", "Browsers you trust", "None.").hides("unlocked", "code was asked")
	if n := len(elements(page.doc, "ol")); n != 1 {
		t.Fatalf("%d lists", n)
	}
	if n := strings.Count(page.body, "Your password was changed"); n != PerPage {
		t.Errorf("%d events on a page, want %d", n, PerPage)
	}
	older := ""
	for _, to := range page.links() {
		if strings.HasPrefix(to, PathActivity+"?before=") {
			older = to
		}
	}
	page = w.get(older).shows(200).hides("Where you are signed in").leads(PathActivity, true)
	if n := strings.Count(page.body, "Your password was changed"); n != 10 {
		t.Errorf("%d events on the second page, want 10", n)
	}

	ended := func(id string) bool {
		s, err := w.s.SessionByID(t.Context(), id)
		must(t, err)
		return !s.Ended.IsZero()
	}
	w.post(PathEndSession, "id", bobs.ID).goes(PathActivity)
	w.post(PathEndSession, "id", other.ID).goes(PathActivity)
	if ended(bobs.ID) || !ended(other.ID) || ended(third.ID) {
		t.Error("one sign-in of one's own was to end")
	}
	w.get(PathActivity).shows(200, "It is signed out")
	w.post(PathEndOthers).goes(PathActivity)
	if ended(mine.ID) || !ended(third.ID) || ended(bobs.ID) {
		t.Error("every other sign-in of one's own was to end, and nobody else's")
	}
	w.get(PathActivity).leads(PathEndOthers, false)
}

func TestATrustedBrowserIsForgottenAndAskedForByAPost(t *testing.T) {
	w := newWorld(t, "")
	ada := w.person("ada")
	s := w.signIn(ada)
	_, err := w.sessions.TrustBrowser(t.Context(), s, session.Origin{Agent: "Chrome, macOS"})
	must(t, err)
	page := w.get(PathActivity).shows(200, "Chrome, macOS", "trusted since", "You said that you trust a browser")
	browsers, err := w.sessions.Browsers(t.Context(), ada.ID)
	must(t, err)
	if !strings.Contains(page.body, browsers[0].ID) {
		t.Fatal("the browser cannot be forgotten")
	}
	w.post(PathTrust).goes(PathActivity + "?trust")
	w.post(PathForget, "id", browsers[0].ID).goes(PathActivity)
	w.get(PathActivity).shows(200, "It is no longer trusted", "None.")
}
