package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Async keeps requests that are answered later (RFC 9967 §2.5.1):
//
//	client → Prefer: respond-async → Keep, durably → 202, Set-Txn       the engine
//	kept request → Server.Perform, as often as it takes → Journal       a worker of the application
//	answer → security event "asyncresp" → client                        the application
//
// Requests of one principal are to be performed in the order they were kept in.
type Async interface {
	// Keep stores a request so that it outlives the process, and returns the transaction's name, which the client is told
	// and the events that answer will carry: unique, of letters, digits and dashes. An *Error is answered as it is, such as
	// one of 429 when too much waits already.
	Keep(ctx context.Context, p *Principal, k *Kept) (txn string, err error)
}

// Kept is a request that is to be carried out later. Its body was read and understood; whether it can be done shows when it
// is. It may hold secrets: seal it.
type Kept struct {
	Method    string   `json:"method"`               // POST, PUT, PATCH or DELETE
	Path      string   `json:"path"`                 // below the base URL: /Users, /Users/{id} or /Bulk
	Match     []string `json:"match,omitempty"`      // versions of If-Match
	NoneMatch []string `json:"none_match,omitempty"` // versions of If-None-Match
	Body      []byte   `json:"body,omitempty"`
}

// Bulk reports whether the request holds operations, each of which is answered by itself.
func (k *Kept) Bulk() bool { return k.Path == bulkPath }

// Txn is the transaction of one operation of a kept request (RFC 9967 §2.5.1.2): of a bulk request the operation at that
// place, counted from 0.
func (k *Kept) Txn(txn string, index int) string {
	if !k.Bulk() {
		return txn
	}
	return txn + ":" + strconv.Itoa(index)
}

const bulkPath = "/Bulk"

// Act says by what a change is made.
type Act struct {
	Method string // POST, PUT, PATCH or DELETE; of a bulk request the operation's
	// Txn, when set, is the transaction of an operation that was kept. A store that writes an answer of that transaction in
	// the commit of the change, and refuses a second one, makes each operation happen once, however often it is performed.
	Txn    string
	BulkID string // of the operation, for that answer
}

// Answer is what became of one operation (RFC 7644 §3.7.3).
type Answer struct {
	Method   string
	BulkID   string
	Type     string          // name of the resource type; empty when the path named none
	ID       string          // of the resource; empty when there is none
	Path     string          // of the resource below the base URL, or what the request named instead
	Location string          // of the resource
	Version  string          // its entity tag afterwards; empty when there is none or it is not known
	Status   int             // of HTTP
	Response json.RawMessage // the error (RFC 7644 §3.12); nil when it was done
}

// Journal is what was answered to the operations of one kept request. Index is an operation's place in a bulk request, else 0.
type Journal interface {
	// Answered returns the answer of an operation; nil when there is none yet.
	Answered(ctx context.Context, index int) (*Answer, error)
	// Record keeps the answer of an operation durably. One that is there already stays.
	Record(ctx context.Context, index int, a Answer) error
}

