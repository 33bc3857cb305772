// Package child runs the program that an adapter of somebody else's is, and talks to it by regain.directory.v1 (package
// plugin): kept running, or once for each request.
//
// The program gets passwords, so what it is made of is pinned: every file by the SHA-256 of its bytes. The bytes that were
// hashed, and no others, are what runs: they are copied to a folder of our own that is not writable, and the program is
// started from there. It starts with an empty environment but for what is configured, can gain no privileges, ends with us,
// leaves no core dump, and may run as a user of its own. What it says on standard error is logged, line by line, without
// the passwords it was given.
package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/plugin"
)

// Config says what to run.
type Config struct {
	Name    string // of the directory
	Command []string
	Dir     string   // where relative file names stand
	Files   []string // every file the program is made of, as sha256sum prints it: 64 hex digits, spaces, a name
	Env     []string // NAME=VALUE: the whole environment
	Venv    string   // a Python environment: sets VIRTUAL_ENV and PATH
	User    string   // to run as; "" for ours
	// Settings are handed over in the first message: a file with a JSON object, readable by nobody else; "" for none. Every
	// text in it is kept out of the log.
	Settings string
	OneShot  bool // a process for each request
	Log      *slog.Logger
}

// Adapter is a directory behind a program. Close it: that ends the program and removes the copy.
type Adapter struct {
	*plugin.Host
	bundle *bundle
}

// New checks everything that can be checked without running anything: that the files are what they were, that nobody else
// can change them, and the settings. Errors name the file. The program is started by the first call.
func New(c Config) (*Adapter, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	settings, secrets, err := readSettings(c.Settings)
	if err != nil {
		return nil, err
	}
	owner, err := lookUp(c.User)
	if err != nil {
		return nil, err
	}
	b, err := pin(c, owner)
	if err != nil {
		return nil, err
	}
	start := func(scrub func(string) string) (*plugin.Process, error) { return b.start(c, owner, scrub) }
	h, err := plugin.NewHost(plugin.HostConfig{Name: c.Name, Config: settings, Secrets: secrets, Start: start, OneShot: c.OneShot, Log: c.Log})
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return &Adapter{h, b}, nil
}

// Close ends the program and removes the copy of its files.
func (a *Adapter) Close() error { return errors.Join(a.Host.Close(), a.bundle.remove()) }

// maxSettings is how long a file of settings may be, in bytes.
const maxSettings = 256 << 10

// readSettings reads a file of settings, and what in it the program must not be heard to say.
func readSettings(path string) (json.RawMessage, []directory.Secret, error) {
	if path == "" {
		return nil, nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular() || info.Size() > maxSettings:
		return nil, nil, fmt.Errorf("%s: want a file of at most %d bytes", path, maxSettings)
	case info.Mode().Perm()&0o077 != 0:
		return nil, nil, fmt.Errorf("%s: others may read it (mode %04o): chmod 600", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSettings))
	if err != nil {
		return nil, nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil || object == nil {
		return nil, nil, fmt.Errorf("%s: want a JSON object", path)
	}
	var secrets []directory.Secret
	texts(object, func(s string) {
		if len(s) >= 4 { // of less nobody could tell it from the words around it
			secrets = append(secrets, directory.NewSecret(s))
		}
	})
	return text, secrets, nil
}

// texts visits every text in a JSON value but for the names of members.
func texts(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, e := range v {
			texts(e, visit)
		}
	case map[string]any:
		for _, e := range v {
			texts(e, visit)
		}
	}
}

// start runs the program from the copy.
func (b *bundle) start(c Config, owner *owner, scrub func(string) string) (*plugin.Process, error) {
	if err := b.verify(); err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: b.program, Args: b.args(c.Command), Dir: b.dir, Env: environment(c)}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not the pipes of the command for what it says: those are closed when it ends, whoever still reads.
	out, outChild, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	said, saidChild, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, out.Close(), outChild.Close())
	}
	cmd.Stdout, cmd.Stderr = outChild, saidChild
	r, err := run(cmd, owner)
	err = errors.Join(err, outChild.Close(), saidChild.Close())
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close(), said.Close())
	}
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		listen(said, c.Log, c.Name, scrub)
	}()
	var once sync.Once
	var how error
	return &plugin.Process{In: in, Out: out, Kill: func() error {
		once.Do(func() {
			how = r.end()
			out.Close()
			select { // what it said last is worth a moment, but something it left behind may hold the pipe
			case <-listened:
			case <-time.After(200 * time.Millisecond):
			}
			said.Close()
			<-listened
		})
		return how
	}}, nil
}

// environment is all a program finds in its environment.
func environment(c Config) []string {
	env := append([]string{}, c.Env...)
	if c.Venv != "" {
		env = append(env, "VIRTUAL_ENV="+c.Venv, "PATH="+filepath.Join(c.Venv, "bin")+":/usr/bin:/bin")
	}
	return env
}

// Bounds of what a program says on standard error.
const (
	maxSaid     = 2 << 10 // bytes of a line
	saidAtOnce  = 50      // lines in saidSpan; more are counted and not logged
	saidSpan    = 10 * time.Second
	maxSaidPart = 4 << 10
)

// listen logs what a program says.
func listen(said io.Reader, log *slog.Logger, name string, scrub func(string) string) {
	in := bufio.NewReaderSize(said, maxSaidPart)
	var since time.Time
	lines, dropped := 0, 0
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // the rest of a line that is too long is passed over
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		}
		if text := strings.TrimSpace(scrub(string(line[:min(len(line), maxSaid)]))); text != "" {
			if now := time.Now(); now.Sub(since) > saidSpan {
				if dropped > 0 {
					log.Warn("adapter said more than is logged", "directory", name, "lines", dropped)
				}
				since, lines, dropped = now, 0, 0
			}
			if lines++; lines <= saidAtOnce {
				log.Info("adapter says", "directory", name, "text", text)
			} else {
				dropped++
			}
		}
		if err != nil {
			return
		}
	}
}
