package ldapconn

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

// What a pool that gives nothing says.
var (
	ErrClosed    = errors.New("adapter closed")
	ErrQueueFull = errors.New("too many calls are waiting")
)

// Pool hands out connections that are signed in as the service, each to one caller at a time.
type Pool struct {
	Fits func(*Conn) bool // whether a connection that lay idle may still be used; nil: each may. Set it before the first Get

	dial  func(context.Context) (*Conn, error)
	slots chan struct{} // one token for each connection in use
	queue chan struct{} // one token for each caller, waiting or served

	mu     sync.Mutex
	idle   []idleConn
	closed bool
	ended  chan struct{}
}

type idleConn struct {
	*Conn
	since time.Time
}

// NewPool returns a pool of at most size connections, opened by dial as they are needed.
func NewPool(size int, dial func(context.Context) (*Conn, error)) *Pool {
	return &Pool{dial: dial, slots: make(chan struct{}, size), queue: make(chan struct{}, size*(1+queueFactor)), ended: make(chan struct{})}
}

// Get returns a connection, for Put to take back. Its errors are ErrClosed, ErrQueueFull, *TransportError and those of dial.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, &TransportError{false, err}
	}
	select {
	case p.queue <- struct{}{}:
	default:
		return nil, ErrQueueFull
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ended:
		<-p.queue
		return nil, ErrClosed
	case <-ctx.Done():
		<-p.queue
		return nil, &TransportError{false, ctx.Err()}
	}
	c, err := p.takeOrDial(ctx)
	if err != nil {
		p.release()
	}
	return c, err
}

func (p *Pool) takeOrDial(ctx context.Context) (*Conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		if len(p.idle) == 0 {
			p.mu.Unlock()
			return p.dial(ctx)
		}
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		p.mu.Unlock()
		if last.LDAP.IsClosing() || time.Since(last.since) > idleLimit || p.Fits != nil && !p.Fits(last.Conn) {
			last.Close()
			continue
		}
		last.Reused = true
		return last.Conn, nil
	}
}

// Put takes a connection back; one that is closing is dropped.
func (p *Pool) Put(c *Conn) {
	defer p.release()
	if c.LDAP.IsClosing() || c.wire.isGiven() {
		c.Close()
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.Quit()
		return
	}
	p.idle = append(p.idle, idleConn{c, time.Now()})
	p.mu.Unlock()
}

func (p *Pool) release() {
	<-p.slots
	<-p.queue
}

// Close closes the connections that are idle, and those in use when they are put back.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.Quit()
	}
}

func (w *wire) isGiven() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.given
}
