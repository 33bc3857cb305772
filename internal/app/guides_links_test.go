package app

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
)

// guideHost is what this deployment is called in the guides.
const guideHost = "https://account.example.org"

// program returns the path of a program that runs what a guide shows; without it the test is left out, or fails where
// everything must be there.
func program(t *testing.T, brings string, candidates ...string) string {
	t.Helper()
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	text := candidates[0] + " is not installed: " + brings
	if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

const (
	peers   = "testdata/node_modules"
	getNode = "run make install"
)

// registered makes apps that links may name.
func (w *world) registered(keys ...string) {
	w.t.Helper()
	for _, key := range keys {
		a := &client.App{ID: newID(), Key: key, Name: "Alder " + key, Returns: []string{"https://" + key + ".example.org/"}, Created: w.now(), Updated: w.now()}
		if err := w.srv.Store.CreateApp(w.t.Context(), a, event.New(w.now(), event.AppCreated, "test", "", a.ID, event.Success)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// holds is the value of a cookie of the visitor's.
func (v *visitor) holds(name string) string {
	for _, c := range v.cookies() {
		if strings.HasSuffix(c.Name, name) {
			return c.Value
		}
	}
	return ""
}

// snippetServers are the servers of the guide, each with how its snippet becomes a server on loopback.
var snippetServers = []struct {
	name, info string
	start      func(t *testing.T, snippet, dir, port string) *exec.Cmd
}{
	{"nginx", "nginx run", func(t *testing.T, snippet, dir, port string) *exec.Cmd {
		nginx := program(t, "install the Debian package nginx", "nginx", "/usr/sbin/nginx")
		snippet = replaced(t, snippet, "server {\n", "server {\n    listen 127.0.0.1:"+port+";\n")
		temp := ""
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += kind + "_temp_path " + dir + "/" + kind + ";\n"
		}
		// One process, so that no worker becomes somebody who may not read the test's folder.
		config := "daemon off; master_process off; pid " + dir + "/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + temp + snippet + "}\n"
		return exec.CommandContext(t.Context(), nginx, "-e", "stderr", "-p", dir, "-c", written(t, dir, "nginx.conf", config))
	}},
	{"Caddy", "caddy run", func(t *testing.T, snippet, dir, port string) *exec.Cmd {
		caddy := program(t, "install the Debian package caddy", "caddy")
		snippet = replaced(t, snippet, "webmail.example.org {\n", "http://127.0.0.1:"+port+" {\n")
		cmd := exec.CommandContext(t.Context(), caddy, "run", "--adapter", "caddyfile", "--config", written(t, dir, "Caddyfile", "{\n\tadmin off\n}\n"+snippet))
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}},
	{"Express", "js run", func(t *testing.T, snippet, dir, port string) *exec.Cmd {
		node := program(t, getNode, peers+"/.bin/node")
		modules, err := filepath.Abs(peers)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(modules, "express")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), node, written(t, dir, "server.mjs", replaced(t, snippet, "listen(3000)", "listen("+port+", '127.0.0.1')")))
	}},
}

// replaced is text with one part, which must be there, in another form.
func replaced(t *testing.T, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("the guide has no %q any more:\n%s", old, text)
	}
	return strings.ReplaceAll(text, old, by)
}

