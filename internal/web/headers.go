package web

import (
	"net/http"
	"regexp"
	"strings"
)

// contentPolicy lets a page load scripts, styles, fonts and pictures of this site and nothing else, run no inline code,
// and be framed by nobody. Trusted Types 'none': no script may write HTML.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// originForm is scheme, host and port, and nothing that means something in a policy: a host may hold semicolons.
var originForm = regexp.MustCompile(`^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// leadsTo lets the forms of one page lead to one more origin, the registered one of the app that waits for the person. What
// is no origin changes nothing: the button back then leads nowhere, which is better than a policy with a hole.
func leadsTo(h http.Header, origin string) {
	if !originForm.MatchString(origin) {
		return
	}
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
