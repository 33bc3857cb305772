package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
)

// readAccess reads what a connector authenticates by beside its tokens, and its switches.
func readAccess(c *client.Connector, keys, switches string) (err error) {
	if keys != "" {
		if err := json.Unmarshal([]byte(keys), &c.Keys); err != nil {
			return err
		}
	}
	c.Switches, err = client.ReadSwitches(switches)
	return err
}

// keysColumn is how keys are stored.
func keysColumn(keys []client.PublicKey) (string, error) {
	if len(keys) == 0 {
		return "", nil
	}
	text, err := json.Marshal(keys)
	return string(text), err
}

// ConnectorByToken returns the connector whose token has that hash, one of its own or an access token; nil when there is
// none, or the token has ended.
func (s *Store) ConnectorByToken(ctx context.Context, hash []byte, now time.Time) (*client.Connector, error) {
	c, access, err := s.connectorByToken(ctx, hash)
	if err != nil || c == nil || !opens(c, access, hash, now) {
		return nil, err
	}
	return c, nil
}

// connectorByToken returns the connector that a token is of, whether or not the token has ended, and the access token if it
// is one.
func (s *Store) connectorByToken(ctx context.Context, hash []byte) (*client.Connector, *client.ConnectorAccess, error) {
	c, err := s.oneConnector(ctx, s.db, `WHERE c.id = (SELECT connector FROM connector_tokens WHERE hash = $1 UNION ALL SELECT connector FROM connector_access WHERE hash = $1)`, hash)
	if err != nil || c == nil || slices.ContainsFunc(c.Tokens, func(k client.Token) bool { return bytes.Equal(k.Hash, hash) }) {
		return c, nil, err
	}
	found, err := collect(ctx, s.db, func(row scanner) (a client.ConnectorAccess, err error) {
		var expires int64
		err = row.Scan(&a.Hash, &a.Connector, &a.By, &expires)
		a.Expires = moment(expires)
		return a, err
	}, `SELECT hash, connector, asked_by, expires FROM connector_access WHERE hash = $1`, hash)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	return c, &found[0], nil
}

// TokenOwner returns the id of the connector that a token is or was of, while that is known: until another takes its place.
// "" when it is not.
func (s *Store) TokenOwner(ctx context.Context, hash []byte) (string, error) {
	c, _, err := s.connectorByToken(ctx, hash)
	if err != nil || c == nil {
		return "", err
	}
	return c.ID, nil
}

// opens reports whether a token of a connector, an access token when there is one, counts at a time.
func opens(c *client.Connector, access *client.ConnectorAccess, hash []byte, now time.Time) bool {
	if access != nil {
		return c.Grants(access, now)
	}
	return slices.ContainsFunc(c.Live(now), func(k client.Token) bool { return bytes.Equal(k.Hash, hash) })
}

