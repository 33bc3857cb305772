// Package ldapconn carries LDAP requests (RFC 4511) over TLS for the adapters that speak it, one request at a time on each
// connection, and knows what the library below cannot tell: whether a request that failed had left this process.
//
// A write that was sent and not answered is unknown; one that failed before a byte of it left was not applied. So
// requests are counted where they are put on the wire, below TLS, and a connection whose request was not answered is
// closed. Nothing is ever sent twice here, and referrals are not followed.
package ldapconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// errClosed is what the wire says once it was given up.
var errClosed = errors.New("connection given up")

// wire is the TCP connection below TLS. It knows whether anything was sent since it was last asked, which the library
// above cannot tell: all its transport errors look alike.
type wire struct {
	net.Conn
	mu    sync.Mutex
	sent  bool
	given bool
}

// Write counts as sent before the first byte leaves, and never sends after giveUp.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.given {
		w.mu.Unlock()
		return 0, errClosed
	}
	w.sent = true
	w.mu.Unlock()
	return w.Conn.Write(b)
}

func (w *wire) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = false
}

// giveUp closes the connection; no byte leaves afterwards.
func (w *wire) giveUp() {
	w.mu.Lock()
	w.given = true
	w.mu.Unlock()
	w.Conn.Close()
}

func (w *wire) wasSent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// Conn is one connection to one server, under TLS, for one request at a time.
type Conn struct {
	LDAP   *ldap.Conn // for requests inside Do
	Server string     // the URL
	Reused bool       // came out of a pool, and may have died there
	wire   *wire
}

// TransportError is trouble on the way: no answer of the server was received.
type TransportError struct {
	Sent bool // the request may have reached the server
	Err  error
}

func (e *TransportError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *TransportError) Unwrap() error { return e.Err }

// IsTransport reports whether err is trouble on the way.
func IsTransport(err error) bool {
	_, ok := errors.AsType[*TransportError](err)
	return ok
}

// IsAnswer reports whether err is a result code that the server sent, and not the library's own.
func IsAnswer(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

// Do runs one request. When ctx ends first, the connection is given up at once: the library has no way to take a
// request back, and an Abandon would not stop a write either.
func (c *Conn) Do(ctx context.Context, request func() error) error {
	if err := ctx.Err(); err != nil {
		return &TransportError{false, err}
	}
	c.wire.mark()
	done := make(chan error, 1)
	go func() { done <- request() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done: // the answer came in the same instant, and counts
		default:
			c.Close()
			return &TransportError{c.wire.wasSent(), context.Cause(ctx)}
		}
	}
	if err != nil && !IsAnswer(err) {
		c.Close()
		return &TransportError{c.wire.wasSent(), err}
	}
	return err
}

// Close gives the connection up without waiting for anything.
func (c *Conn) Close() {
	c.wire.giveUp()
	go c.LDAP.Close() // ends the library's goroutines; may wait for one that is stuck in a handshake
}

// Quit ends a connection in good order.
func (c *Conn) Quit() {
	c.wire.SetDeadline(time.Now().Add(time.Second))
	c.LDAP.Unbind()
	c.Close()
}

// Search runs one search.
func (c *Conn) Search(ctx context.Context, req *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var res *ldap.SearchResult
	err := c.Do(ctx, func() (err error) {
		res, err = c.LDAP.Search(req)
		return err
	})
	if err != nil && !IsAnswer(err) {
		return nil, err // res may still be written to by a request that was given up
	}
	return res, err
}

// Bind signs in, and returns the controls that came with a success.
func (c *Conn) Bind(ctx context.Context, dn, password string, controls ...ldap.Control) ([]ldap.Control, error) {
	answers := make(chan *ldap.SimpleBindResult, 1)
	err := c.Do(ctx, func() error {
		res, err := c.LDAP.SimpleBind(&ldap.SimpleBindRequest{Username: dn, Password: password, Controls: controls})
		answers <- res
		return err
	})
	if err != nil {
		return nil, err
	}
	return (<-answers).Controls, nil
}
