package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
)

// The tables somebody who is created gets rows in.
var (
	peopleTable = tableOf("people", `id text, version bigint, epoch bigint, connector text, external_id text, user_name text, user_name_key text, active boolean,
		display_name text, display_name_key text, given_name text, given_name_key text, family_name text, family_name_key text, language text, emails text,
		phones text, attrs text, hold_until bigint, dispute text, alerts text, created bigint, updated bigint`)
	contactsTable = tableOf("contacts", `person text, list text, position bigint, value text, value_key text, type_key text, is_primary boolean, ending text`)
	loginsTable   = tableOf("logins", `person text, key text`)
	keysTable     = tableOf("person_keys", `person text, kek text, wrapped bytea, created bigint`)
	methodsTable  = tableOf("methods", `id text, person text, since bigint, version bigint, kind text, status text, root_kind text, root_id text, sealed bytea,
		destination bytea, attribute text, is_primary boolean, uses text, created bigint, confirmed bigint, usable_from bigint, removed_at bigint, last_used bigint,
		last_step bigint, failures bigint, matures bigint, leaves bigint`)
	eventsTable = tableOf("events", `id text, at bigint, type text, version bigint, actor text, subject text, txn text, ref text, outcome text, data text,
		sealed bytea, salt bytea`)

	userNameKey = slices.Index(peopleTable.names(), "user_name_key")

	// In the order they are written: the first must take a row for the others to get theirs.
	newcomerTables = []table{peopleTable, contactsTable, loginsTable, keysTable, methodsTable, eventsTable}
)

// newcomer is somebody who is to be created, as the rows of newcomerTables and of work.
type newcomer struct {
	id   string
	rows [][][]any
	work workRows
}

// name is what their user name is compared by.
func (n newcomer) name() string { return n.rows[0][0][userNameKey].(string) }

// newcomer makes rows of somebody with a new key. It gives the person and the methods ids where they have none, the first epoch
// and version 1.
func (s *Store) newcomer(ctx context.Context, p *account.Person, methods []method.Method, events []event.Event) (n newcomer, err error) {
	if p.ID == "" {
		p.ID = newID()
	}
	p.Version, p.Epoch = 1, max(p.Epoch, 1)
	if s.ring == nil {
		return n, errNoRing
	}
	person, err := personRow(p)
	if err != nil {
		return n, err
	}
	key, wrapped, err := s.ring.NewPersonKey(p.ID)
	if err != nil {
		return n, err
	}
	kek, err := keyring.SealedUnder(wrapped)
	if err != nil {
		return n, err
	}
	var contacts, logins, ways [][]any
	for _, c := range contactRows(p) {
		contacts = append(contacts, []any{p.ID, c.List, c.Position, c.Value, present(c.Key), present(c.Type), c.Primary, c.Ending})
	}
	for _, k := range loginKeys(p) {
		logins = append(logins, []any{p.ID, k})
	}
	for i := range methods {
		m := &methods[i]
		if m.ID == "" {
			m.ID = newID()
		}
		if m.Person != "" && m.Person != p.ID {
			return n, fmt.Errorf("method %s is of person %s, not %s", m.ID, m.Person, p.ID)
		}
		m.Person = p.ID
		*m = s.plainMethod(*m)
		row, err := s.methodRow(key, m)
		if err != nil {
			return n, err
		}
		m.Version = 1
		ways = append(ways, append([]any{m.ID, m.Person, micros(m.Created), 1}, row...))
	}
	told, err := s.rowsOf(events, nil, func(owner string) (keyring.PersonKey, error) {
		if owner == p.ID {
			return key, nil
		}
		return s.personKey(ctx, owner)
	})
	return newcomer{
		id: p.ID, work: told.work,
		rows: [][][]any{{append([]any{p.ID, 1}, person...)}, contacts, logins, {{p.ID, kek, wrapped, micros(s.now())}}, ways, told.table()},
	}, err
}

// table returns the rows of events one by one.
func (r sealedRows) table() (rows [][]any) {
	for i := range r.ids {
		var sealed any
		if r.sealed[i] != nil {
			sealed = r.sealed[i]
		}
		rows = append(rows, []any{r.ids[i], r.ats[i], r.types[i], dataVersion, r.actors[i], r.subjects[i], r.txns[i], r.refs[i], r.outcomes[i], r.data[i], sealed, r.salts[i]})
	}
	return rows
}

// rowsAtOnce is how many rows of a newcomer one statement writes on SQLite: each number is a text of its own to be kept.
const rowsAtOnce = 4

