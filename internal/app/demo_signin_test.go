package app

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
)

// member is somebody's browser at the demo: one with its cookies, on the pages and at the identity provider.
type member struct {
	*visitor
	e   *exhibit
	idp *visitor
}

func (e *exhibit) member() *member {
	m := &member{visitor: e.w.visitor(), e: e, idp: e.atIDP()}
	m.idp.client = m.client // cookies know no ports
	return m
}

// signIn goes where only somebody signed in may, and signs in on the way: with the password, and the second factor when it is asked for.
func (m *member) signIn(path string, p *person) sight {
	m.e.t.Helper()
	at := m.get(path)
	if !strings.HasPrefix(at.Path, "/sign-in/") {
		m.e.t.Fatalf("%s: want the identity provider, got %d at %s: %s", path, at.Status, at.Path, at.Text)
	}
	if strings.Contains(at.HTML, `id="password"`) {
		at = m.idp.post(at.Path, "step", "password", "login", p.Login, "password", p.Password)
	}
	if strings.Contains(at.HTML, `id="code"`) && strings.HasPrefix(at.Path, "/sign-in/") {
		at = m.idp.post(at.Path, "step", "code", "code", p.SecondFactor)
	}
	return at
}

// field returns what a page holds in a hidden field.
func field(t testing.TB, s sight, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s.HTML, `name="`+name+`" value="`)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("no field %q at %s: %s", name, s.Path, s.Text)
	}
	return value
}

// adds sets up one address and confirms it with the code that arrives.
func (m *member) adds(kind, to string) sight {
	m.e.t.Helper()
	before := m.e.codes(to)
	at := m.post("/security-info/add", "kind", kind)
	at = m.post(at.Path, "destination", to).want(m.e.t, 200, "/security-info/confirm")
	return m.post("/security-info/confirm", "id", field(m.e.t, at, "id"), "code", m.e.code(to, before+1))
}

func TestTheDemoStoryOfSomebodyWhoNeverRegistered(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	cleo := e.person("never registered")
	home := e.w.visitor().get("/")
	if !strings.Contains(home.HTML, `href="/setup"`) {
		t.Error("the first page does not lead to where Cleo registers")
	}
	m := e.member()
	if at := m.signIn("/setup", cleo).want(t, 200, "/security-info", "You have set up none"); !strings.Contains(at.HTML, "Cleo Marchetti") {
		t.Error("the page does not say who is signed in")
	}
	m.signIn("/security-info/add", cleo).want(t, 200, "/security-info/add")
	m.adds("email", "cleo@mail.example").want(t, 200, "/security-info/add", "Way 2 of 2")
	m.adds("sms", "+491713920003").want(t, 200, "/security-info")
	// What she has set up counts at once: the demo waits for nothing.
	cleo.Email, cleo.Phone = "cleo@mail.example", "+491713920003"
	v := e.w.visitor()
	e.prove(v, cleo)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if !e.accepts(cleo.Login, fresh) {
		t.Error("the directory does not take the new password")
	}
}

func TestAWorkSignInWithoutThePasswordIsAProofInTheDemo(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ben := e.person("under attack")
	m := e.member()
	m.post("/reset", "login", ben.Login).want(t, 200, "/choose")
	m.post("/choose", "way", "idp").want(t, 200, "/work-sign-in")
	at := m.get("/work-sign-in/go?idp=" + demoIDP)
	if strings.Index(at.HTML, `id="device"`) > strings.Index(at.HTML, `id="password"`) || !strings.Contains(at.HTML, `id="device"`) {
		t.Fatalf("want the device offered first, got %s at %s", at.Text, at.Path)
	}
	m.idp.post(at.Path, "step", "device", "login", ben.Login).want(t, 200, "/choose", "Proved so far")
	m.chooseKind("sms").want(t, 200, "/code")
	m.post("/code", "code", e.code(ben.Phone, 1)).want(t, 200, "/new-password")
	m.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
}

func TestTheDemoStoryOfTheHelpdesk(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ada, ben, dana := e.person("forgot"), e.person("under attack"), e.person("helpdesk")
	v := e.w.visitor()
	e.prove(v, ada)
	done := v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	reference := regexp.MustCompile(`[A-Z0-9]{4}-[A-Z0-9]{4}`).FindString(done.Text)
	m := e.member()
	m.signIn("/console", dana).want(t, 200, "/console")
	m.post("/console", "q", reference).want(t, 200, "/console", reference)
	m.get("/console/attempts/"+reference).want(t, 200, "/console/attempts/"+reference, "Ada Brandt")
	m.post("/console", "q", ada.Login).want(t, 200, "/console", "Ada Brandt")
	if at := e.member().signIn("/console", ben); at.Status != 403 {
		t.Errorf("Ben is no staff: got %d at %s: %s", at.Status, at.Path, at.Text)
	}
}

func TestTheStaffOfTheDemoIsWhoTheirSignInSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := runDemo(t, DemoOptions{Data: dir})
	for _, p := range e.line.People {
		e.member().signIn("/setup", p).want(t, 200, "/security-info")
	}
	e.stop()
	ring, err := keyring.Open(filepath.Join(dir, "regain.key"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(dir, "regain.db"), Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rules, err := st.RoleRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range e.line.People {
		who, err := st.FindPerson(t.Context(), account.Fold(p.Login))
		if err != nil {
			t.Fatal(err)
		}
		signedIn, err := st.SessionsOf(t.Context(), who.ID, time.Now())
		if err != nil || len(signedIn) != 1 {
			t.Fatalf("%s: got %d sessions (%v), want one", p.Login, len(signedIn), err)
		}
		want := staff.Role(p.Role)
		if p.Role == "user" {
			want = ""
		}
		if got := staff.RoleOf(rules, &signedIn[0], nil); got != want {
			t.Errorf("%s: got the role %q, want %q", p.Login, got, want)
		}
	}
}
