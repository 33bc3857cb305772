package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func fromClaim(role staff.Role, value string) *staff.Rule {
	return &staff.Rule{Role: role, Source: staff.FromClaim, IDP: "work", Claim: "groups", Value: value, Made: noon, By: "cli:x"}
}

func TestRulesOfRolesAreKeptOnceAndMoveTheGeneration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		generation := ok[int64](t)(s.Generation(t.Context()))
		granted := event.New(noon, event.RoleGranted, "cli:x", "", "", event.Success)
		one, two := fromClaim(staff.Administrator, "boss"), &staff.Rule{Role: staff.Helpdesk, Source: staff.FromGroup, Value: "Desk", Made: noon, By: "cli:y"}
		for _, r := range []*staff.Rule{one, two} {
			if !ok[bool](t)(s.PutRoleRule(t.Context(), r, granted)) {
				t.Error("not put")
			}
			granted = event.New(noon, event.RoleGranted, "cli:x", "", "", event.Success)
		}
		if ok[bool](t)(s.PutRoleRule(t.Context(), fromClaim(staff.Administrator, "boss"), granted)) {
			t.Error("put twice")
		}
		same(t, "all", ok[[]staff.Rule](t)(s.RoleRules(t.Context())), []staff.Rule{*one, *two})
		for name, bad := range map[string]*staff.Rule{"a role nobody knows": fromClaim("king", "x"), "no value": fromClaim(staff.Helpdesk, " "), "no text": fromClaim(staff.Helpdesk, "\xff")} {
			if _, err := s.PutRoleRule(t.Context(), bad, granted); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, s.DeleteRoleRule(t.Context(), one.ID, event.New(noon, event.RoleRevoked, "cli:x", "", "", event.Success)))
		if err := s.DeleteRoleRule(t.Context(), one.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("again: %v", err)
		}
		same(t, "left", ok[[]staff.Rule](t)(s.RoleRules(t.Context())), []staff.Rule{*two})
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+3 {
			t.Errorf("generation %d, want %d", now, generation+3)
		}
		count(t, s, 2, `SELECT count(*) FROM events WHERE type = 'role.granted'`)
	})
}

func TestAnInvitationIsRedeemedOnceWithItsRule(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		invite := staff.Invite{Hash: digest("invite"), Role: staff.Administrator, By: "cli:x", Made: noon, Expires: noon.Add(staff.InviteLife)}
		must(t, s.PutInvite(t.Context(), invite, event.New(noon, event.StaffInvited, "cli:x", "", "", event.Success)))
		same(t, "read", ok[*staff.Invite](t)(s.Invite(t.Context(), invite.Hash)), &invite)
		if none, err := s.Invite(t.Context(), digest("other")); none != nil || err != nil {
			t.Errorf("none: %v, %v", none, err)
		}
		redeem := func(hash []byte, role staff.Role, at time.Time) error {
			return s.RedeemInvite(t.Context(), hash, *fromClaim(role, id()), at, event.New(at, event.RoleGranted, "person:x", "", "", event.Success))
		}
		for name, try := range map[string]func() error{
			"another token": func() error { return redeem(digest("other"), staff.Administrator, noon) },
			"too late":      func() error { return redeem(invite.Hash, staff.Administrator, invite.Expires) },
			"another role":  func() error { return redeem(invite.Hash, staff.Helpdesk, noon) },
		} {
			if err := try(); !fault.Is(err, fault.Over) {
				t.Errorf("%s: %v", name, err)
			}
		}
		count(t, s, 0, `SELECT count(*) FROM role_rules`)
		generation := ok[int64](t)(s.Generation(t.Context()))
		var won atomic.Int64
		for _, err := range race(24, func(int) error {
			err := redeem(invite.Hash, staff.Administrator, noon)
			switch {
			case err == nil:
				won.Add(1)
			case fault.Is(err, fault.Over):
				err = nil
			}
			return err
		}) {
			must(t, err)
		}
		if won.Load() != 1 {
			t.Errorf("redeemed %d times", won.Load())
		}
		count(t, s, 1, `SELECT count(*) FROM role_rules`)
		count(t, s, 1, `SELECT count(*) FROM events WHERE type = 'role.granted'`)
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+1 {
			t.Errorf("generation %d, want %d", now, generation+1)
		}
		if got := ok[*staff.Invite](t)(s.Invite(t.Context(), invite.Hash)); !got.Used.Equal(noon) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAnInvitationForWhoIsStaffAlreadyIsSpentAllTheSame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ok[bool](t)(s.PutRoleRule(t.Context(), fromClaim(staff.Administrator, "boss")))
		must(t, s.PutInvite(t.Context(), staff.Invite{Hash: digest("i"), Role: staff.Administrator, Made: noon, Expires: noon.Add(time.Hour)}))
		must(t, s.RedeemInvite(t.Context(), digest("i"), *fromClaim(staff.Administrator, "boss"), noon))
		count(t, s, 1, `SELECT count(*) FROM role_rules`)
	})
}

