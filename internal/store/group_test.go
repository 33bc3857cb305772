package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func addGroup(t *testing.T, s *store.Store, connector, name string, members ...string) *account.Group {
	t.Helper()
	g := &account.Group{Connector: connector, ExternalID: "ext-" + name, DisplayName: name, Attrs: []byte(`{"displayName":"` + name + `"}`), Created: noon, Updated: noon}
	var ms []store.Member
	for _, m := range members {
		ms = append(ms, store.Member{ID: m})
	}
	must(t, s.CreateGroup(t.Context(), g, ms))
	return g
}

func TestMembersMoveBySetsInTheCommitOfTheirGroup(t *testing.T) {
	clock := noon.Add(time.Hour)
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, nil))
		inner := addGroup(t, s, "c1", "inner")
		g := addGroup(t, s, "c1", "Group", p.ID, p.ID)
		same(t, "group", ok[*account.Group](t)(s.Group(t.Context(), g.ID, "c1")), g)
		members := func() []string {
			t.Helper()
			var all []string
			for _, m := range ok[[]store.Member](t)(s.MembersOf(t.Context(), g.ID, "", 100)) {
				all = append(all, m.Kind+" "+m.Display)
			}
			slices.Sort(all)
			return all
		}
		same(t, "members at first", members(), []string{"User Ada Lovelace"})
		move := func(c *store.MemberChange, change func(*account.Group), fail error) (*account.Group, error) {
			return s.UpdateGroup(t.Context(), g.ID, "c1", func(g *account.Group) ([]event.Event, *store.MemberChange, error) {
				if change != nil {
					change(g)
				}
				return []event.Event{event.New(noon, event.GroupUpdated, "connector:c1", "", "", event.Success)}, c, fail
			})
		}
		both := []store.Member{{ID: p.ID}, {ID: inner.ID}}
		got := ok[*account.Group](t)(move(&store.MemberChange{Add: both}, nil, nil))
		if got.Version != 2 || !got.Updated.Equal(clock) {
			t.Errorf("after adding: version %d, updated %v", got.Version, got.Updated)
		}
		same(t, "members after adding", members(), []string{"Group inner", "User Ada Lovelace"})
		// What moves no row writes nothing: not the version, not the events.
		for name, c := range map[string]*store.MemberChange{
			"adding again": {Add: both}, "removing what is not there": {Remove: []store.Member{{ID: id()}}}, "replacing by the same": {Add: both, ReplaceAll: true}, "nothing": nil,
		} {
			same(t, name, ok[*account.Group](t)(move(c, nil, nil)), got)
		}
		same(t, "unchanged", ok[*account.Group](t)(move(&store.MemberChange{ReplaceAll: true}, func(g *account.Group) { g.DisplayName = "x" }, store.ErrUnchanged)), got)
		count(t, s, 1, `SELECT count(*) FROM events`)
		got = ok[*account.Group](t)(move(&store.MemberChange{Remove: []store.Member{{ID: p.ID}, {ID: id()}}}, func(g *account.Group) { g.DisplayName, g.Updated = "New", noon }, nil))
		if got.Version != 3 || got.DisplayName != "New" || !got.Updated.Equal(noon) {
			t.Errorf("after removing and renaming: %+v", got)
		}
		same(t, "members after removing", members(), []string{"Group inner"})
		ok[*account.Group](t)(move(&store.MemberChange{Add: both[:1], ReplaceAll: true}, nil, nil))
		same(t, "members after replacing", members(), []string{"User Ada Lovelace"})
		ok[*account.Group](t)(move(&store.MemberChange{ReplaceAll: true}, nil, nil))
		same(t, "members after removing all", members(), []string(nil))
		if _, err := move(&store.MemberChange{Add: []store.Member{{ID: "\x00"}}}, nil, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("a member that is no text: %v", err)
		}
		if _, err := s.UpdateGroup(t.Context(), g.ID, "c2", nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("another connector's group: %v", err)
		}

		outer := addGroup(t, s, "c1", "outer", g.ID)
		if err := s.DeleteGroup(t.Context(), g.ID, "c1", 1); !fault.Is(err, fault.Conflict) {
			t.Errorf("wrong version: %v", err)
		}
		must(t, s.DeleteGroup(t.Context(), g.ID, "c1", 0, event.New(noon, event.GroupDeleted, "connector:c1", "", "", event.Success)))
		if _, err := s.Group(t.Context(), g.ID, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("a deleted group: %v", err)
		}
		if o := ok[*account.Group](t)(s.Group(t.Context(), outer.ID, "")); o.Version != 2 {
			t.Errorf("the outer group is version %d, want 2", o.Version)
		}
		count(t, s, 0, `SELECT count(*) FROM members`)
	}, at(&clock))
}

