package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// Job is work that no event brings, such as finding out whose attempt this is. One job of a kind and ref waits at a
// time: another one put beside it is dropped.
type Job struct {
	Kind      string
	Ref       string    // an id, never anything secret or personal
	NotBefore time.Time // zero: at once
	NotAfter  time.Time // zero: never too late
}

// Work is one row of work, leased to whoever claimed it.
type Work struct {
	ID        string
	Event     string // id of the event that brought it; "" for a job
	Kind      string
	Ref       string
	NotBefore time.Time
	NotAfter  time.Time
	Tries     int // how often it was claimed, this time included; also the lease's fencing number
	Lease     time.Time
	Owner     string
	Dead      time.Time // when it was buried; zero while it lives
	Class     string    // class of the last error
}

// Route is the route a kind of work belongs to, for work that an event brought.
func (w Work) Route() event.Route { return event.Route(w.Kind) }

// workRows are new rows column by column.
type workRows struct {
	ids, events, kinds, refs []string
	notBefore, notAfter      []int64
	whose                    []string // the person whose creation brings the row, for those that come with many
}

func (r *workRows) add(id, event, kind, ref string, notBefore, notAfter int64) {
	r.ids, r.events, r.kinds, r.refs = append(r.ids, id), append(r.events, event), append(r.kinds, kind), append(r.refs, ref)
	r.notBefore, r.notAfter = append(r.notBefore, notBefore), append(r.notAfter, notAfter)
}

// heard is the condition under which a row is written: telling receivers is no work where there is none. It reads the table
// in the statement that writes, so that whoever is registered before an event hears of it, on whichever replica it happens.
const heard = `(w.kind NOT IN ('signal', 'feed') OR EXISTS (SELECT 1 FROM receivers WHERE w.kind = 'signal' OR feed))`

// urgent reports whether a row is worth waking a worker for: a feed is followed each second, and it tells of every person of a
// first provisioning.
func (r *workRows) urgent() bool {
	return slices.ContainsFunc(r.kinds, func(kind string) bool { return kind != string(event.RouteFeed) })
}

const insertWork = `INSERT INTO work (id, event, kind, ref, not_before, not_after, tries, lease_until, lease_owner, dead_at, last_error_class) `

// join adds the rows that come with the creation of a person.
func (r *workRows) join(o workRows, person string) {
	for i := range o.ids {
		r.add(o.ids[i], o.events[i], o.kinds[i], o.refs[i], o.notBefore[i], o.notAfter[i])
		r.whose = append(r.whose, person)
	}
}

// postgres returns the statement that writes all rows at once for which the condition holds; w.whose is the person.
func (r workRows) postgres(condition string) stmt {
	return statement(insertWork+`
		SELECT id, event, kind, ref, not_before, not_after, 0, 0, '', 0, ''
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
			AS w (id, event, kind, ref, not_before, not_after, whose)
		WHERE `+condition+` AND `+heard+` ON CONFLICT (event, kind, ref) DO NOTHING`,
		r.ids, r.events, r.kinds, r.refs, r.notBefore, r.notAfter, r.whose)
}

// insert writes the rows one by one, as SQLite does.
func (r workRows) insert(ctx context.Context, t tx) error {
	for i := range r.ids {
		if _, err := t.exec(ctx, insertWork+`SELECT $1, $2, w.kind, $4, $5, $6, 0, 0, '', 0, '' FROM (SELECT $3 AS kind) AS w WHERE `+heard+`
			ON CONFLICT (event, kind, ref) DO NOTHING`,
			r.ids[i], r.events[i], r.kinds[i], r.refs[i], r.notBefore[i], r.notAfter[i]); err != nil {
			return err
		}
	}
	return nil
}

// Put adds jobs in a commit of their own.
func (s *Store) Put(ctx context.Context, jobs ...Job) error {
	_, err := s.commit(ctx, change{jobs: jobs})
	return err
}

const workColumns = `id, event, kind, ref, not_before, not_after, tries, lease_until, lease_owner, dead_at, last_error_class`

func readWork(row scanner) (w Work, err error) {
	var notBefore, notAfter, lease, dead int64
	err = row.Scan(&w.ID, &w.Event, &w.Kind, &w.Ref, &notBefore, &notAfter, &w.Tries, &lease, &w.Owner, &dead, &w.Class)
	w.NotBefore, w.NotAfter, w.Lease, w.Dead = moment(notBefore), moment(notAfter), moment(lease), moment(dead)
	return w, err
}