// PutConnectorAccess keeps an access token of a connector and drops those of the same connector whose time has passed, in one
// commit.
func (s *Store) PutConnectorAccess(ctx context.Context, a client.ConnectorAccess, now time.Time) error {
	err := s.db.write(ctx, func(t tx) error {
		if _, err := t.exec(ctx, `DELETE FROM connector_access WHERE connector = $1 AND expires <= $2`, a.Connector, micros(now)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO connector_access (hash, connector, asked_by, expires) VALUES ($1, $2, $3, $4)`, a.Hash, a.Connector, a.By, micros(a.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("put access token: %w", err)
	}
	return nil
}

// NoteHeard writes down the last request of a connector, and with bad that it failed. Connector "" is whoever came with a
// secret that is nobody's. What was noted later than now stays.
func (s *Store) NoteHeard(ctx context.Context, connector, what string, status int, bad bool, now time.Time) error {
	at := micros(now)
	badAt, badWhat, badStatus := int64(0), "", 0
	if bad {
		badAt, badWhat, badStatus = at, what, status
	}
	return s.db.write(ctx, func(t tx) error {
		if connector != "" && status != 401 { // who was not let in was not there
			n, err := t.exec(ctx, `UPDATE connectors SET last = $2 WHERE id = $1 AND last < $2`, connector, at)
			if err != nil {
				return err
			}
			if n == 0 { // somebody noted a later one, or it was deleted meanwhile
				var there int
				if err := t.queryRow(ctx, `SELECT count(*) FROM connectors WHERE id = $1`, connector).Scan(&there); err != nil || there == 0 {
					return err
				}
			}
		}
		_, err := t.exec(ctx, `INSERT INTO connector_heard (connector, at, what, status, bad_at, bad_what, bad_status) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (connector) DO UPDATE SET at = excluded.at, what = excluded.what, status = excluded.status,
				bad_at = CASE WHEN excluded.bad_at > 0 THEN excluded.bad_at ELSE connector_heard.bad_at END,
				bad_what = CASE WHEN excluded.bad_at > 0 THEN excluded.bad_what ELSE connector_heard.bad_what END,
				bad_status = CASE WHEN excluded.bad_at > 0 THEN excluded.bad_status ELSE connector_heard.bad_status END
			WHERE connector_heard.at <= excluded.at`, connector, at, what, status, badAt, badWhat, badStatus)
		return err
	})
}

const selectHeard = `SELECT connector, at, what, status, bad_at, bad_what, bad_status FROM connector_heard `

func (s *Store) heard(ctx context.Context, where string, args ...any) (map[string]client.LastHeard, error) {
	all := map[string]client.LastHeard{}
	err := s.db.query(ctx, func(row scanner) error {
		var h client.LastHeard
		var connector string
		var at, badAt int64
		err := row.Scan(&connector, &at, &h.What, &h.Status, &badAt, &h.BadWhat, &h.BadStatus)
		h.At, h.BadAt = moment(at), moment(badAt)
		all[connector] = h
		return err
	}, selectHeard+where, args...)
	return all, err
}

// Heard returns what was last heard of a connector; the zero value when nothing was. Connector "" is whoever came with a
// secret that is nobody's.
func (s *Store) Heard(ctx context.Context, connector string) (client.LastHeard, error) {
	all, err := s.heard(ctx, `WHERE connector = $1`, connector)
	return all[connector], err
}

// AllHeard is Heard of all of them, by their ids.
func (s *Store) AllHeard(ctx context.Context) (map[string]client.LastHeard, error) {
	return s.heard(ctx, "")
}

// tokenStale is how old the last look at the generation may be when a token is let in by what is kept: with the poll of each
// second, a token that was revoked anywhere lets nobody in after this, and one that a poll hangs on neither.
const tokenStale = 2 * time.Second

// maxTokensKept bounds how many tokens are kept; which ones are forgotten matters little.
const maxTokensKept = 10_000

// tokens are the tokens let in lately, with whose they are, as one generation had them. Access tokens are among them: the
// generation moves with the key or the connector that ends one.
type tokens struct {
	mu         sync.Mutex
	generation int64
	known      map[[32]byte]knownToken
}

type knownToken struct {
	connector *client.Connector
	access    *client.ConnectorAccess
}

// ConnectorByToken is as that of Store. Whoever was let in before costs no statement while the generation stands, which is
// looked at when nobody did within the last two seconds.
func (c *Cached) ConnectorByToken(ctx context.Context, hash []byte, now time.Time) (*client.Connector, error) {
	k, err := c.within(ctx, tokenStale)
	if err != nil {
		return nil, err
	}
	var key [32]byte
	if len(hash) != len(key) {
		return nil, nil
	}
	copy(key[:], hash)
	if known, there := c.tokens.get(k.generation, key); there {
		if !opens(known.connector, known.access, hash, now) {
			return nil, nil
		}
		v := *known.connector
		return &v, nil
	}
	v, access, err := c.connectorByToken(ctx, hash)
	if err != nil || v == nil || !opens(v, access, hash, now) { // what opens nothing is not kept: there is no end of it
		return nil, err
	}
	kept := *v
	c.tokens.put(k.generation, key, knownToken{&kept, access})
	return v, nil
}

func (t *tokens) get(generation int64, key [32]byte) (knownToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.generation != generation {
		t.generation, t.known = generation, nil
	}
	k, ok := t.known[key]
	return k, ok
}

// put keeps what was read. When the generation has moved since it was asked for, it may be older than that, and is not kept.
func (t *tokens) put(generation int64, key [32]byte, k knownToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.generation != generation {
		return
	}
	if t.known == nil || len(t.known) >= maxTokensKept {
		t.known = map[[32]byte]knownToken{}
	}
	t.known[key] = k
}

// look makes whoever asks next look at the generation first. What was committed stands, whether or not that works.
func (c *Cached) look(err error) error {
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.read = time.Time{}
	}
	return err
}

// CreateConnector is as that of Store, and seen here at once.
func (c *Cached) CreateConnector(ctx context.Context, v *client.Connector, events ...event.Event) error {
	return c.look(c.Store.CreateConnector(ctx, v, events...))
}

// UpdateConnector is as that of Store, and seen here at once.
func (c *Cached) UpdateConnector(ctx context.Context, id string, fn func(*client.Connector) ([]event.Event, error)) (*client.Connector, error) {
	v, err := c.Store.UpdateConnector(ctx, id, fn)
	return v, c.look(err)
}

// DeleteConnector is as that of Store, and seen here at once.
func (c *Cached) DeleteConnector(ctx context.Context, id string, events ...event.Event) error {
	return c.look(c.Store.DeleteConnector(ctx, id, events...))
}
