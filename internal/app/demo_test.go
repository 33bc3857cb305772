package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/store"
)

// exhibit is a running demonstration as a program sees it: by its line of JSON and by HTTP.
type exhibit struct {
	t    testing.TB
	line DemoLine
	raw  map[string]any
	w    *world // for visitors: nothing but the address
	stop func()
}

// runDemo starts a demonstration and waits until it says that it is ready.
func runDemo(t testing.TB, o DemoOptions) *exhibit {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan DemoLine, 1), make(chan error, 1)
	o.Listen, o.JSON, o.Ready = "localhost:0", true, ready
	var out bytes.Buffer
	go func() { ended <- Demo(ctx, o, &out) }()
	e := &exhibit{t: t}
	select {
	case e.line = <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("the demo did not start: %v", err)
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("want one line, got %q", out.String())
	}
	if err := json.Unmarshal(out.Bytes(), &e.raw); err != nil {
		t.Fatal(err)
	}
	e.w = &world{t: t, base: e.line.Base}
	stopped := false
	e.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with: %v", err)
		}
	}
	t.Cleanup(e.stop)
	return e
}

// person returns somebody of the demo by the story they stand for.
func (e *exhibit) person(story string) *person {
	e.t.Helper()
	i := slices.IndexFunc(e.line.People, func(p *person) bool { return p.Story == story })
	if i < 0 {
		e.t.Fatalf("nobody has the story %q", story)
	}
	return e.line.People[i]
}

// mail reads the mailbox as a program does, newest first.
func (e *exhibit) mail(to string) []letterbox {
	e.t.Helper()
	res, err := http.Get(e.line.Mailbox + "?format=json")
	if err != nil {
		e.t.Fatal(err)
	}
	defer res.Body.Close()
	var all, out []letterbox
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		e.t.Fatal(err)
	}
	for _, l := range all {
		if l.To == to {
			out = append(out, l)
		}
	}
	return out
}

// code waits for the n-th code to an address.
func (e *exhibit) code(to string, n int) string {
	e.t.Helper()
	var code string
	eventually(e.t, fmt.Sprintf("code %d to %s", n, to), func() bool {
		var codes []string
		for _, l := range e.mail(to) {
			if l.Code != "" {
				codes = append(codes, l.Code)
			}
		}
		if len(codes) < n {
			return false
		}
		code = codes[len(codes)-n]
		return true
	})
	return code
}

func (e *exhibit) codes(to string) int {
	n := 0
	for _, l := range e.mail(to) {
		if l.Code != "" {
			n++
		}
	}
	return n
}

// accepts asks the directory by the demo's own door.
func (e *exhibit) accepts(login, password string) bool {
	e.t.Helper()
	res, err := http.PostForm(e.line.DirectoryCheck, url.Values{"login": {login}, "password": {password}})
	if err != nil {
		e.t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Accepted *bool }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Accepted == nil {
		e.t.Fatalf("directory_check: %v", err)
	}
	return *got.Accepted
}

// prove takes somebody to the page for a new password.
func (e *exhibit) prove(v *visitor, p *person) {
	e.t.Helper()
	mails, texts := e.codes(p.Email), e.codes(p.Phone)
	v.post("/reset", "login", p.Login).want(e.t, 200, "/choose")
	v.post("/choose", "way", "email").want(e.t, 200, "/code")
	v.post("/code", "code", e.code(p.Email, mails+1)).want(e.t, 200, "/choose")
	v.chooseKind("sms").want(e.t, 200, "/code")
	v.post("/code", "code", e.code(p.Phone, texts+1)).want(e.t, 200, "/new-password")
}

