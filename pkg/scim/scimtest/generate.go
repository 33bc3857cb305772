package scimtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// generator draws resources and filters from small alphabets, so that filters hit.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 2026))} }

// letters hold what databases and folding get wrong: wildcards, quotes, characters that fold to two, combine, or lie at the
// end of a range.
var letters = []string{"a", "B", "b", "ß", "ss", "É", "e\u0301", "%", "_", "'", `\`, "ſ", "İ", "\ud7ff", "\U0010ffff", " ", "Σ", "ς"}

func (g generator) text(most int) string {
	var b strings.Builder
	for range g.IntN(most + 1) {
		b.WriteString(letters[g.IntN(len(letters))])
	}
	return b.String()
}

func (g generator) maybe() bool { return g.IntN(2) == 0 }

// populate stores 40 random users and returns them by id.
func (s *suite) populate(t *testing.T, seed uint64) []*scim.Resource {
	t.Helper()
	g := newGenerator(seed + 1000)
	var all []*scim.Resource
	for i := range 40 {
		made := s.add(t, fmt.Sprintf("%s%d", g.text(2), i), func(r *scim.Resource) {
			if g.maybe() {
				r.ExternalID = "x" + g.text(2)
			}
			for _, name := range []string{"displayName", "title", "locale"} {
				if g.maybe() {
					r.Attrs[name] = g.text(3)
				}
			}
			if g.maybe() {
				r.Attrs["active"] = g.maybe()
			}
			if g.maybe() {
				r.Attrs["name"] = scim.Object{"familyName": g.text(2)}
			}
			var mails []any
			for range g.IntN(3) {
				o := scim.Object{"value": g.text(3) + "@x"}
				if g.maybe() {
					o["type"] = []string{"work", "Home", "other"}[g.IntN(3)]
				}
				if g.maybe() && len(mails) == 0 {
					o["primary"] = true
				}
				mails = append(mails, o)
			}
			if mails != nil {
				r.Attrs["emails"] = mails
			}
			if g.maybe() {
				r.Ext = map[string]scim.Object{schema.EnterpriseURN: {"department": "d" + g.text(2)}}
			}
		})
		all = append(all, get(t, s.b.Users, made.ID))
	}
	slices.SortFunc(all, func(a, b *scim.Resource) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// filter draws the text of a filter with at most depth levels of operators.
func (g generator) filter(depth int) string {
	if depth > 0 {
		switch g.IntN(4) {
		case 0:
			return "(" + g.filter(depth-1) + " and " + g.filter(depth-1) + ")"
		case 1:
			return "(" + g.filter(depth-1) + " or " + g.filter(depth-1) + ")"
		case 2:
			return "not (" + g.filter(depth-1) + ")"
		}
	}
	switch g.IntN(8) {
	case 0:
		return "active " + []string{"eq", "ne"}[g.IntN(2)] + []string{" true", " false", " null"}[g.IntN(3)]
	case 1:
		return "emails[" + g.inEmail() + []string{" and ", " or "}[g.IntN(2)] + g.inEmail() + "]"
	case 2:
		return "emails." + g.inEmail()
	case 3:
		return []string{"emails", "emails.type", "active", "title", "name", "name.familyName", "externalId", schema.EnterpriseURN + ":department"}[g.IntN(8)] + " pr"
	case 4:
		return []string{"meta.created", "meta.lastModified"}[g.IntN(2)] + " " + g.order() + ` "` + []string{"2001-01-01T00:00:00Z", "2199-12-31T23:59:59.123456Z"}[g.IntN(2)] + `"`
	}
	name := []string{"userName", "displayName", "title", "locale", "name.familyName", "externalId", schema.EnterpriseURN + ":department"}[g.IntN(7)]
	return name + " " + g.operator() + " " + g.quoted(2)
}

func (g generator) inEmail() string {
	switch g.IntN(4) {
	case 0:
		return "type " + []string{"eq", "ne"}[g.IntN(2)] + ` "` + []string{"WORK", "home", "none"}[g.IntN(3)] + `"`
	case 1:
		return "primary " + []string{"eq true", "ne true", "pr"}[g.IntN(3)]
	}
	return "value " + g.operator() + " " + g.quoted(2)
}

func (g generator) operator() string {
	return []string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}[g.IntN(9)]
}

func (g generator) order() string { return []string{"gt", "ge", "lt", "le", "eq", "ne"}[g.IntN(6)] }

func (g generator) quoted(most int) string {
	return `"` + strings.ReplaceAll(g.text(most), `\`, `\\`) + `"`
}
