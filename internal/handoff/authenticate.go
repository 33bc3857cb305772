package handoff

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
)

// credentials are what a client authenticates by, in one of three ways.
type credentials struct {
	key       string // client_id; not believed yet
	secret    string // of client_secret_basic and client_secret_post
	assertion string // of private_key_jwt
	basic     bool
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2

// maxSecret is the longest secret that is looked at, in bytes; ours are much shorter.
const maxSecret = 256

// authParameters are those of client authentication.
var authParameters = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}

// credentialsOf reads what a client authenticates by. A request that does so in two ways is refused (RFC 6749 §2.3).
func credentialsOf(r *http.Request, p parameters) (c credentials, bad *refusal) {
	headers := r.Header.Values("Authorization")
	c = credentials{key: p.get("client_id"), secret: p.get("client_secret"), assertion: p.get("client_assertion"), basic: len(headers) > 0}
	ways := 0
	for _, used := range []bool{c.basic, c.secret != "", c.assertion != "" || p.get("client_assertion_type") != ""} {
		if used {
			ways++
		}
	}
	switch {
	case p.repeated(authParameters...):
		return c, refuse(errInvalidRequest, "a parameter came more than once")
	case ways > 1 || len(headers) > 1:
		return c, refuse(errInvalidRequest, "a client authenticates in one way at a time")
	case ways == 0:
		return c, noClient(c, errors.New("no client authentication"))
	}
	switch {
	case c.basic:
		key, secret, err := readBasic(headers[0])
		if err != nil || c.key != "" && c.key != key {
			return c, noClient(c, errors.New("an Authorization header that is not to be read"))
		}
		c.key, c.secret = key, secret
	case c.assertion != "":
		if p.get("client_assertion_type") != assertionType {
			return c, noClient(c, errors.New("client_assertion_type is another"))
		}
		key, err := assertedBy(c.assertion)
		if err != nil || c.key != "" && c.key != key { // RFC 7521 §4.2
			return c, noClient(c, errors.New("an assertion that is not to be read, or by another client"))
		}
		c.key = key
	}
	if len(c.secret) > maxSecret {
		return c, noClient(c, errors.New("a secret that is none"))
	}
	return c, nil
}

// readBasic reads HTTP Basic as RFC 6749 §2.3.1 wants it: both parts are form-urlencoded before they are joined.
func readBasic(header string) (key, secret string, err error) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || len(value) > 4*maxSecret {
		return "", "", errors.New("no Basic")
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", errors.New("not base64")
	}
	k, v, ok := strings.Cut(string(plain), ":")
	if !ok {
		return "", "", errors.New("no colon")
	}
	key, errKey := url.QueryUnescape(k)
	secret, errSecret := url.QueryUnescape(v)
	if err := errors.Join(errKey, errSecret); err != nil || secret == "" {
		return "", "", errors.New("not form-urlencoded")
	}
	return key, secret, nil
}

// noClient is the one answer to everything wrong with client authentication: which it was, the log says.
func noClient(c credentials, cause error) *refusal {
	return &refusal{code: errInvalidClient, description: textClientIsUnknown, status: http.StatusUnauthorized, basic: c.basic, cause: cause}
}

// authenticate returns the app that a request comes from, disabled or not: what that means is for the caller. What was never
// right from this network is counted before it is looked at, so that nobody guesses; who was let in from there with the
// same is not counted again, so that an app is not kept out by how much it does.
func (s *Service) authenticate(r *http.Request, p parameters) (*client.App, *refusal) {
	return s.authenticateOf(r, p, s.Store.App)
}

// authenticateOf does it with what looks an app up by its key.
func (s *Service) authenticateOf(r *http.Request, p parameters, find func(context.Context, string) (*client.App, error)) (*client.App, *refusal) {
	c, mark, bad := s.shown(r, p, "app", client.IsKey)
	if bad != nil {
		return nil, bad
	}
	app, err := find(r.Context(), c.key)
	if err != nil {
		return nil, down(err)
	}
	if app == nil || !app.Asks() {
		return nil, noClient(c, errors.New("no such client"))
	}
	switch {
	case c.assertion != "" && app.Auth == client.AuthKey:
		_, err = s.judge(r.Context(), app.Key, c.assertion, func(string) ([]client.PublicKey, error) { return app.LiveKeys(s.Now()), nil })
	case c.secret != "" && app.Auth == client.AuthSecret:
		err = holds(app, c.secret, s.Now())
	default:
		err = errors.New("not the way this client authenticates")
	}
	if err != nil {
		if bad, ok := errors.AsType[*refusal](err); ok {
			return nil, bad
		}
		return nil, noClient(c, err)
	}
	s.let.in(mark)
	return app, nil
}

// shown reads what a client of a kind shows and counts it, as authenticate says. good tells what may be the id of one. The
// mark is for letIn, once the client is let in.
func (s *Service) shown(r *http.Request, p parameters, kind string, good func(string) bool) (c credentials, mark [sha256.Size]byte, bad *refusal) {
	c, bad = credentialsOf(r, p)
	if bad == nil && !good(c.key) {
		bad = noClient(c, errors.New("no client id"))
	}
	from := session.Origin{Addr: s.site.Client(r)}
	mark = c.mark(from, kind)
	if bad != nil || !s.let.before(mark) {
		if err := s.spend(r.Context(), s.fromNetwork(from, s.Rates.SecretsByOrigin, 10*time.Minute, "secret")...); err != nil {
			return c, mark, faulty(err)
		}
	}
	return c, mark, bad
}

// holds reports whether secret is one of the live ones of an app, nil when it is. All of them are compared, in constant time.
func holds(app *client.App, secret string, now time.Time) error {
	hash, ok := keyring.HashToken(secret)
	if !ok {
		return errors.New("a secret that is none")
	}
	found := 0
	for _, t := range app.Secrets {
		if t.Expires.IsZero() || now.Before(t.Expires) {
			found |= subtle.ConstantTimeCompare(hash, t.Hash)
		}
	}
	if found != 1 {
		return errors.New("a wrong secret")
	}
	return nil
}

// letIn remembers who was let in lately, and by what. It only spares them the count: nothing is believed for it.
type letIn struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]bool
}

// maxLetIn is how many are remembered; when they are too many, all begin anew.
const maxLetIn = 10_000

// mark names a network, a client of a kind and what it shows: the secret, or just that it shows assertions, which are never the
// same.
func (c credentials) mark(from session.Origin, kind string) [sha256.Size]byte {
	secret := sha256.Sum256([]byte(c.secret))
	return sha256.Sum256([]byte(from.Prefix().String() + "\n" + kind + "\n" + c.key + "\n" + string(secret[:])))
}

func (l *letIn) before(mark [sha256.Size]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[mark]
}

func (l *letIn) in(mark [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil || len(l.seen) >= maxLetIn && !l.seen[mark] {
		l.seen = map[[sha256.Size]byte]bool{}
	}
	l.seen[mark] = true
}
