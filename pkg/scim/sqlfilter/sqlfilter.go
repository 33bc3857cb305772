// Package sqlfilter compiles SCIM filters to SQL for PostgreSQL and SQLite, as far as the columns known to it reach, and
// returns what is left for the engine to evaluate.
//
//	c := sqlfilter.Compiler{
//		Dialect: sqlfilter.PostgreSQL,
//		Columns: map[string]sqlfilter.Column{"userName": {Expr: "u.user_name_key"}, "meta.created": {Expr: "u.created_at", Time: true}},
//		Children: map[string]sqlfilter.Child{"emails": {From: "user_emails e", On: "e.user_id = u.id",
//			Columns: map[string]sqlfilter.Column{"value": {Expr: "e.value_key"}, "type": {Expr: "e.type_key"}}}},
//	}
//	where, args, residual := c.Where(q.Filter, 0)
//
// Values never become part of the text. Text is compared as keys: a column of an attribute that is not caseExact holds
// schema.Fold of its value, made in Go, so no lower(), LIKE or NOCASE is needed, "starts with" is a range on an
// index, and both engines agree. Order is by bytes: SQLite's default, in PostgreSQL a column declared COLLATE "C".
package sqlfilter

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Dialect is the SQL spoken.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota // 15 or newer
	SQLite                    // 3.39 or newer
)

// Column is where a singular value stands. Expr is SQL text written by the programmer: a text column of keys for
// strings and references, a boolean one (0 and 1 in SQLite) for booleans, an integer one for integers.
type Column struct {
	Expr string
	// Time says that the column of a dateTime holds microseconds since 1970 UTC. A dateTime without it is not compiled.
	Time bool
	// Convert turns a key into an argument for a column of another type than text, such as uuid. Only eq and ne are
	// compiled then; not ok means that no row can hold the value.
	Convert func(key string) (arg any, ok bool)
	// NotNull says that every row has a value: an index on the column then serves the order and the place where a page begins.
	NotNull bool
	// Indexed says that an index finds the few rows with a value; see Compiler.Finds.
	Indexed bool
	// Unique says that no two rows that are asked for have the same value, NULL aside: with NotNull an order by the column needs no tie, and an
	// index on it alone serves the order.
	Unique bool
}

// Child is a table with the elements of a multi-valued attribute.
type Child struct {
	From    string            // table and alias
	On      string            // condition that ties it to the row of the resource
	Columns map[string]Column // by name of sub-attribute; "value" for elements that are not complex
	// Of in (select Owner from From where Where and …) says the same as On by which exists (…) is tied to its row. SQLite is
	// asked so for what an index finds, because it would try every row otherwise. Empty when there is no such way.
	Of, Owner, Where string
}

// Compiler knows the columns of one resource type. Columns are named by the path of the attribute as schema.Path.String
// writes it ("userName", "name.familyName", "urn:…:User:department", "meta.created"), children by the key of the
// attribute ("emails"). A Compiler is not changed by use and may be shared.
type Compiler struct {
	Dialect  Dialect
	Columns  map[string]Column
	Children map[string]Child
	// Fold makes the keys of text that is not caseExact; nil means schema.Fold. It must be what filled the columns.
	Fold func(string) string
}

// maxJoins is how many conditions on elements PostgreSQL may make joins of: it thinks about the order of many for seconds. One
// that "is true" it evaluates row by row.
const maxJoins = 4

// Where compiles x. The text is a condition for AND with others, "" when there is none; its placeholders are $n, the
// first one $offset+1, in the order of args. residual is the part not compiled, nil if none: a row is in the answer if it
// fulfils both.
func (c *Compiler) Where(x filter.Expr, offset int) (where string, args []any, residual filter.Expr) {
	if x == nil {
		return "", nil, nil
	}
	w := writer{c: c, offset: offset}
	var pushed []filter.Expr
	for _, part := range conjuncts(x, nil) {
		if c.can(part, nil) {
			pushed = append(pushed, part)
		} else if residual == nil {
			residual = part
		} else {
			residual = filter.And{L: residual, R: part}
		}
	}
	elems := 0
	for i, part := range pushed {
		if i > 0 {
			w.put(" and ")
		}
		w.expr(part, nil)
		if _, ok := part.(filter.Elem); ok {
			if elems++; elems > maxJoins && c.Dialect == PostgreSQL {
				w.put(" is true")
			}
		}
	}
	return w.b.String(), w.args, residual
}

