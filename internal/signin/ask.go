package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/session"
)

// skew is how far the clocks of the provider and ours may be apart.
const skew = 30 * time.Second

// demand is what a sign-in asks of the provider, and what its answer must show.
type demand struct {
	accept   []string      // values of which one must be there, when strong
	strong   bool          // nothing else will do
	maxAge   time.Duration // how long before the flow began they may have signed in there
	after    time.Time     // and not before this, either: a step-up that repeats one the session has is none
	prompt   string
	requests bool // whether to ask for accept and maxAge at all
}

// demandOf returns what the purpose of a flow wants. held is the session of a step-up.
func (p *provider) demandOf(f *session.Flow, held *session.Session) demand {
	d := demand{accept: p.StepUp.Accept}
	switch f.Purpose {
	case session.StepUp, session.Staff:
		d.strong, d.requests, d.maxAge, d.prompt = true, true, p.StepUp.MaxAge, p.StepUp.Prompt
		// What a page wants can only be stricter than the accept list. What is not on it is neither asked for nor enough, and
		// the page then says what the organisation requires.
		if both := slices.DeleteFunc(slices.Clone(d.accept), func(v string) bool { return !slices.Contains(f.Want, v) }); len(both) > 0 {
			d.accept = both
		}
		if f.Purpose == session.StepUp && held != nil && !held.StepUp.IsZero() {
			// They stepped up before and it is not enough: asking within max age would bring the same moment back, forever.
			d.maxAge, d.after = 0, held.StepUp
		}
	case session.Proof:
		d.accept, d.strong, d.requests, d.prompt = p.NoPassword, true, true, p.StepUp.Prompt
	}
	if f.Retried {
		d.maxAge, d.prompt = 0, "login"
	}
	return d
}

// parameters of the authorization request (OIDC Core §3.1.2.1, RFC 7636 §4.3).
func (p *provider) parameters(m *metadata, base, state string, f *session.Flow, d demand) url.Values {
	v := url.Values{
		"response_type": {"code"}, "response_mode": {"query"}, "client_id": {p.ClientID}, "redirect_uri": {p.redirectURI(base)},
		"scope": {strings.Join(p.Scopes, " ")}, "state": {state}, "nonce": {f.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(f.Verifier)}, "code_challenge_method": {"S256"},
	}
	if f.Lang != "" {
		v.Set("ui_locales", f.Lang)
	}
	claims := map[string]any{}
	if m.ClaimsParameter { // some providers tell these only when asked for
		claims["auth_time"], claims["acr"], claims["amr"] = nil, nil, nil
	}
	if d.requests {
		v.Set("max_age", strconv.Itoa(int(d.maxAge/time.Second)))
		if d.prompt != "" {
			v.Set("prompt", d.prompt)
		}
		switch p.StepUp.Ask {
		case AskACRValues:
			v.Set("acr_values", strings.Join(d.accept, " "))
		case AskClaimsACR:
			claims["acr"] = essential(d.accept)
		case AskClaimsACRS:
			claims["acrs"] = essential(d.accept)
		}
	}
	if len(claims) > 0 {
		b, err := json.Marshal(map[string]any{"id_token": claims})
		if err != nil {
			panic(err) // texts and nulls
		}
		v.Set("claims", string(b))
	}
	return v
}

// essential asks for one of the values; a single one is written as such, because Entra ID's examples know no list.
func essential(values []string) any {
	if len(values) == 1 {
		return map[string]any{"essential": true, "value": values[0]}
	}
	return map[string]any{"essential": true, "values": values}
}

func (p *provider) redirectURI(base string) string { return base + "/signin/" + p.Name + "/callback" }

