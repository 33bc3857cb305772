package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/regain-id/regain/internal/keyring"
)

// private is the sealed column of a row that is a person's, as it was read: with their wrapped key from the same join.
type private struct {
	table, row string
	person     string
	sealed     []byte
	wrapped    []byte
}

// key unwraps the person's key; errNoKey when it was erased, and nothing of theirs can be read any more.
func (p private) key(ring *keyring.Ring) (keyring.PersonKey, error) {
	switch {
	case ring == nil:
		return keyring.PersonKey{}, errNoRing
	case p.wrapped == nil:
		return keyring.PersonKey{}, errNoKey
	}
	key, err := ring.Unwrap(p.person, p.wrapped)
	if err != nil {
		return keyring.PersonKey{}, fmt.Errorf("key of person %s: %w", p.person, err)
	}
	return key, nil
}

// open reads what is sealed into v; errNoKey when it was sealed by a key that was erased, and is forgotten with it.
func (p private) open(ring *keyring.Ring, v any) error {
	if p.sealed == nil {
		return nil
	}
	key, err := p.key(ring)
	var plain []byte
	if err == nil {
		plain, err = key.Open(p.sealed, p.table, p.row, "sealed")
	}
	if errors.Is(err, keyring.ErrUnknownKey) { // the person was erased and came back
		err = errNoKey
	}
	if err == nil {
		err = json.Unmarshal(plain, v)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", p.table, p.row, err)
	}
	return nil
}

// show is open for what is only shown, or gives rights: what is forgotten reads as empty.
func (p private) show(ring *keyring.Ring, v any) error {
	err := p.open(ring, v)
	if errors.Is(err, errNoKey) {
		return nil
	}
	return err
}

// sealOwn is the sealed column of a person's row.
func sealOwn(key keyring.PersonKey, table, row string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return key.Seal(plain, table, row, "sealed"), nil
}
