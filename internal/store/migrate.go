package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	lib "modernc.org/sqlite/lib"
)

// The schema grows by numbered files that both engines read. A file expands first: the code of the version before must
// run on it, for replicas are replaced one by one. What nobody uses any more goes in a later version.
//
//go:embed migrations/*.sql
var migrations embed.FS

// bytewise is PostgreSQL's way to compare a column's text byte by byte; it is SQLite's without saying.
const bytewise = "/*bytewise*/"

// Versions returns the version of the database's schema, 0 when it is empty, and the one this program knows.
func Versions(ctx context.Context, c Config) (have, want int64, err error) {
	kind, err := kindOf(c.URL)
	if err != nil {
		return 0, 0, err
	}
	err = withMigrator(ctx, kind, c, func(p *goose.Provider, db *sql.DB) error {
		have, want, err = versions(ctx, p, db)
		return err
	})
	return have, want, err
}

// prepare checks the schema and migrates it when asked to.
func prepare(ctx context.Context, kind Kind, c Config) (fresh bool, err error) {
	err = withMigrator(ctx, kind, c, func(p *goose.Provider, db *sql.DB) error {
		have, want, err := versions(ctx, p, db)
		switch {
		case err != nil:
			return err
		case have > want:
			return fmt.Errorf("%w: its schema is %d, this program knows %d", ErrNewer, have, want)
		case have < want && !c.Migrate:
			return fmt.Errorf("%w: its schema is %d, this program needs %d", ErrOlder, have, want)
		case have == want:
			return nil
		}
		fresh = have == 0
		return up(ctx, p, db)
	})
	return fresh, err
}

// up brings the schema up to date. Another process may be at it, too: on SQLite both may begin the same step, and whoever
// comes second fails in it. What counts is where the schema is, so it goes on from there.
func up(ctx context.Context, p *goose.Provider, db *sql.DB) error {
	for try := 0; ; try++ {
		_, err := p.Up(ctx)
		if err == nil {
			return nil
		}
		have, want, again := versions(ctx, p, db)
		switch {
		case again == nil && have == want:
			return nil
		case again != nil || try > len(p.ListSources()): // each step of the other may be met once
			return fmt.Errorf("migrate: %w", err)
		}
		if err := pause(ctx, min(try, maxTries)); err != nil {
			return err
		}
	}
}

func versions(ctx context.Context, p *goose.Provider, db *sql.DB) (have, want int64, err error) {
	for _, s := range p.ListSources() {
		want = max(want, s.Version)
	}
	// Not the provider's own question: it makes its table, and so would write to a database that is only looked at.
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+goose.DefaultTablename).Scan(&have)
	if err != nil && noTable(err) {
		return 0, want, nil
	}
	return have, want, err
}

// noTable reports whether an error says that the table does not exist.
func noTable(err error) bool {
	return sqlState(err) == "42P01" || sqliteCode(err) == 1 && strings.Contains(err.Error(), "no such table")
}

func withMigrator(ctx context.Context, kind Kind, c Config, fn func(*goose.Provider, *sql.DB) error) error {
	db, err := migrationDB(kind, c)
	if err != nil {
		return err
	}
	defer db.Close() // nothing is under way any more
	if err := reach(ctx, db); err != nil {
		if kind == PostgreSQL {
			return postgresFault(err, false)
		}
		return sqliteFault(err)
	}
	all, err := steps(kind)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(all...)}
	dialect := goose.DialectSQLite3
	if kind == PostgreSQL {
		dialect = goose.DialectPostgres
		// A row with a lease, not a lock of the session: poolers and clustered databases know none.
		locker, err := lock.NewPostgresTableLocker(lock.WithTableLockTimeout(250*time.Millisecond, 240))
		if err != nil {
			return err
		}
		options = append(options, goose.WithLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db, nil, options...)
	if err != nil {
		return err
	}
	return fn(p, db)
}

// reach connects. SQLite answers busy at once, its busy_timeout notwithstanding, while another process turns the file's
// write-ahead log on: then we try again for as long.
func reach(ctx context.Context, db *sql.DB) error {
	for try := 0; ; try++ {
		err := db.PingContext(ctx)
		if sqliteCode(err) != lib.SQLITE_BUSY || try == 100 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// migrationDB opens a connection of its own, because building an index may take longer than a statement may otherwise.
func migrationDB(kind Kind, c Config) (*sql.DB, error) {
	if kind == PostgreSQL {
		config, err := pgx.ParseConfig(c.URL)
		if err != nil {
			return nil, err
		}
		for name := range config.RuntimeParams {
			if strings.HasPrefix(name, "pool_") { // words of the pool, not of the server
				delete(config.RuntimeParams, name)
			}
		}
		config.RuntimeParams["application_name"] = "regain migrate"
		config.RuntimeParams["statement_timeout"] = "0"
		config.RuntimeParams["lock_timeout"] = "10s" // rather fail than queue up everybody behind us
		return stdlib.OpenDB(*config), nil
	}
	if err := makeFile(c.URL); err != nil {
		return nil, err
	}
	name, err := sqliteName(c.URL, logAhead, writerCache, "_txlock")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// steps reads the embedded files: NNNN_what.sql.
func steps(kind Kind) ([]*goose.Migration, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []*goose.Migration
	for _, name := range files {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version < 1 || version == math.MaxInt64 {
			return nil, errors.Join(fmt.Errorf("migration %s: want NNNN_what.sql", name), err)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		statements := string(text)
		if kind == PostgreSQL {
			statements = strings.ReplaceAll(statements, bytewise, `COLLATE "C"`)
		}
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, t *sql.Tx) error {
			_, err := t.ExecContext(ctx, statements)
			return err
		}}, nil))
	}
	return all, nil
}
