package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/regain-id/regain/internal/keyring"
)

var (
	errNoKey  = errors.New("no key")
	errNoRing = errors.New("no key file was given")
)

var _ keyring.RewrapStore = (*Store)(nil)

// readKey returns a person's key, errNoKey when there is none: never made, or erased.
func (s *Store) readKey(ctx context.Context, r reader, person string) (keyring.PersonKey, error) {
	if s.ring == nil {
		return keyring.PersonKey{}, errNoRing
	}
	var wrapped []byte
	err := r.queryRow(ctx, `SELECT wrapped FROM person_keys WHERE person = $1`, person).Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return keyring.PersonKey{}, errNoKey
	}
	if err != nil {
		return keyring.PersonKey{}, err
	}
	key, err := s.ring.Unwrap(person, wrapped)
	if err != nil {
		return keyring.PersonKey{}, fmt.Errorf("key of person %s: %w", person, err)
	}
	return key, nil
}

// personKey returns a person's key and makes one, in a commit of its own, for whoever has none. It must not be called
// inside a transaction. Keys are read each time: a cached one would go on sealing for somebody erased.
func (s *Store) personKey(ctx context.Context, person string) (keyring.PersonKey, error) {
	key, err := s.readKey(ctx, s.db, person)
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	err = s.db.write(ctx, func(t tx) (err error) {
		key, err = s.personKeyIn(ctx, t, person)
		return err
	})
	return key, err
}

// personKeyIn does the same inside a transaction. Of several who make a key at once, all get the one that was stored.
func (s *Store) personKeyIn(ctx context.Context, t tx, person string) (keyring.PersonKey, error) {
	key, err := s.readKey(ctx, t, person)
	if !errors.Is(err, errNoKey) {
		return key, err
	}
	_, wrapped, err := s.ring.NewPersonKey(person)
	if err != nil {
		return keyring.PersonKey{}, err
	}
	kek, err := keyring.SealedUnder(wrapped)
	if err != nil {
		return keyring.PersonKey{}, err
	}
	if _, err := t.exec(ctx, `INSERT INTO person_keys (person, kek, wrapped, created) VALUES ($1, $2, $3, $4) ON CONFLICT (person) DO NOTHING`,
		person, kek, wrapped, micros(s.now())); err != nil {
		return keyring.PersonKey{}, err
	}
	return s.readKey(ctx, t, person)
}

// WrappedKeys returns at most limit keys of people after the given one that are not wrapped by the key file's key
// notUnder, in bytewise order of person.
func (s *Store) WrappedKeys(ctx context.Context, after, notUnder string, limit int) ([]keyring.Wrapped, error) {
	return collect(ctx, s.db, func(row scanner) (w keyring.Wrapped, err error) {
		err = row.Scan(&w.Person, &w.Key)
		return w, err
	}, `SELECT person, wrapped FROM person_keys WHERE person > $1 AND kek <> $2 ORDER BY person LIMIT $3`, after, notUnder, limit)
}

// ReplaceWrapped stores a key's new wrapping if the stored one still is old, and reports whether it was.
func (s *Store) ReplaceWrapped(ctx context.Context, person string, old, new []byte) (replaced bool, err error) {
	kek, err := keyring.SealedUnder(new)
	if err != nil {
		return false, err
	}
	err = s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, `UPDATE person_keys SET wrapped = $3, kek = $4 WHERE person = $1 AND wrapped = $2`, person, old, new, kek)
		replaced = n == 1
		return err
	})
	return replaced, err
}

// KeyUses counts the people whose key is wrapped by the key file's key of that id: while there are any, it must stay.
func (s *Store) KeyUses(ctx context.Context, kek string) (n int, err error) {
	err = s.db.queryRow(ctx, `SELECT count(*) FROM person_keys WHERE kek = $1`, kek).Scan(&n)
	return n, err
}
