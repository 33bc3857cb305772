package provision

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
)

// people is the scim.Store of Users, as one connector sees them.
type people struct {
	*service
	c   *client.Connector
	act scim.Act
}

// As implements scim.Binder.
func (s *people) As(p *scim.Principal) scim.Store { return &people{s.service, connectorOf(p), p.Act} }

func connectorOf(p *scim.Principal) *client.Connector { return p.Data.(*client.Connector) }

// attribute keys of what a person's resource is made of beside its row.
const (
	groupsKey = "groups"
	extPrefix = userURN + ":"
)

// needsMethods reports whether anything selected is said by methods.
func needsMethods(sel scim.Selection) bool {
	return slices.ContainsFunc(inMethods, func(name string) bool { return sel.Needs(extPrefix + name) })
}

// beside is what of a person has to be read beside the row for what is selected, as far as the connector may know.
func (s *people) beside(sel scim.Selection) account.Beside {
	return account.Beside{Methods: needsMethods(sel) && s.c.May(client.UseMethods), Groups: sel.Needs(groupsKey) && s.c.May(client.UseGroups)}
}

// known makes the resource of a person with what was read beside the row.
func (s *people) known(k *account.Known) (*scim.Resource, error) {
	r, err := s.whole(k.Person, k.Methods, s.c)
	if err == nil {
		within(r, k.In)
	}
	return r, err
}

// Get implements scim.Store.
func (s *people) Get(ctx context.Context, id string, sel scim.Selection) (*scim.Resource, error) {
	k, err := s.Store.KnownPerson(ctx, id, s.c.ID, s.beside(sel))
	if err != nil {
		return nil, answer(err)
	}
	return s.known(k)
}

// join reads the groups of a person.
func (s *people) join(ctx context.Context, r *scim.Resource) error {
	if !s.c.May(client.UseGroups) {
		return nil
	}
	in, err := s.Store.GroupsOf(ctx, r.ID)
	if err == nil {
		within(r, in)
	}
	return answer(err)
}

// within adds the groups a person is in.
func within(r *scim.Resource, in []GroupOf) {
	var list []any
	for _, g := range in {
		o := scim.Object{"value": g.ID, "type": "indirect"}
		if g.Direct {
			o["type"] = "direct"
		}
		if g.Group != "" {
			o["display"] = g.Group
		}
		list = append(list, o)
	}
	if list != nil {
		r.Attrs[groupsKey] = list
	}
}

// wider is the selection of a query with what the store left to the engine.
func wider(q *scim.Query, residual filter.Expr, unsorted bool) scim.Selection {
	sel := q.Select.Plus(filter.Keys(residual)...)
	if unsorted {
		for _, k := range q.Sort {
			sel = sel.Plus(k.Path.Key())
		}
	}
	return sel
}

