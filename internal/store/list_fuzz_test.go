package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// FuzzFiltersInBothDatabases: whatever can be parsed, both databases accept what it is compiled to, and find with what is left
// to the engine exactly whom the evaluation in memory finds.
func FuzzFiltersInBothDatabases(f *testing.F) {
	for _, seed := range []string{
		`userName eq "ada@x.example"`, `not (externalId pr) or emails[type eq "work" and not (value co "%")]`, `displayName sw "\ud7ff"`, "name.familyName ew \"\U0010ffff\"",
		`active ne true and (id gt "a" or meta.created le "2026-03-01T12:00:00.000001Z")`, `emails.value sw ""`, `phoneNumbers pr and emails[value eq "" or type pr].value ne "x"`,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName ge "B"`, strings.Repeat("(", 30) + `userName pr` + strings.Repeat(")", 30), `userName eq "` + strings.Repeat("ß", 400) + `"`,
		`title co "\\_'\""`, `externalId lt "e-2" and emails eq "bob@work.example"`, `meta.lastModified eq "2026-03-01T21:59:00-00:01"`, `roles[value eq "x"] or userName co "İ"`,
	} {
		f.Add(seed)
	}
	var stores []*store.Store
	var people [][]*account.Person
	for _, kind := range storetest.Kinds {
		s := storetest.Open(f, kind)
		stores, people = append(stores, s), append(people, population(f, s))
	}
	users, err := schema.NewType("User", schema.User())
	must(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := filter.Parse(users, text, schema.Standard())
		if err != nil {
			return
		}
		for i, s := range stores {
			var want, got []string
			for _, p := range people[i] {
				if filter.Match(x, resourceOf(p)) {
					want = append(want, p.UserName)
				}
			}
			page, err := s.ListPeople(t.Context(), "c1", &scim.Query{Filter: x, Count: 100, WantTotal: true, MaxScan: 100})
			if err != nil {
				t.Fatalf("%s: %q: %v", s.Kind(), text, err)
			}
			for _, p := range page.Rows {
				if filter.Match(page.Residual, resourceOf(p)) {
					got = append(got, p.UserName)
				}
			}
			if !slices.Equal(got, want) || page.Residual == nil && page.Total != len(want) {
				t.Errorf("%s: %q: got %q of %d, want %q", s.Kind(), text, got, page.Total, want)
			}
		}
	})
}

func TestTheLongestAndDeepestFiltersAreAnsweredSoon(t *testing.T) {
	users := userType(t)
	many := func(n int, with, term string) string { return strings.Join(slices.Repeat([]string{term}, n), with) }
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		population(t, s)
		for about, text := range map[string]string{
			"addresses that must all be there": many(filter.MaxTerms, " and ", `emails.value eq "a"`),
			"addresses of which one must be":   many(filter.MaxTerms, " or ", `emails.value eq "a"`),
			"parts of addresses":               many(filter.MaxTerms, " or ", `emails.value co "a"`),
			"no addresses":                     many(filter.MaxTerms, " and ", `not (emails.value sw "a")`),
			"brackets":                         many(filter.MaxTerms/3, " and ", `emails[type eq "a" or value ew "b"]`),
			"one bracket":                      `emails[` + many(filter.MaxTerms-1, " or ", `value eq "a"`) + `]`,
			"names":                            many(filter.MaxTerms, " or ", `userName eq "a"`),
			"deep":                             strings.Repeat("not (", filter.MaxDepth) + `emails pr` + strings.Repeat(")", filter.MaxDepth),
			"deep and wide": strings.Repeat("not (emails.value eq \"b\" or ", filter.MaxDepth) + many(filter.MaxTerms-filter.MaxDepth, " and ", `emails.value eq "a"`) +
				strings.Repeat(")", filter.MaxDepth),
		} {
			x, err := filter.Parse(users, text, schema.Standard())
			if err != nil {
				t.Errorf("%s: %v", about, err)
				continue
			}
			start := time.Now()
			if _, err := s.ListPeople(t.Context(), "c1", &scim.Query{Filter: x, Count: 10, WantTotal: true, MaxScan: 100}); err != nil {
				t.Errorf("%s: %v", about, err)
			}
			if took := time.Since(start); took > 2*time.Second { // tens of milliseconds on a machine with nothing else to do
				t.Errorf("%s: %v", about, took)
			}
		}
	})
}
