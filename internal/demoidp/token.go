package demoidp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// idTokenLife is how long an ID token may be taken for new.
const idTokenLife = 5 * time.Minute

// token turns a code into an ID token. A code is spent by the first who shows it, right or wrong.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		}
		sendJSON(w, status, map[string]any{"error": code})
	}
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request")
		return
	}
	form := r.PostForm
	for _, name := range []string{"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"} {
		if len(form[name]) > 1 {
			refuse(http.StatusBadRequest, "invalid_request")
			return
		}
	}
	if !p.client(r) {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	if form.Get("grant_type") != "authorization_code" {
		refuse(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	p.mu.Lock()
	key := hash(form.Get("code"))
	g := p.codes.get(key, p.cfg.Now())
	p.codes.drop(key)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if g == nil || form.Get("redirect_uri") != g.redirect || !same(base64.RawURLEncoding.EncodeToString(sum[:]), g.challenge) {
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	access := rand.Text()
	id, err := p.idToken(g, access)
	if err != nil {
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	sendJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 60, "scope": "openid", "id_token": id})
}

// client authenticates the application, by header or by form (RFC 6749 §2.3.1).
func (p *Provider) client(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if basic {
		var err1, err2 error
		id, err1 = url.QueryUnescape(id)
		secret, err2 = url.QueryUnescape(secret)
		if err1 != nil || err2 != nil || r.PostForm.Has("client_secret") {
			return false
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	right := same(secret, p.cfg.ClientSecret)
	return right && id == p.cfg.ClientID
}

// idToken says who signed in, how and when. The access token opens nothing; it is there because the answer must have one.
func (p *Provider) idToken(g *grant, access string) (string, error) {
	now, who := p.cfg.Now(), g.person
	half := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.cfg.Issuer, "aud": p.cfg.ClientID, "iat": now.Unix(), "exp": now.Add(idTokenLife).Unix(), "auth_time": g.signedIn.Unix(),
		"sub": who.Sub, "oid": who.Oid, "acr": g.class, "amr": g.means, "sid": g.session.id, "at_hash": base64.RawURLEncoding.EncodeToString(half[:len(half)/2]),
		"groups": who.Groups, "roles": who.Roles,
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if slices.Contains(g.scopes, "profile") {
		claims["preferred_username"], claims["name"] = who.Login, who.Name
	}
	if slices.Contains(g.scopes, "email") {
		claims["email"] = who.Email
	}
	for name, value := range claims {
		if list, ok := value.([]string); value == "" || ok && list == nil {
			delete(claims, name)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	head := jws.NewHeaders()
	if err := head.Set(jws.TypeKey, "JWT"); err != nil {
		return "", err
	}
	signed, err := jws.Sign(payload, jws.WithKey(jwa.RS256(), p.key, jws.WithProtectedHeaders(head)))
	return string(signed), err
}

func sendJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) //nolint:errcheck // the reader is gone
}
