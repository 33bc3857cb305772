package app

import (
	"context"
	"encoding/base32"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

func TestPeopleSignInAndStepUpAtTheirProviderOnTwoReplicas(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	g := h.guest(t)
	g.signIn("ada", "/security-info")
	g.says("Personal email", "a•••@m•••.example", "Alder sign-in")
	if n := h.count(h.people["ada"].ID, event.SessionStarted); n != 1 {
		t.Errorf("%d sessions began, want 1", n)
	}
	names := g.Cookies()
	if !slices.Contains(names, "regain-session") || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "regain-signin-") }) {
		t.Errorf("cookies %v: want a session and no flow that is left over", names)
	}

	// A change asks for the second factor, once; the session is another one then.
	g.Follow("a[href='/security-info/add']")
	g.stepUp("ada")
	g.at(200, "/security-info/add")
	if n := h.count(h.people["ada"].ID, event.SessionSteppedUp); n != 1 {
		t.Errorf("%d step-ups, want 1", n)
	}
	open, err := h.srv.Store.SessionsOf(t.Context(), h.people["ada"].ID, h.now())
	if err != nil || len(open) != 1 {
		t.Errorf("%d sessions are open, want the one after the step-up: %v", len(open), err)
	}
	g.Open(h.base + "/security-info/add")
	g.at(200, "/security-info/add") // young enough: nobody is asked again

	// Signing out ends it here and, if so wanted, there; going back shows nothing.
	g.Follow("form[action='/signout'] button")
	g.at(200, "/signed-out")
	if open, err = h.srv.Store.SessionsOf(t.Context(), h.people["ada"].ID, h.now()); err != nil || len(open) != 0 {
		t.Errorf("%d sessions are open after signing out: %v", len(open), err)
	}
	g.Open(h.base + "/signed-out/go")
	g.atProvider()
	g.Follow("#sign-out")
	g.at(200, "/signed-out")
	g.Open(h.base + "/security-info")
	g.atProvider()
	if g.Count("#otp") != 0 || g.Count("#sign-in") != 1 {
		t.Error("the provider still knows who it is")
	}
}

func TestThePagesOfTheDoorShutNobodyOut(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) {
			h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}, scene: scene{wire: func(w *world) {
				second := w.setup.IDPs[0]
				second.Name, second.Label = "partners", "Partners"
				w.setup.IDPs = append(w.setup.IDPs, second)
			}}})
			g := h.guest(t)
			g.Language(lang)
			g.Open(h.base + "/security-info")
			g.at(200, "/signin")
			judge(t, g.Page, "a choice of providers")
			g.Follow("a[href='/signin/work']")
			g.Follow("#cancel button")
			judge(t, g.Page, "cancelled at the provider")
			g.Errors() // the page has a status of its own
			g.Open(h.base + "/signin/work")
			g.password("ada")
			g.Open(h.base + "/activity")
			g.Follow("form[action='/activity/trust'] button")
			judge(t, g.Page, "a stronger sign-in before a browser is trusted")
			g.Open(h.base + "/security-info")
			g.Follow("form[action='/signout'] button")
			g.at(200, "/signed-out")
			judge(t, g.Page, "signed out")
			g.Open(h.base + "/signin/work/callback?state=nothing&code=x")
			judge(t, g.Page, "a sign-in that is over")
			g.Errors()
		})
	}
}

func TestAStepUpThatIsTooOldAsksAgainByMaxAge(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	g := h.guest(t)
	g.Open(h.base + "/security-info/add")
	g.password("ada")
	g.stepUp("ada")
	g.at(200, "/security-info/add")
	// The provider remembers a sign-in by second factor that is an hour old: acr would do, auth_time must not.
	h.idp.Age(t, "ada@alder.example", time.Hour)
	age(h, "ada", 10*time.Minute)
	g.Open(h.base + "/security-info/add")
	g.stepUp("ada")
	g.at(200, "/security-info/add")
	if n := h.count(h.people["ada"].ID, event.SessionSteppedUp); n != 2 {
		t.Errorf("%d step-ups, want 2", n)
	}
}

