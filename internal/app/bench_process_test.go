package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/config"
)

// process is a server in a process of its own, as it is installed, so that what it costs can be told from what asking costs.
type process struct {
	tb    testing.TB
	base  string // of SCIM
	token string
	cmd   *exec.Cmd
	in    io.Closer // when it is closed, or we die, a server that reads it ends
}

// ownProgram builds a command of this module as it is installed.
func ownProgram(tb testing.TB, pkg string) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), filepath.Base(pkg))
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// installation is regain on one database, with a connector that may do everything.
type installation struct {
	binary, config, base, token string
}

// install writes the configuration of a single server and brings an empty database up to date.
func install(tb testing.TB, database string) installation {
	tb.Helper()
	dir := tb.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	in := installation{binary: ownProgram(tb, "./cmd/regain"), config: filepath.Join(dir, "regain.yaml"), base: "http://localhost:" + port}
	for name, text := range map[string]string{
		"bind": "the password of a directory that is never asked",
		"regain.yaml": fmt.Sprintf(`
base_url: %s
listen: localhost:%s
telemetry: {listen: "off"}
database: %s
key_file: %s/regain.key
organisation: {name: Alder Works, corporate_domains: [alder.example], sign_in_url: "https://login.alder.example/"}
help: {text: {en: We answer within the hour., de: Wir antworten innerhalb einer Stunde.}, phone: +49 30 23125 000}
directories: [{name: corp, urls: ["ldaps://127.0.0.1:1"], bind_dn: cn=regain, bind_password_file: %s/bind, base_dn: dc=alder}]
mail: {host: 127.0.0.1, port: 1, from: "Alder Works <account@alder.example>"}
`, in.base, port, database, dir, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	if err := CreateKeys(filepath.Join(dir, "regain.key")); err != nil {
		tb.Fatal(err)
	}
	c, err := config.Load(config.Source{File: in.config})
	if err != nil {
		tb.Fatal(err)
	}
	admin, err := OpenAdmin(tb.Context(), c, "cli:bench", true)
	if err != nil {
		tb.Fatal(err)
	}
	in.token, err = admin.CreateConnector(tb.Context(), "bench", ConnectorSettings{Trust: "all", Preset: "entra", Rate: "100000"})
	if err := errors.Join(err, admin.Close()); err != nil {
		tb.Fatal(err)
	}
	return in
}

// serve starts the server and waits until it answers.
func (in installation) serve(tb testing.TB) *process {
	tb.Helper()
	p := &process{tb: tb, base: in.base + "/scim/v2", token: in.token, cmd: exec.Command(in.binary, "serve", "--config", in.config)}
	p.start()
	p.answers()
	return p
}

// start starts the process, with more in its environment, and sees to its end.
func (p *process) start(environ ...string) {
	p.tb.Helper()
	log, err := os.CreateTemp(p.tb.TempDir(), "log")
	if err != nil {
		p.tb.Fatal(err)
	}
	p.cmd.Stderr = log
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "REGAIN_") }) // those are settings, too
	p.cmd.Env = append(own, environ...)
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() {
		p.stop()
		if p.tb.Failed() {
			said, _ := os.ReadFile(log.Name())
			p.tb.Logf("%s said: %s", p.cmd.Path, said[max(0, len(said)-4000):])
		}
		log.Close()
	})
}

// stop ends the process, once.
func (p *process) stop() {
	if p.cmd.ProcessState == nil {
		if p.in != nil {
			p.in.Close()
		}
		_ = p.cmd.Process.Signal(os.Interrupt)
		_ = p.cmd.Wait()
	}
}

// answers waits until the server does.
func (p *process) answers() {
	p.tb.Helper()
	eventually(p.tb, "an answer of "+p.base, func() bool {
		res, err := p.ask(p.tb.Context(), http.MethodGet, "/ServiceProviderConfig", "")
		return err == nil && res.status == http.StatusOK
	})
}

// retort is an answer.
type retort struct {
	status int
	header http.Header
	body   []byte
}

// many keeps as many connections as there are workers.
var many = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 30 * time.Second}

func (p *process) ask(ctx context.Context, verb, path, body string) (retort, error) {
	r, err := http.NewRequestWithContext(ctx, verb, p.base+path, strings.NewReader(body))
	if err != nil {
		return retort{}, err
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	res, err := many.Do(r)
	if err != nil {
		return retort{}, err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	return retort{res.StatusCode, res.Header, said}, err
}

// want is ask that fails on any other status.
func (p *process) want(ctx context.Context, status int, verb, path, body string) (retort, error) {
	res, err := p.ask(ctx, verb, path, body)
	if err == nil && res.status != status {
		err = fmt.Errorf("%s %s: got %d, want %d: %s", verb, path, res.status, status, res.body)
	}
	return res, err
}

// processor returns how much processor time the process has used up so far. Linux counts it in hundredths of a second.
func (p *process) processor() time.Duration {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Skip("no /proc to read processor time from: ", err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(after)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		p.tb.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident returns how much memory the process holds, now and at most so far, in MB of a million bytes.
func (p *process) resident() (now, most float64) {
	p.tb.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Skip("no /proc to read memory from: ", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		for name, to := range map[string]*float64{"VmRSS:": &now, "VmHWM:": &most} {
			if text, ok := strings.CutPrefix(lines.Text(), name); ok {
				kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
				if err != nil {
					p.tb.Fatal(err)
				}
				*to = kib * 1024 / 1e6
			}
		}
	}
	return now, most
}
