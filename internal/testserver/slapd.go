package testserver

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SlapdConfig is what a test may choose about its slapd.
type SlapdConfig struct {
	// ServicePrivilege is what the service account may do to userPassword: "=xw" (default: set it, policy enforced, no
	// hash readable), "manage" (set it past every policy), "=x" (not set it).
	ServicePrivilege string
	Policy           map[string]string // attributes of the default password policy to replace; "" removes one
	CertHosts        []string          // names in the server's certificate; default localhost and 127.0.0.1
	CertValidity     []time.Time       // from, to; default a day
}

// SlapdServer is a running OpenLDAP with ppolicy and TLS, serving dc=example,dc=com on loopback.
//
//	ou=people     AddUser puts people here            ou=groups    AddGroup
//	ou=services   cn=regain, the delegated account    ou=policies  cn=default, cn=strict, cn=safe
//
// The delegated account has the least rights that a reset needs. cn=strict wants 16 characters and a minimum age of an
// hour; cn=safe refuses every write without the old password (pwdSafeModify).
type SlapdServer struct {
	URL, StartTLSURL   string // ldaps://127.0.0.1:PORT, ldap://127.0.0.1:PORT
	Addr               string // of the TLS port
	BaseDN             string
	PeopleDN           string
	GroupsDN           string
	DefaultPolicyDN    string
	CA                 *CA
	CAFile             string
	Pool               *x509.CertPool
	ServiceDN          string
	ServicePassword    string
	RootDN, rootSecret string

	dir     string
	cmd     *exec.Cmd
	done    chan struct{} // closed when slapd has ended
	waitErr error
}

// Slapd starts an OpenLDAP server of its own for the test, in about half a second, and stops it when the test ends.
// Without slapd installed it skips or fails as the package comment says.
func Slapd(t testing.TB, change ...func(*SlapdConfig)) *SlapdServer {
	t.Helper()
	slapd, slapadd := findSlapd(t, "slapd"), findSlapd(t, "slapadd")
	cfg := SlapdConfig{ServicePrivilege: "=xw", CertHosts: []string{"localhost", "127.0.0.1"}}
	for _, c := range change {
		c(&cfg)
	}
	ca := NewCA(t)
	base := "dc=example,dc=com"
	s := &SlapdServer{
		BaseDN: base, PeopleDN: "ou=people," + base, GroupsDN: "ou=groups," + base,
		DefaultPolicyDN: "cn=default,ou=policies," + base,
		CA:              ca, CAFile: ca.File, Pool: ca.Pool,
		ServiceDN: "cn=regain,ou=services," + base, ServicePassword: "svc-" + rand.Text(),
		RootDN: "cn=root," + base, rootSecret: "root-" + rand.Text(),
		dir: t.TempDir(),
	}
	certFile, keyFile := ca.Issue(t, "slapd", cfg.CertHosts, cfg.CertValidity...)
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(s.dir, "slapd.conf")
	if err := os.WriteFile(conf, []byte(s.config(cfg, certFile, keyFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	load := exec.Command(slapadd, "-q", "-f", conf, "-b", base)
	load.Stdin = strings.NewReader(s.ldif(cfg))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	// Another process may take a port between our look and slapd's bind, so a start is tried more than once.
	for try := range 3 {
		err := s.start(slapd, conf)
		if err == nil {
			break
		}
		if try == 2 {
			t.Fatalf("slapd: %v\n%s", err, s.Log())
		}
	}
	t.Cleanup(s.stop)
	return s
}

// findSlapd returns the path of one of slapd's programs, which Debian keeps in sbin, off most users' PATH.
func findSlapd(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/libexec/" + name, "/usr/lib/openldap/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	text := name + " is not installed: install the Debian packages slapd and ldap-utils"
	if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

func (s *SlapdServer) start(slapd, conf string) error {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		plain.Close()
		return err
	}
	s.Addr = secure.Addr().String()
	s.StartTLSURL, s.URL = "ldap://"+plain.Addr().String(), "ldaps://"+s.Addr
	plain.Close()
	secure.Close()
	return s.launch(slapd, conf)
}

func (s *SlapdServer) launch(slapd, conf string) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(slapd, "-f", conf, "-h", s.StartTLSURL+" "+s.URL, "-d", "stats")
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
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-s.done:
			return fmt.Errorf("ended while starting: %w", s.waitErr)
		default:
		}
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.stop()
	return errors.New("did not listen within 20 s")
}

func (s *SlapdServer) stop() {
	// KILL and not TERM: it also ends a paused server, and the data are thrown away.
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.done
}

// Pause stops the server in its tracks: connections stay open, requests queue unread in its sockets.
// It returns when every thread stands still: a signal alone would let a request slip through.
func (s *SlapdServer) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	for end := time.Now().Add(5 * time.Second); !standsStill(s.cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("slapd does not stop")
		}
	}
}

// standsStill reports whether every thread of a process is in state T, proc(5). Without /proc it hopes.
func standsStill(pid int) bool {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return true
	}
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		if !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return len(stats) > 0
}

// Resume lets a paused server go on, with everything that was queued.
func (s *SlapdServer) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *SlapdServer) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("slapd: %v", err)
	}
}

