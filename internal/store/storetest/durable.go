package storetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // database/sql's driver for the control

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

// Durable makes a fresh, migrated database for measuring, on a server that really syncs, and returns its address and a
// control: raw inserts one small row by the engine's plain driver in a commit of its own, which is the most durable
// writes a second this disk gives at this minute. raw is safe for concurrent use.
func Durable(tb testing.TB, kind store.Kind) (address string, raw func(context.Context) error) {
	tb.Helper()
	const table = `CREATE TABLE control (n INTEGER, text TEXT)`
	const insert = `INSERT INTO control (n, text) VALUES (1, 'a row of about the length of a small one')`
	if kind == store.SQLite {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "control.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1) // SQLite has one writer
		if _, err := db.Exec(table); err != nil {
			tb.Fatal(err)
		}
		return URL(tb, kind), func(ctx context.Context) error { _, err := db.ExecContext(ctx, insert); return err }
	}
	address = testserver.NewPostgres(tb, true).URL
	if err := migrate(address); err != nil {
		tb.Fatal(err)
	}
	pool, err := pgxpool.New(tb.Context(), address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	if _, err := pool.Exec(tb.Context(), table); err != nil {
		tb.Fatal(err)
	}
	return address, func(ctx context.Context) error { _, err := pool.Exec(ctx, insert); return err }
}

// Rate runs do from workers at once, n times in all, and returns how often a second.
func Rate(tb testing.TB, workers, n int, do func(ctx context.Context, i int) error) float64 {
	tb.Helper()
	next, errs := make(chan int), make(chan error, workers)
	start := time.Now()
	for range workers {
		go func() {
			var failed error
			for i := range next {
				if failed == nil {
					failed = do(tb.Context(), i)
				}
			}
			errs <- failed
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range workers {
		if err := <-errs; err != nil {
			tb.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// Ring returns the key ring that Open uses.
func Ring() *keyring.Ring { return ring() }
