package message

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nicksnyder/go-i18n/v2/i18n"
)

// maxNesting bounds messages inside the arguments of messages.
const maxNesting = 4

// maxArgumentRunes bounds one argument in a rendered text; a longer one ends in an ellipsis.
const maxArgumentRunes = 1000

// Render returns the plain text of m in lang. The zero Message is "". A language or text that is missing falls back to
// English; a key without any text renders as the generic fault text; both are reported (Reporting), so that no person
// ever reads a key.
//
// Arguments are data and are never parsed as templates. A Message is rendered in the same language first, a time.Time
// is written out with its zone, a list is joined with commas. In strings control characters become spaces and
// bidirectional controls are dropped, so that a name cannot forge a line or turn a sentence around. The result is not
// escaped for HTML; html/template does that. Render never fails and is safe for concurrent use.
func (c *Catalogue) Render(lang string, m Message) string { return c.render(lang, m, 0) }

func (c *Catalogue) render(lang string, m Message, depth int) string {
	if m.IsZero() {
		return ""
	}
	if depth > maxNesting {
		c.report(Problem{lang, m.Key, "nested too deep"})
		return ""
	}
	t, lang, ok := c.find(lang, m.Key)
	if !ok {
		if m.Key == generic { // load makes sure of it
			return ""
		}
		return c.render(lang, Message{Key: generic}, depth+1)
	}
	data := make(map[string]string, len(t.names))
	for _, name := range t.names {
		v, given := m.Args[name]
		if !given {
			v, given = c.standing[name]
		}
		if !given {
			c.report(Problem{lang, m.Key, "no argument " + name})
		}
		data[name] = c.argument(lang, v, depth)
	}
	config := &i18n.LocalizeConfig{MessageID: m.Key, TemplateData: data}
	if t.by != "" {
		n, isNumber := integer(m.Args[t.by])
		if !isNumber {
			c.report(Problem{lang, m.Key, "no whole number " + t.by})
			n = "2" // picks a plural in every language we ship
		}
		config.PluralCount = n
	}
	s, err := c.localizers[lang].Localize(config)
	if err != nil {
		c.report(Problem{lang, m.Key, err.Error()}) // err names the template, not the data: data are strings and cannot fail
	}
	return s
}

// find returns the text and the language it is in.
func (c *Catalogue) find(lang, key string) (text, string, bool) {
	if t, ok := c.texts[lang][key]; ok {
		return t, lang, true
	}
	t, ok := c.texts["en"][key]
	if !ok {
		c.report(Problem{lang, key, "no text"})
		if c.texts[lang] == nil {
			lang = "en"
		}
		return t, lang, false
	}
	c.report(Problem{lang, key, "no text in this language"})
	return t, "en", true
}

// integer returns a whole number in decimals. Floats are refused: nobody counts 1.5 minutes on a page.
func integer(v any) (string, bool) {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(r.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(r.Uint(), 10), true
	}
	return "", false
}

func (c *Catalogue) argument(lang string, v any, depth int) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return OneLine(v)
	case Message:
		return c.render(lang, v, depth+1)
	case *Message:
		if v == nil {
			return ""
		}
		return c.render(lang, *v, depth+1)
	case time.Time:
		return c.moment(lang, v, depth)
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = OneLine(s)
		}
		return strings.Join(parts, ", ")
	case []Message:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = c.render(lang, m, depth+1)
		}
		return strings.Join(parts, ", ")
	}
	if n, ok := integer(v); ok {
		if s, named := v.(fmt.Stringer); named {
			return OneLine(s.String())
		}
		return n
	}
	return OneLine(fmt.Sprint(v))
}

// moment writes a point in time to the minute with its zone, as the language does: 22 November 2026, 14:05 CET.
// The caller puts it into the zone the person lives in.
func (c *Catalogue) moment(lang string, t time.Time, depth int) string {
	if t.IsZero() {
		return ""
	}
	return c.render(lang, Key("time.moment",
		"Day", t.Day(),
		"Month", Message{Key: "time.month." + strconv.Itoa(int(t.Month()))},
		"Year", t.Year(),
		"Clock", t.Format("15:04"),
		"Zone", t.Format("MST"),
	), depth+1)
}

// OneLine makes a stranger's text safe to stand inside a sentence or a header: one line, valid UTF-8, no characters
// that reorder what follows, at most 1,000 runes and then an ellipsis. Render does this to every argument.
func OneLine(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain && len(s) <= maxArgumentRunes {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			continue
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			r = ' '
		}
		if n++; n > maxArgumentRunes {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
