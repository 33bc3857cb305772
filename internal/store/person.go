package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/pkg/scim/schema"
)

const (
	personColumns = `id, version, epoch, connector, coalesce(external_id, ''), user_name, active, display_name, given_name, family_name, language,
	emails, phones, attrs, hold_until, dispute, alerts, created, updated`
	selectPerson = `SELECT ` + personColumns + ` FROM people `
)

// readPerson reads one person; its error is sql.ErrNoRows when there is none.
func readPerson(row scanner) (*account.Person, error) {
	p := &account.Person{}
	var emails, phones, attrs, dispute, alerts string
	var hold, created, updated int64
	if err := row.Scan(&p.ID, &p.Version, &p.Epoch, &p.Connector, &p.ExternalID, &p.UserName, &p.Active, &p.DisplayName, &p.GivenName,
		&p.FamilyName, &p.Language, &emails, &phones, &attrs, &hold, &dispute, &alerts, &created, &updated); err != nil {
		return nil, err
	}
	p.HoldUntil, p.Created, p.Updated = moment(hold), moment(created), moment(updated)
	for _, c := range []struct {
		text string
		to   any
	}{{emails, &p.Emails}, {phones, &p.Phones}, {attrs, &p.Attrs}, {dispute, &p.Dispute}, {alerts, &p.Alerts}} {
		if c.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(c.text), c.to); err != nil {
			return nil, fmt.Errorf("person %s: %w", p.ID, err)
		}
	}
	return p, nil
}

// clonePerson copies whatever a closure could change in place. A nil person has a nil copy.
func clonePerson(p *account.Person) *account.Person {
	if p == nil {
		return nil
	}
	c := *p
	c.Emails, c.Phones, c.Attrs, c.Alerts = slices.Clone(p.Emails), slices.Clone(p.Phones), bytes.Clone(p.Attrs), slices.Clone(p.Alerts)
	if p.Dispute != nil {
		d := *p.Dispute
		d.Methods = slices.Clone(d.Methods)
		c.Dispute = &d
	}
	return &c
}

