package portal

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

const backCookie = "__Host-back"

// hostileReturns are no keys, in as many ways.
var hostileReturns = []string{
	"return_to=https%3A%2F%2Fevil.example%2F", "return_to=%2F%2Fevil.example", "return_to=javascript%3Aalert(1)", "return_to=payroll%00", "return_to=Payroll",
	"return_to=payroll&return_to=payroll", "return_to=", "return_to", "return_to=payroll.contoso.example", "return_to=-payroll", "return_to=payroll%0d%0aSet-Cookie%3A+a%3Db",
	"return_to=" + strings.Repeat("a", 41), "return_to=" + strings.Repeat("a", 70000), "return_to=%F0%28%8C%28", "return_to=..%2Fpayroll", "return_to=payroll%2F..",
}

func TestALinkNamesAnAppByItsKeyAndAnythingElseIsIgnored(t *testing.T) {
	w := newWorld(t, "")
	w.app("payroll", "Payroll", false)
	for path, next := range map[string]string{PathReset: PathReset, PathUnlock: PathUnlock, PathChange: PathChange, PathSetup: PathSetupGo} {
		for _, q := range hostileReturns {
			w.jar[backCookie] = "old"
			w.get(path + "?" + q).goes(next)
			if v, kept := w.jar[backCookie]; kept {
				t.Errorf("%s?%.60s: kept %q", path, q, v)
			}
		}
		// Whether there is such an app nobody learns: the answers are the same.
		for _, key := range []string{"payroll", "nobody", "switched-off"} {
			w.get(path + "?return_to=" + key).goes(next)
			if w.jar[backCookie] != key {
				t.Errorf("%s: kept %q, want %q", path, w.jar[backCookie], key)
			}
		}
	}
	delete(w.jar, backCookie)
	w.get(PathReset + "?return_to=payroll&login_hint=ada%40contoso.example").goes(PathReset)
	if w.jar[backCookie] != "payroll" {
		t.Error("the app was lost beside a hint")
	}
	w.get(PathReset).shows(200)
	w.get("/forgot?return_to=payroll").goes(PathReset + "?return_to=payroll")
	w.get(PathSetup).goes(PathSecurity)
}

func TestTheEndOfATryLeadsBackToTheAppByName(t *testing.T) {
	w := newWorld(t, "")
	w.app("payroll", "Payroll & Co", false)
	w.app("off", "Gone", true)
	w.site.Handle("GET", "/back", func(r *web.Request) (web.Page, error) {
		back, err := w.pages.back(r)
		return DonePage{Back: back}.Page(), err
	})
	for cookie, want := range map[string]bool{"payroll": true, "off": false, "nobody": false, "": false, "https://evil.example/": false, "pay roll": false} {
		w.jar[backCookie] = cookie
		a := w.get("/back").leads("https://payroll.contoso.example/in", want)
		if strings.Contains(text(a.doc), "Go on to Payroll & Co") != want || strings.Contains(a.body, "evil") || strings.Contains(a.body, "Gone") {
			t.Errorf("%q: %s", cookie, text(a.doc))
		}
	}
}

// arrive ends a sign-in that was to go on somewhere.
func (w *world) arrive(purpose session.Purpose, to, app string) answer {
	w.t.Helper()
	w.door.begun = append(w.door.begun, session.Flow{Purpose: purpose, Goto: to, App: app})
	return w.get("/arrived")
}

const invite = "rules: [{name: everyone, kinds: [totp, email], registration: {mode: invited, snooze_days: 3, snoozes: 2}}]"

