package provision

import (
	"context"
	"errors"
	"slices"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// amend runs a change of one method in an update of its person, who becomes a new version by it: their resource shows it.
func (s *methods) amend(ctx context.Context, person string, do func(*change) (*method.Method, error)) (*scim.Resource, error) {
	f := &facts{now: s.Now()}
	for range maxAsks {
		var asked questions
		var who account.Person
		var all []method.Method
		id := ""
		_, err := s.Store.UpdatePerson(ctx, person, s.c.ID, func(p *account.Person, ms *[]method.Method) ([]event.Event, error) {
			asked, who = questions{}, *p
			r, paused, err := bare(p)
			if err != nil {
				return nil, err
			}
			x := &change{s: s.service, c: s.c, f: f, p: p, all: ms, paused: paused}
			m, err := do(x)
			if err != nil {
				return nil, err
			}
			if x.q.open() {
				asked = x.q
				return nil, errAsk
			}
			id, all = m.ID, *ms
			if !x.moved {
				return nil, errSame
			}
			if p.Attrs, err = pack(keepActive(r), x.paused); err != nil {
				return nil, err
			}
			p.Updated = touched(p.Updated, f.now)
			return s.done(s.act, s.c, thing{kind: "AuthenticationMethod", id: m.ID, person: p.ID}, x.events), nil
		})
		switch {
		case errors.Is(err, errAsk):
			if err := s.ask(ctx, f, asked, s.c, &who, person); err != nil {
				return nil, answer(err)
			}
			continue
		case err != nil && !errors.Is(err, errSame):
			return nil, answer(err)
		}
		i := slices.IndexFunc(all, func(m method.Method) bool { return m.ID == id })
		return s.resource(&all[i], s.nameOf(&who)), nil
	}
	return nil, errBusy
}

// keepActive returns what of a resource stands in Attrs.
func keepActive(r *scim.Resource) *scim.Resource {
	r = keep(r)
	delete(r.Attrs, "active")
	return r
}

// mine finds the method a change is about among its person's.
func (x *change) mine(id string, pre scim.Precondition) (*method.Method, error) {
	i := slices.IndexFunc(*x.all, func(m method.Method) bool { return m.ID == id && m.Status != method.Removed })
	if i < 0 {
		return nil, scim.ErrNotFound
	}
	m := &(*x.all)[i]
	if err := pre.Check(version(m.Version)); err != nil {
		return nil, err
	}
	if m.Root != own(x.c.ID) {
		return nil, &scim.Error{Status: 403, Detail: "the method was not brought by this client"}
	}
	return m, nil
}

// revise gives a method what of it may change.
func (x *change) revise(m *method.Method, c *scim.Change) error {
	before := x.moved
	if c.Changed("display") {
		text := c.Next.Text("display")
		if len(text) > maxDisplay {
			return schema.Invalid(schema.InvalidValue, "display", "want at most %d bytes", maxDisplay)
		}
		m.Display, x.moved = text, true
	}
	if c.Changed("usage") {
		m.Usage, x.moved = texts(c.Next.Attrs["usage"]), true
	}
	if c.Changed("primary") && (c.Next.Attrs["primary"] == true) != m.Primary {
		m.Primary, x.moved = !m.Primary, true
		x.lead(m)
	}
	if c.Changed("status") {
		switch c.Next.Text("status") {
		case "", string(m.Status): // absent: as it is
		case string(method.Disabled):
			m.Status, x.moved = method.Disabled, true
		default:
			return schema.Invalid(schema.InvalidValue, "status", "a client may set disabled only; bring the method again to have it used again")
		}
	}
	if x.moved && !before {
		x.events = append(x.events, x.note(event.MethodChanged, m).With("status", string(m.Status)).With("attributes", changedNames(c)))
	}
	return nil
}
