package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
)

// How long signing keys serve.
const (
	SigningLife = 90 * 24 * time.Hour // signing, then SweepSigning lets the next one sign
	keepRetired = 30 * 24 * time.Hour // published after that, so that what they signed can still be checked
)

// SigningInfo is what is known of a signing key without opening it.
type SigningInfo struct {
	ID      string // kid
	Purpose string // keyring.ForIDTokens or keyring.ForEvents
	Alg     string
	State   keyring.KeyState
	Created time.Time
	Moved   time.Time // when it came into this state
}

// signingOrder is that in which keys are told: what signs, what will, what did, the latest of those first.
const signingOrder = ` ORDER BY purpose, alg, CASE state WHEN 'current' THEN 0 WHEN 'next' THEN 1 ELSE 2 END, moved DESC, id`

const selectSigning = `SELECT id, purpose, alg, state, sealed, created, moved FROM signing_keys `

// storedSigning is a signing key as it lies in the database.
type storedSigning struct {
	SigningInfo
	sealed []byte
}

func readSigning(row scanner) (k storedSigning, err error) {
	var created, moved int64
	err = row.Scan(&k.ID, &k.Purpose, &k.Alg, &k.State, &k.sealed, &created, &moved)
	k.Created, k.Moved = moment(created), moment(moved)
	return k, err
}

