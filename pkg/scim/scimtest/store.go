package scimtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Backend is what StoreSuite judges: an empty store of users (the User schema with the enterprise extension) and an empty
// one of groups, on one database. Deleting a user must remove it from the groups.
type Backend struct {
	Users, Groups scim.Store
}

// StoreSuite checks that a store keeps every promise of scim.Store. open returns a fresh backend for each promise, so one
// failure cannot hide another. The suite does not need a server.
func StoreSuite(t *testing.T, open func(*testing.T) Backend) {
	for _, p := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"Create assigns id, version and times and keeps every value", keepsValues},
		{"what is not there is ErrNotFound", knowsAbsence},
		{"a unique value is taken in any letter case, and free after deletion", keepsUnique},
		{"Update commits what fn returns", commitsChange},
		{"an error of fn changes nothing and comes back", keepsOnError},
		{"NoOp keeps version and time", keepsOnNoOp},
		{"a precondition is checked against the version", checksVersion},
		{"concurrent updates lose nothing", losesNothing},
		{"members move by delta and are not loaded", movesMembers},
		{"a delta that moves no row keeps the version", movesNothing},
		{"a deleted member is no member", cascades},
		{"a secret stays when a change does not name it", keepsSecrets},
		{"what was returned can be kept and changed by others", copies},
		{"pages have a stable order and an honest total", pages},
		{"a page begins after any place", pagesAfter},
		{"a filter finds what it finds in memory", filtersLikeMemory},
		{"sorting orders like memory", sortsLikeMemory},
		{"Missing names what is not there", resolves},
		{"a write of a batch that fails leaves the others", failsAlone},
		{"a batch stops after as many failures as it is told", leavesOut},
		{"a batch whose ctx ended before does nothing", endsWhole},
		{"batches that want the same names at once share them", sharesNames},
		{"a batch answers as its writes one by one", answersAlike(open)},
	} {
		t.Run(p.name, func(t *testing.T) {
			s := &suite{b: open(t)}
			var err error
			if s.user, err = schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()}); err != nil {
				t.Fatal(err)
			}
			if s.group, err = schema.NewType("Group", schema.Group()); err != nil {
				t.Fatal(err)
			}
			p.run(t, s)
		})
	}
}

type suite struct {
	b           Backend
	user, group *schema.Type
}

func (s *suite) add(t *testing.T, name string, more ...func(*scim.Resource)) *scim.Resource {
	t.Helper()
	r := &scim.Resource{Type: "User", Attrs: scim.Object{"userName": name}}
	for _, f := range more {
		f(r)
	}
	made, err := s.b.Users.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return made
}

func (s *suite) addGroup(t *testing.T, name string, ids ...string) *scim.Resource {
	t.Helper()
	r := &scim.Resource{Type: "Group", Attrs: scim.Object{"displayName": name}}
	if len(ids) > 0 {
		r.Attrs["members"] = list(ids)
	}
	made, err := s.b.Groups.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return made
}

func list(ids []string) []any {
	var out []any
	for _, o := range elements(ids...) {
		out = append(out, o)
	}
	return out
}

func elements(ids ...string) []scim.Object {
	var out []scim.Object
	for _, id := range ids {
		out = append(out, scim.Object{"value": id, "type": "User"})
	}
	return out
}

func get(t *testing.T, st scim.Store, id string) *scim.Resource {
	t.Helper()
	r, err := st.Get(t.Context(), id, scim.Everything())
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return r
}

// set returns an UpdateFunc that sets one core attribute.
func (s *suite) set(typ *schema.Type, name string, v any) scim.UpdateFunc {
	return func(cur *scim.Resource) (*scim.Change, error) {
		base := typ.WithoutSecrets(cur)
		next := base.Clone()
		path, _ := typ.Attr(nil, name)
		next.Set(path, v)
		ops := schema.Diff(base, next)
		return &scim.Change{Next: next, Ops: ops, NoOp: len(ops) == 0}, nil
	}
}