func TestAGroupMakesStaffOnlyByConnectorsTrustedForIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		trusted, plain := connector("trusted"), connector("plain")
		trusted.Roles, plain.Groups = true, true
		must(t, s.CreateConnector(t.Context(), trusted))
		must(t, s.CreateConnector(t.Context(), plain))
		if got := ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "trusted")); !got.Roles || got.Groups {
			t.Errorf("got %+v", got)
		}
		p := known(t, s)
		group := func(name, connector string, members ...string) string {
			t.Helper()
			g := &account.Group{ID: id(), Connector: connector, DisplayName: name, Created: noon, Updated: noon}
			all := make([]store.Member, len(members))
			for i, m := range members {
				all[i].ID = m
			}
			must(t, s.CreateGroup(t.Context(), g, all))
			return g.ID
		}
		group("desk", trusted.ID, p.ID)
		smuggler := group("smuggler", plain.ID, p.ID)
		group("admins", trusted.ID, smuggler)
		group("nobody's", "", p.ID)
		want := map[string][2]bool{"desk": {false, true}, "smuggler": {true, false}, "admins": {false, false}, "nobody's": {false, false}}
		got := map[string][2]bool{}
		for _, g := range ok[[]staff.Group](t)(s.StaffGroups(t.Context(), p.ID)) {
			got[g.Group] = [2]bool{g.Trusted, g.Roles}
		}
		same(t, "trusted, roles", got, want)
		changed := ok[*client.Connector](t)(s.UpdateConnector(t.Context(), trusted.ID, func(c *client.Connector) ([]event.Event, error) { c.Roles = false; return nil, nil }))
		same(t, "changed", ok[*client.Connector](t)(s.ConnectorByName(t.Context(), "trusted")), changed)
		for _, g := range ok[[]staff.Group](t)(s.StaffGroups(t.Context(), p.ID)) {
			if g.Roles {
				t.Errorf("%s makes staff by a connector that lost the trust", g.Group)
			}
		}
		if none := ok[[]staff.Group](t)(s.StaffGroups(t.Context(), "")); none != nil {
			t.Errorf("of nobody: %v", none)
		}
	})
}

func shop() *client.App {
	return &client.App{Key: "shop", Name: "The Shop", Returns: []string{"https://shop.example/back", "http://localhost:3000/"}, Created: noon, Updated: noon}
}

func TestAnAppIsKeptByItsKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		generation := ok[int64](t)(s.Generation(t.Context()))
		a := shop()
		must(t, s.CreateApp(t.Context(), a, event.New(noon, event.AppCreated, "cli:x", "", "", event.Success)))
		bare := &client.App{Key: "bare", Name: "Bare", Returns: []string{"https://bare.example/"}, Created: noon, Updated: noon}
		must(t, s.CreateApp(t.Context(), bare))
		same(t, "read", ok[*client.App](t)(s.App(t.Context(), "shop")), a)
		same(t, "all", ok[[]client.App](t)(s.Apps(t.Context())), []client.App{*bare, *a})
		if taken, is := errors.AsType[*store.TakenError](s.CreateApp(t.Context(), shop())); !is || taken.Attr != "key" {
			t.Errorf("a second of that key: %v", taken)
		}
		change := func(fn func(*client.App)) (*client.App, error) {
			return s.UpdateApp(t.Context(), "shop", func(a *client.App) ([]event.Event, error) {
				fn(a)
				return []event.Event{event.New(noon, event.AppChanged, "cli:x", "", "", event.Success)}, nil
			})
		}
		got := ok[*client.App](t)(change(func(a *client.App) {
			a.ID, a.Name, a.Disabled, a.Returns, a.Updated = "other", "Shop", true, a.Returns[:1], noon.Add(time.Hour)
		}))
		want := &client.App{ID: a.ID, Version: 2, Key: "shop", Name: "Shop", Disabled: true, Returns: []string{"https://shop.example/back"}, Created: noon, Updated: noon.Add(time.Hour)}
		same(t, "after", got, want)
		same(t, "read again", ok[*client.App](t)(s.App(t.Context(), "shop")), want)
		same(t, "as it was", ok[*client.App](t)(change(func(*client.App) {})), want)
		if now := ok[int64](t)(s.Generation(t.Context())); now != generation+3 {
			t.Errorf("generation %d, want %d", now, generation+3)
		}
		for name, spoil := range map[string]func(*client.App){
			"http": func(a *client.App) { a.Returns = []string{"http://shop.example/"} }, "no address": func(a *client.App) { a.Returns = nil }, "no name": func(a *client.App) { a.Name = "" },
		} {
			if _, err := change(spoil); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := change(func(a *client.App) { a.Key = "bare" }); !fault.Is(err, fault.Conflict) {
			t.Errorf("a taken key: %v", err)
		}
		must(t, s.DeleteApp(t.Context(), "shop", event.New(noon, event.AppDeleted, "cli:x", "", "", event.Success)))
		if none, err := s.App(t.Context(), "shop"); none != nil || err != nil {
			t.Errorf("deleted: %v, %v", none, err)
		}
		for name, err := range map[string]error{"delete": s.DeleteApp(t.Context(), "shop"), "update": func() error { _, err := change(nil); return err }()} {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s none: %v", name, err)
			}
		}
		count(t, s, 3, `SELECT count(*) FROM events`)
	})
}

// asking is an app that asks by OpenID Connect.
func asking() *client.App {
	return &client.App{
		Key: "hr", Name: "HR", Redirects: []string{"https://hr.example/cb", "https://hr.example/canary?x=1"}, Actions: []client.Action{client.ActionReset, client.ActionRegister},
		Auth: client.AuthSecret, Secrets: []client.Token{{ID: "s1", Hash: digest("one"), Created: noon, Expires: noon.Add(time.Hour)}, {ID: "s2", Hash: digest("two"), Created: noon}},
		Alg: "EdDSA", Subject: client.Pairwise, Sector: "hr.example", Initiate: "https://hr.example/start", PushOnly: true, Created: noon, Updated: noon,
	}
}

