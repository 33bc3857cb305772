package signin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/session"
)

// complete adds what the ID token did not say: the account's key, the claim that links it to a person, what may make
// somebody staff. The provider is asked for it only when one of them is missing, and believed only about the same
// subject (OIDC Core §5.3.2). How somebody signed in is never taken from there.
func (p *provider) complete(ctx context.Context, m *metadata, f *session.Flow, id *session.Identity, c claims, token *oauth2.Token) error {
	p.take(id, c)
	missing := id.Key == "" || id.Link == "" || f.Purpose == session.Staff && len(id.Roles) == 0
	if missing && m.UserInfo != "" {
		more, err := p.userInfo(ctx, m, token)
		switch {
		case err != nil && id.Key == "":
			return err
		case err == nil:
			if sub, _ := more.text("sub"); sub != id.Subject {
				return reject("userinfo", errors.New("it is about another subject"))
			}
			for name, value := range more {
				if _, has := c[name]; !has {
					c[name] = value
				}
			}
			p.take(id, c)
		}
	}
	if id.Key == "" {
		return reject("claim", fmt.Errorf("no claim %s", p.Claim))
	}
	return nil
}

func (p *provider) take(id *session.Identity, c claims) {
	text := func(name string) string {
		s, _ := c.text(name)
		if !plain(s) {
			return ""
		}
		return s
	}
	id.Key, id.Link = text(p.Claim), text(p.LinkClaim)
	if p.LinkClaim == "email" && string(c["email_verified"]) != "true" {
		id.Link = "" // an address nobody confirmed is whatever somebody typed
	}
	id.Roles, id.Claims = c.roles(p.RoleClaims), c.names()
}

// userInfo asks what the provider knows of the person who just signed in. The access token is used for nothing else and
// forgotten.
func (p *provider) userInfo(ctx context.Context, m *metadata, token *oauth2.Token) (claims, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfo, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	req.Header.Set("Accept", "application/json")
	w, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", errProvider, err)
	}
	body, err := egress.Body(w, maxBodyBytes)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	var c claims
	if w.StatusCode != http.StatusOK || json.Unmarshal(body, &c) != nil {
		return nil, fmt.Errorf("userinfo: status %d, or no JSON object", w.StatusCode)
	}
	return c, nil
}

// headerType returns the typ of a token in small letters, without the prefix that may be left out (RFC 7515 §4.1.9);
// "" when there is none or the header cannot be read, which the signature's check will tell.
func headerType(raw string) string {
	head, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		Typ string `json:"typ"`
	}
	if err != nil || json.Unmarshal(b, &h) != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(h.Typ), "application/")
}
