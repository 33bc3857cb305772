package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	fileVersion = 1
	maxFile     = 1 << 20 // bytes; a key takes about 150
)

// file is the key file as JSON. Unknown fields are refused: they would be lost at the next rotation.
type file struct {
	Version int     `json:"version"`
	Keys    []entry `json:"keys"`
	Hash    string  `json:"hash"`
	Code    string  `json:"code"`
	Ticket  string  `json:"ticket"`
	Peppers []entry `json:"peppers"`
}

type entry struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Primary bool      `json:"primary,omitempty"`
	Secret  string    `json:"secret"`
}

func newFile(now time.Time) file {
	return file{
		Version: fileVersion,
		Keys:    []entry{newEntry(now, nil)}, Peppers: []entry{newEntry(now, nil)},
		Hash: newSecret(), Code: newSecret(), Ticket: newSecret(),
	}
}

func newSecret() string { return base64.StdEncoding.EncodeToString(random(secretSize)) }

// newEntry returns a new primary whose id none of old has.
func newEntry(now time.Time, old []entry) entry {
	for {
		id := hex.EncodeToString(random(len(keyID{})))
		if !slices.ContainsFunc(old, func(e entry) bool { return e.ID == id }) {
			return entry{ID: id, Created: now.UTC().Truncate(time.Second), Primary: true, Secret: newSecret()}
		}
	}
}

// withPrimary returns the entries with one more, which is the primary from now on.
func withPrimary(old []entry, now time.Time) []entry {
	out := slices.Clone(old)
	for i := range out {
		out[i].Primary = false
	}
	return append(out, newEntry(now, old))
}

