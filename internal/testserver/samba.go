package testserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed samba_seed.py
var sambaSeed string

// SambaConfig is what a test may choose about its domain controller.
type SambaConfig struct {
	CertHosts    []string    // names in the certificate besides the server's own and its address
	CertValidity []time.Time // from, to; default a day
	// OldPasswordMinutes is how long the password before the last is still taken at a sign-in; -1 for not at all. Default
	// 60, Samba's own and Windows's.
	OldPasswordMinutes int
}

// SambaServer is a running Samba Active Directory domain controller with the one domain ad.example.com, serving LDAPS on
// a loopback address of its own: its ports, 636 and others, cannot be chosen.
//
//	OU=People     AddUser puts people here            OU=Groups    AddGroup
//	OU=Services   CN=regain, the delegated account, and CN=bare, with the same password and no rights at all
//
// The delegated account has the least rights that a reset needs, on OU=People only. The domain wants 10 characters of
// three classes, remembers 5 passwords and locks after 3 failures for half an hour.
type SambaServer struct {
	URL, Addr          string // ldaps://127.x.y.z, 127.x.y.z:636
	Host, Domain       string // dc1.ad.example.com, which the certificate names, and ad.example.com; no resolver knows them
	BaseDN             string
	PeopleDN, GroupsDN string
	CA                 *CA
	CAFile             string
	Pool               *x509.CertPool
	ServiceDN          string
	ServiceUPN         string
	ServicePassword    string
	BareUPN            string

	ip, dir, conf string
	adminPassword string
	cmd           *exec.Cmd
	done          chan struct{} // closed when samba has ended
	waitErr       error
}

const (
	sambaHost   = "dc1"
	sambaDomain = "ad.example.com"
	sambaBase   = "DC=ad,DC=example,DC=com"
)

// Samba starts a domain controller of its own for the test, in under a second, and stops it when the test ends. The
// first call on a machine makes a domain, which takes some five seconds, and keeps it in the user's cache folder; every server
// starts from a copy. Without Samba installed it skips or fails as the package comment says, and so it does for a user who
// may not listen on port 636.
func Samba(t testing.TB, change ...func(*SambaConfig)) *SambaServer {
	t.Helper()
	samba := findSamba(t)
	cfg := SambaConfig{OldPasswordMinutes: 60}
	for _, c := range change {
		c(&cfg)
	}
	made, err := sambaDomainMade(t.Context(), samba)
	if err != nil {
		t.Fatalf("samba: %v", err)
	}
	s := &SambaServer{
		Host: sambaHost + "." + sambaDomain, Domain: sambaDomain, BaseDN: sambaBase,
		PeopleDN: "OU=People," + sambaBase, GroupsDN: "OU=Groups," + sambaBase,
		CA: NewCA(t), ServiceDN: "CN=regain,OU=Services," + sambaBase, ServiceUPN: "regain@" + sambaDomain, BareUPN: "bare@" + sambaDomain, dir: t.TempDir(),
	}
	s.CAFile, s.Pool = s.CA.File, s.CA.Pool
	if err := os.CopyFS(s.dir, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]*string{"admin": &s.adminPassword, "service": &s.ServicePassword} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		*text = string(b)
	}
	s.conf = filepath.Join(s.dir, "smb.conf")
	// Another process may take an address between our look and samba's bind, so a start is tried more than once.
	for try := range 3 {
		s.ip = FreeLoopback(t)
		s.Addr, s.URL = s.ip+":636", "ldaps://"+s.ip
		certFile, keyFile := s.CA.Issue(t, "samba", append([]string{s.Host, s.ip}, cfg.CertHosts...), cfg.CertValidity...)
		if err := os.WriteFile(s.conf, []byte(sambaConf(s.dir, s.ip, cfg, certFile, keyFile, s.CAFile)), 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.launch(samba)
		if err == nil {
			break
		}
		if try == 2 {
			t.Fatalf("samba: %v\n%s", err, s.Log())
		}
	}
	t.Cleanup(s.stop)
	return s
}

