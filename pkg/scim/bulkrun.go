package scim

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// runBulk carries operations out until failOn of them failed (0: all) or the client went away. Those it did not come to
// are not done.
func (q request) runBulk(ops []*operation, failOn int) {
	needs := make([][]int, len(ops))
	for i, op := range ops {
		needs[i] = op.needs
	}
	order := arrange(needs)
	failed := 0
	for len(order) > 0 {
		if failOn > 0 && failed >= failOn || q.ctx().Err() != nil {
			return
		}
		if part := order[0]; len(part) > 1 || slices.Contains(needs[part[0]], part[0]) {
			order = order[1:]
			failed += q.circle(pick(ops, part), ops)
			continue
		}
		var single []int // up to the next circle
		for _, part := range order {
			if len(part) > 1 || slices.Contains(needs[part[0]], part[0]) || len(single) == MaxBatch {
				break
			}
			single = append(single, part[0])
		}
		n := q.stretch(ops, single)
		order = order[n:]
		failed += q.together(pick(ops, single[:n]), ops, max(failOn-failed, 0))
	}
}

func pick(ops []*operation, at []int) []*operation {
	out := make([]*operation, len(at))
	for i, n := range at {
		out[i] = ops[n]
	}
	return out
}

// failedReference says that an operation named a resource that did not come to be.
func failedReference() error {
	return &Error{Status: http.StatusConflict, Detail: "refers by bulkId to an operation that did not succeed"}
}

// resolve writes the ids that are known into what the operation refers to.
func (op *operation) resolve(ops []*operation) error {
	ids := map[string]string{}
	for _, n := range op.needs {
		switch made := ops[n]; {
		case made.err != nil:
			return failedReference()
		case made.after != nil:
			ids[bulkPrefix+made.bulkID] = made.after.ID
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if id, ok := ids[op.id]; ok {
		op.id = id
	}
	if op.plan != nil {
		op.plan.Rename(ids)
		return nil
	}
	for _, r := range op.references() {
		if id, ok := ids[r.ID]; ok {
			r.Object["value"] = id
		}
	}
	return nil
}

// prepare makes an operation the write it asks for, as far as that can be known before it is done.
func (q request) prepare(op *operation, ops []*operation) (Write, error) {
	if op.err != nil {
		return Write{}, op.err
	}
	if err := op.resolve(ops); err != nil {
		return Write{}, err
	}
	p := project(op.t, []string{"id"}, nil) // the answer shows nothing else
	switch op.method {
	case http.MethodPost:
		return q.adding(op.t, op.sent)
	case http.MethodPut:
		return q.replacing(op.t, op.id, op.pre, p, op.sent, op.given)
	case http.MethodPatch:
		return q.modifying(op.t, op.id, op.pre, p, op.plan)
	}
	return Write{ID: op.id, Pre: op.pre}, nil
}

// circleTime is how long resources that refer to each other may take to come to be, or to be undone.
const circleTime = 30 * time.Second

// circle makes resources that refer to each other (RFC 7644 §3.7.1): all are created without the references among them,
// which are then added. When one fails the others are taken back. A client that goes away meanwhile does not stop it
// half-way.
// It returns how many of them failed: none or all.
func (q request) circle(together, ops []*operation) (failed int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.ctx()), circleTime)
	defer cancel()
	q.r = q.r.WithContext(ctx)
	if !q.createAll(together, ops) || !q.joinAll(together) {
		for _, op := range together {
			if op.after != nil {
				if err := q.erase(op.t, op.after.ID, Precondition{}); err != nil {
					q.s.note(q.r, http.MethodDelete, asError(err))
				}
				op.after = nil
			}
			if op.err == nil {
				op.err = failedReference()
			}
		}
	}
	for _, op := range together {
		if op.done = true; op.err != nil {
			failed++
		}
	}
	return failed
}

// createAll creates the resources of a circle without the references among them.
func (q request) createAll(together, ops []*operation) bool {
	for _, op := range together {
		if op.err == nil {
			op.err = op.resolve(ops) // what is outside the circle
		}
		if op.err != nil {
			return false
		}
	}
	for _, op := range together {
		bare := op.sent.Clone()
		for _, path := range op.open() {
			kept, _ := bare.Lookup(path).([]any)
			bare.Set(path, slices.DeleteFunc(kept, isOpen)) // a single value is none
		}
		if op.t.Check(bare, false) != nil && op.t.Check(op.sent, false) == nil {
			op.err = &Error{Status: http.StatusConflict, Detail: "a circle of references that cannot be resolved: a required attribute is part of it"}
			return false
		}
		if op.after, op.err = q.add(op.t, bare); op.err != nil {
			return false
		}
	}
	return true
}

