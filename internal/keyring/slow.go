package keyring

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of new hashes: Argon2id with 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet). About 25 ms.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltSize    = 16
	hashSize    = 32
)

// Bounds on what a stored hash may ask of us: a row changed by a stranger must not take all memory.
const (
	maxArgonMemory = 256 * 1024 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 8
)

var b64 = base64.RawStdEncoding.Strict()

// HashSecret returns the slow, salted and peppered hash of a secret of less than 112 bits (recovery code, pass, answer)
// as a PHC string that names its cost and its pepper: $argon2id$v=19$m=19456,t=2,p=1,keyid=ID$SALT$HASH. It is an error
// to hash nothing. At most GOMAXPROCS hashes are worked on at once, others wait.
func (r *Ring) HashSecret(secret string) (string, error) {
	if secret == "" {
		return "", errors.New("hash secret: it is empty")
	}
	st := r.state.Load()
	h := phc{memory: argonMemory, time: argonTime, lanes: argonLanes, pepper: st.pepper, salt: random(saltSize)}
	h.hash = r.argon(h, st.peppers[h.pepper], secret, hashSize)
	return h.String(), nil
}

// VerifySecret reports whether secret is the one that was hashed. A malformed string, an unknown pepper and an excessive
// cost are false, after the same work as for a wrong secret.
func (r *Ring) VerifySecret(hash, secret string) bool {
	h, err := parsePHC(hash)
	pepper, known := r.state.Load().peppers[h.pepper]
	if err != nil || !known {
		h, _ = parsePHC(r.DummyHash())
		pepper, known = r.state.Load().peppers[h.pepper], false
	}
	got := r.argon(h, pepper, secret, len(h.hash))
	return subtle.ConstantTimeCompare(got, h.hash) == 1 && known && secret != ""
}

// DummyHash returns a hash no secret has, with the cost of real ones: verifying against it takes the same work when there
// is nothing to verify. Making it takes none.
func (r *Ring) DummyHash() string {
	st := r.state.Load()
	return phc{
		memory: argonMemory, time: argonTime, lanes: argonLanes, pepper: st.pepper,
		salt: random(saltSize), hash: random(hashSize),
	}.String()
}

// NeedsRehash reports whether a hash that just verified should be made anew, because cost or pepper have moved on.
func (r *Ring) NeedsRehash(hash string) bool {
	h, err := parsePHC(hash)
	return err != nil || h.pepper != r.state.Load().pepper || h.memory != argonMemory || h.time != argonTime || h.lanes != argonLanes
}

func (r *Ring) argon(h phc, pepper []byte, secret string, size int) []byte {
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	return argon2.IDKey(mac(pepper, "secret", secret), h.salt, h.time, h.memory, h.lanes, uint32(size))
}

type phc struct {
	memory, time uint32
	lanes        uint8
	pepper       string
	salt, hash   []byte
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d,keyid=%s$%s$%s", argon2.Version, h.memory, h.time, h.lanes, h.pepper,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.hash))
}

// parsePHC reads exactly what String writes: it parses, bounds, and compares the text with its own.
func parsePHC(s string) (phc, error) {
	var h phc
	bad := errors.New("malformed hash")
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[1] != "argon2id" {
		return h, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d,keyid=%s", &h.memory, &h.time, &h.lanes, &h.pepper); err != nil {
		return h, bad
	}
	var err, err2 error
	h.salt, err = b64.DecodeString(parts[4])
	h.hash, err2 = b64.DecodeString(parts[5])
	if err != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.hash) < 16 || len(h.hash) > 64 ||
		h.memory < 8*uint32(max(h.lanes, 1)) || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime ||
		h.lanes < 1 || h.lanes > maxArgonLanes || h.String() != s {
		return h, bad
	}
	return h, nil
}
