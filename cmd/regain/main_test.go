package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run returns what a command line prints, its error at the end.
func run(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := command(t.Context(), args, environ, &out, &out); err != nil {
		out.WriteString("error: " + err.Error())
	}
	return out.String()
}

func TestConfigCheckTellsAllFaultsAndThenNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "regain.yaml")
	if err := os.WriteFile(path, []byte("lissten: x\nbase_url: http://example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, nil, "config", "check", "--config", path)
	for _, want := range []string{"cannot be used", path + ":1: lissten", "did you mean listen?", path + ":2: base_url", "directories: is required"} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
	good := "base_url: http://localhost:8080\norganisation: {name: Example}\ndirectories: [{name: here, kind: memory}]\n"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, []string{"REGAIN_CONFIG=" + path}, "config", "check"); !strings.HasSuffix(got, "the configuration has no faults\n") || !strings.Contains(got, "note: ") {
		t.Errorf("got %s", got)
	}
	if got := run(t, nil, "config", "show", "--defaults"); !strings.Contains(got, "listen: \"localhost:8080\"") {
		t.Errorf("got %s", got)
	}
	secret := []string{"REGAIN_CONFIG=" + path, "REGAIN_MAIL__HOST=h", "REGAIN_MAIL__FROM=a@example.org", "REGAIN_MAIL__USER=u", "REGAIN_MAIL__PASSWORD=hunter2"}
	if got := run(t, secret, "config", "show"); strings.Contains(got, "hunter2") || !strings.Contains(got, "(hidden)") {
		t.Errorf("a secret is shown or not marked: %s", got)
	}
	if got := run(t, secret, "config", "show", "--reveal-secrets"); !strings.Contains(got, "password: hunter2") {
		t.Errorf("asked to reveal it does not: %s", got)
	}
}

func TestVersionSaysSomething(t *testing.T) {
	if got := run(t, nil, "version"); strings.TrimSpace(got) == "" {
		t.Error("no version")
	}
	if got := run(t, nil, "versoin"); !strings.Contains(got, "error: unknown command") {
		t.Errorf("a mistyped command: got %s", got)
	}
}
