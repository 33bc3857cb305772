package app

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// freshOpenLDAP is a server as an operator has it before reading the guide: cn=config, people, no policy, no rules.
type freshOpenLDAP struct {
	t         *testing.T
	ca        *testserver.CA
	url, addr string
}

const (
	guideBase   = "dc=example,dc=org"
	guideRoot   = "cn=admin," + guideBase
	guideSecret = "only for this test"
)

func startFreshOpenLDAP(t *testing.T) *freshOpenLDAP {
	t.Helper()
	needed := map[string]string{}
	for _, name := range []string{"slapd", "slapadd", "slaptest", "ldapmodify"} {
		path, err := exec.LookPath(name)
		if err != nil {
			path = "/usr/sbin/" + name
			if _, err := exec.LookPath(path); err != nil {
				if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
					t.Fatalf("%s is not installed", name)
				}
				t.Skipf("%s is not installed: install the Debian packages slapd and ldap-utils", name)
			}
		}
		needed[name] = path
	}
	dir := t.TempDir()
	s := &freshOpenLDAP{t: t, ca: testserver.NewCA(t)}
	cert, key := s.ca.Issue(t, "slapd", []string{"localhost", "127.0.0.1"})
	for _, d := range []string{"db", "slapd.d"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "slapd.conf")
	text := fmt.Sprintf(`modulepath /usr/lib/ldap
moduleload back_mdb
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile %[1]s/pid
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
database config
rootdn cn=admin,cn=config
rootpw %[6]q
database mdb
suffix %[5]q
rootdn "cn=admin,%[5]s"
rootpw %[6]q
directory %[1]s/db
dbnosync
`, dir, s.ca.File, cert, key, guideBase, guideSecret)
	people := fmt.Sprintf("dn: %[1]s\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\ndn: ou=people,%[1]s\nobjectClass: organizationalUnit\nou: people\n\n"+
		"dn: uid=ada,ou=people,%[1]s\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada\nsn: Brandt\nmail: ada@example.org\nuserPassword: %[2]s\n", guideBase, testserver.SSHA("the first password"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(in, name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), needed[name], args...)
		cmd.Stdin = strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run(people, "slapadd", "-q", "-f", conf, "-b", guideBase)
	run("", "slaptest", "-f", conf, "-F", filepath.Join(dir, "slapd.d")) // turns the file into cn=config
	s.addr = "127.0.0.1:" + freePort(t)
	s.url = "ldaps://" + s.addr
	cmd := exec.Command(needed["slapd"], "-F", filepath.Join(dir, "slapd.d"), "-h", s.url, "-d", "none")
	said := &logBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(said.tail(20))
		}
	})
	eventually(t, "slapd listens", func() bool {
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}

// modify loads LDIF as an operator does.
func (s *freshOpenLDAP) modify(who, ldif string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "ldapmodify", "-H", s.url, "-x", "-D", who, "-w", guideSecret)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.ca.File)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("ldapmodify as %s: %v\n%s\n%s", who, err, out, ldif)
	}
}

func (s *freshOpenLDAP) signsIn(password string) bool {
	s.t.Helper()
	c, err := goldap.DialURL(s.url, goldap.DialWithTLSConfig(&tls.Config{RootCAs: s.ca.Pool, ServerName: "localhost"}))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.Bind("uid=ada,ou=people,"+guideBase, password) == nil
}

// follow does what the guide says, with change made to each block before.
func (s *freshOpenLDAP) follow(password string, change func(string) string) {
	s.t.Helper()
	_, blocks := guide(s.t, "openldap.md", "ldif config", "ldif data")
	for _, b := range blocks {
		who := guideRoot
		if b.info == "ldif config" {
			who = "cn=admin,cn=config"
		}
		s.modify(who, change(strings.ReplaceAll(b.text, "{SSHA}THE-OUTPUT-OF-slappasswd", testserver.SSHA(password))))
	}
}

// check runs regain check with the guide's configuration and returns its lines about the directory.
func (s *freshOpenLDAP) check(password string) []string {
	s.t.Helper()
	_, blocks := guide(s.t, "openldap.md", "yaml config")
	dir := s.t.TempDir()
	text := regexp.MustCompile(`urls: .*`).ReplaceAllString(blocks[0].text, "urls: ["+s.url+"]\n    ca_file: "+s.ca.File)
	text = strings.ReplaceAll(text, "secrets/directory", dir+"/bind") + "key_file: " + dir + "/regain.key\ndatabase: " + dir + "/regain.db\n"
	for name, content := range map[string]string{"bind": password, "regain.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := CreateKeys(filepath.Join(dir, "regain.key")); err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, f := range Check(s.t.Context(), config.Source{File: filepath.Join(dir, "regain.yaml")}) {
		if f.Area == "directory staff" {
			lines = append(lines, fmt.Sprintf("%-7s %-16s %s", f.Verdict, f.Area, f.Text))
		} else if f.Verdict == Must {
			s.t.Errorf("%+v", f)
		}
	}
	return lines
}