// open returns the attributes with references that are not resolved.
func (op *operation) open() []schema.Path {
	var out []schema.Path
	for _, path := range op.t.paths() {
		if !path.Attr.RefersToResource() || path.Attr.Mutability == schema.ReadOnly {
			continue
		}
		v := op.sent.Lookup(path)
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		if slices.ContainsFunc(list, isOpen) {
			out = append(out, path)
		}
	}
	return out
}

func isOpen(e any) bool {
	o, _ := e.(Object)
	return strings.HasPrefix(str(o["value"]), bulkPrefix)
}

// joinAll adds the references within a circle whose resources are all there.
func (q request) joinAll(together []*operation) bool {
	ids := map[string]string{}
	for _, op := range together {
		ids[bulkPrefix+op.bulkID] = op.after.ID
	}
	for _, op := range together {
		if op.err = q.join(op, ids); op.err != nil {
			return false
		}
	}
	return true
}

func (q request) join(op *operation, ids map[string]string) error {
	t := op.t
	var members []MemberDelta
	whole := op.sent.Clone()
	paths := op.open()
	for _, path := range paths {
		var late []Object
		list, ok := whole.Lookup(path).([]any)
		if !ok {
			list = []any{whole.Lookup(path)}
		}
		for _, e := range list {
			if o, _ := e.(Object); isOpen(e) {
				o["value"] = ids[str(o["value"])]
				late = append(late, o)
			}
		}
		if path.Attr.Large {
			members = append(members, MemberDelta{Attr: path.Key(), Add: once(late)})
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if err := q.refer(t, whole); err != nil { // also writes of which type a member is
		return err
	}
	change := func(cur *Resource) (*Change, error) {
		base := t.WithoutSecrets(cur)
		for _, a := range t.Large() {
			delete(base.Attrs, a.Name)
		}
		next := base.Clone()
		for _, path := range paths {
			if !path.Attr.Large {
				next.Set(path, schema.CloneValue(whole.Lookup(path)))
			}
		}
		return &Change{Next: next, Ops: schema.Diff(base, next), Members: members}, nil
	}
	defer q.s.counts.forget()
	after, err := q.store(t).Update(q.ctx(), op.after.ID, Precondition{}, q.need(t, project(t, []string{"id"}, nil), nil), change)
	if err == nil {
		op.after = after
	}
	return err
}

// once leaves out members that are there twice.
func once(list []Object) []Object {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(o Object) bool {
		id := str(o["value"])
		was := seen[id]
		seen[id] = true
		return was
	})
}

func sortedKeys(o Object) []string { return slices.Sorted(maps.Keys(o)) }

// arrange says in which order operations are done. needs[i] are those that operation i refers to. Operations in one part of
// the result refer to each other in a circle, or are one. Every part comes after what it refers to; else the order is
// kept: who refers to a later one waits.
func arrange(needs [][]int) [][]int {
	parts, of := circles(needs)
	slices.SortFunc(parts, func(a, b []int) int { return a[len(a)-1] - b[len(b)-1] })
	for i, part := range parts {
		for _, n := range part {
			of[n] = i
		}
	}
	waits := make([]int, len(parts))
	frees := make([][]int, len(parts))
	for i, part := range parts {
		for _, n := range part {
			for _, m := range needs[n] {
				if of[m] != i {
					waits[i]++
					frees[of[m]] = append(frees[of[m]], i)
				}
			}
		}
	}
	passed := make([]bool, len(parts))
	order := make([][]int, 0, len(parts))
	var run func(i int)
	run = func(i int) {
		order = append(order, parts[i])
		for _, j := range frees[i] {
			if waits[j]--; waits[j] == 0 && passed[j] {
				run(j)
			}
		}
	}
	for i := range parts {
		if passed[i] = true; waits[i] == 0 {
			run(i)
		}
	}
	return order
}

// circles returns the strongly connected parts of a graph (Tarjan), each in ascending order, and to which part a node belongs.
func circles(needs [][]int) (parts [][]int, of []int) {
	n := len(needs)
	of = make([]int, n)
	index, low := make([]int, n), make([]int, n) // index 0: not visited
	on := make([]bool, n)
	var stack []int
	next := 0
	var visit func(v int)
	visit = func(v int) {
		next++
		index[v], low[v] = next, next
		stack = append(stack, v)
		on[v] = true
		for _, w := range needs[v] {
			if index[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if on[w] {
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		at := slices.Index(stack, v)
		part := slices.Clone(stack[at:])
		stack = stack[:at]
		slices.Sort(part)
		for _, w := range part {
			on[w] = false
			of[w] = len(parts)
		}
		parts = append(parts, part)
	}
	for v := range n {
		if index[v] == 0 {
			visit(v)
		}
	}
	return parts, of
}
