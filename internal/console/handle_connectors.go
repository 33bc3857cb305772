package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// prefixConnector begins the token of a connector.
const prefixConnector = "rgn_scim"

// maxConnectors bounds how many are made here.
const maxConnectors = 200

// lifeField says how long a new secret of a connector works.
var lifeField = web.Field{Name: "life", Max: 8}

// lives are what can be chosen.
var lives = map[string]time.Duration{"year": 365 * 24 * time.Hour, "quarter": 90 * 24 * time.Hour, "never": 0}

// expires is when a secret of a chosen life ends; the zero time is no end.
func expires(life string, now time.Time) (time.Time, error) {
	d, ok := lives[life]
	switch {
	case !ok:
		return time.Time{}, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("life %q", life))
	case d == 0:
		return time.Time{}, nil
	}
	return now.Add(d), nil
}

func (c *rooms) connectors(r *web.Request, _ *member) (web.Page, error) {
	v, err := c.connected(r.Context())
	return v.Page(), err
}

func (c *rooms) connected(ctx context.Context) (ConnectorsPage, error) {
	all, err := c.Store.Connectors(ctx)
	if err != nil {
		return ConnectorsPage{}, err
	}
	heard, err := c.Store.AllHeard(ctx)
	return ConnectorsPage{Connectors: all, Heard: heard, Provider: ProviderEntra, Now: c.Now()}, err
}

// connect makes a connector and shows its secret, this once. It gets nothing that more than one person has to agree to: its
// contacts count once together, and its groups neither ask for less nor make anybody staff.
func (c *rooms) connect(r *web.Request, m *member) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "name", Max: 100}, web.Field{Name: "provider", Max: 20}, lifeField)
	if err != nil {
		return web.Page{}, err
	}
	if err := c.spend(r, m, "console/change", maxChanges); err != nil {
		return web.Page{}, err
	}
	now := c.Now()
	if !m.SteppedUp(now, session.StepUpLife) {
		return c.Door.StepUp(r, m.Session, PathConnectors)
	}
	with := Provider(form["provider"])
	if with.steps() == 0 {
		return web.Page{}, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("provider %q", with))
	}
	token, hash := keyring.NewToken(prefixConnector)
	v := client.Connector{ID: uuid.Must(uuid.NewV7()).String(), Name: form["name"], Trust: client.TrustOne, Preset: with.Preset(), Created: now, Updated: now}
	k := client.Token{ID: uuid.Must(uuid.NewV7()).String(), Hash: hash, Created: now}
	if k.Expires, err = expires(form["life"], now); err != nil {
		return web.Page{}, err
	}
	v.Tokens = []client.Token{k}
	list, err := c.connected(r.Context())
	if err != nil {
		return web.Page{}, err
	}
	list.Name, list.Provider = v.Name, with
	switch {
	case len(list.Connectors) >= maxConnectors:
		return list.wrong("console.connectors.many").Page(), nil
	case !client.GoodName(v.Name):
		return list.wrong("console.connectors.name.wrong").Page(), nil
	}
	switch err := c.Store.CreateConnector(r.Context(), &v, v.Made("person:"+m.Person, now)); {
	case fault.Is(err, fault.Conflict):
		return list.wrong("console.connectors.name.taken").Page(), nil
	case err != nil:
		return web.Page{}, err
	}
	return c.made(&v, token, with, time.Time{}, true).Page(), nil
}

// made is the page with a new secret.
func (c *rooms) made(v *client.Connector, token string, with Provider, until time.Time, first bool) ConnectedPage {
	return ConnectedPage{Name: v.Name, Address: c.Base + "/scim/v2", Secret: token, Preset: v.Preset, Provider: with, Ends: v.Tokens[len(v.Tokens)-1].Expires, Until: until, First: first}
}

func (c *rooms) connector(r *web.Request, _ *member) (web.Page, error) {
	v, err := c.Store.ConnectorByName(r.Context(), r.Var("key"))
	if err != nil {
		return web.Page{}, err
	}
	if v == nil {
		return web.Page{}, noSuch("connector", r.Var("key"))
	}
	b, held, err := c.Store.Brake(r.Context(), v.ID)
	if err != nil {
		return web.Page{}, err
	}
	heard, err := c.Store.AllHeard(r.Context())
	if err != nil {
		return web.Page{}, err
	}
	now := c.Now()
	page := ConnectorPage{Connector: *v, Address: c.Base + "/scim/v2", Heard: heard[v.ID], Lost: heard[""], Provider: whose(r, v), Now: now}
	if c.Rules != nil {
		page.Rules = c.Rules(v)
	}
	if w := b.Wave("", now); w != nil && held[w.ID] > 0 {
		page.Wave, page.Held = w, held[w.ID]
	}
	return page.Page(), nil
}

