package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// selectHandoffs reads handoffs with the live epoch of their person and of their try in one join. One that is nobody's yet
// runs the same text and finds epoch 0, which no person has.
const selectHandoffs = `SELECT ` + handoffsRead + handoffsFrom

const (
	handoffsRead = `h.id, h.version, h.app, h.key, h.state, h.action, h.request, h.cookie, h.sealed, h.attempt, h.person, h.epoch, h.code, h.token,
	h.until, h.result, h.why, h.created, h.expires, coalesce(p.epoch, 0), coalesce(p.active, FALSE), coalesce(t.epoch, 0)`
	handoffsFrom = ` FROM handoffs h LEFT JOIN people p ON p.id = h.person LEFT JOIN attempts t ON t.id = h.attempt `
)

// selectWithApp reads handoffs whose app still is, after it.
var selectWithApp = `SELECT a.id, a.version, a.` + strings.ReplaceAll(appColumns, ", ", ", a.") + `, ` + handoffsRead + handoffsFrom + `JOIN apps a ON a.key = h.key AND a.id = h.app `

// sealedHandoff is what the sealed column of a handoff holds. It is sealed under the key file: when it is written nobody
// knows yet whose it is.
type sealedHandoff struct {
	Redirect  string `json:"redirect"`
	Param     string `json:"state,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
	Challenge string `json:"challenge"`
	Hint      string `json:"hint,omitempty"`
	Lang      string `json:"lang,omitempty"`
	About     string `json:"about,omitempty"`
}

func sealedHandoffOf(h *client.Handoff) sealedHandoff {
	return sealedHandoff{h.Redirect, h.Param, h.Nonce, h.Challenge, h.Hint, h.Lang, h.About}
}

// maxAsked is how much an app may ask for, in bytes: handlers are stricter, so that this is met by a mistake of ours only.
const maxAsked = 16 << 10

// keptHandoff is where the columns of selectHandoffs are read to.
type keptHandoff struct {
	client.Handoff
	sealed                  []byte
	result                  string
	until, created, expires int64
}

func (r *keptHandoff) into() []any {
	return []any{&r.ID, &r.Version, &r.App, &r.Key, &r.State, &r.Action, &r.Request, &r.Cookie, &r.sealed, &r.Attempt, &r.Person, &r.Epoch, &r.Code, &r.Token,
		&r.until, &r.result, &r.Why, &r.created, &r.expires, &r.LiveEpoch, &r.LiveActive, &r.LiveTry}
}

func (s *Store) handoff(r *keptHandoff) (*client.Handoff, error) {
	h := &r.Handoff
	h.Until, h.Created, h.Expires = moment(r.until), moment(r.created), moment(r.expires)
	if r.result != "" {
		if err := json.Unmarshal([]byte(r.result), &h.Result); err != nil {
			return nil, fmt.Errorf("handoff %s: result: %w", h.ID, err)
		}
	}
	if s.ring == nil {
		return nil, errNoRing
	}
	var c sealedHandoff
	plain, err := s.ring.Open(r.sealed, "handoffs", h.ID, "sealed")
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("handoff %s: %w", h.ID, err)
	}
	h.Redirect, h.Param, h.Nonce, h.Challenge, h.Hint, h.Lang, h.About = c.Redirect, c.Param, c.Nonce, c.Challenge, c.Hint, c.Lang, c.About
	return plainHandoff(h), nil
}

func (s *Store) readHandoff(row scanner) (*client.Handoff, error) {
	var r keptHandoff
	if err := row.Scan(r.into()...); err != nil {
		return nil, err
	}
	return s.handoff(&r)
}

// plainHandoff returns a handoff as it reads once it was stored.
func plainHandoff(h *client.Handoff) *client.Handoff {
	c := *h
	for _, b := range []*[]byte{&c.Request, &c.Cookie, &c.Code, &c.Token} {
		*b = listOf(*b)
	}
	c.Result.Proofs = listOf(h.Result.Proofs)
	c.Until, c.Created, c.Expires = stored(h.Until), stored(h.Created), stored(h.Expires)
	return &c
}

// handle is a hash by which a row is found: NULL when there is none, and none is what an empty one asks for.
func handle(hash []byte) any {
	if len(hash) == 0 {
		return nil
	}
	return hash
}

func (s *Store) sealHandoff(h *client.Handoff) ([]byte, error) {
	if s.ring == nil {
		return nil, errNoRing
	}
	if err := allStorable(h.Redirect, h.Param, h.Nonce, h.Challenge, h.Hint, h.Lang, h.About); err != nil {
		return nil, err // JSON would put another letter in the place of what is no UTF-8, and the app would get back another state
	}
	plain, err := json.Marshal(sealedHandoffOf(h))
	if err == nil && len(plain) > maxAsked {
		err = fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("handoff of %d bytes: at most %d", len(plain), maxAsked))
	}
	if err != nil {
		return nil, err
	}
	return s.ring.Seal(plain, "handoffs", h.ID, "sealed"), nil
}

// handoffRow is what may change of a handoff, in the order of the statements.
func handoffRow(h *client.Handoff) ([]any, error) {
	result := ""
	if r := plainHandoff(h).Result; !reflect.DeepEqual(r, client.Result{}) {
		b, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		result = string(b)
	}
	return []any{string(h.State), handle(h.Cookie), h.Attempt, h.Person, h.Epoch, handle(h.Code), handle(h.Token), micros(h.Until), result, h.Why, micros(h.Expires)},
		allStorable(h.Attempt, h.Person, result, h.Why)
}

// CreateHandoff inserts a handoff, pushed or open, with the events in one commit. It gives it an id where it has none and
// version 1. fault.Invalid when what the app asked cannot be stored.
func (s *Store) CreateHandoff(ctx context.Context, h *client.Handoff, events ...event.Event) error {
	pushed := h.State == client.HandoffPushed
	if !pushed && h.State != client.HandoffOpen || (len(h.Request) > 0) != pushed || (len(h.Cookie) > 0) == pushed {
		return fmt.Errorf("create handoff: in state %q: one that is pushed has a request, one that is open a cookie", h.State)
	}
	if h.ID == "" {
		h.ID = newID()
	}
	row, err := handoffRow(h)
	if err == nil {
		err = allStorable(h.App, h.Key, string(h.Action))
	}
	var sealed []byte
	if err == nil {
		sealed, err = s.sealHandoff(h)
	}
	if err == nil {
		_, err = s.commit(ctx, change{
			first: statement(`INSERT INTO handoffs (id, version, app, key, action, request, sealed, created, state, cookie, attempt, person, epoch, code, token, until, result, why, expires)
				VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
				append([]any{h.ID, h.App, h.Key, string(h.Action), handle(h.Request), sealed, micros(h.Created)}, row...)...),
			events: events,
		})
	}
	if err != nil {
		return fmt.Errorf("create handoff: %w", err)
	}
	h.Version = 1
	return nil
}

