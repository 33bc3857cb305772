package signal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxBody bounds what a receiver may send, in bytes.
const maxBody = 64 << 10

// object is a JSON object whose members are read by name, to the letter and each once. A struct would take "Stream_ID" for
// stream_id, and of a member sent twice the last one, while what stands between us and the receiver may read the first.
type object map[string]json.RawMessage

// parseObject reads one object and nothing after it. Its members may hold anything.
func parseObject(raw []byte) (object, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8") // else what stands here would become U+FFFD
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	o := object{}
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		if _, twice := o[text]; twice {
			return nil, errors.New("a member stands twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("not a JSON object")
		}
		o[text] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return o, nil
}

// has reports whether a member is there. null is as good as absent.
func (o object) has(name string) bool {
	raw, ok := o[name]
	return ok && string(raw) != "null"
}

// text returns a member that is a text of at most max bytes without control characters; "" when it is absent.
func (o object) text(name string, max int) (string, error) {
	if !o.has(name) {
		return "", nil
	}
	var s string
	if json.Unmarshal(o[name], &s) != nil {
		return "", fmt.Errorf("%s is no text", name)
	}
	if len(s) > max || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s is longer than %d bytes or holds control characters", name, max)
	}
	return s, nil
}

// texts returns a member that is a list of at most n texts, each as text reads it; nil when it is absent.
func (o object) texts(name string, n, max int) ([]string, error) {
	if !o.has(name) {
		return nil, nil
	}
	var items []json.RawMessage
	if json.Unmarshal(o[name], &items) != nil {
		return nil, fmt.Errorf("%s is no list", name)
	}
	if len(items) > n {
		return nil, fmt.Errorf("%s holds more than %d", name, n)
	}
	out := make([]string, 0, len(items))
	for _, raw := range items {
		s, err := object{name: raw}.text(name, max)
		if err != nil || string(raw) == "null" {
			return nil, fmt.Errorf("%s holds what is no text of at most %d bytes", name, max)
		}
		out = append(out, s)
	}
	return out, nil
}

// child returns a member that is an object; nil when it is absent.
func (o object) child(name string) (object, error) {
	if !o.has(name) {
		return nil, nil
	}
	c, err := parseObject(o[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// flag returns a member that is true or false; false when it is absent.
func (o object) flag(name string) (b bool, err error) {
	if o.has(name) && json.Unmarshal(o[name], &b) != nil {
		return false, fmt.Errorf("%s is neither true nor false", name)
	}
	return b, nil
}

// body reads the one object a request brings.
func body(w http.ResponseWriter, r *http.Request) (object, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, said := params["charset"]; err != nil || kind != "application/json" || said && !strings.EqualFold(charset, "utf-8") {
		return nil, &refusal{status: http.StatusUnsupportedMediaType, text: "want application/json"}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, &refusal{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("a body has at most %d bytes", maxBody)}
		}
		return nil, bad(errors.New("the body broke off"))
	}
	o, err := parseObject(raw)
	if err != nil {
		return nil, bad(err)
	}
	return o, nil
}
