package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// dataVersion is the form of data and sealed that this program writes.
const dataVersion = 1

// organisation owns what is personal in events about nobody in particular. It has a key like a person, so that rotation
// treats all alike.
const organisation = "organisation"

// ownerOf names whose key seals an event: that of the staff member who acted on somebody else, else of the subject.
func ownerOf(e event.Event) string {
	actor, isPerson := strings.CutPrefix(e.Actor, "person:")
	switch {
	case isPerson && actor != e.Subject:
		return actor
	case e.Subject != "":
		return e.Subject
	}
	return organisation
}

// sealedRows are the rows of events and work, column by column, ready to be written: nothing in them is personal in
// clear.
type sealedRows struct {
	ids, types, actors, subjects, txns, refs, outcomes, data []string
	ats                                                      []int64
	sealed, salts                                            [][]byte
	work                                                     workRows
}

// seal makes rows of events and the work they bring, and of further jobs. It makes a key for whoever has none.
func (s *Store) seal(ctx context.Context, events []event.Event, jobs []Job) (sealedRows, error) {
	return s.rowsOf(events, jobs, func(owner string) (keyring.PersonKey, error) { return s.personKey(ctx, owner) })
}

// sealIn does the same inside a transaction.
func (s *Store) sealIn(ctx context.Context, t tx, events []event.Event, jobs []Job) (sealedRows, error) {
	return s.rowsOf(events, jobs, func(owner string) (keyring.PersonKey, error) { return s.personKeyIn(ctx, t, owner) })
}