func conjuncts(x filter.Expr, to []filter.Expr) []filter.Expr {
	if a, ok := x.(filter.And); ok {
		return conjuncts(a.R, conjuncts(a.L, to))
	}
	return append(to, x)
}

// Finds reports whether x is so that indexes find the few rows that can match: it compares an Indexed column by eq, in one
// of several conditions that all must hold, or in each of several of which one must. A database without statistics does not
// know that, and may rather walk through everything in the order asked for.
func (c *Compiler) Finds(x filter.Expr) bool { return c.finds(x, nil, filter.Eq) }

// One reports whether no more than one row can match: x compares a Unique column by eq, in one of several conditions that
// all must hold.
func (c *Compiler) One(x filter.Expr) bool {
	for _, part := range conjuncts(x, nil) {
		if cmp, ok := part.(filter.Cmp); ok && cmp.Op == filter.Eq {
			if col, ok := c.column(cmp.Path, nil); ok && col.Unique {
				return true
			}
		}
	}
	return false
}

func (c *Compiler) finds(x filter.Expr, in *Child, ops ...filter.Op) bool {
	switch x := x.(type) {
	case filter.And:
		return c.finds(x.L, in, ops...) || c.finds(x.R, in, ops...)
	case filter.Or:
		return c.finds(x.L, in, ops...) && c.finds(x.R, in, ops...)
	case filter.Elem:
		child, ok := c.Children[x.Path.Key()]
		return ok && c.finds(x.X, &child, ops...)
	case filter.Cmp:
		col, ok := c.column(x.Path, in)
		return ok && col.Indexed && slices.Contains(ops, x.Op)
	}
	return false
}

// column finds the column of a path, inside an Elem in its child.
func (c *Compiler) column(p schema.Path, in *Child) (Column, bool) {
	if in == nil {
		col, ok := c.Columns[p.String()]
		return col, ok
	}
	name := "value"
	if p.Sub != nil {
		name = p.Sub.Name
	}
	col, ok := in.Columns[name]
	return col, ok
}

// can reports whether x can be compiled as a whole.
func (c *Compiler) can(x filter.Expr, in *Child) bool {
	switch x := x.(type) {
	case filter.And:
		return c.can(x.L, in) && c.can(x.R, in)
	case filter.Or:
		return c.can(x.L, in) && c.can(x.R, in)
	case filter.Not:
		return c.can(x.X, in)
	case filter.Present:
		if x.Path.Attr.MultiValued && in == nil {
			_, ok := c.Children[x.Path.Key()]
			return ok
		}
		_, ok := c.column(x.Path, in)
		return ok
	case filter.Elem:
		child, ok := c.Children[x.Path.Key()]
		return ok && c.can(x.X, &child)
	case filter.Cmp:
		col, ok := c.column(x.Path, in)
		if !ok || x.Path.Sub != nil && x.Path.Sub.MultiValued {
			return false
		}
		switch v := x.Value.V.(type) {
		case string:
			return !col.Time && (col.Convert == nil || x.Op == filter.Eq || x.Op == filter.Ne)
		case bool, int64:
			return true
		case time.Time:
			return col.Time && v.Nanosecond()%1000 == 0
		}
	}
	return false
}

type writer struct {
	c      *Compiler
	b      strings.Builder
	args   []any
	offset int
}

// arg adds an argument and returns its placeholder.
func (w *writer) arg(v any) string {
	w.args = append(w.args, v)
	return "$" + strconv.Itoa(w.offset+len(w.args))
}

func (w *writer) put(parts ...string) {
	for _, p := range parts {
		w.b.WriteString(p)
	}
}

