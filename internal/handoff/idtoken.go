package handoff

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// idTokenLife is how long a statement is good for. It is read once, right away.
const idTokenLife = 5 * time.Minute

// idToken is the statement of what happened. It says nothing of how anybody signed in, because nobody did: there is no amr
// and no auth_time, and acr names no sign-in. Neither is there an address or a name.
type idToken struct {
	Iss    string        `json:"iss"`
	Sub    string        `json:"sub"`
	Aud    string        `json:"aud"`
	Iat    int64         `json:"iat"`
	Exp    int64         `json:"exp"`
	Jti    string        `json:"jti"`
	Nonce  string        `json:"nonce,omitempty"`
	ACR    string        `json:"acr"`
	Result client.Result `json:"urn:regain:claim:result"`
}

// subject is what an app knows a person by: for a pairwise one another name in every sector, made with the key file, so that
// two apps who compare find nobody (OIDC Core §8.1).
func (s *Service) subject(app *client.App, person string) string {
	if app.Subject == client.Public {
		return person
	}
	return base64.RawURLEncoding.EncodeToString(s.Keys.Hash("handoff-subject", app.Sector, person))
}

// signer returns the key that signs now, made where there is none yet.
func (s *Service) signer(ctx context.Context, alg string) (keyring.SigningKey, error) {
	for range 2 {
		keys, err := s.Signing.SigningKeys(ctx, keyring.ForIDTokens)
		if err != nil {
			return keyring.SigningKey{}, err
		}
		i := slices.IndexFunc(keys, func(k keyring.SigningKey) bool { return k.Alg == alg && k.State == keyring.Current })
		if i >= 0 {
			return keys[i], nil
		}
		if err := s.Signing.EnsureSigning(ctx, keyring.ForIDTokens, alg, s.Now()); err != nil {
			return keyring.SigningKey{}, err
		}
	}
	return keyring.SigningKey{}, fmt.Errorf("no key signs %s", alg)
}

// idToken signs the statement of a handoff.
func (s *Service) idToken(app *client.App, h *client.Handoff, key keyring.SigningKey) (string, error) {
	now := s.Now()
	claims, err := json.Marshal(idToken{Iss: s.Base, Sub: s.subject(app, h.Person), Aud: app.Key, Iat: now.Unix(), Exp: now.Add(idTokenLife).Unix(),
		Jti: uuid.NewString(), Nonce: h.Nonce, ACR: ACR, Result: h.Result})
	if err != nil {
		return "", err
	}
	alg, ok := jwa.LookupSignatureAlgorithm(key.Alg)
	if !ok {
		return "", fmt.Errorf("algorithm %q", key.Alg)
	}
	header := jws.NewHeaders()
	if err := header.Set(jws.KeyIDKey, key.ID); err != nil {
		return "", err
	}
	if err := header.Set(jws.TypeKey, "JWT"); err != nil {
		return "", err
	}
	signed, err := jws.Sign(claims, jws.WithKey(alg, key.Private(), jws.WithProtectedHeaders(header)))
	if err != nil {
		return "", fmt.Errorf("id token: %w", err)
	}
	return string(signed), nil
}

// hinted returns the subject of an ID token that we gave this app before, whenever that was: the answer is about that person
// and nobody else (OIDC Core §3.1.2.1). Every other hint is ignored: "".
func (s *Service) hinted(ctx context.Context, app *client.App, hint string) (string, *refusal) {
	if hint == "" || len(hint) > maxToken {
		return "", nil
	}
	keys, err := s.Signing.SigningKeys(ctx, keyring.ForIDTokens)
	if err != nil {
		return "", down(err)
	}
	set := jwk.NewSet()
	for _, k := range keys {
		public, err := k.Public()
		if err == nil {
			err = set.AddKey(public)
		}
		if err != nil {
			return "", down(err)
		}
	}
	payload, err := jws.Verify([]byte(hint), jws.WithKeySet(set), jws.WithCompact())
	if err != nil {
		return "", nil
	}
	var c idToken
	if json.Unmarshal(payload, &c) != nil || c.Aud != app.Key {
		return "", nil
	}
	return c.Sub, nil
}
