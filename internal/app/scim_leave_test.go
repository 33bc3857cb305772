package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
)

// belongings are what a person has here beside what they were provisioned with.
type belongings struct {
	try              *visitor
	session, browser []byte // hashes of the cookies
}

// belong gives somebody one of everything.
func (w *world) belong(p *somebody) belongings {
	w.t.Helper()
	ctx := w.t.Context()
	var b belongings
	w.give(p, method.Root{Kind: method.ByPerson, ID: p.ID}, w.now().Add(-72*time.Hour), method.Method{Kind: method.Email, Destination: p.Email})
	b.try = w.visitor()
	b.try.firstProof("/reset", p)
	cookie := func() []byte { _, hash := keyring.NewToken("rgn_test"); return hash }
	b.session, b.browser = cookie(), cookie()
	binding := &session.Binding{IDP: "work", Key: "oid-" + p.uid, Person: p.ID, Issuer: "https://idp.example", Subject: "sub-" + p.uid, Made: w.now()}
	_, err := w.srv.Store.Arrive(ctx, p.ID, binding, "", func(*account.Person) (*session.Session, []event.Event, error) {
		return &session.Session{Hash: b.session, IDP: "work", Issuer: binding.Issuer, Subject: binding.Subject, Started: w.now(), Seen: w.now(), Expires: w.now().Add(time.Hour)}, nil, nil
	})
	if err == nil {
		err = w.srv.Store.PutBrowser(ctx, &session.Browser{Hash: b.browser, Person: p.ID, Epoch: w.epoch(p.ID), Made: w.now(), Expires: w.now().Add(time.Hour)})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// opens names what of it still opens something.
func (w *world) opens(b belongings) (open []string) {
	w.t.Helper()
	ctx := context.Background()
	s, err := w.srv.Store.Session(ctx, b.session)
	if err == nil && s != nil && s.Alive(w.now()) {
		open = append(open, "session")
	}
	br, err2 := w.srv.Store.BrowserByHash(ctx, b.browser, w.now())
	if err2 == nil && br != nil {
		open = append(open, "browser")
	}
	if err != nil || err2 != nil {
		w.t.Fatal(err, err2)
	}
	if a, err := w.srv.Store.AttemptByCookie(ctx, b.try.hash()); err != nil {
		w.t.Fatal(err)
	} else if a != nil && a.Alive(w.now()) == nil {
		open = append(open, "try")
	}
	return open
}

// rowsOf counts the rows of a person in every table that has any.
func (w *world) rowsOf(person string) map[string]int {
	w.t.Helper()
	query := `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'`
	if w.srv.Store.Kind() == store.SQLite {
		query = `SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'`
	}
	out := map[string]int{}
	for _, r := range w.rows(query) {
		table, column := fmt.Sprint(r[0]), fmt.Sprint(r[1])
		if column == "person" || column == "member" || table == "events" && column == "subject" {
			if n := w.number(`SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, person); n > 0 {
				out[table] += n
			}
		}
	}
	return out
}

func TestANameThatComesBackInheritsNothing(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			token := w.provider("idp", func(c *client.Connector) { c.Trust, c.Roles, c.SetPassword = client.TrustAll, true, true })
			a := &Admin{Store: w.srv.Store.Store, ring: w.setup.Ring, actor: "cli:test", now: w.now}
			if _, _, err := a.CreateRole(t.Context(), "administrator", RoleSource{Group: "Helpers"}); err != nil {
				t.Fatal(err)
			}
			extra := map[string]any{"externalId": "E-1", "password": brought1, // the password ties the account in the directory to the person
				"urn:ietf:params:scim:schemas:extension:regain:2.0:User": map[string]any{"recoveryPhone": "+4917139200123"}}
			ada := w.hired(token, "ada", extra)
			if status, got := w.scim(token, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Helpers", "members": []any{map[string]any{"value": ada.ID}}}); status != 201 {
				t.Fatalf("group: %d %v", status, got)
			}
			b := w.belong(ada)
			if open := w.opens(b); len(open) != 3 {
				t.Fatalf("of what there is only %v opens anything", open)
			}
			before := w.rowsOf(ada.ID)
			for _, table := range []string{"links", "identities", "sessions", "browsers", "attempts", "writes", "methods", "members", "events", "person_keys"} {
				if before[table] == 0 {
					t.Fatalf("the person has nothing in %s: %v", table, before)
				}
			}
			if status, got := w.scim(token, "DELETE", "/Users/"+ada.ID, nil); status != 204 {
				t.Fatalf("DELETE: %d %v", status, got)
			}
			if open := w.opens(b); len(open) != 0 {
				t.Errorf("deleted, and %v opens something", open)
			}
			if status, got := w.scim(token, "GET", "/Users/"+ada.ID, nil); status != 404 {
				t.Errorf("GET: %d %v", status, got)
			}
			status, got := w.scim(token, "POST", "/Users", scimUser(ada.Login, map[string]any{"externalId": "E-1"}))
			if status != 201 || got["id"] == ada.ID {
				t.Fatalf("POST: %d %v", status, got)
			}
			again := fmt.Sprint(got["id"])
			if open := w.opens(b); len(open) != 0 {
				t.Errorf("the name is back, and %v opens something", open)
			}
			for table, n := range w.rowsOf(again) {
				if want := map[string]int{"contacts": 1, "logins": 1, "person_keys": 1, "events": 1}[table]; n != want {
					t.Errorf("the one who came back has %d rows in %s, want %d", n, table, want)
				}
			}
			for _, e := range w.events(again) {
				if e.Type != event.PersonCreated {
					t.Errorf("they read of %s", e.Type)
				}
			}
			if groups, err := w.srv.Store.StaffGroups(t.Context(), again); err != nil || len(groups) != 0 {
				t.Errorf("groups %+v, %v", groups, err)
			}
			// The old code and the old way prove nothing, and the try that was open writes nothing.
			b.try.post("/new-password", "password", fresh)
			if w.signsIn(ada, fresh) || !w.signsIn(ada, brought1) {
				t.Error("the try of the one before changed the password")
			}
			v := w.visitor()
			v.asks(ada.Login, "email")
			w.drained()
			if n := len(w.codes(ada.Email)); n != 1 {
				t.Errorf("%d codes to the address of the one before, want the one they asked for themselves", n)
			}
		})
	}
}

func TestWhoIsDisabledHasNothingOpenAndGetsNothingBack(t *testing.T) {
	for _, kind := range []store.Kind{store.SQLite, store.PostgreSQL} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, scene{kind: kind})
			token := w.provider("idp", nil)
			for i, off := range []map[string]any{
				ops(replace("active", false)),
				ops(map[string]any{"op": "Replace", "value": map[string]any{"active": "False"}}),
				scimUser("", map[string]any{"active": false}), // PUT
				nil, // bulk
			} {
				p := w.hired(token, fmt.Sprint("u", i), nil)
				b := w.belong(p)
				verb, path, body := "PATCH", "/Users/"+p.ID, any(off)
				switch {
				case off == nil:
					verb, path = "POST", "/Bulk"
					body = map[string]any{"Operations": []any{map[string]any{"method": "PATCH", "path": "/Users/" + p.ID, "data": ops(replace("active", false))}}}
				case off["schemas"].([]string)[0] != "urn:ietf:params:scim:api:messages:2.0:PatchOp":
					verb, body = "PUT", scimUser(p.Login, map[string]any{"active": false})
				}
				if status, got := w.scim(token, verb, path, body); status != 200 {
					t.Fatalf("%s: %d %v", verb, status, got)
				}
				if open := w.opens(b); len(open) != 0 {
					t.Errorf("disabled by %s, and %v opens something", verb, open)
				}
				if status, got := w.scim(token, "PATCH", "/Users/"+p.ID, ops(replace("active", true))); status != 200 {
					t.Fatalf("%d %v", status, got)
				}
				if open := w.opens(b); len(open) != 0 {
					t.Errorf("enabled again after %s, and %v opens something", verb, open)
				}
			}
		})
	}
}

// A transaction that dies in the middle leaves everything as it was: whoever is half gone could be let in by the other half.
func TestADeathInTheMiddleOfLeavingLeavesNothingHalf(t *testing.T) {
	w := newWorld(t, scene{kind: store.PostgreSQL, noWork: true})
	token := w.provider("idp", nil)
	conn, err := pgx.Connect(t.Context(), w.db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for what, leave := range map[string]func(id string) (int, map[string]any){
		"deleted": func(id string) (int, map[string]any) { return w.scim(token, "DELETE", "/Users/"+id, nil) },
		"disabled": func(id string) (int, map[string]any) {
			return w.scim(token, "PATCH", "/Users/"+id, ops(replace("active", false)))
		},
	} {
		p := &somebody{uid: what, Login: what + "@alder.example", Email: what + "@mail.example"}
		status, got := w.scim(token, "POST", "/Users", scimUser(p.Login, nil))
		if status != 201 {
			t.Fatalf("POST: %d %v", status, got)
		}
		p.ID = fmt.Sprint(got["id"])
		_, group := w.scim(token, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": what, "members": []any{map[string]any{"value": p.ID}}})
		hash := sha256.Sum256([]byte(what))
		if _, err := w.srv.Store.Arrive(t.Context(), p.ID, nil, "", func(*account.Person) (*session.Session, []event.Event, error) {
			return &session.Session{Hash: hash[:], IDP: "work", Issuer: "https://idp.example", Subject: what, Started: w.now(), Seen: w.now(), Expires: w.now().Add(time.Hour)}, nil, nil
		}); err != nil {
			t.Fatal(err)
		}
		before, epoch := w.rowsOf(p.ID), w.epoch(p.ID)
		lock, err := conn.Begin(t.Context())
		if err == nil {
			_, err = lock.Exec(t.Context(), `LOCK TABLE events IN EXCLUSIVE MODE`) // the events are what a leave writes last
		}
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan int)
		go func() { status, _ := leave(p.ID); done <- status }()
		killed := 0
		for killed < 5 { // the store tries again for a while: each of its tries dies
			eventually(t, "a leave that waits for the events", func() bool {
				rows := w.rows(`SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'events' AND NOT l.granted`)
				killed += len(rows)
				select {
				case status := <-done:
					done = nil
					t.Logf("%s: killed %d, answered %d", what, killed, status)
					if status < 500 {
						t.Errorf("%s: answered %d although it died", what, status)
					}
					killed = 5
					return true
				default:
				}
				return len(rows) > 0
			})
		}
		if err := lock.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if done != nil {
			status := <-done
			t.Logf("%s: killed %d, answered %d", what, killed, status)
			if status < 300 { // the last of its tries lived
				continue
			}
		}
		if after := w.rowsOf(p.ID); fmt.Sprint(after) != fmt.Sprint(before) || w.epoch(p.ID) != epoch {
			t.Errorf("%s: half of it is done: %v, before %v", what, after, before)
		}
		s, err := w.srv.Store.Session(t.Context(), hash[:])
		if err != nil || s == nil || !s.Alive(w.now()) {
			t.Errorf("%s: the person is there and their session is not: %v, %v", what, s, err)
		}
		if status, _ := leave(p.ID); status >= 300 {
			t.Errorf("%s: asked again: %d", what, status)
		}
		s, err = w.srv.Store.Session(t.Context(), hash[:])
		if err != nil || s != nil && s.Alive(w.now()) {
			t.Errorf("%s: and the session lives: %v, %v", what, s, err)
		}
		if _, got := w.scim(token, "GET", "/Groups/"+fmt.Sprint(group["id"]), nil); (got["members"] != nil) != (what == "disabled") {
			t.Errorf("%s: members %v", what, got["members"])
		}
	}
}
