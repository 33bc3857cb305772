// Package keyring keeps every long-lived secret of a deployment in one file and does all work that needs them: sealing,
// keyed hashes, derived codes, tickets, slow hashes, tokens and signing keys.
//
//	key file ──┬─ sealing keys (rotated) ──┬─ wrap one AES-256 key a person ── seal that person's columns
//	           │                           └─ seal rows of nobody: settings, connector secrets, signing keys
//	           ├─ hash    HMAC-SHA-256 for equality of destinations and for limiter keys
//	           ├─ code    HMAC-SHA-256 from which codes are derived, so that none is stored
//	           ├─ ticket  HMAC-SHA-256 that lets a browser enter one step and no other
//	           └─ peppers (rotated) HMAC-SHA-256 before Argon2id
//
// The five are independent random values: none is derived from another, so one that leaks says nothing of the rest.
// Whoever reads the database without the file reads ciphertext; whoever deletes a person's wrapped key has erased that
// person everywhere, in backups too (from which the file is kept apart).
//
// Every sealed value names the place it belongs to (table, row, column) as associated data: copied to another row it no
// longer opens. Values of type Ring, PersonKey, SigningKey and Secret print, log and marshal as "[redacted]".
//
// Go cannot promise to wipe memory: the collector may copy. Secrets therefore live behind pointers, are never put into
// errors, and the process is expected to run with core dumps off.
package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The errors callers decide by.
var (
	ErrLoose      = errors.New("key file can be read by others")
	ErrFile       = errors.New("key file is not usable")
	ErrExists     = errors.New("key file exists already")
	ErrLocked     = errors.New("key file is being changed by another process")
	ErrUnknownKey = errors.New("sealed with a key that is not in the key file")
	ErrSealed     = errors.New("sealed value does not open here")
	ErrInUse      = errors.New("key is still in use")
	ErrPrimary    = errors.New("key is the primary one")
)

// Ring holds the secrets of one deployment. All methods are safe for concurrent use. Make one with Create, Open or
// Generate; the zero value is of no use.
type Ring struct {
	redacted
	path  string
	mu    sync.Mutex // one change of the file at a time in this process
	state atomic.Pointer[state]
	slots chan struct{} // bounds concurrent Argon2 runs: each takes 19 MiB and a core
}

// state is what a file says, ready for use. It is replaced as a whole and never changed.
type state struct {
	file               file
	seal               map[keyID]*sealer
	primary            keyID
	hash, code, ticket []byte
	peppers            map[string][]byte
	pepper             string
}

// keyID names a key in four random bytes; it stands in the clear at the head of what the key sealed.
type keyID [4]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// secretSize is the length of every secret of the file in bytes.
const secretSize = 32

// Generate returns a ring that lives in memory only, for tests and the demo.
func Generate() *Ring {
	r, err := newRing("", newFile(time.Now()))
	if err != nil {
		panic("keyring: a fresh ring is not usable: " + err.Error())
	}
	return r
}

func newRing(path string, f file) (*Ring, error) {
	st, err := f.state()
	if err != nil {
		return nil, err
	}
	r := &Ring{path: path, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	r.state.Store(st)
	return r, nil
}

// Primary returns the id of the key that seals from now on: 8 hexadecimal digits.
func (r *Ring) Primary() string { return r.state.Load().primary.String() }

// KeyInfo describes a sealing key without its secret.
type KeyInfo struct {
	ID      string
	Created time.Time
	Primary bool
}

// Keys lists the sealing keys, oldest first.
func (r *Ring) Keys() []KeyInfo {
	var out []KeyInfo
	for _, k := range r.state.Load().file.Keys {
		out = append(out, KeyInfo{ID: k.ID, Created: k.Created, Primary: k.Primary})
	}
	return out
}

// mac is HMAC-SHA-256 over parts, each preceded by its length: no two different lists of parts give the same input.
func mac(key []byte, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		m.Write(n[:])
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails since Go 1.24: the process ends instead
	return b
}

// redacted makes a type that embeds it print, log and marshal as "[redacted]", by every verb of fmt.
type redacted struct{}

const redactedText = "[redacted]"

// String returns "[redacted]".
func (redacted) String() string { return redactedText }

// GoString returns "[redacted]".
func (redacted) GoString() string { return redactedText }

// Format writes "[redacted]" for every verb: %x and %d do not go through String.
func (redacted) Format(s fmt.State, _ rune) { s.Write([]byte(redactedText)) }

// MarshalText returns "[redacted]".
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// MarshalJSON returns "[redacted]" as a string.
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redactedText + `"`), nil }
