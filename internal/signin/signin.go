// Package signin is the OpenID Connect relying party: the one way by which people and staff sign in, sign in more
// strongly, and prove by their work sign-in who they are. It takes nothing a provider or a browser says for granted.
//
//	GET  /signin, /signin/{idp}      a flow row, a cookie of its own, PKCE, PAR; off to the provider   RFC 7636, RFC 9126
//	GET  /signin/{idp}/callback      flow taken once by the browser that holds its cookie              RFC 9700 §4.7
//	     → iss, before error or code                                                              RFC 9207 §2.4
//	     → one token call, the client authenticated in one known way                              RFC 6749 §4.1.3
//	     → judge: the ID token, every check in one place for every purpose                         OIDC Core §3.1.3.7
//	     → userinfo only when a claim is missing, of the same subject                              OIDC Core §5.3.2
//	     → sign-in, staff, step-up: package session makes a new session; proof: none
//	GET  /step-up                    goes on with a step-up that a form asked for
//	POST /signout, GET /signed-out   the session here ends first, then the provider may be told   RP-Initiated Logout 1.0
//	POST /signin/{idp}/backchannel-logout   the provider says that a session ended                Back-Channel Logout 1.0
//	POST /signin/{idp}/events        the provider says what is wrong with an account              SSF 1.0, RFC 8935, RFC 8417
//
// What an answer proves is read from the ID token alone, never from what was asked for: a provider is free to ignore
// acr_values (OIDC Core §3.1.2.1). Where to go on stands in the flow row and never in a request.
package signin

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
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

// Ask says how a provider is asked for a stronger sign-in.
type Ask string

// The ways to ask.
const (
	AskACRValues  Ask = "acr_values"  // voluntary by specification; what comes back decides (OIDC Core §3.1.2.1)
	AskClaimsACR  Ask = "claims_acr"  // essential acr in the claims parameter (OIDC Core §5.5.1.1)
	AskClaimsACRS Ask = "claims_acrs" // Entra ID's authentication contexts
	AskNothing    Ask = "none"        // the provider decides by itself
)

// StepUp is how a stronger sign-in is asked for and recognised.
type StepUp struct {
	Ask    Ask
	Accept []string      // values that are strong enough, compared exactly; none: there is no step-up at this provider
	Claim  string        // where they stand: acr, acrs or amr
	MaxAge time.Duration // how long ago they may have signed in there, at most session.StepUpLife
	Prompt string        // "" or login
}

// ProviderConfig is one identity provider.
type ProviderConfig struct {
	Name         string // in paths, rows and events; never changed
	Label        string // what people read
	Issuer       string // compared to the letter (OIDC Discovery §4.3)
	ClientID     string
	ClientSecret string        // client_secret_basic, or _post when only that is offered
	Key          crypto.Signer // private_key_jwt instead: RSA, ECDSA P-256 or Ed25519
	KeyID        string        // kid of Key as registered; "" means its thumbprint (RFC 7638)
	Scopes       []string      // openid is always among them, offline_access never
	StepUp       StepUp
	NoPassword   []string // values of StepUp.Claim that stand for a sign-in without a password; none: it proves nothing
	Claim        string   // the immutable claim that is the account's key; "" means sub
	LinkClaim    string   // compared with the person at the first sign-in
	RoleClaims   []string // claims whose values may make somebody staff; a dot reaches into an object
	AccountURL   string   // where people see and change their ways at the provider
	RootCAs      *x509.CertPool
	AllowPrivate bool    // the provider may stand on a private address
	Events       *Events // what it may tell of its people; nil: nothing
}

// Events is how a provider pushes security events to us (RFC 8935).
type Events struct {
	Issuer   string // who signs them, to the letter; "" means the provider's issuer
	JWKS     string // where the keys are; "" means as the transmitter's document says, else those of the ID tokens
	Audience string // who they must be for; "" means Config.Base
	Token    string // what the transmitter sends as its bearer token
}

// Provider is what pages show of a provider.
type Provider struct {
	Name       string
	Label      string
	AccountURL string
	MayProve   bool // a sign-in there can stand for no password, and so prove who somebody is
	StepsUp    bool // a sign-in there can be strong enough to change anything
}

// Handler answers a request of somebody who is signed in.
type Handler = func(*web.Request, *session.Session) (web.Page, error)

