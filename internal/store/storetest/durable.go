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

// Control is what the engine's plain driver does on this machine at this minute, to measure against. It is safe for
// concurrent use.
type Control struct {
	Write func(context.Context) error // inserts one small row in a commit of its own
	Read  func(context.Context) error // reads one small row by its key
}

// Durable makes a fresh, migrated database for measuring, on a server that really syncs, and returns its address and a control.
func Durable(tb testing.TB, kind store.Kind) (address string, raw Control) {
	tb.Helper()
	const table = `CREATE TABLE control (n INTEGER, text TEXT); CREATE TABLE control_kept (n INTEGER PRIMARY KEY, text TEXT);
		INSERT INTO control_kept (n, text) VALUES (1, 'a row of about the length of a small one')`
	const insert = `INSERT INTO control (n, text) VALUES (1, 'a row of about the length of a small one')`
	const look = `SELECT text FROM control_kept WHERE n = $1`
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
		return URL(tb, kind), Control{
			Write: func(ctx context.Context) error { _, err := db.ExecContext(ctx, insert); return err },
			Read:  func(ctx context.Context) error { return db.QueryRowContext(ctx, look, 1).Scan(new(string)) },
		}
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
	return address, Control{
		Write: func(ctx context.Context) error { _, err := pool.Exec(ctx, insert); return err },
		Read:  func(ctx context.Context) error { return pool.QueryRow(ctx, look, 1).Scan(new(string)) },
	}
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
