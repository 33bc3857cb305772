// Package demoidp is the identity provider of the demonstration: a small OpenID provider for one organisation that does
// not exist and one application, on loopback, with everything in memory.
//
//	GET  /.well-known/openid-configuration, /jwks.json     what it can do                OIDC Discovery §3
//	GET  /authorize      the request is checked; a session that is enough is answered    OIDC Core §3.1.2
//	GET  /sign-in/{id}   else the person signs in: a password, a code too, or a device
//	POST /sign-in/{id}   and goes back with a code, state and iss                        RFC 9207
//	POST /token          the code becomes an ID token, once                              OIDC Core §3.1.3, RFC 7636 §4.6
//	GET  /sign-out       ends the session here                                           RP-Initiated Logout 1.0 §2
//	GET  /               who is signed in here
//
// A request is bound to the browser that made it: its address alone opens nothing. It takes the code flow with PKCE S256
// only, asks nobody for consent, and leaves out what the demonstration does not use: POST to the two addresses people
// are sent to, userinfo, refresh tokens, request objects and the claims parameter. acr_values is a wish, as it says: who
// signs in with less is let through with what they have, and the ID token says so.
//
// It must not be used for anything real.
package demoidp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// The classes of sign-in (acr), weakest first.
const (
	Password     = "urn:demo:password"
	SecondFactor = "urn:demo:second-factor" // a password, then a code
	Passwordless = "urn:demo:passwordless"  // a device, and no password
)

// Person is somebody who can sign in. An empty Code or false Device is a way the person does not have.
type Person struct {
	Login  string // preferred_username; found in any case
	Sub    string // never changes and is given to nobody else
	Oid    string // the organisation's own id of them, immutable too
	Name   string
	Email  string
	Code   string // what is taken as the second factor
	Device bool   // has a device that signs in without a password
	Groups []string
	Roles  []string
}

// Config is what a provider is made of. All but Guide, PostLogout and Now is needed.
type Config struct {
	Issuer         string // http://localhost:PORT
	ClientID       string
	ClientSecret   string
	RedirectURIs   []string // compared as they are (RFC 9700 §2.1)
	PostLogout     []string // where people may be sent after signing out
	People         []Person
	AcceptPassword func(login, password string) bool
	Guide          string // a page that says who can sign in with what
	Now            func() time.Time
}

// Provider is the running provider. Safe for concurrent use.
type Provider struct {
	cfg       Config
	key       jwk.Key // signs; has kid and alg
	public    []byte  // JWKS
	discovery []byte
	pages     *template.Template
	policy    string // Content-Security-Policy of its pages
	handler   http.Handler
	people    map[string]*Person // by folded login

	mu       sync.Mutex
	requests shelf[*request] // people at the sign-in pages, by id
	codes    shelf[*grant]
	sessions shelf[*session] // by the hash of the cookie
}

//go:embed templates/*.html templates/style.css
var files embed.FS

// New returns a provider with a key of its own. Errors name what of the Config is missing or unusable.
func New(c Config) (*Provider, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Scheme != "http" || issuer.Path != "" || (issuer.Hostname() != "localhost" && issuer.Hostname() != "127.0.0.1") {
		return nil, fmt.Errorf("issuer %q: want http://localhost:PORT", c.Issuer)
	}
	if c.ClientID == "" || c.ClientSecret == "" || len(c.RedirectURIs) == 0 || c.AcceptPassword == nil {
		return nil, errors.New("a client with a secret and a redirect URI, and a check of passwords, are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Provider{cfg: c, people: map[string]*Person{},
		requests: shelf[*request]{life: requestLife}, codes: shelf[*grant]{life: codeLife}, sessions: shelf[*session]{life: sessionLife}}
	for i := range c.People {
		who := &c.People[i]
		if who.Login == "" || who.Sub == "" || p.people[fold(who.Login)] != nil {
			return nil, fmt.Errorf("person %q: want a login and a sub of their own", who.Login)
		}
		p.people[fold(who.Login)] = who
	}
	if err := p.makeKey(); err != nil {
		return nil, err
	}
	if p.discovery, err = json.Marshal(p.metadata()); err != nil {
		return nil, err
	}
	if p.pages, err = template.New("").Funcs(template.FuncMap{"say": func(string, ...any) string { return "" }}).ParseFS(files, "templates/*.html"); err != nil {
		return nil, err
	}
	// A form's answer leads to the application: Chromium checks form-action along redirects.
	targets := []string{"'self'"}
	for _, uri := range slices.Concat(c.RedirectURIs, c.PostLogout) {
		if u, err := url.Parse(uri); err == nil && !slices.Contains(targets, u.Scheme+"://"+u.Host) {
			targets = append(targets, u.Scheme+"://"+u.Host)
		}
	}
	p.policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action " + strings.Join(targets, " ")
	p.handler = p.routes()
	return p, nil
}

func (p *Provider) makeKey() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if p.key, err = jwk.Import(private); err != nil {
		return err
	}
	set := map[string]any{jwk.KeyIDKey: rand.Text(), jwk.AlgorithmKey: jwa.RS256(), jwk.KeyUsageKey: jwk.ForSignature}
	for name, value := range set {
		if err := p.key.Set(name, value); err != nil {
			return err
		}
	}
	public, err := p.key.PublicKey()
	if err != nil {
		return err
	}
	p.public, err = json.Marshal(map[string]any{"keys": []jwk.Key{public}})
	return err
}

