package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Type is a core schema and its extensions, indexed for look-up: what a resource of one type may contain (RFC 7643 §6).
type Type struct {
	Name       string
	Core       *Schema
	Extensions []Extension

	core   map[string]*Attribute // lower-case name, common attributes included
	ext    map[string]int        // lower-case URN → index in Extensions
	extern []map[string]*Attribute
	large  []*Attribute
}

// NewType joins a core schema and extensions. It completes them in place (empty Mutability, Returned, Uniqueness and Type
// get their defaults) and refuses a definition with a fault: unknown words, names twice, sub-attributes on simple
// attributes, complex within complex (RFC 7643 §2.3.8). The schemas must not be changed afterwards.
func NewType(name string, core *Schema, extensions ...Extension) (*Type, error) {
	if name == "" || core == nil {
		return nil, fmt.Errorf("resource type %q: a name and a core schema are needed", name)
	}
	t := &Type{Name: name, Core: core, Extensions: extensions, core: map[string]*Attribute{}, ext: map[string]int{}}
	if err := t.index(t.core, core); err != nil {
		return nil, err
	}
	for _, a := range common() {
		if t.core[lower(a.Name)] != nil {
			return nil, fmt.Errorf("schema %s: attribute %s is common to all resources", core.ID, a.Name)
		}
		t.core[lower(a.Name)] = a
	}
	for i, e := range extensions {
		urn := lower(e.Schema.ID)
		if _, ok := t.ext[urn]; ok || urn == lower(core.ID) {
			return nil, fmt.Errorf("resource type %s: schema %s is there twice", name, e.Schema.ID)
		}
		names := map[string]*Attribute{}
		if err := t.index(names, e.Schema); err != nil {
			return nil, err
		}
		t.ext[urn] = i
		t.extern = append(t.extern, names)
	}
	return t, nil
}

func (t *Type) index(names map[string]*Attribute, s *Schema) error {
	if !strings.Contains(s.ID, ":") {
		return fmt.Errorf("schema %q: the id must be a URN", s.ID)
	}
	for _, a := range s.Attributes {
		if err := a.complete(); err != nil {
			return fmt.Errorf("schema %s: %w", s.ID, err)
		}
		low := lower(a.Name)
		if names[low] != nil {
			return fmt.Errorf("schema %s: attribute %s is there twice", s.ID, a.Name)
		}
		names[low] = a
		if a.Large {
			if s != t.Core {
				return fmt.Errorf("schema %s: large attribute %s must be in a core schema", s.ID, a.Name)
			}
			t.large = append(t.large, a)
		}
	}
	return nil
}

func (a *Attribute) complete() error {
	def := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	if a.Type == "" {
		a.Type = String
	}
	def(&a.Mutability, ReadWrite)
	def(&a.Returned, Default)
	def(&a.Uniqueness, None)
	if !validName(a.Name) {
		return fmt.Errorf("attribute %q: not a name of RFC 7643 §2.1", a.Name)
	}
	for _, w := range []struct {
		word string
		ok   []string
	}{
		{string(a.Type), []string{"string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"}},
		{a.Mutability, []string{ReadWrite, ReadOnly, Immutable, WriteOnly}},
		{a.Returned, []string{Always, Never, Default, Request}},
		{a.Uniqueness, []string{None, Server, Global}},
	} {
		if !slices.Contains(w.ok, w.word) {
			return fmt.Errorf("attribute %s: unknown word %q", a.Name, w.word)
		}
	}
	if a.Mutability == WriteOnly {
		a.Returned = Never // RFC 7643 §7: writeOnly is never returned; a definition that forgets must not leak
	}
	if (a.Type == Complex) != (len(a.SubAttributes) > 0) {
		return fmt.Errorf("attribute %s: a complex attribute, and no other, has sub-attributes", a.Name)
	}
	seen := map[string]bool{}
	for _, s := range a.SubAttributes {
		if s.Type == Complex {
			return fmt.Errorf("attribute %s.%s: complex within complex", a.Name, s.Name)
		}
		if err := s.complete(); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		if low := lower(s.Name); seen[low] {
			return fmt.Errorf("attribute %s.%s is there twice", a.Name, s.Name)
		} else {
			seen[low] = true
		}
	}
	if a.Large && (!a.MultiValued || a.Type != Complex || a.Sub("value") == nil || a.Sub("value").MultiValued) {
		return fmt.Errorf("attribute %s: a large attribute is a list of objects with a value", a.Name)
	}
	return nil
}

