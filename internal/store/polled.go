package store

import (
	"context"
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// PolledNews returns what a stream that is paused or disabled may still fetch: that it was (SSF 1.0 §8.1.5), at most n.
func (s *Store) PolledNews(ctx context.Context, stream string, n int, now time.Time) ([]event.Item, error) {
	const name = "stream-updated"
	items, err := collect(ctx, s.db, func(row scanner) (event.Item, error) {
		w, err := readWork(row)
		return event.Item{ID: w.ID, Event: w.Event, Kind: w.Kind, Ref: w.Ref, NotAfter: w.NotAfter}, err
	}, `SELECT `+workColumns+` FROM work
		WHERE substr(ref, 1, 36) = $1 AND kind = 'set-poll' AND dead_at = 0 AND substr(ref, 38, 14) = $2 AND (not_after = 0 OR not_after > $3) ORDER BY id LIMIT $4`,
		storable(stream), name, micros(now), min(n, MaxPolled))
	if err != nil {
		return nil, fmt.Errorf("polled news: %w", err)
	}
	return items, nil
}
