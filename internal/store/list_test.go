package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// resourceOf is a person as a SCIM server shows them.
func resourceOf(p *account.Person) *schema.Resource {
	r := &schema.Resource{Type: "User", ID: p.ID, ExternalID: p.ExternalID, Created: p.Created, LastModified: p.Updated,
		Attrs: schema.Object{"userName": p.UserName, "active": p.Active}}
	name := schema.Object{}
	for key, v := range map[string]string{"givenName": p.GivenName, "familyName": p.FamilyName} {
		if v != "" {
			name[key] = v
		}
	}
	if len(name) > 0 {
		r.Attrs["name"] = name
	}
	if p.DisplayName != "" {
		r.Attrs["displayName"] = p.DisplayName
	}
	for key, list := range map[string][]account.Contact{"emails": p.Emails, "phoneNumbers": p.Phones} {
		var all []any
		for _, c := range list {
			o := schema.Object{"value": c.Value}
			if c.Type != "" {
				o["type"] = c.Type
			}
			if c.Primary {
				o["primary"] = true
			}
			all = append(all, o)
		}
		if len(all) > 0 {
			r.Attrs[key] = all
		}
	}
	return r
}

func userType(t *testing.T) *schema.Type {
	t.Helper()
	return ok[*schema.Type](t)(schema.NewType("User", schema.User()))
}

// population is people who differ in what filters look at.
func population(t testing.TB, s *store.Store) []*account.Person {
	t.Helper()
	var all []*account.Person
	for i, p := range []account.Person{
		{UserName: "Ada@x.example", ExternalID: "E-1", DisplayName: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace", Active: true,
			Emails: []account.Contact{{Value: "ADA@work.example", Type: "work", Primary: true}, {Value: "ada@home.example", Type: "home"}}},
		{UserName: "bob", ExternalID: "e-1", DisplayName: "Straße 100%_", Emails: []account.Contact{{Value: "bob@work.example", Type: "Work"}}},
		{UserName: "Çelik", GivenName: "Çağ", Active: true, Phones: []account.Contact{{Value: "+1 555", Type: "mobile"}}},
		{UserName: "dora", ExternalID: "E-4", DisplayName: "ada", FamilyName: "O'Neil", Active: true, Emails: []account.Contact{{Value: "x@home.example"}}},
		{UserName: "zed", ExternalID: "E-5"},
	} {
		p.Connector, p.Created, p.Updated = "c1", noon.Add(time.Duration(i)*time.Hour), noon.Add(time.Duration(10-i)*time.Hour)
		must(t, s.CreatePerson(t.Context(), &p, nil))
		all = append(all, &p)
	}
	stranger := ada("c2")
	stranger.UserName = "stranger"
	must(t, s.CreatePerson(t.Context(), stranger, nil))
	return all
}

