package console

import (
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// alertsOf are the alerts of a person as staff see them.
func alertsOf(p *account.Person, now time.Time) (out []Alert) {
	for _, a := range p.AlertsAt(now) {
		out = append(out, Alert{Person: p.ID, IDP: a.IDP, Kind: a.Kind, Since: a.Since, Until: a.Until, Confirmed: a.Confirmed})
	}
	return out
}

// judgeAlert confirms what an identity provider said of a person, or lifts it. Nobody does it for their own account: where
// it is in other hands, those are the hands.
func (c *rooms) judgeAlert(confirm bool) func(*web.Request, *member) (web.Page, error) {
	return func(r *web.Request, m *member) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "idp", Max: 64}, web.Field{Name: "kind", Max: 32})
		if err != nil {
			return web.Page{}, err
		}
		if err := c.spend(r, m, "console/change", maxChanges); err != nil {
			return web.Page{}, err
		}
		now, id := c.Now(), r.Var("id")
		back, idp, kind, actor := PathPeople+id, form["idp"], account.AlertKind(form["kind"]), "person:"+m.Person
		if !m.SteppedUp(now, session.StepUpLife) {
			return c.Door.StepUp(r, m.Session, back)
		}
		if id == m.Person {
			return web.Page{}, fault.New(fault.Denied, message.Key("console.alert.own"))
		}
		_, err = c.Store.UpdatePerson(r.Context(), id, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
			done, typ := false, event.AlertLifted
			if confirm {
				done, typ = p.Confirm(idp, kind, actor, now), event.AlertConfirmed
			} else {
				done = p.Lift(idp, kind, now)
			}
			if !done { // somebody else was faster, or its time is up: the page shows how it is now
				return nil, nil
			}
			p.Updated = now
			return []event.Event{event.New(now, typ, actor, p.ID, "", event.Success).With("idp", idp).With("alert", string(kind))}, nil
		})
		if fault.Is(err, fault.NotFound) {
			err = fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("person %q: %w", id, err))
		}
		return web.Page{Goto: back}, err
	}
}

// Alert is what an identity provider said of a person.
type Alert struct {
	Person    string
	IDP       string
	Kind      account.AlertKind
	Since     time.Time
	Until     time.Time
	Confirmed time.Time // zero: it ends by itself
}

// Path is where it is confirmed and lifted.
func (a Alert) Path() string { return PathPeople + a.Person + "/alert" }

// Heading says what the provider said.
func (a Alert) Heading() message.Message {
	if a.Kind == account.Disabled {
		return message.Key("console.alert.disabled", "Provider", a.IDP)
	}
	return message.Key("console.alert.compromised", "Provider", a.IDP)
}

// Text says what that does here.
func (a Alert) Text() message.Message {
	if a.Kind == account.Disabled {
		return message.Key("console.alert.disabled.text", "At", a.Since)
	}
	return message.Key("console.alert.compromised.text", "At", a.Since)
}

// Ends says until when.
func (a Alert) Ends() message.Message {
	if !a.Confirmed.IsZero() {
		return message.Key("console.alert.confirmed", "At", a.Confirmed)
	}
	return message.Key("console.alert.until", "At", a.Until)
}
