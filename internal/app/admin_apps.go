package app

import (
	"context"
	"errors"
	"slices"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// CreateApp registers an app that people may be sent back to. Without a key one is made of the name.
func (a *Admin) CreateApp(ctx context.Context, name, key string, returns []string) (*client.App, error) {
	if key == "" {
		if key = client.KeyOf(name); key == "" {
			return nil, errors.New("no key can be made of that name: give one with --key")
		}
	}
	now := a.now()
	made := &client.App{ID: newID(), Key: key, Name: name, Returns: returns, Created: now, Updated: now}
	if err := made.Check(); err != nil {
		return nil, err
	}
	e := event.New(now, event.AppCreated, a.actor, "", made.ID, event.Success).With("key", made.Key).With("name", made.Name).With("returns", made.Returns)
	return made, a.Store.CreateApp(ctx, made, e)
}

// AppChange is what an operator may change of an app. What is empty stays.
type AppChange struct {
	Name    string
	Returns []string // in place of those there are
	Disable bool     // nobody is sent back to it any more
	Enable  bool
}

// ChangeApp changes an app and records old and new.
func (a *Admin) ChangeApp(ctx context.Context, key string, c AppChange) error {
	now := a.now()
	_, err := a.Store.UpdateApp(ctx, key, func(app *client.App) ([]event.Event, error) {
		before := *app
		if c.Name != "" {
			app.Name = c.Name
		}
		if len(c.Returns) > 0 {
			app.Returns = c.Returns
		}
		app.Disabled = (app.Disabled || c.Disable) && !c.Enable
		if err := app.Check(); err != nil {
			return nil, err
		}
		e := event.New(now, event.AppChanged, a.actor, "", app.ID, event.Success).With("key", app.Key)
		if before.Name != app.Name {
			e = e.With("name", []string{before.Name, app.Name})
		}
		if before.Disabled != app.Disabled {
			e = e.With("disabled", []bool{before.Disabled, app.Disabled})
		}
		events := []event.Event{e}
		if !slices.Equal(before.Returns, app.Returns) {
			// Both lists at their longest are more than one event holds.
			events = append(events, event.New(now, event.AppChanged, a.actor, "", app.ID, event.Success).With("key", app.Key).With("returns", app.Returns))
			events[0] = e.With("returns_before", before.Returns)
		} else if len(e.Data) == 1 {
			return nil, nil
		}
		app.Updated = now
		return events, nil
	})
	return missing("app", key, err)
}

// DeleteApp removes an app: links that name it lead nowhere any more.
func (a *Admin) DeleteApp(ctx context.Context, key string) error {
	app, err := a.App(ctx, key)
	if err != nil {
		return err
	}
	e := event.New(a.now(), event.AppDeleted, a.actor, "", app.ID, event.Success).With("key", app.Key).With("name", app.Name).With("returns", app.Returns)
	return missing("app", key, a.Store.DeleteApp(ctx, key, e))
}

// App finds an app by its key.
func (a *Admin) App(ctx context.Context, key string) (*client.App, error) {
	app, err := a.Store.App(ctx, key)
	if err == nil && app == nil {
		err = missing("app", key, fault.New(fault.NotFound, message.Key("error.not_found")))
	}
	return app, err
}
