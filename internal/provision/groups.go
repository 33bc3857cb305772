package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/pkg/scim"
)

// groups is the scim.Store of Groups, as one connector sees them.
type groups struct {
	*service
	c   *client.Connector
	act scim.Act
}

// As implements scim.Binder.
func (s *groups) As(p *scim.Principal) scim.Store { return &groups{s.service, connectorOf(p), p.Act} }

const membersKey = "members"

// groupResource returns the resource of a group without members.
func groupResource(g *account.Group) (*scim.Resource, error) {
	r := &scim.Resource{Type: "Group", Attrs: scim.Object{}}
	if len(g.Attrs) > 0 {
		if _, err := unpack(r, g.Attrs); err != nil {
			return nil, fmt.Errorf("attributes of group %s: %w", g.ID, err)
		}
	}
	r.ID, r.ExternalID, r.Version, r.Created, r.LastModified = g.ID, g.ExternalID, version(g.Version), g.Created, g.Updated
	r.Attrs["displayName"] = g.DisplayName
	return r, nil
}

// projectGroup writes a resource into the group.
func projectGroup(g *account.Group, r *scim.Resource) (err error) {
	r = r.Clone()
	delete(r.Attrs, membersKey)
	g.ExternalID, g.DisplayName = r.ExternalID, r.Text("displayName")
	g.Attrs, err = pack(r, nil)
	return err
}

// page is how many members are read at once.
const page = 1000

// members reads all members of a group.
func (s *groups) members(ctx context.Context, id string) ([]any, error) {
	var out []any
	for after := ""; ; {
		some, err := s.Store.MembersOf(ctx, id, after, page)
		if err != nil {
			return nil, answer(err)
		}
		for _, m := range some {
			o := scim.Object{"value": m.ID, "type": m.Kind}
			if m.Display != "" && (m.Kind != "User" || s.c.May(client.UseUsers)) {
				o["display"] = m.Display
			}
			out = append(out, o)
			after = m.ID
		}
		if len(some) < page {
			return out, nil
		}
	}
}

// complete makes the resource of a group with what is selected.
func (s *groups) complete(ctx context.Context, g *account.Group, sel scim.Selection) (*scim.Resource, error) {
	r, err := groupResource(g)
	if err != nil || !sel.Needs(membersKey) {
		return r, err
	}
	list, err := s.members(ctx, g.ID)
	if err == nil && list != nil {
		r.Attrs[membersKey] = list
	}
	return r, err
}

// Get implements scim.Store.
func (s *groups) Get(ctx context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	g, err := s.Store.Group(ctx, id, s.c.ID)
	if err != nil {
		return nil, answer(err)
	}
	return s.complete(ctx, g, sel)
}

// List implements scim.Store.
func (s *groups) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	found, err := s.Store.ListGroups(ctx, s.c.ID, q)
	if err != nil {
		return nil, answer(err)
	}
	out := &scim.Page{Resources: make([]*scim.Resource, len(found.Rows)), Total: found.Total, Residual: found.Residual, Unsorted: found.Unsorted}
	if len(found.Rows) > q.MaxScan && (found.Residual != nil || found.Unsorted) {
		return out, nil // the engine will refuse
	}
	sel := wider(q, found.Residual, found.Unsorted)
	for i, g := range found.Rows {
		if out.Resources[i], err = s.complete(ctx, g, sel); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Missing implements scim.Resolver: what another connector brought is missing, too.
func (s *groups) Missing(ctx context.Context, ids []string) ([]string, error) {
	missing, err := s.Store.Missing(ctx, s.c.ID, "Group", ids)
	return missing, answer(err)
}

func memberOf(o scim.Object) Member {
	m := Member{}
	m.ID, _ = o["value"].(string)
	m.Kind, _ = o["type"].(string)
	return m
}

// Create implements scim.Store.
func (s *groups) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	now := s.Now()
	g := &account.Group{ID: uuid.Must(uuid.NewV7()).String(), Connector: s.c.ID, Created: now, Updated: now}
	if err := projectGroup(g, r); err != nil {
		return nil, err
	}
	var members []Member
	list, _ := r.Attrs[membersKey].([]any)
	for _, e := range list {
		if o, ok := e.(scim.Object); ok {
			members = append(members, memberOf(o))
		}
	}
	names, err := s.staffGroups(ctx)
	if err != nil {
		return nil, err
	}
	if len(members) > 0 && names[account.Fold(g.DisplayName)] {
		return nil, s.refuse(ctx, s.c, "")
	}
	e := event.New(now, event.GroupCreated, "connector:"+s.c.ID, "", "", event.Success).With("group", g.ID).With("members", len(members)).With("attributes", attributesOf(r))
	e.Ref = g.ID
	if err := s.Store.CreateGroup(ctx, g, members, s.done(s.act, s.c, thing{"Group", g.ID, "", 1}, []event.Event{e})...); err != nil {
		return nil, answer(err)
	}
	return s.complete(ctx, g, scim.Everything())
}

