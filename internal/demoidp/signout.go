package demoidp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// signOutView asks whether somebody wants to sign out. To and State are where they go afterwards.
type signOutView struct{ Login, To, State string }

// signOutPage ends the session at once for an application that shows the ID token it was given for it; anybody else is
// asked first (RP-Initiated Logout 1.0 §2).
func (p *Provider) signOutPage(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > 8<<10 {
		p.fault(w, r, http.StatusBadRequest, "fault.request")
		return
	}
	to, hint := q.Get("post_logout_redirect_uri"), q.Get("id_token_hint")
	sid, own := p.hinted(hint)
	if to != "" && (!slices.Contains(p.cfg.PostLogout, to) || !own && q.Get("client_id") != p.cfg.ClientID) {
		p.fault(w, r, http.StatusBadRequest, "fault.client")
		return
	}
	s := p.session(r)
	if s == nil || own && s.id == sid {
		p.end(w, r, to, q.Get("state"))
		return
	}
	p.show(w, r, http.StatusOK, "sign-out", "sign_out.title", q.Get("ui_locales"), signOutView{Login: s.person.Login, To: to, State: q.Get("state")})
}

// signOut is the answer to the question.
func (p *Provider) signOut(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.fault(w, r, http.StatusBadRequest, "fault.request")
		return
	}
	to := r.PostForm.Get("to")
	if to != "" && !slices.Contains(p.cfg.PostLogout, to) {
		p.fault(w, r, http.StatusBadRequest, "fault.client")
		return
	}
	if r.PostForm.Get("step") == "stay" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p.end(w, r, to, r.PostForm.Get("state"))
}

// end ends the session of this browser and sends it on.
func (p *Provider) end(w http.ResponseWriter, r *http.Request, to, state string) {
	p.mu.Lock()
	p.sessions.drop(hash(cookie(r, sessionCookie)))
	p.mu.Unlock()
	p.setCookie(w, sessionCookie, "")
	u, err := url.Parse(to)
	if to == "" || err != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if state != "" {
		q := u.Query()
		q.Set("state", state)
		u.RawQuery = q.Encode()
	}
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// hinted returns the session an ID token of ours was given for. It may be long over: it is only a hint.
func (p *Provider) hinted(token string) (sid string, ours bool) {
	public, err := p.key.PublicKey()
	if err != nil {
		return "", false
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(jwa.RS256(), public))
	if err != nil {
		return "", false
	}
	var claims struct{ Iss, Aud, Sid string }
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Iss != p.cfg.Issuer || claims.Aud != p.cfg.ClientID {
		return "", false
	}
	return claims.Sid, true
}
