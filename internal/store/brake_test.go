package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// crowd makes n people of a connector.
func crowd(t *testing.T, s *store.Store, c *client.Connector, n int) (people []*account.Person) {
	t.Helper()
	for i := range n {
		p := &account.Person{Connector: c.ID, UserName: fmt.Sprintf("%s-%03d", c.Name, i), ExternalID: fmt.Sprint("E", i), Active: true, Created: noon, Updated: noon}
		must(t, s.CreatePerson(t.Context(), p, []method.Method{{Kind: method.Email, Status: method.Active, Destination: fmt.Sprintf("p%d@mail.example", i), Root: method.Root{Kind: method.ByPerson}, Created: noon}}))
		people = append(people, p)
	}
	return people
}

func disable(s *store.Store, t *testing.T, p *account.Person) error {
	_, err := s.UpdatePerson(t.Context(), p.ID, p.Connector, func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		return p.Deactivate("connector:"+p.Connector, noon), nil
	})
	return err
}

func remove(s *store.Store, t *testing.T, p *account.Person) error {
	return s.DeletePerson(t.Context(), p.ID, p.Connector, 0, event.New(noon, event.PersonDeleted, "connector:"+p.Connector, p.ID, "", event.Success))
}

func TestEverythingOfAPersonIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		known := map[string][]string{}
		for _, k := range store.KeptTables() {
			known[k[0]] = strings.Fields(strings.ReplaceAll(k[1], ",", " "))
		}
		// What names a person and is neither kept nor here has not been thought about: does it come back with them?
		ends := []string{"person_keys", "events", "attempts", "writes", "sessions", "enrolments", "browsers", "handoffs", "departures", "signal_counts"}
		for table, columns := range ok[map[string][]string](t)(s.Columns(t.Context())) {
			if kept, is := known[table]; is {
				slices.Sort(kept)
				slices.Sort(columns)
				same(t, "columns kept of "+table, kept, columns)
				delete(known, table)
			} else if slices.Contains(columns, "person") && !slices.Contains(ends, table) {
				t.Errorf("%s is a person's: keep it in keptTables, or say here that it ends with them", table)
			}
		}
		if len(known) > 0 {
			t.Errorf("tables that are not there: %v", known)
		}
	})
}

