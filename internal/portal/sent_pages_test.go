package portal

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/web"
)

// last names the samples on which nothing is left to do.
func last(name string) bool {
	return strings.HasPrefix(name, "end-") || strings.HasPrefix(name, "done") || strings.HasPrefix(name, "unknown") || strings.HasPrefix(name, "unresolved") || strings.HasPrefix(name, "setup-asked-on")
}

func TestEveryPageOfAHandoffHasOneWayOutAndItIsTheOneBack(t *testing.T) {
	for to, from := range map[string]*web.Sender{pathCancel: &sender, pathReturn: &sentOn} {
		s := testSite(t, sentBy(from))
		for _, name := range slices.Sorted(maps.Keys(samples())) {
			for lang, words := range map[string]map[string]string{
				"en": {pathCancel: "Cancel and go back", pathReturn: "Go back to " + from.Name}, "de": {pathCancel: "Abbrechen und zurück", pathReturn: "Zurück zu " + from.Name},
			} {
				w, doc := get(t, s, "/sample/"+name, lang)
				var out []*html.Node
				for _, f := range elements(doc, "form") {
					if a, _ := attr(f, "action"); a == PathCancel || strings.HasPrefix(a, "/oauth2/") {
						out = append(out, f)
					}
				}
				if len(out) != 1 {
					t.Errorf("%s in %s: %d ways out", name, lang, len(out))
					continue
				}
				want := words[to]
				if last(name) {
					want = words[pathReturn]
				}
				if a, _ := attr(out[0], "action"); a != to || text(out[0]) != want {
					t.Errorf("%s in %s: the way out is %s, %q; want %s, %q", name, lang, a, text(out[0]), to, want)
				}
				if inMain := slices.Contains(elements(elements(doc, "main")[0], "form"), out[0]); inMain != last(name) {
					t.Errorf("%s in %s: the way back stands in what the page says: %v", name, lang, inMain)
				}
				if said := text(elements(doc, "section")[0]); !strings.Contains(said, from.Name) || !strings.Contains(said, from.Host) {
					t.Errorf("%s in %s: the banner says %q", name, lang, said)
				}
				if main := 0; last(name) {
					for _, n := range elements(elements(doc, "main")[0], "a", "button") {
						if class, _ := attr(n, "class"); strings.HasPrefix(class, "btn") && !strings.Contains(class, "ghost") {
							main++
						}
					}
					if main != 1 {
						t.Errorf("%s in %s: %d main buttons on a last page", name, lang, main)
					}
				}
				if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' "+from.Origin+";") {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
	}
}