// expr writes x, for which can is true.
func (w *writer) expr(x filter.Expr, in *Child) {
	switch x := x.(type) {
	case filter.And:
		w.put("(")
		w.chain(x, " and ", in)
		w.put(")")
	case filter.Or:
		w.put("(")
		w.chain(x, " or ", in)
		w.put(")")
	case filter.Not: // not NULL is NULL, but a filter is true or false
		w.put("(")
		w.expr(x.X, in)
		w.put(" is not true)")
	case filter.Present:
		if x.Path.Attr.MultiValued && in == nil {
			child := w.c.Children[x.Path.Key()]
			w.put("exists (select 1 from ", child.From, " where ", child.On, ")")
			return
		}
		col, _ := w.c.column(x.Path, in)
		switch t := x.Path.Leaf().Type; {
		case (t == schema.String || t == schema.Reference || t == schema.Binary) && col.Convert == nil:
			w.put("(", col.Expr, " <> '')") // neither NULL nor empty
		default:
			w.put("(", col.Expr, " is not null)")
		}
	case filter.Elem:
		child := w.c.Children[x.Path.Key()]
		if w.c.Dialect == SQLite && child.Owner != "" && w.c.finds(x.X, &child, filter.Eq, filter.Sw) {
			w.put("(", child.Of, " in (select ", child.Owner, " from ", child.From, " where ")
			if child.Where != "" {
				w.put(child.Where, " and ")
			}
			w.expr(x.X, &child)
			w.put("))")
			return
		}
		w.put("exists (select 1 from ", child.From, " where ", child.On, " and ")
		w.expr(x.X, &child)
		w.put(")")
	case filter.Cmp:
		w.compare(x, in)
	}
}

// chain writes a run of the same operator without nesting: databases bound the depth of an expression.
func (w *writer) chain(x filter.Expr, op string, in *Child) {
	var l, r filter.Expr
	switch y := x.(type) {
	case filter.And:
		if op == " and " {
			l, r = y.L, y.R
		}
	case filter.Or:
		if op == " or " {
			l, r = y.L, y.R
		}
	}
	if l == nil {
		w.expr(x, in)
		return
	}
	w.chain(l, op, in)
	w.put(op)
	w.chain(r, op, in)
}

var operators = map[filter.Op]string{filter.Eq: " = ", filter.Ne: " is distinct from ", filter.Gt: " > ", filter.Ge: " >= ", filter.Lt: " < ", filter.Le: " <= "}

func (w *writer) compare(x filter.Cmp, in *Child) {
	col, _ := w.c.column(x.Path, in)
	var v any
	switch val := x.Value.V.(type) {
	case string:
		key := x.Value.Key
		if w.c.Fold != nil && !x.Path.Leaf().CaseExact {
			key = w.c.Fold(val)
		}
		if col.Convert == nil {
			w.text(col.Expr, x.Op, key)
			return
		}
		arg, ok := col.Convert(key)
		if !ok {
			w.put(map[bool]string{true: "(1=0)", false: "(1=1)"}[x.Op == filter.Eq])
			return
		}
		v = arg
	case bool:
		v = val
		if w.c.Dialect == SQLite {
			v = map[bool]int64{true: 1}[val]
		}
	case time.Time:
		v = val.UnixMicro()
	default:
		v = val
	}
	w.put("(", col.Expr, operators[x.Op], w.arg(v), ")")
}

func (w *writer) text(expr string, op filter.Op, key string) {
	sqlite := w.c.Dialect == SQLite
	if key == "" && (op == filter.Sw || op == filter.Ew || op == filter.Co) {
		w.put("(", expr, " is not null)") // everything starts with nothing
		return
	}
	switch op {
	case filter.Co:
		if sqlite {
			w.put("(instr(", expr, ", ", w.arg(key), ") > 0)")
		} else {
			w.put("(strpos(", expr, ", ", w.arg(key), ") > 0)")
		}
	case filter.Ew:
		n := w.arg(key)
		if sqlite {
			w.put("(substr(", expr, ", -length(", n, ")) = ", n, ")")
		} else {
			w.put("(right(", expr, ", length(", n, "::text)) = ", n, ")")
		}
	case filter.Sw:
		w.put("(", expr, " >= ", w.arg(key))
		if end, ok := after(key); ok {
			w.put(" and ", expr, " < ", w.arg(end))
		}
		w.put(")")
	default:
		w.put("(", expr, operators[op], w.arg(key), ")")
	}
}