func TestASignInIsInterruptedAsOftenAsThePolicySaysAndThenRequired(t *testing.T) {
	w := newWorld(t, invite)
	w.app("payroll", "Payroll", false)
	w.signIn(w.person("ada", phoneApp()))
	w.arrive(session.SignIn, PathActivity, "").goes(PathSetupNow)
	w.get(PathSetupNow).shows(200, "Before you go on", "set up one more way", "You can put this off 2 more times, for 3 days each").leads(PathSetupLater, true).leads(PathAdd, true)
	w.post(PathSetupLater).goes(PathSetupOn)
	w.get(PathSetupOn).goes(PathActivity) // a path of this site needs no page in between
	w.arrive(session.SignIn, PathActivity, "").goes(PathActivity)

	w.clock = w.clock.Add(3*day + time.Hour)
	w.signIn(mustFind(w, "ada"))
	w.get(PathSetup + "?return_to=payroll").goes(PathSetupGo)
	w.get(PathSetupGo).goes(PathSetupNow)
	w.get(PathSetupNow).shows(200, "Before you go on to Payroll", "You can put this off once more, for 3 days")
	w.post(PathSetupLater).goes(PathSetupOn)
	w.get(PathSetupOn).shows(200, "We will ask you again later", "Go on to Payroll").leads(PathSetupGo, true)
	w.get(PathSetupGo).goes("https://payroll.contoso.example/in")
	if len(w.jar) != 0 {
		t.Errorf("cookies that are left: %v", w.jar)
	}

	w.clock = w.clock.Add(3*day + time.Hour)
	w.signIn(mustFind(w, "ada"))
	w.arrive(session.SignIn, "", "payroll").goes(PathSetupGo)
	w.get(PathSetupGo).goes(PathSetupNow)
	w.get(PathSetupNow).shows(200, "Contoso asks for this before you go on").leads(PathSetupLater, false)
	if a := w.post(PathSetupLater); a.code < 400 {
		t.Errorf("put off once too often: %d to %s", a.code, a.to)
	}
	w.get(PathSetupGo).goes(PathSetupNow)

	// Adding one is what is asked for; from there it goes on to the app.
	w.post(PathAddEmail, "destination", "ada@example.net").goes(PathConfirm)
	id := w.get(PathConfirm).field("id")
	d, err := w.reg.Prepare(t.Context(), id)
	must(t, err)
	must(t, w.reg.Delivered(t.Context(), d, ""))
	w.post(PathConfirm, "id", id, "code", d.Code).goes(PathSetupOn)
	w.get(PathSetupOn).shows(200, "It is added", "Go on to Payroll")
	w.get(PathSetupGo).goes("https://payroll.contoso.example/in")
}

func mustFind(w *world, name string) *account.Person {
	w.t.Helper()
	p, err := w.s.FindPerson(w.t.Context(), name+"@contoso.example")
	if err != nil || p == nil {
		w.t.Fatal("nobody", err)
	}
	return p
}

func TestNobodyIsInterruptedOnTheWayToWhereTheyWouldBeSent(t *testing.T) {
	w := newWorld(t, invite)
	w.signIn(w.person("ada"))
	w.arrive(session.SignIn, PathAdd, "").goes(PathAdd)
	w.arrive(session.SignIn, "", "").goes(PathSecurity)
	w.arrive(session.SignIn, PathSetupGo, "").goes(PathSetupGo)
	w.arrive(session.StepUp, PathActivity, "").goes(PathActivity)
	w.arrive(session.Staff, "/console", "").goes("/console")
	w.apply("rules: [{name: everyone, kinds: [totp, email]}]") // nobody is asked any more
	w.arrive(session.SignIn, PathActivity, "").goes(PathActivity)
	w.get(PathSetupNow).goes(PathSetupGo)
	w.get(PathSetupGo).goes(PathSecurity)
	w.get(PathSetupOn).goes(PathSecurity)
}

func TestWhatWasBegunGoesOnAfterTheStepUpItNeeded(t *testing.T) {
	w := newWorld(t, "")
	ada := w.person("ada")
	before := w.signIn(ada)
	w.post(PathAdd, "kind", "totp").goes(PathAddApp)
	id := w.get(PathAddApp).field("id")
	w.signIn(ada)
	w.get(PathAddApp).goes(PathAdd)
	w.door.begun = append(w.door.begun, session.Flow{Purpose: session.StepUp, Session: before.ID, Goto: PathAddApp})
	w.get("/arrived").goes(PathAddApp)
	if again := w.get(PathAddApp).shows(200).field("id"); again != id {
		t.Errorf("another one is open: %s, want %s", again, id)
	}
}

func TestAReviewListsTheWaysMaskedAndIsOneClick(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [totp, email], registration: {mode: required, reconfirm_days: 1}}]")
	w.signIn(w.person("ada", mail("ada@example.net"), phoneApp()))
	w.arrive(session.SignIn, PathActivity, "").goes(PathSetupNow)
	w.get(PathSetupNow).shows(200, "Do you still have all of them?", "a•••@e•••.net").hides("ada@example.net").leads(PathSetupRight, true)
	w.post(PathSetupRight).goes(PathSetupOn)
	w.get(PathSetupOn).shows(200, "Thank you for looking").leads(PathSetupGo, true)
	w.get(PathSetupGo).goes(PathActivity)
	w.arrive(session.SignIn, PathActivity, "").goes(PathActivity)
}

func TestAPlantedPlaceToGoOnLeadsNowhereElse(t *testing.T) {
	w := newWorld(t, "")
	w.signIn(w.person("ada"))
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "", "\x00"} {
		w.jar["__Host-onto"] = encodeHint(to)
		if a := w.get(PathSetupGo); a.to != PathSecurity {
			t.Errorf("%q: %d to %q", to, a.code, a.to)
		}
	}
}

// start begins a try of somebody in this browser and asks for a way.
func (w *world) start(login, way string) {
	w.t.Helper()
	w.post(PathReset, "login", login).goes(PathChoose)
	a := w.post(PathChoose, "way", way)
	if a.code != 303 {
		w.t.Fatalf("asking for %s: %d\n%s", way, a.code, text(a.doc))
	}
}

