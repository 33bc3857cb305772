package patch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Plan is a list of operations resolved against a resource type. Apply does not change it and may be called again with a newer
// resource; Drop and Rename do, and belong before it.
type Plan struct {
	t       *schema.Type
	c       schema.Compat
	steps   []step
	whole   map[string]bool // Large attributes that must be loaded, by key
	touched map[string]bool // readOnly attributes, by key
}

// step is one operation on one place.
type step struct {
	op     string
	target filter.Target
	value  any // as sent, not coerced
	at     int // index of the operation, for errors
	terms  int // comparisons in brackets
}

// NewPlan resolves the paths of ops. An operation without a path becomes one step for each key of its value. Errors are
// 400 invalidPath, noTarget, invalidFilter or invalidSyntax.
func NewPlan(t *schema.Type, ops []Op, c schema.Compat) (*Plan, error) {
	p := &Plan{t: t, c: c, whole: map[string]bool{}, touched: map[string]bool{}}
	for i, op := range ops {
		if err := p.expand(i, op); err != nil {
			return nil, inOp(i, err)
		}
	}
	for i := range p.steps {
		s := &p.steps[i]
		a := s.target.Path.Attr
		s.terms = terms(s.target.Filter)
		if err := p.references(s); err != nil {
			return nil, inOp(s.at, err)
		}
		switch {
		case a.Large && !isDelta(*s):
			p.whole[a.Name] = true
		case a.Mutability == schema.ReadOnly:
			p.touched[s.target.Path.Key()] = true
		}
	}
	return p, nil
}

// Needs returns the keys of the attributes the plan must see that a store may leave out otherwise: Large ones some
// operation looks into, and readOnly ones some operation names.
func (p *Plan) Needs() []string {
	var keys []string
	for k := range p.whole {
		keys = append(keys, k)
	}
	for k := range p.touched {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (p *Plan) expand(at int, op Op) error {
	if op.Path != "" {
		target, err := filter.ParsePath(p.t, op.Path, p.c)
		if err != nil {
			return err
		}
		if target.Path.Attr == nil {
			return p.expandExtension(at, op.Name, target.Path.Ext, op.Value)
		}
		p.steps = append(p.steps, step{op: op.Name, target: target, value: op.Value, at: at})
		return nil
	}
	if op.Name == "remove" {
		return schema.Invalid(schema.NoTarget, "path", "a remove needs a path")
	}
	value, ok := op.Value.(schema.Object)
	if !ok {
		return schema.Invalid(schema.InvalidValue, "value", "without a path the value must be an object")
	}
	understood := len(value) == 0
	for _, key := range sorted(value) {
		known, err := p.expandKey(at, op.Name, key, value[key])
		if err != nil {
			return err
		}
		if !known && !p.c.IgnoreUnknown {
			return schema.Invalid(schema.InvalidPath, key, "no such attribute in resource type %s", p.t.Name)
		}
		understood = understood || known
	}
	if !understood { // doing nothing and answering 200 would make the client believe it was done
		return schema.Invalid(schema.InvalidPath, "value", "no attribute of it is known in resource type %s", p.t.Name)
	}
	return nil
}

// expandKey adds the steps for one key of a value without path.
func (p *Plan) expandKey(at int, op, key string, v any) (known bool, err error) {
	if ext, ok := p.t.ExtensionOf(key); ok {
		return true, p.expandExtension(at, op, ext, v)
	}
	path, ok := p.t.Attr(nil, key)
	target := filter.Target{Path: path}
	if !ok {
		if !p.c.DottedKeys {
			return false, nil
		}
		if target, err = filter.ParsePath(p.t, key, p.c); err != nil {
			return false, nil // as unknown as any other key
		}
	} else if name := path.Attr.Name; name == "schemas" || name == "meta" {
		return true, nil // clients send back what they read; both are the server's
	}
	p.steps = append(p.steps, step{op: op, target: target, value: v, at: at})
	return true, nil
}

// expandExtension adds the steps for a value that holds attributes of an extension.
func (p *Plan) expandExtension(at int, op string, ext *schema.Schema, v any) error {
	o, ok := v.(schema.Object)
	if v == nil {
		if op == "add" {
			return nil
		}
		for _, a := range ext.Attributes { // removing the extension is removing what is in it
			if a.Mutability != schema.ReadOnly {
				p.steps = append(p.steps, step{op: "remove", target: filter.Target{Path: schema.Path{Ext: ext, Attr: a}}, at: at})
			}
		}
		return nil
	}
	if !ok || op == "remove" {
		return schema.Invalid(schema.InvalidValue, ext.ID, "want an object of its attributes, and none for remove")
	}
	for _, key := range sorted(o) {
		path, ok := p.t.Attr(ext, key)
		if !ok {
			if p.c.IgnoreUnknown {
				continue
			}
			return schema.Invalid(schema.InvalidPath, ext.ID+":"+key, "no such attribute")
		}
		p.steps = append(p.steps, step{op: op, target: filter.Target{Path: path}, value: o[key], at: at})
	}
	return nil
}

func sorted(o schema.Object) []string {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// inOp adds to a refusal which operation it is about.
func inOp(i int, err error) error {
	e, ok := errors.AsType[*schema.Error](err)
	if !ok {
		return err
	}
	c := *e
	c.Detail = fmt.Sprintf("operation %d: %s", i+1, e.Detail)
	return &c
}
