package patch

import (
	"slices"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Reference is a value of the plan that names another resource. Object is the element it is in, which the caller may
// complete with a "type"; nil when the id stands alone.
type Reference struct {
	Attr   *schema.Attribute
	ID     string
	Object schema.Object
}

// references brings the values of a step on a referring attribute into canonical form early, so that References sees
// them before anything is loaded.
func (p *Plan) references(s *step) error {
	path := s.target.Path
	if s.op == "remove" || path.Attr.Mutability == schema.ReadOnly || !path.Attr.RefersToResource() || s.value == nil {
		return nil
	}
	v := s.value
	var err error
	if path.Sub != nil {
		s.value, err = p.c.Value(path.String(), path.Sub, v)
		return err
	}
	switch _, isList := v.([]any); {
	case s.target.Filter != nil || !path.Attr.MultiValued:
		s.value, err = p.c.Element(path.Key(), path.Attr, v)
		return err
	case !isList && s.op == "add":
		v = []any{v}
	}
	s.value, err = p.c.Value(path.Key(), path.Attr, v)
	return err
}

// References returns what the plan would make the resource refer to (RFC 7643 §2.3.7).
func (p *Plan) References() []Reference {
	var out []Reference
	for _, s := range p.steps {
		path := s.target.Path
		if s.op == "remove" || path.Attr.Mutability == schema.ReadOnly || !path.Attr.RefersToResource() {
			continue
		}
		if path.Sub != nil {
			if id, ok := s.value.(string); ok && path.Sub.Name == "value" && id != "" {
				out = append(out, Reference{path.Attr, id, nil})
			}
			continue
		}
		list, ok := s.value.([]any)
		if !ok {
			list = []any{s.value}
		}
		out = slices.Grow(out, len(list))
		for _, e := range list {
			if o, ok := e.(schema.Object); ok && text(o["value"]) != "" {
				out = append(out, Reference{path.Attr, text(o["value"]), o})
			}
		}
	}
	return out
}

// Drop removes from the lists of the plan the elements that refer to lost resources.
func (p *Plan) Drop(lost map[string]bool) {
	for i, s := range p.steps {
		list, ok := s.value.([]any)
		if !ok || s.op == "remove" || !s.target.Path.Attr.RefersToResource() {
			continue
		}
		kept := []any{} // not nil: a replace by what is left must not become a removal of its own meaning
		for _, e := range list {
			if o, ok := e.(schema.Object); !ok || !lost[text(o["value"])] {
				kept = append(kept, e)
			}
		}
		p.steps[i].value = kept
	}
}

// Rename replaces what the plan refers to: an id that is a key of ids by its value. It does not look into filters.
func (p *Plan) Rename(ids map[string]string) {
	for i, s := range p.steps {
		path := s.target.Path
		if path.Attr.Mutability == schema.ReadOnly || !path.Attr.RefersToResource() {
			continue
		}
		if id, ok := s.value.(string); ok && path.Sub != nil && path.Sub.Name == "value" {
			if to, known := ids[id]; known {
				p.steps[i].value = to
			}
			continue
		}
		list, ok := s.value.([]any)
		if !ok {
			list = []any{s.value}
		}
		for _, e := range list {
			if o, ok := e.(schema.Object); ok && path.Sub == nil {
				if to, known := ids[text(o["value"])]; known {
					o["value"] = to
				}
			}
		}
	}
}
