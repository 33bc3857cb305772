package provision

import (
	"slices"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
)

// follow makes a person's methods what their resource says. c is what changed; nil when the person is new. Attributes that
// did not change are left alone: what was accepted once is not judged again because a phone number elsewhere changed.
func (x *change) follow(r *scim.Resource, c *scim.Change) error {
	changed := func(name string) bool { return c == nil || c.Changed(extPrefix+name) }
	if changed(resetAllowed) {
		stop := r.Ext[userURN][resetAllowed] == false
		if c == nil {
			// A new person's methods stop as they are added.
		} else if was := stopped(c); was != stop {
			x.pause(stop)
		}
	}
	all, err := x.sayings(r, c)
	if err != nil {
		return err
	}
	whole := c != nil && c.Whole
	var elements []any
	var list []*wanted
	before := slices.Clone(*x.all)
	if changed(authMethods) {
		elements, _ = r.Extension(userURN)[authMethods].([]any)
		for _, e := range elements {
			o, _ := e.(scim.Object)
			w, err := x.s.listed(o, before)
			if err != nil {
				return err
			}
			list = append(list, w)
		}
		if err := x.agree(all, list); err != nil {
			return err
		}
	}
	ids := map[string]string{} // what each attribute shows before any of them changes
	for attr, m := range shown(*x.all, own(x.c.ID)) {
		ids[attr] = m.ID
	}
	for _, s := range all {
		m := x.byID(ids[s.attr])
		if !s.changed {
			if m != nil {
				x.spoken = append(x.spoken, m.ID) // named, as it is
			}
			continue
		}
		if s.attr == recoveryPhone { // what the other attribute shows does not move up
			if o := x.byID(ids[alternatePhone]); o != nil && o.Attribute != alternatePhone {
				o.Attribute, x.moved = alternatePhone, true
			}
		}
		n := len(*x.all)
		if err := x.set(s, m, whole); err != nil {
			return err
		}
		for _, m := range (*x.all)[n:] {
			x.spoken = append(x.spoken, m.ID)
		}
	}
	if !changed(authMethods) {
		return nil
	}
	return x.list(list, elements, before, whole)
}

// byID finds a method of the person.
func (x *change) byID(id string) *method.Method {
	for i := range *x.all {
		if m := &(*x.all)[i]; id != "" && m.ID == id {
			return m
		}
	}
	return nil
}

// stopped reports what resetAllowed said before a change.
func stopped(c *scim.Change) bool {
	for _, o := range c.Ops {
		if o.Key == extPrefix+resetAllowed {
			return o.Old == false
		}
	}
	return false
}

func (w *wanted) method() method.Method {
	return method.Method{Kind: w.kind, Destination: w.to, Given: w.given.seal(), Attribute: w.attribute, Display: w.display, Primary: w.primary}
}

// left reports whether an element only shows the method of a simple attribute that this very change took away: a client that
// writes back what it read has the old one in its list.
func (x *change) left(w *wanted) bool {
	return slices.ContainsFunc(*x.all, func(m method.Method) bool {
		return slices.Contains(x.gone, m.ID) && m.Kind == w.kind && givenOf(&m).Value == w.given.Value
	})
}

// find returns the connector's method that an element means.
func (x *change) find(w *wanted, kept map[string]bool) *method.Method {
	var found *method.Method
	for i := range *x.all {
		m := &(*x.all)[i]
		if m.Status == method.Removed || m.Root != own(x.c.ID) || kept[m.ID] || m.Kind != w.kind ||
			givenOf(m).Value != w.given.Value && (w.to == "" || !w.is(m)) {
			continue
		}
		if found == nil || found.Primary != w.primary && m.Primary == w.primary {
			found = m
		}
	}
	return found
}

// rename gives a method what an element says beside its value.
func (x *change) rename(m *method.Method, w *wanted, shown string) {
	if g := givenOf(m); g.Value != w.given.Value && !slices.Contains(x.spoken, m.ID) {
		g.Value = w.given.Value
		m.Given, x.moved = g.seal(), true
	}
	if m.Display != w.display {
		m.Display, x.moved = w.display, true
	}
	if w.primary != m.Primary && (w.primary || m.ID == shown) {
		m.Primary, x.moved = w.primary, true
		x.lead(m)
	}
}

// lead makes a primary method the only one of its kind that the connector brought.
func (x *change) lead(m *method.Method) {
	if !m.Primary {
		return
	}
	for i := range *x.all {
		if o := &(*x.all)[i]; o.ID != m.ID && o.Kind == m.Kind && o.Root == own(x.c.ID) && o.Primary {
			o.Primary, x.moved = false, true
		}
	}
}
