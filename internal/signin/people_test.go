package signin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/web"
)

func TestWhoIsNobodyHereReadsWhyAndIsNotLetIn(t *testing.T) {
	w := newWorld(t)
	twin := w.person("twin@alder.example")
	off := w.person("off@alder.example")
	w.change(off, func(p *account.Person) { p.Deactivate("system", w.clock.now()) })
	for _, test := range []struct{ name, sub, login, page, told string }{
		{"unknown", "sub-x", "nobody@alder.example", "we know nobody here", "unknown"},
		{"without a name", "sub-x", "", "we know nobody here", "unknown"},
		{"switched off", "sub-off", "off@alder.example", "is switched off", "inactive"},
	} {
		w.op.sub, w.op.claims = test.sub, map[string]any{"preferred_username": test.login}
		b := w.browser()
		a := b.get(b.callback("/in"))
		if a.code != http.StatusForbidden || b.session() != nil || !strings.Contains(a.body, test.page) {
			t.Errorf("%s: status %d: %s", test.name, a.code, a.body)
		}
		if !slices.Contains(append(w.events(""), w.events(off.ID)...), "identity.refused "+test.told) {
			t.Errorf("%s: not told", test.name)
		}
	}
	// The first account of a name is the person; another account that calls itself so is not.
	w.op.sub, w.op.claims = "sub-twin", map[string]any{"preferred_username": "twin@alder.example"}
	w.browser().signIn()
	w.op.sub = "sub-impostor"
	b := w.browser()
	if a := b.get(b.callback("/in")); a.code != http.StatusForbidden || !strings.Contains(a.body, "belongs to somebody else") {
		t.Errorf("a second account of one name: status %d", a.code)
	}
	if got := w.events(twin.ID); got[len(got)-1] != "identity.refused tied" {
		t.Errorf("told %q", got)
	}
	// And a tie stays: the account may be called what it likes.
	w.op.sub, w.op.claims = "sub-twin", map[string]any{"preferred_username": "ada@alder.example"}
	if s := w.browser().signIn(); s.Person != twin.ID {
		t.Error("an account that was renamed became somebody else")
	}
	// Switched off after a sign-in: out at once, everywhere.
	b = w.browser()
	b.signIn()
	w.change(twin, func(p *account.Person) { p.Deactivate("system", w.clock.now()) })
	if b.session() != nil {
		t.Error("somebody who was switched off is still signed in")
	}
}

// change changes a person.
func (w *world) change(p *account.Person, f func(*account.Person)) {
	w.t.Helper()
	_, err := w.store.UpdatePerson(w.t.Context(), p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) { f(p); return nil, nil })
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestSeveralPeopleOfOneValueAreNobody(t *testing.T) {
	w := newWorld(t, func(o *options) { o.rule = func(_ int, r *session.Rule) { r.Link = "emails.work" } })
	for _, login := range []string{"one", "two"} {
		w.change(w.person(login), func(p *account.Person) { p.Emails = []account.Contact{{Value: "Shared@Alder.example", Type: "work"}} })
	}
	w.op.sub, w.op.claims = "sub-shared", map[string]any{"preferred_username": "shared@alder.example"}
	b := w.browser()
	if a := b.get(b.callback("/in")); a.code != http.StatusForbidden || !strings.Contains(a.body, "we do not guess") || b.session() != nil {
		t.Errorf("status %d: %s", a.code, a.body)
	}
}

func TestAnAddressCountsForTheLinkOnlyWhenItIsConfirmed(t *testing.T) {
	w := newWorld(t, func(o *options) { o.provider = func(_ int, c *ProviderConfig) { c.LinkClaim = "email" } })
	for name, verified := range map[string]any{"not said": nil, "no": false, "as text": "true", "a number": 1} {
		w.op.claims = map[string]any{"email": "ada@alder.example", "email_verified": verified}
		b := w.browser()
		if a := b.get(b.callback("/in")); a.code != http.StatusForbidden || b.session() != nil {
			t.Errorf("%s: status %d", name, a.code)
		}
	}
	w.op.claims = map[string]any{"email": "ada@alder.example", "email_verified": true}
	w.browser().signIn()
}

