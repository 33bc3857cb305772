package keyring

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// KeyState says where in its life a signing key is.
type KeyState string

// The states. All three are published: Next so that receivers know a key before it signs, Retired so that they can
// still check what it signed.
const (
	Next    KeyState = "next"
	Current KeyState = "current"
	Retired KeyState = "retired"
)

// The algorithms of signing keys (RFC 7518 §3.1, RFC 8037 §3.1).
const (
	RS256 = "RS256" // RSA, 3072 bits
	ES256 = "ES256" // ECDSA on P-256
	EdDSA = "EdDSA" // Ed25519
)

// What signing keys are for. A key signs for one purpose only, so that a statement of one kind can never pass for another.
const (
	ForIDTokens = "id-token"
	ForEvents   = "event"
)

// SigningKey is a key we sign statements with. ID is its thumbprint (RFC 7638) and the kid of what it signs. Copies are
// cheap and safe for concurrent use. It prints as "[redacted]".
type SigningKey struct {
	redacted
	ID      string
	Alg     string
	State   KeyState
	Created time.Time
	key     hidden[jwk.Key]
}

// NewSigningKey makes a key for RS256, ES256 or EdDSA in state Next.
func NewSigningKey(alg string, now time.Time) (SigningKey, error) {
	var raw any
	var err error
	switch alg {
	case RS256:
		raw, err = rsa.GenerateKey(rand.Reader, 3072)
	case ES256:
		raw, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, raw, err = ed25519.GenerateKey(rand.Reader)
	default:
		return SigningKey{}, fmt.Errorf("signing key: algorithm %q: want %s, %s or %s", alg, RS256, ES256, EdDSA)
	}
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	key, err := jwk.Import(raw)
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	return dress(key, alg, Next, now.UTC())
}

// dress gives a private key its kid, alg and use.
func dress(key jwk.Key, alg string, state KeyState, created time.Time) (SigningKey, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	k := SigningKey{ID: base64.RawURLEncoding.EncodeToString(sum), Alg: alg, State: state, Created: created, key: hide(key)}
	a, ok := jwa.LookupSignatureAlgorithm(alg)
	if !ok {
		return SigningKey{}, fmt.Errorf("signing key: algorithm %q", alg)
	}
	err = errors.Join(key.Set(jwk.KeyIDKey, k.ID), key.Set(jwk.AlgorithmKey, a), key.Set(jwk.KeyUsageKey, "sig"))
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	return k, nil
}

// Private returns the key for jws.Sign. It carries kid and alg. Do not change, log or marshal it.
func (k SigningKey) Private() jwk.Key { return k.key.get() }

// Public returns the public half, with kid, alg and use.
func (k SigningKey) Public() (jwk.Key, error) { return k.key.get().PublicKey() }

// The place a signing key's sealed form belongs to; its row is the key's ID.
const (
	signingTable  = "signing_keys"
	signingColumn = "sealed"
)

type storedSigningKey struct {
	Alg     string          `json:"alg"`
	Created time.Time       `json:"created"`
	Key     json.RawMessage `json:"key"`
}

// SealSigningKey returns a key's storable form. State is not in it: it is a column of its own, changed by rotation.
func (r *Ring) SealSigningKey(k SigningKey) ([]byte, error) {
	if k.key.isZero() {
		return nil, errors.New("seal signing key: no key")
	}
	private, err := json.Marshal(k.key.get())
	if err != nil {
		return nil, fmt.Errorf("seal signing key: %w", err)
	}
	plain, err := json.Marshal(storedSigningKey{k.Alg, k.Created, private})
	if err != nil {
		return nil, fmt.Errorf("seal signing key: %w", err)
	}
	return r.Seal(plain, signingTable, k.ID, signingColumn), nil
}

// OpenSigningKey returns the key with this id from its storable form, in the state its row says. Errors as Open.
func (r *Ring) OpenSigningKey(id string, state KeyState, sealed []byte) (SigningKey, error) {
	plain, err := r.Open(sealed, signingTable, id, signingColumn)
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key %s: %w", id, err)
	}
	defer clear(plain)
	var stored storedSigningKey
	if err := json.Unmarshal(plain, &stored); err != nil {
		return SigningKey{}, fmt.Errorf("signing key %s: not JSON", id)
	}
	key, err := jwk.ParseKey(stored.Key)
	if err != nil {
		return SigningKey{}, fmt.Errorf("signing key %s: not a JWK", id) // the cause may quote it
	}
	k, err := dress(key, stored.Alg, state, stored.Created)
	if err == nil && k.ID != id {
		err = fmt.Errorf("signing key %s: its thumbprint is %s", id, k.ID)
	}
	return k, err
}

// JWKS returns the public halves of keys as a JSON Web Key Set (RFC 7517 §5), in a stable order: current, next, retired.
func JWKS(keys ...SigningKey) ([]byte, error) {
	rank := map[KeyState]int{Current: 0, Next: 1, Retired: 2}
	sorted := slices.SortedFunc(slices.Values(keys), func(a, b SigningKey) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	set := jwk.NewSet()
	for _, k := range sorted {
		public, err := k.Public()
		if err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
		if err := set.AddKey(public); err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
	}
	return json.Marshal(set)
}

// Signer returns the current key.
func Signer(keys []SigningKey) (SigningKey, bool) {
	i := slices.IndexFunc(keys, func(k SigningKey) bool { return k.State == Current })
	if i < 0 {
		return SigningKey{}, false
	}
	return keys[i], true
}

// RotateSigning returns the keys of one algorithm one step on: the current one retires, the next one signs, fresh waits
// as the next. With no key waiting, fresh signs at once: there is nobody who could know an older one. Retired keys stay
// until the caller drops those whose last signature has expired.
func RotateSigning(keys []SigningKey, fresh SigningKey) []SigningKey {
	out := make([]SigningKey, 0, len(keys)+1)
	signs := false
	for _, k := range keys {
		switch k.State {
		case Current:
			k.State = Retired
		case Next:
			k.State = Current
			signs = true
		}
		out = append(out, k)
	}
	fresh.State = Next
	if !signs {
		fresh.State = Current
	}
	return append(out, fresh)
}
