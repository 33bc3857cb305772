package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// stmt is a statement with its arguments, $1 first.
type stmt struct {
	sql  string
	args []any
}

func statement(sql string, args ...any) stmt { return stmt{sql, args} }

// change is everything one guarded write does: all of it, or nothing when first touches no row.
type change struct {
	// first is an UPDATE of one row guarded by its version, or an INSERT … ON CONFLICT DO NOTHING, without RETURNING.
	// Empty means there is nothing to guard, and the rest is written anyhow.
	first stmt
	// with are further statements. Each names {hit} in its WHERE, which holds only when first touched a row. They see
	// the database as it was before first, and must touch different rows than first and than each other.
	with   []stmt
	events []event.Event
	jobs   []Job
}

// hit stands in the condition of statements that go with a first one.
const hit = "{hit}"

func (c change) isZero() bool {
	return c.first.sql == "" && len(c.with) == 0 && len(c.events) == 0 && len(c.jobs) == 0
}

// errStale is the cause of the conflict when others were faster five times in a row.
var errStale = errors.New("the row kept changing")

// maxReload is how often a change is tried on a row that others change meanwhile.
const maxReload = 5

// update loads a value, lets apply change it and writes what save makes of it together with apply's events. When
// somebody else was faster it starts again from load, at most 5 times, then returns fault.Conflict. apply may therefore
// run several times and has no side effects; when it returns an error nothing is written. A save that returns the zero
// change, with apply returning no events, writes nothing. save must not wait for the database.
func update[T any](ctx context.Context, s *Store, load func(context.Context, reader) (T, error), apply func(*T) ([]event.Event, error), save func(T) (change, error)) error {
	for try := 1; ; try++ {
		v, err := load(ctx, s.db)
		if err != nil {
			return err
		}
		events, err := apply(&v)
		if err != nil {
			return err
		}
		c, err := save(v)
		if err != nil {
			return err
		}
		c.events = append(c.events, events...)
		hit, err := s.commit(ctx, c)
		if err != nil || hit {
			return err
		}
		if try == maxReload {
			return fault.Wrap(fault.Conflict, message.Key("error.conflict"), errStale)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// commit writes a change and reports whether its first statement touched a row. A change without one always hits.
func (s *Store) commit(ctx context.Context, c change) (hit bool, err error) {
	if c.isZero() {
		return true, nil
	}
	rows, err := s.seal(ctx, c.events, c.jobs)
	if err != nil {
		return false, err
	}
	if hit, err = s.db.guarded(ctx, c, rows); hit && rows.work.urgent() {
		s.hint()
	}
	return hit, err
}

// transact runs fn in one transaction that may lock and change several rows, and commits the events it returns with
// them. fn may run more than once, as that of engine.write.
func (s *Store) transact(ctx context.Context, fn func(tx) ([]event.Event, error)) error {
	var brought bool
	err := s.db.write(ctx, func(t tx) error {
		events, err := fn(t)
		if err != nil {
			return err
		}
		rows, err := s.sealIn(ctx, t, events, nil)
		if err != nil {
			return err
		}
		brought = rows.work.urgent()
		return rows.insert(ctx, t)
	})
	if err == nil && brought {
		s.hint()
	}
	return err
}

// oneStatement joins the parts of a change into one data-modifying statement of PostgreSQL that returns how many rows
// first touched. Its text depends on the texts of the parts only, never on how many events there are.
func (c change) oneStatement(rows sealedRows) (string, []any) {
	var b strings.Builder
	var args []any
	part := func(name string, s stmt, end string) {
		if b.Len() == 0 {
			b.WriteString("WITH ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(name + " AS (")
		b.WriteString(strings.ReplaceAll(shift(s.sql, len(args)), hit, "EXISTS (SELECT 1 FROM hit)"))
		b.WriteString(end + ")")
		args = append(args, s.args...)
	}
	if c.first.sql == "" {
		part("hit", stmt{sql: "SELECT 1"}, "")
	} else {
		part("hit", c.first, " RETURNING 1")
	}
	for i, s := range c.with {
		part("with"+strconv.Itoa(i+1), s, "")
	}
	events, work := rows.postgres()
	part("events_too", events, "")
	part("work_too", work, "")
	b.WriteString(" SELECT count(*) FROM hit")
	return b.String(), args
}

// eachStatement runs the parts of a change one after the other, as SQLite does inside one savepoint.
func (c change) eachStatement(ctx context.Context, t tx, rows sealedRows) (bool, error) {
	if c.first.sql != "" {
		n, err := t.exec(ctx, c.first.sql, c.first.args...)
		if err != nil || n == 0 {
			return false, err
		}
	}
	for _, s := range c.with {
		if _, err := t.exec(ctx, strings.ReplaceAll(s.sql, hit, "TRUE"), s.args...); err != nil {
			return false, err
		}
	}
	return true, rows.insert(ctx, t)
}

// shift renumbers the placeholders of a statement that comes after n arguments. Our statements hold no $ otherwise.
func shift(sql string, n int) string {
	if n == 0 {
		return sql
	}
	var b strings.Builder
	for {
		at := strings.IndexByte(sql, '$')
		if at < 0 {
			return b.String() + sql
		}
		end := at + 1
		for end < len(sql) && sql[end] >= '0' && sql[end] <= '9' {
			end++
		}
		k, err := strconv.Atoi(sql[at+1 : end])
		if err != nil {
			panic(fmt.Sprintf("store: a $ that is no placeholder in %q", sql))
		}
		b.WriteString(sql[:at+1] + strconv.Itoa(k+n))
		sql = sql[end:]
	}
}
