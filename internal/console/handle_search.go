package console

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// What is typed into the box is about a person: it travels in a post and a cookie, never in an address, where histories
// and logs would keep it.
const (
	cookieSearch = "search"
	searchAge    = 15 * time.Minute
	maxText      = 320
	maxFound     = 20
)

// find takes what was typed and shows what it finds on a page that can be left and come back to.
func (c *rooms) find(r *web.Request, _ *member) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "q", Max: maxText})
	if err != nil {
		return web.Page{}, err
	}
	text := strings.TrimSpace(form["q"])
	if utf8.RuneCountInString(text) < 2 {
		return SearchPage{Text: text, Problems: []web.Problem{{Field: "q", Say: message.Key("console.search.short")}}}.Page(), nil
	}
	return web.Page{Goto: PathSearch, Cookies: []web.Cookie{{Name: cookieSearch, Value: base64.RawURLEncoding.EncodeToString([]byte(text)), MaxAge: searchAge}}}, nil
}

// search shows the box, and what was last looked for.
func (c *rooms) search(r *web.Request, m *member) (web.Page, error) {
	text := typed(r.Cookie(cookieSearch))
	if text == "" {
		return SearchPage{}.Page(), nil
	}
	if err := c.spend(r, m, "console/search", maxSearches); err != nil {
		return web.Page{}, err
	}
	v := SearchPage{Text: text, Searched: true}
	ctx := r.Context()
	if ref := reference(text); ref != "" {
		a, err := c.Store.AttemptByReference(ctx, ref)
		if err != nil {
			return web.Page{}, err
		}
		if a != nil {
			v.Try = &FoundTry{Reference: a.Reference, What: actionWords(a.Action), State: stateWords(stateOf(a, c.Now())), Started: a.Started}
		}
	}
	people, more, err := c.Store.FindPeople(ctx, text, maxFound)
	if err != nil {
		return web.Page{}, err
	}
	if digits := ending(text); digits != "" {
		byPhone, moreByPhone, err := c.Store.PeopleByEnding(ctx, digits, maxFound)
		if err != nil {
			return web.Page{}, err
		}
		people, more = append(people, byPhone...), more || moreByPhone
	}
	v.add(people, more)
	return v.Page(), nil
}

func (v *SearchPage) add(people []*account.Person, more bool) {
	seen := map[string]bool{}
	for _, p := range people {
		if seen[p.ID] {
			continue
		}
		if len(v.People) == maxFound {
			more = true
			break
		}
		seen[p.ID] = true
		v.People = append(v.People, FoundPerson{ID: p.ID, Name: p.Name(), Login: p.UserName, Active: p.Active})
	}
	v.More = more
}

// typed reads the cookie of the search; "" for one that is none of ours.
func typed(cookie string) string {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(b) > maxText || !utf8.Valid(b) {
		return ""
	}
	return string(b)
}

// reference returns what somebody reads out as the reference of a try in the form it is kept: KTRW-49MP. "" when it cannot
// be one.
func reference(text string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(text) {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			continue
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			return ""
		}
	}
	if b.Len() != 8 {
		return ""
	}
	return b.String()[:4] + "-" + b.String()[4:]
}

// ending returns the four digits somebody gives as the end of a number, with or without the dots our masks have.
func ending(text string) string {
	text = strings.TrimLeft(text, "•*….+ ")
	if len(text) != 4 || strings.Trim(text, "0123456789") != "" {
		return ""
	}
	return text
}
