package staff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func signedIn() *session.Session {
	return &session.Session{ID: "s", Person: "ada", IDP: "corp", StepUp: noon.Add(-time.Minute),
		Roles: []session.RoleClaim{{Claim: "groups", Value: "it-admins"}, {Claim: "roles", Value: "Desk"}}}
}

func group(name string, roles bool) Group {
	return Group{Membership: account.Membership{Group: name, ID: name}, Roles: roles}
}

func TestTheStrongestRoleThatAnyRuleGivesHolds(t *testing.T) {
	claim := func(r Role, idp, name, value string) Rule {
		return Rule{Role: r, Source: FromClaim, IDP: idp, Claim: name, Value: value}
	}
	fromGroup := func(r Role, name string) Rule { return Rule{Role: r, Source: FromGroup, Value: name} }
	in := []Group{group("Desk East", true), group("Bosses", false)}
	for _, c := range []struct {
		what  string
		rules []Rule
		want  Role
	}{
		{"no rule", nil, ""},
		{"a claim", []Rule{claim(Helpdesk, "corp", "roles", "Desk")}, Helpdesk},
		{"the strongest, whatever the order", []Rule{claim(Helpdesk, "corp", "roles", "Desk"), claim(Administrator, "corp", "groups", "it-admins")}, Administrator},
		{"another provider's claim", []Rule{claim(Administrator, "other", "groups", "it-admins")}, ""},
		{"another claim of the same value", []Rule{claim(Administrator, "corp", "roles", "it-admins")}, ""},
		{"a claim in other letters", []Rule{claim(Administrator, "corp", "groups", "IT-Admins")}, ""},
		{"a group, whatever its letters", []Rule{fromGroup(Helpdesk, "DESK east")}, Helpdesk},
		{"a group of a connector that makes nobody staff", []Rule{fromGroup(Administrator, "Bosses")}, ""},
		{"a group of the name of a claim's value", []Rule{fromGroup(Administrator, "it-admins")}, ""},
		{"a claim of the name of a group", []Rule{claim(Administrator, "corp", "groups", "Desk East")}, ""},
	} {
		if got := RoleOf(c.rules, signedIn(), in); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
}

func TestAnAdministratorMayWhateverHelpdeskMayAndNobodyMayNothing(t *testing.T) {
	for _, c := range []struct {
		have, want Role
		ok         bool
	}{
		{Administrator, Helpdesk, true}, {Administrator, Administrator, true}, {Helpdesk, Helpdesk, true},
		{Helpdesk, Administrator, false}, {"", Helpdesk, false}, {"", "", false}, {"root", Helpdesk, false}, {Administrator, "root", false}, {Helpdesk, "", false},
	} {
		if got := c.have.Covers(c.want); got != c.ok {
			t.Errorf("%q covers %q: got %v", c.have, c.want, got)
		}
	}
}

func TestARuleThatWouldMakeTooManyOrNobodyStaffIsNone(t *testing.T) {
	good := Rule{Role: Helpdesk, Source: FromClaim, IDP: "corp", Claim: "groups", Value: "desk"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Rule){
		"no role": func(r *Rule) { r.Role = "" }, "another role": func(r *Rule) { r.Role = "owner" }, "no source": func(r *Rule) { r.Source = "" },
		"a claim of no provider": func(r *Rule) { r.IDP = "" }, "no claim": func(r *Rule) { r.Claim = "" }, "a group with a claim": func(r *Rule) { r.Source = FromGroup },
		"no value": func(r *Rule) { r.Value = " " }, "a long value": func(r *Rule) { r.Value = string(make([]byte, 257)) },
	} {
		r := good
		if change(&r); r.Check() == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// desk is a store in memory.
type desk struct {
	rules   []Rule
	groups  []Group
	invites []*Invite
	events  []event.Event
	fresh   int
	broken  error
}

func (d *desk) RoleRules(context.Context) ([]Rule, error)            { return d.rules, d.broken }
func (d *desk) Refresh(context.Context) error                        { d.fresh++; return nil }
func (d *desk) StaffGroups(context.Context, string) ([]Group, error) { return d.groups, d.broken }
func (d *desk) Invite(_ context.Context, hash []byte) (*Invite, error) {
	for _, i := range d.invites {
		if bytes.Equal(i.Hash, hash) {
			return i, nil
		}
	}
	return nil, d.broken
}

func (d *desk) RedeemInvite(_ context.Context, hash []byte, r Rule, now time.Time, events ...event.Event) error {
	i, _ := d.Invite(context.Background(), hash)
	if i == nil || !i.Used.IsZero() {
		return Over()
	}
	i.Used, d.rules, d.events = now, append(d.rules, r), append(d.events, events...)
	return nil
}

func service(t *testing.T, d *desk) *Service {
	t.Helper()
	s, err := New(d, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func invited(role Role) *desk {
	return &desk{groups: []Group{group("Desk East", true), group("Bosses", false)},
		invites: []*Invite{{Hash: []byte("right"), Role: role, Made: noon, Expires: noon.Add(InviteLife)}}}
}

func TestARoleIsReadFromTheRulesAndNothingIsAssumedWhenTheyCannotBeRead(t *testing.T) {
	d := &desk{rules: []Rule{{Role: Helpdesk, Source: FromGroup, Value: "desk east"}}, groups: []Group{group("Desk East", true)}}
	if r, err := service(t, d).Role(t.Context(), signedIn()); r != Helpdesk || err != nil {
		t.Errorf("got %q, %v", r, err)
	}
	d.broken = errors.New("down")
	if r, err := service(t, d).Role(t.Context(), signedIn()); r != "" || err == nil {
		t.Errorf("got %q, %v", r, err)
	}
}

func TestWhoeverIsInvitedPicksOneOfTheirOwnClaimsOrGroups(t *testing.T) {
	d := invited(Administrator)
	s, by := service(t, d), signedIn()
	choices, err := s.Choices(t.Context(), by)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range choices {
		got = append(got, fmt.Sprint(c.Source, " ", c.Claim, "=", c.Value))
	}
	if want := []string{"claim groups=it-admins", "claim roles=Desk", "group =Desk East"}; !slices.Equal(got, want) {
		t.Fatalf("offered %q, want %q", got, want)
	}
	r, err := s.Redeem(t.Context(), []byte("right"), by, choices[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	if r.Role != Administrator || r.IDP != "corp" || r.Claim != "groups" || r.Value != "it-admins" || r.By != "person:ada" || r.ID == "" {
		t.Errorf("got %+v", r)
	}
	if len(d.events) != 1 || d.events[0].Type != event.RoleGranted || d.events[0].Actor != "person:ada" || d.fresh != 1 {
		t.Errorf("events %+v, refreshed %d times", d.events, d.fresh)
	}
	if role, err := s.Role(t.Context(), by); role != Administrator || err != nil {
		t.Errorf("afterwards: %q, %v", role, err)
	}
	if _, err := s.Redeem(t.Context(), []byte("right"), by, choices[0].Key); !fault.Is(err, fault.Over) {
		t.Errorf("a second time: %v", err)
	}
}

func TestAnInvitationIsRefusedWhenAnythingIsAmiss(t *testing.T) {
	for what, change := range map[string]func(*desk, *session.Session, *string, *string){
		"another token":  func(_ *desk, _ *session.Session, hash, _ *string) { *hash = "wrong" },
		"no token":       func(_ *desk, _ *session.Session, hash, _ *string) { *hash = "" },
		"used":           func(d *desk, _ *session.Session, _, _ *string) { d.invites[0].Used = noon },
		"its time is up": func(d *desk, _ *session.Session, _, _ *string) { d.invites[0].Expires = noon },
		"no step-up":     func(_ *desk, s *session.Session, _, _ *string) { s.StepUp = time.Time{} },
		"an old step-up": func(_ *desk, s *session.Session, _, _ *string) {
			s.StepUp = noon.Add(-session.StepUpLife - time.Second)
		},
		"no choice":                 func(_ *desk, _ *session.Session, _, choice *string) { *choice = "" },
		"a choice of somebody else": func(_ *desk, s *session.Session, _, _ *string) { s.Roles = s.Roles[1:] },
		"a group of no use": func(_ *desk, _ *session.Session, _, choice *string) {
			*choice = Choice{Source: FromGroup, Value: "Bosses"}.key()
		},
	} {
		d, by, hash := invited(Helpdesk), signedIn(), "right"
		choice := Choice{Source: FromClaim, Claim: "groups", Value: "it-admins"}.key()
		change(d, by, &hash, &choice)
		if r, err := service(t, d).Redeem(t.Context(), []byte(hash), by, choice); err == nil || r != nil || len(d.rules) != 0 {
			t.Errorf("%s: got %+v, %v and %d rules", what, r, err, len(d.rules))
		}
	}
}

func TestHundredsOfGroupsAreCutAndWhatNoRuleCouldSayIsLeftOut(t *testing.T) {
	by := signedIn()
	by.Roles = []session.RoleClaim{{Claim: "groups", Value: " "}, {Claim: "groups", Value: string(make([]byte, 300))}, {Claim: "groups", Value: "one"}, {Claim: "groups", Value: "one"}}
	for i := range 400 {
		by.Roles = append(by.Roles, session.RoleClaim{Claim: "groups", Value: fmt.Sprint("g", i)})
	}
	choices, err := service(t, invited(Helpdesk)).Choices(t.Context(), by)
	if err != nil || len(choices) != MaxChoices || choices[0].Value != "one" || choices[1].Value != "g0" {
		t.Errorf("%d choices, first %+v (%v)", len(choices), choices[:2], err)
	}
}