func memberIDs(r *scim.Resource) []string {
	var ids []string
	all, _ := r.Attrs["members"].([]any)
	for _, e := range all {
		o, _ := e.(scim.Object)
		id, _ := o["value"].(string)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids ...string) []string { return slices.Sorted(slices.Values(ids)) }

func keepsValues(t *testing.T, s *suite) {
	manager := s.add(t, "boss")
	full := func(r *scim.Resource) {
		r.ExternalID = "Ext-Ä"
		r.Attrs["displayName"] = "  Ada ' \" % _ \\ Løvelace "
		r.Attrs["active"] = false
		r.Attrs["name"] = scim.Object{"givenName": "Ada", "familyName": "Løvelace"}
		r.Attrs["emails"] = []any{scim.Object{"value": "A@Example.org", "type": "work", "primary": true}, scim.Object{"value": "b@example.org"}}
		r.Ext = map[string]scim.Object{schema.EnterpriseURN: {"department": "Engines", "manager": scim.Object{"value": manager.ID}}}
	}
	made := s.add(t, "Ada", full)
	if made.ID == "" || made.Version == "" || made.Created.IsZero() || made.LastModified.IsZero() || made.ID == manager.ID {
		t.Fatalf("id %q, version %q, created %v, last modified %v", made.ID, made.Version, made.Created, made.LastModified)
	}
	want := &scim.Resource{Type: "User", Attrs: scim.Object{"userName": "Ada"}}
	full(want)
	for name, r := range map[string]*scim.Resource{"Create": made, "Get": get(t, s.b.Users, made.ID)} {
		if d := schema.Diff(want, r); len(d) > 0 {
			t.Errorf("%s differs from what was given: %+v", name, d)
		}
		if r.ID != made.ID || r.Version != made.Version || !r.Created.Equal(made.Created) || !r.LastModified.Equal(made.LastModified) {
			t.Errorf("%s: meta differs: %+v", name, r)
		}
	}
}

func knowsAbsence(t *testing.T, s *suite) {
	for _, id := range []string{"nothing", "0192d0aa-0000-7000-8000-000000000000", "'; drop table users; --", "é", "1", "%"} {
		if _, err := s.b.Users.Get(t.Context(), id, scim.Everything()); !errors.Is(err, scim.ErrNotFound) {
			t.Errorf("Get %q: got %v, want ErrNotFound", id, err)
		}
		if _, err := s.b.Users.Update(t.Context(), id, scim.Precondition{}, scim.Everything(), s.set(s.user, "title", "x")); !errors.Is(err, scim.ErrNotFound) {
			t.Errorf("Update %q: got %v, want ErrNotFound", id, err)
		}
		if err := s.b.Users.Delete(t.Context(), id, scim.Precondition{}); !errors.Is(err, scim.ErrNotFound) {
			t.Errorf("Delete %q: got %v, want ErrNotFound", id, err)
		}
	}
	group := s.addGroup(t, "g")
	if _, err := s.b.Users.Get(t.Context(), group.ID, scim.Everything()); !errors.Is(err, scim.ErrNotFound) {
		t.Errorf("a group was found among the users: %v", err)
	}
}

func keepsUnique(t *testing.T, s *suite) {
	ada, bob := s.add(t, "Straße-É"), s.add(t, "bob")
	conflict := func(err error) {
		t.Helper()
		c, ok := errors.AsType[*scim.ConflictError](err)
		if !ok || c.Attr != "userName" {
			t.Errorf("got %v, want a ConflictError of userName", err)
		}
	}
	_, err := s.b.Users.Create(t.Context(), &scim.Resource{Type: "User", Attrs: scim.Object{"userName": "STRASSE-E\u0301"}})
	conflict(err)
	_, err = s.b.Users.Update(t.Context(), bob.ID, scim.Precondition{}, scim.Everything(), s.set(s.user, "userName", "STRASSE-É"))
	conflict(err)
	if got := get(t, s.b.Users, bob.ID); got.Text("userName") != "bob" || got.Version != bob.Version {
		t.Errorf("a refused change was made: %+v", got)
	}
	if _, err := s.b.Users.Update(t.Context(), ada.ID, scim.Precondition{}, scim.Everything(), s.set(s.user, "userName", "STRASSE-É")); err != nil {
		t.Errorf("a name in conflict with itself: %v", err)
	}
	if err := s.b.Users.Delete(t.Context(), ada.ID, scim.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if again := s.add(t, "straße-é"); again.ID == ada.ID {
		t.Error("an id was given twice")
	}
}

func commitsChange(t *testing.T, s *suite) {
	made := s.add(t, "ada", func(r *scim.Resource) { r.Attrs["displayName"] = "d" })
	got, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Without("groups"), s.set(s.user, "title", "t"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Text("title") != "t" || got.Text("displayName") != "d" || got.Version == made.Version || !got.Created.Equal(made.Created) {
		t.Errorf("Update returned %+v", got)
	}
	if now := get(t, s.b.Users, made.ID); now.Text("title") != "t" || now.Version != got.Version || !now.LastModified.Equal(got.LastModified) {
		t.Errorf("Get after Update: %+v", now)
	}
	if _, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), s.set(s.user, "displayName", nil)); err != nil {
		t.Fatal(err)
	}
	if now := get(t, s.b.Users, made.ID); now.Get("displayName") != nil {
		t.Errorf("a removed value is there: %+v", now)
	}
}

func keepsOnError(t *testing.T, s *suite) {
	made := s.add(t, "ada")
	oops := &scim.Error{Status: 400, Type: schema.Mutability, Attr: "x"}
	_, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), func(*scim.Resource) (*scim.Change, error) { return nil, oops })
	if e, ok := errors.AsType[*scim.Error](err); !ok || e != oops {
		t.Errorf("got %v, want the error of fn", err)
	}
	if now := get(t, s.b.Users, made.ID); now.Version != made.Version {
		t.Error("the version changed")
	}
}

