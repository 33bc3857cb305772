package app

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// verifiers are the four snippets of the guide, each with the program around it that the guide leaves to its reader: it
// judges the requests it is given, one a line, and says ok or why not.
var verifiers = []struct {
	name, info string
	build      func(t *testing.T, snippet, dir string) *exec.Cmd
}{
	{"Go", "go verify", func(t *testing.T, snippet, dir string) *exec.Cmd {
		written(t, dir, "go.mod", "module webhook\n\ngo 1.21\n")
		written(t, dir, "webhook.go", replaced(t, snippet, "package webhook\n", "package main\n"))
		written(t, dir, "main.go", goVerifier)
		out := filepath.Join(dir, "verifier")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, ".")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		built(t, cmd)
		return exec.CommandContext(t.Context(), out)
	}},
	{"TypeScript", "ts verify", func(t *testing.T, snippet, dir string) *exec.Cmd {
		node := program(t, getNode, peers+"/.bin/node") // it strips the types by itself
		written(t, dir, "webhook.mts", snippet)
		return exec.CommandContext(t.Context(), node, "--disable-warning=ExperimentalWarning", written(t, dir, "main.mts", tsVerifier))
	}},
	{"Python", "py verify", func(t *testing.T, snippet, dir string) *exec.Cmd {
		python := program(t, "install the Debian package python3", "/usr/bin/python3", "python3")
		written(t, dir, "webhook.py", snippet)
		return exec.CommandContext(t.Context(), python, "-B", written(t, dir, "main.py", pyVerifier))
	}},
	{"C#", "cs verify", func(t *testing.T, snippet, dir string) *exec.Cmd {
		mono := program(t, "install the Debian package mono-runtime", "mono")
		mcs := program(t, "install the Debian package mono-mcs", "mcs")
		out := filepath.Join(dir, "verifier.exe")
		built(t, exec.CommandContext(t.Context(), mcs, "-warnaserror", "-langversion:7", "-out:"+out, written(t, dir, "webhook.cs", snippet), written(t, dir, "main.cs", csVerifier)))
		cmd := exec.CommandContext(t.Context(), mono, out)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		return cmd
	}},
}

// What each of the programs reads in a line, with tabs between: secret, seconds of now, body in base64, and three headers,
// each "-" when it is missing.
const (
	goVerifier = `package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Split(in.Text(), "\t")
		seconds, _ := strconv.ParseInt(f[1], 10, 64)
		body, _ := base64.StdEncoding.DecodeString(f[2])
		header := http.Header{}
		for i, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			if f[3+i] != "-" {
				header.Set(name, f[3+i])
			}
		}
		if err := Verify(f[0], header, body, time.Unix(seconds, 0)); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}
`
	tsVerifier = `import { readFileSync } from 'node:fs'
import { verify } from './webhook.mts'

const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature']
for (const line of readFileSync(0, 'utf8').split('\n')) {
  if (line === '') continue
  const [secret, now, body, ...headers] = line.split('\t')
  const header = (name: string) => headers[names.indexOf(name)] === '-' ? undefined : headers[names.indexOf(name)]
  try {
    verify(secret, header, Buffer.from(body, 'base64'), Number(now) * 1000)
    console.log('ok')
  } catch (error) {
    console.log((error as Error).message)
  }
}
`
	pyVerifier = `import base64
import sys

from webhook import verify

names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
for line in sys.stdin:
    secret, now, body, *headers = line.rstrip("\n").split("\t")
    try:
        verify(secret, {name: h for name, h in zip(names, headers) if h != "-"}, base64.b64decode(body), int(now))
        print("ok")
    except ValueError as error:
        print(error)
`
	csVerifier = `using System;

static class Program
{
    static void Main()
    {
        string[] names = {"webhook-id", "webhook-timestamp", "webhook-signature"};
        for (string line; (line = Console.ReadLine()) != null;)
        {
            string[] f = line.Split('\t');
            Func<string, string> header = name => { string h = f[3 + Array.IndexOf(names, name)]; return h == "-" ? null : h; };
            try
            {
                Webhook.Verify(f[0], header, Convert.FromBase64String(f[2]), DateTimeOffset.FromUnixTimeSeconds(long.Parse(f[1])));
                Console.WriteLine("ok");
            }
            catch (Exception error) when (error is System.Security.Cryptography.CryptographicException || error is FormatException)
            {
                Console.WriteLine(error.Message);
            }
        }
    }
}
`
)

