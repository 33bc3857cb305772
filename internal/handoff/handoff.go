// Package handoff is an OpenID provider of one thing: an app sends a person here to reset, change or unlock a password or
// to register, and gets a signed statement of what happened. It is no sign-in: nobody has a session anywhere after it.
//
//	GET  /.well-known/openid-configuration                                             OIDC Discovery §4
//	POST /oauth2/par          the app deposits a request, its client authenticated      RFC 9126
//	GET  /oauth2/authorize    client and redirect URI are checked first, then the rest   RFC 6749 §4.1.1, RFC 7636, RFC 9700
//	     → a row, a cookie that only this browser gets, and on to the portal
//	…                         the person works on the pages of package portal
//	POST /oauth2/return       what happened → a code of 60 seconds                       RFC 6749 §4.1.2, RFC 9207
//	POST /oauth2/cancel       the try ends, nothing happened → access_denied
//	POST /oauth2/token        the code, once → ID token                                  OIDC Core §3.1.3
//	                          a connector's assertion → access token for SCIM            RFC 7523 §2.2
//	GET  /oauth2/userinfo     the subject, nothing else                                  OIDC Core §5.3
//	GET  /oauth2/jwks         what ID tokens are signed with                             RFC 7517
//
// No handle of a handoff stands in any address: the cookie is the only one. Where it differs from the standards:
// docs/divergences.md.
//
// People go back by a form, and browsers hold every hop after a form to form-action, which names the app's own origin; where
// the app leads on to is its own affair all the same: see leave.
package handoff

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// The paths of this package.
const (
	PathDiscovery = "/.well-known/openid-configuration"
	PathPush      = "/oauth2/par"
	PathAuthorize = "/oauth2/authorize" // GET and POST
	PathReturn    = "/oauth2/return"    // POST
	PathCancel    = "/oauth2/cancel"    // POST
	PathToken     = "/oauth2/token"
	PathUserinfo  = "/oauth2/userinfo"
	PathKeys      = "/oauth2/jwks"
)

// What an answer says of itself. ACR tells an ID token of ours from one of a sign-in; no sign-in is on any accept list by it.
const (
	ACR         = "urn:regain:acr:recovery"
	ClaimResult = "urn:regain:claim:result"
	ScopePrefix = "regain."
)

//go:embed templates/*.html
var templates embed.FS

