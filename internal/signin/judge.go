package signin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/regain-id/regain/internal/session"
)

// rejection is an answer that is not taken. why is a word for events and logs; weak says that a stronger or newer sign-in
// may be taken, so that asking once more is of use.
type rejection struct {
	why   string
	weak  bool
	cause error
}

func (e *rejection) Error() string {
	if e.cause != nil {
		return "answer refused: " + e.why + ": " + e.cause.Error()
	}
	return "answer refused: " + e.why
}

func (e *rejection) Unwrap() error { return e.cause }

func reject(why string, cause error) error { return &rejection{why: why, cause: cause} }

// Windows of an ID token. Entra ID dates its tokens five minutes back; a token lives for hours at most, and it comes
// straight from the token endpoint.
const (
	oldestToken  = session.FlowLife + 5*time.Minute
	longestToken = 24 * time.Hour
	maxText      = 256 // bytes of a subject, an acr, one value of a list
	maxValues    = 500 // of a list
	maxNames     = 100 // of claims
	maxHint      = 16 << 10
)

// judge checks an ID token and returns what it says of somebody. It is the only place where that is done: a sign-in, a
// step-up, staff and a proof differ in the demand alone. The order is that of OIDC Core §3.1.3.7; go-oidc checks the
// signature, its algorithm, the issuer, that we are an audience, and the expiry, and leaves the rest to us.
func (p *provider) judge(ctx context.Context, m *metadata, f *session.Flow, d demand, raw string, token *oauth2.Token) (session.Identity, claims, error) {
	now := p.now()
	none := session.Identity{}
	if typ := headerType(raw); typ != "" && typ != "jwt" {
		return none, nil, reject("type", fmt.Errorf("a token of type %.40q is no ID token", typ))
	}
	if _, err := p.keys.get(ctx, false); err != nil { // else go-oidc would tell it as a bad signature
		return none, nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	verifier := oidc.NewVerifier(p.Issuer, p.keys, &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: m.signatures(),
		Now: func() time.Time { return now.Add(-skew) }})
	t, err := verifier.Verify(ctx, raw)
	if err != nil {
		return none, nil, reject("token", err)
	}
	var c claims
	if err := t.Claims(&c); err != nil {
		return none, nil, reject("token", errors.New("claims are no object"))
	}
	if t.Issuer != p.Issuer { // go-oidc lets one provider leave out the scheme
		return none, nil, reject("issuer", nil)
	}
	if nonce, _ := c.text("nonce"); f.Nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(f.Nonce)) != 1 {
		return none, nil, reject("nonce", nil)
	}
	sub, ok := c.text("sub")
	if !ok || sub == "" || !plain(sub) {
		return none, nil, reject("subject", nil)
	}
	if azp, has := c["azp"]; has || len(t.Audience) != 1 { // more audiences than us are trusted only if it was made for us
		if name, _ := c.text("azp"); name != p.ClientID {
			return none, nil, reject("audience", fmt.Errorf("%d audiences, azp %.80s", len(t.Audience), azp))
		}
	}
	if err := c.window(now); err != nil {
		return none, nil, reject("time", err)
	}
	if _, has := c["events"]; has { // a logout token or another statement is no sign-in (RFC 8417 §2.2)
		return none, nil, reject("events", nil)
	}
	if _, has := c["at_hash"]; has {
		if err := t.VerifyAccessToken(token.AccessToken); err != nil {
			return none, nil, reject("at_hash", nil)
		}
	}
	id := session.Identity{IDP: p.Name, Issuer: t.Issuer, Subject: sub, IDToken: raw, Claims: c.names()}
	if len(raw) > maxHint {
		id.IDToken = ""
	}
	id.ACR, _ = c.text("acr")
	if !plain(id.ACR) {
		id.ACR = ""
	}
	id.SID, _ = c.text("sid")
	if !plain(id.SID) {
		id.SID = ""
	}
	amr, acrs := c.list("amr"), c.list("acrs")
	id.AMR = append(slices.Clone(amr), acrs...)
	var shown []string
	switch p.StepUp.Claim {
	case "acr":
		shown = []string{id.ACR}
	case "acrs":
		shown = acrs
	case "amr":
		shown = amr
	}
	weak := ""
	if !slices.ContainsFunc(d.accept, func(v string) bool { return v != "" && slices.Contains(shown, v) }) {
		weak = "weak"
	}
	authTime, err := c.seconds("auth_time")
	switch {
	case err != nil:
		if d.strong {
			return none, nil, reject("auth_time", err)
		}
	case authTime.After(now.Add(skew)):
		return none, nil, reject("auth_time", errors.New("in the future"))
	default:
		id.AuthTime = authTime
	}
	if weak == "" && d.strong && (id.AuthTime.IsZero() || id.AuthTime.Before(f.Created.Add(-d.maxAge-skew)) || !d.after.IsZero() && !id.AuthTime.After(d.after)) {
		weak = "stale"
	}
	id.Strong = weak == "" && !id.AuthTime.IsZero()
	if d.strong && !id.Strong {
		return none, nil, &rejection{why: weak, weak: true}
	}
	return id, c, nil
}