// postpone keeps a request whose client wants to be answered later. It returns nothing for any other, and for one that can
// only be answered at once: a client that asks must take either (RFC 9967 §2.5.1.1).
func (q request) postpone(method string, seg []string) (*response, error) {
	if q.s.cfg.Async == nil || len(seg) == 0 || !prefersAsync(q.r.Header) {
		return nil, nil
	}
	k := &Kept{Method: method}
	var t *resourceType
	most := q.s.cfg.Limits.BulkMaxBytes
	if t = q.s.at[seg[0]]; t != nil {
		one := len(seg) == 1 && method == http.MethodPost
		if !one && (len(seg) != 2 || seg[1] == ".search" || method != http.MethodPut && method != http.MethodPatch && method != http.MethodDelete) {
			return nil, nil
		}
		if err := q.may(t, false); err != nil {
			return nil, err
		}
		k.Path = path(t, seg[1:]...)
		most = q.s.cfg.Limits.MaxBody
		if len(t.Large()) > 0 {
			most = q.s.cfg.Limits.MaxGroupBody
		}
		pre := q.precondition()
		k.Match, k.NoneMatch = pre.Match, pre.NoneMatch
	} else if len(seg) != 1 || seg[0] != "Bulk" || method != http.MethodPost || q.p.ReadOnly {
		return nil, nil
	} else {
		k.Path = bulkPath
	}
	if method != http.MethodDelete {
		var err error
		if k.Body, err = q.raw(most); err != nil {
			return nil, err
		}
		q.r.Body = io.NopCloser(bytes.NewReader(k.Body)) // whoever answers at once reads it again
		q.r.ContentLength = int64(len(k.Body))
	}
	ops, _, err := q.unpack(k)
	if err != nil {
		return nil, err
	}
	if holdsPassword(k.Body) || circular(ops) || len(k.Path) > maxEcho || slices.ContainsFunc(ops, func(op *operation) bool { return len(op.bulkID) > maxEcho }) {
		return nil, nil
	}
	if !k.Bulk() && ops[0].err != nil {
		return nil, ops[0].err
	}
	txn, err := q.s.cfg.Async.Keep(q.ctx(), q.p, k)
	if err != nil {
		return nil, err
	}
	h := q.w.Header()
	h.Set("Set-Txn", txn)
	h.Set("Preference-Applied", "respond-async")
	res := &response{status: http.StatusAccepted}
	if len(seg) == 2 {
		res.location = q.s.location(t, seg[1])
	}
	return res, nil
}

// holdsPassword reports whether a body may bring a password: it speaks of one in a name, a path or anywhere else, however it
// is escaped. A password is kept nowhere, so such a request is answered at once.
func holdsPassword(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil { // the end, or what was found out to be no JSON before
			return false
		}
		if s, ok := t.(string); ok && strings.Contains(strings.ToLower(s), "password") {
			return true
		}
	}
}

