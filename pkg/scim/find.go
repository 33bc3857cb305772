package scim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// part is what a search is to one resource type.
type part struct {
	t     *resourceType
	p     projection
	query Query
	text  string // of the filter
}

// hit is one resource found, and where.
type hit struct {
	at    int // index of the part
	r     *Resource
	value any // what it is sorted by; used across types only
}

// find runs a search over types and answers with a ListResponse. Across types (RFC 7644 §3.4.2.1) what a type does not have
// is without a value; the order is that of the types, and by id within one, unless one is asked for.
func (q request) find(types []*resourceType, across bool, c criteria) (*response, error) {
	desc, err := descending(c.sortOrder)
	if err != nil {
		return nil, err
	}
	lim := q.s.cfg.Limits
	if c.cursored && c.count > lim.MaxResults {
		return nil, schema.Invalid(schema.InvalidCount, "count", "want an integer of 1 to %d", lim.MaxResults)
	}
	if c.count < 0 {
		c.count = lim.DefaultResults
	}
	c.count = min(c.count, lim.MaxResults)
	parts, err := q.parts(types, across, c, desc)
	if err != nil {
		return nil, err
	}
	if c.cursored {
		return q.turn(parts, across, c, desc)
	}
	total := 0
	var hits []hit
	if len(parts) > 1 && c.sortBy != "" {
		hits, total, err = q.merged(parts, c, desc)
	} else {
		hits, total, err = q.chained(parts, c)
	}
	if err != nil {
		return nil, err
	}
	return q.listed(parts, hits, []member{{"totalResults", total}, {"startIndex", c.start}, {"itemsPerPage", len(hits)}}), nil
}

// parts says what is to be found in each type. Types the filter cannot match are left out.
func (q request) parts(types []*resourceType, across bool, c criteria, desc bool) ([]*part, error) {
	filters := make(map[*schema.Type]filter.Expr, len(types))
	kinds := make([]*schema.Type, len(types))
	for i, t := range types {
		kinds[i] = t.Type
		filters[t.Type] = nil
	}
	var err error
	switch {
	case c.filter == "":
	case across:
		filters, err = filter.ParseAcross(kinds, c.filter, q.p.Compat)
	default:
		filters[kinds[0]], err = filter.Parse(kinds[0], c.filter, q.p.Compat)
	}
	if err != nil {
		return nil, err
	}
	var out []*part
	var unsorted error
	sorted := c.sortBy == ""
	for _, t := range types {
		x, can := filters[t.Type]
		p := project(t, c.attributes, c.excluded)
		query := Query{Filter: x, Count: c.count, Select: p.selection(), MaxScan: q.s.cfg.Limits.MaxScan}
		if c.sortBy != "" {
			keys, secret, err := sortKey(t, c.sortBy, desc)
			switch {
			case secret:
				return nil, err
			case err != nil && unsorted == nil:
				unsorted = err
			case err == nil:
				sorted = true
				query.Sort = keys
				query.Select = query.Select.Plus(keys[0].Path.Key()) // the last resource's value is where the next page begins
			}
		}
		if can {
			out = append(out, &part{t, p, query, c.filter})
		}
	}
	if !sorted && unsorted != nil { // no type has it
		return nil, unsorted
	}
	return out, nil
}

// rows asks the store of a part, and how many there are in all if query.WantTotal says so.
func (q request) rows(p *part, query Query) ([]*Resource, int, error) {
	want := query.WantTotal
	var known counted
	if want {
		known = q.s.counts.look(q.countKey(p), q.s.now())
		query.WantTotal = !known.ok
	}
	page, err := q.store(p.t).List(q.ctx(), &query)
	if err != nil {
		return nil, 0, err
	}
	found, total, err := query.Finish(page)
	if err != nil || !want || page.Residual != nil || page.Unsorted {
		return found, total, err
	}
	reached := 0
	if len(found) > 0 {
		reached = query.Offset + len(found)
	}
	switch {
	case len(found) < query.Count && (reached > 0 || query.Offset == 0): // the end is in sight
		return found, reached, nil
	case known.ok:
		return found, max(known.total, reached), nil
	}
	q.s.counts.keep(q.countKey(p), total, known.era, q.s.now())
	return found, max(total, reached), nil
}

// chained finds a page in one type after the other.
func (q request) chained(parts []*part, c criteria) (hits []hit, total int, err error) {
	skip := c.start - 1
	for i, p := range parts {
		query := p.query
		query.Offset, query.Count, query.WantTotal = skip, c.count-len(hits), true
		found, n, err := q.rows(p, query)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range found {
			hits = append(hits, hit{at: i, r: r})
		}
		total += n
		skip = max(0, skip-n)
	}
	return hits, total, nil
}

// merged finds a page in an order over all types: every type gives as many as the page could need of it.
func (q request) merged(parts []*part, c criteria, desc bool) (hits []hit, total int, err error) {
	need := c.start - 1 + c.count
	if most := q.s.cfg.Limits.MaxScan; need > most && c.count > 0 {
		return nil, 0, schema.Invalid(schema.TooMany, "startIndex", "an order over several types reaches to result %d; use a cursor, or ask one type", most)
	}
	for i, p := range parts {
		query := p.query
		query.Count, query.WantTotal = need, true
		if c.count == 0 {
			query.Count = 0
		}
		found, n, err := q.rows(p, query)
		if err != nil {
			return nil, 0, err
		}
		total += n
		hits = append(hits, p.hits(i, found)...)
	}
	order(hits, desc)
	from := min(c.start-1, len(hits))
	return hits[from:min(from+c.count, len(hits))], total, nil
}

func (p *part) hits(at int, found []*Resource) []hit {
	out := make([]hit, len(found))
	for i, r := range found {
		out[i] = hit{at: at, r: r}
		if len(p.query.Sort) > 0 {
			out[i].value = p.query.Sort[0].value(r)
		}
	}
	return out
}

// order sorts resources of several types. What is of different kinds in different types is ordered by kind.
func order(hits []hit, desc bool) {
	key := SortKey{Desc: desc}
	slices.SortStableFunc(hits, func(a, b hit) int {
		n := 0
		if ra, rb := rank(a.value), rank(b.value); ra != rb {
			n = ra - rb
			if desc {
				n = -n
			}
		} else {
			n = key.compare(a.value, b.value)
		}
		switch {
		case n != 0:
			return n
		case a.at != b.at:
			return a.at - b.at
		}
		return strings.Compare(a.r.ID, b.r.ID)
	})
}

// rank orders the kinds of values; none comes last, as everywhere.
func rank(v any) int {
	switch v.(type) {
	case bool:
		return 0
	case int64:
		return 1
	case json.Number:
		return 2
	case time.Time:
		return 3
	case string:
		return 4
	}
	return 5
}

// member is one member of an answer beside its resources.
type member struct {
	name  string
	value any
}

// listed is the answer that shows resources (RFC 7644 §3.4.2).
func (q request) listed(parts []*part, hits []hit, members []member) *response {
	e := encoder{s: q.s}
	first := true
	e.b.WriteByte('{')
	e.key(&first, "schemas")
	e.value([]string{listURN})
	for _, m := range members {
		e.key(&first, m.name)
		e.value(m.value)
	}
	e.key(&first, "Resources")
	e.b.WriteByte('[')
	for i, h := range hits {
		if i > 0 {
			e.b.WriteByte(',')
		}
		e.resource(parts[h.at].p, h.r)
	}
	e.b.WriteString("]}")
	return &response{status: http.StatusOK, body: e.b.Bytes()}
}
