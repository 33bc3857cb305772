package handoff

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// What the secrets of a handoff begin with, so that one is never taken for another.
const (
	prefixCookie  = "rgn_handoff"
	prefixRequest = "rgn_request"
	prefixCode    = "rgn_code"
	prefixAccess  = "rgn_access"
)

// hashOf returns the hash of a secret of a kind, nil when it is none.
func hashOf(secret, prefix string) []byte {
	if p, ok := keyring.TokenPrefix(secret); !ok || p != prefix {
		return nil
	}
	h, _ := keyring.HashToken(secret)
	return h
}

// push takes a request that an app deposits (RFC 9126 §2). It is judged now, as it will be when a browser comes with it: what
// was pushed is all that counts then.
func (s *Service) push(w http.ResponseWriter, r *http.Request) {
	p, bad := s.body(w, r)
	if bad != nil {
		s.refuse(w, r, bad)
		return
	}
	app, bad := s.authenticate(r, p)
	if bad != nil {
		s.refuse(w, r, bad)
		return
	}
	if err := s.spend(r.Context(), s.bucket(s.Rates.PushesPerApp, client.OpenLife, "push", app.ID)); err != nil {
		s.refuse(w, r, faulty(err))
		return
	}
	if !slices.Contains(app.Redirects, p.get("redirect_uri")) {
		s.refuse(w, r, refuse(errInvalidRequest, "redirect_uri is not registered for this client"))
		return
	}
	h, bad := s.read(app, p, true)
	if bad != nil {
		s.refuse(w, r, bad)
		return
	}
	if h.About, bad = s.hinted(r.Context(), app, p.get("id_token_hint")); bad != nil {
		s.refuse(w, r, bad)
		return
	}
	secret, hash := keyring.NewToken(prefixRequest)
	now := s.Now()
	h.ID, h.Request, h.Created, h.Expires = newID(), hash, now, now.Add(client.PushedLife)
	if err := s.Store.CreateHandoff(r.Context(), h); err != nil {
		s.refuse(w, r, down(err))
		return
	}
	s.json(w, http.StatusCreated, struct {
		RequestURI string `json:"request_uri"`
		ExpiresIn  int    `json:"expires_in"`
	}{requestPrefix + secret, int(client.PushedLife.Seconds())})
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// authorize begins a handoff in a browser (RFC 6749 §4.1.1). Client and redirect URI come first: until both are known to be
// good, nobody is sent anywhere. A post may come from another site and brings no cookies then: none is looked at.
func (s *Service) authorize(r *web.Request) (web.Page, error) {
	if r.Method == http.MethodHead { // it opens nothing, least of all a request that works once
		return broken(), nil
	}
	p, err := asked(r)
	if err != nil {
		return broken(), nil
	}
	from := session.Origin{Addr: r.Client}
	if err := s.spend(r.Context(), s.fromNetwork(from, s.Rates.OpensPerOrigin, client.OpenLife, "open")...); err != nil {
		return web.Page{}, err
	}
	key := p.get("client_id")
	if !client.IsKey(key) {
		return broken(), nil
	}
	app, err := s.Store.App(r.Context(), key)
	if err != nil {
		return web.Page{}, err
	}
	if app == nil || !app.Asks() {
		return broken(), nil
	}
	if pushed, ok := strings.CutPrefix(p.get("request_uri"), requestPrefix); ok {
		return s.openPushed(r, app, pushed)
	}
	redirect := p.get("redirect_uri")
	if !slices.Contains(app.Redirects, redirect) {
		return broken(), nil
	}
	h, bad := s.read(app, p, false)
	if bad == nil {
		h.About, bad = s.hinted(r.Context(), app, p.get("id_token_hint"))
	}
	if bad != nil {
		s.Log.InfoContext(r.Context(), "request of an app refused", "request_id", r.ID, "app", app.Key, "cause", bad.Error())
		state := p.get("state")
		if len(state) > maxState || !plain(state) {
			state = ""
		}
		return s.deny(r, app, redirect, state, bad), nil
	}
	if err := s.spend(r.Context(), s.bucket(s.Rates.OpensPerApp, client.OpenLife, "app", app.ID)); err != nil {
		return web.Page{}, err
	}
	secret, cookie := keyring.NewToken(prefixCookie)
	now := s.Now()
	h.ID, h.Created = newID(), now
	if err := s.Store.CreateHandoff(r.Context(), h, h.Open(cookie, now)...); err != nil {
		return web.Page{}, err
	}
	return s.begin(r, h, secret), nil
}

// asked reads what a browser brings: the query of a GET, the form of a post.
func asked(r *web.Request) (parameters, error) {
	if r.Method != http.MethodPost {
		return parse(r.URL.RawQuery, maxQuery)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("no form")
	}
	body, err := io.ReadAll(r.Body) // bounded by the site
	if err != nil {
		return nil, err
	}
	return parse(string(body), maxQuery)
}

// openPushed gives a request that was pushed to the one browser that comes with it first. Whatever else stands in the address
// counts nothing (RFC 9126 §4): it was not the app that wrote it.
func (s *Service) openPushed(r *web.Request, app *client.App, pushed string) (web.Page, error) {
	request := hashOf(pushed, prefixRequest)
	if request == nil {
		return s.ended(app), nil
	}
	secret, cookie := keyring.NewToken(prefixCookie)
	now := s.Now()
	h, err := s.Store.OpenHandoff(r.Context(), request, app.ID, cookie, now, func(h *client.Handoff) []event.Event { return h.Open(cookie, now) })
	if err != nil {
		return web.Page{}, err
	}
	if h == nil {
		return s.ended(app), nil
	}
	if page, err := s.withdrawn(r, app, h); page != nil || err != nil {
		return shown(page), err
	}
	return s.begin(r, h, secret), nil
}

// begin goes on to the pages on which the person works.
func (s *Service) begin(r *web.Request, h *client.Handoff, secret string) web.Page {
	page := s.Pages.Begin(r, h)
	page.Cookies = append(page.Cookies, web.Cookie{Name: cookieName, Value: secret, MaxAge: client.OpenLife + client.HandoffLife})
	return page
}

// withdrawn ends a handoff of an app that was disabled, or may not ask for this any more, since it began; nil when it may.
// An address that is not registered any more is not gone to.
func (s *Service) withdrawn(r *web.Request, app *client.App, h *client.Handoff) (*web.Page, error) {
	known := app != nil && slices.Contains(app.Redirects, h.Redirect)
	if known && !app.Disabled && slices.Contains(app.Actions, h.Action) {
		return nil, nil
	}
	if err := s.end(r.Context(), h, client.WhyApp); err != nil {
		return nil, err
	}
	page := s.ended(nil)
	if known {
		page = s.deny(r, app, h.Redirect, h.Param, refuse(errUnauthorized, textAppMayNot))
	}
	return &page, nil
}

// shown is a page that may be none.
func shown(page *web.Page) web.Page {
	if page == nil {
		return web.Page{}
	}
	return *page
}
