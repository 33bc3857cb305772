package filter

import (
	"slices"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// ParseAcross reads a filter over resources of several types (RFC 7644 §3.4.2.1). What a type does not have is without a
// value in it; an attribute that none of them has is a 400 invalidFilter like every other fault. A type that cannot match,
// whatever its resources are, is not in the result; a nil Expr matches all of them.
func ParseAcross(types []*schema.Type, text string, c schema.Compat) (map[*schema.Type]Expr, error) {
	found := make(map[*schema.Type]Expr, len(types))
	var everywhere []absence
	for i, t := range types {
		p := parser{t: t, s: text, compat: c, code: schema.InvalidFilter, absent: &absences{}}
		if err := p.fit(); err != nil {
			return nil, err
		}
		x, err := p.whole()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			everywhere = p.absent.list
		} else {
			everywhere = slices.DeleteFunc(everywhere, func(a absence) bool { return !p.absent.has(a.at) })
		}
		switch x {
		case constant(false):
		case constant(true):
			found[t] = nil
		default:
			found[t] = x
		}
	}
	if len(everywhere) > 0 {
		return nil, everywhere[0].err
	}
	return found, nil
}

// absence is a place in a filter that means nothing to a type.
type absence struct {
	at  int
	err error
}

type absences struct{ list []absence }

func (a *absences) has(at int) bool {
	return slices.ContainsFunc(a.list, func(b absence) bool { return b.at == at })
}

// excuses notes that the comparison that is being read means nothing to this type, and reports whether that is no fault.
func (p *parser) excuses(err error) bool {
	if p.absent == nil {
		return false
	}
	p.absent.list = append(p.absent.list, absence{p.terms, err})
	return true
}

// secret reports whether comparing path is asking for a secret: that is a fault in every type.
func secret(path schema.Path) bool {
	sub := path.Leaf().Sub("value")
	return path.Secret() || sub != nil && sub.Secret()
}

// void reads the rest of a comparison of an attribute this type does not have.
func (p *parser) void() (Expr, error) {
	if p.elem == nil && p.take('[') {
		if err := p.down(); err != nil {
			return nil, err
		}
		p.elem = &schema.Path{Attr: &schema.Attribute{Name: "none", Type: schema.Complex}} // without sub-attributes: nothing inside is known
		_, err := p.or()
		p.elem = nil
		if err != nil {
			return nil, err
		}
		if p.space(); !p.take(']') {
			return nil, p.fault("a closing bracket is missing")
		}
		p.depth--
		if !p.compat.BracketFilters || !p.take('.') {
			return constant(false), nil
		}
		p.word()
	}
	p.space()
	at := p.pos
	op := Op(strings.ToLower(p.word()))
	switch op {
	case "pr":
		return constant(false), nil
	case Eq, Ne, Co, Sw, Ew, Gt, Ge, Lt, Le:
	default:
		p.pos = at
		return nil, p.fault("an operator is missing")
	}
	v, err := p.literal()
	if err != nil {
		return nil, err
	}
	return constant(v == nil && op == Eq || v != nil && op == Ne), nil
}

// constant is what part of a filter comes to for every resource of a type. It is folded while the filter is read and in no
// finished tree.
type constant bool

func (constant) expr() {}

// node is a constant in the six kinds: every resource has an id.
func (b constant) node(t *schema.Type) Expr {
	id, _ := t.Attr(nil, "id")
	if b {
		return Present{id}
	}
	return Not{Present{id}}
}

func and(l, r Expr) Expr {
	if b, ok := l.(constant); ok {
		if b {
			return r
		}
		return b
	}
	if b, ok := r.(constant); ok {
		if b {
			return l
		}
		return b
	}
	return And{l, r}
}

func or(l, r Expr) Expr {
	if b, ok := l.(constant); ok {
		if b {
			return b
		}
		return r
	}
	if b, ok := r.(constant); ok {
		if b {
			return b
		}
		return l
	}
	return Or{l, r}
}

func not(x Expr) Expr {
	if b, ok := x.(constant); ok {
		return !b
	}
	return Not{x}
}
