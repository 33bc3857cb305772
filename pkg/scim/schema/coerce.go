package schema

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxElements is how many elements a multi-valued attribute may have, unless it is Large. It bounds the work of comparing
// elements with each other.
const MaxElements = 1000

// Value turns the JSON value v (as ParseJSON reads it) of attribute a into canonical form: a list for a multi-valued
// attribute, an element otherwise; nil when there is no value (null, [], {} and objects of nothing else: RFC 7643 §2.5).
// name is the attribute's path for the error, a 400 invalidValue. The elements of a Large attribute are taken over from v
// and changed in place where they are canonical already: a hundred thousand members are not held twice.
func (c Compat) Value(name string, a *Attribute, v any) (any, error) {
	if !a.MultiValued {
		return c.Element(name, a, v)
	}
	list, ok := v.([]any)
	switch {
	case ok:
	case v == nil:
		return nil, nil
	case c.WrapSingle:
		list = []any{v}
	default:
		return nil, Invalid(InvalidValue, name, "want a list")
	}
	if len(list) > MaxElements && !a.Large {
		return nil, Invalid(InvalidValue, name, "more than %d elements", MaxElements)
	}
	out := make([]any, 0, len(list))
	for _, e := range list {
		e, err := c.Element(name, a, e)
		if err != nil {
			return nil, err
		}
		if e != nil {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// Element is Value for one element of a, multi-valued or not.
func (c Compat) Element(name string, a *Attribute, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	wrong := func(want string) (any, error) { return nil, Invalid(InvalidValue, name, "want %s", want) }
	switch a.Type {
	case Complex:
		return c.object(name, a, v)
	case Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		if s, ok := v.(string); ok && c.StringBooleans {
			switch lower(s) {
			case "true":
				return true, nil
			case "false":
				return false, nil
			}
		}
		return wrong("true or false")
	case Integer:
		if n, ok := v.(json.Number); ok {
			if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
				return i, nil
			}
		}
		return wrong("an integer of at most 64 bits")
	case Decimal:
		if n, ok := v.(json.Number); ok && len(n) <= 64 {
			if _, err := n.Float64(); err == nil {
				return n, nil
			}
		}
		return wrong("a number of at most 64 digits")
	}
	s, ok := v.(string)
	if !ok {
		return wrong("a string")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return wrong("a string without NUL") // databases store no NUL in text
	}
	switch a.Type {
	case DateTime:
		if _, err := ParseTime(s); err != nil {
			return wrong("a dateTime such as 2026-11-22T09:30:00Z")
		}
	case Binary:
		if !isBase64(s) {
			return wrong("base64")
		}
	}
	if a.Closed && !slices.ContainsFunc(a.CanonicalValues, func(w string) bool { return a.Key(w) == a.Key(s) }) {
		return wrong("one of " + strings.Join(a.CanonicalValues, ", "))
	}
	return s, nil
}

func (c Compat) object(name string, a *Attribute, v any) (any, error) {
	in, ok := v.(Object)
	if !ok {
		s, isText := v.(string)
		if !isText || !c.ScalarComplex || a.Sub("value") == nil {
			return nil, Invalid(InvalidValue, name, "want an object")
		}
		if s == "" {
			return nil, nil
		}
		in = Object{"value": s}
	}
	if a.Large && a.canonical(in) {
		return c.sameObject(name, a, in)
	}
	out := Object{}
	for _, key := range sortedKeys(in) {
		sub := a.Sub(key)
		path := name + "." + key
		if sub == nil {
			if c.IgnoreUnknown || in[key] == nil {
				continue
			}
			return nil, Invalid(InvalidSyntax, path, "no such sub-attribute")
		}
		if _, twice := out[sub.Name]; twice {
			return nil, Invalid(InvalidSyntax, path, "the attribute is there twice")
		}
		if sub.Mutability == ReadOnly && a.Mutability != ReadOnly {
			continue // RFC 7643 §7: readOnly sub-attributes of a value are the server's
		}
		e, err := c.Value(name+"."+sub.Name, sub, in[key])
		if err != nil {
			return nil, err
		}
		if e != nil {
			out[sub.Name] = e
		}
	}
	return a.finish(name, out)
}

// finish is what is left to do when all sub-attributes of an element are canonical.
func (a *Attribute) finish(name string, out Object) (any, error) {
	a.ownReference(out)
	for _, sub := range a.SubAttributes {
		if sub.Required && len(out) > 0 && out[sub.Name] == nil {
			return nil, Invalid(InvalidValue, name+"."+sub.Name, "a value is required")
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// canonical reports whether an element needs no other names and holds nothing but texts a client may write.
func (a *Attribute) canonical(o Object) bool {
	for key, v := range o {
		_, isText := v.(string)
		i := slices.IndexFunc(a.SubAttributes, func(s *Attribute) bool { return s.Name == key })
		if !isText || i < 0 {
			return false
		}
		switch sub := a.SubAttributes[i]; {
		case sub.MultiValued, sub.Type != String && sub.Type != Reference, sub.Mutability == ReadOnly && a.Mutability != ReadOnly:
			return false
		}
	}
	return true
}

// sameObject checks an element that is canonical and returns it, not a copy. Texts stay what they are.
func (c Compat) sameObject(name string, a *Attribute, o Object) (any, error) {
	for _, sub := range a.SubAttributes {
		if v := o[sub.Name]; v != nil {
			if _, err := c.Value(name+"."+sub.Name, sub, v); err != nil {
				return nil, err
			}
		}
	}
	return a.finish(name, o)
}

// ownReference drops a client's $ref to a resource of ours: the engine writes it from "value" and the configured base
// URL, so that nobody can plant another host. When only $ref was sent its last segment is the value.
func (a *Attribute) ownReference(o Object) {
	if !a.RefersToResource() {
		return
	}
	s, ok := o["$ref"].(string)
	delete(o, "$ref")
	if !ok || o["value"] != nil {
		return
	}
	s = strings.TrimRight(s, "/")
	if id := s[strings.LastIndexByte(s, '/')+1:]; id != "" {
		o["value"] = id
	}
}

// RefersToResource reports whether a is complex and its elements name another resource by "value" and "$ref".
func (a *Attribute) RefersToResource() bool {
	sub := a.Sub("$ref")
	return sub != nil && a.Sub("value") != nil && slices.ContainsFunc(sub.ReferenceTypes, func(t string) bool {
		return t != "external" && t != "uri"
	})
}

// ParseTime reads an xsd:dateTime with a time zone (RFC 7643 §2.3.5).
func ParseTime(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) }

func isBase64(s string) bool {
	s = strings.TrimRight(s, "=")
	if _, err := base64.RawStdEncoding.DecodeString(s); err == nil {
		return true
	}
	_, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil
}

// sortedKeys makes which of several faults is reported independent of map order.
func sortedKeys(o Object) []string {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