// Several claim at once: each skips the rows another is just taking. Materialised, or the planner may run the
// inner query, and so take more rows, more than once.
var claimWork = pair{
	postgres: `WITH due AS MATERIALIZED (
			SELECT id FROM work WHERE dead_at = 0 AND kind = ANY(string_to_array($4, ' ')) AND not_before <= $1 AND lease_until <= $1
				AND substr(ref, 1, 36) <> ALL(string_to_array($6, ' '))
			ORDER BY not_before, id LIMIT $5 FOR UPDATE SKIP LOCKED)
		UPDATE work SET lease_until = $2, lease_owner = $3, tries = tries + 1 FROM due WHERE work.id = due.id
		RETURNING work.id, event, kind, ref, not_before, not_after, tries, lease_until, lease_owner, dead_at, last_error_class`,
	sqlite: `UPDATE work SET lease_until = $2, lease_owner = $3, tries = tries + 1 WHERE id IN (
			SELECT id FROM work WHERE dead_at = 0 AND instr(' ' || $4 || ' ', ' ' || kind || ' ') > 0 AND not_before <= $1 AND lease_until <= $1
				AND ($6 = '' OR instr(' ' || $6 || ' ', ' ' || substr(ref, 1, 36) || ' ') = 0)
			ORDER BY not_before, id LIMIT $5)
		RETURNING ` + workColumns,
}

