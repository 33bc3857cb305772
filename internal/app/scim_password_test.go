package app

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// Passwords that identity providers bring by SCIM.

const (
	brought1          = "Aria.Brings.A.Long.Canary.1"
	recoveryPhonePath = "urn:ietf:params:scim:schemas:extension:regain:2.0:User:recoveryPhone"
)

// provider makes a connector and returns its token. change may be nil.
func (w *world) provider(name string, change func(*client.Connector)) string {
	w.t.Helper()
	token := w.connector(name, client.TrustOne)
	c, err := w.srv.Store.ConnectorByName(w.t.Context(), name)
	if err == nil && change != nil {
		_, err = w.srv.Store.UpdateConnector(w.t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { change(c); return nil, nil })
	}
	if err == nil {
		err = w.srv.Store.Refresh(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func setsPasswords(c *client.Connector) { c.SetPassword = true }

// hired makes a person by SCIM whose account is in the directory, and returns them.
func (w *world) hired(token, uid string, more map[string]any) *somebody {
	w.t.Helper()
	p := &somebody{uid: uid, Login: uid + "@alder.example", Email: uid + "@mail.example", Password: "the first password of " + uid}
	w.employs(p)
	status, got := w.scim(token, "POST", "/Users", scimUser(p.Login, more))
	if status != 201 {
		w.t.Fatalf("POST: %d %v", status, got)
	}
	p.ID = fmt.Sprint(got["id"])
	return p
}

// employs puts somebody into the directory whose password is two days old.
func (w *world) employs(p *somebody) {
	w.t.Helper()
	if w.slapd != nil {
		w.slapd.AddUser(w.t, testserver.SlapdUser{Login: p.uid, Password: p.Password, Mail: p.Login,
			Attrs: map[string][]string{"pwdChangedTime": {w.now().Add(-48 * time.Hour).UTC().Format("20060102150405Z")}}})
		return
	}
	if err := w.memory.Put(memory.Account{Login: p.uid, Name: p.uid, Password: p.Password, Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: w.now().Add(-48 * time.Hour)}); err != nil {
		w.t.Fatal(err)
	}
}

func scimUser(login string, more map[string]any) map[string]any {
	u := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": login, "emails": []any{map[string]any{"value": login, "type": "work", "primary": true}}}
	for k, v := range more {
		u[k] = v
	}
	return u
}

func ops(all ...map[string]any) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": all}
}

func replace(path string, value any) map[string]any {
	return map[string]any{"op": "replace", "path": path, "value": value}
}

// bringing is the PATCH that brings one.
func bringing(p string) map[string]any { return ops(replace("password", p)) }

func (w *world) epoch(person string) int64 {
	w.t.Helper()
	p, err := w.srv.Store.Person(w.t.Context(), person)
	if err != nil || p == nil {
		w.t.Fatalf("person %s: %v, %v", person, p, err)
	}
	return p.Epoch
}

func TestAPasswordAProviderBringsIsSetOnlyWhereTheProviderMay(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			may, mayNot := w.provider("may", setsPasswords), w.provider("may-not", nil)
			for token, want := range map[string]bool{may: true, mayNot: false} {
				_, config := w.scim(token, "GET", "/ServiceProviderConfig", nil)
				if got := config["changePassword"].(map[string]any)["supported"]; got != want {
					t.Errorf("changePassword.supported is %v, want %v", got, want)
				}
			}
			for i, c := range []struct {
				token, verb string
				set         bool
			}{{may, "POST", true}, {may, "PATCH", true}, {may, "PUT", true}, {mayNot, "POST", false}, {mayNot, "PATCH", false}, {mayNot, "PUT", false}} {
				uid := fmt.Sprint("u", i)
				fresh := map[string]any{"password": brought1}
				var p *somebody
				var epoch int64 = 1
				var status int
				var got map[string]any
				switch c.verb {
				case "POST":
					p = w.hired(c.token, uid, fresh)
					status = 200
				case "PATCH":
					p = w.hired(c.token, uid, nil)
					epoch = w.epoch(p.ID)
					status, got = w.scim(c.token, "PATCH", "/Users/"+p.ID, ops(replace("password", brought1), replace("displayName", "New")))
				case "PUT":
					p = w.hired(c.token, uid, nil)
					epoch = w.epoch(p.ID)
					status, got = w.scim(c.token, "PUT", "/Users/"+p.ID, scimUser(p.Login, map[string]any{"password": brought1, "displayName": "New"}))
				}
				if status != 200 || strings.Contains(fmt.Sprint(got), brought1) {
					t.Errorf("%s: %d %v", c.verb, status, got)
				}
				if w.signsIn(p, brought1) != c.set || w.signsIn(p, p.Password) == c.set {
					t.Errorf("%s by %v: the new password signs in: %v, the old one: %v", c.verb, c.set, w.signsIn(p, brought1), w.signsIn(p, p.Password))
				}
				who, err := w.srv.Store.Person(t.Context(), p.ID)
				if err != nil || c.verb != "POST" && who.DisplayName != "New" {
					t.Errorf("%s: what else was said is not there: %+v, %v", c.verb, who, err)
				}
				if moved := who.Epoch > epoch; moved != c.set {
					t.Errorf("%s: epoch %d, was %d", c.verb, who.Epoch, epoch)
				}
				if n := w.count(p.ID, event.PasswordChanged); n != map[bool]int{true: 1}[c.set] {
					t.Errorf("%s: %d events of a changed password", c.verb, n)
				}
				w.drained()
				letters := w.letters(p.Login)
				if !c.set && len(letters) > 0 || c.set && (len(letters) != 1 || !strings.Contains(letters[0].Text, "Your organisation set the new password") || !strings.Contains(letters[0].Text, "/not-me")) {
					t.Errorf("%s: letters %v", c.verb, letters)
				}
			}
			if dump := w.dump(); !bytes.Contains(dump, []byte("u1@alder.example")) || bytes.Contains(dump, []byte(brought1)) {
				t.Error("the password stands in the database, or the dump is not what it should be")
			}
			if strings.Contains(w.log.String(), brought1) {
				t.Error("the log holds the password")
			}
		})
	}
}