// Restart ends the server at once and starts it again on the same ports with the same data: every connection dies.
func (s *SlapdServer) Restart(t testing.TB) {
	t.Helper()
	s.stop()
	if err := s.launch(findSlapd(t, "slapd"), filepath.Join(s.dir, "slapd.conf")); err != nil {
		t.Fatalf("slapd: %v\n%s", err, s.Log())
	}
}

// Log returns what slapd has logged so far, one line for each operation.
func (s *SlapdServer) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

func (s *SlapdServer) config(cfg SlapdConfig, certFile, keyFile string) string {
	var modulePath string
	for _, dir := range []string{"/usr/lib/ldap", "/usr/lib/openldap", "/usr/lib64/openldap"} {
		if _, err := os.Stat(dir); err == nil {
			modulePath = dir
			break
		}
	}
	// =xw on one's own userPassword: write and authenticate, not read. A plain =w breaks RFC 3062 with the old password,
	// because slapd then may not compare it.
	return fmt.Sprintf(`modulepath %[1]s
moduleload back_mdb
moduleload ppolicy
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile %[2]s/pid
argsfile %[2]s/args
TLSCACertificateFile %[3]s
TLSCertificateFile %[4]s
TLSCertificateKeyFile %[5]s
TLSVerifyClient never
TLSProtocolMin 3.3
security simple_bind=128 update_ssf=128
password-hash {SSHA}
sizelimit size.soft=500 size.hard=1000 size.pr=200
database mdb
maxsize 67108864
suffix "%[6]s"
rootdn "%[7]s"
rootpw %[8]s
directory %[2]s/db
dbnosync
index objectClass eq
index uid,mail eq
index entryUUID eq
access to dn.subtree="ou=people,%[6]s" attrs=userPassword
  by dn.exact="%[9]s" %[10]s
  by self =xw
  by anonymous auth
  by * none
access to attrs=userPassword
  by self =xw
  by anonymous auth
  by * none
access to dn.subtree="ou=people,%[6]s" attrs=pwdAccountLockedTime,pwdReset
  by dn.exact="%[9]s" write
  by self read
  by * none
access to dn.subtree="ou=people,%[6]s"
  by dn.exact="%[9]s" read
  by self read
  by * none
access to *
  by dn.exact="%[9]s" read
  by * none
overlay ppolicy
ppolicy_default "%[11]s"
ppolicy_use_lockout
ppolicy_hash_cleartext
database monitor
rootdn "%[7]s"
access to * by dn.exact="%[7]s" read by dn.exact="%[9]s" read by * none
`, modulePath, s.dir, s.CAFile, certFile, keyFile, s.BaseDN, s.RootDN, s.rootSecret, s.ServiceDN,
		cfg.ServicePrivilege, s.DefaultPolicyDN)
}

func (s *SlapdServer) ldif(cfg SlapdConfig) string {
	policy := map[string]string{
		"pwdAttribute": "userPassword", "pwdInHistory": "3", "pwdMinLength": "10", "pwdCheckQuality": "2",
		"pwdLockout": "TRUE", "pwdMaxFailure": "3", "pwdLockoutDuration": "300", "pwdFailureCountInterval": "600",
		"pwdMaxAge": "7776000", "pwdGraceAuthNLimit": "0", "pwdMinAge": "0", "pwdMustChange": "TRUE",
		"pwdAllowUserChange": "TRUE", "pwdSafeModify": "FALSE",
	}
	var b strings.Builder
	entry := func(dn string, pairs ...string) {
		fmt.Fprintf(&b, "dn: %s\n", dn)
		for i := 0; i < len(pairs); i += 2 {
			fmt.Fprintf(&b, "%s: %s\n", pairs[i], pairs[i+1])
		}
		b.WriteByte('\n')
	}
	policyEntry := func(name string, changed map[string]string) {
		pairs := []string{"objectClass", "device", "objectClass", "pwdPolicy", "cn", name}
		for _, attr := range sortedKeys(policy, changed) {
			value, ok := changed[attr]
			if !ok {
				value = policy[attr]
			}
			if value != "" {
				pairs = append(pairs, attr, value)
			}
		}
		entry("cn="+name+",ou=policies,"+s.BaseDN, pairs...)
	}
	entry(s.BaseDN, "objectClass", "dcObject", "objectClass", "organization", "o", "Example", "dc", "example")
	for _, ou := range []string{"people", "groups", "services", "policies"} {
		entry("ou="+ou+","+s.BaseDN, "objectClass", "organizationalUnit", "ou", ou)
	}
	policyEntry("default", cfg.Policy)
	policyEntry("strict", map[string]string{"pwdMinLength": "16", "pwdMinAge": "3600"})
	policyEntry("safe", map[string]string{"pwdSafeModify": "TRUE"})
	entry(s.ServiceDN, "objectClass", "organizationalRole", "objectClass", "simpleSecurityObject", "cn", "regain",
		"userPassword", SSHA(s.ServicePassword))
	return b.String()
}

func sortedKeys(maps ...map[string]string) []string {
	var keys []string
	for _, m := range maps {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// SSHA returns the salted SHA-1 hash of a password as OpenLDAP stores it. For test servers, where speed counts; nothing
// that is worth protecting is hashed like this.
func SSHA(password string) string {
	salt := make([]byte, 8)
	rand.Read(salt)
	sum := sha1.Sum(append([]byte(password), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}