func TestAWaveIsUndoneWithEverythingAsItWas(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		c, other := connector("hr"), connector("lab")
		must(t, s.CreateConnector(t.Context(), c))
		must(t, s.CreateConnector(t.Context(), other))
		people := crowd(t, s, c, 60)
		stranger := crowd(t, s, other, 1)[0]
		ada := people[40]
		group := addGroup(t, s, c.ID, "Sales", ada.ID)
		methods := ok[[]method.Method](t)(s.Methods(t.Context(), ada.ID))
		must(t, s.CreateMethods(t.Context(), ada.ID, []method.Method{{ID: "codes-" + ada.ID, Kind: method.RecoveryCode, Status: method.Active, Root: method.Root{Kind: method.ByPerson}, Created: noon, UsableFrom: noon.Add(24 * time.Hour)}},
			[]method.Code{{Method: "codes-" + ada.ID, Selector: "AAAA", Hash: "h1"}, {Method: "codes-" + ada.ID, Selector: "BBBB", Hash: "h2", Used: noon}}))
		must(t, s.Exec(t.Context(), `INSERT INTO links (person, directory, ref, login, made) VALUES ('`+ada.ID+`', 'here', 'guid-1', 'ada', 5)`,
			`INSERT INTO identities (idp, key, person, issuer, subject, made) VALUES ('corp', 'oid-1', '`+ada.ID+`', 'https://idp', 'sub-1', 6)`,
			`UPDATE people SET alerts = '[{"idp":"corp","kind":"disabled","since":"2026-11-01T00:00:00Z","until":"2026-11-08T00:00:00Z","confirmed":"2026-11-02T00:00:00Z"}]' WHERE id = '`+ada.ID+`'`,
			`INSERT INTO registrations (person, snoozes, until, reviewed) VALUES ('`+ada.ID+`', 2, 7, 8)`))
		before := ok[map[string][]string](t)(s.RowsOf(t.Context(), ada.ID))
		if len(before) < 8 {
			t.Fatalf("the person has rows in %d tables only: %v", len(before), before)
		}

		clock = clock.Add(time.Minute)
		for i, p := range people[:50] {
			if i%2 == 0 {
				must(t, remove(s, t, p))
			} else {
				must(t, disable(s, t, p))
			}
			clock = clock.Add(time.Second)
		}
		must(t, s.DeletePerson(t.Context(), stranger.ID, other.ID, 0)) // leaves for good, whatever another connector does
		braked := eventsOf(t, s, c.ID, event.ConnectorBraked)
		if len(braked) != 1 || braked[0].Data["name"] != "hr" || fmt.Sprint(braked[0].Data["left"], braked[0].Data["people"]) != "21 60" {
			t.Fatalf("told: %+v", braked)
		}
		count(t, s, 1, `SELECT count(*) FROM work WHERE kind = 'security'`)
		// It took effect at once, for good as far as anybody can see.
		if p := ok[*account.Person](t)(s.Person(t.Context(), ada.ID)); p != nil {
			t.Fatal("somebody deleted is there")
		}
		if p := ok[*account.Person](t)(s.Person(t.Context(), people[41].ID)); p.Active || p.Epoch != 2 {
			t.Fatalf("%+v", p)
		}
		for _, plain := range []string{"p40@mail.example", "hr-040", "guid-1", "oid-1", "h1"} {
			if n := ok[int64](t)(s.Count(t.Context(), `SELECT count(*) FROM departures WHERE sealed = $1`, []byte(plain))); n != 0 {
				t.Error("kept in clear")
			}
		}
		b, held, err := s.Brake(t.Context(), c.ID)
		must(t, err)
		if len(b.Waves) != 1 || held[b.Waves[0].ID] != 50 { // those of the minutes before are part of it
			t.Fatalf("%+v, %v", b, held)
		}

		clock = clock.Add(6 * 24 * time.Hour)
		ok[int64](t)(s.SweepDepartures(t.Context(), clock))
		u := ok[client.Undone](t)(s.Undo(t.Context(), c.ID, "", "cli:x", clock))
		same(t, "undone", u, client.Undone{Enabled: 25, Restored: 25})
		after := ok[map[string][]string](t)(s.RowsOf(t.Context(), ada.ID))
		row := func(rows map[string][]string) string { return rows["people"][0] }
		if a := ok[*account.Person](t)(s.Person(t.Context(), ada.ID)); a == nil || !a.Active || a.Version != ada.Version+1 || a.Epoch != ada.Epoch+1 || !a.Updated.Equal(clock) || a.UserName != ada.UserName {
			t.Errorf("the person: %+v\nwas %s\nis  %s", a, row(before), row(after))
		}
		// What a provider said of them, and staff confirmed, is not undone by leaving and coming back.
		if a := ok[*account.Person](t)(s.Person(t.Context(), ada.ID)); !a.Barred(clock.AddDate(1, 0, 0)) {
			t.Errorf("the alerts: %+v", a.Alerts)
		}
		delete(before, "people")
		delete(after, "people")
		same(t, "everything else of the person", after, before)
		same(t, "a way", ok[[]method.Method](t)(s.Methods(t.Context(), ada.ID))[0], methods[0])
		if g := ok[*account.Group](t)(s.Group(t.Context(), group.ID, c.ID)); g.Version != group.Version+2 {
			t.Errorf("the group is version %d, was %d, and lost and got a member", g.Version, group.Version)
		}
		if p := ok[*account.Person](t)(s.Person(t.Context(), people[41].ID)); !p.Active || p.Epoch != 2 {
			t.Errorf("enabled again: %+v", p)
		}
		if got := types(t, s, ada.ID); !slices.Equal(got, []event.Type{event.PersonDeleted, event.PersonRestored}) {
			t.Errorf("events: %v", got)
		}
		if e := eventsOf(t, s, c.ID, event.ConnectorUndone); len(e) != 1 || fmt.Sprint(e[0].Actor, e[0].Data["enabled"], e[0].Data["restored"], e[0].Data["taken"]) != "cli:x25 25 0" {
			t.Errorf("undone: %+v", e)
		}
		count(t, s, 0, `SELECT count(*) FROM departures WHERE connector = '`+c.ID+`'`)
		if _, err := s.Undo(t.Context(), c.ID, "", "cli:x", clock); !fault.Is(err, fault.NotFound) {
			t.Errorf("a second undo: %v", err)
		}
		if _, err := s.Undo(t.Context(), other.ID, "", "cli:x", clock); !fault.Is(err, fault.NotFound) {
			t.Errorf("nothing to undo: %v", err)
		}
	}, at(&clock))
}

