package signin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/session"
)

func TestA11AStepUpThatComesBackAsSomebodyElseEndsTheSession(t *testing.T) {
	w := newWorld(t)
	ben := w.person("ben@alder.example")
	b := w.browser()
	first := b.signIn()
	w.op.acr, w.op.sub, w.op.claims = "mfa", "sub-ben", map[string]any{"preferred_username": "ben@alder.example"}
	a := b.get(b.callback("/strong"))
	if a.code != http.StatusForbidden || b.session() != nil || b.cookies["__Host-session"] != "" {
		t.Errorf("somebody else after a step-up: status %d, session %v", a.code, b.session())
	}
	if !strings.Contains(a.body, "somebody else") {
		t.Errorf("the page does not say what happened: %s", a.body)
	}
	if got := w.events(w.ada.ID); !slices.Contains(got, "session.ended other") || !slices.Contains(got, "identity.refused other") {
		t.Errorf("told %q", got)
	}
	if got := w.events(ben.ID); len(got) != 0 {
		t.Errorf("ben got %q: nobody is tied by a step-up of another", got)
	}
	if se, err := w.store.SessionByID(t.Context(), first.ID); err != nil || se.Ended.IsZero() {
		t.Errorf("the first session goes on: %+v, %v", se, err)
	}
}

func TestA11AStepUpAtAnotherProviderIsNotThatOfTheSession(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.providers = 2
		o.provider = func(_ int, c *ProviderConfig) { c.StepUp.Ask = AskNothing }
	})
	b := w.browser()
	b.follow(b.get("/signin/corp"))
	mine := b.session()
	if mine == nil || mine.IDP != "corp" {
		t.Fatalf("got %+v", mine)
	}
	// The step-up goes to the provider of the session, whatever somebody would rather have.
	if a := b.get("/strong"); !strings.HasPrefix(a.to, w.ops[0].issuer()) {
		t.Errorf("the step-up leads to %q", a.to)
	}
	page, err := w.svc.Take(t.Context(), make([]byte, 32), make([]byte, 32))
	if page != nil || err == nil {
		t.Error("a flow out of nothing")
	}
	// And the rule itself holds for an identity of the same subject elsewhere.
	id := session.Identity{IDP: "partner", Issuer: w.ops[1].issuer(), Subject: mine.Subject, Key: mine.Subject, Link: "ada@alder.example", Strong: true, AuthTime: w.clock.now()}
	_, se, err := w.svc.Arrive(t.Context(), id, &session.Flow{Purpose: session.StepUp, IDP: "partner"}, session.Origin{}, mine)
	if se != nil || err == nil || b.session() != nil {
		t.Errorf("the same subject at another provider stepped up: %v", err)
	}
}

func TestA12UserinfoIsBelievedAboutTheSameSubjectOnlyAndNeverAboutTheStrength(t *testing.T) {
	w := newWorld(t)
	w.op.claims = nil // the ID token does not say the name: userinfo is asked
	w.mustRefuse("another subject", "/in", "userinfo", func(o *op) {
		o.userInfo = map[string]any{"sub": "sub-eve", "preferred_username": "ada@alder.example"}
	})
	w.mustRefuse("no subject", "/in", "userinfo", func(o *op) { o.userInfo = map[string]any{"sub": "", "preferred_username": "ada@alder.example"} })
	w.mustRefuse("a subject that is no text", "/in", "userinfo", func(o *op) { o.userInfo = map[string]any{"sub": 7} })
	w.mustRefuse("strength from userinfo", "/console", "weak", func(o *op) {
		o.userInfo = map[string]any{"preferred_username": "ada@alder.example", "acr": "mfa", "auth_time": w.clock.now().Unix()}
	})
	asked := w.op.count("/userinfo")
	w.op.userInfo = map[string]any{"preferred_username": "ada@alder.example", "acr": "mfa", "groups": []string{"desk"}}
	s := w.browser().signIn()
	if s.Person != w.ada.ID || s.ACR != "1" || !slices.Contains(s.Roles, session.RoleClaim{Claim: "groups", Value: "desk"}) {
		t.Errorf("got %+v", s)
	}
	if n := w.op.count("/userinfo"); n != asked+1 {
		t.Errorf("%d requests for one sign-in", n-asked)
	}
	w.op.claims = map[string]any{"preferred_username": "ada@alder.example"}
	w.browser().signIn()
	if n := w.op.count("/userinfo"); n != asked+1 {
		t.Error("userinfo was asked although the ID token said everything")
	}
}

