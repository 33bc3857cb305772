package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	if slices.ContainsFunc(writes, func(w account.PersonWrite) bool { return w.New == nil }) {
		results, err = s.applyAll(ctx, connector, writes)
	} else {
		results, err = s.createAll(ctx, writes, s.arriveAll)
	}
	if err != nil {
		return slices.Repeat([]account.PersonResult{{Err: fmt.Errorf("apply people: %w", err)}}, len(writes))
	}
	return results
}

// ImportPeople creates any number of people in one commit, as ApplyPeople does, by COPY and a merge of sets on PostgreSQL.
// Some thousands at once are best.
func (s *Store) ImportPeople(ctx context.Context, writes []account.PersonWrite) ([]account.PersonResult, error) {
	if s.Kind() == PostgreSQL {
		return s.createAll(ctx, writes, s.arriveByCopy)
	}
	return s.createAll(ctx, writes, s.arriveAll)
}

// createAll creates people together, and those that did not come to be so one by one, which tells why. When somebody may have
// to be left out all come to be together, or each by itself.
func (s *Store) createAll(ctx context.Context, writes []account.PersonWrite, arrive func(ctx context.Context, all []newcomer, passOver bool) (map[string]bool, error)) ([]account.PersonResult, error) {
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
		if there, err = arrive(ctx, all, !limited); err != nil && (errors.Is(err, ErrUnknown) || fault.Is(err, fault.Unavailable)) {
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

// arriveByCopy is arriveAll for very many, on PostgreSQL.
func (s *Store) arriveByCopy(ctx context.Context, all []newcomer, passOver bool) (there map[string]bool, err error) {
	sorted := inOrder(all)
	work := workOf(sorted)
	err = s.db.write(ctx, func(t tx) error {
		there = map[string]bool{}
		for i, table := range newcomerTables {
			if _, err := t.exec(ctx, table.makeStage()); err != nil {
				return err
			}
			rows, whose := rowsIn(sorted, i)
			if err := t.(*postgresTx).copyIn(ctx, table.stage(), table.names(), rows, whose); err != nil {
				return err
			}
		}
		w := work.postgres(`w.whose IN (SELECT id FROM fresh)`)
		sql := writeAll(passOver, func(i int, condition string) string {
			return newcomerTables[i].insertFrom(newcomerTables[i].stage()+" v", condition)
		})
		return readIDs(ctx, t, there, sql+", work_too AS ("+w.sql+") SELECT id FROM fresh", w.args...)
	})
	return s.arrived(there, work, err)
}

// inOrder sorts newcomers by name, the first of a name first: batches of the same people wait for one another and do not
// deadlock.
func inOrder(all []newcomer) []newcomer {
	return slices.SortedStableFunc(slices.Values(all), func(a, b newcomer) int { return strings.Compare(a.name(), b.name()) })
}

func readIDs(ctx context.Context, t tx, into map[string]bool, sql string, args ...any) error {
	return t.query(ctx, func(row scanner) error {
		var id string
		err := row.Scan(&id)
		into[id] = true
		return err
	}, sql, args...)
}

func (s *Store) arrived(there map[string]bool, work workRows, err error) (map[string]bool, error) {
	if err != nil {
		return nil, err
	}
	if len(work.ids) > 0 {
		s.hint()
	}
	return there, nil
}

// arriveAll writes newcomers in one commit, on PostgreSQL by one statement, and returns the ids of those it wrote. Whoever is
// there already is passed over, or ends it with nothing written.
func (s *Store) arriveAll(ctx context.Context, all []newcomer, passOver bool) (there map[string]bool, err error) {
	if s.Kind() == PostgreSQL {
		sql, args := insertAll(inOrder(all), passOver)
		err = s.db.statement(ctx, func(t tx) error {
			there = map[string]bool{}
			return readIDs(ctx, t, there, sql, args...)
		})
		return s.arrived(there, workOf(all), err)
	}
	for some := range slices.Chunk(all, sqliteChunk) {
		if !passOver {
			some = all
		}
		done := map[string]bool{}
		err := s.db.write(ctx, func(t tx) error {
			clear(done)
			for _, n := range some {
				failed, err := t.apart(ctx, func() error { return n.insert(ctx, t) })
				switch {
				case err != nil:
					return err
				case failed == nil:
					done[n.id] = true
				case !passOver:
					return failed
				}
			}
			return nil
		})
		if err != nil {
			return there, err
		}
		if there == nil {
			there = map[string]bool{}
		}
		maps.Copy(there, done)
		if !passOver {
			break
		}
	}
	return s.arrived(there, workOf(all), nil)
}

// sqliteChunk is how many newcomers share a commit on SQLite, whose one writer others wait for.
const sqliteChunk = 500

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
