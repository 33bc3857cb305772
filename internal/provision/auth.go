package provision

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// touchEvery is how exactly the last use of a connector is kept.
const touchEvery = time.Minute

// guard finds out which connector calls. Failures are limited in this process: they cost a look at the database each. Who
// was let in lately is not kept out by others' failures.
type guard struct {
	store Connectors
	now   func() time.Time
	log   *slog.Logger

	mu       sync.Mutex
	full     time.Time            // when the allowance for failures is whole again (GCRA)
	accepted map[string]time.Time // hashes of tokens let in, and when
}

// The allowance for requests with well-formed tokens nobody knows.
const (
	failureBurst  = 100
	failureEvery  = 100 * time.Millisecond // one comes back
	rememberFor   = time.Hour
	rememberAtAll = 10_000
)

// authenticate is scim.Config.Auth: one Authorization header with one live bearer token (RFC 6750 §2.1; tokens in the query
// or the body are never looked at).
func (g *guard) authenticate(r *http.Request) (*scim.Principal, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, scim.ErrUnauthenticated
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	hash, ok := keyring.HashToken(strings.TrimSpace(token))
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, scim.ErrUnauthenticated
	}
	now := g.now()
	if wait := g.wait(hash, now); wait > 0 {
		return nil, &scim.Error{Status: http.StatusTooManyRequests, Detail: "too many requests with tokens that are not valid", RetryAfter: wait}
	}
	c, err := g.store.ConnectorByToken(r.Context(), hash, now)
	if err != nil {
		return nil, &scim.Error{Status: http.StatusServiceUnavailable, Detail: "the token cannot be checked now", RetryAfter: time.Second, Cause: err}
	}
	if c == nil {
		g.failed(hash, now)
		return nil, scim.ErrUnauthenticated
	}
	compat, ok := schema.Preset(string(c.Preset))
	if !ok {
		return nil, fmt.Errorf("connector %s: no preset %q", c.Name, c.Preset)
	}
	g.let(hash, now)
	g.touch(r.Context(), c, now)
	return &scim.Principal{Subject: "connector:" + c.ID, Compat: compat, Data: c}, nil
}

// wait says how long a request has to wait before its token is looked at.
func (g *guard) wait(hash []byte, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.accepted[hex.EncodeToString(hash)]; ok && now.Sub(at) < rememberFor {
		return 0
	}
	if g.full.Before(now) { // also before the first failure, when full is the zero time and a difference would overflow
		return 0
	}
	if !g.full.After(now) {
		return 0
	}
	return max(0, g.full.Sub(now)-(failureBurst-1)*failureEvery)
}

func (g *guard) failed(hash []byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accepted, hex.EncodeToString(hash)) // it was live once; from here on it is as good as any other
	if g.full.Before(now) {
		g.full = now
	}
	g.full = g.full.Add(failureEvery)
}

func (g *guard) let(hash []byte, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.accepted == nil || len(g.accepted) >= rememberAtAll {
		g.accepted = map[string]time.Time{}
	}
	g.accepted[hex.EncodeToString(hash)] = now
}

// touch notes the use. That it could not be noted is no reason to turn the request away.
func (g *guard) touch(ctx context.Context, c *client.Connector, now time.Time) {
	if now.Sub(c.Last) < touchEvery {
		return
	}
	if err := g.store.TouchConnector(ctx, c.ID, now); err != nil {
		g.log.WarnContext(ctx, "use of a connector not noted", "connector", c.Name, "err", err)
	}
}
