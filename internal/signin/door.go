package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// The paths of this package.
const (
	PathSignIn      = "/signin"        // GET: straight to the only provider, or a choice
	PathStepUp      = "/step-up"       // GET: goes on with a step-up that a form asked for
	PathSignOut     = "/signout"       // POST
	PathSignedOut   = "/signed-out"    // GET: the page after it, and where providers send people back to
	PathSignOutThen = "/signed-out/go" // GET: off to the provider's own sign-out
)

// The cookies.
const (
	cookieSession = "session"
	cookieBrowser = "browser"
	cookieFlow    = "signin-"    // and ten characters made from the state: one for each flow, so that tabs do not mix
	cookieNext    = "signin-to"  // the flow that goes on once a provider is chosen, or a link was followed
	cookieLeft    = "signed-out" // the session that ended a moment ago, or the state of the provider's sign-out
)

// maxFlowCookies is how many sign-ins one browser may have under way; beyond, the older are forgotten.
const maxFlowCookies = 8

// Mount adds the door's pages to the site. Call it once, before the first request.
func (d *Door) Mount(s *web.Site) {
	d.site = s
	get, post := http.MethodGet, http.MethodPost
	s.Handle(get, PathSignIn, d.choose)
	s.Handle(get, PathSignIn+"/{idp}", d.start)
	s.Handle(get, PathSignIn+"/{idp}/callback", d.callback)
	s.Handle(get, PathStepUp, d.stepUp)
	s.Handle(post, PathSignOut, d.signOut)
	s.Handle(get, PathSignedOut, d.signedOut)
	s.Handle(get, PathSignOutThen, d.signOutThen)
	s.Mount(PathSignIn+"/{idp}/backchannel-logout", http.HandlerFunc(d.backChannel))
	s.Mount(PathSignIn+"/{idp}/events", http.HandlerFunc(d.hear))
}

// Session returns the session of the browser; nil when nobody is signed in.
func (d *Door) Session(r *web.Request) (*session.Session, error) {
	return d.Sessions.Load(r.Context(), session.Hash(r.Cookie(cookieSession)))
}

// Browser returns the trusted browser that asks; nil when it is none.
func (d *Door) Browser(r *web.Request) (*session.Browser, error) {
	return d.Sessions.BrowserByHash(r.Context(), session.BrowserHash(r.Cookie(cookieBrowser)))
}

// In lets only those in who are signed in. Others go to sign in and come back to this very page; what they posted is not
// kept, and they are told so.
func (d *Door) In(h Handler) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		s, err := d.Session(r)
		if err != nil {
			return web.Page{}, err
		}
		if s != nil {
			return h(r, s)
		}
		if r.Method == http.MethodPost {
			return signInAgain(), nil
		}
		return d.Begin(r, session.Flow{Purpose: session.SignIn, Goto: r.URL.RequestURI()})
	}
}

// StepUp sends somebody who is signed in to sign in once more, more strongly or just now, and back to a path of this
// site. A GET leaves at once; a post gets a page with a link that does, because browsers hold the way on after a post
// to this site.
//
// Somebody who stepped up seconds ago and still is not strong enough would be sent around for ever: they read what the
// organisation requires.
//
// want names those values of the accept list that alone will do; without any, each of them does.
func (d *Door) StepUp(r *web.Request, s *session.Session, to string, want ...string) (web.Page, error) {
	f := session.Flow{Purpose: session.StepUp, Session: s.ID, IDP: s.IDP, Goto: to, Want: want}
	p := d.find(s.IDP)
	if p == nil || len(p.StepUp.Accept) == 0 || s.SteppedUp(d.Now(), skew) {
		return d.requires(p, nil), nil
	}
	if r.Method == http.MethodPost {
		return d.later(r, f, StepUpPage{Provider: p.Label}.Page())
	}
	return d.Begin(r, f)
}

