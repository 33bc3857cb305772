package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
)

// selectConnectors reads connectors with their tokens in one statement, a row for each token.
const selectConnectors = `SELECT c.id, c.version, c.name, c.trust, c.preset, c.groups, c.roles, c.uses, c.read_only, c.set_password, c.rate, c.created, c.updated, c.last,
	c.keys, c.jwks, c.switches, coalesce(t.id, ''), t.hash, coalesce(t.created, 0), coalesce(t.expires, 0)
	FROM connectors c LEFT JOIN connector_tokens t ON t.connector = c.id `

const connectorOrder = ` ORDER BY c.name, t.created, t.id`

func (s *Store) connectors(ctx context.Context, r reader, where string, args ...any) ([]client.Connector, error) {
	var all []client.Connector
	err := r.query(ctx, func(row scanner) error {
		var c client.Connector
		var k client.Token
		var created, updated, last, made, expires int64
		var uses, keys, switches string
		if err := row.Scan(&c.ID, &c.Version, &c.Name, &c.Trust, &c.Preset, &c.Groups, &c.Roles, &uses, &c.ReadOnly, &c.SetPassword, &c.Rate, &created, &updated, &last,
			&keys, &c.JWKS, &switches, &k.ID, &k.Hash, &made, &expires); err != nil {
			return err
		}
		if n := len(all); n == 0 || all[n-1].ID != c.ID {
			if err := readAccess(&c, keys, switches); err != nil {
				return fmt.Errorf("connector %s: %w", c.Name, err)
			}
			for u := range strings.FieldsSeq(uses) {
				c.Uses = append(c.Uses, client.Use(u))
			}
			c.Created, c.Updated, c.Last = moment(created), moment(updated), moment(last)
			all = append(all, c)
		}
		if k.ID != "" {
			k.Created, k.Expires = moment(made), moment(expires)
			at := &all[len(all)-1]
			at.Tokens = append(at.Tokens, k)
		}
		return nil
	}, selectConnectors+where+connectorOrder, args...)
	return all, err
}

func (s *Store) oneConnector(ctx context.Context, r reader, where string, args ...any) (*client.Connector, error) {
	found, err := s.connectors(ctx, r, where, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Connectors returns all connectors with their tokens, in order of name.
func (s *Store) Connectors(ctx context.Context) ([]client.Connector, error) {
	return s.connectors(ctx, s.db, "")
}

// ConnectorByName returns a connector; nil when there is none of that name.
func (s *Store) ConnectorByName(ctx context.Context, name string) (*client.Connector, error) {
	return s.oneConnector(ctx, s.db, `WHERE c.name = $1`, storable(name))
}

// ConnectorByID returns a connector; nil when there is none any more.
func (s *Store) ConnectorByID(ctx context.Context, id string) (*client.Connector, error) {
	return s.oneConnector(ctx, s.db, `WHERE c.id = $1`, storable(id))
}

func addToken(connector string, k client.Token) stmt {
	return statement(`INSERT INTO connector_tokens (hash, id, connector, created, expires) SELECT $1, $2, $3, $4, $5 WHERE {hit}`,
		k.Hash, k.ID, connector, micros(k.Created), micros(k.Expires))
}

// CreateConnector inserts a connector with its tokens and events in one commit and moves the generation. It gives the
// connector and its tokens ids where they have none and version 1. fault.Invalid when Check refuses it; *TakenError when
// the name is another connector's.
func (s *Store) CreateConnector(ctx context.Context, c *client.Connector, events ...event.Event) error {
	if err := c.Check(); err != nil {
		return fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
	}
	if c.ID == "" {
		c.ID = newID()
	}
	c.Version = 1
	keys, err := keysColumn(c.Keys)
	if err != nil {
		return fmt.Errorf("create connector: %w", err)
	}
	with := []stmt{moveGeneration()}
	for i := range c.Tokens {
		if c.Tokens[i].ID == "" {
			c.Tokens[i].ID = newID()
		}
		with = append(with, addToken(c.ID, c.Tokens[i]))
	}
	hit, err := s.commit(ctx, change{
		first: statement(`INSERT INTO connectors (id, version, name, trust, preset, groups, roles, uses, read_only, set_password, rate, created, updated, last, keys, jwks, switches)
			VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`, c.ID, c.Name, string(c.Trust), string(c.Preset), c.Groups, c.Roles,
			joinWords(c.Uses), c.ReadOnly, c.SetPassword, c.Rate, micros(c.Created), micros(c.Updated), micros(c.Last), keys, c.JWKS, c.SwitchesText()),
		with: with, events: events,
	})
	if err == nil && !hit {
		err = &TakenError{"name"}
	}
	if err != nil {
		return fmt.Errorf("create connector: %w", err)
	}
	return nil
}

// UpdateConnector runs change on a connector and commits it with the events; the generation moves. The closure may run
// more than once; ErrUnchanged from it, or a connector left as it was, writes nothing. It returns the connector as it is
// afterwards. Errors as CreateConnector; fault.NotFound when there is none.
func (s *Store) UpdateConnector(ctx context.Context, id string, fn func(*client.Connector) ([]event.Event, error)) (*client.Connector, error) {
	type changing struct{ before, after client.Connector }
	var result client.Connector
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			c, err := s.oneConnector(ctx, r, `WHERE c.id = $1`, storable(id))
			if err == nil && c == nil {
				err = notFound("connector", id)
			}
			if err != nil {
				return changing{}, err
			}
			result = *c
			after := *c
			after.Tokens, after.Uses, after.Keys, after.Switches = slices.Clone(c.Tokens), slices.Clone(c.Uses), slices.Clone(c.Keys), maps.Clone(c.Switches)
			return changing{*c, after}, nil
		},
		func(c *changing) ([]event.Event, error) {
			events, err := fn(&c.after)
			if err != nil {
				return nil, err
			}
			if err := c.after.Check(); err != nil {
				return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
			}
			return events, nil
		},
		func(c changing) (change, error) {
			was, a := plainConnector(c.before), plainConnector(c.after)
			a.ID, a.Version, a.Last = was.ID, was.Version, was.Last
			if reflect.DeepEqual(was, a) {
				return change{}, nil
			}
			with := []stmt{moveGeneration()}
			for _, k := range was.Tokens {
				if !hasToken(a.Tokens, k) {
					with = append(with, statement(`DELETE FROM connector_tokens WHERE connector = $1 AND hash = $2 AND {hit}`, a.ID, k.Hash))
				}
			}
			for i := range a.Tokens {
				k := &a.Tokens[i]
				if k.ID == "" {
					k.ID = newID()
				}
				if hasToken(was.Tokens, *k) {
					with = append(with, statement(`UPDATE connector_tokens SET id = $3, created = $4, expires = $5 WHERE connector = $1 AND hash = $2 AND {hit}`,
						a.ID, k.Hash, k.ID, micros(k.Created), micros(k.Expires)))
				} else {
					with = append(with, addToken(a.ID, *k))
				}
			}
			keys, err := keysColumn(a.Keys)
			if err != nil {
				return change{}, err
			}
			first := statement(`UPDATE connectors SET version = version + 1, name = $3, trust = $4, preset = $5, groups = $6, roles = $7, uses = $8, read_only = $9, set_password = $10,
					rate = $11, created = $12, updated = $13, keys = $14, jwks = $15, switches = $16
				WHERE id = $1 AND version = $2`, a.ID, a.Version, a.Name, string(a.Trust), string(a.Preset), a.Groups, a.Roles, joinWords(a.Uses), a.ReadOnly, a.SetPassword, a.Rate, micros(a.Created), micros(a.Updated),
				keys, a.JWKS, a.SwitchesText())
			result = a
			result.Version++
			return change{first: first, with: with}, nil
		})
	switch {
	case errors.Is(err, ErrUnchanged):
		return &result, nil
	case violates(err, "connectors_name_key", "connectors.name"):
		err = &TakenError{"name"}
	}
	if err != nil {
		return nil, fmt.Errorf("update connector: %w", err)
	}
	return &result, nil
}