// age makes the step-up of a person's open sessions older, as time would.
func age(h *house, uid string, by time.Duration) {
	h.t.Helper()
	open, err := h.srv.Store.SessionsOf(h.t.Context(), h.people[uid].ID, h.now())
	if err != nil || len(open) == 0 {
		h.t.Fatalf("%d sessions: %v", len(open), err)
	}
	for _, s := range open {
		if _, err := h.srv.Store.UpdateSession(h.t.Context(), s.ID, older(by)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestAClientWithAKeyPushesItsRequestsWhereThatIsRequired(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}},
		oidc: func(o *testserver.OIDCOptions) { o.PAR = "required" },
		provider: func(p *IDP, op *testserver.OIDCServer) {
			key, err := signin.ReadKey(op.ClientKey)
			if err != nil {
				t.Fatal(err)
			}
			p.ClientID, p.ClientSecret, p.Key, p.KeyID = op.KeyClientID, "", key, op.ClientKeyID
			p.StepUp.Ask = signin.AskClaimsACR
		}})
	g := h.guest(t)
	g.signIn("ada", "/security-info")
	g.Follow("a[href='/security-info/add']")
	g.stepUp("ada")
	g.at(200, "/security-info/add")
	if n := strings.Count(h.idp.Log(), "POST /request 201"); n != 2 {
		t.Errorf("%d requests were pushed, want both", n)
	}
}

func TestAWeakStepUpIsTriedOnceMoreAndThenToldPlainly(t *testing.T) {
	for name, change := range map[string]func(*IDP, *testserver.OIDCServer){
		"acr_values, a wish":          nil,
		"an essential claim, refused": func(p *IDP, _ *testserver.OIDCServer) { p.StepUp.Ask = "claims_acr" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}, provider: change})
			g := h.guest(t)
			g.signIn("ada", "/security-info")
			g.Follow("a[href='/security-info/add']")
			for range 2 { // once, and the one automatic retry
				if strings.HasPrefix(g.URL(), h.idp.Issuer) {
					g.password("ada")
					g.Follow("#no-second-factor")
				}
			}
			if strings.HasPrefix(g.URL(), h.idp.Issuer) {
				t.Fatalf("asked a third time: %s", g.URL())
			}
			g.says("A stronger sign-in is needed", "Alder Works asks for more than a password")
			lacks(t, g.Text("main"), "urn:example", "acr")
			judge(t, g.Page, "what the organisation requires")
			if h.count(h.people["ada"].ID, event.SessionSteppedUp) != 0 {
				t.Error("a step-up was recorded")
			}
			g.Open(h.base + "/security-info")
			g.at(200, "/security-info") // the sign-in there was stays
		})
	}
}

func TestThePolicyMayWantAStrongerClassAndANetworkForRegistering(t *testing.T) {
	h := newHouse(t, estate{scene: scene{policy: `rules: [{name: everyone, hold_new: 0s, mature_after: 0s, registration: {acr: ["urn:example:passwordless"], networks: [127.0.0.0/8, "::1/128"]}}]`},
		people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	g := h.guest(t)
	g.signIn("ada", "/security-info")
	g.Follow("a[href='/security-info/add']")
	g.device("ada") // what is asked for at once: a second factor would not do
	g.home()
	g.at(200, "/security-info/add")

	// From elsewhere it is said plainly that it is not possible, and nothing is asked at the provider.
	h.applyPolicy(`rules: [{name: everyone, hold_new: 0s, mature_after: 0s, registration: {networks: [10.0.0.0/8]}}]`)
	g.Open(h.base + "/security-info/add")
	g.at(200, "/security-info/add")
	g.says("network")
	if g.Count("input[name=kind]") != 0 {
		t.Error("ways are offered all the same")
	}
}

func TestSomebodyElseAfterAStepUpEndsTheSession(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}, "ben": {method.Email}}})
	g := h.guest(t)
	g.signIn("ada", "/security-info")
	g.Follow("a[href='/security-info/add']")
	g.stepUp("ben")
	for _, uid := range []string{"ada", "ben"} {
		open, err := h.srv.Store.SessionsOf(t.Context(), h.people[uid].ID, h.now())
		if err != nil || len(open) != 0 {
			t.Errorf("%s has %d open sessions (%v), want none", uid, len(open), err)
		}
	}
	lacks(t, g.Text("main"), "Personal email")
	judge(t, g.Page, "somebody else came back")
	g.Errors() // the page is a 410, reached by the provider's own script
}

func TestAnOutageOfTheProviderIsToldAndSurvived(t *testing.T) {
	h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	h.idp.Stop(t)
	v := h.visitor()
	if got := v.get("/security-info"); got.Status != http.StatusServiceUnavailable {
		t.Fatalf("the provider is down: got status %d, want 503: %s", got.Status, got.Text)
	}
	if got := v.get("/reset"); got.Status != 200 {
		t.Errorf("a reset needs no provider: got status %d", got.Status)
	}
	h.idp.Start(t)
	g := h.guest(t)
	for began := time.Now(); !strings.HasPrefix(g.URL(), h.idp.Issuer) && time.Since(began) < 25*time.Second; time.Sleep(200 * time.Millisecond) {
		g.Open(h.base + "/security-info") // not asked more often than every fifteen seconds
	}
	g.password("ada")
	g.at(200, "/security-info")
	h.idp.Stop(t)
	g.Reload()
	g.at(200, "/security-info") // whoever is signed in stays so
	h.idp.Start(t)
	for _, e := range g.Errors() {
		if !strings.Contains(e, "503") {
			t.Errorf("console: %s", e)
		}
	}
}