// whose is the provider whose steps are open: the one that was chosen when the connector was made, or the one that its preset
// is for.
func whose(r *web.Request, v *client.Connector) Provider {
	if p := Provider(r.URL.Query().Get("with")); p.steps() > 0 {
		return p
	}
	if v.Preset == client.PresetEntra {
		return ProviderEntra
	}
	return ""
}

// ruleFields are the fields of the form that turns rules.
func (c *rooms) ruleFields() []web.Field {
	fields := []web.Field{{Name: "preset", Max: 20}}
	if c.Rules != nil {
		for _, rule := range c.Rules(&client.Connector{Preset: client.PresetStandard}) {
			fields = append(fields, web.Field{Name: rule.Field(), Max: 8})
		}
	}
	return fields
}

// bendConnector changes how far the server bends to a connector. Its secrets stay, and it is in force everywhere within two
// seconds.
func (c *rooms) bendConnector(r *web.Request, do change) (web.Page, error) {
	id, err := c.connectorID(r, do)
	if err != nil {
		return web.Page{}, err
	}
	_, err = c.Store.UpdateConnector(r.Context(), id, func(v *client.Connector) ([]event.Event, error) {
		if v.Version != do.Version {
			return nil, nil
		}
		was := *v
		v.Preset = client.Preset(do.Form["preset"])
		if c.Rules != nil {
			v.Switches = map[string]bool{}
			for _, rule := range c.Rules(v) {
				switch choice := do.Form[rule.Field()]; choice {
				case "on", "off":
					v.Switches[rule.Name] = choice == "on"
				case "preset", "":
				default:
					return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("rule %s: %q", rule.Name, choice))
				}
			}
		}
		if err := v.Check(); err != nil {
			return nil, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
		}
		if v.Preset == was.Preset && v.SwitchesText() == was.SwitchesText() {
			v.Switches = was.Switches
			return nil, nil
		}
		v.Updated = do.At
		return []event.Event{v.Changed(&was, do.Actor, do.At)}, nil
	})
	return web.Page{Goto: do.Back}, err
}

// connectorID returns the id of the connector a change is about.
func (c *rooms) connectorID(r *web.Request, do change) (string, error) {
	v, err := c.Store.ConnectorByName(r.Context(), do.Key)
	if err == nil && v == nil {
		err = noSuch("connector", do.Key)
	}
	if err != nil {
		return "", err
	}
	return v.ID, nil
}

// rotateConnector gives a connector another secret and shows it, this once. A second click makes none.
func (c *rooms) rotateConnector(r *web.Request, do change) (web.Page, error) {
	end, err := expires(do.Form["life"], do.At)
	if err != nil {
		return web.Page{}, err
	}
	id, err := c.connectorID(r, do)
	if err != nil {
		return web.Page{}, err
	}
	token, hash := keyring.NewToken(prefixConnector)
	k := client.Token{ID: uuid.Must(uuid.NewV7()).String(), Hash: hash, Created: do.At, Expires: end}
	done := false
	v, err := c.Store.UpdateConnector(r.Context(), id, func(v *client.Connector) ([]event.Event, error) {
		if done = v.Version == do.Version; !done {
			return nil, nil
		}
		was := *v
		v.AddToken(k, do.Until, do.At)
		v.Updated = do.At
		return []event.Event{v.Changed(&was, do.Actor, do.At)}, nil
	})
	if err != nil || !done {
		return web.Page{Goto: do.Back}, err
	}
	until := time.Time{}
	if len(v.Tokens) > 1 {
		until = v.Tokens[0].Expires
	}
	return c.made(v, token, whose(r, v), until, false).Page(), nil
}

// undoTime is how long one click brings people back; with very many of them, the page says that some are left.
const undoTime = 20 * time.Second

// undoConnector brings back whom a connector took away in its latest wave.
func (c *rooms) undoConnector(r *web.Request, do change) (web.Page, error) {
	id, err := c.connectorID(r, do)
	if err != nil {
		return web.Page{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), undoTime)
	defer cancel()
	_, err = c.Store.Undo(ctx, id, "", do.Actor, do.At)
	if fault.Is(err, fault.NotFound) || errors.Is(err, context.DeadlineExceeded) && r.Context().Err() == nil {
		err = nil // the page tells how it is
	}
	return web.Page{Goto: do.Back}, err
}
