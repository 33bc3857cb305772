package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

// refusal is a fault of HTTP itself, which package fault has no kind for.
type refusal struct {
	status int
	say    message.Message
	cause  string
}

func (e *refusal) Error() string { return fmt.Sprintf("%d (%s): %s", e.status, e.say.Key, e.cause) }

func refuse(status int, say message.Message) error {
	return &refusal{status: status, say: say, cause: http.StatusText(status)}
}

var (
	badRequestText = message.Key("error.bad_request")
	errPanic       = errors.New("panic")
)

func badRequest(cause string) error {
	return &refusal{status: http.StatusBadRequest, say: badRequestText, cause: cause}
}

func tooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, message.Key("fault.too_large"))
}

// ErrorPage is the dot of the template "error".
type ErrorPage struct {
	Heading message.Message
	Text    message.Message
	ID      string // of the request, to tell the help desk
	Ours    bool   // nothing the person did: the id is shown
}

// Limited returns the fault for somebody who comes too often: told openly, as 429 with Retry-After.
func Limited(retry time.Duration) error {
	minutes := int((retry + time.Minute - 1) / time.Minute)
	return &fault.Error{Kind: fault.Limited, Say: message.Key("error.limited", "Minutes", max(minutes, 1)), RetryAfter: max(retry, time.Second)}
}

// status is the one table from kinds of faults to HTTP.
func status(kind fault.Kind) int {
	switch kind {
	case fault.Invalid:
		return http.StatusBadRequest // a form that can be mended is shown again by its handler, with 422
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Over:
		return http.StatusGone
	}
	return http.StatusInternalServerError
}

func heading(status int) message.Message {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return message.Key("fault.heading.not_found")
	case http.StatusForbidden:
		return message.Key("fault.heading.denied")
	case http.StatusTooManyRequests:
		return message.Key("fault.heading.limited")
	case http.StatusServiceUnavailable:
		return message.Key("fault.heading.unavailable")
	case http.StatusGone:
		return message.Key("fault.heading.over")
	case http.StatusInternalServerError:
		return message.Key("fault.heading.internal")
	}
	return message.Key("fault.heading.bad_request")
}

// describe turns an error into a page. The cause never reaches it.
func describe(err error, id string) (p Page, retry time.Duration) {
	var code int
	var text message.Message
	if e, ok := errors.AsType[*refusal](err); ok {
		code, text = e.status, e.say
	} else {
		kind, say := fault.Read(err)
		code, text = status(kind), say
		if f, ok := errors.AsType[*fault.Error](err); ok {
			retry = f.RetryAfter
		}
		if retry == 0 && kind == fault.Unavailable {
			retry = 30 * time.Second
		}
	}
	h := heading(code)
	return Page{
		Template: "error", Title: h, Status: code,
		Data: ErrorPage{Heading: h, Text: text, ID: id, Ours: code >= 500},
	}, retry
}

// fail answers with the error page for err and logs its cause.
func (s *Site) fail(w *recorder, r *http.Request, err error) {
	p, retry := describe(err, w.id)
	level := s.log.Info
	if p.Status >= 500 {
		level = s.log.Error
	}
	level("fault", "request_id", w.id, "route", w.route, "status", p.Status, "cause", err.Error())
	h := w.Header()
	if retry > 0 && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
		h.Set("Retry-After", strconv.Itoa(int((retry+time.Second-1)/time.Second))) // RFC 9110 §10.2.3, rounded up
	}
	h.Del("Location")
	var body bytes.Buffer
	req := s.request(w, r)
	from, err := s.sentBy(req)
	if err != nil { // the error page comes all the same
		s.log.Error("error page", "request_id", w.id, "cause", err.Error())
	} else if from != nil {
		leadsTo(h, from.Origin)
	}
	if err := s.render(&body, req, p, from); err != nil {
		s.log.Error("error page", "request_id", w.id, "cause", err.Error())
		body.Reset()
		h.Set("Content-Type", "text/plain; charset=utf-8")
	} else {
		h.Set("Content-Type", "text/html; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(p.Status)
	w.Write(body.Bytes()) //nolint:errcheck // the reader is gone; there is nobody to tell
}