func hasToken(all []client.Token, k client.Token) bool {
	return slices.ContainsFunc(all, func(o client.Token) bool { return bytes.Equal(o.Hash, k.Hash) })
}

// plainConnector returns a connector as it reads once it was stored.
func plainConnector(c client.Connector) client.Connector {
	c.Created, c.Updated, c.Last = stored(c.Created), stored(c.Updated), stored(c.Last)
	if len(c.Uses) == 0 {
		c.Uses = nil
	}
	if c.Tokens = slices.Clone(c.Tokens); len(c.Tokens) == 0 {
		c.Tokens = nil
	}
	for i := range c.Tokens {
		c.Tokens[i].Created, c.Tokens[i].Expires = stored(c.Tokens[i].Created), stored(c.Tokens[i].Expires)
	}
	if len(c.Switches) == 0 {
		c.Switches = nil
	}
	if c.Keys = slices.Clone(c.Keys); len(c.Keys) == 0 {
		c.Keys = nil
	}
	for i := range c.Keys {
		c.Keys[i].Created, c.Keys[i].Expires = stored(c.Keys[i].Created), stored(c.Keys[i].Expires)
	}
	return c
}

// DeleteConnector deletes a connector and its tokens, with the events in one commit; the generation moves. fault.Conflict
// while people, groups or methods are of it: without it nobody would know any more how far they are trusted.
// fault.NotFound when there is none.
func (s *Store) DeleteConnector(ctx context.Context, id string, events ...event.Event) error {
	hit, err := s.commit(ctx, change{
		first: statement(`DELETE FROM connectors WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM people WHERE connector = $1)
			AND NOT EXISTS (SELECT 1 FROM groups WHERE connector = $1)
			AND NOT EXISTS (SELECT 1 FROM methods WHERE root_kind = $2 AND root_id = $1)`, id, string(method.ByConnector)),
		with: []stmt{moveGeneration(), statement(`DELETE FROM brakes WHERE connector = $1 AND {hit}`, id),
			statement(`DELETE FROM departures WHERE connector = $1 AND {hit}`, id),
			statement(`DELETE FROM connector_heard WHERE connector = $1 AND {hit}`, id)}, events: events,
	})
	if err == nil && !hit {
		c, err2 := s.oneConnector(ctx, s.db, `WHERE c.id = $1`, id)
		switch err = err2; {
		case err != nil:
		case c == nil:
			err = notFound("connector", id)
		default:
			err = fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("connector %s still has people, groups or methods", c.Name))
		}
	}
	if err != nil {
		return fmt.Errorf("delete connector: %w", err)
	}
	return nil
}

// Trusts returns how far each connector is trusted. One statement, the same for everybody; see Cached.
func (s *Store) Trusts(ctx context.Context) (method.Trusts, error) {
	trusts := method.Trusts{}
	err := s.db.query(ctx, func(row scanner) error {
		root := method.Root{Kind: method.ByConnector}
		var trust client.Trust
		err := row.Scan(&root.ID, &trust)
		trusts[root] = trust
		return err
	}, `SELECT id, trust FROM connectors`)
	if err != nil {
		return nil, err
	}
	return trusts, nil
}
