package web

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/regain-id/regain/internal/message"
)

// maxBodyBytes bounds what a page accepts. The longest honest form is a password of a few hundred bytes.
const maxBodyBytes = 64 << 10

// Handler answers one request for a page. It writes nothing itself: what it returns is rendered, and a fault becomes a
// page (fault.Read: the public text out, the cause to the log).
type Handler func(*Request) (Page, error)

// Handle adds a page; it is the only way to add one. method is GET, which answers HEAD too, or POST. The pattern is a
// path that is matched as sent, with {name} for one segment. A post must carry no query. It panics on another method or
// a pattern that is no path: a bug in our code.
func (s *Site) Handle(method, pattern string, h Handler) {
	methods := []string{method}
	switch method {
	case http.MethodGet:
		methods = append(methods, http.MethodHead)
	case http.MethodPost:
	default:
		panic("web: pages are for GET and POST, not " + method)
	}
	s.route(pattern, methods).Handler(s.cop.Handler(s.page(pattern, h)))
}

// HandleOpen adds a page that other sites may send a browser to by a form: GET, HEAD and POST, the post from anywhere. Such
// a post brings no SameSite=Lax cookie along, and the handler must not act on one. It is for the start of something and
// never for a step of it.
func (s *Site) HandleOpen(pattern string, h Handler) {
	s.route(pattern, []string{http.MethodGet, http.MethodHead, http.MethodPost}).Handler(s.page(pattern, h))
}

func (s *Site) route(pattern string, methods []string) *mux.Route {
	// The path comes first: the router forgets that a path exists when a later route matches the method but not the path.
	route := s.router.Path(pattern).Methods(methods...)
	if err := route.GetError(); err != nil {
		panic(err)
	}
	return route
}

func (s *Site) page(pattern string, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := w.(*recorder)
		rec.route = pattern
		p, err := s.answer(rec, r, h)
		if err == nil {
			err = s.write(rec, r, p)
		}
		if err != nil {
			s.fail(rec, r, err)
		}
	})
}

// Mount adds machine endpoints below a prefix: they get the policy headers, the request id and the panic guard, and are
// themselves responsible for methods, bodies and who may call them. They must not act on cookies.
func (s *Site) Mount(prefix string, h http.Handler) {
	s.router.PathPrefix(prefix).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := w.(*recorder)
		rec.route = prefix
		h.ServeHTTP(rec, r)
	})
}

func (s *Site) answer(w *recorder, r *http.Request, h Handler) (Page, error) {
	req := s.request(w, r)
	switch r.Method {
	case http.MethodPost:
		if r.URL.RawQuery != "" {
			return Page{}, badRequest("a post with a query")
		}
		if r.ContentLength > maxBodyBytes {
			return Page{}, tooLarge()
		}
		r.Body = http.MaxBytesReader(w.ResponseWriter, r.Body, maxBodyBytes)
	default:
		if p, ok := s.chooseLanguage(r); ok {
			return p, nil
		}
	}
	return h(req)
}

// chooseLanguage answers ?lang=de: keep the choice in a cookie and show the same page without it.
func (s *Site) chooseLanguage(r *http.Request) (Page, bool) {
	query := r.URL.Query()
	lang := query["lang"]
	if len(lang) != 1 || !slices.Contains(s.tr.Languages(), lang[0]) {
		return Page{}, false
	}
	query.Del("lang")
	here := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return Page{Goto: here.String(), Cookies: []Cookie{{Name: "lang", Value: lang[0], MaxAge: 365 * 24 * time.Hour}}}, true
}

