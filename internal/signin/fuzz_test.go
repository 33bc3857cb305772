package signin

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"testing"
	"time"
)

// What a provider sends is a stranger's bytes: whatever they are, what is kept of them is short, plain and of one meaning.
func FuzzWhatAProviderSaysIsKeptShortAndPlain(f *testing.F) {
	for _, s := range []string{
		`{"sub":"a","acr":"x","amr":["pwd","otp"],"acrs":"c1","iat":1,"exp":2,"groups":["a","b"],"realm_access":{"roles":["x"]}}`,
		`{"iat":1.5,"exp":"2","amr":"otp","acrs":[null,1],"groups":{"a":1}}`, `{"sub":null,"roles":"one\ntwo"}`, `[]`, `null`, `{"iat":-1,"exp":1e400}`,
		`{"a":{"b":{"c":["d"]}}}`,
	} {
		f.Add([]byte(s))
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, body []byte) {
		var c claims
		if json.Unmarshal(body, &c) != nil {
			return
		}
		_ = c.window(now)
		for name := range c {
			text, ok := c.text(name)
			if list := c.list(name); ok && len(list) > 0 {
				t.Errorf("%q is both the text %q and the list %q", name, text, list)
			} else if len(list) > maxValues {
				t.Errorf("a list of %d", len(list))
			}
			if at, err := c.seconds(name); err == nil && !at.IsZero() && at.Year() > 40_000 {
				t.Errorf("%q is a time: %s", name, at)
			}
		}
		roles := c.roles([]string{"groups", "roles", "realm_access.roles", "a.b.c"})
		if len(roles) > maxValues {
			t.Errorf("%d values of roles", len(roles))
		}
		for _, r := range roles {
			if r.Value == "" || !plain(r.Value) {
				t.Errorf("the value %q is kept", r.Value)
			}
		}
		if names := c.names(); len(names) > maxNames {
			t.Errorf("%d names of claims", len(names))
		}
	})
}

// A key set holds only public keys that sign.
func FuzzAKeySetHoldsOnlyPublicKeys(f *testing.F) {
	for _, s := range []string{
		`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[]}`, `{"keys":null}`, `{}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := readKeys(body)
		if err != nil {
			return
		}
		for _, k := range keys {
			switch pub := k.Key.(type) {
			case *rsa.PublicKey:
				if pub.N.BitLen() < minRSABits {
					t.Errorf("an RSA key of %d bits", pub.N.BitLen())
				}
			case *ecdsa.PublicKey, ed25519.PublicKey:
			default:
				t.Errorf("a key of type %T is believed", k.Key)
			}
		}
	})
}
