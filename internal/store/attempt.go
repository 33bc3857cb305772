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
	"unicode/utf8"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/reset"
)

var _ reset.Store = (*Store)(nil)

// selectAttempt reads attempts with the live epoch of their person in one join. An attempt of nobody runs the same text
// and finds epoch 0, which no person has.
const selectAttempt = `SELECT a.id, a.version, a.reference, a.action, a.state, a.cookie, a.typed, a.typed_hash, a.person, a.resolved, a.epoch,
	a.policy, a.lang, a.origin, a.proofs, a.asked, a.extended, a.refusals, a.again, a.write, a.why, a.directory, a.login,
	a.started, a.expires, a.ended, coalesce(p.epoch, 0), coalesce(p.active, FALSE)
	FROM attempts a LEFT JOIN people p ON p.id = a.person `

// origin is the sealed column of that name.
type origin struct {
	Network string `json:"network"`
	Agent   string `json:"agent"`
	Trusts  string `json:"trusts,omitempty"`
	By      string `json:"by,omitempty"`
}

// What is sealed in an attempt is sealed under the key file: when it is written nobody knows yet whose it is.
func (s *Store) sealAttempt(id, column string, plain []byte) ([]byte, error) {
	if s.ring == nil {
		return nil, errNoRing
	}
	return s.ring.Seal(plain, "attempts", id, column), nil
}

func (s *Store) openAttempt(id, column string, sealed []byte) ([]byte, error) {
	switch {
	case sealed == nil:
		return nil, nil
	case s.ring == nil:
		return nil, errNoRing
	}
	plain, err := s.ring.Open(sealed, "attempts", id, column)
	if err != nil {
		return nil, fmt.Errorf("attempt %s: %s: %w", id, column, err)
	}
	return plain, nil
}

func (s *Store) readAttempt(row scanner) (*reset.Attempt, error) {
	a := &reset.Attempt{}
	var typed, from, login []byte
	var proofs string
	var started, expires, ended int64
	if err := row.Scan(&a.ID, &a.Version, &a.Reference, &a.Action, &a.State, &a.Cookie, &typed, &a.TypedHash, &a.Person, &a.Resolved, &a.Epoch,
		&a.Policy, &a.Lang, &from, &proofs, &a.Asked, &a.Extended, &a.Refusals, &a.Again, &a.Write, &a.Why, &a.Directory, &login,
		&started, &expires, &ended, &a.LiveEpoch, &a.LiveActive); err != nil {
		return nil, err
	}
	a.Started, a.Expires, a.Ended = moment(started), moment(expires), moment(ended)
	if err := json.Unmarshal([]byte(proofs), &a.Proofs); err != nil {
		return nil, fmt.Errorf("attempt %s: proofs: %w", a.ID, err)
	}
	for _, c := range []struct {
		column string
		sealed []byte
		read   func([]byte) error
	}{
		{"typed", typed, func(b []byte) error { a.Typed = string(b); return nil }},
		{"login", login, func(b []byte) error { a.Login = string(b); return nil }},
		{"origin", from, func(b []byte) error {
			var o origin
			err := json.Unmarshal(b, &o)
			a.Network, a.Agent, a.Trusts, a.By = o.Network, o.Agent, o.Trusts, o.By
			return err
		}},
	} {
		plain, err := s.openAttempt(a.ID, c.column, c.sealed)
		if err == nil && plain != nil {
			err = c.read(plain)
		}
		if err != nil {
			return nil, err
		}
	}
	return plainAttempt(a), nil
}

// plainAttempt returns the attempt as it reads once it was stored: times in UTC to the microsecond, no empty lists.
func plainAttempt(a *reset.Attempt) *reset.Attempt {
	b := *a
	b.Cookie, b.TypedHash = bytes.Clone(a.Cookie), bytes.Clone(a.TypedHash)
	b.Started, b.Expires, b.Ended = stored(a.Started), stored(a.Expires), stored(a.Ended)
	if b.Proofs = nil; len(a.Proofs) > 0 {
		b.Proofs = slices.Clone(a.Proofs)
	}
	for i := range b.Proofs {
		b.Proofs[i].At = stored(b.Proofs[i].At)
	}
	return &b
}

// stored is a time as it reads after it was written.
func stored(t time.Time) time.Time { return moment(micros(t)) }

