package portal

import (
	"net/http"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// returning reads return_to of a link: the key of an app somebody is to go back to in the end. Whether there is such an app
// is looked up only when they go, so that a link tells nobody; what is no key at all is as good as nothing. given reports
// whether there was a return_to, in whatever form: the address is then shown again without it.
func returning(r *web.Request) (cookie web.Cookie, given bool) {
	values, given := r.URL.Query()["return_to"]
	cookie = web.Cookie{Name: cookieBack, MaxAge: -1}
	if len(values) == 1 && client.IsKey(values[0]) {
		cookie.Value, cookie.MaxAge = values[0], tryAge
	}
	return cookie, given
}

// back is the app this browser came from; the zero value when it came from none that is registered.
func (p *Pages) back(r *web.Request) (Back, error) {
	key := r.Cookie(cookieBack)
	if key == "" || !client.IsKey(key) || p.Reads == nil {
		return Back{}, nil
	}
	app, err := p.Reads.App(r.Context(), key)
	if err != nil || app == nil || app.Disabled || len(app.Returns) == 0 {
		return Back{}, err
	}
	return Back{App: app.Name, URL: app.Returns[0]}, nil
}

// onto is the path this browser was going to when it was asked something; "" when there is none.
func onto(r *web.Request) string {
	to := decodeHint(r.Cookie(cookieOnto))
	if !web.Local(to) {
		return ""
	}
	return to
}

// Arrived says where to go after a sign-in: where the person was going, unless they are to be asked about their ways first.
// What they had begun to add before a step-up goes on after it.
func (p *Pages) Arrived(r *web.Request, s *session.Session, f *session.Flow) (web.Page, error) {
	page := web.Page{Goto: f.Goto}
	if page.Goto == "" {
		page.Goto = PathSecurity
	}
	if f.App != "" && client.IsKey(f.App) {
		page.Goto, page.Cookies = PathSetupGo, append(p.untie(), web.Cookie{Name: cookieBack, Value: f.App, MaxAge: tryAge})
	}
	if f.Purpose == session.StepUp {
		return page, p.Register.Resume(r.Context(), s, f.Session)
	}
	// On the pages for their ways they are where they would be sent, and a step of them asks by itself.
	if f.Purpose != session.SignIn || strings.HasPrefix(page.Goto, PathSecurity) || strings.HasPrefix(page.Goto, PathSetup) {
		return page, nil
	}
	due, err := p.Register.Due(r.Context(), s, origin(r))
	if err != nil || due.Mode == policy.Off || due.Mode == "" {
		return page, err
	}
	page.Cookies = append(page.Cookies, web.Cookie{Name: cookieOnto, Value: encodeHint(page.Goto), MaxAge: tryAge})
	page.Goto = PathSetupNow
	return page, nil
}

// setup is the short address: of the security info; with return_to of what an app sends people to after a sign-in; and of
// setting up ways when that is what an app asks for and waits for.
func (p *Pages) setup(r *web.Request) (web.Page, error) {
	if cookie, given := returning(r); given {
		return web.Page{Goto: PathSetupGo, Cookies: append(p.untie(), cookie)}, nil
	}
	if asked, err := p.registering(r); err != nil || asked {
		return web.Page{Goto: PathSetupNow}, err
	}
	return web.Page{Goto: PathSecurity, Status: http.StatusFound}, nil
}

// setupGo goes on to where the person was going, unless something is to be asked first. It answers a GET only: a browser
// that sent a form here would not follow it to another site.
func (p *Pages) setupGo(r *web.Request, s *session.Session) (web.Page, error) {
	due, err := p.Register.Due(r.Context(), s, origin(r))
	if err != nil {
		return web.Page{}, err
	}
	if due.Mode != policy.Off && due.Mode != "" {
		return web.Page{Goto: PathSetupNow}, nil
	}
	back, err := p.back(r)
	if err != nil {
		return web.Page{}, err
	}
	gone := []web.Cookie{{Name: cookieBack, MaxAge: -1}, {Name: cookieOnto, MaxAge: -1}, {Name: cookieNote, MaxAge: -1}}
	if back.URL != "" {
		return web.Page{Leave: back.URL, Cookies: gone}, nil
	}
	if to := onto(r); to != "" {
		return web.Page{Goto: to, Cookies: gone}, nil
	}
	return web.Page{Goto: PathSecurity, Cookies: gone}, nil
}

// setupNow asks. When an app asked for it, it does so whatever is due.
func (p *Pages) setupNow(r *web.Request, s *session.Session) (web.Page, error) {
	due, err := p.Register.Due(r.Context(), s, origin(r))
	if err != nil {
		return web.Page{}, err
	}
	asked, err := p.registering(r)
	if err != nil {
		return web.Page{}, err
	}
	if !asked && (due.Mode == policy.Off || due.Mode == "") {
		return web.Page{Goto: PathSetupGo}, nil
	}
	o, err := p.Register.Overview(r.Context(), s)
	if err != nil {
		return web.Page{}, err
	}
	back, err := p.back(r)
	if err != nil {
		return web.Page{}, err
	}
	// An app proves nothing until something else did. It is one of the ways all the same: what it lacks is the other one.
	if s := standing(o); s.Wanted > s.Have {
		due.Missing = min(due.Missing, s.Wanted-s.Have)
	}
	v := SetupPage{App: back.App, Asked: asked, Due: due}
	for _, own := range o.Own {
		v.Own = append(v.Own, ownWay(own, p.Now()))
	}
	return v.Page(), nil
}

// setupLater puts it off.
func (p *Pages) setupLater(r *web.Request, s *session.Session) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if err := p.Register.Snooze(r.Context(), s, origin(r)); err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: PathSetupOn}, nil
}

// setupRight notes that all is still right.
func (p *Pages) setupRight(r *web.Request, s *session.Session) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if err := p.Register.Reviewed(r.Context(), s); err != nil {
		return web.Page{}, err
	}
	return going(PathSetupOn, noteRight), nil
}

// setupOn leads on by a link, or to the app that asked by the way around the page.
func (p *Pages) setupOn(r *web.Request, _ *session.Session) (web.Page, error) {
	h, err := p.sent(r)
	if err != nil {
		return web.Page{}, err
	}
	if h != nil && h.Action == client.ActionRegister {
		return p.setUp(r, h)
	}
	back, err := p.back(r)
	if err != nil {
		return web.Page{}, err
	}
	if back.URL == "" {
		if to := onto(r); to != "" && r.Cookie(cookieNote) == "" { // nothing to say, and nothing keeps a browser from a path
			return web.Page{Goto: to, Cookies: []web.Cookie{{Name: cookieOnto, MaxAge: -1}}}, nil
		} else if to == "" {
			return web.Page{Goto: PathSecurity}, nil
		}
	}
	note, forget := noted(r)
	if note.IsZero() {
		note = message.Key("setup_on.later")
	}
	page := SetupOnPage{App: back.App, Note: note}.Page()
	page.Cookies = forget
	return page, nil
}

// setUp ends what an app asked for, once something was set up.
func (p *Pages) setUp(r *web.Request, h *client.Handoff) (web.Page, error) {
	o, err := p.registered(r, h)
	if err != nil {
		return web.Page{}, err
	}
	if o.Status == "" {
		return web.Page{Goto: PathSetupNow}, nil
	}
	page := SetupOnPage{Asked: true, Note: message.Key("security.note.added")}.Page()
	page.Cookies = []web.Cookie{{Name: cookieNote, MaxAge: -1}}
	return page, nil
}
