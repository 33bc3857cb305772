package signal

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/limit"
)

// tokenPrefix starts the access tokens of receivers. Whose a token is and a mark that only we can make for them follow, so that
// tokens nobody was given are told apart without a look at the database, and whoever floods us with tokens of their own
// keeps nobody else out. What opens something are the random bytes after that.
const tokenPrefix = "rgn_ssf"

// tokensOf is how the access tokens of a receiver begin.
func (s *Service) tokensOf(receiver string) string {
	return tokenPrefix + "_" + strings.ReplaceAll(receiver, "-", "") + "_" + hex.EncodeToString(s.Keys.Hash("ssf-token", receiver)[:8])
}

// shownBy returns the id of the receiver that a token, by how it begins, was given to; "" when it was given to nobody.
func (s *Service) shownBy(prefix string) string {
	rest, ours := strings.CutPrefix(prefix, tokenPrefix+"_")
	name, _, _ := strings.Cut(rest, "_")
	id, err := uuid.Parse(name)
	if !ours || err != nil || subtle.ConstantTimeCompare([]byte(prefix), []byte(s.tokensOf(id.String()))) != 1 {
		return ""
	}
	return id.String()
}

// How many access tokens one receiver may ask for. One lives for half an hour, so that an honest receiver asks for a few.
const (
	tokenBurst = 60
	tokenPer   = 10 * time.Minute
)

// ClientCredentials answers a request at the token endpoint for an access token of a receiver (RFC 6749 §4.4). form is the
// body. The receiver authenticates by its key and one of its secrets, in the header or
// in the body (§2.3.1). Scopes that are not asked for are granted both; those we do not know are passed over, and the answer
// says which were granted (§3.3).
func (s *Service) ClientCredentials(w http.ResponseWriter, r *http.Request, form url.Values) {
	if err := s.grant(w, r, form); err != nil {
		s.answerFault(w, r, err)
	}
}

func (s *Service) grant(w http.ResponseWriter, r *http.Request, form url.Values) error {
	ctx, now := r.Context(), s.Now()
	key, secret, err := credentials(r, form)
	if err != nil {
		return err
	}
	who, err := s.Store.Receiver(ctx, key)
	if err != nil {
		return err
	}
	id := liveSecret(who, secret, now)
	if id == "" {
		return errClient
	}
	scopes := asked(form.Get("scope"))
	if len(scopes) == 0 {
		return &refusal{status: http.StatusBadRequest, code: "invalid_scope", text: "want ssf.manage or ssf.read"}
	}
	bucket := limit.Bucket{Key: s.Keys.Hash("limit", "ssf-token", who.ID), Burst: tokenBurst, Per: tokenPer}
	switch room, retry, err := s.Limits.Spend(ctx, now, bucket); {
	case err != nil:
		return err
	case !room:
		return &refusal{status: http.StatusTooManyRequests, code: "slow_down", text: "too many access tokens: use one until it expires", retry: retry}
	}
	token, hash := keyring.NewToken(s.tokensOf(who.ID))
	if err := s.Store.PutAccess(ctx, client.Access{Hash: hash, Receiver: who.ID, Secret: id, Scopes: scopes, Expires: now.Add(client.AccessTime)}, now); err != nil {
		return err
	}
	granted := make([]string, len(scopes))
	for i, scope := range scopes {
		granted[i] = string(scope)
	}
	w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	write(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(client.AccessTime / time.Second), "scope": strings.Join(granted, " ")})
	return nil
}

// errClient is the one answer to a receiver that is unknown, disabled or has another secret.
var errClient = &refusal{status: http.StatusUnauthorized, code: "invalid_client", text: "the client or its secret is not known"}

// credentials reads who asks: by the header or by the body, not by both.
func credentials(r *http.Request, form url.Values) (key, secret string, err error) {
	headers := r.Header.Values("Authorization")
	if len(form["client_id"]) > 1 || len(form["client_secret"]) > 1 || len(form["scope"]) > 1 {
		return "", "", &refusal{status: http.StatusBadRequest, text: "a parameter came more than once"}
	}
	if len(headers) == 0 {
		if key, secret = form.Get("client_id"), form.Get("client_secret"); key == "" || secret == "" {
			return "", "", errClient
		}
		return key, secret, nil
	}
	user, password, ok := r.BasicAuth()
	if len(headers) > 1 || form.Has("client_secret") {
		return "", "", &refusal{status: http.StatusBadRequest, text: "authenticate once: in the header or in the body"}
	}
	key, err1 := url.QueryUnescape(user) // RFC 6749 §2.3.1
	secret, err2 := url.QueryUnescape(password)
	if !ok || err1 != nil || err2 != nil || form.Has("client_id") && form.Get("client_id") != key {
		return "", "", errClient
	}
	return key, secret, nil
}

// liveSecret returns the id of the receiver's secret that was shown; "" when it is none of them or the receiver may not
// ask. All of them are compared.
func liveSecret(who *client.Receiver, secret string, now time.Time) (id string) {
	hash, ok := keyring.HashToken(secret)
	if !ok || who == nil || who.Disabled || who.Kind != client.ReceiverSSF {
		return ""
	}
	for _, t := range who.Secrets {
		if subtle.ConstantTimeCompare(hash, t.Hash) == 1 && (t.Expires.IsZero() || now.Before(t.Expires)) {
			id = t.ID
		}
	}
	return id
}

// asked returns the known scopes of a list, in our order.
func asked(scope string) (known []client.Scope) {
	all := []client.Scope{client.ScopeManage, client.ScopeRead}
	words := strings.Fields(scope)
	if len(words) == 0 {
		return all
	}
	for _, s := range all {
		if slices.Contains(words, string(s)) {
			known = append(known, s)
		}
	}
	return known
}
