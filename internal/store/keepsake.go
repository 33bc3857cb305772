package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// keepsake is every row of somebody who is deleted, as it stood, by table. It is sealed under their own key,
// read back by nothing but an undo, and put back to the letter: nothing in it is judged anew, and nothing is added to it.
type keepsake map[string]keptRows

// keptRows are the rows of one table. Their columns are named, so that what was kept before a migration fits after it: a
// column that came since has its default.
type keptRows struct {
	Columns []string `json:"columns"`
	Rows    [][]cell `json:"rows"`
}

// cell is one value of a row; nothing set is NULL.
type cell struct {
	Text  *string `json:"t,omitempty"`
	Int   *int64  `json:"i,omitempty"`
	Bool  *bool   `json:"b,omitempty"`
	Bytes *[]byte `json:"x,omitempty"`
}

// keptTable is a table whose rows of a person are kept, by all their columns; a test holds the lists against the schema.
type keptTable struct {
	name, by, columns string
	also              string // a condition on the row that is put back; the row is left out when it does not hold
}

// keptTables are all tables with rows that go with a person, in the order they are put back. What others took meanwhile, such
// as an account in a directory, stays theirs; what stood on something that is gone stays gone.
var keptTables = []keptTable{
	{name: "people", by: "id", columns: `id, version, epoch, connector, external_id, user_name, user_name_key, active, display_name, display_name_key, given_name,
		given_name_key, family_name, family_name_key, language, emails, phones, attrs, hold_until, dispute, alerts, created, updated`},
	{name: "logins", by: "person", columns: `person, key`},
	{name: "contacts", by: "person", columns: `person, list, position, value, value_key, type_key, is_primary, ending`},
	{name: "methods", by: "person", columns: `id, version, person, kind, status, root_kind, root_id, sealed, destination, since, attribute, is_primary, uses, created,
		confirmed, usable_from, removed_at, last_used, last_step, failures, matures, leaves`},
	{name: "recovery_codes", by: "person", columns: `id, person, method, selector, hash, used`},
	{name: "links", by: "person", columns: `person, directory, ref, login, made`},
	{name: "identities", by: "person", columns: `idp, key, person, issuer, subject, made`},
	{name: "registrations", by: "person", columns: `person, snoozes, until, reviewed`},
	{name: "stream_subjects", by: "person", columns: `stream, person, made`, also: "EXISTS (SELECT 1 FROM streams WHERE id = $1)"},
	{name: "members", by: "member", columns: `grp, member, kind`, also: "EXISTS (SELECT 1 FROM groups WHERE id = $1)"},
}

// names are the columns, one by one.
func (k keptTable) names() []string {
	all := strings.Split(k.columns, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// keepRows reads all rows of a person.
func keepRows(ctx context.Context, t tx, person string) (keepsake, error) {
	kept := keepsake{}
	for _, table := range keptTables {
		width := len(table.names())
		rows, err := collect(ctx, t, func(row scanner) ([]cell, error) {
			values, to := make([]any, width), make([]any, width)
			for i := range values {
				to[i] = &values[i]
			}
			if err := row.Scan(to...); err != nil {
				return nil, err
			}
			cells := make([]cell, width)
			for i, v := range values {
				switch v := v.(type) {
				case nil:
				case string:
					cells[i].Text = &v
				case int64:
					cells[i].Int = &v
				case bool:
					cells[i].Bool = &v
				case []byte:
					cells[i].Bytes = &v
				default:
					return nil, fmt.Errorf("%s: a value of type %T", table.name, v)
				}
			}
			return cells, nil
		}, `SELECT `+table.columns+` FROM `+table.name+` WHERE `+table.by+` = $1`, person)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			kept[table.name] = keptRows{table.names(), rows}
		}
	}
	return kept, nil
}

func (c cell) value() any {
	switch {
	case c.Text != nil:
		return *c.Text
	case c.Int != nil:
		return *c.Int
	case c.Bool != nil:
		return *c.Bool
	case c.Bytes != nil:
		return *c.Bytes
	}
	return nil
}

// putBack writes the rows of a table where nobody has taken their place, and returns how many.
func (k keepsake) putBack(ctx context.Context, t tx, table keptTable) (n int64, err error) {
	kept := k[table.name]
	columns, known := kept.Columns, table.names()
	for _, name := range columns {
		if !slices.Contains(known, name) {
			return 0, fmt.Errorf("%s: column %q is not there any more", table.name, name)
		}
	}
	holders := make([]string, len(columns))
	for i := range holders {
		holders[i] = "$" + strconv.Itoa(i+1)
	}
	insert := `INSERT INTO ` + table.name + ` (` + strings.Join(columns, ", ") + `) `
	if table.also == "" {
		insert += `VALUES (` + strings.Join(holders, ", ") + `)`
	} else {
		insert += `SELECT ` + strings.Join(holders, ", ") + ` WHERE ` + table.also
	}
	insert += ` ON CONFLICT DO NOTHING`
	for _, row := range kept.Rows {
		if len(row) != len(columns) {
			return n, fmt.Errorf("%s: %d values for %d columns", table.name, len(row), len(columns))
		}
		args := make([]any, len(row))
		for i, c := range row {
			args[i] = c.value()
		}
		hit, err := t.exec(ctx, insert, args...)
		if err != nil {
			return n, err
		}
		n += hit
	}
	return n, nil
}

// sealKeepsake seals what is kept of a person; nil for nothing.
func (s *Store) sealKeepsake(ctx context.Context, t tx, person string, k keepsake) ([]byte, error) {
	if k == nil {
		return nil, nil
	}
	key, err := s.personKeyIn(ctx, t, person)
	if err != nil {
		return nil, err
	}
	return sealOwn(key, "departures", person, k)
}

// openKeepsake reads what was kept of a person.
func (s *Store) openKeepsake(ctx context.Context, t tx, person string, sealed []byte) (k keepsake, err error) {
	var wrapped []byte
	if err := t.queryRow(ctx, `SELECT wrapped FROM person_keys WHERE person = $1`, person).Scan(&wrapped); err != nil {
		return nil, err
	}
	err = private{table: "departures", row: person, person: person, sealed: sealed, wrapped: wrapped}.open(s.ring, &k)
	return k, err
}
