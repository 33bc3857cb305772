package web

import (
	"net/http"
	"strings"
)

// contentPolicy lets a page load scripts, styles, fonts and pictures of this site and nothing else, run no inline code,
// and be framed by nobody. Trusted Types 'none': no script may write HTML.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// leadsTo lets the forms of one page lead to one more origin, the registered one of the app that waits for the person.
func leadsTo(h http.Header, origin string) {
	h.Set("Content-Security-Policy", strings.Replace(contentPolicy, "form-action 'self'", "form-action 'self' "+origin, 1))
}

// permissions switches off what no page needs, and keeps codes from text messages and passkeys to our own pages.
const permissions = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), " +
	"clipboard-write=(self), otp-credentials=(self), publickey-credentials-create=(self), publickey-credentials-get=(self)"

// policy sets the headers every answer carries, errors included.
func (s *Site) policy(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Permissions-Policy", permissions)
	h.Set("Cache-Control", "no-store") // pages hold secrets; assets set their own
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	// With no-referrer browsers send "Origin: null" on a form post. CrossOriginProtection then goes by Sec-Fetch-Site,
	// which every browser since March 2023 sends to https and to localhost; older ones are refused with a page saying so.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
