package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// multitude makes n people of a connector.
func multitude(tb testing.TB, s *store.Store, connector string, n int) (members []store.Member) {
	tb.Helper()
	var writes []account.PersonWrite
	for i := range n {
		p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: connector, UserName: fmt.Sprint("crowd", i), Active: true, Created: noon, Updated: noon}
		members, writes = append(members, store.Member{ID: p.ID, Kind: store.MemberUser}), append(writes, account.PersonWrite{New: p})
		if len(writes) == 1000 || i == n-1 {
			for _, res := range s.ApplyPeople(tb.Context(), connector, writes) {
				if res.Err != nil {
					tb.Fatal(res.Err)
				}
			}
			writes = nil
		}
	}
	return members
}

// BenchmarkMembers measures one member more and one less, durably and with an event, in a group of ten and in one of fifty
// thousand, in turns: the size of a group must not show.
func BenchmarkMembers(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			address, _ := storetest.Durable(b, kind)
			s := storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()})
			all := multitude(b, s, "c1", 50_001)
			last := all[50_000:]
			groups := map[int]*account.Group{}
			for _, n := range []int{10, 50_000} {
				groups[n] = &account.Group{Connector: "c1", DisplayName: fmt.Sprint("of ", n), Created: noon, Updated: noon}
				must(b, s.CreateGroup(b.Context(), groups[n], all[:n]))
			}
			move := func(n int) time.Duration {
				start := time.Now()
				for i := range 100 {
					c := &store.MemberChange{Add: last}
					if i%2 == 1 {
						c = &store.MemberChange{Remove: last}
					}
					_, err := s.UpdateGroup(b.Context(), groups[n].ID, "c1", func(*account.Group) ([]event.Event, *store.MemberChange, error) {
						return []event.Event{event.New(noon, event.GroupUpdated, "connector:c1", "", "", event.Success)}, c, nil
					})
					must(b, err)
				}
				return time.Since(start) / 100
			}
			move(10)
			var ratios, each []float64
			for b.Loop() {
				for range 7 {
					few, many := move(10), move(50_000)
					ratios, each = append(ratios, float64(many)/float64(few)), append(each, float64(many.Microseconds()))
				}
			}
			slices.Sort(ratios)
			slices.Sort(each)
			b.ReportMetric(ratios[len(ratios)/2], "large/small")
			b.ReportMetric(each[len(each)/2], "µs/change")
			b.ReportMetric(0, "ns/op")
		})
	}
}
