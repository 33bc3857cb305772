package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// brakeIn reads a connector's brake and locks it until the end of the transaction, after everything else: who leaves at
// once is counted one after the other, so that a wave begins once and with everybody who belongs to it.
func brakeIn(ctx context.Context, t tx, connector string) (client.Brake, error) {
	var b client.Brake
	if _, err := t.exec(ctx, `INSERT INTO brakes (connector, state) VALUES ($1, '{}') ON CONFLICT DO NOTHING`, connector); err != nil {
		return b, err
	}
	var state string
	if err := t.queryRow(ctx, `SELECT state FROM brakes WHERE connector = $1`+t.lock(lockBrake), connector).Scan(&state); err != nil {
		return b, err
	}
	if err := json.Unmarshal([]byte(state), &b); err != nil {
		return b, fmt.Errorf("brake of connector %s: %w", connector, err)
	}
	return b, nil
}

func saveBrake(ctx context.Context, t tx, connector string, b client.Brake) error {
	state, err := json.Marshal(b)
	if err == nil {
		_, err = t.exec(ctx, `UPDATE brakes SET state = $2 WHERE connector = $1`, connector, string(state))
	}
	return err
}

// departing is what is known of somebody whom a connector disables or deletes, in whose transaction it is written down.
type departing struct {
	person    *account.Person // as they were
	connector string
	rows      keepsake // of somebody deleted; nil for somebody disabled
	now       time.Time
}

// depart counts somebody who leaves, keeps for minutes or days what is needed to bring them back, and returns the event of a
// wave that begins with them. It comes last in a transaction: the lock on the brake is held until its end.
func (s *Store) depart(ctx context.Context, t tx, d departing) ([]event.Event, error) {
	b, err := brakeIn(ctx, t, d.connector)
	if err != nil {
		return nil, err
	}
	// Somebody who is disabled and deleted in a wave comes back as they were before all of it.
	active, again := d.person.Active, false
	var before int64
	var was bool
	var wave string
	switch err := t.queryRow(ctx, `SELECT at, active, wave FROM departures WHERE person = $1 AND connector = $2`, d.person.ID, d.connector).Scan(&before, &was, &wave); {
	case err == nil:
		again = d.now.Sub(moment(before)) < client.BrakeWindow
		if (again || wave != "") && !d.person.Active {
			active = was
		}
	case !errors.Is(err, sql.ErrNoRows):
		return nil, err
	}
	if !again && b.Counts(d.now) {
		var n int
		if err := t.queryRow(ctx, `SELECT count(*) FROM people WHERE connector = $1 AND active`, d.connector).Scan(&n); err != nil {
			return nil, err
		}
		b.Count(n, d.now)
	}
	l := b.Leave(again, newID(), d.now)
	if err := saveBrake(ctx, t, d.connector, b); err != nil {
		return nil, err
	}
	if l.Expected {
		_, err := t.exec(ctx, `DELETE FROM departures WHERE person = $1`, d.person.ID)
		return nil, err
	}
	if l.Wave == "" && wave != "" && !d.person.Active { // who was disabled in a wave and is deleted in its wake
		l.Wave = wave
	}
	sealed, err := s.sealKeepsake(ctx, t, d.person.ID, d.rows)
	if err != nil {
		return nil, err
	}
	if _, err := t.exec(ctx, `INSERT INTO departures (person, connector, wave, at, active, sealed) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (person) DO UPDATE SET connector = excluded.connector, wave = excluded.wave, at = excluded.at, active = excluded.active, sealed = excluded.sealed`,
		d.person.ID, d.connector, l.Wave, micros(d.now), active, sealed); err != nil || !l.Began {
		return nil, err
	}
	if _, err := t.exec(ctx, `UPDATE departures SET wave = $2 WHERE connector = $1 AND wave = '' AND at > $3`, d.connector, l.Wave, micros(d.now.Add(-client.BrakeWindow))); err != nil {
		return nil, err
	}
	var name string
	if err := t.queryRow(ctx, `SELECT name FROM connectors WHERE id = $1`, d.connector).Scan(&name); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	e := event.New(d.now, event.ConnectorBraked, "connector:"+d.connector, "", d.connector, event.Success).With("name", name).With("wave", l.Wave).
		With("left", b.Recent(d.now)).With("people", b.People).With("until", d.now.Add(client.BrakeKeeps).UTC().Format(time.RFC3339))
	return []event.Event{e}, nil
}

// stays forgets that somebody left: who took them away has brought them back.
func stays(ctx context.Context, t tx, person string) error {
	_, err := t.exec(ctx, `DELETE FROM departures WHERE person = $1 AND sealed IS NULL`, person)
	return err
}

// Expect lifts a connector's brake for one wave, with the events in one commit. fault.Invalid as client.Brake.Expect.
func (s *Store) Expect(ctx context.Context, connector string, n int, until, now time.Time, events ...event.Event) error {
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		b, err := brakeIn(ctx, t, storable(connector))
		if err != nil {
			return nil, err
		}
		if err := b.Expect(n, until, now); err != nil {
			return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
		}
		return events, saveBrake(ctx, t, connector, b)
	})
	if err != nil {
		return fmt.Errorf("expect departures: %w", err)
	}
	return nil
}

// Brake returns a connector's brake, and how many people of each of its waves can be brought back, by the wave's id.
func (s *Store) Brake(ctx context.Context, connector string) (b client.Brake, held map[string]int, err error) {
	var state string
	held = map[string]int{}
	err = s.db.queryRow(ctx, `SELECT state FROM brakes WHERE connector = $1`, storable(connector)).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return b, held, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(state), &b)
	}
	if err == nil && len(b.Waves) > 0 {
		err = s.db.query(ctx, func(row scanner) error {
			var wave string
			var n int
			err := row.Scan(&wave, &n)
			held[wave] = n
			return err
		}, `SELECT wave, count(*) FROM departures WHERE connector = $1 AND wave <> '' GROUP BY wave`, storable(connector))
	}
	if err != nil {
		return client.Brake{}, nil, fmt.Errorf("brake of connector %s: %w", connector, err)
	}
	return b, held, nil
}

// SweepDepartures forgets who left: in no wave after the window, in one after seven days. It returns how many rows went.
func (s *Store) SweepDepartures(ctx context.Context, now time.Time) (swept int64, err error) {
	for n := int64(sweepPage); n == sweepPage; swept += n {
		err := s.db.statement(ctx, func(t tx) (err error) {
			n, err = t.exec(ctx, `DELETE FROM departures WHERE person IN (SELECT person FROM departures WHERE at <= $1 AND wave = '' OR at <= $2 LIMIT $3)`,
				micros(now.Add(-client.BrakeWindow)), micros(now.Add(-client.BrakeKeeps)), sweepPage)
			return err
		})
		if err != nil {
			return swept, fmt.Errorf("sweep departures: %w", err)
		}
	}
	return swept, nil
}
