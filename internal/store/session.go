package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/session"
)

var _ session.Store = (*Store)(nil)

// selectSessions reads sessions with the live epoch of their person and the person's key in one join. A person who was
// deleted has epoch 0, which no session has.
const selectSessions = `SELECT s.id, s.version, s.hash, s.person, s.epoch, s.idp, s.issuer, s.subject, s.sid, s.acr, s.amr, s.auth_time, s.step_up,
	s.sealed, s.started, s.seen, s.expires, s.ended, s.why, coalesce(p.epoch, 0), coalesce(p.active, FALSE), k.wrapped
	FROM sessions s LEFT JOIN people p ON p.id = s.person LEFT JOIN person_keys k ON k.person = s.person `

// sealedSession is what a session's sealed column holds.
type sealedSession struct {
	Network string              `json:"network,omitempty"`
	Agent   string              `json:"agent,omitempty"`
	IDToken string              `json:"id_token,omitempty"`
	Roles   []session.RoleClaim `json:"roles,omitempty"`
	Claims  []string            `json:"claims,omitempty"`
}

func sealedSessionOf(s *session.Session) sealedSession {
	return sealedSession{s.Network, s.Agent, s.IDToken, s.Roles, s.Claims}
}

// keptSession is a session with its sealed column, so that an update that changes nothing in it needs no key.
type keptSession struct {
	*session.Session
	private
}

func (s *Store) readSession(row scanner) (k keptSession, err error) {
	v := &session.Session{}
	var amr string
	var auth, step, started, seen, expires, ended int64
	var sealed, wrapped []byte
	if err := row.Scan(&v.ID, &v.Version, &v.Hash, &v.Person, &v.Epoch, &v.IDP, &v.Issuer, &v.Subject, &v.SID, &v.ACR, &amr, &auth, &step,
		&sealed, &started, &seen, &expires, &ended, &v.Why, &v.LiveEpoch, &v.LiveActive, &wrapped); err != nil {
		return k, err
	}
	v.AuthTime, v.StepUp, v.Started, v.Seen, v.Expires, v.Ended = moment(auth), moment(step), moment(started), moment(seen), moment(expires), moment(ended)
	if amr != "" {
		if err := json.Unmarshal([]byte(amr), &v.AMR); err != nil {
			return k, fmt.Errorf("session %s: amr: %w", v.ID, err)
		}
	}
	k = keptSession{v, private{"sessions", v.ID, v.Person, sealed, wrapped}}
	var c sealedSession
	if err := k.show(s.ring, &c); err != nil {
		return k, err
	}
	v.Network, v.Agent, v.IDToken, v.Roles, v.Claims = c.Network, c.Agent, c.IDToken, c.Roles, c.Claims
	return k, nil
}

// plainSession returns a session as it reads once it was stored.
func plainSession(s *session.Session) *session.Session {
	c := *s
	c.Hash = bytes.Clone(s.Hash)
	c.AuthTime, c.StepUp, c.Started = stored(s.AuthTime), stored(s.StepUp), stored(s.Started)
	c.Seen, c.Expires, c.Ended = stored(s.Seen), stored(s.Expires), stored(s.Ended)
	c.AMR, c.Roles, c.Claims = listOf(s.AMR), listOf(s.Roles), listOf(s.Claims)
	return &c
}

// listOf copies a list; an empty one reads as none.
func listOf[T any](all []T) []T {
	if len(all) == 0 {
		return nil
	}
	return slices.Clone(all)
}

// sessionRow is what may change of a session, in the order of the statements.
func sessionRow(s *session.Session) ([]any, error) {
	amr, err := jsonOf(s.AMR)
	return []any{s.IDP, s.Issuer, s.Subject, s.SID, s.ACR, amr, micros(s.AuthTime), micros(s.StepUp), micros(s.Started), micros(s.Expires), micros(s.Ended), s.Why}, err
}