func TestAnAccountIsKnownByTheConfiguredClaim(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.provider = func(_ int, c *ProviderConfig) { c.Claim = "oid" }
	})
	w.op.claims = map[string]any{"oid": "0001", "preferred_username": "ada@alder.example", "groups": []string{"staff", "desk"}, "realm_access": map[string]any{"roles": []string{"admin", ""}}}
	s := w.browser().signIn()
	b, err := w.store.Binding(t.Context(), "corp", "0001")
	if err != nil || b == nil || b.Person != w.ada.ID || b.Subject != "sub-ada" {
		t.Errorf("tie %+v, %v", b, err)
	}
	want := []session.RoleClaim{{Claim: "groups", Value: "staff"}, {Claim: "groups", Value: "desk"}, {Claim: "realm_access.roles", Value: "admin"}}
	if !slices.Equal(s.Roles, want) || !slices.Contains(s.Claims, "realm_access") || slices.Contains(s.Claims, "desk") {
		t.Errorf("roles %v, claims %v", s.Roles, s.Claims)
	}
	w.op.claims = map[string]any{"preferred_username": "ada@alder.example"}
	w.mustRefuse("without it", "/in", "claim", func(*op) {})
	w.mustRefuse("a list", "/in", "claim", func(o *op) { o.claims = map[string]any{"oid": []string{"0001"}} })
}

func TestAProofSignsNobodyInAndWantsASignInWithoutAPassword(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.get("/prove")
	back := b.next(a)
	if w.op.asked.Get("max_age") != "0" || w.op.asked.Get("acr_values") != "phr" {
		t.Errorf("asked %q", w.op.asked)
	}
	w.op.acr = "mfa" // strong enough to step up, but a password helped
	if a = b.get(b.next(b.get(back))); a.to != "/failed" || b.session() != nil {
		t.Errorf("with a password: status %d to %q", a.code, a.to)
	}
	if p := w.proofs[0]; p.err == nil || p.who != nil || p.flow.Attempt != "attempt-1" || p.flow.Challenge != "challenge-1" {
		t.Errorf("got %+v", p)
	}
	w.op.acr = "phr"
	if a = b.get(b.callback("/prove")); a.to != "/proved" || b.session() != nil || b.cookies["__Host-session"] != "" {
		t.Errorf("without one: status %d to %q, signed in %v", a.code, a.to, b.session())
	}
	if p := w.proofs[1]; p.who == nil || p.who.ID != w.ada.ID || p.id.ACR != "phr" || p.flow.Attempt != "attempt-1" || p.flow.Challenge != "challenge-1" {
		t.Errorf("got %+v", p)
	}
	if got := w.events(w.ada.ID); !slices.Equal(got, []string{"identity.made"}) {
		t.Errorf("told %q, want the tie and no session", got)
	}
	// Not fresh: the provider has a session of before and brings that.
	w.op.authTime = w.clock.now().Add(-time.Minute)
	back = b.callback("/prove")
	if a = b.get(b.next(b.get(back))); a.to != "/failed" {
		t.Errorf("an old sign-in: status %d to %q", a.code, a.to)
	}
	w.op.authTime = time.Time{}
	// Nobody's, and cancelled.
	w.op.sub, w.op.claims = "sub-x", map[string]any{"preferred_username": "x"}
	if a = b.get(b.callback("/prove")); a.to != "/proved" || w.proofs[len(w.proofs)-1].who != nil {
		t.Errorf("nobody's: to %q", a.to)
	}
	w.op.answer = func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }
	if a = b.get(b.callback("/prove")); a.to != "/failed" {
		t.Errorf("cancelled: to %q", a.to)
	}
}

