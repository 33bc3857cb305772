package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestSigningKeysSignAfterSealingAndTheSetShowsNoPrivatePart(t *testing.T) {
	r := Generate()
	var keys []SigningKey
	for i, alg := range []string{RS256, ES256, EdDSA} {
		k, err := NewSigningKey(alg, noon.Add(time.Duration(i)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := r.SealSigningKey(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.OpenSigningKey(k.ID, Current, sealed)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != k.ID || got.Alg != alg || got.State != Current || !got.Created.Equal(k.Created) {
			t.Errorf("%s: opened as %s %s %s %s", alg, got.ID, got.Alg, got.State, got.Created)
		}
		if _, err := r.OpenSigningKey("other", Current, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: opened in another row: %v", alg, err)
		}
		keys = append(keys, got)
	}
	if _, err := NewSigningKey("HS256", noon); err == nil {
		t.Error("a key for HS256")
	}
	text, err := JWKS(keys...)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) != 3 {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	public := []string{"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"}
	for _, k := range set.Keys {
		for member := range k {
			if !slices.Contains(public, member) {
				t.Errorf("the set shows %q of %v", member, k["kid"])
			}
		}
		if k["use"] != "sig" || k["alg"] == nil || k["kid"] == nil {
			t.Errorf("alg, kid or use is missing: %v", k)
		}
	}
	parsed, err := jwk.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		alg, _ := jwa.LookupSignatureAlgorithm(k.Alg)
		signed, err := jws.Sign([]byte("statement"), jws.WithKey(alg, k.Private()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := jws.Verify(signed, jws.WithKeySet(parsed)); err != nil || string(got) != "statement" {
			t.Errorf("%s: the set does not verify what the key signed: %v", k.Alg, err)
		}
	}
}

func TestRotationPublishesAKeyBeforeItSigns(t *testing.T) {
	var keys []SigningKey
	states := func() string {
		var s []string
		for _, k := range keys {
			s = append(s, string(k.State))
		}
		return strings.Join(s, " ")
	}
	for i, want := range []string{"current", "current next", "retired current next", "retired retired current next"} {
		k, err := NewSigningKey(EdDSA, noon.Add(time.Duration(i)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 { // the first rotation: a next one is added while the current goes on
			k.State = Next
			keys = append(keys, k)
		} else {
			keys = RotateSigning(keys, k)
		}
		if got := states(); got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
		if s, ok := Signer(keys); !ok || s.State != Current {
			t.Errorf("step %d: nobody signs", i)
		}
	}
	if _, ok := Signer(nil); ok {
		t.Error("a signer out of nothing")
	}
}

func TestSecretsShowThemselvesNowhere(t *testing.T) {
	r, err := Open(write(t, sample))
	if err != nil {
		t.Fatal(err)
	}
	person, _, err := r.NewPersonKey("ada")
	if err != nil {
		t.Fatal(err)
	}
	signing, err := NewSigningKey(EdDSA, noon)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := json.Marshal(signing.Private())
	var d struct{ D string }
	if err := json.Unmarshal(private, &d); err != nil || d.D == "" {
		t.Fatal("no private part to look for")
	}
	seed, err := base64.RawURLEncoding.DecodeString(d.D)
	if err != nil {
		t.Fatal(err)
	}
	canaries := []string{
		"hunter2", "68756e74657232", "AQEBAQEB", "AgICAgIC", "AwMDAwMD", "[1 1 1", "[2 2 2", "[3 3 3", "0x1, 0x1", d.D, string(private), fmt.Sprint(seed)[1:20], fmt.Sprintf("%x", seed),
		fmt.Sprint(person.key.get().secret)[1:20], fmt.Sprintf("%x", person.key.get().secret),
	}
	secret := NewSecret("hunter2")
	type holder struct {
		Public  string
		Key     PersonKey
		private PersonKey // fmt does not call methods on what it reaches through unexported fields
		secret  Secret
		signing SigningKey
		ring    *Ring
		pointer *Secret
	}
	h := holder{"shown", person, person, secret, signing, r, &secret}
	var log bytes.Buffer
	text, js := slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))
	for name, v := range map[string]any{"ring": r, "person": person, "signing": signing, "secret": secret, "pointer": &secret, "holder": h, "list": []any{person, secret, signing}} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10.3v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.Reset()
		text.Info("m", "v", v)
		js.Info("m", "v", v)
		out.WriteString(log.String())
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, c := range canaries {
			if strings.Contains(out.String(), c) {
				t.Errorf("%s shows %q:\n%s", name, c, out.String())
			}
		}
		if name != "holder" && !strings.Contains(out.String(), redactedText) {
			t.Errorf("%s does not say that it is redacted:\n%s", name, out.String())
		}
	}
	if b, err := json.Marshal(secret); err != nil || string(b) != `"[redacted]"` {
		t.Errorf("%s, %v", b, err)
	}
	var s Secret
	if !s.IsZero() || s.UnmarshalText([]byte("x")) != nil || s.Reveal() != "x" {
		t.Error("a secret cannot be read from text")
	}
	if fmt.Sprint(secret) != redactedText || secret.Reveal() != "hunter2" {
		t.Error("redaction is wrong way round")
	}
}
