package app

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/reset"
)

// How many samples of each class, and what counts as a difference: one that chance does not explain and that is large
// enough to be seen over a network.
const (
	timingSamples = 2000
	timingP       = 0.001
	timingDelta   = 2 * time.Millisecond
)

func TestTimingOfAnAnswerTellsNothingOfAnAccount(t *testing.T) {
	if os.Getenv("REGAIN_TEST_TIMING") != "1" {
		t.Skip("takes some minutes: make timing runs it")
	}
	w := newWorld(t, scene{policy: classPolicy, change: func(s *Setup) {
		s.Rates = reset.Rates{StartsPerOrigin: 1 << 20, ChecksPerOrigin: 1 << 20, SendsPerOrigin: 1 << 20, SendsPerPerson: 1 << 20}
	}})
	logins := w.addClasses()
	w.throttle(logins["throttled"])
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	took := map[string]map[string][]time.Duration{"start": {}, "ask": {}, "check": {}}
	timed := func(class, step string, s *stranger, path string, pairs ...string) {
		form := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Add(pairs[i], pairs[i+1])
		}
		from := time.Now()
		s.do(http.MethodPost, path, form.Encode())
		took[step][class] = append(took[step][class], time.Since(from))
	}
	// Each place in a round is drawn by itself, so that every class has the same neighbours, its own kind among them: what
	// workers do for one answer slows the next ones, and a class that never followed itself would look faster.
	fewest := func() int {
		n := timingSamples
		for _, step := range took {
			for _, class := range classes {
				n = min(n, len(step[class]))
			}
		}
		return n
	}
	const warm = 20
	for round := 0; fewest() < timingSamples; round++ {
		if round == warm {
			for _, step := range took {
				clear(step)
			}
		}
		drawn := make([]string, len(classes))
		strangers := make([]*stranger, len(classes))
		for i := range drawn {
			drawn[i] = classes[rand.IntN(len(classes))]
			strangers[i] = w.stranger("192.0.2.10")
			strangers[i].client.Transport = transport
			timed(drawn[i], "start", strangers[i], "/reset", "login", logins[drawn[i]])
		}
		for _, i := range rand.Perm(len(drawn)) {
			timed(drawn[i], "ask", strangers[i], "/choose", "way", "email")
		}
		for _, i := range rand.Perm(len(drawn)) {
			timed(drawn[i], "check", strangers[i], "/code", "code", "00000000")
		}
	}
	if sent, held := len(w.codes("capable@mail.example")), len(w.codes("throttled@mail.example")); sent == 0 || held != 0 {
		t.Errorf("%d codes to the capable person and %d to the throttled one: the classes are not what they are called", sent, held)
	}
	for _, step := range []string{"start", "ask", "check"} {
		base := took[step][classes[0]]
		var line strings.Builder
		fmt.Fprintf(&line, "%-6s n=%d  %s %s", step, len(base), classes[0], median(base).Round(time.Microsecond))
		for _, class := range classes[1:] {
			p, delta := mannWhitney(base, took[step][class]), median(took[step][class])-median(base)
			fmt.Fprintf(&line, "  %s %+d µs (p=%.3f)", class, delta.Microseconds(), p)
			if p < timingP && delta.Abs() > timingDelta {
				t.Errorf("%s: %s answers %s later than %s, p = %.2g", step, class, delta, classes[0], p)
			}
		}
		t.Log(line.String())
	}
}

// throttle spends the budget of codes that may be sent to somebody.
func (w *world) throttle(login string) {
	w.t.Helper()
	p, err := w.srv.Store.FindPerson(w.t.Context(), reset.LoginKey(login))
	if err != nil || p == nil {
		w.t.Fatal(p, err)
	}
	ok, _, err := w.srv.Store.Spend(w.t.Context(), w.now(), limit.Bucket{Key: w.setup.Ring.Hash("limit/send", p.ID), Burst: 1, Per: 48 * time.Hour})
	if err != nil || !ok {
		w.t.Fatal(ok, err)
	}
}

func median[T cmp.Ordered](of []T) T {
	s := slices.Clone(of)
	slices.Sort(s)
	return s[(len(s)-1)/2] // of two in the middle, the lower
}

// mannWhitney returns how likely it is that two samples of one distribution differ in rank as much as these: the test
// of Mann and Whitney, two-sided, by its normal approximation with the correction for ties.
func mannWhitney(a, b []time.Duration) float64 {
	type count struct{ a, all float64 }
	values := map[time.Duration]*count{}
	for i, s := range [][]time.Duration{a, b} {
		for _, v := range s {
			if values[v] == nil {
				values[v] = &count{}
			}
			values[v].all++
			if i == 0 {
				values[v].a++
			}
		}
	}
	var ranks, before, ties float64
	for _, v := range slices.Sorted(maps.Keys(values)) {
		c := values[v]
		ranks += c.a * (before + (c.all+1)/2)
		before += c.all
		ties += c.all*c.all*c.all - c.all
	}
	n, m := float64(len(a)), float64(len(b))
	all := n + m
	u := ranks - n*(n+1)/2
	variance := n * m / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 1
	}
	return math.Erfc(math.Abs(u-n*m/2) / math.Sqrt(variance) / math.Sqrt2)
}

func TestTimingIsJudgedByRanks(t *testing.T) {
	sample := func(seed uint64, shift time.Duration) []time.Duration {
		r := rand.New(rand.NewPCG(seed, 1))
		out := make([]time.Duration, timingSamples)
		for i := range out {
			out[i] = 5*time.Millisecond + shift + time.Duration(r.ExpFloat64()*float64(time.Millisecond))
		}
		return out
	}
	if p := mannWhitney(sample(1, 0), sample(2, 0)); p < 0.01 {
		t.Errorf("two samples of one distribution: p = %g", p)
	}
	if p := mannWhitney(sample(1, 0), sample(2, 3*time.Millisecond)); p >= timingP {
		t.Errorf("a shift of 3 ms: p = %g", p)
	}
	// Worked by hand: ranks of a are 1, 2, 4; U = 1, z = -1.5275, two-sided p = 0.1266.
	if p := mannWhitney([]time.Duration{1, 2, 4}, []time.Duration{3, 5, 6}); math.Abs(p-0.1266) > 0.0005 {
		t.Errorf("p = %.4f, want 0.1266", p)
	}
	if p := mannWhitney([]time.Duration{1, 1}, []time.Duration{1, 1}); p != 1 {
		t.Errorf("all equal: p = %g", p)
	}
	if m := median([]time.Duration{4, 1, 3, 2}); m != 2 {
		t.Errorf("median %d, want 2 (2.5 in whole nanoseconds)", m)
	}
}
