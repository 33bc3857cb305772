package patch

import (
	"errors"
	"slices"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Result is what the operations make of a resource. Next is without secrets that were not sent and without Large
// attributes; what happens to those is in Members. NoOp says that nothing differs.
type Result struct {
	Next    *schema.Resource
	Ops     []schema.AttrChange
	Members []schema.MemberDelta
	NoOp    bool
}

// Apply is NewPlan and Plan.Apply in one, for a resource that is loaded whole.
func Apply(t *schema.Type, cur *schema.Resource, ops []Op, c schema.Compat) (Result, error) {
	p, err := NewPlan(t, ops, c)
	if err != nil {
		return Result{}, err
	}
	return p.Apply(cur)
}

// Apply computes the result of the plan on cur, which holds at least what Needs asks for, and does not alter it. Errors
// are 400 invalidValue, mutability, noTarget or, for operations that look at too much, tooMany; then nothing applies.
func (p *Plan) Apply(cur *schema.Resource) (Result, error) {
	base := p.t.WithoutSecrets(cur)
	run := run{p: p, next: base.Clone(), deltas: map[string]*delta{}, forced: map[string]bool{}, left: mostWork}
	for _, a := range p.t.Large() {
		run.left += workAlready * len(elementsOf(base.Attrs[a.Name])) // a group that was loaded may be looked at a few times
	}
	for _, s := range p.steps {
		if err := run.step(s); err != nil {
			return Result{}, inOp(s.at, err)
		}
	}
	res := Result{Next: run.next}
	for _, a := range p.t.Large() {
		if p.whole[a.Name] {
			if d := diffLarge(a, base.Attrs[a.Name], run.next.Attrs[a.Name]); d != nil {
				run.deltas[a.Name] = d
			}
		}
		if d := run.deltas[a.Name]; d != nil {
			if d.replace && len(d.add) == 0 && a.Required {
				return Result{}, schema.Invalid(schema.Mutability, a.Name, "the attribute is required")
			}
			if m, ok := d.result(a.Name); ok {
				res.Members = append(res.Members, m)
			}
		}
		delete(base.Attrs, a.Name)
		delete(run.next.Attrs, a.Name)
	}
	if err := p.t.Check(run.next, true); err != nil {
		// RFC 7644 §3.5.2.2: what must not be removed is a matter of mutability. An attribute missing before is not
		// this request's fault.
		if e, ok := errors.AsType[*schema.Error](err); ok && p.t.Check(base, true) == nil {
			return Result{}, schema.Invalid(schema.Mutability, e.Attr, "the attribute is required")
		}
	}
	if err := p.t.CheckMutable(base, run.next); err != nil {
		return Result{}, err
	}
	res.Ops = schema.Diff(base, run.next)
	for key := range run.forced {
		if !slices.ContainsFunc(res.Ops, func(o schema.AttrChange) bool { return o.Key == key }) {
			res.Ops = append(res.Ops, schema.AttrChange{Key: key})
		}
	}
	slices.SortFunc(res.Ops, func(a, b schema.AttrChange) int { return strings.Compare(a.Key, b.Key) })
	res.NoOp = len(res.Ops) == 0 && len(res.Members) == 0
	return res, nil
}

// run is the state between two operations.
type run struct {
	p      *Plan
	next   *schema.Resource
	deltas map[string]*delta // by Large attribute that is not loaded
	forced map[string]bool   // secrets removed: the resource does not show that they were there
	left   int               // work that may still be done
}

func (r *run) step(s step) error {
	path := s.target.Path
	a := path.Attr
	switch {
	case a.Mutability == schema.ReadOnly:
		return r.readOnly(s)
	case a.Large && !r.p.whole[a.Name]:
		return r.large(s)
	case a.MultiValued:
		return r.plural(s)
	}
	return r.singular(s)
}

// readOnly lets a value pass that is the one there is: clients send back what they read.
func (r *run) readOnly(s step) error {
	path := s.target.Path
	refuse := schema.Invalid(schema.Mutability, path.String(), "the attribute is readOnly")
	cur := r.next.Lookup(path)
	if s.target.Filter != nil || path.Sub != nil && path.Attr.MultiValued {
		return refuse
	}
	if s.op == "remove" || s.value == nil {
		if cur != nil {
			return refuse
		}
		return nil
	}
	v, err := r.p.c.Value(path.String(), path.Leaf(), s.value)
	if err != nil || !schema.Same(v, cur) {
		return refuse
	}
	return nil
}

// singular changes a simple or complex attribute that has one value.
func (r *run) singular(s step) error {
	path := s.target.Path
	if s.target.Filter != nil {
		if done, err := r.gate(&s); done || err != nil {
			return err
		}
	}
	if path.Sub == nil && path.Attr.Type == schema.Complex {
		return r.object(s)
	}
	leaf := path.Leaf()
	cur := r.next.Lookup(path)
	if s.op == "remove" {
		return r.clear(path, cur)
	}
	v, err := r.p.c.Value(path.String(), leaf, s.value)
	if err != nil {
		return err
	}
	if v == nil {
		if s.op == "add" {
			return nil // adding nothing
		}
		return r.clear(path, cur)
	}
	if path.Sub != nil && path.Sub.Mutability == schema.ReadOnly && !schema.Same(v, cur) {
		return schema.Invalid(schema.Mutability, path.String(), "the attribute is readOnly")
	}
	if list, ok := v.([]any); ok && s.op == "add" { // a multi-valued sub-attribute
		v = union(leaf, elementsOf(cur), list)
	}
	r.next.Set(path, v)
	return nil
}

// clear removes what path names. What may not be removed is found when all operations are done, but for readOnly.
func (r *run) clear(path schema.Path, cur any) error {
	if path.Leaf().Mutability == schema.ReadOnly && cur != nil {
		return schema.Invalid(schema.Mutability, path.String(), "the attribute is readOnly")
	}
	if path.Secret() {
		r.forced[path.Key()] = true
	}
	r.next.Set(path, nil)
	return nil
}

// object changes a singular complex attribute as a whole: sub-attributes that are named are set, null ones removed by
// a replace, others stay (RFC 7644 §3.5.2.1, §3.5.2.3).
func (r *run) object(s step) error {
	path := s.target.Path
	cur, _ := r.next.Lookup(path).(schema.Object)
	if s.op == "remove" {
		return r.clear(path, r.next.Lookup(path))
	}
	v, err := r.p.c.Value(path.Key(), path.Attr, s.value)
	if err != nil {
		return err
	}
	sent, isObject := s.value.(schema.Object)
	if v == nil && !isObject {
		if s.op == "add" {
			return nil
		}
		return r.clear(path, r.next.Lookup(path))
	}
	next, _ := schema.CloneValue(cur).(schema.Object)
	if now, ok := v.(schema.Object); ok {
		if old := cur["value"]; path.Attr.Sub("value") != nil && now["value"] != nil && !schema.Same(old, now["value"]) {
			for _, sub := range path.Attr.SubAttributes { // another manager has another name
				if sub.Mutability == schema.ReadOnly {
					delete(next, sub.Name)
				}
			}
		}
		for k, e := range now {
			next[k] = e
		}
	}
	if s.op == "replace" {
		for k, e := range sent {
			if sub := path.Attr.Sub(k); sub != nil && e == nil && sub.Mutability != schema.ReadOnly {
				delete(next, sub.Name)
			}
		}
	}
	if len(next) == 0 {
		r.next.Set(path, nil)
	} else {
		r.next.Set(path, next)
	}
	return nil
}
