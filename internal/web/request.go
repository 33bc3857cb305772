package web

import (
	"net/http"
	"net/netip"

	"github.com/gorilla/mux"
)

// Request is what a handler gets: the HTTP request and what the site made of it.
type Request struct {
	*http.Request
	ID     string     // names this request in the log; ten characters
	Lang   string     // the person's language, one of the catalogue's
	Client netip.Addr // who asks, past the configured proxies; the zero Addr when it cannot be told
	theme  string
	site   *Site
}

func (s *Site) request(w *recorder, r *http.Request) *Request {
	req := &Request{Request: r, ID: w.id, site: s, Client: clientAddr(r, s.proxies)}
	req.Lang = s.tr.Match(r.Header.Get("Accept-Language"), req.Cookie("lang"))
	if c := r.CookiesNamed("theme"); len(c) == 1 && (c[0].Value == "light" || c[0].Value == "dark") {
		req.theme = c[0].Value // the one cookie scripts set: it only picks colours
	}
	return req
}

// Var returns a {name} of the route's pattern, "" when there is none.
func (r *Request) Var(name string) string { return mux.Vars(r.Request)[name] }

// Cookie returns the value of one of our cookies by its plain name, "" when it is absent. A cookie that came twice is
// absent: one of them was planted.
func (r *Request) Cookie(name string) string {
	c := r.CookiesNamed(r.site.CookieName(name))
	if len(c) != 1 {
		return ""
	}
	return c[0].Value
}