func TestAPasswordThatBreaksARuleIsRefusedByItsNameAndChangesNothing(t *testing.T) {
	w := newWorld(t, scene{})
	token := w.provider("idp", setsPasswords)
	ada := w.hired(token, "ada", nil)
	_, before := w.scim(token, "GET", "/Users/"+ada.ID, nil)
	for bad, rule := range map[string]string{"short.9x": "too_short 15", "password password": "common"} {
		for _, r := range []struct {
			verb, path string
			body       any
		}{
			{"PATCH", "/Users/" + ada.ID, ops(replace("displayName", "Other"), replace("password", bad))},
			{"PUT", "/Users/" + ada.ID, scimUser(ada.Login, map[string]any{"password": bad, "displayName": "Other"})},
		} {
			status, got := w.scim(token, r.verb, r.path, r.body)
			if status != 400 || got["scimType"] != "invalidValue" || !strings.Contains(fmt.Sprint(got["detail"]), "password: refused by the rule "+rule) || strings.Contains(fmt.Sprint(got), bad) {
				t.Errorf("%s %q: %d %v", r.verb, bad, status, got)
			}
		}
	}
	if _, after := w.scim(token, "GET", "/Users/"+ada.ID, nil); fmt.Sprint(after) != fmt.Sprint(before) || !w.signsIn(ada, ada.Password) {
		t.Errorf("what was refused was done: %v\n%v", before, after)
	}
	ben := &somebody{uid: "ben", Login: "ben@alder.example", Password: "the first password of ben"}
	w.employs(ben)
	if status, got := w.scim(token, "POST", "/Users", scimUser(ben.Login, map[string]any{"password": "short.9x"})); status != 400 || !strings.Contains(fmt.Sprint(got["detail"]), "too_short 15") {
		t.Errorf("POST: %d %v", status, got)
	}
	if p, _ := w.srv.Store.FindPerson(t.Context(), ben.Login); p != nil || !w.signsIn(ben, ben.Password) {
		t.Error("a person whose password was refused was made")
	}
	// What else is wrong is found out before the directory hears of the password.
	for name, r := range map[string]struct {
		status int
		body   any
		header []string
	}{
		"another attribute": {400, ops(replace("password", brought1), replace(recoveryPhonePath, "12")), nil},
		"a path":            {400, ops(replace("password", brought1), replace("nonsense", "x")), nil},
		"an old version":    {412, bringing(brought1), []string{"If-Match", `W/"99"`}},
	} {
		if status, got := w.scimWith(token, "PATCH", "/Users/"+ada.ID, r.body, r.header...); status != r.status {
			t.Errorf("%s: %d %v", name, status, got)
		}
		if !w.signsIn(ada, ada.Password) {
			t.Fatalf("%s was wrong and the password is set", name)
		}
	}
	tag := fmt.Sprint(before["meta"].(map[string]any)["version"])
	if status, got := w.scimWith(token, "PATCH", "/Users/"+ada.ID, ops(replace("password", brought1), replace("title", "Dr")), "If-Match", tag); status != 200 || got["title"] != "Dr" || !w.signsIn(ada, brought1) {
		t.Errorf("the version there is: %d %v", status, got)
	}
}

