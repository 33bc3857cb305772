package app

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

// prove takes a guest from the first page to the one after two proofs.
func (g *guest) prove(p *somebody) {
	g.t.Helper()
	mails, texts := len(g.h.codes(p.Email)), g.h.textCodes(p.Phone)
	if g.Value("#login") == "" {
		g.Fill("#login", p.Login)
	}
	g.Follow(primary)
	g.at(200, "/choose")
	g.Click("input[name=way][value=email]")
	g.Follow(primary)
	g.Fill("#code", g.h.mailCode(p.Email, mails+1))
	g.Follow(primary)
	if g.path() != "/choose" { // one is enough for an unlock
		return
	}
	g.Click("label.choice:has(b) input[name=way]")
	g.Follow(primary)
	g.Fill("#code", g.h.textCode(p.Phone, texts+1))
	g.Follow(primary)
}

// banner holds a page to saying who sent the person and where they go back to.
func (g *guest) banner(s *shop) {
	g.t.Helper()
	host := strings.TrimPrefix(s.URL, "http://")
	if text := words(g.Text("body")); !strings.Contains(text, "The Shop <b>") || !strings.Contains(text, strings.Split(host, ":")[0]) {
		g.t.Errorf("%s does not say who sent them:\n%s", g.path(), text)
	}
	if g.Count("main b") > 0 && strings.Contains(g.HTML(), "The Shop <b>") {
		g.t.Errorf("%s: the name of the app is markup", g.path())
	}
}

