// Package store keeps everything regain remembers, in PostgreSQL or in SQLite, and commits a change and its events
// together or not at all.
//
// The rules never see a transaction. A method that changes a row loads it, runs a pure function on it and writes it back
// guarded by its version, with the events and the work they bring along:
//
//	load row (no lock) ── change(row) → events ── one statement: UPDATE … WHERE id AND version
//	   ▲                                                         INSERT events, INSERT work
//	   └──────────── no row hit: somebody was faster ◄───────────┘       at most 5 times
//
// On PostgreSQL that is one data-modifying statement and one round trip; on SQLite one savepoint in the writer's next
// commit, which many callers share. What must change two rows at once locks them in the order person, attempt or session,
// method, challenge or enrolment, destination, brake. SQL is written once where the engines agree and as a named pair where they
// do not. It never asks for the time and never folds or orders people's text.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// Kind names an engine.
type Kind string

// The engines.
const (
	PostgreSQL Kind = "postgresql"
	SQLite     Kind = "sqlite"
)

// Config says which database to open and with what.
type Config struct {
	URL         string           // postgres://… or the path of a SQLite file, made if missing
	Now         func() time.Time // default time.Now
	Ring        *keyring.Ring    // seals what is personal; without one, what would have to be sealed is refused
	Log         *slog.Logger     // default: none
	Migrate     bool             // bring an older schema up to date first
	Connections int              // PostgreSQL: the pool, default 8, or pool_max_conns of the URL; SQLite: readers, default 4
	Trace       func(sql string) // is told the text of every statement before it runs; called concurrently
}

// Store is an open database. Safe for concurrent use.
type Store struct {
	db    engine
	now   func() time.Time
	ring  *keyring.Ring
	log   *slog.Logger
	wake  chan struct{}
	fresh bool
}

// The errors callers decide by.
var (
	ErrNewer = errors.New("the database was migrated by a newer regain")
	ErrOlder = errors.New("the database needs a migration")
	// ErrUnknown says that the connection was lost after a commit was sent: it may have happened or not.
	ErrUnknown = errors.New("the database did not say whether it committed")
	// ErrLease says that the lease on a row of work had ended and another worker may have it.
	ErrLease = errors.New("the lease on the work has ended")
)

// Open opens the database and checks its schema: ErrNewer when it is newer than this program, ErrOlder when it is older
// and Config.Migrate is not set. A new or empty database counts as older.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	kind, err := kindOf(c.URL)
	if err != nil {
		return nil, err
	}
	fresh, err := prepare(ctx, kind, c)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := &Store{now: c.Now, ring: c.Ring, log: c.Log, wake: make(chan struct{}, 1), fresh: fresh}
	switch kind {
	case PostgreSQL:
		s.db, err = openPostgres(ctx, c)
	case SQLite:
		s.db, err = openSQLite(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return s, nil
}

// kindOf tells a PostgreSQL address from the path of a file.
func kindOf(url string) (Kind, error) {
	scheme, _, found := strings.Cut(url, "://")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		return PostgreSQL, nil
	case found:
		return "", fmt.Errorf("database %s://…: want postgres://… or the path of a file", scheme)
	case url == "" || strings.HasPrefix(url, ":") || strings.HasPrefix(url, "file:"):
		// SQLite's own names for databases in memory would give every connection one of its own.
		return "", fmt.Errorf("database %q: want postgres://… or the path of a file", url)
	}
	return SQLite, nil
}

// Close ends all connections after what is under way.
func (s *Store) Close() error { return s.db.close() }

// Kind tells the engine.
func (s *Store) Kind() Kind { return s.db.kind() }

// Fresh reports whether this Open made the schema from nothing.
func (s *Store) Fresh() bool { return s.fresh }

// Ping shows that the database takes writes: it commits one that changes nothing of meaning. fault.Unavailable if not.
func (s *Store) Ping(ctx context.Context) error {
	return s.db.statement(ctx, func(t tx) error {
		_, err := t.exec(ctx, `UPDATE settings SET value = '' WHERE key = 'generation'`)
		return err
	})
}

// Wake receives a hint after each commit of this process that brought new work. One waiting worker gets it; it says
// nothing of other replicas, so workers poll as well.
func (s *Store) Wake() <-chan struct{} { return s.wake }

func (s *Store) hint() {
	select {
	case s.wake <- struct{}{}:
	default: // a hint is waiting already
	}
}

// unavailable marks an error after which nothing was changed and a later try may work.
func unavailable(err error) error {
	return fault.Wrap(fault.Unavailable, message.Key("error.unavailable"), err)
}

// marked reports whether an error needs no marking: there is none, it is a plain answer, or somebody who knew better
// has marked it.
func marked(err error) bool {
	_, is := errors.AsType[*fault.Error](err)
	return err == nil || is || errors.Is(err, sql.ErrNoRows)
}

// micros is how a time is stored: microseconds since 1970 UTC, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment is the time that micros stored.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
