package app

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// admin is the command line at the house's database.
func (h *house) admin() *Admin {
	return &Admin{Store: h.srv.Store.Store, ring: h.setup.Ring, actor: "cli:test", now: h.now}
}

// settle makes both replicas see what the command line did.
func (h *house) settle() {
	h.t.Helper()
	for _, srv := range []*Server{h.srv, h.other} {
		if srv == nil {
			continue
		}
		if err := srv.Store.Refresh(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestACampaignInterruptsTheWayToAnAppOnATelephoneToo(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL, policy: `rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s, mature_after: 0s,
		registration: {mode: invited, snooze_days: 0, snoozes: 1, reconfirm_days: 90}}]`}, replicas: 2, people: map[string][]method.Kind{"cleo": nil}})
	arrived := make(chan string, 10)
	hr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			arrived <- r.URL.RequestURI()
		}
		w.Write([]byte("<!doctype html><html lang=en><title>HR</title><main><h1>The HR portal</h1></main>"))
	}))
	defer hr.Close()
	app, _, err := h.admin().CreateApp(t.Context(), "HR Portal", "", AppSettings{Returns: []string{hr.URL + "/start"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.settle()
	g := h.guest(t)
	g.SetViewport(390, 844)
	g.Open(h.base + "/setup?return_to=" + app.Key)
	g.password("cleo")
	g.at(200, "/setup/now")
	g.says("HR Portal")
	g.MustAxe("asked to register on a telephone")
	g.Follow("form[action='/setup/later'] button") // once is allowed
	for i := 0; i < 2 && !strings.HasPrefix(g.URL(), hr.URL); i++ {
		g.Follow(".card a.btn")
	}
	if got := <-arrived; got != "/start" {
		t.Errorf("arrived at %s", got)
	}
	// The second time it is not put off any more.
	rec, err := h.srv.Store.Registration(t.Context(), h.people["cleo"].ID)
	if err == nil {
		rec.Until = h.now().Add(-time.Second) // the next day, to somebody who put it off for none
		err = h.srv.Store.PutRegistration(t.Context(), rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.Open(h.base + "/setup?return_to=" + app.Key)
	g.at(200, "/setup/now")
	if g.Count("form[action='/setup/later']") != 0 {
		t.Error("it may be put off a second time")
	}
	g.Follow("a[href='/security-info/add']")
	g.stepUp("cleo")
	for _, way := range []struct{ kind, to string }{{"email", h.people["cleo"].Email}, {"sms", h.people["cleo"].Phone}} {
		g.at(200, "/security-info/add")
		g.Click("input[name=kind][value='" + way.kind + "']")
		g.Follow(primary)
		g.Fill("#destination", way.to)
		g.Follow(primary)
		code := ""
		if way.kind == "email" {
			code = h.mailCode(way.to, 1)
		} else {
			code = h.textCode(way.to, 1)
		}
		g.Fill("#code", code)
		g.Follow(primary1)
	}
	g.says("HR Portal")
	g.Follow("a[href='/setup/go']")
	if !strings.HasPrefix(g.URL(), hr.URL+"/start") {
		t.Errorf("registered, and not at the app but at %s", g.URL())
	}
	<-arrived
	// Whoever has what is wanted is not asked.
	g.Open(h.base + "/setup?return_to=" + app.Key)
	if !strings.HasPrefix(g.URL(), hr.URL+"/start") {
		t.Errorf("asked again: at %s\n%s", g.URL(), g.Text("main"))
	}
	if n := h.count(h.people["cleo"].ID, event.RegistrationSnoozed); n != 1 {
		t.Errorf("put off %d times, want 1", n)
	}
}

// crooked are forms of return_to that some program somewhere once followed.
var crooked = []string{"//evil.example", `/\evil.example`, "%2f%2fevil.example", "https://evil.example/", "hr@evil.example", "HR", "hr ", "hr\t", "hr%00", "hr/../evil", "javascript:alert(1)",
	"hr&return_to=hr", "https:evil.example", ""}

func TestNoFormOfReturnToLeadsAnywhereButToARegisteredApp(t *testing.T) {
	h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}}})
	if _, _, err := h.admin().CreateApp(t.Context(), "HR", "hr", AppSettings{Returns: []string{"https://hr.alder.example/start"}}, nil); err != nil {
		t.Fatal(err)
	}
	h.settle()
	for _, form := range crooked {
		for _, path := range []string{"/setup", "/reset", "/forgot", "/signin", "/signin/work"} {
			v := h.visitor()
			v.client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
				if to := r.URL; to.Host != "" && !strings.HasPrefix(to.String(), h.base) && !strings.HasPrefix(to.String(), h.idp.Issuer) {
					t.Errorf("%s?return_to=%s leads to %s", path, form, to)
				}
				return http.ErrUseLastResponse
			}
			query := "return_to=" + url.QueryEscape(form)
			if strings.Contains(form, "%") || strings.Contains(form, "&") {
				query = "return_to=" + form
			}
			at := path + "?" + query
			for range 5 {
				got := v.get(at)
				if strings.Contains(got.HTML, "evil.example") {
					t.Errorf("%s: the page repeats it", at)
				}
				to := got.Header.Get("Location")
				if to == "" || !strings.HasPrefix(to, "/") {
					if to != "" && !strings.HasPrefix(to, h.idp.Issuer) {
						t.Errorf("%s leads to %s", at, to)
					}
					break
				}
				at = to
			}
		}
	}
}