func built(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// empty is a header that is there and says nothing.
const empty = "(empty)"

// hook is one request, and whether it is to be believed.
type hook struct {
	name, secret        string
	id, sent, signature string
	body                string
	now                 time.Time
	good                bool
}

func (h hook) line() string {
	missing := func(s string) string {
		switch s {
		case "":
			return "-"
		case empty:
			return ""
		}
		return s
	}
	return strings.Join([]string{h.secret, strconv.FormatInt(h.now.Unix(), 10), base64.StdEncoding.EncodeToString([]byte(h.body)), missing(h.id), missing(h.sent), missing(h.signature)}, "\t") + "\n"
}

// signedWith is a signature as Standard Webhooks says it is made.
func signedWith(key []byte, id, sent, body string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + sent + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// publishedHook is the example in the guide, which is the one Standard Webhooks publishes.
func publishedHook(t *testing.T) hook {
	t.Helper()
	text, blocks := guide(t, "webhooks.md", "http webhook")
	head, body, found := strings.Cut(blocks[0].text, "\n\n")
	h := hook{name: "the published example", body: strings.TrimSuffix(body, "\n"), good: true}
	for to, name := range map[*string]string{&h.id: "webhook-id", &h.sent: "webhook-timestamp", &h.signature: "webhook-signature"} {
		if _, rest, has := strings.Cut(head, name+": "); has {
			*to, _, _ = strings.Cut(rest, "\n")
		}
	}
	secret := regexp.MustCompile("`(whsec_[A-Za-z0-9+/=]+)`").FindStringSubmatch(text)
	seconds, err := strconv.ParseInt(h.sent, 10, 64)
	if !found || secret == nil || err != nil || h.id == "" || h.signature == "" {
		t.Fatalf("%+v, %q, %v", h, secret, err)
	}
	h.secret, h.now = secret[1], time.Unix(seconds, 0)
	return h
}

// hooks are the good and the bad.
func hooks(t *testing.T) []hook {
	t.Helper()
	const id, body = "msg_0193", `{"type":"password.reset","data":{"note":"gr` + "\u00fc\u00df" + `e"}}`
	key, other := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{8}, 32)
	now := time.Unix(1_800_000_000, 0)
	sent := strconv.FormatInt(now.Unix(), 10)
	whsec := func(key []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(key) }
	base := hook{secret: whsec(key), id: id, sent: sent, body: body, signature: signedWith(key, id, sent, body), now: now}
	all := []hook{publishedHook(t)}
	add := func(name string, good bool, change func(*hook)) {
		h := base
		h.name, h.good = name, good
		change(&h)
		all = append(all, h)
	}
	at := func(h *hook, off time.Duration) {
		h.sent = strconv.FormatInt(now.Add(off).Unix(), 10)
		h.signature = signedWith(key, id, h.sent, body)
	}
	add("a good one", true, func(*hook) {})
	add("a secret without its prefix", true, func(h *hook) { h.secret = strings.TrimPrefix(h.secret, "whsec_") })
	add("an empty body", true, func(h *hook) { h.body, h.signature = "", signedWith(key, id, sent, "") })
	add("bytes that are no text", true, func(h *hook) { h.body, h.signature = "\xff\x00\n", signedWith(key, id, sent, "\xff\x00\n") })
	add("five minutes ago", true, func(h *hook) { at(h, -5*time.Minute) })
	add("in five minutes", true, func(h *hook) { at(h, 5*time.Minute) })
	add("the second signature fits", true, func(h *hook) { h.signature = signedWith(other, id, sent, body) + " " + h.signature })
	add("the first signature fits", true, func(h *hook) { h.signature += " " + signedWith(other, id, sent, body) })
	add("a signature of a version to come stands before it", true, func(h *hook) { h.signature = "v1a,AAAA " + h.signature })

	add("another body", false, func(h *hook) { h.body = strings.Replace(body, "reset", "resat", 1) })
	add("a body with a space more", false, func(h *hook) { h.body += " " })
	add("another id", false, func(h *hook) { h.id += "4" })
	add("another time", false, func(h *hook) { h.sent = strconv.FormatInt(now.Unix()+1, 10) })
	add("sent long ago", false, func(h *hook) { at(h, -5*time.Minute-time.Second) })
	add("sent in the future", false, func(h *hook) { at(h, 5*time.Minute+time.Second) })
	add("another secret", false, func(h *hook) { h.signature = signedWith(other, id, sent, body) })
	add("two signatures with other secrets", false, func(h *hook) {
		h.signature = signedWith(other, id, sent, body) + " " + signedWith(key[:31], id, sent, body)
	})
	add("no id", false, func(h *hook) { h.id, h.signature = "", signedWith(key, "", sent, body) })
	add("an empty id", false, func(h *hook) { h.id, h.signature = empty, signedWith(key, "", sent, body) })
	add("no time", false, func(h *hook) { h.sent, h.signature = "", signedWith(key, id, "", body) })
	add("no signature", false, func(h *hook) { h.signature = "" })
	add("an empty signature", false, func(h *hook) { h.signature = "v1," })
	add("the signature without its version", false, func(h *hook) { h.signature = strings.TrimPrefix(h.signature, "v1,") })
	add("another version", false, func(h *hook) { h.signature = "v2" + strings.TrimPrefix(h.signature, "v1") })
	add("half a signature", false, func(h *hook) { h.signature = h.signature[:20] })
	add("a signature that is no ASCII", false, func(h *hook) { h.signature = "v1,\u00fc\u00df" })
	for name, sent := range map[string]string{"a time in words": "now", "a time with a fraction": sent + ".0", "a time with an exponent": "18e8", "a time with a line": "1_800_000_000",
		"a time beyond all numbers": strings.Repeat("9", 30), "a time before all numbers": "-" + sent} {
		add(name, false, func(h *hook) { h.sent, h.signature = sent, signedWith(key, id, sent, body) })
	}
	// Whoever forgot to set the secret must not believe everybody.
	add("no secret here", false, func(h *hook) { h.secret, h.signature = "", signedWith(nil, id, sent, body) })
	add("a prefix and no secret", false, func(h *hook) { h.secret, h.signature = "whsec_", signedWith(nil, id, sent, body) })
	add("a secret of three bytes", false, func(h *hook) { h.secret, h.signature = "whsec_AAAA", signedWith(make([]byte, 3), id, sent, body) })
	return all
}

func TestTheFourSnippetsTellAGoodWebhookFromABadOne(t *testing.T) {
	all := hooks(t)
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			_, blocks := guide(t, "webhooks.md", v.info)
			if len(blocks) != 1 {
				t.Fatalf("%d snippets", len(blocks))
			}
			said := verdicts(t, v.build(t, blocks[0].text, t.TempDir()), all)
			for i, h := range all {
				if got := said[i]; (got == "ok") != h.good || !h.good && !strings.HasPrefix(got, "webhook: ") {
					t.Errorf("%s: %q", h.name, got)
				}
			}
		})
	}
}

