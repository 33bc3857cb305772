package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
)

var _ register.Store = (*Store)(nil)

const (
	enrolmentColumns = `id, version, person, epoch, session, kind, state, sealed, destination, tries, sends, send, created, expires`
	// An enrolment counts only while its epoch is its person's, and they are active.
	countsStill      = `EXISTS (SELECT 1 FROM people p WHERE p.id = enrolments.person AND p.epoch = enrolments.epoch AND p.active)`
	selectEnrolments = `SELECT ` + enrolmentColumns + `, (SELECT k.wrapped FROM person_keys k WHERE k.person = enrolments.person) FROM enrolments `
)

// sealedEnrolment is what an enrolment's sealed column holds while it is open.
type sealedEnrolment struct {
	Destination string   `json:"destination,omitempty"`
	Secret      []byte   `json:"secret,omitempty"`
	Display     string   `json:"display,omitempty"`
	Codes       []string `json:"codes,omitempty"`
}

func sealedEnrolmentOf(e *register.Enrolment) sealedEnrolment {
	return sealedEnrolment{e.Destination, e.Secret, e.Display, e.Codes}
}

// keptEnrolment is an enrolment with its sealed column.
type keptEnrolment struct {
	*register.Enrolment
	private
}

// readEnrolment reads one; its error is sql.ErrNoRows when there is none, or its person's key was erased.
func (s *Store) readEnrolment(row scanner) (k keptEnrolment, err error) {
	e := &register.Enrolment{}
	var sealed, wrapped []byte
	var created, expires int64
	if err := row.Scan(&e.ID, &e.Version, &e.Person, &e.Epoch, &e.Session, &e.Kind, &e.State, &sealed, &e.DestinationHash, &e.Tries, &e.Sends, &e.Send,
		&created, &expires, &wrapped); err != nil {
		return k, err
	}
	e.Created, e.Expires = moment(created), moment(expires)
	k = keptEnrolment{e, private{"enrolments", e.ID, e.Person, sealed, wrapped}}
	var c sealedEnrolment
	err = k.open(s.ring, &c)
	if errors.Is(err, errNoKey) {
		err = sql.ErrNoRows // nothing can be registered by what was forgotten
	}
	if err != nil {
		return keptEnrolment{}, err
	}
	e.Destination, e.Secret, e.Display, e.Codes = c.Destination, c.Secret, c.Display, c.Codes
	return k, nil
}

// plainEnrolment returns an enrolment as it reads once it was stored: what is over holds nothing that is sealed.
func (s *Store) plainEnrolment(e *register.Enrolment) *register.Enrolment {
	c := *e
	if e.State != register.Open {
		c.Destination, c.Secret, c.Display, c.Codes = "", nil, "", nil
	} else if e.Destination != "" {
		c.DestinationHash = s.DestinationHash(e.Kind, e.Destination)
	}
	c.DestinationHash, c.Secret, c.Codes = bytes.Clone(c.DestinationHash), listOf(c.Secret), listOf(c.Codes)
	c.Created, c.Expires = stored(e.Created), stored(e.Expires)
	return &c
}

// sealEnrolment is the sealed column: NULL once the enrolment is over, for then nobody needs what it held.
func sealEnrolment(key keyring.PersonKey, e *register.Enrolment) (any, error) {
	if e.State != register.Open {
		return nil, nil
	}
	return sealOwn(key, "enrolments", e.ID, sealedEnrolmentOf(e))
}

// orNull is a hash as it is stored: NULL for none.
func orNull(hash []byte) any {
	if hash == nil {
		return nil
	}
	return hash
}

