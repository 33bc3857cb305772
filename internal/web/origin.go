package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddr returns who asks. Without trusted proxies that is the peer. Otherwise X-Forwarded-For is read from the
// right, where our own proxies write, up to the first address that is no proxy of ours; whatever stands left of it the
// client wrote itself. An entry that is no address ends the walk at the hop before it.
func clientAddr(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, ok := parseHop(r.RemoteAddr)
	if !ok {
		return netip.Addr{}
	}
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !trusted(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return peer
		}
		peer = a
		if !trusted(a) {
			return a
		}
	}
	return peer
}

// parseHop reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80.
func parseHop(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}
