package notify

import (
	"time"
	"unicode"

	"github.com/regain-id/regain/internal/message"
)

// Organisation is in whose name a message goes out. Name is what people know; they never read our product's.
type Organisation struct {
	Name string
	Hue  int             // of the brand colour, in degrees of OKLCH, 0 to 359
	Host string          // host of the base URL, without a port: in links, in message ids, on the last line of a code text
	From string          // one plain address that letters come from
	Help map[string]Help // by language; a missing one falls back to English
}

// Help is where a person turns to. Every field may be empty.
type Help struct{ Text, Phone, Hours, URL string }

// Letter is one mail before it is put into words.
type Letter struct {
	ID         string // letters, digits, - and _; the same id is the same letter (Message-ID, X-Entity-Ref-ID)
	Lang       string // a language of the catalogue
	To         string // one plain address, from the store and never from a request
	Subject    message.Message
	Lead       message.Message
	Code       string // stands alone on its line; "" for none
	Paragraphs []message.Message
	Link       *Link  // nil for none
	Reference  string // of the attempt; "" for none
}

// Link is an address on the organisation's own host. It is shown in full in the text part.
type Link struct {
	Label message.Message
	URL   string
}

// Text is one text message before it is put into words.
type Text struct {
	ID   string // letters, digits, - and _; the provider accepts an id once
	Lang string
	To   string // E.164, from the store
	Body message.Message
	Code string // added as a domain-bound last line; "" for a notice
}

// Envelope is what every composed message needs to know.
type Envelope struct{ ID, Lang, To string }

// Purpose is what a person is doing.
type Purpose string

// The purposes.
const (
	Reset  Purpose = "reset"
	Unlock Purpose = "unlock"
	Change Purpose = "change"
)

// known maps a purpose nobody knows to Reset, so that no key is ever missing.
func (p Purpose) known() string {
	if p == Unlock || p == Change {
		return string(p)
	}
	return string(Reset)
}

// Origin is when and roughly where something was started: enough for its owner to know whether it was them. When is in
// the zone the person lives in; the rest may be empty.
type Origin struct {
	When    time.Time
	Browser string // family and system: Firefox, Windows
	Network string // a prefix, never a whole address: 203.0.113.0/24
	Country string // in the person's language
}

func (o Origin) details() []message.Message {
	var out []message.Message
	if o.Browser != "" {
		out = append(out, message.Key("mail.origin.browser", "Browser", o.Browser))
	}
	if o.Network != "" {
		out = append(out, message.Key("mail.origin.network", "Network", o.Network))
	}
	if o.Country != "" {
		out = append(out, message.Key("mail.origin.country", "Country", o.Country))
	}
	if len(out) == 0 {
		out = append(out, message.Key("mail.origin.unknown"))
	}
	return out
}

// Message says it in a sentence of a letter.
func (o Origin) Message() message.Message {
	return message.Key("mail.origin", "When", o.When, "Details", o.details())
}

// short says it in a text message.
func (o Origin) short() message.Message {
	return message.Key("sms.origin", "Clock", o.When.Format("15:04 MST"), "Details", o.details())
}

// visible reports whether a rune outside ASCII may stand in an address.
func visible(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) }
