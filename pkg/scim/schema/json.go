package schema

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxJSONDepth is how deep arrays and objects in a request may nest. SCIM itself needs six levels.
const MaxJSONDepth = 16

// ParseJSON reads one JSON object strictly: valid UTF-8, no key twice in an object, numbers kept as json.Number, at
// most MaxJSONDepth levels, nothing after it. Every fault is a 400 invalidSyntax that does not repeat the input.
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
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d)
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

func readValue(d *json.Decoder) (any, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, Invalid(InvalidSyntax, "", "the body is not JSON")
	}
	switch tok {
	case json.Delim('{'):
		o := Object{}
		for d.More() {
			key, err := d.Token()
			name, ok := key.(string)
			if err != nil || !ok {
				return nil, Invalid(InvalidSyntax, "", "the body is not JSON")
			}
			if _, twice := o[name]; twice {
				return nil, Invalid(InvalidSyntax, name, "the key is there twice")
			}
			if o[name], err = readValue(d); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return tok, nil
}
