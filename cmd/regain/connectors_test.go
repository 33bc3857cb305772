package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAConnectorIsToldWhatItMayDoAndUntilWhen(t *testing.T) {
	d := deployment(t)
	says(t, d, "works without end", "connector", "create", "hr")
	says(t, d, "https://account.example.org/scim/v2\n", "connector", "create", "--preset", "entra", "--use", "users, groups", "--rate", "25", "--expires", "90d", "entra")
	show := says(t, d, "may use    users, groups, 25 requests a second", "connector", "show", "entra")
	if !regexp.MustCompile(`token +made \S+ \S+, works until \d{4}-`).MatchString(show) {
		t.Errorf("got %s", show)
	}
	says(t, d, "may use    users, groups, methods, 5000 requests a second", "connector", "show", "hr")
	says(t, d, "", "connector", "change", "--read-only", "yes", "--use", "methods", "--rate", "0", "entra")
	says(t, d, "may read   methods, 5000 requests a second", "connector", "show", "entra")
	says(t, d, "", "connector", "change", "--trust", "all", "entra") // says nothing of the others, and changes nothing of them
	list := says(t, d, "uses methods              read-only true", "connector", "list")
	if !strings.Contains(list, "(one until ") || !strings.Contains(list, "uses users,groups,methods read-only false") || !strings.Contains(list, "last request never") {
		t.Errorf("got %s", list)
	}
	says(t, d, "", "connector", "change", "--use", "all", "entra")
	says(t, d, "users, groups, methods", "connector", "show", "entra")
	for want, args := range map[string][]string{
		`use "people": want users`:      {"connector", "change", "--use", "people", "hr"},
		`use "users": want users`:       {"connector", "change", "--use", "users,users", "hr"},
		`read-only "maybe": want yes`:   {"connector", "change", "--read-only", "maybe", "hr"},
		`rate "many": want a number`:    {"connector", "change", "--rate", "many", "hr"},
		"rate -1: want 1 to 100000":     {"connector", "change", "--rate=-1", "hr"},
		"rate 100001: want 1 to 100000": {"connector", "change", "--rate", "100001", "hr"},
		`"soon": want a time`:           {"connector", "create", "--expires", "soon", "later"},
		"2020-02-01 00:00 is over":      {"connector", "create", "--expires", "2020-01-31", "later"},
		`no connector "gone"`:           {"connector", "show", "gone"},
	} {
		says(t, d, want, args...)
	}
}

func TestATokenIsRotatedAndEndsWhenItWasSaid(t *testing.T) {
	d := deployment(t)
	first := says(t, d, "Secret token", "connector", "create", "hr")
	tokens := func() int { t.Helper(); return strings.Count(run(t, d, "connector", "show", "hr"), "token      made") }
	second := says(t, d, "What it had works until", "connector", "rotate", "hr")
	if first == second || tokens() != 2 {
		t.Errorf("%d tokens", tokens())
	}
	says(t, d, "works no more", "connector", "rotate", "--keep", "0", "--expires", "12h", "hr")
	if tokens() != 1 {
		t.Errorf("%d tokens", tokens())
	}
	says(t, d, "", "connector", "change", "--expires", "never", "hr")
	says(t, d, "works without end", "connector", "show", "hr")
	says(t, d, "", "connector", "change", "--expires", "1s", "hr")
	says(t, d, "until the next one is made", "connector", "change", "--token", "--expires", "2099-12-31 18:00", "hr")
	says(t, d, "works until 2099-12-31 18:00", "connector", "show", "hr")
	says(t, d, "is over", "connector", "rotate", "--expires", "2001-01-01", "hr")
}

