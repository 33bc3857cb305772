package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
)

// The kinds of work that deliver to receivers. Their ref begins with the id of a stream or a receiver of webhooks; after a
// space comes what it hears.
const (
	PushKind    = "set"      // a security event token that we send (RFC 8935)
	PollKind    = "set-poll" // one that waits in the table until it is fetched and acknowledged (RFC 8936)
	WebhookKind = "webhook"
)

const deliveryKinds = `('set', 'set-poll', 'webhook')`

// DeliveryKind is the kind of work that delivers to a stream in one of its ways of delivery.
func DeliveryKind(delivery string) string {
	if delivery == client.DeliverPoll {
		return PollKind
	}
	return PushKind
}

// PutDelivery adds one delivery that no event brings, such as a test, in a commit of its own. One of a kind and ref waits
// at a time; one that was given up before makes room, by whichever way it was to go: it could stand where this one is moved
// to when its stream changes its way.
func (s *Store) PutDelivery(ctx context.Context, kind, ref string, now, until time.Time) error {
	if _, err := s.hits(ctx, `DELETE FROM work WHERE event = '' AND kind IN `+deliveryKinds+` AND ref = $1 AND dead_at > 0`, storable(ref)); err != nil {
		return fmt.Errorf("put delivery: %w", err)
	}
	return s.Put(ctx, Job{Kind: kind, Ref: ref, NotBefore: now, NotAfter: until})
}

// earlierWithin bounds how far back Earlier looks: no delivery outlives it.
const earlierWithin = 8 * 24 * time.Hour

// Earlier reports whether something about a person that happened before an event still waits: for this client (a stream or
// a receiver of webhooks), or to be expanded, for then it may yet become such a delivery. What was buried does not count.
func (s *Store) Earlier(ctx context.Context, client, person, eventID string, now time.Time) (waits bool, err error) {
	if person == "" {
		return false, nil
	}
	err = s.db.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM events e JOIN work w ON w.event = e.id
		WHERE e.subject = $1 AND e.id < $2 AND e.at > $4 AND w.dead_at = 0
			AND (w.kind IN ('signal', 'feed') OR w.kind IN `+deliveryKinds+` AND substr(w.ref, 1, 36) = $3))`,
		storable(person), storable(eventID), storable(client), micros(now.Add(-earlierWithin))).Scan(&waits)
	return waits, err
}

// EarlierOf is Earlier for what is about nobody and goes in order all the same: events with that ref, such as those of a group.
func (s *Store) EarlierOf(ctx context.Context, client, ref, eventID string) (waits bool, err error) {
	err = s.db.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM work w JOIN events e ON e.id = w.event
		WHERE e.ref = $1 AND e.subject = '' AND w.event < $2 AND w.dead_at = 0
			AND (w.kind = 'feed' AND w.ref = $1 OR w.kind IN `+deliveryKinds+` AND substr(w.ref, 1, 36) = $3))`,
		storable(ref), storable(eventID), storable(client)).Scan(&waits)
	return waits, err
}

