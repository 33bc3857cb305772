package app

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/notify"
	"github.com/regain-id/regain/internal/web"
)

// mailbox is where everything the demo sends arrives: every mail and every text message, in memory, on one page. It is
// the sender of mail and of texts at once, so nothing leaves the machine.
type mailbox struct {
	now func() time.Time

	mu       sync.Mutex
	messages []letterbox // oldest first
	next     int
}

// letterbox is one message as the mailbox shows it.
type letterbox struct {
	ID      string    `json:"id"`
	To      string    `json:"to"`
	Channel string    `json:"channel"` // mail or sms
	Kind    string    `json:"kind"`    // code, notice or link
	Subject string    `json:"subject"`
	Body    string    `json:"body"`
	Code    string    `json:"code,omitempty"`
	Time    time.Time `json:"time"`
}

// maxLetters is how many messages the mailbox keeps; older ones are dropped.
const maxLetters = 500

var (
	codeLine = regexp.MustCompile(`(?m)^\s*([0-9]{4}[ -]?[0-9]{4})\s*$`)
	codeTail = regexp.MustCompile(`#([0-9]{6,8})\b`)
	someURL  = regexp.MustCompile(`https?://[^\s]+`)
)

func (m *mailbox) put(l letterbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	l.ID, l.Time = strconv.Itoa(m.next), m.now().UTC()
	if len(m.messages) == maxLetters {
		m.messages = m.messages[1:]
	}
	m.messages = append(m.messages, l)
}

// part is a stretch of a message: text, or an address that can be followed.
type part struct{ Text, URL string }

// Parts are the message as the page shows it: addresses can be followed, and lines that were only broken to fit a
// letter's width are whole again, since the page breaks them anew.
func (l letterbox) Parts() []part {
	body := rejoin(l.Body)
	var out []part
	for at := someURL.FindStringIndex(body); at != nil; at = someURL.FindStringIndex(body) {
		out = append(out, part{Text: body[:at[0]]}, part{URL: body[at[0]:at[1]]})
		body = body[at[1]:]
	}
	return append(out, part{Text: body})
}

// rejoin undoes the breaks of a text wrapped at letterWidth: those after which the next word would not have fitted.
func rejoin(text string) string {
	const letterWidth = 76
	var out strings.Builder
	length := 0 // of the line written last
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		word, _, _ := strings.Cut(line, " ")
		switch {
		case i == 0:
		case length > 0 && word != "" && !someURL.MatchString(word) && length+1+utf8.RuneCountInString(word) > letterWidth:
			out.WriteByte(' ')
		default:
			out.WriteByte('\n')
		}
		out.WriteString(line)
		length = utf8.RuneCountInString(line)
	}
	return out.String()
}

// newest returns what arrived, newest first.
func (m *mailbox) newest() []letterbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.messages)
	slices.Reverse(out)
	return out
}

// mailTo is the mailbox as a mail server, textTo as a provider of text messages.
type mailTo struct{ *mailbox }
type textTo struct{ *mailbox }

// Send keeps a mail.
func (m mailTo) Send(_ context.Context, l notify.Mail) error {
	out := letterbox{To: l.To, Channel: "mail", Kind: "notice", Subject: l.Subject, Body: l.Text}
	if strings.HasPrefix(l.ID, "code-") || strings.HasPrefix(l.ID, "confirm-") {
		out.Kind = "code"
		if c := codeLine.FindStringSubmatch(l.Text); c != nil {
			out.Code = strings.NewReplacer(" ", "", "-", "").Replace(c[1])
		}
	}
	m.put(out)
	return nil
}

// Send keeps a text message.
func (m textTo) Send(_ context.Context, s notify.SMS) error {
	out := letterbox{To: s.To, Channel: "sms", Kind: s.Kind, Body: s.Text}
	if c := codeTail.FindStringSubmatch(s.Text); s.Kind == "code" && c != nil {
		out.Code = c[1]
	}
	m.put(out)
	return nil
}

// page shows the mailbox, to people and with ?format=json to programs.
func (m *mailbox) page(r *web.Request) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "format", Max: 8})
	if err != nil {
		return web.Page{}, err
	}
	list := m.newest()
	if list == nil {
		list = []letterbox{}
	}
	if q["format"] == "json" {
		return web.Page{JSON: list}, nil
	}
	return web.Page{Template: "mailbox", Title: message.Key("demo.mailbox.heading"), Data: list, Refresh: 5 * time.Second}, nil
}
