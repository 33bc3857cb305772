package demoidp

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is what an application asked for, from the browser of whoever is to sign in.
type request struct {
	redirect  string // "" when nobody asked and the person signs in here for themselves
	state     string
	nonce     string
	challenge string
	scopes    []string
	classes   []string // acr_values
	maxAge    time.Duration
	aged      bool // maxAge was asked for
	prompt    []string
	hint      string // login_hint
	locale    string // ui_locales

	browser string  // hash of the cookie of the browser that brought it
	again   bool    // the session of that browser is not enough: who it is must be shown anew
	half    *Person // has given the password, and not the second factor that is wanted
	tries   int
}

// grant is what a code stands for.
type grant struct {
	*request
	session
}

// known are the parameters that are read; each may come once (RFC 6749 §3.1). Others are ignored.
var known = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
	"acr_values", "max_age", "prompt", "login_hint", "ui_locales", "request", "request_uri"}

// authorize checks a request and answers it at once when the session is enough, else leads to the sign-in page.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.RawQuery) > 8<<10 || len(q["client_id"]) != 1 || len(q["redirect_uri"]) != 1 {
		p.fault(w, r, http.StatusBadRequest, "fault.request")
		return
	}
	redirect := q.Get("redirect_uri")
	if q.Get("client_id") != p.cfg.ClientID || !slices.Contains(p.cfg.RedirectURIs, redirect) {
		p.fault(w, r, http.StatusBadRequest, "fault.client") // nobody is sent to an address that is not registered
		return
	}
	a, fault := read(q)
	a.redirect = redirect
	if fault != "" {
		p.refuse(w, r, a, fault)
		return
	}
	s := p.session(r)
	a.again = s != nil && (slices.Contains(a.prompt, "login") || slices.Contains(a.prompt, "select_account") || a.aged && (a.maxAge == 0 || p.cfg.Now().Sub(s.signedIn) > a.maxAge))
	switch enough := s != nil && a.satisfied(s.class); {
	case enough && !a.again:
		p.answer(w, r, a, s)
	case !slices.Contains(a.prompt, "none"):
		p.open(w, r, a)
	case s == nil || a.again:
		p.refuse(w, r, a, "login_required")
	default:
		p.refuse(w, r, a, "interaction_required")
	}
}

// read returns a request, and the error code of what is wrong with it or "".
func read(q url.Values) (a *request, fault string) {
	a = &request{state: q.Get("state"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), scopes: strings.Fields(q.Get("scope")), classes: strings.Fields(q.Get("acr_values")),
		prompt: strings.Fields(q.Get("prompt")), hint: q.Get("login_hint"), locale: q.Get("ui_locales")}
	for _, name := range known {
		if len(q[name]) > 1 {
			return a, "invalid_request"
		}
	}
	if age := q.Get("max_age"); age != "" {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			return a, "invalid_request"
		}
		a.aged, a.maxAge = true, time.Duration(seconds)*time.Second
	}
	raw, err := base64.RawURLEncoding.DecodeString(a.challenge)
	switch {
	case q.Get("request") != "":
		return a, "request_not_supported"
	case q.Get("request_uri") != "":
		return a, "request_uri_not_supported"
	case q.Get("response_type") != "code":
		return a, "unsupported_response_type"
	case cmp.Or(q.Get("response_mode"), "query") != "query":
		return a, "invalid_request"
	case !slices.Contains(a.scopes, "openid"):
		return a, "invalid_scope"
	case q.Get("code_challenge_method") != "S256" || err != nil || len(raw) != sha256.Size:
		return a, "invalid_request"
	case slices.Contains(a.prompt, "none") && len(a.prompt) > 1:
		return a, "invalid_request"
	}
	return a, ""
}

// satisfied says whether a class of sign-in is one of those wished for.
func (a *request) satisfied(class string) bool {
	return len(a.classes) == 0 || slices.Contains(a.classes, class)
}

// second says whether the second factor is to be asked for after a password.
func (a *request) second() bool {
	return slices.Contains(a.classes, SecondFactor) && !slices.Contains(a.classes, Password)
}

// open puts a request where only this browser finds it and sends the browser to its page.
func (p *Provider) open(w http.ResponseWriter, r *http.Request, a *request) {
	browser := cookie(r, browserCookie)
	if browser == "" {
		browser = rand.Text()
		p.setCookie(w, browserCookie, browser)
	}
	a.browser = hash(browser)
	id := rand.Text()
	p.mu.Lock()
	p.requests.put(id, a, p.cfg.Now())
	p.mu.Unlock()
	http.Redirect(w, r, "/sign-in/"+id, http.StatusSeeOther)
}

// answer sends the browser back with a code.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, a *request, s *session) {
	if a.redirect == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes.put(hash(code), &grant{request: a, session: *s}, p.cfg.Now())
	p.mu.Unlock()
	p.back(w, r, a, url.Values{"code": {code}})
}

// refuse sends the browser back with an error.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, a *request, code string) {
	if a.redirect == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p.back(w, r, a, url.Values{"error": {code}})
}

// back answers an application with state and iss, on success and on error alike (RFC 9207 §2).
func (p *Provider) back(w http.ResponseWriter, r *http.Request, a *request, q url.Values) {
	to, err := url.Parse(a.redirect)
	if err != nil {
		p.fault(w, r, http.StatusBadRequest, "fault.client")
		return
	}
	all := to.Query()
	if a.state != "" {
		all.Set("state", a.state)
	}
	all.Set("iss", p.cfg.Issuer)
	for name, values := range q {
		all[name] = values
	}
	to.RawQuery = all.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// The cookies: which browser a request came from, and who is signed in. Cookies know no ports, so their names are not
// those of anything else on this computer.
const (
	browserCookie = "alder-sign-in-browser"
	sessionCookie = "alder-sign-in"
)

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) > 100 {
		return ""
	}
	return c.Value
}

func (p *Provider) setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// session returns who is signed in in this browser, or nil.
func (p *Provider) session(r *http.Request) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions.get(hash(cookie(r, sessionCookie)), p.cfg.Now())
}