// returnPaths are places a sign-in must never lead to, in the forms in which they got past checks of others.
var returnPaths = []string{
	"//evil.example", "/\\evil.example", "\\\\evil.example", "/%2f%2fevil.example", "/\t/evil.example", "/\n//evil.example", "/\r\nLocation: https://evil.example",
	"https://evil.example/", "https:evil.example", "javascript:alert(1)", "https://account.example.org@evil.example/", "///evil.example", "/%5cevil.example", "http:/\\evil.example",
	"//evil.example/%2f..", "evil.example", "/./..//evil.example", "?next=//evil.example", "\x00/in",
}

func TestA13ASignInLeadsToNoPlaceButPathsOfThisSite(t *testing.T) {
	w := newWorld(t)
	for _, to := range returnPaths {
		// As a parameter of every path that takes part: nobody looks at it.
		for _, name := range []string{"return_to", "next", "redirect_uri", "goto", "rd", "post_logout_redirect_uri", "RelayState"} {
			b := w.browser()
			a := b.get("/signin/corp?" + url.Values{name: {to}}.Encode())
			back, _ := url.Parse(b.next(a))
			q := back.Query()
			q.Set(name, to)
			if a = b.get(back.Path + "?" + q.Encode()); a.to != "/home" {
				t.Errorf("%s=%q: the sign-in goes on at %q, want /home", name, to, a.to)
			}
		}
	}
	// As what an edge asks for, by mistake.
	for i, to := range returnPaths {
		path := "/mistake/" + string(rune('a'+i))
		w.site.Handle(http.MethodGet, path, w.beginAt(to))
		b := w.browser()
		a := b.get(b.callback(path))
		if a.code != http.StatusSeeOther || !strings.HasPrefix(a.to, "/") || strings.HasPrefix(a.to, "//") || strings.HasPrefix(a.to, "/\\") || strings.ContainsAny(a.to, "\t\r\n\x00") {
			t.Errorf("%q: status %d to %q", to, a.code, a.to)
		}
		u, err := url.Parse(base + a.to)
		if err != nil || u.Host != "account.example.org" {
			t.Errorf("%q: leads to %q", to, a.to)
		}
	}
	// As the page itself: the way back is the path that was asked for, with its query.
	b := w.browser()
	if a := b.get(b.callback("/in?tab=ways&x=%2f%2fevil.example")); a.to != "/in?tab=ways&x=%2f%2fevil.example" {
		t.Errorf("back at %q", a.to)
	}
	b = w.browser()
	if a := b.get(b.callback("/in?x=" + strings.Repeat("y", maxGoto))); a.to != "/home" {
		t.Errorf("an endless way back leads to %q", a.to)
	}
}

func TestA14NothingTheProviderSaysOfAnErrorStandsOnAPage(t *testing.T) {
	w := newWorld(t)
	const script = `<script>alert(1)</script>`
	for code, want := range map[string]int{"access_denied": 403, "unmet_authentication_requirements": 403, "login_required": 403, "interaction_required": 403, "invalid_request": 403,
		"server_error": 503, "temporarily_unavailable": 503, script: 403, "": 403} {
		w.op.answer = func(v url.Values) {
			v.Del("code")
			v.Set("error", code)
			v.Set("error_description", script)
			v.Set("error_uri", "javascript:alert(1)")
		}
		b := w.browser()
		a := b.get(b.callback("/in"))
		if a.code != want || b.session() != nil || a.to != "" {
			t.Errorf("%q: status %d to %q, want a page with %d", code, a.code, a.to, want)
		}
		if strings.Contains(a.body, "alert(1)") || a.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%q: the page repeats what the provider said", code)
		}
	}
	w.op.answer = func(v url.Values) { v.Set("code", "wrong") } // the token endpoint describes its error, too
	b := w.browser()
	if a := b.get(b.callback("/in")); a.code != 403 || strings.Contains(a.body, "alert(1)") {
		t.Errorf("token endpoint: status %d", a.code)
	}
	w.op.answer = nil
	if log := w.log.String(); strings.Contains(log, "alert(1)") || strings.Contains(log, w.op.accessToken) || strings.Contains(log, "client-canary") || strings.Contains(log, "code-1") {
		t.Errorf("the log repeats it:\n%s", log)
	}
	for _, e := range w.events("") {
		if strings.Contains(e, "script") {
			t.Errorf("an event repeats it: %s", e)
		}
	}
}

