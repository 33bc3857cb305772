package signin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
)

const (
	maxLogoutBody  = 64 << 10
	oldestLogout   = 5 * time.Minute
	logoutEvent    = "http://schemas.openid.net/event/backchannel-logout"
	logoutTokenTyp = "logout+jwt"
)

// backChannel takes a logout token (OIDC Back-Channel Logout 1.0 §2.5 to §2.8). Anybody can call it, so it counts before
// it looks, and a token with an invented key id costs the provider at most one request in keyRetry.
func (d *Door) backChannel(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // §2.8
	rest, _ := strings.CutPrefix(r.URL.Path, PathSignIn+"/")
	name, ok := strings.CutSuffix(rest, "/backchannel-logout")
	p := d.find(name)
	switch {
	case !ok || p == nil:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	if err := d.Sessions.MayLogOut(r.Context(), session.Origin{Addr: d.site.Client(r)}); err != nil {
		status := http.StatusServiceUnavailable
		if fault.Is(err, fault.Limited) {
			status = http.StatusTooManyRequests
		}
		w.Header().Set("Retry-After", "60")
		http.Error(w, "try again later", status)
		return
	}
	err := d.loggedOut(r.Context(), p, w, r)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	d.Log.WarnContext(r.Context(), "logout token refused", "idp", p.Name, "cause", err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, `{"error":"invalid_request"}`) //nolint:errcheck // the caller is gone
}

func (d *Door) loggedOut(ctx context.Context, p *provider, w http.ResponseWriter, r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return errors.New("no form")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogoutBody))
	if err != nil {
		return errors.New("body too large or broken off")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form["logout_token"]) != 1 {
		return errors.New("want one logout_token")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	t, issued, err := p.judgeLogout(ctx, form.Get("logout_token"))
	if err != nil {
		return err
	}
	// Once it is too old to be taken there is nothing to remember.
	n, first, err := d.Sessions.LoggedOut(ctx, p.Issuer, t.SessionID, t.Subject, t.TokenID, issued.Add(oldestLogout+2*skew))
	switch {
	case err != nil:
		return err
	case !first:
		return errors.New("a token that was used")
	}
	d.Log.InfoContext(ctx, "signed out by the provider", "idp", p.Name, "sessions", n)
	return nil
}

// judgeLogout checks a logout token. go-oidc checks the signature, issuer, audience, expiry, that there are a jti and a
// sub or sid, and that there is no nonce; its type, its age and the form of its event are ours.
func (p *provider) judgeLogout(ctx context.Context, raw string) (*oidc.LogoutToken, time.Time, error) {
	switch typ := headerType(raw); typ {
	case "", "jwt", logoutTokenTyp: // the type is recommended since 2022; nonce and events tell the tokens apart without
	default:
		return nil, time.Time{}, errors.New("a token of another type")
	}
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	now := p.now()
	v := oidc.NewVerifier(p.Issuer, p.keys, &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: m.signatures(), Now: func() time.Time { return now.Add(-skew) }})
	t, err := v.VerifyLogout(ctx, raw)
	if err != nil {
		return nil, time.Time{}, err
	}
	var c claims
	if err := t.Claims(&c); err != nil {
		return nil, time.Time{}, errors.New("claims are no object")
	}
	issued, err := c.seconds("iat")
	switch {
	case err != nil || issued.IsZero():
		return nil, time.Time{}, errors.New("iat is missing")
	case issued.After(now.Add(skew)) || issued.Before(now.Add(-oldestLogout-skew)):
		return nil, time.Time{}, errors.New("iat is too far from now")
	}
	var events map[string]map[string]json.RawMessage
	if json.Unmarshal(c["events"], &events) != nil || events[logoutEvent] == nil {
		return nil, time.Time{}, errors.New("no logout event")
	}
	if !plain(t.SessionID) || !plain(t.Subject) || !plain(t.TokenID) {
		return nil, time.Time{}, errors.New("a claim is too long or no plain text")
	}
	return t, issued, nil
}
