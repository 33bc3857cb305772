package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// undoPage is how many people an undo looks at at once; each comes back in a commit of their own.
const undoPage = 200

// errStayed says that there is nobody to bring back.
var errStayed = errors.New("nobody to bring back")

// Undo brings back whoever left in one of a connector's waves, the latest when wave is empty: disabled people are enabled, deleted ones stand as they did,
// with their own ways as these were, and nothing new; nothing they had open comes back. Who was enabled or made anew
// meanwhile stays as they are; whoever cannot come back because the name is another's can still be, by a later undo. An undo that was broken off goes on when it is run again.
// fault.NotFound when there is no wave, or its seven days are over.
func (s *Store) Undo(ctx context.Context, connector, wave, actor string, now time.Time) (u client.Undone, err error) {
	b, held, err := s.Brake(ctx, connector)
	w := b.Wave(wave, now)
	if err == nil && (w == nil || held[w.ID] == 0) {
		err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), errStayed)
	}
	if err != nil {
		return u, fmt.Errorf("undo: %w", err)
	}
	wave = w.ID
	for after := ""; ; {
		page, err := collect(ctx, s.db, func(row scanner) (id string, err error) { err = row.Scan(&id); return id, err },
			`SELECT person FROM departures WHERE connector = $1 AND wave = $2 AND person > $3 ORDER BY person LIMIT $4`, connector, wave, after, undoPage)
		if err != nil {
			return u, fmt.Errorf("undo: %w", err)
		}
		for _, person := range page {
			after = person
			fate, err := s.bringBack(ctx, person, wave, actor, now)
			if err != nil {
				return u, fmt.Errorf("undo: person %s: %w", person, err)
			}
			switch fate {
			case enabled:
				u.Enabled++
			case restored:
				u.Restored++
			case nameTaken:
				u.Taken++
			}
		}
		if len(page) < undoPage {
			break
		}
	}
	err = s.transact(ctx, func(t tx) ([]event.Event, error) {
		b, err := brakeIn(ctx, t, connector)
		if err != nil {
			return nil, err
		}
		b.Undo(wave, u.Taken > 0)
		e := event.New(now, event.ConnectorUndone, actor, "", connector, event.Success).With("wave", wave).With("enabled", u.Enabled).With("restored", u.Restored).With("taken", u.Taken)
		return []event.Event{e}, saveBrake(ctx, t, connector, b)
	})
	if err != nil {
		return u, fmt.Errorf("undo: %w", err)
	}
	return u, nil
}

// fate is what became of somebody who was to be brought back.
type fate int

const (
	stayed    fate = iota // nothing to do: they are there
	enabled               // were disabled
	restored              // were deleted
	nameTaken             // were deleted, and somebody else has the name now
)

// bringBack undoes one departure. The row that told of it goes in the same commit, unless the name is another's now.
func (s *Store) bringBack(ctx context.Context, person, wave, actor string, now time.Time) (f fate, err error) {
	err = s.transact(ctx, func(t tx) ([]event.Event, error) {
		f = stayed
		var sealed []byte
		var active bool
		p, err := readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), person))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		err2 := t.queryRow(ctx, `SELECT active, sealed FROM departures WHERE person = $1 AND wave = $2`, person, wave).Scan(&active, &sealed)
		if errors.Is(err2, sql.ErrNoRows) { // somebody else was faster
			return nil, nil
		}
		if err2 != nil {
			return nil, err2
		}
		if _, err := t.exec(ctx, `DELETE FROM departures WHERE person = $1 AND wave = $2`, person, wave); err != nil {
			return nil, err
		}
		switch {
		case p != nil && (sealed != nil || !active): // deleted, and there: nothing of ours
			return nil, nil
		case p != nil:
			return s.enableAgain(ctx, t, p, actor, now, &f)
		case sealed == nil: // disabled here, and deleted since for another reason
			return nil, nil
		}
		kept, err := s.openKeepsake(ctx, t, person, sealed)
		if errors.Is(err, errNoKey) || errors.Is(err, sql.ErrNoRows) { // erased
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return s.restore(ctx, t, kept, person, active, actor, now, &f)
	})
	if errors.Is(err, errNameTaken) { // nothing was changed: what was kept of them is still kept
		return nameTaken, nil
	}
	return f, err
}

var errNameTaken = errors.New("the name is another's now")

// enableAgain lets a person who was disabled go on.
func (s *Store) enableAgain(ctx context.Context, t tx, p *account.Person, actor string, now time.Time, f *fate) ([]event.Event, error) {
	before := clonePerson(p)
	events := p.Reactivate(actor, now)
	if len(events) == 0 {
		return nil, nil
	}
	*f = enabled
	_, err := savePerson(ctx, t, before, p, now)
	return events, err
}

// restore puts back somebody who was deleted. Their version is a later one, so that nobody takes what was read before for
// what is there now, and so is their epoch: nothing that was open before is open again.
func (s *Store) restore(ctx context.Context, t tx, kept keepsake, person string, active bool, actor string, now time.Time, f *fate) ([]event.Event, error) {
	for _, table := range keptTables {
		n, err := kept.putBack(ctx, t, table)
		if err != nil {
			return nil, err
		}
		if table.name == "people" && n == 0 { // the user name, or the connector's own name for them, is another's now
			return nil, errNameTaken
		}
	}
	if _, err := t.exec(ctx, `UPDATE people SET version = version + 1, epoch = epoch + 1, active = $2, updated = $3 WHERE id = $1`, person, active, micros(now)); err != nil {
		return nil, err
	}
	if _, err := t.exec(ctx, `UPDATE groups SET version = version + 1, updated = $2 WHERE id IN (SELECT grp FROM members WHERE member = $1)`, person, micros(now)); err != nil {
		return nil, err
	}
	*f = restored
	return []event.Event{event.New(now, event.PersonRestored, actor, person, "", event.Success)}, nil
}