// List implements scim.Store.
func (s *people) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	if err := s.mayAsk(q); err != nil {
		return nil, err
	}
	// Whatever is asked of methods and groups is left to the engine, so all of the filter and the order counts.
	found, err := s.Store.ListKnown(ctx, s.c.ID, q, s.beside(wider(q, q.Filter, true)))
	if err != nil {
		return nil, answer(err)
	}
	out := &scim.Page{Resources: make([]*scim.Resource, len(found.Rows)), Total: found.Total, Residual: found.Residual, Unsorted: found.Unsorted}
	if len(found.Rows) > q.MaxScan && (found.Residual != nil || found.Unsorted) {
		return out, nil // the engine will refuse
	}
	for i, k := range found.Rows {
		if out.Resources[i], err = s.known(k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Missing implements scim.Resolver: what another connector brought is missing, too.
func (s *people) Missing(ctx context.Context, ids []string) ([]string, error) {
	missing, err := s.Store.Missing(ctx, s.c.ID, "User", ids)
	return missing, answer(err)
}

// Create implements scim.Store.
func (s *people) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	f, fresh := &facts{now: s.Now()}, s.fresh(r)
	for range maxAsks {
		n, q, err := s.newcomer(f, r)
		if err != nil {
			return nil, err
		}
		if q.open() {
			if err := s.ask(ctx, f, q, s.c, n.New, ""); err != nil {
				return nil, answer(err)
			}
			continue
		}
		handOn := false
		if fresh != "" {
			if handOn, err = s.canHand(ctx, n.New, fresh); err != nil {
				return nil, err
			}
		}
		if err := s.Store.CreatePerson(ctx, n.New, n.Methods, n.Events...); err != nil {
			return nil, answer(err)
		}
		if handOn {
			if err := s.handNew(ctx, n.New, fresh); err != nil {
				return nil, err
			}
			return s.Get(ctx, n.New.ID, scim.Everything()) // the epoch moved, and the version with it
		}
		return s.whole(n.New, n.Methods, s.c)
	}
	return nil, errBusy
}

// newcomer makes of a resource somebody who is to be created, or returns what has to be asked before.
func (s *people) newcomer(f *facts, r *scim.Resource) (n account.PersonWrite, q questions, err error) {
	if name := s.beyond(func(name string) bool { _, there := r.Extension(userURN)[name]; return there }); name != "" {
		return n, q, errBeyond(userURN + ":" + name)
	}
	p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: s.c.ID, Active: true, Created: f.now, Updated: f.now}
	all := []method.Method{}
	x := &change{s: s.service, c: s.c, f: f, p: p, all: &all, created: true}
	if active, ok := r.Attrs["active"].(bool); ok {
		p.Active = active
	}
	if err := project(p, r, nil); err != nil {
		return n, q, err
	}
	made := event.New(f.now, event.PersonCreated, x.actor(), p.ID, "", event.Success).With("active", p.Active).With("attributes", attributesOf(r)) // before what comes of it
	if err := x.follow(r, nil); err != nil {
		return n, q, err
	}
	if len(x.paused) > 0 { // now it is known which methods are paused
		if err := project(p, r, x.paused); err != nil {
			return n, q, err
		}
	}
	events := s.done(s.act, s.c, thing{"User", p.ID, p.ID, 1}, append([]event.Event{made}, x.events...))
	return account.PersonWrite{New: p, Methods: all, Events: events}, x.q, nil
}

// errBusy says that others changed the same thing again and again.
var errBusy = &scim.Error{Status: 503, Detail: "busy; nothing was changed", RetryAfter: time.Second}

// errSame ends a closure that has nothing to write.
var errSame = errors.New("nothing to change")

// Update implements scim.Store.
func (s *people) Update(ctx context.Context, id string, pre scim.Precondition, need scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	u := &revision{people: s, f: &facts{now: s.Now()}, w: scim.Write{ID: id, Pre: pre, Need: need, Update: fn}}
	for range maxAsks {
		after, err := s.Store.UpdatePerson(ctx, id, s.c.ID, u.change)
		if errors.Is(err, errAsk) {
			if err := u.ask(ctx); err != nil {
				return nil, answer(err)
			}
			continue
		}
		return u.resource(ctx, account.PersonResult{Person: after, Err: err})
	}
	return nil, errBusy
}

// revision is one update on its way. Its closure runs as often as it meets questions.
type revision struct {
	*people
	f      *facts
	w      scim.Write
	asked  questions
	person account.Person // as the closure found them
	ways   []method.Method
	fresh  string          // the password that is to be handed on before
	handed *account.Person // as they were when it was; nil before
}

// change is the closure. It returns errAsk when something has to be asked before, and changes nothing when there is nothing
// to change.
func (u *revision) change(p *account.Person, all *[]method.Method) ([]event.Event, error) {
	u.asked, u.person, u.fresh = questions{}, *p, ""
	u.ways = slices.Clone(*all)
	if u.handed == nil || !sameResource(u.handed, p) { // what the password itself moved is no other's change
		if err := u.w.Pre.Check(version(p.Version)); err != nil {
			return nil, err
		}
	}
	fresh := ""
	events, q, err := u.people.change(u.f, p, all, func(cur *scim.Resource) (*scim.Change, error) {
		c, err := u.w.Update(cur)
		if err == nil && u.handed == nil && c.Next != nil {
			fresh = u.people.fresh(c.Next)
		}
		return c, err
	})
	switch {
	case fresh != "" && !q.open() && (err == nil || errors.Is(err, errSame)): // a rehearsal: it would go through
		u.fresh = fresh
		return nil, errAsk
	case errors.Is(err, errSame):
		*p, *all = u.person, slices.Clone(u.ways)
		return nil, nil
	case err != nil:
		return nil, err
	case q.open():
		u.asked = q
		return nil, errAsk
	}
	u.ways = *all // the store completes what is new in place
	return events, nil
}

