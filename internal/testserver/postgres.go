package testserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresServer is a running PostgreSQL on loopback whose superuser "regain" needs no password.
type PostgresServer struct {
	URL string // of its database "postgres"; stays the same over Stop and Start

	bin, dir string
	port     int
	durable  bool
	as       *syscall.Credential
	keeper   *exec.Cmd
	life     io.Closer // closing it, or our death, ends the server
}

// shared is the one server of a test binary: tests use databases of their own on it, so a second would only cost time.
var shared = sync.OnceValues(func() (*PostgresServer, error) { return startPostgres(false) })

// Postgres returns the URL of the server this test binary shares, started by the first call in one to two seconds and
// ended with the process, however that ends. fsync is off: use NewPostgres for what a crash must not lose.
// Without PostgreSQL installed it skips or fails as the package comment says.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := shared()
	check(t, err)
	return s.URL
}

// NewPostgres starts a server of the test's own, which it may stop, crash and start again. durable turns fsync on.
func NewPostgres(t testing.TB, durable bool) *PostgresServer {
	t.Helper()
	s, err := startPostgres(durable)
	check(t, err)
	t.Cleanup(func() {
		if s.keeper != nil {
			s.end()
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

var errNoPostgres = errors.New("PostgreSQL is not installed: install the Debian package postgresql")

func check(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, errNoPostgres) && os.Getenv("REGAIN_REQUIRE_SERVERS") != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

func startPostgres(durable bool) (*PostgresServer, error) {
	bin, err := postgresFolder()
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{bin: bin, durable: durable}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		if s.as, err = unprivileged("postgres"); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp(dataFolder(durable), "regain-postgres-"); err != nil {
		return nil, err
	}
	if err := s.create(); err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	for try := 0; ; try++ { // another process may take the port between our look and the server's
		if s.port, err = freePort(); err == nil {
			if err = s.start(); err == nil {
				return s, nil
			}
		}
		if try == 3 {
			os.RemoveAll(s.dir)
			return nil, err
		}
	}
}

// dataFolder is where data goes that need not last: memory, if there is plenty, for a database a test is some 300 files.
func dataFolder(durable bool) string {
	const memory, plenty = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if durable || syscall.Statfs(memory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < plenty {
		return "" // the system's own
	}
	return memory
}

func (s *PostgresServer) create() error {
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", "regain", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *PostgresServer) data() string { return filepath.Join(s.dir, "data") }

func (s *PostgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = "/" // the server's user may not be able to enter ours
	cmd.Env = []string{"LC_ALL=C.UTF-8", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setsid: true}
	return cmd
}

// keep runs the server and waits for the end of its own input, which comes when we close our end or die in whatever way.
// An immediate shutdown is enough: nobody reads the data again, or a crash is what the test wants.
const keep = `"$@" </dev/null >"$LOG" 2>&1 &
pid=$!
cat >/dev/null
kill -QUIT $pid
wait $pid
[ -z "$REMOVE" ] || rm -rf "$REMOVE"`

func (s *PostgresServer) start() error {
	fsync := "off"
	if s.durable {
		fsync = "on"
	}
	cmd := s.command("postgres")
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", keep, "sh", cmd.Path,
		"-D", s.data(), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="},
		settings("fsync="+fsync, "synchronous_commit="+fsync, "full_page_writes="+fsync, "max_connections=200",
			"shared_buffers=32MB", "timezone=UTC", "log_timezone=UTC")...)
	cmd.Env = append(cmd.Env, "LOG="+filepath.Join(s.dir, "log"), "REMOVE="+s.dir)
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.keeper, s.life = cmd, life
	s.URL = fmt.Sprintf("postgres://regain@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	if err := s.ready(15 * time.Second); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		s.end()
		return fmt.Errorf("postgres: %w\n%s", err, log)
	}
	return nil
}

func settings(each ...string) []string {
	var args []string
	for _, s := range each {
		args = append(args, "-c", s)
	}
	return args
}

// ready waits until the server answers, for at most patience.
func (s *PostgresServer) ready(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		conn, err := pgconn.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end stops the server at once, as a crash would, and removes its data.
func (s *PostgresServer) end() {
	s.life.Close()
	s.keeper.Wait() // its status is that of rm
	s.keeper = nil
}

// Crash ends the server without a checkpoint, as a power cut of the process would: what it acknowledged must be there
// after Start when it is durable. Connections break.
func (s *PostgresServer) Crash(t testing.TB) {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	n, err := strconv.Atoi(first)
	if err != nil || n <= 1 {
		t.Fatalf("postmaster.pid says %q", first)
	}
	// The data must outlive the keeper, so the server goes first and the keeper is stopped before it tidies up.
	keeper := s.keeper.Process
	if err := errors.Join(syscall.Kill(n, syscall.SIGQUIT), keeper.Kill()); err != nil {
		t.Fatal(err)
	}
	s.keeper.Wait()
	s.life.Close()
	s.keeper = nil
	for range 500 {
		if _, err := os.Stat(filepath.Join(s.data(), "postmaster.pid")); errors.Is(err, os.ErrNotExist) {
			return
		}
		if syscall.Kill(n, 0) != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("postgres did not end in 5 s")
}

// Start starts the server again after Crash, on the same port and data.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// postgresFolder finds the newest installed server's programs: Debian keeps them off everybody's PATH.
func postgresFolder() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errNoPostgres
}

func unprivileged(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoPostgres, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
