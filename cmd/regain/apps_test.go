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
)

var secretForm = regexp.MustCompile(`rgn_app_[A-Za-z0-9_-]{43}_[0-9a-f]{8}`)

// keyFiles are a key of an app's own, its public half and its private one in PEM.
func keyFiles(t *testing.T) (public, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte, err error) string {
		path := filepath.Join(t.TempDir(), name)
		if err == nil {
			err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	public = write("public.pem", "PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	return public, write("private.pem", "PRIVATE KEY", der, err)
}

func TestAnAppThatAsksGetsASecretThatIsShownOnce(t *testing.T) {
	d := deployment(t)
	made := says(t, d, "Issuer         https://account.example.org\nClient id      hr\nClient secret  rgn_app_", "app", "create", "HR", "--redirect", "https://hr.example/cb", "--alg", "ES256")
	secret := secretForm.FindString(made)
	if secret == "" || strings.Contains(made, "setup?return_to=") {
		t.Errorf("got %s", made)
	}
	for _, want := range []string{"==== go: ", "==== ts: ", "==== curl: ", `"https://account.example.org"`, `"https://hr.example/cb"`} {
		if _, programs, _ := strings.Cut(made, "shown this once.\n"); !strings.Contains(programs, want) {
			t.Errorf("no %q in what an integrator needs:\n%s", want, programs)
		}
	}
	shown := says(t, d, "asks for   reset\n  ID tokens  signed with ES256, people by a name that is pairwise to hr.example\n", "app", "show", "hr")
	if strings.Count(shown, "  secret     made ") != 1 || !strings.Contains(shown, "works without end") || secretForm.MatchString(shown) || !strings.Contains(shown, "redirect   https://hr.example/cb\n") {
		t.Errorf("got %s", shown)
	}
	says(t, d, "asks for reset       https://hr.example/cb\n", "app", "list")
	says(t, d, "id-token ES256 current", "key", "signing", "list")

	rotated := says(t, d, "What it had works until ", "app", "rotate", "hr")
	if next := secretForm.FindString(rotated); next == "" || next == secret {
		t.Errorf("got %s", rotated)
	}
	if shown := says(t, d, "works until ", "app", "show", "hr"); strings.Count(shown, "  secret  ") != 2 {
		t.Errorf("got %s", shown)
	}
	says(t, d, "note: the older of the two it had ended at once", "app", "rotate", "hr", "--keep", "1h")
	says(t, d, "What it had works no more.\n", "app", "rotate", "hr", "--keep", "0")
	if shown := says(t, d, "works without end", "app", "show", "hr"); strings.Count(shown, "  secret  ") != 1 {
		t.Errorf("got %s", shown)
	}
}

func TestAnAppThatSignsGetsAKeyOrKeepsItsOwn(t *testing.T) {
	d := deployment(t)
	public, private := keyFiles(t)
	made := says(t, d, "-----BEGIN PRIVATE KEY-----\n", "app", "create", "Signs", "--redirect", "https://a.example/cb", "--auth", "private_key_jwt", "--alg", "EdDSA")
	if secretForm.MatchString(made) || !strings.Contains(made, "Key id         ") || !strings.Contains(made, "shown this once") {
		t.Errorf("got %s", made)
	}
	if made = says(t, d, "Key id         ", "app", "create", "Own", "--redirect", "https://b.example/cb", "--public-key", public, "--alg", "ES256"); strings.Contains(made, "PRIVATE") || secretForm.MatchString(made) {
		t.Errorf("got %s", made)
	}
	if shown := says(t, d, "  key        ", "app", "show", "own"); strings.Contains(shown, "kty") || strings.Contains(shown, "secret") {
		t.Errorf("got %s", shown)
	}
	another, _ := keyFiles(t)
	says(t, d, "What it had works until ", "app", "rotate", "own", "--public-key", another)
	for want, args := range map[string][]string{
		"it is registered already":                  {"app", "rotate", "own", "--public-key", another},
		"keep it, and give the public half":         {"app", "rotate", "own", "--public-key", private},
		"--public-key: open ":                       {"app", "rotate", "own", "--public-key", filepath.Join(t.TempDir(), "none")},
		"that is a private key":                     {"app", "create", "Other", "--redirect", "https://c.example/cb", "--public-key", private, "--alg", "ES256"},
		"authenticates by client_secret: a key is ": {"app", "create", "Other", "--redirect", "https://c.example/cb", "--public-key", public, "--auth", "client_secret", "--alg", "ES256"},
	} {
		says(t, d, want, args...)
	}
	says(t, d, `no app "other"`, "app", "show", "other")
}

func TestAnAppLearnsToAskAndToAuthenticateInAnotherWay(t *testing.T) {
	d := deployment(t)
	says(t, d, "return_to=shop", "app", "create", "Shop", "--return-to", "https://shop.example/")
	says(t, d, "it has no redirect URI, and nothing to authenticate by", "app", "rotate", "shop")
	says(t, d, "link only            https://shop.example/\n", "app", "list")
	says(t, d, "note: it has nothing to authenticate by: run regain app rotate shop\n", "app", "change", "shop", "--redirect", "https://shop.example/cb", "--action", "unlock,reset", "--alg", "ES256")
	says(t, d, "asks for   unlock, reset\n", "app", "show", "shop")
	says(t, d, "client_secret  none: run regain app rotate shop\n", "app", "show", "shop")
	if got := says(t, d, "Client secret  rgn_app_", "app", "rotate", "shop"); strings.Contains(got, "What it had") {
		t.Errorf("got %s", got)
	}
	says(t, d, "note: it has nothing to authenticate by", "app", "change", "shop", "--auth", "private_key_jwt")
	says(t, d, "-----BEGIN PRIVATE KEY-----\n", "app", "rotate", "shop")
	says(t, d, "note: the app knows everybody by another name", "app", "change", "shop", "--redirect", "https://new.example/cb")
	says(t, d, "note: the app knows everybody by another name", "app", "change", "shop", "--subject", "public")
	says(t, d, "", "app", "change", "shop", "--redirect", "https://a.example/cb", "--redirect", "https://b.example/cb", "--initiate", "https://a.example/start", "--push-only")
	shown := says(t, d, "  starts at  https://a.example/start\n  requests   pushed only\n", "app", "show", "shop")
	if !strings.Contains(shown, "redirect   https://b.example/cb\n") || strings.Contains(shown, "new.example") || !strings.Contains(shown, "by a name that is public\n") {
		t.Errorf("got %s", shown)
	}
	says(t, d, "", "app", "change", "shop", "--initiate", "", "--push-only=false")
	if shown := says(t, d, "asks for   unlock, reset\n", "app", "show", "shop"); strings.Contains(shown, "starts at") || strings.Contains(shown, "pushed") {
		t.Errorf("got %s", shown)
	}
}

func TestAWrongValueOfAnAppIsNamed(t *testing.T) {
	d := deployment(t)
	says(t, d, "rgn_app_", "app", "create", "HR", "--redirect", "https://hr.example/cb", "--alg", "ES256")
	says(t, d, "return_to=shop", "app", "create", "Shop", "--return-to", "https://shop.example/")
	create := func(args ...string) []string {
		return append([]string{"app", "create", "New", "--redirect", "https://new.example/cb"}, args...)
	}
	for want, args := range map[string][]string{
		`algorithm "HS256": want RS256, ES256 or EdDSA`:                     create("--alg", "HS256"),
		`authentication "none": want client_secret or private_key_jwt`:      create("--auth", "none"),
		`action "login": want reset`:                                        create("--action", "login"),
		`action "reset": want reset, change, unlock or register, each once`: create("--action", "reset,reset"),
		`subject "email": want pairwise or public`:                          create("--subject", "email"),
		"http is for loopback only":                                         create("--initiate", "http://new.example/"),
		"all must be on one host (new.example)":                             create("--redirect", "https://other.example/cb"),
		`redirect URI "https://new.example/cb": want each once`:             create("--redirect", "https://new.example/cb"),
		"without user or fragment":                                          {"app", "create", "New", "--redirect", "https://new.example/cb#x"},
		"give one with --redirect":                                          {"app", "create", "New", "--return-to", "https://new.example/", "--push-only"},
		"at least one of the flags":                                         {"app", "create", "New"},
		"an app without a redirect URI":                                     {"app", "change", "shop", "--action", "reset"},
		"-1h0m0s beside the new one: want 0 to 720h0m0s":                    {"app", "rotate", "hr", "--keep", "-1h"},
		"721h0m0s beside the new one":                                       {"app", "rotate", "hr", "--keep", "721h"},
		`invalid argument "a day"`:                                          {"app", "rotate", "hr", "--keep", "a day"},
		`no app "gone"`:                                                     {"app", "rotate", "gone"},
		`purpose "session": want id-token or event`:                         {"key", "signing", "rotate", "--purpose", "session"},
		`algorithm "none": want RS256`:                                      {"key", "signing", "rotate", "--alg", "none"},
		"there is no such key":                                              {"key", "signing", "rotate", "--purpose", "event"},
	} {
		says(t, d, want, args...)
	}
	if got := says(t, d, "hr", "app", "list"); strings.Count(got, "\n") != 2 {
		t.Errorf("something was stored: %s", got)
	}
	if got := says(t, d, "id-token ES256 retired", "key", "signing", "rotate", "--purpose", "id-token", "--alg", "ES256"); strings.Count(got, "\n") != 3 || strings.Contains(got, "PRIVATE") {
		t.Errorf("got %s", got)
	}
	kid := strings.Fields(says(t, d, "id-token", "key", "signing", "list"))[3]
	if got := says(t, d, "id-token ES256 current", "key", "signing", "withdraw", kid); strings.Contains(got, kid) {
		t.Errorf("withdrawn, and still there: %s", got)
	}
	says(t, d, "no signing key", "key", "signing", "withdraw", kid)
}
