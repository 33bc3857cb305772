package ldapconn

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

func TestSilenceIsUnknownOnlyIfSomethingWasSent(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	w := &wire{Conn: client}
	c := &Conn{wire: w, LDAP: ldap.NewConn(w, true)}
	c.LDAP.Start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ctx, func() error { t.Error("the request ran"); return nil }); !IsTransport(err) || w.wasSent() {
		t.Errorf("ended before: got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Do(ctx, func() error { <-ctx.Done(); return errors.New("never wrote") })
	if e, ok := errors.AsType[*TransportError](err); !ok || e.Sent {
		t.Errorf("nothing written: got %v, want not sent", err)
	}
	if _, err := w.Write([]byte("late")); !errors.Is(err, errClosed) || w.wasSent() {
		t.Errorf("after giving up: got %v, want errClosed", err)
	}
}

func TestAPoolTurnsAwayWhoWouldWaitTooLong(t *testing.T) {
	p := NewPool(1, func(context.Context) (*Conn, error) { return nil, errors.New("no server") })
	for range cap(p.queue) {
		p.queue <- struct{}{}
	}
	if _, err := p.Get(t.Context()); !errors.Is(err, ErrQueueFull) {
		t.Errorf("got %v, want ErrQueueFull", err)
	}
	p.Close()
	p.Close()
	for range cap(p.queue) {
		<-p.queue
	}
	if _, err := p.Get(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after closing: got %v, want ErrClosed", err)
	}
}
