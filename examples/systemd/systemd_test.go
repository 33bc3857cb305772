package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unit returns the unit with a program that is there, so that systemd has nothing to say about the path.
func unit(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("regain.service")
	if err != nil {
		t.Fatal(err)
	}
	there, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "regain.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/regain ", there+" ")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemdUnderstandsEveryLineOfTheUnit(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit(t)).CombinedOutput()
	// What it does not know it prints and ignores, with exit code 0.
	if text := strings.TrimSpace(string(out)); err != nil || strings.Contains(text, "regain.service") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestTheServiceIsAsClosedAsSystemdCanMakeIt(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", unit(t)).CombinedOutput()
	if strings.Contains(string(out), "unrecognized option") {
		t.Skip("this systemd-analyze cannot judge a file")
	}
	found := regexp.MustCompile(`Overall exposure level for \S+ (\d)\.\d OK`).FindSubmatch(out)
	if err != nil || found == nil || string(found[1]) > "1" {
		t.Errorf("exposure is not below 2.0: %v\n%s", err, out)
	}
}
