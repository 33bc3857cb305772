package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

const (
	appColumns = `key, name, returns, disabled, created, updated, redirects, actions, auth, secrets, keys, alg, subject, sector, initiate, push_only`
	selectApps = `SELECT id, version, ` + appColumns + ` FROM apps `
)

// keptApp is where the columns of an app are read to.
type keptApp struct {
	client.App
	returns, redirects, actions, secrets, keys string
	created, updated                           int64
}

func (r *keptApp) into() []any {
	return []any{&r.ID, &r.Version, &r.Key, &r.Name, &r.returns, &r.Disabled, &r.created, &r.updated,
		&r.redirects, &r.actions, &r.Auth, &r.secrets, &r.keys, &r.Alg, &r.Subject, &r.Sector, &r.Initiate, &r.PushOnly}
}

func (r *keptApp) app() (client.App, error) {
	a := r.App
	a.Created, a.Updated = moment(r.created), moment(r.updated)
	for _, c := range []struct {
		text string
		to   any
	}{{r.returns, &a.Returns}, {r.redirects, &a.Redirects}, {r.actions, &a.Actions}, {r.secrets, &a.Secrets}, {r.keys, &a.Keys}} {
		if c.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(c.text), c.to); err != nil {
			return a, fmt.Errorf("app %s: %w", a.Key, err)
		}
	}
	return plainApp(a), nil
}

func readApp(row scanner) (client.App, error) {
	var r keptApp
	if err := row.Scan(r.into()...); err != nil {
		return r.App, err
	}
	return r.app()
}

// plainApp returns an app as it reads once it was stored.
func plainApp(a client.App) client.App {
	a.Returns, a.Redirects, a.Actions, a.Secrets, a.Keys = listOf(a.Returns), listOf(a.Redirects), listOf(a.Actions), listOf(a.Secrets), listOf(a.Keys)
	a.Created, a.Updated = stored(a.Created), stored(a.Updated)
	for i := range a.Secrets {
		k := &a.Secrets[i]
		k.Hash, k.Created, k.Expires = listOf(k.Hash), stored(k.Created), stored(k.Expires)
	}
	for i := range a.Keys {
		a.Keys[i].Created, a.Keys[i].Expires = stored(a.Keys[i].Created), stored(a.Keys[i].Expires)
	}
	return a
}

// nameSecrets gives ids to secrets that have none, to tell them apart by.
func nameSecrets(a *client.App) {
	for i := range a.Secrets {
		if a.Secrets[i].ID == "" {
			a.Secrets[i].ID = newID()
		}
	}
}

// appRow is an app as stored, but for id and version.
func appRow(a *client.App) ([]any, error) {
	if err := a.Check(); err != nil {
		return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
	}
	plain := plainApp(*a)
	lists := make([]string, 5)
	var err error
	for i, list := range []any{plain.Returns, plain.Redirects, plain.Actions, plain.Secrets, plain.Keys} {
		var bad error
		lists[i], bad = jsonOf(list)
		err = errors.Join(err, bad)
	}
	for _, k := range plain.Keys {
		err = errors.Join(err, allStorable(k.ID, k.JWK))
	}
	for _, k := range plain.Secrets {
		err = errors.Join(err, allStorable(k.ID))
	}
	return []any{a.Key, a.Name, lists[0], a.Disabled, micros(a.Created), micros(a.Updated),
		lists[1], lists[2], string(a.Auth), lists[3], lists[4], a.Alg, string(a.Subject), a.Sector, a.Initiate, a.PushOnly}, errors.Join(err, allStorable(a.Name, a.Sector))
}

// Apps returns all apps in order of key; see Cached.
func (s *Store) Apps(ctx context.Context) ([]client.App, error) {
	return collect(ctx, s.db, readApp, selectApps+`ORDER BY key`)
}

// App returns an app by its key, disabled or not; nil when there is none. See Cached.
func (s *Store) App(ctx context.Context, key string) (*client.App, error) {
	found, err := collect(ctx, s.db, readApp, selectApps+`WHERE key = $1`, storable(key))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// CreateApp inserts an app with the events in one commit and moves the generation. It gives the app and its secrets ids where
// they have none and version 1. fault.Invalid when Check refuses it; *TakenError when the key is another app's.
func (s *Store) CreateApp(ctx context.Context, a *client.App, events ...event.Event) error {
	if a.ID == "" {
		a.ID = newID()
	}
	a.Version = 1
	nameSecrets(a)
	row, err := appRow(a)
	hit := false
	if err == nil {
		hit, err = s.commit(ctx, change{
			first: statement(`INSERT INTO apps (id, version, `+appColumns+`)
				VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING`, append([]any{a.ID}, row...)...),
			with: []stmt{moveGeneration()}, events: events,
		})
	}
	if err == nil && !hit {
		err = &TakenError{"key"}
	}
	if err != nil {
		return fmt.Errorf("create app: %w", err)
	}
	return nil
}

// UpdateApp runs change on an app and commits it with the events; the generation moves. The closure may run more than
// once; ErrUnchanged from it, or an app left as it was, writes nothing. It returns the app as it is afterwards. Errors as
// CreateApp; fault.NotFound when there is none of that key.
func (s *Store) UpdateApp(ctx context.Context, key string, fn func(*client.App) ([]event.Event, error)) (*client.App, error) {
	type changing struct{ before, after client.App }
	var result client.App
	err := update(ctx, s,
		func(ctx context.Context, r reader) (changing, error) {
			found, err := collect(ctx, r, readApp, selectApps+`WHERE key = $1`, storable(key))
			if err == nil && len(found) == 0 {
				err = notFound("app", key)
			}
			if err != nil {
				return changing{}, err
			}
			result = plainApp(found[0])
			return changing{before: found[0], after: plainApp(found[0])}, nil
		},
		func(c *changing) ([]event.Event, error) {
			events, err := fn(&c.after)
			if err != nil {
				return nil, err
			}
			c.after = plainApp(c.after)
			nameSecrets(&c.after)
			c.after.ID, c.after.Version = c.before.ID, c.before.Version
			if reflect.DeepEqual(plainApp(c.before), c.after) {
				return nil, ErrUnchanged
			}
			return events, nil
		},
		func(c changing) (change, error) {
			row, err := appRow(&c.after)
			result = c.after
			result.Version++
			return change{
				first: statement(`UPDATE apps SET version = version + 1, key = $3, name = $4, returns = $5, disabled = $6, created = $7, updated = $8,
						redirects = $9, actions = $10, auth = $11, secrets = $12, keys = $13, alg = $14, subject = $15, sector = $16, initiate = $17, push_only = $18
					WHERE id = $1 AND version = $2`, append([]any{c.after.ID, c.after.Version}, row...)...),
				with: []stmt{moveGeneration()},
			}, err
		})
	switch {
	case errors.Is(err, ErrUnchanged):
		return &result, nil
	case violates(err, "apps_key_key", "apps.key"):
		err = &TakenError{"key"}
	}
	if err != nil {
		return nil, fmt.Errorf("update app: %w", err)
	}
	return &result, nil
}

// DeleteApp deletes an app, with the events in one commit; the generation moves. fault.NotFound when there is none of
// that key.
func (s *Store) DeleteApp(ctx context.Context, key string, events ...event.Event) error {
	hit, err := s.commit(ctx, change{first: statement(`DELETE FROM apps WHERE key = $1`, storable(key)), with: []stmt{moveGeneration()}, events: events})
	if err == nil && !hit {
		err = notFound("app", key)
	}
	if err != nil {
		return fmt.Errorf("delete app: %w", err)
	}
	return nil
}