// CreateAttempt inserts an attempt with its events. a becomes version 1.
func (s *Store) CreateAttempt(ctx context.Context, a *reset.Attempt, events ...event.Event) error {
	typed, err := s.sealAttempt(a.ID, "typed", []byte(a.Typed))
	if err != nil {
		return err
	}
	from, err := json.Marshal(origin{a.Network, a.Agent, a.Trusts, a.By})
	if err != nil {
		return err
	}
	if from, err = s.sealAttempt(a.ID, "origin", from); err != nil {
		return err
	}
	rest, err := s.attemptRow(a)
	if err != nil {
		return err
	}
	_, err = s.commit(ctx, change{
		first: statement(`INSERT INTO attempts (id, version, state, person, resolved, epoch, proofs, asked, extended, refusals, again, write, why,
				directory, login, expires, ended, reference, action, cookie, typed, typed_hash, policy, lang, origin, started)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)`,
			append(append([]any{a.ID, 1}, rest...), a.Reference, string(a.Action), a.Cookie, typed, a.TypedHash, a.Policy, a.Lang, from, micros(a.Started))...),
		events: events,
	})
	if err != nil {
		return fmt.Errorf("create attempt: %w", err)
	}
	a.Version = 1
	return nil
}

// attemptRow is what changes of an attempt during its life, in the order of the statements.
func (s *Store) attemptRow(a *reset.Attempt) ([]any, error) {
	proofs, err := json.Marshal(plainAttempt(a).Proofs)
	if err != nil {
		return nil, err
	}
	var login any
	if a.Login != "" {
		if login, err = s.sealAttempt(a.ID, "login", []byte(a.Login)); err != nil {
			return nil, err
		}
	}
	return []any{string(a.State), a.Person, a.Resolved, a.Epoch, string(proofs), a.Asked, a.Extended, a.Refusals, a.Again, a.Write, a.Why,
		a.Directory, login, micros(a.Expires), micros(a.Ended)}, nil
}

func (s *Store) saveAttempt(a *reset.Attempt) (stmt, error) {
	row, err := s.attemptRow(a)
	if err != nil {
		return stmt{}, err
	}
	return statement(`UPDATE attempts SET version = version + 1, state = $3, person = $4, resolved = $5, epoch = $6, proofs = $7, asked = $8,
			extended = $9, refusals = $10, again = $11, write = $12, why = $13, directory = $14, login = $15, expires = $16, ended = $17
		WHERE id = $1 AND version = $2`, append([]any{a.ID, a.Version}, row...)...), nil
}

// sameAttempt reports whether a closure left everything that is written as it was.
func sameAttempt(before, after *reset.Attempt) bool {
	a, b := plainAttempt(before), plainAttempt(after)
	b.LiveEpoch, b.LiveActive = a.LiveEpoch, a.LiveActive
	return reflect.DeepEqual(a, b)
}

// AttemptByCookie returns the attempt of a browser, with the live epoch of its person; nil when there is none.
func (s *Store) AttemptByCookie(ctx context.Context, cookie []byte) (*reset.Attempt, error) {
	return s.attempt(s.db.queryRow(ctx, selectAttempt+`WHERE a.cookie = $1`, cookie))
}

// Attempt returns an attempt with the live epoch of its person; nil when there is none.
func (s *Store) Attempt(ctx context.Context, id string) (*reset.Attempt, error) {
	return s.attempt(s.db.queryRow(ctx, selectAttempt+`WHERE a.id = $1`, storable(id)))
}

func (s *Store) attempt(row scanner) (*reset.Attempt, error) {
	a, err := s.readAttempt(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return a, err
}

// storable is a stranger's text as a database can be asked for it: what could not have been stored becomes "", which
// nothing is called, so that the same statement runs and finds nothing.
func storable(text string) string {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return ""
	}
	return text
}

func notFound(what, id string) error {
	return fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("%s %q", what, id))
}

// UpdateAttempt runs change on the current row, read anew with the person's live epoch on each of at most five tries, and
// commits it with the events. A change that leaves the row as it is writes its events alone, so that noting a fact never
// gets in the way of somebody who moves on. fault.NotFound when there is no such attempt.
func (s *Store) UpdateAttempt(ctx context.Context, id string, change func(*reset.Attempt) ([]event.Event, error)) (*reset.Attempt, error) {
	return s.changeAttempt(ctx, id, func(a *reset.Attempt) ([]stmt, []event.Event, error) {
		events, err := change(a)
		return nil, events, err
	})
}

// changeAttempt changes an attempt, and in the same commit whatever else the closure names.
func (s *Store) changeAttempt(ctx context.Context, id string, fn func(*reset.Attempt) ([]stmt, []event.Event, error)) (*reset.Attempt, error) {
	type changing struct {
		before, after *reset.Attempt
		with          []stmt
	}
	var result *reset.Attempt
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			a, err := s.readAttempt(r.queryRow(ctx, selectAttempt+`WHERE a.id = $1`, storable(id)))
			if errors.Is(err, sql.ErrNoRows) {
				return changing{}, notFound("attempt", id)
			}
			if err != nil {
				return changing{}, err
			}
			return changing{before: plainAttempt(a), after: a}, nil
		},
		func(c *changing) (events []event.Event, err error) {
			c.with, events, err = fn(c.after)
			return events, err
		},
		func(c changing) (change, error) {
			c.after.ID, c.after.Version = c.before.ID, c.before.Version
			result = plainAttempt(c.after)
			if len(c.with) == 0 && sameAttempt(c.before, c.after) {
				return change{}, nil
			}
			first, err := s.saveAttempt(c.after)
			result.Version++
			return change{first: first, with: c.with}, err
		})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// errMoved makes a transaction start again because a row moved before it was locked.
