package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres is the engine for production: many replicas on one database.
type postgres struct {
	postgresReader
	pool *pgxpool.Pool
}

// What every session promises the database, so that one stuck replica cannot hold up the rest. A URL may say otherwise.
var sessionDefaults = map[string]string{
	"statement_timeout":                   "5s",
	"lock_timeout":                        "2s",
	"idle_in_transaction_session_timeout": "10s",
	"application_name":                    "regain",
}

func openPostgres(ctx context.Context, c Config) (*postgres, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err // pgconn takes the password out of its errors
	}
	if c.Connections > 0 {
		config.MaxConns = int32(c.Connections)
	} else if !strings.Contains(c.URL, "pool_max_conns=") {
		config.MaxConns = 8
	}
	config.MaxConnLifetimeJitter = 5 * time.Minute
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	for name, value := range sessionDefaults {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	// Not for the URL to choose: our times are UTC and our retries are written for this isolation.
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.RuntimeParams["default_transaction_isolation"] = "read committed"
	if config.ConnConfig.ValidateConnect == nil { // after a failover the old primary may answer for a while
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.Trace != nil {
		config.ConnConfig.Tracer = postgresTrace(c.Trace)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, postgresFault(err, false)
	}
	return &postgres{postgresReader{pool}, pool}, nil
}

// postgresTrace is told of every statement the driver sends.
type postgresTrace func(sql string)

func (t postgresTrace) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t(data.SQL)
	return ctx
}

func (postgresTrace) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (t postgresTrace) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		t(q.SQL)
	}
	return ctx
}

func (postgresTrace) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (postgresTrace) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (p *postgres) kind() Kind { return PostgreSQL }

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

// postgresConn is what a pool and a transaction have in common.
type postgresConn interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// postgresReader runs reads outside any transaction, or inside that of a view.
type postgresReader struct{ conn postgresConn }

func (r postgresReader) queryRow(ctx context.Context, sql string, args ...any) scanner {
	return postgresRow{r.conn.QueryRow(ctx, sql, args...)}
}

// postgresRow marks errors of a read: nothing was changed, whatever happened.
type postgresRow struct{ row pgx.Row }

func (r postgresRow) Scan(dest ...any) error { return postgresFault(r.row.Scan(dest...), false) }

func (r postgresReader) query(ctx context.Context, each func(scanner) error, sql string, args ...any) error {
	return postgresFault(postgresQuery(ctx, r.conn, each, sql, args), false)
}

func postgresQuery(ctx context.Context, conn postgresConn, each func(scanner) error, sql string, args []any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// postgresTx leaves errors as the driver gives them: write judges them once.
type postgresTx struct {
	conn postgresConn
	lockOrder
}

func (t *postgresTx) queryRow(ctx context.Context, sql string, args ...any) scanner {
	return t.conn.QueryRow(ctx, sql, args...)
}

func (t *postgresTx) query(ctx context.Context, each func(scanner) error, sql string, args ...any) error {
	return postgresQuery(ctx, t.conn, each, sql, args)
}

func (t *postgresTx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := t.conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

func (t *postgresTx) lock(table lockable) string {
	t.next(table)
	return " FOR UPDATE"
}

// copyIn writes rows by COPY, each with the text of its own that belongs to it.
func (t *postgresTx) copyIn(ctx context.Context, name string, columns []string, rows [][]any, whose []string) error {
	i := 0
	_, err := t.conn.(pgx.Tx).CopyFrom(ctx, pgx.Identifier{name}, append(columns, "whose"), pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(rows) {
			return nil, nil
		}
		i++
		return append(rows[i-1], whose[i-1]), nil
	}))
	return err
}

func (t *postgresTx) apart(ctx context.Context, fn func() error) (failed, err error) {
	failed, err = apart(ctx, t, &t.lockOrder, brokenOff, fn)
	return postgresFault(failed, false), err
}

func (t *postgresTx) kind() Kind { return PostgreSQL }

func (p *postgres) together(ctx context.Context, asks ...ask) error {
	switch len(asks) {
	case 0:
		return nil
	case 1:
		return p.query(ctx, asks[0].each, asks[0].sql, asks[0].args...)
	}
	var batch pgx.Batch
	for _, a := range asks {
		batch.Queue(a.sql, a.args...).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				if err := a.each(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	return postgresFault(p.pool.SendBatch(ctx, &batch).Close(), false)
}

// statement runs one statement that is its own transaction: one round trip.
func (p *postgres) statement(ctx context.Context, fn func(tx) error) error {
	for try := 1; ; try++ {
		err := p.alone(ctx, fn)
		if try == maxTries || !brokenOff(err) {
			return postgresFault(err, true)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

func (p *postgres) alone(ctx context.Context, fn func(tx) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil { // by name, so that waiting in vain for a connection is not taken for an unknown outcome
		return unavailable(err)
	}
	defer conn.Release()
	return fn(&postgresTx{conn: conn})
}

func (p *postgres) write(ctx context.Context, fn func(tx) error) error {
	for try := 1; ; try++ {
		committing, err := p.once(ctx, fn)
		if err == nil {
			return nil
		}
		if try == maxTries || !(brokenOff(err) || !committing && sqlState(err) == "57P01") {
			return postgresFault(err, committing)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// once runs fn in one transaction. committing tells whether the commit may have reached the server when err is set.
func (p *postgres) once(ctx context.Context, fn func(tx) error) (committing bool, err error) {
	t, err := p.pool.Begin(ctx)
	if err != nil {
		return false, err
	}
	// After a commit this does nothing. The caller's context may have ended, and the connection is worth keeping.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		t.Rollback(ctx) // an error closes the connection, which rolls back too
	}()
	if err := fn(&postgresTx{conn: t}); err != nil {
		return false, err
	}
	return true, t.Commit(ctx)
}

// guarded runs the change as one statement: the first part's rows decide whether the others find anything to do.
func (p *postgres) guarded(ctx context.Context, c change, rows sealedRows) (hit bool, err error) {
	sql, args := c.oneStatement(rows)
	err = p.statement(ctx, func(t tx) error {
		var n int64
		if err := t.queryRow(ctx, sql, args...).Scan(&n); err != nil {
			return err
		}
		hit = n > 0
		return nil
	})
	return hit, err
}

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// brokenOff reports whether nothing happened and the same again may succeed: a serialization failure, a deadlock, or a
// connection that was lost before anything was sent.
func brokenOff(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01":
		return true
	}
	return err != nil && pgconn.SafeToRetry(err)
}

// postgresFault marks an error for the callers. sent tells that a commit, or a statement that commits by itself, may
// have reached the server: losing the connection then leaves the outcome open.
func postgresFault(err error, sent bool) error {
	if marked(err) {
		return err
	}
	if state := sqlState(err); state != "" {
		switch state[:2] {
		case "08", "53", "57": // connection, resources, operator: 57014 is the statement timeout
			return unavailable(err)
		}
		switch state {
		case "40001", "40P01", "55P03", "25006": // tried in vain, lock timeout, a standby
			return unavailable(err)
		}
		return err
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	if connecting || pgconn.SafeToRetry(err) {
		return unavailable(err)
	}
	if !lost(err) {
		return err
	}
	if sent {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return unavailable(err)
}

// lost reports whether the connection failed or the answer did not come in time.
func lost(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network
}