func TestASignInAtWorkProvesOnlyTheTryOfThisBrowserAndItsOwner(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [idp, passkey, email], proofs: {reset: 2}}]")
	ada, bob := w.person("ada", mail("ada@example.net")), w.person("bob")
	w.site.Handle("GET", "/proved/{who}", func(r *web.Request) (web.Page, error) {
		who := map[string]*account.Person{"ada": ada, "bob": bob}[r.Var("who")]
		return w.pages.Proved(r, &w.door.begun[len(w.door.begun)-1], who, session.Identity{IDP: "contoso"})
	})
	w.site.Handle("GET", "/failed", func(r *web.Request) (web.Page, error) {
		return w.pages.Failed(r, &w.door.begun[0], errors.New("access_denied"))
	})
	w.start("ada@contoso.example", "idp")
	w.get(PathWorkSignIn).shows(200, "Go on to Contoso ID", "signs you in nowhere").hides("Plant")
	w.get(PathWorkSignInGo + "?idp=plant").goes(PathWorkSignIn) // a sign-in there proves nothing
	w.get(PathWorkSignInGo + "?idp=nobody").goes(PathWorkSignIn)
	if len(w.door.begun) != 0 {
		t.Fatal("a sign-in was begun for a provider that proves nothing")
	}
	w.get(PathWorkSignInGo + "?idp=contoso").goes(opLogin + "?for=proof")
	f := w.door.begun[0]
	if f.Purpose != session.Proof || f.Attempt == "" || f.Challenge == "" || f.Session != "" || f.IDP != "contoso" {
		t.Fatalf("begun: %+v", f)
	}

	// Whatever it is that does not work, the words are the same.
	var said []string
	for _, path := range []string{"/failed", "/proved/bob", "/proved/nobody"} {
		w.get(path).goes(PathChoose)
		a := w.get(PathChoose).shows(200, "did not show that this account is yours")
		said = append(said, text(a.doc))
		w.get(PathChoose).hides("did not show that this account is yours")
	}
	if said[0] != said[1] || said[1] != said[2] {
		t.Errorf("the words differ: %q", said)
	}

	// Another browser with a try of its own gets nothing of it.
	mine := w.jar
	w.jar = map[string]string{}
	w.get("/proved/ada").shows(200, "belongs to another browser")
	w.start("bob@contoso.example", "idp")
	w.get("/proved/ada").goes(PathChoose)
	w.get(PathChoose).shows(200, "did not show").hides("Proved so far")

	w.jar = mine
	w.get("/proved/ada").goes(PathChoose)
	w.get(PathChoose).shows(200, "Proved so far", "Your work sign-in", "a•••@e•••.net")
	if _, in := w.jar["__Host-session"]; in {
		t.Error("a proof signed somebody in")
	}
}

func TestAPasskeyPageIsTheSameForEverybody(t *testing.T) {
	w := newWorld(t, "rules: [{name: everyone, kinds: [passkey, email]}]")
	w.person("ada", method.Method{Kind: method.Passkey, Secret: []byte("{}")})
	var pages []string
	for _, login := range []string{"ada@contoso.example", "nobody@contoso.example"} {
		w.jar = map[string]string{}
		w.start(login, "passkey")
		a := w.get(PathPasskey).shows(200, "Use your passkey", "Passkeys need a browser with JavaScript")
		for _, n := range elements(a.doc, "form") {
			if options, ok := attr(n, "data-options"); ok {
				if !strings.Contains(options, `"userVerification":"required"`) || strings.Contains(options, "allowCredentials\":[{") {
					t.Errorf("options are %s", options)
				}
				a.body = strings.ReplaceAll(a.body, htmlEscape(options), "")
			}
		}
		pages = append(pages, a.body)
		w.post(PathPasskey, "answer", "").shows(422, "Try again")
		w.post(PathPasskey, "answer", `{"id":"x"}`).shows(422, "Try again")
		w.post(PathPasskey, "answer", strings.Repeat("x", MaxAnswer+1)).shows(400)
		w.get(PathWorkSignIn).goes(PathChoose) // not what was asked for
	}
	if pages[0] != pages[1] {
		t.Error("the page depends on whose name was typed")
	}
	w.jar = map[string]string{}
	w.get(PathPasskey).shows(200, "another browser")
	w.get(PathWorkSignInGo+"?"+url.Values{"idp": {"contoso"}}.Encode()).shows(200, "another browser")
}

// htmlEscape writes a value as it stands in an attribute.
func htmlEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&#34;", "'", "&#39;", "<", "&lt;", ">", "&gt;", "+", "&#43;").Replace(s)
}