func (s *Store) rowsOf(events []event.Event, jobs []Job, keyOf func(string) (keyring.PersonKey, error)) (rows sealedRows, err error) {
	for _, e := range events {
		data, err := e.DataJSON()
		if err != nil {
			return rows, err
		}
		var sealed []byte
		if len(e.Private) > 0 {
			key, err := keyOf(ownerOf(e))
			if err != nil {
				return rows, fmt.Errorf("seal event %s: %w", e.Type, err)
			}
			private, err := json.Marshal(e.Private)
			if err != nil {
				return rows, err
			}
			sealed = key.Seal(private, "events", e.ID, "sealed")
		}
		rows.ids, rows.ats = append(rows.ids, e.ID), append(rows.ats, micros(e.At))
		rows.types, rows.actors = append(rows.types, string(e.Type)), append(rows.actors, e.Actor)
		rows.subjects, rows.txns = append(rows.subjects, e.Subject), append(rows.txns, e.Txn)
		rows.refs, rows.outcomes = append(rows.refs, e.Ref), append(rows.outcomes, string(e.Outcome))
		rows.data, rows.sealed, rows.salts = append(rows.data, string(data)), append(rows.sealed, sealed), append(rows.salts, e.Salt)
		for _, w := range e.Work() {
			rows.work.add(newID(), e.ID, string(w.Route), w.Ref, micros(w.NotBefore), micros(w.NotAfter))
		}
	}
	for _, j := range jobs {
		rows.work.add(newID(), "", j.Kind, j.Ref, micros(j.NotBefore), micros(j.NotAfter))
	}
	return rows, nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

const insertEvent = `INSERT INTO events (id, at, type, version, actor, subject, txn, ref, outcome, data, sealed, salt) `

// postgres returns the statements that write all rows at once when first hit.
func (r sealedRows) postgres() (events, work stmt) {
	events = statement(insertEvent+`
		SELECT id, at, type, $12, actor, subject, txn, ref, outcome, data, sealed, salt
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
			$9::text[], $10::bytea[], $11::bytea[])
			AS e (id, at, type, actor, subject, txn, ref, outcome, data, sealed, salt)
		WHERE {hit}`,
		r.ids, r.ats, r.types, r.actors, r.subjects, r.txns, r.refs, r.outcomes, r.data, r.sealed, r.salts, dataVersion)
	return events, r.work.postgres(hit)
}

// insert writes the rows inside a transaction: one by one on SQLite, at once on PostgreSQL.
func (r sealedRows) insert(ctx context.Context, t tx) error {
	if t.kind() == PostgreSQL {
		events, work := r.postgres()
		for _, s := range []stmt{events, work} {
			if _, err := t.exec(ctx, strings.ReplaceAll(s.sql, hit, "TRUE"), s.args...); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range r.ids {
		if _, err := t.exec(ctx, insertEvent+`VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, r.ids[i], r.ats[i], r.types[i],
			dataVersion, r.actors[i], r.subjects[i], r.txns[i], r.refs[i], r.outcomes[i], r.data[i], r.sealed[i], r.salts[i]); err != nil {
			return err
		}
	}
	return r.work.insert(ctx, t)
}

const selectEvent = `SELECT id, at, type, actor, subject, txn, ref, outcome, data, sealed, salt FROM events `

// storedEvent is an event whose personal part is still sealed.
type storedEvent struct {
	event.Event
	sealed []byte
}

func readEvent(row scanner) (e storedEvent, err error) {
	var at int64
	var data string
	if err := row.Scan(&e.ID, &at, &e.Type, &e.Actor, &e.Subject, &e.Txn, &e.Ref, &e.Outcome, &data, &e.sealed, &e.Salt); err != nil {
		return e, err
	}
	e.At = moment(at)
	if err := json.Unmarshal([]byte(data), &e.Data); err != nil {
		return e, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return e, nil
}

// open unseals the personal parts. Where the owner was erased they stay empty, for ever.
func (s *Store) open(ctx context.Context, r reader, stored []storedEvent) ([]event.Event, error) {
	events := make([]event.Event, 0, len(stored))
	keys := map[string]keyring.PersonKey{}
	for _, e := range stored {
		if e.sealed != nil {
			owner := ownerOf(e.Event)
			if _, known := keys[owner]; !known {
				key, err := s.readKey(ctx, r, owner)
				if err != nil && !errors.Is(err, errNoKey) {
					return nil, fmt.Errorf("open event %s: %w", e.ID, err)
				}
				keys[owner] = key
			}
			if key := keys[owner]; !key.IsZero() {
				private, err := key.Open(e.sealed, "events", e.ID, "sealed")
				switch {
				case errors.Is(err, keyring.ErrUnknownKey): // sealed before the owner was erased and came back
				case err != nil:
					return nil, fmt.Errorf("open event %s: %w", e.ID, err)
				default:
					if err := json.Unmarshal(private, &e.Private); err != nil {
						return nil, fmt.Errorf("open event %s: %w", e.ID, err)
					}
				}
			}
		}
		events = append(events, e.Event)
	}
	return events, nil
}

// Event returns one event with its personal part, which is empty once its owner was erased. fault.NotFound if none.
func (s *Store) Event(ctx context.Context, id string) (event.Event, error) {
	e, err := readEvent(s.db.queryRow(ctx, selectEvent+`WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return event.Event{}, fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("event %s", id))
	}
	if err != nil {
		return event.Event{}, err
	}
	events, err := s.open(ctx, s.db, []storedEvent{e})
	if err != nil {
		return event.Event{}, err
	}
	return events[0], nil
}

// Record writes facts that come with no other change, and the work they bring along.
func (s *Store) Record(ctx context.Context, events ...event.Event) error {
	_, err := s.commit(ctx, change{events: events})
	return err
}

// MaxEvents is the most events one call returns.
const MaxEvents = 500

// EventsOf returns the latest events about a person, newest first, older than the event with id before unless that is
// empty; at most n and at most MaxEvents.
func (s *Store) EventsOf(ctx context.Context, subject, before string, n int) ([]event.Event, error) {
	if before == "" {
		before = "ffffffff-ffff-ffff-ffff-ffffffffffff" // after every id, in any collation
	}
	return s.events(ctx, `WHERE subject = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, subject, before, min(n, MaxEvents))
}

// EventsIn returns the events of one attempt or request, oldest first, at most MaxEvents.
func (s *Store) EventsIn(ctx context.Context, txn string) ([]event.Event, error) {
	return s.events(ctx, `WHERE txn = $1 ORDER BY id LIMIT $2`, txn, MaxEvents)
}

func (s *Store) events(ctx context.Context, where string, args ...any) ([]event.Event, error) {
	stored, err := collect(ctx, s.db, readEvent, selectEvent+where, args...)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, s.db, stored)
}
