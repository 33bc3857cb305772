package handoff

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/client"
)

// What requests are made of.
const (
	scopeOpenID   = "openid"
	requestPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2
)

// known are the parameters that mean something here. One of them that comes twice is refused; all others are ignored,
// however often they come (RFC 6749 §3.1): among them acr_values, display, max_age, claims and claims_locales. A max_age is
// kept by itself: what is proved here is proved now.
var known = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "prompt", "login_hint", "id_token_hint", "ui_locales", "request", "request_uri"}

// How long parameters may be, in bytes.
const (
	maxState = 2048
	maxNonce = 512
	maxScope = 1024
	maxHint  = 256
	maxToken = 8 << 10 // of a hint that is a token
)

// read makes a handoff of a request of an app, which is not stored and is no browser's yet. Client and redirect URI must have
// been found good: whatever is wrong with the rest is told there. It is the one place where requests are judged, pushed or
// not, and asks nothing but the app.
func (s *Service) read(app *client.App, p parameters, pushed bool) (*client.Handoff, *refusal) {
	if app.Disabled {
		return nil, refuse(errUnauthorized, textAppMayNot)
	}
	switch {
	case len(p["request"]) > 0: // also twice, also empty: no request object is ever looked at, let alone fetched
		return nil, refuse(errRequest, "request objects are not supported: push the request instead")
	case len(p["request_uri"]) > 0 && pushed:
		return nil, refuse(errInvalidRequest, "request_uri cannot be pushed") // RFC 9126 §2.1
	case len(p["request_uri"]) > 0:
		return nil, refuse(errRequestURI, "request_uri is for requests that were pushed here")
	case p.repeated(known...):
		return nil, refuse(errInvalidRequest, "a parameter came more than once")
	case app.PushOnly && !pushed:
		return nil, refuse(errInvalidRequest, "this client pushes its requests (RFC 9126)")
	}
	for _, x := range []struct {
		name string
		most int
	}{{"state", maxState}, {"nonce", maxNonce}, {"scope", maxScope}} {
		if v := p.get(x.name); len(v) > x.most || !plain(v) {
			return nil, refuse(errInvalidRequest, x.name+" is too long or no plain text")
		}
	}
	switch p.get("response_type") {
	case "code":
	case "":
		return nil, refuse(errInvalidRequest, "response_type is missing")
	default:
		return nil, refuse(errResponseType, "response_type must be code")
	}
	if mode := p.get("response_mode"); mode != "" && mode != "query" {
		return nil, refuse(errInvalidRequest, "response_mode must be query")
	}
	action, bad := s.actionOf(app, p.get("scope"))
	if bad != nil {
		return nil, bad
	}
	// A missing method means plain (RFC 7636 §4.3), which protects nobody.
	if p.get("code_challenge_method") != "S256" || !client.IsChallenge(p.get("code_challenge")) {
		return nil, refuse(errInvalidRequest, "PKCE is needed: code_challenge of 43 characters, code_challenge_method S256")
	}
	if prompt := strings.Fields(p.get("prompt")); slices.Contains(prompt, "none") {
		if len(prompt) > 1 {
			return nil, refuse(errInvalidRequest, "prompt none goes with nothing else")
		}
		return nil, refuse(errInteraction, "a person is needed")
	}
	h := &client.Handoff{App: app.ID, Key: app.Key, State: client.HandoffPushed, Action: action, Redirect: p.get("redirect_uri"),
		Param: p.get("state"), Nonce: p.get("nonce"), Challenge: p.get("code_challenge"), Lang: s.language(p.get("ui_locales"))}
	if hint := p.get("login_hint"); len(hint) <= maxHint && plain(hint) {
		h.Hint = hint
	}
	return h, nil
}

// actionOf returns the one action that a scope asks for. Scopes nobody knows are ignored (OIDC Core §3.1.2.1).
func (s *Service) actionOf(app *client.App, scope string) (client.Action, *refusal) {
	words := strings.Split(scope, " ")
	var asked []client.Action
	for _, a := range client.Actions {
		if slices.Contains(words, ScopePrefix+string(a)) {
			asked = append(asked, a)
		}
	}
	var mine []string
	for _, a := range app.Actions {
		if slices.Contains(s.Actions, a) {
			mine = append(mine, ScopePrefix+string(a))
		}
	}
	if !slices.Contains(words, scopeOpenID) || len(asked) != 1 || !slices.Contains(mine, ScopePrefix+string(asked[0])) {
		return "", refuse(errInvalidScope, "scope must be openid and exactly one of: "+strings.Join(mine, ", "))
	}
	return asked[0], nil
}

// language returns the first of ours that ui_locales asks for, as it is or without its region; "" for none.
func (s *Service) language(locales string) string {
	if len(locales) > maxHint {
		return ""
	}
	for _, tag := range strings.Fields(locales) {
		base, _, _ := strings.Cut(tag, "-")
		for _, want := range []string{tag, base} {
			i := slices.IndexFunc(s.Languages, func(l string) bool { return strings.EqualFold(l, want) })
			if i >= 0 {
				return s.Languages[i]
			}
		}
	}
	return ""
}

// plain reports whether s is text on one line.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