func TestASessionEndsOnTheOtherReplicaWithinASecond(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	enter := func() *guest {
		g := h.guest(t)
		h.pin.Store(1)
		g.signIn("ada", "/security-info")
		return g
	}
	gone := func(g *guest, what string) {
		t.Helper()
		began := time.Now()
		h.pin.Store(2)
		for time.Since(began) < time.Second {
			if g.Open(h.base + "/security-info"); !strings.Contains(g.Text("main"), "Personal email") {
				return
			}
		}
		t.Errorf("%s: still signed in on the other replica after a second", what)
	}
	g := enter()
	h.pin.Store(1)
	if told := h.idp.Logout(t, "ada@alder.example"); len(told) != 1 || told[0].Status != 200 {
		t.Fatalf("back-channel logout by session: %+v", told)
	}
	gone(g, "back-channel logout by session")
	g = enter()
	h.pin.Store(1)
	told := h.idp.LogoutSubject(t, "ada@alder.example")
	if len(told) != 1 || told[0].Status != 200 {
		t.Fatalf("back-channel logout by subject: %+v", told)
	}
	gone(g, "back-channel logout by subject")
	replay, err := http.PostForm(h.base+"/signin/work/backchannel-logout", map[string][]string{"logout_token": {told[0].Token}})
	if err != nil {
		t.Fatal(err)
	}
	replay.Body.Close()
	if replay.StatusCode != 400 {
		t.Errorf("a logout token twice: got status %d, want 400", replay.StatusCode)
	}
	g = enter()
	h.pin.Store(1)
	if _, err := h.srv.Store.UpdatePerson(t.Context(), h.people["ada"].ID, "", deactivated(h.now())); err != nil {
		t.Fatal(err)
	}
	gone(g, "the person was deactivated")
}

func TestAResetEndsEverySessionAndSignsNobodyIn(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	g, thief := h.guest(t), h.guest(t)
	thief.signIn("ada", "/security-info")
	h.reset(g, "ada", fresh)
	if slices.Contains(g.Cookies(), "regain-session") {
		t.Error("a reset signed somebody in")
	}
	open, err := h.other.Store.SessionsOf(t.Context(), h.people["ada"].ID, h.now())
	if err != nil || len(open) != 0 {
		t.Errorf("%d sessions outlived the reset: %v", len(open), err)
	}
	if got := h.count(h.people["ada"].ID, event.SessionStarted); got != 1 {
		t.Errorf("%d sessions began, want the one before the reset", got)
	}
}

// reset takes somebody through mail and text message to a new password.
func (h *house) reset(g *guest, uid, password string) {
	h.t.Helper()
	p := h.people[uid]
	mails, texts := len(h.codes(p.Email)), len(h.sms.Texts(p.Phone))
	g.Open(h.base + "/reset")
	g.Fill("#login", p.Login)
	g.Follow(primary)
	g.Click("input[value=email]")
	g.Follow(primary)
	g.Fill("#code", h.mailCode(p.Email, mails+1))
	g.Follow(primary)
	g.Click(".choice:has([href$='#message-square']) input")
	g.Follow(primary)
	g.Fill("#code", h.textCode(p.Phone, texts+1))
	g.Follow(primary)
	g.at(200, "/new-password")
	g.Fill("#password", password)
	g.Follow(primary)
	g.at(200, "/progress")
	if !h.signsIn(p, password) {
		h.t.Fatal("the new password does not sign in")
	}
}

// authenticator gives the browser a passkey authenticator of its own, which always finds its owner present.
func (g *guest) authenticator() webauthn.AuthenticatorID {
	g.t.Helper()
	var id webauthn.AuthenticatorID
	g.Do(func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		got, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		id = got.AuthenticatorID
		return err
	})
	return id
}

// overriding makes the authenticator answer wrongly in one respect, or rightly again.
func (g *guest) overriding(id webauthn.AuthenticatorID, p webauthn.SetResponseOverrideBitsParams) {
	g.t.Helper()
	p.AuthenticatorID = id
	g.Do(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, webauthn.SetResponseOverrideBits, p)
		return err
	})
}

