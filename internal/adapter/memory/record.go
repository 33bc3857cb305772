package memory

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// record is an account as kept. A record in Directory.accounts is never changed: writes clone, save and replace it.
type record struct {
	ID      string
	Login   string
	Name    string              `json:",omitzero"`
	Attrs   map[string][]string `json:",omitzero"`
	Groups  []string            `json:",omitzero"`
	Created time.Time
	Changed time.Time

	Disabled, AdminLocked, Guarded, MustChange, CannotChange bool      `json:",omitzero"`
	AccountExpires                                           time.Time `json:",omitzero"`

	Hash            hash
	History         []hash `json:",omitzero"` // earlier ones, newest first
	PasswordChanged time.Time
	Version         int64 // counts password writes: the marker

	Failures int       `json:",omitzero"`
	LockedAt time.Time `json:",omitzero"`
}

func (r *record) clone() *record {
	c := *r
	c.History = slices.Clone(r.History)
	return &c
}

func (r *record) marker() string { return strconv.FormatInt(r.Version, 10) }

// hash is a password as kept: PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2).
type hash struct {
	Iterations int
	Salt, Sum  []byte
}

func newHash(password string, iterations int) hash {
	h := hash{Iterations: iterations, Salt: make([]byte, 16)}
	rand.Read(h.Salt)
	h.Sum = h.derive(password)
	return h
}

func (h hash) derive(password string) []byte {
	sum, err := pbkdf2.Key(sha256.New, password, h.Salt, h.Iterations, 32)
	if err != nil {
		panic("memory: " + err.Error()) // only for parameters that newHash and load exclude
	}
	return sum
}

func (h hash) matches(password string) bool {
	return len(h.Sum) > 0 && subtle.ConstantTimeCompare(h.Sum, h.derive(password)) == 1
}

// store puts a new password into a cloned record.
func (d *Directory) store(r *record, password string) {
	if len(r.Hash.Sum) > 0 {
		r.History = slices.Insert(r.History, 0, r.Hash)
	}
	r.History = r.History[:min(len(r.History), max(d.cfg.Policy.History-1, 0))] // the current one is the first of them
	r.Hash = newHash(password, d.cfg.Iterations)
	r.PasswordChanged, r.Changed = d.cfg.Now(), d.cfg.Now()
	r.Version++
}

// commit replaces the account by a changed clone, in memory and in the file, or in neither.
func (d *Directory) commit(r *record) error {
	old, had := d.accounts[r.ID]
	d.accounts[r.ID] = r
	if err := d.save(); err != nil {
		delete(d.accounts, r.ID)
		if had {
			d.accounts[r.ID] = old
		}
		return err
	}
	return nil
}

// state is the file.
type state struct {
	Format   string
	Accounts []*record
}

const format = "regain memory directory 1"

func (d *Directory) load() error {
	f, err := os.Open(d.cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: %s holds password hashes and others may read it: chmod 600 it", directory.ErrConfig, d.cfg.File)
	}
	var s state
	if err := json.NewDecoder(f).Decode(&s); err != nil {
		return fmt.Errorf("%w: %s: %w", directory.ErrConfig, d.cfg.File, err)
	}
	if s.Format != format {
		return fmt.Errorf("%w: %s: format is %q, want %q", directory.ErrConfig, d.cfg.File, s.Format, format)
	}
	for _, r := range s.Accounts {
		if r == nil || r.ID == "" || r.Login == "" || slices.ContainsFunc(append([]hash{r.Hash}, r.History...), func(h hash) bool {
			return h.Iterations < 1 && len(h.Sum) > 0
		}) {
			return fmt.Errorf("%w: %s: an account is incomplete", directory.ErrConfig, d.cfg.File)
		}
		d.accounts[r.ID] = r
	}
	return nil
}

// save writes the file anew beside the old one and renames it, so that a crash leaves one or the other.
func (d *Directory) save() error {
	if d.cfg.File == "" {
		return nil
	}
	s := state{Format: format}
	for _, r := range d.accounts {
		s.Accounts = append(s.Accounts, r)
	}
	slices.SortFunc(s.Accounts, byID)
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(d.cfg.File), ".directory-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), d.cfg.File)
}