// verdicts are what a verifier says to requests.
func verdicts(t *testing.T, cmd *exec.Cmd, all []hook) []string {
	t.Helper()
	var in, out, problems bytes.Buffer
	for _, h := range all {
		in.WriteString(h.line())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &problems
	if err := cmd.Run(); err != nil || problems.Len() > 0 {
		t.Fatalf("%v\n%s\n%s", err, out.String(), problems.String())
	}
	said := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(said) != len(all) {
		t.Fatalf("%d requests, and %d verdicts:\n%s", len(all), len(said), out.String())
	}
	for i, v := range said {
		if v != "ok" && strings.Contains(v, strings.TrimPrefix(all[i].secret, "whsec_")) && len(all[i].secret) > 10 {
			t.Errorf("%s: the secret is said aloud: %s", all[i].name, v)
		}
	}
	return said
}

// heard are the webhooks that arrived somewhere, as they came.
type heard struct {
	mu  sync.Mutex
	all []hook
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "", http.StatusBadRequest)
		return
	}
	h.all = append(h.all, hook{id: r.Header.Get("webhook-id"), sent: r.Header.Get("webhook-timestamp"), signature: r.Header.Get("webhook-signature"), body: string(body), now: time.Now(), good: true})
}

// waitFor returns what arrived as soon as something of each type did.
func (h *heard) waitFor(t *testing.T, types ...string) []hook {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		h.mu.Lock()
		all := slices.Clone(h.all)
		h.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(types), func(typ string) bool {
			return slices.ContainsFunc(all, func(x hook) bool { return strings.Contains(x.body, `"type":"`+typ+`"`) })
		})
		if len(missing) == 0 {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v did not arrive; these did: %+v", missing, all)
		}
	}
}