func TestA17NobodyIsSentAroundForEver(t *testing.T) {
	w := newWorld(t)
	for _, code := range []string{"login_required", "interaction_required", "consent_required", "account_selection_required"} {
		w.op.answer = func(v url.Values) { v.Del("code"); v.Set("error", code) }
		b := w.browser()
		if a := b.follow(b.get("/in")); a.code != http.StatusForbidden {
			t.Errorf("%s: status %d", code, a.code)
		}
	}
	w.op.answer = nil
	// Too weak: asked once more, then a page.
	b := w.browser()
	b.signIn()
	before := w.op.count("/token")
	a := b.follow(b.get("/strong"))
	if n := w.op.count("/token") - before; a.code != http.StatusForbidden || n != 2 || !strings.Contains(a.body, "more than a password") {
		t.Errorf("always too weak: status %d after %d rounds, want 2", a.code, n)
	}
	if w.op.asked.Get("prompt") != "login" || w.op.asked.Get("max_age") != "0" {
		t.Errorf("the second time it was asked by %q", w.op.asked)
	}
	if b.session() == nil {
		t.Error("a step-up that was too weak ended the session")
	}
	// Too weak at first, strong at the second.
	w.op.spoil = func(c map[string]any) {
		if w.op.asked.Get("prompt") == "login" {
			c["acr"] = "mfa"
		}
	}
	if a := b.follow(b.get("/strong")); !a.in(w.ada) {
		t.Errorf("strong at the second try: status %d", a.code)
	}
	w.op.spoil = nil
	// The provider says that it cannot: no second try.
	w.op.acr = "1"
	w.op.answer = func(v url.Values) { v.Del("code"); v.Set("error", "unmet_authentication_requirements") }
	before = w.op.count("/token")
	c := w.browser()
	if a := c.follow(c.get("/console")); a.code != http.StatusForbidden || !strings.Contains(a.body, "more than a password") || w.op.count("/token") != before {
		t.Errorf("unmet: status %d", a.code)
	}
	w.op.answer = nil
	// A page that is never content, whatever comes back, and however new that is.
	w.op.acr = "mfa"
	w.op.spoil = func(map[string]any) { w.clock.pass(time.Second) }
	if a := b.follow(b.get("/never")); a.code != http.StatusForbidden {
		t.Errorf("never content: status %d", a.code)
	}
	w.op.spoil = nil
	// A browser that keeps no cookies.
	forgetful := w.browser()
	a = forgetful.get("/in")
	for range 10 {
		if a.to == "" {
			break
		}
		next := forgetful.next(a)
		clear(forgetful.cookies)
		a = forgetful.get(next)
	}
	if a.code != http.StatusGone {
		t.Errorf("no cookies: status %d to %q", a.code, a.to)
	}
}

func TestA17AStepUpThatIsTooOldIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.op.acr = "mfa"
	b := w.browser()
	if a := b.follow(b.get("/strong")); !a.in(w.ada) {
		t.Fatalf("status %d", a.code)
	}
	w.op.authTime = w.clock.now() // the provider has a session and would answer with the same moment again
	w.clock.pass(session.StepUpLife + time.Second)
	callback := b.callback("/strong")
	if w.op.asked.Get("max_age") != "0" {
		t.Errorf("asked by max_age %s: the same old moment would do", w.op.asked.Get("max_age"))
	}
	a := b.get(callback) // the provider ignores max_age
	if !strings.HasPrefix(a.to, "http") || b.session().SteppedUp(w.clock.now(), session.StepUpLife) {
		t.Fatalf("an old moment was taken: status %d to %q", a.code, a.to)
	}
	w.op.authTime = time.Time{}
	if a = b.follow(a); !a.in(w.ada) {
		t.Errorf("made anew: status %d", a.code)
	}
}

