package notify

import (
	"context"
	"net/url"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// security tells the organisation's security contact.
func (p *Post) security(ctx context.Context, i event.Item) error {
	if p.Security == "" {
		return nil
	}
	e, err := p.Book.Event(ctx, i.Event)
	if err != nil {
		return gone(err)
	}
	env := Envelope{ID: "security-" + e.ID, Lang: p.Printer.catalogue.Match(p.Language), To: p.Security}
	if e.Type == event.SignalFlooded {
		return p.outcome(i, p.sendMail(ctx, SignalFloodAlert(env, SignalFlood{Provider: data(e, "idp"), People: number(e, "people"), All: number(e, "of")})), true)
	}
	if e.Type == event.ConnectorBraked {
		return p.outcome(i, p.sendMail(ctx, BrakeAlert(env, p.brake(e))), true)
	}
	who, err := p.Book.Person(ctx, e.Subject)
	if err != nil {
		return err
	}
	name := "?"
	if who != nil {
		name = who.UserName
	}
	d := p.dispute(e)
	d.Person = name
	return p.outcome(i, p.sendMail(ctx, DisputeAlert(env, d)), true)
}

func (p *Post) brake(e event.Event) Brake {
	until, _ := time.Parse(time.RFC3339, data(e, "until"))
	return Brake{Connector: data(e, "name"), Left: number(e, "left"), People: number(e, "people"), Until: until.In(p.Zone), Link: p.BaseURL + "/console/connectors/" + url.PathEscape(data(e, "name"))}
}

// number returns a count of an event, as JSON reads it; 0 when there is none.
func number(e event.Event, name string) int {
	f, _ := e.Data[name].(float64)
	return int(f)
}
