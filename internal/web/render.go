package web

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/message"
)

//go:embed templates/*.html
var ownTemplates embed.FS

// parse reads our templates and those of the packages that add pages. Functions that need a language are placeholders
// here and replaced in each language's clone.
func (s *Site) parse(pages []fs.FS) (*template.Template, error) {
	t := template.New("").Option("missingkey=error").Funcs(s.funcs(locale{lang: s.tr.Languages()[0]}))
	if _, err := t.ParseFS(ownTemplates, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for _, files := range pages {
		if _, err := t.ParseFS(files, "*.html"); err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
	}
	return t, nil
}

// locale is what templates are bound to: the language they speak, one of the catalogue's, and whether the person was sent
// here by an app.
type locale struct {
	lang string
	sent bool
}

// in returns the templates of a locale.
func (s *Site) in(l locale) (*template.Template, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.byLocale[l]; ok {
		return t, nil
	}
	t, err := s.pages.Clone()
	if err != nil {
		return nil, fmt.Errorf("templates in %s: %w", l.lang, err)
	}
	t.Funcs(s.funcs(l))
	s.byLocale[l] = t
	return t, nil
}

// funcs are what templates may call:
//
//	t "key" "Name" value …   a text of the catalogue
//	m .Message               a message from the data
//	icon "mail"              a decorative picture of the sprite
//	problem .Problems "id"   the problem of one input, nil without
//	local .Localised         an operator's own text in this language
//	sent                     whether an app sent the person here: the way out of the page is the way back to it, and
//	                         stands around the page, so that no page needs one of its own
func (s *Site) funcs(in locale) template.FuncMap {
	lang := in.lang
	return template.FuncMap{
		"t":    func(key string, args ...any) string { return s.say(lang, message.Key(key, args...)) },
		"m":    func(m message.Message) string { return s.say(lang, m) },
		"icon": s.assets.icon,
		"problem": func(all []Problem, field string) *Problem {
			if i := slices.IndexFunc(all, func(p Problem) bool { return p.Field == field }); i >= 0 {
				return &all[i]
			}
			return nil
		},
		"local": func(l Localised) string { return l.In(lang, s.tr.Languages()[0]) },
		"sent":  func() bool { return in.sent },
	}
}

func (s *Site) say(lang string, m message.Message) string { return s.tr.Render(lang, s.zoned(m)) }

// Day is a point in time of which a page says the day alone, as an argument of a message: 22 November 2026.
type Day time.Time

// zoned puts every point in time in m into the zone of the site, which is the one the catalogue writes out.
func (s *Site) zoned(m message.Message) message.Message {
	if len(m.Args) == 0 {
		return m
	}
	out := message.Message{Key: m.Key, Args: make(map[string]any, len(m.Args))}
	for name, v := range m.Args {
		switch v := v.(type) {
		case time.Time:
			out.Args[name] = v.In(s.location)
		case Day:
			at := time.Time(v).In(s.location)
			out.Args[name] = message.Key("time.day", "Day", at.Day(), "Month", message.Message{Key: "time.month." + strconv.Itoa(int(at.Month()))}, "Year", at.Year())
		case message.Message:
			out.Args[name] = s.zoned(v)
		case []message.Message:
			list := make([]message.Message, len(v))
			for i := range v {
				list[i] = s.zoned(v[i])
			}
			out.Args[name] = list
		default:
			out.Args[name] = v
		}
	}
	return out
}

// layout is the dot of the template "layout".
type layout struct {
	Lang, Theme, Title string
	Wrong              bool
	Organisation       Organisation
	Links              Links
	Demo               *Demo
	Assets             *assets
	Languages          []languageLink
	Frame              *Frame
	Sender             *Sender
	Last               bool
	Body               template.HTML
}

// Wide reports whether the page stands beside the links of a frame.
func (l layout) Wide() bool { return l.Frame != nil && len(l.Frame.Rooms) > 0 }

// Onward is where the main button at the end of a last page posts to, on the way back to the sender; "" on any other page.
func (l layout) Onward() string {
	if l.Sender == nil || !l.Last {
		return ""
	}
	return cmp.Or(l.Sender.Return, l.Sender.Cancel)
}

type languageLink struct{ Tag, Name, URL string }

// render writes the whole page: first the body, then the frame around it.
func (s *Site) render(w io.Writer, r *Request, p Page, from *Sender) error {
	t, err := s.in(locale{r.Lang, from != nil})
	if err != nil {
		return err
	}
	var body bytes.Buffer
	if err := t.ExecuteTemplate(&body, p.Template, p.Data); err != nil {
		return fmt.Errorf("page %s: %w", p.Template, err)
	}
	l := layout{
		Lang: r.Lang, Theme: r.theme, Title: s.say(r.Lang, p.Title), Wrong: len(p.Problems) > 0,
		Organisation: s.org, Links: s.links, Demo: s.demo, Assets: s.assets, Frame: p.Frame, Sender: from, Last: p.Last,
		Body: template.HTML(body.String()), // our own template's output: already escaped where it is data
	}
	for _, lang := range s.tr.Languages() {
		if lang == r.Lang {
			continue
		}
		// The name of a language stands in that language.
		here := url.URL{Path: "/"}
		if p.Status < 400 && local(r.URL.Path) {
			here.Path = r.URL.Path
		}
		query := r.URL.Query()
		query.Set("lang", lang)
		if r.Method == "POST" || p.Status >= 400 {
			query = url.Values{"lang": {lang}}
		}
		here.RawQuery = query.Encode()
		l.Languages = append(l.Languages, languageLink{lang, s.say(lang, message.Key("layout.language")), here.String()})
	}
	if err := t.ExecuteTemplate(w, "layout", l); err != nil {
		return fmt.Errorf("layout of %s: %w", p.Template, err)
	}
	return nil
}