func findSamba(t testing.TB) string {
	t.Helper()
	missing := func(text string) {
		if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	var path string
	for _, candidate := range []string{"samba", "/usr/sbin/samba", "/usr/local/samba/sbin/samba"} {
		if found, err := exec.LookPath(candidate); err == nil {
			path = found
			break
		}
	}
	if _, err := exec.LookPath("samba-tool"); path == "" || err != nil {
		missing("samba is not installed: install the Debian packages samba-ad-dc, samba-ad-provision and samba-dsdb-modules")
	}
	l, err := net.Listen("tcp", "127.0.0.1:1023")
	if errors.Is(err, os.ErrPermission) {
		missing("samba listens on port 636, which this user may not: " + err.Error())
	} else if err == nil {
		l.Close()
	}
	return path
}

// FreeLoopback returns a loopback address on which nobody serves LDAP. Linux has 127.0.0.0/8 for that, unconfigured.
func FreeLoopback(t testing.TB) string {
	t.Helper()
	for range 50 {
		var b [3]byte
		rand.Read(b[:])
		ip := fmt.Sprintf("127.%d.%d.%d", 1+b[0]%254, b[1], 1+b[2]%254)
		l, err := net.Listen("tcp", ip+":636")
		if err != nil {
			continue
		}
		l.Close()
		return ip
	}
	t.Fatal("no free loopback address for port 636")
	return ""
}

// sambaDomainMade returns the folder of a domain that no server uses, for copying: made once for each version of Samba and
// of our seed, however many processes ask at once.
func sambaDomainMade(ctx context.Context, samba string) (string, error) {
	version, err := exec.Command(samba, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("--version: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	key := sha256.Sum256([]byte(string(version) + sambaSeed + sambaConf("", "", SambaConfig{}, "", "", "")))
	dir := filepath.Join(cache, "regain-test", fmt.Sprintf("samba-%x", key[:8]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	half, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := makeSambaDomain(ctx, half); err != nil {
		return "", err
	}
	return dir, os.Rename(half, dir)
}

func makeSambaDomain(ctx context.Context, dir string) error {
	admin, service := "Adm1n-"+rand.Text(), "Svc1-"+rand.Text()
	tree := filepath.Join(dir, "tree")
	provision := exec.CommandContext(ctx, "samba-tool", "domain", "provision", "--realm="+strings.ToUpper(sambaDomain), "--domain=ADEX",
		"--host-name="+sambaHost, "--host-ip=127.0.0.1", "--server-role=dc", "--dns-backend=NONE", "--adminpass="+admin, "--targetdir="+tree,
		"--option=interfaces=127.0.0.1/8", "--option=bind interfaces only=yes", "--option=ldb:nosync=true")
	if out, err := provision.CombinedOutput(); err != nil {
		return fmt.Errorf("provision: %w\n%s", err, out)
	}
	script := filepath.Join(dir, "seed.py")
	if err := os.WriteFile(script, []byte(sambaSeed), 0o600); err != nil {
		return err
	}
	seed := exec.CommandContext(ctx, sambaPython(), script, filepath.Join(tree, "etc", "smb.conf"), sambaBase, sambaDomain, service)
	if out, err := seed.CombinedOutput(); err != nil {
		return fmt.Errorf("seed: %w\n%s", err, out)
	}
	// The rest of the tree is made anew by every server.
	if err := os.Rename(filepath.Join(tree, "private"), filepath.Join(dir, "private")); err != nil {
		return err
	}
	for name, text := range map[string]string{"admin": admin, "service": service} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return errors.Join(os.RemoveAll(tree), os.Remove(script), os.Remove(filepath.Join(dir, "private", "tls")))
}

// sambaConf runs nothing but LDAP, in one process: it starts in a third of a second, and one signal stops all of it.
func sambaConf(dir, ip string, cfg SambaConfig, certFile, keyFile, caFile string) string {
	return fmt.Sprintf(`[global]
netbios name = %[1]s
workgroup = ADEX
realm = %[2]s
server role = active directory domain controller
server services = ldap
interfaces = %[3]s/8
bind interfaces only = yes
private dir = %[4]s/private
state directory = %[4]s/state
cache directory = %[4]s/cache
lock directory = %[4]s/lock
binddns dir = %[4]s/dns
pid directory = %[4]s/run
ncalrpc dir = %[4]s/run/ncalrpc
ntp signd socket directory = %[4]s/run/ntp
winbindd socket directory = %[4]s/run/winbindd
log file = %[4]s/log.%%m
log level = 1 dsdb_password_audit:5
tls enabled = yes
tls keyfile = %[5]s
tls certfile = %[6]s
tls cafile = %[7]s
ldap server require strong auth = yes
dsdb event notification = no
old password allowed period = %[8]d
ldb:nosync = true
`, strings.ToUpper(sambaHost), strings.ToUpper(sambaDomain), ip, dir, keyFile, certFile, caFile, max(0, cfg.OldPasswordMinutes))
}

func (s *SambaServer) launch(samba string) error {
	for _, name := range []string{"state", "cache", "lock", "dns", "run/ncalrpc", "run/ntp", "run/winbindd"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(samba, "-i", "-M", "single", "-s", s.conf, "--debug-stdout")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = ownGroup()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		s.waitErr = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.done:
			return fmt.Errorf("ended while starting: %v", s.waitErr)
		default:
		}
		if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
			c.Close()
			return nil
		}
	}
	s.stop()
	return errors.New("did not listen within 30 s")
}

func (s *SambaServer) stop() {
	// KILL and not TERM: it also ends a paused server, and the data are thrown away.
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.done
}

// Pause stops the server in its tracks: connections stay open, requests queue unread in its sockets.
func (s *SambaServer) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	for end := time.Now().Add(5 * time.Second); !standsStill(s.cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("samba does not stop")
		}
	}
}

// Resume lets a paused server go on, with everything that was queued.
func (s *SambaServer) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *SambaServer) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("samba: %v", err)
	}
}