func TestPasswordsInABulkReachTheDirectoryOneByOne(t *testing.T) {
	w := newWorld(t, scene{})
	token := w.provider("idp", setsPasswords)
	ada, ben, cyd := w.hired(token, "ada", nil), w.hired(token, "ben", nil), &somebody{uid: "cyd", Login: "cyd@alder.example", Password: "the first password of cyd"}
	w.employs(cyd)
	op := func(verb, path, id string, data any) map[string]any {
		return map[string]any{"method": verb, "path": path, "bulkId": id, "data": data}
	}
	status, got := w.scim(token, "POST", "/Bulk", map[string]any{"Operations": []any{
		op("PATCH", "/Users/"+ada.ID, "a", ops(replace("password", brought1), replace("title", "Dr"))), op("POST", "/Users", "x", scimUser("early@alder.example", nil)),
		op("PATCH", "/Users/"+ben.ID, "b", ops(replace("password", "short.9x"), replace("title", "Dr"))), op("POST", "/Users", "c", scimUser(cyd.Login, map[string]any{"password": brought1}))}})
	all, _ := got["Operations"].([]any)
	var answers []string
	for _, o := range all {
		answers = append(answers, fmt.Sprint(o.(map[string]any)["status"]))
	}
	if status != 200 || strings.Join(answers, " ") != "200 201 400 201" || strings.Contains(fmt.Sprint(got), brought1) {
		t.Errorf("%d %v", status, got)
	}
	if !w.signsIn(ada, brought1) || !w.signsIn(ben, ben.Password) || !w.signsIn(cyd, brought1) {
		t.Error("not the passwords that were answered for")
	}
	if p, err := w.srv.Store.Person(t.Context(), ben.ID); err != nil || strings.Contains(string(p.Attrs), "Dr") {
		t.Errorf("what was refused was done: %+v, %v", p, err)
	}
}

func TestAPasswordInForceIsNoChange(t *testing.T) {
	w := newWorld(t, scene{})
	token := w.provider("idp", setsPasswords)
	ada := w.hired(token, "ada", map[string]any{"password": brought1})
	epoch := w.epoch(ada.ID)
	for range 2 { // an identity provider sends it with everything it says
		if status, got := w.scim(token, "PUT", "/Users/"+ada.ID, scimUser(ada.Login, map[string]any{"password": brought1})); status != 200 {
			t.Fatalf("PUT: %d %v", status, got)
		}
	}
	w.drained()
	if now := w.epoch(ada.ID); now != epoch || len(w.letters(ada.Login)) != 1 {
		t.Errorf("epoch %d, was %d; %d letters", now, epoch, len(w.letters(ada.Login)))
	}
	if status, _ := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing("another password, not used yet")); status != 200 {
		t.Fatal(status)
	}
	if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing(brought1)); status != 400 || !strings.Contains(fmt.Sprint(got["detail"]), "in_history") {
		t.Errorf("one used before: %d %v", status, got)
	}
}

func TestSomebodyWithoutAnAccountIsMadeAndGetsNoPassword(t *testing.T) {
	w := newWorld(t, scene{})
	token := w.provider("idp", setsPasswords)
	status, got := w.scim(token, "POST", "/Users", scimUser("early@alder.example", map[string]any{"password": brought1}))
	if status != 201 {
		t.Fatalf("POST: %d %v", status, got)
	}
	id := fmt.Sprint(got["id"])
	if status, got := w.scim(token, "PATCH", "/Users/"+id, bringing(brought1)); status != 403 || !strings.Contains(fmt.Sprint(got["detail"]), "none") {
		t.Errorf("a password for nobody's account: %d %v", status, got)
	}
	for what, change := range map[string]func(*memory.Account){
		"guarded":  func(a *memory.Account) { a.Guarded = true },
		"disabled": func(a *memory.Account) { a.Disabled = true },
	} {
		p := w.hired(token, what, nil)
		a := memory.Account{Login: p.uid, Name: p.uid, Attrs: map[string][]string{"mail": {p.Login}}}
		change(&a)
		if err := w.memory.Put(a); err != nil {
			t.Fatal(err)
		}
		if status, got := w.scim(token, "PATCH", "/Users/"+p.ID, bringing(brought1)); status != 403 || !strings.Contains(fmt.Sprint(got["detail"]), what) {
			t.Errorf("%s: %d %v", what, status, got)
		}
	}
}

