package handoff

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
)

// assertionAlgs are what clients may sign their assertions with. None of them is symmetric, and none is none. EdDSA and
// Ed25519 are one by an older and a newer name (RFC 9864): libraries send either.
var assertionAlgs = []string{"RS256", "PS256", "ES256", "EdDSA", "Ed25519"}

const (
	maxAssertion  = 8 << 10          // bytes
	assertionLife = 60 * time.Second // how far ahead an assertion may end (FAPI 2.0 §5.3.2.1)
	skew          = 10 * time.Second // how far two clocks may differ
	maxJTI        = 256              // bytes
)

// assertionHeader is what is read of the header of an assertion. Keys that it brings along (jwk, jku, x5c) are not looked at.
type assertionHeader struct {
	Alg  string          `json:"alg"`
	Kid  string          `json:"kid"`
	Typ  string          `json:"typ"`
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
}

// assertionClaims are what is read of an assertion (RFC 7523 §3, OIDC Core §9).
type assertionClaims struct {
	Iss string   `json:"iss"`
	Sub string   `json:"sub"`
	Aud any      `json:"aud"`
	Jti string   `json:"jti"`
	Exp *float64 `json:"exp"`
	Nbf *float64 `json:"nbf"`
	Iat *float64 `json:"iat"`
}

// parts decodes header and claims of an assertion in compact form. Nothing of it is believed for that.
func parts(assertion string) (h assertionHeader, c assertionClaims, err error) {
	if len(assertion) > maxAssertion || strings.Count(assertion, ".") != 2 {
		return h, c, errors.New("no compact JWS, or too large")
	}
	for i, part := range strings.Split(assertion, ".")[:2] {
		plain, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return h, c, errors.New("not base64url")
		}
		into := any(&h)
		if i == 1 {
			into = &c
		}
		if err := json.Unmarshal(plain, into); err != nil {
			return h, c, errors.New("not the JSON of an assertion")
		}
	}
	return h, c, nil
}

// assertedBy returns the client that an assertion says it is by.
func assertedBy(assertion string) (string, error) {
	_, c, err := parts(assertion)
	return c.Sub, err
}

// judge checks an assertion of a client and uses it up: private_key_jwt as FAPI 2.0 and rfc7523bis want it. Its audience is
// the issuer as one text: a list, or the address of an endpoint, could have been meant for another provider. keys are those
// the client has for a kid, which may be ""; they are asked for once the rest of the header is right. It returns the id of the
// key. An error that is a *refusal is ours; every other one says what is wrong with the assertion.
func (s *Service) judge(ctx context.Context, name, assertion string, keys func(kid string) ([]client.PublicKey, error)) (key string, err error) {
	h, _, err := parts(assertion)
	if err != nil {
		return "", err
	}
	switch {
	case !slices.Contains(assertionAlgs, h.Alg):
		return "", errors.New("an algorithm that is not taken")
	case h.Crit != nil || h.B64 != nil:
		return "", errors.New("a header that must be understood and is not")
	case h.Typ != "" && !strings.EqualFold(h.Typ, "JWT") && !strings.EqualFold(h.Typ, "client-authentication+jwt"):
		return "", errors.New("a token of another type")
	}
	now := s.Now()
	have, err := keys(h.Kid)
	if err != nil {
		return "", err
	}
	key, payload, err := signedBy(have, h, assertion)
	if err != nil {
		return "", err
	}
	var c assertionClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", errors.New("not the JSON of an assertion")
	}
	until, err := c.window(now)
	if err != nil {
		return "", err
	}
	switch {
	case c.Iss != name || c.Sub != name:
		return "", errors.New("iss and sub are not the client")
	case c.Aud != any(s.Base):
		return "", errors.New("aud is not the issuer as one text")
	case c.Jti == "" || len(c.Jti) > maxJTI:
		return "", errors.New("no jti, or too long")
	}
	first, err := s.Once.SpendOnce(ctx, s.Keys.Hash("client-assertion", name, c.Jti), until, now)
	if err != nil {
		return "", down(err)
	}
	if !first {
		return "", errors.New("an assertion that was used")
	}
	return key, nil
}

// window checks when an assertion is good, and returns until when its jti is to be remembered.
func (c *assertionClaims) window(now time.Time) (until time.Time, err error) {
	at := func(f float64) time.Time { return time.UnixMilli(int64(f * 1000)) }
	const farthest = 1 << 40 // seconds; beyond, a time would overflow
	for _, f := range []*float64{c.Exp, c.Nbf, c.Iat} {
		if f != nil && (*f < 0 || *f > farthest) {
			return until, errors.New("a time that is none")
		}
	}
	switch {
	case c.Exp == nil:
		return until, errors.New("no exp")
	case !at(*c.Exp).Add(skew).After(now):
		return until, errors.New("expired")
	case at(*c.Exp).After(now.Add(assertionLife + skew)):
		return until, fmt.Errorf("exp is more than %s ahead", assertionLife)
	case c.Nbf != nil && at(*c.Nbf).After(now.Add(skew)):
		return until, errors.New("nbf is ahead")
	case c.Iat != nil && at(*c.Iat).After(now.Add(skew)):
		return until, errors.New("iat is ahead")
	}
	return at(*c.Exp).Add(skew), nil
}

// signedBy returns what one of the keys that are live for a client signed, and the id of that key. The kid picks the key, where
// the assertion has one.
func signedBy(keys []client.PublicKey, h assertionHeader, assertion string) (key string, payload []byte, err error) {
	for _, registered := range keys {
		if h.Kid != "" && h.Kid != registered.ID {
			continue
		}
		public, err := publicKey(registered.JWK, h.Alg)
		if err != nil {
			continue // of another kind than the assertion, which the other key may be of
		}
		alg, ok := jwa.LookupSignatureAlgorithm(h.Alg)
		if !ok {
			continue
		}
		if payload, err := jws.Verify([]byte(assertion), jws.WithKey(alg, public), jws.WithCompact()); err == nil {
			return registered.ID, payload, nil
		}
	}
	return "", nil, errors.New("not signed by a registered key")
}

// publicKey returns a registered key, if it can verify by an algorithm: the kind of the key decides, never the header.
func publicKey(text, alg string) (any, error) {
	key, err := jwk.ParseKey([]byte(text))
	if err != nil {
		return nil, errors.New("not a JWK")
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return nil, errors.New("not a key")
	}
	fits := false
	switch k := raw.(type) {
	case *rsa.PublicKey: // of 2048 bits at least, or it is no JWK to the library
		fits = alg == "RS256" || alg == "PS256"
	case *ecdsa.PublicKey:
		fits = alg == "ES256" && k.Curve.Params().BitSize == 256
	case ed25519.PublicKey:
		fits = alg == "EdDSA" || alg == "Ed25519"
	}
	if !fits {
		return nil, errors.New("a key of another kind")
	}
	if _, edwards := raw.(ed25519.PublicKey); edwards {
		return raw, nil // it has one algorithm, by whichever name
	}
	if registered, ok := key.Algorithm(); ok && registered.String() != alg {
		return nil, errors.New("a key for another algorithm")
	}
	return raw, nil
}
