package app

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/demoidp"
)

// atIDP is a person at the demo's identity provider.
func (e *exhibit) atIDP() *visitor { return (&world{t: e.t, base: e.line.IDP}).visitor() }

func TestThePeopleOfTheDemoSignInAtItsIdentityProvider(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	for _, p := range e.line.People {
		v := e.atIDP()
		var back *url.URL
		v.client.CheckRedirect = func(q *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(q.URL.String(), e.line.Base) {
				back = q.URL
				return http.ErrUseLastResponse
			}
			return nil
		}
		sum := sha256.Sum256([]byte("a verifier"))
		page := v.get("/authorize?" + url.Values{"response_type": {"code"}, "client_id": {demoClient}, "redirect_uri": {e.line.Base + "/signin/" + demoIDP + "/callback"}, "scope": {"openid"},
			"state": {"s"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "acr_values": {demoidp.SecondFactor}}.Encode())
		page = v.post(page.Path, "step", "password", "login", p.Login, "password", p.Password)
		if !strings.Contains(page.Text, "signing in as "+p.Login) {
			t.Fatalf("%s: after the password: got %d %s", p.Login, page.Status, page.Text)
		}
		v.post(page.Path, "step", "code", "code", p.SecondFactor)
		if back == nil || back.Query().Get("code") == "" || back.Query().Get("iss") != e.line.IDP {
			t.Errorf("%s: after the second factor: got back with %v", p.Login, back)
		}
	}
}

func TestAPasswordThatWasJustResetSignsInAtTheDemosIdentityProvider(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ada := e.person("forgot")
	v := e.w.visitor()
	e.prove(v, ada)
	done := v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if !strings.Contains(done.HTML, `href="`+e.line.IDP) {
		t.Error("the last page does not lead to where Ada signs in")
	}
	at := e.atIDP()
	page := at.post("/")
	if old := at.post(page.Path, "step", "password", "login", ada.Login, "password", ada.Password); old.Status != 422 {
		t.Errorf("the old password: got %d %s", old.Status, old.Text)
	}
	if now := at.post(page.Path, "step", "password", "login", ada.Login, "password", fresh); now.Path != "/" || !strings.Contains(now.Text, "signed in as "+ada.Login) {
		t.Errorf("the new password: got %d at %s: %s", now.Status, now.Path, now.Text)
	}
}

func TestTheIdentityProviderOfTheDemoIsAnotherOriginOnThisComputer(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	base, err := url.Parse(e.line.Base)
	if err != nil {
		t.Fatal(err)
	}
	idp, err := url.Parse(e.line.IDP)
	if err != nil || idp.Hostname() != "localhost" || idp.Port() == base.Port() || idp.Path != "" {
		t.Fatalf("got %q (%v), want a port of its own on localhost", e.line.IDP, err)
	}
	l, err := demoListen(DemoOptions{Listen: "0.0.0.0:0", Expose: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := listenIDP(l, false)
	if err != nil {
		t.Fatal(err)
	}
	defer near.listener.Close()
	if host, _, ok := strings.Cut(near.listener.Addr().String(), ":"); !ok || host != "127.0.0.1" {
		t.Errorf("a demo that listens everywhere has its identity provider at %s, want loopback", near.listener.Addr())
	}
	_, from, _ := strings.Cut(strings.TrimPrefix(l.Addr().String(), "[::]"), ":")
	want, err1 := strconv.Atoi(from)
	got, err2 := strconv.Atoi(strings.TrimPrefix(near.issuer, "http://localhost:"))
	if err1 != nil || err2 != nil || got <= want || got > want+101 {
		t.Errorf("got port %d beside %d, want one just above", got, want)
	}
}

func TestTheDemoStoryOfAChangedPolicy(t *testing.T) {
	t.Parallel()
	e := runDemo(t, DemoOptions{})
	ada, ben, cleo := e.person("forgot"), e.person("under attack"), e.person("never registered")
	v := e.w.visitor()
	// verdicts reads what the page says of each person, before and after.
	verdicts := func(s sight) map[string]string {
		out := map[string]string{}
		for _, p := range e.line.People {
			_, after, _ := strings.Cut(s.Text, p.Login+" Without it: ")
			if end := strings.Index(after, "@"); end > 0 {
				after = after[:end]
			}
			out[p.Login] = after
		}
		return out
	}
	page := v.get("/demo/policy").want(t, 200, "/demo/policy", "It is not in force", "by version 2", "3 of 5 people", "proofs: {reset: 3}")
	said := verdicts(page)
	for _, want := range []struct{ login, text string }{
		{ada.Login, "can reset With it: can reset"}, {ben.Login, "can reset With it: cannot, has 2 of 3 ways"}, {cleo.Login, "cannot, has 0 of 2 ways With it: cannot, has 0 of 3 ways"},
	} {
		if !strings.HasPrefix(said[want.login], want.text) {
			t.Errorf("%s: got %q, want %q", want.login, said[want.login], want.text)
		}
	}
	v.post("/demo/policy", "rule", "new").want(t, 200, "/demo/policy", "Version 3 is in force now", "It is in force, as version 3")
	v.post("/demo/policy", "rule", "new").want(t, 200, "/demo/policy", "as version 3") // a second press changes nothing
	// What the page says is what happens: Ben is told that what he has is not enough.
	b := e.w.visitor()
	b.post("/reset", "login", ben.Login)
	b.post("/choose", "way", "email")
	b.post("/code", "code", e.code(ben.Email, 1)).want(t, 200, "/choose", "You cannot finish this here yet", "3 different ways are needed")
	if s := v.post("/demo/policy", "rule", "old"); s.Status != 200 || !strings.Contains(s.Text, "Version 4 is in force now") || !slices.Contains(strings.Fields(s.Text), "twice,") {
		t.Errorf("going back: got %d %s", s.Status, s.Text)
	}
	fourth := e.w.visitor()
	e.prove(fourth, ben)
	fourth.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	if s := v.post("/demo/policy", "rule", "another"); s.Status != 422 && s.Status != 400 {
		t.Errorf("a rule nobody knows: got %d", s.Status)
	}
}
