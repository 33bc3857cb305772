package patch

import (
	"slices"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// plural changes a multi-valued attribute that is loaded.
func (r *run) plural(s step) error {
	path := s.target.Path
	list, _ := r.next.Lookup(schema.Path{Ext: path.Ext, Attr: path.Attr}).([]any)
	err := r.spend(s, list)
	if err != nil {
		return err
	}
	switch {
	case s.target.Filter != nil:
		list, err = r.selected(s, list)
	case path.Sub != nil:
		list, err = r.selected(s, list) // without brackets every element is meant
	case s.op == "remove":
		list, err = r.remove(s, list)
	default:
		list, err = r.putAll(s, list)
	}
	if err != nil {
		return err
	}
	if len(list) > schema.MaxElements && !path.Attr.Large {
		return schema.Invalid(schema.InvalidValue, path.Key(), "more than %d elements", schema.MaxElements)
	}
	top := schema.Path{Ext: path.Ext, Attr: path.Attr}
	if len(list) == 0 {
		r.next.Set(top, nil)
	} else {
		r.next.Set(top, list)
	}
	return nil
}

// putAll is add (a union, RFC 7644 §3.5.2.1) and replace (of everything, §3.5.2.3) without brackets.
func (r *run) putAll(s step, list []any) ([]any, error) {
	a := s.target.Path.Attr
	v := s.value
	if _, isList := v.([]any); !isList && v != nil && s.op == "add" {
		v = []any{v} // RFC 7644 §3.5.2.1 adds "a new value"
	}
	got, err := r.p.c.Value(s.target.Path.Key(), a, v)
	if err != nil {
		return nil, err
	}
	now, _ := got.([]any)
	if a.Large && slices.ContainsFunc(now, func(e any) bool { return text(e.(schema.Object)["value"]) == "" }) {
		return nil, schema.Invalid(schema.InvalidValue, a.Name+".value", "a value is required")
	}
	if s.op == "add" {
		return union(a, list, now), nil
	}
	now = union(a, nil, now)
	if sameSet(a, list, now) {
		return list, nil // another order is not another value
	}
	// readOnly sub-attributes are not the client's; an element that stays keeps them.
	old := index(a, list)
	for _, e := range now {
		if i, ok := old[a.ElementKey(e)]; ok {
			keepReadOnly(a, list[i], e)
		}
	}
	return now, nil
}

// index maps the keys of a list's elements to their places.
func index(a *schema.Attribute, list []any) map[[2]string]int {
	at := make(map[[2]string]int, len(list))
	for i, e := range list {
		at[a.ElementKey(e)] = i
	}
	return at
}

func keepReadOnly(a *schema.Attribute, from, to any) {
	src, _ := from.(schema.Object)
	dst, _ := to.(schema.Object)
	for _, sub := range a.SubAttributes {
		if sub.Mutability == schema.ReadOnly && dst != nil && src[sub.Name] != nil {
			dst[sub.Name] = src[sub.Name]
		}
	}
}

// union adds more to list: an element that is there takes the new one's sub-attributes, another is appended. The last
// element to become primary is the only one.
func union(a *schema.Attribute, list, more []any) []any {
	out := append([]any(nil), list...)
	at := index(a, out)
	last := -1
	for _, e := range more {
		key := a.ElementKey(e)
		i, there := at[key]
		if !there {
			i = len(out)
			out = append(out, e)
			at[key] = i
		} else if o, ok := out[i].(schema.Object); ok {
			out[i] = merge(o, e.(schema.Object))
		}
		if o, ok := e.(schema.Object); ok && o["primary"] == true {
			last = i
		}
	}
	onlyPrimary(out, last)
	return out
}

func merge(o, with schema.Object) schema.Object {
	c, _ := schema.CloneValue(o).(schema.Object)
	for k, v := range with {
		c[k] = v
	}
	return c
}

// onlyPrimary makes element at, unless it is -1, the only primary one (RFC 7644 §3.5.2). It replaces what it changes.
func onlyPrimary(list []any, at int) {
	if at < 0 {
		return
	}
	for i, e := range list {
		if o, ok := e.(schema.Object); ok && i != at && o["primary"] == true {
			list[i] = merge(o, schema.Object{"primary": false})
		}
	}
}

// sameSet reports whether two lists have the same elements in whatever order.
func sameSet(a *schema.Attribute, x, y []any) bool {
	at := index(a, y)
	if len(x) != len(y) || len(at) != len(y) {
		return false
	}
	seen := make(map[int]bool, len(x))
	for _, e := range x {
		i, ok := at[a.ElementKey(e)]
		if !ok || seen[i] || !schema.Same(e, y[i]) {
			return false
		}
		seen[i] = true
	}
	return true
}

func elementsOf(v any) []any {
	list, _ := v.([]any)
	return list
}

// remove without brackets clears the attribute, or, given a list of values, removes those and no other: clients mean
// it, and removing all members where one was meant is a data loss.
func (r *run) remove(s step, list []any) ([]any, error) {
	if s.value == nil {
		return nil, nil
	}
	a := s.target.Path.Attr
	ids, err := listed(a, s.value)
	if err != nil {
		return nil, err
	}
	values := map[string]bool{} // what is named by value alone, which may be many
	ids = slices.DeleteFunc(ids, func(n name) bool {
		plain := n.whole == nil && n.anyKind
		if plain {
			values[valueKey(a, n.value)] = true
		}
		return plain
	})
	var out []any
	for _, e := range list {
		v, isText := e.(string)
		if o, ok := e.(schema.Object); ok {
			v, isText = o["value"].(string)
		}
		if isText && values[valueKey(a, v)] || slices.ContainsFunc(ids, func(n name) bool { return n.names(a, e) }) {
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

func valueKey(a *schema.Attribute, v string) string {
	if sub := a.Sub("value"); sub != nil {
		return sub.Key(v)
	}
	return a.Key(v)
}

// name is an element as a remove names it.
type name struct {
	value, kind string
	anyKind     bool
	whole       schema.Object // when the attribute has no "value"
}

// names reports whether n, which names more than a value, names the element e.
func (n name) names(a *schema.Attribute, e any) bool {
	o, ok := e.(schema.Object)
	if !ok {
		return false
	}
	if n.whole != nil {
		for k, v := range n.whole {
			if sub := a.Sub(k); sub == nil || !schema.Same(o[sub.Name], v) {
				return false
			}
		}
		return true
	}
	return valueKey(a, text(o["value"])) == valueKey(a, n.value) && schema.Fold(text(o["type"])) == schema.Fold(n.kind)
}

// listed reads the values a remove names: strings, or objects with "value".
func listed(a *schema.Attribute, v any) ([]name, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) > schema.MaxElements && !a.Large {
		return nil, noNames(a)
	}
	out := make([]name, 0, len(list))
	for _, e := range list {
		n, err := readName(a, e)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func noNames(a *schema.Attribute) error {
	return schema.Invalid(schema.InvalidValue, a.Name, "want the values to remove: strings, or objects with a value")
}

// readName reads one of the values a remove names.
func readName(a *schema.Attribute, e any) (name, error) {
	switch e := e.(type) {
	case string:
		if a.Type == schema.Complex && a.Sub("value") == nil {
			return name{}, noNames(a)
		}
		return name{value: e, anyKind: true}, nil
	case schema.Object:
		n := name{anyKind: true}
		for k, x := range e {
			if sub := a.Sub(k); sub != nil && sub.Name == "value" {
				n.value = text(x)
			} else if sub != nil && sub.Name == "type" && !a.RefersToResource() {
				n.kind, n.anyKind = text(x), x == nil
			}
		}
		switch {
		case a.Type == schema.Complex && a.Sub("value") == nil && len(e) > 0:
			n.whole = e
		case n.value == "":
			return name{}, noNames(a)
		}
		return n, nil
	}
	return name{}, noNames(a)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// selected changes the elements the brackets choose, or all without brackets.
func (r *run) selected(s step, list []any) ([]any, error) {
	path := s.target.Path
	var hits []int
	for i, e := range list {
		if filter.MatchElem(s.target.Filter, e) {
			hits = append(hits, i)
		}
	}
	if s.op == "remove" {
		return removeHits(path, list, hits)
	}
	if len(hits) == 0 {
		return r.create(s, list)
	}
	if err := r.pay(path, workOfChange*len(hits)); err != nil {
		return nil, err
	}
	out := append([]any(nil), list...)
	for _, i := range hits {
		e, err := r.changed(s, out[i])
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	for _, i := range slices.Backward(hits) { // the last one wins
		if o, ok := out[i].(schema.Object); ok && o["primary"] == true {
			onlyPrimary(out, i)
			break
		}
	}
	return compact(distinct(path.Attr, out, hits)), nil
}

// distinct makes elements that became the same one value again, at the place of the first (RFC 7643 §2.4). Where they
// differ in what is said beside type and value, that of a changed element counts.
func distinct(a *schema.Attribute, list []any, changed []int) []any {
	at := make(map[[2]string]int, len(list))
	for i, e := range list {
		o, isObject := e.(schema.Object)
		if e == nil || isObject && text(o["value"]) == "" {
			continue // what has no value is not the same as anything
		}
		key := a.ElementKey(e)
		first, there := at[key]
		if !there {
			at[key] = i
			continue
		}
		if was, ok := list[first].(schema.Object); ok && isObject {
			if _, isNew := slices.BinarySearch(changed, i); !isNew {
				was, o = o, was
			}
			list[first] = merge(was, o)
		}
		list[i] = nil
	}
	return list
}

func compact(list []any) []any {
	out := list[:0]
	for _, e := range list {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

// changed returns element e as one add or replace makes it, nil if nothing is left.
func (r *run) changed(s step, e any) (any, error) {
	path := s.target.Path
	a := path.Attr
	if path.Sub == nil {
		v, err := r.p.c.Element(path.Key(), a, s.value)
		if err != nil {
			return nil, err
		}
		o, isObject := e.(schema.Object)
		now, _ := v.(schema.Object)
		switch {
		case v == nil && s.op == "add":
			return e, nil
		case v == nil || !isObject:
			return v, nil
		case s.op == "add":
			return merge(o, now), nil
		}
		// §3.5.2.3 replaces the element. What the brackets said of it holds unless the value says otherwise.
		if with, ok := synthesize(s.target.Filter, path); ok {
			now = merge(with, now)
		}
		keepReadOnly(a, o, now)
		return now, nil
	}
	o, ok := e.(schema.Object)
	if !ok {
		return nil, schema.Invalid(schema.InvalidPath, path.String(), "the elements are not objects")
	}
	v, err := r.p.c.Value(path.String(), path.Sub, s.value)
	if err != nil {
		return nil, err
	}
	if v == nil && s.op == "add" {
		return e, nil
	}
	if path.Sub.Mutability == schema.ReadOnly && !schema.Same(o[path.Sub.Name], v) {
		return nil, schema.Invalid(schema.Mutability, path.String(), "the attribute is readOnly")
	}
	if old := o[path.Sub.Name]; (a.Large || path.Sub.Mutability == schema.Immutable) && old != nil && !schema.Same(old, v) {
		return nil, schema.Invalid(schema.Mutability, path.String(), "the attribute is immutable")
	}
	if v == nil {
		return without(path, o), nil
	}
	return merge(o, schema.Object{path.Sub.Name: v}), nil
}

// without removes a sub-attribute. An element that loses its value, or everything, goes altogether.
func without(path schema.Path, o schema.Object) any {
	c := merge(o, nil)
	delete(c, path.Sub.Name)
	if len(c) == 0 || path.Sub.Name == "value" {
		return nil
	}
	return c
}

// removeHits removes elements, or one sub-attribute of them. Brackets that match nothing remove nothing: the client's wish
// is fulfilled already.
func removeHits(path schema.Path, list []any, hits []int) ([]any, error) {
	out := append([]any(nil), list...)
	for _, i := range hits {
		o, ok := out[i].(schema.Object)
		switch {
		case path.Sub == nil || !ok:
			out[i] = nil
		case o[path.Sub.Name] != nil && (path.Sub.Mutability == schema.ReadOnly || path.Sub.Mutability == schema.Immutable && path.Sub.Name != "value"):
			return nil, schema.Invalid(schema.Mutability, path.String(), "the attribute is %s", path.Sub.Mutability)
		default:
			out[i] = without(path, o)
		}
	}
	return compact(out), nil
}

// create adds the element that brackets without a match describe: always for add, of which the RFC says nothing; for
// replace it must be allowed (RFC 7644 §3.5.2.3 wants noTarget).
func (r *run) create(s step, list []any) ([]any, error) {
	path := s.target.Path
	none := schema.Invalid(schema.NoTarget, path.String(), "no element matches")
	if s.value == nil && s.op == "add" {
		return list, nil
	}
	if s.op == "replace" && (!r.p.c.ReplaceCreates || s.value == nil) {
		return nil, none
	}
	o, ok := synthesize(s.target.Filter, path)
	if !ok {
		return nil, none
	}
	e, err := r.changed(step{op: "add", target: s.target, value: s.value}, o)
	if err != nil {
		return nil, err
	}
	return union(path.Attr, list, []any{e}), nil
}

// synthesize makes the element a filter describes, if it is a conjunction of eq. Without a filter it is empty.
func synthesize(x filter.Expr, path schema.Path) (schema.Object, bool) {
	o := schema.Object{}
	ok := path.Attr.Type == schema.Complex
	filter.Walk(x, func(x filter.Expr) {
		switch x := x.(type) {
		case filter.And:
		case filter.Cmp:
			sub := x.Path.Sub
			if x.Op != filter.Eq || sub == nil || sub.Mutability == schema.ReadOnly || sub.Type == schema.DateTime || sub.MultiValued {
				ok = false
				return
			}
			if v, twice := o[sub.Name]; twice && !schema.Same(v, x.Value.V) {
				ok = false
			}
			o[sub.Name] = x.Value.V
		default:
			ok = false
		}
	})
	return o, ok
}

// gate handles brackets after a singular complex attribute: a list of none or one. done says that nothing is left to do.
func (r *run) gate(s *step) (done bool, err error) {
	path := s.target.Path
	top := schema.Path{Ext: path.Ext, Attr: path.Attr}
	cur, _ := r.next.Lookup(top).(schema.Object)
	if cur != nil && filter.MatchElem(s.target.Filter, cur) {
		return false, nil
	}
	if s.op == "remove" || s.op == "add" && s.value == nil {
		return true, nil
	}
	o, ok := synthesize(s.target.Filter, path)
	if cur != nil || !ok || s.op == "replace" && !r.p.c.ReplaceCreates {
		return false, schema.Invalid(schema.NoTarget, path.String(), "the value does not match")
	}
	r.next.Set(top, o)
	return false, nil
}
