package notify

import (
	"bytes"
	"embed"
	"fmt"
	html "html/template"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	text "text/template"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/message"
)

//go:embed templates/letter.html templates/letter.txt
var templates embed.FS

// Printer puts letters and texts into words. Safe for concurrent use.
type Printer struct {
	catalogue *message.Catalogue
	html      *html.Template
	text      *text.Template
}

// NewPrinter returns a printer for a catalogue.
func NewPrinter(c *message.Catalogue) (*Printer, error) {
	h, err := html.ParseFS(templates, "templates/letter.html")
	if err != nil {
		return nil, err
	}
	t, err := text.New("letter.txt").Funcs(text.FuncMap{"wrap": wrap}).ParseFS(templates, "templates/letter.txt")
	if err != nil {
		return nil, err
	}
	return &Printer{c, h, t}, nil
}

// Mail is a letter in words, ready to be sent. Every field is safe to stand in a header.
type Mail struct {
	ID      string
	Host    string // right of the @ in the Message-ID
	Lang    string
	From    mail.Address
	To      string // one plain address
	Subject string
	Text    string // lines end in \n, at most 76 characters except addresses
	HTML    string
}

// SMS is a text message in words, ready to be sent.
type SMS struct {
	ID, To, Text string
	Kind         string // code or notice
	Lang         string
}

// page is what both templates see. All of it is finished words.
type page struct {
	Lang, Organisation, Subject, Lead, Code string
	Paragraphs                              []string
	Link                                    *struct{ Label, URL string }
	Reference, Footer                       string
	Help                                    *struct {
		Title string
		Lines []string
	}
	Brand, OnDark string
}

// Mail puts a letter into words. It fails, permanently, when the recipient is not one plain address, the id has other
// characters than letters, digits, - and _, or a link leads anywhere but the organisation's own host.
func (p *Printer) Mail(o Organisation, l Letter) (Mail, error) {
	if !plainID.MatchString(l.ID) {
		return Mail{}, permanent("letter id %q", l.ID)
	}
	to, err := Address(l.To)
	if err != nil {
		return Mail{}, permanent("recipient: %w", err)
	}
	from, err := Address(o.From)
	if err != nil {
		return Mail{}, permanent("sender: %w", err)
	}
	if !hostname.MatchString(o.Host) {
		return Mail{}, permanent("host %q", o.Host)
	}
	say := p.catalogue.With("Organisation", o.Name).Render
	name := message.OneLine(o.Name)
	v := page{
		Lang:         l.Lang,
		Organisation: name,
		Subject:      strings.Join(strings.Fields(message.OneLine(say(l.Lang, l.Subject))), " "),
		Lead:         say(l.Lang, l.Lead),
		Code:         message.OneLine(l.Code),
		Footer:       say(l.Lang, message.Key("mail.footer")),
		Brand:        brand(o.Hue),
		OnDark:       brandOnDark(o.Hue),
	}
	for _, m := range l.Paragraphs {
		v.Paragraphs = append(v.Paragraphs, say(l.Lang, m))
	}
	if l.Link != nil {
		u, err := url.Parse(l.Link.URL)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() != o.Host || u.User != nil {
			return Mail{}, permanent("a link that leads away from %s", o.Host)
		}
		v.Link = &struct{ Label, URL string }{say(l.Lang, l.Link.Label), u.String()}
	}
	if l.Reference != "" {
		v.Reference = say(l.Lang, message.Key("mail.reference", "Reference", l.Reference))
	}
	p.help(&v, o)

	var plain, rich bytes.Buffer
	if err := p.text.Execute(&plain, v); err != nil {
		return Mail{}, permanent("text part: %w", err)
	}
	if err := p.html.Execute(&rich, v); err != nil {
		return Mail{}, permanent("html part: %w", err)
	}
	return Mail{
		ID: l.ID, Host: o.Host, Lang: l.Lang, From: mail.Address{Name: name, Address: from}, To: to,
		Subject: v.Subject, Text: plain.String(), HTML: rich.String(),
	}, nil
}

func (p *Printer) help(v *page, o Organisation) {
	h, ok := o.Help[v.Lang]
	if !ok {
		h = o.Help["en"]
	}
	var lines []string
	if h.Text != "" {
		lines = append(lines, message.OneLine(h.Text))
	}
	switch {
	case h.Phone != "" && h.Hours != "":
		lines = append(lines, p.catalogue.Render(v.Lang, message.Key("mail.help.phone_hours", "Phone", h.Phone, "Hours", h.Hours)))
	case h.Phone != "":
		lines = append(lines, p.catalogue.Render(v.Lang, message.Key("mail.help.phone", "Phone", h.Phone)))
	}
	if h.URL != "" {
		lines = append(lines, message.OneLine(h.URL))
	}
	if len(lines) > 0 {
		v.Help = &struct {
			Title string
			Lines []string
		}{p.catalogue.Render(v.Lang, message.Key("mail.help")), lines}
	}
}

// maxTextRunes bounds a text message: three segments of the GSM alphabet.
const maxTextRunes = 459

// smsCode is what may follow the # of a domain-bound code.
var smsCode = regexp.MustCompile(`^[0-9A-Za-z]{4,32}$`)

// Text puts a text message into words. A code is repeated on a last line "@host #code", which browsers and phones offer
// only on that host (https://wicg.github.io/sms-one-time-codes/). The body is cut rather than that line. It fails,
// permanently, on an id, number or code of another form.
func (p *Printer) Text(o Organisation, t Text) (SMS, error) {
	if !plainID.MatchString(t.ID) {
		return SMS{}, permanent("text id %q", t.ID)
	}
	if !e164.MatchString(t.To) {
		return SMS{}, permanent("recipient: %w", ErrRecipient)
	}
	body := p.catalogue.With("Organisation", o.Name).Render(t.Lang, t.Body)
	s := SMS{ID: t.ID, To: t.To, Kind: "notice", Lang: t.Lang}
	last := ""
	if t.Code != "" {
		if !smsCode.MatchString(t.Code) || !hostname.MatchString(o.Host) {
			return SMS{}, permanent("code or host of another form")
		}
		s.Kind = "code"
		last = fmt.Sprintf("\n\n@%s #%s", o.Host, t.Code)
	}
	if room := maxTextRunes - utf8.RuneCountInString(last); utf8.RuneCountInString(body) > room {
		body = string([]rune(body)[:room-3]) + "..."
	}
	s.Text = body + last
	return s, nil
}

// wrap breaks a paragraph between words at 76 characters. Longer words, such as addresses, stay whole.
func wrap(s string) string {
	const width = 76
	var b strings.Builder
	n := 0
	for i, word := range strings.Fields(s) {
		w := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case n+1+w > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += w
	}
	return b.String()
}
