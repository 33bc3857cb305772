package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func put(t *testing.T, s *store.Store, jobs ...store.Job) {
	t.Helper()
	if err := s.Put(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, s *store.Store, now time.Time, n int, kinds ...string) []store.Work {
	t.Helper()
	work, err := s.Claim(t.Context(), now, "me", kinds, n, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return work
}

func TestWorkIsClaimedByExactlyOneOfManyWorkers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var jobs []store.Job
		for i := range 60 {
			jobs = append(jobs, store.Job{Kind: "code", Ref: fmt.Sprint(i)})
		}
		put(t, s, jobs...)
		var mu sync.Mutex
		owners := map[string]string{}
		for i, err := range race(16, func(i int) error {
			for {
				owner := fmt.Sprint("worker", i)
				work, err := s.Claim(t.Context(), noon, owner, []string{"code"}, 2, time.Minute)
				if err != nil || len(work) == 0 {
					return err
				}
				mu.Lock()
				for _, w := range work {
					if other, taken := owners[w.Ref]; taken {
						t.Errorf("%s was given to %s and to %s", w.Ref, other, owner)
					}
					owners[w.Ref] = owner
				}
				mu.Unlock()
			}
		}) {
			if err != nil {
				t.Errorf("worker %d: %v", i, err)
			}
		}
		// A worker may find everything locked just then and stop, so one more looks for what is left.
		for _, w := range claim(t, s, noon, 100, "code") {
			if _, taken := owners[w.Ref]; taken {
				t.Errorf("%s was given away twice", w.Ref)
			}
			owners[w.Ref] = "last"
		}
		if len(owners) != 60 {
			t.Errorf("%d of 60 were claimed", len(owners))
		}
	})
}

func TestClaimGivesWhatIsDueOldestFirstAndOfTheKindsAsked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		put(t, s,
			store.Job{Kind: "a", Ref: "second", NotBefore: noon.Add(-time.Minute)},
			store.Job{Kind: "b", Ref: "first", NotBefore: noon.Add(-time.Hour)},
			store.Job{Kind: "a", Ref: "later", NotBefore: noon.Add(time.Second)},
			store.Job{Kind: "ab", Ref: "other kind"},
			store.Job{Kind: "a", Ref: "third", NotBefore: noon},
		)
		var refs []string
		for _, w := range claim(t, s, noon, 10, "a", "b") {
			refs = append(refs, w.Ref)
			if w.Tries != 1 || w.Owner != "me" || !w.Lease.Equal(noon.Add(30*time.Second)) {
				t.Errorf("%+v", w)
			}
		}
		if fmt.Sprint(refs) != "[first second third]" {
			t.Errorf("got %q", refs)
		}
		if again := claim(t, s, noon, 10, "a", "b"); len(again) != 0 {
			t.Errorf("leased work was given away: %v", again)
		}
		if none := claim(t, s, noon, 10); len(none) != 0 {
			t.Errorf("no kinds: %v", none)
		}
	})
}

func TestAnEndedLeaseGivesTheWorkToAnotherAndFencesTheFirstOff(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		put(t, s, store.Job{Kind: "code", Ref: "1"})
		slow := claim(t, s, noon, 1, "code")[0]
		later := noon.Add(time.Minute)
		fast := claim(t, s, later, 1, "code") // under the same name: the number fences
		if len(fast) != 1 || fast[0].Tries != 2 {
			t.Fatalf("got %+v", fast)
		}
		for name, err := range map[string]error{
			"done":   s.Done(t.Context(), slow),
			"retry":  s.Retry(t.Context(), slow, later, "x"),
			"bury":   s.Bury(t.Context(), slow, later, "x"),
			"expand": s.Expand(t.Context(), slow, []store.Work{{Kind: "mail", Ref: "r"}}),
		} {
			if !errors.Is(err, store.ErrLease) {
				t.Errorf("%s without the lease: got %v", name, err)
			}
		}
		count(t, s, 1, `SELECT count(*) FROM work WHERE tries = 2 AND dead_at = 0`)
		if err := s.Done(t.Context(), fast[0]); err != nil {
			t.Fatal(err)
		}
		count(t, s, 0, `SELECT count(*) FROM work`)
		if err := s.Done(t.Context(), fast[0]); !errors.Is(err, store.ErrLease) {
			t.Errorf("done twice: got %v", err)
		}
	})
}

func TestWorkThatIsTooLateIsDroppedUnlessSomebodyIsAtIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		put(t, s, store.Job{Kind: "code", Ref: "at it", NotAfter: noon.Add(time.Second)})
		w := claim(t, s, noon, 1, "code")[0]
		put(t, s, store.Job{Kind: "code", Ref: "late", NotAfter: noon.Add(time.Second)}, store.Job{Kind: "code", Ref: "ever"})
		got := claim(t, s, noon.Add(time.Second), 10, "code")
		if len(got) != 1 || got[0].Ref != "ever" {
			t.Errorf("got %+v", got)
		}
		count(t, s, 2, `SELECT count(*) FROM work`)
		if err := s.Done(t.Context(), w); err != nil {
			t.Error(err)
		}
	})
}