// claims are the members of a token, each as it was written.
type claims map[string]json.RawMessage

// text returns a claim that is a text; "" and false for any other.
func (c claims) text(name string) (string, bool) {
	var s *string
	if raw, has := c[name]; !has || json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// list returns a claim that is a list of texts; nothing for any other, so that a text is not taken for a list of one.
func (c claims) list(name string) []string {
	var l []string
	raw := c[name]
	if len(raw) == 0 || json.Unmarshal(raw, &l) != nil || len(l) > maxValues {
		return nil
	}
	return slices.DeleteFunc(l, func(v string) bool { return v == "" || !plain(v) })
}

// seconds returns a claim that is a whole number of seconds (RFC 7519 §2 allows fractions, which no provider sends); the
// zero time when it is absent.
func (c claims) seconds(name string) (time.Time, error) {
	raw, has := c[name]
	if !has || string(raw) == "null" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return time.Time{}, fmt.Errorf("%s is no whole number of seconds", name)
	}
	if n == 0 {
		return time.Time{}, nil
	}
	return time.Unix(n, 0).UTC(), nil
}

// window checks when the token holds.
func (c claims) window(now time.Time) error {
	iat, err := c.seconds("iat")
	exp, err2 := c.seconds("exp")
	nbf, err3 := c.seconds("nbf")
	switch {
	case errors.Join(err, err2, err3) != nil:
		return errors.Join(err, err2, err3)
	case iat.IsZero() || exp.IsZero():
		return errors.New("iat or exp is missing")
	case iat.After(now.Add(skew)) || nbf.After(now.Add(skew)):
		return errors.New("it is of the future")
	case iat.Before(now.Add(-oldestToken)):
		return errors.New("it was not made for this sign-in: too old")
	case !exp.After(now.Add(-skew)):
		return errors.New("it has expired")
	case exp.After(now.Add(longestToken)):
		return errors.New("it lasts for more than a day")
	}
	return nil
}

// names are the claims that came, sorted.
func (c claims) names() []string {
	out := make([]string, 0, len(c))
	for name := range c {
		if plain(name) && name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxNames)]
}

// roles are the values of the claims that may make somebody staff.
func (c claims) roles(names []string) (out []session.RoleClaim) {
	for _, name := range names {
		for _, v := range c.values(name) {
			if len(out) < maxValues {
				out = append(out, session.RoleClaim{Claim: name, Value: v})
			}
		}
	}
	return out
}

// values returns the texts of a claim, or of what a dotted name reaches: realm_access.roles.
func (c claims) values(name string) []string {
	if raw, has := c[name]; has {
		if s, ok := c.text(name); ok && s != "" && plain(s) {
			return []string{s}
		}
		if len(raw) > 0 && raw[0] == '[' {
			return c.list(name)
		}
		return nil
	}
	head, rest, dotted := strings.Cut(name, ".")
	var inner claims
	if !dotted || json.Unmarshal(c[head], &inner) != nil {
		return nil
	}
	return inner.values(rest)
}

// plain reports whether a text from a provider may be kept: short, and without what breaks a line. "" is plain.
func plain(s string) bool {
	return len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}
