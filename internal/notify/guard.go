package notify

import (
	"context"
	"slices"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/regain-id/regain/internal/limit"
)

// Budget is what a TextGuard spends from.
type Budget interface {
	limit.Spender
	// SpendOverall spends from a bucket everybody shares, kept in several rows.
	SpendOverall(ctx context.Context, now time.Time, b limit.Bucket) (ok bool, retry time.Duration, err error)
}

// TextGuard keeps text messages to the countries allowed, to so many an hour for one range of numbers, and to so many a
// day in all. The daily budget is spread over 16 rows, so that a busy day does not queue at one.
type TextGuard struct {
	Budget    Budget
	Hash      func(purpose string, parts ...string) []byte
	Countries []string // two letters each
	PerRange  int      // an hour, for one country and the next four digits
	PerDay    int      // in all
	Now       func() time.Time
}

// Allow reports whether a text message to an E.164 number may leave now, and spends for it.
func (g *TextGuard) Allow(ctx context.Context, number string) (bool, string, error) {
	n, err := phonenumbers.Parse(number, "")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return false, "number", nil
	}
	if !slices.Contains(g.Countries, phonenumbers.GetRegionCodeForNumber(n)) {
		return false, "country", nil
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.UAN, phonenumbers.PAGER:
		return false, "premium", nil
	}
	prefix := number[:min(len(number), 7)]
	ok, _, err := g.Budget.Spend(ctx, g.Now(), limit.Bucket{Key: g.Hash("limit/sms-range", prefix), Burst: g.PerRange, Per: time.Hour})
	if err != nil || !ok {
		return false, "range", err
	}
	ok, _, err = g.Budget.SpendOverall(ctx, g.Now(), limit.Bucket{Key: g.Hash("limit/sms-day"), Burst: g.PerDay, Per: 24 * time.Hour})
	if err != nil || !ok {
		return false, "budget", err
	}
	return true, "", nil
}