// Templates are the bodies of all pages of this package, for web.Config.Templates.
func Templates() fs.FS {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Store keeps handoffs. Its apps are read fresh, so that one that is disabled stops at once.
type Store interface {
	// App returns an app by its key, disabled or not; nil when there is none.
	App(ctx context.Context, key string) (*client.App, error)
	// CreateHandoff inserts a handoff with the events in one commit.
	CreateHandoff(ctx context.Context, h *client.Handoff, events ...event.Event) error
	// OpenHandoff runs change on the pushed handoff of a request URI and gives it to the browser of cookie, for one caller
	// only. nil when there is none, it was used, its time is up, or it is another app's.
	OpenHandoff(ctx context.Context, request []byte, app string, cookie []byte, now time.Time, change func(*client.Handoff) []event.Event) (*client.Handoff, error)
	// HandoffByCookie returns the handoff of a browser; nil when there is none.
	HandoffByCookie(ctx context.Context, cookie []byte) (*client.Handoff, error)
	// HandoffAndApp returns it with its app, which is nil when it was deleted, whoever has its key now.
	HandoffAndApp(ctx context.Context, cookie []byte) (*client.Handoff, *client.App, error)
	// HandoffByToken returns the handoff of an access token; nil when there is none.
	HandoffByToken(ctx context.Context, token []byte) (*client.Handoff, error)
	// UpdateHandoff runs change on a handoff as it was read, or anew when it moved since, and commits it with the events, or neither. change may run more than once.
	UpdateHandoff(ctx context.Context, read *client.Handoff, change func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error)
	// HandoffByCode returns the handoff that a code was made for, and its app, as HandoffAndApp does.
	HandoffByCode(ctx context.Context, code []byte) (*client.Handoff, *client.App, error)
}

// Once remembers what may be used once.
type Once interface {
	// SpendOnce claims a key until a time: true for one caller only.
	SpendOnce(ctx context.Context, key []byte, until, now time.Time) (bool, error)
}

// Keys makes keyed hashes; keyring.Ring does.
type Keys interface {
	Hash(purpose string, parts ...string) []byte
}

// Signing keeps the keys that ID tokens are signed with.
type Signing interface {
	SigningKeys(ctx context.Context, purpose string) ([]keyring.SigningKey, error)
	// EnsureSigning makes the keys of an algorithm where they are missing.
	EnsureSigning(ctx context.Context, purpose, alg string, now time.Time) error
}

// Pages are the pages on which a person does what an app sent them for.
type Pages interface {
	// Begin returns where a handoff starts. The cookie of the handoff is added to it.
	Begin(r *web.Request, h *client.Handoff) web.Page
	// Outcome returns what became of the try bound to h and held by this very browser, or of registering.
	Outcome(r *web.Request, h *client.Handoff) (client.Outcome, error)
	// Stop ends the try; fault.Over when it cannot be ended any more.
	Stop(r *web.Request, h *client.Handoff) error
}

// Rates say how often things may be done. A field that is zero has the default.
type Rates struct {
	OpensPerOrigin  int // handoffs from one network while one lives that nobody began (client.OpenLife); default 600
	OpensPerApp     int // the same of one app, by requests that anybody can make; default 3,000
	PushesPerApp    int // the same of one app, by requests that it pushed itself; default 30,000
	SecretsByOrigin int // secrets and assertions from one network that was not let in with them before, in ten minutes; default 100
}

func (r Rates) filled() Rates {
	fill := func(n *int, standard int) {
		if *n <= 0 {
			*n = standard
		}
	}
	fill(&r.OpensPerOrigin, 600)
	fill(&r.OpensPerApp, 3_000)
	fill(&r.PushesPerApp, 30_000)
	fill(&r.SecretsByOrigin, 100)
	return r
}

// Config is what a Service is made of. All is needed but SignIn, ClientCredentials, Connectors, HTTP, Languages and Rates.
type Config struct {
	Base    string // the issuer, to the letter: public URL of the site, scheme and host
	SignIn  string // where people sign in with what they have reset; told in the result
	Store   Store
	Once    Once
	Limits  limit.Spender
	Keys    Keys
	Signing Signing
	Pages   Pages
	// ClientCredentials answers that grant at the token endpoint; it authenticates its clients itself. nil: nobody gets it.
	ClientCredentials func(w http.ResponseWriter, r *http.Request, form url.Values)
	Connectors        Connectors      // that get access tokens for SCIM by an assertion; nil: none does
	HTTP              *http.Client    // of package egress, for the keys that connectors publish; nil: none are read
	Languages         []string        // of the pages
	Actions           []client.Action // what can be done here; nil means all
	Rates             Rates
	Now               func() time.Time
	Log               *slog.Logger
}

// Service is the provider. Its methods are safe for concurrent use once it is mounted.
type Service struct {
	Config
	site *web.Site
	let  letIn

	published     published
	refusedLately lately
	config        []byte // the metadata
}

// New returns a service, or an error naming what is missing.
func New(c Config) (*Service, error) {
	if c.Base == "" || c.Store == nil || c.Once == nil || c.Limits == nil || c.Keys == nil || c.Signing == nil || c.Pages == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("handoff: base, store, once, limits, keys, signing, pages, now and log are needed")
	}
	c.Rates = c.Rates.filled()
	if c.Actions == nil {
		c.Actions = client.Actions
	}
	s := &Service{Config: c, published: published{http: c.HTTP}}
	var err error
	if s.config, err = s.metadata(); err != nil {
		return nil, err
	}
	return s, nil
}

// Mount adds the provider's pages and endpoints to the site. Call it once, before the first request.
func (s *Service) Mount(site *web.Site) {
	s.site = site
	site.HandleOpen(PathAuthorize, s.authorize)
	site.Handle(http.MethodPost, PathReturn, s.goBack)
	site.Handle(http.MethodPost, PathCancel, s.cancel)
	s.endpoint(PathDiscovery, s.discovery, http.MethodGet, http.MethodHead)
	s.endpoint(PathKeys, s.jwks, http.MethodGet, http.MethodHead)
	s.endpoint(PathUserinfo, s.userinfo, http.MethodGet, http.MethodHead, http.MethodPost)
	s.endpoint(PathPush, s.push, http.MethodPost)
	s.endpoint(PathToken, s.token, http.MethodPost)
}

// spend counts before anything is looked at. fault.Limited when there were too many.
func (s *Service) spend(ctx context.Context, b ...limit.Bucket) error {
	ok, retry, err := s.Limits.Spend(ctx, s.Now(), b...)
	if err != nil { // a limiter that cannot count lets nobody through
		return fault.Wrap(fault.Unavailable, message.Key("error.unavailable"), err)
	}
	if !ok {
		return web.Limited(retry)
	}
	return nil
}

func (s *Service) bucket(burst int, per time.Duration, purpose, part string) limit.Bucket {
	return limit.Bucket{Key: s.Keys.Hash("limit/handoff/"+purpose, part), Burst: burst, Per: per}
}

// fromNetwork are the buckets of where a request came from: the wider network has four times as much.
func (s *Service) fromNetwork(o session.Origin, burst int, per time.Duration, purpose string) []limit.Bucket {
	return []limit.Bucket{s.bucket(4*burst, per, purpose+"/wide", o.Wide().String()), s.bucket(burst, per, purpose, o.Prefix().String())}
}
