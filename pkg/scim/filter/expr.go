package filter

import "github.com/regain-id/regain/pkg/scim/schema"

// Expr is a filter resolved against a schema. It is one of six node kinds: And, Or, Not, Cmp, Present, Elem. All of them
// are two-valued: a comparison with an absent attribute is false, except that ne is true.
type Expr interface{ expr() }

// And is true when both sides are.
type And struct{ L, R Expr }

// Or is true when either side is.
type Or struct{ L, R Expr }

// Not is true when X is not.
type Not struct{ X Expr }

// Cmp compares the value at Path, never a multi-valued one unless inside an Elem over it, with Value.
type Cmp struct {
	Path  schema.Path
	Op    Op
	Value Value
}

// Present is true when Path has a value that is not empty (RFC 7644 §3.4.2.2, pr). Path may be multi-valued.
type Present struct{ Path schema.Path }

// Elem is true when one element of the multi-valued attribute at Path makes X true. Paths inside X are absolute: their
// Attr is Path.Attr, their Sub the element's sub-attribute, or nil for the element itself when elements are simple.
type Elem struct {
	Path schema.Path
	X    Expr
}

func (And) expr()     {}
func (Or) expr()      {}
func (Not) expr()     {}
func (Cmp) expr()     {}
func (Present) expr() {}
func (Elem) expr()    {}

// Op is a comparison operator in lower case (RFC 7644 §3.4.2.2, table 3). "eq null" and "ne null" never appear: they
// are resolved to Present.
type Op string

// The operators.
const (
	Eq Op = "eq"
	Ne Op = "ne"
	Co Op = "co"
	Sw Op = "sw"
	Ew Op = "ew"
	Gt Op = "gt"
	Ge Op = "ge"
	Lt Op = "lt"
	Le Op = "le"
)

// Value is the typed right side of a comparison. V is string, bool, int64, json.Number or time.Time according to the
// attribute's type. Key is what strings are compared by: the text itself where the attribute is caseExact, its
// schema.Fold otherwise.
type Value struct {
	V   any
	Key string
}

// Keys returns the keys of the top-level attributes x looks at, each once.
func Keys(x Expr) []string {
	var keys []string
	seen := map[string]bool{}
	Walk(x, func(x Expr) {
		var p schema.Path
		switch x := x.(type) {
		case Cmp:
			p = x.Path
		case Present:
			p = x.Path
		case Elem:
			p = x.Path
		default:
			return
		}
		if k := p.Key(); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	})
	return keys
}

// Walk calls f on x and on every node below it, parents first. A nil x is no node.
func Walk(x Expr, f func(Expr)) {
	if x == nil {
		return
	}
	f(x)
	switch x := x.(type) {
	case And:
		Walk(x.L, f)
		Walk(x.R, f)
	case Or:
		Walk(x.L, f)
		Walk(x.R, f)
	case Not:
		Walk(x.X, f)
	case Elem:
		Walk(x.X, f)
	}
}
