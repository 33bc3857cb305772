package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/session"
)

// selectBrowsers reads trusted browsers that count: the person is active and their epoch has not moved.
const selectBrowsers = `SELECT b.id, b.hash, b.person, b.epoch, b.sealed, b.made, b.expires, k.wrapped
	FROM browsers b JOIN people p ON p.id = b.person AND p.epoch = b.epoch AND p.active LEFT JOIN person_keys k ON k.person = b.person `

func (s *Store) readBrowser(row scanner) (b session.Browser, err error) {
	var sealed, wrapped []byte
	var made, expires int64
	if err := row.Scan(&b.ID, &b.Hash, &b.Person, &b.Epoch, &sealed, &made, &expires, &wrapped); err != nil {
		return b, err
	}
	b.Made, b.Expires = moment(made), moment(expires)
	var c origin
	err = private{"browsers", b.ID, b.Person, sealed, wrapped}.show(s.ring, &c)
	b.Network, b.Agent = c.Network, c.Agent
	return b, err
}

// PutBrowser inserts a trusted browser with the events in one commit. It gives it an id where it has none.
func (s *Store) PutBrowser(ctx context.Context, b *session.Browser, events ...event.Event) error {
	if b.ID == "" {
		b.ID = newID()
	}
	key, err := s.personKey(ctx, b.Person)
	if err != nil {
		return fmt.Errorf("put browser: %w", err)
	}
	sealed, err := sealOwn(key, "browsers", b.ID, origin{Network: b.Network, Agent: b.Agent})
	if err != nil {
		return err
	}
	_, err = s.commit(ctx, change{
		first: statement(`INSERT INTO browsers (id, hash, person, epoch, sealed, made, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			b.ID, b.Hash, b.Person, b.Epoch, sealed, micros(b.Made), micros(b.Expires)),
		events: events,
	})
	if err != nil {
		return fmt.Errorf("put browser: %w", err)
	}
	return nil
}

// BrowserByHash returns a browser whose epoch is its person's and whose time is not up; nil when there is none.
func (s *Store) BrowserByHash(ctx context.Context, hash []byte, now time.Time) (*session.Browser, error) {
	b, err := s.readBrowser(s.db.queryRow(ctx, selectBrowsers+`WHERE b.hash = $1 AND b.expires > $2`, hash, micros(now)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// BrowsersOf returns the browsers of a person that count, newest first, at most 100.
func (s *Store) BrowsersOf(ctx context.Context, person string, now time.Time) ([]session.Browser, error) {
	return collect(ctx, s.db, s.readBrowser, selectBrowsers+`WHERE b.person = $1 AND b.expires > $2 ORDER BY b.id DESC LIMIT 100`, storable(person), micros(now))
}

// ForgetBrowser deletes one of a person's browsers, with the events in one commit; false, and no events, when they have
// none of that id.
func (s *Store) ForgetBrowser(ctx context.Context, person, id string, events ...event.Event) (bool, error) {
	hit, err := s.commit(ctx, change{first: statement(`DELETE FROM browsers WHERE id = $1 AND person = $2`, storable(id), storable(person)), events: events})
	if err != nil {
		return false, fmt.Errorf("forget browser: %w", err)
	}
	return hit, nil
}