// Claim leases at most n due rows of the kinds to owner, oldest first, for the length of lease. A row that nobody
// finishes in that time is due again, so what a worker does must be safe to repeat, or it looks at Tries. Rows whose
// time has passed are dropped, whatever their kind. No kinds, or a kind with a space in it, claims nothing. Rows whose ref
// begins with one of held, each the 36 characters of an id, are left for another time.
func (s *Store) Claim(ctx context.Context, now time.Time, owner string, kinds []string, n int, lease time.Duration, held ...string) (claimed []Work, err error) {
	if err := s.dropOverdue(ctx, now); err != nil {
		return nil, err
	}
	err = s.db.statement(ctx, func(t tx) (err error) {
		claimed, err = collect(ctx, t, readWork, claimWork.on(t.kind()), micros(now), micros(now.Add(lease)), owner, strings.Join(kinds, " "), n, strings.Join(held, " "))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim work: %w", err)
	}
	slices.SortFunc(claimed, func(a, b Work) int {
		if c := a.NotBefore.Compare(b.NotBefore); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return claimed, nil
}

func (s *Store) dropOverdue(ctx context.Context, now time.Time) error {
	var dropped []string // the client of each that was a delivery, else ""
	err := s.db.statement(ctx, func(t tx) (err error) {
		dropped, err = collect(ctx, t, func(row scanner) (client string, err error) { err = row.Scan(&client); return client, err },
			`DELETE FROM work WHERE dead_at = 0 AND not_after > 0 AND not_after <= $1 AND lease_until <= $1
			RETURNING CASE WHEN kind IN `+deliveryKinds+` THEN substr(ref, 1, 36) ELSE '' END`, micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("drop overdue work: %w", err)
	}
	if len(dropped) > 0 {
		s.log.WarnContext(ctx, "work was not done in time and is dropped", "rows", len(dropped))
	}
	slices.Sort(dropped)
	for _, client := range slices.Compact(dropped) {
		if client == "" {
			continue
		}
		if err := s.NoteDelivery(ctx, client, false, "too-late", now); err != nil {
			s.log.WarnContext(ctx, "that deliveries were dropped is not noted", "client", client, "err", err)
		}
	}
	return nil
}

// leased is the condition under which a worker may still say what became of a row. Claiming it again changes tries.
const leased = ` WHERE id = $1 AND lease_owner = $2 AND tries = $3 AND dead_at = 0`

// settle runs a statement on a row that the caller must still hold. ErrLease when it does not.
func (s *Store) settle(ctx context.Context, w Work, sql string, args ...any) error {
	return s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, sql+leased, append([]any{w.ID, w.Owner, w.Tries}, args...)...)
		if err == nil && n == 0 {
			err = ErrLease
		}
		return err
	})
}

// Done deletes a finished row. ErrLease: the lease ended, and another worker may do the work again.
func (s *Store) Done(ctx context.Context, w Work) error {
	return s.settle(ctx, w, `DELETE FROM work`)
}

// Retry gives a row back to be claimed again not before a time, with the class of error met. ErrLease as Done.
func (s *Store) Retry(ctx context.Context, w Work, notBefore time.Time, class string) error {
	return s.settle(ctx, w, `UPDATE work SET not_before = $4, last_error_class = $5, lease_until = 0`, micros(notBefore), class)
}

// Bury marks a row as dead: it is not claimed again and stays visible until somebody forgets it. ErrLease as Done.
func (s *Store) Bury(ctx context.Context, w Work, now time.Time, class string) error {
	return s.settle(ctx, w, `UPDATE work SET dead_at = $4, last_error_class = $5, lease_until = 0`, micros(now), class)
}

// Expand replaces a row by its children, one a receiver, in one commit. Children already there are left alone, so that
// an expansion may be repeated. ErrLease as Done; then nothing was added.
func (s *Store) Expand(ctx context.Context, parent Work, children []Work) error {
	var rows workRows
	for _, c := range children {
		rows.add(newID(), c.Event, c.Kind, c.Ref, micros(c.NotBefore), micros(c.NotAfter))
	}
	c := change{first: statement(`DELETE FROM work`+leased, parent.ID, parent.Owner, parent.Tries)}
	hit, err := s.db.guarded(ctx, c, sealedRows{work: rows})
	switch {
	case err != nil:
		return fmt.Errorf("expand work %s: %w", parent.ID, err)
	case !hit:
		return ErrLease
	}
	s.hint()
	return nil
}

// MaxDead is the most dead letters one call returns.
const MaxDead = 500

// DeadLetters returns the rows that were buried, latest first, at most MaxDead.
func (s *Store) DeadLetters(ctx context.Context) ([]Work, error) {
	return collect(ctx, s.db, readWork, `SELECT `+workColumns+` FROM work WHERE dead_at > 0 ORDER BY dead_at DESC, id LIMIT $1`, MaxDead)
}

// Revive makes a dead letter due again at now and until notAfter. It reports whether there was one of that id.
func (s *Store) Revive(ctx context.Context, id string, now, notAfter time.Time) (revived bool, err error) {
	err = s.db.statement(ctx, func(t tx) error {
		n, err := t.exec(ctx, `UPDATE work SET dead_at = 0, not_before = $2, not_after = $3, lease_until = 0 WHERE id = $1 AND dead_at > 0`, id, micros(now), micros(notAfter))
		revived = n == 1
		return err
	})
	if revived {
		s.hint()
	}
	return revived, err
}

// Forget deletes dead letters buried before a time and returns how many.
func (s *Store) Forget(ctx context.Context, before time.Time) (n int64, err error) {
	err = s.db.statement(ctx, func(t tx) (err error) {
		n, err = t.exec(ctx, `DELETE FROM work WHERE dead_at > 0 AND dead_at < $1`, micros(before))
		return err
	})
	return n, err
}

// Load is how much work of one kind waits, and since when.
type Load struct {
	Kind   string
	Due    int       // may be done now
	Later  int       // its time has not come, or it waits to be tried again
	Leased int       // being done
	Dead   int       // buried
	Oldest time.Time // since when the oldest due row waits; zero without any
}

// Backlog counts the rows of work by kind, in order of kind.
func (s *Store) Backlog(ctx context.Context, now time.Time) ([]Load, error) {
	loads, err := collect(ctx, s.db, func(row scanner) (l Load, err error) {
		var oldest int64
		err = row.Scan(&l.Kind, &l.Due, &l.Later, &l.Leased, &l.Dead, &oldest)
		l.Oldest = moment(oldest)
		return l, err
	}, `SELECT kind,
			coalesce(sum(CASE WHEN dead_at = 0 AND lease_until <= $1 AND not_before <= $1 THEN 1 END), 0),
			coalesce(sum(CASE WHEN dead_at = 0 AND lease_until <= $1 AND not_before > $1 THEN 1 END), 0),
			coalesce(sum(CASE WHEN dead_at = 0 AND lease_until > $1 THEN 1 END), 0),
			coalesce(sum(CASE WHEN dead_at > 0 THEN 1 END), 0),
			coalesce(min(CASE WHEN dead_at = 0 AND lease_until <= $1 AND not_before <= $1 THEN not_before END), 0)
		FROM work GROUP BY kind`, micros(now))
	slices.SortFunc(loads, func(a, b Load) int { return strings.Compare(a.Kind, b.Kind) })
	return loads, err
}