func insertSession(ctx context.Context, t tx, key keyring.PersonKey, s *session.Session) error {
	row, err := sessionRow(s)
	if err == nil {
		err = allStorable(append([]string{s.IDP, s.Issuer, s.Subject, s.SID, s.ACR}, s.AMR...)...)
	}
	if err != nil {
		return err
	}
	sealed, err := sealOwn(key, "sessions", s.ID, sealedSessionOf(s))
	if err != nil {
		return err
	}
	s.Version = 1
	_, err = t.exec(ctx, `INSERT INTO sessions (id, version, hash, person, epoch, sealed, seen, idp, issuer, subject, sid, acr, amr, auth_time, step_up, started, expires, ended, why)
		VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		append([]any{s.ID, s.Hash, s.Person, s.Epoch, sealed, micros(s.Seen)}, row...)...)
	return err
}

// saveSession writes what may change of a session; whose it is, its cookie and its last use are not among that.
func (s *Store) saveSession(before keptSession, after *session.Session) (stmt, error) {
	row, err := sessionRow(after)
	if err != nil {
		return stmt{}, err
	}
	sealed := before.sealed
	if c := sealedSessionOf(plainSession(after)); !reflect.DeepEqual(c, sealedSessionOf(plainSession(before.Session))) {
		key, err := before.key(s.ring)
		if err == nil {
			sealed, err = sealOwn(key, "sessions", before.ID, c)
		}
		if err != nil {
			return stmt{}, err
		}
	}
	return statement(`UPDATE sessions SET version = version + 1, sealed = $3, idp = $4, issuer = $5, subject = $6, sid = $7, acr = $8, amr = $9, auth_time = $10,
			step_up = $11, started = $12, expires = $13, ended = $14, why = $15
		WHERE id = $1 AND version = $2`, append([]any{before.ID, before.Version, sealed}, row...)...), nil
}

// keepSession restores what a closure may not change of a session.
func keepSession(before, after *session.Session) {
	after.ID, after.Version, after.Hash, after.Person, after.Epoch, after.Seen = before.ID, before.Version, before.Hash, before.Person, before.Epoch, before.Seen
	after.LiveEpoch, after.LiveActive = before.LiveEpoch, before.LiveActive
}

func (s *Store) oneSession(ctx context.Context, where string, arg any) (*session.Session, error) {
	k, err := s.readSession(s.db.queryRow(ctx, selectSessions+where, arg))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return k.Session, err
}

// Session returns a session by the hash of its cookie, with the live epoch of its person; nil when there is none.
func (s *Store) Session(ctx context.Context, hash []byte) (*session.Session, error) {
	return s.oneSession(ctx, `WHERE s.hash = $1`, hash)
}

// SessionByID returns a session by its id; nil when there is none.
func (s *Store) SessionByID(ctx context.Context, id string) (*session.Session, error) {
	return s.oneSession(ctx, `WHERE s.id = $1`, storable(id))
}

// UpdateSession runs change on the current row and commits it with the events. One that leaves the row as it is writes
// its events alone. The cookie, the person, the epoch and the last use are not for it to change. fault.NotFound when
// there is none.
func (s *Store) UpdateSession(ctx context.Context, id string, fn func(*session.Session) ([]event.Event, error)) (*session.Session, error) {
	type changing struct {
		before keptSession
		after  *session.Session
	}
	var result *session.Session
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			k, err := s.readSession(r.queryRow(ctx, selectSessions+`WHERE s.id = $1`, storable(id)))
			if errors.Is(err, sql.ErrNoRows) {
				err = notFound("session", id)
			}
			if err != nil {
				return changing{}, err
			}
			return changing{k, plainSession(k.Session)}, nil
		},
		func(c *changing) ([]event.Event, error) { return fn(c.after) },
		func(c changing) (change, error) {
			keepSession(c.before.Session, c.after)
			result = plainSession(c.after)
			if reflect.DeepEqual(plainSession(c.before.Session), result) {
				return change{}, nil
			}
			first, err := s.saveSession(c.before, c.after)
			result.Version++
			return change{first: first}, err
		})
	if err != nil {
		return nil, fmt.Errorf("update session: %w", err)
	}
	return result, nil
}

// SeenSession notes that a session was used, at most once every session.SeenEvery. One that has ended is left alone.
func (s *Store) SeenSession(ctx context.Context, id string, now time.Time) error {
	_, err := s.hits(ctx, `UPDATE sessions SET seen = $2 WHERE id = $1 AND seen <= $3 AND ended = 0`, storable(id), micros(now), micros(now.Add(-session.SeenEvery)))
	return err
}

// maxSessions is how many sessions of a person are listed, and how many are ended in one commit.
const maxSessions = 100

// SessionsOf returns the sessions of a person that are alive, newest first, at most 100.
func (s *Store) SessionsOf(ctx context.Context, person string, now time.Time) ([]session.Session, error) {
	return collect(ctx, s.db, func(row scanner) (session.Session, error) {
		k, err := s.readSession(row)
		if err != nil {
			return session.Session{}, err
		}
		return *k.Session, nil
	}, selectSessions+`WHERE s.person = $1 AND s.ended = 0 AND s.expires > $2 AND s.seen > $3 AND s.epoch = p.epoch AND p.active
		ORDER BY s.id DESC LIMIT $4`, storable(person), micros(now), micros(now.Add(-session.Idle-session.SeenEvery)), maxSessions)
}

// EndSessions ends every open session that an identity provider's session (sid) made, or all of a subject when sid is
// "", each with an event, and returns how many. It may be repeated.
func (s *Store) EndSessions(ctx context.Context, issuer, sid, subject, why string, now time.Time) (int, error) {
	column, value := "s.sid", sid
	if sid == "" {
		column, value = "s.subject", subject
	}
	if issuer == "" || value == "" || storable(value) == "" {
		return 0, nil
	}
	for all := 0; ; {
		n, err := s.endSome(ctx, `s.issuer = $1 AND `+column+` = $2`, why, now, storable(issuer), value)
		all += n
		if err != nil || n == 0 {
			return all, err
		}
	}
}

// endSome ends at most maxSessions open sessions in one commit. where takes two arguments.
func (s *Store) endSome(ctx context.Context, where, why string, now time.Time, args ...any) (ended int, err error) {
	err = again(ctx, func() error {
		return s.transact(ctx, func(t tx) (events []event.Event, err error) {
			events, ended, err = s.endIn(ctx, t, where, why, "system", now, args...)
			return events, err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return ended, nil
}

// endIn ends at most maxSessions open sessions inside a transaction and returns the event of each.
func (s *Store) endIn(ctx context.Context, t tx, where, why, actor string, now time.Time, args ...any) (events []event.Event, ended int, err error) {
	lock := t.lock(lockSession)
	if lock != "" {
		lock += " OF s" // what it is joined with stands on the outer side, and is only looked at
	}
	found, err := collect(ctx, t, s.readSession, selectSessions+`WHERE `+where+` AND s.ended = 0 AND s.expires > $3 ORDER BY s.id LIMIT $4`+lock,
		append(args, micros(now), maxSessions)...)
	if err != nil {
		return nil, 0, err
	}
	for _, k := range found {
		after := plainSession(k.Session)
		events = append(events, after.End(why, actor, now)...)
		save, err := s.saveSession(k, after)
		if err == nil {
			err = once(ctx, t, save)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return events, len(found), nil
}
