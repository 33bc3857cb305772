package signal_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
)

// C1: whoever registers an address gets us to ask nobody inside.
func TestC1PrivateTargetsAreRefusedWhenTheyAreDialled(t *testing.T) {
	w := newWorld(t, storeOn(t), egress.Options{Timeout: time.Second}) // nothing is allowed
	inside := newEar(t, status(202))
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]
	var ids []string
	for n, host := range []string{"127.0.0.1" + port, "[::1]" + port, "localhost" + port, "[::ffff:127.0.0.1]" + port} {
		key := fmt.Sprint("rp", n)
		_, st := w.stream(key, "https://"+host+"/", func(r *client.Receiver, s *client.Stream) {
			r.Format = client.FormatOpaque
			if !strings.Contains(host, "ffff") {
				s.Endpoint = "http://" + host + "/"
			}
		})
		ids = append(ids, st.ID)
	}
	for n, host := range []string{"10.0.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1", "0.0.0.0", "[64:ff9b::a00:1]", "168.63.129.16"} {
		ids = append(ids, w.hook(fmt.Sprint("hook", n), "https://"+host+"/latest/meta-data").ID)
	}
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	if n := len(inside.all()); n != 0 {
		t.Errorf("the server inside got %d requests", n)
	}
	for _, id := range ids {
		if h := w.health(id); h.Class != "refused-address" || h.Waiting != 1 {
			t.Errorf("%s: got %+v", id, h)
		}
	}
}

func TestC1ARedirectIsNotFollowed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		inside := newEar(t, status(202))
		for n, code := range []int{301, 302, 303, 307, 308} {
			outside := newEar(t, func(_ int, rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, inside.URL, code) })
			_, st := w.stream(fmt.Sprint("rp", n), outside.URL)
			hook := w.hook(fmt.Sprint("hook", n), outside.URL)
			w.happened(w.ada, event.PasswordChanged)
			w.work()
			for _, id := range []string{st.ID, hook.ID} {
				if h := w.health(id); h.Class != "redirect" || h.Waiting != 1 || !h.Good.IsZero() {
					t.Errorf("%d: got %+v", code, h)
				}
			}
		}
		if n := len(inside.all()); n != 0 {
			t.Errorf("%d requests followed a redirect", n)
		}
	})
}

func TestC1ANameThatRebindsGainsNothing(t *testing.T) {
	inside := newEar(t, status(202))
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]
	// First the name has an address that may be reached, where nobody listens; then the one of the server inside.
	resolver, asked := rebinding(t, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"))
	w := newWorld(t, storeOn(t), egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Resolver: resolver, Timeout: time.Second})
	_, st := w.stream("rp", "https://rebind.example"+port+"/")
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	if h := w.health(st.ID); h.Class != "not-connected" {
		t.Errorf("at first: %+v", h)
	}
	w.clock.pass(time.Minute)
	w.work()
	if h := w.health(st.ID); h.Class != "refused-address" {
		t.Errorf("then: %+v", h)
	}
	if len(inside.all()) != 0 || asked.Load() < 2 {
		t.Errorf("the server inside got %d requests; the name was asked for %d times", len(inside.all()), asked.Load())
	}
}

// rebinding is a resolver whose one name answers with one address after the other.
func rebinding(t *testing.T, answers ...netip.Addr) (*net.Resolver, *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	asked := &atomic.Int64{}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				at := answers[min(int(asked.Add(1))-1, len(answers)-1)]
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: at.As4()}}}
			}
			if b, err := m.Pack(); err == nil {
				conn.WriteTo(b, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}, asked
}

func TestC1AStreamLosesItsAddressWithItsHost(t *testing.T) {
	w := newWorld(t, storeOn(t))
	rp := newEar(t, status(202))
	_, st := w.stream("rp", rp.URL)
	ok[*client.Receiver](t)(w.s.UpdateReceiver(t.Context(), "rp", func(r *client.Receiver) ([]event.Event, error) { r.Hosts = []string{"other.example"}; return nil, nil }))
	w.happened(w.ada, event.PasswordChanged)
	w.work()
	if h := w.health(st.ID); len(rp.all()) != 0 || h.Class != "refused-address" || h.Dead != 1 {
		t.Errorf("%d requests, %+v", len(rp.all()), h)
	}
}