func TestA18EverySignInMakesANewSessionAndEndsTheOldOne(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.cookies["__Host-session"] = "rgn_session_planted"
	one := b.signIn()
	kept := b.cookies["__Host-session"]
	if kept == "rgn_session_planted" {
		t.Fatal("a planted session was adopted")
	}
	w.op.acr = "mfa"
	b.follow(b.get("/strong"))
	two, stepped := b.session(), b.cookies["__Host-session"]
	b.follow(b.get("/signin/corp"))
	three := b.session()
	if one.ID == two.ID || two.ID == three.ID || kept == stepped || stepped == b.cookies["__Host-session"] {
		t.Error("a session went on over a sign-in")
	}
	thief := w.browser()
	for _, old := range []string{kept, stepped} {
		thief.cookies["__Host-session"] = old
		if thief.session() != nil {
			t.Error("the secret of a session that was replaced still opens it")
		}
	}
	if got := w.events(w.ada.ID); !slices.Equal(got, []string{"identity.made", "session.started", "session.stepped_up", "session.ended replaced", "session.started", "session.ended replaced"}) {
		t.Errorf("told %q", got)
	}
	if live, err := w.svc.Sessions(t.Context(), w.ada.ID); err != nil || len(live) != 1 || live[0].ID != three.ID {
		t.Errorf("%d sessions are open, %v", len(live), err)
	}
}

func TestA19NothingIsSeenBySteppingBackAfterASignOut(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn()
	page := b.get("/in")
	if page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page of somebody signed in may be kept: %q", page.header.Get("Cache-Control"))
	}
	secret := b.cookies["__Host-session"]
	if a := b.post("/signout", nil); a.code != http.StatusSeeOther || a.to != "/signed-out" || b.session() != nil || b.cookies["__Host-session"] != "" {
		t.Errorf("sign-out: status %d to %q", a.code, a.to)
	}
	b.cookies["__Host-session"] = secret // whoever noted it down
	if a := b.get("/in"); !strings.HasPrefix(a.to, w.op.issuer()) {
		t.Errorf("after the sign-out: status %d to %q", a.code, a.to)
	}
	if a := b.post("/in", nil); a.code != http.StatusForbidden || !strings.Contains(a.body, "sign in again") && !strings.Contains(a.body, "Please sign in again") {
		t.Errorf("a post after the sign-out: status %d", a.code)
	}
	if got := w.events(w.ada.ID); !slices.Contains(got, "session.ended signed_out") {
		t.Errorf("told %q", got)
	}
}

func TestA20TheSameSubjectAtAnotherProviderIsAnotherAccount(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.providers = 2
		o.rule = func(i int, r *session.Rule) { r.Connectors = []string{[]string{"hr", "guests"}[i]} }
	})
	w.connector("hr", "c1") // ada is theirs
	w.connector("guests", "c2")
	b := w.browser()
	b.follow(b.get("/signin/corp"))
	if s := b.session(); s == nil || s.Person != w.ada.ID {
		t.Fatal("the provider of her own people does not know ada")
	}
	// The second provider calls somebody exactly like her, and says that they are an administrator.
	evil := w.ops[1]
	evil.sub, evil.acr, evil.claims = w.ops[0].sub, "mfa", map[string]any{"preferred_username": "ada@alder.example", "groups": []string{"admins"}}
	for _, path := range []string{"/signin/partner"} {
		e := w.browser()
		a := e.follow(e.get(path))
		if a.code != http.StatusForbidden || e.session() != nil {
			t.Errorf("%s: status %d, session %v", path, a.code, e.session())
		}
	}
	if got := w.events(""); !slices.Contains(got, string(event.IdentityRefused)+" unknown") {
		t.Errorf("told %q", got)
	}
	// For staff, too: the choice of a provider is a link, and the purpose goes along.
	e := w.browser()
	a := e.follow(e.get("/console"))
	if !strings.Contains(a.body, `href="/signin/partner"`) {
		t.Fatalf("no choice: status %d", a.code)
	}
	if a = e.follow(e.get("/signin/partner")); a.code != http.StatusForbidden || e.session() != nil || evil.asked.Get("acr_values") != "mfa" {
		t.Errorf("staff: status %d, asked %q", a.code, evil.asked)
	}
}

func TestANameOfTheConfigurationThatMovesToAnotherIssuerInheritsNobody(t *testing.T) {
	w := newWorld(t)
	w.browser().signIn()
	id := session.Identity{IDP: "corp", Issuer: "https://new.example", Subject: "sub-ada", Key: "sub-ada", Link: "ada@alder.example"}
	if _, se, err := w.svc.Arrive(t.Context(), id, &session.Flow{Purpose: session.SignIn}, session.Origin{}, nil); se != nil || err == nil {
		t.Errorf("equal subjects of another issuer are the same person: %v", err)
	}
	if got := w.events(w.ada.ID); got[len(got)-1] != "identity.refused issuer" {
		t.Errorf("told %q", got)
	}
}
