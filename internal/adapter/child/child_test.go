package child_test

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/child"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

const old = "an old password"

// person is an entry of the people file.
type person struct {
	ID         string
	Logins     []string
	Disabled   bool
	Salt, Hash []byte
	Rounds     int
	Version    int64
}

func write(t *testing.T, path string, people ...person) {
	t.Helper()
	for i := range people {
		p := &people[i]
		p.ID, p.Salt, p.Rounds = fmt.Sprintf("id-%d", i), []byte("salt"), 100
		p.Hash, _ = pbkdf2.Key(sha256.New, old, p.Salt, p.Rounds, 32)
	}
	text, err := json.Marshal(people)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// signIn tries a password as the programs that read the file do: not through the adapter, or it could lie.
func signIn(path, login, password string) bool {
	var all []person
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &all) != nil {
		panic("half a file")
	}
	i := slices.IndexFunc(all, func(p person) bool { return slices.Contains(p.Logins, login) })
	if i < 0 || all[i].Disabled {
		return false
	}
	hash, err := pbkdf2.Key(sha256.New, password, all[i].Salt, all[i].Rounds, 32)
	return err == nil && bytes.Equal(hash, all[i].Hash)
}

// sum is what sha256sum prints of a file.
func sum(t *testing.T, dir, name string) string {
	t.Helper()
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x  %s", sha256.Sum256(text), name)
}

// settings writes a file of settings.
func settings(t *testing.T, v map[string]any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copied is a folder with copies of the files of an example: a checkout may be writable by a group.
func copied(t *testing.T, example string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../../../examples", example, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const python = "/usr/bin/python3"

// pythonic is the example in Python over a people file.
func pythonic(t *testing.T, path string) child.Config {
	t.Helper()
	dir := copied(t, "adapter-python", "adapter.py", "regain_directory.py")
	return child.Config{Name: "hr", Command: []string{python, "-s", "-B", "adapter.py"}, Dir: dir,
		Files: []string{sum(t, dir, python), sum(t, dir, "adapter.py"), sum(t, dir, "regain_directory.py")}, Env: []string{"LANG=C.UTF-8"},
		Settings: settings(t, map[string]any{"path": path, "min_length": 8, "rounds": 100})}
}

func open(t *testing.T, c child.Config) *child.Adapter {
	t.Helper()
	a, err := child.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func keepsThePromises(t *testing.T, config func(t *testing.T, path string) child.Config) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		path := filepath.Join(t.TempDir(), "people.json")
		write(t, path, person{Logins: []string{"ada", "countess"}}, person{Logins: []string{"gone"}, Disabled: true}, person{Logins: []string{"twin1", "twins"}}, person{Logins: []string{"twin2", "twins"}})
		ada := directorytest.Account{Login: "ada", Password: old}
		return directorytest.Fixture{
			Adapter: open(t, config(t, path)), User: ada, Disabled: directorytest.Account{Login: "gone"}, Ambiguous: "twins",
			SignIn:  func(login, password string) bool { return signIn(path, login, password) },
			Refused: []directorytest.Refusal{{Account: ada, New: "tiny-1", Code: directory.TooShort}},
			Exceptions: map[string]string{
				"case of a login does not matter": "the programs that read the file tell Ada from ada, and what is not theirs is not ours",
			},
		}
	})
}

func TestTheExampleInPythonKeepsThePromisesOfADirectory(t *testing.T) { keepsThePromises(t, pythonic) }

func TestTheExampleInPythonKeepsThemWhenItIsStartedForEachRequest(t *testing.T) {
	keepsThePromises(t, func(t *testing.T, path string) child.Config {
		c := pythonic(t, path)
		c.OneShot = true
		return c
	})
}

// script is a program in the shell that answers hello, then does what it is told.
func script(t *testing.T, then string) child.Config {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\nread line\necho '" + `{"id":1,"result":{"protocol":1,"name":"script","version":"1","api":"1.0","methods":[]}}` + "'\n" + then + "\n"
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return child.Config{Name: "hr", Command: []string{"run"}, Dir: dir, Files: []string{sum(t, dir, "run")}}
}

// answering answers every request with a text of the shell, after work.
func answering(t *testing.T, work string) child.Config {
	return script(t, `id=1
while read line; do id=$((id+1)); `+work+`; printf '{"id":%d,"result":{"capabilities":{},"server":"%s"}}\n' $id "$say"; done`)
}

// says is what a script says of its server.
func says(t *testing.T, c child.Config) string {
	t.Helper()
	d, err := open(t, c).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d.Server
}

func TestAProgramFindsOnlyTheEnvironmentItWasGiven(t *testing.T) {
	t.Setenv("CANARY", "secret")
	c := answering(t, `say=$(/usr/bin/env | /usr/bin/sort | /usr/bin/tr '\n' ' ')`)
	c.Env, c.Venv = []string{"A=1"}, "/opt/venv"
	if got, want := says(t, c), "A=1 PATH=/opt/venv/bin:/usr/bin:/bin PWD="; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "VIRTUAL_ENV=/opt/venv") || strings.Contains(got, "CANARY") {
		t.Errorf("got %q", got)
	}
}

func TestAProgramCanGainNothingAndLeavesNoCore(t *testing.T) {
	got := says(t, answering(t, `say="$(/usr/bin/grep -E 'NoNewPrivs' /proc/self/status | /usr/bin/tr '\t' ' ') core $(ulimit -c) files $(ulimit -n)"`))
	if got != "NoNewPrivs: 1 core 0 files 256" {
		t.Errorf("got %q", got)
	}
}

