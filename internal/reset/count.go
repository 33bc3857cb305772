package reset

import (
	"slices"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// Owner is a person with their ways and what decides which of them count: what a try goes by, for whoever must say
// beforehand what a try would.
type Owner struct {
	Person    *account.Person
	Methods   []method.Method
	Trusts    method.Trusts
	Kinds     []method.Kind // allowed by the policy, and set up
	Corporate []string
}

func (o Owner) at(now time.Time) *subject {
	return &subject{person: o.Person, methods: Standing(o.Methods, now), trusts: o.Trusts, decision: policy.Decision{Kinds: o.Kinds}, corporate: o.Corporate}
}

// Usable reports whether a method would be taken as a proof at a time.
func (o Owner) Usable(m *method.Method, now time.Time) bool {
	at := *m
	at.Root = m.Stands(now)
	return !m.Gone(now) && provable(m.Kind) && o.at(now).usable(&at, now)
}

// Together returns how many proofs the ways that count at a time can be at once, two of one class or of one root being one,
// and at most so many.
func (o Owner) Together(most int, now time.Time) int {
	for n := min(most, maxTogether); n > 0; n-- {
		if o.Meets(policy.Decision{Allowed: true, Proofs: n, Kinds: o.Kinds}, now) {
			return n
		}
	}
	return 0
}

// Distinct returns how many ways that differ in class and root there are at a time, at most so many, whichever of them may
// come first: what is there already, for whoever must say how many more are needed.
func (o Owner) Distinct(most int, now time.Time) int {
	u := o.at(now)
	u.anyFirst = true
	for n := min(most, maxTogether); n > 0; n-- {
		if u.reachable(&Attempt{}, policy.Decision{Allowed: true, Proofs: n, Kinds: o.Kinds}, now) {
			return n
		}
	}
	return 0
}

// maxTogether bounds the search for ways that count beside each other; a policy asks for at most five to be registered.
const maxTogether = 5

// Meets reports whether the ways that count at a time are enough for a decision.
func (o Owner) Meets(d policy.Decision, now time.Time) bool {
	return o.at(now).reachable(&Attempt{}, d, now)
}

// Standing returns what is left of a person's methods at a time: those to be removed by then are gone, and each has the
// root it stands on then.
func Standing(methods []method.Method, now time.Time) []method.Method {
	out := make([]method.Method, 0, len(methods))
	for _, m := range methods {
		if !m.Gone(now) {
			m.Root = m.Stands(now)
			out = append(out, m)
		}
	}
	return slices.Clip(out)
}
