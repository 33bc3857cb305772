package directorytest

import (
	"fmt"
	"testing"
)

// recorder is a testing.T that only remembers.
type recorder struct{ logs, errors, skips []string }

func (r *recorder) Helper()           {}
func (r *recorder) Log(args ...any)   { r.logs = append(r.logs, fmt.Sprint(args...)) }
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }
func (r *recorder) Skip(args ...any)  { r.skips = append(r.skips, fmt.Sprint(args...)) }

func TestExceptionsAreDeclaredPrintedAndNeverOutliveTheirReason(t *testing.T) {
	broken, kept := Verdict{Failures: []string{"it broke"}}, Verdict{}
	for name, c := range map[string]struct {
		exceptions          map[string]string
		verdict             Verdict
		logs, errors, skips int
	}{
		"kept":                         {nil, kept, 0, 0, 0},
		"broken":                       {nil, broken, 0, 1, 0},
		"broken, declared":             {map[string]string{"p": "by design"}, broken, 1, 0, 0},
		"broken, another is declared":  {map[string]string{"q": "by design"}, broken, 0, 1, 0},
		"broken, no reason given":      {map[string]string{"p": ""}, broken, 0, 1, 0},
		"kept, still declared":         {map[string]string{"p": "by design"}, kept, 0, 1, 0},
		"not judged, and it says so":   {nil, Verdict{Skipped: "no locked account"}, 0, 0, 1},
		"several failures all counted": {nil, Verdict{Failures: []string{"a", "b"}, Notes: []string{"n"}}, 1, 2, 0},
	} {
		var r recorder
		report(&r, "p", c.exceptions, c.verdict)
		if len(r.logs) != c.logs || len(r.errors) != c.errors || len(r.skips) != c.skips {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestAFixtureWithoutTheNecessaryIsAFailureNotAPass(t *testing.T) {
	for _, p := range Promises() {
		if v := p.Judge(Fixture{}); len(v.Failures) == 0 {
			t.Errorf("%s: an empty fixture passes", p.Name)
		}
	}
}

func TestPromisesHaveDifferentNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Promises() {
		if seen[p.Name] {
			t.Errorf("two promises are named %q", p.Name)
		}
		seen[p.Name] = true
	}
}
