package ldap

import (
	"context"
	"errors"
	"sync"
	"time"
)

// queueFactor bounds how many calls may wait for a connection, as a multiple of the pool: more would only wait longer.
const queueFactor = 16

// idleLimit is how long a connection may lie unused; servers close theirs silently, often after minutes.
const idleLimit = 60 * time.Second

var (
	errPoolClosed = errors.New("adapter closed")
	errQueueFull  = errors.New("too many calls are waiting")
)

// pool hands out connections that are signed in as the service, each to one caller at a time.
type pool struct {
	dial  func(context.Context) (*conn, error)
	slots chan struct{} // one token for each connection in use
	queue chan struct{} // one token for each caller, waiting or served

	mu     sync.Mutex
	idle   []idleConn
	closed bool
	ended  chan struct{}
}

type idleConn struct {
	*conn
	since time.Time
}

func newPool(size int, dial func(context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, slots: make(chan struct{}, size), queue: make(chan struct{}, size*(1+queueFactor)), ended: make(chan struct{})}
}

// get returns a connection, for put to take back.
func (p *pool) get(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &transportError{false, err}
	}
	select {
	case p.queue <- struct{}{}:
	default:
		return nil, errQueueFull
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ended:
		<-p.queue
		return nil, errPoolClosed
	case <-ctx.Done():
		<-p.queue
		return nil, &transportError{false, ctx.Err()}
	}
	c, err := p.takeOrDial(ctx)
	if err != nil {
		p.release()
	}
	return c, err
}

func (p *pool) takeOrDial(ctx context.Context) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errPoolClosed
		}
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return p.dial(ctx)
		}
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		if last.ldap.IsClosing() || time.Since(last.since) > idleLimit {
			last.close()
			continue
		}
		last.used = true
		return last.conn, nil
	}
}

func (p *pool) put(c *conn) {
	defer p.release()
	if c.ldap.IsClosing() || c.wire.isGiven() {
		c.close()
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.quit()
		return
	}
	p.idle = append(p.idle, idleConn{c, time.Now()})
	p.mu.Unlock()
}

func (p *pool) release() {
	<-p.slots
	<-p.queue
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.quit()
	}
}

func (w *wire) isGiven() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.given
}
