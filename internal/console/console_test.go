package console

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/web"
)

// house is the console on a real store, door, flow and sessions. Only the provider behind the door is a document.
type house struct {
	*rooms
	t        *testing.T
	db       *store.Cached
	ring     *keyring.Ring
	flow     *reset.Service
	sessions *session.Service
	site     *web.Site
	issuer   string
	clock    time.Time
	people   map[string]*account.Person
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, ring: keyring.Generate(), clock: noon, people: map[string]*account.Person{}}
	now := func() time.Time { return h.clock }
	log := slog.New(slog.DiscardHandler)
	h.db = storetest.Open(t, store.SQLite, func(c *store.Config) { c.Ring, c.Now = h.ring, now }).Cached()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": h.issuer, "authorization_endpoint": h.issuer + "/auth", "token_endpoint": h.issuer + "/token",
			"jwks_uri": h.issuer + "/jwks", "id_token_signing_alg_values_supported": []string{"ES256"}})
	}))
	t.Cleanup(provider.Close)
	h.issuer = provider.URL
	cat, err := message.Load()
	h.must(err)
	h.site, err = web.New(web.Config{
		Base: "https://reset.contoso.example", Organisation: web.Organisation{Name: "Contoso"}, Location: time.UTC, Log: log,
		Translator: cat.With("Organisation", "Contoso").Reporting(func(p message.Problem) { t.Errorf("%v", p) }), Templates: []fs.FS{signin.Templates(), Templates()},
	})
	h.must(err)
	_, err = h.db.EnsurePolicy(t.Context(), "test", noon)
	h.must(err)
	h.sessions, err = session.New(session.Config{Store: h.db, Limits: h.db, Keys: h.ring, Providers: map[string]session.Rule{"corp": {Link: "userName"}}, Now: now, Log: log})
	h.must(err)
	door, err := signin.New(signin.Config{Sessions: h.sessions, Base: "https://reset.contoso.example", Now: now, Log: log, Providers: []signin.ProviderConfig{{
		Name: "corp", Label: "Contoso", Issuer: h.issuer, ClientID: "regain", ClientSecret: "secret", AllowPrivate: true, LinkClaim: "sub",
		StepUp: signin.StepUp{Ask: signin.AskACRValues, Accept: []string{"mfa"}, Claim: "acr", MaxAge: time.Minute},
	}}})
	h.must(err)
	door.Mount(h.site)
	dir, err := memory.New(memory.Config{Now: now})
	h.must(err)
	h.flow, err = reset.New(reset.Config{
		Directories: []reset.Directory{{Name: "main", Adapter: dir}}, Store: h.db, Limits: h.db, Keys: h.ring, Policies: h.db, Now: now, Log: log,
		Kinds: func() []method.Kind { return []method.Kind{method.Email, method.SMS, method.TOTP} },
	})
	h.must(err)
	team, err := staff.New(h.db, now)
	h.must(err)
	teller, err := signal.New(signal.Config{Base: "https://reset.contoso.example", Organisation: "Contoso", Store: h.db, Signing: h.db, Keys: h.ring, Limits: h.db,
		HTTP: egress.New(egress.Options{}), Now: now, Log: log})
	h.must(err)
	c := Config{Base: "https://reset.contoso.example", Door: door, Teller: teller, Staff: team, Judge: h.flow, Store: h.db, Apps: h.db.Store, Limits: h.db, Keys: h.ring, Now: now, Hash: func(token string) []byte {
		hash, _ := keyring.HashToken(token)
		return hash
	}}
	c.Rules = func(v *client.Connector) []Rule {
		all := []Rule{{Name: "any-case-ops", On: v.Preset != client.PresetStrict}, {Name: "brief-patch", On: v.Preset == client.PresetEntra}}
		for i, r := range all {
			if on, own := v.Switches[r.Name]; own {
				all[i].On, all[i].Own = on, true
			}
		}
		return all
	}
	h.must(Mount(h.site, c))
	h.rooms = &rooms{c}
	for _, name := range []string{"Ada Lovelace", "Grace Hopper", "Rosa Root", "Bob Bold"} {
		h.person(name)
	}
	for role, value := range map[staff.Role]string{staff.Helpdesk: "desk", staff.Administrator: "root"} {
		_, err := h.db.PutRoleRule(t.Context(), &staff.Rule{Role: role, Source: staff.FromClaim, IDP: "corp", Claim: "groups", Value: value, Made: noon, By: "test"})
		h.must(err)
	}
	h.must(h.db.Refresh(t.Context()))
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// person adds somebody with an address and a number that are theirs, and a number that was provisioned.
func (h *house) person(name string) *account.Person {
	h.t.Helper()
	login := strings.ToLower(strings.Fields(name)[0])
	hr := "c-hr"
	if len(h.people) == 0 {
		h.must(h.db.CreateConnector(h.t.Context(), &client.Connector{ID: hr, Name: "workday", Trust: client.TrustOne, Preset: client.PresetStandard, Created: noon, Updated: noon}))
	}
	p := &account.Person{UserName: login, Connector: hr, ExternalID: login, Active: true, DisplayName: name, Created: noon, Updated: noon,
		Phones: []account.Contact{{Value: fmt.Sprintf("+1 206 555 01%02d", len(h.people))}}}
	own := method.Root{Kind: method.ByPerson, ID: login}
	h.must(h.db.CreatePerson(h.t.Context(), p, []method.Method{
		{ID: login + "-1", Kind: method.Email, Status: method.Active, Root: own, Destination: login + ".secret@private.example", Created: noon.Add(-time.Hour), Confirmed: noon.Add(-time.Hour)},
		{ID: login + "-2", Kind: method.SMS, Status: method.Active, Root: own, Destination: "+12065557742", Created: noon.Add(-time.Hour), Confirmed: noon.Add(-time.Hour)},
		{ID: login + "-3", Kind: method.TOTP, Status: method.Active, Root: method.Root{Kind: method.ByConnector, ID: hr}, Secret: []byte("12345678901234567890"), Display: "Pixel 9", Created: noon},
	}))
	h.people[login] = p
	return p
}

