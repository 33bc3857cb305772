package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

const streamColumns = `id, version, receiver, delivery, endpoint, sealed, requested, description, profile, status, reason, verified, created, updated`

const selectStreams = `SELECT ` + streamColumns + ` FROM streams `

func (s *Store) readStream(row scanner) (v client.Stream, err error) {
	var requested string
	var sealed []byte
	var verified, created, updated int64
	if err := row.Scan(&v.ID, &v.Version, &v.Receiver, &v.Delivery, &v.Endpoint, &sealed, &requested, &v.Description, &v.Profile, &v.Status, &v.Reason,
		&verified, &created, &updated); err != nil {
		return v, err
	}
	v.Verified, v.Created, v.Updated = moment(verified), moment(created), moment(updated)
	header, err := s.openRow(sealed, "streams", v.ID)
	if err == nil && requested != "" {
		err = json.Unmarshal([]byte(requested), &v.Requested)
	}
	if err != nil {
		return v, fmt.Errorf("stream %s: %w", v.ID, err)
	}
	v.Authorization = string(header)
	return v, nil
}

// plainStream returns a stream as it reads once it was stored.
func plainStream(v client.Stream) client.Stream {
	v.Requested = listOf(v.Requested)
	v.Verified, v.Created, v.Updated = stored(v.Verified), stored(v.Created), stored(v.Updated)
	return v
}

// streamRow is a stream as stored, but for id, version and receiver, unless it was found wrong.
func (s *Store) streamRow(v *client.Stream, wrong error) ([]any, error) {
	if wrong != nil {
		return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), wrong)
	}
	requested, err := jsonOf(v.Requested)
	if err := errors.Join(err, allStorable(append([]string{v.Endpoint, v.Description, v.Reason}, v.Requested...)...)); err != nil {
		return nil, err
	}
	var sealed []byte
	if v.Authorization != "" {
		if sealed, err = s.sealRow([]byte(v.Authorization), "streams", v.ID); err != nil {
			return nil, err
		}
	}
	return []any{v.Delivery, v.Endpoint, sealed, requested, v.Description, v.Profile, string(v.Status), v.Reason, micros(v.Verified), micros(v.Created), micros(v.Updated)}, nil
}

// StreamsOf returns the streams of a receiver, by its id, oldest first.
func (s *Store) StreamsOf(ctx context.Context, receiver string) ([]client.Stream, error) {
	return collect(ctx, s.db, s.readStream, selectStreams+`WHERE receiver = $1 ORDER BY id`, storable(receiver))
}

// Stream returns a stream by its id; nil when there is none. Whose it is, the caller looks at.
func (s *Store) Stream(ctx context.Context, id string) (*client.Stream, error) {
	return s.oneStream(ctx, s.db, id)
}

func (s *Store) oneStream(ctx context.Context, r reader, id string) (*client.Stream, error) {
	found, err := collect(ctx, r, s.readStream, selectStreams+`WHERE id = $1`, storable(id))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// LiveStreams returns the streams that hear: enabled or paused, of receivers that are not disabled.
func (s *Store) LiveStreams(ctx context.Context) ([]client.Stream, error) {
	return collect(ctx, s.db, s.readStream, selectStreams+`WHERE status <> $1 AND receiver IN (SELECT id FROM receivers WHERE NOT disabled) ORDER BY id`,
		string(client.StreamDisabled))
}

// CreateStream inserts a stream with the events in one commit. It gives the stream an id where it has none, and version 1.
// fault.Invalid when Check refuses it; fault.Conflict when the receiver has client.MaxStreams already; fault.NotFound when
// there is no such receiver.
func (s *Store) CreateStream(ctx context.Context, v *client.Stream, events ...event.Event) error {
	if v.ID == "" {
		v.ID = newID()
	}
	v.Version = 1
	type making struct {
		of     *client.Receiver
		others int
	}
	err := update(ctx, s,
		func(ctx context.Context, r reader) (m making, err error) {
			m.of, err = s.oneReceiver(ctx, r, `WHERE id = $1`, v.Receiver)
			if err == nil && m.of == nil {
				err = notFound("receiver", v.Receiver)
			}
			if err == nil {
				err = r.queryRow(ctx, `SELECT count(*) FROM streams WHERE receiver = $1`, v.Receiver).Scan(&m.others)
			}
			return m, err
		},
		func(m *making) ([]event.Event, error) {
			if m.others >= client.MaxStreams {
				return nil, fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("receiver %s has %d streams", m.of.Key, m.others))
			}
			return events, nil
		},
		func(m making) (change, error) {
			row, err := s.streamRow(v, v.Check(m.of))
			return change{
				// The receiver's version moves, so that of several who make its last stream at once one is counted first.
				first: statement(`UPDATE receivers SET version = version + 1 WHERE id = $1 AND version = $2`, m.of.ID, m.of.Version),
				with: []stmt{statement(`INSERT INTO streams (`+streamColumns+`) SELECT $1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 WHERE {hit}`,
					append([]any{v.ID, v.Receiver}, row...)...)},
			}, err
		})
	if err != nil {
		return fmt.Errorf("create stream: %w", err)
	}
	return nil
}