// change is what the engine says of members, as rows.
func memberChange(deltas []scim.MemberDelta) *MemberChange {
	if len(deltas) == 0 {
		return nil
	}
	d := deltas[0] // members is the one Large attribute
	c := &MemberChange{ReplaceAll: d.ReplaceAll}
	for _, o := range d.Add {
		c.Add = append(c.Add, memberOf(o))
	}
	for _, id := range d.Remove {
		c.Remove = append(c.Remove, Member{ID: id})
	}
	return c
}

// Update implements scim.Store. Members are read only when the change cannot be told without them ("remove all of type
// Group"); it is made only to the version they were read with.
func (s *groups) Update(ctx context.Context, id string, pre scim.Precondition, need scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	names, err := s.staffGroups(ctx)
	if err != nil {
		return nil, err
	}
	within, err := s.withinStaff(ctx, id, names)
	if err != nil {
		return nil, err
	}
	for range maxAsks {
		now := s.Now()
		var read *account.Group
		var list []any
		if need.Needs(membersKey) {
			var err error
			if read, err = s.Store.Group(ctx, id, s.c.ID); err != nil {
				return nil, answer(err)
			}
			if list, err = s.members(ctx, id); err != nil {
				return nil, err
			}
		}
		var same *account.Group
		after, err := s.Store.UpdateGroup(ctx, id, s.c.ID, func(g *account.Group) ([]event.Event, *MemberChange, error) {
			if err := pre.Check(version(g.Version)); err != nil {
				return nil, nil, err
			}
			if read != nil && read.Version != g.Version {
				return nil, nil, errAsk
			}
			cur, err := groupResource(g)
			if err != nil {
				return nil, nil, err
			}
			if list != nil {
				cur.Attrs[membersKey] = list
			}
			c, err := fn(cur)
			if err != nil {
				return nil, nil, err
			}
			if c.NoOp {
				was := *g
				same = &was
				return nil, nil, errSame
			}
			was := g.DisplayName
			e := event.New(now, event.GroupUpdated, "connector:"+s.c.ID, "", "", event.Success).With("group", g.ID)
			e.Ref = g.ID
			if len(c.Ops) > 0 {
				if err := projectGroup(g, c.Next); err != nil {
					return nil, nil, err
				}
				g.Updated = touched(g.Updated, now)
				e = e.With("attributes", changedNames(c))
			}
			m := memberChange(c.Members)
			here, more := names[account.Fold(g.DisplayName)], m != nil && len(m.Add) > 0
			if (here || within) && more || here && account.Fold(was) != account.Fold(g.DisplayName) {
				return nil, nil, errStaff
			}
			if m != nil {
				e = e.With("added", len(m.Add)).With("removed", len(m.Remove)).With("replaced", m.ReplaceAll)
			}
			return s.done(s.act, s.c, thing{"Group", g.ID, "", g.Version + 1}, []event.Event{e}), m, nil
		})
		switch {
		case errors.Is(err, errAsk):
			continue
		case errors.Is(err, errSame):
			after = same
		case errors.Is(err, errStaff):
			return nil, s.refuse(ctx, s.c, id)
		case err != nil:
			return nil, answer(err)
		}
		return s.complete(ctx, after, need)
	}
	return nil, errBusy
}

// Delete implements scim.Store.
func (s *groups) Delete(ctx context.Context, id string, pre scim.Precondition) error {
	for range maxAsks {
		g, err := s.Store.Group(ctx, id, s.c.ID)
		if err != nil {
			return answer(err)
		}
		if err := pre.Check(version(g.Version)); err != nil {
			return err
		}
		e := event.New(s.Now(), event.GroupDeleted, "connector:"+s.c.ID, "", "", event.Success).With("group", id)
		e.Ref = g.ID
		if err := s.Store.DeleteGroup(ctx, id, s.c.ID, g.Version, s.done(s.act, s.c, thing{kind: "Group", id: g.ID}, []event.Event{e})...); !fault.Is(err, fault.Conflict) {
			return answer(err)
		}
	}
	return errBusy
}
