package store_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// people is how many people benchmarks have; a million take minutes to be made.
func people(b *testing.B) int {
	text := os.Getenv("REGAIN_BENCH_PEOPLE")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		b.Fatalf("REGAIN_BENCH_PEOPLE=%s: want a number of 1000 or more", text)
	}
	return n
}

// contender is one of several things timed in turns. against names others it is compared with in the same round, by what
// the ratio is called.
type contender struct {
	name     string
	against  map[string]string
	do       func(ctx context.Context, i int) error
	p50, p99 []float64 // microseconds, by round
}

// rounds is how often each contender has its turn; what is reported is the median.
const rounds = 7

// inTurns runs each contender n times a round, by several workers at once, and reports how long it took and how much longer
// than the one it is compared with: the machine's own speed moves, so only the ratio within a round says anything.
func inTurns(b *testing.B, workers, n int, all []*contender) {
	b.Helper()
	for round := range rounds + 1 {
		for k := range all {
			c := all[(k+round)%len(all)] // nobody is always first
			took := make([][]float64, workers)
			errs := make([]error, workers)
			var done sync.WaitGroup
			for w := range workers {
				done.Go(func() {
					for i := w; i < n && errs[w] == nil; i += workers {
						start := time.Now()
						errs[w] = c.do(b.Context(), i+round*n)
						took[w] = append(took[w], float64(time.Since(start).Nanoseconds())/1000)
					}
				})
			}
			done.Wait()
			for _, err := range errs {
				if err != nil {
					b.Fatalf("%s: %v", c.name, err)
				}
			}
			if round > 0 { // the first is for the caches
				each := slices.Sorted(slices.Values(slices.Concat(took...)))
				c.p50 = append(c.p50, each[len(each)/2])
				c.p99 = append(c.p99, each[len(each)*99/100])
			}
		}
	}
	for _, c := range all {
		b.Run(c.name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(c.p50), "p50-µs")
			b.ReportMetric(median(c.p99), "p99-µs")
			for ratio, name := range c.against {
				for _, other := range all {
					if other.name == name {
						b.ReportMetric(median(over(c.p50, other.p50)), "p50/"+ratio)
						b.ReportMetric(median(over(c.p99, other.p99)), "p99/"+ratio)
					}
				}
			}
		})
	}
}

func median(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }

func over(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// BenchmarkLists reads lists as identity providers do, of a thousand and of many people.
func BenchmarkLists(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			few, many := newCrowded(b, kind, 1000), newCrowded(b, kind, people(b))
			benchPages(b, many)
			for _, workers := range []int{1, 8} {
				b.Run(fmt.Sprint("c=", workers), func(b *testing.B) { benchLookUps(b, workers, few, many) })
			}
		})
	}
}

// benchPages lists a hundred people at the beginning and after nine tenths of them: with a cursor both are to cost the same,
// by id and by name; by index they do not.
func benchPages(b *testing.B, c crowded) {
	page := func(about, against string, l look, offset int) *contender {
		l.of = "people"
		q := c.query(l)
		q.WantTotal, q.Offset = false, offset
		return &contender{name: fmt.Sprintf("pages/%d/%s", c.n, about), against: map[string]string{"first": fmt.Sprintf("pages/%d/%s", c.n, against)}, do: func(ctx context.Context, _ int) error {
			page, err := c.s.ListKnown(ctx, "big", q, account.Beside{})
			if err == nil && len(page.Rows) != 100 {
				err = fmt.Errorf("%d rows", len(page.Rows))
			}
			return err
		}}
	}
	deep := c.n * 9 / 10
	inTurns(b, 1, 50, []*contender{
		page("by-id/first", "", look{}, 0), page("by-id/cursor", "by-id/first", look{after: deep}, 0), page("by-id/index", "by-id/first", look{}, deep),
		page("by-name/first", "", look{sort: "userName"}, 0), page("by-name/cursor", "by-name/first", c.behind(deep), 0),
	})
}

// behind is a page by name that begins behind the given number of names.
func (c crowded) behind(n int) look {
	var names []string
	for i := 1; i <= c.n; i++ {
		_, _, j := c.someone(i)
		names = append(names, j+strconv.Itoa(i))
	}
	slices.Sort(names)
	i, err := strconv.Atoi(names[n-1][7:])
	must(c.TB, err)
	return look{of: "people", sort: "userName", after: i}
}

// benchLookUps finds single people by what identity providers know of them, and by id.
func benchLookUps(b *testing.B, workers int, crowds ...crowded) {
	var all []*contender
	for _, c := range crowds {
		one := func(about string, ask func(ctx context.Context, person, j string) error) {
			against := map[string]string{}
			if about != "get" {
				against["get"] = fmt.Sprint("get/", c.n)
			}
			if c.n != 1000 {
				against["1000"] = about + "/1000"
			}
			all = append(all, &contender{name: fmt.Sprint(about, "/", c.n), against: against, do: func(ctx context.Context, i int) error {
				person, _, j := c.someone(1 + (i*104729)%c.n)
				return ask(ctx, person, j)
			}})
		}
		one("get", func(ctx context.Context, person, _ string) error {
			_, err := c.s.KnownPerson(ctx, person, "big", account.Beside{})
			return err
		})
		for _, f := range [][2]string{{"userName", `userName eq "u%s@corp.example"`}, {"externalId", `externalId eq "ext-%s"`}, {"emails.value", `emails.value eq "u%s@mail.example"`}} {
			one(f[0], func(ctx context.Context, _, j string) error {
				x, err := filter.Parse(c.types["people"], fmt.Sprintf(f[1], j), schema.Standard())
				if err != nil {
					return err
				}
				page, err := c.s.ListKnown(ctx, "big", &scim.Query{Filter: x, Count: 100, WantTotal: true}, account.Beside{})
				if err == nil && (page.Total != 1 || len(page.Rows) != 1) {
					err = fmt.Errorf("%d of %d rows", len(page.Rows), page.Total)
				}
				return err
			})
		}
	}
	inTurns(b, workers, 800, all)
}