// prefersAsync reads Prefer (RFC 7240 §2). How long the client would wait (§4.3) is the most it has to: 202 comes sooner.
func prefersAsync(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for _, preference := range strings.Split(line, ",") {
			name, _, _ := strings.Cut(preference, ";")
			name, value, _ := strings.Cut(name, "=")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") && strings.Trim(strings.TrimSpace(value), `"`) == "" {
				return true
			}
		}
	}
	return false
}

// unpack reads the operations of a kept request.
func (q request) unpack(k *Kept) (ops []*operation, failOn int, err error) {
	var body Object
	if k.Method != http.MethodDelete {
		if body, err = schema.ParseJSON(k.Body); err != nil {
			return nil, 0, err
		}
	}
	if k.Bulk() {
		return q.readBulk(body)
	}
	op := &operation{method: k.Method, pre: Precondition{Match: k.Match, NoneMatch: k.NoneMatch}}
	op.err = q.aim(op, k.Path)
	if op.err == nil {
		op.err = q.readData(op, body)
	}
	return []*operation{op}, 0, nil
}

// maxEcho is how long, in bytes, a name of the client's may be that an answer has to repeat.
const maxEcho = 512

// circular reports whether operations refer to each other in a circle. Half of it cannot be told from all of it by whoever
// goes on with one that was broken off.
func circular(ops []*operation) bool {
	for _, part := range arrange(needs(ops)) {
		if len(part) > 1 || slices.Contains(ops[part[0]].needs, part[0]) {
			return true
		}
	}
	return false
}

func needs(ops []*operation) [][]int {
	all := make([][]int, len(ops))
	for i, op := range ops {
		all[i] = op.needs
	}
	return all
}

// Perform carries a kept request out as p, and records in j what became of each operation. An operation that j has an answer
// of is not done again, so that Perform may be repeated after it was broken off. It returns an error when something may go
// better later: then it has done what it could before, in order, and is to be called again; Refuse ends it instead.
// For a store that does not look at Act.Txn an operation that was done just before the process ended is done twice.
func (s *Server) Perform(ctx context.Context, p *Principal, txn string, k *Kept, j Journal) error {
	q, err := s.later(ctx, p, k)
	if err != nil {
		return err
	}
	ops, failOn, err := q.unpack(k)
	if err != nil {
		return s.Refuse(ctx, k, j, err)
	}
	failed := 0
	for _, part := range arrange(needs(ops)) {
		for _, n := range part {
			op := ops[n]
			switch {
			case len(part) > 1 || slices.Contains(op.needs, n):
				op.err = &Error{Status: http.StatusConflict, Detail: "a circle of references cannot be done later"}
			case failOn > 0 && failed >= failOn:
				op.err = &Error{Status: http.StatusConflict, Detail: "not done: as many operations failed as failOnErrors allows"}
			}
			q.act = Act{Method: op.method, Txn: k.Txn(txn, n), BulkID: op.bulkID}
			if err := q.once(ctx, op, ops, n, j); err != nil {
				return err
			}
			if op.err != nil {
				failed++
			}
		}
	}
	return nil
}

// once carries out one operation unless it has an answer.
func (q request) once(ctx context.Context, op *operation, ops []*operation, n int, j Journal) error {
	known, err := j.Answered(ctx, n)
	if err != nil {
		return err
	}
	if known == nil {
		q.together([]*operation{op}, ops, 0)
		if op.err != nil {
			if err := ctx.Err(); err != nil { // whatever went wrong, it is about us
				return err
			}
			// Another worker may have done it meanwhile, or we did and did not hear of it.
			if known, err = j.Answered(ctx, n); err != nil {
				return err
			}
		}
	}
	if known != nil {
		op.after, op.err = nil, nil
		switch {
		case known.Response != nil:
			op.err = &Error{Status: known.Status, Detail: "answered before"}
		case known.Method != http.MethodDelete:
			op.after = &Resource{ID: known.ID}
		}
		return nil
	}
	if op.err != nil && passes(asError(op.err)) {
		return op.err
	}
	// What was done is written down even at the last moment.
	return j.Record(context.WithoutCancel(ctx), n, q.answered(op))
}

// passes reports whether an error may be gone the next time.
func passes(e *Error) bool {
	return e.Status >= 500 && e.Status != http.StatusNotImplemented || e.Status == http.StatusTooManyRequests
}

// answered is the answer of an operation.
func (q request) answered(op *operation) Answer {
	res := q.result(op)
	a := Answer{Method: op.method, BulkID: op.bulkID, Location: res.Location, Version: res.Version}
	a.Status, _ = strconv.Atoi(res.Status)
	if a.ID = op.id; op.after != nil {
		a.ID = op.after.ID
	}
	if op.t != nil {
		a.Type = op.t.ResourceType.Name
		if a.Path = path(op.t); a.ID != "" {
			a.Path = path(op.t, a.ID)
		}
	}
	if res.Response != nil {
		a.Response, _ = json.Marshal(res.Response) // of strings
	}
	return a
}

// Refuse ends a kept request that will not be carried out: every operation without an answer gets the error.
func (s *Server) Refuse(ctx context.Context, k *Kept, j Journal, because error) error {
	// Whoever sent it may be nobody any more: the operations are read as tolerantly as can be, and by nobody's rights.
	q, err := s.later(ctx, &Principal{Compat: schema.Entra()}, k)
	if err != nil {
		return err
	}
	ops, _, err := q.unpack(k)
	if err != nil || len(ops) == 0 {
		ops = []*operation{{method: k.Method}}
	}
	for n, op := range ops {
		known, err := j.Answered(ctx, n)
		if err != nil {
			return err
		}
		if known != nil {
			continue
		}
		op.err = because
		if err := j.Record(ctx, n, q.answered(op)); err != nil {
			return err
		}
	}
	return nil
}

// later is a request on behalf of one that was kept.
func (s *Server) later(ctx context.Context, p *Principal, k *Kept) (request, error) {
	r, err := http.NewRequestWithContext(ctx, k.Method, s.base+k.Path, nil)
	return request{s: s, r: r, p: p}, err
}
