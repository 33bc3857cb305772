package scim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/regain-id/regain/pkg/scim/patch"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// URNs of bulk messages (RFC 7644 §8.2).
const (
	bulkRequestURN  = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

// bulkPrefix marks the place of an id that another operation of the request will give (RFC 7644 §3.7.2).
const bulkPrefix = "bulkId:"

// operation is one operation of a bulk request on its way.
type operation struct {
	method, bulkID string
	pre            Precondition
	t              *resourceType
	id             string // empty for POST, "bulkId:…" until that is known
	sent           *Resource
	given          map[string]bool
	plan           *patch.Plan
	needs          []int // operations whose resource this one names, each a POST
	done           bool
	after          *Resource // as the operation left it; nil for DELETE
	err            error
}

// bulk answers /Bulk (RFC 7644 §3.7). Every operation commits by itself; those that refer to each other in a circle are
// done together or not at all. One that refers to a later one waits for it, else the order is kept.
func (q request) bulk(method string) (*response, error) {
	if method != http.MethodPost {
		return nil, q.notAllowed(map[string]func() (*response, error){"POST": nil})
	}
	if q.p.ReadOnly {
		return nil, &Error{Status: http.StatusForbidden, Detail: "this token may only read"}
	}
	most := q.s.cfg.Limits.BulkMaxBytes
	body, err := q.read(most)
	if err != nil {
		if asError(err).Status == http.StatusRequestEntityTooLarge {
			err = &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the bulk request is larger than maxPayloadSize (%d)", most)}
		}
		return nil, err
	}
	ops, failOn, err := q.readBulk(body)
	if err != nil {
		return nil, err
	}
	q.runBulk(ops, failOn)
	results := make([]bulkResult, 0, len(ops))
	for _, op := range ops {
		if op.done {
			results = append(results, q.result(op))
		}
	}
	data, err := json.Marshal(struct {
		Schemas    []string     `json:"schemas"`
		Operations []bulkResult `json:"Operations"`
	}{[]string{bulkResponseURN}, results})
	return &response{status: http.StatusOK, body: data}, err
}

// bulkResult is one operation of the answer (RFC 7644 §3.7.3).
type bulkResult struct {
	Location string    `json:"location,omitempty"`
	Method   string    `json:"method,omitempty"`
	BulkID   string    `json:"bulkId,omitempty"`
	Version  string    `json:"version,omitempty"`
	Status   string    `json:"status"`
	Response *errorDoc `json:"response,omitempty"`
}

func (q request) result(op *operation) bulkResult {
	res := bulkResult{Method: op.method, BulkID: op.bulkID}
	id := op.id
	if op.after != nil {
		id = op.after.ID
	}
	if id != "" && op.t != nil && !strings.HasPrefix(id, bulkPrefix) {
		res.Location = q.s.location(op.t, id)
	}
	if op.err != nil {
		e := asError(op.err)
		q.s.note(q.r, op.method, e)
		res.Status, res.Response = strconv.Itoa(e.Status), describeError(e)
		return res
	}
	status := http.StatusOK
	switch op.method {
	case http.MethodPost:
		status = http.StatusCreated
	case http.MethodDelete:
		status = http.StatusNoContent
	}
	res.Status = strconv.Itoa(status)
	if op.after != nil {
		res.Version = etag(op.after.Version)
	}
	return res
}

// readBulk reads a BulkRequest. What is wrong with one operation is that operation's error; what makes it unclear which
// operations there are is everybody's.
func (q request) readBulk(body Object) (ops []*operation, failOn int, err error) {
	var list []any
	seen := map[string]bool{}
	for key, v := range body {
		low := schema.Fold(key)
		if seen[low] {
			return nil, 0, schema.Invalid(schema.InvalidSyntax, key, "the attribute is there twice")
		}
		seen[low] = true
		switch low {
		case "schemas":
			urns, e := texts(key, &schema.Attribute{Name: key, MultiValued: true}, v)
			if !q.p.Compat.LooseSchemas && (e != nil || !contains(urns, bulkRequestURN)) {
				return nil, 0, schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", bulkRequestURN)
			}
		case "failonerrors":
			n, e := schema.Strict().Element(key, &schema.Attribute{Name: key, Type: schema.Integer}, v)
			i, _ := n.(int64)
			if e != nil || i < 0 || i > 1<<31-1 {
				return nil, 0, schema.Invalid(schema.InvalidValue, "failOnErrors", "want a number of errors")
			}
			failOn = int(i)
		case "operations":
			var ok bool
			if list, ok = v.([]any); !ok {
				return nil, 0, schema.Invalid(schema.InvalidSyntax, "Operations", "want a list")
			}
		default:
			if !q.p.Compat.IgnoreUnknown {
				return nil, 0, schema.Invalid(schema.InvalidSyntax, key, "not a member of a bulk request")
			}
		}
	}
	if !seen["schemas"] && !q.p.Compat.LooseSchemas {
		return nil, 0, schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", bulkRequestURN)
	}
	if len(list) == 0 {
		return nil, 0, schema.Invalid(schema.InvalidSyntax, "Operations", "a bulk request needs at least one operation")
	}
	if most := q.s.cfg.Limits.BulkMaxOps; len(list) > most {
		return nil, 0, &Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("more operations than maxOperations (%d)", most)}
	}
	posts := map[string]int{} // bulkId → the operation that makes the resource
	ids := map[string]bool{}
	for i, e := range list {
		o, ok := e.(Object)
		if !ok {
			return nil, 0, schema.Invalid(schema.InvalidSyntax, "Operations", "operation %d is not an object", i+1)
		}
		op := &operation{}
		op.err = q.readOperation(op, o)
		if op.bulkID != "" {
			if ids[op.bulkID] { // nobody could tell which one is meant
				return nil, 0, schema.Invalid(schema.InvalidSyntax, "bulkId", "operation %d has the bulkId of another one", i+1)
			}
			ids[op.bulkID] = true
			if op.method == http.MethodPost {
				posts[op.bulkID] = i
			}
		}
		ops = append(ops, op)
	}
	for _, op := range ops {
		if op.err == nil {
			op.err = op.link(ops, posts)
		}
	}
	return ops, failOn, nil
}