func TestAProgramRunsWhereItCannotWrite(t *testing.T) {
	if os.Geteuid() == 0 {
		c := answering(t, `say="$(/usr/bin/id -un) $(/usr/bin/touch x 2>/dev/null && echo wrote) $(/usr/bin/id -G)"`)
		c.User = "nobody"
		if got := says(t, c); !strings.HasPrefix(got, "nobody  ") || strings.Contains(got, " 0") {
			t.Errorf("as a user of its own: %q", got)
		}
	}
	c := answering(t, `say=x`)
	c.User = "root"
	if _, err := child.New(c); err == nil || !strings.Contains(err.Error(), "not run as root") {
		t.Errorf("as root: %v", err)
	}
}

func TestOnlyWhatIsPinnedRuns(t *testing.T) {
	for name, x := range map[string]struct {
		spoil func(c *child.Config)
		want  string
	}{
		"another byte":             {func(c *child.Config) { appendTo(t, filepath.Join(c.Dir, "run"), "\n") }, "is not what it was"},
		"a program without a pin":  {func(c *child.Config) { c.Files = nil }, "is run and not pinned"},
		"no program":               {func(c *child.Config) { c.Command = nil }, "which program"},
		"a file others may write":  {func(c *child.Config) { chmod(t, filepath.Join(c.Dir, "run"), 0o775) }, "others may write it"},
		"a folder others may":      {func(c *child.Config) { chmod(t, c.Dir, 0o777) }, "others may write it"},
		"a file that is gone":      {func(c *child.Config) { os.Remove(filepath.Join(c.Dir, "run")) }, "no such file"},
		"a pin of half a hash":     {func(c *child.Config) { c.Files = []string{"abcd  run"} }, "that sha256sum prints"},
		"a pin outside the folder": {func(c *child.Config) { c.Files[0] = strings.Replace(c.Files[0], "run", "../run", 1) }, "below the folder"},
		"the same twice":           {func(c *child.Config) { c.Files = append(c.Files, c.Files[0]) }, "twice"},
		"settings others may read": {func(c *child.Config) { c.Settings = settings(t, nil); chmod(t, c.Settings, 0o640) }, "others may read it"},
		"settings that are none":   {func(c *child.Config) { c.Settings = settings(t, nil) }, "want a JSON object"},
		"a user that is none":      {func(c *child.Config) { c.User = "no such user" }, "no such user"},
	} {
		c := answering(t, `say=x`)
		x.spoil(&c)
		if _, err := child.New(c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", name, err, x.want)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsChangedAfterTheStartIsNotWhatRuns(t *testing.T) {
	c := answering(t, `say=first`)
	a := open(t, c)
	appendTo(t, filepath.Join(c.Dir, "run"), "\necho stolen\n")
	if d, err := a.Describe(t.Context()); err != nil || d.Server != "first" {
		t.Errorf("got %q, %v", d.Server, err)
	}
}

// logged is a log that can be read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.text.String() }

// until waits for what another process does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

func TestWhatAProgramSaysIsLoggedWithoutThePasswordsItWasGiven(t *testing.T) {
	var log logged
	c := answering(t, `echo "got $line" >&2; echo "bind-canary-1" >&2; say=x; /usr/bin/head -c 100000 /dev/zero | /usr/bin/tr '\0' 'y' >&2; echo >&2; echo the end >&2`)
	c.Log, c.Settings = slog.New(slog.NewTextHandler(&log, nil)), settings(t, map[string]any{"bind": map[string]any{"password": "bind-canary-1"}})
	a := open(t, c)
	a.Reset(t.Context(), directory.ResetRequest{OpID: "op", User: directory.Ref{Adapter: "hr", ID: "7"}, New: directory.NewSecret("CaNaRy-2")})
	until(t, "the last line", func() bool { return strings.Contains(log.String(), "the end") })
	if text := log.String(); strings.Contains(text, "CaNaRy-2") || strings.Contains(text, "bind-canary-1") || !strings.Contains(text, "[redacted]") || len(text) > 20_000 {
		t.Errorf("%d bytes: %.3000s", len(text), text)
	}
}

func TestAProgramThatIsKilledIsStartedAgainAndWhatItStartedEndsWithIt(t *testing.T) {
	c := answering(t, `/bin/sleep 1000 & say="$$ $!"`)
	a := open(t, c)
	ids := func() (pids [2]int) {
		t.Helper()
		d, err := a.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range strings.Fields(d.Server) {
			pids[i], _ = strconv.Atoi(f)
		}
		return pids
	}
	first := ids()
	syscall.Kill(first[0], syscall.SIGKILL)
	until(t, "what it started", func() bool { return ended(first[1]) })
	until(t, "another one", func() bool { return a.Health(t.Context()) == nil })
	second := ids()
	if second[0] == first[0] {
		t.Fatal("it was not killed")
	}
	a.Close()
	for _, pid := range second {
		if !ended(pid) {
			t.Errorf("%d runs on", pid)
		}
	}
	if err := a.Health(t.Context()); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

// ended reports whether a process is no more, or a zombie that nobody waited for.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a := open(t, answering(t, `say=x`))
	if err := a.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "regain-adapter-*")); len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(found) != 0 {
		t.Errorf("found %v", found)
	}
}
