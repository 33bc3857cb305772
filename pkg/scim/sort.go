package scim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Sort orders resources as SortKey says, ties by id. It is the reference for stores that sort themselves.
func Sort(rs []*Resource, keys []SortKey) {
	slices.SortStableFunc(rs, func(a, b *Resource) int {
		for _, k := range keys {
			n := compare(k.value(a), k.value(b))
			if k.Desc {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// value is what a resource is ordered by.
func (k SortKey) value(r *Resource) any {
	v := r.Lookup(k.Path)
	if list, ok := v.([]any); ok {
		v = nil
		for i, e := range list {
			if o, ok := e.(Object); i == 0 || ok && o["primary"] == true {
				v = e
			}
		}
		if o, ok := v.(Object); ok && k.Path.Sub != nil {
			v = o[k.Path.Sub.Name]
		}
	}
	if o, ok := v.(Object); ok {
		v = o["value"]
	}
	leaf := k.Path.Leaf()
	if leaf.Type == schema.Complex {
		leaf = leaf.Sub("value")
	}
	if s, ok := v.(string); ok && leaf != nil {
		if leaf.Type == schema.DateTime {
			if t, err := schema.ParseTime(s); err == nil {
				return t.UnixNano()
			}
		}
		return leaf.Key(s)
	}
	return v
}

// compare orders two values of one attribute; nil is last.
func compare(a, b any) int {
	switch x := a.(type) {
	case nil:
		if b == nil {
			return 0
		}
		return 1
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case bool:
		if y, ok := b.(bool); ok && x != y {
			if y {
				return -1
			}
			return 1
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			f, _ := x.Float64()
			g, _ := y.Float64()
			return cmp.Compare(f, g)
		}
	}
	if b == nil {
		return -1
	}
	return 0
}

// sortKey reads sortBy and sortOrder.
func (q request) sortKey(t *resourceType, by, order string) ([]SortKey, error) {
	if by == "" {
		return nil, nil
	}
	path, err := t.Resolve(by, schema.InvalidPath)
	if err != nil {
		return nil, err
	}
	if path.Attr == nil || path.Secret() || path.Attr.Large || path.Key() == "schemas" ||
		path.Leaf().Type == schema.Complex && path.Leaf().Sub("value") == nil || path.String() == "meta.location" {
		return nil, schema.Invalid(schema.InvalidPath, path.String(), "cannot be sorted by")
	}
	switch {
	case order == "" || strings.EqualFold(order, "ascending"):
		return []SortKey{{Path: path}}, nil
	case strings.EqualFold(order, "descending"):
		return []SortKey{{Path: path, Desc: true}}, nil
	}
	return nil, schema.Invalid(schema.InvalidValue, "sortOrder", "want ascending or descending")
}

// Finish returns the resources and the total of a page. What a store left to the engine is done here: the candidates are
// filtered, sorted and paged. More than q.MaxScan candidates are a 400 tooMany.
func (q *Query) Finish(page *Page) ([]*Resource, int, error) {
	if page.Residual == nil && !page.Unsorted {
		return page.Resources, page.Total, nil
	}
	if len(page.Resources) > q.MaxScan {
		return nil, 0, schema.Invalid(schema.TooMany, "", "the filter or order needs more than %d resources to be looked at; narrow it by an indexed attribute", q.MaxScan)
	}
	rs := slices.DeleteFunc(slices.Clone(page.Resources), func(r *Resource) bool { return !filter.Match(page.Residual, r) })
	Sort(rs, q.Sort)
	total := len(rs)
	from := min(q.Offset, total)
	return rs[from:min(from+q.Count, total)], total, nil
}
