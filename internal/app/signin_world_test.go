package app

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/testserver"
)

// house is a world with an identity provider: the certified one, real pages and all. With two replicas every request
// goes to the other one than the request before, so that nothing a replica keeps to itself can help.
type house struct {
	*world
	idp    *testserver.OIDCServer
	people map[string]*somebody
	other  *Server // the second replica; nil without one
	turn   atomic.Int64
	pin    atomic.Int64 // 0: take turns; 1 or 2: that replica only
}

// estate says what a house is made of.
type estate struct {
	scene
	people   map[string][]method.Kind           // by uid: everybody has an account at the provider, and these ways here
	replicas int                                // 1 or 2
	provider func(*IDP, *testserver.OIDCServer) // changes the provider's configuration
	oidc     func(*testserver.OIDCOptions)
	users    func(*testserver.OIDCUser)
}

const idpPolicy = `rules: [{name: everyone, hold_new: 0s, hold_after_reset: 0s, mature_after: 0s}]`

// newHouse starts a deployment whose people sign in at an identity provider.
func newHouse(t testing.TB, e estate) *house {
	t.Helper()
	h := &house{people: map[string]*somebody{}}
	if e.policy == "" {
		e.policy = idpPolicy
	}
	wire := e.wire
	e.wire = func(w *world) {
		o := testserver.OIDCOptions{RedirectURIs: []string{w.base + "/signin/work/callback"}, PostLogout: []string{w.base + "/signed-out"},
			BackChannel: w.base + "/signin/work/backchannel-logout"}
		for uid := range e.people {
			u := testserver.OIDCUser{Login: uid + "@alder.example", Password: "password of " + uid, Code: "123456", Passwordless: true,
				Claims: map[string]any{"oid": "oid-" + uid, "groups": []string{"everybody"}}}
			if e.users != nil {
				e.users(&u)
			}
			o.Users = append(o.Users, u)
		}
		if e.oidc != nil {
			e.oidc(&o)
		}
		h.idp = testserver.OIDC(t, o)
		p := IDP{Link: "userName", ProviderConfig: signin.ProviderConfig{
			Name: "work", Label: "Alder sign-in", Issuer: h.idp.Issuer, ClientID: h.idp.ClientID, ClientSecret: h.idp.ClientSecret, Scopes: []string{"openid", "profile"},
			StepUp:     signin.StepUp{Ask: signin.AskACRValues, Accept: []string{testserver.OIDCSecondFactor, testserver.OIDCPasswordless}, Claim: "acr", MaxAge: 5 * time.Minute},
			NoPassword: []string{testserver.OIDCPasswordless}, Claim: "oid", LinkClaim: "preferred_username", RoleClaims: []string{"groups"},
			AccountURL: "https://login.alder.example/security", AllowPrivate: true,
		}}
		if e.provider != nil {
			e.provider(&p, h.idp)
		}
		w.setup.IDPs = []IDP{p}
		if wire != nil {
			wire(w)
		}
	}
	w, l := stage(t, e.scene)
	h.world = w
	h.front(l, e)
	for uid, kinds := range e.people {
		h.people[uid] = w.add(uid, kinds...)
	}
	return h
}

// front serves the world, by two replicas if so wanted.
func (h *house) front(l net.Listener, e estate) {
	if e.replicas == 2 {
		h.other = h.open()
		first, second := h.srv.Handler, h.other.Handler
		h.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			which := h.pin.Load()
			if which == 0 {
				which = 1 + h.turn.Add(1)%2
			}
			if which == 1 {
				first.ServeHTTP(w, r)
			} else {
				second.ServeHTTP(w, r)
			}
		})
		ctx, stop := context.WithCancel(context.Background())
		var work sync.WaitGroup
		if !e.noWork {
			work.Go(func() { h.other.Work(ctx) })
		}
		h.t.Cleanup(func() {
			stop()
			work.Wait()
			cctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			if err := h.other.Close(cctx); err != nil {
				h.t.Errorf("close the second replica: %v", err)
			}
		})
	}
	h.serve(l, e.noWork)
}

// guest is a person with a real browser.
type guest struct {
	*browser.Page
	h *house
	t testing.TB
}

func (h *house) guest(t testing.TB) *guest {
	p := browser.New(t)
	return &guest{Page: p, h: h, t: t}
}

// at holds the browser to a page of ours.
func (g *guest) at(status int, path string) {
	g.t.Helper()
	if got := g.path(); got != path {
		g.t.Fatalf("at %s, want %s; the page says\n%s", g.URL(), path, g.Text("body"))
	}
	_ = status
}

// path is where the browser stands: a path of ours, or a whole address elsewhere.
func (g *guest) path() string {
	at := g.URL()
	u, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, g.h.base) {
		return at
	}
	return u.Path
}

// atProvider holds the browser to a page of the identity provider.
func (g *guest) atProvider() {
	g.t.Helper()
	if !strings.HasPrefix(g.URL(), g.h.idp.Issuer) {
		g.t.Fatalf("at %s, want a page of the provider; the page says\n%s", g.URL(), g.Text("body"))
	}
}

// password signs in at the provider with a password.
func (g *guest) password(uid string) {
	g.t.Helper()
	g.atProvider()
	g.Fill("#login", uid+"@alder.example")
	g.Fill("#password input[name=password]", "password of "+uid)
	g.Follow("#sign-in")
}

// second gives the second factor.
func (g *guest) second() {
	g.t.Helper()
	g.atProvider()
	g.Fill("#otp", "123456")
	g.Follow("#confirm")
}

// stepUp signs in at the provider by password and second factor, wherever it begins.
func (g *guest) stepUp(uid string) {
	g.t.Helper()
	g.atProvider()
	if g.Count("#sign-in") > 0 {
		g.password(uid)
	}
	g.second()
	g.home()
}

// home waits until the browser is back here: the provider ends another person's session by a page that posts itself.
func (g *guest) home() {
	g.t.Helper()
	eventually(g.t, "back from the provider", func() bool { return strings.HasPrefix(g.URL(), g.h.base) })
	g.WaitFor("main h1")
}

// device signs in at the provider without a password.
func (g *guest) device(uid string) {
	g.t.Helper()
	g.atProvider()
	g.Fill("#device-login", uid+"@alder.example")
	g.Follow("#passwordless-sign-in")
}

// signIn goes to a page of ours and through the provider to it.
func (g *guest) signIn(uid, path string) {
	g.t.Helper()
	g.Open(g.h.base + path)
	g.password(uid)
	g.at(200, path)
}

// says holds the page to words.
func (g *guest) says(parts ...string) {
	g.t.Helper()
	has(g.t, words(g.Text("main")), parts...)
}
