// Package egress is the one HTTP client for every request regain sends out: SMS providers, identity providers, event
// receivers. It refuses addresses that are not on the public internet, unless the operator allowed them by prefix.
//
// The address is judged when the connection is made, after the name was resolved, on the very address that is dialled:
// a name that changes its answer between check and use (DNS rebinding) gains nothing.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrRefused is what a request fails with when its target is not public and not allowed. Nothing was sent.
var ErrRefused = errors.New("target address is not allowed")

// ErrTooLarge is what Body fails with when a response is longer than the caller can use.
var ErrTooLarge = errors.New("response is too large")

// Options change what the client may reach. The zero value reaches public addresses only, without a proxy.
type Options struct {
	Allow    []netip.Prefix // addresses that may be reached although they are not public
	Proxy    *url.URL       // send everything through this HTTP proxy; never taken from the environment
	RootCAs  *x509.CertPool // nil: the system's
	Resolver *net.Resolver  // nil: the system's
	Timeout  time.Duration  // for a whole request and its body; default 15 s
}

// maxHeaderBytes bounds the head of a response.
const maxHeaderBytes = 64 << 10

// New returns a client that dials allowed targets only, follows no redirect (the 3xx answer is returned as it is: a
// redirect would carry signed bodies to an address nobody configured), takes no proxy from the environment, wants TLS 1.2
// or later, and gives up after Options.Timeout. Its errors match ErrRefused with errors.Is. Safe for concurrent use.
//
// With a proxy the proxy resolves names, so only it can refuse what they resolve to; the client still refuses targets
// written as an address or as localhost. The proxy's own address must be public or allowed.
func New(o Options) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	g := guard{allow: make([]netip.Prefix, 0, len(o.Allow))}
	for _, p := range o.Allow {
		g.allow = append(g.allow, plain(p))
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Resolver: o.Resolver, ControlContext: g.control}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  o.Timeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout:        time.Minute,
		MaxIdleConnsPerHost:    4,
		ForceAttemptHTTP2:      true,
	}
	client := &http.Client{
		Transport:     transport,
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if o.Proxy != nil {
		transport.Proxy = http.ProxyURL(o.Proxy)
		client.Transport = behindProxy{transport, g}
	}
	return client
}

// Close puts the guard in the place of the client of whoever brings none: a library that forgets ours reaches public
// addresses only, without a proxy, instead of everything. It is for the start of a program, before the first request.
func Close() {
	c := New(Options{})
	http.DefaultTransport = c.Transport
	http.DefaultClient = c
}

// guard judges addresses.
type guard struct{ allow []netip.Prefix }

// control runs after resolution and before connect, once for each address tried.
func (g guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return fmt.Errorf("%w: network %s", ErrRefused, network)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return g.check(at.Addr())
}

func (g guard) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("") // ::ffff:10.0.0.1 is 10.0.0.1
	for _, p := range g.allow {
		if p.Contains(ip) {
			return nil
		}
	}
	if !public(ip) {
		return fmt.Errorf("%w: %s", ErrRefused, ip)
	}
	return nil
}

// plain turns an IPv4-mapped prefix into the IPv4 one, as check does with addresses.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// behindProxy refuses what can be told without resolving: with a proxy the dialler only ever sees the proxy.
type behindProxy struct {
	next http.RoundTripper
	guard
}

func (b behindProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	host := strings.TrimSuffix(strings.ToLower(r.URL.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil, fmt.Errorf("%w: %s", ErrRefused, host)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if err := b.check(ip); err != nil {
			return nil, err
		}
	} else if last := host[strings.LastIndexByte(host, '.')+1:]; last == "" || (last[0] >= '0' && last[0] <= '9') {
		// 127.1, 0x7f.1 and 2130706433 are addresses to some resolvers; no public name ends in such a label.
		return nil, fmt.Errorf("%w: %s", ErrRefused, host)
	}
	return b.next.RoundTrip(r)
}

// Body reads and closes a response's body, which may have at most maxBytes after decompression; a longer one is
// ErrTooLarge and the connection is dropped.
func Body(r *http.Response, maxBytes int64) ([]byte, error) {
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if int64(len(b)) > maxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxBytes)
	}
	return b, nil
}