// Config is what a Door is made of. Sessions, Base, Now and Log are needed.
type Config struct {
	Sessions  *session.Service
	Providers []ProviderConfig
	Base      string // public URL of the site: scheme and host
	Home      string // where a sign-in without a place goes on; default /
	// Arrived says where to go after a sign-in; nil means where the flow says.
	Arrived func(r *web.Request, s *session.Session, f *session.Flow) (web.Page, error)
	// Proved gets what a sign-in inside an attempt proved; who is nil when the account is nobody's here.
	Proved func(r *web.Request, f *session.Flow, who *account.Person, id session.Identity) (web.Page, error)
	// Failed gets such a sign-in that failed; nil shows the door's own page.
	Failed func(r *web.Request, f *session.Flow, err error) (web.Page, error)
	Now    func() time.Time
	Log    *slog.Logger
}

// Door is the relying party. Its methods are safe for concurrent use once it is mounted.
type Door struct {
	Config
	providers []*provider
	site      *web.Site
}

// New returns a door, or an error naming what is wrong. It asks no provider anything: that is done when the first person
// signs in, so that a provider that is down keeps nothing from starting.
func New(c Config) (*Door, error) {
	if c.Sessions == nil || c.Base == "" || c.Now == nil || c.Log == nil {
		return nil, errors.New("signin: sessions, base, now and log are needed")
	}
	c.Home = cmp.Or(c.Home, "/")
	d := &Door{Config: c}
	var bad []error
	for _, pc := range c.Providers {
		if err := pc.check(); err != nil {
			bad = append(bad, fmt.Errorf("provider %q: %w", pc.Name, err))
			continue
		}
		if d.find(pc.Name) != nil {
			bad = append(bad, fmt.Errorf("provider %q: there are two", pc.Name))
		}
		if pc.Events != nil {
			e := *pc.Events
			e.Audience = cmp.Or(e.Audience, c.Base)
			pc.Events = &e
		}
		d.providers = append(d.providers, newProvider(pc, c.Now))
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	return d, nil
}

// check refuses what would be unsafe whoever wrote it; package config tells operators more.
func (c *ProviderConfig) check() error {
	if c.Name == "" || strings.ContainsAny(c.Name, "/%{}") || c.Issuer == "" || c.ClientID == "" {
		return errors.New("name, issuer and client id are needed")
	}
	if (c.ClientSecret == "") == (c.Key == nil) {
		return errors.New("want a client secret or a key")
	}
	switch k := c.Key.(type) {
	case nil, *rsa.PrivateKey, ed25519.PrivateKey:
	case *ecdsa.PrivateKey:
		if k.Curve.Params().BitSize != 256 {
			return errors.New("want an ECDSA key on P-256")
		}
	default:
		return fmt.Errorf("a key of type %T cannot sign", k)
	}
	if slices.Contains(c.Scopes, "offline_access") {
		return errors.New("offline_access: nothing is done at the provider while nobody is here")
	}
	if c.StepUp.MaxAge < 0 || c.StepUp.MaxAge > session.StepUpLife {
		return fmt.Errorf("max age %s: want 0 to %s", c.StepUp.MaxAge, session.StepUpLife)
	}
	if p := c.StepUp.Prompt; p != "" && p != "login" {
		return fmt.Errorf("prompt %q: want login or nothing", p)
	}
	if a := c.StepUp.Claim; a != "" && a != "acr" && a != "acrs" && a != "amr" {
		return fmt.Errorf("claim %q: want acr, acrs or amr", a)
	}
	switch c.StepUp.Ask {
	case "", AskNothing, AskACRValues, AskClaimsACR, AskClaimsACRS:
	default:
		return fmt.Errorf("ask %q: want acr_values, claims_acr, claims_acrs or none", c.StepUp.Ask)
	}
	if e := c.Events; e != nil {
		if len(e.Token) < minToken {
			return fmt.Errorf("events: a token of %d characters, want %d or more", len(e.Token), minToken)
		}
		if err := errors.Join(checkEndpoint(c.Issuer, e.Issuer), checkEndpoint(c.Issuer, e.JWKS)); err != nil {
			return fmt.Errorf("events: %w", err)
		}
	}
	for _, v := range slices.Concat(c.StepUp.Accept, c.NoPassword) {
		if v == "" || strings.Contains(v, "ifpossible") {
			return fmt.Errorf("accept %q: a sign-in that is strong only if possible is not strong", v)
		}
	}
	return nil
}

// Providers returns what pages show of the providers, in the order of the configuration.
func (d *Door) Providers() []Provider {
	out := make([]Provider, len(d.providers))
	for i, p := range d.providers {
		out[i] = p.shown()
	}
	return out
}

func (d *Door) find(name string) *provider {
	for _, p := range d.providers {
		if p.Name == name {
			return p
		}
	}
	return nil
}
