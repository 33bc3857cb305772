package signal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/fault"
)

// refusal is an answer that is no success. text is for developers of receivers: it quotes nothing of the request. With an
// error of RFC 6750 §3.1 or RFC 6749 §5.2 it says which.
type refusal struct {
	status int
	code   string
	text   string
	scope  string        // of insufficient_scope: what would be enough
	retry  time.Duration // of 429 and 503
	cause  error         // for the log
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.cause }

// bad is the answer to a request that breaks a rule; what err says was written by us.
func bad(err error) error { return &refusal{status: http.StatusBadRequest, text: err.Error()} }

// errNoStream is the answer where there is no such stream, or none that this receiver may know of: the same for both.
var errNoStream = &refusal{status: http.StatusNotFound, text: "no such stream"}

// kinds is how a fault of the store or the limiter reads here.
var kinds = map[fault.Kind]refusal{
	fault.Invalid:     {status: http.StatusBadRequest, text: "the request breaks a rule"},
	fault.NotFound:    {status: http.StatusNotFound, text: "no such stream"},
	fault.Conflict:    {status: http.StatusConflict, text: "it was changed meanwhile: read it again"},
	fault.Denied:      {status: http.StatusForbidden, text: "this is not allowed"},
	fault.Limited:     {status: http.StatusTooManyRequests, text: "too many requests"},
	fault.Unavailable: {status: http.StatusServiceUnavailable, text: "this cannot be answered now", retry: 5 * time.Second},
}

// refused finds the answer to an error. An error nobody marked is our own fault and says nothing.
func refused(err error) *refusal {
	if e, ok := errors.AsType[*refusal](err); ok {
		return e
	}
	kind, _ := fault.Read(err)
	e, known := kinds[kind]
	if !known {
		return &refusal{status: http.StatusInternalServerError, text: "this could not be answered", cause: err}
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.RetryAfter > 0 {
		e.retry = f.RetryAfter
	}
	e.cause = err
	return &e
}

// answerFault writes the answer to an error. What only operators may read goes to the log, the request never does.
func (s *Service) answerFault(w http.ResponseWriter, r *http.Request, err error) {
	e := refused(err)
	if e.status >= http.StatusInternalServerError {
		s.Log.ErrorContext(r.Context(), "request of a receiver not answered", "method", r.Method, "route", r.Pattern, "cause", e.cause)
	}
	if e.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.retry+time.Second-1)/time.Second)))
	}
	if e.status == http.StatusUnauthorized || e.code == codeScope || e.code == codeBearer {
		w.Header().Set("WWW-Authenticate", challenge(e))
	}
	code := e.code
	if code == "" {
		code = map[int]string{http.StatusNotFound: "not_found", http.StatusConflict: "conflict", http.StatusTooManyRequests: "too_many_requests",
			http.StatusServiceUnavailable: "temporarily_unavailable", http.StatusInternalServerError: "server_error"}[e.status]
	}
	if code == "" {
		code = "invalid_request"
	}
	write(w, e.status, map[string]string{"error": code, "error_description": e.text})
}

// write answers with JSON that nobody may keep.
func write(w http.ResponseWriter, status int, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // our own types marshal
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // the reader is gone; there is nobody to tell
}
