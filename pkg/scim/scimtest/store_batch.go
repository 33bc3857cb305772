package scimtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// batcher returns the store of users as a scim.Batcher. One that is none promised nothing here.
func (s *suite) batcher(t *testing.T) scim.Batcher {
	t.Helper()
	b, ok := s.b.Users.(scim.Batcher)
	if !ok {
		t.Skip("the store is no scim.Batcher")
	}
	return b
}

func (s *suite) create(name string) scim.Write {
	return scim.Write{Create: &scim.Resource{Type: "User", Attrs: scim.Object{"userName": name}}}
}

// rename is a write that sets the title of a user.
func (s *suite) entitle(id, title string) scim.Write {
	return scim.Write{ID: id, Need: scim.Without("groups"), Update: s.set(s.user, "title", title)}
}

// outcome says what became of a write, so that two stores can be compared: ids and versions are theirs.
func outcome(r scim.Result) string {
	switch c, conflict := errors.AsType[*scim.ConflictError](r.Err); {
	case conflict:
		return "taken " + c.Attr
	case errors.Is(r.Err, scim.ErrNotFound):
		return "not found"
	case errors.Is(r.Err, scim.ErrPrecondition):
		return "precondition"
	case errors.Is(r.Err, scim.ErrNotDone):
		return "not done"
	case r.Err != nil:
		return r.Err.Error()
	case r.Resource == nil:
		return "done"
	}
	return "done " + r.Resource.Text("userName") + " " + r.Resource.Text("title")
}

func outcomes(results []scim.Result) string {
	out := make([]string, len(results))
	for i, r := range results {
		out[i] = outcome(r)
	}
	return strings.Join(out, "; ")
}

func failsAlone(t *testing.T, s *suite) {
	b := s.batcher(t)
	ada, bob := s.add(t, "ada"), s.add(t, "bob")
	oops := &scim.Error{Status: 400, Type: schema.Mutability, Attr: "x"}
	results := b.Apply(t.Context(), []scim.Write{
		s.create("new"),
		s.create("ADA"),
		s.create("New"), // taken by the first of this batch
		s.entitle(ada.ID, "countess"),
		{ID: bob.ID, Need: scim.Without("groups"), Update: s.set(s.user, "userName", "ada")},
		{ID: bob.ID, Need: scim.Without("groups"), Update: func(*scim.Resource) (*scim.Change, error) { return nil, oops }},
		s.entitle("0192d0aa-0000-7000-8000-000000000000", "nobody"),
		{ID: bob.ID, Pre: scim.Precondition{Match: []string{"no such version"}}},
		{ID: bob.ID},
		s.create("bob"), // free since the write before
		s.create("last"),
	})
	want := "done new ; taken userName; taken userName; done ada countess; taken userName; " + oops.Error() +
		"; not found; precondition; done; done bob ; done last "
	if got := outcomes(results); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	for _, at := range []int{0, 3, 9, 10} {
		r := results[at].Resource
		now := get(t, s.b.Users, r.ID)
		if now.Text("userName") != r.Text("userName") || now.Version != r.Version || !now.LastModified.Equal(r.LastModified) {
			t.Errorf("write %d returned %+v, there is %+v", at, r, now)
		}
	}
	if _, err := s.b.Users.Get(t.Context(), bob.ID, scim.Everything()); !errors.Is(err, scim.ErrNotFound) {
		t.Errorf("deleted in a batch, and found: %v", err)
	}
}

func leavesOut(t *testing.T, s *suite) {
	b := s.batcher(t)
	s.add(t, "ada")
	var writes []scim.Write
	for _, name := range []string{"one", "ada", "two", "ADA", "three", "four"} {
		w := s.create(name)
		w.FailOn = 2
		writes = append(writes, w)
	}
	if got, want := outcomes(b.Apply(t.Context(), writes)), "done one ; taken userName; done two ; taken userName; not done; not done"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	page, err := s.b.Users.List(t.Context(), &scim.Query{Count: 10, WantTotal: true})
	if err != nil || page.Total != 3 {
		t.Errorf("%d users, want 3: %v", page.Total, err)
	}
}

