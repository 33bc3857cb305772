package scim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Sort orders resources as SortKey says, ties by id. It is the reference for stores that sort themselves.
func Sort(rs []*Resource, keys []SortKey) {
	slices.SortStableFunc(rs, func(a, b *Resource) int {
		for _, k := range keys {
			if n := k.compare(k.value(a), k.value(b)); n != 0 {
				return n
			}
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// compare orders two values by k.
func (k SortKey) compare(a, b any) int {
	if k.Desc {
		return compare(b, a)
	}
	return compare(a, b)
}

// KeysetOf returns the place of r in the order of keys.
func KeysetOf(r *Resource, keys []SortKey) *Keyset {
	at := &Keyset{ID: r.ID}
	for _, k := range keys {
		at.Values = append(at.Values, k.value(r))
	}
	return at
}

// Before reports whether the place is before that of r. It is the reference for stores that page themselves.
func (at *Keyset) Before(r *Resource, keys []SortKey) bool {
	for i, k := range keys {
		if i < len(at.Values) {
			if n := k.compare(at.Values[i], k.value(r)); n != 0 {
				return n < 0
			}
		}
	}
	return at.ID < r.ID
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
				return t.UTC()
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
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
	case json.Number:
		if y, ok := b.(json.Number); ok {
			return schema.CompareNumbers(x, y)
		}
	}
	if b == nil {
		return -1
	}
	return 0
}

// sortKey reads sortBy; a secret is one error for every type, so that it can be told from what is only unknown to a type.
func sortKey(t *resourceType, by string, desc bool) (keys []SortKey, secret bool, err error) {
	path, err := t.Resolve(by, schema.InvalidPath)
	if err != nil {
		return nil, false, err
	}
	if path.Attr == nil || path.Secret() || path.Attr.Large || path.Key() == "schemas" ||
		path.Leaf().Type == schema.Complex && path.Leaf().Sub("value") == nil || path.String() == "meta.location" {
		return nil, path.Secret(), schema.Invalid(schema.InvalidPath, path.String(), "cannot be sorted by")
	}
	if sub := path.Leaf().Sub("value"); path.Leaf().Type == schema.Complex && sub.Secret() {
		return nil, true, schema.Invalid(schema.InvalidPath, path.String(), "cannot be sorted by")
	}
	return []SortKey{{Path: path, Desc: desc}}, false, nil
}

// descending reads sortOrder.
func descending(order string) (bool, error) {
	switch {
	case order == "" || strings.EqualFold(order, "ascending"):
		return false, nil
	case strings.EqualFold(order, "descending"):
		return true, nil
	}
	return false, schema.Invalid(schema.InvalidValue, "sortOrder", "want ascending or descending")
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
	if q.After != nil {
		rs = slices.DeleteFunc(rs, func(r *Resource) bool { return !q.After.Before(r, q.Sort) })
	}
	from := min(q.Offset, len(rs))
	return rs[from:min(from+q.Count, len(rs))], total, nil
}
