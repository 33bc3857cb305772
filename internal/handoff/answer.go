package handoff

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/web"
)

// cookieName is the only handle of a handoff in a browser. What it holds stands in no address.
const cookieName = "handoff"

// errMoved ends a change when another try took the place of the one that was looked at.
var errMoved = errors.New("another try began meanwhile")

// Of returns the open handoff of this browser; nil when it holds none.
func (s *Service) Of(r *web.Request) (*client.Handoff, error) {
	cookie := hashOf(r.Cookie(cookieName), prefixCookie)
	if cookie == nil {
		return nil, nil
	}
	h, err := s.Store.HandoffByCookie(r.Context(), cookie)
	if err != nil || h == nil || !h.Held(s.Now()) {
		return nil, err
	}
	return h, nil
}

// kept returns the handoff that this browser's cookie opens, whatever became of it, and its app; nil when it opens none, and
// no app when that was deleted.
func (s *Service) kept(r *web.Request) (*client.Handoff, *client.App, error) {
	cookie := hashOf(r.Cookie(cookieName), prefixCookie)
	if cookie == nil {
		return nil, nil, nil
	}
	return s.Store.HandoffAndApp(r.Context(), cookie)
}

// Bind ties the open handoff of this browser to a try that just began in it; a later try takes the place of an earlier one.
// In a browser without an open handoff nothing happens.
func (s *Service) Bind(r *web.Request, attempt string) error {
	h, err := s.Of(r)
	if err != nil || h == nil {
		return err
	}
	_, err = s.Store.UpdateHandoff(r.Context(), h, func(h *client.Handoff) ([]event.Event, error) {
		return nil, h.Begin(attempt, s.Now())
	})
	if fault.Is(err, fault.Over) { // it was answered in another tab
		return nil
	}
	return err
}

// Falter notes that something needed was not answering, for the handoff this browser holds; in one without nothing happens.
func (s *Service) Falter(r *web.Request) error {
	h, err := s.Of(r)
	if err != nil || h == nil {
		return err
	}
	_, err = s.Store.UpdateHandoff(r.Context(), h, func(h *client.Handoff) ([]event.Event, error) { return nil, h.Falter(s.Now()) })
	if fault.Is(err, fault.Over) {
		return nil
	}
	return err
}

// Sender returns the app that sent this browser here and waits for its answer; nil when none does. It is for
// web.Config.Sender: until something was changed the way out is to cancel, from then on it is to go back.
func (s *Service) Sender(r *web.Request) (*web.Sender, error) {
	if p := r.URL.Path; p == "/console" || strings.HasPrefix(p, "/console/") { // staff at work are on nobody's errand
		return nil, nil
	}
	h, app, err := s.kept(r)
	if err != nil || h == nil || !h.Held(s.Now()) {
		return nil, err
	}
	// Forms lead to an origin that is registered now, and to no other.
	if app == nil || !slices.Contains(app.Redirects, h.Redirect) {
		return nil, nil
	}
	u, err := url.Parse(h.Redirect)
	if err != nil {
		return nil, err
	}
	out := &web.Sender{Name: app.Name, Host: u.Host, Origin: u.Scheme + "://" + u.Host, Cancel: PathCancel}
	o, err := s.outcome(r, h)
	if err != nil {
		return nil, err
	}
	if o.Status != "" {
		out.Cancel, out.Return = "", PathReturn
	}
	return out, nil
}

// outcome is what became of what the person was sent for. Before a try began nothing did.
func (s *Service) outcome(r *web.Request, h *client.Handoff) (client.Outcome, error) {
	if h.Attempt == "" && h.Action != client.ActionRegister {
		return client.Outcome{}, nil
	}
	return s.Pages.Outcome(r, h)
}

// goBack answers a person who wants to go back to the app: with a code when something was changed, with access_denied when
// nothing was and nothing will be. Somebody who is not done yet is led on.
func (s *Service) goBack(r *web.Request) (web.Page, error) {
	h, app, page, err := s.held(r)
	if page != nil || err != nil {
		return shown(page), err
	}
	o, err := s.outcome(r, h)
	switch {
	case err != nil:
		return web.Page{}, err
	case o.Status != "":
		return s.answer(r, app, h, o)
	case !o.Over:
		return s.Pages.Begin(r, h), nil
	case o.Down:
		return s.give(r, app, h, client.WhyDown)
	}
	return s.give(r, app, h, client.WhyNothing)
}

