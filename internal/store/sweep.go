package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
)

// keepSessions is how long a session that is over stays, so that people see where they were signed in.
const keepSessions = 30 * 24 * time.Hour

// keepDestinations is how long the row lives that people who register one destination at once queue for.
const keepDestinations = time.Hour

// SweepSignIns deletes what outlived its time: sign-ins under way, enrolments, trusted browsers, invitations and spent
// ids past theirs, handoffs whose time was up more than a day ago, and sessions whose time, whether they ended before it or not, was up more
// than 30 days ago. It goes in pages, each a commit of its own, and returns how many rows went.
func (s *Store) SweepSignIns(ctx context.Context, now time.Time) (swept int64, err error) {
	old := micros(now.Add(-keepSessions))
	for _, q := range []stmt{
		statement(`DELETE FROM signins WHERE state IN (SELECT state FROM signins WHERE expires <= $1 LIMIT $2)`, micros(now), sweepPage),
		statement(`DELETE FROM enrolments WHERE id IN (SELECT id FROM enrolments WHERE expires <= $1 LIMIT $2)`, micros(now), sweepPage),
		statement(`DELETE FROM browsers WHERE id IN (SELECT id FROM browsers WHERE expires <= $1 LIMIT $2)`, micros(now), sweepPage),
		statement(`DELETE FROM invites WHERE hash IN (SELECT hash FROM invites WHERE expires <= $1 LIMIT $2)`, micros(now), sweepPage),
		statement(`DELETE FROM spent WHERE k IN (SELECT k FROM spent WHERE not_after <= $1 LIMIT $2)`, micros(now), sweepPage),
		statement(`DELETE FROM handoffs WHERE id IN (SELECT id FROM handoffs WHERE expires <= $1 LIMIT $2)`, micros(now.Add(-keepHandoffs)), sweepPage),
		statement(`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= $1 LIMIT $2)`, old, sweepPage),
		statement(`DELETE FROM destinations WHERE hash IN (SELECT hash FROM destinations WHERE touched <= $1 LIMIT $2)`, micros(now.Add(-keepDestinations)), sweepPage),
	} {
		for n := int64(sweepPage); n == sweepPage; swept += n {
			err := s.db.statement(ctx, func(t tx) (err error) {
				n, err = t.exec(ctx, q.sql, q.args...)
				return err
			})
			if err != nil {
				return swept, fmt.Errorf("sweep sign-ins: %w", err)
			}
		}
	}
	return swept, nil
}

// maxLeaving is how many people one sweep of leaving methods looks at; the next one goes on.
const maxLeaving = 200

// SweepLeaving removes the methods that were to be removed by now, each with an event, and returns how many. It may be
// repeated, and run by several at once.
func (s *Store) SweepLeaving(ctx context.Context, now time.Time) (removed int, err error) {
	people, err := collect(ctx, s.db, func(row scanner) (id string, err error) { err = row.Scan(&id); return id, err },
		`SELECT DISTINCT person FROM methods WHERE leaves > 0 AND leaves <= $1 AND status <> 'removed' ORDER BY person LIMIT $2`, micros(now), maxLeaving)
	if err != nil {
		return 0, fmt.Errorf("sweep leaving: %w", err)
	}
	var errs []error
	for _, person := range people {
		var gone int
		_, err := s.UpdatePerson(ctx, person, "", func(_ *account.Person, all *[]method.Method) (events []event.Event, err error) {
			gone = 0
			for i := range *all {
				m := &(*all)[i]
				if m.Status == method.Removed || !m.Gone(now) {
					continue
				}
				gone++
				m.Status, m.RemovedAt, m.Primary = method.Removed, m.Leaves, false
				e := event.New(now, event.MethodRemoved, "system", person, "", event.Success).With("method", m.ID).With("kind", string(m.Kind)).With("why", "left")
				if m.Destination != "" {
					e = e.Sealed("to", m.Mask())
				}
				events = append(events, e)
			}
			if gone == 0 {
				return nil, ErrUnchanged
			}
			return events, nil
		})
		switch {
		case fault.Is(err, fault.NotFound): // deleted meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("sweep leaving: %w", err)) // one person must not keep the others' ways from going
		default:
			removed += gone
		}
	}
	return removed, errors.Join(errs...)
}