// insertTexts are the statements that write so many rows, made once.
var insertTexts = func() (texts [][]string) {
	for _, table := range newcomerTables {
		of := []string{""}
		for n := 1; n <= rowsAtOnce; n++ {
			of = append(of, table.insertRows(n))
		}
		texts = append(texts, of)
	}
	return texts
}()

// insert writes a newcomer inside a transaction, a few rows at once.
func (n newcomer) insert(ctx context.Context, t tx) error {
	for i := range newcomerTables {
		for some := range slices.Chunk(n.rows[i], rowsAtOnce) {
			args := some[0]
			if len(some) > 1 {
				args = slices.Concat(some...)
			}
			if _, err := t.exec(ctx, insertTexts[i][len(some)], args...); err != nil {
				return err
			}
		}
	}
	return n.work.insert(ctx, t)
}

// created is the condition under which the rows that go with a person are written.
const created = `v.whose IN (SELECT id FROM fresh)`

// insertAll is the one statement of PostgreSQL that writes newcomers, and returns the ids of those it wrote. It fails on the
// first who is there already, or passes over them.
func insertAll(all []newcomer, passOver bool) (string, []any) {
	var args []any
	sql := writeAll(passOver, func(i int, condition string) string {
		rows, whose := rowsIn(all, i)
		sql := shift(newcomerTables[i].insertMany(condition), len(args))
		args = append(args, newcomerTables[i].arrays(rows, whose)...)
		return sql
	})
	w := workOf(all).postgres(`w.whose IN (SELECT id FROM fresh)`)
	return sql + ", work_too AS (" + shift(w.sql, len(args)) + ") SELECT id FROM fresh", append(args, w.args...)
}

// writeAll joins the statements that insert newcomers into each table, from wherever they are.
func writeAll(passOver bool, insert func(table int, condition string) string) string {
	var b strings.Builder
	for i := range newcomerTables {
		if i > 0 {
			b.WriteString(", with" + strconv.Itoa(i) + " AS (" + insert(i, created) + ")")
			continue
		}
		b.WriteString("WITH fresh AS (" + insert(i, "TRUE"))
		if passOver {
			b.WriteString(" ON CONFLICT DO NOTHING")
		}
		b.WriteString(" RETURNING id)")
	}
	return b.String()
}

// rowsIn are the rows of newcomers in a table, and whose each is.
func rowsIn(all []newcomer, table int) (rows [][]any, whose []string) {
	for _, n := range all {
		for _, row := range n.rows[table] {
			rows, whose = append(rows, row), append(whose, n.id)
		}
	}
	return rows, whose
}

func workOf(all []newcomer) (work workRows) {
	for _, n := range all {
		work.join(n.work, n.id)
	}
	return work
}

// CreatePerson inserts a person with their key, methods and events in one commit, which is one round trip to PostgreSQL. It
// gives the person and the methods ids where they have none, the first epoch and version 1. *TakenError when the user name,
// or the connector's external id, is another person's.
func (s *Store) CreatePerson(ctx context.Context, p *account.Person, methods []method.Method, events ...event.Event) error {
	n, err := s.newcomer(ctx, p, methods, events)
	if err == nil {
		err = s.arrive(ctx, n)
	}
	if violates(err, "person_keys_pkey", "person_keys.person") { // they were here before under this id
		err = s.transact(ctx, func(t tx) ([]event.Event, error) { return events, s.createPersonIn(ctx, t, p, methods) })
	}
	if err != nil {
		return fmt.Errorf("create person: %w", taken(err))
	}
	return nil
}

// arrive writes one newcomer.
func (s *Store) arrive(ctx context.Context, n newcomer) error {
	err := s.db.statement(ctx, func(t tx) error {
		if t.kind() != PostgreSQL {
			return n.insert(ctx, t)
		}
		sql, args := insertAll([]newcomer{n}, false)
		return t.queryRow(ctx, sql, args...).Scan(new(string))
	})
	if err == nil && len(n.work.ids) > 0 {
		s.hint()
	}
	return err
}

// createPersonIn creates a person inside a transaction, with the key that is there or a new one.
func (s *Store) createPersonIn(ctx context.Context, t tx, p *account.Person, methods []method.Method) error {
	if p.ID == "" {
		p.ID = newID()
	}
	p.Version, p.Epoch = 1, max(p.Epoch, 1)
	row, err := personRow(p)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, peopleTable.insertOne(), append([]any{p.ID, 1}, row...)...); err != nil {
		return taken(err)
	}
	if err := insertLookups(ctx, t, p); err != nil {
		return err
	}
	if _, err := s.personKeyIn(ctx, t, p.ID); err != nil {
		return err
	}
	_, err = s.saveMethods(ctx, t, p.ID, nil, methods)
	return err
}
