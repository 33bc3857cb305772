package console

import (
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/web"
)

// prefixApp begins the secret of an app.
const prefixApp = "rgn_app"

func (c *rooms) apps(r *web.Request, _ *member) (web.Page, error) {
	all, err := c.Apps.Apps(r.Context())
	return AppsPage{Apps: all}.Page(), err
}

func (c *rooms) app(r *web.Request, _ *member) (web.Page, error) {
	a, err := c.Apps.App(r.Context(), r.Var("key"))
	if err != nil {
		return web.Page{}, err
	}
	if a == nil {
		return web.Page{}, noSuch("app", r.Var("key"))
	}
	return AppPage{App: *a, Now: c.Now()}.Page(), nil
}

// disableApp lets an app ask for nothing more and sends nobody back to it, or takes that back. Doing it twice is doing it
// once, so it is not bound to what the page showed: whoever wants an app to stop does not want to be told to look again.
func (c *rooms) disableApp(disabled bool) func(*web.Request, change) (web.Page, error) {
	return func(r *web.Request, do change) (web.Page, error) {
		_, err := c.Apps.UpdateApp(r.Context(), do.Key, func(a *client.App) ([]event.Event, error) {
			if !a.Disable(disabled) {
				return nil, nil
			}
			a.Updated = do.At
			return []event.Event{do.event(event.AppChanged, a.ID).With("disabled", []bool{!disabled, disabled})}, nil
		})
		return web.Page{Goto: do.Back}, err
	}
}

// rotateApp gives an app another secret and shows it, this once. A second click, or a page that is loaded again, names a
// version that is not there any more and makes none.
func (c *rooms) rotateApp(r *web.Request, do change) (web.Page, error) {
	secret, hash := keyring.NewToken(prefixApp)
	done := false
	a, err := c.Apps.UpdateApp(r.Context(), do.Key, func(a *client.App) ([]event.Event, error) {
		if done = a.Version == do.Version && a.Asks() && a.Auth == client.AuthSecret; !done {
			return nil, nil
		}
		a.Updated = do.At
		return []event.Event{do.rotated(event.AppChanged, a.ID)}, a.AddSecret(client.Token{Hash: hash, Created: do.At}, do.Until)
	})
	if err != nil || !done {
		return web.Page{Goto: do.Back}, err
	}
	return do.shown(a.Name, secret), nil
}