// readOperation reads one operation as far as it can be read before others are done.
func (q request) readOperation(op *operation, o Object) error {
	var path, version string
	var data any
	var bad error
	text := &schema.Attribute{Name: "text"}
	seen := map[string]bool{}
	for _, key := range sortedKeys(o) { // which fault is reported must not depend on chance
		v := o[key]
		low := schema.Fold(key)
		if seen[low] {
			return schema.Invalid(schema.InvalidSyntax, key, "the attribute is there twice")
		}
		seen[low] = true
		var err error
		switch low {
		case "method":
			var name string
			name, err = scalar("method", text, v)
			if q.p.Compat.AnyCaseOps {
				name = strings.ToUpper(name)
			}
			switch name {
			case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
				op.method = name
			}
		case "bulkid":
			op.bulkID, err = scalar("bulkId", text, v)
		case "path":
			path, err = scalar("path", text, v)
		case "version":
			version, err = scalar("version", text, v)
		case "data":
			data = v
		default:
			if !q.p.Compat.IgnoreUnknown {
				err = schema.Invalid(schema.InvalidSyntax, key, "not a member of a bulk operation")
			}
		}
		if err != nil && bad == nil {
			bad = err // the bulkId is wanted for the answer all the same
		}
	}
	switch {
	case bad != nil:
		return bad
	case op.method == "":
		return schema.Invalid(schema.InvalidSyntax, "method", "want POST, PUT, PATCH or DELETE")
	case op.method == http.MethodPost && op.bulkID == "":
		return schema.Invalid(schema.InvalidSyntax, "bulkId", "a POST needs one")
	}
	if version != "" {
		op.pre.Match = versions([]string{version})
	}
	if err := q.aim(op, path); err != nil {
		return err
	}
	body, ok := data.(Object)
	if !ok && op.method != http.MethodDelete {
		return schema.Invalid(schema.InvalidSyntax, "data", "want an object")
	}
	return q.readData(op, body)
}

// readData reads what an operation is to write.
func (q request) readData(op *operation, body Object) (err error) {
	switch op.method {
	case http.MethodDelete:
	case http.MethodPatch:
		op.plan, err = q.plan(op.t, body)
	default:
		op.sent, op.given, err = op.t.Decode(body, q.p.Compat)
	}
	return err
}

// aim finds the type and the id an operation's path names, relative to the base URL or with it.
func (q request) aim(op *operation, path string) error {
	path = strings.TrimPrefix(path, q.s.base)
	if path == "" || strings.ContainsAny(path, "?#") {
		return schema.Invalid(schema.InvalidValue, "path", "want the path of an endpoint or of a resource, without a query")
	}
	seg, err := split(path)
	if err == nil && len(seg) == 1 && seg[0] == "Me" && q.s.cfg.Me != nil {
		t, id, err := q.me()
		if err != nil {
			return err
		}
		seg = []string{strings.Trim(t.Endpoint, "/"), id}
	}
	if err != nil || len(seg) == 0 || q.s.at[seg[0]] == nil {
		return &Error{Status: http.StatusNotFound, Attr: "path", Detail: "path: no such endpoint"}
	}
	t := q.s.at[seg[0]]
	if err := q.may(t, false); err != nil {
		return err
	}
	switch {
	case op.method == http.MethodPost && len(seg) != 1:
		return schema.Invalid(schema.InvalidValue, "path", "a POST needs the path of an endpoint")
	case op.method != http.MethodPost && len(seg) != 2:
		return schema.Invalid(schema.InvalidValue, "path", "a %s needs the path of a resource", op.method)
	}
	op.t = t
	if len(seg) == 2 {
		op.id = seg[1]
	}
	return nil
}

// link finds the operations an operation refers to.
func (op *operation) link(ops []*operation, posts map[string]int) error {
	need := func(attr, id string) (*operation, error) {
		ref, ok := strings.CutPrefix(id, bulkPrefix)
		if !ok {
			return nil, nil
		}
		at, known := posts[ref]
		if !known {
			return nil, schema.Invalid(schema.InvalidValue, attr, "no POST of this request has that bulkId")
		}
		op.needs = append(op.needs, at)
		return ops[at], nil
	}
	made, err := need("path", op.id)
	if err != nil {
		return err
	}
	if made != nil && made.t != nil && made.t != op.t {
		return schema.Invalid(schema.InvalidValue, "path", "the bulkId is of a resource of another type")
	}
	for _, r := range op.references() {
		if _, err := need(r.Attr.Name+".value", r.ID); err != nil {
			return err
		}
	}
	return nil
}

func (op *operation) references() []patch.Reference {
	switch {
	case op.plan != nil:
		return op.plan.References()
	case op.sent != nil:
		return references(op.t, op.sent)
	}
	return nil
}
