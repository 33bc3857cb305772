package schema

import (
	"slices"
	"time"
)

// Object is a complex value, or the attributes of one schema, by canonical attribute name. An absent attribute has no
// entry: no nil and no empty list is ever stored (RFC 7643 §2.5).
type Object = map[string]any

// Resource is one SCIM resource in canonical form: names in the schema's spelling, values of the Go types listed at
// DataType. ID, Version and the times are assigned by the store. Version is opaque: printable ASCII without quotes.
type Resource struct {
	Type         string // name of the resource type
	ID           string
	ExternalID   string // empty: none
	Version      string
	Created      time.Time
	LastModified time.Time
	Attrs        Object            // core attributes; never id, externalId, meta or schemas
	Ext          map[string]Object // extension attributes by the extension's URN; an empty one has no entry
}

// Clone returns a deep copy.
func (r *Resource) Clone() *Resource {
	c := *r
	c.Attrs, _ = CloneValue(r.Attrs).(Object)
	c.Ext = nil
	if len(r.Ext) > 0 {
		c.Ext = make(map[string]Object, len(r.Ext))
		for urn, o := range r.Ext {
			c.Ext[urn], _ = CloneValue(o).(Object)
		}
	}
	return &c
}

// CloneValue returns a deep copy of an attribute's value.
func CloneValue(v any) any {
	switch v := v.(type) {
	case Object:
		if v == nil {
			return Object{}
		}
		c := make(Object, len(v))
		for k, e := range v {
			c[k] = CloneValue(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = CloneValue(e)
		}
		return c
	}
	return v
}

// Get returns the value of a core attribute by canonical name, or nil.
func (r *Resource) Get(name string) any { return r.Attrs[name] }

// Text returns a core string attribute by canonical name, or "".
func (r *Resource) Text(name string) string {
	s, _ := r.Attrs[name].(string)
	return s
}

// Extension returns the attributes under an extension's URN in its canonical spelling, or nil.
func (r *Resource) Extension(urn string) Object { return r.Ext[urn] }

// Set stores a value at the attribute p names, a sub-attribute included when the attribute is singular; nil or an
// empty list removes it. It panics on a path without an attribute.
func (r *Resource) Set(p Path, v any) {
	if list, ok := v.([]any); ok && len(list) == 0 {
		v = nil
	}
	if p.Ext == nil {
		switch p.Attr.Name {
		case "externalId":
			r.ExternalID, _ = v.(string)
			return
		case "id":
			r.ID, _ = v.(string)
			return
		}
		if r.Attrs == nil {
			r.Attrs = Object{}
		}
		setIn(r.Attrs, p, v)
		return
	}
	o := r.Ext[p.Ext.ID]
	if o == nil {
		o = Object{}
	}
	setIn(o, p, v)
	if len(o) == 0 {
		delete(r.Ext, p.Ext.ID)
		return
	}
	if r.Ext == nil {
		r.Ext = map[string]Object{}
	}
	r.Ext[p.Ext.ID] = o
}

func setIn(o Object, p Path, v any) {
	if p.Sub == nil {
		if v == nil {
			delete(o, p.Attr.Name)
		} else {
			o[p.Attr.Name] = v
		}
		return
	}
	in, _ := o[p.Attr.Name].(Object)
	if in == nil {
		in = Object{}
	}
	if v == nil {
		delete(in, p.Sub.Name)
	} else {
		in[p.Sub.Name] = v
	}
	if len(in) == 0 {
		delete(o, p.Attr.Name)
	} else {
		o[p.Attr.Name] = in
	}
}

// Lookup returns the value p names, or nil. For a sub-attribute of a multi-valued attribute it returns the whole list:
// what to do with the elements is the caller's choice. meta.location is not known here and nil.
func (r *Resource) Lookup(p Path) any {
	if p.Ext != nil {
		o := r.Ext[p.Ext.ID]
		if p.Attr == nil {
			if len(o) == 0 {
				return nil
			}
			return o
		}
		return subOf(o[p.Attr.Name], p)
	}
	switch p.Attr.Name {
	case "id":
		return text(r.ID)
	case "externalId":
		return text(r.ExternalID)
	case "meta":
		if p.Sub == nil {
			return Object{"resourceType": r.Type}
		}
		switch p.Sub.Name {
		case "resourceType":
			return text(r.Type)
		case "version":
			return text(r.Version)
		case "created":
			return stamp(r.Created)
		case "lastModified":
			return stamp(r.LastModified)
		}
		return nil
	}
	return subOf(r.Attrs[p.Attr.Name], p)
}

func subOf(v any, p Path) any {
	if p.Sub == nil || v == nil {
		return v
	}
	if o, ok := v.(Object); ok {
		return o[p.Sub.Name]
	}
	return v
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return Stamp(t)
}

// Stamp writes a time as a SCIM dateTime in UTC, to the microsecond (RFC 7643 §2.3.5): what is shown is what filters
// compare with.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

// Same reports whether two attribute values are equal. Lists of complex values are compared in order.
func Same(a, b any) bool {
	switch x := a.(type) {
	case Object:
		y, ok := b.(Object)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			w, ok := y[k]
			if !ok || !Same(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, Same)
	}
	switch b.(type) {
	case Object, []any:
		return false
	}
	return a == b
}
