package scim

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

// MaxBatch is the most writes one call of Batcher.Apply gets.
const MaxBatch = 100

// Batcher is a Store that can do many writes in one commit. The engine asks it for the operations of a bulk request that do
// not refer to one another; without it they are done one by one.
type Batcher interface {
	Store

	// Apply does up to MaxBatch writes, one after the other, and returns what became of each, in their order. The answers are
	// those of Create, Update and Delete called one by one: each write is done whole or not at all, and one that fails
	// leaves the others alone, for which a database has savepoints. What was done is durable when Apply returns. When
	// nothing could be done, such as when ctx ended before, every result is that error.
	//
	// A write whose FailOn is not 0 is left out, with ErrNotDone, once that many before it failed; to be left out is no failure. UpdateFuncs may be
	// called more than once, and for a write that is then left out.
	Apply(ctx context.Context, writes []Write) []Result
}

// ErrNotDone is the result of a write that was left out because too many before it failed.
var ErrNotDone = errors.New("not done: too many writes before it failed")

// Write is one write of a batch: it creates Create, or updates the resource ID by Update, or deletes the resource ID. The
// fields are the arguments of the Store's methods.
type Write struct {
	Create *Resource  // not nil: as Store.Create
	Update UpdateFunc // not nil: as Store.Update; neither: as Store.Delete
	ID     string
	Pre    Precondition
	Need   Selection
	FailOn int // 0: whatever becomes of the writes before it
	Act    Act // by what it is made; one by one, a Binder's Principal has it
}

// Result is what became of a write: the resource as it is afterwards, nil after a deletion, or an error.
type Result struct {
	Resource *Resource
	Err      error
}

// Do does one write by the methods of a store.
func (w Write) Do(ctx context.Context, s Store) Result {
	var res Result
	switch {
	case w.Create != nil:
		res.Resource, res.Err = s.Create(ctx, w.Create)
	case w.Update != nil:
		res.Resource, res.Err = s.Update(ctx, w.ID, w.Pre, w.Need, w.Update)
	default:
		res.Err = s.Delete(ctx, w.ID, w.Pre)
	}
	return res
}

// apply does writes of resources of one type, together where the store can.
func (q request) apply(t *resourceType, writes []Write) []Result {
	defer q.s.counts.forget()
	s := q.store(t)
	if b, ok := s.(Batcher); ok && len(writes) > 1 {
		if results := b.Apply(q.ctx(), writes); len(results) == len(writes) {
			return results
		}
		return slices.Repeat([]Result{{Err: errors.New("the store does not say what became of each write of a batch")}}, len(writes))
	}
	results := make([]Result, len(writes))
	failed := 0
	for i, w := range writes {
		if w.FailOn > 0 && failed >= w.FailOn {
			results[i].Err = ErrNotDone
			continue
		}
		if w.Act.Method != "" {
			q.act = w.Act
			s = q.store(t)
		}
		if results[i] = w.Do(q.ctx(), s); results[i].Err != nil {
			failed++
		}
	}
	return results
}

// do does one write.
func (q request) do(t *resourceType, w Write) (*Resource, error) {
	res := q.apply(t, []Write{w})[0]
	return res.Resource, res.Err
}

// together does operations that need nothing of one another, in their order, until as many failed as left says (0: all).
// It returns how many did. Those it did not come to are not done.
func (q request) together(run, ops []*operation, left int) (failed int) {
	var writes []Write
	var of []*operation
	for i, op := range run {
		w, err := q.prepare(op, ops)
		if err != nil {
			op.err = err
			if failed++; left > 0 && failed >= left {
				run = run[:i+1]
				break
			}
			continue
		}
		if left > 0 {
			w.FailOn = left - failed
		}
		w.Act = q.act
		w.Act.Method = op.method
		writes, of = append(writes, w), append(of, op)
	}
	if len(writes) > 0 {
		for i, res := range q.apply(of[0].t, writes) {
			of[i].after, of[i].err = res.Resource, res.Err
		}
	}
	failed = 0
	for _, op := range run {
		if left > 0 && failed >= left { // it may have been looked at: nothing was done
			op.after, op.err = nil, nil
			continue
		}
		op.done = true
		if op.err != nil {
			failed++
		}
	}
	return failed
}

// stretch returns how many of the operations to come, given by their places, can be done in one batch: those of one type
// that need nothing of one another, and where none names what another deletes.
func (q request) stretch(ops []*operation, next []int) int {
	var t *resourceType
	made, gone, named := map[int]bool{}, map[string]bool{}, map[string]bool{}
	for n, at := range next {
		op := ops[at]
		if n == MaxBatch {
			return n
		}
		if op.err != nil { // nothing is done for it
			continue
		}
		if t == nil {
			t = op.t
			if _, ok := q.store(t).(Batcher); !ok {
				return n + 1
			}
		}
		ids := op.names()
		deletes := op.method == http.MethodDelete
		if op.t != t || slices.ContainsFunc(op.needs, func(m int) bool { return made[m] }) ||
			slices.ContainsFunc(ids, func(id string) bool { return gone[id] || deletes && named[id] }) {
			return n
		}
		made[at] = true
		for _, id := range ids {
			named[id] = true
		}
		if deletes {
			gone[op.id] = true
		}
	}
	return len(next)
}

// names returns the ids an operation is about or refers to.
func (op *operation) names() (ids []string) {
	if op.id != "" {
		ids = append(ids, op.id)
	}
	for _, r := range op.references() {
		ids = append(ids, r.ID)
	}
	return ids
}
