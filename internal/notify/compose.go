package notify

import (
	"time"

	"github.com/regain-id/regain/internal/message"
)

// Code is a security code and what its owner must know to judge it.
type Code struct {
	Purpose   Purpose
	Code      string
	Minutes   int // how long it works
	Origin    Origin
	Reference string
	NotMe     string // link that ends the attempt
}

// CodeLetter brings a code by mail. It says what the code is for, when and roughly where that was started, and that
// nobody will ask for it.
func CodeLetter(e Envelope, c Code) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.code.subject"),
		Lead:    message.Key("mail.code.lead", "Minutes", c.Minutes),
		Code:    c.Code,
		Paragraphs: []message.Message{
			{Key: "mail.code.purpose." + c.Purpose.known()},
			message.Key("mail.code.started", "Origin", c.Origin.Message()),
			message.Key("mail.code.nobody_asks"),
			message.Key("mail.code.not_me"),
		},
		Link:      notMe(c.NotMe),
		Reference: c.Reference,
	}
}

// CodeText brings a code by text message, and says the same in less space.
func CodeText(e Envelope, c Code) Text {
	return Text{
		ID: e.ID, Lang: e.Lang, To: e.To, Code: c.Code,
		Body: message.Key("sms.code",
			"Code", c.Code,
			"Purpose", message.Message{Key: "sms.purpose." + c.Purpose.known()},
			"Origin", c.Origin.short(),
			"Minutes", c.Minutes),
	}
}

func notMe(url string) *Link {
	if url == "" {
		return nil
	}
	return &Link{message.Key("mail.not_me"), url}
}

// Done is an act that is over.
type Done struct {
	Purpose   Purpose
	Handed    bool   // the organisation's own systems did it, not somebody at a page of ours
	Origin    Origin // when it was done and where from
	Reference string
	SignIn    string // what takes the new password next: a name or an address; "" when not known
	NotMe     string // link that opens a dispute, good for 72 hours
}

// DoneLetter tells, after the act, what happened, when and where from, where to sign in next, and which devices still
// hold the old password.
func DoneLetter(e Envelope, d Done) Letter {
	key := "mail.done." + d.Purpose.known()
	l := Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject:    message.Message{Key: key + ".subject"},
		Lead:       message.Message{Key: key + ".lead"},
		Paragraphs: []message.Message{d.when()},
		Link:       notMe(d.NotMe),
		Reference:  d.Reference,
	}
	if d.SignIn != "" {
		l.Paragraphs = append(l.Paragraphs, message.Message{Key: key + ".next", Args: map[string]any{"SignIn": d.SignIn}})
	}
	if d.Purpose != Unlock {
		l.Paragraphs = append(l.Paragraphs, message.Key("mail.done.devices"))
	}
	l.Paragraphs = append(l.Paragraphs, message.Key("mail.done.not_me"))
	return l
}

// when tells when it was done and where from, or that the organisation did it.
func (d Done) when() message.Message {
	if d.Handed {
		return message.Key("mail.done.handed", "When", d.Origin.When)
	}
	return message.Key("mail.done.when", "Origin", d.Origin.Message())
}

// DoneText is DoneLetter for a phone.
func DoneText(e Envelope, d Done) Text {
	return Text{ID: e.ID, Lang: e.Lang, To: e.To, Body: message.Key("sms.done",
		"What", message.Message{Key: "sms.done." + d.Purpose.known()}, "Origin", d.Origin.short(), "Reference", d.Reference)}
}

// UnknownLetter tells that an act was sent to the directory and no answer came.
func UnknownLetter(e Envelope, d Done) Letter {
	lead := message.Key("mail.unknown.lead.password")
	if d.Purpose == Unlock {
		lead = message.Key("mail.unknown.lead.unlock")
	}
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.unknown.subject"),
		Lead:    lead,
		Paragraphs: []message.Message{
			d.when(),
			message.Key("mail.unknown.next"),
			message.Key("mail.done.not_me"),
		},
		Link:      notMe(d.NotMe),
		Reference: d.Reference,
	}
}

// UnknownText is UnknownLetter for a phone.
func UnknownText(e Envelope, d Done) Text {
	return Text{ID: e.ID, Lang: e.Lang, To: e.To,
		Body: message.Key("sms.unknown", "Origin", d.Origin.short(), "Reference", d.Reference)}
}

// Reason is why somebody cannot finish.
type Reason string

// The reasons. Any other is told as NotInScope, which claims the least.
const (
	NeverRegistered  Reason = "never_registered"
	TooFew           Reason = "too_few"
	KindNotAvailable Reason = "kind_not_available" // Cannot.Kind was asked for
	Disabled         Reason = "disabled"
	Paused           Reason = "paused"
	Alerted          Reason = "alerted"
	NotInScope       Reason = "not_in_scope"
	NotThisAction    Reason = "action"
	NotThisNetwork   Reason = "network"
	Protected        Reason = "protected"
	HeldUntil        Reason = "held_until" // Cannot.Until
	NoAccount        Reason = "no_account_in_directory"
)

// Cannot is a try that its owner cannot finish.
type Cannot struct {
	Reason    Reason
	Kind      string    // of method: email, sms, …; for KindNotAvailable
	Until     time.Time // for HeldUntil, in the person's zone
	Origin    Origin
	Reference string
}

// CannotLetter is the one honest notice to somebody who cannot finish: why, and what to do. The organisation's help
// follows it, as in every letter.
func CannotLetter(e Envelope, c Cannot) Letter {
	why := message.Key("mail.cannot.reason.not_in_scope")
	switch c.Reason {
	case KindNotAvailable:
		why = message.Key("mail.cannot.reason.kind_not_available", "Kind", kindName(c.Kind))
	case HeldUntil:
		why = message.Key("mail.cannot.reason.held_until", "Until", c.Until)
	case NeverRegistered, TooFew, Disabled, Paused, Alerted, NotThisAction, NotThisNetwork, Protected, NoAccount:
		why = message.Message{Key: "mail.cannot.reason." + string(c.Reason)}
	}
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.cannot.subject"),
		Lead:    message.Key("mail.cannot.lead"),
		Paragraphs: []message.Message{
			why,
			message.Key("mail.code.started", "Origin", c.Origin.Message()),
			message.Key("mail.cannot.next"),
			message.Key("mail.cannot.not_you"),
		},
		Reference: c.Reference,
	}
}

// kindName names a kind of method as people do.
func kindName(kind string) message.Message {
	switch kind {
	case "email", "sms", "voice", "totp", "hotp", "passkey", "recovery-code", "pass", "question", "idp", "vouch":
		return message.Message{Key: "mail.kind." + kind}
	}
	return message.Key("mail.kind.other")
}
