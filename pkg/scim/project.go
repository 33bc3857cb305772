package scim

import (
	"slices"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// projection says which attributes of an answer are shown (RFC 7644 §3.9, RFC 7643 §7 "returned"). It is the last thing
// between a resource and the wire, so nothing secret passes whatever a store returns.
type projection struct {
	t      *resourceType
	only   bool
	in, ex map[string]bool // full paths in the schema's spelling
}

// project reads attributes and excludedAttributes. Names nobody knows are ignored: there is nothing to show.
func project(t *resourceType, attributes, excluded []string) projection {
	p := projection{t: t, in: map[string]bool{}, ex: map[string]bool{}}
	for _, name := range attributes {
		p.only = true
		if path, err := t.Resolve(name, schema.InvalidValue); err == nil {
			p.in[path.String()] = true
			if path.Sub != nil {
				p.in[path.Key()+"."] = true // something inside is wanted
			}
		}
	}
	for _, name := range excluded {
		if path, err := t.Resolve(name, schema.InvalidValue); err == nil {
			p.ex[path.String()] = true
		}
	}
	return p
}

// names splits a comma-separated parameter.
func names(text string) []string {
	var out []string
	for _, n := range strings.Split(text, ",") {
		if n = strings.TrimSpace(n); n != "" {
			out = append(out, n)
		}
	}
	return out
}

// nobodyChose is so for most requests, which then need no names to compare.
func (p projection) nobodyChose() bool { return !p.only && len(p.ex) == 0 }

// shows reports whether a top-level attribute is in the answer.
func (p projection) shows(path schema.Path) bool {
	if p.nobodyChose() {
		return !path.Secret() && path.Attr.Returned != schema.Request
	}
	key := path.Key()
	asked := p.in[key] || p.in[key+"."] || path.Ext != nil && p.in[path.Ext.ID]
	switch {
	case path.Secret():
		return false
	case path.Attr.Returned == schema.Always:
		return true
	case p.ex[key], path.Ext != nil && p.ex[path.Ext.ID]:
		return false
	case p.only || path.Attr.Returned == schema.Request:
		return asked
	}
	return true
}

// showsSub is shows for a sub-attribute of an attribute that is shown.
func (p projection) showsSub(path schema.Path) bool {
	if p.nobodyChose() {
		return !path.Secret() && path.Sub.Returned != schema.Request
	}
	full := path.String()
	switch {
	case path.Secret():
		return false
	case path.Sub.Returned == schema.Always:
		return true
	case p.ex[full]:
		return false
	case path.Sub.Returned == schema.Request:
		return p.in[full]
	case p.in[path.Key()+"."] && !p.in[path.Key()]:
		return p.in[full]
	}
	return true
}

// schemas are the URNs of the schemas a resource has values of. An extension of which there are only secrets is not told.
func (p projection) schemas(r *Resource) []any {
	return slices.DeleteFunc(p.t.Schemas(r), func(urn any) bool {
		ext, ok := p.t.ExtensionOf(urn.(string))
		return ok && !slices.ContainsFunc(ext.Attributes, func(a *schema.Attribute) bool { return !a.Secret() && r.Ext[ext.ID][a.Name] != nil })
	})
}

// selection is what a store must load to answer.
func (p projection) selection() Selection {
	var keys []string
	for _, path := range p.t.paths() {
		if p.shows(path) {
			keys = append(keys, path.Key())
		}
	}
	return Only(keys...)
}

// largeShown reports whether a Large attribute is in the answer.
func (p projection) largeShown() bool {
	for _, a := range p.t.Large() {
		if p.shows(schema.Path{Attr: a}) {
			return true
		}
	}
	return false
}

// paths returns the paths of the top-level attributes, without the common ones.
func (t *resourceType) paths() []schema.Path {
	var out []schema.Path
	for _, a := range t.Core.Attributes {
		out = append(out, schema.Path{Attr: a})
	}
	for _, e := range t.Type.Extensions {
		for _, a := range e.Schema.Attributes {
			out = append(out, schema.Path{Ext: e.Schema, Attr: a})
		}
	}
	return out
}