func TestTheGuideToOpenLDAPLeadsToAWorkingReset(t *testing.T) {
	const password, fresh = "the password of the service", "a heron lands on cold water"
	s := startFreshOpenLDAP(t)
	if !s.signsIn("the first password") {
		t.Fatal("the test's own person cannot sign in")
	}
	s.follow(password, func(b string) string { return b })
	_, want := guide(t, "openldap.md", "text check")
	if got := strings.Join(s.check(password), "\n") + "\n"; got != want[0].text {
		t.Errorf("regain check says\n%s\nand the guide\n%s", got, want[0].text)
	}
	a, err := ldap.New(ldap.Config{Name: "staff", URLs: []string{s.url}, CAFile: s.ca.File, BindDN: "cn=regain,ou=services," + guideBase, BindPassword: directory.NewSecret(password),
		BaseDN: "ou=people," + guideBase, DefaultPolicyDN: "cn=default,ou=policies," + guideBase})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	u, err := a.FindUser(t.Context(), directory.Query{Login: "ada@example.org", Attrs: []string{"mail"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // pwdMaxFailure of the guide
		s.signsIn("a guess")
	}
	if st, err := a.Status(t.Context(), u.Ref); err != nil || !st.Locked {
		t.Fatalf("ten guesses do not lock: %+v, %v", st, err)
	}
	if _, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret("too short")}); directory.ViolationsOf(err)[0].Code != directory.TooShort {
		t.Errorf("the policy is not enforced: %v", err)
	}
	if res, err := a.Reset(t.Context(), directory.ResetRequest{User: u.Ref, New: directory.NewSecret(fresh), Unlock: true}); err != nil || res.Outcome != directory.Applied {
		t.Fatalf("reset: %v, %v", res.Outcome, err)
	}
	if !s.signsIn(fresh) || s.signsIn("the first password") {
		t.Error("the new password alone should sign in")
	}
	c, err := goldap.DialURL(s.url, goldap.DialWithTLSConfig(&tls.Config{RootCAs: s.ca.Pool, ServerName: "localhost"}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind("cn=regain,ou=services,"+guideBase, password); err != nil {
		t.Fatal(err)
	}
	res, err := c.Search(goldap.NewSearchRequest("ou=people,"+guideBase, goldap.ScopeWholeSubtree, 0, 0, 0, false, "(uid=ada)", []string{"userPassword", "cn"}, nil))
	if err != nil || len(res.Entries) != 1 || len(res.Entries[0].Attributes) != 1 {
		t.Errorf("the service account should read the name and no hash: %v, %v", res, err)
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest(guideRoot, "", fresh)); err == nil {
		t.Error("the service account sets passwords outside the people")
	}
	if err := c.Bind("uid=ada,ou=people,"+guideBase, fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PasswordModify(goldap.NewPasswordModifyRequest("", fresh, "another heron on cold water")); err != nil {
		t.Errorf("a change by the old password: %v", err)
	}
}

// What the guide warns of is so, each on a server that got it wrong.
func TestTheGuideToOpenLDAPWarnsOfWhatIsSo(t *testing.T) {
	const password = "the password of the service"
	swap := func(old, new string) func(string) string {
		return func(b string) string { return strings.Replace(b, old, new, 1) }
	}
	service := `by dn.exact="cn=regain,ou=services,dc=example,dc=org" `
	for name, c := range map[string]struct {
		change func(string) string
		bind   string
		want   string
	}{
		"no right to set":      {swap(service+"=xw", service+"=x"), password, `(?m)^must .*the right to reset passwords: .*service account lacks the right`},
		"no right to unlock":   {swap(service+"write", service+"read"), password, `(?m)^must .*the right to reset passwords: .*service account lacks the right`},
		"manage is too much":   {swap(service+"=xw", service+"manage"), password, `(?m)^should .*the policy is enforced on a reset`},
		"the wrong password":   {swap("", ""), "another", `(?m)^must .*sign-in of the service account: .*\(49\b`},
		"policies not to read": {swap("olcAccess: {4}to *\n  "+service+"read\n", "olcAccess: {4}to *\n"), password, `(?m)^should .*reading the password policy`},
		"pwdSafeModify":        {swap("pwdSafeModify: FALSE", "pwdSafeModify: TRUE"), password, `(?m)^must .*the right to reset passwords: .*service account lacks the right`},
	} {
		t.Run(name, func(t *testing.T) {
			s := startFreshOpenLDAP(t)
			s.follow(password, c.change)
			if got := strings.Join(s.check(c.bind), "\n"); !regexp.MustCompile(c.want).MatchString(got) {
				t.Errorf("regain check says\n%s\nwant %s", got, c.want)
			}
		})
	}
}