// Restart ends the server at once and starts it again with the same data: every connection dies.
func (s *SambaServer) Restart(t testing.TB) {
	t.Helper()
	s.stop()
	if err := s.launch(findSamba(t)); err != nil {
		t.Fatalf("samba: %v\n%s", err, s.Log())
	}
}

// Log returns what the server has logged so far, a line for each password that was set or tried to.
func (s *SambaServer) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// SetStored writes one attribute of an entry past every rule of the directory, as if it had come about in time: the server is
// restarted for it.
func (s *SambaServer) SetStored(t testing.TB, dn, attr, value string) {
	t.Helper()
	s.stop()
	const script = `
import sys, ldb
db = ldb.Ldb("tdb://" + sys.argv[1])
m = ldb.Message(ldb.Dn(db, sys.argv[2]))
m["x"] = ldb.MessageElement(sys.argv[4], ldb.FLAG_MOD_REPLACE, sys.argv[3])
db.modify(m)`
	file := filepath.Join(s.dir, "private", "sam.ldb.d", strings.ToUpper(s.BaseDN)+".ldb")
	if out, err := exec.CommandContext(t.Context(), sambaPython(), "-c", script, file, dn, attr, value).CombinedOutput(); err != nil {
		t.Fatalf("set %s of %s: %v\n%s", attr, dn, err, out)
	}
	if err := s.launch(findSamba(t)); err != nil {
		t.Fatalf("samba: %v\n%s", err, s.Log())
	}
}

// Shell runs a script as root on the domain controller would: samba-tool in it works on this server.
func (s *SambaServer) Shell(t testing.TB, script string, environ ...string) {
	t.Helper()
	real, err := exec.LookPath("samba-tool")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "samba-tool"), []byte("#!/bin/sh\nexec "+real+" \"$@\" -s "+s.conf+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
}

// sambaPython is the Python that has Samba's modules.
func sambaPython() string {
	const debian = "/usr/bin/python3"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return "python3"
}

// Tool runs samba-tool on the server's database, as an administrator on the machine would, and returns what it says.
func (s *SambaServer) Tool(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "samba-tool", append(args, "-s", s.conf)...).CombinedOutput()
	if err != nil {
		t.Fatalf("samba-tool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
