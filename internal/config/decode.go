package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// decode puts the values into c, noting every key that does not exist and every value of the wrong kind.
func (l *loader) decode(c *Config, values map[string]any) {
	l.section("", values, reflect.ValueOf(c).Elem())
}

// secretOf returns the secret inside a field, or nil: Secret and DSN may also come from a file.
func secretOf(v reflect.Value) *Secret {
	switch p := v.Addr().Interface().(type) {
	case *Secret:
		return p
	case *DSN:
		return &p.Secret
	}
	return nil
}

func (l *loader) section(key string, values map[string]any, to reflect.Value) {
	known := map[string]bool{}
	for i := range to.NumField() {
		field, name := to.Field(i), to.Type().Field(i).Tag.Get("key")
		known[name] = true
		v, given := values[name]
		given = given && v != nil
		if secret := secretOf(field); secret != nil {
			known[name+"_file"] = true
			path, inFile := values[name+"_file"]
			l.secret(join(key, name), secret, v, given, path, inFile && path != nil)
		} else if given {
			l.value(join(key, name), v, field)
		}
	}
	for _, name := range sorted(values) {
		if !known[name] {
			near := ""
			if len(l.found) < maxFaults {
				near = nearest(key, name, sorted(known))
			}
			l.fault(join(key, name), "there is no such key%s", near)
		}
	}
}

func (l *loader) secret(key string, to *Secret, v any, given bool, path any, inFile bool) {
	if given && inFile {
		l.fault(key+"_file", "give %s or %s_file, not both", key, key)
		return
	}
	var text string
	switch {
	case given:
		if l.text(key, v, &text) {
			*to = Secret{value: text}
		}
	case inFile && l.text(key+"_file", path, &text):
		b, err := readSecret(text)
		if err != nil {
			l.fault(key+"_file", "%s cannot be used: %v", text, err)
			return
		}
		*to = Secret{value: b, file: text}
	}
}

// readSecret reads a file that holds one secret and perhaps a newline at its end, which editors and echo leave there.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s", cause(err))
	}
	defer f.Close()
	b := make([]byte, maxSecret+1)
	n, err := readFull(f, b)
	s := strings.TrimSuffix(strings.TrimSuffix(string(b[:n]), "\n"), "\r")
	switch {
	case err != nil:
		return "", fmt.Errorf("%s", cause(err))
	case n > maxSecret:
		return "", fmt.Errorf("longer than %d bytes", maxSecret)
	case s == "":
		return "", fmt.Errorf("it is empty")
	case strings.ContainsAny(s, "\x00\n"):
		return "", fmt.Errorf("it holds more than one line")
	}
	return s, nil
}

func readFull(f *os.File, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := f.Read(b[n:])
		n += m
		if m == 0 {
			if err != nil && err.Error() != "EOF" {
				return n, err
			}
			return n, nil
		}
	}
	return n, nil
}

var (
	textsType  = reflect.TypeFor[Texts]()
	prefixType = reflect.TypeFor[netip.Prefix]()
)

func (l *loader) value(key string, v any, to reflect.Value) {
	if to.Type() == textsType {
		l.texts(key, v, to)
		return
	}
	if u, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok {
		l.unmarshal(key, v, to, u)
		return
	}
	switch to.Kind() {
	case reflect.Struct:
		if inner, ok := v.(map[string]any); ok {
			l.section(key, inner, to)
		} else {
			// What stands here may be a secret one step too far out: its text is not repeated.
			l.fault(key, "want a section of keys, not one value")
		}
	case reflect.Slice:
		l.list(key, v, to)
	case reflect.String:
		var text string
		if l.text(key, v, &text) {
			to.SetString(text)
		}
	case reflect.Bool:
		switch v {
		case true, "true":
			to.SetBool(true)
		case false, "false":
			to.SetBool(false)
		default:
			l.fault(key, "want true or false, have %s", describe(v))
		}
	case reflect.Int:
		n, err := strconv.ParseInt(fmt.Sprint(v), 10, 32)
		if _, isNumber := v.(int); err != nil || !isNumber && !isText(v) {
			l.fault(key, "want a whole number, have %s", describe(v))
			return
		}
		to.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if _, isBool := v.(bool); err != nil || isBool || n != n {
			l.fault(key, "want a number, have %s", describe(v))
			return
		}
		to.SetFloat(n)
	default:
		panic("config: no way to read a " + to.Type().String() + " for " + key)
	}
}

