package client

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// leavers lets people of a population leave, one each time, and returns what becomes of each: a dot, the wave's name, ! where
// it began, e for one who was expected.
type leavers struct {
	b     Brake
	there int
	now   time.Time
	waves int
}

func (l *leavers) leave(n int, each time.Duration) (out string) {
	for range n {
		l.now = l.now.Add(each)
		l.there--
		if l.b.Counts(l.now) {
			l.b.Count(l.there, l.now)
		}
		name := fmt.Sprint("w", l.waves+1)
		switch got := l.b.Leave(false, name, l.now); {
		case got.Expected:
			out += "e"
		case got.Began:
			l.waves++
			out += "!"
		case got.Wave != "":
			out += "w"
		default:
			out += "."
		}
		l.b = again(l.b)
	}
	return out
}

// again is what a database gives back.
func again(b Brake) (out Brake) {
	text, _ := json.Marshal(b)
	json.Unmarshal(text, &out)
	return out
}

func repeat(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

func TestTheBrakeWantsMoreThanTwentyPeopleAndTwentyPerCent(t *testing.T) {
	for _, c := range []struct {
		people, leave int
		want          string
	}{
		{20, 20, repeat(".", 20)},                        // everybody of a small place: it is not twenty-one
		{25, 25, repeat(".", 20) + "!" + repeat("w", 4)}, // twenty-one of twenty-five
		{100, 25, repeat(".", 20) + "!" + repeat("w", 4)},
		{105, 25, repeat(".", 21) + "!" + repeat("w", 3)}, // 21 are exactly 20 % of 105
		{1000, 203, repeat(".", 200) + "!ww"},
		{1000, 200, repeat(".", 200)},
	} {
		l := &leavers{there: c.people, now: noon}
		if got := l.leave(c.leave, time.Second); got != c.want {
			t.Errorf("%d of %d: got %s", c.leave, c.people, got)
		}
	}
	slow := &leavers{there: 100, now: noon}
	if got := slow.leave(80, 31*time.Second); got != repeat(".", 80) { // about twenty in ten minutes
		t.Errorf("slowly: %s", got)
	}
}

func TestAWaveIsToldOfOnce(t *testing.T) {
	l := &leavers{there: 1000, now: noon}
	l.leave(300, time.Second)
	first := l.b.Wave("", l.now).ID
	l.now = l.now.Add(time.Hour)
	if got := l.leave(1, 0); got != "." {
		t.Errorf("one person an hour later: %s", got) // the connector is calm: whoever leaves now leaves for good
	}
	if got := l.leave(300, time.Second); got[299] != 'w' || l.waves != 1 || l.b.Wave("", l.now).ID != first {
		t.Errorf("again on the same day: %s", got)
	}
	l.now = l.now.Add(BrakeQuiet)
	l.there = 1000
	if got := l.leave(300, time.Second); l.waves != 2 || got[200] != '!' {
		t.Errorf("on the next day: %s", got)
	}
	if w := l.b.Wave(first, l.now); w == nil {
		t.Error("the first wave cannot be named any more")
	}
	l.now = l.now.Add(BrakeKeeps)
	if l.b.Wave("", l.now) != nil {
		t.Error("a wave can be undone for more than seven days")
	}
}

func TestAnUndoBeginsAnew(t *testing.T) {
	l := &leavers{there: 100, now: noon}
	l.leave(50, time.Second)
	l.b.Undo(l.b.Wave("", l.now).ID, false)
	l.there = 100
	if l.b.Wave("", l.now) != nil || l.b.Recent(l.now) != 0 {
		t.Errorf("after the undo: %+v", l.b)
	}
	if got := l.leave(22, time.Second); got != repeat(".", 20)+"!w" {
		t.Errorf("the same again: %s", got) // and administrators hear of it again
	}
	// What could not be undone can be named again, and nobody joins it.
	old := l.b.Wave("", l.now).ID
	l.b.Undo(old, true)
	l.there = 100
	if l.leave(22, time.Second); l.b.Wave("", l.now).ID == old || l.b.Wave(old, l.now) == nil {
		t.Errorf("%+v", l.b.Waves)
	}
	for range 50 {
		l.b.Undo(l.b.Wave("", l.now).ID, true)
		l.there = 100
		l.leave(22, time.Second)
	}
	if n := len(l.b.Waves); n > maxWaves {
		t.Errorf("%d waves are remembered", n)
	}
}

func TestWhatIsExpectedIsLiftedForOneWave(t *testing.T) {
	l := &leavers{there: 1000, now: noon}
	if err := l.b.Expect(400, noon.Add(time.Hour), noon); err != nil {
		t.Fatal(err)
	}
	if got := l.leave(400, time.Second); got != repeat("e", 400) {
		t.Errorf("expected: %s", got)
	}
	if got := l.leave(122, time.Second); got != repeat(".", 120)+"!w" { // of the 600 that are left
		t.Errorf("beyond: %s", got)
	}
	late := &leavers{there: 100, now: noon}
	late.b.Expect(50, noon.Add(time.Hour), noon)
	late.now = noon.Add(time.Hour)
	if got := late.leave(21, 0); got != repeat(".", 20)+"!" {
		t.Errorf("after the time: %s", got)
	}
	for what, err := range map[string]error{
		"nobody": (&Brake{}).Expect(0, noon.Add(time.Hour), noon), "too many": (&Brake{}).Expect(MaxExpected+1, noon.Add(time.Hour), noon),
		"over": (&Brake{}).Expect(5, noon, noon), "too long": (&Brake{}).Expect(5, noon.Add(MaxAhead+1), noon),
	} {
		if err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestOnePersonCountsOnceInTheWindow(t *testing.T) {
	b := Brake{}
	for i := range 100 {
		if got := b.Leave(i > 0, "w", noon.Add(time.Duration(i)*time.Second)); got != (Leaving{}) {
			t.Fatalf("somebody switched off and on %d times: %+v", i, got)
		}
	}
	if b.Recent(noon) != 1 {
		t.Errorf("%d left", b.Recent(noon))
	}
	many := &leavers{there: 1_000_000, now: noon}
	many.leave(5_000, 100*time.Millisecond)
	if n := len(many.b.Left); n > 11 {
		t.Errorf("%d rows of counts", n)
	}
}
