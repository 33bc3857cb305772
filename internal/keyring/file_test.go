package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileReadableByOthersIsRefusedAndTheFixNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Create(path); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("created with mode %04o", info.Mode().Perm())
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o601, 0o660, 0o610, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrLoose) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		os.Chmod(path, mode)
		if _, err := Open(path); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestALinkIsFollowedAndItsTargetIsWhatCounts(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keys.json"), filepath.Join(dir, "link")
	r, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); err != nil {
		t.Error(err)
	}
	if _, err := r.Add(link); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Lstat(link); info.Mode()&fs.ModeSymlink == 0 {
		t.Error("rotation replaced the link by a file")
	}
	if got, err := Open(path); err != nil || got.Primary() != r.Primary() {
		t.Errorf("the target was not rotated: %v", err)
	}
	os.Chmod(path, 0o644)
	if _, err := Open(link); !errors.Is(err, ErrLoose) {
		t.Errorf("a link to a loose file: %v", err)
	}
}

func TestCreateNeverReplacesAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("it now says %q", text)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Create(filepath.Join(dir, "no", "folder")); err == nil {
		t.Error("created in a folder that is not there")
	}
}

// sample is a fixed ring: what it derives must be the same for ever, or codes and hashes die with an update.
const sample = `{
  "version": 1,
  "keys": [
    {"id": "00000001", "created": "2026-01-02T03:04:05Z", "secret": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},
    {"id": "00000002", "created": "2026-02-02T03:04:05Z", "primary": true, "secret": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}
  ],
  "hash": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
  "code": "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
  "ticket": "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=",
  "peppers": [
    {"id": "00000003", "created": "2026-01-02T03:04:05Z", "primary": true, "secret": "BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgY="}
  ]
}
`

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func fixed(t testing.TB) *Ring {
	t.Helper()
	r, err := Open(write(t, sample))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAFileThatIsNotSoundIsRefusedWithoutQuotingIt(t *testing.T) {
	fixed(t)
	for name, change := range map[string][2]string{
		"later version":      {`"version": 1`, `"version": 2`},
		"later, more fields": {`"version": 1,`, `"version": 2, "new": 1,`},
		"no version":         {`"version": 1,`, ``},
		"unknown field":      {`"version": 1,`, `"version": 1, "AQEBAQEB": 1,`},
		"double id":          {`00000002`, `00000001`},
		"no primary":         {`"primary": true, "secret": "Ag`, `"secret": "Ag`},
		"two primaries":      {`"2026-01-02T03:04:05Z", "secret": "AQ`, `"2026-01-02T03:04:05Z", "primary": true, "secret": "AQ`},
		"no pepper primary":  {`"primary": true, "secret": "Bg`, `"secret": "Bg`},
		"short secret":       {`AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=`, `AwMD`},
		"empty secret":       {`AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=`, ``},
		"same secret twice":  {`BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=`, `AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=`},
		"bad base64":         {`AwMD`, `!wMD`},
		"bad id":             {`00000001`, `0000000G`},
		"upper-case id":      {`00000001`, `0000000A`},
		"long id":            {`00000001`, `0000000011`},
		"number as secret":   {`"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="`, `7`},
		"cut":                {"\n  ]\n}\n", ``},
		"goes on":            {"\n  ]\n}\n", "\n  ]\n}\n{}"},
		"empty":              {sample, ``},
		"too large":          {sample, strings.Repeat(" ", maxFile) + sample},
	} {
		text := strings.Replace(sample, change[0], change[1], 1)
		if text == sample {
			t.Fatalf("%s: the change did nothing", name)
		}
		_, err := Open(write(t, text))
		if !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "AQEB") || strings.Contains(err.Error(), "wMD") {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRotationKeepsOldKeysAndSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(path) // another replica
	if err != nil {
		t.Fatal(err)
	}
	first := r.Primary()
	before := r.Seal([]byte("before"), "t", "r", "c")
	id, err := r.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	if id == first || r.Primary() != id {
		t.Errorf("primary is %s after adding %s", r.Primary(), id)
	}
	after := r.Seal([]byte("after"), "t", "r", "c")
	if _, err := other.Open(after, "t", "r", "c"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("before reload: %v", err)
	}
	if err := other.Reload(); err != nil {
		t.Fatal(err)
	}
	restarted, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*Ring{"rotated": r, "reloaded": other, "restarted": restarted} {
		for want, sealed := range map[string][]byte{"before": before, "after": after} {
			if got, err := x.Open(sealed, "t", "r", "c"); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v; want %q", name, got, err, want)
			}
		}
		if !bytes.Equal(x.Hash("p", "x"), r.Hash("p", "x")) || x.Code("c", 8) != r.Code("c", 8) || x.Ticket("t") != r.Ticket("t") {
			t.Errorf("%s: rotation moved a hash, a code or a ticket", name)
		}
		if keys := x.Keys(); len(keys) != 2 || keys[0].Primary || !keys[1].Primary || keys[1].ID != id {
			t.Errorf("%s: keys %v", name, keys)
		}
	}
	if err := r.Remove(path, first, 3); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := r.Remove(path, id, 0); !errors.Is(err, ErrPrimary) {
		t.Errorf("primary: %v", err)
	}
	if err := r.Remove(path, "ffffffff", 0); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := r.Open(before, "t", "r", "c"); err != nil {
		t.Errorf("a refused removal took the key: %v", err)
	}
	if err := r.Remove(path, first, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(before, "t", "r", "c"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("removed: %v", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o after rotation", info.Mode().Perm())
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTwoProcessesThatRotateBothKeepTheirKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	a, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	idA, errA := a.Add(path)
	idB, errB := b.Add(path) // b has not seen a's key
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range c.Keys() {
		ids = append(ids, k.ID)
	}
	if len(ids) != 3 || ids[1] != idA || ids[2] != idB || c.Primary() != idB {
		t.Errorf("keys %v, primary %s; want %s then %s", ids, c.Primary(), idA, idB)
	}
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path+".lock") {
		t.Errorf("locked: %v", err)
	}
}

func TestAnotherDeploymentsFileIsNotAdopted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := r.Seal([]byte("x"), "t", "r", "c")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); !errors.Is(err, ErrFile) {
		t.Errorf("reload: %v", err)
	}
	if _, err := r.Add(path); !errors.Is(err, ErrFile) {
		t.Errorf("add: %v", err)
	}
	if _, err := r.Open(sealed, "t", "r", "c"); err != nil {
		t.Errorf("the ring in use was changed: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != sample {
		t.Error("the foreign file was changed")
	}
	if _, err := r.Add(""); !errors.Is(err, ErrFile) {
		t.Errorf("a ring with a file, rotated in memory only: %v", err)
	}
}
