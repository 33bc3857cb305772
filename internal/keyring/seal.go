package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// A sealed value is
//
//	version (1 byte) · key id (4 bytes) · nonce (12 bytes, random) · ciphertext · tag (16 bytes)
//
// with AES-256-GCM. The associated data is the header, then what the value is and where it belongs, each part preceded
// by its length. Random nonces allow 2^32 values under one key (NIST SP 800-38D §8.3): a person's key never comes near;
// the ring's keys seal settings and wrap people's keys, and rotate.
const (
	sealVersion = 1
	headSize    = 1 + len(keyID{})
	overhead    = headSize + 12 + 16
	maxSealed   = 16 << 20 // bytes; nothing we seal is near it
)

// What a value is. A wrapped key can never be taken for a cell, nor one person's for another's.
const (
	kindCell   = "regain cell"   // table, row, column
	kindPerson = "regain person" // person, table, row, column
	kindWrap   = "regain wrap"   // person
)

type sealer struct {
	id   keyID
	aead cipher.AEAD
}

func newSealer(id keyID, key []byte) *sealer {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("keyring: " + err.Error()) // every caller has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("keyring: " + err.Error())
	}
	return &sealer{id, aead}
}

func (s *sealer) seal(plain []byte, place ...string) []byte {
	out := make([]byte, 0, overhead+len(plain))
	out = append(out, sealVersion)
	out = append(out, s.id[:]...)
	return s.aead.Seal(out, nil, plain, associated(out, place))
}

func (s *sealer) open(sealed []byte, place ...string) ([]byte, error) {
	head, err := header(sealed)
	if err != nil {
		return nil, err
	}
	if head != s.id {
		return nil, fmt.Errorf("%w: key %s", ErrUnknownKey, head)
	}
	plain, err := s.aead.Open(nil, nil, sealed[headSize:], associated(sealed[:headSize], place))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func header(sealed []byte) (keyID, error) {
	if len(sealed) < overhead || len(sealed) > maxSealed || sealed[0] != sealVersion {
		return keyID{}, ErrSealed
	}
	return keyID(sealed[1:headSize]), nil
}

func associated(head []byte, place []string) []byte {
	out := append([]byte(nil), head...)
	for _, p := range place {
		out = binary.BigEndian.AppendUint64(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}

// Seal encrypts a value that belongs to nobody, such as a connector's secret, under the primary key. It opens only with
// the same table, row and column. At most 16 MiB.
func (r *Ring) Seal(plain []byte, table, row, column string) []byte {
	st := r.state.Load()
	return st.seal[st.primary].seal(plain, kindCell, table, row, column)
}

// Open decrypts what Seal sealed for the same table, row and column. ErrUnknownKey: the key file lacks the key, so the
// process is not ready; ErrSealed: the value was changed, cut, or sealed for another place.
func (r *Ring) Open(sealed []byte, table, row, column string) ([]byte, error) {
	s, err := r.sealerOf(sealed)
	if err != nil {
		return nil, err
	}
	return s.open(sealed, kindCell, table, row, column)
}

func (r *Ring) sealerOf(sealed []byte) (*sealer, error) {
	id, err := header(sealed)
	if err != nil {
		return nil, err
	}
	s := r.state.Load().seal[id]
	if s == nil {
		return nil, fmt.Errorf("%w: key %s", ErrUnknownKey, id)
	}
	return s, nil
}

// SealedUnder returns the id of the key that sealed or wrapped a value, for a column that counts uses. It does not need
// the key. ErrSealed when the value is none of ours.
func SealedUnder(sealed []byte) (id string, err error) {
	k, err := header(sealed)
	if err != nil {
		return "", err
	}
	return k.String(), nil
}

// PersonKey seals the columns of one person. Delete its wrapped form everywhere and nobody can read them again. Safe for
// concurrent use. The zero value panics when used.
type PersonKey struct {
	redacted
	key hidden[personKey]
}

type personKey struct {
	person string
	secret []byte
	sealer *sealer
}

func newPersonKey(person string, secret []byte) PersonKey {
	// The id is a fingerprint: a value sealed before a person was erased and provisioned anew is told apart from a
	// damaged one. It reveals nothing usable of a 256-bit key.
	id := keyID(mac(secret, "regain person key id")[:len(keyID{})])
	return PersonKey{key: hide(personKey{person, secret, newSealer(id, secret)})}
}

// NewPersonKey makes a person's key. wrapped is its only storable form, for the row of that person alone.
func (r *Ring) NewPersonKey(person string) (key PersonKey, wrapped []byte, err error) {
	if person == "" {
		return PersonKey{}, nil, fmt.Errorf("new person key: no person")
	}
	key = newPersonKey(person, random(secretSize))
	return key, r.wrap(key), nil
}

func (r *Ring) wrap(key PersonKey) []byte {
	st := r.state.Load()
	k := key.key.get()
	return st.seal[st.primary].seal(k.secret, kindWrap, k.person)
}

// Unwrap returns the key of a person from its stored form. ErrUnknownKey: the key file lacks the key that wrapped it;
// ErrSealed: it was changed, or it is another person's.
func (r *Ring) Unwrap(person string, wrapped []byte) (PersonKey, error) {
	s, err := r.sealerOf(wrapped)
	if err != nil {
		return PersonKey{}, err
	}
	secret, err := s.open(wrapped, kindWrap, person)
	if err != nil {
		return PersonKey{}, err
	}
	if len(secret) != secretSize {
		return PersonKey{}, ErrSealed
	}
	return newPersonKey(person, secret), nil
}

// IsZero reports whether there is no key.
func (k PersonKey) IsZero() bool { return k.key.isZero() }

// Seal encrypts a value of this person for one table, row and column. At most 16 MiB.
func (k PersonKey) Seal(plain []byte, table, row, column string) []byte {
	p := k.key.get()
	return p.sealer.seal(plain, kindPerson, p.person, table, row, column)
}

// Open decrypts what Seal sealed for the same person, table, row and column. ErrUnknownKey: it was sealed with another
// person's key, or with one this person had before an erasure; ErrSealed: it was changed, cut, or sealed for another
// place.
func (k PersonKey) Open(sealed []byte, table, row, column string) ([]byte, error) {
	p := k.key.get()
	return p.sealer.open(sealed, kindPerson, p.person, table, row, column)
}
