package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/staff"
)

const selectPolicy = `SELECT version, hash, body, by_whom, applied FROM policies `

func readPolicy(row scanner) (p policy.Policy, err error) {
	var body, hash, by string
	var version, applied int64
	if err := row.Scan(&version, &hash, &body, &by, &applied); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return p, fmt.Errorf("policy %d: %w", version, err)
	}
	p.Version, p.Hash, p.By, p.Applied = version, hash, by, moment(applied)
	return p, nil
}

// errNoPolicy is the cause when EnsurePolicy never ran: without a policy nobody may reset.
var errNoPolicy = errors.New("no policy was applied")

func (s *Store) onePolicy(ctx context.Context, what, where string, args ...any) (policy.Policy, error) {
	p, err := readPolicy(s.db.queryRow(ctx, selectPolicy+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return p, notFound("policy", what)
	}
	return p, err
}

// Policy returns the policy in force, as the database has it now; see Cached. fault.Unavailable while none was applied.
func (s *Store) Policy(ctx context.Context) (policy.Policy, error) {
	p, err := s.onePolicy(ctx, "", `ORDER BY version DESC LIMIT 1`)
	if fault.Is(err, fault.NotFound) {
		return p, unavailable(errNoPolicy)
	}
	return p, err
}

// PolicyVersion returns one version, which never changes. fault.NotFound when there is none.
func (s *Store) PolicyVersion(ctx context.Context, version int64) (policy.Policy, error) {
	return s.onePolicy(ctx, fmt.Sprint(version), `WHERE version = $1`, version)
}

// maxPolicies is how many versions are listed.
const maxPolicies = 500

// PolicyVersions returns the latest 500 versions, newest first.
func (s *Store) PolicyVersions(ctx context.Context) ([]policy.Policy, error) {
	return collect(ctx, s.db, readPolicy, selectPolicy+`ORDER BY version DESC LIMIT $1`, maxPolicies)
}

// ApplyPolicy makes p the newest version, with an event, and moves the generation; it returns the version. A policy with
// the same hash as the newest is that version already and nothing is written. Where p has no hash, that of its rules is
// taken. Of several who apply at once each gets a version of its own, in some order. fault.Invalid when Check refuses it.
func (s *Store) ApplyPolicy(ctx context.Context, p policy.Policy, by string, now time.Time) (int64, error) {
	return s.applyPolicy(ctx, p, by, now, false)
}

// EnsurePolicy applies the default policy when there is none at all, and returns the version in force.
func (s *Store) EnsurePolicy(ctx context.Context, by string, now time.Time) (int64, error) {
	return s.applyPolicy(ctx, policy.Default(), by, now, true)
}

func (s *Store) applyPolicy(ctx context.Context, p policy.Policy, by string, now time.Time, onlyFirst bool) (int64, error) {
	if err := p.Check(); err != nil {
		return 0, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
	}
	rules := policy.Policy{Protected: p.Protected, Rules: p.Rules}
	body, err := json.Marshal(rules)
	if err != nil {
		return 0, err
	}
	if p.Hash == "" {
		sum := sha256.Sum256(body)
		p.Hash = hex.EncodeToString(sum[:])
	}
	type current struct {
		version int64
		hash    string
	}
	version := int64(0)
	err = update(ctx, s,
		func(ctx context.Context, r reader) (c current, err error) {
			err = r.queryRow(ctx, `SELECT version, hash FROM policies ORDER BY version DESC LIMIT 1`).Scan(&c.version, &c.hash)
			if errors.Is(err, sql.ErrNoRows) {
				return current{}, nil
			}
			return c, err
		},
		func(c *current) ([]event.Event, error) {
			version = c.version
			if c.version > 0 && (onlyFirst || c.hash == p.Hash) {
				return nil, ErrUnchanged
			}
			version++
			return []event.Event{event.New(now, event.PolicyApplied, by, "", "", event.Success).With("version", version).With("hash", p.Hash)}, nil
		},
		func(current) (change, error) {
			return change{
				first: statement(`INSERT INTO policies (version, hash, body, by_whom, applied) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (version) DO NOTHING`,
					version, p.Hash, string(body), by, micros(now)),
				with: []stmt{moveGeneration()},
			}, nil
		})
	if err != nil && !errors.Is(err, ErrUnchanged) {
		return 0, fmt.Errorf("apply policy: %w", err)
	}
	return version, nil
}

var (
	_ reset.Store    = (*Cached)(nil)
	_ reset.Policies = (*Cached)(nil)
	_ reset.Policies = (*Store)(nil)
	_ staff.Store    = (*Cached)(nil)
)

// Cached is a store that keeps the policy, the connectors' trust, the apps, the rules of roles and the signing keys in memory. An app polls Refresh each second; whoever
// finds what is kept older than MaxStale refreshes it first, so that a poll that hangs leaves nothing old in force.
// Versions of the policy never change and are kept for good. Safe for concurrent use.
//
// With the poll running, none of its questions costs a statement, whoever is asked about.
type Cached struct {
	*Store
	mu       sync.Mutex
	read     time.Time // when the generation was last read
	kept     *kept
	versions map[int64]policy.Policy
	tokens   tokens // of connectors
}

// kept is what one generation said.
type kept struct {
	generation int64
	policy     policy.Policy
	trusts     method.Trusts
	apps       []client.App
	roles      []staff.Rule
	signing    map[string][]keyring.SigningKey // by purpose
	unsigned   error                           // why they do not open: that must not keep people from a reset
}

// MaxStale is how old what a Cached keeps may be before it looks again by itself.
const MaxStale = 3 * time.Second

// maxVersions is how many versions of the policy are kept in memory; attempts live for hours, so few are asked for.
const maxVersions = 16

// Cached returns the store with what changes seldom kept in memory.
func (s *Store) Cached() *Cached { return &Cached{Store: s, versions: map[int64]policy.Policy{}} }

// Refresh reads the generation and, when it has moved, what is kept.
func (c *Cached) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refresh(ctx)
}

