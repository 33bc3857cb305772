package scim

import (
	"encoding/json"
	"strconv"

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
	start, count              int // start is 1 or more; count is -1 when not given, and may be less than 0 only then
	cursored                  bool
	cursor                    string // empty for the first page
}

// list answers GET of an endpoint (RFC 7644 §3.4.2), or of the base URL (§3.4.2.1).
func (q request) list(types []*resourceType, across bool) (*response, error) {
	v, err := q.query()
	if err != nil {
		return nil, err
	}
	c := criteria{filter: v.Get("filter"), sortBy: v.Get("sortBy"), sortOrder: v.Get("sortOrder"),
		attributes: names(v.Get("attributes")), excluded: names(v.Get("excludedAttributes")), start: 1, count: -1,
		cursored: v.Has("cursor"), cursor: v.Get("cursor")}
	for name, to := range map[string]*int{"startIndex": &c.start, "count": &c.count} {
		if v.Get(name) == "" {
			continue
		}
		if c.cursored && name == "startIndex" {
			return nil, bothWays()
		}
		if *to, err = c.integer(name, v.Get(name)); err != nil {
			return nil, err
		}
	}
	if v.Has("filter") && c.filter == "" {
		return nil, schema.Invalid(schema.InvalidFilter, "filter", "the filter is empty")
	}
	return q.find(types, across, c)
}

func bothWays() error {
	return schema.Invalid(schema.InvalidValue, "startIndex", "a page is found by index or by cursor")
}

// integer reads startIndex and count; too small is as good as the smallest (RFC 7644 §3.4.2.4), but for a count beside a
// cursor (RFC 9865 §2.1).
func (c criteria) integer(name, text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case c.cursored && name == "count" && (err != nil || n < 1):
		return 0, schema.Invalid(schema.InvalidCount, name, "want an integer of 1 or more")
	case err != nil:
		return 0, schema.Invalid(schema.InvalidValue, name, "want an integer of at most 32 bits")
	case name == "startIndex":
		return max(int(n), 1), nil
	}
	return max(int(n), 0), nil
}

// search answers POST of .search (RFC 7644 §3.4.3).
func (q request) search(types []*resourceType, across bool) (*response, error) {
	body, err := q.body(nil)
	if err != nil {
		return nil, err
	}
	text := &schema.Attribute{Name: "text"}
	list := &schema.Attribute{Name: "list", MultiValued: true}
	c := criteria{start: 1, count: -1}
	seen := map[string]bool{}
	for _, key := range sortedKeys(body) { // which of several faults is told must not depend on chance
		v := body[key]
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
		case "cursor":
			c.cursored = v != nil
			c.cursor, err = scalar(key, text, v)
		case "startindex", "count": // below: what they mean depends on the cursor
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
	for key, v := range body {
		if err := c.number(key, v); err != nil {
			return nil, err
		}
	}
	return q.find(types, across, c)
}

// number reads startIndex and count of a search body.
func (c *criteria) number(key string, v any) (err error) {
	low := schema.Fold(key)
	if v == nil || low != "startindex" && low != "count" {
		return nil
	}
	if low == "startindex" && c.cursored {
		return bothWays()
	}
	text := "" // nothing that is a number
	if n, ok := v.(json.Number); ok {
		text = n.String()
	}
	if low == "count" {
		c.count, err = c.integer("count", text)
	} else {
		c.start, err = c.integer("startIndex", text)
	}
	return err
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
