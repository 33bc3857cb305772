package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/pkg/scim"
)

// Thing is a row that tests change the way every domain row is changed.
type Thing struct {
	ID      string
	Version int64
	N       int64
}

// MakeThings makes the table of things and one thing.
func (s *Store) MakeThings(ctx context.Context, id string) error {
	return s.Exec(ctx,
		`CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, n BIGINT NOT NULL)`,
		`CREATE TABLE marks (thing TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`,
		`INSERT INTO things (id, version, n) VALUES ('`+id+`', 1, 0)`)
}

// Exec runs statements, each in a commit of its own.
func (s *Store) Exec(ctx context.Context, sql ...string) error {
	for _, q := range sql {
		if err := s.db.statement(ctx, func(t tx) error { _, err := t.exec(ctx, q); return err }); err != nil {
			return err
		}
	}
	return nil
}

// Count returns the one number a query asks for.
func (s *Store) Count(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = s.db.queryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

func loadThing(id string) func(context.Context, reader) (Thing, error) {
	return func(ctx context.Context, r reader) (t Thing, err error) {
		err = r.queryRow(ctx, `SELECT id, version, n FROM things WHERE id = $1`, id).Scan(&t.ID, &t.Version, &t.N)
		return t, err
	}
}

func saveThing(t Thing) (change, error) {
	return change{
		first: statement(`UPDATE things SET n = $3, version = version + 1 WHERE id = $1 AND version = $2`, t.ID, t.Version, t.N),
		with: []stmt{
			statement(`INSERT INTO marks (thing, n) SELECT $1, $2 WHERE {hit} ON CONFLICT (thing) DO UPDATE SET n = excluded.n`, t.ID, t.N),
			moveGeneration(),
		},
	}, nil
}

// UpdateThing changes a thing the way UpdatePerson changes a person.
func (s *Store) UpdateThing(ctx context.Context, id string, change func(*Thing) ([]event.Event, error)) error {
	return update(ctx, s, loadThing(id), change, saveThing)
}

// AddThing makes a thing if there is none of that id, with an event; it reports whether it did.
func (s *Store) AddThing(ctx context.Context, id string, e event.Event) (bool, error) {
	return s.commit(ctx, change{
		first:  statement(`INSERT INTO things (id, version, n) VALUES ($1, 1, 0) ON CONFLICT (id) DO NOTHING`, id),
		events: []event.Event{e},
	})
}

// MoveThings moves one from a thing to another in one transaction, the way two rows are changed together. between, unless
// nil, runs when the first row is locked and the second is not.
func (s *Store) MoveThings(ctx context.Context, from, to string, between func(), then func() ([]event.Event, error)) error {
	return s.transact(ctx, func(t tx) ([]event.Event, error) {
		for i, id := range []string{from, to} {
			if i == 1 && between != nil {
				between()
			}
			var n int64
			lock := t.lock([]lockable{lockPerson, lockAttempt}[i])
			if err := t.queryRow(ctx, `SELECT n FROM things WHERE id = $1`+lock, id).Scan(&n); err != nil {
				return nil, err
			}
			if _, err := t.exec(ctx, `UPDATE things SET n = $2, version = version + 1 WHERE id = $1`, id, n+[]int64{-1, 1}[i]); err != nil {
				return nil, err
			}
		}
		return then()
	})
}

// LockBackwards locks against the order.
func (s *Store) LockBackwards(ctx context.Context) error {
	return s.db.write(ctx, func(t tx) error {
		t.lock(lockAttempt)
		t.lock(lockPerson)
		return nil
	})
}

// RunAll runs statements in one write, and fails it when told to.
func (s *Store) RunAll(ctx context.Context, then func() error, sql ...string) error {
	return s.db.write(ctx, func(t tx) error {
		for _, q := range sql {
			if _, err := t.exec(ctx, q); err != nil {
				return err
			}
		}
		return then()
	})
}

// HoldWriter keeps SQLite's writer busy until release is closed, so that what comes meanwhile shares one commit.
func (s *Store) HoldWriter(ctx context.Context, busy chan<- struct{}, release <-chan struct{}) error {
	return s.db.write(ctx, func(tx) error { close(busy); <-release; return nil })
}

// Waiting is how many closures wait for SQLite's writer.
func (s *Store) Waiting() int { return len(s.db.(*sqliteDB).writer.queue) }

// lateTx lets a test do something after the first answer and before what follows from it.
type lateTx struct {
	tx
	between func()
}

func (t *lateTx) queryRow(ctx context.Context, sql string, args ...any) scanner {
	return lateRow{t, t.tx.queryRow(ctx, sql, args...)}
}

type lateRow struct {
	t   *lateTx
	row scanner
}

func (r lateRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	if r.t.between != nil {
		r.t.between()
		r.t.between = nil
	}
	return err
}

// LateKey gets or makes a person's key as a change does; between runs when it has looked whether there is one.
func (s *Store) LateKey(ctx context.Context, person string, between func()) (key keyring.PersonKey, err error) {
	err = s.db.write(ctx, func(t tx) (err error) {
		key, err = s.personKeyIn(ctx, &lateTx{t, between}, person)
		return err
	})
	return key, err
}

// KeptTables are the tables whose rows are kept of somebody deleted, with their columns.
func KeptTables() (out [][2]string) {
	for _, k := range keptTables {
		out = append(out, [2]string{k.name, k.columns})
	}
	return out
}

// Columns are the columns of every table, as the database has them.
func (s *Store) Columns(ctx context.Context) (map[string][]string, error) {
	sql := `SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'`
	if s.Kind() == SQLite {
		sql = `SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'`
	}
	all := map[string][]string{}
	err := s.db.query(ctx, func(row scanner) error {
		var table, column string
		err := row.Scan(&table, &column)
		all[table] = append(all[table], column)
		return err
	}, sql)
	return all, err
}

// RowsOf are all rows of a person that are kept, as text.
func (s *Store) RowsOf(ctx context.Context, person string) (map[string][]string, error) {
	out := map[string][]string{}
	err := s.db.write(ctx, func(t tx) error {
		kept, err := keepRows(ctx, t, person)
		for table, rows := range kept {
			for _, row := range rows.Rows {
				text, _ := json.Marshal(row)
				out[table] = append(out[table], string(text))
			}
			slices.Sort(out[table])
		}
		return err
	})
	return out, err
}

// WithoutKept runs fn as a version would that does not know a column of a kept table yet.
func (s *Store) WithoutKept(_ context.Context, table, column string, fn func() error) error {
	for i := range keptTables {
		if k := &keptTables[i]; k.name == table {
			was := k.columns
			k.columns = strings.Join(slices.DeleteFunc(k.names(), func(name string) bool { return name == column }), ", ")
			defer func() { k.columns = was }()
		}
	}
	return fn()
}

// PageSQL is the statement that reads a page of people, groups or methods.
func (s *Store) PageSQL(of, connector string, q *scim.Query) (sql string, args []any) {
	l := map[string]listing{"people": peopleList, "groups": groupsList, "methods": methodsList}[of]
	return l.plan(s.Kind(), connector, q).whole()
}

// Load fills tables by statements that may take longer than one of ours. On PostgreSQL indexes that are no constraints are
// built afterwards, and references are believed.
func (s *Store) Load(ctx context.Context, tables, insert []string) error {
	p, ok := s.db.(*postgres)
	if !ok {
		return s.Exec(ctx, insert...)
	}
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, `SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = ANY ($1)
		AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = (schemaname || '.' || indexname)::regclass)`, tables)
	if err != nil {
		return err
	}
	run := []string{`SET statement_timeout = 0`, `SET session_replication_role = replica`, `SET maintenance_work_mem = '128MB'`}
	var build []string
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			return err
		}
		run, build = append(run, `DROP INDEX `+name), append(build, definition)
	}
	if rows.Err() != nil {
		return rows.Err()
	}
	run = slices.Concat(run, insert, build, []string{`VACUUM (ANALYZE) ` + strings.Join(tables, ", "),
		`RESET statement_timeout`, `RESET session_replication_role`, `RESET maintenance_work_mem`})
	for _, q := range run {
		if _, err := conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// KeptCompiled is how many statements of lists SQLite keeps compiled.
func (s *Store) KeptCompiled() int {
	l := s.db.(*sqliteDB).lately
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.by)
}
