package scim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestOperationsComeAfterWhatTheyReferToAndElseInOrder(t *testing.T) {
	for _, c := range []struct {
		about string
		needs [][]int
		want  [][]int
	}{
		{"nothing refers", [][]int{nil, nil, nil}, [][]int{{0}, {1}, {2}}},
		{"backwards", [][]int{nil, {0}, {0, 1}}, [][]int{{0}, {1}, {2}}},
		{"forwards waits, and nothing else moves", [][]int{{2}, nil, nil, nil}, [][]int{{1}, {2}, {0}, {3}}},
		{"a chain forwards", [][]int{{1}, {2}, {3}, nil}, [][]int{{3}, {2}, {1}, {0}}},
		{"itself", [][]int{{0}, nil}, [][]int{{0}, {1}}},
		{"a circle with a stranger in it", [][]int{{2}, nil, {0, 3}, nil}, [][]int{{1}, {3}, {0, 2}}},
		{"two circles, one of which needs the other", [][]int{{1}, {0, 2}, {3}, {2}, {0}}, [][]int{{2, 3}, {0, 1}, {4}}},
	} {
		if got := arrange(c.needs); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: got %v, want %v", c.about, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 1 + r.IntN(12)
		needs := make([][]int, n)
		for i := range needs {
			for range r.IntN(3) {
				needs[i] = append(needs[i], r.IntN(n))
			}
		}
		reach := make([][]bool, n) // reach[i][j]: i refers to j, or to what does
		for i := range reach {
			reach[i] = make([]bool, n)
			for _, j := range needs[i] {
				reach[i][j] = true
			}
		}
		for k := range n {
			for i := range n {
				for j := range n {
					reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
				}
			}
		}
		at := make([]int, n)
		seen := 0
		for i, part := range arrange(needs) {
			for _, v := range part {
				at[v] = i + 1
				seen++
			}
		}
		for i := range n {
			for j := range n {
				together := i == j || reach[i][j] && reach[j][i]
				if at[i] == 0 || (at[i] == at[j]) != together || reach[i][j] && at[j] > at[i] {
					t.Fatalf("%v: %v", needs, arrange(needs))
				}
			}
		}
		if seen != n {
			t.Fatalf("%v: %d operations of %d", needs, seen, n)
		}
	}
}

func TestWhatWasCountedBeforeAWriteIsNotKeptAfterIt(t *testing.T) {
	var c counts
	key, now := [32]byte{1}, time.Unix(0, 0)
	before := c.look(key, now)
	c.forget()
	c.keep(key, 5, before.era, now)
	if got := c.look(key, now); got.ok {
		t.Errorf("kept: %+v", got)
	}
	for i := range 3 * countsAll {
		c.keep([32]byte{byte(i), byte(i >> 8), 1}, i, c.era, now)
	}
	if len(c.by) > countsAll {
		t.Errorf("%d totals are kept", len(c.by))
	}
}
