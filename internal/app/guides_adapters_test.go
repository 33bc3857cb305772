package app

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/directory"
)

// The adapter of the guide does what an adapter must, configured as the guide says.
func TestTheAdapterOfTheGuideResets(t *testing.T) {
	python := program(t, "install the Debian package python3", "/usr/bin/python3")
	_, programs := guide(t, "adapters.md", "py adapter")
	_, configs := guide(t, "adapters.md", "yaml config")
	home := t.TempDir()
	chat, err := os.ReadFile("../../examples/adapter-python/regain_directory.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"adapter.py": programs[0].text, "regain_directory.py": string(chat)} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	interpreter, err := os.ReadFile(python)
	if err != nil {
		t.Fatal(err)
	}
	block := configs[0]
	block.text = strings.ReplaceAll(block.text, "/etc/regain/hr", home)
	for name, text := range map[string]string{"/usr/bin/python3": string(interpreter), "adapter.py": programs[0].text, "regain_directory.py": string(chat)} {
		block.text = strings.ReplaceAll(block.text, strings.Repeat("0", 64)+"  "+name, fmt.Sprintf("%x  %s", sha256.Sum256([]byte(text)), name))
	}
	c, err := loadBlock(t, block)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := directories(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := dirs[0].Adapter
	t.Cleanup(func() { a.Close() })
	u, err := a.FindUser(t.Context(), directory.Query{Login: "ada"})
	if err != nil || u.Ref != (directory.Ref{Adapter: "hr", ID: "7"}) || u.Status.Marker != "0" {
		t.Fatalf("found %+v, %v", u, err)
	}
	if _, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret("short")}); !errors.Is(err, directory.ErrPolicy) {
		t.Errorf("too short: %v", err)
	}
	if res, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(fresh)}); err != nil || res.Outcome != directory.Applied {
		t.Errorf("got %v, %v", res, err)
	}
	if st, err := a.Status(t.Context(), u.Ref); err != nil || st.Marker != "1" {
		t.Errorf("afterwards %+v, %v", st, err)
	}
}
