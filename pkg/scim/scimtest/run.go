package scimtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Run checks the server at baseURL, such as https://id.example.org/scim/v2, with a bearer token that may write users
// and groups and whose preset is standard. It leaves some users and groups behind. The server must offer /Users with the
// enterprise extension and /Groups, and check references.
func Run(t *testing.T, baseURL, token string) { RunAs(t, baseURL, token, "standard") }

// RunAs is Run for a token of another preset: strict, standard or entra.
func RunAs(t *testing.T, baseURL, token, preset string) {
	newClient(baseURL, token, preset).suite(t)
}

// RunPresets is RunAs for strict, standard and entra, but reads what is stored as strict. token returns a token that has
// what is asked for; it may return the same one each time, whose preset it changes.
func RunPresets(t *testing.T, baseURL string, token func(*testing.T, schema.Compat) string) {
	for _, preset := range presets {
		t.Run(preset, func(t *testing.T) {
			compat, _ := schema.Preset(preset)
			readingStrictly(t, baseURL, preset, compat, token).suite(t)
		})
	}
}

// RunSwitches replays the recorded conversations with each rule of schema.Compat switched by itself: strict with the switches
// a conversation needs and no other, and the preset that has them without one of them.
func RunSwitches(t *testing.T, baseURL string, token func(*testing.T, schema.Compat) string) {
	names, all := conversations(t)
	for _, name := range names {
		q := all[name]
		if len(q.Switches) == 0 {
			continue
		}
		with := schema.Strict()
		for _, s := range q.Switches {
			with = toggle(t, with, s, true)
		}
		t.Run(name+"/strict+"+strings.Join(q.Switches, "+"), func(t *testing.T) {
			c := readingStrictly(t, baseURL, q.As, with, token)
			c.variant = "strict+" + strings.Join(q.Switches, "+")
			c.replay(t, q)
		})
		whole, ok := schema.Preset(q.As)
		if !ok {
			continue
		}
		for _, s := range q.Switches {
			t.Run(name+"/"+q.As+"-"+s, func(t *testing.T) {
				c := readingStrictly(t, baseURL, "strict", toggle(t, whole, s, false), token)
				c.variant = q.As + "-" + s
				c.replay(t, q)
			})
		}
	}
}

// presets are those every conversation is told for.
var presets = []string{"strict", "standard", "entra"}

func toggle(t testing.TB, c schema.Compat, name string, on bool) schema.Compat {
	t.Helper()
	s, ok := schema.SwitchNamed(name)
	if !ok {
		t.Fatalf("no switch %q", name)
	}
	return s.Set(c, on)
}

func newClient(baseURL, token, preset string) *client {
	return &client{base: strings.TrimRight(baseURL, "/"), token: token, preset: preset,
		http: &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func readingStrictly(t *testing.T, baseURL, preset string, compat schema.Compat, token func(*testing.T, schema.Compat) string) *client {
	c := newClient(baseURL, token(t, compat), preset)
	c.reader = func() string { return token(t, schema.Strict()) }
	c.restore = func() { token(t, compat) }
	return c
}

func (c *client) suite(t *testing.T) {
	t.Run("the rules of the RFCs", c.conformance)
	t.Run("what identity providers send", c.quirks)
}