// browser is one person's, or nobody's.
type surfer struct {
	*house
	cookies map[string]string
}

func (h *house) stranger() *surfer { return &surfer{h, map[string]string{}} }

// signIn returns the browser of somebody who signed in, with groups of the claim.
func (h *house) signIn(login string, strong bool, groups ...string) *surfer {
	h.t.Helper()
	id := session.Identity{IDP: "corp", Issuer: h.issuer, Subject: login, Key: login, Link: login, ACR: "mfa", AuthTime: h.clock, Strong: strong, Claims: []string{"acr", "groups", "sub"}}
	for _, g := range groups {
		id.Roles = append(id.Roles, session.RoleClaim{Claim: "groups", Value: g})
	}
	token, _, err := h.sessions.Arrive(h.t.Context(), id, &session.Flow{IDP: "corp", Purpose: session.Staff}, session.Origin{}, nil)
	h.must(err)
	b := h.stranger()
	b.cookies["__Host-session"] = token
	return b
}

func (b *surfer) do(method, target string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.RemoteAddr = "192.0.2.1:1234"
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.site.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

func (b *surfer) get(target string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do("GET", target, nil)
}

// search types into the box and follows where it leads.
func (b *surfer) search(text string) string {
	b.t.Helper()
	w := b.do("POST", PathSearch, url.Values{"q": {text}})
	if w.Code != 303 || w.Header().Get("Location") != PathSearch {
		b.t.Fatalf("search %q: %d to %q", text, w.Code, w.Header().Get("Location"))
	}
	w = b.get(PathSearch)
	if w.Code != 200 {
		b.t.Fatalf("search %q: %d", text, w.Code)
	}
	return w.Body.String()
}

// facts are the events of a type.
func (h *house) facts(subject string, typ event.Type) (out []event.Event) {
	h.t.Helper()
	all, err := h.db.EventsOf(h.t.Context(), subject, "", 500)
	h.must(err)
	return slices.DeleteFunc(all, func(e event.Event) bool { return e.Type != typ })
}

// try starts one for a login, as the portal does, and ties it to its person.
func (h *house) try(login string) *reset.Attempt {
	h.t.Helper()
	_, hash := keyring.NewToken("rgn_try")
	a, err := h.flow.Start(h.t.Context(), reset.Origin{}, policy.Reset, login, hash)
	h.must(err)
	if p := h.people[login]; p != nil {
		a, err = h.db.UpdateAttempt(h.t.Context(), a.ID, func(a *reset.Attempt) ([]event.Event, error) { return a.Resolve(p, h.clock), nil })
		h.must(err)
	}
	return a
}

// place is a path of a room that is there.
func (h *house) place(r room, try string) string {
	key := "hr-portal"
	if strings.HasPrefix(r.path, PathReceivers) {
		key = "tickets"
	}
	if strings.HasPrefix(r.path, PathConnectors) {
		key = "workday"
	}
	return strings.NewReplacer("{id}", h.people["ada"].ID, "{reference}", try, "{key}", key).Replace(r.path)
}

func TestNobodyEntersARoomWithoutARoleAndStrangersAreSentToSignIn(t *testing.T) {
	h := open(t)
	try := h.try("ada").Reference
	h.clients()
	var open []string
	for _, r := range h.all() {
		if r.staff == nil {
			open = append(open, r.method+" "+r.path)
			continue
		}
		at := h.place(r, try)
		ask := func(b *surfer) *httptest.ResponseRecorder {
			if r.method == http.MethodGet {
				return b.do(r.method, at, nil)
			}
			return b.do(r.method, at, map[string]url.Values{PathSearch: {"q": {"ada"}}, PathConnectors: connecting("new", "entra", "year"),
				PathConnectors + "/workday/rotate": {"version": {"1"}, "life": {"year"}}}[at])
		}
		shows := func(w *httptest.ResponseRecorder) bool {
			return strings.Contains(w.Body.String(), "Lovelace") || strings.Contains(w.Body.String(), "HR Portal") || strings.Contains(w.Body.String(), "Ticket system") || strings.Contains(w.Body.String(), ">workday<")
		}
		leaves := func(what string, w *httptest.ResponseRecorder) {
			t.Helper()
			to := w.Header().Get("Location")
			if r.method == "GET" && (w.Code != 303 || !strings.HasPrefix(to, h.issuer+"/auth?")) || r.method == "POST" && (to != "" || shows(w)) {
				t.Errorf("%s %s, %s: %d to %.40q", r.method, at, what, w.Code, to)
			}
		}
		leaves("a stranger", ask(h.stranger()))
		without := map[string]*surfer{"no groups": h.signIn("bob", true), "other groups": h.signIn("bob", true, "sales", "DESK"), "no step-up either": h.signIn("bob", false, "sales")}
		who, group := "grace", "desk"
		if r.least == staff.Administrator {
			who, group = "rosa", "root"
			without["helpdesk"] = h.signIn("grace", true, "desk")
		}
		for what, b := range without {
			w := ask(b)
			if body := w.Body.String(); w.Code != 403 || !strings.Contains(body, "This is for staff") || !strings.Contains(body, "<code>groups</code>") || strings.Contains(body, "sales") || shows(w) {
				t.Errorf("%s %s, %s: %d, want the page that says so", r.method, at, what, w.Code)
			}
		}
		leaves("staff without a step-up", ask(h.signIn(who, false, group)))
		b := h.signIn(who, true, group)
		if w := ask(b); w.Code != 200 && !strings.HasPrefix(w.Header().Get("Location"), PathSearch) {
			t.Errorf("%s %s, staff: %d", r.method, at, w.Code)
		}
		h.clock = h.clock.Add(session.StaffIdle + time.Second)
		b.get("/signed-out") // any page but one for staff
		leaves("a desk that was left", ask(b))
		leaves("and a second time", ask(b))
		if role, err := h.Staff.Role(t.Context(), &session.Session{IDP: "corp", Roles: []session.RoleClaim{{Claim: "groups", Value: "root"}}}); err != nil || !role.Covers(r.least) {
			t.Errorf("%s %s asks for %q, which nobody has", r.method, at, r.least)
		}
	}
	if want := []string{"GET /console/invite", "POST /console/invite", "GET /console/invite/begin"}; !slices.Equal(open, want) {
		t.Errorf("rooms that judge by themselves are %q, want %q", open, want)
	}
}

func TestARefusalIsWrittenDownWithNamesOfClaimsAndNotForEver(t *testing.T) {
	h := open(t)
	b := h.signIn("bob", true, "sales")
	for range 2 * maxRefusals {
		if w := b.get(PathSearch); w.Code != 403 {
			t.Fatalf("got %d", w.Code)
		}
	}
	refusals := h.facts(h.people["bob"].ID, event.StaffRefused)
	if len(refusals) != maxRefusals {
		t.Errorf("%d refusals were written down, want %d", len(refusals), maxRefusals)
	}
	for _, e := range refusals {
		if fmt.Sprint(e.Data["claims"]) != "[acr groups sub]" || strings.Contains(fmt.Sprint(e.Data, e.Private), "sales") || e.Actor != "person:"+h.people["bob"].ID {
			t.Errorf("written down: %+v", e)
		}
	}
}

func TestWhoeverLosesTheRoleIsOutAtTheNextPage(t *testing.T) {
	h := open(t)
	b := h.signIn("grace", true, "desk")
	if w := b.get(PathSearch); w.Code != 200 || !strings.Contains(w.Body.String(), "Grace Hopper") {
		t.Fatalf("got %d", w.Code)
	}
	rules, err := h.db.RoleRules(t.Context())
	h.must(err)
	for _, r := range rules {
		h.must(h.db.DeleteRoleRule(t.Context(), r.ID))
	}
	h.must(h.db.Refresh(t.Context()))
	if w := b.get(PathSearch); w.Code != 403 {
		t.Errorf("got %d, want 403", w.Code)
	}
}

func TestOneBoxFindsPeopleAndTries(t *testing.T) {
	h := open(t)
	b := h.signIn("grace", true, "desk")
	try := h.try("ada")
	for text, want := range map[string][]string{
		"ada": {"Ada Lovelace"}, "LOVE": nil, "Ada L": {"Ada Lovelace"}, "0100": {"Ada Lovelace"}, "•• 0101": {"Grace Hopper"}, "7742": nil,
		strings.ToLower(strings.ReplaceAll(try.Reference, "-", " ")): {try.Reference}, try.Reference: {try.Reference}, "KTRW-49M": nil, "<b>x": nil, "bo": {"Bob Bold"},
	} {
		body := b.search(text)
		for _, name := range []string{"Ada Lovelace", "Bob Bold", try.Reference} {
			if got := strings.Contains(body, ">"+name+"</b>"); got != slices.Contains(want, name) {
				t.Errorf("%q: shows %s: %v", text, name, got)
			}
		}
		if none := strings.Contains(body, "Nothing was found"); none != (want == nil) {
			t.Errorf("%q: says that nothing was found: %v", text, none)
		}
	}
	for _, short := range []string{"", " ", "a", " a "} {
		if w := b.do("POST", PathSearch, url.Values{"q": {short}}); w.Code != 422 {
			t.Errorf("%q: got %d", short, w.Code)
		}
	}
	if w := b.do("POST", PathSearch, url.Values{"q": {"ada", "bob"}}); w.Code != 400 {
		t.Errorf("two texts: %d", w.Code)
	}
	b.cookies["__Host-search"] = "%%%"
	if w := b.get(PathSearch); w.Code != 200 || strings.Contains(w.Body.String(), "What was found") {
		t.Errorf("a cookie that is none of ours: %d", w.Code)
	}
	if w := b.get(PathSearch + "?q=ada"); strings.Contains(w.Body.String(), "Lovelace") {
		t.Error("what is in an address is searched")
	}
}

func TestAPersonIsShownMaskedAndEveryLookIsWrittenDown(t *testing.T) {
	h := open(t)
	ada := h.people["ada"]
	b := h.signIn("grace", true, "desk")
	h.signIn("ada", true)
	w := b.get(PathPeople + ada.ID)
	body := w.Body.String()
	for _, want := range []string{"Ada Lovelace", "a•••@p•••.example", "•• 42", "Pixel 9", "Confirmed by themselves", "Added by workday", "workday", "everyone", "2 of 2 needed count now", "Signed in"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	for _, secret := range []string{"ada.secret", "private.example", "2065557742", "1234567890", "GEZDGNBV", ada.Phones[0].Value} {
		if strings.Contains(body, secret) {
			t.Errorf("%q is on the page", secret)
		}
	}
	looks := h.facts(ada.ID, event.PersonViewed)
	if len(looks) != 1 || looks[0].Actor != "person:"+h.people["grace"].ID || looks[0].Data["role"] != "helpdesk" {
		t.Errorf("looks written down: %+v", looks)
	}
	if again := b.get(PathPeople + ada.ID).Body.String(); !strings.Contains(again, "Staff looked at this person") || !strings.Contains(again, "Grace Hopper") {
		t.Error("the look before is not among what happened")
	}
	for _, id := range []string{"none", "..", "%00", h.people["ada"].ID + "x"} {
		if w := b.get(PathPeople + id); w.Code != 404 && w.Code != 400 {
			t.Errorf("%q: got %d", id, w.Code)
		}
	}
}

func TestHowOftenOneMayLookIsCountedForEachMemberOfStaff(t *testing.T) {
	h := open(t)
	b, try := h.signIn("grace", true, "desk"), h.try("bob").Reference
	for i := range maxLooks {
		at := []string{PathPeople + h.people["ada"].ID, PathPeople + "none", PathAttempts + try}[i%3] // whatever comes of it
		if w := b.get(at); w.Code == 429 {
			t.Fatalf("look %d was refused", i+1)
		}
	}
	again := h.signIn("grace", true, "desk") // another session is the same person
	for _, at := range []string{PathPeople + h.people["bob"].ID, PathAttempts + try} {
		if w := again.get(at); w.Code != 429 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "Bob") {
			t.Errorf("look %d: %d", maxLooks+1, w.Code)
		}
	}
	if n := len(h.facts(h.people["bob"].ID, event.PersonViewed)); n != 0 {
		t.Errorf("a refused look was written down as one: %d", n)
	}
	if w := h.signIn("rosa", true, "root").get(PathPeople + h.people["bob"].ID); w.Code != 200 {
		t.Errorf("somebody else: %d", w.Code)
	}
	for i := 0; ; i++ {
		b.cookies["__Host-search"] = "YWRh"
		if w := b.get(PathSearch); w.Code == 429 {
			if i != maxSearches {
				t.Errorf("%d searches, want %d", i, maxSearches)
			}
			break
		} else if i > maxSearches {
			t.Fatal("searches are not counted")
		}
	}
}

func TestWhatWasTypedIsForAdministratorsAndOnlyWhileItIsKept(t *testing.T) {
	h := open(t)
	desk, root := h.signIn("grace", true, "desk"), h.signIn("rosa", true, "root")
	known, unknown := h.try("ada"), h.try("hunter2-my-password")
	for _, c := range []struct {
		who  *surfer
		try  *reset.Attempt
		want []string
		not  string
	}{
		{desk, known, []string{"Ada Lovelace", "A try was begun", "Administrators can see it", "looked up"}, ">ada<"},
		{root, known, []string{"Ada Lovelace", ">ada<"}, "Administrators can see it"},
		{desk, unknown, []string{"Not known yet"}, "hunter2"},
		{root, unknown, []string{"hunter2-my-password"}, "Ada"},
	} {
		w := c.who.get(PathAttempts + c.try.Reference)
		body := w.Body.String()
		for _, want := range c.want {
			if w.Code != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d without %q", c.try.Reference, w.Code, want)
			}
		}
		if strings.Contains(body, c.not) {
			t.Errorf("%s: %q is on the page", c.try.Reference, c.not)
		}
	}
	events, err := h.db.EventsIn(t.Context(), known.ID)
	h.must(err)
	var looks []string
	for _, e := range events {
		if e.Type == event.AttemptViewed {
			looks = append(looks, fmt.Sprintf("%v %v %v %v", e.Actor == "person:"+h.people["rosa"].ID, e.Subject == h.people["ada"].ID, e.Data["role"], e.Data["typed"]))
		}
	}
	if want := []string{"false true helpdesk <nil>", "true true administrator true"}; !slices.Equal(looks, want) {
		t.Errorf("looks written down: %q, want %q", looks, want)
	}
	h.must(h.db.EraseTyped(t.Context(), unknown.ID))
	if body := root.get(PathAttempts + unknown.Reference).Body.String(); strings.Contains(body, "hunter2") || !strings.Contains(body, "Not kept any more") {
		t.Error("what was erased is shown, or nobody says that it was erased")
	}
	for _, ref := range []string{"KTRW-0000", "x", strings.Repeat("A", 300)} {
		if w := root.get(PathAttempts + ref); w.Code != 404 {
			t.Errorf("%q: got %d", ref, w.Code)
		}
	}
	h.clock = h.clock.Add(time.Hour)
	if body := h.signIn("grace", true, "desk").get(PathAttempts + known.Reference).Body.String(); !strings.Contains(body, "Ran out of time") {
		t.Error("a try nobody came back to is said to be open")
	}
}
