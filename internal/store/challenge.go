package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
)

const challengeColumns = `id, attempt, kind, method, tries, send, created, expires`

func readChallenge(row scanner) (*reset.Challenge, error) {
	c := &reset.Challenge{}
	var created, expires int64
	err := row.Scan(&c.ID, &c.Attempt, &c.Kind, &c.Method, &c.Tries, &c.Send, &created, &expires)
	c.Created, c.Expires = moment(created), moment(expires)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AskChallenge changes the attempt and inserts the challenge the closure returns, in one commit with the events.
func (s *Store) AskChallenge(ctx context.Context, attempt string, change func(*reset.Attempt) (*reset.Challenge, []event.Event, error)) (*reset.Challenge, error) {
	var asked *reset.Challenge
	_, err := s.changeAttempt(ctx, attempt, func(a *reset.Attempt) ([]stmt, []event.Event, error) {
		c, events, err := change(a)
		if err != nil {
			return nil, nil, err
		}
		if c == nil {
			return nil, nil, errors.New("ask challenge: the change made none")
		}
		asked = c
		return []stmt{statement(`INSERT INTO challenges (`+challengeColumns+`) SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE {hit}`,
			c.ID, a.ID, string(c.Kind), c.Method, c.Tries, string(c.Send), micros(c.Created), micros(c.Expires))}, events, nil
	})
	if err != nil {
		return nil, err
	}
	c := *asked
	c.Created, c.Expires = stored(c.Created), stored(c.Expires)
	return &c, nil
}

// Challenge returns a challenge; nil when there is none.
func (s *Store) Challenge(ctx context.Context, id string) (*reset.Challenge, error) {
	return readChallenge(s.db.queryRow(ctx, `SELECT `+challengeColumns+` FROM challenges WHERE id = $1`, storable(id)))
}

// Try counts one try in a commit of its own, before anybody looks whether it is right, and returns the challenge as it
// is after; nil when the challenge is not of this attempt, has no tries left, is past its time, or its code was lost on
// the way.
func (s *Store) Try(ctx context.Context, id, attempt string, now time.Time) (c *reset.Challenge, err error) {
	err = s.db.statement(ctx, func(t tx) (err error) {
		c, err = readChallenge(t.queryRow(ctx, `UPDATE challenges SET tries = tries + 1
			WHERE id = $1 AND attempt = $2 AND tries < $3 AND expires > $4 AND send <> $5 RETURNING `+challengeColumns,
			storable(id), storable(attempt), reset.MaxTries, micros(now), string(reset.SendLost)))
		return err
	})
	return c, err
}

// ClaimSend moves a challenge from asked to sending, for one caller only, and notes the method its code goes to.
func (s *Store) ClaimSend(ctx context.Context, id, method string) (claimed bool, err error) {
	return s.hits(ctx, `UPDATE challenges SET send = $3, method = $2 WHERE id = $1 AND send = $4`, id, method, string(reset.Sending), string(reset.Asked))
}

// SetSend records what became of a delivery. One that has an outcome keeps it: a worker that comes late changes nothing.
func (s *Store) SetSend(ctx context.Context, id string, state reset.SendState) error {
	_, err := s.hits(ctx, `UPDATE challenges SET send = $2 WHERE id = $1 AND send IN ($3, $4)`, id, string(state), string(reset.Asked), string(reset.Sending))
	return err
}

// hits runs one guarded statement in a commit of its own and reports whether it touched a row.
func (s *Store) hits(ctx context.Context, sql string, args ...any) (hit bool, err error) {
	err = s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, sql, args...)
		hit = n > 0
		return err
	})
	return hit && err == nil, err
}

// UseStep claims a time step of an authenticator app: true only when it is later than every step claimed before.
func (s *Store) UseStep(ctx context.Context, methodID string, step int64, now time.Time) (bool, error) {
	return s.hits(ctx, `UPDATE methods SET last_step = $2, last_used = $3 WHERE id = $1 AND last_step < $2 AND status = $4`,
		storable(methodID), step, micros(now), string(method.Active))
}

// maxRecoveryCodes is how many codes under one selector are looked at.
const maxRecoveryCodes = 4

// RecoveryCodes returns the unused codes of a person under a selector, at most four.
func (s *Store) RecoveryCodes(ctx context.Context, person, selector string) ([]method.Code, error) {
	return collect(ctx, s.db, func(row scanner) (c method.Code, err error) {
		var used int64
		err = row.Scan(&c.ID, &c.Method, &c.Selector, &c.Hash, &used)
		c.Used = moment(used)
		return c, err
	}, `SELECT id, method, selector, hash, used FROM recovery_codes WHERE person = $1 AND selector = $2 AND used = 0 ORDER BY id LIMIT $3`,
		storable(person), storable(selector), maxRecoveryCodes)
}

// UseRecoveryCode spends a code: true for one caller only, ever.
func (s *Store) UseRecoveryCode(ctx context.Context, id string, now time.Time) (bool, error) {
	return s.hits(ctx, `UPDATE recovery_codes SET used = $2 WHERE id = $1 AND used = 0`, storable(id), micros(now))
}

// Failed counts one more wrong try in a row of a method. At method.MaxFailures it disables the method and writes the
// event, in the same commit and once. A method that is not active is left alone.
func (s *Store) Failed(ctx context.Context, methodID string, now time.Time, spent event.Event) error {
	return s.transact(ctx, func(t tx) ([]event.Event, error) {
		var status method.Status
		err := t.queryRow(ctx, `UPDATE methods SET failures = failures + 1,
				status = CASE WHEN failures + 1 >= $2 THEN $3 ELSE status END,
				version = CASE WHEN failures + 1 >= $2 THEN version + 1 ELSE version END
			WHERE id = $1 AND status = $4 RETURNING status`,
			storable(methodID), method.MaxFailures, string(method.Disabled), string(method.Active)).Scan(&status)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, nil
		case err != nil || status == method.Active:
			return nil, err
		}
		return []event.Event{spent}, nil
	})
}

// Worked ends a row of wrong tries.
func (s *Store) Worked(ctx context.Context, methodID string, now time.Time) error {
	_, err := s.hits(ctx, `UPDATE methods SET failures = 0, last_used = $2 WHERE id = $1`, storable(methodID), micros(now))
	return err
}
