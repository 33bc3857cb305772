package app

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store/storetest"
)

// What the guide runs makes a token that the configuration takes.
func TestTheTokenOfTheGuideIsLongEnough(t *testing.T) {
	_, blocks := guide(t, "ssf.md", "sh run")
	dir := t.TempDir()
	for _, b := range blocks {
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", b.text)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssf.md:%d: %v: %s", b.line, err, out)
		}
	}
	token, err := os.ReadFile(filepath.Join(dir, "secrets/idp-events"))
	if err != nil || len(strings.TrimSpace(string(token))) < 32 {
		t.Errorf("a token of %d characters, %v", len(token), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "secrets/idp-events")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info, err)
	}
}

// The guide shows what a provider pushes and what that says: signed and sent as it stands there, it does what the guide says.
func TestThePushOfTheGuideShutsTheAccountItNames(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := newTeller(t, kind)
			ada := p.add("ada", method.Email)
			p.signedIn(ada)
			_, requests := guide(t, "ssf.md", "http set")
			_, sets := guide(t, "ssf.md", "json set")
			if len(requests) != 1 || len(sets) != 1 {
				t.Fatalf("%d requests, %d sets", len(requests), len(sets))
			}
			text := strings.NewReplacer("https://id.example.org", p.issuer, "https://account.example.org", p.base, "ada-4711", "sub-ada").Replace(sets[0].text)
			var claims map[string]any
			if err := json.Unmarshal([]byte(text), &claims); err != nil {
				t.Fatalf("ssf.md:%d: %v", sets[0].line, err)
			}
			claims["iat"] = p.now().Unix() // a guide grows old
			request := strings.NewReplacer("/signin/main/", "/signin/work/", "{token}", transmitterKey, "{set}", p.sign(claims)).Replace(requests[0].text)
			(&listener{world: p.world}).send(t, request)
			if !p.person(ada).Barred(p.now()) {
				t.Error("the account is not shut")
			}
		})
	}
}
