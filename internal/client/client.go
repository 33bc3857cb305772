// Package client holds the programs that have to do with regain: the connector, an identity provider that provisions
// people by SCIM; the app, which sends people here and gets them back, with one handoff for each time it does; and the
// receiver, which hears what happened.
package client

import (
	"fmt"
	"regexp"
	"time"
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

// Connector is one program that provisions people. A token is shown once and kept as a hash; two may live at a time,
// so that it can be rotated.
type Connector struct {
	ID      string
	Version int64
	Name    string // unique; letters, digits, dot, dash, underscore; 1 to 64
	Trust   Trust
	Preset  Preset
	Groups  bool // may its groups select a rule that asks for less
	Roles   bool // may its groups make people staff
	Tokens  []Token
	Created time.Time
	Updated time.Time
	Last    time.Time // last request, kept to the minute
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

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

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
	if len(c.Tokens) > MaxTokens {
		return fmt.Errorf("%d tokens: at most %d live at a time", len(c.Tokens), MaxTokens)
	}
	return nil
}
