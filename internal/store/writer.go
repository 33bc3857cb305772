package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lib "modernc.org/sqlite/lib"
)

// SQLite makes one sync to disk a commit, and has one writer. So one goroutine owns the writing connection and lets
// everybody who waits into one commit, each in a savepoint of their own:
//
//	BEGIN IMMEDIATE ─ SAVEPOINT a, RELEASE ─ SAVEPOINT b, ROLLBACK TO ─ SAVEPOINT c, RELEASE ─ COMMIT ─ tell a, b, c
//
// Nobody hears of success before the commit.
type writer struct {
	db     *sql.DB
	conn   *sql.Conn
	sql    *prepared
	queue  chan *job
	closed chan struct{} // closed to end it
	ended  chan struct{} // closed when it has ended
	once   sync.Once
	err    error // of closing
}

const (
	maxGroup  = 64              // closures in one commit: bounds how long the first waits for the last
	maxQueue  = 512             // closures waiting; beyond, callers wait to be let in
	maxQueued = 5 * time.Second // how long a caller waits for its turn, as statement_timeout does on PostgreSQL
)

// job is one caller's closure. Its caller may give up only while it has not begun.
type job struct {
	fn    func(tx) error
	begun atomic.Bool // taken by the writer, or by the caller to give up
	done  chan error
	panic any
}

var errClosed = errors.New("the database is closed")

func openWriter(ctx context.Context, c Config) (*writer, error) {
	name, err := sqliteName(c.URL, writerCache)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &writer{db: db, conn: conn, sql: &prepared{db: conn, trace: c.Trace}, queue: make(chan *job, maxQueue), closed: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w, nil
}

// do runs fn in the next commit and returns when that is on disk, or fn's error. ctx counts until fn begins: a commit
// is shared, so no single caller may interrupt it. fn may run twice.
func (w *writer) do(ctx context.Context, fn func(tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, maxQueued)
	defer cancel()
	j := &job{fn: fn, done: make(chan error, 1)}
	select {
	case <-w.closed:
		return unavailable(errClosed)
	default:
	}
	select {
	case w.queue <- j:
	case <-ctx.Done():
		return waited(ctx)
	case <-w.closed:
		return unavailable(errClosed)
	}
	select {
	case err := <-j.done:
		return j.result(err)
	case <-ctx.Done():
	case <-w.ended:
	}
	if j.begun.CompareAndSwap(false, true) {
		if ctx.Err() != nil {
			return waited(ctx)
		}
		return unavailable(errClosed)
	}
	return j.result(<-j.done)
}

// waited tells that a caller's turn did not come in time.
func waited(ctx context.Context) error {
	return unavailable(fmt.Errorf("waiting to write: %w", ctx.Err()))
}

func (j *job) result(err error) error {
	if j.panic != nil {
		panic(j.panic)
	}
	return err
}

func (w *writer) close() error {
	w.once.Do(func() {
		close(w.closed)
		<-w.ended
		w.err = errors.Join(w.conn.Close(), w.db.Close())
	})
	return w.err
}

func (w *writer) run() {
	defer close(w.ended)
	for {
		select {
		case j := <-w.queue:
			w.commit(w.gather(j))
		case <-w.closed:
			for { // who was let in is served
				select {
				case j := <-w.queue:
					w.commit(w.gather(j))
				default:
					return
				}
			}
		}
	}
}

// gather adds everybody who is waiting already to the first, and leaves out who has given up.
func (w *writer) gather(first *job) []*job {
	var group []*job
	take := func(j *job) {
		if j.begun.CompareAndSwap(false, true) {
			group = append(group, j)
		}
	}
	take(first)
	for len(group) < maxGroup {
		select {
		case j := <-w.queue:
			take(j)
		default:
			return group
		}
	}
	return group
}

// errFrame tells that the transaction around the closures failed, so that none of them is to blame.
var errFrame = errors.New("the common transaction failed")

// commit runs a group in one transaction. When the transaction itself breaks before its commit, as SQLite rolls all of
// it back on a full disk, everybody tries once more alone.
func (w *writer) commit(group []*job) {
	if len(group) == 0 {
		return
	}
	errs, err := w.transaction(group)
	if errors.Is(err, errFrame) && len(group) > 1 {
		for _, j := range group {
			w.commit([]*job{j})
		}
		return
	}
	for i, j := range group {
		if err != nil {
			j.done <- err
		} else {
			j.done <- errs[i]
		}
	}
}

// transaction returns the error of each closure, or err when nothing of the group was committed, or not surely.
func (w *writer) transaction(group []*job) (errs []error, err error) {
	ctx := context.Background() // see do
	frame := func(sql string) error {
		if _, err := w.sql.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("%w: %s: %w", errFrame, sql, err)
		}
		return nil
	}
	if _, err := w.sql.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err // another process holds the file, or the disk is gone: no use trying one by one
	}
	defer func() {
		if err != nil {
			w.sql.ExecContext(ctx, "ROLLBACK") // fails when SQLite has rolled back by itself
		}
	}()
	errs = make([]error, len(group))
	for i, j := range group {
		if err := frame("SAVEPOINT one"); err != nil {
			return nil, err
		}
		if errs[i] = w.call(j); errs[i] != nil {
			if err := frame("ROLLBACK TO one"); err != nil {
				return nil, errors.Join(errs[i], err) // the closure's error tells what happened
			}
		}
		if err := frame("RELEASE one"); err != nil {
			return nil, err
		}
	}
	if _, err := w.sql.ExecContext(ctx, "COMMIT"); err != nil {
		if code := sqliteCode(err); code == lib.SQLITE_BUSY || code == lib.SQLITE_FULL {
			return nil, err // SQLite says that it did not commit
		}
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return errs, nil
}

// call runs one closure. A panic in it is the caller's and goes back there: the writer serves others too.
func (w *writer) call(j *job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			j.panic, err = p, errors.New("panic")
		}
	}()
	j.panic = nil
	return j.fn(&sqliteTx{sqliteReader: sqliteReader{w.sql}})
}

// sqliteTx is what a closure sees of the writing connection. It ignores the deadlines of statements: interrupting one
// would roll back everybody's.
type sqliteTx struct {
	sqliteReader
	lockOrder
}

func (t *sqliteTx) queryRow(ctx context.Context, sql string, args ...any) scanner {
	return t.sqliteReader.queryRow(context.WithoutCancel(ctx), sql, args...)
}

func (t *sqliteTx) query(ctx context.Context, each func(scanner) error, sql string, args ...any) error {
	return t.sqliteReader.query(context.WithoutCancel(ctx), each, sql, args...)
}

func (t *sqliteTx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	r, err := t.conn.ExecContext(context.WithoutCancel(ctx), sql, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// lock needs no clause: nobody else writes.
func (t *sqliteTx) lock(table lockable) string {
	t.next(table)
	return ""
}

func (t *sqliteTx) apart(ctx context.Context, fn func() error) (failed, err error) {
	failed, err = apart(ctx, t, &t.lockOrder, func(error) bool { return false }, fn)
	return sqliteFault(failed), err
}

func (t *sqliteTx) kind() Kind { return SQLite }
