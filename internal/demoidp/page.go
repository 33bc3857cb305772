package demoidp

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

// frame is what every page has.
type frame struct {
	Lang, Title string
	Body        template.HTML
}

// show renders a page in the language asked for by the application, else the browser's.
func (p *Provider) show(w http.ResponseWriter, r *http.Request, status int, name, title, locale string, data any) {
	lang := language(locale, r.Header.Get("Accept-Language"))
	say := func(key string, args ...any) string { return fmt.Sprintf(words[key][lang], args...) }
	pages, err := p.pages.Clone()
	var body, page bytes.Buffer
	if err == nil {
		pages.Funcs(template.FuncMap{"say": say})
		err = pages.ExecuteTemplate(&body, name, data)
	}
	if err == nil {
		err = pages.ExecuteTemplate(&page, "frame", frame{Lang: lang, Title: say(title), Body: template.HTML(body.String())})
	}
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Content-Language", lang)
	w.WriteHeader(status)
	w.Write(page.Bytes()) //nolint:errcheck // the reader is gone
}

// fault is the page for what cannot go on and leads nowhere else.
func (p *Provider) fault(w http.ResponseWriter, r *http.Request, status int, key string) {
	p.show(w, r, status, "fault", "fault.title", "", key)
}

// language picks German when it comes before English in what was asked for.
func language(wishes ...string) string {
	for _, wish := range wishes {
		for tag := range strings.FieldsFuncSeq(wish, func(c rune) bool { return c == ',' || c == ' ' }) {
			primary, _, _ := strings.Cut(strings.ToLower(tag), ";")
			primary, _, _ = strings.Cut(primary, "-")
			for _, have := range languages {
				if primary == have {
					return have
				}
			}
		}
	}
	return languages[0]
}
