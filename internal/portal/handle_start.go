package portal

import (
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/web"
)

func (p *Pages) home(*web.Request) (web.Page, error) {
	return HomePage{SignIn: p.SignIn, Account: p.Door != nil, Stories: p.Stories}.Page(), nil
}

// start asks who it is. A hint from a link moves into a cookie, so that no name stays in an address, and so does the key of
// the app to go back to, which ends the tie to an app that sent the person here before. A hint that nobody could have typed
// is left out, and does not stay in the address either: the link was made by a page that knows no better.
func (p *Pages) start(a policy.Action) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		var moved []web.Cookie
		if hints, given := r.URL.Query()["login_hint"]; given {
			hint := ""
			if len(hints) == 1 {
				hint = hints[0]
			}
			moved = append(moved, hintCookie(hint))
		}
		if back, given := returning(r); given {
			moved = append(append(moved, back), p.untie()...)
		}
		if len(moved) > 0 {
			return web.Page{Goto: PathOf(a), Cookies: moved}, nil
		}
		return StartPage{Action: a, Login: decodeHint(r.Cookie(cookieHint))}.Page(), nil
	}
}

// begin starts a try. It looks nobody up, so there is nothing about the account it could tell.
func (p *Pages) begin(a policy.Action) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "login", Max: MaxLogin})
		if err != nil {
			return web.Page{}, err
		}
		secret, hash := p.Token()
		from := origin(r)
		if from.Trusts, err = p.trusts(r); err != nil {
			return web.Page{}, err
		}
		try, err := p.Flow.Start(r.Context(), from, a, form["login"], hash)
		if problems, ok := mendable(err); ok {
			return StartPage{Action: a, Login: form["login"], Problems: problems}.Page(), nil
		}
		if err != nil {
			return web.Page{}, err
		}
		if err := p.bind(r, try); err != nil {
			return web.Page{}, err
		}
		return web.Page{Goto: PathChoose, Cookies: []web.Cookie{
			{Name: cookieTry, Value: secret, MaxAge: tryAge}, {Name: cookieHint, MaxAge: -1}, {Name: cookieCode, MaxAge: -1},
		}}, nil
	}
}

// trusts is the person who said that they trust this browser; "" for any other browser.
func (p *Pages) trusts(r *web.Request) (string, error) {
	if p.Door == nil {
		return "", nil
	}
	b, err := p.Door.Browser(r)
	if err != nil || b == nil {
		return "", err
	}
	return b.Person, nil
}

func (p *Pages) helpPage(h web.Help) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		v := HelpPage{Help: h}
		if hash := p.Hash(r.Cookie(cookieTry)); hash != nil {
			if a, err := p.Flow.Load(r.Context(), hash); err == nil {
				v.Reference = a.Reference
			}
		}
		return v.Page(), nil
	}
}