func TestAnUndoTakesNothingFromAnybody(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		people := crowd(t, s, c, 30)
		for _, p := range people[:25] {
			must(t, remove(s, t, p))
		}
		for _, p := range people[25:] {
			must(t, disable(s, t, p))
		}
		// One comes back under the same name, one's account at the provider is another's, one is enabled and later disabled for
		// good, one is erased.
		again := &account.Person{Connector: c.ID, UserName: "HR-000", Active: true, Created: clock, Updated: clock}
		must(t, s.CreatePerson(t.Context(), again, nil))
		enable := func(p *account.Person) {
			t.Helper()
			ok[*account.Person](t)(s.UpdatePerson(t.Context(), p.ID, c.ID, func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
				return p.Reactivate("connector:x", clock), nil
			}))
		}
		enable(people[26])
		b, held, err := s.Brake(t.Context(), c.ID)
		must(t, err)
		if n := held[b.Waves[0].ID]; n != 29 {
			t.Errorf("%d can be brought back, want 29: one is back already", n)
		}
		clock = clock.Add(time.Hour)
		must(t, disable(s, t, people[26]))
		must(t, s.Exec(t.Context(), `DELETE FROM person_keys WHERE person = '`+people[2].ID+`'`))
		u := ok[client.Undone](t)(s.Undo(t.Context(), c.ID, "", "cli:x", clock))
		same(t, "undone", u, client.Undone{Enabled: 4, Restored: 23, Taken: 1})
		if m := ok[[]method.Method](t)(s.Methods(t.Context(), again.ID)); len(m) != 0 {
			t.Errorf("the name that came back inherits %+v", m)
		}
		if p := ok[*account.Person](t)(s.Person(t.Context(), people[26].ID)); p.Active {
			t.Error("somebody who was disabled later is enabled")
		}
		if p := ok[*account.Person](t)(s.Person(t.Context(), people[2].ID)); p != nil {
			t.Error("somebody who was erased is back")
		}
		// Once the name is free again the one who had it can come back, too.
		must(t, s.DeletePerson(t.Context(), again.ID, c.ID, 0))
		same(t, "undone again", ok[client.Undone](t)(s.Undo(t.Context(), c.ID, "", "cli:x", clock)), client.Undone{Restored: 1})
	}, at(&clock))
}

func TestWhoIsDisabledAndThenDeletedComesBackActive(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		people := crowd(t, s, c, 40)
		long := people[39]
		must(t, disable(s, t, long)) // for good, long ago
		clock = clock.Add(48 * time.Hour)
		for _, p := range people[:30] {
			must(t, disable(s, t, p))
		}
		for _, p := range append(people[:10:10], long) {
			must(t, remove(s, t, p))
		}
		clock = clock.Add(time.Hour)
		must(t, remove(s, t, people[10])) // in its wake
		same(t, "undone", ok[client.Undone](t)(s.Undo(t.Context(), c.ID, "", "cli:x", clock)), client.Undone{Enabled: 19, Restored: 12})
		for _, p := range people[:31] {
			if got := ok[*account.Person](t)(s.Person(t.Context(), p.ID)); got == nil || !got.Active {
				t.Errorf("%s: %+v", p.UserName, got)
			}
		}
		if got := ok[*account.Person](t)(s.Person(t.Context(), long.ID)); got == nil || got.Active {
			t.Errorf("who was disabled long before: %+v", got)
		}
	}, at(&clock))
}

func TestWhoIsDisabledAndDeletedLeavesOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		for _, p := range crowd(t, s, c, 40)[:20] {
			must(t, disable(s, t, p))
			must(t, remove(s, t, p))
		}
		b, _, err := s.Brake(t.Context(), c.ID)
		must(t, err)
		if n := b.Recent(time.Now()); n != 20 || len(b.Waves) > 0 {
			t.Errorf("%d left, %d waves", n, len(b.Waves))
		}
	})
}

func TestWhatIsForgottenOfWhoeverLeft(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		c, calm := connector("hr"), connector("calm")
		must(t, s.CreateConnector(t.Context(), c))
		must(t, s.CreateConnector(t.Context(), calm))
		for _, p := range crowd(t, s, c, 30) {
			must(t, remove(s, t, p))
		}
		for _, p := range crowd(t, s, calm, 5) {
			must(t, remove(s, t, p))
		}
		left := func(connector string, want int64) {
			t.Helper()
			if n := ok[int64](t)(s.Count(t.Context(), `SELECT count(*) FROM departures WHERE connector = $1`, connector)); n != want {
				t.Errorf("%d are kept, want %d", n, want)
			}
		}
		for _, step := range []struct {
			after      time.Duration
			calm, wave int64
		}{{client.BrakeWindow - time.Second, 5, 30}, {client.BrakeWindow, 0, 30}, {client.BrakeKeeps - time.Second, 0, 30}, {client.BrakeKeeps, 0, 0}} {
			ok[int64](t)(s.SweepDepartures(t.Context(), noon.Add(step.after)))
			left(calm.ID, step.calm)
			left(c.ID, step.wave)
		}
		must(t, s.DeleteConnector(t.Context(), c.ID))
		count(t, s, 1, `SELECT count(*) FROM brakes`) // the calm one's
	}, at(&clock))
}