// saveHandoff writes what may change of a handoff: not what the app asked, but for the hint, which may be forgotten.
func (s *Store) saveHandoff(before, after *client.Handoff) (stmt, error) {
	row, err := handoffRow(after)
	if err != nil {
		return stmt{}, err
	}
	var sealed []byte // as it is
	if after.Hint != before.Hint {
		if sealed, err = s.sealHandoff(after); err != nil {
			return stmt{}, err
		}
	}
	return statement(`UPDATE handoffs SET version = version + 1, sealed = coalesce($3, sealed), state = $4, cookie = $5, attempt = $6, person = $7, epoch = $8, code = $9, token = $10,
			until = $11, result = $12, why = $13, expires = $14
		WHERE id = $1 AND version = $2`, append([]any{before.ID, before.Version, sealed}, row...)...), nil
}

// keepHandoff restores what a closure may not change of a handoff: whose request it is, and once a browser has it, which.
func keepHandoff(before, after *client.Handoff) {
	after.ID, after.Version, after.App, after.Key, after.Action, after.Created = before.ID, before.Version, before.App, before.Key, before.Action, before.Created
	after.Redirect, after.Param, after.Nonce, after.Challenge, after.Lang, after.About = before.Redirect, before.Param, before.Nonce, before.Challenge, before.Lang, before.About
	after.Request, after.LiveEpoch, after.LiveActive, after.LiveTry = bytes.Clone(before.Request), before.LiveEpoch, before.LiveActive, before.LiveTry
	if before.Cookie != nil {
		after.Cookie = bytes.Clone(before.Cookie)
	}
}

