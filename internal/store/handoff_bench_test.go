package store_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// BenchmarkHandoff measures what the database does of a handoff: it is made, answered with a code, and the code is
// redeemed, each with its event. Beside it in the same minute run as many raw durable inserts of the same engine as that is
// commits, and one handoff in three of those is 1.
func BenchmarkHandoff(b *testing.B) {
	const commits = 3
	for _, kind := range storetest.Kinds {
		address, raw := storetest.Durable(b, kind)
		s := storetest.OpenConfig(b, store.Config{URL: address, Ring: storetest.Ring()})
		p := ada("")
		if err := s.CreatePerson(b.Context(), p, nil); err != nil {
			b.Fatal(err)
		}
		run := time.Now().UnixNano()
		whole := func(ctx context.Context, i int) error {
			now := time.Now()
			hash := func(what string) []byte {
				sum := sha256.Sum256([]byte(fmt.Sprint(what, run, i, now.UnixNano())))
				return sum[:]
			}
			h := sent("")
			h.Cookie, h.Created, h.Expires = hash("cookie"), now, now.Add(client.OpenLife)
			if err := s.CreateHandoff(ctx, h, event.New(now, event.HandoffOpened, "stranger", "", "", event.Success)); err != nil {
				return err
			}
			_, err := s.UpdateHandoff(ctx, h, func(h *client.Handoff) ([]event.Event, error) {
				return h.Answer(hash("code"), client.Outcome{Person: p.ID, Epoch: p.Epoch, Status: client.StatusDone, Proofs: []string{"mail", "phone"}, At: now, Txn: "txn"}, "", now)
			})
			if err != nil {
				return err
			}
			read, _, err := s.HandoffByCode(ctx, hash("code"))
			if err != nil {
				return err
			}
			_, err = s.UpdateHandoff(ctx, read, func(h *client.Handoff) ([]event.Event, error) {
				h.State, h.Token, h.Until = client.HandoffRedeemed, hash("token"), now.Add(client.AccessLife)
				return []event.Event{event.New(now, event.HandoffRedeemed, "app:shop", h.Person, h.ID, event.Success)}, nil
			})
			return err
		}
		for _, workers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/made-answered-redeemed/c=%d", kind, workers), func(b *testing.B) {
				n := max(b.N, workers)
				limit := storetest.Rate(b, workers, commits*n, func(ctx context.Context, _ int) error { return raw.Write(ctx) }) / commits
				b.ResetTimer()
				rate := storetest.Rate(b, workers, n, whole)
				b.ReportMetric(rate, "handoffs/s")
				b.ReportMetric(limit, "raw/s")
				b.ReportMetric(rate/limit, "of-raw")
			})
		}
	}
}
