package provision

import (
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// A connector's ways of one person are seen in three layers, and there is one table behind them:
//
//	recoveryEmail recoveryPhone alternatePhone   one way each, for clients whose editors know single texts only
//	authenticationMethods                        all of them, one element each
//	/AuthenticationMethods                       all of them, one resource each
//
// What is written or taken away in one layer is so in all. A PUT that says nothing of a layer takes away only what was written
// there: a client that knows one layer does not undo what another writes.

// simples are the attributes that show one way each, in the order in which they take one.
var simples = inMethods[:3]

// kindOf is the kind of way a simple attribute shows.
func kindOf(attr string) method.Kind {
	if attr == recoveryEmail {
		return method.Email
	}
	return method.SMS
}

// shown says which of a connector's ways each simple attribute shows: the one that was written by it, else the first of its
// kind, the primary one before others, that no other shows.
func shown(all []method.Method, root method.Root) map[string]*method.Method {
	out := map[string]*method.Method{}
	own := func(attr string, fits func(*method.Method) bool) {
		for i := range all {
			m := &all[i]
			if out[attr] == nil && m.Status != method.Removed && m.Root == root && m.Kind == kindOf(attr) && fits(m) {
				out[attr] = m
			}
		}
	}
	for _, attr := range simples {
		own(attr, func(m *method.Method) bool { return m.Attribute == attr })
	}
	for _, attr := range simples {
		for _, primary := range []bool{true, false} {
			own(attr, func(m *method.Method) bool {
				return !slices.Contains(simples, m.Attribute) && m.Primary == primary && m != out[recoveryPhone]
			})
		}
	}
	return out
}

// said is what a request says of one simple attribute.
type said struct {
	attr    string
	want    *wanted // nil: that there is none
	changed bool
}

// sayings reads what a request says of the simple attributes. A PATCH says something of those it changes, a POST and a PUT
// of those they name. What did not change is not judged again.
func (x *change) sayings(r *scim.Resource, c *scim.Change) ([]said, error) {
	var all []said
	for _, attr := range simples {
		changed := c == nil || c.Changed(extPrefix+attr)
		if !changed && !c.Whole {
			continue
		}
		w, err := x.s.simple(attr, r)
		if err != nil && changed {
			return nil, err
		}
		if err == nil && (changed || w != nil) {
			all = append(all, said{attr, w, changed})
		}
	}
	return all, nil
}

// agree refuses a request that says one thing by a simple attribute and another by the list. A list without an element of
// that kind says nothing of it. One that only shows what was there when it was read, while the attribute says something new,
// is no second opinion: clients write back what they read.
func (x *change) agree(all []said, list []*wanted) error {
	for _, s := range all {
		if s.want == nil {
			continue
		}
		other, same := false, false
		for _, w := range list {
			if w == nil || w.kind != s.want.kind {
				continue
			}
			same = same || w.to == s.want.to
			other = other || !x.brought(w) || !s.changed
		}
		if other && !same {
			return schema.Invalid(schema.InvalidValue, userURN+":"+s.attr, "%s:%s says another value for type %s: write one of them, or the same in both",
				userURN, authMethods, s.want.kind)
		}
	}
	return nil
}

// set makes the way of a simple attribute the one wanted, or none. m is the one it shows.
func (x *change) set(s said, m *method.Method, whole bool) error {
	w := s.want
	switch {
	case m != nil && m.Status == method.Removed: // another attribute took it away
	case m == nil:
	case w == nil && whole && m.Attribute != s.attr: // it was not said here that there is one
		return nil
	case w != nil && w.is(m): // the same destination, maybe written in another way
		x.spell(m, w)
		return nil
	default:
		x.remove(m)
	}
	if w == nil {
		return nil
	}
	for i := range *x.all { // brought by another layer before: it is that one
		o := &(*x.all)[i]
		if o.Status != method.Removed && o.Root == own(x.c.ID) && w.is(o) && !slices.Contains(simples, o.Attribute) {
			o.Attribute, x.moved = s.attr, true
			x.spell(o, w)
			return nil
		}
	}
	return x.add(w.method())
}

// spell writes down how a destination is written now.
func (x *change) spell(m *method.Method, w *wanted) {
	x.spoken = append(x.spoken, m.ID)
	if g := givenOf(m); g != w.given {
		if w.given.Kind == "" {
			w.given.Kind = g.Kind // what kind of phone it is stands in the resource only
		}
		if g != w.given {
			m.Given, x.moved = w.given.seal(), true
		}
	}
}

// list makes the connector's ways those of the list. Ways that were given by name in this very request stay; so does, when a
// PUT has no list at all, whatever was not written by it.
func (x *change) list(list []*wanted, elements []any, before []method.Method, whole bool) error {
	kept := map[string]bool{}
	primary := "" // the method that was shown as primary
	for _, m := range before {
		if m.Status != method.Removed && m.Primary {
			primary = m.ID
			break
		}
	}
	for i, w := range list {
		if w == nil {
			o, _ := elements[i].(scim.Object)
			x.repeated(o, kept)
			continue
		}
		if x.left(w) {
			continue
		}
		if m := x.find(w, kept); m != nil {
			kept[m.ID] = true
			x.rename(m, w, primary)
			continue
		}
		if x.brought(w) { // the list says it twice
			continue
		}
		n := len(*x.all)
		if err := x.add(w.method()); err != nil {
			return err
		}
		if len(*x.all) > n {
			m := &(*x.all)[n]
			kept[m.ID] = true
			x.lead(m)
		}
	}
	for i := range *x.all {
		m := &(*x.all)[i]
		if m.Root != own(x.c.ID) || kept[m.ID] || slices.Contains(x.spoken, m.ID) || whole && len(elements) == 0 && m.Attribute != authMethods {
			continue
		}
		x.remove(m)
	}
	return nil
}

// brought reports whether the connector has brought that very way of that kind.
func (x *change) brought(w *wanted) bool {
	return slices.ContainsFunc(*x.all, func(m method.Method) bool {
		return m.Status != method.Removed && m.Root == own(x.c.ID) && w.is(&m)
	})
}

// repeated keeps the way that an element without a value shows: one with a seed, which stands in no list.
func (x *change) repeated(o scim.Object, kept map[string]bool) {
	kind, _ := o["type"].(string)
	ref, _ := o["$ref"].(string)
	display, _ := o["display"].(string)
	var best *method.Method
	for i := range *x.all {
		m := &(*x.all)[i]
		if m.Status == method.Removed || m.Root != own(x.c.ID) || kept[m.ID] || !strings.EqualFold(kind, string(m.Kind)) || givenOf(m).Value != "" {
			continue
		}
		switch {
		case ref != "" && ref == x.s.base+"/AuthenticationMethods/"+m.ID:
			kept[m.ID] = true
			return
		case best == nil, best.Display != display && m.Display == display:
			best = m
		}
	}
	if best != nil { // two that look alike may have been given one reference when they were written back
		kept[best.ID] = true
	}
}
