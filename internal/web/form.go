package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Field is one parameter a handler takes. It may come once or not at all, never twice.
type Field struct {
	Name string
	Max  int // bytes of the decoded value; 256 when 0
}

// Values are the parameters that came, by name. A missing one reads as "".
type Values map[string]string

const (
	maxFieldBytes = 256
	maxPairs      = 32
)

// Form reads the body of a post as application/x-www-form-urlencoded and returns the named fields. Anything else is
// refused with a fault that becomes a page: 400 for a field that is unknown, comes twice, is longer than its Max, is not
// UTF-8 or holds control characters (so that no list of addresses and no second line gets in); 413 for a body over
// 64 KiB; 415 for another content type. Call it once.
func (r *Request) Form(fields ...Field) (Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(http.StatusUnsupportedMediaType, badRequestText)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, tooLarge()
		}
		return nil, badRequest("body broke off")
	}
	return decode(string(body), fields, true)
}

// Query returns the named parameters of the URL, as strictly as Form; parameters nobody asked for are ignored, because
// mail programs and search engines add their own to links.
func (r *Request) Query(fields ...Field) (Values, error) {
	return decode(r.URL.RawQuery, fields, false)
}

// decode reads name=value pairs. The standard library's parser is not used: it keeps lists, which is how a second
// address once got into other people's resets.
func decode(raw string, fields []Field, all bool) (Values, error) {
	values := Values{}
	if raw == "" {
		return values, nil
	}
	if all && strings.Count(raw, "&") >= maxPairs {
		return nil, badRequest("too many fields")
	}
	for pair := range strings.SplitSeq(raw, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		field, known := find(fields, name)
		switch {
		case !known && !all:
			continue
		case err != nil || !known:
			return nil, badRequest("unknown field")
		}
		if _, twice := values[name]; twice {
			return nil, badRequest("field " + name + " twice")
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil || len(value) > field.Max || !utf8.ValidString(value) || strings.ContainsFunc(value, control) {
			return nil, badRequest("field " + name + " is too long or no plain text")
		}
		values[name] = value
	}
	return values, nil
}

func find(fields []Field, name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			if f.Max == 0 {
				f.Max = maxFieldBytes
			}
			return f, true
		}
	}
	return Field{}, false
}

// control reports characters no single-line input produces. A tab may be pasted into a password.
func control(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }
