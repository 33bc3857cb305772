package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// generationKey is the row of settings whose generation is that of all. It moves with every change of settings, policy,
// connectors and keys, in the commit of the change; caches are dropped when it has moved.
const generationKey = "generation"

// stampKey is the row that says what a database is for.
const stampKey = "stamp"

// Generation returns the number that moves with every change of what processes cache.
func (s *Store) Generation(ctx context.Context) (n int64, err error) {
	err = s.db.queryRow(ctx, `SELECT generation FROM settings WHERE key = 'generation'`).Scan(&n)
	return n, err
}

// moveGeneration goes with the first statement of a change that processes have cached.
func moveGeneration() stmt {
	return statement(`UPDATE settings SET generation = generation + 1 WHERE key = 'generation' AND {hit}`)
}

// Setting returns the value kept under a key, and whether there is one.
func (s *Store) Setting(ctx context.Context, key string) (value string, found bool, err error) {
	err = s.db.queryRow(ctx, `SELECT value FROM settings WHERE key = $1`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return value, err == nil, err
}

// SetSetting keeps a value under a key and moves the generation in the same commit. It panics on a key that is the
// store's own.
func (s *Store) SetSetting(ctx context.Context, key, value string) error {
	if key == generationKey || key == stampKey {
		panic("store: setting " + key + " is the store's own")
	}
	// The generation's row comes first and serialises all who set: nobody's number is older than what it came with.
	return s.db.write(ctx, func(t tx) error {
		var n int64
		err := t.queryRow(ctx, `UPDATE settings SET generation = generation + 1 WHERE key = 'generation' RETURNING generation`).Scan(&n)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO settings (key, value, generation) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, generation = excluded.generation`, key, value, n)
		return err
	})
}

// Stamp returns what the database is marked as, "" for none. The demo marks its own, so that serve can refuse it.
func (s *Store) Stamp(ctx context.Context) (string, error) {
	stamp, _, err := s.Setting(ctx, stampKey)
	return stamp, err
}

// SetStamp marks a database that has no mark yet. fault.Conflict when it has another.
func (s *Store) SetStamp(ctx context.Context, stamp string) error {
	return s.db.write(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `INSERT INTO settings (key, value, generation) VALUES ($1, $2, 1) ON CONFLICT (key) DO NOTHING`, stampKey, stamp); err != nil {
			return err
		}
		var have string
		if err := t.queryRow(ctx, `SELECT value FROM settings WHERE key = $1`, stampKey).Scan(&have); err != nil {
			return err
		}
		if have != stamp {
			return fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("the database is marked %q, not %q", have, stamp))
		}
		return nil
	})
}
