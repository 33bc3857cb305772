package console

import (
	"fmt"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

// attempt shows what happened in one try. What was typed is shown to administrators only, and only while it is kept: it
// may be anything a person takes for their name, a password included.
func (c *rooms) attempt(r *web.Request, m *member) (web.Page, error) {
	if err := c.spend(r, m, "console/look", maxLooks); err != nil {
		return web.Page{}, err
	}
	ctx := r.Context()
	ref := reference(r.Var("reference"))
	a, err := c.Store.AttemptByReference(ctx, ref)
	if err != nil {
		return web.Page{}, err
	}
	if a == nil || ref == "" {
		return web.Page{}, fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("attempt %q", ref))
	}
	connectors, err := c.Store.ConnectorNames(ctx)
	if err != nil {
		return web.Page{}, err
	}
	events, err := c.Store.EventsIn(ctx, a.ID)
	if err != nil {
		return web.Page{}, err
	}
	state := stateOf(a, c.Now())
	v := AttemptPage{
		Reference: a.Reference, What: actionWords(a.Action), State: stateWords(state), Tone: stateTone(state), Started: a.Started, Ended: a.Ended, Expires: a.Expires,
		Running: state == a.State && !a.Settled(), Network: a.Network, Agent: a.Agent, Resolved: a.Resolved, More: len(events) > maxSteps,
	}
	if v.Story, err = c.story(ctx, a.Person, events[:min(len(events), maxSteps)], connectors); err != nil {
		return web.Page{}, err
	}
	for i := range v.Story {
		v.Story[i].Reference = "" // each is of this one
	}
	if a.Person != "" {
		p, err := c.Store.Person(ctx, a.Person)
		if err != nil {
			return web.Page{}, err
		}
		if p != nil {
			v.Person = &FoundPerson{ID: p.ID, Name: p.Name(), Login: p.UserName, Active: p.Active}
		}
	}
	e := event.New(c.Now(), event.AttemptViewed, "person:"+m.Person, a.Person, a.ID, event.Success).With("reference", a.Reference).With("role", string(m.Role))
	if m.Role.Covers(staff.Administrator) {
		v.Typed, v.Administrator = a.Typed, true
		e = e.With("typed", a.Typed != "")
	}
	if err := c.Store.Record(ctx, e); err != nil {
		return web.Page{}, err
	}
	return v.Page(), nil
}

// maxSteps is how many events of a try are shown.
const maxSteps = 200
