package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/staff"
)

// missing says in a word what an operator named that is not there.
func missing(what, name string, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.NotFound, message.Key("error.not_found"), fmt.Errorf("no %s %q", what, name))
	}
	return err
}

// RoleSource is what makes people staff, as an operator writes it: one of the two.
type RoleSource struct {
	Claim string // IDP:CLAIM=VALUE
	Group string // display name
}

// rule reads it. The name of a provider holds no colon, so that the first one ends it; a claim may be a URL.
func (s RoleSource) rule(role string) (*staff.Rule, error) {
	r := &staff.Rule{Role: staff.Role(role), Source: staff.FromGroup, Value: s.Group}
	switch {
	case (s.Claim == "") == (s.Group == ""):
		return nil, errors.New("want one of --claim IDP:CLAIM=VALUE and --group NAME")
	case s.Claim != "":
		idp, rest, found := strings.Cut(s.Claim, ":")
		claim, value, also := strings.Cut(rest, "=")
		if !found || !also {
			return nil, fmt.Errorf("claim %q: want IDP:CLAIM=VALUE, for example corp:groups=it-helpdesk", s.Claim)
		}
		r.Source, r.IDP, r.Claim, r.Value = staff.FromClaim, idp, claim, value
	}
	return r, r.Check()
}

// CreateRole makes staff of whoever has a claim or is in a group. note says what is still missing for it to make anybody
// staff; "" when nothing is, as far as the database tells.
func (a *Admin) CreateRole(ctx context.Context, role string, s RoleSource) (r *staff.Rule, note string, err error) {
	if r, err = s.rule(role); err != nil {
		return nil, "", err
	}
	r.ID, r.Made, r.By = newID(), a.now(), a.actor
	put, err := a.Store.PutRoleRule(ctx, r, a.roleEvent(event.RoleGranted, r))
	switch {
	case err != nil:
		return nil, "", err
	case !put:
		return nil, "", fault.Wrap(fault.Conflict, message.Key("error.conflict"), errors.New("that rule is there already: see regain role list"))
	case r.Source == staff.FromClaim:
		return r, "", nil
	}
	all, err := a.Store.Connectors(ctx)
	if err == nil && !slices.ContainsFunc(all, func(c client.Connector) bool { return c.Roles }) {
		note = "no connector may make people staff by its groups yet: regain connector change NAME --roles yes"
	}
	return r, note, err
}

// DeleteRole takes a rule back: whoever is staff by it alone is staff no more, at their next page.
func (a *Admin) DeleteRole(ctx context.Context, id string) error {
	all, err := a.Store.RoleRules(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(r staff.Rule) bool { return r.ID == id })
	if at < 0 {
		return missing("role", id, fault.New(fault.NotFound, message.Key("error.not_found")))
	}
	return missing("role", id, a.Store.DeleteRoleRule(ctx, id, a.roleEvent(event.RoleRevoked, &all[at])))
}

func (a *Admin) roleEvent(t event.Type, r *staff.Rule) event.Event {
	return event.New(a.now(), t, a.actor, "", r.ID, event.Success).With("role", string(r.Role)).With("source", string(r.Source)).
		With("idp", r.IDP).With("claim", r.Claim).With("value", r.Value)
}

// Invite makes a link by which somebody who signs in becomes staff: for one hour, and once. The token in it is shown this
// once and kept as a hash.
func (a *Admin) Invite(ctx context.Context, base, role string) (link string, err error) {
	if r := staff.Role(role); !r.Covers(r) {
		return "", fmt.Errorf("role %q: want helpdesk or administrator", role)
	}
	now := a.now()
	token, hash := keyring.NewToken("rgn_invite")
	i := staff.Invite{Hash: hash, Role: staff.Role(role), By: a.actor, Made: now, Expires: now.Add(staff.InviteLife)}
	e := event.New(now, event.StaffInvited, a.actor, "", "", event.Success).With("role", role).With("expires", i.Expires)
	if err := a.Store.PutInvite(ctx, i, e); err != nil {
		return "", err
	}
	return strings.TrimSuffix(base, "/") + "/console/invite?t=" + token, nil
}