func TestWhoIsStaffOrProtectedGetsNoPasswordFromAProviderThatMayNotSayWhoIsStaff(t *testing.T) {
	w := newWorld(t, scene{policy: openPolicy + "\nprotected: {people: [boss@alder.example]}"})
	token, trusted := w.provider("idp", setsPasswords), w.provider("trusted", func(c *client.Connector) { c.SetPassword, c.Roles = true, true })
	a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
	if _, _, err := a.CreateRole(t.Context(), "helpdesk", RoleSource{Group: "Helpers"}); err != nil {
		t.Fatal(err)
	}
	for i, token := range []string{token, trusted} {
		boss := w.hired(token, map[int]string{0: "boss", 1: "chief"}[i], nil)
		who := []*somebody{boss}
		if i == 1 {
			helper := w.hired(token, "helper", nil)
			if status, got := w.scim(token, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Helpers", "members": []any{map[string]any{"value": helper.ID}}}); status != 201 {
				t.Fatalf("group: %d %v", status, got)
			}
			who = append(who, helper)
			c, err := w.srv.Store.ConnectorByName(t.Context(), "trusted")
			if err == nil {
				_, err = w.srv.Store.UpdateConnector(t.Context(), c.ID, func(c *client.Connector) ([]event.Event, error) { c.Roles = false; return nil, nil })
			}
			if err == nil {
				err = w.srv.Store.Refresh(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			who = who[1:]
		}
		for _, p := range who {
			for range 2 {
				if status, got := w.scim(token, "PATCH", "/Users/"+p.ID, bringing(brought1)); status != 403 || w.signsIn(p, brought1) {
					t.Errorf("%s: %d %v", p.uid, status, got)
				}
			}
			if n := w.count(p.ID, event.ConnectorRefused); n != 1 {
				t.Errorf("%s: %d refusals written down in a minute", p.uid, n)
			}
		}
	}
}

func TestWhatBecomesOfAPasswordNobodyAnsweredForIsSaidAsItIs(t *testing.T) {
	for _, c := range []struct {
		fault   memory.Fault
		changed bool
	}{{memory.Fault{Kind: memory.TimeoutAfterWrite}, true}, {memory.Fault{Kind: memory.TimeoutBeforeWrite}, false}} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			w, _ := impatient(t, store.PostgreSQL, 300*time.Millisecond)
			token := w.provider("idp", setsPasswords)
			ada := w.hired(token, "ada", nil)
			epoch := w.epoch(ada.ID)
			w.memory.SetFault(c.fault)
			status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, ops(replace("password", brought1), replace("title", "Dr")))
			if status != 503 || !strings.Contains(fmt.Sprint(got["detail"]), "whether the password was set is being found out") {
				t.Errorf("unanswered: %d %v", status, got)
			}
			w.memory.SetFault(memory.Fault{})
			eventually(t, "the outcome", func() bool { return w.count(ada.ID, event.WriteReconciled, event.WriteUnresolved) == 1 })
			if w.signsIn(ada, brought1) != c.changed || w.count(ada.ID, event.PasswordChanged) != map[bool]int{true: 1}[c.changed] || (w.epoch(ada.ID) > epoch) != c.changed {
				t.Errorf("set: %v, events %v, epoch %d was %d", w.signsIn(ada, brought1), w.events(ada.ID), w.epoch(ada.ID), epoch)
			}
			// A client that asks again with the same password hears that it is there, and the rest of what it said is done.
			if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, ops(replace("password", brought1), replace("title", "Dr"))); status != 200 || got["title"] != "Dr" || !w.signsIn(ada, brought1) {
				t.Errorf("again: %d %v", status, got)
			}
			w.drained()
			if n := w.count(ada.ID, event.PasswordChanged); n != 1 || w.epoch(ada.ID) <= epoch {
				t.Errorf("%d changes told in the end, epoch %d", n, w.epoch(ada.ID))
			}
		})
	}
	t.Run("nothing can be reached", func(t *testing.T) {
		w := newWorld(t, scene{})
		token := w.provider("idp", setsPasswords)
		ada := w.hired(token, "ada", nil)
		w.memory.SetFault(memory.Fault{Kind: memory.Unavailable})
		for verb, path := range map[string]string{"PATCH": "/Users/" + ada.ID, "POST": "/Users"} {
			body := any(bringing(brought1))
			if verb == "POST" {
				body = scimUser("new@alder.example", map[string]any{"password": brought1})
			}
			if status, got := w.scim(token, verb, path, body); status != 503 || !strings.Contains(fmt.Sprint(got["detail"]), "nothing was changed") {
				t.Errorf("%s: %d %v", verb, status, got)
			}
		}
		if p, _ := w.srv.Store.FindPerson(t.Context(), "new@alder.example"); p != nil {
			t.Error("somebody was made by a request that failed")
		}
	})
}