func TestStaffComeInByTheSameDoorAndTheFirstOfThemByAnInvitation(t *testing.T) {
	h := newHouse(t, estate{scene: scene{kind: store.PostgreSQL}, replicas: 2, people: map[string][]method.Kind{"ada": {method.Email, method.SMS}, "emil": {method.Email}},
		users: func(u *testserver.OIDCUser) {
			if strings.HasPrefix(u.Login, "emil") {
				u.Claims["groups"] = []string{"everybody", "account-admins"}
			}
		}})
	link, err := h.admin().Invite(t.Context(), h.base, "administrator")
	if err != nil {
		t.Fatal(err)
	}
	// Before anybody is staff, nobody gets in, and reads which claims came.
	g := h.guest(t)
	g.Open(h.base + "/console")
	g.password("emil")
	if strings.HasPrefix(g.URL(), h.idp.Issuer) {
		g.stepUp("emil")
	}
	g.says("groups", "preferred_username")
	lacks(t, g.Text("main"), "account-admins", "oid-emil")

	g.Open(link)
	if strings.Contains(g.URL(), "t=") {
		t.Errorf("the token stands in the address: %s", g.URL())
	}
	g.Follow(".card a.btn")
	if strings.HasPrefix(g.URL(), h.idp.Issuer) {
		g.stepUp("emil")
	}
	g.at(200, "/console/invite")
	g.MustAxe("what makes somebody staff")
	g.choose("account-admins")
	g.Follow("form[action='/console/invite'] button")
	h.settle() // what every replica does each second
	g.Open(h.base + "/console")
	g.at(200, "/console")
	g.Fill("#q", "ada")
	g.Follow("form[action='/console'] button")
	g.Follow("a[href^='/console/people/']")
	g.says("Ada", "a•••@m•••.example")
	lacks(t, g.Text("main"), h.people["ada"].Email, h.people["ada"].Phone)
	g.MustAxe("a person in the console")
	if n := h.count(h.people["ada"].ID, event.PersonViewed); n != 1 {
		t.Errorf("%d looks were written down, want 1", n)
	}
	// The link is good for one.
	other := h.guest(t)
	other.Open(link)
	lacks(t, other.Text("main"), "account-admins")
}

// choose takes the radio button that stands beside a word.
func (g *guest) choose(word string) {
	g.t.Helper()
	value := browser.Eval[string](g.Page, "[...document.querySelectorAll('.choice')].find(c => c.textContent.includes('"+word+"')).querySelector('input').value")
	g.Click(".choice input[value='" + value + "']")
}
