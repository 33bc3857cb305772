package signin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// assertionLife is how long the statement that proves the client is good for.
const assertionLife = 60 * time.Second

// assertion is private_key_jwt (OIDC Core §9, RFC 7523 §3). Its audience is the issuer as one text and nothing else: with
// the token endpoint as audience, a provider could be made to take a statement meant for another (rfc7523bis).
func (p *provider) assertion(m *metadata) (string, error) {
	alg := p.assertionAlg(m)
	kid, err := p.keyID()
	if err != nil {
		return "", err
	}
	now := p.now()
	claims, err := json.Marshal(map[string]any{"iss": p.ClientID, "sub": p.ClientID, "aud": p.Issuer, "jti": uuid.NewString(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	h := jws.NewHeaders()
	if err := h.Set(jws.KeyIDKey, kid); err != nil {
		return "", err
	}
	if err := h.Set(jws.TypeKey, "JWT"); err != nil {
		return "", err
	}
	signed, err := jws.Sign(claims, jws.WithKey(alg, p.Key, jws.WithProtectedHeaders(h)))
	if err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return string(signed), nil
}

// assertionAlg is the algorithm of the key; of the two that an RSA key can, the better one where it is offered.
func (p *provider) assertionAlg(m *metadata) jwa.SignatureAlgorithm {
	switch p.Key.(type) {
	case *rsa.PrivateKey:
		if slices.Contains(m.TokenAuthAlgs, "PS256") {
			return jwa.PS256()
		}
		return jwa.RS256()
	case *ecdsa.PrivateKey:
		return jwa.ES256()
	}
	return jwa.EdDSA()
}

func (p *provider) keyID() (string, error) {
	if p.KeyID != "" {
		return p.KeyID, nil
	}
	key, err := jwk.Import(p.Key.Public())
	if err != nil {
		return "", err
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// publicKey is what an operator registers with the provider: a JWK (RFC 7517 §4).
func (p *provider) publicKey() (string, error) {
	key, err := jwk.Import(p.Key.Public())
	if err != nil {
		return "", err
	}
	kid, err := p.keyID()
	if err != nil {
		return "", err
	}
	for name, value := range map[string]any{jwk.KeyIDKey: kid, jwk.KeyUsageKey: "sig"} {
		if err := key.Set(name, value); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(key)
	return string(b), err
}
