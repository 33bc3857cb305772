package testserver

import (
	"net"
	"sync"
	"testing"
)

// Proxy forwards TCP connections to a server and loses bytes on demand, to show what a client believes when a request
// or an answer is lost. It sees ciphertext only; turn a fault on when the connection is idle.
type Proxy struct {
	Addr string // where it listens

	mu                      sync.Mutex
	loseRequest, loseAnswer bool
	conns                   map[net.Conn]struct{}
}

// NewProxy listens on a free loopback port and forwards to target until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	return NewProxyAt(t, "127.0.0.1:0", target)
}

// NewProxyAt is NewProxy on a loopback address of one's choice, for ports that cannot be chosen.
func NewProxyAt(t testing.TB, address, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), conns: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			p.track(client, server)
			running.Go(func() { p.pump(server, client, &p.loseRequest) })
			running.Go(func() { p.pump(client, server, &p.loseAnswer) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		running.Wait()
	})
	return p
}

// LoseRequests makes bytes from the client vanish from now on, or stops that.
func (p *Proxy) LoseRequests(on bool) { p.set(&p.loseRequest, on) }

// LoseAnswers makes bytes from the server vanish from now on, or stops that.
func (p *Proxy) LoseAnswers(on bool) { p.set(&p.loseAnswer, on) }

func (p *Proxy) set(flag *bool, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*flag = on
}

// Cut ends every connection that is open now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Proxy) track(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

func (p *Proxy) pump(to, from net.Conn, lose *bool) {
	defer func() {
		to.Close()
		from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		lost := *lose
		p.mu.Unlock()
		if n > 0 && !lost {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
