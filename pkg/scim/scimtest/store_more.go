package scimtest

import (
	"slices"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

func movesMembers(t *testing.T, s *suite) {
	a, b, c := s.add(t, "a").ID, s.add(t, "b").ID, s.add(t, "c").ID
	group := s.addGroup(t, "g", a)
	version := group.Version
	for _, m := range []struct {
		about string
		d     scim.MemberDelta
		want  []string
	}{
		{"add", scim.MemberDelta{Add: elements(b, a)}, sorted(a, b)},
		{"remove and add", scim.MemberDelta{Remove: []string{a}, Add: elements(c)}, sorted(b, c)},
		{"remove one who is no member", scim.MemberDelta{Remove: []string{a, b}}, sorted(c)},
		{"replace all", scim.MemberDelta{ReplaceAll: true, Add: elements(a, c)}, sorted(a, c)},
		{"replace by nothing", scim.MemberDelta{ReplaceAll: true}, nil},
	} {
		m.d.Attr = "members"
		got, err := s.member(t.Context(), group.ID, m.d)
		if err != nil {
			t.Fatalf("%s: %v", m.about, err)
		}
		if got.Version == version {
			t.Errorf("%s: the version stayed", m.about)
		}
		version = got.Version
		now := get(t, s.b.Groups, group.ID)
		if ids := memberIDs(now); !slices.Equal(ids, m.want) {
			t.Errorf("%s: members %v, want %v", m.about, ids, m.want)
		}
		if now.Version != version || now.Text("displayName") != "g" {
			t.Errorf("%s: %+v", m.about, now)
		}
	}
	got, err := s.b.Groups.Update(t.Context(), group.ID, scim.Precondition{}, scim.Without("members"), func(cur *scim.Resource) (*scim.Change, error) {
		ch, err := s.set(s.group, "displayName", "h")(cur)
		ch.Members = []scim.MemberDelta{{Attr: "members", Add: elements(a)}}
		return ch, err
	})
	if err != nil || got.Text("displayName") != "h" || !slices.Equal(memberIDs(get(t, s.b.Groups, group.ID)), []string{a}) {
		t.Errorf("an attribute and a member in one change: %+v, %v", got, err)
	}
}

func movesNothing(t *testing.T, s *suite) {
	a, b := s.add(t, "a").ID, s.add(t, "b").ID
	group := s.addGroup(t, "g", a)
	for _, d := range []scim.MemberDelta{
		{Attr: "members", Add: elements(a)},
		{Attr: "members", Remove: []string{b, "nobody"}},
		{Attr: "members", ReplaceAll: true, Add: elements(a)},
	} {
		got, err := s.member(t.Context(), group.ID, d)
		if err != nil || got.Version != group.Version || !got.LastModified.Equal(group.LastModified) {
			t.Errorf("%+v: got %+v, %v; want version %s", d, got, err, group.Version)
		}
	}
}

func cascades(t *testing.T, s *suite) {
	a, b := s.add(t, "a").ID, s.add(t, "b").ID
	group := s.addGroup(t, "g", a, b)
	if err := s.b.Users.Delete(t.Context(), a, scim.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if got := memberIDs(get(t, s.b.Groups, group.ID)); !slices.Equal(got, []string{b}) {
		t.Errorf("members %v, want %v", got, []string{b})
	}
}

// keepsSecrets cannot look at the secret: a store need not return it. It checks that one is taken without an error, and is
// not in the way of later changes.
func keepsSecrets(t *testing.T, s *suite) {
	made := s.add(t, "ada", func(r *scim.Resource) { r.Attrs["password"] = "first" })
	for _, v := range []any{"second", nil} {
		if _, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), func(cur *scim.Resource) (*scim.Change, error) {
			next := s.user.WithoutSecrets(cur)
			if v != nil {
				next.Attrs["password"] = v
			}
			return &scim.Change{Next: next, Ops: []scim.AttrChange{{Key: "password", New: v}}}, nil
		}); err != nil {
			t.Errorf("password %v: %v", v, err)
		}
	}
	if _, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), s.set(s.user, "title", "t")); err != nil {
		t.Error(err)
	}
}

func copies(t *testing.T, s *suite) {
	mail := scim.Object{"value": "a@example.org"}
	r := &scim.Resource{Type: "User", Attrs: scim.Object{"userName": "ada", "emails": []any{mail}}}
	made, err := s.b.Users.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	mail["value"] = "changed@example.org"
	made.Attrs["userName"] = "changed"
	first := get(t, s.b.Users, made.ID)
	if _, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), s.set(s.user, "title", "t")); err != nil {
		t.Fatal(err)
	}
	want := &scim.Resource{Attrs: scim.Object{"userName": "ada", "emails": []any{scim.Object{"value": "a@example.org"}}}}
	if d := schema.Diff(want, first); len(d) > 0 {
		t.Errorf("a resource changed in its reader's hands, or the store kept what it was given: %+v", d)
	}
}

