package provision

import (
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

// guard finds out which connector calls, and how often it may. Failures are limited in this process: they cost a look at the database each. Who
// was let in lately is not kept out by others' failures.
type guard struct {
	store Connectors
	now   func() time.Time
	log   *slog.Logger
	// passwords says whether passwords that may be set are handed on at all.
	passwords bool

	mu       sync.Mutex
	full     time.Time            // when the allowance for failures is whole again (GCRA)
	accepted map[string]admission // by hash of the token
	spent    map[string]time.Time // by connector: when its allowance is whole again (GCRA)
}

// admission is what is remembered of a token that was let in.
type admission struct {
	at        time.Time
	connector string
	rate      int // requests a second
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
	known, wait := g.wait(hash, now)
	if wait > 0 {
		return nil, &scim.Error{Status: http.StatusTooManyRequests, Detail: "too many requests with tokens that are not valid", RetryAfter: wait}
	}
	if known.rate > 0 { // before the database is asked anything
		if wait := g.spend(known.connector, known.rate, now); wait > 0 {
			return nil, tooMany(known.rate, wait)
		}
	}
	c, err := g.store.ConnectorByToken(r.Context(), hash, now)
	if err != nil {
		return nil, &scim.Error{Status: http.StatusServiceUnavailable, Detail: "the token cannot be checked now", RetryAfter: time.Second, Cause: err}
	}
	if c == nil {
		g.failed(hash, now)
		return nil, scim.ErrUnauthenticated
	}
	if known.rate == 0 {
		if wait := g.spend(c.ID, c.PerSecond(), now); wait > 0 {
			return nil, tooMany(c.PerSecond(), wait)
		}
	}
	p, err := principal(c)
	if err != nil {
		return nil, err
	}
	p.ChangePassword = p.ChangePassword && g.passwords
	g.let(hash, admission{now, c.ID, c.PerSecond()})
	return p, nil
}

// principal is a connector as the engine knows it: its preset, and what it may do.
func principal(c *client.Connector) (*scim.Principal, error) {
	compat, err := compatOf(c)
	if err != nil {
		return nil, err
	}
	return &scim.Principal{Subject: "connector:" + c.ID, Compat: compat, ReadOnly: c.ReadOnly, Types: typesOf(c), ChangePassword: c.SetPassword && c.May(client.UseUsers), Data: c}, nil
}

// compatOf is how far the server bends to a connector: as its preset says, and its switches otherwise. A switch that a later
// version had and this one does not know is passed over, so that a step back to an older program keeps nobody out.
func compatOf(c *client.Connector) (schema.Compat, error) {
	compat, ok := schema.Preset(string(c.Preset))
	if !ok {
		return compat, fmt.Errorf("connector %s: no preset %q", c.Name, c.Preset)
	}
	for name, on := range c.Switches {
		if s, ok := schema.SwitchNamed(name); ok {
			compat = s.Set(compat, on)
		}
	}
	return compat, nil
}

// typesOf names the resource types a connector may use; nil for all.
func typesOf(c *client.Connector) []string {
	if len(c.Uses) == 0 {
		return nil
	}
	names := map[client.Use]string{client.UseUsers: "User", client.UseGroups: "Group", client.UseMethods: "AuthenticationMethod"}
	var types []string
	for _, u := range client.Uses {
		if c.May(u) {
			types = append(types, names[u])
		}
	}
	return types
}

// wait says how long a request has to wait before its token is looked at, and what is known of one that was let in lately.
func (g *guard) wait(hash []byte, now time.Time) (admission, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a, ok := g.accepted[hex.EncodeToString(hash)]; ok && now.Sub(a.at) < rememberFor {
		return a, 0
	}
	if g.full.Before(now) { // also before the first failure, when full is the zero time and a difference would overflow
		return admission{}, 0
	}
	if !g.full.After(now) {
		return admission{}, 0
	}
	return admission{}, max(0, g.full.Sub(now)-(failureBurst-1)*failureEvery)
}

// spend takes one request from what a connector may ask for a second, whichever of its tokens it comes with, and says how
// long to wait when nothing is left. It guards what this process can do and nothing else, so each process counts by itself.
func (g *guard) spend(connector string, rate int, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	each := time.Second / time.Duration(rate)
	full := g.spent[connector]
	if full.Before(now) {
		full = now
	}
	if wait := full.Sub(now) - time.Second + each; wait > 0 {
		return wait
	}
	if g.spent == nil || len(g.spent) >= rememberAtAll {
		g.spent = map[string]time.Time{}
	}
	g.spent[connector] = full.Add(each)
	return 0
}

// tooMany is the answer to a connector that asked more often than it may.
func tooMany(rate int, wait time.Duration) error {
	return &scim.Error{Status: http.StatusTooManyRequests, Detail: fmt.Sprintf("too many requests: this client may make %d a second", rate), RetryAfter: wait}
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

func (g *guard) let(hash []byte, a admission) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.accepted == nil || len(g.accepted) >= rememberAtAll {
		g.accepted = map[string]admission{}
	}
	g.accepted[hex.EncodeToString(hash)] = a
}
