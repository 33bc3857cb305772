package scim

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// body reads a JSON object from the request.
func (q request) body(t *resourceType) (Object, error) {
	most := q.s.cfg.Limits.MaxBody
	if t != nil && len(t.Large()) > 0 {
		most = q.s.cfg.Limits.MaxGroupBody
	}
	return q.read(most)
}

// read reads a JSON object of at most most bytes.
func (q request) read(most int64) (Object, error) {
	data, err := q.raw(most)
	if err != nil {
		return nil, err
	}
	return schema.ParseJSON(data)
}

// raw reads a body of at most most bytes, of a type that is taken.
func (q request) raw(most int64) ([]byte, error) {
	if err := acceptable(q.r.Header); err != nil {
		return nil, err
	}
	if q.r.ContentLength > most {
		return nil, tooLarge
	}
	data, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, most))
	if err != nil {
		if asError(err).Status == http.StatusRequestEntityTooLarge {
			return nil, err
		}
		return nil, &Error{Status: http.StatusBadRequest, Type: schema.InvalidSyntax, Detail: "the body ended early", Cause: err}
	}
	return data, nil
}

var tooLarge = &Error{Status: http.StatusRequestEntityTooLarge, Detail: "the body is too large"}

// acceptable checks the content type: SCIM's, JSON's, or none, with any parameters (RFC 7644 §3.1).
func acceptable(h http.Header) error {
	refuse := &Error{Status: http.StatusUnsupportedMediaType, Detail: "send " + MediaType + " in UTF-8"}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return refuse
	}
	text := h.Get("Content-Type")
	if text == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(text)
	if err != nil || media != MediaType && media != "application/json" {
		return refuse
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "utf8") {
		return refuse
	}
	return nil
}

// known are the query parameters of RFC 7644 §3.4.2 and RFC 9865 §2.
var known = []string{"attributes", "excludedAttributes", "filter", "sortBy", "sortOrder", "startIndex", "count", "cursor"}

// query reads the query parameters. One that is there twice is refused: two readers could believe two things.
func (q request) query() (url.Values, error) {
	v, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, schema.Invalid(schema.InvalidSyntax, "", "the query is malformed")
	}
	for _, name := range known {
		if len(v[name]) > 1 {
			return nil, schema.Invalid(schema.InvalidValue, name, "the parameter is there twice")
		}
	}
	return v, nil
}
