package signal

import (
	"sync"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// maxBusy is how many requests to one client are under way in one process: one that is slow keeps nobody else waiting.
const maxBusy = 4

// lines remembers how it goes with each client, so that one that does not answer is asked by one request at a time, seldomer
// and seldomer, and not by everything that waits for it. It is of this process alone: what it forgets costs one request.
type lines struct {
	mu  sync.Mutex
	all map[string]*line
}

type line struct {
	busy     int
	failures int       // in a row
	until    time.Time // nothing is sent before
}

// begin says whether something may be sent to a client now, and if not, when to ask again. Whoever may calls end,
// or give.
func (l *lines) begin(client string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*line{}
	}
	at := l.all[client]
	if at == nil {
		at = &line{}
		l.all[client] = at
	}
	switch {
	case now.Before(at.until):
		return at.until.Sub(now), false
	case at.failures > 0 && at.busy > 0: // one finds out for all
		return time.Second, false
	case at.busy >= maxBusy:
		return 200 * time.Millisecond, false
	}
	at.busy++
	return 0, true
}

// give takes back a begin after which nothing was sent.
func (l *lines) give(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.all[client]
	if at.busy--; at.busy == 0 && at.failures == 0 {
		delete(l.all, client)
	}
}

// end notes how a request went: answered is that the client is there and speaks our language, whatever it thinks of this
// one event. It returns when the next may go out.
func (l *lines) end(client string, answered bool, least time.Duration, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.all[client]
	at.busy--
	if answered {
		at.failures, at.until = 0, time.Time{}
		if at.busy == 0 {
			delete(l.all, client) // only those that fail or are at work are kept
		}
		return 0
	}
	wait := max(event.Backoff(at.failures), least)
	at.failures++
	at.until = now.Add(wait)
	return wait
}
