package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// inPEM is a public key in PEM.
func inPEM(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestAKeyMadeForOthersSignsWhatItsPublicHalfChecks(t *testing.T) {
	for _, alg := range []string{RS256, ES256, EdDSA} {
		private, kid, public, err := NewClientKey(alg, noon)
		if err != nil {
			t.Fatal(err)
		}
		block, rest := pem.Decode([]byte(private))
		if block == nil || len(rest) > 0 {
			t.Fatalf("%s: %q", alg, private)
		}
		raw, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := jwa.LookupSignatureAlgorithm(alg)
		signed, err := jws.Sign([]byte("hello"), jws.WithKey(a, raw))
		if err != nil {
			t.Fatal(err)
		}
		key, err := jwk.ParseKey([]byte(public))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := jws.Verify(signed, jws.WithKey(a, key)); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", alg, got, err)
		}
		// However its public half is brought back, it is the same key, by its thumbprint.
		for _, text := range []string{public, inPEM(t, raw.(crypto.Signer).Public()), "\n" + public + "\n"} {
			if again, _, err := PublicJWK([]byte(text)); err != nil || again != kid {
				t.Errorf("%s: kid %s, want %s (%v)", alg, again, kid, err)
			}
		}
		if _, _, err := PublicJWK([]byte(private)); err == nil || !strings.Contains(err.Error(), "keep it") {
			t.Errorf("%s: the private half: %v", alg, err)
		}
	}
	if _, _, _, err := NewClientKey("HS256", noon); err == nil {
		t.Error("HS256: made")
	}
}

func TestOfAPublicKeyOnlyWhatIsNeededIsKept(t *testing.T) {
	rest := `,"kid":"mine","use":"sig","alg":"ES256","x5u":"https://evil.example/","key_ops":["verify"],"name":"canary"}`
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, bare, err := PublicJWK([]byte(inPEM(t, key.Public())))
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]string
	if err := json.Unmarshal([]byte(bare), &members); err != nil {
		t.Fatal(err)
	}
	kid, public, err := PublicJWK([]byte(fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q`, members["x"], members["y"]) + rest))
	if err != nil || kid != "mine" {
		t.Fatalf("kid %q, %v", kid, err)
	}
	clear(members)
	if err := json.Unmarshal([]byte(public), &members); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(members)); !slices.Equal(got, []string{"alg", "crv", "kid", "kty", "use", "x", "y"}) || members["alg"] != "ES256" {
		t.Errorf("kept %v: %s", got, public)
	}
}

func TestWhatIsNoPublicKeyToCheckSignaturesWithIsRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), maxRSA, 1), E: 65537}
	modulus := new(big.Int).SetBit(big.NewInt(1), 2047, 1)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := jwk.Import(private)
	if err != nil {
		t.Fatal(err)
	}
	d, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	good := inPEM(t, public)
	_, jwkText, err := PublicJWK([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"nothing": "", "no key": "hello", "no JWK": `{"a":1}`, "a list": `[]`, "a number": "7", "PEM that is cut": good[:40],
		"RSA of 1024 bits": inPEM(t, small.Public()), "RSA of 8193 bits": inPEM(t, huge), "RSA by 1": inPEM(t, &rsa.PublicKey{N: modulus, E: 1}), "RSA by 4": inPEM(t, &rsa.PublicKey{N: modulus, E: 4}),
		"RSA by 1 as a JWK": `{"kty":"RSA","n":"` + base64.RawURLEncoding.EncodeToString(modulus.Bytes()) + `","e":"AQ"}`, "P-384": inPEM(t, p384.Public()),
		"two keys": good + good, "something after it": good + "hello", "a set": `{"keys":[` + jwkText + `]}`,
		"a private JWK": string(d), "a shared secret": `{"kty":"oct","k":"c2VjcmV0LWNhbmFyeQ"}`, "a key to encrypt by": strings.Replace(jwkText, `"use":"sig"`, `"use":"enc"`, 1),
		"another algorithm": strings.Replace(jwkText, `"use":"sig"`, `"use":"sig","alg":"RS256"`, 1), "none": strings.Replace(jwkText, `"use":"sig"`, `"use":"sig","alg":"none"`, 1),
		"a point that is none": `{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}`,
		"Ed25519 that is cut":  `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, "X25519": `{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}`,
		"a request for a certificate": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
		"PEM of nothing":              "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "far too long": good + strings.Repeat("\n", MaxPublic),
	} {
		kid, key, err := PublicJWK([]byte(text))
		if err == nil || kid != "" || key != "" {
			t.Errorf("%s: taken as %s %s", what, kid, key)
		} else if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%s: the error holds the secret: %v", what, err)
		}
	}
}

func FuzzPublicJWK(f *testing.F) {
	for _, alg := range []string{RS256, ES256, EdDSA} {
		private, _, public, err := NewClientKey(alg, noon)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(private))
		f.Add([]byte(public))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		kid, public, err := PublicJWK(text)
		if err != nil {
			return
		}
		again, same, err := PublicJWK([]byte(public))
		if err != nil || again != kid || same != public {
			t.Errorf("%q reads as %s, and that as %s (%v)", text, public, same, err)
		}
		var members map[string]any
		if json.Unmarshal([]byte(public), &members) != nil || members["d"] != nil || members["k"] != nil {
			t.Errorf("kept %s", public)
		}
	})
}