func (c *Cached) refresh(ctx context.Context) error {
	now := c.now()
	// Read before the rest: what changes in between makes the next look find a newer generation.
	generation, err := c.Generation(ctx)
	if err != nil {
		return err
	}
	if c.kept == nil || c.kept.generation != generation {
		p, err := c.Store.Policy(ctx)
		if err != nil {
			return err
		}
		trusts, err := c.Store.Trusts(ctx)
		if err != nil {
			return err
		}
		apps, err := c.Store.Apps(ctx)
		if err != nil {
			return err
		}
		roles, err := c.Store.RoleRules(ctx)
		if err != nil {
			return err
		}
		next := &kept{generation: generation, policy: p, trusts: trusts, apps: apps, roles: roles}
		stored, err := collect(ctx, c.db, readSigning, selectSigning+signingOrder)
		if err != nil {
			return err
		}
		next.signing, next.unsigned = c.openAllSigning(stored)
		c.kept = next
	}
	c.read = now
	return nil
}

func (c *Cached) current(ctx context.Context) (*kept, error) { return c.within(ctx, MaxStale) }

// within returns what is kept, when the generation was looked at no longer ago than stale; else it looks first.
func (c *Cached) within(ctx context.Context, stale time.Duration) (*kept, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || c.now().Sub(c.read) >= stale {
		if err := c.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return c.kept, nil
}

// Policy returns the policy in force. Callers must not change its lists.
func (c *Cached) Policy(ctx context.Context) (policy.Policy, error) {
	k, err := c.current(ctx)
	if err != nil {
		return policy.Policy{}, err
	}
	return k.policy, nil
}

// Trusts returns how far each connector is trusted.
func (c *Cached) Trusts(ctx context.Context) (method.Trusts, error) {
	k, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	return maps.Clone(k.trusts), nil
}

// Apps returns all apps in order of key.
func (c *Cached) Apps(ctx context.Context) ([]client.App, error) {
	k, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(k.apps)
	for i := range all {
		all[i] = plainApp(all[i])
	}
	return all, nil
}

// App returns an app by its key, disabled or not; nil when there is none.
func (c *Cached) App(ctx context.Context, key string) (*client.App, error) {
	k, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range k.apps {
		if a.Key == key {
			a = plainApp(a)
			return &a, nil
		}
	}
	return nil, nil
}

// SigningKeys returns the keys of a purpose, of every algorithm and in every state: for each algorithm what signs, what
// will, what did.
func (c *Cached) SigningKeys(ctx context.Context, purpose string) ([]keyring.SigningKey, error) {
	k, err := c.current(ctx)
	if err == nil {
		err = k.unsigned
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(k.signing[purpose]), nil
}

// EnsureSigning makes keys where there are none, and sees them at once.
func (c *Cached) EnsureSigning(ctx context.Context, purpose, alg string, now time.Time) error {
	if err := c.Store.EnsureSigning(ctx, purpose, alg, now); err != nil {
		return err
	}
	return c.Refresh(ctx)
}

// RoleRules returns what makes people staff, oldest first.
func (c *Cached) RoleRules(ctx context.Context) ([]staff.Rule, error) {
	k, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(k.roles), nil
}

// PolicyVersion returns one version, which never changes. fault.NotFound when there is none.
func (c *Cached) PolicyVersion(ctx context.Context, version int64) (policy.Policy, error) {
	c.mu.Lock()
	p, known := c.versions[version]
	c.mu.Unlock()
	if known {
		return p, nil
	}
	p, err := c.Store.PolicyVersion(ctx, version)
	if err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.versions) >= maxVersions {
		clear(c.versions)
	}
	c.versions[version] = p
	return p, nil
}