func TestAProofIsNotOfferedWhereASignInCannotBeOne(t *testing.T) {
	w := newWorld(t, func(o *options) {
		o.provider = func(_ int, c *ProviderConfig) { c.NoPassword, c.StepUp.Accept = nil, nil }
	})
	if p := w.door.Providers(); p[0].MayProve || p[0].StepsUp || p[0].Label != "Alder" {
		t.Errorf("shown as %+v", p)
	}
	for _, path := range []string{"/prove", "/console"} {
		if a := w.browser().get(path); a.code != http.StatusForbidden || a.to != "" || !strings.Contains(a.body, "ask the help desk") {
			t.Errorf("%s: status %d to %q", path, a.code, a.to)
		}
	}
	b := w.browser()
	b.signIn()
	if a := b.get("/strong"); a.code != http.StatusForbidden || a.to != "" {
		t.Errorf("a step-up: status %d to %q", a.code, a.to)
	}
}

func TestABrowserIsTrustedByAPostAndAStepUpAndInNoOtherWay(t *testing.T) {
	w := newWorld(t)
	w.op.acr = "mfa"
	b := w.browser()
	b.signIn()
	b.follow(b.get("/console"))
	b.follow(b.get("/strong"))
	if b.cookies["__Host-browser"] != "" {
		t.Fatal("a browser is trusted without being asked for")
	}
	a := b.post("/trust", nil)
	if a.code != http.StatusOK || a.to != "" || !strings.Contains(a.body, `href="/step-up"`) || b.cookies["__Host-browser"] != "" {
		t.Fatalf("the choice: status %d to %q: %s", a.code, a.to, a.body)
	}
	// The provider brings the moment that the session has already, twice: nobody did anything for it.
	w.op.authTime = w.clock.now()
	if a = b.follow(b.get("/step-up")); a.code != http.StatusForbidden || b.cookies["__Host-browser"] != "" {
		t.Fatalf("a step-up of before: status %d, cookies %v", a.code, b.cookies)
	}
	w.op.authTime = time.Time{}
	w.clock.pass(time.Second)
	if a = b.follow(b.get("/step-up")); !a.in(w.ada) || b.cookies["__Host-browser"] == "" {
		t.Fatalf("after the step-up: status %d, cookies %v", a.code, b.cookies)
	}
	all, err := w.svc.Browsers(t.Context(), w.ada.ID)
	if err != nil || len(all) != 1 || all[0].Agent != "Firefox, Linux" {
		t.Fatalf("%+v, %v", all, err)
	}
	if got := w.events(w.ada.ID); got[len(got)-1] != "browser.trusted" {
		t.Errorf("told %q", got)
	}
	found, err := w.svc.BrowserByHash(t.Context(), session.BrowserHash(b.cookies["__Host-browser"]))
	if err != nil || found == nil || session.BrowserHash(b.cookies["__Host-session"]) != nil || session.Hash(b.cookies["__Host-browser"]) != nil {
		t.Errorf("the secret of one is taken for the other: %v, %v", found, err)
	}
	if err := w.svc.ForgetBrowser(t.Context(), b.session(), all[0].ID); err != nil {
		t.Error(err)
	}
	if found, err = w.svc.BrowserByHash(t.Context(), session.BrowserHash(b.cookies["__Host-browser"])); found != nil || err != nil {
		t.Errorf("still trusted: %v", err)
	}
	// The choice goes with the browser that made it and the session that made it.
	other := w.browser()
	other.cookies["__Host-signin-to"] = b.cookies["__Host-signin-to"]
	if a := other.get("/step-up"); strings.HasPrefix(a.to, "http") {
		t.Errorf("somebody else's choice leads to %q", a.to)
	}
}

func TestAStepUpAfterAFormGoesByALink(t *testing.T) {
	w := newWorld(t)
	w.op.acr = "1"
	b := w.browser()
	b.signIn()
	a := b.post("/strong", nil)
	if a.code != http.StatusOK || a.to != "" || !strings.Contains(a.body, `href="/step-up"`) {
		t.Fatalf("status %d to %q", a.code, a.to)
	}
	w.op.acr = "mfa"
	if a = b.follow(b.get("/step-up")); !a.in(w.ada) {
		t.Errorf("status %d", a.code)
	}
	if a := w.browser().get("/step-up"); a.to != "/home" {
		t.Errorf("with nothing waiting: to %q", a.to)
	}
}

