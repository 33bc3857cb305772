package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

const thing = "0190a000-0000-7000-8000-000000000001"

func things(t *testing.T, s *store.Store) {
	t.Helper()
	if err := s.MakeThings(t.Context(), thing); err != nil {
		t.Fatal(err)
	}
}

// notice is an event that brings one row of work.
func notice() event.Event {
	return event.New(noon, event.WriteUnknown, "person:ada", "ada", "txn", event.Success)
}

func TestOfRacersForAOneTimeThingExactlyOneWins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		used := errors.New("used already")
		won := 0
		for _, err := range race(24, func(int) error {
			return s.UpdateThing(t.Context(), thing, func(v *store.Thing) ([]event.Event, error) {
				if v.N != 0 {
					return nil, used
				}
				v.N = 1
				return []event.Event{notice()}, nil
			})
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, used):
				t.Errorf("a loser got %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
		count(t, s, 2, `SELECT version FROM things`)
		count(t, s, 1, `SELECT count(*) FROM events`)
		count(t, s, 1, `SELECT count(*) FROM work`)
		count(t, s, 1, `SELECT n FROM marks`)
		count(t, s, 2, `SELECT generation FROM settings WHERE key = 'generation'`)
	})
}

func TestAChangeThatCameTooLateIsRunAgainOnWhatTheOtherLeft(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		runs := 0
		err := s.UpdateThing(t.Context(), thing, func(v *store.Thing) ([]event.Event, error) {
			if runs++; runs <= 2 { // somebody is faster, twice
				if err := s.Exec(t.Context(), `UPDATE things SET n = n + 10, version = version + 1`); err != nil {
					t.Fatal(err)
				}
			}
			v.N++
			return []event.Event{notice()}, nil
		})
		if err != nil || runs != 3 {
			t.Errorf("%v after %d runs, want 3", err, runs)
		}
		count(t, s, 21, `SELECT n FROM things`)
		count(t, s, 1, `SELECT count(*) FROM events`)
		count(t, s, 1, `SELECT count(*) FROM work`)
	})
}

func TestARowThatKeepsChangingIsAConflictAndLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		runs := 0
		err := s.UpdateThing(t.Context(), thing, func(v *store.Thing) ([]event.Event, error) {
			runs++
			v.N = 99
			return []event.Event{notice()}, s.Exec(t.Context(), `UPDATE things SET version = version + 1`)
		})
		if !fault.Is(err, fault.Conflict) || runs != 5 {
			t.Errorf("%v after %d runs, want a conflict after 5", err, runs)
		}
		for _, table := range []string{"events", "work", "marks"} {
			count(t, s, 0, `SELECT count(*) FROM `+table)
		}
		count(t, s, 0, `SELECT n FROM things`)
		count(t, s, 1, `SELECT generation FROM settings WHERE key = 'generation'`)
	})
}

func TestAChangeThatFailsLeavesNoEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		no := errors.New("no")
		if err := s.UpdateThing(t.Context(), thing, func(v *store.Thing) ([]event.Event, error) {
			v.N = 1
			return []event.Event{notice()}, no
		}); !errors.Is(err, no) {
			t.Errorf("got %v", err)
		}
		// The database refuses the second event: the row and the first must go with it.
		twice := notice()
		if err := s.UpdateThing(t.Context(), thing, func(v *store.Thing) ([]event.Event, error) {
			v.N = 1
			return []event.Event{twice, twice}, nil
		}); err == nil {
			t.Error("two events of one id were written")
		}
		if err := s.Exec(t.Context(), `INSERT INTO things (id, version, n) VALUES ('b', 1, 0)`); err != nil {
			t.Fatal(err)
		}
		if err := s.MoveThings(t.Context(), thing, "b", nil, func() ([]event.Event, error) { return []event.Event{notice()}, no }); !errors.Is(err, no) {
			t.Errorf("got %v", err)
		}
		if err := s.MoveThings(t.Context(), thing, "b", nil, func() ([]event.Event, error) { return []event.Event{twice, twice}, nil }); err == nil {
			t.Error("two events of one id were written")
		}
		count(t, s, 0, `SELECT count(*) FROM events`)
		count(t, s, 0, `SELECT count(*) FROM work`)
		count(t, s, 2, `SELECT count(*) FROM things WHERE n = 0 AND version = 1`)
	})
}

func TestARowIsMadeOnceWithItsEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		var made atomic.Int64
		for i, err := range race(16, func(int) error {
			ok, err := s.AddThing(t.Context(), "new", notice())
			if ok {
				made.Add(1)
			}
			return err
		}) {
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		}
		if made.Load() != 1 {
			t.Errorf("%d made it", made.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM events`)
	})
}

func TestTwoRowsChangeTogetherAndRacersLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		if err := s.Exec(t.Context(), `INSERT INTO things (id, version, n) VALUES ('b', 1, 0)`); err != nil {
			t.Fatal(err)
		}
		for i, err := range race(20, func(int) error {
			return s.MoveThings(t.Context(), thing, "b", nil, func() ([]event.Event, error) { return []event.Event{notice()}, nil })
		}) {
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		}
		count(t, s, 20, `SELECT n FROM things WHERE id = 'b'`)
		count(t, s, -20, `SELECT n FROM things WHERE id = $1`, thing)
		count(t, s, 20, `SELECT count(*) FROM events`)
		count(t, s, 20, `SELECT count(*) FROM work`)
	})
}

func TestADeadlockIsTriedAgain(t *testing.T) {
	s := storetest.Open(t, store.PostgreSQL, func(c *store.Config) {
		c.URL += "&deadlock_timeout=10ms" // a second otherwise
	})
	things(t, s)
	if err := s.Exec(t.Context(), `INSERT INTO things (id, version, n) VALUES ('b', 1, 0)`); err != nil {
		t.Fatal(err)
	}
	// Two that lock the same rows in opposite order, each holding its first when it asks for its second.
	var both sync.WaitGroup
	both.Add(2)
	for i, err := range race(2, func(i int) error {
		from, to := thing, "b"
		if i == 1 {
			from, to = to, from
		}
		meet := sync.OnceFunc(func() { both.Done(); both.Wait() })
		return s.MoveThings(t.Context(), from, to, meet, func() ([]event.Event, error) { return nil, nil })
	}) {
		if err != nil {
			t.Errorf("mover %d: %v", i, err)
		}
	}
	count(t, s, 0, `SELECT n FROM things WHERE id = 'b'`)
	count(t, s, 3, `SELECT version FROM things WHERE id = 'b'`)
}

func TestLockingAgainstTheOrderPanicsInTheCallersGoroutine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			s.LockBackwards(t.Context())
		}()
		if err := s.Ping(t.Context()); err != nil { // and the store goes on
			t.Error(err)
		}
	})
}

func TestOneChangeIsOneRoundTripOnPostgreSQL(t *testing.T) {
	var statements []string // one goroutine only
	tracing := false
	s := storetest.Open(t, store.PostgreSQL, func(c *store.Config) {
		c.Trace = func(sql string) {
			if tracing {
				statements = append(statements, sql)
			}
		}
	})
	things(t, s)
	texts := map[string]bool{}
	for n := range 4 { // none to three events: the text may not tell
		statements, tracing = nil, true
		if err := s.UpdateThing(t.Context(), thing, func(v *store.Thing) (events []event.Event, err error) {
			for range n {
				events = append(events, notice())
			}
			return events, nil
		}); err != nil {
			t.Fatal(err)
		}
		tracing = false
		if len(statements) != 2 { // the load and the change
			t.Errorf("%d events: %d statements: %q", n, len(statements), statements)
		}
		texts[statements[len(statements)-1]] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d different texts", len(texts))
	}
	count(t, s, 6, `SELECT count(*) FROM events`)
	count(t, s, 6, `SELECT count(*) FROM work`)
}

func TestAnEventComesBackAsItWasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		ctx := t.Context()
		e := event.New(noon, event.CodeSent, "system", "ada", "txn1", event.Unknown).With("kind", "email").Sealed("to", "a•••@example.org")
		e.Ref = "challenge1"
		staff := event.New(noon.Add(time.Second), event.MethodRemoved, "person:bob", "ada", "txn1", event.Success).Sealed("note", "called in")
		nobody := event.New(noon.Add(2*time.Second), event.AttemptStarted, "stranger", "", "txn2", event.Success).Sealed("from", "192.0.2.7")
		if err := s.UpdateThing(ctx, thing, func(*store.Thing) ([]event.Event, error) { return []event.Event{e, staff, nobody}, nil }); err != nil {
			t.Fatal(err)
		}
		got, err := s.Event(ctx, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != e.ID || !got.At.Equal(e.At) || got.Type != e.Type || got.Actor != e.Actor || got.Subject != e.Subject || got.Txn != e.Txn ||
			got.Ref != e.Ref || got.Outcome != e.Outcome || got.Data["kind"] != "email" || got.Private["to"] != "a•••@example.org" || string(got.Salt) != string(e.Salt) {
			t.Errorf("got %+v\nwant %+v", got, e)
		}
		of, err := s.EventsOf(ctx, "ada", "", 10)
		if err != nil || len(of) != 2 || of[0].ID != staff.ID || of[0].Private["note"] != "called in" {
			t.Errorf("events of ada: %+v, %v", of, err)
		}
		if older, err := s.EventsOf(ctx, "ada", staff.ID, 10); err != nil || len(older) != 1 || older[0].ID != e.ID {
			t.Errorf("older events of ada: %+v, %v", older, err)
		}
		if in, err := s.EventsIn(ctx, "txn2"); err != nil || len(in) != 1 || in[0].Private["from"] != "192.0.2.7" {
			t.Errorf("events in txn2: %+v, %v", in, err)
		}
		if _, err := s.Event(ctx, "none"); !fault.Is(err, fault.NotFound) {
			t.Errorf("no such event: got %v", err)
		}
		count(t, s, 3, `SELECT count(*) FROM person_keys WHERE person IN ('ada', 'bob', 'organisation')`)
		for _, canary := range []string{"example.org", "called in", "192.0.2.7"} {
			count(t, s, 0, `SELECT count(*) FROM events WHERE replace(data, $1, '') <> data`, canary)
		}
	})
}

func TestWithoutAKeyRingNothingPersonalIsWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		e := notice().Sealed("to", "ada@example.org")
		if err := s.UpdateThing(t.Context(), thing, func(*store.Thing) ([]event.Event, error) { return []event.Event{e}, nil }); err == nil {
			t.Error("written without a key")
		}
		if err := s.UpdateThing(t.Context(), thing, func(*store.Thing) ([]event.Event, error) { return []event.Event{notice()}, nil }); err != nil {
			t.Errorf("nothing personal in it: %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM events`)
	}, func(c *store.Config) { c.Ring = nil })
}

