// Package client holds the programs that have to do with regain: the connector, an identity provider that provisions
// people by SCIM; the app, which sends people here and gets them back, with one handoff for each time it does; and the
// receiver, which hears what happened.
package client

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/event"
)

// Trust says how far the contacts a source brings count as proofs.
type Trust string

// The trusts. One is the default: all contacts of the source together count as one proof until the person confirms.
const (
	TrustNone Trust = "none" // contacts do not count at all
	TrustOne  Trust = "one"  // together they count once
	TrustAll  Trust = "all"  // each counts by itself
)

// Preset selects how tolerant SCIM is of what an identity provider sends.
type Preset string

// The presets.
const (
	PresetStandard Preset = "standard"
	PresetEntra    Preset = "entra"
	PresetStrict   Preset = "strict"
)

// Use is a kind of resource a connector may use.
type Use string

// The uses. Without UseMethods a connector neither sees nor brings ways to prove who somebody is, in whatever attribute
// they stand.
const (
	UseUsers   Use = "users"
	UseGroups  Use = "groups"
	UseMethods Use = "methods"
)

// Uses are all uses, in the order they are shown.
var Uses = []Use{UseUsers, UseGroups, UseMethods}

// Connector is one program that provisions people. A token is shown once and kept as a hash; two may live at a time,
// so that it can be rotated.
type Connector struct {
	ID      string
	Version int64
	Name    string // unique; letters, digits, dot, dash, underscore; 1 to 64
	Trust   Trust
	Preset  Preset
	Groups  bool  // may its groups select a rule that asks for less
	Roles   bool  // may its groups make people staff
	Uses    []Use // what it may use, each once; none: everything
	// ReadOnly connectors may look and change nothing.
	ReadOnly bool
	// SetPassword connectors hand the passwords they bring to the directory; those of others are dropped when they arrive.
	SetPassword bool
	// Rate is how many requests a second one process takes of it; 0: DefaultRate.
	Rate int
	// Switches bend to it, or do not, whatever its preset says of them; none: as the preset says.
	Switches map[string]bool
	Tokens   []Token
	Keys     []PublicKey // that it signs assertions with, in place of a token of its own; at most MaxTokens
	JWKS     string      // where it publishes them, instead of Keys
	Created  time.Time
	Updated  time.Time
	Last     time.Time // last request, kept to the minute
}

