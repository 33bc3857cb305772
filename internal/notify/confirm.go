package notify

import (
	"context"
	"fmt"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
)

// Confirm is a code that confirms an address, and what whoever reads it must know to judge it: they may be somebody else
// than the one who asked.
type Confirm struct {
	Name    string // who asked
	Code    string
	Minutes int // how long it works
	Origin  Origin
}

// ConfirmLetter brings the code by mail. It holds no link: nothing in it acts, and whoever did not ask need do nothing.
func ConfirmLetter(e Envelope, c Confirm) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.confirm.subject"),
		Lead:    message.Key("mail.confirm.lead", "Minutes", c.Minutes, "Name", c.Name),
		Code:    c.Code,
		Paragraphs: []message.Message{
			message.Key("mail.confirm.asked", "Origin", c.Origin.Message()),
			message.Key("mail.code.nobody_asks"),
			message.Key("mail.confirm.not_me", "Name", c.Name),
		},
	}
}

// ConfirmText brings the code by text message, and says the same in less space.
func ConfirmText(e Envelope, c Confirm) Text {
	return Text{ID: e.ID, Lang: e.Lang, To: e.To, Code: c.Code,
		Body: message.Key("sms.confirm", "Code", c.Code, "Name", c.Name, "Origin", c.Origin.short(), "Minutes", c.Minutes)}
}

// confirm delivers the code of one enrolment.
func (p *Post) confirm(ctx context.Context, i event.Item) error {
	asked, err := p.Book.Event(ctx, i.Event)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	d, err := p.Register.Prepare(ctx, i.Ref)
	if err != nil || d == nil {
		return err
	}
	e := Envelope{ID: fmt.Sprintf("confirm-%s-%d", d.Enrolment, d.Sends), Lang: p.langOf(d.Language, data(asked, "lang")), To: d.To}
	origin := p.origin(asked)
	origin.When = d.Asked.In(p.Zone)
	c := Confirm{Name: d.Name, Code: d.Code, Minutes: int(d.Expires.Sub(d.Asked).Minutes()), Origin: origin}
	if d.Kind == method.Email {
		err = p.sendMail(ctx, ConfirmLetter(e, c))
	} else {
		err = p.sendText(ctx, ConfirmText(e, c))
	}
	switch class := KindOf(err); {
	case err == nil:
		return p.Register.Delivered(ctx, d, "")
	case d.Kind == method.Email && class != Permanent && p.Now().Add(event.Backoff(i.Tries)).Before(i.NotAfter):
		p.Log.WarnContext(ctx, "code not handed over", "enrolment", d.Enrolment, "class", class.String(), "err", err)
		return event.Later{After: event.Backoff(i.Tries), Class: class.String()}
	default: // a text message costs money and may have arrived: the person asks for another
		if derr := p.Register.Delivered(ctx, d, class.String()); derr != nil {
			return derr
		}
		return event.Dead{Class: class.String(), Err: err}
	}
}
