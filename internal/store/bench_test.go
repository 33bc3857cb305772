package store_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// BenchmarkWrites measures what every step of a reset is made of, one worker and eight, and beside it in the same minute
// the raw durable inserts of the same engine: only the ratio says anything, because the disk's own speed moves tenfold.
func BenchmarkWrites(b *testing.B) {
	for _, kind := range storetest.Kinds {
		address, raw := storetest.Durable(b, kind)
		s := storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()})
		var people []string
		for i := range 64 {
			p := ada("")
			p.UserName, p.ExternalID = "ada"+strconv.Itoa(i), strconv.Itoa(i)
			if err := s.CreatePerson(b.Context(), p, nil); err != nil {
				b.Fatal(err)
			}
			people = append(people, p.ID)
		}
		run := strconv.FormatInt(time.Now().UnixNano(), 36)
		for name, do := range map[string]func(ctx context.Context, i int) error{
			"guarded-update-with-event": func(ctx context.Context, i int) error {
				who := people[i%len(people)]
				_, err := s.UpdatePerson(ctx, who, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
					p.DisplayName = strconv.Itoa(i)
					return []event.Event{event.New(noon, event.PersonUpdated, "bench", who, "", event.Success)}, nil
				})
				return err
			},
			"spend": func(ctx context.Context, i int) error {
				_, _, err := s.Spend(ctx, noon, bucket(fmt.Sprint(run, i%1000), 5, time.Hour))
				return err
			},
			"put-claim-done": func(ctx context.Context, i int) error {
				if err := s.Put(ctx, store.Job{Kind: "bench", Ref: fmt.Sprint(run, i, time.Now().UnixNano())}); err != nil {
					return err
				}
				claimed, err := s.Claim(ctx, time.Now(), "bench", []string{"bench"}, 1, time.Minute)
				for _, w := range claimed {
					if err == nil {
						err = s.Done(ctx, w)
					}
				}
				return err
			},
		} {
			for _, workers := range []int{1, 8} {
				b.Run(fmt.Sprintf("%s/%s/c=%d", kind, name, workers), func(b *testing.B) {
					n := max(b.N, workers)
					limit := storetest.Rate(b, workers, n, func(ctx context.Context, _ int) error { return raw.Write(ctx) })
					b.ResetTimer()
					rate := storetest.Rate(b, workers, n, do)
					b.ReportMetric(rate, "ops/s")
					b.ReportMetric(limit, "raw-inserts/s")
					b.ReportMetric(rate/limit, "of-raw")
				})
			}
		}
	}
}