func TestManyWhoAddMembersToOneGroupAllSucceed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		g := addGroup(t, s, "c1", "big")
		const n = 24
		for _, err := range race(n, func(i int) error {
			_, err := s.UpdateGroup(t.Context(), g.ID, "", func(*account.Group) ([]event.Event, *store.MemberChange, error) {
				return nil, &store.MemberChange{Add: []store.Member{{ID: fmt.Sprint("m", i), Kind: store.MemberUser}}}, nil
			})
			return err
		}) {
			must(t, err)
		}
		count(t, s, n, `SELECT count(*) FROM members`)
		if got := ok[*account.Group](t)(s.Group(t.Context(), g.ID, "")); got.Version != n+1 {
			t.Errorf("version %d, want %d", got.Version, n+1)
		}
		var paged []string
		for after := ""; ; {
			page := ok[[]store.Member](t)(s.MembersOf(t.Context(), g.ID, after, 7))
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				paged = append(paged, m.ID)
			}
			after = paged[len(paged)-1]
		}
		if len(paged) != n || !slices.IsSorted(paged) {
			t.Errorf("paged %d members: %v", len(paged), paged)
		}
	})
}

func TestGroupsAreFollowedThroughGroupsAndTrustedOnlyAllTheWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		trusted := &client.Connector{Name: "hr", Trust: client.TrustAll, Preset: client.PresetStandard, Groups: true, Created: noon, Updated: noon}
		other := &client.Connector{Name: "lab", Trust: client.TrustOne, Preset: client.PresetStandard, Created: noon, Updated: noon}
		must(t, s.CreateConnector(t.Context(), trusted))
		must(t, s.CreateConnector(t.Context(), other))
		p := ada(trusted.ID)
		must(t, s.CreatePerson(t.Context(), p, nil))
		staff := addGroup(t, s, trusted.ID, "staff", p.ID)
		all := addGroup(t, s, trusted.ID, "all", staff.ID)
		lab := addGroup(t, s, other.ID, "lab", p.ID)
		easy := addGroup(t, s, trusted.ID, "easy", lab.ID) // the lab's connector decides who is in
		ring := addGroup(t, s, trusted.ID, "ring", all.ID)
		ok[*account.Group](t)(s.UpdateGroup(t.Context(), staff.ID, "", func(*account.Group) ([]event.Event, *store.MemberChange, error) {
			return nil, &store.MemberChange{Add: []store.Member{{ID: ring.ID}}}, nil
		}))
		addGroup(t, s, trusted.ID, "strangers", id())
		var got []string
		for _, g := range ok[[]store.GroupOf](t)(s.GroupsOf(t.Context(), p.ID)) {
			got = append(got, fmt.Sprintf("%s trusted=%v direct=%v", g.Group, g.Trusted, g.Direct))
		}
		slices.Sort(got)
		same(t, "groups", got, []string{"all trusted=true direct=false", "easy trusted=false direct=false", "lab trusted=false direct=true",
			"ring trusted=true direct=false", "staff trusted=true direct=true"})
		if n := len(ok[[]account.Membership](t)(s.Memberships(t.Context(), p.ID))); n != 5 {
			t.Errorf("%d memberships, want 5", n)
		}
		if none := ok[[]account.Membership](t)(s.Memberships(t.Context(), "")); none != nil {
			t.Errorf("nobody is in %v", none)
		}
		for kind, want := range map[string][]string{store.MemberUser: {easy.ID, "x", "", "\x00"}, store.MemberGroup: {p.ID, "x", "", "\x00"}, "": {"x", "", "\x00"}} {
			same(t, "missing "+kind, ok[[]string](t)(s.Missing(t.Context(), "", kind, []string{easy.ID, "\x00", p.ID, "x", ""})), want)
		}
		if none := ok[[]string](t)(s.Missing(t.Context(), "", "", []string{easy.ID, p.ID})); len(none) != 0 {
			t.Errorf("missing: %v", none)
		}
	})
}

func TestWhatIsAskedAboutAPersonIsAskedAboutNobodyToo(t *testing.T) {
	var mu sync.Mutex
	var trace []string
	spy := func(c *store.Config) {
		c.Trace = func(sql string) { mu.Lock(); trace = append(trace, sql); mu.Unlock() }
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		must(t, s.CreatePerson(t.Context(), p, nil))
		ms := mail("ada@home.example")
		must(t, s.CreateMethods(t.Context(), p.ID, []method.Method{ms}, nil))
		addGroup(t, s, "c1", "g", p.ID)
		ask := func(person, login string) string {
			t.Helper()
			mu.Lock()
			trace = nil
			mu.Unlock()
			ok[*account.Person](t)(s.FindPerson(t.Context(), login))
			ok[*account.Person](t)(s.Person(t.Context(), person))
			_, err := s.Methods(t.Context(), person)
			must(t, err)
			_, err = s.Memberships(t.Context(), person)
			must(t, err)
			_, err = s.Trusts(t.Context())
			must(t, err)
			_, err = s.RecoveryCodes(t.Context(), person, "ABCDE")
			must(t, err)
			mu.Lock()
			defer mu.Unlock()
			if len(trace) != 6 {
				t.Errorf("%d statements, want one for each question", len(trace))
			}
			return strings.Join(trace, "\n")
		}
		if known, unknown := ask(p.ID, "ada@contoso.example"), ask("", "nobody"); known != unknown {
			t.Errorf("known:\n%s\nunknown:\n%s", known, unknown)
		}
	}, spy)
}
