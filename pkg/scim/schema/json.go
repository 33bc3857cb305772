package schema

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxJSONDepth is how deep arrays and objects in a request may nest. SCIM itself needs six levels.
const MaxJSONDepth = 16

// MaxJSONKeys is how many keys one object in a request may have. The largest resources have a hundred.
const MaxJSONKeys = 1000

// ParseJSON reads one JSON object strictly: valid UTF-8, no key twice in an object, at most MaxJSONKeys of them, numbers kept
// as json.Number, at most MaxJSONDepth levels, nothing after it. Every fault is a 400 invalidSyntax that does not repeat the
// input.
func ParseJSON(data []byte) (Object, error) {
	if !utf8.Valid(data) {
		return nil, Invalid(InvalidSyntax, "", "the body is not valid UTF-8")
	}
	if tooDeep(data) { // before any recursive reader sees it
		return nil, Invalid(InvalidSyntax, "", "the body is nested more than %d levels deep", MaxJSONDepth)
	}
	if !json.Valid(data) {
		return nil, Invalid(InvalidSyntax, "", "the body is not JSON")
	}
	r := reader{data: data, keys: map[string]string{}}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	o, ok := v.(Object)
	if !ok {
		return nil, Invalid(InvalidSyntax, "", "the body is not a JSON object")
	}
	return o, nil
}

func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxJSONDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// reader reads JSON that is known to be valid and not too deep. Groups of a hundred thousand members are read by it, so it
// makes nothing it does not keep.
type reader struct {
	data []byte
	pos  int
	keys map[string]string // each key once, however often it is there
}

// next returns the first byte that is no white space.
func (r *reader) next() byte {
	for {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return c
		}
	}
}

func (r *reader) value() (any, error) {
	switch r.next() {
	case '{':
		return r.object()
	case '[':
		return r.list()
	case '"':
		return r.text(r.quoted())
	case 't':
		r.pos += len("true")
		return true, nil
	case 'f':
		r.pos += len("false")
		return false, nil
	case 'n':
		r.pos += len("null")
		return nil, nil
	}
	from := r.pos
	for r.pos < len(r.data) && bytes.IndexByte([]byte("+-.eE0123456789"), r.data[r.pos]) >= 0 {
		r.pos++
	}
	return json.Number(r.data[from:r.pos]), nil
}

func (r *reader) object() (any, error) {
	o := Object{}
	r.pos++
	if r.next() == '}' {
		r.pos++
		return o, nil
	}
	for {
		r.next()
		name, err := r.key(r.quoted())
		if err != nil {
			return nil, err
		}
		if _, twice := o[name]; twice {
			return nil, Invalid(InvalidSyntax, name, "the key is there twice")
		}
		if len(o) == MaxJSONKeys {
			return nil, Invalid(InvalidSyntax, "", "an object has more than %d keys", MaxJSONKeys)
		}
		r.next()
		r.pos++ // the colon
		if o[name], err = r.value(); err != nil {
			return nil, err
		}
		end := r.next()
		if r.pos++; end == '}' {
			return o, nil
		}
	}
}

func (r *reader) list() (any, error) {
	list := []any{}
	r.pos++
	if r.next() == ']' {
		r.pos++
		return list, nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		end := r.next()
		if r.pos++; end == ']' {
			return list, nil
		}
	}
}

// quoted takes a string with its quotes.
func (r *reader) quoted() []byte {
	from := r.pos
	for r.pos++; r.data[r.pos] != '"'; r.pos++ {
		if r.data[r.pos] == '\\' {
			r.pos++
		}
	}
	r.pos++
	return r.data[from:r.pos]
}

func (r *reader) text(quoted []byte) (string, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", Invalid(InvalidSyntax, "", "the body is not JSON")
	}
	return s, nil
}

func (r *reader) key(quoted []byte) (string, error) {
	if known, ok := r.keys[string(quoted)]; ok {
		return known, nil
	}
	name, err := r.text(quoted)
	if err == nil && len(r.keys) < MaxJSONKeys {
		r.keys[string(quoted)] = name
	}
	return name, err
}
