package scimtest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Run checks the server at baseURL, such as https://id.example.org/scim/v2, with a bearer token that may write users
// and groups and whose preset is standard. It leaves some users and groups behind. The server must offer /Users with the
// enterprise extension and /Groups, and check references.
func Run(t *testing.T, baseURL, token string) { RunAs(t, baseURL, token, "standard") }

// RunAs is Run for a token of another preset: strict, standard or entra.
func RunAs(t *testing.T, baseURL, token, preset string) {
	c := &client{base: strings.TrimRight(baseURL, "/"), token: token, preset: preset,
		http: &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	t.Run("the rules of the RFCs", c.conformance)
	t.Run("what identity providers send", c.quirks)
}