func TestSeveralProvidersAreAChoiceAndTheWayOnIsKept(t *testing.T) {
	w := newWorld(t, func(o *options) { o.providers = 2 })
	b := w.browser()
	a := b.get("/in?tab=1")
	if a.to != "/signin" {
		t.Fatalf("status %d to %q", a.code, a.to)
	}
	a = b.get("/signin")
	if !strings.Contains(a.body, `href="/signin/corp"`) || !strings.Contains(a.body, `href="/signin/partner"`) || !strings.Contains(a.body, "Birch") {
		t.Fatalf("no choice: %s", a.body)
	}
	b.get("/signin/partner") // and back again
	if a = b.get(b.callback("/signin/corp")); a.to != "/in?tab=1" {
		t.Errorf("goes on at %q", a.to)
	}
	if a := b.get("/signin/nobody"); a.code != http.StatusNotFound {
		t.Errorf("a provider that is none: status %d", a.code)
	}
	none := newWorld(t, func(o *options) { o.providers = 0 })
	if a := none.browser().get("/in"); a.code != http.StatusNotFound || !strings.Contains(a.body, "not set up") {
		t.Errorf("no provider at all: status %d", a.code)
	}
	if a := none.browser().get("/signin"); a.code != http.StatusNotFound {
		t.Errorf("no provider at all: status %d", a.code)
	}
}

func TestManyTabsLeaveFewCookies(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for range 40 {
		b.get("/in")
		if len(b.cookies) > maxFlowCookies+1 {
			t.Fatalf("%d cookies", len(b.cookies))
		}
	}
	b.signIn()
}

// TestAHundredPeopleAtOnceAreEachThemselves is the race of two sign-ins that shared a state elsewhere (Tinyauth
// CVE-2026-33544): everybody starts, and everybody is answered in another order, all at once.
func TestAHundredPeopleAtOnceAreEachThemselves(t *testing.T) {
	w := newWorld(t)
	const n = 100
	people, browsers, backs := make([]*account.Person, n), make([]*browser, n), make([]string, n)
	for i := range n {
		login := fmt.Sprintf("p%d@alder.example", i)
		people[i], browsers[i] = w.person(login), w.browser()
		browsers[i].agent = "Firefox/140.0"
	}
	var starts sync.WaitGroup
	leaves := make([]answer, n)
	for i := range n {
		starts.Go(func() { leaves[i] = browsers[i].get(fmt.Sprintf("/in?who=%d", i)) })
	}
	starts.Wait()
	for i := range n {
		w.op.sub, w.op.claims = fmt.Sprintf("sub-%d", i), nil
		backs[i] = w.op.authorize(leaves[i].to)
	}
	w.op.mu.Lock()
	w.op.spoil = func(c map[string]any) {
		c["preferred_username"] = "p" + strings.TrimPrefix(c["sub"].(string), "sub-") + "@alder.example"
	}
	w.op.mu.Unlock()
	var ends sync.WaitGroup
	for i := range n {
		ends.Go(func() {
			if a := browsers[i].get(backs[i]); a.to != fmt.Sprintf("/in?who=%d", i) {
				t.Errorf("person %d goes on at %q: status %d", i, a.to, a.code)
			}
			// The neighbour's answer opens nothing here.
			if a := browsers[i].get(backs[(i+1)%n]); a.code != http.StatusGone {
				t.Errorf("person %d with the answer of the next: status %d", i, a.code)
			}
		})
	}
	ends.Wait()
	for i := range n {
		if s := browsers[i].session(); s == nil || s.Person != people[i].ID || s.Subject != fmt.Sprintf("sub-%d", i) {
			t.Errorf("person %d is %+v", i, s)
		}
	}
	if got := w.op.count("/token"); got != n {
		t.Errorf("%d token calls for %d sign-ins", got, n)
	}
}