func TestPasswordsOfOnePersonAreSetOneAtATime(t *testing.T) {
	w, at := impatient(t, store.PostgreSQL, time.Second)
	token := w.provider("idp", setsPasswords)
	ada := w.hired(token, "ada", nil)
	var mu sync.Mutex
	inside, most := 0, 0
	move := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		inside += n
		most = max(most, inside)
	}
	at.before, at.after = func() { move(1) }, func() { move(-1) }
	var wg sync.WaitGroup
	done := map[int]int{}
	for i := range 16 {
		wg.Go(func() {
			status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing(fmt.Sprintf("the %dth password of a race", i)))
			mu.Lock()
			defer mu.Unlock()
			done[status]++
			if status != 200 && status != 503 {
				t.Errorf("%d %v", status, got)
			}
		})
	}
	wg.Wait()
	if most != 1 || done[200] < 1 || w.count(ada.ID, event.PasswordChanged) != done[200] {
		t.Errorf("%d at a time, answers %v, %d changes", most, done, w.count(ada.ID, event.PasswordChanged))
	}
}

func TestAPasswordAProviderBringsEndsWhatIsOpen(t *testing.T) {
	w := newWorld(t, scene{})
	token := w.provider("idp", setsPasswords)
	ada := w.hired(token, "ada", nil)
	ada.Phone = "+4917139200099"
	w.give(ada, method.Root{Kind: method.ByPerson, ID: ada.ID}, w.now().Add(-72*time.Hour), method.Method{Kind: method.Email, Destination: ada.Email}, method.Method{Kind: method.SMS, Destination: ada.Phone})
	v := w.visitor()
	v.proveTwice(ada)
	if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing(brought1)); status != 200 {
		t.Fatalf("%d %v", status, got)
	}
	v.post("/new-password", "password", fresh)
	if w.signsIn(ada, fresh) || !w.signsIn(ada, brought1) {
		t.Error("a try that was open wrote its password after the provider's")
	}
	w.drained()
	var link string
	for _, l := range w.letters(ada.Email) { // also where only the person reads
		if strings.Contains(l.Subject, "password was changed") {
			link = notMeLink(t, w, l)
		}
	}
	if link == "" {
		t.Fatal("no letter with a way to say that it was somebody else")
	}
}

func TestAPasswordAProviderBringsReachesARealDirectory(t *testing.T) {
	w := newWorld(t, scene{slapd: true})
	token := w.provider("idp", setsPasswords)
	ada := w.hired(token, "ada", map[string]any{"password": brought1})
	if !w.signsIn(ada, brought1) || w.signsIn(ada, ada.Password) {
		t.Error("POST: the password is not the one in the directory")
	}
	const next = "Boreal.Second.Long.Canary.2"
	if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing(next)); status != 200 || !w.signsIn(ada, next) {
		t.Errorf("PATCH: %d %v", status, got)
	}
	if status, got := w.scim(token, "PUT", "/Users/"+ada.ID, scimUser(ada.Login, map[string]any{"password": next})); status != 200 || !w.signsIn(ada, next) {
		t.Errorf("the same again: %d %v", status, got)
	}
	if status, got := w.scim(token, "PATCH", "/Users/"+ada.ID, bringing(brought1)); status != 400 || got["scimType"] != "invalidValue" || strings.Contains(fmt.Sprint(got), brought1) || !w.signsIn(ada, next) {
		t.Errorf("one in the history: %d %v", status, got)
	}
	_, got := w.scim(token, "GET", "/Users/"+ada.ID, nil)
	if strings.Contains(fmt.Sprint(got), next) || strings.Contains(fmt.Sprint(got), "password") {
		t.Errorf("GET: %v", got)
	}
}
