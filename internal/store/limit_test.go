package store_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/regain-id/regain/internal/limit"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func bucket(key string, burst int, per time.Duration) limit.Bucket {
	return limit.Bucket{Key: []byte(key), Burst: burst, Per: per}
}

func TestRacersForABucketGetExactlyItsBurst(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		got := make([]bool, 32)
		for i, err := range race(len(got), func(i int) (err error) {
			got[i], _, err = s.Spend(t.Context(), noon, bucket("hot", 5, 24*time.Hour))
			return err
		}) {
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		}
		n := 0
		for _, ok := range got {
			if ok {
				n++
			}
		}
		if n != 5 {
			t.Errorf("%d of %d got in, want 5", n, len(got))
		}
	})
}

func TestADeniedSpendSaysWhenThereIsRoomAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		b := bucket("k", 3, 3*time.Minute)
		spend := func(now time.Time) (bool, time.Duration) {
			t.Helper()
			ok, retry, err := s.Spend(t.Context(), now, b)
			if err != nil {
				t.Fatal(err)
			}
			return ok, retry
		}
		for i := range 3 {
			if ok, _ := spend(noon); !ok {
				t.Fatalf("unit %d of 3 refused", i+1)
			}
		}
		now := noon.Add(20 * time.Second)
		ok, retry := spend(now)
		if ok || retry != 40*time.Second {
			t.Fatalf("got %v, %s, want no and 40 s", ok, retry)
		}
		if ok, _ := spend(now.Add(retry - time.Microsecond)); ok {
			t.Error("let in before its time")
		}
		if ok, _ := spend(now.Add(retry)); !ok {
			t.Error("refused at the time it was told")
		}
	})
}

func TestAnEmptyBucketStopsThoseAfterItAndRefundsNoneBefore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		origin, subject, last := bucket("origin", 3, time.Hour), bucket("subject", 1, time.Hour), bucket("last", 1, time.Hour)
		for i, want := range []bool{true, false, false} {
			ok, _, err := s.Spend(t.Context(), noon, origin, subject, last)
			if ok != want || err != nil {
				t.Errorf("round %d: %v, %v", i, ok, err)
			}
		}
		if ok, _, err := s.Spend(t.Context(), noon, origin); ok || err != nil {
			t.Errorf("the origin's bucket has been spent three times: got %v, %v", ok, err)
		}
		hour := time.Hour.Microseconds()
		count(t, s, noon.UnixMicro()+hour, `SELECT tat FROM limits WHERE k = $1`, last.Key) // once, not thrice
	})
}

func TestABucketThatMakesNoSenseIsAnError(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	for _, b := range []limit.Bucket{bucket("", 1, time.Hour), bucket("k", 100, time.Microsecond), bucket("k", 3, -time.Hour)} {
		if ok, _, err := s.Spend(t.Context(), noon, b); ok || err == nil {
			t.Errorf("%v: got %v, %v, want an error", b, ok, err)
		}
	}
}

// The model of GCRA: as many units as the burst, each coming back after the increment.
func TestSpendingAgreesWithAModelOfTheBucket(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		bucketNumber := 0
		rapid.Check(t, func(rt *rapid.T) {
			bucketNumber++
			b := bucket(fmt.Sprint("k", bucketNumber), rapid.IntRange(1, 6).Draw(rt, "burst"), time.Duration(rapid.IntRange(6, 10_000).Draw(rt, "per"))*time.Microsecond)
			increment := b.Per.Microseconds() / int64(b.Burst)
			now, tat := noon.UnixMicro(), int64(0)
			for range rapid.IntRange(1, 12).Draw(rt, "spends") {
				now += int64(rapid.IntRange(0, int(2*increment)).Draw(rt, "later"))
				next := max(tat, now) + increment
				want := next-now <= increment*int64(b.Burst)
				ok, retry, err := s.Spend(t.Context(), time.UnixMicro(now), b)
				if err != nil {
					rt.Fatal(err)
				}
				if ok != want || (retry > 0) == want {
					rt.Fatalf("now %d, tat %d: got %v, retry %s, want %v", now, tat, ok, retry, want)
				}
				if want {
					tat = next
				} else if wait := next - increment*int64(b.Burst) - now; retry.Microseconds() != wait {
					rt.Fatalf("retry %d µs, want %d", retry.Microseconds(), wait)
				}
			}
		})
	})
}

func TestAnOverallBucketHoldsItsWholeBurstAndNoMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for _, burst := range []int{1, 5, 16, 50} {
			b, n := bucket(fmt.Sprint("all", burst), burst, time.Hour), 0
			for range 40 * burst {
				ok, _, err := s.SpendOverall(t.Context(), noon, b)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					n++
				}
			}
			if n > burst || n < burst*9/10 {
				t.Errorf("%d of a burst of %d got in", n, burst)
			}
		}
		count(t, s, 1+5+16+16, `SELECT count(*) FROM limits`)
	}, func(c *store.Config) { c.Connections = 2 })
}

func TestASweepDeletesFullBucketsOnlyAndAllOfThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var statements []string
		for i := range 2500 {
			sql := fmt.Sprintf(`INSERT INTO limits (k, tat) VALUES (CAST('%08d' AS BYTEA), %d)`, i, i)
			if s.Kind() == store.SQLite {
				sql = fmt.Sprintf(`INSERT INTO limits (k, tat) VALUES (x'%08d', %d)`, i, i)
			}
			statements = append(statements, sql)
		}
		if err := s.RunAll(t.Context(), func() error { return nil }, statements...); err != nil {
			t.Fatal(err)
		}
		swept, err := s.SweepLimits(t.Context(), time.UnixMicro(2100))
		if swept != 2100 || err != nil {
			t.Errorf("swept %d, %v, want 2100", swept, err)
		}
		count(t, s, 400, `SELECT count(*) FROM limits`)
		count(t, s, 2100, `SELECT min(tat) FROM limits`)
	})
}