func TestAnExpansionIsDoneOnceAndMayBeRepeated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		if _, err := s.AddThing(t.Context(), "x", notice()); err != nil {
			t.Fatal(err)
		}
		parent := claim(t, s, noon, 1, string(event.RouteNotice))[0]
		children := []store.Work{
			{Event: parent.Event, Kind: "mail", Ref: "m1", NotBefore: noon, NotAfter: parent.NotAfter},
			{Event: parent.Event, Kind: "mail", Ref: "m2", NotBefore: noon, NotAfter: parent.NotAfter},
		}
		// One child is there already, from a worker of an older version, say.
		if err := s.Exec(t.Context(), fmt.Sprintf(`INSERT INTO work (id, event, kind, ref, not_before, not_after, tries, lease_until, lease_owner, dead_at, last_error_class)
			VALUES ('there', '%s', 'mail', 'm2', 0, 0, 0, 0, '', 0, '')`, parent.Event)); err != nil {
			t.Fatal(err)
		}
		won := 0
		for _, err := range race(16, func(int) error { return s.Expand(t.Context(), parent, children) }) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, store.ErrLease):
				t.Errorf("got %v", err)
			}
		}
		if won != 1 {
			t.Errorf("expanded %d times", won)
		}
		count(t, s, 2, `SELECT count(*) FROM work`)
		count(t, s, 2, `SELECT count(*) FROM work WHERE kind = 'mail'`)
		if got := claim(t, s, noon, 10, "mail"); len(got) != 2 || got[0].Event != parent.Event {
			t.Errorf("got %+v", got)
		}
	})
}

func TestARetryWaitsAndADeadLetterStaysToBeSeen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		put(t, s, store.Job{Kind: "mail", Ref: "1"})
		w := claim(t, s, noon, 1, "mail")[0]
		if err := s.Retry(ctx, w, noon.Add(time.Minute), "smtp 451"); err != nil {
			t.Fatal(err)
		}
		if got := claim(t, s, noon.Add(59*time.Second), 1, "mail"); len(got) != 0 {
			t.Fatalf("too early: %+v", got)
		}
		w = claim(t, s, noon.Add(time.Minute), 1, "mail")[0]
		if w.Tries != 2 || w.Class != "smtp 451" {
			t.Errorf("got %+v", w)
		}
		if err := s.Bury(ctx, w, noon.Add(time.Minute), "smtp 550"); err != nil {
			t.Fatal(err)
		}
		if got := claim(t, s, noon.Add(time.Hour), 1, "mail"); len(got) != 0 {
			t.Fatalf("it is dead: %+v", got)
		}
		dead, err := s.DeadLetters(ctx)
		if err != nil || len(dead) != 1 || dead[0].Class != "smtp 550" || !dead[0].Dead.Equal(noon.Add(time.Minute)) {
			t.Fatalf("got %+v, %v", dead, err)
		}
		if ok, err := s.Revive(ctx, dead[0].ID, noon, noon.Add(time.Hour)); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w = claim(t, s, noon, 1, "mail")[0]
		if err := s.Bury(ctx, w, noon, "again"); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Forget(ctx, noon); n != 0 || err != nil {
			t.Errorf("forgot %d too young, %v", n, err)
		}
		if n, err := s.Forget(ctx, noon.Add(time.Second)); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
	})
}

func TestTheBacklogCountsWhatWaitsByKind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		put(t, s, store.Job{Kind: "mail", Ref: "leased", NotBefore: noon.Add(-4 * time.Hour)}, store.Job{Kind: "mail", Ref: "dead", NotBefore: noon.Add(-3 * time.Hour)})
		w := claim(t, s, noon, 2, "mail")
		if err := s.Bury(t.Context(), w[1], noon, "x"); err != nil {
			t.Fatal(err)
		}
		put(t, s, store.Job{Kind: "mail", Ref: "due", NotBefore: noon.Add(-2 * time.Hour)}, store.Job{Kind: "mail", Ref: "later", NotBefore: noon.Add(time.Hour)}, store.Job{Kind: "code", Ref: "later", NotBefore: noon.Add(time.Hour)})
		got, err := s.Backlog(t.Context(), noon)
		want := []store.Load{{Kind: "code", Later: 1}, {Kind: "mail", Due: 1, Later: 1, Leased: 1, Dead: 1, Oldest: noon.Add(-2 * time.Hour)}}
		if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestAJobWaitsOnlyOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for i, err := range race(16, func(int) error { return s.Put(t.Context(), store.Job{Kind: "resolve", Ref: "attempt1"}) }) {
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		}
		count(t, s, 1, `SELECT count(*) FROM work`)
	})
}

func TestNewWorkWakesAWorkerOfThisProcess(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		things(t, s)
		awake := func() bool {
			select {
			case <-s.Wake():
				return true
			default:
				return false
			}
		}
		if awake() {
			t.Error("woken by nothing")
		}
		quiet := event.New(noon, event.CodeSent, "system", "ada", "txn", event.Success)
		if _, err := s.AddThing(t.Context(), "1", quiet); err != nil || awake() {
			t.Error("woken by an event that brings no work", err)
		}
		if _, err := s.AddThing(t.Context(), "1", notice()); err != nil || awake() {
			t.Error("woken by a change that was not made", err)
		}
		if _, err := s.AddThing(t.Context(), "2", notice()); err != nil || !awake() {
			t.Error("not woken by an event that brings work", err)
		}
		if err := s.MoveThings(t.Context(), "1", "2", nil, func() ([]event.Event, error) { return []event.Event{notice()}, nil }); err != nil || !awake() {
			t.Error("not woken by a transaction that brings work", err)
		}
	})
}

func TestWhatIsHeldIsNotClaimed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two, three := id(), id(), id()
		for _, ref := range []string{one + " a", two + " a", three, "", "short"} {
			put(t, s, store.Job{Kind: "code", Ref: ref})
		}
		for _, test := range []struct {
			held []string
			want int
		}{{[]string{one, three}, 3}, {[]string{three}, 1}, {nil, 1}} {
			rows, err := s.Claim(t.Context(), noon, "me", []string{"code"}, 10, time.Minute, test.held...)
			if err != nil || len(rows) != test.want {
				t.Errorf("held %v: %d rows, %v; want %d", test.held, len(rows), err, test.want)
			}
		}
	})
}
