package app

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// peopleFile is what the example adapter in Python writes to.
type peopleFile struct {
	path string
	t    *testing.T
}

type peopleEntry struct {
	ID         string
	Logins     []string
	Disabled   bool
	Salt, Hash []byte
	Rounds     int
	Version    int64
}

func (f peopleFile) put(login, password string) {
	f.t.Helper()
	e := peopleEntry{ID: "id-1", Logins: []string{login}, Salt: []byte("salt"), Rounds: 100}
	e.Hash, _ = pbkdf2.Key(sha256.New, password, e.Salt, e.Rounds, 32)
	text, err := json.Marshal([]peopleEntry{e})
	if err == nil {
		err = os.WriteFile(f.path, text, 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f peopleFile) signsIn(password string) bool {
	f.t.Helper()
	var all []peopleEntry
	text, err := os.ReadFile(f.path)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	hash, err := pbkdf2.Key(sha256.New, password, all[0].Salt, all[0].Rounds, 32)
	return err == nil && bytes.Equal(hash, all[0].Hash)
}

// programWorld is a deployment whose directory is the example in Python, as a configuration names it. edit changes the text
// of adapter.py before it is pinned.
func programWorld(t *testing.T, kind config.DirectoryKind, edit func(string) string) (*world, peopleFile) {
	t.Helper()
	dir := t.TempDir()
	file := peopleFile{filepath.Join(dir, "people.json"), t}
	home := filepath.Join(dir, "adapter")
	pins := []string{}
	pin := func(name string, text []byte) { pins = append(pins, fmt.Sprintf("%x  %s", sha256.Sum256(text), name)) }
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"adapter.py", "regain_directory.py"} {
		text, err := os.ReadFile(filepath.Join("../../examples/adapter-python", name))
		if err == nil && name == "adapter.py" {
			text = []byte(edit(string(text)))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(home, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		pin(name, text)
	}
	const python = "/usr/bin/python3"
	text, err := os.ReadFile(python)
	if err != nil {
		t.Skip("no python3 here") // internal/house/needs/languages says so
	}
	pin(python, text)
	settings := filepath.Join(dir, "settings.json")
	if err := os.WriteFile(settings, fmt.Appendf(nil, `{"path": %q, "min_length": 8, "rounds": 100}`, file.path), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Defaults()
	c.Directories = []config.Directory{{Name: "hr", Kind: kind, Command: []string{python, "-s", "-B", "adapter.py"}, Dir: home, Files: pins, Settings: settings, Timeouts: config.DirectoryTimeouts{Connect: 5e9, Request: 10e9}}}
	c.Link.Directory.Attribute = "login"
	w := newWorld(t, scene{change: func(s *Setup) {
		if s.Directories, err = directories(c, s.Log); err != nil {
			t.Fatal(err)
		}
	}})
	return w, file
}

func TestAPersonOfADirectoryBehindAProgramGetsANewPassword(t *testing.T) {
	for _, kind := range []config.DirectoryKind{config.DirectoryPlugin, config.DirectoryExec} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w, file := programWorld(t, kind, func(s string) string { return s })
			ada := &somebody{uid: "ada", Login: "ada@alder.example", Email: "ada@mail.example", Phone: "+491713920011", ID: newID()}
			w.addPerson(ada, method.Email, method.SMS)
			file.put(ada.Login, "the old password")
			v := w.visitor()
			v.post("/reset", "login", ada.Login)
			v.proveTwice(ada)
			if s := v.post("/new-password", "password", "short"); s.Status != http.StatusUnprocessableEntity && !strings.Contains(s.Text, "at least") {
				t.Errorf("too short: %d %s", s.Status, s.Text)
			}
			v.post("/new-password", "password", fresh)
			for end := time.Now().Add(20 * time.Second); w.count(ada.ID, event.PasswordReset) == 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("not reset: %s", w.log.String())
				}
			}
			if !file.signsIn(fresh) || file.signsIn("the old password") {
				t.Error("the directory has another password")
			}
			if strings.Contains(w.log.String(), fresh) {
				t.Error("the password stands in the log")
			}
		})
	}
}

// A program that dies with a password in its hands may have written it. The person is not told that nothing was changed.
func TestAProgramThatDiesDuringAWriteIsNotTakenForARefusal(t *testing.T) {
	t.Parallel()
	w, file := programWorld(t, config.DirectoryPlugin, func(s string) string {
		return strings.Replace(s, `        return rd.applied(`, `        os.kill(os.getpid(), 9)
        return rd.applied(`, 1)
	})
	ada := &somebody{uid: "ada", Login: "ada@alder.example", Email: "ada@mail.example", Phone: "+491713920011", ID: newID()}
	w.addPerson(ada, method.Email, method.SMS)
	file.put(ada.Login, "the old password")
	v := w.visitor()
	v.post("/reset", "login", ada.Login)
	v.proveTwice(ada)
	s := v.post("/new-password", "password", fresh)
	if !file.signsIn(fresh) {
		t.Fatalf("it was not written: %s", w.log.String())
	}
	for end := time.Now().Add(20 * time.Second); w.count(ada.ID, event.WriteUnknown) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not unknown: %d %s %s", s.Status, s.Path, s.Text)
		}
	}
	if w.count(ada.ID, event.PasswordReset) != 0 {
		t.Error("nobody knows that it was written")
	}
}

func TestWhatAProgramCannotDoIsSaidInWords(t *testing.T) {
	t.Parallel()
	w, file := programWorld(t, config.DirectoryPlugin, func(s string) string {
		return strings.Replace(s, `return {"disabled": entry["Disabled"],`, `return {"locked": True, "disabled": entry["Disabled"],`, 1)
	})
	ada := &somebody{uid: "ada", Login: "ada@alder.example", Email: "ada@mail.example", Phone: "+491713920011", ID: newID()}
	w.addPerson(ada, method.Email, method.SMS)
	file.put(ada.Login, "the old password")
	v := w.visitor()
	v.firstProof("/unlock", ada)
	if s := v.post("/unlock-now"); !strings.Contains(s.Text, "does not let us unlock") {
		t.Errorf("%d %s: %s", s.Status, s.Path, s.Text)
	}
	if !file.signsIn("the old password") {
		t.Error("the password is another one")
	}
}

func TestCheckAsksAProgramWhatItIs(t *testing.T) {
	t.Parallel()
	w, file := programWorld(t, config.DirectoryPlugin, func(s string) string { return s })
	a := w.setup.Directories[0].Adapter
	found := checkProgram(context.Background(), "directory hr", a)
	if len(found) != 1 || found[0].Verdict != Must {
		t.Errorf("without the file: %+v", found)
	}
	file.put("ada", "the old password")
	found = checkProgram(context.Background(), "directory hr", a)
	if len(found) != 1 || found[0].Verdict != Good || found[0].Text != "adapter people-file 1.0 answers, server people file; it can reset, try a password" {
		t.Errorf("got %+v", found)
	}
}