func TestTheDemoSaysInOneLineEverythingAProgramNeeds(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{Version: "test"})
	for _, key := range []string{"contract", "version", "base", "portal", "console", "scim", "scim_token", "idp", "mailbox", "directory_check", "metrics", "app", "people"} {
		if _, ok := e.raw[key]; !ok {
			t.Errorf("the line lacks %q", key)
		}
	}
	if e.raw["contract"] != 1.0 || e.raw["version"] != "test" || !strings.HasPrefix(e.line.Base, "http://localhost:") {
		t.Errorf("got contract %v, version %v, base %v", e.raw["contract"], e.raw["version"], e.raw["base"])
	}
	for _, at := range []string{e.line.Base, e.line.Portal, e.line.IDP, e.line.Mailbox, e.line.Metrics, e.line.Base + "/healthz/ready", e.line.Base + "/demo/people"} {
		res, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || strings.HasPrefix(at, e.line.Base) == (at == e.line.IDP) {
			t.Errorf("%s: got status %d", at, res.StatusCode)
		}
	}
	if page := e.member().get("/console"); page.Status != 200 || !strings.HasPrefix(page.Path, "/sign-in/") || e.line.Console != e.line.Base+"/console" {
		t.Errorf("the console does not ask who it is: got %d at %s", page.Status, page.Path)
	}
	if status, got := e.w.scim(e.line.SCIMToken, "GET", "/Users", nil); status != 200 || got["totalResults"] != float64(len(e.line.People)) {
		t.Errorf("SCIM: got status %d and %v people", status, got["totalResults"])
	}
	if status, _ := e.w.scim("wrong", "GET", "/Users", nil); status != 401 {
		t.Errorf("SCIM with a wrong token: got status %d", status)
	}
	roles := map[string]int{}
	bare := 0
	for i, p := range e.line.People {
		roles[p.Role]++
		raw := e.raw["people"].([]any)[i].(map[string]any)
		for _, key := range []string{"login", "password", "role", "email", "phone", "methods", "second_factor", "story"} {
			if _, ok := raw[key]; !ok {
				t.Errorf("%s lacks %q", p.Login, key)
			}
		}
		if len(p.Methods) == 0 {
			bare++
		} else if !slices.Contains(p.Methods, "email") || !slices.Contains(p.Methods, "sms") || p.Email == "" || p.Phone == "" {
			t.Errorf("%s cannot reset by reading the mailbox alone: %v", p.Login, p.Methods)
		}
		if len(p.SecondFactor) != 6 {
			t.Errorf("%s has the second factor %q, want six digits", p.Login, p.SecondFactor)
		}
		if !e.accepts(p.Login, p.Password) {
			t.Errorf("the directory does not take the password of %s", p.Login)
		}
	}
	if roles["user"] == 0 || roles["helpdesk"] == 0 || roles["administrator"] == 0 || bare != 1 {
		t.Errorf("got roles %v and %d without a way, want all three and one", roles, bare)
	}
	if other := runDemo(t, DemoOptions{}); other.line.SCIMToken == e.line.SCIMToken || other.line.People[0].Password == e.line.People[0].Password {
		t.Error("two data folders share a token or a password")
	}
}

func TestTheDemoStoryOfAForgottenPassword(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ada := e.person("forgot")
	v := e.w.visitor()
	home := v.get("/").want(t, 200, "/", "Somebody forgot a password", "Somebody is under attack", "Somebody never registered", "The help desk", "An app sends people here", "administrator")
	if !strings.Contains(home.HTML, `href="/demo/mailbox"`) {
		t.Error("no way from the first page to the mailbox")
	}
	e.prove(v, ada)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed", "Alder Works: takes the new password now")
	if !e.accepts(ada.Login, fresh) || e.accepts(ada.Login, ada.Password) {
		t.Error("the directory does not take the new password, or still the old one")
	}
	eventually(t, "notices", func() bool {
		return slices.ContainsFunc(e.mail(ada.Login), func(l letterbox) bool {
			return l.Kind == "notice" && strings.Contains(l.Subject, "was reset") && l.Code == ""
		})
	})
	for _, l := range e.mail(ada.Email) {
		if l.ID == "" || l.Channel != "mail" || l.Subject == "" || l.Body == "" || l.Time.IsZero() || (l.Kind == "code") != (l.Code != "") {
			t.Errorf("a message lacks something: %+v", l)
		}
	}
	if page := v.get("/demo/people"); !strings.Contains(page.Text, ada.SecondFactor) {
		t.Errorf("the page of people does not say the second factor of %s", ada.Login)
	}
}