// authorize returns the address to send the browser to. Where the provider takes pushed requests, nothing but a handle
// goes through the browser, and the person cannot edit what was asked for (RFC 9126).
func (p *provider) authorize(ctx context.Context, m *metadata, v url.Values) (string, error) {
	if m.PAR != "" {
		handle, err := p.push(ctx, m, v)
		if err != nil {
			return "", fmt.Errorf("pushed request: %w", err)
		}
		v = url.Values{"client_id": {p.ClientID}, "request_uri": {handle}}
	}
	u, err := url.Parse(m.Authorization)
	if err != nil {
		return "", err
	}
	q := u.Query() // an endpoint may have parameters of its own (RFC 6749 §3.1)
	for name, values := range v {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// push hands the request over and returns its handle (RFC 9126 §2).
func (p *provider) push(ctx context.Context, m *metadata, v url.Values) (string, error) {
	form := url.Values{}
	for name, values := range v {
		form[name] = values
	}
	style, err := p.clientAuth(m, form)
	if err != nil {
		return "", err
	}
	if style == oauth2.AuthStyleInParams && p.Key == nil {
		form.Set("client_secret", p.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.PAR, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if style == oauth2.AuthStyleInHeader {
		req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret)) // RFC 6749 §2.3.1
	}
	w, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	body, err := egress.Body(w, maxBodyBytes)
	if err != nil {
		return "", err
	}
	var answer struct {
		RequestURI string `json:"request_uri"`
		Error      string `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || w.StatusCode != http.StatusCreated || answer.RequestURI == "" || len(answer.RequestURI) > 2000 {
		return "", fmt.Errorf("status %d, error %.60q", w.StatusCode, answer.Error)
	}
	return answer.RequestURI, nil
}

// clientAuth decides how the client authenticates, once and from the metadata: a library that tries one way after the
// other shows the provider the same code twice, which looks like theft. What goes into the form is put there.
func (p *provider) clientAuth(m *metadata, form url.Values) (oauth2.AuthStyle, error) {
	method, err := p.authMethod(m)
	if err != nil {
		return 0, err
	}
	switch method {
	case "private_key_jwt":
		assertion, err := p.assertion(m)
		if err != nil {
			return 0, err
		}
		form.Set("client_id", p.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		return oauth2.AuthStyleInParams, nil
	case "client_secret_post":
		return oauth2.AuthStyleInParams, nil
	}
	return oauth2.AuthStyleInHeader, nil
}

// authMethod is the method the client uses. A provider that lists none takes client_secret_basic (OIDC Discovery §3).
func (p *provider) authMethod(m *metadata) (string, error) {
	offered := func(method string) bool { return slices.Contains(m.TokenAuth, method) }
	switch {
	case p.Key != nil && (len(m.TokenAuth) == 0 || offered("private_key_jwt")):
		return "private_key_jwt", nil
	case p.Key != nil:
		return "", errors.New("the provider does not offer private_key_jwt")
	case len(m.TokenAuth) == 0 || offered("client_secret_basic"):
		return "client_secret_basic", nil
	case offered("client_secret_post"):
		return "client_secret_post", nil
	}
	return "", errors.New("the provider offers neither client_secret_basic nor client_secret_post")
}

// errProvider is a provider that did not answer, as against one that refused.
var errProvider = errors.New("the provider cannot answer")

// redeem turns the code into tokens, in one call (RFC 6749 §4.1.3).
func (p *provider) redeem(ctx context.Context, m *metadata, base, code, verifier string) (idToken string, token *oauth2.Token, err error) {
	form := url.Values{}
	style, err := p.clientAuth(m, form)
	if err != nil {
		return "", nil, err
	}
	c := oauth2.Config{ClientID: p.ClientID, RedirectURL: p.redirectURI(base), Endpoint: oauth2.Endpoint{TokenURL: m.Token, AuthStyle: style}}
	if p.Key == nil {
		c.ClientSecret = p.ClientSecret
	}
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	for name := range form {
		if name != "client_id" { // the library sends that one itself
			options = append(options, oauth2.SetAuthURLParam(name, form.Get(name)))
		}
	}
	token, err = c.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.client), code, options...)
	if err != nil {
		// The library's error holds the whole answer, which may hold tokens: only its code goes on.
		if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
			if e.Response.StatusCode >= 500 {
				return "", nil, fmt.Errorf("%w: token endpoint: status %d", errProvider, e.Response.StatusCode)
			}
			return "", nil, fmt.Errorf("token endpoint: status %d, error %.60q", e.Response.StatusCode, e.ErrorCode)
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			return "", nil, fmt.Errorf("%w: token endpoint: %w", errProvider, e.Err)
		}
		return "", nil, errors.New("token endpoint: an answer without tokens")
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return "", nil, errors.New("token endpoint: an answer without an ID token")
	}
	return raw, token, nil
}
