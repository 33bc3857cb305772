package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
)

// ChangeMethods changes a person's ways in one commit: person, session, methods and, if one is named, the enrolment are
// locked in that order and handed to change, and what differs afterwards in methods and enrolment is written with the
// events and the recovery codes; person and session are there to be looked at. Shared counts the other people who have the enrolment's destination, behind the lock of the destination's own
// row: of two who would both be the last allowed, the second sees the first. The closure may run more than once;
// ErrUnchanged from it writes nothing.
//
// fault.Over when the session or the enrolment is not there, is not the person's, or has ended with its epoch; an
// enrolment of another session is not there either.
func (s *Store) ChangeMethods(ctx context.Context, session, enrolment string, change func(*register.Changing) ([]event.Event, error)) error {
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) ([]event.Event, error) {
			var c changingMethods
			if err := c.load(ctx, s, t, session, enrolment); err != nil {
				return nil, err
			}
			events, err := change(&c.Changing)
			if err != nil {
				return nil, err
			}
			return events, c.save(ctx, s, t)
		})
	})
	if err != nil && !errors.Is(err, ErrUnchanged) {
		return fmt.Errorf("change methods: %w", err)
	}
	return nil
}

// changingMethods is what the closure works on, beside what was read.
type changingMethods struct {
	register.Changing
	session   keptSession
	enrolment keptEnrolment
	methods   []method.Method
}

func (c *changingMethods) load(ctx context.Context, s *Store, t tx, session, enrolment string) error {
	// Whose session it is must be known before it may be locked.
	var person string
	err := t.queryRow(ctx, `SELECT person FROM sessions WHERE id = $1`, storable(session)).Scan(&person)
	if err == nil {
		c.Person, err = readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), person))
	}
	if err == nil {
		err = c.lockSession(ctx, s, t, session)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return over("session", session)
	}
	if err != nil {
		return err
	}
	if c.methods, err = s.methodsIn(ctx, t, person, t.lock(lockMethod)); err != nil {
		return err
	}
	c.Methods = cloneMethods(c.methods)
	if enrolment == "" {
		return nil
	}
	err = c.lockEnrolment(ctx, s, t, session, enrolment)
	if errors.Is(err, sql.ErrNoRows) {
		return over("enrolment", enrolment)
	}
	if err != nil || c.Enrolment.DestinationHash == nil {
		return err
	}
	t.lock(lockDestination) // by the write itself
	if _, err := t.exec(ctx, `INSERT INTO destinations (hash, touched) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE SET touched = excluded.touched`,
		c.Enrolment.DestinationHash, micros(s.now())); err != nil {
		return err
	}
	return t.queryRow(ctx, `SELECT count(DISTINCT person) FROM methods WHERE destination = $1 AND status <> 'removed' AND person <> $2`,
		c.Enrolment.DestinationHash, person).Scan(&c.Shared)
}

// lockSession locks the session by itself, for PostgreSQL locks no outer join, and reads it then: with the person locked,
// nothing the join shows can move any more.
func (c *changingMethods) lockSession(ctx context.Context, s *Store, t tx, id string) error {
	var one int
	err := t.queryRow(ctx, `SELECT 1 FROM sessions WHERE id = $1 AND person = $2 AND epoch = $3 AND ended = 0`+t.lock(lockSession), id, c.Person.ID, c.Person.Epoch).Scan(&one)
	if err == nil && !c.Person.Active {
		err = sql.ErrNoRows
	}
	if err == nil {
		c.session, err = s.readSession(t.queryRow(ctx, selectSessions+`WHERE s.id = $1`, id))
	}
	if err != nil {
		return err
	}
	c.Session = plainSession(c.session.Session)
	return nil
}

func (c *changingMethods) lockEnrolment(ctx context.Context, s *Store, t tx, session, id string) (err error) {
	c.enrolment, err = s.readEnrolment(t.queryRow(ctx, selectEnrolments+`WHERE id = $1 AND session = $2 AND person = $3 AND epoch = $4`+t.lock(lockEnrolment),
		storable(id), session, c.Person.ID, c.Person.Epoch))
	if err != nil {
		return err
	}
	c.Enrolment = s.plainEnrolment(c.enrolment.Enrolment)
	return nil
}

func (c *changingMethods) save(ctx context.Context, s *Store, t tx) error {
	person := c.session.Person
	if _, err := s.saveMethods(ctx, t, person, c.methods, c.Methods); err != nil {
		return err
	}
	if err := insertCodes(ctx, t, person, c.Codes); err != nil {
		return err
	}
	if c.Enrolment == nil || c.enrolment.Enrolment == nil {
		return nil
	}
	keepEnrolment(c.enrolment.Enrolment, c.Enrolment)
	after := s.plainEnrolment(c.Enrolment)
	if reflect.DeepEqual(s.plainEnrolment(c.enrolment.Enrolment), after) {
		return nil
	}
	save, err := s.saveEnrolment(c.enrolment, after)
	if err != nil {
		return err
	}
	return once(ctx, t, save)
}

// CodesLeft counts the unused recovery codes of a person, by method.
func (s *Store) CodesLeft(ctx context.Context, person string) (map[string]int, error) {
	left := map[string]int{}
	err := s.db.query(ctx, func(row scanner) error {
		var id string
		var n int
		err := row.Scan(&id, &n)
		left[id] = n
		return err
	}, `SELECT method, count(*) FROM recovery_codes WHERE person = $1 AND used = 0 GROUP BY method`, storable(person))
	return left, err
}