// jsonOf is how a list or an object is stored: nothing for an empty one.
func jsonOf(v any) (string, error) {
	if r := reflect.ValueOf(v); !r.IsValid() || (r.Kind() == reflect.Slice || r.Kind() == reflect.Pointer) && (r.IsNil() || r.Kind() == reflect.Slice && r.Len() == 0) {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// present is a text as it is searched for: NULL when there is none, because SCIM tells what is absent from what is empty.
func present(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// keyOf is what a SCIM filter compares a text by.
func keyOf(text string) any { return present(schema.Fold(text)) }

// personRow is a person as stored, but for id and version.
func personRow(p *account.Person) ([]any, error) {
	emails, err1 := jsonOf(p.Emails)
	phones, err2 := jsonOf(p.Phones)
	attrs, err3 := jsonOf(p.Attrs)
	dispute, err4 := jsonOf(p.Dispute)
	alerts, err5 := jsonOf(p.Alerts)
	var err6 error
	for _, c := range contactRows(p) {
		err6 = errors.Join(err6, allStorable(c.Value, c.Type))
	}
	row := []any{p.Epoch, p.Connector, present(p.ExternalID), p.UserName, account.Fold(p.UserName), p.Active, p.DisplayName, keyOf(p.DisplayName),
		p.GivenName, keyOf(p.GivenName), p.FamilyName, keyOf(p.FamilyName), p.Language, emails, phones, attrs,
		micros(p.HoldUntil), dispute, alerts, micros(p.Created), micros(p.Updated)}
	return row, errors.Join(err1, err2, err3, err4, err5, err6, allStorable(p.ID, p.ExternalID, p.UserName, p.DisplayName, p.GivenName, p.FamilyName, p.Language))
}

// allStorable refuses text that one engine would take and the other would not: NUL, and what is no UTF-8. fault.Invalid.
func allStorable(text ...string) error {
	for _, t := range text {
		if t != "" && storable(t) == "" {
			return fault.Wrap(fault.Invalid, message.Key("error.bad_request"), errors.New("text with NUL or that is no UTF-8"))
		}
	}
	return nil
}

// loginKeys is what a person may type to say who they are: the user name and every address they were provisioned with.
func loginKeys(p *account.Person) []string {
	keys := []string{reset.LoginKey(p.UserName)}
	for _, c := range p.Emails {
		keys = append(keys, reset.LoginKey(c.Value))
	}
	slices.Sort(keys)
	return slices.DeleteFunc(slices.Compact(keys), func(k string) bool { return k == "" })
}

// contactRow is a contact as it is found by.
type contactRow struct {
	List     string `json:"list"`
	Position int    `json:"position"`
	Value    string `json:"value"`
	Key      string `json:"value_key"`
	Type     string `json:"type_key"`
	Primary  bool   `json:"is_primary"`
	Ending   string `json:"ending"` // of a telephone number, for whoever is asked for its last digits
}

func contactRows(p *account.Person) []contactRow {
	var rows []contactRow
	for _, l := range []struct {
		name string
		all  []account.Contact
	}{{"emails", p.Emails}, {"phoneNumbers", p.Phones}} {
		for i, c := range l.all {
			r := contactRow{List: l.name, Position: i, Value: c.Value, Key: schema.Fold(c.Value), Type: schema.Fold(c.Type), Primary: c.Primary}
			if l.name == "phoneNumbers" {
				r.Ending = phoneEnding(c.Value)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// Rows that come in numbers are written by one statement whose text does not depend on how many there are.
var (
	insertContacts = pair{
		postgres: `INSERT INTO contacts (person, list, position, value, value_key, type_key, is_primary, ending)
			SELECT $1, list, position, value, nullif(value_key, ''), nullif(type_key, ''), is_primary, ending FROM json_to_recordset($2::json)
				AS c (list text, position bigint, value text, value_key text, type_key text, is_primary boolean, ending text)`,
		sqlite: `INSERT INTO contacts (person, list, position, value, value_key, type_key, is_primary, ending)
			SELECT $1, value ->> 'list', value ->> 'position', value ->> 'value', nullif(value ->> 'value_key', ''),
				nullif(value ->> 'type_key', ''), value ->> 'is_primary', value ->> 'ending'
			FROM json_each($2)`,
	}
	insertLogins = pair{
		postgres: `INSERT INTO logins (person, key) SELECT $1, value FROM json_array_elements_text($2::json)`,
		sqlite:   `INSERT INTO logins (person, key) SELECT $1, value FROM json_each($2)`,
	}
)

func insertLookups(ctx context.Context, t tx, p *account.Person) error {
	for _, i := range []struct {
		sql  string
		rows any
	}{{insertContacts.on(t.kind()), contactRows(p)}, {insertLogins.on(t.kind()), loginKeys(p)}} {
		rows, err := jsonOf(i.rows)
		if err == nil && rows != "" {
			_, err = t.exec(ctx, i.sql, p.ID, rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// buried is a row of tombstones: that a name was in use, so that it is not taken for a new one when it comes back.
func buried(id string, p *account.Person, now time.Time) stmt {
	return statement(`INSERT INTO tombstones (id, connector, external_id, user_name_key, deleted) SELECT $1, $2, $3, $4, $5 WHERE {hit}`,
		id, p.Connector, p.ExternalID, account.Fold(p.UserName), micros(now))
}

// savePerson writes what differs between two states of a person whose row is locked, and reports whether anything did.
// after becomes the next version.
func savePerson(ctx context.Context, t tx, before, after *account.Person, now time.Time) (bool, error) {
	after.ID, after.Version = before.ID, before.Version
	was, err := personRow(before)
	if err != nil {
		return false, err
	}
	row, err := personRow(after)
	if err != nil {
		return false, err
	}
	if reflect.DeepEqual(was, row) {
		return false, nil
	}
	err = once(ctx, t, statement(`UPDATE people SET version = version + 1, epoch = $3, connector = $4, external_id = $5, user_name = $6,
			user_name_key = $7, active = $8, display_name = $9, display_name_key = $10, given_name = $11, given_name_key = $12, family_name = $13,
			family_name_key = $14, language = $15, emails = $16, phones = $17, attrs = $18, hold_until = $19, dispute = $20, alerts = $21, created = $22, updated = $23
		WHERE id = $1 AND version = $2`, append([]any{after.ID, after.Version}, row...)...))
	if err != nil {
		return false, err
	}
	after.Version++
	if !reflect.DeepEqual(contactRows(before), contactRows(after)) || !reflect.DeepEqual(loginKeys(before), loginKeys(after)) {
		for _, table := range []string{"contacts", "logins"} {
			if _, err := t.exec(ctx, `DELETE FROM `+table+` WHERE person = $1`, after.ID); err != nil {
				return false, err
			}
		}
		if err := insertLookups(ctx, t, after); err != nil {
			return false, err
		}
	}
	if account.Fold(before.UserName) != account.Fold(after.UserName) || before.ExternalID != after.ExternalID {
		// Somebody else may be given the old name tomorrow: they did not have it first.
		grave := buried(newID(), before, now)
		_, err = t.exec(ctx, strings.ReplaceAll(grave.sql, hit, "TRUE"), grave.args...)
	}
	return true, err
}

// UpdatePerson runs change on a person and all their methods, removed ones included, and writes what differs in one
// commit with the events: methods are matched by id, a new one is added, none may vanish (its status becomes removed).
// Person and methods are locked meanwhile, so nothing that was spent or counted is undone. The closure may run more than
// once; ErrUnchanged from it writes nothing.
//
// It returns the person as they are afterwards. fault.NotFound when there is none, or none of that connector (any when
// empty); *TakenError as CreatePerson.
func (s *Store) UpdatePerson(ctx context.Context, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, error) {
	var after *account.Person
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			after, events, err = s.updatePersonIn(ctx, t, id, connector, change)
			return events, err
		})
	})
	if err != nil && !errors.Is(err, ErrUnchanged) {
		return nil, fmt.Errorf("update person: %w", err)
	}
	return plainPerson(after), nil
}

// updatePersonIn is UpdatePerson inside a transaction. With ErrUnchanged it returns the person, too.
func (s *Store) updatePersonIn(ctx context.Context, t tx, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, []event.Event, error) {
	p, err := personIn(readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), storable(id))))(id, connector)
	if err != nil {
		return nil, nil, err
	}
	was := clonePerson(p)
	methods, err := s.methodsIn(ctx, t, p.ID, t.lock(lockMethod))
	if err != nil {
		return nil, nil, err
	}
	before := cloneMethods(methods)
	events, err := change(p, &methods)
	if err != nil {
		return was, nil, err
	}
	if _, err := savePerson(ctx, t, was, p, s.now()); err != nil {
		return nil, nil, taken(err)
	}
	if _, err = s.saveMethods(ctx, t, p.ID, before, methods); err != nil || connector == "" {
		return p, events, err
	}
	switch {
	case was.Active && !p.Active:
		more, err := s.depart(ctx, t, departing{person: was, connector: connector, now: s.now()})
		return p, append(events, more...), err
	case !was.Active && p.Active:
		return p, events, stays(ctx, t, p.ID)
	}
	return p, events, nil
}

// personIn judges whether a person that was read is one a connector may know of.
func personIn(p *account.Person, err error) func(id, connector string) (*account.Person, error) {
	return func(id, connector string) (*account.Person, error) {
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, notFound("person", id)
		case err != nil:
			return nil, err
		case connector != "" && p.Connector != connector:
			return nil, notFound("person of another connector", id)
		}
		return p, nil
	}
}

// plainPerson returns the person as they read once they were stored.
func plainPerson(p *account.Person) *account.Person {
	c := clonePerson(p)
	c.HoldUntil, c.Created, c.Updated = stored(c.HoldUntil), stored(c.Created), stored(c.Updated)
	return c
}

// DeletePerson deletes a person with everything that is theirs, which ends every attempt they have open, leaves a
// tombstone, and takes them out of all groups, with the events in one commit. Their key stays, so that what the audit log
// sealed can still be read: erasing it is an act of its own. fault.NotFound as UpdatePerson; fault.Conflict when
// expectVersion is neither 0 nor the current version.
func (s *Store) DeletePerson(ctx context.Context, id, connector string, expectVersion int64, events ...event.Event) error {
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) ([]event.Event, error) {
			return s.deletePersonIn(ctx, t, id, connector, expectVersion, events)
		})
	})
	if err != nil {
		return fmt.Errorf("delete person: %w", err)
	}
	return nil
}

