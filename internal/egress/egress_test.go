package egress

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestOnlyPublicAddressesAreReached(t *testing.T) {
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.0.1": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450::1": true,
		"127.0.0.1": false, "127.255.0.9": false, "0.0.0.0": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "168.63.129.16": false,
		"224.0.0.1": false, "239.1.1.1": false, "240.0.0.1": false, "255.255.255.255": false, "192.0.2.1": false, "198.18.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::808:808": false, "64:ff9b:1::a00:1": false,
		"2002:7f00:1::": false, "2001:0:1::1": false, "2001:db8::1": false, "3fff::1": false,
	} {
		err := guard{}.check(netip.MustParseAddr(ip))
		if got := err == nil; got != want {
			t.Errorf("%s: reached is %v (%v), want %v", ip, got, err, want)
		}
		if err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: error %v is not ErrRefused", ip, err)
		}
	}
}

func TestAnAllowedPrefixOpensThatPrefixOnly(t *testing.T) {
	g := guard{allow: []netip.Prefix{plain(netip.MustParsePrefix("10.1.0.0/16")), plain(netip.MustParsePrefix("::ffff:192.168.7.0/120")), plain(netip.MustParsePrefix("fd00:1::/32"))}}
	for ip, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "192.168.7.9": true, "192.168.8.1": false,
		"fd00:1::5": true, "fd00:2::5": false, "127.0.0.1": false,
	} {
		if got := g.check(netip.MustParseAddr(ip)) == nil; got != want {
			t.Errorf("%s: reached is %v, want %v", ip, got, want)
		}
	}
}

// counted is a loopback server that counts the connections it got, so that "refused" means that nothing was sent.
func counted(t *testing.T, h http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, &connections
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestALoopbackServerIsReachedOnlyWhenAllowed(t *testing.T) {
	s, connections := counted(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for _, u := range []string{s.URL, "http://localhost:" + itoa(port), "http://[::ffff:127.0.0.1]:" + itoa(port), "http://0.0.0.0:" + itoa(port)} {
		if r, err := New(Options{}).Get(u); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, %v, want ErrRefused", u, r, err)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made although all were refused", n)
	}
	r, err := New(Options{Allow: loopback}).Get(s.URL)
	if err != nil {
		t.Fatal("allowed and yet refused: ", err)
	}
	if b, err := Body(r, 5); err != nil || string(b) != "hello" {
		t.Errorf("body: got %q, %v", b, err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var hits atomic.Int64
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	r, err := New(Options{Allow: loopback}).Post(s.URL, "text/plain", strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusTemporaryRedirect || hits.Load() != 1 {
		t.Errorf("got status %d after %d requests, want 307 after 1", r.StatusCode, hits.Load())
	}
}

func TestALongBodyIsCutAlsoWhenItWasCompressed(t *testing.T) {
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(make([]byte, 1<<20))
		z.Close()
	})
	r, err := New(Options{Allow: loopback}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := Body(r, 1000); !errors.Is(err, ErrTooLarge) || b != nil {
		t.Errorf("got %d bytes, %v, want ErrTooLarge", len(b), err)
	}
}

func TestTheClientGivesUpInTime(t *testing.T) {
	release := make(chan struct{})
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	_, err := New(Options{Allow: loopback, Timeout: 50 * time.Millisecond}).Get(s.URL)
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestAProxyIsUsedOnlyWhenConfigured(t *testing.T) {
	var seen sync.Map
	proxy, connections := counted(t, func(w http.ResponseWriter, r *http.Request) { seen.Store(r.URL.String(), true) })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	// 192.0.2.1 is documentation space: without a proxy the request is refused, not sent to the one in the environment.
	if _, err := New(Options{}).Get("http://192.0.2.1/"); !errors.Is(err, ErrRefused) || connections.Load() != 0 {
		t.Errorf("got %v and %d connections to the environment's proxy", err, connections.Load())
	}
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Proxy: u}).Get("http://example.com/"); !errors.Is(err, ErrRefused) {
		t.Errorf("a proxy on loopback that was not allowed: got %v", err)
	}
	client := New(Options{Proxy: u, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	r, err := client.Get("http://example.com/x")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if _, ok := seen.Load("http://example.com/x"); !ok {
		t.Error("the configured proxy did not get the request")
	}
	for _, target := range []string{"http://10.0.0.1/", "http://localhost/", "http://a.localhost./", "http://127.1/", "http://2130706433/", "http://0x7f.0x1/", "http://[::1]/", "http://[64:ff9b::a00:1]/"} {
		if _, err := client.Get(target); !errors.Is(err, ErrRefused) {
			t.Errorf("%s through the proxy: got %v, want ErrRefused", target, err)
		}
	}
}

func TestANameThatRebindsGainsNothing(t *testing.T) {
	inner, innerHits := counted(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "internal") })
	port := itoa(inner.Listener.Addr().(*net.TCPAddr).Port)
	// The name answers first with an address that may be reached (the listener does not listen there), then with ours.
	dns := newDNS(t, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"))
	client := New(Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Resolver: dns.resolver(), Timeout: 2 * time.Second})
	_, err := client.Get("http://rebind.example:" + port)
	if err == nil || errors.Is(err, ErrRefused) {
		t.Fatalf("first answer: got %v, want a connection that finds nobody", err)
	}
	_, err = client.Get("http://rebind.example:" + port)
	if !errors.Is(err, ErrRefused) {
		t.Errorf("second answer: got %v, want ErrRefused", err)
	}
	if n := innerHits.Load(); n != 0 {
		t.Errorf("the inner server saw %d connections", n)
	}
	if n := dns.asked.Load(); n < 2 {
		t.Errorf("the name was asked for %d times: the test did not rebind", n)
	}
}

// dns answers A questions with one address after the other, and AAAA with none.
type dns struct {
	conn    net.PacketConn
	answers []netip.Addr
	asked   atomic.Int64
}

func newDNS(t *testing.T, answers ...netip.Addr) *dns {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dns{conn: conn, answers: answers}
	t.Cleanup(func() { conn.Close() })
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
				i := min(int(d.asked.Add(1))-1, len(d.answers)-1)
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: d.answers[i].As4()},
				}}
			}
			if b, err := m.Pack(); err == nil {
				conn.WriteTo(b, from)
			}
		}
	}()
	return d
}

func (d *dns) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", d.conn.LocalAddr().String())
	}}
}

func itoa(n int) string { return (&net.TCPAddr{Port: n}).String()[1:] }

func TestWhoeverBringsNoClientIsGuardedAllTheSame(t *testing.T) {
	transport, client := http.DefaultTransport, http.DefaultClient
	defer func() { http.DefaultTransport, http.DefaultClient = transport, client }()
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	Close()
	for name, get := range map[string]func(string) (*http.Response, error){
		"the default client": http.Get, "a client without a transport": (&http.Client{}).Get,
	} {
		r, err := get(server.URL)
		if err == nil {
			r.Body.Close()
		}
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reached {
		t.Error("the server was reached")
	}
}
