package app

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
)

// printedPrograms are what stands in what is printed, by the word after the four marks.
func printedPrograms(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^==== ([a-z]+): .*$`).FindAllStringSubmatchIndex(text, -1) {
		rest := text[m[1]+1:]
		if i := strings.Index(rest, "\n==== "); i >= 0 {
			rest = rest[:i+1]
		}
		out[text[m[2]:m[3]]] = rest
	}
	if len(out) != 4 {
		t.Fatalf("%d parts, want 4:\n%s", len(out), text)
	}
	return out
}

// credential is what the printed line puts into the environment, read by a shell.
func credential(t *testing.T, dir, line string) (name, value string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", line+"\nprintf '%s\\n' \"CLIENT_SECRET=$CLIENT_SECRET\" \"CLIENT_KEY=$CLIENT_KEY\"")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(out)) {
		if k, v, _ := strings.Cut(strings.TrimSpace(l), "="); v != "" {
			return k, v
		}
	}
	t.Fatalf("%s sets nothing", line)
	return "", ""
}

// back goes from the shop to the answer of a shop, through the pages of the world.
func (c *customer) back(s *running, w *world, p *somebody, password string) page {
	c.t.Helper()
	v := w.visitor().stopAtApps()
	to := c.asks(s)
	v.get(strings.TrimPrefix(to, w.base)).want(c.t, 200, "/reset")
	v.proveTwice(p)
	v.post("/new-password", "password", password).want(c.t, 200, "/progress", "Your password is changed")
	at := v.goBack()
	at.answer(c.t, s.redirect)
	return c.get(at.Header.Get("Location"))
}

func TestTheProgramsThatArePrintedRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{})
	for name, kind := range map[string]struct {
		alg    string // of a key
		change func(*client.App)
	}{
		"secret":            {"", nil},
		"secret, RS256":     {"", func(a *client.App) { a.Alg = "RS256" }},
		"secret, EdDSA":     {"", func(a *client.App) { a.Alg = "EdDSA" }},
		"secret, push only": {"", func(a *client.App) { a.PushOnly = true }},
		"key ES256":         {"ES256", nil},
		"key RS256":         {"RS256", nil},
		"key PS256":         {"PS256", nil},
		"key EdDSA":         {"EdDSA", func(a *client.App) { a.PushOnly = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := func(a *client.App) {
				a.Redirects = []string{freeRedirect(t)}
				if kind.change != nil {
					kind.change(a)
				}
			}
			a := (*asker)(nil)
			if kind.alg == "" {
				a = w.asker(change)
			} else {
				a = w.keyed(kind.alg, change)
			}
			text, err := snippets(w.base, a.App, a.secret)
			if err != nil {
				t.Fatal(err)
			}
			parts := printedPrograms(t, text)
			dir := t.TempDir()
			if a.pem != nil {
				if err := os.WriteFile(filepath.Join(dir, "client.pem"), a.pem, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			variable, value := credential(t, dir, parts["sh"])
			env := map[string]string{variable: value, "REDIRECT_URI": a.Redirects[0]}
			for _, program := range exampleApps {
				if a.secret != "" && strings.Contains(parts[program.name], a.secret) {
					t.Errorf("the secret stands in the %s program", program.name)
				}
				p := w.newcomer()
				s := program.open(t, parts[program.name], env)
				c := newCustomer(t)
				at := c.back(s, w, p, "a password from "+program.name)
				if at.Status != 200 || !strings.Contains(at.Text+at.HTML, "Your password is changed.") {
					t.Errorf("%s: %d %s", program.name, at.Status, at.HTML)
				}
				c.nobody(s, at)
				c.sentOn(at, "https://login.alder.example/")
				s.stop()
			}
			w.byHand(t, a, dir, variable+"="+value, parts["curl"])
		})
	}
}

// byHand runs the printed script as somebody would who types what it asks for.
func (w *world) byHand(t *testing.T, a *asker, dir, env, script string) {
	t.Helper()
	if a.secret != "" && strings.Contains(script, a.secret) {
		t.Error("the secret stands in the script")
	}
	if err := os.WriteFile(filepath.Join(dir, "try.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "try.sh")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), env}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, _ := lines.ReadString('\n')
	_, to, _ := strings.Cut(strings.TrimSpace(first), w.base)
	p := w.newcomer()
	v := w.visitor().stopAtApps()
	if at := v.get(to); at.Status != http.StatusOK || at.Path != "/reset" {
		t.Fatalf("%q: %d at %s\n%s", first, at.Status, at.Path, complaints.String())
	}
	v.proveTwice(p)
	v.post("/new-password", "password", "a password by hand").want(t, 200, "/progress")
	io.WriteString(in, v.goBack().answer(t, a.Redirects[0]).Get("code")+"\n") //nolint:errcheck // it shows below
	in.Close()
	rest, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, complaints.String())
	}
	for _, want := range []string{`"id_token"`, `"acr":"urn:regain:acr:recovery"`, `"action":"reset"`, `"status":"done"`} {
		if !strings.Contains(string(rest), want) {
			t.Errorf("what it prints lacks %s:\n%s%s", want, rest, complaints.String())
		}
	}
}
