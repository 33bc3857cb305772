package app

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/regain-id/regain/internal/store"
)

// rowSet is the rows that one request writes.
type rowSet struct {
	person string // the id of whom they are about
	tables []tableRows
}

// tableRows is what of them goes into one table.
type tableRows struct {
	name    string
	columns []string
	rows    [][]any
	insert  string
}

// asked is what a query answers.
type asked func(sql string) (rows [][]any, columns []string)

// onPostgres asks a PostgreSQL.
func onPostgres(tb testing.TB, database string) asked {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), database)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	return func(sql string) (all [][]any, columns []string) {
		tb.Helper()
		rows, err := conn.Query(tb.Context(), sql)
		if err != nil {
			tb.Fatal(err)
		}
		defer rows.Close()
		for _, f := range rows.FieldDescriptions() {
			columns = append(columns, f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, values)
		}
		if rows.Err() != nil {
			tb.Fatal(rows.Err())
		}
		return all, columns
	}
}

// onSQLite asks a SQLite.
func onSQLite(tb testing.TB, db *sql.DB) asked {
	return func(query string) (all [][]any, columns []string) {
		tb.Helper()
		rows, err := db.QueryContext(tb.Context(), query)
		if err != nil {
			tb.Fatal(err)
		}
		defer rows.Close()
		if columns, err = rows.Columns(); err != nil {
			tb.Fatal(err)
		}
		for rows.Next() {
			values, to := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				to[i] = &values[i]
			}
			if err := rows.Scan(to...); err != nil {
				tb.Fatal(err)
			}
			all = append(all, values)
		}
		if rows.Err() != nil {
			tb.Fatal(rows.Err())
		}
		return all, columns
	}
}

// tablesOf name every table of a database.
var tablesOf = map[store.Kind]string{
	store.PostgreSQL: `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`,
	store.SQLite:     `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'`,
}

// rowsOf finds out which rows a request adds by looking at every table before and after: nobody can forget one that a later
// migration brings.
func rowsOf(tb testing.TB, kind store.Kind, ask asked, request func() string) *rowSet {
	tb.Helper()
	tables, _ := ask(tablesOf[kind])
	before := map[string][][]any{}
	for _, t := range tables {
		before[t[0].(string)], _ = ask(`SELECT * FROM ` + t[0].(string))
	}
	set := &rowSet{person: request()}
	for name, was := range before {
		now, columns := ask(`SELECT * FROM ` + name)
		if len(now) <= len(was) {
			continue
		}
		t := tableRows{name: name, columns: columns}
		for _, row := range now {
			if text := fmt.Sprint(row); !slices.ContainsFunc(was, func(old []any) bool { return fmt.Sprint(old) == text }) {
				t.rows = append(t.rows, row)
			}
		}
		if len(t.rows) != len(now)-len(was) {
			tb.Fatalf("%s: rows were changed meanwhile", name)
		}
		var groups []string
		n := 0
		for range t.rows {
			var holders []string
			for range columns {
				n++
				holders = append(holders, fmt.Sprintf("$%d", n))
			}
			groups = append(groups, "("+strings.Join(holders, ", ")+")")
		}
		t.insert = `INSERT INTO ` + name + ` (` + strings.Join(columns, ", ") + `) VALUES ` + strings.Join(groups, ", ")
		set.tables = append(set.tables, t)
	}
	slices.SortFunc(set.tables, func(x, y tableRows) int { // what others refer to comes first
		if (x.name == "people") != (y.name == "people") {
			return map[bool]int{true: -1, false: 1}[x.name == "people"]
		}
		return strings.Compare(x.name, y.name)
	})
	for _, t := range set.tables {
		tb.Logf("a POST writes %d of %s", len(t.rows), t.name)
	}
	if len(set.tables) < 3 || set.tables[0].name != "people" {
		tb.Fatal("a user is a row of people, one they are found by and an event at least")
	}
	return set
}

// renamed is a value of these rows as another person has it; own is the id of a row of which only the person's is known.
func (s *rowSet) renamed(column string, v any, person, number string, own func() string) any {
	text, ok := v.(string)
	switch {
	case !ok:
		return v
	case text == s.person:
		return person
	case column == "id":
		return own()
	}
	return strings.ReplaceAll(text, pattern, number)
}

func (s *rowSet) pool(tb testing.TB, database string, connections int) *pgxpool.Pool {
	tb.Helper()
	c, err := pgxpool.ParseConfig(database)
	if err != nil {
		tb.Fatal(err)
	}
	c.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// write is the least that can write those rows durably: a batch is a transaction and one round trip.
func (s *rowSet) write(ctx context.Context, pool *pgxpool.Pool, i int) error {
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	person, number := newID(), numbered(i)
	var batch pgx.Batch
	for _, t := range s.tables {
		args := make([]any, 0, len(t.rows)*len(t.columns))
		for _, row := range t.rows {
			for c, v := range row {
				args = append(args, s.renamed(t.columns[c], v, person, number, newID))
			}
		}
		batch.Queue(t.insert, args...)
	}
	return pool.SendBatch(ctx, &batch).Close()
}

// copyAll writes the rows once for each number from first to last, as if so many people had been provisioned.
func (s *rowSet) copyAll(kind store.Kind, first, last int, exec func(sql string, args ...any) error) error {
	number, id := `printf('bench%07d', i)`, `printf('%s-%%012x', i)`
	from := fmt.Sprintf(`(WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n)`, first, last)
	if kind == store.PostgreSQL {
		number, id = `('bench' || lpad(i::text, 7, '0'))`, `('%s-' || lpad(to_hex(i), 12, '0'))`
		from = fmt.Sprintf(`generate_series(%d, %d) AS n (i)`, first, last)
	}
	person := fmt.Sprintf(id, "0198a000-0000-7000-8000")
	for k, t := range s.tables {
		for r, row := range t.rows {
			var args []any
			var values []string
			given := func(v any) string {
				args = append(args, v)
				holder := fmt.Sprintf("$%d", len(args))
				if kind == store.PostgreSQL { // where it stands says nothing of its type
					holder += map[string]string{"string": "::text", "int64": "::bigint", "bool": "::boolean", "[]uint8": "::bytea"}[fmt.Sprintf("%T", v)]
				}
				return holder
			}
			for c, v := range row {
				text, isText := v.(string)
				switch {
				case v == nil:
					values = append(values, "NULL")
				case text == s.person:
					values = append(values, person)
				case isText && t.columns[c] == "id":
					values = append(values, fmt.Sprintf(id, fmt.Sprintf("0198b%03x-%04x-7000-8000", k, r)))
				case strings.Contains(text, pattern):
					values = append(values, "replace("+given(text)+", '"+pattern+"', "+number+")")
				default:
					values = append(values, given(v))
				}
			}
			if err := exec(`INSERT INTO `+t.name+` (`+strings.Join(t.columns, ", ")+`) SELECT `+strings.Join(values, ", ")+` FROM `+from, args...); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	return nil
}
