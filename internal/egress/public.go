package egress

import "net/netip"

// notPublic4 are the IPv4 blocks no provider on the internet is reached at: the IANA IPv4 Special-Purpose Address
// Registry (RFC 6890) without the few globally reachable entries, multicast (RFC 5771), and one cloud's metadata
// address that lies in public space.
var notPublic4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
)

// global6 is the only IPv6 block handed out so far (RFC 4291 §2.4, IANA). Loopback, link-local, unique local, multicast,
// IPv4-mapped and -compatible, and NAT64 (64:ff9b::/96, RFC 6052; 64:ff9b:1::/48, RFC 8215) lie outside it.
var global6 = netip.MustParsePrefix("2000::/3")

// notPublic6 are the exceptions inside global6: protocol assignments with Teredo, documentation, and 6to4, which would
// carry an IPv4 address of the sender's choice.
var notPublic6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

func prefixes(s ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(s))
	for i, p := range s {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// public reports whether an unmapped address without a zone is an ordinary one on the internet.
func public(ip netip.Addr) bool {
	refused := notPublic4
	if ip.Is6() {
		if !global6.Contains(ip) {
			return false
		}
		refused = notPublic6
	}
	for _, p := range refused {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsValid()
}
