package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// sqliteDB is the embedded engine: one process, one connection that writes and a few that read beside it.
type sqliteDB struct {
	sqliteReader
	readers *sql.DB
	lately  *lately
	writer  *writer
}

// What every connection is told. synchronous=FULL: what was acknowledged survives a power cut. secure_delete: what is
// deleted, an erased person's key above all, is overwritten and not just forgotten. The cache is in KiB.
var pragmas = []string{"busy_timeout(5000)", "synchronous(FULL)", "foreign_keys(1)",
	"secure_delete(1)", "temp_store(MEMORY)", "trusted_schema(0)", "journal_size_limit(67108864)"}

const (
	readerCache = "cache_size(-8192)"
	writerCache = "cache_size(-16384)"
	logAhead    = "journal_mode(WAL)" // stays with the file once it is set
)

// sqliteName is the driver's name for a database file and how it is opened.
func sqliteName(path string, options ...string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	query := url.Values{"_pragma": pragmas, "_dqs": {"0"}, "_defensive": {"1"}}
	for _, o := range options {
		if o == "_query_only" {
			query.Set(o, "1")
		} else if o == "_txlock" {
			query.Set(o, "immediate")
		} else {
			query["_pragma"] = append(query["_pragma"][:len(query["_pragma"]):len(query["_pragma"])], o)
		}
	}
	return (&url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: query.Encode()}).String(), nil
}

// makeFile makes an empty database that only its owner may read; SQLite gives its side files the same rights.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func openSQLite(ctx context.Context, c Config) (*sqliteDB, error) {
	if c.Connections == 0 {
		c.Connections = 4
	}
	name, err := sqliteName(c.URL, readerCache, "_query_only")
	if err != nil {
		return nil, err
	}
	readers, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(c.Connections)
	readers.SetMaxIdleConns(c.Connections)
	w, err := openWriter(ctx, c)
	if err != nil {
		return nil, errors.Join(sqliteFault(err), readers.Close())
	}
	return &sqliteDB{sqliteReader{&prepared{db: readers, trace: c.Trace}}, readers, &lately{db: readers}, w}, nil
}

func (d *sqliteDB) kind() Kind { return SQLite }

func (d *sqliteDB) close() error { return errors.Join(d.writer.close(), d.readers.Close()) }

func (d *sqliteDB) together(ctx context.Context, asks ...ask) error {
	for _, a := range asks {
		traced{trace: d.prepared().trace}.tell(a.sql)
		if err := d.lately.query(ctx, a); err != nil {
			return sqliteFault(err)
		}
	}
	return nil
}

func (d *sqliteDB) prepared() *prepared { return d.conn.(*prepared) }

// statement is write: a commit is shared by many callers anyway.
func (d *sqliteDB) statement(ctx context.Context, fn func(tx) error) error { return d.write(ctx, fn) }

func (d *sqliteDB) write(ctx context.Context, fn func(tx) error) error {
	return sqliteFault(d.writer.do(ctx, fn))
}

func (d *sqliteDB) guarded(ctx context.Context, c change, rows sealedRows) (hit bool, err error) {
	err = d.write(ctx, func(t tx) (err error) {
		hit, err = c.eachStatement(ctx, t, rows)
		return err
	})
	return hit, err
}

// sqliteConn is what readers, the writer's connection and a transaction have in common.
type sqliteConn interface {
	QueryContext(ctx context.Context, sql string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, sql string, args ...any) *sql.Row
	ExecContext(ctx context.Context, sql string, args ...any) (sql.Result, error)
}

type sqliteReader struct{ conn sqliteConn }

func (r sqliteReader) queryRow(ctx context.Context, sql string, args ...any) scanner {
	return sqliteRow{r.conn.QueryRowContext(ctx, sql, args...)}
}

type sqliteRow struct{ row *sql.Row }

func (r sqliteRow) Scan(dest ...any) error { return sqliteFault(r.row.Scan(dest...)) }

func (r sqliteReader) query(ctx context.Context, each func(scanner) error, sql string, args ...any) error {
	rows, err := r.conn.QueryContext(ctx, sql, args...)
	if err != nil {
		return sqliteFault(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return sqliteFault(rows.Err())
}

// traced tells of each statement before it runs.
type traced struct {
	conn  sqliteConn
	trace func(string)
}

func (c traced) tell(sql string) {
	if c.trace != nil {
		c.trace(sql)
	}
}

func (c traced) QueryContext(ctx context.Context, sql string, args ...any) (*sql.Rows, error) {
	c.tell(sql)
	return c.conn.QueryContext(ctx, sql, args...)
}

func (c traced) QueryRowContext(ctx context.Context, sql string, args ...any) *sql.Row {
	c.tell(sql)
	return c.conn.QueryRowContext(ctx, sql, args...)
}

func (c traced) ExecContext(ctx context.Context, sql string, args ...any) (sql.Result, error) {
	c.tell(sql)
	return c.conn.ExecContext(ctx, sql, args...)
}

// prepared keeps statements compiled: compiling one costs SQLite more than running it. Our texts are few and fixed.
type prepared struct {
	db interface {
		sqliteConn
		PrepareContext(ctx context.Context, sql string) (*sql.Stmt, error)
	}
	trace func(string)
	kept  sync.Map // text → *sql.Stmt, for as long as the database is open
}

func (p *prepared) compile(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := p.kept.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := p.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if first, lost := p.kept.LoadOrStore(text, s); lost {
		return first.(*sql.Stmt), s.Close()
	}
	return s, nil
}

func (p *prepared) tell(sql string) { traced{trace: p.trace}.tell(sql) }

func (p *prepared) QueryContext(ctx context.Context, sql string, args ...any) (*sql.Rows, error) {
	p.tell(sql)
	s, err := p.compile(ctx, sql)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (p *prepared) QueryRowContext(ctx context.Context, sql string, args ...any) *sql.Row {
	p.tell(sql)
	s, err := p.compile(ctx, sql)
	if err != nil {
		return p.db.QueryRowContext(ctx, sql, args...) // a sql.Row can only be had with its error from here
	}
	return s.QueryRowContext(ctx, args...)
}

func (p *prepared) ExecContext(ctx context.Context, sql string, args ...any) (sql.Result, error) {
	p.tell(sql)
	s, err := p.compile(ctx, sql)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// sqliteCode is SQLite's result code without its extension, 0 for other errors.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// sqliteFault marks an error for the callers: the disk is full or broken, the file is gone or held by another process.
func sqliteFault(err error) error {
	if marked(err) || errors.Is(err, ErrUnknown) {
		return err
	}
	switch sqliteCode(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_INTERRUPT:
		return unavailable(fmt.Errorf("sqlite %s: %w", strconv.Itoa(sqliteCode(err)), err))
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sql.ErrConnDone) {
		return unavailable(err)
	}
	return err
}
