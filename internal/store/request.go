package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// RequestKind is the kind of work that carries out a request that was kept; its ref is the request's id.
const RequestKind = "request"

// requestRow is the condition that a request of table r is still work to be done: one whose work is gone must not keep others
// waiting.
const requestRow = `EXISTS (SELECT 1 FROM work w WHERE w.event = '' AND w.kind = '` + RequestKind + `' AND w.ref = r.id AND w.dead_at = 0)`

// KeepRequest keeps a request of a connector at the end of its line, with the work to carry it out, in one commit, and gives
// it an id. fault.Limited when the connector has as much waiting as it may.
func (s *Store) KeepRequest(ctx context.Context, q *client.Request) error {
	q.ID = newID()
	sealed, err := s.sealRow(q.Body, "requests", q.ID)
	if err != nil {
		return fmt.Errorf("keep request: %w", err)
	}
	hit, err := s.commit(ctx, change{
		first: statement(`INSERT INTO requests (id, connector, place, at, failures, size, sealed)
			SELECT $1, $2, l.last + 1, $3, 0, $4, $5
			FROM (SELECT coalesce(max(place), 0) AS last, count(*) AS waiting, coalesce(sum(size), 0) AS bytes FROM requests WHERE connector = $2) AS l
			WHERE l.waiting < $6 AND l.bytes <= $7`,
			q.ID, q.Connector, micros(q.At), int64(len(q.Body)), sealed, int64(client.MaxRequests), int64(client.MaxRequestBytes-len(q.Body))),
		with: []stmt{statement(insertWork+`SELECT $1, '', '`+RequestKind+`', $2, $3, 0, 0, 0, '', 0, '' WHERE {hit}`, newID(), q.ID, micros(q.At))},
	})
	switch {
	case err != nil:
		return fmt.Errorf("keep request: %w", err)
	case !hit:
		return &fault.Error{Kind: fault.Limited, Say: message.Key("error.limited", "Minutes", 1), RetryAfter: time.Minute,
			Cause: fmt.Errorf("connector %s has too much waiting", q.Connector)}
	}
	s.hint()
	return nil
}

// Request returns a request that was kept, and whether it is the first in its connector's line: those of one connector are
// carried out in the order they came in. nil when there is none any more.
func (s *Store) Request(ctx context.Context, id string) (q *client.Request, first bool, err error) {
	q = &client.Request{}
	var at int64
	var sealed []byte
	err = s.db.queryRow(ctx, `SELECT q.id, q.connector, q.at, q.failures, q.sealed,
			NOT EXISTS (SELECT 1 FROM requests r WHERE r.connector = q.connector AND (r.place < q.place OR r.place = q.place AND r.id < q.id) AND `+requestRow+`)
		FROM requests q WHERE q.id = $1`, storable(id)).Scan(&q.ID, &q.Connector, &at, &q.Failures, &sealed, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err == nil {
		q.At = moment(at)
		q.Body, err = s.openRow(sealed, "requests", q.ID)
	}
	if err != nil {
		return nil, false, fmt.Errorf("request %s: %w", id, err)
	}
	return q, first, nil
}

// FailRequest counts one more time that carrying a request out was broken off.
func (s *Store) FailRequest(ctx context.Context, id string) error {
	_, err := s.hits(ctx, `UPDATE requests SET failures = failures + 1 WHERE id = $1`, storable(id))
	return err
}

// FinishRequest deletes a request that was answered, and makes the next one of its connector due. It may be repeated.
func (s *Store) FinishRequest(ctx context.Context, q *client.Request, now time.Time) error {
	hit, err := s.commit(ctx, change{
		first: statement(`DELETE FROM requests WHERE id = $1`, q.ID),
		with: []stmt{statement(`UPDATE work SET not_before = $3 WHERE event = '' AND kind = '`+RequestKind+`' AND dead_at = 0 AND not_before > $3 AND {hit}
			AND ref = (SELECT r.id FROM requests r WHERE r.connector = $2 AND r.id <> $1 AND `+requestRow+` ORDER BY r.place, r.id LIMIT 1)`, q.ID, q.Connector, micros(now))},
	})
	if err != nil {
		return fmt.Errorf("finish request: %w", err)
	}
	if hit {
		s.hint()
	}
	return nil
}

// RecordAnswer writes the fact of an answer, whose id is made of what it answers, so that there is one at most. Where there
// is one already it writes nothing.
func (s *Store) RecordAnswer(ctx context.Context, e event.Event) error {
	err := s.Record(ctx, e)
	if violates(err, "events_pkey", "events.id") {
		return nil
	}
	return err
}
