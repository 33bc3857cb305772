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
	for _, attr := range inMethods[:3] {
		if !changed(attr) {
			continue
		}
		w, err := x.s.simple(attr, r)
		if err != nil {
			return err
		}
		if err := x.set(attr, w); err != nil {
			return err
		}
	}
	if !changed(authMethods) {
		return nil
	}
	return x.list(r)
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

// set makes the method of a simple attribute the one wanted, or none.
func (x *change) set(attr string, w *wanted) error {
	for i := range *x.all {
		m := &(*x.all)[i]
		if m.Status == method.Removed || m.Root != own(x.c.ID) || m.Attribute != attr {
			continue
		}
		if w != nil && w.is(m) { // the same destination, written in another way
			if givenOf(m) != w.given {
				m.Given = w.given.seal()
				x.moved = true
			}
			return nil
		}
		x.remove(m)
	}
	if w == nil {
		return nil
	}
	return x.add(w.method())
}

func (w *wanted) method() method.Method {
	return method.Method{Kind: w.kind, Destination: w.to, Given: w.given.seal(), Attribute: w.attribute, Display: w.display, Primary: w.primary}
}

// list makes the methods that stand in authenticationMethods those of the list. Others of the connector may get another
// display name or become the primary one.
func (x *change) list(r *scim.Resource) error {
	elements, _ := r.Extension(userURN)[authMethods].([]any)
	before := slices.Clone(*x.all)
	kept := map[string]bool{}
	shown := "" // the method that was shown as primary
	for _, m := range before {
		if m.Status != method.Removed && m.Primary {
			shown = m.ID
			break
		}
	}
	for _, e := range elements {
		o, _ := e.(scim.Object)
		w, err := x.s.listed(o, before)
		if err != nil {
			return err
		}
		if w == nil || x.left(w) {
			continue
		}
		if m := x.find(w, kept); m != nil {
			kept[m.ID] = true
			x.rename(m, w, shown)
			continue
		}
		if err := x.add(w.method()); err != nil {
			return err
		}
		if n := len(*x.all); n > len(before) {
			m := &(*x.all)[n-1]
			kept[m.ID] = true
			x.lead(m)
		}
	}
	for i := range *x.all {
		if m := &(*x.all)[i]; m.Root == own(x.c.ID) && m.Attribute == authMethods && !kept[m.ID] {
			x.remove(m)
		}
	}
	return nil
}

// left reports whether an element only shows the method of a simple attribute that this very change took away: a client that
// writes back what it read has the old one in its list.
func (x *change) left(w *wanted) bool {
	return slices.ContainsFunc(*x.all, func(m method.Method) bool {
		return slices.Contains(x.gone, m.ID) && m.Kind == w.kind && m.Attribute != authMethods && givenOf(&m).Value == w.given.Value
	})
}

// find returns the connector's method that an element means, one made by the list first.
func (x *change) find(w *wanted, kept map[string]bool) *method.Method {
	var found *method.Method
	for i := range *x.all {
		m := &(*x.all)[i]
		if m.Status == method.Removed || m.Root != own(x.c.ID) || kept[m.ID] || m.Kind != w.kind ||
			givenOf(m).Value != w.given.Value && (w.to == "" || !w.is(m)) {
			continue
		}
		if found == nil || m.Attribute == authMethods && found.Attribute != authMethods {
			found = m
		}
	}
	return found
}

// rename gives a method what an element says beside its value.
func (x *change) rename(m *method.Method, w *wanted, shown string) {
	if m.Attribute == authMethods && givenOf(m).Value != w.given.Value {
		m.Given, x.moved = w.given.seal(), true
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
