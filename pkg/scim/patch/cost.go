package patch

import (
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// What operations may cost altogether. A request within its limits can hold 1000 operations with 60 comparisons each on a
// list of 1000 elements, which is seconds of work. The unit is one comparison with one element, about 0.1 µs.
const (
	mostWork     = 1 << 20
	workOfMatch  = 1  // an element looked at
	workOfPut    = 8  // an element of a list that is joined with another: its key is made
	workOfChange = 15 // an element written anew
	workAlready  = 10 // added for every element that was loaded for the request
)

// spend takes from what is left the work of a step on a list, before it is done.
func (r *run) spend(s step, list []any) error {
	work := len(list) * workOfMatch * (1 + s.terms)
	if s.target.Filter == nil && s.target.Path.Sub == nil && s.op != "remove" {
		work = (len(list) + len(elementsOf(s.value))) * workOfPut
	}
	return r.pay(s.target.Path, work)
}

func (r *run) pay(path schema.Path, work int) error {
	if r.left -= work; r.left < 0 {
		return schema.Invalid(schema.TooMany, path.String(), "the operations look at too many elements")
	}
	return nil
}

// terms counts the comparisons of a filter.
func terms(x filter.Expr) (n int) {
	filter.Walk(x, func(x filter.Expr) {
		switch x.(type) {
		case filter.Cmp, filter.Present:
			n++
		}
	})
	return n
}
