package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

const receiverColumns = `id, version, key, name, kind, events, format, idp, disabled, secrets, audience, hosts, url, sealed, created, updated, connectors, feed`

const selectReceivers = `SELECT ` + receiverColumns + ` FROM receivers `

// readReceiver reads a receiver and opens the secrets it signs with: they are of nobody, so they are sealed under the key
// file.
func (s *Store) readReceiver(row scanner) (r client.Receiver, err error) {
	var events, secrets, hosts, connectors string
	var feed bool // what the events say, for the statement that asks whether anybody hears
	var sealed []byte
	var created, updated int64
	if err := row.Scan(&r.ID, &r.Version, &r.Key, &r.Name, &r.Kind, &events, &r.Format, &r.IDP, &r.Disabled, &secrets, &r.Audience, &hosts, &r.URL, &sealed,
		&created, &updated, &connectors, &feed); err != nil {
		return r, err
	}
	r.Created, r.Updated = moment(created), moment(updated)
	sign, err := s.openRow(sealed, "receivers", r.ID)
	if err != nil {
		return r, fmt.Errorf("receiver %s: %w", r.Key, err)
	}
	for _, part := range []struct {
		text string
		to   any
	}{{events, &r.Events}, {secrets, &r.Secrets}, {hosts, &r.Hosts}, {connectors, &r.Connectors}, {string(sign), &r.Sign}} {
		if part.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part.text), part.to); err != nil {
			return r, fmt.Errorf("receiver %s: %w", r.Key, err)
		}
	}
	return r, nil
}

// openRow opens what is sealed under the key file in a row; nothing when nothing is.
func (s *Store) openRow(sealed []byte, table, id string) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	if s.ring == nil {
		return nil, errNoRing
	}
	return s.ring.Open(sealed, table, id, "sealed")
}

// sealRow seals a value under the key file for a row.
func (s *Store) sealRow(plain []byte, table, id string) ([]byte, error) {
	if s.ring == nil {
		return nil, errNoRing
	}
	return s.ring.Seal(plain, table, id, "sealed"), nil
}

// plainReceiver returns a receiver as it reads once it was stored.
func plainReceiver(r client.Receiver) client.Receiver {
	r.Events, r.Hosts, r.Secrets, r.Sign, r.Connectors = listOf(r.Events), listOf(r.Hosts), listOf(r.Secrets), listOf(r.Sign), listOf(r.Connectors)
	r.Created, r.Updated = stored(r.Created), stored(r.Updated)
	for i := range r.Secrets {
		r.Secrets[i].Created, r.Secrets[i].Expires = stored(r.Secrets[i].Created), stored(r.Secrets[i].Expires)
	}
	for i := range r.Sign {
		r.Sign[i].Created, r.Sign[i].Expires = stored(r.Sign[i].Created), stored(r.Sign[i].Expires)
	}
	return r
}

// receiverRow is a receiver as stored, but for id and version. It gives new secrets ids.
func (s *Store) receiverRow(r *client.Receiver) ([]any, error) {
	if err := r.Check(); err != nil {
		return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
	}
	for i := range r.Secrets {
		if r.Secrets[i].ID == "" {
			r.Secrets[i].ID = newID()
		}
	}
	for i := range r.Sign {
		if r.Sign[i].ID == "" {
			r.Sign[i].ID = newID()
		}
	}
	events, err1 := jsonOf(r.Events)
	hosts, err2 := jsonOf(r.Hosts)
	secrets, err3 := jsonOf(r.Secrets)
	sign, err4 := jsonOf(r.Sign)
	connectors, err5 := jsonOf(r.Connectors)
	if err := errors.Join(err1, err2, err3, err4, err5, allStorable(append([]string{r.Name, r.IDP, r.Audience, r.URL}, r.Connectors...)...)); err != nil {
		return nil, err
	}
	sealed, err := s.sealRow([]byte(sign), "receivers", r.ID)
	return []any{r.Key, r.Name, string(r.Kind), events, string(r.Format), r.IDP, r.Disabled, secrets, r.Audience, hosts, r.URL, sealed, micros(r.Created), micros(r.Updated),
		connectors, r.Feed()}, err
}

// Receivers returns all receivers in order of key.
func (s *Store) Receivers(ctx context.Context) ([]client.Receiver, error) {
	return collect(ctx, s.db, s.readReceiver, selectReceivers+`ORDER BY key`)
}

// Receiver returns a receiver by its key, disabled or not; nil when there is none.
func (s *Store) Receiver(ctx context.Context, key string) (*client.Receiver, error) {
	return s.oneReceiver(ctx, s.db, `WHERE key = $1`, key)
}