// add begins to add a way of a kind, as somebody who may.
func (g *guest) add(kind method.Kind) {
	g.t.Helper()
	for range 2 { // signed in, then more strongly
		if g.Open(g.h.base + "/security-info/add"); strings.HasPrefix(g.URL(), g.h.idp.Issuer) {
			g.password("cleo")
			if strings.HasPrefix(g.URL(), g.h.idp.Issuer) {
				g.stepUp("cleo")
			}
		}
	}
	g.at(200, "/security-info/add")
	g.Click("input[name=kind][value='" + string(kind) + "']")
	g.Follow(primary)
}

func TestSomebodyWithoutAnythingRegistersAndResetsWithIt(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"cleo": nil}})
	cleo := h.people["cleo"]
	g := h.guest(t)
	authenticator := g.authenticator()

	g.add(method.Passkey)
	g.at(200, "/security-info/passkey")
	g.overriding(authenticator, webauthn.SetResponseOverrideBitsParams{IsBadUV: new(true)})
	g.Follow(primary1)
	g.at(200, "/security-info/passkey")
	g.says("No passkey was made")
	g.overriding(authenticator, webauthn.SetResponseOverrideBitsParams{IsBadUV: new(false), IsBogusSignature: new(false)})
	g.Follow(primary1)
	if got := g.path(); got != "/security-info/add" {
		t.Fatalf("after the passkey at %s:\n%s", got, g.Text("main"))
	}

	g.add(method.TOTP)
	g.at(200, "/security-info/app")
	if g.Count("svg.qr path") != 1 || !strings.HasPrefix(g.Attribute("a[href^='otpauth:']", "href"), "otpauth://totp/") {
		t.Error("no picture or no link for the app")
	}
	seed := secretOf(t, browser.Eval[string](g.Page, "document.getElementById('secret').textContent"))
	g.Fill("#code", "000000")
	g.Follow(primary1)
	g.says("That code did not match")
	code := appCode(seed, h.now())
	g.Fill("#code", code)
	g.Follow(primary1)

	g.add(method.Email)
	g.Fill("#destination", "cleo@alder.example")
	g.Follow(primary)
	g.says("work") // the corporate mailbox is what a lost password opens
	g.Fill("#destination", cleo.Email)
	g.Follow(primary)
	g.at(200, "/security-info/confirm")
	g.Fill("#code", h.mailCode(cleo.Email, 1))
	g.Follow(primary1)

	g.add(method.SMS)
	g.Fill("#destination", "0171 3920003")
	g.Follow(primary)
	g.Fill("#code", h.textCode("+491713920003", 1))
	g.Follow(primary1)

	g.add(method.RecoveryCode)
	codes := strings.Fields(browser.Eval[string](g.Page, "[...document.querySelectorAll('#codes li')].map(e => e.textContent).join(' ')"))
	if len(codes) != 10 {
		t.Fatalf("%d codes, want 10", len(codes))
	}
	g.Follow(primary1)
	g.Open(h.base + "/security-info")
	g.says("Passkey", "Authenticator app", "10 codes left")
	// Every other address was told of each.
	eventually(t, "letters of what was added", func() bool { return len(h.letters(cleo.Login)) >= 5 })

	// The passkey is the first proof, the app the second.
	g.Open(h.base + "/reset")
	g.Fill("#login", cleo.Login)
	g.Follow(primary)
	g.Click("input[value=passkey]")
	g.Follow(primary)
	g.at(200, "/passkey")
	g.overriding(authenticator, webauthn.SetResponseOverrideBitsParams{IsBogusSignature: new(true)})
	g.Follow(primary1)
	g.at(200, "/passkey")
	g.overriding(authenticator, webauthn.SetResponseOverrideBitsParams{IsBadUV: new(true)})
	g.Follow(primary1)
	g.at(200, "/passkey")
	g.overriding(authenticator, webauthn.SetResponseOverrideBitsParams{IsBadUV: new(false), IsBogusSignature: new(false)})
	g.Follow(primary1)
	g.at(200, "/choose")
	g.Click(".choice:has([href$='#smartphone']) input")
	g.Follow(primary)
	g.Fill("#code", code) // its time step was used when it was confirmed
	g.Follow(primary)
	g.at(200, "/app-code")
	g.Open(h.base + "/choose")
	g.Click(".choice:has([href$='#message-square']) input")
	g.Follow(primary)
	g.Fill("#code", h.textCode("+491713920003", 2))
	g.Follow(primary)
	g.at(200, "/new-password")
	g.Fill("#password", fresh)
	g.Follow(primary)
	g.at(200, "/progress")
	if !h.signsIn(cleo, fresh) {
		t.Error("the new password does not sign in")
	}
}

