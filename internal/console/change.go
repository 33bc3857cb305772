package console

import (
	"fmt"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// change is one thing a member of staff wants done to an app, a receiver or a connector.
type change struct {
	Key     string
	Back    string // where the app or receiver is shown
	Version int64  // that the page showed; 0 for what may be done whatever happened in between
	At      time.Time
	Until   time.Time // what the secrets there are end at, when another one is made
	Actor   string
	Form    map[string]string
}

// keepLife is how long the secrets there are go on, unless they are to end at once.
const keepLife = 24 * time.Hour

// changing reads what is to be done and lets only somebody do it who stepped up in the last minutes. It is counted first,
// whatever comes of it.
func (c *rooms) changing(root string, h func(*web.Request, change) (web.Page, error), more ...web.Field) func(*web.Request, *member) (web.Page, error) {
	fields := append([]web.Field{{Name: "version", Max: 20}, {Name: "keep", Max: 8}}, more...)
	return func(r *web.Request, m *member) (web.Page, error) {
		form, err := r.Form(fields...)
		if err != nil {
			return web.Page{}, err
		}
		if err := c.spend(r, m, "console/change", maxChanges); err != nil {
			return web.Page{}, err
		}
		now := c.Now()
		do := change{Key: r.Var("key"), At: now, Until: now, Actor: "person:" + m.Person, Form: form}
		do.Back = root + "/" + do.Key
		if do.Version, err = strconv.ParseInt(form["version"], 10, 64); err != nil && form["version"] != "" {
			return web.Page{}, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), err)
		}
		switch form["keep"] {
		case "day":
			do.Until = now.Add(keepLife)
		case "none", "":
		default:
			return web.Page{}, fault.Wrap(fault.Invalid, message.Key("error.bad_request"), fmt.Errorf("keep %q", form["keep"]))
		}
		if !m.SteppedUp(now, session.StepUpLife) {
			return c.Door.StepUp(r, m.Session, do.Back)
		}
		return h(r, do)
	}
}

// event is what a change is written down as: its actor, and the key of what it is about.
func (do change) event(typ event.Type, id string) event.Event {
	return event.New(do.At, typ, do.Actor, "", id, event.Success).With("key", do.Key)
}

// rotated says until when the secrets before the new one work, as the command line writes it down.
func (do change) rotated(typ event.Type, id string) event.Event {
	return do.event(typ, id).With("until", do.Until.UTC().Format(time.RFC3339)).With("secret", "rotated")
}

// shown is the page with a new secret.
func (do change) shown(name, secret string) web.Page {
	v := SecretPage{Name: name, Secret: secret, Back: do.Back}
	if do.Until.After(do.At) {
		v.Until = do.Until
	}
	return v.Page()
}

func noSuch(what, key string) error {
	return fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("%s %q", what, key))
}