func keepsOnNoOp(t *testing.T, s *suite) {
	made := s.add(t, "ada")
	got, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Everything(), func(cur *scim.Resource) (*scim.Change, error) {
		return &scim.Change{Next: cur.Clone(), NoOp: true}, nil
	})
	if err != nil || got.Version != made.Version || !got.LastModified.Equal(made.LastModified) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func checksVersion(t *testing.T, s *suite) {
	made := s.add(t, "ada")
	stale := scim.Precondition{Match: []string{"no such version"}}
	if _, err := s.b.Users.Update(t.Context(), made.ID, stale, scim.Everything(), s.set(s.user, "title", "t")); !errors.Is(err, scim.ErrPrecondition) {
		t.Errorf("Update: got %v, want ErrPrecondition", err)
	}
	if err := s.b.Users.Delete(t.Context(), made.ID, stale); !errors.Is(err, scim.ErrPrecondition) {
		t.Errorf("Delete: got %v, want ErrPrecondition", err)
	}
	fresh := scim.Precondition{Match: []string{made.Version}}
	if _, err := s.b.Users.Update(t.Context(), made.ID, fresh, scim.Everything(), s.set(s.user, "title", "t")); err != nil {
		t.Errorf("Update with the right version: %v", err)
	}
	if err := s.b.Users.Delete(t.Context(), made.ID, fresh); !errors.Is(err, scim.ErrPrecondition) {
		t.Errorf("Delete with the version before: got %v, want ErrPrecondition", err)
	}
	if err := s.b.Users.Delete(t.Context(), made.ID, scim.Precondition{Match: []string{"*"}}); err != nil {
		t.Errorf("Delete with any version: %v", err)
	}
}

func losesNothing(t *testing.T, s *suite) {
	made := s.add(t, "ada", func(r *scim.Resource) { r.Attrs["title"] = "0" })
	group := s.addGroup(t, "g")
	ids := make([]string, 8)
	for i := range ids {
		ids[i] = s.add(t, fmt.Sprint("member", i)).ID
	}
	const each = 4
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			for range each {
				if _, err := s.b.Users.Update(t.Context(), made.ID, scim.Precondition{}, scim.Without("groups"), func(cur *scim.Resource) (*scim.Change, error) {
					n, _ := strconv.Atoi(cur.Text("title"))
					return s.set(s.user, "title", strconv.Itoa(n+1))(cur)
				}); err != nil {
					t.Errorf("update: %v", err)
				}
			}
			if _, err := s.member(t.Context(), group.ID, scim.MemberDelta{Attr: "members", Add: elements(ids[i])}); err != nil {
				t.Errorf("add a member: %v", err)
			}
		})
	}
	wg.Wait()
	if got, want := get(t, s.b.Users, made.ID).Text("title"), strconv.Itoa(each*len(ids)); got != want {
		t.Errorf("%s updates arrived, want %s", got, want)
	}
	if got := memberIDs(get(t, s.b.Groups, group.ID)); !slices.Equal(got, sorted(ids...)) {
		t.Errorf("members %v, want %v", got, ids)
	}
}

// member applies one delta as a PATCH does: without loading members.
func (s *suite) member(ctx context.Context, group string, d scim.MemberDelta) (*scim.Resource, error) {
	return s.b.Groups.Update(ctx, group, scim.Precondition{}, scim.Without("members"), func(cur *scim.Resource) (*scim.Change, error) {
		next := cur.Clone()
		delete(next.Attrs, "members")
		return &scim.Change{Next: next, Members: []scim.MemberDelta{d}}, nil
	})
}
