// Package limit holds how often something may happen: buckets that refill steadily, kept as rows so that every replica
// counts together and a restart forgets nothing.
//
// The algorithm is GCRA: a bucket is one number, the theoretical arrival time, and spending is one guarded statement.
// Buckets of the origin are spent first and shown openly (429); buckets of the subject second and in silence.
package limit

import (
	"context"
	"time"
)

// Bucket is one allowance: at most Burst at once, refilled evenly so that Burst come back in Per. Key is a keyed hash
// (keyring.Ring.Hash), so rows hold no personal data. Burst is at least 1; Per is positive.
type Bucket struct {
	Key   []byte
	Burst int
	Per   time.Duration
}

// Increment is the time one unit takes to come back.
func (b Bucket) Increment() time.Duration { return b.Per / time.Duration(b.Burst) }

// Spender spends one unit of each bucket, all or as far as the first that is empty, in the order given, each in its own
// commit so that no rollback refunds. It returns whether all had room and, when not, how long until the empty one has.
// An error means nothing may be assumed: callers refuse. Safe for concurrent use.
type Spender interface {
	Spend(ctx context.Context, now time.Time, buckets ...Bucket) (ok bool, retry time.Duration, err error)
}
