package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

// group keeps the writer busy until n closures wait, so that they share one commit.
func group(t *testing.T, s *store.Store, n int, fn func(i int) error) []error {
	t.Helper()
	busy, release := make(chan struct{}), make(chan struct{})
	held := make(chan error, 1)
	go func() { held <- s.HoldWriter(context.Background(), busy, release) }()
	<-busy
	go func() {
		for s.Waiting() < n {
			time.Sleep(time.Millisecond)
		}
		close(release)
	}()
	errs := race(n, fn)
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	return errs
}

func TestInACommonCommitOneThatFailsHarmsNobody(t *testing.T) {
	var commits int
	s := storetest.Open(t, store.SQLite, func(c *store.Config) {
		c.Trace = func(sql string) { // by the writer's goroutine alone, while nobody reads
			if sql == "COMMIT" {
				commits++
			}
		}
	})
	things(t, s)
	before := commits
	no := errors.New("no")
	panicked := 0
	errs := group(t, s, 30, func(i int) (err error) {
		defer func() {
			if recover() != nil {
				panicked++
				err = no
			}
		}()
		return s.RunAll(t.Context(), func() error {
			switch {
			case i == 7:
				panic("a bug in a closure")
			case i%3 == 0:
				return no
			}
			return nil
		}, fmt.Sprintf(`INSERT INTO things (id, version, n) VALUES ('%d', 1, 1)`, i))
	})
	for i, err := range errs {
		if want := i%3 == 0 || i == 7; (err != nil) != want || err != nil && !errors.Is(err, no) {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	if panicked != 1 {
		t.Errorf("%d callers saw the panic, want the one whose it was", panicked)
	}
	if n := commits - before; n != 2 {
		t.Errorf("%d commits, want one for the first and one for the 30 who waited", n)
	}
	count(t, s, 19, `SELECT count(*) FROM things WHERE n = 1`)
}

func TestAClosureThatBreaksTheCommonTransactionFailsAlone(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	things(t, s)
	errs := group(t, s, 10, func(i int) error {
		sql := fmt.Sprintf(`INSERT INTO things (id, version, n) VALUES ('%d', 1, 1)`, i)
		if i == 4 { // as SQLite does by itself on a full disk
			return s.RunAll(t.Context(), func() error { return errors.New("disk full") }, `ROLLBACK`)
		}
		return s.RunAll(t.Context(), func() error { return nil }, sql)
	})
	for i, err := range errs {
		if (err != nil) != (i == 4) {
			t.Errorf("closure %d: %v", i, err)
		}
	}
	count(t, s, 9, `SELECT count(*) FROM things WHERE n = 1`)
}

func TestWhoGivesUpWaitingHasWrittenNothing(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	things(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	errs := group(t, s, 3, func(i int) error {
		use := t.Context()
		if i == 1 {
			use = ctx
			go func() {
				for s.Waiting() < 2 {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
		}
		return s.RunAll(use, func() error { return nil }, fmt.Sprintf(`INSERT INTO things (id, version, n) VALUES ('%d', 1, 1)`, i))
	})
	// Cancelled before its turn or just after: the caller is told which.
	want := int64(3)
	if errs[1] != nil {
		want = 2
		if !errors.Is(errs[1], context.Canceled) || !fault.Is(errs[1], fault.Unavailable) {
			t.Errorf("got %v", errs[1])
		}
	}
	if errs[0] != nil || errs[2] != nil {
		t.Errorf("the others: %v, %v", errs[0], errs[2])
	}
	count(t, s, want, `SELECT count(*) FROM things WHERE n = 1`)
}

func TestAClosedStoreIsUnavailable(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := storetest.Open(t, kind)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFullDiskIsUnavailable(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	things(t, s)
	if err := s.Exec(t.Context(), `PRAGMA max_page_count = 1`); err != nil { // no page more than there are
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = s.SetSetting(t.Context(), fmt.Sprint(i), strings.Repeat("x", 4096))
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Generation(t.Context()); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
}

// TestChildWriter is no test: it is the process that the next test kills. It writes things with an event and work and
// says each id once it is acknowledged.
func TestChildWriter(t *testing.T) {
	url := os.Getenv("REGAIN_STORE_CHILD")
	if url == "" {
		t.Skip("started by TestAKilledWriterLosesNothingItAcknowledged only")
	}
	s, err := store.Open(context.Background(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	race(4, func(i int) error {
		for n := 0; ; n++ {
			id := fmt.Sprintf("%d-%d-%d", os.Getpid(), i, n)
			e := event.New(time.Now(), event.PasswordReset, "system", "ada", id, event.Success)
			if ok, err := s.AddThing(context.Background(), id, e); err != nil || !ok {
				fmt.Println("ERROR", err)
				return err
			}
			fmt.Println("ACK", id)
		}
	})
}

func TestAKilledWriterLosesNothingItAcknowledged(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			url := filepath.Join(t.TempDir(), "regain.db")
			if kind == store.PostgreSQL {
				url = testserver.NewPostgres(t, true).URL
			}
			s := storetest.OpenConfig(t, store.Config{URL: url, Migrate: true})
			things(t, s)
			var acks []string
			for range 3 {
				acks = append(acks, killWriter(t, url)...)
			}
			if len(acks) < 3*20 {
				t.Fatalf("only %d acknowledged", len(acks))
			}
			for _, id := range acks {
				if n, err := s.Count(t.Context(), `SELECT count(*) FROM things WHERE id = $1`, id); n != 1 || err != nil {
					t.Fatalf("%s was acknowledged and is not there: %d, %v", id, n, err)
				}
			}
			t.Logf("%d acknowledged", len(acks))
			// Nothing by halves: every thing has its event, every event its work.
			count(t, s, 1, `SELECT count(*) FROM things WHERE id NOT IN (SELECT txn FROM events)`) // the one things made
			count(t, s, 0, `SELECT count(*) FROM events WHERE txn NOT IN (SELECT id FROM things)`)
			count(t, s, 0, `SELECT count(*) FROM events WHERE id NOT IN (SELECT event FROM work)`)
			count(t, s, 0, `SELECT count(*) FROM work WHERE event NOT IN (SELECT id FROM events)`)
		})
	}
}

// killWriter lets a child write, kills it in the middle, and returns what it said was done.
func killWriter(t *testing.T, url string) (acks []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildWriter$", "-test.v")
	cmd.Env = append(os.Environ(), "REGAIN_STORE_CHILD="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	buffer, killed := make([]byte, 1<<12), false
	for {
		n, err := out.Read(buffer)
		all.Write(buffer[:n])
		if !killed && strings.Count(all.String(), "ACK") >= 40 {
			cmd.Process.Kill() // SIGKILL; it may have ended by itself, which the count of acks shows
			killed = true
		}
		if err != nil {
			break
		}
	}
	cmd.Wait() // killed
	if strings.Contains(all.String(), "ERROR") {
		t.Fatal(all.String())
	}
	for line := range strings.Lines(all.String()) {
		if id, ok := strings.CutPrefix(line, "ACK "); ok && strings.HasSuffix(id, "\n") {
			acks = append(acks, strings.TrimSpace(id))
		}
	}
	return acks
}
