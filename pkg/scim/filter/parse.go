package filter

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Limits of a filter and of a PATCH path.
const (
	MaxLength = 16 << 10 // bytes
	MaxDepth  = 32       // brackets within brackets
	MaxTerms  = 256      // comparisons
)

// Parse reads a filter (RFC 7644 §3.4.2.2, figure 1) over resources of type t. A comparison of a bare complex attribute
// means its "value". Beyond the grammar it takes what Entra sends: with c.BracketFilters "emails[type eq "work"].value eq
// "x"" compares inside the brackets' matches; with c.StringBooleans "True" is true. Every error is a 400 invalidFilter.
func Parse(t *schema.Type, text string, c schema.Compat) (Expr, error) {
	p := parser{t: t, s: text, compat: c, code: schema.InvalidFilter}
	if err := p.fit(); err != nil {
		return nil, err
	}
	x, err := p.whole()
	if b, ok := x.(constant); ok {
		x = b.node(t)
	}
	return x, err
}

// whole reads all of the text.
func (p *parser) whole() (Expr, error) {
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(p.s) {
		return nil, p.fault("something is left over")
	}
	return x, nil
}

// Target is where a PATCH operation works (RFC 7644 §3.5.2, figure 7).
type Target struct {
	Path   schema.Path
	Filter Expr // nil without brackets; for MatchElem on each element of Path.Attr
}

// ParsePath reads the path of a PATCH operation: an attribute path, or a value path with an optional sub-attribute. A
// filter may follow a singular complex attribute too: it is a list of none or one. Every error is a 400 invalidPath, or
// invalidFilter when it is inside the brackets.
func ParsePath(t *schema.Type, text string, c schema.Compat) (Target, error) {
	p := parser{t: t, s: strings.TrimSpace(text), compat: c, code: schema.InvalidPath}
	if err := p.fit(); err != nil {
		return Target{}, err
	}
	path, err := t.Resolve(p.word(), schema.InvalidPath)
	if err != nil {
		return Target{}, err
	}
	target := Target{Path: path}
	if p.take('[') {
		p.code = schema.InvalidFilter
		if target.Filter, err = p.inside(path); err != nil {
			return Target{}, err
		}
		p.code = schema.InvalidPath
		if p.take('.') {
			if target.Path.Sub, err = p.sub(path); err != nil {
				return Target{}, err
			}
		}
	}
	if p.pos < len(p.s) {
		return Target{}, p.fault("something is left over")
	}
	return target, nil
}

type parser struct {
	t      *schema.Type
	s      string
	pos    int
	depth  int
	terms  int
	elem   *schema.Path // inside brackets: the attribute before them
	compat schema.Compat
	code   schema.Code
	absent *absences // not nil: what this type does not have is without a value, see ParseAcross
}

func (p *parser) fault(what string) error {
	return schema.Invalid(p.code, "", "at character %d: %s", p.pos+1, what)
}

func (p *parser) fit() error {
	switch {
	case len(p.s) > MaxLength:
		return schema.Invalid(p.code, "", "longer than %d bytes", MaxLength)
	case !utf8.ValidString(p.s):
		return schema.Invalid(p.code, "", "not valid UTF-8")
	}
	return nil
}

func (p *parser) space() {
	for p.pos < len(p.s) && p.s[p.pos] == ' ' {
		p.pos++
	}
}

func (p *parser) take(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// word reads the characters a path, an operator or a bare literal is made of.
func (p *parser) word() string {
	from := p.pos
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_:.$+", c) >= 0 {
			p.pos++
			continue
		}
		break
	}
	return p.s[from:p.pos]
}

// keyword takes the next word if it is one of want, in any letter case.
func (p *parser) keyword(want string) bool {
	p.space()
	from := p.pos
	if w := p.word(); len(w) == len(want) && strings.EqualFold(w, want) {
		return true
	}
	p.pos = from
	return false
}

func (p *parser) or() (Expr, error) {
	l, err := p.and()
	for err == nil && p.keyword("or") {
		var r Expr
		r, err = p.and()
		l = or(l, r)
	}
	return l, err
}

func (p *parser) and() (Expr, error) {
	l, err := p.term()
	for err == nil && p.keyword("and") {
		var r Expr
		r, err = p.term()
		l = and(l, r)
	}
	return l, err
}

func (p *parser) term() (Expr, error) {
	from := p.pos
	if p.keyword("not") {
		if p.space(); p.take('(') {
			x, err := p.group()
			return not(x), err
		}
		p.pos = from // an attribute may be called so
	}
	if p.space(); p.take('(') {
		return p.group()
	}
	return p.comparison()
}

// group reads what follows an opening parenthesis. The depth is checked before the step down.
func (p *parser) group() (Expr, error) {
	if err := p.down(); err != nil {
		return nil, err
	}
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take(')') {
		return nil, p.fault("a closing parenthesis is missing")
	}
	p.depth--
	return x, nil
}

func (p *parser) down() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fault("brackets are nested too deep")
	}
	return nil
}

func (p *parser) comparison() (Expr, error) {
	p.space()
	if p.terms++; p.terms > MaxTerms {
		return nil, p.fault("too many comparisons")
	}
	w := p.word()
	if w == "" {
		return nil, p.fault("an attribute is missing")
	}
	path, err := p.resolve(w)
	if err != nil {
		if path == (schema.Path{}) && p.excuses(err) {
			return p.void()
		}
		return nil, err
	}
	if p.elem == nil && p.take('[') {
		return p.valuePath(path)
	}
	return p.operator(path)
}