// after returns the smallest text that is greater than every text beginning with prefix.
func after(prefix string) (string, bool) {
	for prefix != "" {
		r, n := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-n]
		switch {
		case r == utf8.MaxRune:
			continue
		case r == 0xD7FF: // the surrogates are no characters
			r = 0xE000
		default:
			r++
		}
		return prefix + string(r), true
	}
	return "", false
}

// Order compiles sort keys to the text of an ORDER BY that ends with the expression tie, which must be unique, in ascending
// order, unless a column before it is unique. It is not ok when a key has no column; the store then leaves sorting to the engine.
func (c *Compiler) Order(keys []scim.SortKey, tie string) (order string, ok bool) {
	for _, k := range keys {
		col, ok := c.Columns[k.Path.String()]
		if !ok || k.Path.Attr.MultiValued || k.Path.Leaf().Type == schema.DateTime && !col.Time {
			return "", false
		}
		order += col.Expr
		switch {
		case k.Desc && col.NotNull:
			order += " desc, "
		case k.Desc:
			order += " desc nulls first, "
		case col.NotNull:
			order += ", "
		default:
			order += " nulls last, "
		}
		if col.NotNull && col.Unique {
			return strings.TrimSuffix(order, ", "), true
		}
	}
	return order + tie, true
}

// After compiles the place where a page begins: the condition that a row comes after it in the order Order writes for the same
// keys and tie. Its placeholders begin with $offset+1. It is not ok when Order is not, or a value has no place in its column.
func (c *Compiler) After(at *scim.Keyset, keys []scim.SortKey, tie string, offset int) (where string, args []any, ok bool) {
	w := writer{c: c, offset: offset}
	if !w.after(at, keys, 0, tie) {
		return "", nil, false
	}
	return w.b.String(), w.args, true
}

// after writes the condition for the keys from the i-th on.
func (w *writer) after(at *scim.Keyset, keys []scim.SortKey, i int, tie string) bool {
	if i == len(keys) {
		w.put("(", tie, " > ", w.arg(at.ID), ")")
		return true
	}
	col, known := w.c.Columns[keys[i].Path.String()]
	if !known || i >= len(at.Values) || col.Convert != nil {
		return false
	}
	v := at.Values[i]
	if v == nil {
		if col.NotNull {
			return false
		}
		w.put("(")
		if keys[i].Desc { // nulls came first: every value is after them
			w.put(col.Expr, " is not null or ")
		}
		w.put("(", col.Expr, " is null and ")
		if !w.after(at, keys, i+1, tie) {
			return false
		}
		w.put("))")
		return true
	}
	arg, fits := w.c.keyArg(keys[i].Path, col, v)
	if !fits {
		return false
	}
	n := w.arg(arg)
	reach, past := " >= ", " > "
	if keys[i].Desc {
		reach, past = " <= ", " < "
	}
	// The first half is a range on an index; the second leaves out what of its first value was shown.
	w.put("((", col.Expr, reach, n, " and (", col.Expr, past, n, " or ")
	if !w.after(at, keys, i+1, tie) {
		return false
	}
	w.put("))")
	if !keys[i].Desc && !col.NotNull {
		w.put(" or ", col.Expr, " is null")
	}
	w.put(")")
	return true
}

// keyArg is a value of a Keyset as the column holds it.
func (c *Compiler) keyArg(p schema.Path, col Column, v any) (any, bool) {
	switch v := v.(type) {
	case string:
		return v, !col.Time && (c.Fold == nil || p.Leaf().CaseExact) // a key of another folding is not to be had from this one
	case bool:
		if c.Dialect == SQLite {
			return map[bool]int64{true: 1}[v], true
		}
		return v, true
	case int64:
		return v, true
	case time.Time:
		return v.UnixMicro(), col.Time
	}
	return nil, false
}
