package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/session"
)

// Hear runs change on the person that an account of a provider is tied to, locked, and commits with it, all of it or
// nothing: the notice's key spent, the person, the end of sessions, and the events. first is false, and nothing happens,
// when the key was spent before. person is "" when the account is nobody's here: then the key alone is spent. The closure
// may run more than once.
func (s *Store) Hear(ctx context.Context, n *session.Notice, key []byte, until, now time.Time, change func(*account.Person, session.Crowd) (session.Effect, error)) (person string, first bool, err error) {
	if !until.After(now) {
		return "", false, nil
	}
	err = again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			person = ""
			hits, err := t.exec(ctx, spendKey, key, micros(until), micros(now))
			if first = hits == 1; err != nil || !first {
				return nil, err
			}
			if person, err = tiedTo(ctx, t, n); err != nil || person == "" {
				return nil, err
			}
			return s.hearIn(ctx, t, n, person, now, change)
		})
	})
	if err != nil {
		return "", false, fmt.Errorf("hear of an account: %w", err)
	}
	return person, first, nil
}

// tiedTo returns whose a provider's account is; "" for nobody's. It goes by what was tied at a sign-in, never by a name.
func tiedTo(ctx context.Context, t tx, n *session.Notice) (string, error) {
	if n.Subject == "" || allStorable(n.IDP, n.Issuer, n.Subject) != nil {
		return "", nil
	}
	people, err := collect(ctx, t, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT DISTINCT person FROM identities WHERE issuer = $1 AND subject = $2 AND idp = $3 LIMIT 2`, n.Issuer, n.Subject, n.IDP)
	if err != nil || len(people) != 1 { // a subject that is two people's is nobody's
		return "", err
	}
	return people[0], nil
}

func (s *Store) hearIn(ctx context.Context, t tx, n *session.Notice, person string, now time.Time, change func(*account.Person, session.Crowd) (session.Effect, error)) ([]event.Event, error) {
	var crowd session.Crowd
	if n.Kind == session.AccountDisabled { // counted behind the provider's row, which is always locked before a person's
		var told int64
		if err := t.queryRow(ctx, `INSERT INTO signal_brakes (idp, told) VALUES ($1, 0) ON CONFLICT (idp) DO UPDATE SET told = signal_brakes.told RETURNING told`, n.IDP).
			Scan(&told); err != nil {
			return nil, err
		}
		crowd.Told = moment(told)
	}
	p, err := readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), person))
	if errors.Is(err, sql.ErrNoRows) { // deleted a moment ago, and the tie with them
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if n.Kind == session.AccountDisabled {
		if err := count(ctx, t, n.IDP, p.ID, now, &crowd); err != nil {
			return nil, err
		}
	}
	after := clonePerson(p)
	did, err := change(after, crowd)
	if err != nil {
		return nil, err
	}
	if _, err := savePerson(ctx, t, p, after, now); err != nil {
		return nil, err
	}
	events := did.Events
	for did.End {
		ended, some, err := s.endIn(ctx, t, `s.person = $1 AND s.idp = $2`, session.WhyIDP, n.Actor(), now, p.ID, n.IDP)
		if err != nil {
			return nil, err
		}
		if some == 0 {
			break
		}
		events = append(events, ended...)
	}
	if did.Told {
		_, err = t.exec(ctx, `UPDATE signal_brakes SET told = $2 WHERE idp = $1`, n.IDP, micros(now))
	}
	return events, err
}

// count notes that a provider shuts a person out and counts whom it did of late, and how many people it has.
func count(ctx context.Context, t tx, idp, person string, now time.Time, c *session.Crowd) error {
	if _, err := t.exec(ctx, `DELETE FROM signal_counts WHERE idp = $1 AND at <= $2`, idp, micros(now.Add(-session.CrowdTime))); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO signal_counts (idp, person, at) VALUES ($1, $2, $3) ON CONFLICT (idp, person) DO UPDATE SET at = excluded.at`,
		idp, person, micros(now)); err != nil {
		return err
	}
	return t.queryRow(ctx, `SELECT (SELECT count(*) FROM signal_counts WHERE idp = $1), (SELECT count(*) FROM identities WHERE idp = $1)`, idp).Scan(&c.Shut, &c.All)
}