// Token is one live bearer token of a connector. Hash is SHA-256 of the token (256 random bits).
type Token struct {
	ID      string    `json:"id"`
	Hash    []byte    `json:"hash"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // zero: no end
}

// MaxTokens is how many tokens of one connector live at a time.
const MaxTokens = 2

// How many requests a second one process takes of a connector. The default is about what one process can serve: it keeps a
// client that has gone wild from more than that, and a first provisioning from nothing.
const (
	DefaultRate = 5_000
	MaxRate     = 100_000
)

// May reports whether the connector may use a kind of resource.
func (c *Connector) May(u Use) bool { return len(c.Uses) == 0 || slices.Contains(c.Uses, u) }

// PerSecond is how many requests a second one process takes of the connector.
func (c *Connector) PerSecond() int {
	if c.Rate == 0 {
		return DefaultRate
	}
	return c.Rate
}

// Live are the tokens that have not ended, oldest first.
func (c *Connector) Live(now time.Time) []Token {
	var live []Token
	for _, k := range c.Tokens {
		if k.Expires.IsZero() || k.Expires.After(now) {
			live = append(live, k)
		}
	}
	return live
}

// NextEnd is when the next of the connector's tokens ends; zero when none does.
func (c *Connector) NextEnd(now time.Time) (next time.Time) {
	for _, k := range c.Live(now) {
		if next.IsZero() || !k.Expires.IsZero() && k.Expires.Before(next) {
			next = k.Expires
		}
	}
	return next
}

// AddToken gives the connector a token beside the newest of those that live, which ends at until, unless that is zero or it
// ends before. Those that have ended, and the oldest of two, go.
func (c *Connector) AddToken(k Token, until, now time.Time) {
	live := c.Live(now)
	live = slices.Clone(live[max(0, len(live)-MaxTokens+1):])
	for i := range live {
		if !until.IsZero() && (live[i].Expires.IsZero() || live[i].Expires.After(until)) {
			live[i].Expires = until
		}
	}
	live = slices.DeleteFunc(live, func(o Token) bool { return !o.Expires.IsZero() && !o.Expires.After(now) })
	c.Tokens = append(live, k)
}

// Made is the event of a connector that is created.
func (c *Connector) Made(actor string, now time.Time) event.Event {
	e := event.New(now, event.ConnectorCreated, actor, "", c.ID, event.Success).With("tokens", tokensText(c.Tokens))
	for _, s := range c.settings() {
		if s.value != "" {
			e = e.With(s.name, s.value)
		}
	}
	return e
}

// Changed is the event of a connector that was another before: old and new of what differs, and nothing secret.
func (c *Connector) Changed(was *Connector, actor string, now time.Time) event.Event {
	e := event.New(now, event.ConnectorChanged, actor, "", c.ID, event.Success).With("name", c.Name)
	before := was.settings()
	for i, s := range c.settings() {
		if s.value != before[i].value {
			e = e.With(s.name, []any{before[i].value, s.value})
		}
	}
	if old, now := tokensText(was.Tokens), tokensText(c.Tokens); old != now {
		e = e.With("tokens", []string{old, now})
	}
	return e
}

// setting is one of a connector's settings, as it is written down.
type setting struct {
	name  string
	value any
}

func (c *Connector) settings() []setting {
	return []setting{{"name", c.Name}, {"trust", string(c.Trust)}, {"preset", string(c.Preset)}, {"groups", c.Groups}, {"roles", c.Roles},
		{"uses", c.UsesText()}, {"read_only", c.ReadOnly}, {"set_password", c.SetPassword}, {"rate", c.Rate},
		{"switches", c.SwitchesText()}, {"keys", keysText(c.Keys)}, {"jwks", c.JWKS}}
}

// UsesText is what the connector may use, in words with a comma between.
func (c *Connector) UsesText() string {
	var words []string
	for _, u := range Uses {
		if c.May(u) {
			words = append(words, string(u))
		}
	}
	return strings.Join(words, ",")
}

// keysText tells keys by their ids and when they end.
func keysText(all []PublicKey) string {
	words := make([]Token, len(all))
	for i, k := range all {
		words[i] = Token{ID: k.ID, Expires: k.Expires}
	}
	return tokensText(words)
}

// tokensText tells tokens by their ids and when they end.
func tokensText(all []Token) string {
	words := make([]string, len(all))
	for i, k := range all {
		words[i] = k.ID
		if !k.Expires.IsZero() {
			words[i] += " until " + k.Expires.UTC().Format(time.RFC3339)
		}
	}
	return strings.Join(words, ", ")
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// GoodName reports whether a connector may be called so.
func GoodName(name string) bool { return nameForm.MatchString(name) }

// Check reports the first thing wrong with the connector's settings.
func (c *Connector) Check() error {
	if !nameForm.MatchString(c.Name) {
		return fmt.Errorf("name %q: want 1 to 64 letters, digits, dots, dashes or underscores", c.Name)
	}
	switch c.Trust {
	case TrustNone, TrustOne, TrustAll:
	default:
		return fmt.Errorf("trust %q: want none, one or all", c.Trust)
	}
	switch c.Preset {
	case PresetStandard, PresetEntra, PresetStrict:
	default:
		return fmt.Errorf("preset %q: want standard, entra or strict", c.Preset)
	}
	for i, u := range c.Uses {
		if !slices.Contains(Uses, u) || slices.Contains(c.Uses[:i], u) {
			return fmt.Errorf("use %q: want users, groups or methods, each once", u)
		}
	}
	if c.Rate < 0 || c.Rate > MaxRate {
		return fmt.Errorf("rate %d: want 1 to %d requests a second, or 0 for %d", c.Rate, MaxRate, DefaultRate)
	}
	if len(c.Tokens) > MaxTokens {
		return fmt.Errorf("%d tokens: at most %d live at a time", len(c.Tokens), MaxTokens)
	}
	return c.checkAccess()
}