func written(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts a server and waits until it answers at an address. It ends with the test.
func run(t *testing.T, cmd *exec.Cmd, at string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		if res, err := http.Get(at); err == nil {
			res.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", cmd.Path, err, out.String())
		case <-deadline.C:
			t.Fatalf("%s does not answer", cmd.Path)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestTheServersOfTheGuideSendPasswordManagersHere(t *testing.T) {
	w := newWorld(t, scene{})
	w.registered("webmail")
	for _, s := range snippetServers {
		t.Run(s.name, func(t *testing.T) {
			_, blocks := guide(t, "links.md", s.info)
			dir, port := t.TempDir(), freePort(t)
			root := filepath.Join(dir, "webmail")
			if err := os.MkdirAll(filepath.Join(root, "assets"), 0o700); err != nil {
				t.Fatal(err)
			}
			written(t, root, "index.html", "the app of one page")
			written(t, filepath.Join(root, "assets"), "app.js", "a file of it")
			snippet := replaced(t, replaced(t, blocks[0].text, guideHost, w.base), "/srv/webmail", root)
			here := "http://127.0.0.1:" + port
			run(t, s.start(t, snippet, dir, port), here)

			v := w.visitor()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, here+"/.well-known/change-password", nil)
			if err != nil {
				t.Fatal(err)
			}
			hops := []string{}
			v.client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
				hops = append(hops, fmt.Sprint(next.Response.StatusCode))
				return nil
			}
			res, err := v.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			var page bytes.Buffer
			_, err = page.ReadFrom(res.Body)
			res.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			look(t, res, page.Bytes()).want(t, http.StatusOK, "/change")
			if len(hops) == 0 || hops[0] != "302" {
				t.Errorf("sent on with %v, and only 302, 303 and 307 are not kept for ever", hops)
			}
			if v.holds("back") != "webmail" {
				t.Error("the way back to the app got lost")
			}
			for path, want := range map[string]string{
				"/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200": "404", "/.well-known/": "404",
				"/": "200 the app of one page", "/inbox/7": "200 the app of one page", "/assets/app.js": "200 a file of it",
			} {
				res, err := http.Get(here + path)
				if err != nil {
					t.Fatal(err)
				}
				var body bytes.Buffer
				_, err = body.ReadFrom(res.Body)
				res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprintf("%d %s", res.StatusCode, body.String()); got != want && (want != "404" || res.StatusCode != 404 && res.StatusCode != 403) {
					t.Errorf("%s: got %.60q, want %q", path, got, want)
				}
			}
		})
	}
}

// linkHere finds the addresses of this deployment in a guide, written in full or as somebody reads them off a wall.
var linkHere = regexp.MustCompile(`(?:https://)?account\.example\.org(/[a-z0-9?&=_./-]*)`)

func TestEveryAddressInTheGuideToLinksLeadsToAPage(t *testing.T) {
	w := newWorld(t, scene{})
	w.registered("webmail", "office", "okta", "adfs", "keycloak")
	text, links := guide(t, "links.md", "html link")
	found := map[string]bool{}
	for _, m := range linkHere.FindAllStringSubmatch(text, -1) {
		found[strings.TrimRight(m[1], ".")] = true
	}
	if len(found) < 8 {
		t.Fatalf("found only %v", found)
	}
	for path := range found {
		v := w.visitor()
		s := v.get(path)
		to, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Status != http.StatusOK || to.Path != "/forgot" && s.Path != to.Path || to.Path == "/forgot" && s.Path != "/reset" {
			t.Errorf("%s: %d at %s", path, s.Status, s.Path)
		}
		if key := to.Query().Get("return_to"); v.holds("back") != key {
			t.Errorf("%s: leads back to %q, want %q", path, v.holds("back"), key)
		}
		for name := range to.Query() {
			if name != "return_to" && name != "login_hint" {
				t.Errorf("%s: nobody reads %q", path, name)
			}
		}
	}
	for _, short := range []string{"/reset", "/change", "/unlock", "/forgot"} {
		if !strings.Contains(text, "`"+short+"`") {
			t.Errorf("the guide does not explain %s", short)
		}
		page := w.visitor().get(short + "?login_hint=ada%2Bx%40alder.example&return_to=webmail")
		if page.Status != http.StatusOK || !strings.Contains(html.UnescapeString(page.HTML), `value="ada+x@alder.example"`) {
			t.Errorf("%s: the name is not in the field (%d at %s)", short, page.Status, page.Path)
		}
	}
	if len(links) == 0 || !strings.Contains(links[0].text, `href="`+guideHost+`/reset?return_to=`) {
		t.Error("the plain link is not the first thing in the guide")
	}
}

// Microsoft documents 128 ASCII characters for the address.
func TestTheLinkForEntraFitsWhatItTakes(t *testing.T) {
	text, _ := guide(t, "links.md")
	m := regexp.MustCompile(`"customAccountResetCredentialsUrl": "([^"]*)"`).FindStringSubmatch(text)
	if m == nil || len(m[1]) > 128 || strings.ContainsFunc(m[1], func(r rune) bool { return r > 126 }) {
		t.Errorf("got %q", m)
	}
}

// The script for AD FS runs in a real browser, on a page with the two elements that AD FS has.
func TestTheScriptForADFSPutsALinkBesideTheErrorOnly(t *testing.T) {
	w := newWorld(t, scene{})
	w.registered("adfs")
	_, blocks := guide(t, "links.md", "js page")
	script := replaced(t, blocks[0].text, guideHost, w.base)
	page := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/onload.js" {
			out.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(out, script)
			return
		}
		said := map[string]string{"/wrong": "Incorrect user ID or password.", "/name": "Incorrect user ID or password."}[r.URL.Path]
		name := map[string]string{"/name": "ada+x@alder.example&return_to=evil"}[r.URL.Path]
		fmt.Fprintf(out, `<!doctype html><html lang="en"><title>AD FS</title><link rel="icon" href="data:,"><input id="userNameInput" value="%s"><span id="errorText">%s</span><script src="/onload.js"></script></html>`, strings.ReplaceAll(name, "&", "&amp;"), said)
	}))
	t.Cleanup(page.Close)
	b := browser.New(t)
	b.Open(page.URL + "/")
	if n := b.Count("a"); n != 0 {
		t.Errorf("%d links before anything went wrong", n)
	}
	for _, c := range [][2]string{{"/wrong", ""}, {"/name", "ada+x@alder.example&return_to=evil"}} {
		path, name := c[0], c[1]
		b.Open(page.URL + path)
		if text := b.Text("#errorText"); text != "Incorrect user ID or password. Forgot your password?" {
			t.Errorf("%s: %q", path, text)
		}
		b.Follow("#errorText a")
		if at := b.URL(); at != w.base+"/reset" {
			t.Fatalf("%s: arrived at %s", path, at)
		}
		if got := b.Value("#login"); got != name {
			t.Errorf("%s: the field holds %q, want %q", path, got, name)
		}
	}
}
