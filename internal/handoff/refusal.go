package handoff

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/fault"
)

// The errors (RFC 6749 §4.1.2.1, §5.2; RFC 6750 §3.1; OIDC Core §3.1.2.6).
const (
	errInvalidRequest = "invalid_request"
	errInvalidClient  = "invalid_client"
	errInvalidGrant   = "invalid_grant"
	errInvalidScope   = "invalid_scope"
	errInvalidToken   = "invalid_token"
	errUnauthorized   = "unauthorized_client"
	errAccessDenied   = "access_denied"
	errGrantType      = "unsupported_grant_type"
	errResponseType   = "unsupported_response_type"
	errRequest        = "request_not_supported"
	errRequestURI     = "request_uri_not_supported"
	errInteraction    = "interaction_required"
	errDown           = "temporarily_unavailable"
	errServer         = "server_error"
)

// What is said of errors that several things lead to, so that nobody can tell those apart.
const (
	textNothingChanged  = "nothing was changed"
	textTryLater        = "nothing was changed, because something needed is not answering; try again later"
	textAppMayNot       = "this client may not ask for that, or not any more"
	textClientIsUnknown = "client authentication failed"
	textGrantIsBad      = "the code is unknown, used, expired, or does not belong to this request"
)

// refusal is what a client gets instead of what it asked for. description is for whoever writes the client, in the letters
// that RFC 6749 §5.2 allows; it is never made of what was sent. cause is for the log.
type refusal struct {
	code        string
	description string
	status      int  // 400 when 0
	basic       bool // the client tried by the Authorization header, and is to be told how (RFC 6749 §5.2)
	retry       time.Duration
	cause       error
}

func (e *refusal) Error() string {
	if e.cause != nil {
		return e.code + ": " + e.cause.Error()
	}
	return e.code + ": " + e.description
}

func refuse(code, description string) *refusal { return &refusal{code: code, description: description} }

// down is the refusal when something of ours is not answering.
func down(err error) *refusal {
	return &refusal{code: errServer, description: "something went wrong here", status: http.StatusInternalServerError, cause: err}
}

// faulty turns a fault of ours into a refusal.
func faulty(err error) *refusal {
	if e, ok := errors.AsType[*fault.Error](err); ok {
		switch e.Kind {
		case fault.Limited:
			return &refusal{code: errDown, description: "too many requests", status: http.StatusTooManyRequests, retry: e.RetryAfter, cause: err}
		case fault.Unavailable:
			return &refusal{code: errDown, description: "try again later", status: http.StatusServiceUnavailable, retry: 30 * time.Second, cause: err}
		}
	}
	return down(err)
}

// refuse writes a refusal of a machine endpoint (RFC 6749 §5.2).
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	status := e.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	level := s.Log.InfoContext
	if status >= http.StatusInternalServerError {
		level = s.Log.ErrorContext
	}
	level(r.Context(), "client refused", "request_id", w.Header().Get("X-Request-Id"), "error", e.code, "cause", e.Error())
	if e.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="clients", charset="UTF-8"`)
	}
	if e.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.retry+time.Second-1)/time.Second)))
	}
	s.json(w, status, struct {
		Error       string `json:"error,omitempty"`
		Description string `json:"error_description,omitempty"`
	}{e.code, e.description})
}

// json writes an answer. What may not be kept says so already (RFC 6749 §5.1): every answer of the site does.
func (s *Service) json(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value of ours that is no JSON
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the caller is gone; there is nobody to tell
}

// endpoint mounts a machine endpoint: this very path, these methods.
func (s *Service) endpoint(path string, h http.HandlerFunc, methods ...string) {
	s.site.Mount(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != path: // what is mounted gets all that begins with it
			http.NotFound(w, r)
		case !slices.Contains(methods, r.Method):
			w.Header().Set("Allow", strings.Join(methods, ", "))
			s.refuse(w, r, &refusal{code: errInvalidRequest, description: "another method is needed", status: http.StatusMethodNotAllowed})
		default:
			h(w, r)
		}
	}))
}

const (
	maxBody  = 64 << 10 // bytes of a form
	maxQuery = 16 << 10 // bytes of a query
	maxPairs = 64       // parameters; more are nobody's need
)

// parameters are what came in a query or a form, as they came: a handler asks for each by one.
type parameters url.Values

// parse reads parameters strictly: what does not decode is no request.
func parse(raw string, most int) (parameters, error) {
	if len(raw) > most || strings.Count(raw, "&") >= maxPairs {
		return nil, errors.New("too many parameters")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("parameters that do not decode")
	}
	return parameters(values), nil
}

// get returns a parameter; "" when it is missing or empty, which is the same (RFC 6749 §3.1), or came more than once,
// which is for repeated to refuse.
func (p parameters) get(name string) string {
	if v := p[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// repeated reports whether one of these came more than once (RFC 6749 §3.1).
func (p parameters) repeated(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return len(p[n]) > 1 })
}

// body reads the form of a machine endpoint.
func (s *Service) body(w http.ResponseWriter, r *http.Request) (parameters, *refusal) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(errInvalidRequest, "a form is needed: application/x-www-form-urlencoded")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &refusal{code: errInvalidRequest, description: "the form is too large", status: http.StatusRequestEntityTooLarge}
		}
		return nil, refuse(errInvalidRequest, "the form broke off")
	}
	p, err := parse(string(raw), maxBody)
	if err != nil {
		return nil, refuse(errInvalidRequest, "the form cannot be read")
	}
	return p, nil
}
