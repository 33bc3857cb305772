package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// Sizes of the RSA keys of others, in bits: below, it can be broken; above, checking one signature keeps a core busy.
const (
	minRSA = 2048
	maxRSA = 8192
)

// MaxPublic is the longest text that is looked at for a public key, in bytes.
const MaxPublic = 64 << 10

// errPrivate says that somebody handed out what they must keep. The key is in no text of it.
var errPrivate = errors.New("that is a private key: keep it, and give the public half")

// PublicJWK reads somebody else's public key, in PEM or as a JWK (RFC 7517), and returns it as a JWK with public members
// alone and its kid: the one it has, else its thumbprint (RFC 7638). It takes RSA of 2048 to 8192 bits, ECDSA on P-256 and
// Ed25519, for RS256, PS256, ES256 and EdDSA.
func PublicJWK(text []byte) (kid, public string, err error) {
	kid, public, err = readPublic(text)
	if err != nil {
		return "", "", fmt.Errorf("public key: %w", err)
	}
	return kid, public, nil
}

func readPublic(text []byte) (kid, public string, err error) {
	if len(text) > MaxPublic {
		return "", "", fmt.Errorf("want at most %d bytes", MaxPublic)
	}
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		raw, err := publicPEM(text)
		if err != nil {
			return "", "", err
		}
		return publicJWK(raw, "", "")
	}
	var members struct {
		Keys json.RawMessage `json:"keys"`
		Kid  string          `json:"kid"`
		Alg  string          `json:"alg"`
		Use  string          `json:"use"`
	}
	if json.Unmarshal(text, &members) != nil {
		return "", "", errors.New("want PEM or a JWK")
	}
	switch {
	case members.Keys != nil:
		return "", "", errors.New("that is a set of keys: give one of them")
	case members.Use != "" && members.Use != "sig":
		return "", "", fmt.Errorf("it is for %q: want one to check signatures with", members.Use)
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return "", "", errors.New("not a JWK that can be read") // the cause may quote it
	}
	if private, err := jwk.IsPrivateKey(key); err != nil || private {
		return "", "", errPrivate // or a shared one, which is as secret
	}
	var raw any
	if err := jwk.Export(key, &raw); err != nil {
		return "", "", errors.New("not a key that can be read")
	}
	return publicJWK(raw, members.Kid, members.Alg)
}

// publicPEM reads the one key, or certificate, of a PEM text.
func publicPEM(text []byte) (any, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("PEM that cannot be read")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("want one key in the file")
	}
	var raw any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		raw, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		raw, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			raw = cert.PublicKey
		}
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY":
		return nil, errPrivate
	default:
		return nil, fmt.Errorf("PEM of type %q: want PUBLIC KEY", block.Type)
	}
	if err != nil {
		return nil, errors.New("PEM that holds no key that can be read")
	}
	return raw, nil
}

// publicJWK writes a key anew, so that nothing else of what came with it is kept. Reading it and importing it refuse a
// point that is not on its curve, a key that is cut, and an exponent that is none.
func publicJWK(raw any, kid, alg string) (string, string, error) {
	var algs []string
	switch k := raw.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return "", "", fmt.Errorf("RSA of %d bits: want %d to %d", n, minRSA, maxRSA)
		}
		algs = []string{RS256, "PS256"}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", "", fmt.Errorf("ECDSA on %s: want P-256", k.Curve.Params().Name)
		}
		algs = []string{ES256}
	case ed25519.PublicKey:
		algs = []string{EdDSA, "Ed25519"} // one by two names (RFC 9864)
	default:
		return "", "", errors.New("want RSA, ECDSA on P-256 or Ed25519")
	}
	if alg != "" && !slices.Contains(algs, alg) {
		return "", "", fmt.Errorf("it is for algorithm %q, which its kind cannot be used with here", alg)
	}
	key, err := jwk.Import(raw)
	if err != nil {
		return "", "", errors.New("not a key that can be used")
	}
	if kid == "" {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			return "", "", errors.New("not a key that can be used")
		}
		kid = base64.RawURLEncoding.EncodeToString(sum)
	}
	err = errors.Join(key.Set(jwk.KeyIDKey, kid), key.Set(jwk.KeyUsageKey, "sig"))
	if a, ok := jwa.LookupSignatureAlgorithm(alg); ok {
		err = errors.Join(err, key.Set(jwk.AlgorithmKey, a))
	}
	if err != nil {
		return "", "", errors.New("not a key that can be used")
	}
	text, err := json.Marshal(key)
	return kid, string(text), err
}

// NewClientKey makes a key for somebody else to sign with, by RS256, ES256 or EdDSA: the private half in PEM (PKCS #8),
// which is shown once and kept nowhere, and the public one as PublicJWK returns it.
func NewClientKey(alg string, now time.Time) (private, kid, public string, err error) {
	k, err := NewSigningKey(alg, now)
	if err != nil {
		return "", "", "", err
	}
	var raw any
	if err := jwk.Export(k.key.get(), &raw); err != nil {
		return "", "", "", errors.New("client key: not a key that can be used")
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return "", "", "", errors.New("client key: not a key that signs")
	}
	der, err := x509.MarshalPKCS8PrivateKey(raw)
	if err != nil {
		return "", "", "", errors.New("client key: not a key that can be used")
	}
	kid, public, err = publicJWK(signer.Public(), "", alg)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), kid, public, err
}
