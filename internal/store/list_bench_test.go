package store_test

import (
	"testing"

	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// many is how many people BenchmarkPages lists.
const many = 200_000

// BenchmarkPages lists a hundred people at the beginning and after nine tenths of them: a cursor makes both cost the same,
// by id and by a sorted name; an index does not.
func BenchmarkPages(b *testing.B) {
	for _, kind := range storetest.Kinds {
		s := storetest.Open(b, kind)
		if err := s.Exec(b.Context(), `INSERT INTO people (id, version, epoch, connector, user_name, user_name_key, active, display_name, given_name, family_name, language, emails, phones, attrs, hold_until, dispute, created, updated)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
			SELECT substr(CAST(1000000 + i AS TEXT), 2), 1, 1, 'c1', 'u' || substr(CAST(1000000 + i AS TEXT), 2), 'u' || substr(CAST(1000000 + i AS TEXT), 2),
				true, '', '', '', '', '[]', '[]', '', 0, '', 0, 0 FROM n`); err != nil {
			b.Fatal(err)
		}
		if kind == "postgresql" {
			if err := s.Exec(b.Context(), `ANALYZE people`); err != nil {
				b.Fatal(err)
			}
		}
		typ, err := schema.NewType("User", schema.User())
		if err != nil {
			b.Fatal(err)
		}
		name, err := typ.Resolve("userName", schema.InvalidPath)
		if err != nil {
			b.Fatal(err)
		}
		byName := []scim.SortKey{{Path: name}}
		const deep = "180000"
		for about, q := range map[string]scim.Query{
			"by id, first":          {},
			"by id, by cursor":      {After: &scim.Keyset{ID: deep}},
			"by id, by index":       {Offset: many * 9 / 10},
			"by name, first":        {Sort: byName},
			"by name, by cursor":    {Sort: byName, After: &scim.Keyset{Values: []any{"u" + deep}, ID: deep}},
			"by name, by index":     {Sort: byName, Offset: many * 9 / 10},
			"by id, with the total": {WantTotal: true},
		} {
			q.Count = 100
			b.Run(string(kind)+"/"+about, func(b *testing.B) {
				for b.Loop() {
					page, err := s.ListPeople(b.Context(), "c1", &q)
					if err != nil || len(page.Rows) != 100 {
						b.Fatalf("%d rows, %v", len(page.Rows), err)
					}
				}
			})
		}
	}
}
