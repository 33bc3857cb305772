// Package web is the kit every page stands on: one way to add a page, so that each has the same policy.
//
//	request → id, policy headers, panic guard          ServeHTTP
//	        → router: 404, 405 with Allow, HEAD         gorilla/mux, paths matched as sent, never cleaned or redirected
//	        → no posts from elsewhere                   net/http.CrossOriginProtection
//	        → body capped, form decoded strictly        Request.Form
//	        → handler returns (Page, error)             Handler
//	        → one place renders, or turns a fault into a page in the person's language
//
// Pages run under `default-src 'none'` with Trusted Types 'none': no inline script, style or handler, nothing from
// elsewhere. Everything that leaves this package in a page is text of the message catalogue, escaped by html/template,
// or a link made from the configured base URL; request headers such as Host or Forwarded never reach a page.
package web

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/regain-id/regain/internal/message"
)

// Translator turns messages into a language. message.Catalogue is one; it must know the standing argument Organisation
// (Catalogue.With). Implementations are safe for concurrent use.
type Translator interface {
	Languages() []string                              // BCP 47 tags, the fallback first
	Match(accept string, preferred ...string) string  // one of Languages for an Accept-Language header and stored choices
	Render(language string, m message.Message) string // plain text, not escaped
}

// Config is what a Site needs. Base and Translator are required, the rest has working zero values.
type Config struct {
	// Base is the public URL of the site: scheme and host, no path. https, or http when the host is loopback. Every
	// absolute link is made from it and cookies follow its scheme.
	Base         string
	Organisation Organisation
	Help         Help
	Links        Links
	Translator   Translator
	// Templates are the page templates of the packages that add pages: *.html files of {{define}}d page bodies.
	Templates []fs.FS
	// Proxies are the networks whose X-Forwarded-For is believed. None by default.
	Proxies []netip.Prefix
	// Location is the time zone in which pages show points in time; UTC when nil.
	Location *time.Location
	// Demo is shown at the foot of every page when not nil.
	Demo *Demo
	// Sender returns the app that sent the browser here and waits for its answer; nil when none does. A nil function: none
	// ever does.
	Sender func(*Request) (*Sender, error)
	// Log receives one line a request and the causes of faults; never query strings, bodies or path variables.
	Log *slog.Logger
}

// Site serves pages. Add all pages before the first request; then it is safe for concurrent use.
type Site struct {
	base     *url.URL
	secure   bool
	org      Organisation
	help     Help
	links    Links
	tr       Translator
	proxies  []netip.Prefix
	location *time.Location
	demo     *Demo
	sender   func(*Request) (*Sender, error)
	log      *slog.Logger

	router *mux.Router
	cop    *http.CrossOriginProtection
	assets *assets

	pages    *template.Template // parsed, never executed: cloned per locale
	mu       sync.Mutex
	byLocale map[locale]*template.Template
}

// New checks the configuration and returns a Site without pages. Every fault is reported at once.
func New(c Config) (*Site, error) {
	s := &Site{
		org: c.Organisation, help: c.Help, links: c.Links, tr: c.Translator, proxies: c.Proxies,
		location: c.Location, demo: c.Demo, sender: c.Sender, log: c.Log, byLocale: map[locale]*template.Template{},
	}
	if s.location == nil {
		s.location = time.UTC
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var bad []error
	if s.tr == nil {
		bad = append(bad, errors.New("translator: missing"))
	}
	base, err := parseBase(c.Base)
	if err != nil {
		bad = append(bad, err)
	}
	bad = append(bad, c.Organisation.check(), c.Links.check(), c.Help.check())
	if s.assets, err = loadAssets(c.Organisation); err != nil {
		bad = append(bad, err)
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	s.base, s.secure = base, base.Scheme == "https"

	if s.pages, err = s.parse(c.Templates); err != nil {
		return nil, err
	}
	s.cop = http.NewCrossOriginProtection()
	// The base URL is ours whatever Host a proxy in front sends on.
	if err := s.cop.AddTrustedOrigin(base.Scheme + "://" + base.Host); err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	s.cop.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w.(*recorder), r, refuse(http.StatusForbidden, message.Key("fault.cross_site")))
	}))
	s.router = mux.NewRouter().SkipClean(true)
	s.router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w.(*recorder), r, refuse(http.StatusNotFound, message.Key("error.not_found")))
	})
	s.router.MethodNotAllowedHandler = http.HandlerFunc(s.methodNotAllowed)
	s.router.Path("/assets/{name}").Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.serveAsset)
	return s, nil
}

func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("base: want a URL of scheme and host like https://reset.example.org, have %q", base)
	}
	u.Path = ""
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("base: want https, or http on localhost only, have %q", base)
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Link returns the absolute URL of a path of this site, for messages that leave it. It depends on the configured base
// URL only. path begins with a slash and is not escaped; query may be nil.
func (s *Site) Link(path string, query url.Values) string {
	u := *s.base
	u.Path, u.RawQuery = path, query.Encode()
	return u.String()
}

// Organisation returns the organisation the pages speak for.
func (s *Site) Organisation() Organisation { return s.org }

// Help returns what the help page shows.
func (s *Site) Help() Help { return s.help }