// What this program sends is what the snippets take: somebody resets their password, staff send a test and change the
// secret, and every request that arrives is judged as the guide says.
func TestWhatIsSentIsGoodForTheSnippetsAndAsTheGuideShowsIt(t *testing.T) {
	w := newWorld(t, scene{change: func(s *Setup) { s.ReceiverNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }})
	var sink heard
	server := httptest.NewServer(&sink)
	t.Cleanup(server.Close)
	first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	r := &client.Receiver{ID: newID(), Key: "tickets", Name: "Ticket system", Kind: client.ReceiverWebhook, Format: client.FormatOpaque, URL: server.URL + "/account",
		Sign: []client.SignSecret{{ID: newID(), Secret: first, Created: w.now()}}, Created: w.now(), Updated: w.now()}
	if err := w.srv.Store.CreateReceiver(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	ada := w.add("ada", method.Email, method.SMS)
	w.visitor().recovers(ada, "a fresh password for every day")
	sink.waitFor(t, string(event.AttemptProved), string(event.PasswordReset))
	if _, err := w.srv.Store.UpdateReceiver(t.Context(), "tickets", func(r *client.Receiver) ([]event.Event, error) {
		return nil, r.AddSign(client.SignSecret{ID: newID(), Secret: second, Created: w.now()}, w.now().Add(time.Hour))
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.srv.Signal.Test(t.Context(), "tickets"); err != nil {
		t.Fatal(err)
	}
	all := sink.waitFor(t, "test")
	shown, blocks := guide(t, "webhooks.md", "json webhook")
	var want any
	if err := json.Unmarshal([]byte(blocks[0].text), &want); err != nil {
		t.Fatal(err)
	}
	var judged []hook
	for _, x := range all {
		var got map[string]any
		if err := json.Unmarshal([]byte(x.body), &got); err != nil {
			t.Fatal(err)
		}
		if got["type"] == string(event.PasswordReset) {
			if said := within("", want, got); said != "" {
				t.Errorf("webhooks.md:%d: %s\nin %s", blocks[0].line, said, x.body)
			}
		}
		data, _ := got["data"].(map[string]any)
		for name := range data {
			if !strings.Contains(shown, "`"+name+"`") && !strings.Contains(shown, "`data."+name+"`") {
				t.Errorf("the guide does not explain data.%s", name)
			}
		}
		for _, personal := range []string{ada.Email, ada.Phone, ada.Login, ada.ID, "fresh password"} {
			if strings.Contains(x.body, personal) {
				t.Errorf("%q was sent: %s", personal, x.body)
			}
		}
		for _, key := range [][]byte{first, second} {
			x.secret = "whsec_" + base64.StdEncoding.EncodeToString(key)
			x.name = fmt.Sprintf("%v with secret %d", got["type"], key[0])
			x.good = key[0] == 1 || got["type"] == "test" // made before the second one was
			judged = append(judged, x)
		}
	}
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			_, blocks := guide(t, "webhooks.md", v.info)
			said := verdicts(t, v.build(t, blocks[0].text, t.TempDir()), judged)
			for i, x := range judged {
				if (said[i] == "ok") != x.good {
					t.Errorf("%s: %q", x.name, said[i])
				}
			}
		})
	}
}

// The guide lists what a receiver of webhooks can hear, and says the numbers of the program.
func TestTheGuideToWebhooksListsWhatCanBeHeard(t *testing.T) {
	text, _ := guide(t, "webhooks.md")
	_, part, _ := strings.Cut(text, "| Event |")
	table, _, _ := strings.Cut(part, "\n\n")
	var said []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, m := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(row[1], -1) {
			said = append(said, m[1])
		}
	}
	there := client.Heard(client.ReceiverWebhook)
	slices.Sort(said)
	slices.Sort(there)
	if !slices.Equal(said, there) {
		t.Errorf("the guide lists %v, and there are %v", said, there)
	}
}

func TestTheExampleInTheGuideIsSigned(t *testing.T) {
	h := publishedHook(t)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.secret, "whsec_"))
	if want := signedWith(key, h.id, h.sent, h.body); err != nil || h.signature != want {
		t.Error(fmt.Errorf("got %s, want %s: %w", h.signature, want, err))
	}
}
