package filter

import (
	"encoding/json"
	"strconv"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// present lowers "path pr". Inside brackets path speaks of the element.
func (p *parser) present(path schema.Path) Expr {
	if path.Attr.MultiValued && path.Sub != nil && p.elem == nil {
		return Elem{schema.Path{Ext: path.Ext, Attr: path.Attr}, Present{path}}
	}
	return Present{path}
}

// compare lowers "path op v": a complex attribute stands for its value, a multi-valued one for any element.
func (p *parser) compare(path schema.Path, op Op, v any) (Expr, error) {
	if v == nil {
		switch op {
		case Eq:
			return Not{p.present(path)}, nil
		case Ne:
			return p.present(path), nil
		}
		return nil, schema.Invalid(p.code, path.String(), "null has no order")
	}
	if leaf := path.Leaf(); leaf.Type == schema.Complex {
		if path.Sub = leaf.Sub("value"); path.Sub == nil {
			return nil, schema.Invalid(p.code, path.Key(), "a complex attribute cannot be compared; name a sub-attribute")
		}
		if err := searchable(path, p.code); err != nil {
			return nil, err
		}
	}
	value, err := p.value(path, op, v)
	if err != nil {
		return nil, err
	}
	x := Cmp{path, op, value}
	if path.Attr.MultiValued && p.elem == nil {
		return Elem{schema.Path{Ext: path.Ext, Attr: path.Attr}, x}, nil
	}
	return x, nil
}

// value types the right side by the attribute (RFC 7644 §3.4.2.2: no order on booleans and binaries).
func (p *parser) value(path schema.Path, op Op, v any) (Value, error) {
	a := path.Leaf()
	wrong := func(why string) (Value, error) { return Value{}, schema.Invalid(p.code, path.String(), "%s", why) }
	isText := op == Co || op == Sw || op == Ew
	isOrder := op == Gt || op == Ge || op == Lt || op == Le
	switch a.Type {
	case schema.Boolean:
		if isText || isOrder {
			return wrong("a boolean can only be compared with eq and ne")
		}
		b, ok := v.(bool)
		if s, isString := v.(string); isString && p.compat.StringBooleans {
			c, err := p.compat.Element(path.String(), a, s)
			if b, ok = c.(bool); err != nil {
				ok = false
			}
		}
		if !ok {
			return wrong("want true or false")
		}
		return Value{V: b}, nil
	case schema.Integer, schema.Decimal:
		n, ok := v.(json.Number)
		if !ok {
			return wrong("want a number")
		}
		if isText {
			return wrong("a number has no text operators")
		}
		if a.Type == schema.Integer {
			i, err := strconv.ParseInt(string(n), 10, 64)
			if err != nil {
				return wrong("want an integer of at most 64 bits")
			}
			return Value{V: i}, nil
		}
		if _, err := n.Float64(); err != nil || len(n) > 64 {
			return wrong("want a number of at most 64 digits")
		}
		return Value{V: n}, nil
	}
	s, ok := v.(string)
	if !ok {
		return wrong("want a string in quotes")
	}
	switch a.Type {
	case schema.DateTime:
		if isText {
			return wrong("a dateTime has no text operators")
		}
		t, err := schema.ParseTime(s)
		if err != nil {
			return wrong("want a dateTime such as 2026-11-22T09:30:00Z")
		}
		return Value{V: t}, nil
	case schema.Binary:
		if isText || isOrder {
			return wrong("a binary can only be compared with eq and ne")
		}
		return Value{V: s, Key: s}, nil
	}
	return Value{V: s, Key: a.Key(s)}, nil
}
