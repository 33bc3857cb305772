package store

import (
	"context"
	"database/sql"
	"sync"
)

// latelyKept is how many compiled texts are kept.
const latelyKept = 64

// lately keeps the statements used last compiled, where the texts are not few and fixed: compiling one costs SQLite more
// than running it, and keeping each that somebody may think of costs memory without end. Safe for concurrent use.
type lately struct {
	db  *sql.DB
	mu  sync.Mutex
	now uint64
	by  map[string]*compiled
}

// compiled is a statement, and whether it may be thrown away.
type compiled struct {
	*sql.Stmt
	users int    // who runs it now
	used  uint64 // when it was taken last
}

// query asks one thing.
func (l *lately) query(ctx context.Context, a ask) error {
	c, err := l.take(ctx, a.sql)
	if err != nil {
		return err
	}
	defer l.leave(c)
	rows, err := c.QueryContext(ctx, a.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := a.each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (l *lately) take(ctx context.Context, text string) (*compiled, error) {
	l.mu.Lock()
	if c := l.by[text]; c != nil {
		l.use(c)
		l.mu.Unlock()
		return c, nil
	}
	l.mu.Unlock()
	s, err := l.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.by[text]; first != nil { // another was faster
		l.use(first)
		return first, s.Close()
	}
	if l.by == nil {
		l.by = map[string]*compiled{}
	}
	c := &compiled{Stmt: s}
	l.use(c)
	l.by[text] = c
	return c, nil
}

func (l *lately) use(c *compiled) {
	l.now++
	c.used = l.now
	c.users++
}

// leave gives a statement back, and throws away what was used longest ago of too many.
func (l *lately) leave(c *compiled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.users--
	for len(l.by) > latelyKept {
		oldest := ""
		for text, c := range l.by {
			if c.users == 0 && (oldest == "" || c.used < l.by[oldest].used) {
				oldest = text
			}
		}
		if oldest == "" { // all are in use; whoever comes back last cleans up
			return
		}
		l.by[oldest].Close() // nothing of it runs, so nothing is lost
		delete(l.by, oldest)
	}
}