// PutEnrolment inserts an enrolment and leaves every other open one of its session, in one commit with the events. It
// gives it an id where it has none, version 1 and the hash of its destination. Behind the session's lock, so that of two
// begun at once one is left. fault.Over when the session is not there, has
// ended, or is not of the person and epoch.
func (s *Store) PutEnrolment(ctx context.Context, e *register.Enrolment, events ...event.Event) error {
	if e.ID == "" {
		e.ID = newID()
	}
	e.Version = 1
	*e = *s.plainEnrolment(e)
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		var one int
		err := t.queryRow(ctx, `SELECT 1 FROM sessions WHERE id = $1 AND person = $2 AND epoch = $3 AND ended = 0`+t.lock(lockSession), storable(e.Session), e.Person, e.Epoch).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			err = over("session", e.Session)
		}
		if err != nil {
			return nil, err
		}
		key, err := s.personKeyIn(ctx, t, e.Person)
		if err != nil {
			return nil, err
		}
		sealed, err := sealEnrolment(key, e)
		if err != nil {
			return nil, err
		}
		if _, err := t.exec(ctx, `UPDATE enrolments SET version = version + 1, state = $3, sealed = NULL WHERE session = $1 AND state = $2`,
			e.Session, string(register.Open), string(register.Left)); err != nil {
			return nil, err
		}
		_, err = t.exec(ctx, `INSERT INTO enrolments (`+enrolmentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			e.ID, e.Version, e.Person, e.Epoch, e.Session, string(e.Kind), string(e.State), sealed, orNull(e.DestinationHash), e.Tries, e.Sends, string(e.Send),
			micros(e.Created), micros(e.Expires))
		return events, err
	})
	if err != nil {
		return fmt.Errorf("put enrolment: %w", err)
	}
	return nil
}

func over(what, id string) error {
	return fault.Wrap(fault.Over, message.Key("error.over"), fmt.Errorf("%s %q", what, id))
}

func (s *Store) oneEnrolment(row scanner) (*register.Enrolment, error) {
	k, err := s.readEnrolment(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return k.Enrolment, err
}

// Enrolment returns one; nil when there is none, or its person's epoch has moved since.
func (s *Store) Enrolment(ctx context.Context, id string) (*register.Enrolment, error) {
	return s.oneEnrolment(s.db.queryRow(ctx, selectEnrolments+`WHERE id = $1 AND `+countsStill, storable(id)))
}

// OpenEnrolment returns the open one of a session whose time is not up; nil when there is none.
func (s *Store) OpenEnrolment(ctx context.Context, session string, now time.Time) (*register.Enrolment, error) {
	return s.oneEnrolment(s.db.queryRow(ctx, selectEnrolments+`WHERE session = $1 AND state = $2 AND expires > $3 AND `+countsStill+` ORDER BY id DESC LIMIT 1`,
		storable(session), string(register.Open), micros(now)))
}

// TryEnrolment counts one try in a commit of its own, before anybody looks whether it is right, and returns the enrolment
// as it is after; nil when it is not of the session, not open, has no tries left, its time is up, or its person's epoch
// has moved.
func (s *Store) TryEnrolment(ctx context.Context, id, session string, now time.Time) (e *register.Enrolment, err error) {
	err = s.db.statement(ctx, func(t tx) (err error) {
		e, err = s.oneEnrolment(t.queryRow(ctx, `UPDATE enrolments SET tries = tries + 1, version = version + 1
			WHERE id = $1 AND session = $2 AND state = $3 AND tries < $4 AND expires > $5 AND `+countsStill+`
			RETURNING `+enrolmentColumns+`, (SELECT k.wrapped FROM person_keys k WHERE k.person = enrolments.person)`,
			storable(id), storable(session), string(register.Open), register.MaxTries, micros(now)))
		return err
	})
	return e, err
}

// saveEnrolment writes what may change of an enrolment; whose it is and of what kind is not among that.
func (s *Store) saveEnrolment(before keptEnrolment, after *register.Enrolment) (stmt, error) {
	var sealed any
	if after.State == register.Open {
		sealed = before.sealed
		if !reflect.DeepEqual(sealedEnrolmentOf(after), sealedEnrolmentOf(s.plainEnrolment(before.Enrolment))) {
			key, err := before.key(s.ring)
			if err == nil {
				sealed, err = sealEnrolment(key, after)
			}
			if err != nil {
				return stmt{}, err
			}
		}
	}
	return statement(`UPDATE enrolments SET version = version + 1, state = $3, sealed = $4, destination = $5, tries = $6, sends = $7, send = $8, created = $9, expires = $10
		WHERE id = $1 AND version = $2`, before.ID, before.Version, string(after.State), sealed, orNull(after.DestinationHash), after.Tries, after.Sends, string(after.Send),
		micros(after.Created), micros(after.Expires)), nil
}

// keepEnrolment restores what a closure may not change of an enrolment.
func keepEnrolment(before, after *register.Enrolment) {
	after.ID, after.Version, after.Person, after.Epoch, after.Session, after.Kind = before.ID, before.Version, before.Person, before.Epoch, before.Session, before.Kind
}

// UpdateEnrolment runs change on the current row and commits it with the events. One that leaves the row as it is writes
// its events alone. What is sealed goes with the state open. fault.NotFound when there is none that counts.
func (s *Store) UpdateEnrolment(ctx context.Context, id string, fn func(*register.Enrolment) ([]event.Event, error)) (*register.Enrolment, error) {
	type changing struct {
		before keptEnrolment
		after  *register.Enrolment
	}
	var result *register.Enrolment
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			k, err := s.readEnrolment(r.queryRow(ctx, selectEnrolments+`WHERE id = $1 AND `+countsStill, storable(id)))
			if errors.Is(err, sql.ErrNoRows) {
				err = notFound("enrolment", id)
			}
			if err != nil {
				return changing{}, err
			}
			return changing{k, s.plainEnrolment(k.Enrolment)}, nil
		},
		func(c *changing) ([]event.Event, error) { return fn(c.after) },
		func(c changing) (change, error) {
			keepEnrolment(c.before.Enrolment, c.after)
			result = s.plainEnrolment(c.after)
			if reflect.DeepEqual(s.plainEnrolment(c.before.Enrolment), result) {
				return change{}, nil
			}
			first, err := s.saveEnrolment(c.before, result)
			result.Version++
			return change{first: first}, err
		})
	if err != nil {
		return nil, fmt.Errorf("update enrolment: %w", err)
	}
	return result, nil
}

