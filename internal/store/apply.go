package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
)

// lockPeople locks people in an order of their own, so that two batches of the same people wait for one another and do not
// deadlock.
const lockPeople = `SELECT id FROM people WHERE id = ANY($1) ORDER BY id FOR UPDATE`

// ApplyPeople does several writes of a connector's people in one commit, one after the other, each whole or not at all. The
// results are those of CreatePerson, UpdatePerson and DeletePerson. Newcomers alone take one round trip to PostgreSQL. When
// nothing could be done every result is that error.
func (s *Store) ApplyPeople(ctx context.Context, connector string, writes []account.PersonWrite) []account.PersonResult {
	if len(writes) == 0 {
		return nil
	}
	var results []account.PersonResult
	var err error
	if s.Kind() == PostgreSQL && !slices.ContainsFunc(writes, func(w account.PersonWrite) bool { return w.New == nil }) {
		results, err = s.createAll(ctx, writes)
	} else {
		results, err = s.applyAll(ctx, connector, writes)
	}
	if err != nil {
		return slices.Repeat([]account.PersonResult{{Err: fmt.Errorf("apply people: %w", err)}}, len(writes))
	}
	return results
}

// createAll creates people by one statement, and those that did not come to be by it one by one, which tells why. It does not
// so much as begin when somebody may have to be left out: then all come to be by the statement, or each by itself.
func (s *Store) createAll(ctx context.Context, writes []account.PersonWrite) ([]account.PersonResult, error) {
	results := make([]account.PersonResult, len(writes))
	limited := slices.ContainsFunc(writes, func(w account.PersonWrite) bool { return w.FailOn > 0 })
	var all []newcomer
	for i, w := range writes {
		n, err := s.newcomer(ctx, w.New, w.Methods, w.Events)
		if err != nil {
			results[i].Err = fmt.Errorf("create person: %w", err)
			continue
		}
		all = append(all, n)
	}
	there := map[string]bool{}
	if len(all) > 0 && !(limited && len(all) < len(writes)) {
		var err error
		if there, err = s.arriveAll(ctx, all, !limited); err != nil && (errors.Is(err, ErrUnknown) || fault.Is(err, fault.Unavailable)) {
			return nil, err
		}
	}
	failed := 0
	for i, w := range writes {
		switch {
		case w.FailOn > 0 && failed >= w.FailOn:
			results[i] = account.PersonResult{Err: account.ErrNotDone}
			continue
		case results[i].Err == nil && !there[w.New.ID]:
			results[i].Err = s.CreatePerson(ctx, w.New, w.Methods, w.Events...)
		}
		if results[i].Err != nil {
			failed++
			continue
		}
		results[i].Person = plainPerson(w.New)
	}
	return results, nil
}

// arriveAll writes newcomers by one statement and returns the ids of those it wrote.
func (s *Store) arriveAll(ctx context.Context, all []newcomer, passOver bool) (there map[string]bool, err error) {
	// In order of name, the first of a name first: batches of the same people wait for one another and do not deadlock.
	sorted := slices.SortedStableFunc(slices.Values(all), func(a, b newcomer) int { return strings.Compare(a.name(), b.name()) })
	sql, args := insertAll(sorted, passOver)
	err = s.db.statement(ctx, func(t tx) error {
		there = map[string]bool{}
		return t.query(ctx, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			there[id] = true
			return err
		}, sql, args...)
	})
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if len(n.work.ids) > 0 {
			s.hint()
			break
		}
	}
	return there, nil
}

// applyAll does writes in one transaction, each in a savepoint.
func (s *Store) applyAll(ctx context.Context, connector string, writes []account.PersonWrite) (results []account.PersonResult, err error) {
	var ids []string
	for _, w := range writes {
		if id := storable(w.ID); id != "" {
			ids = append(ids, id)
		}
	}
	var brought bool
	err = again(ctx, func() error {
		return s.db.write(ctx, func(t tx) error {
			results, brought = make([]account.PersonResult, len(writes)), false
			if t.kind() == PostgreSQL && len(ids) > 0 {
				if _, err := t.exec(ctx, lockPeople, ids); err != nil {
					return err
				}
			}
			failed, halted := 0, error(nil)
			for i, w := range writes {
				res := &results[i]
				if halted != nil || w.FailOn > 0 && failed >= w.FailOn {
					res.Err = account.ErrNotDone
					continue
				}
				var work bool
				var fatal error
				res.Err, fatal = t.apart(ctx, func() (err error) {
					res.Person, work, err = s.applyIn(ctx, t, connector, w)
					return err
				})
				switch {
				case fatal != nil:
					return fatal
				case errors.Is(res.Err, errMoved):
					return errMoved
				case errors.Is(res.Err, account.ErrHalt):
					halted = res.Err
				case errors.Is(res.Err, ErrUnchanged):
					res.Err = nil
				case res.Err != nil:
					res.Person = nil
					failed++
				default:
					brought = brought || work
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range results {
		if p := results[i].Person; p != nil {
			results[i].Person = plainPerson(p)
		}
	}
	if brought {
		s.hint()
	}
	return results, nil
}

// applyIn does one write with its events.
func (s *Store) applyIn(ctx context.Context, t tx, connector string, w account.PersonWrite) (p *account.Person, brought bool, err error) {
	var events []event.Event
	switch {
	case w.New != nil:
		p, events = w.New, w.Events
		err = s.createPersonIn(ctx, t, p, w.Methods)
	case w.Change != nil:
		p, events, err = s.updatePersonIn(ctx, t, w.ID, connector, w.Change)
	default:
		events, err = s.deletePersonIn(ctx, t, w.ID, connector, w.ExpectVersion, w.Events)
	}
	if err != nil {
		return p, false, err
	}
	rows, err := s.sealIn(ctx, t, events, nil)
	if err != nil {
		return nil, false, err
	}
	return p, len(rows.work.ids) > 0, rows.insert(ctx, t)
}