// deletePersonIn is DeletePerson inside a transaction.
func (s *Store) deletePersonIn(ctx context.Context, t tx, id, connector string, expectVersion int64, events []event.Event) ([]event.Event, error) {
	now := s.now()
	p, err := personIn(readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), storable(id))))(id, connector)
	if err != nil {
		return nil, err
	}
	if expectVersion != 0 && p.Version != expectVersion {
		return nil, fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("person %s is version %d, not %d", id, p.Version, expectVersion))
	}
	gone := departing{person: p, connector: connector, now: now}
	if connector != "" && s.ring != nil { // without keys nothing can be kept: nothing is
		if gone.rows, err = keepRows(ctx, t, p.ID); err != nil {
			return nil, err
		}
	}
	if events, err = unheard(ctx, t, p.ID, events); err != nil {
		return nil, err
	}
	if err := once(ctx, t, statement(`DELETE FROM people WHERE id = $1 AND version = $2`, p.ID, p.Version)); err != nil {
		return nil, err
	}
	for _, with := range append(leaveGroups(p.ID, now), buried(newID(), p, now)) {
		if _, err := t.exec(ctx, strings.ReplaceAll(with.sql, hit, "TRUE"), with.args...); err != nil {
			return nil, err
		}
	}
	if gone.rows == nil {
		return events, nil
	}
	more, err := s.depart(ctx, t, gone)
	return append(slices.Clip(events), more...), err
}

