package patch

import (
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// delta is the net effect of the operations so far on a Large attribute nobody has loaded: after it the attribute holds
// add alone if replace, else what it held without remove and with add.
type delta struct {
	replace bool
	add     map[string]schema.Object
	order   []string // of add, as sent; may name what is no longer in add
	remove  map[string]bool
	gone    []string // of remove, as sent; may name what is no longer in remove
}

func (d *delta) put(id string, o schema.Object) {
	delete(d.remove, id)
	if _, ok := d.add[id]; !ok {
		d.order = append(d.order, id)
	}
	d.add[id] = o
}

func (d *delta) drop(id string) {
	delete(d.add, id)
	if !d.replace && !d.remove[id] {
		d.remove[id] = true
		d.gone = append(d.gone, id)
	}
}

func newDelta(replace bool) *delta {
	return &delta{replace: replace, add: map[string]schema.Object{}, remove: map[string]bool{}}
}

// result returns the delta for the store, each id once, in the order sent; false when there is nothing to do.
func (d *delta) result(attr string) (schema.MemberDelta, bool) {
	m := schema.MemberDelta{Attr: attr, ReplaceAll: d.replace}
	for _, id := range d.order {
		if o, ok := d.add[id]; ok {
			m.Add = append(m.Add, o)
			delete(d.add, id)
		}
	}
	for _, id := range d.gone {
		if d.remove[id] {
			m.Remove = append(m.Remove, id)
			delete(d.remove, id)
		}
	}
	return m, m.ReplaceAll || len(m.Add) > 0 || len(m.Remove) > 0
}

// isDelta reports whether a step on a Large attribute can be done without looking at its elements.
func isDelta(s step) bool {
	if s.target.Path.Sub != nil {
		return false
	}
	if s.target.Filter == nil {
		return true
	}
	_, ok := namedIDs(s.target.Filter)
	return ok && s.op == "remove"
}

// namedIDs returns the ids of a filter that is value eq "a", or several joined by or.
func namedIDs(x filter.Expr) (ids []string, ok bool) {
	ok = true
	filter.Walk(x, func(x filter.Expr) {
		switch x := x.(type) {
		case filter.Or:
		case filter.Cmp:
			id, isText := x.Value.V.(string)
			if x.Op != filter.Eq || !isText || x.Path.Sub == nil || x.Path.Sub.Name != "value" || !x.Path.Sub.CaseExact {
				ok = false
			}
			ids = append(ids, id)
		default:
			ok = false
		}
	})
	return ids, ok
}

// large is plural for an attribute that is not loaded.
func (r *run) large(s step) error {
	a := s.target.Path.Attr
	d := r.deltas[a.Name]
	if d == nil {
		d = newDelta(false)
		r.deltas[a.Name] = d
	}
	if s.op == "remove" {
		if s.target.Filter != nil {
			ids, _ := namedIDs(s.target.Filter)
			for _, id := range ids {
				d.drop(id)
			}
			return nil
		}
		if s.value == nil {
			r.deltas[a.Name] = newDelta(true)
			return nil
		}
		list, ok := s.value.([]any)
		if !ok {
			list = []any{s.value}
		}
		for _, e := range list { // there may be very many
			n, err := readName(a, e)
			if err != nil {
				return err
			}
			d.drop(n.value)
		}
		return nil
	}
	v := s.value
	if _, isList := v.([]any); !isList && v != nil && s.op == "add" {
		v = []any{v}
	}
	got, err := r.p.c.Value(a.Name, a, v)
	if err != nil {
		return err
	}
	if s.op == "replace" {
		d = newDelta(true)
		r.deltas[a.Name] = d
	}
	return d.putList(a, elementsOf(got))
}

func (d *delta) putList(a *schema.Attribute, list []any) error {
	for _, e := range list {
		o := e.(schema.Object)
		id, _ := o["value"].(string)
		if id == "" {
			return schema.Invalid(schema.InvalidValue, a.Name+".value", "a value is required")
		}
		d.put(id, o)
	}
	return nil
}

// Replace returns the delta of a PUT: attribute a of next becomes the list, all of it.
func Replace(a *schema.Attribute, list []any) (schema.MemberDelta, error) {
	d := newDelta(true)
	if err := d.putList(a, list); err != nil {
		return schema.MemberDelta{}, err
	}
	m, _ := d.result(a.Name)
	return m, nil
}

// diffLarge compares two loaded values of a Large attribute, by id: what is said about a member is not the client's.
func diffLarge(a *schema.Attribute, cur, next any) *delta {
	d := newDelta(false)
	had := map[string]bool{}
	for _, e := range elementsOf(cur) {
		if o, ok := e.(schema.Object); ok {
			had[text(o["value"])] = true
		}
	}
	for _, e := range elementsOf(next) {
		o, ok := e.(schema.Object)
		id := text(o["value"])
		if !ok || id == "" {
			continue
		}
		if !had[id] {
			d.put(id, o)
		}
		delete(had, id)
	}
	for id := range had {
		d.drop(id)
	}
	if len(d.add) == 0 && len(d.remove) == 0 {
		return nil
	}
	return d
}