func (s *Store) oneHandoff(ctx context.Context, where string, hash []byte) (*client.Handoff, error) {
	h, err := s.readHandoff(s.db.queryRow(ctx, selectHandoffs+where, handle(hash)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return h, err
}

// HandoffByCookie returns the handoff of a browser by the hash of its cookie, in whatever state, with the live epoch of
// its person; nil when there is none.
func (s *Store) HandoffByCookie(ctx context.Context, cookie []byte) (*client.Handoff, error) {
	return s.oneHandoff(ctx, `WHERE h.cookie = $1`, cookie)
}

// HandoffAndApp returns the handoff of a browser, as HandoffByCookie does, and its app; no app when that was deleted, whoever
// has its key now.
func (s *Store) HandoffAndApp(ctx context.Context, cookie []byte) (*client.Handoff, *client.App, error) {
	return s.withApp(ctx, `WHERE h.cookie = $1`, cookie)
}

// HandoffByCode returns the handoff that a code, by its hash, was made for, and its app, as HandoffAndApp does. The code stays
// known for a day after the handoff's time is up, so that one shown again is told from one that never was.
func (s *Store) HandoffByCode(ctx context.Context, code []byte) (*client.Handoff, *client.App, error) {
	return s.withApp(ctx, `WHERE h.code = $1`, code)
}

func (s *Store) withApp(ctx context.Context, where string, hash []byte) (*client.Handoff, *client.App, error) {
	var h keptHandoff
	var a keptApp
	err := s.db.queryRow(ctx, selectWithApp+where, handle(hash)).Scan(append(a.into(), h.into()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		handoff, err := s.oneHandoff(ctx, where, hash)
		return handoff, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	handoff, err := s.handoff(&h)
	if err != nil {
		return nil, nil, err
	}
	app, err := a.app()
	return handoff, &app, err
}

// HandoffByToken returns a handoff by the hash of its access token, with the live epoch of its person; nil when there is
// none. The caller judges whether its time is up.
func (s *Store) HandoffByToken(ctx context.Context, token []byte) (*client.Handoff, error) {
	return s.oneHandoff(ctx, `WHERE h.token = $1`, token)
}

// errNoHandoff says that there was none to open.
var errNoHandoff = errors.New("no handoff")

// OpenHandoff gives a request that was pushed to the browser of a cookie, for one caller only, and commits it with the
// events of change; nil when there is none, somebody had it, its time is up, or it is another app's. change may run more
// than once and has no side effects.
func (s *Store) OpenHandoff(ctx context.Context, request []byte, app string, cookie []byte, now time.Time, change func(*client.Handoff) []event.Event) (*client.Handoff, error) {
	if len(cookie) == 0 {
		return nil, errors.New("open handoff: no cookie")
	}
	h, err := s.changeHandoff(ctx, nil, `WHERE h.request = $1 AND h.app = $2 AND h.state = $3 AND h.expires > $4`,
		[]any{handle(request), storable(app), string(client.HandoffPushed), micros(now)}, errNoHandoff,
		func(h *client.Handoff) ([]event.Event, error) {
			h.State, h.Cookie = client.HandoffOpen, bytes.Clone(cookie)
			return change(h), nil
		})
	switch {
	case errors.Is(err, errNoHandoff):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("open handoff: %w", err)
	}
	return h, nil
}

// UpdateHandoff runs change on a handoff as it was read just now, and commits it with the events; when it moved since, it is
// read again, with the live epoch of its person, and change runs again. One that leaves the row as it is writes its events
// alone; ErrUnchanged writes nothing. What the app asked, and which browser has it, are not for it to change; the hint may be
// forgotten. read is left as it is. fault.NotFound when there is none.
func (s *Store) UpdateHandoff(ctx context.Context, read *client.Handoff, change func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	h, err := s.changeHandoff(ctx, read, `WHERE h.id = $1`, []any{storable(read.ID)}, notFound("handoff", read.ID), change)
	if err != nil {
		return nil, fmt.Errorf("update handoff: %w", err)
	}
	return h, nil
}

// changeHandoff begins with what was read, when that is given, and reads by itself otherwise.
func (s *Store) changeHandoff(ctx context.Context, read *client.Handoff, where string, args []any, none error, fn func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	type changing struct{ before, after *client.Handoff }
	var result *client.Handoff
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			before := read
			if read = nil; before == nil {
				var err error
				if before, err = s.readHandoff(r.queryRow(ctx, selectHandoffs+where, args...)); errors.Is(err, sql.ErrNoRows) {
					err = none
				}
				if err != nil {
					return changing{}, err
				}
			}
			result = plainHandoff(before)
			return changing{result, plainHandoff(before)}, nil
		},
		func(c *changing) ([]event.Event, error) { return fn(c.after) },
		func(c changing) (change, error) {
			keepHandoff(c.before, c.after)
			result = plainHandoff(c.after)
			if reflect.DeepEqual(c.before, result) {
				return change{}, nil
			}
			first, err := s.saveHandoff(c.before, c.after)
			result.Version++
			return change{first: first}, err
		})
	if err != nil && !errors.Is(err, ErrUnchanged) {
		return nil, err
	}
	return result, nil
}

// keepHandoffs is how long after its time is up a handoff stays, so that a code shown again is recognised.
const keepHandoffs = 24 * time.Hour
