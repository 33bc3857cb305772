package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/reset"
)

const (
	writeColumns = `id, attempt, person, directory, ref, action, server, marker, changed, state, lease, created, ended`
	selectWrite  = `SELECT ` + writeColumns + ` FROM writes `
)

func readWrite(row scanner) (*reset.Write, error) {
	w := &reset.Write{}
	var changed, lease, created, ended int64
	err := row.Scan(&w.ID, &w.Attempt, &w.Person, &w.Directory, &w.Ref, &w.Action, &w.Server, &w.Marker, &changed, &w.State, &lease, &created, &ended)
	w.Changed, w.Lease, w.Created, w.Ended = moment(changed), moment(lease), moment(created), moment(ended)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func plainWrite(w reset.Write) reset.Write {
	w.Changed, w.Lease, w.Created, w.Ended = stored(w.Changed), stored(w.Lease), stored(w.Created), stored(w.Ended)
	return w
}

// saveWrite writes what is learned of a write after it began; whose it is and of which account never changes.
func saveWrite(id string, w *reset.Write) stmt {
	return statement(`UPDATE writes SET server = $2, marker = $3, state = $4, lease = $5, ended = $6 WHERE id = $1`,
		id, w.Server, w.Marker, string(w.State), micros(w.Lease), micros(w.Ended))
}

// BeginWrite changes the attempt and inserts the write in one commit. fault.Conflict with reset.write.running when another
// write of the same account has not ended, on whichever replica.
//
// The person is locked before the attempt is read: two attempts proved at the same moment would otherwise both write,
// the second on an epoch that the end of the first had moved since it looked.
func (s *Store) BeginWrite(ctx context.Context, attempt string, w *reset.Write, change func(*reset.Attempt) ([]event.Event, error)) (*reset.Attempt, error) {
	var after *reset.Attempt
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			after, events, err = s.finishIn(ctx, t, attempt, func(a *reset.Attempt, _ *account.Person, _ *reset.Write) ([]event.Event, error) { return change(a) })
			if err != nil {
				return nil, err
			}
			_, err = t.exec(ctx, `INSERT INTO writes (`+writeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
				w.ID, attempt, w.Person, w.Directory, w.Ref, string(w.Action), w.Server, w.Marker, micros(w.Changed), string(w.State), micros(w.Lease), micros(w.Created), micros(w.Ended))
			return events, err
		})
	})
	if violates(err, "writes_running", "writes.directory, writes.ref") {
		return nil, fault.Wrap(fault.Conflict, message.Key("reset.write.running"), fmt.Errorf("a write of %s in %s is under way", w.Ref, w.Directory))
	}
	if err != nil {
		return nil, err
	}
	return after, nil
}

// Write returns a write; nil when there is none.
func (s *Store) Write(ctx context.Context, id string) (*reset.Write, error) {
	w, err := readWrite(s.db.queryRow(ctx, selectWrite+`WHERE id = $1`, storable(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return w, err
}

// LastWrite returns the newest write of a person; nil when there is none.
func (s *Store) LastWrite(ctx context.Context, person string) (*reset.Write, error) {
	w, err := readWrite(s.db.queryRow(ctx, selectWrite+`WHERE person = $1 ORDER BY created DESC, id DESC LIMIT 1`, storable(person)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return w, err
}

// Link returns the tie of a person to a directory; nil when there is none.
func (s *Store) Link(ctx context.Context, person, directory string) (*reset.Link, error) {
	l := reset.Link{Person: person, Directory: directory}
	var made int64
	err := s.db.queryRow(ctx, `SELECT ref, login, made FROM links WHERE person = $1 AND directory = $2`, person, directory).Scan(&l.Ref, &l.Login, &made)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.Made = moment(made)
	return &l, nil
}

// PutLink ties a person to an account, with the events. Tying the same again writes nothing. fault.Conflict when the
// account is another person's already, or the person has another account in that directory.
func (s *Store) PutLink(ctx context.Context, l reset.Link, events ...event.Event) error {
	hit, err := s.commit(ctx, change{
		first: statement(`INSERT INTO links (person, directory, ref, login, made) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			l.Person, l.Directory, l.Ref, l.Login, micros(l.Made)),
		events: events,
	})
	if err != nil || hit {
		return err
	}
	have, err := s.Link(ctx, l.Person, l.Directory)
	if err == nil && (have == nil || have.Ref != l.Ref) {
		err = fault.Wrap(fault.Conflict, message.Key("error.conflict"), fmt.Errorf("account %s in %s is tied to somebody else, or the person to another one", l.Ref, l.Directory))
	}
	return err
}