func TestAWaveBeginsOnceHoweverManyLeaveAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		people := crowd(t, s, c, 64)
		for _, err := range race(64, func(i int) error {
			if i%2 == 0 {
				return remove(s, t, people[i])
			}
			return disable(s, t, people[i])
		}) {
			must(t, err)
		}
		if n := len(eventsOf(t, s, c.ID, event.ConnectorBraked)); n != 1 {
			t.Errorf("told %d times", n)
		}
		b, held, err := s.Brake(t.Context(), c.ID)
		must(t, err)
		if len(b.Waves) != 1 || held[b.Waves[0].ID] != 64 || b.Recent(time.Now()) != 64 {
			t.Errorf("%+v, %v", b, held)
		}
		for _, err := range race(8, func(int) error {
			_, err := s.Undo(t.Context(), c.ID, "", "cli:x", time.Now())
			if fault.Is(err, fault.NotFound) {
				err = nil
			}
			return err
		}) {
			must(t, err)
		}
		count(t, s, 64, `SELECT count(*) FROM people WHERE active`)
		count(t, s, 64, `SELECT count(*) FROM events WHERE type IN ('person.restored', 'person.reactivated')`) // each once
	})
}

func TestWhatAnOperatorExpectsIsNotBraked(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		clock = noon
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		people := crowd(t, s, c, 60)
		must(t, s.Expect(t.Context(), c.ID, 30, clock.Add(time.Hour), clock, event.New(clock, event.ConnectorExpects, "cli:x", "", c.ID, event.Success).With("number", 30)))
		for _, p := range people[:30] {
			must(t, remove(s, t, p))
		}
		count(t, s, 0, `SELECT count(*) FROM departures`)
		for _, p := range people[30:52] {
			must(t, remove(s, t, p))
		}
		if n := len(eventsOf(t, s, c.ID, event.ConnectorBraked)); n != 1 {
			t.Errorf("what goes beyond is told %d times", n)
		}
		if err := s.Expect(t.Context(), c.ID, 30, clock, clock); !fault.Is(err, fault.Invalid) {
			t.Errorf("a time that is over: %v", err)
		}
		if n := len(eventsOf(t, s, c.ID, event.ConnectorExpects)); n != 1 {
			t.Errorf("%d events", n)
		}
	}, at(&clock))
}

// eventsOf are the events of one type about a connector.
func eventsOf(t *testing.T, s *store.Store, connector string, typ event.Type) (out []event.Event) {
	t.Helper()
	for _, e := range ok[[]event.Event](t)(s.EventsIn(t.Context(), connector)) {
		if e.Type == typ {
			out = append(out, e)
		}
	}
	return out
}

// types are the types of the events about a person, oldest first.
func types(t *testing.T, s *store.Store, person string) (out []event.Type) {
	t.Helper()
	for _, e := range ok[[]event.Event](t)(s.EventsOf(t.Context(), person, "", 50)) {
		out = append(out, e.Type)
	}
	slices.Reverse(out)
	return out
}

// What was kept before a migration fits after it.
func TestWhatAnOlderVersionKeptIsPutBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := connector("hr")
		must(t, s.CreateConnector(t.Context(), c))
		people := crowd(t, s, c, 30)
		must(t, s.WithoutKept(t.Context(), "people", "alerts", func() error {
			for _, p := range people {
				if err := remove(s, t, p); err != nil {
					return err
				}
			}
			return nil
		}))
		same(t, "undone", ok[client.Undone](t)(s.Undo(t.Context(), c.ID, "", "cli:x", time.Now())), client.Undone{Restored: 30})
		if p := ok[*account.Person](t)(s.Person(t.Context(), people[7].ID)); p == nil || p.UserName != people[7].UserName || len(p.Alerts) > 0 {
			t.Errorf("%+v", p)
		}
	})
}
