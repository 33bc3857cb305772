package filter

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Match reports whether r makes x true. A nil x matches everything.
func Match(x Expr, r *schema.Resource) bool { return x == nil || eval(x, scope{r: r}) }

// MatchElem reports whether one element of a multi-valued attribute, or a singular complex value, makes true the
// expression that stood in brackets: Elem.X or Target.Filter.
func MatchElem(x Expr, element any) bool { return x == nil || eval(x, scope{elem: element}) }

// scope is what paths are looked up in: a resource, or one element.
type scope struct {
	r    *schema.Resource
	elem any
}

func (s scope) lookup(p schema.Path) any {
	if s.r != nil {
		return s.r.Lookup(p)
	}
	if o, ok := s.elem.(schema.Object); ok && p.Sub != nil {
		return o[p.Sub.Name]
	}
	if p.Sub != nil {
		return nil
	}
	return s.elem
}

func eval(x Expr, s scope) bool {
	switch x := x.(type) {
	case And:
		return eval(x.L, s) && eval(x.R, s)
	case Or:
		return eval(x.L, s) || eval(x.R, s)
	case Not:
		return !eval(x.X, s)
	case Present:
		return present(s.lookup(x.Path))
	case Cmp:
		v := s.lookup(x.Path)
		if list, ok := v.([]any); ok { // a sub-attribute may be multi-valued itself
			for _, e := range list {
				if x.holds(e) {
					return true
				}
			}
			return false
		}
		return x.holds(v)
	case Elem:
		list, _ := s.lookup(schema.Path{Ext: x.Path.Ext, Attr: x.Path.Attr}).([]any)
		for _, e := range list {
			if eval(x.X, scope{elem: e}) {
				return true
			}
		}
	}
	return false
}

func present(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case schema.Object:
		return len(v) > 0
	}
	return true
}

// holds compares one value; a value of another type than the attribute's counts as absent.
func (x Cmp) holds(v any) bool {
	n, ok := 0, false
	switch want := x.Value.V.(type) {
	case string:
		var s string
		if s, ok = v.(string); !ok {
			break
		}
		s = x.Path.Leaf().Key(s)
		switch x.Op {
		case Co:
			return strings.Contains(s, x.Value.Key)
		case Sw:
			return strings.HasPrefix(s, x.Value.Key)
		case Ew:
			return strings.HasSuffix(s, x.Value.Key)
		}
		n = cmp.Compare(s, x.Value.Key)
	case bool:
		var b bool
		if b, ok = v.(bool); b != want {
			n = 1
		}
	case int64:
		var i int64
		i, ok = v.(int64)
		n = cmp.Compare(i, want)
	case json.Number:
		var d json.Number
		if d, ok = v.(json.Number); ok {
			n = schema.CompareNumbers(d, want)
		}
	case time.Time:
		var s string
		if s, ok = v.(string); ok {
			t, err := schema.ParseTime(s)
			ok, n = err == nil, t.Compare(want)
		}
	}
	if !ok {
		return x.Op == Ne
	}
	switch x.Op {
	case Eq:
		return n == 0
	case Ne:
		return n != 0
	case Gt:
		return n > 0
	case Ge:
		return n >= 0
	case Lt:
		return n < 0
	case Le:
		return n <= 0
	}
	return false
}
