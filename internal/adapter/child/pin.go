package child

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what an adapter is made of.
const (
	maxFile  = 64 << 20 // bytes
	maxFiles = 256
)

// pinned is a file and the hash of what it must hold.
type pinned struct {
	name string // as configured
	sum  [sha256.Size]byte
	copy string // where our copy stands
}

// bundle is our copy of everything an adapter is made of.
type bundle struct {
	dir     string
	files   []pinned
	program string // the copy that is run
}

// pin reads and copies every file that a configuration names, if it holds what it must.
func pin(c Config, as *owner) (*bundle, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("command: which program?")
	}
	files, err := parsePins(c.Files)
	if err != nil {
		return nil, err
	}
	program := slices.IndexFunc(files, func(f pinned) bool { return f.name == c.Command[0] })
	if program < 0 {
		return nil, fmt.Errorf("files: %s is run and not pinned: add the line that `sha256sum %s` prints", c.Command[0], c.Command[0])
	}
	dir, err := os.MkdirTemp("", "regain-adapter-")
	if err != nil {
		return nil, err
	}
	b := &bundle{dir: dir, files: files}
	for i := range b.files {
		if err := b.take(c.Dir, i); err != nil {
			return nil, errors.Join(err, b.remove())
		}
	}
	b.program = b.files[program].copy
	// Whoever runs it may read it; nobody may write.
	mode := os.FileMode(0o500)
	if as != nil {
		mode = 0o555
	}
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, mode)
	})
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return b, nil
}

// parsePins reads lines as sha256sum prints them.
func parsePins(lines []string) ([]pinned, error) {
	if len(lines) > maxFiles {
		return nil, fmt.Errorf("files: %d of them, at most %d", len(lines), maxFiles)
	}
	var all []pinned
	for i, line := range lines {
		digits, name, ok := strings.Cut(line, " ")
		name = strings.TrimPrefix(strings.TrimLeft(name, " "), "*")
		sum, err := hex.DecodeString(digits)
		if !ok || err != nil || len(sum) != sha256.Size || name == "" {
			return nil, fmt.Errorf("files.%d: want a line that sha256sum prints: 64 hex digits, two spaces, the name of a file", i)
		}
		if !filepath.IsAbs(name) && !filepath.IsLocal(name) || filepath.Clean(name) != name {
			return nil, fmt.Errorf("files.%d: %s: want an absolute name, or one below the folder of the adapter", i, name)
		}
		if slices.ContainsFunc(all, func(f pinned) bool { return f.name == name }) {
			return nil, fmt.Errorf("files.%d: %s is named twice", i, name)
		}
		all = append(all, pinned{name: name, sum: [sha256.Size]byte(sum)})
	}
	return all, nil
}

// take copies one file. What is hashed and what is copied is the same read.
func (b *bundle) take(from string, i int) error {
	f := &b.files[i]
	source := f.name
	f.copy = filepath.Join(b.dir, "abs", fmt.Sprint(i), filepath.Base(f.name))
	if !filepath.IsAbs(source) {
		source, f.copy = filepath.Join(from, f.name), filepath.Join(b.dir, f.name)
	}
	text, err := readPinned(source)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(text); subtle.ConstantTimeCompare(sum[:], f.sum[:]) != 1 {
		return fmt.Errorf("%s is not what it was: its SHA-256 is %x, and %x is pinned", source, sum, f.sum)
	}
	if err := os.MkdirAll(filepath.Dir(f.copy), 0o700); err != nil {
		return err
	}
	to, err := os.OpenFile(f.copy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = to.Write(text)
	return errors.Join(err, to.Close())
}

// readPinned reads a file that nobody but its owner can change, nor put another in its place.
func readPinned(path string) ([]byte, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o022 != 0 {
			return nil, fmt.Errorf("%s: others may write it (mode %04o): chmod go-w", p, info.Mode().Perm())
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, errors.Join(err, fmt.Errorf("%s: want a file of at most %d MiB", path, maxFile>>20))
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// verify looks whether the copy is still what was copied: the program may run as the user who owns it.
func (b *bundle) verify() error {
	for _, f := range b.files {
		text, err := os.ReadFile(f.copy)
		if err != nil {
			return err
		}
		if sha256.Sum256(text) != f.sum {
			return fmt.Errorf("the copy of %s was changed", f.name)
		}
	}
	return nil
}

// args are those of a command, with the copy in the place of every absolute file that is pinned. Relative ones are found
// where the program runs. The program keeps its name: interpreters find their libraries by it.
func (b *bundle) args(command []string) []string {
	args := slices.Clone(command)
	for i := range args[1:] {
		for _, f := range b.files {
			if filepath.IsAbs(f.name) && f.name == args[i+1] {
				args[i+1] = f.copy
			}
		}
	}
	return args
}

func (b *bundle) remove() error {
	filepath.WalkDir(b.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(b.dir)
}
