package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/limit"
)

var _ limit.Spender = (*Store)(nil)

// A bucket is one row: tat is the theoretical arrival time of GCRA, when the bucket will be full again. Spending moves
// it on by one increment ($3) unless it would then lie further ahead of now ($2) than the burst allows ($4). The text
// is the same whether there is room or not, so that a trace of statements tells nobody that a bucket is empty.
var spendBucket = pair{
	postgres: `WITH spent AS (
			INSERT INTO limits (k, tat) VALUES ($1, $2::bigint + $3::bigint)
			ON CONFLICT (k) DO UPDATE SET tat = GREATEST(limits.tat, $2) + $3
			WHERE GREATEST(limits.tat, $2) + $3 - $4::bigint <= $2 RETURNING tat)
		SELECT tat, TRUE FROM spent
		UNION ALL SELECT tat, FALSE FROM limits WHERE k = $1 AND NOT EXISTS (SELECT 1 FROM spent)`,
	sqlite: `INSERT INTO limits (k, tat) VALUES ($1, $2 + $3)
		ON CONFLICT (k) DO UPDATE SET tat = MAX(limits.tat, $2) + $3
		WHERE MAX(limits.tat, $2) + $3 - $4 <= $2 RETURNING tat, TRUE`,
}

// Spend implements limit.Spender. Each bucket is spent in a commit of its own.
func (s *Store) Spend(ctx context.Context, now time.Time, buckets ...limit.Bucket) (ok bool, retry time.Duration, err error) {
	for _, b := range buckets {
		if ok, retry, err = s.spend(ctx, now, b); err != nil || !ok {
			return false, retry, err
		}
	}
	return true, 0, nil
}

func (s *Store) spend(ctx context.Context, now time.Time, b limit.Bucket) (ok bool, retry time.Duration, err error) {
	increment := b.Increment().Microseconds()
	if len(b.Key) == 0 || b.Burst < 1 || increment < 1 {
		return false, 0, fmt.Errorf("spend: a bucket needs a key, a burst and a microsecond a unit: %d in %s", b.Burst, b.Per)
	}
	// Not Per itself: the increment was rounded down, and one unit too many would fit.
	ahead, at := increment*int64(b.Burst), micros(now)
	tat := at
	err = s.db.statement(ctx, func(t tx) error {
		ok = false
		if t.kind() == SQLite {
			if err := t.queryRow(ctx, `SELECT tat FROM limits WHERE k = $1`, b.Key).Scan(&tat); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		err := t.queryRow(ctx, spendBucket.on(t.kind()), b.Key, at, increment, ahead).Scan(&tat, &ok)
		if errors.Is(err, sql.ErrNoRows) { // denied; on PostgreSQL by a row made since the statement began
			return nil
		}
		return err
	})
	if err != nil {
		return false, 0, fmt.Errorf("spend: %w", err)
	}
	if ok {
		return true, 0, nil
	}
	wait := max(tat+increment-ahead-at, 1)
	return false, time.Duration(wait) * time.Microsecond, nil
}

// overallRows is how many rows an overall bucket is spread over, so that everybody's spending does not queue for one.
const overallRows = 16

// SpendOverall spends one unit of a bucket that everybody shares. It is kept as 16 rows, each with a sixteenth of the
// burst (or as many rows as the burst has units), of which a random one is spent: a few may be refused before the last
// unit is gone.
func (s *Store) SpendOverall(ctx context.Context, now time.Time, b limit.Bucket) (ok bool, retry time.Duration, err error) {
	rows := max(1, min(overallRows, b.Burst))
	row := pick(uint64(rows))
	share := b.Burst / rows
	if row < uint64(b.Burst%rows) {
		share++ // the remainder goes to the first rows, so that the sum is what was asked for
	}
	b.Key = append(slices.Clone(b.Key), byte(row))
	b.Burst = share
	return s.spend(ctx, now, b)
}

// sweepPage is how many rows one statement of a sweep looks at: short enough to hold nobody up.
const sweepPage = 1000

// SweepLimits deletes buckets that are full again: they say nothing that no row would not say. It goes through the
// table in pages, each a commit of its own, and returns how many rows went.
func (s *Store) SweepLimits(ctx context.Context, now time.Time) (swept int64, err error) {
	from := []byte{}
	for {
		to := []byte(nil)
		err := s.db.queryRow(ctx, `SELECT k FROM limits WHERE k > $1 ORDER BY k LIMIT 1 OFFSET $2`, from, sweepPage-1).Scan(&to)
		last := errors.Is(err, sql.ErrNoRows)
		if err != nil && !last {
			return swept, fmt.Errorf("sweep limits: %w", err)
		}
		err = s.db.statement(ctx, func(t tx) error {
			page, args := `DELETE FROM limits WHERE tat < $1 AND k > $2`, []any{micros(now), from}
			if !last {
				page, args = page+` AND k <= $3`, append(args, to)
			}
			n, err := t.exec(ctx, page, args...)
			swept += n
			return err
		})
		if err != nil || last {
			return swept, err
		}
		from = to
	}
}
