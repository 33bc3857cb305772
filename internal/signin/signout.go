package signin

import (
	"crypto/subtle"
	"net/url"

	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// signOut ends the session here. Whether the provider's ends as well is the next page's matter: this one works whatever
// the provider does. It is a post, so no picture on another site signs anybody out.
func (d *Door) signOut(r *web.Request) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	token := r.Cookie(cookieSession)
	s, err := d.Session(r)
	if err != nil {
		return web.Page{}, err
	}
	page := web.Page{Goto: PathSignedOut, Cookies: []web.Cookie{drop(cookieSession), drop(cookieNext)}}
	if s == nil {
		return page, nil
	}
	if err := d.Sessions.End(r.Context(), s, session.WhySignedOut); err != nil {
		return web.Page{}, err
	}
	// The secret of a session that has ended opens nothing any more; for five minutes it tells whom to sign out there.
	page.Cookies = append(page.Cookies, web.Cookie{Name: cookieLeft, Value: token, MaxAge: session.FlowLife})
	return page, nil
}

// signedOut says that they are signed out here, and offers the provider's sign-out where there is one.
func (d *Door) signedOut(r *web.Request) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "state", Max: 128})
	if err != nil {
		return web.Page{}, err
	}
	left := r.Cookie(cookieLeft)
	if q["state"] != "" && subtle.ConstantTimeCompare([]byte(q["state"]), []byte(left)) == 1 {
		page := SignedOutPage{Everywhere: true}.Page()
		page.Cookies = []web.Cookie{drop(cookieLeft)}
		return page, nil
	}
	s, err := d.Sessions.SignedOut(r.Context(), session.Hash(left))
	if err != nil {
		return web.Page{}, err
	}
	v := SignedOutPage{}
	if s != nil {
		if p := d.find(s.IDP); p != nil {
			if m, err := p.metadata(r.Context()); err == nil && m.EndSession != "" {
				v.Provider = p.Label
			}
		}
	}
	return v.Page(), nil
}

// maxAddress is the longest address a browser is sent to; a longer one goes without the hint.
const maxAddress = 6000

// signOutThen leaves for the provider's sign-out (OIDC RP-Initiated Logout 1.0 §2), which comes back to signedOut with
// the state.
func (d *Door) signOutThen(r *web.Request) (web.Page, error) {
	s, err := d.Sessions.SignedOut(r.Context(), session.Hash(r.Cookie(cookieLeft)))
	if err != nil {
		return web.Page{}, err
	}
	if s == nil {
		return web.Page{Goto: PathSignedOut}, nil
	}
	p := d.find(s.IDP)
	if p == nil {
		return web.Page{Goto: PathSignedOut}, nil
	}
	m, err := p.metadata(r.Context())
	if err != nil || m.EndSession == "" {
		return web.Page{Goto: PathSignedOut}, nil //nolint:nilerr // they are signed out here, and the page says no more
	}
	u, err := url.Parse(m.EndSession)
	if err != nil {
		return web.Page{}, err
	}
	state, _ := session.Secret()
	q := u.Query()
	q.Set("client_id", p.ClientID)
	q.Set("post_logout_redirect_uri", d.Base+PathSignedOut)
	q.Set("state", state)
	if s.IDToken != "" && len(u.String())+len(q.Encode())+len(s.IDToken) < maxAddress {
		q.Set("id_token_hint", s.IDToken)
	}
	u.RawQuery = q.Encode()
	return web.Page{Leave: u.String(), Cookies: []web.Cookie{{Name: cookieLeft, Value: state, MaxAge: session.FlowLife}}}, nil
}
