package web

import (
	"net/http"
	"net/netip"
)

// Local reports whether a place is a path of this site for every browser: "//host", "/\host" and what holds a tab or a
// line break are not. Page.Goto takes nothing else.
func Local(to string) bool { return local(to) }

// Client returns who sent a request to a machine endpoint, past the configured proxies; the zero Addr when it cannot be
// told. Pages have it as Request.Client.
func (s *Site) Client(r *http.Request) netip.Addr { return clientAddr(r, s.proxies) }
