package console

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/web"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func elements(doc *html.Node, tags ...string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (len(tags) == 0 || slices.Contains(tags, n.Data)) {
			out = append(out, n)
		}
	}
	return out
}

// everyPage runs check on every sample in every language.
func everyPage(t *testing.T, check func(name, lang string, page web.Page, w *httptest.ResponseRecorder, doc *html.Node)) {
	s := testSite(t, nil)
	for _, name := range slices.Sorted(maps.Keys(samples())) {
		for _, lang := range []string{"en", "de"} {
			r := httptest.NewRequest("GET", "/sample/"+name, nil)
			r.Header.Set("Accept-Language", lang)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			doc, err := html.Parse(strings.NewReader(w.Body.String()))
			if err != nil || w.Code >= 500 {
				t.Errorf("%s in %s: status %d, %v", name, lang, w.Code, err)
				continue
			}
			check(name, lang, samples()[name].Page(), w, doc)
		}
	}
}

func TestEveryPageIsOneDocumentWithOneHeadingAndNothingInline(t *testing.T) {
	everyPage(t, func(name, lang string, page web.Page, w *httptest.ResponseRecorder, doc *html.Node) {
		if h := elements(doc, "h1"); len(h) != 1 || textOf(h[0]) == "" {
			t.Errorf("%s in %s: %d h1", name, lang, len(h))
		}
		want := max(page.Status, 200)
		if len(page.Problems) > 0 {
			want = 422
		}
		if w.Code != want || len(elements(doc, "main")) != 1 {
			t.Errorf("%s: status %d, want %d, and one main", name, w.Code, want)
		}
		ids := map[string]bool{}
		for _, n := range elements(doc) {
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
				}
			}
			if n.Data == "script" && n.FirstChild != nil || slices.Contains([]string{"style", "iframe", "object", "base"}, n.Data) {
				t.Errorf("%s: inline <%s>", name, n.Data)
			}
			if id, ok := attr(n, "id"); ok {
				if ids[id] || id == "" {
					t.Errorf("%s: id %q twice or empty", name, id)
				}
				ids[id] = true
			}
		}
		for _, n := range elements(doc) {
			for _, key := range []string{"aria-describedby", "aria-labelledby", "for"} {
				v, _ := attr(n, key)
				for _, id := range strings.Fields(v) {
					if !ids[id] {
						t.Errorf("%s: %s names %q, which is not there", name, key, id)
					}
				}
			}
			if href, _ := attr(n, "href"); n.Data == "a" && strings.HasPrefix(href, "#") && !ids[href[1:]] {
				t.Errorf("%s: link to %s, which is not there", name, href)
			}
			if (n.Data == "a" || n.Data == "button") && textOf(n) == "" {
				if label, _ := attr(n, "aria-label"); label == "" {
					t.Errorf("%s: <%s> says nothing", name, n.Data)
				}
			}
		}
		if body := w.Body.String(); strings.Contains(body, "<script>") || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "{{") && !strings.HasPrefix(name, "hostile-") {
			t.Errorf("%s: something was not escaped, or is refused by the template", name)
		}
	})
}

func TestFormsPostAndEveryPlaceIsKnown(t *testing.T) {
	ours := []string{"/", "/help", "/signout", PathSearch, PathInvite, PathBegin, PathApps, PathReceivers, PathConnectors}
	below := []string{PathPeople, PathAttempts, PathApps + "/", PathReceivers + "/", PathConnectors + "/"}
	everyPage(t, func(name, lang string, _ web.Page, _ *httptest.ResponseRecorder, doc *html.Node) {
		for _, n := range elements(doc, "form", "a") {
			to, _ := attr(n, "href")
			if n.Data == "form" {
				to, _ = attr(n, "action")
				if m, _ := attr(n, "method"); m != "post" {
					t.Errorf("%s: form by %q: what is typed would stand in an address", name, m)
				}
			}
			u, err := url.Parse(to)
			if err != nil || u.Host != "" || u.Path != "" && !strings.HasPrefix(u.Path, "/sample/") && !slices.Contains(ours, u.Path) &&
				!slices.ContainsFunc(below, func(at string) bool { return strings.HasPrefix(u.Path, at) }) {
				t.Errorf("%s: leads to %q, which is no page (%v)", name, to, err)
			}
		}
	})
}

func TestPeopleNeverReadOurOwnWords(t *testing.T) {
	for _, word := range []string{"regain", "Regain", "principal", "epoch", "uuid"} {
		everyPage(t, func(name, lang string, _ web.Page, w *httptest.ResponseRecorder, doc *html.Node) {
			if body := textOf(elements(doc, "body")[0]); strings.Contains(body, word) {
				t.Errorf("%s in %s says %q", name, lang, word)
			}
		})
	}
}

func TestEveryPageCanBeUsedByEverybodyInLightAndDarkAndOnASmallScreen(t *testing.T) {
	base := httptest.NewServer(nil)
	defer base.Close()
	s := testSite(t, func(c *web.Config) { c.Base = base.URL })
	base.Config.Handler = s
	dir := os.Getenv("REGAIN_TEST_SCREENSHOTS")
	p := browser.New(t)
	for look, dark := range map[string]bool{"light": false, "dark": true} {
		p.Dark(dark)
		for _, width := range []int{1280, 390} {
			p.SetViewport(width, 900)
			for _, name := range slices.Sorted(maps.Keys(samples())) {
				what := fmt.Sprintf("%s-%s-%d", name, look, width)
				judged := dark == (width == 390) // each look once, each width once
				if !judged && dir == "" || strings.HasPrefix(name, "attempt-state-") && width == 390 {
					continue
				}
				p.Open(base.URL + "/sample/" + name)
				if over := p.Overflow(); over > 0 {
					t.Errorf("%s: %d pixels too wide", what, over)
				}
				if judged {
					p.MustAxe(what)
				}
				if dir != "" {
					p.Screenshot(filepath.Join(dir, what+".png"))
				}
			}
		}
	}
}