// ask finds out what the closure has to know, or hands on the password that goes before it.
func (u *revision) ask(ctx context.Context) error {
	if u.fresh != "" {
		if err := u.hand(ctx, &u.person, u.fresh); err != nil {
			return err
		}
		was := u.person
		u.handed = &was
		return nil
	}
	return u.people.ask(ctx, u.f, u.asked, u.c, &u.person, u.w.ID)
}

// resource is the answer to an update.
func (u *revision) resource(ctx context.Context, res account.PersonResult) (*scim.Resource, error) {
	if res.Err != nil {
		return nil, answer(res.Err)
	}
	r, err := u.whole(res.Person, u.ways, u.c)
	if err == nil && u.w.Need.Needs(groupsKey) {
		err = u.join(ctx, r)
	}
	return r, err
}

// change runs the engine's change on a person and their methods. It asks nothing of the store.
func (s *people) change(f *facts, p *account.Person, all *[]method.Method, fn scim.UpdateFunc) ([]event.Event, questions, error) {
	cur, paused, err := bare(p)
	if err != nil {
		return nil, questions{}, err
	}
	s.tell(cur, *all, s.c)
	c, err := fn(cur)
	if err != nil {
		return nil, questions{}, err
	}
	if name := s.beyond(func(name string) bool { return c.Changed(extPrefix + name) }); name != "" {
		return nil, questions{}, errBeyond(userURN + ":" + name)
	}
	if c.NoOp {
		return nil, questions{}, errSame
	}
	was := *p
	x := &change{s: s.service, c: s.c, f: f, p: p, all: all, paused: paused}
	if err := project(p, c.Next, x.paused); err != nil {
		return nil, questions{}, err
	}
	if names := changedNames(c); len(names) > 0 {
		x.events = append(x.events, event.New(f.now, event.PersonUpdated, x.actor(), p.ID, "", event.Success).With("attributes", names))
	}
	if active, ok := c.Next.Attrs["active"].(bool); ok { // without it nobody is switched on or off
		if active {
			x.events = append(x.events, p.Reactivate(x.actor(), f.now)...)
		} else {
			x.events = append(x.events, p.Deactivate(x.actor(), f.now)...)
		}
	}
	if err := x.follow(c.Next, c); err != nil || x.q.open() {
		return nil, x.q, err
	}
	if err := project(p, c.Next, x.paused); err != nil {
		return nil, questions{}, err
	}
	p.Updated = was.Updated
	if !x.moved && samePerson(&was, p) {
		return nil, questions{}, errSame
	}
	p.Updated = touched(was.Updated, f.now)
	return s.done(s.act, s.c, thing{"User", p.ID, p.ID, was.Version + 1}, x.events), questions{}, nil
}

// samePerson reports whether two states of a person are stored alike.
func samePerson(a, b *account.Person) bool {
	return a.ExternalID == b.ExternalID && a.Active == b.Active && a.Epoch == b.Epoch && string(a.Attrs) == string(b.Attrs)
}

// sameResource reports whether two states of a person are told alike. Epoch, holds and version may differ: a password that
// was set moves them.
func sameResource(a, b *account.Person) bool {
	return a.ExternalID == b.ExternalID && a.UserName == b.UserName && a.Active == b.Active && string(a.Attrs) == string(b.Attrs)
}

// changedNames are the attributes a change is about, without values. What became of active and of methods is said by
// events of their own.
func changedNames(c *scim.Change) []string {
	var names []string
	for _, o := range c.Ops {
		if o.Key != "active" && o.Key != "password" && !slices.ContainsFunc(inMethods, func(n string) bool { return o.Key == extPrefix+n }) {
			names = append(names, o.Key)
		}
	}
	return names
}

// Delete implements scim.Store. A tombstone stays, so that whoever comes back under the name is not taken for new.
func (s *people) Delete(ctx context.Context, id string, pre scim.Precondition) error {
	for range maxAsks {
		p, err := s.Store.PersonOf(ctx, id, s.c.ID)
		if err != nil {
			return answer(err)
		}
		if err := pre.Check(version(p.Version)); err != nil {
			return err
		}
		e := event.New(s.Now(), event.PersonDeleted, "connector:"+s.c.ID, p.ID, "", event.Success)
		err = s.Store.DeletePerson(ctx, id, s.c.ID, p.Version, s.done(s.act, s.c, thing{kind: "User", id: p.ID, person: p.ID}, []event.Event{e})...)
		if !fault.Is(err, fault.Conflict) {
			return answer(err)
		}
	}
	return errBusy
}