// resolve reads a path, inside brackets relative to the attribute before them.
func (p *parser) resolve(w string) (schema.Path, error) {
	if p.elem != nil {
		path := *p.elem
		if len(path.Attr.SubAttributes) == 0 && strings.EqualFold(w, "value") {
			return path, nil
		}
		if path.Sub = path.Attr.Sub(w); path.Sub == nil {
			return schema.Path{}, schema.Invalid(p.code, path.Key()+"["+w+"]", "no such sub-attribute")
		}
		return path, searchable(path, p.code)
	}
	path, err := p.t.Resolve(w, p.code)
	if err != nil {
		return path, err
	}
	return path, searchable(path, p.code)
}

// searchable refuses what must not, or cannot, be looked for. A secret that could be filtered on could be guessed.
func searchable(p schema.Path, code schema.Code) error {
	switch {
	case p.Attr == nil:
		return schema.Invalid(code, p.Key(), "an extension is not an attribute")
	case p.Secret():
		return schema.Invalid(code, p.String(), "cannot be filtered on")
	case p.Ext == nil && p.Attr.Name == "schemas" && p.Attr.Mutability == schema.ReadOnly,
		p.Ext == nil && p.Attr.Name == "meta" && p.Sub != nil && p.Sub.Name == "location":
		return schema.Invalid(code, p.String(), "cannot be filtered on")
	}
	return nil
}

// inside reads the filter in brackets after path and the closing bracket. Its nodes speak of one element.
func (p *parser) inside(path schema.Path) (Expr, error) {
	if path.Attr == nil || path.Sub != nil || path.Attr.Type != schema.Complex && !path.Attr.MultiValued {
		return nil, p.fault("brackets may only follow a complex or multi-valued attribute")
	}
	if err := p.down(); err != nil {
		return nil, err
	}
	p.elem = &path
	x, err := p.or()
	p.elem = nil
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take(']') {
		return nil, p.fault("a closing bracket is missing")
	}
	p.depth--
	return x, nil
}

func (p *parser) sub(path schema.Path) (*schema.Attribute, error) {
	w := p.word()
	if len(path.Attr.SubAttributes) == 0 && strings.EqualFold(w, "value") {
		return nil, nil
	}
	sub := path.Attr.Sub(w)
	if sub == nil {
		return nil, schema.Invalid(p.code, path.Key()+"."+w, "no such sub-attribute")
	}
	return sub, nil
}

// valuePath reads attr[…] and Entra's attr[…].sub op value. A singular attribute is its own only element.
func (p *parser) valuePath(path schema.Path) (Expr, error) {
	x, err := p.inside(path)
	if err != nil {
		return nil, err
	}
	if p.compat.BracketFilters && p.take('.') {
		inner := path
		if inner.Sub, err = p.sub(path); err != nil {
			return nil, err
		}
		if err := searchable(inner, p.code); err != nil {
			return nil, err
		}
		p.elem = &path
		y, err := p.operator(inner)
		p.elem = nil
		if err != nil {
			return nil, err
		}
		x = and(x, y)
	}
	if !path.Attr.MultiValued {
		return and(Present{path}, x), nil
	}
	if b, ok := x.(constant); ok {
		return and(b, Present{path}), nil
	}
	return Elem{path, x}, nil
}

// operator reads "pr" or an operator and a value, and builds the node.
func (p *parser) operator(path schema.Path) (Expr, error) {
	p.space()
	at := p.pos
	op := Op(strings.ToLower(p.word()))
	if op == "pr" {
		return p.present(path), nil
	}
	switch op {
	case Eq, Ne, Co, Sw, Ew, Gt, Ge, Lt, Le:
	default:
		p.pos = at
		return nil, p.fault("an operator is missing")
	}
	v, err := p.literal()
	if err != nil {
		return nil, err
	}
	x, err := p.compare(path, op, v)
	if err != nil && !secret(path) && p.excuses(err) {
		return constant(false), nil
	}
	if c, ok := x.(Cmp); ok && path.Ext == nil && path.Attr.Name == "meta" && c.Path.Sub.Name == "resourceType" {
		return constant(c.holds(p.t.Name)), nil // the same for every resource of the type
	}
	return x, err
}

func (p *parser) literal() (any, error) {
	p.space()
	from := p.pos
	if p.take('"') {
		for p.pos < len(p.s) && p.s[p.pos] != '"' {
			if p.s[p.pos] == '\\' {
				p.pos++
			}
			p.pos++
		}
		var s string
		if p.pos >= len(p.s) {
			return nil, p.fault("a closing quote is missing")
		}
		p.pos++
		if json.Unmarshal([]byte(p.s[from:p.pos]), &s) != nil || strings.IndexByte(s, 0) >= 0 {
			p.pos = from
			return nil, p.fault("not a JSON string without NUL")
		}
		return s, nil
	}
	w := p.word()
	if p.compat.StringBooleans {
		if low := strings.ToLower(w); low == "true" || low == "false" {
			w = low
		}
	}
	switch w {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	var n json.Number
	if w != "" && (w[0] == '-' || '0' <= w[0] && w[0] <= '9') && json.Unmarshal([]byte(w), &n) == nil {
		return n, nil
	}
	p.pos = from
	return nil, p.fault("a value is missing: a string in quotes, a number, true, false or null")
}
