package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// BenchmarkNewcomers measures thirty-two clients who each create people durably, with what they are found by, a key and an
// event, beside a loop that durably inserts single small rows, in turns: commits must be shared.
func BenchmarkNewcomers(b *testing.B) {
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			address, raw := storetest.Durable(b, kind)
			s := storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()})
			made := 0
			var ratios, rates []float64
			for b.Loop() {
				for range 5 {
					from := made
					made += 1600
					loop := storetest.Rate(b, 1, 100, func(ctx context.Context, _ int) error { return raw.Write(ctx) })
					rate := storetest.Rate(b, 32, 1600, func(ctx context.Context, i int) error {
						name := fmt.Sprint("user", from+i, "@contoso.example")
						p := &account.Person{Connector: "c1", ExternalID: name, UserName: name, Active: true, DisplayName: "Ada", GivenName: "Ada", FamilyName: "Lovelace",
							Emails: []account.Contact{{Value: name, Type: "work", Primary: true}}, Attrs: []byte(`{"userName":"` + name + `"}`), Created: noon, Updated: noon}
						return s.CreatePerson(ctx, p, nil, event.New(noon, event.PersonCreated, "connector:c1", "", "", event.Success))
					})
					ratios, rates = append(ratios, rate/loop), append(rates, rate)
				}
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[len(ratios)/2], "of-one-loop")
			b.ReportMetric(rates[len(rates)/2], "people/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
