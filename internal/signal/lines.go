package signal

import (
	"context"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// maxOfClient is how many requests to one client are under way at once in one process: it must not fill all lanes.
const maxOfClient = 4

// lines remembers how it goes with each client, so that one that does not answer is asked by one request at a time, seldomer
// and seldomer, and not by everything that waits for it. It is of this process alone: what it forgets costs one request.
type lines struct {
	mu  sync.Mutex
	all map[string]*line
	bad map[string]int // deliveries that failed, and how often
}

// maxBad bounds how many deliveries are remembered to have failed.
const maxBad = 10_000

// failed notes that a delivery failed, and returns how often it had before. That it was claimed so often does not say that:
// mostly it let others go first.
func (l *lines) failed(delivery string) (before int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad == nil || len(l.bad) >= maxBad {
		l.bad = map[string]int{}
	}
	before = l.bad[delivery]
	l.bad[delivery]++
	return before
}

// ended forgets a delivery that arrived or was given up.
func (l *lines) ended(delivery string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.bad, delivery)
}

type line struct {
	busy     int
	slow     bool          // the last answer took longer than quick
	failures int           // in a row
	until    time.Time     // nothing is sent before
	moved    chan struct{} // closed when a request ends
}

// patience is how long a request waits for one before it to end: most are over in less, and looking at the database again
// and again would cost more.
const patience = 500 * time.Millisecond

// quick is how long an answer may take of somebody who has several requests under way.
const quick = time.Second

// room is how many requests may be under way at once.
func (at *line) room() int {
	if at.slow || at.failures > 0 {
		return 1
	}
	return maxOfClient
}

// held are the clients that nothing can be sent to at the moment.
func (l *lines) held(now time.Time) (clients []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for client, at := range l.all {
		if now.Before(at.until) || at.busy >= at.room() {
			clients = append(clients, client)
		}
	}
	return clients
}

// begin says whether something may be sent to a client now, and if not, how long surely not. Whoever may calls end, or
// give.
func (l *lines) begin(ctx context.Context, client string, now time.Time) (wait time.Duration, ok bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		wait, ok, moved := l.try(client, now)
		if ok || moved == nil {
			return wait, ok
		}
		select {
		case <-moved:
		case <-timer.C:
			return 0, false
		case <-ctx.Done():
			return 0, false
		}
	}
}

// try is begin that does not wait: moved is closed when it is worth trying again.
func (l *lines) try(client string, now time.Time) (wait time.Duration, ok bool, moved <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*line{}
	}
	at := l.all[client]
	if at == nil {
		at = &line{moved: make(chan struct{})}
	}
	switch {
	case now.Before(at.until):
		return at.until.Sub(now), false, nil
	case at.busy < at.room():
	case at.failures > 0: // one finds out for all
		return time.Second, false, nil
	case at.slow: // nobody stands in a lane for that
		return quick, false, nil
	default:
		return 0, false, at.moved
	}
	at.busy++
	l.all[client] = at
	return 0, true, nil
}

// leave ends a request to a client.
func (l *lines) leave(client string, at *line) {
	at.busy--
	close(at.moved)
	at.moved = make(chan struct{})
	if at.busy == 0 && at.failures == 0 && !at.slow {
		delete(l.all, client) // only those that fail, are slow or at work are kept
	}
}

// give takes back a begin after which nothing was sent.
func (l *lines) give(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(client, l.all[client])
}

// end notes how a request went and how long it took: answered is that the client is there and speaks our language, whatever
// it thinks of this one event. It returns when the next may go out.
func (l *lines) end(client string, answered bool, took, least time.Duration, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.all[client]
	defer l.leave(client, at)
	switch {
	case answered:
		at.slow = took > quick
		at.failures, at.until = 0, time.Time{}
		return 0
	case now.Before(at.until): // one that was sent at the same time has said so
		return max(at.until.Sub(now), least)
	}
	wait := max(event.Backoff(at.failures), least)
	at.failures++
	at.until = now.Add(wait)
	return wait
}