// Trust answers a post by which somebody asks that this browser be trusted: they sign in more strongly first. It is the
// only way to a trusted browser.
func (d *Door) Trust(r *web.Request, s *session.Session, to string) (web.Page, error) {
	p := d.find(s.IDP)
	if r.Method != http.MethodPost {
		return web.Page{}, errors.New("signin: a browser is trusted by a post only")
	}
	if p == nil || len(p.StepUp.Accept) == 0 {
		return d.requires(p, nil), nil
	}
	return d.later(r, session.Flow{Purpose: session.StepUp, Session: s.ID, IDP: s.IDP, Goto: to, Trust: true}, StepUpPage{Provider: p.Label, Trust: true}.Page())
}

// later keeps a flow for the link on a page, in a row that only this browser's cookie finds.
func (d *Door) later(r *web.Request, f session.Flow, page web.Page) (web.Page, error) {
	secret, hash := session.Secret()
	f.State, f.Cookie, f.Lang = hash, hash, r.Lang
	if !web.Local(f.Goto) || len(f.Goto) > maxGoto {
		f.Goto = d.Home
	}
	if err := d.Sessions.Begin(r.Context(), origin(r), &f); err != nil {
		return web.Page{}, err
	}
	page.Cookies = append(page.Cookies, web.Cookie{Name: cookieNext, Value: secret, MaxAge: session.FlowLife})
	return page, nil
}

// next returns the flow that was kept by later; nil when there is none. It stays for its time, so that somebody who
// went back and chose another provider still comes to the right place.
func (d *Door) next(r *web.Request) (*session.Flow, error) {
	secret := r.Cookie(cookieNext)
	if secret == "" {
		return nil, nil
	}
	hash := session.HashOf(secret)
	f, err := d.Sessions.Take(r.Context(), hash, hash)
	if fault.Is(err, fault.Over) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	again := *f
	return f, d.Sessions.Keep(r.Context(), &again)
}

// maxGoto is the longest path to go on with, in bytes.
const maxGoto = 1000