func TestWhoeverHasSetUpNothingGetsAnHonestLetter(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	cleo := e.person("never registered")
	v := e.w.visitor()
	v.post("/reset", "login", cleo.Login).want(t, 200, "/choose")
	v.post("/choose", "way", "email").want(t, 200, "/code", "If the details match")
	eventually(t, "an honest letter", func() bool {
		return slices.ContainsFunc(e.mail(cleo.Login), func(l letterbox) bool {
			return l.Kind == "notice" && strings.Contains(l.Body, "you have not set up any way") && strings.Contains(l.Body, "ask the help desk")
		})
	})
}

func TestADataFolderKeepsTheDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	first := runDemo(t, DemoOptions{Data: dir})
	ada := first.person("forgot")
	v := first.w.visitor()
	first.prove(v, ada)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	first.stop()
	// A folder from before there was an identity provider remembers no second factor.
	state := filepath.Join(dir, "demo.json")
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, bytes.ReplaceAll(b, []byte(`"second_factor": "`+first.person("helpdesk").SecondFactor), []byte(`"second_factor": "`)), 0o600); err != nil {
		t.Fatal(err)
	}
	// And its policy is from before people could register.
	ring, err := keyring.Open(filepath.Join(dir, "regain.key"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(dir, "regain.db"), Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	old := policy.Default()
	old.Hash = "demo"
	if _, err := st.ApplyPolicy(t.Context(), old, "system", time.Now()); err != nil {
		t.Fatal(err)
	}
	st.Close()
	second := runDemo(t, DemoOptions{Data: dir})
	second.w.visitor().get("/demo/policy").want(t, 200, "/demo/policy", "by version 4")
	if second.line.SCIMToken != first.line.SCIMToken || len(second.line.People) != len(first.line.People) || second.person("forgot").Login != ada.Login {
		t.Error("the second run is another demo")
	}
	if second.person("forgot").SecondFactor != ada.SecondFactor || len(second.person("helpdesk").SecondFactor) != 6 {
		t.Errorf("got second factors %q and %q, want the first kept and the second made", second.person("forgot").SecondFactor, second.person("helpdesk").SecondFactor)
	}
	if !second.accepts(ada.Login, fresh) || second.accepts(ada.Login, ada.Password) {
		t.Error("the password set in the first run is forgotten")
	}
	if status, got := second.w.scim(first.line.SCIMToken, "GET", "/Users", nil); status != 200 || got["totalResults"] != float64(len(first.line.People)) {
		t.Errorf("SCIM with the token of the first run: got status %d and %v people", status, got["totalResults"])
	}
}

func TestTheDemoListensWhereOnlyThisComputerReads(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0", "localhost"} {
		if err := Demo(t.Context(), DemoOptions{Listen: listen}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), listen) {
			t.Errorf("%s: got %v, want it refused by name", listen, err)
		}
	}
	for _, o := range []DemoOptions{{Listen: "127.0.0.1:0"}, {Listen: "0.0.0.0:0", Expose: true}} {
		l, err := demoListen(o)
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		l.Close()
	}
}