// cancel is the one way out: the try ends and the app hears that nothing was changed. When something was changed after all,
// because the person was faster than the page, the app hears that instead: the answer is always true.
func (s *Service) cancel(r *web.Request) (web.Page, error) {
	h, app, page, err := s.held(r)
	if page != nil || err != nil {
		return shown(page), err
	}
	if h.Attempt != "" {
		if err := s.Pages.Stop(r, h); err != nil && !fault.Is(err, fault.Over) { // what cannot be ended any more has an outcome, or will
			return web.Page{}, err
		}
	}
	o, err := s.outcome(r, h)
	switch {
	case err != nil:
		return web.Page{}, err
	case o.Status != "":
		return s.answer(r, app, h, o)
	case !o.Over && h.Attempt != "": // it is being written this moment: nobody can say yet that nothing was changed
		return s.Pages.Begin(r, h), nil
	case o.Down:
		return s.give(r, app, h, client.WhyDown)
	}
	return s.give(r, app, h, client.WhyCancelled)
}

// held returns the handoff that this browser may answer, and its app; or the page that says why there is none.
func (s *Service) held(r *web.Request) (*client.Handoff, *client.App, *web.Page, error) {
	if _, err := r.Form(); err != nil {
		return nil, nil, nil, err
	}
	h, app, err := s.kept(r)
	if err != nil {
		return nil, nil, nil, err
	}
	if h == nil {
		page := s.ended(nil)
		return nil, nil, &page, nil
	}
	if !h.Held(s.Now()) {
		if err := s.end(r.Context(), h, client.WhyExpired); err != nil {
			return nil, nil, nil, err
		}
		page := s.ended(app)
		return nil, nil, &page, nil
	}
	if page, err := s.withdrawn(r, app, h); page != nil || err != nil {
		return nil, nil, page, err
	}
	return h, app, nil, nil
}

// answer sends the browser back with a code.
func (s *Service) answer(r *web.Request, app *client.App, h *client.Handoff, o client.Outcome) (web.Page, error) {
	if h.About != "" && h.About != s.subject(app, o.Person) { // the app asked about somebody else (OIDC Core §3.1.2.1)
		return s.give(r, app, h, client.WhyOther)
	}
	code, hash := keyring.NewToken(prefixCode)
	_, err := s.Store.UpdateHandoff(r.Context(), h, func(now *client.Handoff) ([]event.Event, error) {
		if now.Attempt != h.Attempt {
			return nil, errMoved
		}
		return now.Answer(hash, o, s.SignIn, s.Now())
	})
	switch {
	case errors.Is(err, errMoved):
		return s.Pages.Begin(r, h), nil
	case fault.Is(err, fault.Over): // answered in another tab
		return s.ended(app), nil
	case err != nil:
		return web.Page{}, err
	}
	return s.leave(r, app, s.answerTo(h.Redirect, h.Param, url.Values{"code": {code}})), nil
}

// give sends the browser back with nothing changed. Why is for the log alone: the app hears the same whatever it was, but
// for something that is not answering, which says nothing of the person.
func (s *Service) give(r *web.Request, app *client.App, h *client.Handoff, why string) (web.Page, error) {
	_, err := s.Store.UpdateHandoff(r.Context(), h, func(now *client.Handoff) ([]event.Event, error) {
		if now.Attempt != h.Attempt {
			return nil, errMoved
		}
		return now.End(why, s.Now())
	})
	switch {
	case errors.Is(err, errMoved):
		return s.Pages.Begin(r, h), nil
	case fault.Is(err, fault.Over):
		return s.ended(app), nil
	case err != nil:
		return web.Page{}, err
	}
	e := refuse(errAccessDenied, textNothingChanged)
	if why == client.WhyDown {
		e = refuse(errDown, textTryLater)
	}
	return s.deny(r, app, h.Redirect, h.Param, e), nil
}

// end ends a handoff that nobody is sent back from. That it ended already is as good.
func (s *Service) end(ctx context.Context, h *client.Handoff, why string) error {
	if h.State != client.HandoffOpen {
		return nil
	}
	_, err := s.Store.UpdateHandoff(ctx, h, func(h *client.Handoff) ([]event.Event, error) { return h.End(why, s.Now()) })
	if fault.Is(err, fault.Over) {
		return nil
	}
	return err
}
