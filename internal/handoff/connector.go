package handoff

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// Connectors are the programs that provision people: those of them that authenticate by a key get an access token here.
type Connectors interface {
	// ConnectorByName returns a connector; nil when there is none of that name.
	ConnectorByName(ctx context.Context, name string) (*client.Connector, error)
	// PutConnectorAccess keeps an access token.
	PutConnectorAccess(ctx context.Context, a client.ConnectorAccess, now time.Time) error
	// NoteHeard writes down, in the console, that somebody who said to be a connector was refused.
	NoteHeard(ctx context.Context, connector, what string, status int, bad bool, now time.Time) error
}

// How many access tokens one connector may ask for. One lives for ten minutes, so that an honest one asks for a few.
const (
	accessBurst = 60
	accessPer   = 10 * time.Minute
)

// prefixConnectorAccess begins the access tokens of connectors: what SCIM takes them for is said by their hash.
const prefixConnectorAccess = "rgn_scim_at"

// heardToken is what is written down of a request to the token endpoint.
const heardToken = "POST token"

// connectorToken is what a connector gets.
type connectorToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// asserting reports whether a request for client_credentials is a connector's: receivers of events show a secret.
func asserting(p parameters) bool {
	return len(p["client_assertion"])+len(p["client_assertion_type"]) > 0
}

// connectorAccess gives a connector that asserts who it is (RFC 7523 §2.2) a short-lived access token for SCIM (RFC 6749 §4.4).
// Scopes we do not know are passed over, and the answer says which was granted (§3.3). It ends with its key.
func (s *Service) connectorAccess(r *http.Request, p parameters) (*connectorToken, *refusal) {
	c, key, bad := s.connector(r, p)
	if bad != nil {
		return nil, bad
	}
	if words := strings.Fields(p.get("scope")); len(words) > 0 && !slices.Contains(words, string(client.ScopeSCIM)) {
		return nil, refuse(errInvalidScope, "scope must be "+string(client.ScopeSCIM))
	}
	if err := s.spend(r.Context(), s.bucket(accessBurst, accessPer, "connector", c.ID)); err != nil {
		return nil, faulty(err)
	}
	now := s.Now()
	token, hash := keyring.NewToken(prefixConnectorAccess)
	a := client.ConnectorAccess{Hash: hash, Connector: c.ID, By: key, Expires: now.Add(client.ConnectorAccessTime)}
	if err := s.Connectors.PutConnectorAccess(r.Context(), a, now); err != nil {
		return nil, down(err)
	}
	return &connectorToken{AccessToken: token, TokenType: "Bearer", ExpiresIn: int(client.ConnectorAccessTime / time.Second), Scope: string(client.ScopeSCIM)}, nil
}

// connector returns the connector that asserts who it is, and by what: the id of its key, or the address of its key set.
func (s *Service) connector(r *http.Request, p parameters) (*client.Connector, string, *refusal) {
	shown, mark, bad := s.shown(r, p, "connector", client.GoodName)
	if bad != nil {
		return nil, "", bad
	}
	if shown.assertion == "" {
		return nil, "", noClient(shown, errors.New("no assertion"))
	}
	ctx := r.Context()
	c, err := s.Connectors.ConnectorByName(ctx, shown.key)
	switch {
	case err != nil:
		return nil, "", down(err)
	case c == nil || !c.Asserts():
		return nil, "", noClient(shown, errors.New("no such connector, or it authenticates by a token of its own"))
	}
	key, err := s.judge(ctx, c.Name, shown.assertion, func(kid string) ([]client.PublicKey, error) {
		if c.JWKS != "" {
			return s.published.keys(ctx, c.JWKS, kid, s.Now())
		}
		return c.LiveKeys(s.Now()), nil
	})
	if err != nil {
		if bad, ok := errors.AsType[*refusal](err); ok {
			return nil, "", bad
		}
		s.noteRefused(ctx, c)
		return nil, "", noClient(shown, err)
	}
	s.let.in(mark)
	if c.JWKS != "" {
		key = c.JWKS
	}
	return c, key, nil
}

// noteRefused writes down that somebody who said to be the connector was refused, once a minute: its page in the console can
// say so, while the answer says nothing.
func (s *Service) noteRefused(ctx context.Context, c *client.Connector) {
	now := s.Now()
	if !s.refusedLately.due(c.ID, now) {
		return
	}
	if err := s.Connectors.NoteHeard(ctx, c.ID, heardToken, http.StatusUnauthorized, true, now); err != nil {
		s.Log.WarnContext(ctx, "refusal of a connector not noted", "connector", c.Name, "err", err)
	}
}