func isText(v any) bool { _, ok := v.(string); return ok }

// text takes texts only. A telephone number or a password of digits that YAML reads as a number has lost its zeros
// already, so it is not turned back into text.
func (l *loader) text(key string, v any, to *string) bool {
	s, ok := v.(string)
	if !ok {
		hint := ""
		switch v.(type) {
		case map[string]any, []any:
		default:
			hint = ": put it in quotes"
		}
		l.fault(key, "want text, have %s%s", describe(v), hint)
		return false
	}
	*to = s
	return true
}

func (l *loader) unmarshal(key string, v any, to reflect.Value, u encoding.TextUnmarshaler) {
	text, ok := v.(string)
	if n, isInt := v.(int); isInt && n == 0 {
		text, ok = "0", true
		if _, size := u.(*Size); size {
			text = "0B"
		}
	}
	if !ok {
		text = fmt.Sprint(v)
	}
	if to.Type() == prefixType {
		// A single address is a network of one.
		if a, err := netip.ParseAddr(text); err == nil {
			to.Set(reflect.ValueOf(netip.PrefixFrom(a, a.BitLen())))
			return
		}
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		say := err.Error()
		if to.Type() == prefixType {
			say = "want an address or a network such as 10.0.0.0/8"
		}
		l.fault(key, "%s, have %s", say, describe(v))
	}
}

func (l *loader) list(key string, v any, to reflect.Value) {
	var entries []any
	switch v := v.(type) {
	case []any:
		entries = v
	case string:
		// The environment and flags have no lists: commas part their entries. In a file one text is a list of one.
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				entries = append(entries, part)
			}
		}
	default:
		l.fault(key, "want a list, have %s", describe(v))
		return
	}
	if len(entries) > maxList {
		l.fault(key, "a list of %d, at most %d", len(entries), maxList)
		return
	}
	if len(entries) == 0 {
		to.SetZero() // an empty list takes a default away
		return
	}
	list := reflect.MakeSlice(to.Type(), len(entries), len(entries))
	for i, entry := range entries {
		at := list.Index(i)
		if d, ok := at.Addr().Interface().(interface{ setDefaults() }); ok {
			d.setDefaults()
		}
		if d, ok := at.Addr().Interface().(interface{ setDefaultsOf(kind string) }); ok {
			if fields, ok := entry.(map[string]any); ok {
				d.setDefaultsOf(fmt.Sprint(fields["kind"]))
			}
		}
		if entry == nil {
			l.fault(join(key, strconv.Itoa(i)), "an empty entry")
			continue
		}
		l.value(join(key, strconv.Itoa(i)), entry, at)
	}
	to.Set(list)
}

func (l *loader) texts(key string, v any, to reflect.Value) {
	texts := Texts{}
	switch v := v.(type) {
	case map[string]any:
		for _, tag := range sorted(v) {
			var text string
			if v[tag] != nil && l.text(join(key, tag), v[tag], &text) && text != "" {
				texts[tag] = text
			}
		}
	default:
		var text string
		if l.text(key, v, &text) && text != "" {
			texts[""] = text
		}
	}
	if len(texts) > 0 {
		to.Set(reflect.ValueOf(texts))
	}
}

// describe says what stands there; a long text is cut. Never called for a secret's own value when that is text.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if len(v) > 40 {
			v = v[:40] + "…"
		}
		return strconv.Quote(v)
	case bool:
		return fmt.Sprintf("the truth value %t", v)
	case int, int64, uint64, float64:
		return "a number"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	}
	return fmt.Sprintf("a %T", v)
}