func TestAnAppThatAsksIsKeptWithEverythingItNeeds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := asking()
		must(t, s.CreateApp(t.Context(), a))
		same(t, "read", ok[*client.App](t)(s.App(t.Context(), "hr")), a)
		ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon))
		cached := s.Cached()
		ok[*client.App](t)(cached.App(t.Context(), "hr")).Secrets[0].Hash[0] = 'x' // is not what others get
		same(t, "cached", ok[*client.App](t)(cached.App(t.Context(), "hr")), a)

		change := func(fn func(*client.App)) (*client.App, error) {
			return s.UpdateApp(t.Context(), "hr", func(a *client.App) ([]event.Event, error) {
				fn(a)
				return []event.Event{event.New(noon, event.AppChanged, "cli:x", "", a.ID, event.Success)}, nil
			})
		}
		same(t, "left as it was", ok[*client.App](t)(change(func(*client.App) {})), a)
		bare := asking()
		bare.Key, bare.Secrets[0].ID = "bare", ""
		must(t, s.CreateApp(t.Context(), bare))
		got := ok[*client.App](t)(s.UpdateApp(t.Context(), "bare", func(a *client.App) ([]event.Event, error) { a.Secrets[1].ID = ""; return nil, nil }))
		if one, two := got.Secrets[0].ID, got.Secrets[1].ID; one == "" || two == "" || one == two || one != bare.Secrets[0].ID {
			t.Errorf("ids %q and %q", one, two)
		}
		want := asking()
		want.ID, want.Version, want.Actions, want.Auth, want.Secrets = a.ID, 2, []client.Action{client.ActionUnlock}, client.AuthKey, nil
		want.Keys = []client.PublicKey{{ID: "k1", JWK: `{"kty":"EC"}`, Created: noon, Expires: noon.Add(time.Hour)}, {ID: "k2", JWK: `{"kty":"OKP"}`, Created: noon}}
		want.Redirects, want.Alg, want.Subject, want.Sector, want.Initiate, want.PushOnly = []string{"https://hr.example/"}, "ES256", client.Public, "", "", false
		got = ok[*client.App](t)(change(func(a *client.App) {
			a.Actions, a.Auth, a.Secrets, a.Keys = want.Actions, want.Auth, []client.Token{}, want.Keys
			a.Redirects, a.Alg, a.Subject, a.Sector, a.Initiate, a.PushOnly = want.Redirects, want.Alg, want.Subject, "", "", false
		}))
		same(t, "changed", got, want)
		same(t, "read again", ok[*client.App](t)(s.App(t.Context(), "hr")), want)
		for what, spoil := range map[string]func(*client.App){
			"a key with NUL": func(a *client.App) { a.Keys[0].JWK = "\x00" }, "a kid that is no UTF-8": func(a *client.App) { a.Keys[0].ID = "\xff" },
			"a secret's id that is no UTF-8": func(a *client.App) {
				a.Auth, a.Keys, a.Secrets = client.AuthSecret, nil, []client.Token{{ID: "\xff", Hash: digest("x")}}
			}, "an action nobody knows": func(a *client.App) { a.Actions[0] = "login" },
		} {
			if _, err := change(spoil); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		same(t, "after refusals", ok[*client.App](t)(s.App(t.Context(), "hr")), want)
	})
}

func TestAppsAndRolesAreCachedUntilTheGenerationMoves(t *testing.T) {
	var statements atomic.Int64
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ok[int64](t)(s.EnsurePolicy(t.Context(), "system", noon))
		must(t, s.CreateApp(t.Context(), shop()))
		ok[bool](t)(s.PutRoleRule(t.Context(), fromClaim(staff.Helpdesk, "desk")))
		cached := s.Cached()
		look := func() string {
			t.Helper()
			a := ok[*client.App](t)(cached.App(t.Context(), "shop"))
			if a != nil {
				a.Returns[0] = "https://evil.example/" // whoever asks gets a copy
			}
			return fmt.Sprint(a != nil && a.Disabled, len(ok[[]client.App](t)(cached.Apps(t.Context()))), len(ok[[]staff.Rule](t)(cached.RoleRules(t.Context()))))
		}
		if got := look(); got != "false 1 1" {
			t.Errorf("got %s", got)
		}
		statements.Store(0)
		if look(); statements.Load() != 0 {
			t.Errorf("looking again cost %d statements", statements.Load())
		}
		if a := ok[*client.App](t)(cached.App(t.Context(), "shop")); a.Returns[0] != shop().Returns[0] {
			t.Error("the cache can be changed from outside")
		}
		ok[*client.App](t)(s.UpdateApp(t.Context(), "shop", func(a *client.App) ([]event.Event, error) { a.Disabled = true; return nil, nil }))
		ok[bool](t)(s.PutRoleRule(t.Context(), fromClaim(staff.Helpdesk, "second")))
		must(t, cached.Refresh(t.Context()))
		if got := look(); got != "true 1 2" {
			t.Errorf("after a change: %s", got)
		}
		if none := ok[*client.App](t)(cached.App(t.Context(), "none")); none != nil {
			t.Errorf("none: %+v", none)
		}
	}, func(c *store.Config) {
		c.Trace = func(string) { statements.Add(1) }
		c.Now = func() time.Time { return noon }
	})
}
