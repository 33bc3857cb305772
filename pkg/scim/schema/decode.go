package schema

import (
	"encoding/json"
	"slices"
	"strings"
)

// Decode turns the body of a POST or PUT into a resource: names in the schema's spelling, values checked and coerced as
// c allows, readOnly attributes left out (RFC 7644 §3.3, §3.5.1). given holds the keys of the attributes the body names,
// null ones included. It does not look for missing required attributes; see Check.
func (t *Type) Decode(body Object, c Compat) (r *Resource, given map[string]bool, err error) {
	r = &Resource{Type: t.Name, Attrs: Object{}}
	given = map[string]bool{}
	listed, err := t.listedSchemas(body, c)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range sortedKeys(body) {
		v := body[key]
		if ext, ok := t.ExtensionOf(key); ok {
			if !c.LooseSchemas && !slices.Contains(listed, lower(ext.ID)) {
				return nil, nil, Invalid(InvalidSyntax, "schemas", "the extension %s is used but not listed", ext.ID)
			}
			if err := t.decodeExtension(r, ext, v, c, given); err != nil {
				return nil, nil, err
			}
			continue
		}
		p, ok := t.Attr(nil, key)
		if !ok {
			if !c.IgnoreUnknown {
				return nil, nil, Invalid(InvalidSyntax, key, "no such attribute in resource type %s", t.Name)
			}
			continue
		}
		if err := r.take(p, v, c, given); err != nil {
			return nil, nil, err
		}
	}
	return r, given, nil
}

func (t *Type) decodeExtension(r *Resource, ext *Schema, v any, c Compat, given map[string]bool) error {
	o, ok := v.(Object)
	if v != nil && !ok {
		return Invalid(InvalidValue, ext.ID, "want an object")
	}
	for _, key := range sortedKeys(o) {
		p, ok := t.Attr(ext, key)
		if !ok {
			if !c.IgnoreUnknown {
				return Invalid(InvalidSyntax, ext.ID+":"+key, "no such attribute")
			}
			continue
		}
		if err := r.take(p, o[key], c, given); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resource) take(p Path, v any, c Compat, given map[string]bool) error {
	key := p.Key()
	if given[key] {
		return Invalid(InvalidSyntax, key, "the attribute is there twice")
	}
	given[key] = true
	if p.Attr.Mutability == ReadOnly {
		return nil
	}
	v, err := c.Value(key, p.Attr, v)
	if err != nil {
		return err
	}
	if list, ok := v.([]any); ok {
		if v, err = c.settle(key, p.Attr, list); err != nil {
			return err
		}
	}
	r.Set(p, v)
	return nil
}

// settle applies RFC 7643 §2.4 to a whole list: no two elements with the same type and value, one primary.
func (c Compat) settle(key string, a *Attribute, list []any) ([]any, error) {
	seen := map[[2]string]bool{}
	primary := false
	out := list[:0]
	for _, e := range list {
		if !a.Large { // which is a set anyway, and may be long
			id, ok := a.identity(e)
			if ok && seen[id] {
				if !c.DropDuplicates {
					return nil, Invalid(InvalidValue, key, "two elements have the same type and value")
				}
				continue
			}
			seen[id] = ok
		}
		if o, isObject := e.(Object); isObject && o["primary"] == true {
			if primary {
				if !c.FirstPrimary {
					return nil, Invalid(InvalidValue, key, "more than one element is primary")
				}
				o["primary"] = false
			}
			primary = true
		}
		out = append(out, e)
	}
	return out, nil
}

// identity returns what makes an element of a the same as another: type and value. It is not ok without a value.
func (a *Attribute) identity(e any) (id [2]string, ok bool) {
	o, isObject := e.(Object)
	if !isObject {
		s, isText := e.(string)
		return [2]string{"", a.Key(s)}, isText
	}
	sub := a.Sub("value")
	s, isText := o["value"].(string)
	if sub == nil || !isText {
		return id, false
	}
	if a.RefersToResource() {
		return [2]string{"", s}, true // the type says what the id is, it does not make another member
	}
	kind, _ := o["type"].(string)
	return [2]string{Fold(kind), sub.Key(s)}, true
}

// SameElement reports whether two elements of a are the same one: see ElementKey.
func (a *Attribute) SameElement(x, y any) bool { return a.ElementKey(x) == a.ElementKey(y) }

// ElementKey returns what makes an element of a the same as another: type and value, compared by the schema's rules, or,
// without a value, all of it. It is for maps, so that lists are compared in linear time.
func (a *Attribute) ElementKey(e any) [2]string {
	if id, ok := a.identity(e); ok {
		return id
	}
	data, err := json.Marshal(e) // keys are sorted, so equal objects are equal texts
	if err != nil {
		return [2]string{"\x00"}
	}
	return [2]string{"\x00", string(data)}
}

// listedSchemas reads "schemas" (RFC 7643 §3). Loosely, anything may be in it or missing.
func (t *Type) listedSchemas(body Object, c Compat) ([]string, error) {
	var listed []string
	for _, key := range sortedKeys(body) {
		if lower(key) != "schemas" {
			continue
		}
		list, ok := body[key].([]any)
		if !ok && (!c.LooseSchemas || body[key] != nil) {
			return nil, Invalid(InvalidSyntax, "schemas", "want a list of URNs")
		}
		for _, e := range list {
			urn, ok := e.(string)
			if !ok {
				return nil, Invalid(InvalidSyntax, "schemas", "want a list of URNs")
			}
			if _, known := t.ExtensionOf(urn); !known && lower(urn) != lower(t.Core.ID) && !c.LooseSchemas {
				return nil, Invalid(InvalidSyntax, "schemas", "a URN is not a schema of resource type %s", t.Name)
			}
			listed = append(listed, lower(urn))
		}
	}
	if !c.LooseSchemas && !slices.Contains(listed, lower(t.Core.ID)) {
		return nil, Invalid(InvalidSyntax, "schemas", "%s is not listed", t.Core.ID)
	}
	return listed, nil
}

// Check reports the first required attribute or extension that r lacks, as a 400 invalidValue (RFC 7643 §2.2). For an
// update Large and writeOnly attributes are not looked at, because r was loaded without them.
func (t *Type) Check(r *Resource, update bool) error {
	if err := checkRequired(t.Core, "", r.Attrs, update); err != nil {
		return err
	}
	for _, e := range t.Extensions {
		o := r.Ext[e.Schema.ID]
		if len(o) == 0 && !e.Required {
			continue
		}
		if err := checkRequired(e.Schema, e.Schema.ID+":", o, update); err != nil {
			return err
		}
		if len(o) == 0 {
			return Invalid(InvalidValue, e.Schema.ID, "the extension is required")
		}
	}
	return nil
}

func checkRequired(s *Schema, prefix string, o Object, update bool) error {
	for _, a := range s.Attributes {
		if !a.Required || a.Mutability == ReadOnly || a.Large && update || a.Mutability == WriteOnly && update {
			continue
		}
		v := o[a.Name]
		if text, ok := v.(string); v == nil || ok && strings.TrimSpace(text) == "" {
			return Invalid(InvalidValue, prefix+a.Name, "a value is required")
		}
	}
	return nil
}
