package schema

import "slices"

// WithoutSecrets returns a copy of r without its secret attributes and sub-attributes. What a change is computed from
// holds none, so a secret in the result is one that was sent.
func (t *Type) WithoutSecrets(r *Resource) *Resource {
	c := r.Clone()
	dropSecrets(t.Core, c.Attrs)
	for _, e := range t.Extensions {
		if o := c.Ext[e.Schema.ID]; o != nil {
			if dropSecrets(e.Schema, o); len(o) == 0 {
				delete(c.Ext, e.Schema.ID)
			}
		}
	}
	return c
}

func dropSecrets(s *Schema, o Object) {
	for _, a := range s.Attributes {
		switch {
		case a.Secret():
			delete(o, a.Name)
		case a.Type == Complex && slices.ContainsFunc(a.SubAttributes, (*Attribute).Secret):
			for _, e := range elements(o[a.Name]) {
				for _, sub := range a.SubAttributes {
					if in, ok := e.(Object); ok && sub.Secret() {
						delete(in, sub.Name)
					}
				}
			}
		}
	}
}

// KeepSecrets copies into next the secrets of old that the change does not touch: those at the top level not among ops,
// and those within a singular complex value that is still there. For stores that keep a resource in one piece.
func (t *Type) KeepSecrets(old, next *Resource, ops []AttrChange) {
	keep := func(p Path) {
		if slices.ContainsFunc(ops, func(o AttrChange) bool { return o.Key == p.Key() }) && p.Sub == nil {
			return
		}
		if v := old.Lookup(p); v != nil && next.Lookup(p) == nil && (p.Sub == nil || next.Lookup(Path{Ext: p.Ext, Attr: p.Attr}) != nil) {
			next.Set(p, CloneValue(v))
		}
	}
	for p := range t.attributes() {
		if p.Attr.Secret() {
			keep(p)
			continue
		}
		for _, sub := range p.Attr.SubAttributes {
			if sub.Secret() && !p.Attr.MultiValued {
				keep(Path{p.Ext, p.Attr, sub})
			}
		}
	}
}

// attributes yields the path of every top-level attribute of core and extension schemas.
func (t *Type) attributes() func(func(Path) bool) {
	return func(yield func(Path) bool) {
		for _, a := range t.Core.Attributes {
			if !yield(Path{Attr: a}) {
				return
			}
		}
		for _, e := range t.Extensions {
			for _, a := range e.Schema.Attributes {
				if !yield(Path{Ext: e.Schema, Attr: a}) {
					return
				}
			}
		}
	}
}

// elements returns the elements of a list, a single value as a list of one, nothing for nil.
func elements(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// Carry completes the resource a PUT asks for (RFC 7644 §3.5.1) from the current one: identity, readOnly values, and
// immutable ones not given; with c.PutKeepsAbsent everything not given. given is as from Decode. cur is without secrets.
func (t *Type) Carry(cur, next *Resource, given map[string]bool, c Compat) {
	next.ID, next.Version, next.Created, next.LastModified = cur.ID, cur.Version, cur.Created, cur.LastModified
	if c.PutKeepsAbsent && !given["externalId"] {
		next.ExternalID = cur.ExternalID
	}
	for p := range t.attributes() {
		if p.Attr.Large {
			continue
		}
		old := cur.Lookup(p)
		switch m := p.Attr.Mutability; {
		case old == nil:
		case m == ReadOnly,
			m == Immutable && next.Lookup(p) == nil,
			c.PutKeepsAbsent && !given[p.Key()]:
			next.Set(p, CloneValue(old))
		case p.Attr.Type == Complex:
			p.Attr.carrySubs(old, next.Lookup(p))
		}
	}
}

// carrySubs keeps readOnly sub-attributes in the elements that stay: the same singular value, or an element with the
// same identity.
func (a *Attribute) carrySubs(old, next any) {
	for _, sub := range a.SubAttributes {
		if sub.Mutability != ReadOnly {
			continue
		}
		for _, e := range elements(next) {
			e := e.(Object)
			for _, o := range elements(old) {
				o := o.(Object)
				// A readOnly sub-attribute describes the value: another manager has another name.
				if v := o[sub.Name]; v != nil && (a.Sub("value") == nil && !a.MultiValued || a.SameElement(o, e)) {
					e[sub.Name] = v
				}
			}
		}
	}
}

// CheckMutable reports the first immutable attribute or sub-attribute of cur that next changes or lacks, as a 400 mutability
// (RFC 7643 §7). Large attributes are not looked at.
func (t *Type) CheckMutable(cur, next *Resource) error {
	for p := range t.attributes() {
		if p.Attr.Large {
			continue
		}
		old, now := cur.Lookup(p), next.Lookup(p)
		if old == nil {
			continue
		}
		if p.Attr.Mutability == Immutable && !Same(old, now) {
			return Invalid(Mutability, p.Key(), "the attribute is immutable")
		}
		for _, sub := range p.Attr.SubAttributes {
			if sub.Mutability != Immutable {
				continue
			}
			for _, o := range elements(old) {
				for _, e := range elements(now) {
					o, e := o.(Object), e.(Object)
					if (!p.Attr.MultiValued || p.Attr.SameElement(o, e)) && o[sub.Name] != nil && !Same(o[sub.Name], e[sub.Name]) {
						return Invalid(Mutability, p.Key()+"."+sub.Name, "the attribute is immutable")
					}
				}
			}
		}
	}
	return nil
}
