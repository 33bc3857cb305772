package keyring

import (
	"bytes"
	"strings"
	"testing"
)

func TestATokenIsRecognisedWholeAndOnlyWhole(t *testing.T) {
	token, hash := NewToken("rgn_scim_a1")
	if got, ok := HashToken(token); !ok || !bytes.Equal(got, hash) || len(hash) != 32 {
		t.Fatalf("%q: %x, %v; want %x", token, got, ok, hash)
	}
	if p, ok := TokenPrefix(token); !ok || p != "rgn_scim_a1" {
		t.Errorf("prefix %q, %v", p, ok)
	}
	if other, _ := NewToken("rgn_scim_a1"); other == token {
		t.Error("two tokens are the same")
	}
	bad := []string{"", token + "0", token + " ", " " + token, token + token, strings.ToUpper(token), "x" + token, strings.Replace(token, "scim", "api", 1), token + "=", "Bearer " + token, token + "\n"}
	for i := range token {
		bad = append(bad, token[:i], token[i+1:], token[:i]+"*"+token[i+1:])
	}
	for _, b := range bad {
		if _, ok := HashToken(b); ok {
			t.Errorf("%q passes", b)
		}
	}
	for _, prefix := range []string{"", "_", "a_", "_a", "a__b", "A", "1a", "a b", "ä", strings.Repeat("a", 65)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("prefix %q: no panic", prefix)
				}
			}()
			NewToken(prefix)
		}()
	}
}

func TestASecretThatIsNotCanonicalIsNoToken(t *testing.T) {
	// The 43rd character carries four bits; with other spare bits it would decode to the same bytes.
	body := "rgn_" + strings.Repeat("A", 42) + "B"
	if _, ok := HashToken(body + "_" + checksum(body)); ok {
		t.Error("spare bits pass")
	}
	body = "rgn_" + strings.Repeat("A", 43)
	if _, ok := HashToken(body + "_" + checksum(body)); !ok {
		t.Error("the canonical form is refused, so the case above proves nothing")
	}
}

func FuzzHashToken(f *testing.F) {
	token, _ := NewToken("rgn_api")
	f.Add(token)
	f.Add(token[:60])
	f.Add("____")
	f.Fuzz(func(t *testing.T, s string) {
		if h, ok := HashToken(s); ok != (h != nil) {
			t.Errorf("%q: %x, %v", s, h, ok)
		}
		TokenPrefix(s)
	})
}
