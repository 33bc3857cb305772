package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Binding returns the tie of a provider's account; nil when there is none.
func (s *Store) Binding(ctx context.Context, idp, key string) (*session.Binding, error) {
	return readBinding(s.db.queryRow(ctx, selectBinding, storable(idp), storable(key)))
}

const selectBinding = `SELECT idp, key, person, issuer, subject, made FROM identities WHERE idp = $1 AND key = $2`

func readBinding(row scanner) (*session.Binding, error) {
	b := &session.Binding{}
	var made int64
	err := row.Scan(&b.IDP, &b.Key, &b.Person, &b.Issuer, &b.Subject, &made)
	b.Made = moment(made)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// ofConnectors keeps the people of connectors that are named, by a JSON list.
var ofConnectors = pair{
	postgres: ` AND connector IN (SELECT c.id FROM connectors c JOIN json_array_elements_text($2::json) AS n (name) ON n.name = c.name)`,
	sqlite:   ` AND connector IN (SELECT c.id FROM connectors c JOIN json_each($2) n ON n.value = c.name)`,
}

// PeopleBy returns at most two people, active or not, whose userName, externalId or emails.work is the value: folded as
// names are for userName and emails.work, to the letter for externalId. Only those of the connectors of these names; of
// any when there is none. A value that is empty or no text is nobody's.
func (s *Store) PeopleBy(ctx context.Context, attribute, value string, connectors []string) ([]*account.Person, error) {
	where := map[string]string{
		"userName":    `user_name_key = $1`,
		"externalId":  `external_id = $1`,
		"emails.work": `id IN (SELECT person FROM contacts WHERE list = 'emails' AND type_key = 'work' AND value_key = $1)`,
	}[attribute]
	switch attribute {
	case "userName":
		value = account.Fold(value)
	case "emails.work":
		value = schema.Fold(strings.TrimSpace(value))
	case "externalId":
	default:
		return nil, fmt.Errorf("people by %q: want userName, externalId or emails.work", attribute)
	}
	if value = storable(value); value == "" || len(value) > account.MaxLogin {
		return nil, nil
	}
	args := []any{value}
	if len(connectors) > 0 {
		names, err := json.Marshal(connectors)
		if err != nil {
			return nil, err
		}
		where, args = where+ofConnectors.on(s.Kind()), append(args, string(names))
	}
	found, err := collect(ctx, s.db, readPerson, selectPerson+`WHERE `+where+` ORDER BY id LIMIT 2`, args...)
	if err != nil {
		return nil, fmt.Errorf("people by %s: %w", attribute, err)
	}
	return found, nil
}

// Arrive runs change on the person, locked, and commits with its events: the binding, unless it is nil or there already,
// the session, and the end of the session it replaces ("" for none) with an event of its own. A change that returns no
// session makes the binding alone. Events of type identity.made are left out when the binding is not new, so that of two
// first arrivals at once one tells of it. The session gets the person's id and epoch and version 1, and an id where it has
// none. The closure may run more than once. fault.Conflict when the account is tied to somebody else, or the person to
// another account of that provider; fault.NotFound when there is no such person.
func (s *Store) Arrive(ctx context.Context, person string, b *session.Binding, replaces string, change func(*account.Person) (*session.Session, []event.Event, error)) (*session.Session, error) {
	var made *session.Session
	err := again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			made, events, err = s.arriveIn(ctx, t, person, b, replaces, change)
			return events, err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("arrive: %w", err)
	}
	return made, nil
}

func (s *Store) arriveIn(ctx context.Context, t tx, person string, b *session.Binding, replaces string, change func(*account.Person) (*session.Session, []event.Event, error)) (*session.Session, []event.Event, error) {
	p, err := personIn(readPerson(t.queryRow(ctx, selectPerson+`WHERE id = $1`+t.lock(lockPerson), storable(person))))(person, "")
	if err != nil {
		return nil, nil, err
	}
	tied, err := tie(ctx, t, p.ID, b)
	if err != nil {
		return nil, nil, err
	}
	v, events, err := change(clonePerson(p))
	if err != nil {
		return nil, nil, err
	}
	if !tied {
		events = slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return e.Type == event.IdentityMade })
	}
	if v == nil {
		return nil, events, nil
	}
	if replaces != "" {
		ended, err := replaceIn(ctx, t, replaces, "person:"+p.ID, v.Started)
		if err != nil {
			return nil, nil, err
		}
		events = append(slices.Clone(events), ended...)
	}
	made := plainSession(v)
	if made.ID == "" {
		made.ID = newID()
	}
	made.Person, made.Epoch, made.LiveEpoch, made.LiveActive = p.ID, p.Epoch, p.Epoch, p.Active
	key, err := s.personKeyIn(ctx, t, p.ID)
	if err != nil {
		return nil, nil, err
	}
	return made, events, insertSession(ctx, t, key, made)
}

// replaceIn ends a session that another takes the place of, and tells of it unless it had ended before.
func replaceIn(ctx context.Context, t tx, id, actor string, now time.Time) ([]event.Event, error) {
	t.lock(lockSession) // by the write itself
	var person, idp string
	err := t.queryRow(ctx, `UPDATE sessions SET version = version + 1, ended = $2, why = $3 WHERE id = $1 AND ended = 0 RETURNING person, idp`,
		storable(id), micros(now), session.WhyReplaced).Scan(&person, &idp)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []event.Event{event.New(now, event.SessionEnded, actor, person, id, event.Success).With("why", session.WhyReplaced).With("idp", idp)}, nil
}

// tie makes a binding of a person whose row is locked, and reports whether it is new.
func tie(ctx context.Context, t tx, person string, b *session.Binding) (bool, error) {
	if b == nil {
		return false, nil
	}
	if err := allStorable(b.IDP, b.Key, b.Issuer, b.Subject); err != nil {
		return false, err
	}
	n, err := t.exec(ctx, `INSERT INTO identities (idp, key, person, issuer, subject, made) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		b.IDP, b.Key, person, b.Issuer, b.Subject, micros(b.Made))
	if err != nil || n == 1 {
		return n == 1, err
	}
	have, err := readBinding(t.queryRow(ctx, selectBinding, b.IDP, b.Key))
	switch {
	case err != nil:
		return false, err
	case have != nil && have.Person == person:
		return false, nil
	}
	return false, fault.Wrap(fault.Conflict, message.Key("error.conflict"), errors.New("the account is tied to somebody else, or the person to another account of the provider"))
}
