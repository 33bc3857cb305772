package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How long a provider's keys are believed, and how often they are asked for at most. A key that the provider withdrew
// is trusted no longer than keyAge; tokens with invented key ids cause one request in keyRetry.
const (
	keyAge     = time.Hour
	keyRetry   = 30 * time.Second
	maxKeys    = 64
	minRSABits = 2048
)

// keySet holds the keys of one provider (OIDC Core §10.1.1). It is an oidc.KeySet. go-oidc's own asks for the keys anew
// for every unknown key id and never forgets one.
type keySet struct{ cached[[]jose.JSONWebKey] }

func newKeySet(now func() time.Time, fetch func(context.Context) ([]jose.JSONWebKey, error)) *keySet {
	return &keySet{cached[[]jose.JSONWebKey]{now: now, fetch: fetch, age: keyAge, life: keyAge, retry: keyRetry}}
}

// joseAlgorithms are algorithms as the library names them.
var joseAlgorithms = func() []jose.SignatureAlgorithm {
	out := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		out[i] = jose.SignatureAlgorithm(a)
	}
	return out
}()

var (
	errNoKey  = errors.New("no key of the provider verifies the signature")
	errForged = errors.New("the key that is named does not verify the signature")
)

// VerifySignature returns what the token says when one of the provider's keys signed it. The caller has decided which
// algorithms are taken; a key named for another one is not used.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, joseAlgorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("no signed token")
	}
	for _, anew := range []bool{false, true} {
		keys, err := k.get(ctx, anew)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		payload, known := verifyWith(keys, jws)
		if payload != nil {
			return payload, nil
		}
		if known { // the key is there and does not fit: a forged token, not a rotation
			return nil, errForged
		}
	}
	return nil, errNoKey
}

// verifyWith tries the keys that may have signed. known reports that the key named is among them.
func verifyWith(keys []jose.JSONWebKey, jws *jose.JSONWebSignature) (payload []byte, known bool) {
	h := jws.Signatures[0].Protected // a header that is not signed is not looked at, nor is a key that came in one
	for _, key := range keys {
		if key.Algorithm != "" && key.Algorithm != h.Algorithm || h.KeyID != "" && key.KeyID != "" && key.KeyID != h.KeyID {
			continue
		}
		known = known || h.KeyID != "" && key.KeyID == h.KeyID
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, true
		}
	}
	return nil, known
}

// readKeys takes the public signature keys of a set (RFC 7517 §5) and passes over what it does not know.
func readKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || set.Keys == nil {
		return nil, errors.New("keys: no key set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("keys: %d of them, at most %d", len(set.Keys), maxKeys)
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || key.Use != "" && key.Use != "sig" || !key.Valid() {
			continue
		}
		switch pub := key.Key.(type) {
		case *rsa.PublicKey:
			if pub.N.BitLen() < minRSABits {
				continue
			}
		case *ecdsa.PublicKey, ed25519.PublicKey:
		default: // shared secrets and private keys sign nothing we believe
			continue
		}
		if key.Algorithm != "" && !slices.Contains(algorithms, key.Algorithm) {
			continue
		}
		out = append(out, key)
	}
	return out, nil
}

// readJWKS reads the key set from where the discovery document says.
func (p *provider) readJWKS(ctx context.Context) ([]jose.JSONWebKey, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := p.getJSON(ctx, m.JWKS, &raw); err != nil {
		return nil, err
	}
	return readKeys(raw)
}
