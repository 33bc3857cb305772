package provision

import (
	"context"
	"errors"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/pkg/scim"
)

// adapted lets provisioning run on the real store, as app does.
type adapted struct{ *store.Store }

func taken(err error) error {
	if t, ok := errors.AsType[*store.TakenError](err); ok {
		return &scim.ConflictError{Attr: t.Attr}
	}
	return err
}

func rows(members []Member) []store.Member {
	out := make([]store.Member, len(members))
	for i, m := range members {
		out[i] = store.Member{ID: m.ID, Kind: m.Kind}
	}
	return out
}

func (a adapted) CreatePerson(ctx context.Context, p *account.Person, methods []method.Method, events ...event.Event) error {
	return taken(a.Store.CreatePerson(ctx, p, methods, events...))
}

func (a adapted) UpdatePerson(ctx context.Context, id, connector string, change func(*account.Person, *[]method.Method) ([]event.Event, error)) (*account.Person, error) {
	p, err := a.Store.UpdatePerson(ctx, id, connector, change)
	return p, taken(err)
}

func (a adapted) ListPeople(ctx context.Context, connector string, q *scim.Query) (List[*account.Person], error) {
	l, err := a.Store.ListPeople(ctx, connector, q)
	return List[*account.Person](l), err
}

func (a adapted) CreateGroup(ctx context.Context, g *account.Group, members []Member, events ...event.Event) error {
	return taken(a.Store.CreateGroup(ctx, g, rows(members), events...))
}

func (a adapted) UpdateGroup(ctx context.Context, id, connector string, change func(*account.Group) ([]event.Event, *MemberChange, error)) (*account.Group, error) {
	g, err := a.Store.UpdateGroup(ctx, id, connector, func(g *account.Group) ([]event.Event, *store.MemberChange, error) {
		events, c, err := change(g)
		if c == nil {
			return events, nil, err
		}
		return events, &store.MemberChange{Add: rows(c.Add), Remove: rows(c.Remove), ReplaceAll: c.ReplaceAll}, err
	})
	return g, taken(err)
}

func (a adapted) ListGroups(ctx context.Context, connector string, q *scim.Query) (List[*account.Group], error) {
	l, err := a.Store.ListGroups(ctx, connector, q)
	return List[*account.Group](l), err
}

func (a adapted) MembersOf(ctx context.Context, group, after string, limit int) ([]Member, error) {
	found, err := a.Store.MembersOf(ctx, group, after, limit)
	out := make([]Member, len(found))
	for i, m := range found {
		out[i] = Member(m)
	}
	return out, err
}

func (a adapted) GroupsOf(ctx context.Context, member string) ([]GroupOf, error) {
	found, err := a.Store.GroupsOf(ctx, member)
	out := make([]GroupOf, len(found))
	for i, g := range found {
		out[i] = GroupOf(g)
	}
	return out, err
}

func (a adapted) ListMethods(ctx context.Context, connector string, q *scim.Query) (List[method.Method], error) {
	l, err := a.Store.ListMethods(ctx, connector, q)
	return List[method.Method](l), err
}
