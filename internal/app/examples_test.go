package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// nodePeers returns the path of Node.js and of the folder with the peers written for it, and leaves the test out, or
// fails it where servers are required, when they are not there.
func nodePeers(t testing.TB, peers ...string) (node, packages string) {
	t.Helper()
	packages, err := filepath.Abs("testdata/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	node = filepath.Join(packages, ".bin", "node")
	paths := []string{node}
	for _, p := range peers {
		paths = append(paths, filepath.Join(packages, p, "package.json"))
	}
	for _, path := range paths { // go test caches by the files a test looks at itself
		if _, err := os.Stat(path); err == nil {
			continue
		}
		const text = "Node.js or a package for it is not installed: run make install"
		if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return node, packages
}

// exampleApp is the source of one example, and how it becomes a program.
type exampleApp struct {
	name, file string
	command    func(t testing.TB, source string) *exec.Cmd // of a copy of the source
}

var exampleApps = []exampleApp{
	{"go", "../../examples/app/go/main.go", goProgram},
	{"ts", "../../examples/app/ts/app.ts", nodeProgram},
}

// goProgram builds one file with this module's dependencies.
func goProgram(t testing.TB, source string) *exec.Cmd {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "shop")
	build := exec.Command("go", "build", "-o", binary, source)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exec.Command(binary)
}

// nodeProgram runs one file beside the peers.
func nodeProgram(t testing.TB, source string) *exec.Cmd {
	t.Helper()
	node, packages := nodePeers(t, "openid-client")
	if err := os.Symlink(packages, filepath.Join(filepath.Dir(source), "node_modules")); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return exec.Command(node, source)
}

// text reads the source. A test reads what it judges itself: go test caches by that.
func (a exampleApp) text(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// running is an example app, running as its readers run it.
type running struct {
	t        testing.TB
	base     string
	redirect string
	log      *logBuffer
	stop     func()
}

// shopSignIn is where the shop itself would send people to sign in.
const shopSignIn = "http://localhost:1/sign-in"

// freeRedirect is a redirect URI on a port that was free a moment ago.
func freeRedirect(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return "http://localhost:" + port + "/callback"
}

// open starts the app with a text of its source, and stops it when the test ends.
func (a exampleApp) open(t testing.TB, text string, env map[string]string) *running {
	t.Helper()
	source := filepath.Join(t.TempDir(), filepath.Base(a.file))
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &running{t: t, redirect: env["REDIRECT_URI"], log: &logBuffer{}}
	s.base = strings.TrimSuffix(s.redirect, "/callback")
	cmd := a.command(t, source)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.stop = sync.OnceFunc(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("%s:\n%s", a.name, s.log)
		}
	})
	eventually(t, "the example answers", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", a.name, err, s.log)
		default:
		}
		res, err := http.Get(s.base + "/")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	return s
}

// customer is a browser at the shop and wherever the shop sends it, one step at a time.
type customer struct {
	t      testing.TB
	client *http.Client
}

func newCustomer(t testing.TB) *customer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &customer{t: t, client: &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is one answer as it came.
type page struct {
	sight
	to      string         // where it redirects
	cookies []*http.Cookie // what it sets
}

func (c *customer) get(at string) page {
	c.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, at, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return page{look(c.t, res, b), res.Header.Get("Location"), res.Cookies()}
}

// asks presses "Forgot your password?" and returns where the shop sends the browser.
func (c *customer) asks(s *running) string {
	c.t.Helper()
	if home := c.get(s.base + "/"); home.Status != 200 || !strings.Contains(home.HTML, `href="/forgot"`) || len(home.cookies) != 0 {
		c.t.Fatalf("the shop's page: %d, %v\n%s", home.Status, home.cookies, home.HTML)
	}
	at := c.get(s.base + "/forgot")
	if at.Status != http.StatusSeeOther || len(at.cookies) != 1 || !at.cookies[0].HttpOnly || at.cookies[0].SameSite != http.SameSiteLaxMode {
		c.t.Fatalf("asked: %d, %v\n%s\n%s", at.Status, at.cookies, at.HTML, s.log)
	}
	return at.to
}

// nobody holds a page after the callback to what a reset is: no sign-in. It sets nothing but the end of what tied the
// answer to the question, and afterwards the browser has nothing of the shop's.
func (c *customer) nobody(s *running, at page) {
	c.t.Helper()
	for _, k := range at.cookies {
		if k.Name != "forgot" || k.Value != "" || k.MaxAge >= 0 {
			c.t.Errorf("the callback sets %v", k)
		}
	}
	u, err := url.Parse(s.redirect)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, k := range c.client.Jar.Cookies(u) {
		if !strings.HasPrefix(k.Name, "regain-") && !strings.HasPrefix(k.Name, "work") { // cookies know no ports
			c.t.Errorf("after the callback the browser holds %v", k)
		}
	}
	if home := c.get(s.base + "/"); !strings.Contains(home.HTML, `id="sign-in"`) || len(home.cookies) != 0 {
		c.t.Errorf("after the callback the shop does not ask to sign in:\n%s", home.HTML)
	}
}

// sentOn holds a page after the callback to sending the person on to sign in.
func (c *customer) sentOn(at page, to string) {
	c.t.Helper()
	if got := at.Header.Get("Refresh"); got != "5; url="+to || !strings.Contains(at.HTML, `<a id="sign-in" href="`+to+`">`) {
		c.t.Errorf("not sent on to %s: Refresh %q\n%s", to, got, at.HTML)
	}
}

func TestAnExampleIsShorterThanEightyLines(t *testing.T) {
	for _, a := range exampleApps {
		if n := strings.Count(a.text(t), "\n"); n >= 80 {
			t.Errorf("%s has %d lines", a.file, n)
		}
	}
}