func (s *Store) openSigning(stored []storedSigning) ([]keyring.SigningKey, error) {
	var all []keyring.SigningKey
	for _, k := range stored {
		if s.ring == nil {
			return nil, errNoRing
		}
		key, err := s.ring.OpenSigningKey(k.ID, k.State, k.sealed)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, nil
}

// SigningKeys returns the keys of a purpose, of every algorithm and in every state: for each algorithm what signs, what
// will, what did. See Cached.
func (s *Store) SigningKeys(ctx context.Context, purpose string) ([]keyring.SigningKey, error) {
	found, err := collect(ctx, s.db, readSigning, selectSigning+`WHERE purpose = $1`+signingOrder, storable(purpose))
	if err != nil {
		return nil, err
	}
	return s.openSigning(found)
}

// openAllSigning opens keys by purpose.
func (s *Store) openAllSigning(stored []storedSigning) (map[string][]keyring.SigningKey, error) {
	all := map[string][]keyring.SigningKey{}
	for _, k := range stored {
		opened, err := s.openSigning([]storedSigning{k})
		if err != nil {
			return nil, err
		}
		all[k.Purpose] = append(all[k.Purpose], opened...)
	}
	return all, nil
}

// SigningInfos returns what is known of all signing keys; it opens none of them.
func (s *Store) SigningInfos(ctx context.Context) ([]SigningInfo, error) {
	return collect(ctx, s.db, func(row scanner) (SigningInfo, error) {
		k, err := readSigning(row)
		return k.SigningInfo, err
	}, selectSigning+signingOrder)
}

// addSigning seals a fresh key and returns the statement that stores it, with {hit} when it goes with another.
func (s *Store) addSigning(k keyring.SigningKey, state keyring.KeyState, purpose string, now time.Time, with string) (stmt, error) {
	if s.ring == nil {
		return stmt{}, errNoRing
	}
	sealed, err := s.ring.SealSigningKey(k)
	if err != nil {
		return stmt{}, err
	}
	return statement(`INSERT INTO signing_keys (id, purpose, alg, state, sealed, created, moved) SELECT $1, $2, $3, $4, $5, $6, $7 WHERE `+with+` ON CONFLICT DO NOTHING`,
		k.ID, purpose, k.Alg, string(state), sealed, micros(k.Created), micros(now)), nil
}

func checkPurpose(purpose string) error {
	if purpose != keyring.ForIDTokens && purpose != keyring.ForEvents {
		return fmt.Errorf("purpose %q: want %s or %s", purpose, keyring.ForIDTokens, keyring.ForEvents)
	}
	return nil
}

// signingRotated says that a key signs from now on; before is the one that did, "" for none.
func signingRotated(now time.Time, actor, purpose, alg, kid, before string) event.Event {
	e := event.New(now, event.SigningRotated, actor, "", kid, event.Success).With("purpose", purpose).With("alg", alg)
	if before != "" {
		e = e.With("before", before)
	}
	return e
}

// EnsureSigning makes a key that signs and one that will for a purpose and algorithm that has none, and moves the
// generation. Of several who do it at once the keys of one are stored. It may be repeated.
func (s *Store) EnsureSigning(ctx context.Context, purpose, alg string, now time.Time) error {
	err := checkPurpose(purpose)
	if err == nil {
		err = s.ensureSigning(ctx, purpose, alg, now, "system")
	}
	if err != nil {
		return fmt.Errorf("ensure signing key: %w", err)
	}
	return nil
}

func (s *Store) ensureSigning(ctx context.Context, purpose, alg string, now time.Time, actor string) error {
	have, err := collect(ctx, s.db, readSigning, selectSigning+`WHERE purpose = $1 AND alg = $2 AND state <> 'retired'`, purpose, storable(alg))
	if err != nil || len(have) == 2 {
		return err
	}
	var missing []keyring.KeyState
	for _, state := range []keyring.KeyState{keyring.Current, keyring.Next} {
		if !slices.ContainsFunc(have, func(k storedSigning) bool { return k.State == state }) {
			missing = append(missing, state)
		}
	}
	c := change{with: []stmt{moveGeneration()}}
	for i, state := range missing {
		k, err := keyring.NewSigningKey(alg, now)
		if err != nil {
			return err
		}
		add, err := s.addSigning(k, state, purpose, now, []string{"TRUE", hit}[i])
		if err != nil {
			return err
		}
		if i == 0 {
			c.first = add
		} else {
			c.with = append(c.with, add)
		}
		if state == keyring.Current {
			c.events = append(c.events, signingRotated(now, actor, purpose, alg, k.ID, ""))
		}
	}
	_, err = s.commit(ctx, c)
	return err
}

// RotateSigning lets the next key of a purpose and algorithm sign, retires the one that did, which stays published for 30
// days, makes a new next one, records it and moves the generation. Of several who rotate the same key at once one does;
// false for the others. With no key yet it is EnsureSigning.
func (s *Store) RotateSigning(ctx context.Context, purpose, alg string, now time.Time, actor string) (rotated bool, err error) {
	var was string
	if err = checkPurpose(purpose); err == nil {
		err = s.db.queryRow(ctx, `SELECT id FROM signing_keys WHERE purpose = $1 AND alg = $2 AND state = 'current'`, purpose, storable(alg)).Scan(&was)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = s.ensureSigning(ctx, purpose, alg, now, actor)
		rotated = err == nil
	case err == nil:
		rotated, err = s.retireSigning(ctx, was, purpose, alg, now, actor)
	}
	if err != nil {
		return false, fmt.Errorf("rotate signing key: %w", err)
	}
	return rotated, nil
}

// retireSigning retires one key, if it still signs, and lets the one after it sign. That it is one key, and not whichever
// signs by now, is what keeps several who find it old from going several keys on.
func (s *Store) retireSigning(ctx context.Context, was, purpose, alg string, now time.Time, actor string) (rotated bool, err error) {
	fresh, err := keyring.NewSigningKey(alg, now) // outside of the transaction: it takes its time
	if err != nil {
		return false, err
	}
	err = s.transact(ctx, func(t tx) ([]event.Event, error) {
		// One after the other, for at no moment may two of them sign. The first statement is what only one caller hits.
		rotated = false
		n, err := t.exec(ctx, `UPDATE signing_keys SET state = 'retired', moved = $2 WHERE id = $1 AND state = 'current'`, was, micros(now))
		if err != nil || n == 0 {
			return nil, err
		}
		rotated = true
		signs := ""
		err = t.queryRow(ctx, `UPDATE signing_keys SET state = 'current', moved = $3 WHERE purpose = $1 AND alg = $2 AND state = 'next' RETURNING id`,
			purpose, alg, micros(now)).Scan(&signs)
		state := keyring.Next
		if errors.Is(err, sql.ErrNoRows) { // nobody could know an older one
			state, signs, err = keyring.Current, fresh.ID, nil
		}
		if err != nil {
			return nil, err
		}
		add, err := s.addSigning(fresh, state, purpose, now, "TRUE")
		if err == nil {
			_, err = t.exec(ctx, add.sql, add.args...)
		}
		if err == nil {
			_, err = t.exec(ctx, `UPDATE settings SET generation = generation + 1 WHERE key = 'generation'`)
		}
		return []event.Event{signingRotated(now, actor, purpose, alg, signs, was)}, err
	})
	return rotated && err == nil, err
}

// WithdrawSigning deletes one key at once, so that it is not published any more: it is in wrong hands. Where it signed, the
// next one does from then on; a next one is made anew. fault.NotFound when there is none of that id.
func (s *Store) WithdrawSigning(ctx context.Context, id string, now time.Time, actor string) error {
	found, err := collect(ctx, s.db, readSigning, selectSigning+`WHERE id = $1`, storable(id))
	if err == nil && len(found) == 0 {
		err = notFound("signing key", id)
	}
	if err != nil {
		return fmt.Errorf("withdraw signing key: %w", err)
	}
	k := found[0]
	if k.State == keyring.Current {
		if _, err := s.retireSigning(ctx, k.ID, k.Purpose, k.Alg, now, actor); err != nil {
			return fmt.Errorf("withdraw signing key: %w", err)
		}
	}
	hit, err := s.commit(ctx, change{
		first:  statement(`DELETE FROM signing_keys WHERE id = $1 AND state <> 'current'`, k.ID),
		with:   []stmt{moveGeneration()},
		events: []event.Event{event.New(now, event.SigningWithdrawn, actor, "", k.ID, event.Success).With("purpose", k.Purpose).With("alg", k.Alg)},
	})
	if err == nil && !hit { // it came to sign, or went, this very moment
		err = fault.New(fault.Conflict, message.Key("error.conflict"))
	}
	if err == nil && k.State == keyring.Next {
		err = s.ensureSigning(ctx, k.Purpose, k.Alg, now, actor)
	}
	if err != nil {
		return fmt.Errorf("withdraw signing key: %w", err)
	}
	return nil
}

// SweepSigning rotates every key that has signed for SigningLife, and deletes those that retired more than 30 days ago.
// It may be repeated, and run by several at once.
func (s *Store) SweepSigning(ctx context.Context, now time.Time) (rotated, swept int, err error) {
	due, err := collect(ctx, s.db, readSigning, selectSigning+`WHERE state = 'current' AND moved <= $1`+signingOrder, micros(now.Add(-SigningLife)))
	if err != nil {
		return 0, 0, fmt.Errorf("sweep signing keys: %w", err)
	}
	var errs []error
	for _, k := range due {
		done, err := s.retireSigning(ctx, k.ID, k.Purpose, k.Alg, now, "system")
		if err != nil {
			errs = append(errs, fmt.Errorf("rotate signing key: %w", err)) // one must not keep the others from their turn
		} else if done {
			rotated++
		}
	}
	var gone int64
	err = s.db.write(ctx, func(t tx) (err error) {
		gone, err = t.exec(ctx, `DELETE FROM signing_keys WHERE state = 'retired' AND moved <= $1`, micros(now.Add(-keepRetired)))
		if err == nil && gone > 0 {
			_, err = t.exec(ctx, `UPDATE settings SET generation = generation + 1 WHERE key = 'generation'`)
		}
		return err
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("sweep signing keys: %w", err))
		gone = 0
	}
	return rotated, int(gone), errors.Join(errs...)
}