// TestOneAnswerMakesOneSession is tried on PostgreSQL, where races show.
func TestOneAnswerMakesOneSession(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, func(o *options) { o.kind = kind })
			b := w.browser()
			back := b.callback("/in")
			const racers = 24
			var wait sync.WaitGroup
			var mu sync.Mutex
			won, gone := 0, 0
			for range racers {
				copied := w.browser()
				for k, v := range b.cookies {
					copied.cookies[k] = v
				}
				wait.Go(func() {
					a := copied.get(back)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case a.to == "/in":
						won++
					case a.code == http.StatusGone:
						gone++
					}
				})
			}
			wait.Wait()
			if won != 1 || gone != racers-1 || w.op.count("/token") != 1 {
				t.Errorf("%d of %d were let in, %d were told that it is over, %d token calls", won, racers, gone, w.op.count("/token"))
			}
			// And a logout token, twice at once.
			token := w.op.logoutToken(nil)
			taken := 0
			for range racers {
				wait.Go(func() {
					if a := w.logout(token, "203.0.113.9:1"); a.code == http.StatusOK {
						mu.Lock()
						taken++
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			if taken != 1 {
				t.Errorf("one logout token was taken %d times", taken)
			}
			if all, err := w.svc.Sessions(t.Context(), w.ada.ID); err != nil || len(all) != 0 {
				t.Errorf("%d sessions are open, %v", len(all), err)
			}
			// First sign-ins of one person at once tie once.
			ben := w.person("ben@alder.example")
			w.op.sub, w.op.claims = "sub-ben", map[string]any{"preferred_username": "ben@alder.example"}
			for range racers {
				other := w.browser()
				path := other.callback("/in")
				wait.Go(func() {
					if a := other.get(path); a.to != "/in" {
						t.Errorf("status %d to %q", a.code, a.to)
					}
				})
			}
			wait.Wait()
			made := 0
			for _, e := range w.events(ben.ID) {
				if e == "identity.made" {
					made++
				}
			}
			if made != 1 {
				t.Errorf("tied %d times", made)
			}
		})
	}
}

func TestEveryPageOfTheDoorIsOneDocumentInBothLanguages(t *testing.T) {
	w := newWorld(t)
	flow := &session.Flow{Purpose: session.SignIn, Goto: "/in"}
	views := map[string]web.Page{
		"choose": ChoosePage{Providers: []Provider{{Name: "a", Label: `"><script>alert(1)</script>`}}}.Page(), "step-up": StepUpPage{Provider: "Alder"}.Page(),
		"trust": StepUpPage{Provider: "Alder", Trust: true}.Page(), "out": SignedOutPage{Provider: "Alder"}.Page(), "everywhere": SignedOutPage{Everywhere: true}.Page(),
		"again": signInAgain(), "ended": endedPage(), "cancelled": cancelledPage(flow), "refused": refusedPage(flow), "requires": w.door.requires(w.door.providers[0], flow),
		"no password": w.door.requires(w.door.providers[0], &session.Flow{Purpose: session.Proof}), "none": w.door.requires(nil, nil),
	}
	w.door.providers[0].AccountURL = "https://account.op.example/"
	views["account"] = w.door.requires(w.door.providers[0], nil)
	for name, page := range views {
		w.site.Handle(http.MethodGet, "/sample/"+strings.ReplaceAll(name, " ", "-"), func(*web.Request) (web.Page, error) { return page, nil })
	}
	for name := range views {
		for _, lang := range []string{"en", "de"} {
			b := w.browser()
			r := request("/sample/" + strings.ReplaceAll(name, " ", "-"))
			r.Header.Set("Accept-Language", lang)
			a := b.do(r)
			doc, err := html.Parse(strings.NewReader(a.body))
			if err != nil || a.code >= 500 || strings.Contains(a.body, "<script>alert") {
				t.Errorf("%s in %s: status %d, %v", name, lang, a.code, err)
				continue
			}
			headings := 0
			for n := range doc.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				switch n.Data {
				case "h1":
					headings++
				case "style", "iframe":
					t.Errorf("%s: <%s>", name, n.Data)
				}
				for _, at := range n.Attr {
					if at.Key == "style" || strings.HasPrefix(at.Key, "on") {
						t.Errorf("%s: <%s %s>", name, n.Data, at.Key)
					}
				}
			}
			if headings != 1 || strings.Contains(strings.ToLower(a.body), "regain") {
				t.Errorf("%s in %s: %d headings", name, lang, headings)
			}
		}
	}
}
