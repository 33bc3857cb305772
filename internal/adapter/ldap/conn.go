package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
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

// conn is one connection to one server; one request at a time.
type conn struct {
	ldap   *ldap.Conn
	wire   *wire
	server string // the URL
	used   bool   // came out of the pool, may have died there
}

// transportError is trouble on the way: no answer of the server was received.
type transportError struct {
	sent bool // the request may have reached the server
	err  error
}

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

func isTransport(err error) bool {
	_, ok := errors.AsType[*transportError](err)
	return ok
}

// isAnswer reports whether err is a result code that the server sent, and not the library's own.
func isAnswer(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

// do runs one request. When ctx ends first, the connection is given up at once: the library has no way to take a
// request back, and an Abandon would not stop a write either.
func (c *conn) do(ctx context.Context, request func() error) error {
	if err := ctx.Err(); err != nil {
		return &transportError{false, err}
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
			c.close()
			return &transportError{c.wire.wasSent(), context.Cause(ctx)}
		}
	}
	if err != nil && !isAnswer(err) {
		c.close()
		return &transportError{c.wire.wasSent(), err}
	}
	return err
}

// close gives the connection up without waiting for anything.
func (c *conn) close() {
	c.wire.giveUp()
	go c.ldap.Close() // ends the library's goroutines; may wait for one that is stuck in a handshake
}

// quit ends a connection in good order.
func (c *conn) quit() {
	c.wire.SetDeadline(time.Now().Add(time.Second))
	c.ldap.Unbind()
	c.close()
}

func (c *conn) search(ctx context.Context, req *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var res *ldap.SearchResult
	err := c.do(ctx, func() (err error) {
		res, err = c.ldap.Search(req)
		return err
	})
	if err != nil && !isAnswer(err) {
		return nil, err // res may still be written to by a request that was given up
	}
	return res, err
}

// bind signs in and returns the password policy's word on it, if the server sent one.
func (c *conn) bind(ctx context.Context, dn, password string) (policyResponse, error) {
	answers := make(chan *ldap.SimpleBindResult, 1)
	err := c.do(ctx, func() error {
		res, err := c.ldap.SimpleBind(&ldap.SimpleBindRequest{
			Username: dn, Password: password, Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
		})
		answers <- res
		return err
	})
	if err != nil {
		return policyOf(err), err
	}
	return policyIn((<-answers).Controls), nil
}

// dial opens a connection with TLS to the first server that answers; only wants that one when it is not empty.
func (a *Adapter) dial(ctx context.Context, only string) (*conn, error) {
	urls := a.cfg.URLs
	if only != "" {
		urls = []string{only}
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.DialTimeout)
	defer cancel()
	var errs []error
	for i, u := range urls {
		// Each server gets its share of the time, so that a black hole leaves some for the next.
		deadline, _ := ctx.Deadline()
		share, done := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(urls)-i))
		c, err := a.dialOne(share, u)
		done()
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", u, err))
	}
	return nil, &transportError{false, errors.Join(errs...)}
}

func (a *Adapter) dialOne(ctx context.Context, raw string) (*conn, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	port, host := u.Port(), u.Hostname()
	if port == "" {
		port = map[string]string{"ldap": ldap.DefaultLdapPort, "ldaps": ldap.DefaultLdapsPort}[u.Scheme]
	}
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	cfg := a.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	c := &conn{wire: &wire{Conn: plain}, server: raw}
	if u.Scheme == "ldap" {
		if err := startTLS(ctx, c.wire); err != nil {
			plain.Close()
			return nil, err
		}
	}
	secure := tls.Client(c.wire, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, &untrusted{err}
	}
	c.ldap = ldap.NewConn(secure, true)
	c.ldap.Start()
	return c, nil
}

// startTLS asks for TLS on a plain connection, RFC 4511 §4.14. By hand, because the library reduces what goes wrong in
// the handshake afterwards to a text, and an untrusted server has to be told from an absent one.
func startTLS(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	message := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", ""))
	message.AppendChild(request)
	if _, err := c.Write(message.Bytes()); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(io.LimitReader(c, 64<<10)) // reads no byte too many: the next ones are TLS
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	if err := ldap.GetLDAPError(answer); err != nil {
		return &untrusted{err}
	}
	if !stop() {
		return ctx.Err()
	}
	return nil
}

// dialService opens a connection that is signed in as the service account.
func (a *Adapter) dialService(ctx context.Context) (*conn, error) { return a.dialServer(ctx, "") }

// dialServer is dialService to one of the servers, unless only is empty.
func (a *Adapter) dialServer(ctx context.Context, only string) (*conn, error) {
	c, err := a.dial(ctx, only)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.DialTimeout)
	defer cancel()
	if _, err := c.bind(ctx, a.cfg.BindDN, a.cfg.BindPassword.Reveal()); err != nil {
		c.close()
		if isAnswer(err) {
			return nil, &bindError{err}
		}
		return nil, &transportError{false, err} // nothing of the caller's request was sent
	}
	return c, nil
}

// untrusted is a connection whose TLS failed.
type untrusted struct{ err error }

func (e *untrusted) Error() string { return e.err.Error() }
func (e *untrusted) Unwrap() error { return e.err }

// bindError is a service account that cannot sign in.
type bindError struct{ err error }

func (e *bindError) Error() string { return "service account: " + e.err.Error() }
func (e *bindError) Unwrap() error { return e.err }
