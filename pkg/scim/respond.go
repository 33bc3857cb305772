package scim

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// MediaType is the content type of every answer, without parameters (RFC 7644 §8.1).
const MediaType = "application/scim+json"

const errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

// response is a finished answer.
type response struct {
	status   int
	body     []byte // nil: none
	etag     string
	location string
}

func (res *response) write(w http.ResponseWriter) {
	h := w.Header()
	if res.etag != "" {
		h.Set("ETag", res.etag)
	}
	if res.location != "" {
		h.Set("Location", res.location)
	}
	if res.body != nil {
		h.Set("Content-Type", MediaType)
		h.Set("Content-Length", strconv.Itoa(len(res.body)))
	}
	w.WriteHeader(res.status)
	// A client that went away is no fault of ours, and there is nobody left to tell.
	_, _ = w.Write(res.body)
}

// asError is the one table from errors to answers.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if c, ok := errors.AsType[*ConflictError](err); ok {
		return &Error{Status: http.StatusConflict, Type: schema.Uniqueness, Attr: c.Attr, Detail: c.Error()}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return &Error{Status: http.StatusNotFound, Detail: "no such resource"}
	case errors.Is(err, ErrPrecondition):
		return &Error{Status: http.StatusPreconditionFailed, Detail: "the resource has another version"}
	case errors.Is(err, ErrUnauthenticated):
		return &Error{Status: http.StatusUnauthorized, Detail: "a valid bearer token is needed"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusServiceUnavailable, Detail: "the request took too long", Cause: err}
	}
	return &Error{Status: http.StatusInternalServerError, Detail: "internal error", Cause: err}
}

// refuse answers with an error body (RFC 7644 §3.12).
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	s.note(r, r.Method, e)
	if e.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="scim"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(float64(e.RetryAfter)/float64(time.Second)))))
	}
	if e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	body, _ := json.Marshal(describeError(e))
	(&response{status: e.Status, body: body}).write(w)
}

// note logs what is the server's fault.
func (s *Server) note(r *http.Request, method string, e *Error) {
	if e.Status >= 500 && e.Status != http.StatusNotImplemented {
		s.cfg.Log.ErrorContext(r.Context(), "scim request failed", "method", method, "status", e.Status, "error", e)
	}
}

// errorDoc is the body of an error (RFC 7644 §3.12).
type errorDoc struct {
	Schemas []string    `json:"schemas"`
	Status  string      `json:"status"`
	Type    schema.Code `json:"scimType,omitempty"`
	Detail  string      `json:"detail,omitempty"`
}

func describeError(e *Error) *errorDoc {
	return &errorDoc{[]string{errorURN}, strconv.Itoa(e.Status), e.Type, e.Detail}
}

func (q request) notAllowed(allow map[string]func() (*response, error)) error {
	methods := slices.Sorted(maps.Keys(allow))
	q.w.Header().Set("Allow", strings.Join(methods, ", "))
	return &Error{Status: http.StatusMethodNotAllowed, Detail: "the endpoint takes " + strings.Join(methods, ", ")}
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// etag returns the weak entity tag of a version (RFC 7644 §3.14).
func etag(version string) string {
	if version == "" {
		return ""
	}
	return `W/"` + version + `"`
}

// versions reads If-Match or If-None-Match. Tags are compared weakly, as SCIM's are weak.
func versions(header []string) []string {
	var out []string
	for _, line := range header {
		for _, tag := range strings.Split(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "" {
				continue
			}
			// A tag that holds nothing stays: no resource has it, and without it the header would ask for nothing.
			out = append(out, strings.Trim(strings.TrimPrefix(tag, "W/"), `"`))
		}
	}
	return out
}

func (q request) precondition() Precondition {
	return Precondition{Match: versions(q.r.Header.Values("If-Match")), NoneMatch: versions(q.r.Header.Values("If-None-Match"))}
}
