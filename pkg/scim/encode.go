package scim

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// encoder writes resources as JSON in a fixed order: schemas, id, externalId, the attributes as the schemas list them, meta.
type encoder struct {
	s *Server
	b bytes.Buffer
}

func (e *encoder) key(first *bool, name string) {
	if !*first {
		e.b.WriteByte(',')
	}
	*first = false
	if !e.text(name) {
		e.value(name)
	}
	e.b.WriteByte(':')
}

func (e *encoder) value(v any) {
	if e.plain(v) {
		return
	}
	data, err := json.Marshal(v)
	if err != nil { // only a store that breaks its contract gets here
		data = []byte("null")
	}
	e.b.Write(data)
}

// location is the absolute URL of a resource; it never depends on the request.
func (s *Server) location(t *resourceType, id string) string {
	return s.base + path(t, id)
}

// path is where the resources of a type stand below the base URL, or one of them.
func path(t *resourceType, id ...string) string {
	if len(id) == 0 {
		return t.Endpoint
	}
	return t.Endpoint + "/" + url.PathEscape(id[0])
}

func (e *encoder) resource(p projection, r *Resource) {
	t := p.t
	first := true
	e.b.WriteByte('{')
	e.key(&first, "schemas")
	e.value(p.schemas(r))
	e.key(&first, "id")
	e.value(r.ID)
	if path, _ := t.Attr(nil, "externalId"); r.ExternalID != "" && p.shows(path) {
		e.key(&first, "externalId")
		e.value(r.ExternalID)
	}
	e.attributes(&first, p, nil, t.Core, r.Attrs)
	for _, x := range t.Type.Extensions {
		o := r.Ext[x.Schema.ID]
		if !slices.ContainsFunc(x.Schema.Attributes, func(a *schema.Attribute) bool {
			return o[a.Name] != nil && p.shows(schema.Path{Ext: x.Schema, Attr: a})
		}) {
			continue
		}
		e.key(&first, x.Schema.ID)
		e.b.WriteByte('{')
		inner := true
		e.attributes(&inner, p, x.Schema, x.Schema, o)
		e.b.WriteByte('}')
	}
	if path, _ := t.Attr(nil, "meta"); p.shows(path) {
		e.key(&first, "meta")
		e.meta(p, path, r)
	}
	e.b.WriteByte('}')
}

func (e *encoder) meta(p projection, path schema.Path, r *Resource) {
	first := true
	e.b.WriteByte('{')
	for _, m := range []struct{ name, value string }{
		{"resourceType", p.t.ResourceType.Name}, {"created", schema.Stamp(r.Created)}, {"lastModified", schema.Stamp(r.LastModified)},
		{"location", e.s.location(p.t, r.ID)}, {"version", etag(r.Version)},
	} {
		if path.Sub = path.Attr.Sub(m.name); p.showsSub(path) {
			e.key(&first, m.name)
			e.value(m.value)
		}
	}
	e.b.WriteByte('}')
}

func (e *encoder) attributes(first *bool, p projection, ext, s *schema.Schema, o Object) {
	for _, a := range s.Attributes {
		path := schema.Path{Ext: ext, Attr: a}
		v := o[a.Name]
		if v == nil || !p.shows(path) {
			continue
		}
		if a.Type != schema.Complex {
			e.key(first, a.Name)
			e.value(v)
			continue
		}
		start, wasFirst := e.b.Len(), *first
		e.key(first, a.Name)
		if !e.complex(p, path, v) { // nothing of it is shown: RFC 7643 §2.5 knows no empty values
			e.b.Truncate(start)
			*first = wasFirst
		}
	}
}

func (e *encoder) complex(p projection, path schema.Path, v any) bool {
	if o, ok := v.(Object); ok {
		return e.object(p, path, o)
	}
	list, _ := v.([]any)
	e.b.WriteByte('[')
	shown := false
	for _, x := range list {
		at := e.b.Len()
		if shown {
			e.b.WriteByte(',')
		}
		o, _ := x.(Object)
		if !e.object(p, path, o) {
			e.b.Truncate(at)
			continue
		}
		shown = true
	}
	e.b.WriteByte(']')
	return shown
}

func (e *encoder) object(p projection, path schema.Path, o Object) bool {
	first := true
	e.b.WriteByte('{')
	for _, sub := range path.Attr.SubAttributes {
		path.Sub = sub
		v := o[sub.Name]
		if v == nil && sub.Name == "$ref" {
			if uri := e.s.reference(path.Attr, o); uri != "" {
				v = uri
			}
		}
		if v == nil || !p.showsSub(path) {
			continue
		}
		e.key(&first, sub.Name)
		e.value(v)
	}
	e.b.WriteByte('}')
	return !first
}

// reference makes the $ref of an element that names a resource by value: of the type it states, or the only one possible.
func (s *Server) reference(a *schema.Attribute, o Object) string {
	id, _ := o["value"].(string)
	if id == "" || !a.RefersToResource() {
		return ""
	}
	to := a.Sub("$ref").ReferenceTypes
	if kind, _ := o["type"].(string); slices.Contains(to, kind) && s.named[kind] != nil {
		return s.location(s.named[kind], id)
	}
	if len(to) == 1 && s.named[to[0]] != nil {
		return s.location(s.named[to[0]], id)
	}
	return ""
}

// one is the answer that shows one resource.
func (q request) one(status int, p projection, r *Resource) *response {
	e := encoder{s: q.s}
	e.resource(p, r)
	return &response{status: status, body: e.b.Bytes(), etag: etag(r.Version), location: q.s.location(p.t, r.ID)}
}