// validName follows RFC 7643 §2.1 (ALPHA, then ALPHA DIGIT - _), and lets "$ref" through.
func validName(s string) bool {
	if s == "$ref" {
		return true
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// Large returns the attributes of t that are Large.
func (t *Type) Large() []*Attribute { return t.large }

// LargeKeys returns the keys of the Large attributes.
func (t *Type) LargeKeys() []string {
	var keys []string
	for _, a := range t.large {
		keys = append(keys, a.Name)
	}
	return keys
}

// ExtensionOf returns the extension with that URN in any letter case.
func (t *Type) ExtensionOf(urn string) (*Schema, bool) {
	i, ok := t.ext[lower(urn)]
	if !ok {
		return nil, false
	}
	return t.Extensions[i].Schema, true
}

// Attr returns the path of a top-level attribute of the core schema (ext nil), a common one included, or of an extension.
func (t *Type) Attr(ext *Schema, name string) (Path, bool) {
	names := t.core
	if ext != nil {
		names = t.extern[t.ext[lower(ext.ID)]]
	}
	a := names[lower(name)]
	return Path{Ext: ext, Attr: a}, a != nil
}

// Resolve reads an attribute path (RFC 7644 §3.10): [URN ":"] name ["." name], in any letter case. An extension's
// URN alone is the path of the extension. The error is a 400 with the given code and names the path.
func (t *Type) Resolve(path string, code Code) (Path, error) {
	var p Path
	rest := path
	if i := strings.LastIndexByte(path, ':'); i >= 0 {
		// The URN may hold dots and, in part, look like another one: the longest schema id that ends at a colon wins.
		if ext, ok := t.ExtensionOf(path); ok {
			return Path{Ext: ext}, nil
		}
		urn := path[:i]
		rest = path[i+1:]
		if lower(urn) != lower(t.Core.ID) {
			ext, ok := t.ExtensionOf(urn)
			if !ok {
				return Path{}, Invalid(code, path, "no such schema in resource type %s", t.Name)
			}
			p.Ext = ext
		}
	}
	name, sub, dotted := strings.Cut(rest, ".")
	var ok bool
	if p, ok = t.Attr(p.Ext, name); !ok {
		return Path{}, Invalid(code, path, "no such attribute in resource type %s", t.Name)
	}
	if dotted {
		if p.Sub = p.Attr.Sub(sub); p.Sub == nil {
			return Path{}, Invalid(code, path, "no such sub-attribute in %s", p.Key())
		}
	}
	return p, nil
}

// Schemas returns the URNs of r's schemas: the core one and those of the extensions it has values in.
func (t *Type) Schemas(r *Resource) []any {
	urns := []any{t.Core.ID}
	for _, e := range t.Extensions {
		if len(r.Ext[e.Schema.ID]) > 0 {
			urns = append(urns, e.Schema.ID)
		}
	}
	return urns
}

// common are the attributes of every resource (RFC 7643 §3.1).
func common() []*Attribute {
	exact := func(name string, typ DataType) *Attribute {
		return &Attribute{Name: name, Type: typ, CaseExact: true, Mutability: ReadOnly, Returned: Default, Uniqueness: None}
	}
	id := exact("id", String)
	id.Returned, id.Uniqueness = Always, Server
	external := exact("externalId", String)
	external.Mutability = ReadWrite
	meta := exact("meta", Complex)
	meta.SubAttributes = []*Attribute{exact("resourceType", String), exact("created", DateTime),
		exact("lastModified", DateTime), exact("location", Reference), exact("version", String)}
	schemas := exact("schemas", Reference)
	schemas.MultiValued, schemas.Returned = true, Always
	return []*Attribute{id, external, meta, schemas}
}