func TestTheDemoTakesTheNextFreePort(t *testing.T) {
	t.Parallel()
	first, err := net.Listen("tcp", "localhost:8080")
	if err == nil {
		defer first.Close()
	} // else somebody else has it, which is as good
	l, err := demoListen(DemoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if port := l.Addr().(*net.TCPAddr).Port; port <= 8080 || port >= 8180 {
		t.Errorf("got port %d, want one just above 8080", port)
	}
	if _, err := demoListen(DemoOptions{Listen: l.Addr().String()}); err == nil {
		t.Error("an address asked for by name is taken, and another one was used")
	}
}

func TestDemoAndServeKeepToTheirOwnDatabases(t *testing.T) {
	t.Parallel()
	demos := t.TempDir()
	runDemo(t, DemoOptions{Data: demos}).stop()
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(demos, "regain.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := RefuseDemo(t.Context(), st); err == nil || !strings.Contains(err.Error(), "demo") {
		t.Errorf("serving the demo's database: got %v", err)
	}
	st.Close()

	real := t.TempDir()
	path := filepath.Join(real, "regain.db")
	st, err = store.Open(t.Context(), store.Config{URL: path, Migrate: true, Ring: keyring.Generate()})
	if err != nil {
		t.Fatal(err)
	}
	if err := RefuseDemo(t.Context(), st); err != nil {
		t.Errorf("serving a database of one's own: %v", err)
	}
	st.Close()
	before, err := os.ReadDir(real)
	if err != nil {
		t.Fatal(err)
	}
	if err := Demo(t.Context(), DemoOptions{Listen: "localhost:0", Data: real}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "left alone") {
		t.Errorf("the demo on a real database: got %v", err)
	}
	after, err := os.ReadDir(real)
	if err != nil || len(after) != len(before) {
		t.Errorf("the demo refused a folder and left %v in it (%v)", after, err)
	}
	st, err = store.Open(t.Context(), store.Config{URL: path})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if stamp, err := st.Stamp(t.Context()); err != nil || stamp != "" {
		t.Errorf("the demo stamped a real database %q (%v)", stamp, err)
	}
}

func TestAFaultOfTheDirectoryIsShownAsItIs(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{Fault: "directory=timeout-after-write", patience: 700 * time.Millisecond})
	ada := e.person("forgot")
	v := e.w.visitor()
	e.prove(v, ada)
	page := v.post("/new-password", "password", fresh).want(t, 200, "/progress", "We could not confirm the change", "may or may not be in place", "still finding out")
	if page.Header.Get("Refresh") == "" {
		t.Error("the page does not ask again by itself")
	}
	eventually(t, "the truth", func() bool { return v.get("/progress").H1 == "Your password is changed" })
	if !e.accepts(ada.Login, fresh) {
		t.Error("the page says changed, the directory says not")
	}
	if err := Demo(t.Context(), DemoOptions{Listen: "localhost:0", Fault: "directory=nonsense"}, &bytes.Buffer{}); err == nil {
		t.Error("a fault nobody knows was taken")
	}
}

func TestTheDemoStoryOfAnAttack(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ben := e.person("under attack")
	v := e.w.visitor()
	v.get("/demo/attack").want(t, 200, "/demo/attack", ben.Login)
	v.post("/demo/attack").want(t, 200, "/demo/attack", "The stranger has tried")
	eventually(t, "an honest letter", func() bool {
		return slices.ContainsFunc(e.mail(ben.Email), func(l letterbox) bool { return strings.Contains(l.Subject, "Many codes") })
	})
	if n := len(e.mail(ben.Email)); n > 14 {
		t.Errorf("%d messages in the mailbox after %d starts", n, demoStarts)
	}
	e.prove(v, ben)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if !e.accepts(ben.Login, fresh) {
		t.Error("the owner did not get in")
	}
}

func TestALetterIsWholeAgainInTheMailbox(t *testing.T) {
	t.Parallel()
	long := "Phones, tablets and computers may still hold the old password, for mail, Wi-Fi"
	got := letterbox{Body: "Acme\n\n" + long + "\nor VPN.\n\nThis was not me:\nhttp://localhost/not-me?t=a\n\nHelp\nPhone: 1\n"}.Parts()
	want := []part{{Text: "Acme\n\n" + long + " or VPN.\n\nThis was not me:\n"}, {URL: "http://localhost/not-me?t=a"}, {Text: "\n\nHelp\nPhone: 1"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