// ClaimConfirm moves the delivery of an open enrolment's code from asked to sending, for one caller only.
func (s *Store) ClaimConfirm(ctx context.Context, id string) (bool, error) {
	return s.hits(ctx, `UPDATE enrolments SET send = $2, version = version + 1 WHERE id = $1 AND send = $3 AND state = $4 AND `+countsStill,
		storable(id), string(reset.Sending), string(reset.Asked), string(register.Open))
}

// Registration returns what is kept of a person's registering; a zero one when nothing is.
func (s *Store) Registration(ctx context.Context, person string) (register.Record, error) {
	r := register.Record{Person: person}
	var until, reviewed int64
	err := s.db.queryRow(ctx, `SELECT snoozes, until, reviewed FROM registrations WHERE person = $1`, storable(person)).Scan(&r.Snoozes, &until, &reviewed)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	r.Until, r.Reviewed = moment(until), moment(reviewed)
	return r, err
}

// PutRegistration keeps it, in one commit with the events.
func (s *Store) PutRegistration(ctx context.Context, r register.Record, events ...event.Event) error {
	_, err := s.commit(ctx, change{
		first: statement(`INSERT INTO registrations (person, snoozes, until, reviewed) VALUES ($1, $2, $3, $4)
			ON CONFLICT (person) DO UPDATE SET snoozes = excluded.snoozes, until = excluded.until, reviewed = excluded.reviewed`,
			r.Person, r.Snoozes, micros(r.Until), micros(r.Reviewed)),
		events: events,
	})
	if err != nil {
		return fmt.Errorf("put registration: %w", err)
	}
	return nil
}