// maxUnheard is how many streams the event of a deletion names.
const maxUnheard = 150

// unheard adds to the event of a deletion which streams are not to hear of the person: when it is told, nobody is left to
// ask it of.
func unheard(ctx context.Context, t tx, person string, events []event.Event) ([]event.Event, error) {
	streams, err := collect(ctx, t, func(row scanner) (id string, err error) { err = row.Scan(&id); return id, err },
		`SELECT stream FROM stream_subjects WHERE person = $1 ORDER BY stream LIMIT $2`, person, maxUnheard)
	if err != nil || len(streams) == 0 {
		return events, err
	}
	events = slices.Clone(events)
	for i, e := range events {
		if e.Type == event.PersonDeleted && e.Subject == person {
			events[i] = e.With("unheard", streams)
		}
	}
	return events, nil
}

// Person returns a person; nil when there is none.
func (s *Store) Person(ctx context.Context, id string) (*account.Person, error) {
	p, err := readPerson(s.db.queryRow(ctx, selectPerson+`WHERE id = $1`, storable(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return p, err
}

// PersonOf returns a person a connector may know of; any connector when it is empty. fault.NotFound otherwise.
func (s *Store) PersonOf(ctx context.Context, id, connector string) (*account.Person, error) {
	return personIn(readPerson(s.db.queryRow(ctx, selectPerson+`WHERE id = $1`, storable(id))))(id, connector)
}

// FindPerson returns the one person a folded login name means; nil when there is none or more than one.
func (s *Store) FindPerson(ctx context.Context, loginKey string) (*account.Person, error) {
	found, err := collect(ctx, s.db, readPerson, selectPerson+`WHERE id IN (SELECT person FROM logins WHERE key = $1) ORDER BY id LIMIT 2`, storable(loginKey))
	if err != nil || len(found) != 1 {
		return nil, err
	}
	return found[0], nil
}

// SeenBefore reports whether a person of that user name key, or of that external id of the connector, was deleted or
// renamed since then: a name that comes back is no first provisioning. Tombstones are kept for 30 days.
func (s *Store) SeenBefore(ctx context.Context, connector, externalID, userNameKey string, since time.Time) (seen bool, err error) {
	err = s.db.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM tombstones WHERE deleted >= $4
			AND (user_name_key = $3 OR external_id <> '' AND connector = $1 AND external_id = $2))`,
		connector, storable(externalID), storable(userNameKey), micros(since)).Scan(&seen)
	return seen, err
}

// keepRemoved is how long removed methods and tombstones are kept.
const keepRemoved = 30 * 24 * time.Hour

// SweepRemoved deletes methods that were removed, and tombstones that were set, more than 30 days ago. It returns how
// many rows went.
func (s *Store) SweepRemoved(ctx context.Context, now time.Time) (swept int64, err error) {
	for _, q := range []string{`DELETE FROM methods WHERE removed_at > 0 AND removed_at < $1 AND status = 'removed'`, `DELETE FROM tombstones WHERE deleted < $1`} {
		var n int64
		err := s.db.statement(ctx, func(t tx) (err error) {
			n, err = t.exec(ctx, q, micros(now.Add(-keepRemoved)))
			return err
		})
		if err != nil {
			return swept, fmt.Errorf("sweep removed: %w", err)
		}
		swept += n
	}
	return swept, nil
}