func TestAListIsWhatTheFilterMatchesOnEachEngine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		people, users := population(t, s), userType(t)
		pushed := 0
		for _, text := range []string{
			`userName eq "ADA@X.EXAMPLE"`, `userName sw "a"`, `userName co "E"`, `userName ew "example"`, `userName ne "bob"`, `userName gt "b" and userName lt "e"`,
			`externalId eq "E-1"`, `externalId eq "e-1"`, `externalId pr`, `not (externalId pr)`, `externalId ne "E-1"`, `externalId lt "F"`, `externalId eq ""`,
			`displayName eq "STRASSE 100%_"`, `displayName sw "ada"`, `displayName co "%"`, `displayName co "_"`, `displayName pr`, `displayName eq null`,
			`name.givenName eq "çağ"`, `name.familyName eq "o'neil"`, `active eq true`, `active eq false`, `active ne true`,
			`emails.value eq "ada@WORK.example"`, `emails co "home"`, `emails[type eq "work"].value eq "ada@work.example"`,
			`emails[type eq "work" and value sw "bob"]`, `emails[type eq "work" and value sw "x"]`, `emails pr`, `not (emails pr)`, `emails[not (type pr)]`,
			`phoneNumbers.value sw "+1"`, `phoneNumbers.type eq "mobile"`,
			`meta.created gt "2026-03-01T13:00:00Z"`, `meta.lastModified le "2026-03-01T20:00:00Z"`, `meta.created eq "2026-03-01T12:00:00Z"`,
			`id eq "` + people[2].ID + `"`, `(userName eq "bob" or userName eq "zed") and not (active eq true)`,
			// Partly or wholly left to the engine:
			`emails[primary eq true]`, `userName sw "a" and emails[primary eq true]`, `nickName eq "x" or userName eq "bob"`, `title pr`,
		} {
			x, err := filter.Parse(users, text, schema.Standard())
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			var want []string
			for _, p := range people {
				if filter.Match(x, resourceOf(p)) {
					want = append(want, p.UserName)
				}
			}
			page, err := s.ListPeople(t.Context(), "c1", &scim.Query{Filter: x, Count: 100, WantTotal: true, MaxScan: 100})
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			var got []string
			for _, p := range page.Rows {
				if filter.Match(page.Residual, resourceOf(p)) {
					got = append(got, p.UserName)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", text, got, want)
			}
			if page.Residual == nil {
				if pushed++; page.Total != len(want) {
					t.Errorf("%s: total %d, want %d", text, page.Total, len(want))
				}
			}
		}
		if pushed != 39 {
			t.Errorf("%d filters were evaluated by the database, want 39", pushed)
		}
		all := ok[store.List[*account.Person]](t)(s.ListPeople(t.Context(), "", &scim.Query{Count: 100, WantTotal: true}))
		if all.Total != 6 || len(all.Rows) != 6 {
			t.Errorf("everybody: %d of %d", len(all.Rows), all.Total)
		}
		same(t, "a listed person", all.Rows[0], ok[*account.Person](t)(s.Person(t.Context(), all.Rows[0].ID)))
	})
}

func TestAListIsSortedAndPagedByTheDatabaseOrSaysThatItIsNot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		population(t, s)
		users := userType(t)
		by := func(path string, desc bool) []scim.SortKey {
			return []scim.SortKey{{Path: ok[schema.Path](t)(users.Resolve(path, schema.InvalidPath)), Desc: desc}}
		}
		names := func(q *scim.Query) (out []string) {
			t.Helper()
			page := ok[store.List[*account.Person]](t)(s.ListPeople(t.Context(), "c1", q))
			if page.Unsorted || page.Residual != nil {
				t.Fatalf("left to the engine: %+v", page)
			}
			for _, p := range page.Rows {
				out = append(out, p.UserName)
			}
			return out
		}
		for _, c := range []struct {
			path string
			desc bool
			want []string
		}{
			{"userName", false, []string{"Ada@x.example", "bob", "dora", "zed", "Çelik"}}, // bytes of the folded names
			{"displayName", false, []string{"dora", "Ada@x.example", "bob", "Çelik", "zed"}},
			{"displayName", true, []string{"Çelik", "zed", "bob", "Ada@x.example", "dora"}},
			{"externalId", false, []string{"Ada@x.example", "dora", "zed", "bob", "Çelik"}},
			{"meta.lastModified", false, []string{"zed", "dora", "Çelik", "bob", "Ada@x.example"}},
		} {
			same(t, fmt.Sprintf("by %s, descending %v", c.path, c.desc), names(&scim.Query{Sort: by(c.path, c.desc), Count: 10}), c.want)
			same(t, "second page by "+c.path, names(&scim.Query{Sort: by(c.path, c.desc), Count: 2, Offset: 2}), c.want[2:4])
		}
		none := ok[store.List[*account.Person]](t)(s.ListPeople(t.Context(), "c1", &scim.Query{WantTotal: true}))
		if none.Total != 5 || len(none.Rows) != 0 {
			t.Errorf("count only: %+v", none)
		}
		left := ok[store.List[*account.Person]](t)(s.ListPeople(t.Context(), "c1", &scim.Query{Sort: by("nickName", false), Count: 1, Offset: 1, MaxScan: 3}))
		if !left.Unsorted || len(left.Rows) != 4 || left.Rows[0].UserName != "Ada@x.example" {
			t.Errorf("sorted by what no column holds: %d rows, unsorted %v, first %s", len(left.Rows), left.Unsorted, left.Rows[0].UserName)
		}
	})
}

func TestGroupsAreFoundByTheirMembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		member := id()
		g := addGroup(t, s, "c1", "One", member)
		addGroup(t, s, "c1", "Two")
		addGroup(t, s, "c2", "Other", member)
		groups := ok[*schema.Type](t)(schema.NewType("Group", schema.Group()))
		for text, want := range map[string]int{
			`members.value eq "` + member + `"`: 1, `members[value eq "` + member + `"]`: 1, `displayName eq "one"`: 1, `displayName co "o"`: 2, `members.value eq "x"`: 0,
			`externalId eq "ext-One"`: 1, `externalId eq "ext-one"`: 0,
		} {
			x := ok[filter.Expr](t)(filter.Parse(groups, text, schema.Standard()))
			page := ok[store.List[*account.Group]](t)(s.ListGroups(t.Context(), "c1", &scim.Query{Filter: x, Count: 10, WantTotal: true}))
			if page.Total != want || len(page.Rows) != want || page.Residual != nil {
				t.Errorf("%s: %+v, want %d", text, page, want)
			}
			if want == 1 {
				same(t, text, page.Rows[0], g)
			}
		}
	})
}

func TestMethodsAreFoundByTheirPerson(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		core := &schema.Schema{ID: "urn:test:Method", Name: "Method", Attributes: []*schema.Attribute{
			{Name: "user", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "value"}}}, {Name: "type"}, {Name: "status"}, {Name: "display"},
		}}
		methods := ok[*schema.Type](t)(schema.NewType("Method", core))
		p, q := ada("c1"), ada("c2")
		q.ID, q.UserName = id(), "bob"
		removed := mail("gone@home.example")
		removed.Status, removed.RemovedAt = method.Removed, noon
		ms := []method.Method{mail("ada@home.example"), seed(), removed}
		must(t, s.CreatePerson(t.Context(), p, ms))
		must(t, s.CreatePerson(t.Context(), q, []method.Method{seed()}))
		find := func(text string) store.List[method.Owned] {
			t.Helper()
			x := ok[filter.Expr](t)(filter.Parse(methods, text, schema.Standard()))
			return ok[store.List[method.Owned]](t)(s.ListMethods(t.Context(), "c1", &scim.Query{Filter: x, Count: 10, WantTotal: true, MaxScan: 10}))
		}
		same(t, "of the person", find(`user.value eq "`+p.ID+`"`).Rows, []method.Owned{{Method: ms[0], Owner: p.Name()}, {Method: ms[1], Owner: p.Name()}})
		same(t, "of a type", find(`user.value eq "`+p.ID+`" and type eq "TOTP"`).Rows, []method.Owned{{Method: ms[1], Owner: p.Name()}})
		if other := find(`user.value eq "` + q.ID + `"`); other.Total != 0 {
			t.Errorf("another connector's methods: %+v", other)
		}
		if page := find(`display eq "phone app" and status eq "active"`); page.Residual == nil || len(page.Rows) != 2 {
			t.Errorf("what is sealed cannot be searched by the database: %+v", page)
		}
		same(t, "one", *ok[*method.Method](t)(s.MethodOf(t.Context(), ms[1].ID, "c1")), ms[1])
		for _, c := range [][2]string{{ms[1].ID, "c2"}, {ms[2].ID, "c1"}, {"", ""}} {
			if m, err := s.MethodOf(t.Context(), c[0], c[1]); err == nil {
				t.Errorf("%v: got %+v", c, m)
			}
		}
	})
}
