package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
)

// How long the keys that a client publishes are believed, and how often they are asked for at most: one that was withdrawn
// is trusted no longer than publishedAge, and assertions with invented key ids cause one request in publishedRetry.
const (
	publishedAge   = 10 * time.Minute
	publishedRetry = 30 * time.Second
	maxPublished   = 16       // keys of one set
	maxSet         = 64 << 10 // bytes of one
	maxSets        = 1000     // addresses that are remembered; there are 200 connectors at most
)

// published are the keys that clients publish at addresses of their own (RFC 7517 §5), as they were last read.
type published struct {
	http *http.Client
	mu   sync.Mutex
	sets map[string]*publishedSet
}

// publishedSet is one address.
type publishedSet struct {
	mu    sync.Mutex // one asks, the others wait for what it hears
	have  []client.PublicKey
	read  time.Time // when have was read; zero: never
	tried time.Time
	err   error // of the last try
}

// keys returns the keys at an address. When none of them is of a kid, they are read anew, but not more often than every
// publishedRetry.
func (p *published) keys(ctx context.Context, address, kid string, now time.Time) ([]client.PublicKey, error) {
	set := p.set(address)
	set.mu.Lock()
	defer set.mu.Unlock()
	fresh := !set.read.IsZero() && now.Sub(set.read) < publishedAge
	if fresh && (kid == "" || has(set.have, kid)) {
		return set.have, nil
	}
	if set.tried.IsZero() || now.Sub(set.tried) >= publishedRetry {
		set.tried = now
		have, err := p.read(ctx, address)
		if set.err = err; err == nil {
			set.have, set.read, fresh = have, now, true
		}
	}
	if !fresh {
		return nil, fmt.Errorf("the keys the client publishes: %w", set.err)
	}
	return set.have, nil
}

func (p *published) set(address string) *publishedSet {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.sets[address]
	if set == nil {
		if p.sets == nil || len(p.sets) >= maxSets {
			p.sets = map[string]*publishedSet{}
		}
		set = &publishedSet{}
		p.sets[address] = set
	}
	return set
}

func has(keys []client.PublicKey, kid string) bool {
	for _, k := range keys {
		if k.ID == kid {
			return true
		}
	}
	return false
}

// read asks for a key set. Keys of other kinds, and for other uses, are passed over.
func (p *published) read(ctx context.Context, address string) ([]client.PublicKey, error) {
	if p.http == nil {
		return nil, errors.New("key sets are not read here")
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, address, nil) // others wait for it, whoever asked first
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", address, answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxSet+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxSet {
		return nil, fmt.Errorf("%s: more than %d bytes", address, maxSet)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil || set.Keys == nil {
		return nil, fmt.Errorf("%s: no key set", address)
	}
	if len(set.Keys) > maxPublished {
		return nil, fmt.Errorf("%s: %d keys, at most %d", address, len(set.Keys), maxPublished)
	}
	var keys []client.PublicKey
	for _, raw := range set.Keys {
		kid, public, err := keyring.PublicJWK(raw)
		if err != nil { // another kind, another use, or a private one: nothing is believed for it
			continue
		}
		keys = append(keys, client.PublicKey{ID: kid, JWK: public})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no key that signs is in the set", address)
	}
	return keys, nil
}

// lately remembers what was done within the last minute, by name.
type lately struct {
	mu   sync.Mutex
	done map[string]time.Time
}

func (l *lately) due(name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.done[name]; ok && now.Sub(at) < time.Minute {
		return false
	}
	if l.done == nil || len(l.done) >= maxSets {
		l.done = map[string]time.Time{}
	}
	l.done[name] = now
	return true
}
