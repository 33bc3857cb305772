package store

import (
	"context"
	"time"
)

// ClockSkew returns how far the database's clock is ahead of ours, give or take half of the round trip; 0 on SQLite,
// whose clock is ours. This is the only statement that asks for the time: all others are told it, so that replicas
// agree and tests can choose.
func (s *Store) ClockSkew(ctx context.Context) (time.Duration, error) {
	if s.Kind() == SQLite {
		return 0, nil
	}
	var theirs int64
	before := s.now()
	if err := s.db.queryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&theirs); err != nil {
		return 0, err
	}
	after := s.now()
	return moment(theirs).Sub(before.Add(after.Sub(before) / 2)), nil
}
