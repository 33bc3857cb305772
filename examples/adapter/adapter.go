// Package adapter is an example: a directory.Adapter over a JSON file that no other program writes to. It implements
// nothing optional; README.md says how to judge one of your own.
package adapter

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/directory"
)

// Entry is one account of the file.
type Entry struct {
	ID         string   // never given to anybody else, unlike a login
	Logins     []string // compared exactly, as the programs that read the file do
	Disabled   bool
	Salt, Hash []byte // PBKDF2-HMAC-SHA-256, 32 bytes
	Rounds     int
	Version    int64 // counts password writes
}

// File is the adapter. Set the fields before use; it is safe for concurrent use then.
type File struct {
	Path      string
	MinLength int // characters
	Rounds    int // of PBKDF2 for new passwords

	mu     sync.Mutex
	closed bool
}

func refuse(op string, kind error) error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Native: directory.Native{Server: "file"}}
}

// with loads the file and runs do under the lock. Whatever fails before do is NotApplied: nothing was sent anywhere.
func (f *File) with(ctx context.Context, op string, do func(all []Entry) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil || f.closed {
		return refuse(op, directory.ErrUnavailable)
	}
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return refuse(op, directory.ErrUnavailable)
	}
	var all []Entry
	if json.Unmarshal(text, &all) != nil {
		return refuse(op, directory.ErrConfig)
	}
	return do(all)
}

// Describe claims only what is so: the kit measures every claim.
func (f *File) Describe(ctx context.Context) (directory.Description, error) {
	return directory.Description{Name: "file", Version: "1.0", API: directory.API, Server: "JSON", Caps: directory.Capabilities{
		ResetEnforcesQuality: true, ViolationDetail: true, Marker: true, WritesEverywhereVisible: true, MaxConcurrentPerUser: 1, SuggestedConcurrency: 1,
	}}, f.Health(ctx)
}

// FindUser finds the one account with a login.
func (f *File) FindUser(ctx context.Context, q directory.Query) (u directory.User, err error) {
	return u, f.with(ctx, "find", func(all []Entry) error {
		for _, e := range all {
			if !slices.Contains(e.Logins, q.Login) {
				continue
			}
			if u.Ref.ID != "" { // never "the first"
				u = directory.User{}
				return refuse("find", directory.ErrAmbiguous)
			}
			u = directory.User{Ref: directory.Ref{Adapter: "file", ID: e.ID}, Login: e.Logins[0], Status: e.status()}
		}
		if u.Ref.ID == "" {
			return refuse("find", directory.ErrNotFound)
		}
		return nil
	})
}

func (e Entry) status() directory.Status {
	return directory.Status{Disabled: e.Disabled, Marker: strconv.FormatInt(e.Version, 10), Server: "file"}
}

// at finds an account by its reference; one that another adapter made is nobody here.
func at(all []Entry, r directory.Ref, op string) (*Entry, error) {
	i := slices.IndexFunc(all, func(e Entry) bool { return r == directory.Ref{Adapter: "file", ID: e.ID} })
	if i < 0 {
		return nil, refuse(op, directory.ErrNotFound)
	}
	return &all[i], nil
}

// Status reads one account.
func (f *File) Status(ctx context.Context, r directory.Ref) (s directory.Status, err error) {
	return s, f.with(ctx, "status", func(all []Entry) error {
		e, err := at(all, r, "status")
		if err == nil {
			s = e.status()
		}
		return err
	})
}

// Reset writes a new password once.
func (f *File) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	res := directory.Result{Server: "file"}
	err := f.with(ctx, "reset", func(all []Entry) error {
		e, err := at(all, req.User, "reset")
		switch {
		case err != nil:
			return err
		case e.Disabled:
			return refuse("reset", directory.ErrDisabled)
		case req.IfMarker != "" && req.IfMarker != e.status().Marker:
			return refuse("reset", directory.ErrConflict)
		case req.EnforceHistory == directory.Require || req.MustChange: // cannot be done, so nothing is
			return refuse("reset", directory.ErrUnsupported)
		case utf8.RuneCountInString(req.New.Reveal()) < f.MinLength:
			return &directory.Error{Op: "reset", Kind: directory.ErrPolicy, Violations: []directory.Violation{{Code: directory.TooShort, Limit: f.MinLength}}}
		}
		e.Salt, e.Rounds, e.Version = []byte(rand.Text()), f.Rounds, e.Version+1
		if e.Hash, err = pbkdf2.Key(sha256.New, req.New.Reveal(), e.Salt, e.Rounds, 32); err != nil {
			return refuse("reset", directory.ErrConfig)
		}
		res.Marker = e.status().Marker
		return f.replace(all)
	})
	res.Outcome = directory.OutcomeOf(err)
	return res, err
}

// replace puts a new file in the old one's place: a reader sees either, never half of one. Until the rename nothing is
// written; if only the folder could not be synced, nobody knows what a power cut would leave, and that is Unknown.
func (f *File) replace(all []Entry) error {
	text, err := json.MarshalIndent(all, "", " ")
	out, made := os.CreateTemp(filepath.Dir(f.Path), ".new-*") // mode 0600
	if err = errors.Join(err, made); made == nil {
		defer os.Remove(out.Name())
		_, wrote := out.Write(text)
		err = errors.Join(err, wrote, out.Sync(), out.Close())
	}
	if err != nil || os.Rename(out.Name(), f.Path) != nil {
		return refuse("reset", directory.ErrReadOnly)
	}
	folder, err := os.Open(filepath.Dir(f.Path))
	if err == nil {
		err = errors.Join(folder.Sync(), folder.Close())
	}
	if err != nil {
		return &directory.Error{Op: "reset", Kind: directory.ErrUnknown, Outcome: directory.Unknown, Err: err}
	}
	return nil
}

// Health says whether the file can be read.
func (f *File) Health(ctx context.Context) error {
	return f.with(ctx, "health", func([]Entry) error { return nil })
}

// Close ends the adapter.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}