func pages(t *testing.T, s *suite) {
	const n = 7
	for _, name := range []string{"d", "b", "g", "a", "f", "c", "e"} {
		s.add(t, name)
	}
	var ids []string
	for from := 0; from < n+2; from += 2 {
		q := &scim.Query{Offset: from, Count: 2, WantTotal: true, MaxScan: 100}
		rs, total := s.find(t, q)
		if total != n || len(rs) != max(0, min(2, n-from)) {
			t.Errorf("from %d: %d resources of %d", from, len(rs), total)
		}
		for _, r := range rs {
			ids = append(ids, r.ID)
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != n {
		t.Errorf("the pages are not ordered by id, or repeat or miss some: %v", ids)
	}
	if rs, total := s.find(t, &scim.Query{WantTotal: true, MaxScan: 100}); len(rs) != 0 || total != n {
		t.Errorf("count 0: %d resources of %d", len(rs), total)
	}
}

// pagesAfter follows every order through by keysets, once from a place whose resource is gone.
func pagesAfter(t *testing.T, s *suite) {
	all := s.populate(t, 11)
	gone := all[len(all)/2]
	keys := map[string][]scim.SortKey{"id alone": nil}
	for _, by := range []string{"userName", "displayName", "name.familyName", "active", "emails", "meta.created", "meta.lastModified", "externalId", schema.EnterpriseURN + ":department", "id"} {
		path, err := s.user.Resolve(by, schema.InvalidPath)
		if err != nil {
			t.Fatal(err)
		}
		keys[by], keys[by+", descending"] = []scim.SortKey{{Path: path}}, []scim.SortKey{{Path: path, Desc: true}}
	}
	follow := func(about string, sort []scim.SortKey, after *scim.Keyset, want []string) {
		var got []string
		for len(got) <= len(all) {
			rs, total := s.find(t, &scim.Query{Sort: sort, After: after, Count: 7, WantTotal: true, MaxScan: 1000})
			if total != len(all) {
				t.Errorf("%s: total %d, want %d: it is that of all pages", about, total, len(all))
			}
			if len(rs) == 0 {
				break
			}
			got = append(got, idsOf(rs)...)
			after = scim.KeysetOf(rs[len(rs)-1], sort)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: got %v, want %v", about, got, want)
		}
	}
	for about, sort := range keys {
		scim.Sort(all, sort)
		follow(about, sort, nil, idsOf(all))
	}
	if err := s.b.Users.Delete(t.Context(), gone.ID, scim.Precondition{}); err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(r *scim.Resource) bool { return r.ID == gone.ID })
	for about, sort := range keys {
		scim.Sort(all, sort)
		at := scim.KeysetOf(gone, sort)
		var rest []string
		for _, r := range all {
			if at.Before(r, sort) {
				rest = append(rest, r.ID)
			}
		}
		follow(about+", from one who is gone", sort, at, rest)
	}
}

func (s *suite) find(t *testing.T, q *scim.Query) ([]*scim.Resource, int) {
	t.Helper()
	page, err := s.b.Users.List(t.Context(), q)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	rs, total, err := q.Finish(page)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return rs, total
}

func resolves(t *testing.T, s *suite) {
	r, ok := s.b.Users.(scim.Resolver)
	if !ok {
		t.Skip("the store is no Resolver")
	}
	a := s.add(t, "a").ID
	group := s.addGroup(t, "g").ID
	ask := []string{"nothing", a, group, "'"}
	got, err := r.Missing(t.Context(), ask)
	if err != nil || !slices.Equal(sorted(got...), sorted("nothing", group, "'")) {
		t.Errorf("Missing(%v): got %v, %v", ask, got, err)
	}
	if got, err := r.Missing(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("Missing of nothing: %v, %v", got, err)
	}
}

func sortsLikeMemory(t *testing.T, s *suite) {
	all := s.populate(t, 7)
	for _, by := range []string{"userName", "displayName", "name.familyName", "active", "emails.value", "emails", "meta.created", "externalId", schema.EnterpriseURN + ":department"} {
		path, err := s.user.Resolve(by, schema.InvalidPath)
		if err != nil {
			t.Fatal(err)
		}
		for _, desc := range []bool{false, true} {
			q := &scim.Query{Sort: []scim.SortKey{{Path: path, Desc: desc}}, Offset: 3, Count: 20, MaxScan: 1000, WantTotal: true}
			want := slices.Clone(all)
			scim.Sort(want, q.Sort)
			got, _ := s.find(t, q)
			if g, w := idsOf(got), idsOf(want[3:23]); !slices.Equal(g, w) {
				t.Errorf("by %s, descending %v: got %v, want %v", by, desc, g, w)
			}
		}
	}
}

func idsOf(rs []*scim.Resource) []string {
	ids := make([]string, len(rs))
	for i, r := range rs {
		ids[i] = r.ID
	}
	return ids
}

// filtersLikeMemory draws random resources and filters: a store and what it leaves to the engine must find exactly what
// the evaluation in memory finds.
func filtersLikeMemory(t *testing.T, s *suite) {
	for seed := range uint64(3) {
		all := s.populate(t, seed)
		g := newGenerator(seed)
		for range 400 {
			text := g.filter(3)
			x, err := filter.Parse(s.user, text, schema.Strict())
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			var want []string
			for _, r := range all {
				if filter.Match(x, r) {
					want = append(want, r.ID)
				}
			}
			rs, total := s.find(t, &scim.Query{Filter: x, Count: 1000, WantTotal: true, MaxScan: 1000})
			if got := idsOf(rs); !slices.Equal(got, want) || total != len(want) {
				t.Fatalf("seed %d: %s:\ngot  %v (%d)\nwant %v", seed, text, got, total, want)
			}
		}
		for _, r := range all {
			if err := s.b.Users.Delete(t.Context(), r.ID, scim.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
