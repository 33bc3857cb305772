package portal

import (
	"slices"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/web"
)

// asked returns the challenge of a kind the browser asked for last; otherwise where to go instead.
func (p *Pages) asked(r *web.Request, a *reset.Attempt, kind method.Kind) (challenge string, page web.Page, ok bool, err error) {
	if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
		return "", page, false, nil
	}
	challenge = r.Cookie(cookieCode)
	w, err := p.Flow.Asked(r.Context(), a, challenge)
	if err != nil || w == nil || w.Kind != kind {
		return "", web.Page{Goto: PathChoose}, false, err
	}
	return challenge, web.Page{}, true, nil
}

// passkey shows the button by which the browser is asked.
func (p *Pages) passkey(problems []web.Problem) tryHandler {
	return func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		challenge, page, ok, err := p.asked(r, a, method.Passkey)
		if err != nil || !ok {
			return page, err
		}
		options, err := p.Flow.Options(r.Context(), a, challenge)
		if err != nil {
			return web.Page{}, err
		}
		return PasskeyPage{Running: p.running(a, 2), Options: string(options), Problems: problems}.Page(), nil
	}
}

// checkPasskey judges what the browser answered. Every refusal looks the same.
func (p *Pages) checkPasskey(r *web.Request, a *reset.Attempt) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "answer", Max: MaxAnswer})
	if err != nil {
		return web.Page{}, err
	}
	challenge, page, ok, err := p.asked(r, a, method.Passkey)
	if err != nil || !ok {
		return page, err
	}
	wrong := p.passkey([]web.Problem{{Field: "passkey", Say: message.Key("passkey.wrong")}})
	if form["answer"] == "" { // a browser without script sends the form as it is
		return wrong(r, a)
	}
	after, err := p.Flow.Check(r.Context(), a, origin(r), challenge, form["answer"])
	if fault.Is(err, fault.Invalid) {
		return wrong(r, a)
	}
	if err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: p.next(after)}, nil
}

// workSignIn leads to the identity providers by links: a browser that sent a form here would not follow it elsewhere.
func (p *Pages) workSignIn(r *web.Request, a *reset.Attempt) (web.Page, error) {
	_, page, ok, err := p.asked(r, a, method.IDP)
	if err != nil || !ok {
		return page, err
	}
	return WorkSignInPage{Running: p.running(a, 2), Providers: p.proving()}.Page(), nil
}

// proving are the providers a sign-in at which may prove something.
func (p *Pages) proving() []signin.Provider {
	return slices.DeleteFunc(slices.Clone(p.Door.Providers()), func(v signin.Provider) bool { return !v.MayProve })
}

// workSignInGo leaves for one of them.
func (p *Pages) workSignInGo(r *web.Request, a *reset.Attempt) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "idp", Max: MaxWay})
	if err != nil {
		return web.Page{}, err
	}
	challenge, page, ok, err := p.asked(r, a, method.IDP)
	if err != nil || !ok {
		return page, err
	}
	if !slices.ContainsFunc(p.proving(), func(v signin.Provider) bool { return v.Name == q["idp"] }) {
		return web.Page{Goto: PathWorkSignIn}, nil
	}
	return p.Door.Begin(r, session.Flow{
		IDP: q["idp"], Purpose: session.Proof, Attempt: a.ID, Challenge: challenge, Goto: PathChoose, Lang: r.Lang,
	})
}

// Proved takes a sign-in that was made inside a try. who is whose account it is, nil when it is nobody's here: that and
// every other reason why it proves nothing is answered in the same words.
func (p *Pages) Proved(r *web.Request, f *session.Flow, who *account.Person, id session.Identity) (web.Page, error) {
	return p.try(func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		if a.ID != f.Attempt { // this browser has begun another try meanwhile
			return p.notProved(), nil
		}
		person := ""
		if who != nil {
			person = who.ID
		}
		after, err := p.Flow.ProveSignIn(r.Context(), f.Attempt, f.Challenge, origin(r), person, id.IDP)
		if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Denied) {
			return p.notProved(), nil
		}
		if err != nil {
			return web.Page{}, err
		}
		return web.Page{Goto: p.next(after)}, nil
	})(r)
}

// Failed goes on after a sign-in inside a try that did not come about: refused there, not of the class asked for, or given
// up. The reason goes to the log of package signin; here it is one sentence for everybody.
func (p *Pages) Failed(*web.Request, *session.Flow, error) (web.Page, error) {
	return p.notProved(), nil
}

func (p *Pages) notProved() web.Page { return going(PathChoose, noteSignIn) }