// WaitingFor counts the deliveries to a client that have not arrived and were not given up; it stops at most.
func (s *Store) WaitingFor(ctx context.Context, client string, most int) (n int, err error) {
	err = s.db.queryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM work WHERE substr(ref, 1, 36) = $1 AND kind IN `+deliveryKinds+` AND dead_at = 0 LIMIT $2) AS w`,
		storable(client), most).Scan(&n)
	return n, err
}

// noteEvery is how exactly the time of the last good delivery is kept.
const noteEvery = time.Second

// NoteDelivery notes that a delivery to a client arrived, or by a class of error that it did not.
func (s *Store) NoteDelivery(ctx context.Context, client string, good bool, class string, now time.Time) (err error) {
	if good {
		_, err = s.hits(ctx, `INSERT INTO deliveries (client, good, bad, class) VALUES ($1, $2, 0, '')
			ON CONFLICT (client) DO UPDATE SET good = excluded.good WHERE deliveries.good <= $3`, storable(client), micros(now), micros(now.Add(-noteEvery)))
	} else {
		_, err = s.hits(ctx, `INSERT INTO deliveries (client, good, bad, class) VALUES ($1, 0, $2, $3)
			ON CONFLICT (client) DO UPDATE SET bad = excluded.bad, class = excluded.class`, storable(client), micros(now), storable(class))
	}
	if err != nil {
		return fmt.Errorf("note delivery: %w", err)
	}
	return nil
}

// Health returns how deliveries to clients went of late, one for each in the order asked for.
func (s *Store) Health(ctx context.Context, clients ...string) ([]client.Health, error) {
	all := make([]client.Health, 0, len(clients))
	for _, id := range clients {
		h := client.Health{Client: id}
		var good, bad int64
		err := s.db.queryRow(ctx, `SELECT coalesce(max(d.good), 0), coalesce(max(d.bad), 0), coalesce(max(d.class), ''),
				(SELECT count(*) FROM work WHERE substr(ref, 1, 36) = $1 AND kind IN `+deliveryKinds+` AND dead_at = 0),
				(SELECT count(*) FROM work WHERE substr(ref, 1, 36) = $1 AND kind IN `+deliveryKinds+` AND dead_at > 0)
			FROM deliveries d WHERE d.client = $1`, storable(id)).Scan(&good, &bad, &h.Class, &h.Waiting, &h.Dead)
		if err != nil {
			return nil, fmt.Errorf("health: %w", err)
		}
		h.Good, h.Bad = moment(good), moment(bad)
		all = append(all, h)
	}
	return all, nil
}

// MaxPolled is the most deliveries one call of Polled returns.
const MaxPolled = 100

// Polled returns the deliveries that wait for a stream to fetch them, at most n and at most MaxPolled, and whether there are
// more. They come in the order in which things happened, whatever order they were written in: the first of them has no
// earlier one to wait for. They stay until they are acknowledged.
func (s *Store) Polled(ctx context.Context, stream string, n int, now time.Time) (items []event.Item, more bool, err error) {
	n = max(0, min(n, MaxPolled))
	rows, err := collect(ctx, s.db, readWork, `SELECT `+workColumns+` FROM work
		WHERE substr(ref, 1, 36) = $1 AND kind = 'set-poll' AND dead_at = 0 AND (not_after = 0 OR not_after > $2) ORDER BY event, id LIMIT $3`,
		storable(stream), micros(now), n+1)
	if err != nil {
		return nil, false, fmt.Errorf("polled: %w", err)
	}
	if len(rows) > n {
		rows, more = rows[:n], true
	}
	for _, w := range rows {
		items = append(items, event.Item{ID: w.ID, Event: w.Event, Kind: w.Kind, Ref: w.Ref, NotAfter: w.NotAfter})
	}
	return items, more, nil
}

// inList is the condition that an id is in the JSON list $2.
var inList = pair{
	postgres: `id IN (SELECT json_array_elements_text($2::json))`,
	sqlite:   `id IN (SELECT value FROM json_each($2))`,
}

// Acked ends the deliveries of these ids that wait for a stream to fetch them, and returns how many. Ids that are unknown
// or another stream's change nothing.
func (s *Store) Acked(ctx context.Context, stream string, ids []string) (n int64, err error) {
	return s.settlePolled(ctx, `DELETE FROM work WHERE substr(ref, 1, 36) = $1 AND kind = 'set-poll' AND dead_at = 0 AND `+inList.on(s.Kind()), stream, ids)
}

// Refused gives up the deliveries of these ids that a stream fetched and refused, with the class of error it named.
func (s *Store) Refused(ctx context.Context, stream string, ids []string, class string, now time.Time) (n int64, err error) {
	return s.settlePolled(ctx, `UPDATE work SET dead_at = $3, last_error_class = $4, lease_until = 0
		WHERE substr(ref, 1, 36) = $1 AND kind = 'set-poll' AND dead_at = 0 AND `+inList.on(s.Kind()), stream, ids, micros(now), storable(class))
}

func (s *Store) settlePolled(ctx context.Context, sql, stream string, ids []string, args ...any) (n int64, err error) {
	plain := make([]string, 0, len(ids))
	for _, id := range ids {
		if storable(id) != "" {
			plain = append(plain, id)
		}
	}
	list, err := json.Marshal(plain)
	if err == nil {
		err = s.db.statement(ctx, func(t tx) error {
			n, err = t.exec(ctx, sql, append([]any{storable(stream), string(list)}, args...)...)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("settle polled: %w", err)
	}
	return n, nil
}

// SubjectAt returns a person's issuer and subject at a provider, or at the only one they have signed in by when none is
// named; nothing when there is none, or when several could be meant.
func (s *Store) SubjectAt(ctx context.Context, person, idp string) (issuer, subject string, err error) {
	type at struct{ issuer, subject string }
	found, err := collect(ctx, s.db, func(row scanner) (a at, err error) { err = row.Scan(&a.issuer, &a.subject); return a, err },
		`SELECT issuer, subject FROM identities WHERE person = $1 AND ($2 = '' OR idp = $2) LIMIT 2`, storable(person), storable(idp))
	if err != nil || len(found) != 1 {
		return "", "", err
	}
	return found[0].issuer, found[0].subject, nil
}

// PersonAt returns the person of an issuer and subject; "" when nobody has signed in as that, or more than one have.
func (s *Store) PersonAt(ctx context.Context, issuer, subject string) (person string, err error) {
	found, err := collect(ctx, s.db, func(row scanner) (id string, err error) { err = row.Scan(&id); return id, err },
		`SELECT DISTINCT person FROM identities WHERE issuer = $1 AND subject = $2 LIMIT 2`, storable(issuer), storable(subject))
	if err != nil || len(found) != 1 {
		return "", err
	}
	return found[0], nil
}

// twice is the condition that a delivery is there as one of kind $2 already: what no event brings may have been asked for
// again while its stream changed its way.
const twice = `EXISTS (SELECT 1 FROM work o WHERE o.event = work.event AND o.kind = $2 AND o.ref = work.ref AND o.id <> work.id)`

// Redirect makes what waits for a stream one kind of delivery, for what was written while the stream changed its own.
func (s *Store) Redirect(ctx context.Context, stream, kind string) error {
	const of = ` WHERE substr(ref, 1, 36) = $1 AND kind IN ` + deliveryKinds + ` AND kind <> $2 AND dead_at = 0`
	for _, q := range []string{`DELETE FROM work` + of + ` AND ` + twice, `UPDATE work SET kind = $2` + of} {
		if _, err := s.hits(ctx, q, storable(stream), kind); err != nil {
			return fmt.Errorf("redirect: %w", err)
		}
	}
	return nil
}