func TestOfTwoWhoMakeAPersonsKeyAtOnceBothGetTheOneThatStays(t *testing.T) {
	s := storetest.Open(t, store.PostgreSQL) // SQLite lets nobody write beside another
	var both sync.WaitGroup
	both.Add(2)
	keys := make([]keyring.PersonKey, 2)
	for i, err := range race(2, func(i int) (err error) {
		keys[i], err = s.LateKey(t.Context(), "ada", func() { both.Done(); both.Wait() })
		return err
	}) {
		if err != nil {
			t.Fatalf("maker %d: %v", i, err)
		}
	}
	for _, key := range keys {
		if _, err := keys[1].Open(key.Seal([]byte("x"), "t", "r", "c"), "t", "r", "c"); err != nil {
			t.Errorf("two keys: %v", err)
		}
	}
	count(t, s, 1, `SELECT count(*) FROM person_keys`)
}

func TestWhatWasSealedForAnErasedPersonStaysClosedAndTheRestReadable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		e := notice().Sealed("to", "ada@example.org")
		if _, err := s.AddThing(t.Context(), "1", e); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(t.Context(), `DELETE FROM person_keys WHERE person = 'ada'`); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := s.Event(t.Context(), e.ID)
			if err != nil || len(got.Private) != 0 || got.Type != e.Type {
				t.Errorf("got %+v, %v", got, err)
			}
			// The person comes back and gets another key, which does not open it either.
			if _, err := s.AddThing(t.Context(), "2", notice().Sealed("to", "new@example.org")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestKeysAreWrappedAnewOnlyIfTheyAreStillTheSame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		ctx := context.Background()
		for _, person := range []string{"b", "a", "B", "é"} {
			e := event.New(noon, event.CodeSent, "system", person, "txn", event.Success).Sealed("x", "y")
			if _, err := s.AddThing(ctx, person, e); err != nil {
				t.Fatal(err)
			}
		}
		rows, err := s.WrappedKeys(ctx, "", "another", 10)
		if err != nil {
			t.Fatal(err)
		}
		var people []string
		for _, r := range rows {
			people = append(people, r.Person)
		}
		if !slices.Equal(people, []string{"B", "a", "b", "é"}) {
			t.Fatalf("got %q, want them in bytewise order", people)
		}
		next, err := s.WrappedKeys(ctx, "B", "another", 1)
		if err != nil || len(next) != 1 || next[0].Person != "a" {
			t.Errorf("one after B: %v, %v", next, err)
		}
		a, b := rows[1], rows[2]
		if ok, err := s.ReplaceWrapped(ctx, "a", b.Key, a.Key); ok || err != nil {
			t.Errorf("replaced what was not stored: %v, %v", ok, err)
		}
		if ok, err := s.ReplaceWrapped(ctx, "a", a.Key, b.Key); !ok || err != nil {
			t.Errorf("not replaced: %v, %v", ok, err)
		}
	})
}