// primary1 is the one button that goes on where the form stands inside a card.
const primary1 = ".card form button.btn.block"

func TestASignInWithoutThePasswordIsAProofAndNoSession(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.SMS}, "ben": {method.SMS}}})
	ada := h.people["ada"]
	g := h.guest(t)
	begin := func() {
		g.Open(h.base + "/reset")
		g.Fill("#login", ada.Login)
		g.Follow(primary)
		g.Click("input[value=idp]")
		g.Follow(primary)
		g.at(200, "/work-sign-in")
		g.Follow("a[href^='/work-sign-in/go']")
	}
	// With a password it proves nothing: that is what was forgotten.
	begin()
	g.password("ada")
	if strings.HasPrefix(g.URL(), h.idp.Issuer) { // the one automatic retry
		g.password("ada")
	}
	g.at(200, "/choose")
	g.says("did not")
	// As somebody else neither, and it says the same.
	begin()
	g.device("ben")
	g.home()
	g.at(200, "/choose")
	g.says("did not")
	begin()
	g.device("ada")
	g.home()
	g.at(200, "/choose")
	if slices.Contains(g.Cookies(), "regain-session") || h.count(ada.ID, event.SessionStarted) != 0 {
		t.Error("the proof made a session")
	}
	g.Click(".choice:has([href$='#message-square']) input")
	g.Follow(primary)
	g.Fill("#code", h.textCode(ada.Phone, 1))
	g.Follow(primary)
	g.at(200, "/new-password")
	g.Fill("#password", fresh)
	g.Follow(primary)
	g.at(200, "/progress")
	if !h.signsIn(ada, fresh) || h.count(ada.ID, event.SessionStarted) != 0 {
		t.Error("the new password does not sign in, or somebody was signed in")
	}
}

func TestWhatIsRegisteredRestsMaturesAndThenResets(t *testing.T) {
	var off atomic.Int64 // the provider lives in the real time, so the clock starts there
	now := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	h := newHouse(t, estate{scene: scene{now: now, policy: `rules: [{name: everyone, hold_new: 24h, mature_after: 24h}]`},
		people: map[string][]method.Kind{"cleo": nil}})
	cleo := h.people["cleo"]
	g := h.guest(t)
	g.add(method.Email)
	g.Fill("#destination", cleo.Email)
	g.Follow(primary)
	g.Fill("#code", h.mailCode(cleo.Email, 1))
	g.Follow(primary1)
	g.add(method.SMS)
	g.Fill("#destination", cleo.Phone)
	g.Follow(primary)
	g.Fill("#code", h.textCode(cleo.Phone, 1))
	g.Follow(primary1)
	g.Open(h.base + "/security-info")
	g.says("from")
	ways, err := h.srv.Store.Methods(t.Context(), cleo.ID)
	if err != nil || len(ways) != 2 {
		t.Fatalf("%d ways: %v", len(ways), err)
	}
	for _, m := range ways {
		if m.UsableFrom.Sub(now()) < 23*time.Hour || m.Matures.Sub(now()) < 23*time.Hour || m.Root.Kind != method.BySession {
			t.Errorf("%s: rests until %s, matures %s, stands on %s", m.Kind, m.UsableFrom, m.Matures, m.Root.Kind)
		}
	}
	// While they rest, a reset says so honestly and only to the owner.
	v := h.visitor()
	v.post("/reset", "login", cleo.Login)
	v.post("/choose", "way", "email")
	eventually(t, "the honest letter", func() bool { return len(h.letters(cleo.Login)) > 2 })

	off.Add(int64(25 * time.Hour))
	h.reset(h.guest(t), "cleo", fresh)
}

// older makes the step-up of a session older.
func older(by time.Duration) func(*session.Session) ([]event.Event, error) {
	return func(s *session.Session) ([]event.Event, error) {
		s.StepUp, s.AuthTime = s.StepUp.Add(-by), s.AuthTime.Add(-by)
		return nil, nil
	}
}

// deactivated is what an identity provider does to somebody who left.
func deactivated(now time.Time) func(*account.Person, *[]method.Method) ([]event.Event, error) {
	return func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		return p.Deactivate("test", now), nil
	}
}

// secretOf reads the seed an authenticator app is given, as a person would type it.
func secretOf(t *testing.T, shown string) []byte {
	t.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(shown, " ", ""))
	if err != nil || len(seed) != 20 {
		t.Fatalf("the seed %q: %d bytes, %v", shown, len(seed), err)
	}
	return seed
}