var errMoved = errors.New("the row moved before it was locked")

// again runs fn until it does not return errMoved, at most five times, then returns fault.Conflict.
func again(ctx context.Context, fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		if !errors.Is(err, errMoved) {
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

// FinishAttempt changes attempt, person and write in one commit with the events, locked in the order person, attempt,
// write. The person is nil when the attempt has none or they are gone; the write is a zero one that is not saved when
// the attempt has none. fault.NotFound when there is no such attempt.
func (s *Store) FinishAttempt(ctx context.Context, id string, change func(*reset.Attempt, *account.Person, *reset.Write) ([]event.Event, error)) (*reset.Attempt, error) {
	var after *reset.Attempt
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			after, events, err = s.finishIn(ctx, t, id, change)
			return events, err
		})
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

func (s *Store) finishIn(ctx context.Context, t tx, id string, change func(*reset.Attempt, *account.Person, *reset.Write) ([]event.Event, error)) (*reset.Attempt, []event.Event, error) {
	// Whose attempt it is must be known before the attempt may be locked.
	var person string
	err := t.queryRow(ctx, `SELECT person FROM attempts WHERE id = $1`, storable(id)).Scan(&person)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, notFound("attempt", id)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), person))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, err
	}
	// Locked by itself, for PostgreSQL locks no outer join, and read then: nothing the join shows can move any more.
	var locked string
	if err := t.queryRow(ctx, `SELECT person FROM attempts WHERE id = $1`+t.lock(lockAttempt), id).Scan(&locked); err != nil {
		return nil, nil, err
	}
	if locked != person {
		return nil, nil, errMoved
	}
	a, err := s.readAttempt(t.queryRow(ctx, selectAttempt+`WHERE a.id = $1`, id))
	if err != nil {
		return nil, nil, err
	}
	w := &reset.Write{}
	if a.Write != "" {
		// A write comes last, where challenges stand in the order.
		if w, err = readWrite(t.queryRow(ctx, selectWrite+`WHERE id = $1`+t.lock(lockChallenge), a.Write)); err != nil {
			return nil, nil, fmt.Errorf("write of attempt %s: %w", id, err)
		}
	}
	beforeA, beforeP, beforeW := plainAttempt(a), clonePerson(p), *w
	events, err := change(a, p, w)
	if err != nil {
		return nil, nil, err
	}
	a.ID, a.Version = beforeA.ID, beforeA.Version
	result := plainAttempt(a)
	if !sameAttempt(beforeA, a) {
		save, err := s.saveAttempt(a)
		if err == nil {
			err = once(ctx, t, save)
		}
		if err != nil {
			return nil, nil, err
		}
		result.Version++
	}
	if p != nil {
		if _, err := savePerson(ctx, t, beforeP, p, s.now()); err != nil {
			return nil, nil, err
		}
		result.LiveEpoch, result.LiveActive = p.Epoch, p.Active
	}
	if a.Write != "" && plainWrite(beforeW) != plainWrite(*w) {
		if err := once(ctx, t, saveWrite(beforeW.ID, w)); err != nil {
			return nil, nil, err
		}
	}
	return result, events, nil
}

// once runs a statement that must touch one row.
func once(ctx context.Context, t tx, s stmt) error {
	n, err := t.exec(ctx, s.sql, s.args...)
	if err == nil && n != 1 {
		err = errMoved
	}
	return err
}

// EraseTyped forgets the login name somebody typed; the rest of the attempt stays. It may be repeated.
func (s *Store) EraseTyped(ctx context.Context, attempt string) error {
	return s.db.statement(ctx, func(t tx) error {
		_, err := t.exec(ctx, `UPDATE attempts SET typed = NULL, version = version + 1 WHERE id = $1 AND typed IS NOT NULL`, attempt)
		return err
	})
}

// SweepAttempts deletes attempts that started before a time, with their challenges and writes, and returns how many. One
// whose write still waits for its outcome stays. Events stay: they tell the story without the rows.
func (s *Store) SweepAttempts(ctx context.Context, before time.Time) (swept int64, err error) {
	err = s.db.statement(ctx, func(t tx) error {
		swept, err = t.exec(ctx, `DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE started < $1 AND state NOT IN ($2, $3) ORDER BY started LIMIT 1000)`,
			micros(before), string(reset.Writing), string(reset.Unknown))
		return err
	})
	return swept, err
}
