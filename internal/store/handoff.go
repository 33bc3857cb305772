package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// selectHandoffs reads handoffs with the live epoch of their person and of their try in one join. One that is nobody's yet
// runs the same text and finds epoch 0, which no person has.
const selectHandoffs = `SELECT h.id, h.version, h.app, h.key, h.state, h.action, h.request, h.cookie, h.sealed, h.attempt, h.person, h.epoch, h.code, h.token,
	h.until, h.result, h.why, h.created, h.expires, coalesce(p.epoch, 0), coalesce(p.active, FALSE), coalesce(t.epoch, 0)
	FROM handoffs h LEFT JOIN people p ON p.id = h.person LEFT JOIN attempts t ON t.id = h.attempt `

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

// keptHandoff is a handoff with its sealed column, which an update that does not change it writes back as it is.
type keptHandoff struct {
	*client.Handoff
	sealed []byte
}

func (s *Store) readHandoff(row scanner) (k keptHandoff, err error) {
	h := &client.Handoff{}
	var result string
	var until, created, expires int64
	if err := row.Scan(&h.ID, &h.Version, &h.App, &h.Key, &h.State, &h.Action, &h.Request, &h.Cookie, &k.sealed, &h.Attempt, &h.Person, &h.Epoch, &h.Code, &h.Token,
		&until, &result, &h.Why, &created, &expires, &h.LiveEpoch, &h.LiveActive, &h.LiveTry); err != nil {
		return k, err
	}
	h.Until, h.Created, h.Expires = moment(until), moment(created), moment(expires)
	if result != "" {
		if err := json.Unmarshal([]byte(result), &h.Result); err != nil {
			return k, fmt.Errorf("handoff %s: result: %w", h.ID, err)
		}
	}
	if s.ring == nil {
		return k, errNoRing
	}
	var c sealedHandoff
	plain, err := s.ring.Open(k.sealed, "handoffs", h.ID, "sealed")
	if err == nil {
		err = json.Unmarshal(plain, &c)
	}
	if err != nil {
		return k, fmt.Errorf("handoff %s: %w", h.ID, err)
	}
	h.Redirect, h.Param, h.Nonce, h.Challenge, h.Hint, h.Lang, h.About = c.Redirect, c.Param, c.Nonce, c.Challenge, c.Hint, c.Lang, c.About
	k.Handoff = plainHandoff(h)
	return k, nil
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
func (s *Store) saveHandoff(before keptHandoff, after *client.Handoff) (stmt, error) {
	row, err := handoffRow(after)
	if err != nil {
		return stmt{}, err
	}
	sealed := before.sealed
	if after.Hint != before.Hint {
		if sealed, err = s.sealHandoff(after); err != nil {
			return stmt{}, err
		}
	}
	return statement(`UPDATE handoffs SET version = version + 1, sealed = $3, state = $4, cookie = $5, attempt = $6, person = $7, epoch = $8, code = $9, token = $10,
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
	k, err := s.readHandoff(s.db.queryRow(ctx, selectHandoffs+where, handle(hash)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return k.Handoff, err
}

// HandoffByCookie returns the handoff of a browser by the hash of its cookie, in whatever state, with the live epoch of
// its person; nil when there is none.
func (s *Store) HandoffByCookie(ctx context.Context, cookie []byte) (*client.Handoff, error) {
	return s.oneHandoff(ctx, `WHERE h.cookie = $1`, cookie)
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
	h, err := s.changeHandoff(ctx, `WHERE h.request = $1 AND h.app = $2 AND h.state = $3 AND h.expires > $4`,
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

// UpdateHandoff runs change on the current row, read with the live epoch of its person, and commits it with the events.
// One that leaves the row as it is writes its events alone; ErrUnchanged writes nothing. What the app asked, and which
// browser has it, are not for it to change; the hint may be forgotten. fault.NotFound when there is none.
func (s *Store) UpdateHandoff(ctx context.Context, id string, change func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	h, err := s.changeHandoff(ctx, `WHERE h.id = $1`, []any{storable(id)}, notFound("handoff", id), change)
	if err != nil {
		return nil, fmt.Errorf("update handoff: %w", err)
	}
	return h, nil
}

// UpdateHandoffByCode is UpdateHandoff of the one that a code, by its hash, was made for. The code stays known for a day
// after the handoff's time is up, so that one shown again is told from one that never was.
func (s *Store) UpdateHandoffByCode(ctx context.Context, code []byte, change func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	none := notFound("handoff", "of a code") // never the code, nor its hash
	h, err := s.changeHandoff(ctx, `WHERE h.code = $1`, []any{handle(code)}, none, change)
	if err != nil {
		return nil, fmt.Errorf("update handoff by code: %w", err)
	}
	return h, nil
}

func (s *Store) changeHandoff(ctx context.Context, where string, args []any, none error, fn func(*client.Handoff) ([]event.Event, error)) (*client.Handoff, error) {
	type changing struct {
		before keptHandoff
		after  *client.Handoff
	}
	var result *client.Handoff
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			k, err := s.readHandoff(r.queryRow(ctx, selectHandoffs+where, args...))
			if errors.Is(err, sql.ErrNoRows) {
				err = none
			}
			if err != nil {
				return changing{}, err
			}
			result = k.Handoff
			return changing{k, plainHandoff(k.Handoff)}, nil
		},
		func(c *changing) ([]event.Event, error) { return fn(c.after) },
		func(c changing) (change, error) {
			keepHandoff(c.before.Handoff, c.after)
			result = plainHandoff(c.after)
			if reflect.DeepEqual(c.before.Handoff, result) {
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
