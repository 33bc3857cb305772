package signin

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// answerTimeout bounds everything the callback asks of the provider.
const answerTimeout = 2 * httpTimeout

// callback takes the provider's answer (OIDC Core §3.1.2.5). A parameter that comes twice is refused with the request,
// before the flow is touched; what describes an error is not read at all, and so can stand on no page.
func (d *Door) callback(r *web.Request) (web.Page, error) {
	p := d.find(r.Var("idp"))
	if p == nil {
		return web.Page{}, fault.New(fault.NotFound, message.Key("error.not_found"))
	}
	q, err := r.Query(web.Field{Name: "state", Max: 128}, web.Field{Name: "code", Max: 8 << 10}, web.Field{Name: "iss", Max: 1000}, web.Field{Name: "error", Max: 128})
	if err != nil {
		return web.Page{}, err
	}
	name := cookieOf(q["state"])
	f, err := d.Sessions.Take(r.Context(), session.HashOf(q["state"]), session.HashOf(r.Cookie(name)))
	if fault.Is(err, fault.Over) {
		return endedPage(), nil
	}
	if err != nil {
		return web.Page{}, err
	}
	page, err := d.answered(r, p, f, q)
	if err != nil {
		if page, err = d.failed(r, p, f, err); err != nil {
			return web.Page{}, err
		}
	}
	page.Cookies = append(page.Cookies, drop(name))
	return page, nil
}

// answered goes through the answer, in this order: whose it is, what it says, what it proves, who that is here.
func (d *Door) answered(r *web.Request, p *provider, f *session.Flow, q web.Values) (web.Page, error) {
	if f.IDP != p.Name { // the answer to a question that another provider was asked (RFC 9700 §4.4)
		return web.Page{}, reject("provider", nil)
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	m, err := p.metadata(ctx)
	if err != nil {
		return web.Page{}, err
	}
	iss, came := q["iss"]
	if came && iss != p.Issuer || !came && m.IssParameter { // RFC 9207 §2.4: before anything else of it is believed
		return web.Page{}, reject("iss", nil)
	}
	if code, came := q["error"]; came {
		return web.Page{}, &providerError{code}
	}
	if q["code"] == "" {
		return web.Page{}, reject("code", nil)
	}
	held, err := d.Session(r)
	if err != nil {
		return web.Page{}, err
	}
	if f.Purpose == session.StepUp && held == nil {
		return web.Page{}, fault.New(fault.Over, message.Key("signin.session_over"))
	}
	raw, token, err := p.redeem(ctx, m, d.Base, q["code"], f.Verifier)
	if err != nil {
		if errors.Is(err, errProvider) {
			return web.Page{}, down(p, err)
		}
		return web.Page{}, reject("code", err)
	}
	id, err := d.identity(ctx, p, m, f, p.demandOf(f, held), raw, token)
	if err != nil {
		return web.Page{}, err
	}
	if f.Purpose == session.Proof {
		return d.proved(r, f, id)
	}
	return d.arrived(r, f, id, held)
}

func (d *Door) identity(ctx context.Context, p *provider, m *metadata, f *session.Flow, want demand, raw string, token *oauth2.Token) (session.Identity, error) {
	id, c, err := p.judge(ctx, m, f, want, raw, token)
	if err == nil {
		err = p.complete(ctx, m, f, &id, c, token)
	}
	if errors.Is(err, errProvider) {
		err = down(p, err)
	}
	return id, err
}

// proved hands a proof to whoever runs the attempt. Nobody is signed in by it.
func (d *Door) proved(r *web.Request, f *session.Flow, id session.Identity) (web.Page, error) {
	if d.Proved == nil {
		return web.Page{}, errors.New("signin: a proof, and nobody to take it")
	}
	who, err := d.Sessions.Who(r.Context(), id)
	if err != nil {
		return web.Page{}, err
	}
	return d.Proved(r, f, who, id)
}

// arrived makes the session and goes on.
func (d *Door) arrived(r *web.Request, f *session.Flow, id session.Identity, held *session.Session) (web.Page, error) {
	token, s, err := d.Sessions.Arrive(r.Context(), id, f, origin(r), held)
	if err != nil {
		return web.Page{}, err
	}
	cookies := []web.Cookie{{Name: cookieSession, Value: token}, drop(cookieNext)}
	if f.Trust && f.Purpose == session.StepUp {
		t, err := d.Sessions.TrustBrowser(r.Context(), s, origin(r))
		if err != nil {
			d.log(r, f, err) // they are signed in all the same; the list of browsers shows that it was not done
		} else {
			cookies = append(cookies, trusted(t))
		}
	}
	page := web.Page{Goto: f.Goto}
	if d.Arrived != nil {
		if page, err = d.Arrived(r, s, f); err != nil {
			// The session is made and its predecessor over: the browser gets it, or they would be nobody.
			d.log(r, f, err)
			page = web.Page{Goto: f.Goto}
		}
	}
	page.Cookies = append(page.Cookies, cookies...)
	return page, nil
}

// providerError is an error the provider answered with (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6).
type providerError struct{ code string }

func (e *providerError) Error() string { return "the provider answered " + word(e.code) }

// word keeps an error code for logs only when it looks like one.
func word(code string) string {
	for _, r := range code {
		if r != '_' && (r < 'a' || r > 'z') {
			return "something else"
		}
	}
	return code
}

// why is the word for events.
func why(err error) string {
	if e, ok := errors.AsType[*rejection](err); ok {
		return e.why
	}
	if e, ok := errors.AsType[*providerError](err); ok {
		return word(e.code)
	}
	return "other"
}

// failed turns what went wrong into a page, after one more try where the sign-in was only too weak or too old.
func (d *Door) failed(r *web.Request, p *provider, f *session.Flow, err error) (web.Page, error) {
	rej, isRejection := errors.AsType[*rejection](err)
	answer, isAnswer := errors.AsType[*providerError](err)
	if isRejection || isAnswer {
		d.log(r, f, err)
		if rerr := d.Sessions.Refused(r.Context(), f, why(err)); rerr != nil {
			return web.Page{}, rerr
		}
	}
	if isRejection && rej.weak && !f.Retried {
		again := *f
		again.Retried = true
		return d.Begin(r, again)
	}
	if f.Purpose == session.Proof && d.Failed != nil {
		return d.Failed(r, f, err)
	}
	switch {
	case isRejection && rej.weak, isAnswer && answer.code == "unmet_authentication_requirements":
		return d.requires(p, f), nil
	case isAnswer && answer.code == "access_denied":
		return cancelledPage(f), nil
	case isAnswer && (answer.code == "temporarily_unavailable" || answer.code == "server_error"):
		return web.Page{}, down(p, err)
	case isRejection || isAnswer:
		return refusedPage(f), nil
	}
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.Over) {
		page := deniedPage(err)
		if f.Purpose == session.StepUp { // whoever it was, this browser's session is over
			page.Cookies = append(page.Cookies, drop(cookieSession))
		}
		return page, nil
	}
	return web.Page{}, err
}
