package storetest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Wire stands between a store and PostgreSQL and counts how often one waits for the other, whatever the driver says it
// does.
type Wire struct {
	URL string // the database, by way of the wire

	tb      testing.TB
	direct  *pgx.Conn
	waiting atomic.Int64
}

// NewWire listens on a free loopback port and forwards to the database of an address until the test ends.
func NewWire(tb testing.TB, address string) *Wire {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = l.Addr().String()
	w := &Wire{URL: u.String(), tb: tb}
	if w.direct, err = pgx.Connect(tb.Context(), address); err != nil {
		tb.Fatal(err)
	}
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
			running.Go(func() { defer client.Close(); io.Copy(client, server) })
			running.Go(func() { defer server.Close(); w.pump(server, client) })
		}
	})
	tb.Cleanup(func() { // after the store has closed its connections, which ends both directions
		w.direct.Close(context.Background())
		l.Close()
		running.Wait()
	})
	return w
}

// pump forwards what the client says and counts the messages it waits after: Sync, and a simple Query (PostgreSQL, Frontend/
// Backend Protocol, Message Formats). The first message has no type.
func (w *Wire) pump(to io.Writer, from io.Reader) {
	for head := make([]byte, 4); ; head = make([]byte, 5) {
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		if len(head) == 5 && (head[0] == 'S' || head[0] == 'Q') {
			w.waiting.Add(1)
		}
		rest := int64(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
		if _, err := to.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, rest); err != nil {
			return
		}
	}
}

// Count runs fn and returns how many round trips it took, and how many transactions that wrote something came to be
// meanwhile in the whole server. Statements should have run before, so that none is prepared now.
func (w *Wire) Count(fn func()) (trips, commits int) {
	w.tb.Helper()
	writers := func() (n int) {
		if err := w.direct.QueryRow(w.tb.Context(), `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&n); err != nil {
			w.tb.Fatal(err)
		}
		return n
	}
	before, were := w.waiting.Load(), writers()
	fn()
	return int(w.waiting.Load() - before), writers() - were
}
