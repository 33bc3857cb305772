package scim

import (
	"slices"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// references returns what a new or replaced resource refers to.
func references(t *resourceType, r *Resource) (refs []patch.Reference) {
	for _, path := range t.paths() {
		a := path.Attr
		if !a.RefersToResource() || a.Mutability == schema.ReadOnly {
			continue
		}
		switch v := r.Lookup(path).(type) {
		case Object:
			refs = append(refs, patch.Reference{Attr: a, ID: str(v["value"]), Object: v})
		case []any:
			refs = slices.Grow(refs, len(v))
			for _, e := range v {
				if o, ok := e.(Object); ok {
					refs = append(refs, patch.Reference{Attr: a, ID: str(o["value"]), Object: o})
				}
			}
		}
	}
	return refs
}

// refer checks what a new or replaced resource refers to.
func (q request) refer(t *resourceType, r *Resource) error {
	lost, err := q.lost(references(t, r))
	if err != nil || len(lost) == 0 {
		return err
	}
	for _, path := range t.paths() {
		if list, ok := r.Lookup(path).([]any); ok && path.Attr.RefersToResource() && path.Attr.Mutability != schema.ReadOnly {
			r.Set(path, slices.DeleteFunc(list, func(e any) bool {
				o, _ := e.(Object)
				return lost[str(o["value"])]
			}))
		}
	}
	return nil
}

// referPlan is refer for a PATCH, before anything is loaded.
func (q request) referPlan(plan *patch.Plan) error {
	lost, err := q.lost(plan.References())
	if err == nil && len(lost) > 0 {
		plan.Drop(lost)
	}
	return err
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// lost asks the stores which resources exist, and writes into the elements of which type they are. It returns the ids
// that lead nowhere where the client's preset has them ignored, else a 400 that names the attribute.
func (q request) lost(refs []patch.Reference) (map[string]bool, error) {
	refs = slices.DeleteFunc(refs, func(r patch.Reference) bool { return r.ID == "" })
	var attrs []*schema.Attribute
	for _, r := range refs {
		if !slices.Contains(attrs, r.Attr) {
			attrs = append(attrs, r.Attr)
		}
	}
	lost := map[string]bool{}
	for _, a := range attrs {
		its := refs
		if len(attrs) > 1 { // there may be very many, so they are copied only when they must be
			its = slices.DeleteFunc(slices.Clone(refs), func(r patch.Reference) bool { return r.Attr != a })
		}
		missing, err := q.missing(a, its)
		if err != nil {
			return nil, err
		}
		for _, id := range missing {
			if !q.p.Compat.IgnoreLostMembers {
				if shown := schema.Shown(id); !a.Secret() && !a.Sub("value").Secret() {
					return nil, schema.Invalid(schema.InvalidValue, a.Name+".value", "no such resource: %s", shown)
				}
				return nil, schema.Invalid(schema.InvalidValue, a.Name+".value", "no such resource")
			}
			lost[id] = a.MultiValued // a dangling single value, such as a manager yet to come, is kept
		}
	}
	return lost, nil
}

func (q request) missing(a *schema.Attribute, refs []patch.Reference) ([]string, error) {
	ids := make([]string, 0, len(refs))
	for _, r := range refs {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	typed := a.Sub("type")
	unsure := false
	for _, name := range a.Sub("$ref").ReferenceTypes {
		t := q.s.named[name]
		if t == nil {
			continue
		}
		res, ok := q.store(t).(Resolver)
		if !ok {
			unsure = true // who cannot be asked may have them
			continue
		}
		if len(ids) == 0 {
			break
		}
		missing, err := res.Missing(q.ctx(), ids)
		if err != nil {
			return nil, err
		}
		if typed != nil && slices.Contains(typed.CanonicalValues, name) && len(missing) < len(ids) {
			gone := make(map[string]bool, len(missing))
			for _, id := range missing {
				gone[id] = true
			}
			asked := make(map[string]bool, len(ids))
			for _, id := range ids {
				asked[id] = true
			}
			for _, r := range refs {
				if r.Object != nil && asked[r.ID] && !gone[r.ID] {
					r.Object["type"] = name
				}
			}
		}
		ids = missing
	}
	if unsure {
		return nil, nil
	}
	return ids, nil
}
