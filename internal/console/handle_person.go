package console

import (
	"context"
	"fmt"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// maxEvents is how many of a person's latest events are shown.
const maxEvents = 50

// person shows one person. The look is counted first and written down before anything is shown.
func (c *rooms) person(r *web.Request, m *member) (web.Page, error) {
	if err := c.spend(r, m, "console/look", maxLooks); err != nil {
		return web.Page{}, err
	}
	ctx := r.Context()
	p, err := c.Store.Person(ctx, r.Var("id"))
	if err != nil {
		return web.Page{}, err
	}
	if p == nil {
		return web.Page{}, fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("person %q", r.Var("id")))
	}
	v, err := c.personPage(ctx, p)
	if err != nil {
		return web.Page{}, err
	}
	err = c.Store.Record(ctx, event.New(c.Now(), event.PersonViewed, "person:"+m.Person, p.ID, "", event.Success).With("role", string(m.Role)))
	if err != nil {
		return web.Page{}, err
	}
	return v.Page(), nil
}

func (c *rooms) personPage(ctx context.Context, p *account.Person) (*PersonPage, error) {
	now := c.Now()
	ready, err := c.Judge.Readiness(ctx, p, policy.Reset)
	if err != nil {
		return nil, err
	}
	groups, err := c.Store.GroupsOf(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	sessions, err := c.Store.SessionsOf(ctx, p.ID, now)
	if err != nil {
		return nil, err
	}
	connectors, err := c.Store.ConnectorNames(ctx)
	if err != nil {
		return nil, err
	}
	events, err := c.Store.EventsOf(ctx, p.ID, "", maxEvents)
	if err != nil {
		return nil, err
	}
	story, err := c.story(ctx, p.ID, events, connectors)
	if err != nil {
		return nil, err
	}
	v := &PersonPage{
		Name: p.Name(), Login: p.UserName, Active: p.Active, Source: connectors[p.Connector], Since: p.Created,
		Ready: ready, Story: story, More: len(events) == maxEvents,
	}
	if p.HoldUntil.After(now) {
		v.HoldUntil = p.HoldUntil
	}
	for _, s := range sessions {
		if s.Alive(now) {
			v.Sessions++
		}
	}
	for _, g := range groups {
		v.Groups = append(v.Groups, GroupOf{Name: g.Group, Indirect: !g.Direct, Stricter: !g.Trusted})
	}
	if d := p.Dispute; d != nil {
		v.Dispute = &Dispute{At: d.At, Since: d.Since}
		a, err := c.Store.Attempt(ctx, d.Attempt)
		if err != nil {
			return nil, err
		}
		if a != nil {
			v.Dispute.Reference = a.Reference
		}
	}
	v.Alerts = alertsOf(p, now)
	for _, k := range ready.Ways {
		v.Ways = append(v.Ways, wayOf(k, connectors))
	}
	return v, nil
}

// wayOf says what one way is, where it is from and whether it counts.
func wayOf(k reset.Kept, connectors map[string]string) Way {
	w := Way{Kind: k.Kind, Masked: k.Masked, Label: k.Label, Primary: k.Primary, Added: k.Added, Used: k.Used, Source: sourceWords(k.Root, connectors)}
	add := func(tone string, say message.Message) { w.Notes = append(w.Notes, Note{tone, say}) }
	switch k.Why {
	case "":
		add("ok", message.Key("console.way.counts"))
	case "resting":
		add("warn", message.Key("console.way.resting", "At", k.Rests))
	case "disabled", "disputed":
		add("bad", whyWords(k.Why))
	default:
		add("", whyWords(k.Why))
	}
	if !k.Matures.IsZero() {
		add("warn", message.Key("console.way.matures", "At", k.Matures))
	}
	if !k.Leaves.IsZero() {
		add("warn", message.Key("console.way.leaves", "At", k.Leaves))
	}
	return w
}

// sourceWords says what a way stands on.
func sourceWords(root method.Root, connectors map[string]string) message.Message {
	switch root.Kind {
	case method.ByPerson:
		return message.Key("console.root.person")
	case method.BySession:
		return message.Key("console.root.session")
	case method.ByPass:
		return message.Key("console.root.pass")
	case method.ByConnector:
		if name := connectors[root.ID]; name != "" {
			return message.Key("console.root.connector", "Name", name)
		}
		return message.Key("console.root.gone")
	case method.ByDirectory:
		return message.Key("console.root.directory")
	case method.ByImport:
		return message.Key("console.root.import")
	}
	return message.Key("console.root.idp")
}
