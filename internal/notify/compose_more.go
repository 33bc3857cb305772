package notify

import (
	"time"

	"github.com/regain-id/regain/internal/message"
)

// FloodLetter tells the owner that far more codes were asked for than may be sent, and that this harms nothing.
func FloodLetter(e Envelope, o Origin, reference string) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.flooded.subject"),
		Lead:    message.Key("mail.flooded.lead"),
		Paragraphs: []message.Message{
			message.Key("mail.flooded.last", "Origin", o.Message()),
			message.Key("mail.flooded.safe"),
			message.Key("mail.flooded.next"),
		},
		Reference: reference,
	}
}

// Dispute is an owner's word that an act was not theirs.
type Dispute struct {
	Purpose   Purpose
	Done      bool   // the act had been finished
	Origin    Origin // of the disputed act
	Reference string
	Again     string // link where the owner may recover at once; "" for none
	Person    string // who it is about, for security staff
}

// DisputeLetter confirms to the owner what was stopped and what they should do.
func DisputeLetter(e Envelope, d Dispute) Letter {
	l := Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.dispute.subject"),
		Lead:    message.Key("mail.dispute.lead"),
		Paragraphs: []message.Message{
			message.Key("mail.dispute.about", "What", message.Message{Key: "mail.what." + d.Purpose.known()}, "Origin", d.Origin.Message()),
			message.Key("mail.dispute.stopped"),
		},
		Reference: d.Reference,
	}
	if d.Done {
		l.Paragraphs[1] = message.Key("mail.dispute.after")
		if d.Again != "" {
			l.Paragraphs = append(l.Paragraphs, message.Key("mail.dispute.again"))
			l.Link = &Link{message.Key("mail.dispute.again.label"), d.Again}
		}
	}
	return l
}

// DisputeText is DisputeLetter for a phone.
func DisputeText(e Envelope, d Dispute) Text {
	return Text{ID: e.ID, Lang: e.Lang, To: e.To, Body: message.Key("sms.dispute", "Reference", d.Reference)}
}

// DisputeAlert tells security staff.
func DisputeAlert(e Envelope, d Dispute) Letter {
	state := message.Key("mail.dispute.alert.stopped")
	if d.Done {
		state = message.Key("mail.dispute.alert.done")
	}
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.dispute.alert.subject", "Reference", d.Reference),
		Lead:    message.Key("mail.dispute.alert.lead", "Person", d.Person),
		Paragraphs: []message.Message{
			message.Key("mail.dispute.about", "What", message.Message{Key: "mail.what." + d.Purpose.known()}, "Origin", d.Origin.Message()),
			state,
			message.Key("mail.dispute.alert.next"),
		},
		Reference: d.Reference,
	}
}

// SignalFlood is an identity provider that shuts too many accounts at once.
type SignalFlood struct {
	Provider    string
	People, All int
}

// SignalFloodAlert tells security staff.
func SignalFloodAlert(e Envelope, f SignalFlood) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.signal.flood.subject", "Provider", f.Provider),
		Lead:    message.Key("mail.signal.flood.lead", "Provider", f.Provider, "People", f.People, "All", f.All),
		Paragraphs: []message.Message{
			message.Key("mail.signal.flood.effect"),
			message.Key("mail.signal.flood.next"),
		},
	}
}

// Brake is a connector that took very many people away at once.
type Brake struct {
	Connector    string
	Left, People int
	Until        time.Time // when it can no longer be undone; in the organisation's zone
	Link         string    // where administrators see and undo it
}

// BrakeAlert tells administrators, once for each wave.
func BrakeAlert(e Envelope, b Brake) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.brake.subject", "Connector", b.Connector),
		Lead:    message.Key("mail.brake.lead", "Connector", b.Connector, "Left", b.Left, "People", b.People),
		Paragraphs: []message.Message{
			message.Key("mail.brake.effect", "Until", b.Until),
			message.Key("mail.brake.next", "Connector", b.Connector),
		},
		Link: &Link{message.Key("mail.brake.link"), b.Link},
	}
}

// MethodChange is what happened to a way to prove who somebody is.
type MethodChange string

// The changes.
const (
	MethodAdded    MethodChange = "method_added"
	MethodRemoved  MethodChange = "method_removed"
	MethodChanged  MethodChange = "method_changed"
	MethodDisabled MethodChange = "method_disabled" // after too many wrong tries
	MethodLeaving  MethodChange = "method_leaving"  // will be removed; Method.Until
	MethodKept     MethodChange = "method_kept"     // was to be removed and stays
)

// Method is a way to prove who somebody is, as a notice tells of it.
type Method struct {
	Change MethodChange
	Kind   string    // email, sms, …
	Masked string    // a masked destination or a label; "" for none
	Until  time.Time // rests, or stays, until then; in the person's zone; zero for neither
	Origin Origin
	NotMe  string
}

// MethodLetter tells of a change to somebody's ways to prove who they are.
func MethodLetter(e Envelope, m Method) Letter {
	switch m.Change {
	case MethodAdded, MethodRemoved, MethodChanged, MethodDisabled, MethodLeaving, MethodKept:
	default:
		m.Change = MethodChanged
	}
	key := "mail." + string(m.Change)
	way := kindName(m.Kind)
	if m.Masked != "" {
		way = message.Key("mail.method.masked", "Kind", way, "Masked", m.Masked)
	}
	l := Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Message{Key: key + ".subject"},
		Lead:    message.Message{Key: key + ".lead", Args: map[string]any{"Way": way}},
		Paragraphs: []message.Message{
			message.Key("mail.method.when", "Origin", m.Origin.Message()),
			{Key: key + ".next", Args: map[string]any{"Until": m.Until}},
		},
		Link: notMe(m.NotMe),
	}
	if m.Change == MethodAdded && !m.Until.IsZero() {
		l.Paragraphs = append(l.Paragraphs, message.Key("mail.method_added.rests", "Until", m.Until))
	}
	if m.NotMe == "" {
		l.Paragraphs = append(l.Paragraphs, message.Key("mail.method.not_me"))
	}
	return l
}

// BrowserLetter tells that somebody said they trust a browser.
func BrowserLetter(e Envelope, o Origin) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject: message.Key("mail.browser_trusted.subject"),
		Lead:    message.Key("mail.browser_trusted.lead"),
		Paragraphs: []message.Message{
			message.Key("mail.method.when", "Origin", o.Message()),
			message.Key("mail.browser_trusted.next"),
			message.Key("mail.method.not_me"),
		},
	}
}

// TestLetter shows that mail works.
func TestLetter(e Envelope) Letter {
	return Letter{
		ID: e.ID, Lang: e.Lang, To: e.To,
		Subject:    message.Key("mail.test.subject"),
		Lead:       message.Key("mail.test.lead"),
		Paragraphs: []message.Message{message.Key("mail.test.next")},
	}
}

// TestText shows that text messages work.
func TestText(e Envelope) Text {
	return Text{ID: e.ID, Lang: e.Lang, To: e.To, Body: message.Key("sms.test")}
}
