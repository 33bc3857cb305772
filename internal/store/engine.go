package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
)

// scanner is one row of an answer. Scan of a single row returns sql.ErrNoRows when there is none.
type scanner interface {
	Scan(dest ...any) error
}

// reader runs statements that change nothing. Placeholders are $1, $2 … on both engines.
type reader interface {
	queryRow(ctx context.Context, sql string, args ...any) scanner
	// query calls each for every row of the answer and closes it. each must not run statements itself: on PostgreSQL
	// the connection is still busy with the answer.
	query(ctx context.Context, each func(scanner) error, sql string, args ...any) error
}

// tx is what a closure of write gets. It is good for the closure's time only and for one goroutine.
type tx interface {
	reader
	// exec returns how many rows the statement touched.
	exec(ctx context.Context, sql string, args ...any) (int64, error)
	// lock says that rows of a table are about to be locked, and returns the clause that does it. It panics when the
	// order person, attempt or session, method, challenge or enrolment, destination, brake is not kept, for two closures that
	// differ would deadlock.
	lock(table lockable) string
	// apart runs fn so that what it changed is taken back when it returns an error, which is failed; the transaction goes on.
	// err is set when it cannot. What fn locks counts for the order of locks only inside it: whoever runs several has locked
	// their people before.
	apart(ctx context.Context, fn func() error) (failed, err error)
	kind() Kind
}

// engine is one of the two databases.
type engine interface {
	reader
	kind() Kind
	// together asks several things at once: one round trip where there is one, and no transaction. Each sees what was
	// committed when it ran. The texts may be any number: none is kept for good.
	together(ctx context.Context, asks ...ask) error
	// statement runs fn, whose one statement commits by itself. (On SQLite fn may run more: they commit together.)
	statement(ctx context.Context, fn func(tx) error) error
	// write runs fn in a transaction and commits unless it returns an error. fn may run more than once, so it has no
	// side effects but those on the database, and what it sets outside it sets anew each time.
	write(ctx context.Context, fn func(tx) error) error
	// guarded runs a change whose parts apply only if its first statement hits a row.
	guarded(ctx context.Context, c change, rows sealedRows) (hit bool, err error)
	close() error
}

// ask is one of several questions that are asked together; each is called for every row of its answer.
type ask struct {
	sql  string
	args []any
	each func(scanner) error
}

// pair is a statement that has to be said differently on each engine.
type pair struct{ postgres, sqlite string }

// on returns the text for an engine.
func (p pair) on(k Kind) string {
	if k == PostgreSQL {
		return p.postgres
	}
	return p.sqlite
}

// lockable orders the tables whose rows are locked together.
type lockable int

const (
	lockPerson lockable = iota + 1
	lockAttempt
	lockMethod
	lockChallenge
	lockDestination
	lockBrake
)

// Sessions stand where attempts stand, and enrolments where challenges do: no closure locks both.
const (
	lockSession   = lockAttempt
	lockEnrolment = lockChallenge
)

// lockOrder checks that one transaction locks in one direction.
type lockOrder struct{ last lockable }

// apart runs fn in a savepoint. fatal tells which errors of fn the transaction does not outlive.
func apart(ctx context.Context, t tx, o *lockOrder, fatal func(error) bool, fn func() error) (failed, err error) {
	if _, err := t.exec(ctx, "SAVEPOINT apart"); err != nil {
		return nil, err
	}
	last := o.last
	failed = fn()
	o.last = last
	if failed != nil {
		if fatal(failed) {
			return nil, failed
		}
		if _, err := t.exec(ctx, "ROLLBACK TO SAVEPOINT apart"); err != nil {
			return nil, errors.Join(failed, err)
		}
	}
	_, err = t.exec(ctx, "RELEASE SAVEPOINT apart")
	return failed, err
}

func (o *lockOrder) next(table lockable) {
	if table < o.last {
		panic("store: rows are locked in the order person, attempt or session, method, challenge or enrolment, destination, brake")
	}
	o.last = table
}

// collect reads all rows of an answer.
func collect[T any](ctx context.Context, r reader, read func(scanner) (T, error), sql string, args ...any) ([]T, error) {
	var all []T
	err := r.query(ctx, func(row scanner) error {
		v, err := read(row)
		if err == nil {
			all = append(all, v)
		}
		return err
	}, sql, args...)
	return all, err
}

// maxTries is how often a transaction runs that the database broke off in favour of another.
const maxTries = 5

// pause waits a little before try number n, longer each time and never in step with a rival.
func pause(ctx context.Context, n int) error {
	wait := time.Duration(pick(uint64(2*time.Millisecond) << n))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

// pick returns a number below n, fairly enough for spreading load.
func pick(n uint64) uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) % n
}