func TestAnAppSendsSomebodyHereAndHearsWhatHappened(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go?login_hint=ada%40alder.example")
	g.at(200, "/reset")
	if strings.Contains(g.URL(), "?") {
		t.Errorf("something of the request stands in the address: %s", g.URL())
	}
	if got := g.Value("#login"); got != ada.Login {
		t.Errorf("the hint is not in the field: %q", got)
	}
	g.banner(s)
	g.MustAxe("a reset that an app asked for")
	g.prove(ada)
	g.at(200, "/new-password")
	g.banner(s)
	if g.Count(giveUp) != 1 || g.Count(goBack) != 0 {
		t.Errorf("before anything happened: %d ways out, %d ways back", g.Count(giveUp), g.Count(goBack))
	}
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.says("Your password is changed", "The Shop <b>")
	if g.Count(giveUp) != 0 || g.Count(goBack) != 1 {
		t.Errorf("after it: %d ways out, %d ways back", g.Count(giveUp), g.Count(goBack))
	}
	g.MustAxe("the end of a reset that an app asked for")
	s.quiet(t)
	g.Follow(goBack)
	g.Lands(s.URL)
	a := s.last(t, 1)
	if a.err != nil {
		t.Fatal(a.err)
	}
	r := a.result()
	reset := h.last(ada.ID, event.PasswordReset)
	if r.Action != client.ActionReset || r.Status != client.StatusDone || strings.Join(r.Proofs, " ") != "mail phone" || r.Txn != reset.Txn || r.SignIn != "https://login.alder.example/" ||
		time.Since(time.Unix(r.Time, 0)).Abs() > time.Minute {
		t.Errorf("the result: %+v, want txn %s", r, reset.Txn)
	}
	c := a.claims
	if c["iss"] != h.base || c["aud"] != "shop" || c["acr"] != "urn:regain:acr:recovery" || seconds(c["exp"]).Sub(seconds(c["iat"])) > 5*time.Minute {
		t.Errorf("the claims: %v", c)
	}
	for _, never := range []string{"amr", "email", "email_verified", "name", "preferred_username", "auth_time", "sid"} {
		if v, there := c[never]; there {
			t.Errorf("claim %s: %v", never, v)
		}
	}
	if sub := c["sub"].(string); strings.Contains(sub, "ada") || sub == ada.ID || len(sub) < 32 {
		t.Errorf("sub %q is no pairwise name", sub)
	}
	// It is no sign-in: nobody has a session here, and none at the provider.
	if n := h.number(`SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	for _, cookie := range g.Cookies() {
		if strings.Contains(cookie, "session") {
			t.Errorf("cookie %s", cookie)
		}
	}
	g.Open(h.base + "/security-info")
	g.atProvider()
	if !h.signsIn(ada, "fresh for every start 1") {
		t.Error("the new password opens nothing")
	}
	// The access token tells the subject and nothing else; the code is worth nothing any more, and shown again it takes the
	// token with it.
	if got := s.userinfo(a.access); len(got) != 1 || got["sub"] != c["sub"] {
		t.Errorf("userinfo: %v", got)
	}
	again := a
	if err := s.redeem(t.Context(), &again); !invalidGrant(err) {
		t.Errorf("the code a second time: %v", err)
	}
	if got := s.userinfo(a.access); got["sub"] != nil {
		t.Errorf("the token outlived the code: %v", got)
	}
	if n := len(h.eventsOf(event.HandoffRefused)); n != 1 {
		t.Errorf("%d events of a code shown twice, want 1", n)
	}
	// Somebody in another sector is somebody else, and the same one here stays the same.
	g.Open(s.URL + "/go")
	g.at(200, "/reset")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.Fill("#password", "fresh for every start 2")
	g.Follow(primary)
	g.Follow(goBack)
	g.Lands(s.URL)
	if b := s.last(t, 2); b.claims["sub"] != c["sub"] || b.claims["jti"] == c["jti"] {
		t.Errorf("the second time: %v", b.claims)
	}
}

// last is the latest event of a type about a person.
func (w *world) last(person string, typ event.Type) event.Event {
	w.t.Helper()
	var found event.Event
	for _, e := range w.events(person) {
		if e.Type == typ {
			found = e
		}
	}
	if found.ID == "" {
		w.t.Fatalf("no %s", typ)
	}
	return found
}

// eventsOf returns the ids of all events of a type.
func (w *world) eventsOf(typ event.Type) [][]any {
	w.t.Helper()
	return w.rows(`SELECT id, outcome, data FROM events WHERE type = '` + string(typ) + `' ORDER BY id`)
}

// userinfo asks the userinfo endpoint.
func (s *shop) userinfo(token string) map[string]any {
	s.w.t.Helper()
	r, err := http.NewRequestWithContext(s.w.t.Context(), http.MethodGet, s.w.base+"/oauth2/userinfo", nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	out := map[string]any{}
	if err := json.Unmarshal(b, &out); err != nil && res.StatusCode == http.StatusOK {
		s.w.t.Fatalf("userinfo: %s", b)
	}
	return out
}

func invalidGrant(err error) bool {
	e, ok := err.(*oauth2.RetrieveError)
	return ok && e.ErrorCode == "invalid_grant"
}

func TestEveryPageOfAHandoffHasAWayOutThatChangesNothing(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"bob": {method.Email, method.SMS}}})
	bob := h.people["bob"]
	s := newShop(h.world, nil)
	steps := []struct {
		page string
		go_  func(g *guest)
	}{
		{"/reset", func(*guest) {}},
		{"/help", func(g *guest) { g.Follow("footer a[href='/help']") }},
		{"/choose", func(g *guest) { g.Fill("#login", bob.Login); g.Follow(primary) }},
		{"/code", func(g *guest) {
			g.Fill("#login", bob.Login)
			g.Follow(primary)
			g.Click("input[name=way][value=email]")
			g.Follow(primary)
		}},
		{"/nothing-arrived", func(g *guest) {
			g.Fill("#login", bob.Login)
			g.Follow(primary)
			g.Click("input[name=way][value=email]")
			g.Follow(primary)
			g.Open(h.base + "/nothing-arrived")
		}},
		{"/new-password", func(g *guest) { g.Fill("#login", bob.Login); g.prove(bob) }},
		{"/nowhere", func(g *guest) { g.Open(h.base + "/nowhere") }},
	}
	for n, step := range steps {
		g := h.guest(t)
		g.SetViewport(390, 844)
		g.Open(s.URL + "/go")
		step.go_(g)
		g.at(200, step.page)
		g.banner(s)
		if over := g.Overflow(); over > 0 {
			t.Errorf("%s scrolls sideways by %d", step.page, over)
		}
		g.Follow(giveUp)
		g.Lands(s.URL)
		a := s.last(t, n+1)
		if a.err != nil || a.query.Get("error") != "access_denied" || a.query.Get("iss") != h.base || a.query.Get("code") != "" {
			t.Fatalf("given up at %s: %v, %v", step.page, a.query, a.err)
		}
		if a.query.Get("error_description") != s.back[0].query.Get("error_description") {
			t.Errorf("given up at %s: another text than at the first page: %v", step.page, a.query)
		}
		// Whoever goes back finds nothing to go on with.
		g.Open(h.base + "/new-password")
		if g.Count("#password") != 0 {
			t.Errorf("given up at %s, and the try goes on", step.page)
		}
		if g.Count(giveUp) != 0 {
			t.Errorf("given up at %s, and the app is still shown", step.page)
		}
	}
	if !h.signsIn(bob, bob.Password) {
		t.Error("something was changed")
	}
	if n := h.number(`SELECT count(*) FROM attempts WHERE state NOT IN ('cancelled')`); n != 0 {
		t.Errorf("%d tries are still open", n)
	}
}

func TestWhoeverProvesAndLeavesChangesNothingAndTheAppHearsNothing(t *testing.T) {
	c := newClock()
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL, now: c.now}, replicas: 2, people: map[string][]method.Kind{"cleo": {method.Email, method.SMS}}})
	cleo := h.people["cleo"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Fill("#login", cleo.Login)
	g.prove(cleo)
	g.at(200, "/new-password")
	g.Open(s.URL + "/") // closes the tab, as it were
	c.add(31 * time.Minute)
	s.quiet(t)
	if n := h.number(`SELECT count(*) FROM handoffs WHERE code IS NOT NULL`); n != 0 {
		t.Errorf("%d codes", n)
	}
	// Coming back later the try is over; the page leads to where the shop wants people to start again, and not by itself.
	g.Open(h.base + "/new-password")
	if g.Count("#password") != 0 {
		t.Fatalf("the try goes on after half an hour:\n%s", g.Text("main"))
	}
	c.add(4 * time.Hour)
	g.Open(h.base + "/progress")
	if g.Count(giveUp)+g.Count(goBack) != 0 {
		t.Error("an app that stopped waiting is still shown")
	}
	s.quiet(t)
	if !h.signsIn(cleo, cleo.Password) {
		t.Error("something was changed")
	}
}

func TestAnExpiredHandoffEndsOnAPageOfOurs(t *testing.T) {
	c := newClock()
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL, now: c.now}, replicas: 2, people: map[string][]method.Kind{"cleo": {method.Email, method.SMS}}})
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.at(200, "/reset")
	c.add(client.OpenLife + time.Minute)
	g.Follow(giveUp) // the page stood open all the while
	if !strings.HasPrefix(g.URL(), h.base) {
		t.Fatalf("sent to %s", g.URL())
	}
	g.MustAxe("an expired handoff")
	if g.Count("a[href^='"+s.app.Initiate+"']") != 1 {
		t.Errorf("no way to start again:\n%s", g.Text("main"))
	}
	s.quiet(t)
}

func TestAnAppThatIsDisabledMeanwhileGetsNothing(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	set := func(disabled bool) {
		t.Helper()
		if err := h.admin().ChangeApp(t.Context(), "shop", AppChange{Disable: disabled, Enable: !disabled}); err != nil {
			t.Fatal(err)
		}
		h.settle()
	}
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.says("Your password is changed")
	set(true)
	g.Follow(goBack)
	g.Lands(s.URL)
	if a := s.last(t, 1); a.query.Get("error") != "unauthorized_client" || a.query.Get("code") != "" {
		t.Errorf("a disabled app got %v", a.query)
	}
	// Disabled between code and token.
	set(false)
	to, err := s.link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.Open(to)
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.Fill("#password", "fresh for every start 2")
	g.Follow(primary)
	set(false)
	s.mu.Lock()
	secret := s.secret
	s.secret = "" // the shop's own server answers late: the browser is back, the code not redeemed
	s.mu.Unlock()
	g.Follow(goBack)
	g.Lands(s.URL)
	a := s.last(t, 2)
	if a.query.Get("code") == "" {
		t.Fatalf("no code: %v", a.query)
	}
	set(true)
	s.secret = secret
	if err := s.redeem(t.Context(), &a); err == nil {
		t.Error("a disabled app redeemed a code")
	}
}

func TestKeysThatRotateMeanwhileBreakNoHandoff(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	kids := map[string]bool{}
	for n := 1; n <= 3; n++ {
		g.Open(s.URL + "/go")
		g.Fill("#login", ada.Login)
		g.prove(ada)
		g.Fill("#password", "fresh for every start "+string(rune('0'+n)))
		g.Follow(primary)
		g.says("Your password is changed")
		if n > 1 {
			if _, err := h.srv.Store.RotateSigning(t.Context(), "id-token", s.app.Alg, h.now(), "cli:test"); err != nil {
				t.Fatal(err)
			}
			if n == 3 { // one replica knows of it a moment before the other
				if err := h.other.Store.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else {
				h.settle()
			}
		}
		g.Follow(goBack)
		g.Lands(s.URL)
		a := s.last(t, n)
		if a.err != nil {
			t.Fatalf("round %d: %v", n, a.err)
		}
		kids[header(t, a.raw)["kid"].(string)] = true
	}
	if len(kids) < 2 {
		t.Errorf("one key signed all: %v", kids)
	}
}

// header is the JOSE header of a token.
func header(t testing.TB, token string) map[string]any {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(first)
	out := map[string]any{}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatalf("%v in %q", err, first)
	}
	return out
}

func TestAnAppHearsThatTheOutcomeIsNotKnown(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	h.memory.SetFault(memory.Fault{Kind: memory.TimeoutBeforeWrite})
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.at(200, "/progress")
	if g.Count(giveUp) != 0 {
		t.Error("something that may have happened can be given up")
	}
	g.Follow(goBack)
	g.Lands(s.URL)
	a := s.last(t, 1)
	if a.err != nil {
		t.Fatal(a.err)
	}
	if r := a.result(); r.Status != client.StatusUnknown || r.Action != client.ActionReset {
		t.Errorf("the result: %+v", r)
	}
}

func TestAnAppHearsThatSomethingWasNotAnswering(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	h.memory.SetFault(memory.Fault{Kind: memory.Unavailable})
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	if g.Count(goBack) != 0 || g.Count(giveUp) != 1 {
		t.Fatalf("nothing was changed, and the page says:\n%s", g.Text("body"))
	}
	g.Follow(giveUp)
	g.Lands(s.URL)
	h.memory.SetFault(memory.Fault{})
	if a := s.last(t, 1); a.query.Get("error") != "temporarily_unavailable" {
		t.Errorf("the app hears %v", a.query)
	}
	// Somebody who gives up because they want to is told apart from it.
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.Follow(giveUp)
	g.Lands(s.URL)
	if a := s.last(t, 2); a.query.Get("error") != "access_denied" {
		t.Errorf("the app hears %v", a.query)
	}
}

func TestAnOutcomeThatBecomesKnownOnTheWayBackIsTold(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	h.memory.SetFault(memory.Fault{Kind: memory.LateWrite, Delay: 3 * time.Second})
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.at(200, "/progress")
	s.dawdle = func() {
		eventually(t, "the write is found done", func() bool { return h.number(`SELECT count(*) FROM attempts WHERE state = 'done'`) == 1 })
	}
	g.Follow(goBack)
	g.Lands(s.URL)
	a := s.last(t, 1)
	if a.err != nil {
		t.Fatal(a.err)
	}
	if r := a.result(); r.Status != client.StatusDone || r.Action != client.ActionReset {
		t.Errorf("the result: %+v", r)
	}
}

func TestUnlockingAndChangingAreAskedForInTheSameWay(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	g := h.guest(t)
	s.scope = "regain.unlock"
	g.Open(s.URL + "/go")
	g.at(200, "/unlock")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.at(200, "/unlock-now")
	g.Follow(primary)
	g.Follow(goBack)
	g.Lands(s.URL)
	if a := s.last(t, 1); a.err != nil || a.result().Action != client.ActionUnlock || a.result().Status != client.StatusDone {
		t.Errorf("unlocked: %+v, %v", a.claims, a.err)
	}
	s.scope = "regain.change"
	g.Open(s.URL + "/go")
	g.at(200, "/change")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.at(200, "/old-password")
	g.Fill("#current", ada.Password)
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.Follow(goBack)
	g.Lands(s.URL)
	if a := s.last(t, 2); a.err != nil || a.result().Action != client.ActionChange || a.result().Txn != h.last(ada.ID, event.PasswordChanged).Txn {
		t.Errorf("changed: %+v, %v", a.claims, a.err)
	}
}

func TestRegisteringIsAskedForInTheSameWay(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"cleo": nil}})
	cleo := h.people["cleo"]
	s := newShop(h.world, nil)
	s.scope = "regain.register"
	g := h.guest(t)
	// Nothing added, nothing to tell.
	g.Open(s.URL + "/go")
	g.password("cleo")
	g.home()
	g.banner(s)
	if g.Count(goBack) != 0 {
		t.Error("there is something to tell before anything was added")
	}
	g.MustAxe("registering that an app asked for")
	g.Follow(giveUp)
	g.Lands(s.URL)
	if a := s.last(t, 1); a.query.Get("error") != "access_denied" {
		t.Errorf("nothing added: %v", a.query)
	}
	g.Open(s.URL + "/go")
	g.home()
	g.banner(s)
	if !strings.HasPrefix(g.path(), "/security-info/add") {
		g.Open(h.base + "/security-info/add")
	}
	if strings.HasPrefix(g.URL(), h.idp.Issuer) || g.Count("input[name=kind]") == 0 {
		g.stepUp("cleo")
	}
	g.banner(s)
	g.Click("input[name=kind][value=email]")
	g.Follow(primary)
	if strings.HasPrefix(g.URL(), h.idp.Issuer) {
		g.stepUp("cleo")
	}
	g.Fill("#destination", cleo.Email)
	g.Follow(primary)
	g.Fill("#code", h.mailCode(cleo.Email, 1))
	g.Follow(primary1)
	g.Follow(goBack)
	g.Lands(s.URL)
	a := s.last(t, 2)
	if a.err != nil || a.result().Action != client.ActionRegister || a.result().Status != client.StatusDone || a.result().Txn == "" {
		t.Errorf("registered: %+v, %v", a.claims, a.err)
	}
	if n := h.number(`SELECT count(*) FROM events WHERE type = 'method.added' AND txn = '` + a.result().Txn + `'`); n != 1 {
		t.Errorf("%d events of that txn", n)
	}
}

func TestAnAppMayLeadOnToASignInElsewhereAtOnce(t *testing.T) {
	h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<!doctype html><html lang=en><title>Sign in</title><main><h1>Sign in elsewhere</h1></main>"))
	}))
	defer elsewhere.Close()
	s.onward = elsewhere.URL + "/sign-in"
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.Follow(giveUp)
	g.Lands(s.onward)
	g.Open(s.URL + "/go")
	g.Fill("#login", ada.Login)
	g.prove(ada)
	g.Fill("#password", "fresh for every start 1")
	g.Follow(primary)
	g.Follow(goBack)
	g.Lands(s.onward)
	if a := s.last(t, 2); a.err != nil || a.result().Status != client.StatusDone {
		t.Errorf("%v, %v", a.claims, a.err)
	}
	// Without scripts, too.
	p := h.guest(t)
	p.DisableScripts()
	p.Open(s.URL + "/go")
	p.Follow(giveUp)
	p.Lands(s.onward)
}

func TestAForeignHandleOpensNothing(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	s := newShop(h.world, nil)
	thief, victim := h.guest(t), h.guest(t)
	to, err := s.link(t.Context()) // the thief's own request, sent to the victim in a mail
	if err != nil {
		t.Fatal(err)
	}
	thief.Open(to)
	victim.Open(to)
	victim.Fill("#login", ada.Login)
	victim.prove(ada)
	victim.Fill("#password", "fresh for every start 1")
	victim.Follow(primary)
	victim.says("Your password is changed")
	for _, path := range []string{"/progress", "/new-password", "/reset"} {
		thief.Open(h.base + path)
		if thief.Count(goBack) != 0 {
			t.Errorf("the thief may go back with the victim's outcome from %s", path)
		}
	}
	thief.Open(h.base + "/reset")
	thief.Follow(giveUp)
	thief.Lands(s.URL)
	if a := s.last(t, 1); a.query.Get("code") != "" || a.query.Get("error") != "access_denied" {
		t.Errorf("the thief got %v", a.query)
	}
	victim.Follow(goBack)
	victim.Lands(s.URL)
	if a := s.last(t, 2); a.query.Get("code") == "" {
		t.Errorf("the victim's browser: %v", a.query)
	}
}

func TestAPlainLinkAfterAHandoffEndsTheTie(t *testing.T) {
	h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	s := newShop(h.world, nil)
	if _, _, err := h.admin().CreateApp(t.Context(), "HR", "hr", AppSettings{Returns: []string{"https://hr.alder.example/start"}}, nil); err != nil {
		t.Fatal(err)
	}
	h.settle()
	g := h.guest(t)
	g.Open(s.URL + "/go")
	g.banner(s)
	g.Open(h.base + "/reset?return_to=hr&login_hint=" + url.QueryEscape("ada@alder.example"))
	g.at(200, "/reset")
	if strings.Contains(g.URL(), "?") {
		t.Errorf("a name stays in the address: %s", g.URL())
	}
	if g.Count(giveUp) != 0 || g.Value("#login") != "ada@alder.example" {
		t.Errorf("the app that asked before is still shown, or the hint is lost: %q", g.Value("#login"))
	}
	s.quiet(t)
}

func TestWhereNobodyCanSignInNoAppSendsAnybodyToRegister(t *testing.T) {
	w := newWorld(t, scene{})
	s := newShop(w, nil)
	s.scope = "regain.register"
	to, err := s.link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	at, err := res.Location()
	if err != nil || at.Query().Get("error") != "invalid_scope" || strings.Contains(at.Query().Get("error_description"), "register") {
		t.Errorf("sent to %v (%v)", at, err)
	}
	res, err = c.Get(w.base + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), "regain.unlock") || strings.Contains(string(b), "regain.register") {
		t.Errorf("the metadata: %s", b)
	}
}

func TestTheExamplesSendABrowserThroughTwoReplicasAndSignNobodyIn(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	ada := h.people["ada"]
	for n, a := range exampleApps {
		redirect := freeRedirect(t)
		s := newShop(h.world, func(app *client.App) { // only its registration: the example is the shop
			app.Key, app.Name, app.Redirects, app.Sector = "shop-"+a.name, "Example "+a.name, []string{redirect}, "localhost"
		})
		run := a.open(t, a.text(t), map[string]string{"ISSUER": h.base, "CLIENT_ID": s.app.Key, "CLIENT_SECRET": s.secret, "REDIRECT_URI": redirect, "SIGN_IN": shopSignIn})
		g := h.guest(t)
		g.Open(run.base + "/")
		g.Follow("a[href='/forgot']")
		g.at(200, "/reset")
		g.Fill("#login", ada.Login)
		g.prove(ada)
		g.Fill("#password", "fresh for every start "+string(rune('1'+n)))
		g.Follow(primary)
		g.says("Your password is changed")
		g.Follow(goBack)
		g.Lands(run.base)
		if to := g.Attribute("#sign-in", "href"); to != "https://login.alder.example/" {
			t.Errorf("%s: sent on to %q", a.name, to)
		}
		for _, cookie := range g.Cookies() {
			if name := strings.ToLower(cookie); strings.Contains(name, "session") || strings.Contains(name, "forgot") {
				t.Errorf("%s: cookie %s", a.name, cookie)
			}
		}
		if n := h.number(`SELECT count(*) FROM sessions`); n != 0 {
			t.Errorf("%s: %d sessions", a.name, n)
		}
		// Given up, nothing is changed and nobody is signed in either.
		g.Open(run.base + "/")
		g.Follow("a[href='/forgot']")
		g.Follow(giveUp)
		g.Lands(run.base)
		if !strings.Contains(g.Text("body"), "Nothing was changed") {
			t.Errorf("%s says: %s", a.name, g.Text("body"))
		}
	}
}
