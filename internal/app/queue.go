package app

import (
	"context"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
)

// queue lets the workers' pool run on the store.
type queue struct {
	s     *store.Store
	crash func(point string) // called between the work and its end
}

func (q queue) Claim(ctx context.Context, now time.Time, owner string, kinds, held []string, n int, lease time.Duration) ([]event.Item, error) {
	rows, err := q.s.Claim(ctx, now, owner, kinds, n, lease, held...)
	items := make([]event.Item, len(rows))
	for i, w := range rows {
		items[i] = event.Item{ID: w.ID, Event: w.Event, Kind: w.Kind, Ref: w.Ref, Tries: w.Tries - 1, NotAfter: w.NotAfter, Lease: w}
	}
	return items, err
}

func (q queue) Done(ctx context.Context, i event.Item) error {
	q.crash("before-done-" + i.Kind)
	return q.s.Done(ctx, i.Lease.(store.Work))
}

func (q queue) Retry(ctx context.Context, i event.Item, notBefore time.Time, class string) error {
	return q.s.Retry(ctx, i.Lease.(store.Work), notBefore, class)
}

func (q queue) Bury(ctx context.Context, i event.Item, class string, now time.Time) error {
	return q.s.Bury(ctx, i.Lease.(store.Work), now, class)
}

func (q queue) Expand(ctx context.Context, i event.Item, children []event.Child) error {
	parent := i.Lease.(store.Work)
	rows := make([]store.Work, len(children))
	for n, c := range children {
		rows[n] = store.Work{Event: parent.Event, Kind: c.Kind, Ref: c.Ref, NotBefore: parent.NotBefore, NotAfter: parent.NotAfter}
	}
	q.crash("before-expand-" + i.Kind)
	return q.s.Expand(ctx, parent, rows)
}

func (q queue) Wake() <-chan struct{} { return q.s.Wake() }