// ReceiverByID returns a receiver by its id, disabled or not; nil when there is none.
func (s *Store) ReceiverByID(ctx context.Context, id string) (*client.Receiver, error) {
	return s.oneReceiver(ctx, s.db, `WHERE id = $1`, id)
}

func (s *Store) oneReceiver(ctx context.Context, r reader, where, arg string) (*client.Receiver, error) {
	found, err := collect(ctx, r, s.readReceiver, selectReceivers+where, storable(arg))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// CreateReceiver inserts a receiver with the events in one commit. It gives the receiver and its secrets ids where they
// have none, and version 1. fault.Invalid when Check refuses it; *TakenError when the key is another one's.
func (s *Store) CreateReceiver(ctx context.Context, r *client.Receiver, events ...event.Event) error {
	if r.ID == "" {
		r.ID = newID()
	}
	r.Version = 1
	row, err := s.receiverRow(r)
	hit := false
	if err == nil {
		hit, err = s.commit(ctx, change{
			first: statement(`INSERT INTO receivers (`+receiverColumns+`) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
				ON CONFLICT DO NOTHING`, append([]any{r.ID}, row...)...),
			events: events,
		})
	}
	if err == nil && !hit {
		err = &TakenError{"key"}
	}
	if err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	return nil
}

// UpdateReceiver runs change on a receiver and commits it with the events. The closure may run more than once;
// ErrUnchanged from it, or a receiver left as it was, writes nothing. Its kind is not for it to change. It returns the
// receiver as it is afterwards. Errors as CreateReceiver; fault.NotFound when there is none of that key.
func (s *Store) UpdateReceiver(ctx context.Context, key string, fn func(*client.Receiver) ([]event.Event, error)) (*client.Receiver, error) {
	type changing struct{ before, after client.Receiver }
	var result client.Receiver
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			found, err := s.oneReceiver(ctx, r, `WHERE key = $1`, key)
			if err == nil && found == nil {
				err = notFound("receiver", key)
			}
			if err != nil {
				return changing{}, err
			}
			result = plainReceiver(*found)
			return changing{before: *found, after: plainReceiver(*found)}, nil
		},
		func(c *changing) ([]event.Event, error) {
			events, err := fn(&c.after)
			if err != nil {
				return nil, err
			}
			c.after = plainReceiver(c.after)
			c.after.ID, c.after.Version, c.after.Kind = c.before.ID, c.before.Version, c.before.Kind
			if reflect.DeepEqual(plainReceiver(c.before), c.after) {
				return nil, ErrUnchanged
			}
			return events, nil
		},
		func(c changing) (change, error) {
			row, err := s.receiverRow(&c.after)
			result = c.after
			result.Version++
			return change{first: statement(`UPDATE receivers SET version = version + 1, key = $3, name = $4, kind = $5, events = $6, format = $7, idp = $8, disabled = $9,
					secrets = $10, audience = $11, hosts = $12, url = $13, sealed = $14, created = $15, updated = $16, connectors = $17, feed = $18
				WHERE id = $1 AND version = $2`, append([]any{c.after.ID, c.after.Version}, row...)...)}, err
		})
	switch {
	case errors.Is(err, ErrUnchanged):
		return &result, nil
	case violates(err, "receivers_key_key", "receivers.key"):
		err = &TakenError{"key"}
	}
	if err != nil {
		return nil, fmt.Errorf("update receiver: %w", err)
	}
	return &result, nil
}

// DeleteReceiver deletes a receiver, its streams and whatever waits to be delivered to them, with the events in one
// commit. fault.NotFound when there is none of that key.
func (s *Store) DeleteReceiver(ctx context.Context, key string, events ...event.Event) error {
	key = storable(key)
	const ids = `SELECT id FROM receivers WHERE key = $1 UNION SELECT s.id FROM streams s JOIN receivers r ON r.id = s.receiver WHERE r.key = $1`
	err := s.transact(ctx, func(t tx) ([]event.Event, error) {
		for _, q := range []string{
			`DELETE FROM work WHERE substr(ref, 1, 36) IN (` + ids + `) AND kind IN ` + deliveryKinds,
			`DELETE FROM deliveries WHERE client IN (` + ids + `)`,
		} {
			if _, err := t.exec(ctx, q, key); err != nil {
				return nil, err
			}
		}
		n, err := t.exec(ctx, `DELETE FROM receivers WHERE key = $1`, key)
		if err == nil && n == 0 {
			err = notFound("receiver", key)
		}
		return events, err
	})
	if err != nil {
		return fmt.Errorf("delete receiver: %w", err)
	}
	return nil
}
