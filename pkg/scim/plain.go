package scim

import "strconv"

// plain writes what most values are, without making anything of it first, and reports whether it did: texts that stand in JSON
// as they are, integers, booleans, and lists of those. The rest is encoding/json's, whose answer would be the same.
func (e *encoder) plain(v any) bool {
	switch v := v.(type) {
	case string:
		return e.text(v)
	case bool:
		e.b.Write(strconv.AppendBool(e.b.AvailableBuffer(), v))
		return true
	case int64:
		e.b.Write(strconv.AppendInt(e.b.AvailableBuffer(), v, 10))
		return true
	case []any:
		if v == nil {
			return false
		}
		start := e.b.Len()
		e.b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				e.b.WriteByte(',')
			}
			if !e.plain(x) {
				e.b.Truncate(start)
				return false
			}
		}
		e.b.WriteByte(']')
		return true
	}
	return false
}

// text is plain for a text.
func (e *encoder) text(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	e.b.WriteByte('"')
	e.b.WriteString(s)
	e.b.WriteByte('"')
	return true
}
