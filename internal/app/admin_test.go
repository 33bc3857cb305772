package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

var adminNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// logged returns the events an act of the command line wrote about a thing, as text; each must name who acted.
func logged(t *testing.T, s *store.Store, ref string) []string {
	t.Helper()
	events, err := s.EventsIn(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range events {
		if e.Actor != "cli:grace" {
			t.Errorf("%s was done by %q", e.Type, e.Actor)
		}
		data, err := json.Marshal(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(e.Type)+" "+string(data))
	}
	return all
}

func TestEveryChangeOfTheCommandLineIsRecordedWithOldAndNew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := &Admin{Store: s, actor: "cli:grace", now: func() time.Time { return adminNoon }}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		changes := func(c AppChange) {
			t.Helper()
			must(a.ChangeApp(t.Context(), "the-shop", c))
		}
		app, _, err := a.CreateApp(t.Context(), "The Shop", "", AppSettings{Returns: []string{"https://shop.example/"}}, nil)
		must(err)
		changes(AppChange{AppSettings: AppSettings{Name: "Shop"}, Disable: true})
		changes(AppChange{AppSettings: AppSettings{Name: "Shop"}, Disable: true}) // nothing new
		changes(AppChange{AppSettings: AppSettings{Returns: []string{"https://new.example/"}}, Enable: true})
		must(a.DeleteApp(t.Context(), "the-shop"))
		want := []string{
			`app.created {"key":"the-shop","name":"The Shop","returns":["https://shop.example/"]}`,
			`app.changed {"disabled":[false,true],"key":"the-shop","name":["The Shop","Shop"]}`,
			`app.changed {"disabled":[true,false],"key":"the-shop","returns_before":["https://shop.example/"]}`,
			`app.changed {"key":"the-shop","returns":["https://new.example/"]}`,
			`app.deleted {"key":"the-shop","name":"Shop","returns":["https://new.example/"]}`,
		}
		if got := logged(t, s, app.ID); !slices.Equal(got, want) {
			t.Errorf("of the app:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		_, err = a.CreateConnector(t.Context(), "hr", ConnectorSettings{Roles: "yes"})
		must(err)
		must(a.ChangeConnector(t.Context(), "hr", ConnectorSettings{Roles: "no"}))
		c, err := s.ConnectorByName(t.Context(), "hr")
		must(err)
		want = []string{
			`connector.created {"groups":false,"name":"hr","preset":"standard","rate":0,"read_only":false,"roles":true,"set_password":false,"tokens":"` + c.Tokens[0].ID + `","trust":"one","uses":"users,groups,methods"}`,
			`connector.changed {"name":"hr","roles":[true,false]}`,
		}
		if got := logged(t, s, c.ID); !slices.Equal(got, want) {
			t.Errorf("of the connector:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}

		r, _, err := a.CreateRole(t.Context(), "helpdesk", RoleSource{Claim: "corp:groups=desk"})
		must(err)
		must(a.DeleteRole(t.Context(), r.ID))
		want = []string{
			`role.granted {"claim":"groups","idp":"corp","role":"helpdesk","source":"claim","value":"desk"}`,
			`role.revoked {"claim":"groups","idp":"corp","role":"helpdesk","source":"claim","value":"desk"}`,
		}
		if got := logged(t, s, r.ID); !slices.Equal(got, want) {
			t.Errorf("of the role:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if err := a.DeleteRole(t.Context(), r.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestTheLongestAddressesOfAnAppFitItsEvents(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	a := &Admin{Store: s, actor: "cli:grace", now: func() time.Time { return adminNoon }}
	long := func(path string) (all []string) {
		for i := range client.MaxReturns {
			u := fmt.Sprintf("https://shop.example/%s/%d/", path, i)
			all = append(all, u+strings.Repeat("x", 500-len(u)))
		}
		return all
	}
	ecdsa := "ES256" // quicker to make than the default
	if _, _, err := a.CreateApp(t.Context(), "Shop", "", AppSettings{Returns: long("a"), Redirects: long("c"), Alg: ecdsa}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.ChangeApp(t.Context(), "shop", AppChange{AppSettings: AppSettings{Returns: long("b"), Redirects: long("d")}}); err != nil {
		t.Error(err)
	}
}

func TestAnInvitationIsGoodForAnHourAndItsTokenIsKeptNowhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := &Admin{Store: s, actor: "cli:grace", now: func() time.Time { return adminNoon }}
		link, err := a.Invite(t.Context(), "https://account.example.org/", "administrator")
		if err != nil {
			t.Fatal(err)
		}
		token, found := strings.CutPrefix(link, "https://account.example.org/console/invite?t=")
		hash, ok := keyring.HashToken(token)
		if !found || !ok {
			t.Fatalf("link %s", link)
		}
		i, err := s.Invite(t.Context(), hash)
		if err != nil || i == nil || i.Role != staff.Administrator || i.By != "cli:grace" || !i.Expires.Equal(adminNoon.Add(time.Hour)) || !i.Used.IsZero() {
			t.Errorf("got %+v, %v", i, err)
		}
		if got := logged(t, s, ""); len(got) != 1 || got[0] != `staff.invited {"expires":"2026-03-01T13:00:00Z","role":"administrator"}` {
			t.Errorf("got %q", got)
		}
	})
}

func TestWhatAWayStandsOnIsToldInWords(t *testing.T) {
	day := adminNoon.Add(24 * time.Hour)
	at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
	for want, m := range map[string]method.Method{
		"by connector hr":                       {Status: method.Active, Root: method.Root{Kind: method.ByConnector, ID: "c1"}},
		"by connector":                          {Status: method.Active, Root: method.Root{Kind: method.ByConnector, ID: "gone"}},
		"by session  maturing until " + at(day): {Status: method.Active, Root: method.Root{Kind: method.BySession}, Matures: day},
		"by person":                             {Status: method.Active, Root: method.Root{Kind: method.BySession}, Matures: adminNoon},
		"by person  rests until " + at(day) + "  leaving " + at(day): {Status: method.Active, Root: method.Root{Kind: method.ByPerson}, UsableFrom: day, Leaves: day},
		"by person  removed " + at(adminNoon):                        {Status: method.Removed, Root: method.Root{Kind: method.ByPerson}, RemovedAt: adminNoon, Leaves: adminNoon},
	} {
		if got := Standing(m, map[string]string{"c1": "hr"}, adminNoon); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