func (p *Provider) metadata() map[string]any {
	at := func(path string) string { return p.cfg.Issuer + path }
	return map[string]any{
		"issuer": p.cfg.Issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "jwks_uri": at("/jwks.json"), "end_session_endpoint": at("/sign-out"),
		"scopes_supported": []string{"openid", "profile", "email"}, "response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{"authorization_code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"acr_values_supported": []string{Password, SecondFactor, Passwordless}, "prompt_values_supported": []string{"none", "login", "select_account"}, "ui_locales_supported": languages,
		"claims_supported": []string{"sub", "oid", "preferred_username", "name", "email", "groups", "roles", "acr", "amr", "auth_time", "nonce", "sid"},
		"authorization_response_iss_parameter_supported": true, "claims_parameter_supported": false, "request_parameter_supported": false, "request_uri_parameter_supported": false,
	}
}

func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	sends := func(kind string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		}
	}
	style, _ := files.ReadFile("templates/style.css") // it is embedded
	mux.HandleFunc("GET /.well-known/openid-configuration", sends("application/json", p.discovery))
	mux.HandleFunc("GET /jwks.json", sends("application/jwk-set+json", p.public))
	mux.HandleFunc("GET /style.css", sends("text/css; charset=utf-8", style))
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /sign-in/{id}", p.signInPage)
	mux.HandleFunc("POST /sign-in/{id}", p.signIn)
	mux.HandleFunc("GET /sign-out", p.signOutPage)
	mux.HandleFunc("POST /sign-out", p.signOut)
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("POST /{$}", p.signInHere)
	return http.NewCrossOriginProtection().Handler(mux)
}

// ServeHTTP serves every address of the provider.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	p.handler.ServeHTTP(w, r)
}

// session is somebody signed in here, in one browser.
type session struct {
	id       string // sid
	person   *Person
	class    string
	means    []string // amr
	signedIn time.Time
}

// How long things are kept, and how many of each: a demonstration forgets the oldest.
const (
	requestLife = 10 * time.Minute
	codeLife    = time.Minute
	sessionLife = 8 * time.Hour
	shelfSize   = 1000
)

// shelf keeps things for a while. Callers hold the provider's lock.
type shelf[T any] struct {
	life  time.Duration
	kept  map[string]T
	until map[string]time.Time
}

func (s *shelf[T]) put(id string, v T, now time.Time) {
	if s.kept == nil {
		s.kept, s.until = map[string]T{}, map[string]time.Time{}
	}
	if len(s.kept) >= shelfSize {
		oldest := ""
		for other, end := range s.until {
			if oldest == "" || end.Before(s.until[oldest]) {
				oldest = other
			}
		}
		s.drop(oldest)
	}
	s.kept[id], s.until[id] = v, now.Add(s.life)
}

// get returns what is kept under an id, or the zero value.
func (s *shelf[T]) get(id string, now time.Time) (v T) {
	if end, ok := s.until[id]; ok && now.Before(end) {
		return s.kept[id]
	}
	return v
}

func (s *shelf[T]) drop(id string) { delete(s.kept, id); delete(s.until, id) }

// fold makes a login as people type it the one it is found by.
func fold(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// same compares secrets in a time that tells nothing of either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
