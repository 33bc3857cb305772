package client

import (
	"fmt"
	"slices"
	"time"
)

// The brake. A connector whose filter was emptied by mistake disables everybody within minutes, and did nothing that it may
// not do. So nothing is refused: what it takes away goes at once, and when it is very many, it can be had back.
//
//	who leaves ─ expected? ─ yes ─ not counted, for good as ever
//	     │ no
//	     ├ at most 20 people, or 20 % of all, in 10 minutes ─ for good as ever, after those minutes
//	     └ more ─ a wave begins: all of these minutes and whoever follows can be brought back for 7 days;
//	              administrators are told, once
const (
	BrakeWindow  = 10 * time.Minute
	BrakeAbove   = 20 // people
	BrakePercent = 20
	// BrakeKeeps is how long whoever left in a wave can be brought back.
	BrakeKeeps = 7 * 24 * time.Hour
	// BrakeQuiet is how long a wave goes on: whoever is too many again within it is told of no second time.
	BrakeQuiet = 24 * time.Hour
)

// Brake is what is counted of whom one connector disables and deletes.
type Brake struct {
	Left    []LeftIn  `json:"left,omitempty"`   // by minute, oldest first
	People  int       `json:"people,omitempty"` // how many active people it had when they were counted, with those who left just then
	Counted time.Time `json:"counted,omitzero"`
	// Expected is what an operator said to expect; nil for nothing.
	Expected *Expected `json:"expected,omitempty"`
	Waves    []Wave    `json:"waves,omitempty"` // that can be undone, oldest first
}

// LeftIn is how many people left in one minute.
type LeftIn struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

// Expected is one wave that an operator said would come.
type Expected struct {
	Left  int       `json:"left"` // how many more may leave
	Until time.Time `json:"until"`
}

// Wave is very many people who left at once.
type Wave struct {
	ID    string    `json:"id"`
	Began time.Time `json:"began"`
	Last  time.Time `json:"last"` // when somebody last left in it
	// Undone says that it was undone, but for people whose names are others' now.
	Undone bool `json:"undone,omitempty"`
}

// Leaving is what becomes of somebody who leaves.
type Leaving struct {
	Expected bool   // nothing is kept
	Wave     string // id of the wave they left in; "" for none
	Began    bool   // it began with them: whoever left in the minutes before is part of it, and administrators are told
}

// Undone is what became of the people of a wave that was undone.
type Undone struct {
	Enabled  int // had been disabled
	Restored int // had been deleted
	Taken    int // had been deleted; somebody else has the name now, so they stay gone
}

// maxWaves bounds what is remembered: within seven days they are told apart by a day, or by an undo.
const maxWaves = 20

// MaxExpected is how many an operator may say to expect, and MaxAhead until when.
const (
	MaxExpected = 10_000_000
	MaxAhead    = 7 * 24 * time.Hour
)

// Expect lifts the brake for one wave of at most n people until a time. It takes the place of what was expected before.
func (b *Brake) Expect(n int, until, now time.Time) error {
	switch {
	case n < 1 || n > MaxExpected:
		return fmt.Errorf("%d people: want 1 to %d", n, MaxExpected)
	case !until.After(now) || until.After(now.Add(MaxAhead)):
		return fmt.Errorf("until %s: want a time within the next %d days", until.Local().Format("2006-01-02 15:04"), int(MaxAhead/(24*time.Hour)))
	}
	b.Expected = &Expected{n, until}
	return nil
}

// recent forgets what is older than the window and returns how many left in it.
func (b *Brake) recent(now time.Time) (n int) {
	b.Left = slices.DeleteFunc(b.Left, func(l LeftIn) bool { return !l.At.After(now.Add(-BrakeWindow)) })
	for _, l := range b.Left {
		n += l.N
	}
	return n
}

// Counts reports whether people must be counted before the next one leaves: the share matters, and nobody looked of late.
func (b *Brake) Counts(now time.Time) bool {
	return b.recent(now) >= BrakeAbove && (b.Counted.IsZero() || now.Sub(b.Counted) >= BrakeWindow)
}

// Count takes how many active people the connector still has once the one who is leaving has left.
func (b *Brake) Count(active int, now time.Time) {
	b.People, b.Counted = active+b.recent(now)+1, now
}

// Leave is called for each person who is disabled or deleted. Again says that the same one left in these minutes before, and
// is counted already. wave is the id of a wave that may begin.
func (b *Brake) Leave(again bool, wave string, now time.Time) Leaving {
	b.Waves = slices.DeleteFunc(b.Waves, func(w Wave) bool { return now.Sub(w.Last) >= BrakeKeeps })
	if e := b.Expected; e != nil && (e.Left <= 0 || !now.Before(e.Until)) {
		b.Expected = nil
	}
	if b.Expected != nil {
		b.Expected.Left--
		return Leaving{Expected: true}
	}
	n := b.recent(now)
	if !again {
		n++
		minute := now.Truncate(time.Minute)
		if last := len(b.Left) - 1; last >= 0 && b.Left[last].At.Equal(minute) {
			b.Left[last].N++
		} else {
			b.Left = append(b.Left, LeftIn{minute, 1})
		}
	}
	if n <= BrakeAbove || n*100 <= b.People*BrakePercent {
		return Leaving{}
	}
	last := len(b.Waves) - 1
	began := last < 0 || b.Waves[last].Undone || now.Sub(b.Waves[last].Began) >= BrakeQuiet
	if began {
		b.Waves = append(b.Waves[max(0, len(b.Waves)-maxWaves+1):], Wave{ID: wave, Began: now})
		last = len(b.Waves) - 1
	}
	b.Waves[last].Last = now
	return Leaving{Wave: b.Waves[last].ID, Began: began}
}

// Undo notes that a wave was undone; it is forgotten unless somebody is left in it. Who leaves from then on is counted anew.
func (b *Brake) Undo(wave string, left bool) {
	b.Left, b.Counted = nil, time.Time{}
	b.Waves = slices.DeleteFunc(b.Waves, func(w Wave) bool { return w.ID == wave && !left })
	for i := range b.Waves {
		if b.Waves[i].ID == wave {
			b.Waves[i].Undone = true
		}
	}
}

// Wave returns one of the waves that can be undone, the latest when id is empty; nil when there is none.
func (b *Brake) Wave(id string, now time.Time) *Wave {
	for i := len(b.Waves) - 1; i >= 0; i-- {
		if w := &b.Waves[i]; (id == "" || w.ID == id) && now.Sub(w.Last) < BrakeKeeps {
			return w
		}
	}
	return nil
}

// Recent is how many left in the window.
func (b *Brake) Recent(now time.Time) int { return b.recent(now) }