func endsWhole(t *testing.T, s *suite) {
	b := s.batcher(t)
	ada := s.add(t, "ada")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := b.Apply(ctx, []scim.Write{s.create("one"), s.entitle(ada.ID, "late"), {ID: ada.ID}})
	if len(results) != 3 {
		t.Fatalf("%d results, want 3", len(results))
	}
	for i, r := range results {
		if r.Err == nil {
			t.Errorf("write %d was done after ctx ended", i)
		}
	}
	if now := get(t, s.b.Users, ada.ID); now.Version != ada.Version {
		t.Error("the version changed")
	}
	if page, err := s.b.Users.List(t.Context(), &scim.Query{Count: 10, WantTotal: true}); err != nil || page.Total != 1 {
		t.Errorf("%d users, want 1: %v", page.Total, err)
	}
	if got := b.Apply(t.Context(), nil); len(got) != 0 {
		t.Errorf("a batch of nothing has %d results", len(got))
	}
}

// sharesNames lets many batches at once create the same users in different orders: each user comes to be once.
func sharesNames(t *testing.T, s *suite) {
	b := s.batcher(t)
	const batches, users = 8, 20
	made := make([]int, batches)
	var wg sync.WaitGroup
	for i := range batches {
		wg.Go(func() {
			var writes []scim.Write
			for _, n := range rand.Perm(users) {
				writes = append(writes, s.create(fmt.Sprint("user", n)))
			}
			for _, r := range b.Apply(t.Context(), writes) {
				switch got := outcome(r); {
				case r.Err == nil:
					made[i]++
				case got != "taken userName":
					t.Errorf("batch %d: %s", i, got)
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range made {
		sum += n
	}
	if sum != users {
		t.Errorf("%d users were created, want %d", sum, users)
	}
}

// answersAlike draws batches and demands of a fresh store, which is given them one by one, the same answers and the same
// users in the end.
func answersAlike(open func(*testing.T) Backend) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) {
		b := s.batcher(t)
		single := &suite{b: open(t), user: s.user, group: s.group}
		seed := rand.Uint64()
		draw := rand.New(rand.NewPCG(seed, 1))
		ids := [2]map[string]string{{}, {}} // by the name a user was given first
		var known []string
		for round := range 20 {
			var writes [2][]scim.Write
			var about []string
			for range 1 + draw.IntN(12) {
				who, title := fmt.Sprint("user", draw.IntN(12)), fmt.Sprint("title", draw.IntN(3))
				target := "nobody"
				if len(known) > 0 {
					target = known[draw.IntN(len(known))]
				}
				kind, failOn := draw.IntN(6), 0
				if draw.IntN(4) == 0 {
					failOn = 1 + draw.IntN(3)
				}
				about = append(about, fmt.Sprint(kind, " ", who, " ", target, " ", title))
				for i, s := range []*suite{s, single} {
					w := scim.Write{ID: ids[i][target], Need: scim.Without("groups"), FailOn: failOn}
					switch kind {
					case 0, 1, 2:
						w.Create = &scim.Resource{Type: "User", Attrs: scim.Object{"userName": who, "title": title}}
					case 3:
						w.Update = s.set(s.user, "title", title)
					case 4:
						w.Update = s.set(s.user, "userName", strings.ToUpper(who))
					}
					writes[i] = append(writes[i], w)
				}
			}
			together := b.Apply(t.Context(), writes[0])
			alone := make([]scim.Result, len(together))
			failed := 0
			for i, w := range writes[1] {
				if w.FailOn > 0 && failed >= w.FailOn {
					alone[i].Err = scim.ErrNotDone
					continue
				}
				if alone[i] = w.Do(t.Context(), single.b.Users); alone[i].Err != nil {
					failed++
				}
			}
			if got, want := outcomes(together), outcomes(alone); got != want {
				t.Fatalf("seed %d, round %d: %v\ntogether   %s\none by one %s", seed, round, about, got, want)
			}
			for i, r := range together {
				if r.Err == nil && writes[0][i].Create != nil {
					name := fmt.Sprint(round, ".", i)
					ids[0][name], ids[1][name] = r.Resource.ID, alone[i].Resource.ID
					known = append(known, name)
				}
			}
		}
		if got, want := s.everybody(t), single.everybody(t); got != want {
			t.Errorf("seed %d: in the end\ntogether   %s\none by one %s", seed, got, want)
		}
	}
}

// everybody returns all users in order of name.
func (s *suite) everybody(t *testing.T) string {
	t.Helper()
	path, _ := s.user.Attr(nil, "userName")
	page, err := s.b.Users.List(t.Context(), &scim.Query{Count: 1000, Sort: []scim.SortKey{{Path: schema.Path{Attr: path.Attr}}}, MaxScan: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := page.Resources
	scim.Sort(all, []scim.SortKey{{Path: path}})
	var out []string
	for _, r := range all {
		out = append(out, r.Text("userName")+" "+r.Text("title"))
	}
	return strings.Join(out, "; ")
}
