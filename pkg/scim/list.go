package scim

import (
	"net/http"
	"strconv"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// URNs of messages (RFC 7644 §8.2).
const (
	listURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
)

// criteria is a search, from a query or a .search body.
type criteria struct {
	filter, sortBy, sortOrder string
	attributes, excluded      []string
	start, count              int // start is 1 or more; count is -1 when not given
}

// list answers GET of an endpoint (RFC 7644 §3.4.2).
func (q request) list(t *resourceType) (*response, error) {
	v, err := q.query()
	if err != nil {
		return nil, err
	}
	c := criteria{filter: v.Get("filter"), sortBy: v.Get("sortBy"), sortOrder: v.Get("sortOrder"),
		attributes: names(v.Get("attributes")), excluded: names(v.Get("excludedAttributes")), start: 1, count: -1}
	for name, to := range map[string]*int{"startIndex": &c.start, "count": &c.count} {
		if v.Get(name) == "" {
			continue
		}
		if *to, err = integer(name, v.Get(name)); err != nil {
			return nil, err
		}
	}
	if v.Has("filter") && c.filter == "" {
		return nil, schema.Invalid(schema.InvalidFilter, "filter", "the filter is empty")
	}
	return q.find(t, c)
}

// integer reads startIndex and count; too small is as good as the smallest (RFC 7644 §3.4.2.4).
func integer(name, text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, schema.Invalid(schema.InvalidValue, name, "want an integer of at most 32 bits")
	}
	if name == "startIndex" {
		return max(int(n), 1), nil
	}
	return max(int(n), 0), nil
}

// search answers POST of .search (RFC 7644 §3.4.3).
func (q request) search(t *resourceType) (*response, error) {
	body, err := q.body(nil)
	if err != nil {
		return nil, err
	}
	text := &schema.Attribute{Name: "text"}
	list := &schema.Attribute{Name: "list", MultiValued: true}
	c := criteria{start: 1, count: -1}
	seen := map[string]bool{}
	for key, v := range body {
		low := schema.Fold(key)
		if seen[low] {
			return nil, schema.Invalid(schema.InvalidSyntax, key, "the attribute is there twice")
		}
		seen[low] = true
		var err error
		switch low {
		case "filter":
			c.filter, err = scalar(key, text, v)
			if err == nil && v != nil && c.filter == "" {
				err = schema.Invalid(schema.InvalidFilter, "filter", "the filter is empty")
			}
		case "sortby":
			c.sortBy, err = scalar(key, text, v)
		case "sortorder":
			c.sortOrder, err = scalar(key, text, v)
		case "attributes":
			c.attributes, err = texts(key, list, v)
		case "excludedattributes":
			c.excluded, err = texts(key, list, v)
		case "startindex", "count":
			n, e := schema.Strict().Element(key, &schema.Attribute{Name: key, Type: schema.Integer}, v)
			i, ok := n.(int64)
			switch {
			case e != nil:
				err = e
			case !ok:
			case low == "count":
				c.count, err = integer("count", strconv.FormatInt(i, 10))
			default:
				c.start, err = integer("startIndex", strconv.FormatInt(i, 10))
			}
		case "schemas":
			if urns, e := texts(key, list, v); !q.p.Compat.LooseSchemas && (e != nil || !contains(urns, searchURN)) {
				err = schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", searchURN)
			}
		default:
			if !q.p.Compat.IgnoreUnknown {
				err = schema.Invalid(schema.InvalidSyntax, key, "not a member of a search request")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if !seen["schemas"] && !q.p.Compat.LooseSchemas {
		return nil, schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", searchURN)
	}
	return q.find(t, c)
}

func scalar(key string, a *schema.Attribute, v any) (string, error) {
	got, err := schema.Strict().Element(key, a, v)
	return str(got), err
}

func texts(key string, a *schema.Attribute, v any) ([]string, error) {
	got, err := schema.Strict().Value(key, a, v)
	list, _ := got.([]any)
	var out []string
	for _, e := range list {
		out = append(out, names(str(e))...)
	}
	return out, err
}

// find runs a search and answers with a ListResponse.
func (q request) find(t *resourceType, c criteria) (*response, error) {
	var x filter.Expr
	var err error
	if c.filter != "" {
		if x, err = q.filter(t, c.filter); err != nil {
			return nil, err
		}
	}
	sort, err := q.sortKey(t, c.sortBy, c.sortOrder)
	if err != nil {
		return nil, err
	}
	lim := q.s.cfg.Limits
	if c.count < 0 {
		c.count = lim.DefaultResults
	}
	p := project(t, c.attributes, c.excluded)
	query := &Query{Filter: x, Sort: sort, Offset: c.start - 1, Count: min(c.count, lim.MaxResults), WantTotal: true,
		Select: p.selection(), MaxScan: lim.MaxScan}
	page, err := q.store(t).List(q.ctx(), query)
	if err != nil {
		return nil, err
	}
	found, total, err := query.Finish(page)
	if err != nil {
		return nil, err
	}
	e := encoder{s: q.s}
	first := true
	e.b.WriteByte('{')
	e.key(&first, "schemas")
	e.value([]string{listURN})
	for _, n := range []struct {
		name string
		n    int
	}{{"totalResults", total}, {"startIndex", c.start}, {"itemsPerPage", len(found)}} {
		e.key(&first, n.name)
		e.value(n.n)
	}
	e.key(&first, "Resources")
	e.b.WriteByte('[')
	for i, r := range found {
		if i > 0 {
			e.b.WriteByte(',')
		}
		e.resource(p, r)
	}
	e.b.WriteString("]}")
	return &response{status: http.StatusOK, body: e.b.Bytes()}, nil
}