// UpdateStream runs change on a stream and commits it with the events. What waits for the stream follows in the same
// commit: it is dropped when the stream is disabled, moved when the way of delivery changes, and due at once when the
// stream is enabled. The closure may run more than once; ErrUnchanged from it, or a stream left as it was, writes nothing.
// Its receiver is not for it to change. It returns the stream as it is afterwards. fault.Invalid when Check refuses it;
// fault.NotFound when there is none.
func (s *Store) UpdateStream(ctx context.Context, id string, fn func(*client.Stream) ([]event.Event, error)) (*client.Stream, error) {
	type changing struct {
		before, after client.Stream
		of            *client.Receiver
	}
	var result client.Stream
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			found, err := s.oneStream(ctx, r, id)
			if err != nil {
				return changing{}, err
			}
			var of *client.Receiver
			if found != nil {
				of, err = s.oneReceiver(ctx, r, `WHERE id = $1`, found.Receiver)
			}
			if err == nil && of == nil {
				err = notFound("stream", id)
			}
			if err != nil {
				return changing{}, err
			}
			result = plainStream(*found)
			return changing{*found, plainStream(*found), of}, nil
		},
		func(c *changing) ([]event.Event, error) {
			events, err := fn(&c.after)
			if err != nil {
				return nil, err
			}
			c.after = plainStream(c.after)
			c.after.ID, c.after.Version, c.after.Receiver = c.before.ID, c.before.Version, c.before.Receiver
			if reflect.DeepEqual(plainStream(c.before), c.after) {
				return nil, ErrUnchanged
			}
			return events, nil
		},
		func(c changing) (change, error) {
			row, err := s.streamRow(&c.after, c.after.CheckChange(c.of, &c.before))
			result = c.after
			result.Version++
			return change{
				first: statement(`UPDATE streams SET version = version + 1, delivery = $3, endpoint = $4, sealed = $5, requested = $6, description = $7, profile = $8,
						status = $9, reason = $10, verified = $11, created = $12, updated = $13
					WHERE id = $1 AND version = $2`, append([]any{c.after.ID, c.after.Version}, row...)...),
				with: followStream(c.before, c.after),
			}, err
		})
	if errors.Is(err, ErrUnchanged) {
		return &result, nil
	}
	if err != nil {
		return nil, fmt.Errorf("update stream: %w", err)
	}
	return &result, nil
}

// followStream is what becomes of the work that waits for a stream.
func followStream(before, after client.Stream) []stmt {
	switch {
	case after.Status == client.StreamDisabled && before.Status != client.StreamDisabled:
		return []stmt{statement(`DELETE FROM work WHERE substr(ref, 1, 36) = $1 AND kind IN `+deliveryKinds+` AND dead_at = 0 AND {hit}`, after.ID)}
	case after.Delivery != before.Delivery || after.Status == client.StreamEnabled && before.Status != client.StreamEnabled:
		const of = ` WHERE substr(ref, 1, 36) = $1 AND kind IN ` + deliveryKinds + ` AND dead_at = 0 AND {hit} AND `
		kind := DeliveryKind(after.Delivery)
		return []stmt{
			statement(`DELETE FROM work`+of+twice, after.ID, kind),
			statement(`UPDATE work SET kind = $2, not_before = $3`+of+`NOT `+twice, after.ID, kind, micros(after.Updated)),
		}
	}
	return nil
}

// DeleteStream deletes a stream and whatever waits to be delivered to it, with the events in one commit. fault.NotFound
// when there is none.
func (s *Store) DeleteStream(ctx context.Context, id string, events ...event.Event) error {
	id = storable(id)
	hit, err := s.commit(ctx, change{
		first: statement(`DELETE FROM streams WHERE id = $1`, id),
		with: []stmt{
			statement(`DELETE FROM work WHERE substr(ref, 1, 36) = $1 AND kind IN `+deliveryKinds+` AND {hit}`, id),
			statement(`DELETE FROM deliveries WHERE client = $1 AND {hit}`, id),
		},
		events: events,
	})
	if err == nil && !hit {
		err = notFound("stream", id)
	}
	if err != nil {
		return fmt.Errorf("delete stream: %w", err)
	}
	return nil
}

// RemoveSubject keeps a stream from hearing of a person any more (SSF 1.0 §8.1.3.3). It may be repeated. fault.NotFound when there
// is no such stream or person.
func (s *Store) RemoveSubject(ctx context.Context, stream, person string, now time.Time) error {
	var known bool
	err := s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, `INSERT INTO stream_subjects (stream, person, made)
			SELECT s.id, p.id, $3 FROM streams s, people p WHERE s.id = $1 AND p.id = $2
			ON CONFLICT (stream, person) DO UPDATE SET made = stream_subjects.made`, storable(stream), storable(person), micros(now))
		known = n > 0
		return err
	})
	if err == nil && !known {
		err = notFound("stream or person", stream)
	}
	if err != nil {
		return fmt.Errorf("remove subject: %w", err)
	}
	return nil
}

// AddSubject lets a stream hear of a person again. It may be repeated.
func (s *Store) AddSubject(ctx context.Context, stream, person string) error {
	_, err := s.hits(ctx, `DELETE FROM stream_subjects WHERE stream = $1 AND person = $2`, storable(stream), storable(person))
	return err
}

// Excluded reports whether a stream is not to hear of a person.
func (s *Store) Excluded(ctx context.Context, stream, person string) (excluded bool, err error) {
	err = s.db.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM stream_subjects WHERE stream = $1 AND person = $2)`, storable(stream), storable(person)).Scan(&excluded)
	return excluded, err
}
