package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// count fails the test unless a query's one number is want.
func count(t *testing.T, s *store.Store, want int64, sql string, args ...any) {
	t.Helper()
	if got, err := s.Count(t.Context(), sql, args...); err != nil || got != want {
		t.Errorf("%s: got %d (%v), want %d", sql, got, err, want)
	}
}

// race runs fn n times at once and returns the errors.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = fn(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

func each(t *testing.T, fn func(t *testing.T, kind store.Kind)) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) { fn(t, kind) })
	}
}

func TestAnEmptyDatabaseIsRefusedUntilItIsMigrated(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		c := store.Config{URL: storetest.Empty(t, kind)}
		if s, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrOlder) {
			t.Fatalf("got %v, %v, want ErrOlder", s, err)
		}
		have, want, err := store.Versions(t.Context(), c)
		if have != 0 || want < 1 || err != nil {
			t.Fatalf("versions of an empty database: %d, %d, %v", have, want, err)
		}
		c.Migrate = true
		s := storetest.OpenConfig(t, c)
		if !s.Fresh() || s.Kind() != kind {
			t.Errorf("fresh %v, kind %q", s.Fresh(), s.Kind())
		}
		if again := storetest.OpenConfig(t, c); again.Fresh() {
			t.Error("a second open calls the database fresh")
		}
		if have, want, err = store.Versions(t.Context(), c); have != want || err != nil {
			t.Errorf("versions after migrating: %d, %d, %v", have, want, err)
		}
	})
}

func TestANewerSchemaIsRefusedEvenWhenAskedToMigrate(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		c := store.Config{URL: storetest.URL(t, kind)}
		if err := storetest.OpenConfig(t, c).Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`); err != nil {
			t.Fatal(err)
		}
		for _, c.Migrate = range []bool{false, true} {
			if s, err := store.Open(t.Context(), c); !errors.Is(err, store.ErrNewer) {
				t.Errorf("migrate %v: got %v, %v, want ErrNewer", c.Migrate, s, err)
			}
		}
	})
}

func TestReplicasThatMigrateAtOnceAllStart(t *testing.T) {
	each(t, func(t *testing.T, kind store.Kind) {
		c := store.Config{URL: storetest.Empty(t, kind), Migrate: true}
		for i, err := range race(4, func(int) error {
			s, err := store.Open(t.Context(), c)
			if err == nil {
				err = s.Close()
			}
			return err
		}) {
			if err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		}
	})
}

func TestAnAddressThatNamesNoDatabaseIsRefused(t *testing.T) {
	for _, url := range []string{"", ":memory:", "file::memory:", "mysql://x/y", "sqlite://x"} {
		if s, err := store.Open(t.Context(), store.Config{URL: url}); err == nil {
			t.Errorf("%q: got %v, want an error", url, s)
		}
	}
}

func TestAPasswordInTheAddressIsInNoError(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@127.0.0.1:bad/x", "postgres://u:hunter2@127.0.0.1:1/x?sslmode=nonsense"} {
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestASQLiteFileAndItsSideFilesAreForTheirOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder? with #odd &names", "regain.db")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	s := storetest.OpenConfig(t, store.Config{URL: path, Migrate: true})
	if err := s.SetSetting(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("got %v, %v, want the file and its log", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

func TestADatabaseThatIsDownIsUnavailableAndComesBack(t *testing.T) {
	server := testserver.NewPostgres(t, false)
	s := storetest.OpenConfig(t, store.Config{URL: server.URL, Migrate: true})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.Crash(t)
	if _, err := s.Generation(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a read: got %v, want unavailable", err)
	}
	if err := s.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a write: got %v, want unavailable", err)
	}
	if ok, _, err := s.Spend(t.Context(), noon, bucket("k", 5, time.Hour)); ok || err == nil {
		t.Errorf("a limit: got %v, %v, want an error", ok, err)
	}
	server.Start(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestSettingsMoveTheGenerationInTheSameCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		before, err := s.Generation(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if v, found, err := s.Setting(ctx, "colour"); v != "" || found || err != nil {
			t.Errorf("a setting never set: %q, %v, %v", v, found, err)
		}
		for i, err := range race(16, func(int) error { return s.SetSetting(ctx, "colour", "green") }) {
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		}
		if v, found, err := s.Setting(ctx, "colour"); v != "green" || !found || err != nil {
			t.Errorf("got %q, %v, %v", v, found, err)
		}
		if after, err := s.Generation(ctx); after != before+16 || err != nil {
			t.Errorf("generation %d → %d (%v), want 16 more", before, after, err)
		}
		count(t, s, before+16, `SELECT generation FROM settings WHERE key = 'colour'`)
	})
}

func TestAStampOnceSetIsNotReplaced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		if stamp, err := s.Stamp(ctx); stamp != "" || err != nil {
			t.Errorf("before: %q, %v", stamp, err)
		}
		for range 2 {
			if err := s.SetStamp(ctx, "demo"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.SetStamp(ctx, "serve"); !fault.Is(err, fault.Conflict) {
			t.Errorf("another stamp: got %v, want a conflict", err)
		}
		if stamp, err := s.Stamp(ctx); stamp != "demo" || err != nil {
			t.Errorf("after: %q, %v", stamp, err)
		}
	})
}

func TestTheSkewOfTheDatabaseClockIsMeasured(t *testing.T) {
	s := storetest.Open(t, store.PostgreSQL, func(c *store.Config) {
		c.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	})
	skew, err := s.ClockSkew(t.Context())
	if err != nil || (skew-time.Hour).Abs() > 5*time.Second {
		t.Errorf("got %s, %v, want about an hour", skew, err)
	}
	if skew, err := storetest.Open(t, store.SQLite).ClockSkew(t.Context()); skew != 0 || err != nil {
		t.Errorf("SQLite: got %s, %v", skew, err)
	}
}

func TestTheTraceSeesEveryStatement(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		mu.Lock()
		seen = nil
		mu.Unlock()
		if _, err := s.Generation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.SetSetting(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.EventsIn(t.Context(), "txn"); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		all := strings.ToLower(strings.Join(seen, "\n"))
		for _, want := range []string{"select generation", "begin", "update settings", "insert into settings", "commit", "from events"} {
			if !strings.Contains(all, want) {
				t.Errorf("no %q in\n%s", want, all)
			}
		}
	}, func(c *store.Config) {
		c.Trace = func(sql string) { mu.Lock(); seen = append(seen, sql); mu.Unlock() }
	})
}