// Begin starts a sign-in for any purpose and returns a page that leaves for the provider; call it for a GET. It fills
// what belongs to the sign-in itself. f.Goto must be a path of this site, else the sign-in goes on at Home. Without
// f.IDP the only provider is meant; where there are several, the person chooses first.
func (d *Door) Begin(r *web.Request, f session.Flow) (web.Page, error) {
	if len(d.providers) == 0 {
		return web.Page{}, fault.New(fault.NotFound, message.Key("signin.none"))
	}
	if f.IDP == "" {
		if len(d.providers) > 1 {
			return d.later(r, f, web.Page{Goto: PathSignIn})
		}
		f.IDP = d.providers[0].Name
	}
	p := d.find(f.IDP)
	if p == nil {
		return web.Page{}, fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	if !web.Local(f.Goto) || len(f.Goto) > maxGoto {
		f.Goto = d.Home
	}
	var held *session.Session
	if f.Purpose == session.StepUp {
		s, err := d.Session(r)
		if err != nil {
			return web.Page{}, err
		}
		if s == nil || s.IDP != f.IDP {
			return signInAgain(), nil
		}
		held, f.Session = s, s.ID // another tab may have signed in anew since
	}
	want := p.demandOf(&f, held)
	if want.strong && len(want.accept) == 0 { // nothing could ever be enough
		return d.requires(p, nil), nil
	}
	m, err := p.metadata(r.Context())
	if err != nil {
		return web.Page{}, err
	}
	state, stateHash := session.Secret()
	secret, secretHash := session.Secret()
	nonce, _ := session.Secret()
	f.State, f.Cookie, f.Nonce, f.Verifier, f.Lang = stateHash, secretHash, nonce, oauth2.GenerateVerifier(), r.Lang
	if err := d.Sessions.Begin(r.Context(), origin(r), &f); err != nil {
		return web.Page{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), httpTimeout)
	defer cancel()
	to, err := p.authorize(ctx, m, p.parameters(m, d.Base, state, &f, want))
	if err != nil {
		return web.Page{}, down(p, err)
	}
	return web.Page{Leave: to, Cookies: append(d.forget(r), web.Cookie{Name: cookieOf(state), Value: secret, MaxAge: session.FlowLife})}, nil
}

// cookieOf names the cookie of a flow: a hash, so that the name tells nothing of the state.
func cookieOf(state string) string {
	h := sha256.Sum256([]byte("cookie:" + state))
	return cookieFlow + strings.ToLower(base32.StdEncoding.EncodeToString(h[:])[:10])
}

// forget deletes the cookies of earlier flows when a browser holds many, so that its requests stay small.
func (d *Door) forget(r *web.Request) (out []web.Cookie) {
	prefix := d.site.CookieName(cookieFlow)
	for _, c := range r.Cookies() {
		if name, ours := strings.CutPrefix(c.Name, prefix); ours && len(name) == 10 {
			out = append(out, web.Cookie{Name: cookieFlow + name, MaxAge: -1})
		}
	}
	if len(out) < maxFlowCookies {
		return nil
	}
	return out
}

// origin is where a request came from.
func origin(r *web.Request) session.Origin {
	return session.Origin{Addr: r.Client, Agent: web.Browser(r.UserAgent()), Lang: r.Lang}
}

// choose sends to the only provider, or lets the person choose.
func (d *Door) choose(r *web.Request) (web.Page, error) {
	f, err := d.next(r)
	if err != nil {
		return web.Page{}, err
	}
	if f != nil && f.IDP != "" { // it waits for a link, not for a choice
		f = nil
	}
	fit := d.fit(f)
	if len(fit) > 1 {
		return ChoosePage{Providers: fit}.Page(), nil
	}
	idp := ""
	if len(fit) == 1 {
		idp = fit[0].Name
	}
	return d.goOn(r, f, idp)
}

// fit returns the providers that can serve a flow: a proof needs one whose sign-in can stand for no password.
func (d *Door) fit(f *session.Flow) (out []Provider) {
	for _, p := range d.Providers() {
		if f == nil || f.Purpose == session.SignIn || f.Purpose == session.Proof && p.MayProve || f.Purpose == session.Staff && p.StepsUp {
			out = append(out, p)
		}
	}
	return out
}

// start begins a sign-in at the provider of the path.
func (d *Door) start(r *web.Request) (web.Page, error) {
	if d.find(r.Var("idp")) == nil {
		return web.Page{}, fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	f, err := d.next(r)
	if err != nil {
		return web.Page{}, err
	}
	return d.goOn(r, f, r.Var("idp"))
}

// stepUp goes on with the step-up that a form asked for.
func (d *Door) stepUp(r *web.Request) (web.Page, error) {
	f, err := d.next(r)
	if err != nil {
		return web.Page{}, err
	}
	if f == nil || f.Purpose != session.StepUp {
		return web.Page{Goto: d.Home}, nil
	}
	return d.Begin(r, *f)
}

// goOn begins the sign-in that waits for a provider, or a plain one. A step-up never waits for a choice.
func (d *Door) goOn(r *web.Request, f *session.Flow, idp string) (web.Page, error) {
	if f == nil || f.Purpose == session.StepUp || f.IDP != "" {
		f = &session.Flow{Purpose: session.SignIn}
	}
	f.IDP = idp
	return d.Begin(r, *f)
}

// trusted is the cookie of a browser that was just trusted.
func trusted(token string) web.Cookie {
	return web.Cookie{Name: cookieBrowser, Value: token, MaxAge: session.BrowserLife}
}

func drop(name string) web.Cookie { return web.Cookie{Name: name, MaxAge: -time.Second} }

func (d *Door) log(r *web.Request, f *session.Flow, err error) {
	d.Log.WarnContext(r.Context(), "sign-in refused", "request_id", r.ID, "idp", f.IDP, "purpose", string(f.Purpose), "cause", fmt.Sprint(err))
}