func TestWhenSomethingEndsIsReadAsPeopleWriteIt(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"": {}, "never": {}, "18:00": now.Add(6 * time.Hour), "09:30": now.Add(-150 * time.Minute), "12h": now.Add(12 * time.Hour), "90m": now.Add(90 * time.Minute),
		"30d": now.AddDate(0, 0, 30), "2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.Local), "2027-01-31 18:00": time.Date(2027, 1, 31, 18, 0, 0, 0, time.Local),
		"2027-01-31T18:00:00+02:00": time.Date(2027, 1, 31, 16, 0, 0, 0, time.UTC),
	} {
		if got, err := until(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-1h", "0d", "-3d", "99999999d", "25:00", "2027-13-01", "tomorrow 9"} {
		if got, err := until(text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestAWaveIsExpectedOrUndoneFromTheCommandLine(t *testing.T) {
	d := deployment(t)
	says(t, d, "Secret token", "connector", "create", "hr")
	says(t, d, "hr may disable or delete 4000 people until ", "connector", "expect", "hr", "--disable", "4000", "--until", "3h")
	says(t, d, "4000 people may leave until ", "connector", "show", "hr")
	for want, args := range map[string][]string{
		"nothing to undo":             {"connector", "undo", "hr"},
		`no connector "gone"`:         {"connector", "undo", "gone"},
		"0 people: want 1":            {"connector", "expect", "hr", "--disable", "0", "--until", "3h"},
		"want a time within the next": {"connector", "expect", "hr", "--disable", "5", "--until", "30d"},
		`"soon": want a time`:         {"connector", "expect", "hr", "--disable", "5", "--until", "soon"},
		`required flag(s) "until"`:    {"connector", "expect", "hr", "--disable", "5"},
	} {
		says(t, d, want, args...)
	}
}

// ownKey writes a public key of somebody else's to a file and returns its path.
func ownKey(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAConnectorThatSignsWithAKeyHasNoToken(t *testing.T) {
	d := deployment(t)
	made := says(t, d, "Token address  https://account.example.org/oauth2/token", "connector", "create", "--key", ownKey(t, "one.pem"), "hr")
	for _, want := range []string{"Client id      hr\n", "Audience       https://account.example.org\n", "Scope          scim\n", "Key id         "} {
		if !strings.Contains(made, want) {
			t.Errorf("%q is missing in %s", want, made)
		}
	}
	if strings.Contains(made, "rgn_scim") {
		t.Errorf("a token besides: %s", made)
	}
	keys := func() int { t.Helper(); return strings.Count(run(t, d, "connector", "show", "hr"), "  key        ") }
	two := ownKey(t, "two.pem")
	says(t, d, "What it had works until", "connector", "rotate", "--key", two, "hr")
	if keys() != 2 {
		t.Errorf("%d keys", keys())
	}
	says(t, d, "it is registered already", "connector", "rotate", "--key", two, "hr")
	says(t, d, "What it had works no more", "connector", "rotate", "--keep", "0", "--key", ownKey(t, "three.pem"), "hr")
	if keys() != 1 {
		t.Errorf("%d keys", keys())
	}
	says(t, d, "hr signs with a key", "connector", "rotate", "hr")
	says(t, d, "Keys from      https://idp.example/jwks", "connector", "create", "--jwks", "https://idp.example/jwks", "idp")
	says(t, d, "keys       from https://idp.example/jwks", "connector", "show", "idp")
	says(t, d, "it rotates them there", "connector", "rotate", "--key", two, "idp")
	says(t, d, "", "connector", "change", "--jwks", "https://idp.example/jwks", "hr")
	if keys() != 0 {
		t.Errorf("%d keys beside a key set", keys())
	}
	says(t, d, "", "connector", "change", "--jwks", "none", "hr")
	says(t, d, "token      none: run regain connector rotate hr", "connector", "show", "hr")
	says(t, d, "Key id", "connector", "create", "--key", two, "crm")
	says(t, d, "Secret token", "connector", "change", "--drop-keys", "--token", "crm")
	for want, args := range map[string][]string{
		"want https":                 {"connector", "create", "--jwks", "http://idp.example/jwks", "x"},
		"publishes its keys at":      {"connector", "create", "--jwks", "https://idp.example/jwks", "--key", two, "x"},
		"a key has no end by itself": {"connector", "create", "--key", two, "--expires", "30d", "x"},
		"--key: ":                    {"connector", "create", "--key", two + "x", "x"},
	} {
		says(t, d, want, args...)
	}
}

func TestASwitchIsTurnedAndGivenBackToThePreset(t *testing.T) {
	d := deployment(t)
	says(t, d, "Secret token", "connector", "create", "--preset", "entra", "--switch", "brief-patch=off", "--set-password", "yes", "entra")
	show := says(t, d, "switches   brief-patch=off", "connector", "show", "--rules", "entra")
	if !strings.Contains(show, "passwords  are handed to the directory") || !regexp.MustCompile(`brief-patch +off by its switch`).MatchString(show) || !regexp.MustCompile(`any-case-ops +on  by the preset`).MatchString(show) {
		t.Errorf("got %s", show)
	}
	says(t, d, "", "connector", "change", "--preset", "strict", "--switch", "any-case-ops=on", "--switch", "brief-patch=preset", "--set-password", "no", "entra")
	show = says(t, d, "switches   any-case-ops=on\n", "connector", "show", "entra")
	if strings.Contains(show, "passwords") || !strings.Contains(show, "preset strict") || !strings.Contains(show, "token      made") {
		t.Errorf("got %s", show)
	}
	for want, args := range map[string][]string{
		`switch "loud": there is none`:         {"connector", "change", "--switch", "loud=on", "entra"},
		"switch any-case-ops=yes: want on":     {"connector", "change", "--switch", "any-case-ops=yes", "entra"},
		`set-password "maybe": want yes or no`: {"connector", "change", "--set-password", "maybe", "entra"},
	} {
		says(t, d, want, args...)
	}
}
