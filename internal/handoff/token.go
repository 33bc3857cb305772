package handoff

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
)

// The grants.
const (
	grantCode   = "authorization_code"
	grantClient = "client_credentials"
)

// token gives an app the signed statement for a code, once (RFC 6749 §4.1.3, OIDC Core §3.1.3).
func (s *Service) token(w http.ResponseWriter, r *http.Request) {
	p, bad := s.body(w, r)
	if bad == nil && p.repeated("grant_type", "code", "redirect_uri", "code_verifier", "scope") {
		bad = refuse(errInvalidRequest, "a parameter came more than once")
	}
	if bad != nil {
		s.refuse(w, r, bad)
		return
	}
	switch p.get("grant_type") {
	case grantCode:
		answer, bad := s.redeem(r, p)
		if bad != nil {
			s.refuse(w, r, bad)
			return
		}
		w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
		s.json(w, http.StatusOK, answer)
	case grantClient:
		if s.Connectors != nil && asserting(p) {
			answer, bad := s.connectorAccess(r, p)
			if bad != nil {
				s.refuse(w, r, bad)
				return
			}
			w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
			s.json(w, http.StatusOK, answer)
			return
		}
		if s.ClientCredentials != nil {
			s.ClientCredentials(w, r, url.Values(p))
			return
		}
		s.refuse(w, r, refuse(errGrantType, "grant_type must be "+grantCode))
	case "":
		s.refuse(w, r, refuse(errInvalidRequest, "grant_type is missing"))
	default:
		s.refuse(w, r, refuse(errGrantType, "grant_type must be "+grantCode))
	}
}

// tokens is what an app gets for a code. There is no refresh token: what happened does not happen again.
type tokens struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	IDToken     string `json:"id_token"`
	Scope       string `json:"scope"`
}

// redeem burns a code that an authenticated client shows, and only then looks at what is wrong with it.
func (s *Service) redeem(r *http.Request, p parameters) (*tokens, *refusal) {
	code := hashOf(p.get("code"), prefixCode)
	// The app stands beside what the code is for: one look for both.
	var h *client.Handoff
	app, bad := s.authenticateOf(r, p, func(ctx context.Context, key string) (app *client.App, err error) {
		if code != nil {
			if h, app, err = s.Store.HandoffByCode(ctx, code); err != nil || app != nil && app.Key == key {
				return app, err
			}
		}
		return s.Store.App(ctx, key)
	})
	if bad != nil {
		return nil, bad
	}
	if p.get("code") == "" {
		return nil, refuse(errInvalidRequest, "code is missing")
	}
	invalid := func(cause string) *refusal {
		return &refusal{code: errInvalidGrant, description: textGrantIsBad, cause: errors.New(cause)}
	}
	if code == nil {
		return nil, invalid("a code that is none")
	}
	if h == nil {
		return nil, invalid("a code that nobody was sent back with")
	}
	// Looked up first, so that a key that cannot be had burns no code.
	key, err := s.signer(r.Context(), app.Alg)
	if err != nil {
		return nil, down(err)
	}
	access, hash := keyring.NewToken(prefixAccess)
	shown := client.Redemption{App: app, Redirect: p.get("redirect_uri"), Verifier: p.get("code_verifier")}
	refused := ""
	h, err = s.Store.UpdateHandoff(r.Context(), h, func(h *client.Handoff) (events []event.Event, _ error) {
		refused, events = h.Redeem(shown, hash, s.Now())
		return events, nil
	})
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, invalid("a code that nobody was sent back with")
	case err != nil:
		return nil, down(err)
	case refused == client.RefusedApp:
		return nil, &refusal{code: errUnauthorized, description: textAppMayNot, cause: errors.New(refused)}
	case refused != "":
		return nil, invalid(refused)
	}
	id, err := s.idToken(app, h, key)
	if err != nil {
		return nil, down(err)
	}
	return &tokens{AccessToken: access, TokenType: "Bearer", ExpiresIn: int(client.AccessLife.Seconds()), IDToken: id,
		Scope: scopeOpenID + " " + ScopePrefix + string(h.Action)}, nil
}

// userinfo tells the subject of an access token and nothing else (OIDC Core §5.3). A token in the address is not looked at.
func (s *Service) userinfo(w http.ResponseWriter, r *http.Request) {
	token, bad := s.bearer(w, r)
	if bad != nil {
		s.challenge(w, r, bad)
		return
	}
	unknown := &refusal{code: errInvalidToken, description: "the access token is unknown or expired", status: http.StatusUnauthorized}
	hash := hashOf(token, prefixAccess)
	if hash == nil {
		s.challenge(w, r, unknown)
		return
	}
	h, err := s.Store.HandoffByToken(r.Context(), hash)
	var app *client.App
	if err == nil && h != nil {
		app, err = s.Store.App(r.Context(), h.Key)
	}
	switch {
	case err != nil:
		s.refuse(w, r, down(err))
	case h == nil || !h.Tells(s.Now()) || app == nil || app.ID != h.App || app.Disabled:
		s.challenge(w, r, unknown)
	default:
		s.json(w, http.StatusOK, struct {
			Sub string `json:"sub"`
		}{s.subject(app, h.Person)})
	}
}

// bearer returns the token of a request: in the header, or in the form of a post (RFC 6750 §2.1, §2.2), not in both.
func (s *Service) bearer(w http.ResponseWriter, r *http.Request) (string, *refusal) {
	headers := r.Header.Values("Authorization")
	posted := ""
	if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "" {
		p, bad := s.body(w, r)
		if bad != nil {
			return "", bad
		}
		if p.repeated("access_token") {
			return "", refuse(errInvalidRequest, "a parameter came more than once")
		}
		posted = p.get("access_token")
	}
	switch {
	case len(headers) > 1 || len(headers) == 1 && posted != "":
		return "", refuse(errInvalidRequest, "one access token at a time")
	case posted != "":
		return posted, nil
	case len(headers) == 0:
		return "", &refusal{status: http.StatusUnauthorized} // who showed nothing is told no error (RFC 6750 §3.1)
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &refusal{status: http.StatusUnauthorized}
	}
	return strings.TrimSpace(token), nil
}

// challenge refuses whoever brought no good token (RFC 6750 §3).
func (s *Service) challenge(w http.ResponseWriter, r *http.Request, e *refusal) {
	say := "Bearer"
	if e.code != "" {
		say += ` error="` + e.code + `", error_description="` + e.description + `"`
	}
	w.Header().Set("WWW-Authenticate", say)
	s.refuse(w, r, e)
}
