package signal

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// Errors of RFC 6750 §3.1.
const (
	codeBearer = "invalid_token"
	codeScope  = "insufficient_scope"
)

// challenge is the header that says how to get in: to the token endpoint as a client (RFC 6749 §5.2), elsewhere with a
// token (RFC 6750 §3), where a request without one is told no error.
func challenge(e *refusal) string {
	if e == errClient {
		return `Basic realm="token", charset="UTF-8"`
	}
	s := `Bearer realm="ssf"`
	if e.code != "" {
		s += fmt.Sprintf(`, error=%q, error_description=%q`, e.code, e.text)
	}
	if e.scope != "" {
		s += fmt.Sprintf(`, scope=%q`, e.scope)
	}
	return s
}

// The paces of this process. They guard its capacity, not a secret: a token has 256 bits and is not guessed.
var (
	paceRequests = pace{burst: 100, every: 50 * time.Millisecond}  // of one receiver
	paceUnknown  = pace{burst: 100, every: 100 * time.Millisecond} // of one who shows tokens nobody knows: each costs a look at the database
)

// pace is an allowance: burst at once, one comes back every so often.
type pace struct {
	burst int
	every time.Duration
}

// gate keeps the allowances, by name (GCRA). Names are ids of receivers, each twice, so that there are few.
type gate struct {
	mu       sync.Mutex
	full     map[string]time.Time // when the allowance is whole again
	accepted map[string]time.Time // hashes of tokens let in, and when: failures do not keep them out
}

// wait says how long a name has to wait; it takes one of the allowance when it need not and take is set.
func (g *gate) wait(name string, p pace, now time.Time, take bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.full[name]
	if full.Before(now) {
		full = now
	}
	if over := full.Sub(now) - time.Duration(p.burst-1)*p.every; over > 0 {
		return over
	}
	if take {
		if g.full == nil {
			g.full = map[string]time.Time{}
		}
		g.full[name] = full.Add(p.every)
	}
	return 0
}

// maxAccepted bounds how many tokens are remembered; forgetting one costs nothing but its privilege.
const maxAccepted = 10_000

func (g *gate) known(hash []byte, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.accepted[hex.EncodeToString(hash)]
	return ok && now.Sub(at) < client.AccessTime
}

func (g *gate) note(hash []byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.accepted == nil || len(g.accepted) >= maxAccepted {
		g.accepted = map[string]time.Time{}
	}
	g.accepted[hex.EncodeToString(hash)] = now
}

func (g *gate) forget(hash []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accepted, hex.EncodeToString(hash))
}

// enter finds out which receiver calls: by one bearer token in the header and nowhere else (RFC 6750 §2.1), that is good
// for one of the scopes, and whose receiver and secret still live.
func (a *api) enter(r *http.Request, scopes ...client.Scope) (*client.Receiver, error) {
	headers := r.Header.Values("Authorization")
	switch {
	case r.URL.Query().Has("access_token"): // a token in an address is in somebody's log by now
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "a token belongs into the header"}
	case len(headers) > 1:
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_request", text: "one token in one header"}
	case len(headers) == 0:
		return nil, &refusal{status: http.StatusUnauthorized, text: "a token is needed"}
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, &refusal{status: http.StatusUnauthorized, text: "a bearer token is needed"}
	}
	unknown := &refusal{status: http.StatusUnauthorized, code: codeBearer, text: "the token is not valid, or not any more"}
	token = strings.TrimLeft(token, " ")
	hash, ok := keyring.HashToken(token)
	prefix, _ := keyring.TokenPrefix(token)
	by := a.shownBy(prefix)
	if !ok || by == "" {
		return nil, unknown
	}
	now := a.Now()
	if !a.gate.known(hash, now) {
		if wait := a.gate.wait("unknown "+by, paceUnknown, now, false); wait > 0 {
			return nil, &refusal{status: http.StatusTooManyRequests, text: "too many requests with tokens that are not valid", retry: wait}
		}
	}
	access, err := a.Store.Access(r.Context(), hash, now)
	if err != nil {
		return nil, err
	}
	var who *client.Receiver
	if access != nil {
		if who, err = a.Store.ReceiverByID(r.Context(), access.Receiver); err != nil {
			return nil, err
		}
	}
	if !alive(who, access, now) {
		a.gate.forget(hash)
		a.gate.wait("unknown "+by, paceUnknown, now, true)
		return nil, unknown
	}
	a.gate.note(hash, now)
	if wait := a.gate.wait(who.ID, paceRequests, now, true); wait > 0 {
		return nil, &refusal{status: http.StatusTooManyRequests, text: "too many requests", retry: wait}
	}
	if !access.Allows(scopes...) {
		want := make([]string, len(scopes))
		for i, s := range scopes {
			want[i] = string(s)
		}
		return nil, &refusal{status: http.StatusForbidden, code: codeScope, text: "the token is not good for this", scope: strings.Join(want, " ")}
	}
	return who, nil
}

// alive reports whether a token still counts: it ends with its receiver, and with the secret it was asked for with.
func alive(who *client.Receiver, access *client.Access, now time.Time) bool {
	if who == nil || access == nil || who.Disabled || who.Kind != client.ReceiverSSF || !now.Before(access.Expires) {
		return false
	}
	for _, t := range who.Secrets {
		if t.ID == access.Secret {
			return t.Expires.IsZero() || now.Before(t.Expires)
		}
	}
	return false
}