// state checks the whole file and makes it ready for use. Errors name the entry at fault and never a secret.
func (f file) state() (*state, error) {
	if f.Version != fileVersion {
		return nil, fmt.Errorf("%w: version %d, this program knows %d", ErrFile, f.Version, fileVersion)
	}
	st := &state{file: f, seal: map[keyID]*sealer{}, peppers: map[string][]byte{}}
	seen := map[string]string{} // secret → where: two equal secrets would undo their independence
	take := func(name, text string) ([]byte, error) {
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(b) != secretSize {
			return nil, fmt.Errorf("%w: %s: want %d bytes in base64", ErrFile, name, secretSize)
		}
		if other, ok := seen[text]; ok {
			return nil, fmt.Errorf("%w: %s and %s are the same secret", ErrFile, other, name)
		}
		seen[text] = name
		return b, nil
	}
	primary, err := each("keys", f.Keys, func(id keyID, e entry) error {
		b, err := take("keys "+e.ID, e.Secret)
		if err == nil {
			st.seal[id] = newSealer(id, b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	st.primary = primary
	pepper, err := each("peppers", f.Peppers, func(id keyID, e entry) error {
		b, err := take("peppers "+e.ID, e.Secret)
		st.peppers[e.ID] = b
		return err
	})
	if err != nil {
		return nil, err
	}
	st.pepper = pepper.String()
	for _, s := range []struct {
		name, text string
		to         *[]byte
	}{{"hash", f.Hash, &st.hash}, {"code", f.Code, &st.code}, {"ticket", f.Ticket, &st.ticket}} {
		if *s.to, err = take(s.name, s.text); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// each visits the entries of a list, refuses malformed and double ids, and returns the one primary.
func each(list string, entries []entry, visit func(keyID, entry) error) (primary keyID, err error) {
	ids, primaries := map[keyID]bool{}, 0
	for _, e := range entries {
		id, err := parseKeyID(e.ID)
		if err != nil {
			return primary, fmt.Errorf("%w: %s: id %q: want 8 hexadecimal digits in lower case", ErrFile, list, e.ID)
		}
		if ids[id] {
			return primary, fmt.Errorf("%w: %s: id %s stands twice", ErrFile, list, e.ID)
		}
		ids[id] = true
		if e.Primary {
			primary = id
			primaries++
		}
		if err := visit(id, e); err != nil {
			return primary, err
		}
	}
	if primaries != 1 {
		return primary, fmt.Errorf("%w: %s: want exactly one primary, have %d", ErrFile, list, primaries)
	}
	return primary, nil
}

func parseKeyID(s string) (keyID, error) {
	var id keyID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, errors.New("malformed key id")
	}
	return keyID(b), nil
}

// Create writes a new key file, readable by its owner only, and opens it. It never replaces a file: when path exists
// the error is ErrExists. After a crash the file is whole or not there.
func Create(path string) (*Ring, error) {
	f := newFile(time.Now())
	tmp, err := writeTemp(path, f)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	// A hard link, unlike a rename, fails when the name is taken.
	if err := os.Link(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, path)
		}
		return nil, fmt.Errorf("create key file: %w", err)
	}
	if err := syncFolder(path); err != nil {
		return nil, err
	}
	return newRing(path, f)
}

// Open reads the key file at path; symbolic links are followed. It returns ErrLoose when anyone but the owner may read
// or write the file, and ErrFile when it is no key file of a version this program knows.
func Open(path string) (*Ring, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	r, err := newRing(path, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func readFile(path string) (f file, err error) {
	in, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("open key file: %w", err)
	}
	defer in.Close()
	info, err := in.Stat() // of the open file: what is checked is what is read
	if err != nil {
		return f, fmt.Errorf("open key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return f, fmt.Errorf("%w: %s is no regular file", ErrFile, path)
	}
	if loose := info.Mode().Perm() & 0o077; loose != 0 {
		return f, fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrLoose, path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return f, fmt.Errorf("read key file: %w", err)
	}
	if len(text) > maxFile {
		return f, fmt.Errorf("%w: %s is larger than %d bytes", ErrFile, path, maxFile)
	}
	// The version first: a later one may have fields we do not know, and that is not what is wrong with it.
	var head struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(text, &head) == nil && head.Version != fileVersion {
		return f, fmt.Errorf("%w: %s has version %d, this program knows %d", ErrFile, path, head.Version, fileVersion)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		// The decoder's text may quote what stands in the file, so it stays out of the error.
		return f, fmt.Errorf("%w: %s is not the JSON of a key file (stopped at byte %d)", ErrFile, path, d.InputOffset())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return f, fmt.Errorf("%w: %s goes on after its end", ErrFile, path)
	}
	return f, nil
}

// Add makes a new primary sealing key and keeps the old ones, so that everything sealed before still opens; Rewrap then
// moves people's keys to it. path is the key file ("" for a ring of Generate). Other processes keep the old primary
// until Reload; what this one seals meanwhile is ErrUnknownKey to them.
func (r *Ring) Add(path string) (id string, err error) {
	err = r.change(path, func(f *file) error {
		f.Keys = withPrimary(f.Keys, time.Now())
		id = f.Keys[len(f.Keys)-1].ID
		return nil
	})
	return id, err
}

// AddPepper makes a new primary pepper and keeps the old ones: hashes name theirs, so old ones still verify. path as
// for Add.
func (r *Ring) AddPepper(path string) (id string, err error) {
	err = r.change(path, func(f *file) error {
		f.Peppers = withPrimary(f.Peppers, time.Now())
		id = f.Peppers[len(f.Peppers)-1].ID
		return nil
	})
	return id, err
}

// Remove takes a sealing key out of the file at path ("" for a ring of Generate). uses is how many rows the caller has
// counted that are still sealed or wrapped by it: anything but 0 is ErrInUse. The primary is never removed: ErrPrimary.
func (r *Ring) Remove(path, id string, uses int) error {
	return r.change(path, func(f *file) error {
		i := slices.IndexFunc(f.Keys, func(e entry) bool { return e.ID == id })
		switch {
		case i < 0:
			return fmt.Errorf("%w: %s", ErrUnknownKey, id)
		case f.Keys[i].Primary:
			return fmt.Errorf("%w: %s", ErrPrimary, id)
		case uses != 0:
			return fmt.Errorf("%w: %d rows need %s", ErrInUse, uses, id)
		}
		f.Keys = slices.Delete(slices.Clone(f.Keys), i, i+1)
		return nil
	})
}

// Reload reads the key file again, after a rotation by another process. When the file cannot be used, or is not this
// deployment's, the ring stays as it was.
func (r *Ring) Reload() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := readFile(r.path)
	if err != nil {
		return err
	}
	return r.adopt(f)
}

// adopt makes f the ring's state if it is a later form of the same file.
func (r *Ring) adopt(f file) error {
	st, err := f.state()
	if err != nil {
		return err
	}
	if old := r.state.Load(); !sameRing(old.file, f) {
		return fmt.Errorf("%w: it is another deployment's", ErrFile)
	}
	r.state.Store(st)
	return nil
}

// sameRing compares the secrets that never rotate.
func sameRing(a, b file) bool { return a.Hash == b.Hash && a.Code == b.Code && a.Ticket == b.Ticket }

// change rewrites the file. It starts from what the file says now, not from what this process once read, so that two
// processes that rotate after one another both keep their key; at the same time, one of them gets ErrLocked.
func (r *Ring) change(path string, edit func(*file) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if path == "" {
		if r.path != "" {
			return fmt.Errorf("%w: no path was given", ErrFile)
		}
		f := r.state.Load().file
		if err := edit(&f); err != nil {
			return err
		}
		return r.adopt(f)
	}
	path, err := filepath.EvalSymlinks(path) // replace what a link points to, not the link
	if err != nil {
		return fmt.Errorf("open key file: %w", err)
	}
	unlock, err := lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := readFile(path)
	if err != nil {
		return err
	}
	if !sameRing(r.state.Load().file, f) {
		return fmt.Errorf("%w: %s is another deployment's", ErrFile, path)
	}
	if err := edit(&f); err != nil {
		return err
	}
	if _, err := f.state(); err != nil {
		return err
	}
	tmp, err := writeTemp(path, f)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("replace key file: %w", err)
	}
	if err := syncFolder(path); err != nil {
		return err
	}
	return r.adopt(f)
}

func lock(path string) (unlock func(), err error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: if none is running, delete %s", ErrLocked, name)
	}
	if err != nil {
		return nil, fmt.Errorf("lock key file: %w", err)
	}
	f.Close()
	return func() { os.Remove(name) }, nil
}

// writeTemp writes f beside path, through to the disk, with mode 0600.
func writeTemp(path string, f file) (name string, err error) {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write key file: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // 0600 from the first moment
	if err != nil {
		return "", fmt.Errorf("write key file: %w", err)
	}
	_, err = out.Write(append(text, '\n'))
	err = errors.Join(err, out.Sync(), out.Close())
	if err != nil {
		os.Remove(out.Name())
		return "", fmt.Errorf("write key file: %w", err)
	}
	return out.Name(), nil
}

func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync key file's folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync key file's folder: %w", err)
	}
	return nil
}