// write renders p completely before the first byte leaves, so that a fault in a template is a whole error page.
func (s *Site) write(w *recorder, r *http.Request, p Page) error {
	var body bytes.Buffer
	status := p.Status
	if p.Goto != "" {
		if !local(p.Goto) {
			return fmt.Errorf("page goes to %q, which is no path of this site", p.Goto)
		}
		if status == 0 {
			status = http.StatusSeeOther
		}
		w.Header().Set("Location", p.Goto)
	} else if p.Leave != "" && !elsewhere(p.Leave) {
		return errors.New("page leaves for what is no https address, or http on loopback")
	} else if p.Leave != "" && p.Template == "" {
		status = cmp.Or(status, http.StatusSeeOther)
		w.Header().Set("Location", p.Leave)
	} else if p.JSON != nil {
		if err := json.NewEncoder(&body).Encode(p.JSON); err != nil {
			return fmt.Errorf("json: %w", err)
		}
		status = cmp.Or(status, http.StatusOK)
		w.Header().Set("Content-Type", "application/json")
	} else if p.File != nil {
		body.WriteString(p.File.Text)
		status = cmp.Or(status, http.StatusOK)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.File.Name}))
	} else {
		req := s.request(w, r)
		from, err := s.sentBy(req)
		if err == nil {
			err = s.render(&body, req, p, from)
		}
		if err != nil {
			return err
		}
		if from != nil {
			leadsTo(w.Header(), from.Origin)
		}
		if status == 0 {
			status = http.StatusOK
			if len(p.Problems) > 0 {
				status = http.StatusUnprocessableEntity
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if p.Leave != "" {
			w.Header().Set("Refresh", "0;url="+p.Leave)
		} else if p.Refresh > 0 {
			w.Header().Set("Refresh", strconv.Itoa(int(max(p.Refresh, time.Second)/time.Second)))
		}
	}
	for _, c := range p.Cookies {
		s.setCookie(w, c)
	}
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	w.Write(body.Bytes()) //nolint:errcheck // the reader is gone; there is nobody to tell
	return nil
}

// sentBy returns the app that waits for the person, nil when none does.
func (s *Site) sentBy(r *Request) (*Sender, error) {
	if s.sender == nil {
		return nil, nil
	}
	from, err := s.sender(r)
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	return from, nil
}

// local reports whether a place is a path of this site for every browser: "//host" and "/\host" are not.
func local(to string) bool {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t\x00") {
		return false
	}
	u, err := url.Parse(to)
	return err == nil && u.Host == "" && u.Scheme == ""
}

// elsewhere reports whether an address is one to send a browser to: https, or http on loopback, without a user.
func elsewhere(to string) bool {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(to, "\\\r\n\t\x00 ") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

// ServeHTTP gives every request an id, the policy headers and a panic guard, and logs it by its route.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w, id: newID(), route: "-"}
	s.policy(rec.Header())
	rec.Header().Set("X-Request-Id", rec.id)
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler { // the server's own way to cut a connection
				panic(v)
			}
			s.log.Error("panic", "request_id", rec.id, "route", rec.route, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if rec.status != 0 {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			s.fail(rec, r, errPanic)
		}
		s.log.Info("request", "request_id", rec.id, "method", r.Method, "route", rec.route, "status", rec.status,
			"duration", time.Since(start).Round(time.Microsecond))
	}()
	s.router.ServeHTTP(rec, r)
}

// methodNotAllowed names the methods the path does answer (RFC 9110 §15.5.6), which the router does not do by itself.
func (s *Site) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		probe := r.Clone(r.Context())
		probe.Method = m
		var match mux.RouteMatch
		if s.router.Match(probe, &match) && match.MatchErr == nil && match.Route != nil {
			allow = append(allow, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	s.fail(w.(*recorder), r, refuse(http.StatusMethodNotAllowed, message.Key("error.not_found")))
}

// recorder remembers what was answered, and carries what belongs to one request from ServeHTTP to the handler.
type recorder struct {
	http.ResponseWriter
	id     string
	route  string // the pattern, never the path: paths may hold tokens
	status int    // 0 until the header is written
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// newID names one request in the log and on an error page: 50 random bits in 10 characters.
func newID() string {
	var b [10]byte
	rand.Read(b[:]) //nolint:errcheck // never fails (crypto/rand)
	return base32.StdEncoding.EncodeToString(b[:])[:10]
}
