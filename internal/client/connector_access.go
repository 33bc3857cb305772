package client

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ScopeSCIM is what an access token of a connector is good for (OpenID IPSIE, account lifecycle by SCIM).
const ScopeSCIM Scope = "scim"

// ConnectorAccessTime is how long an access token of a connector lives. It asks for another by itself, so that it is short.
const ConnectorAccessTime = 10 * time.Minute

// ConnectorAccess is an access token of a connector that authenticates by a key (RFC 6749 §4.4, RFC 7523 §2.2). It ends with
// its time, with the key it was asked for with, and with the connector.
type ConnectorAccess struct {
	Hash      []byte // SHA-256 of the token
	Connector string // id
	By        string // id of one of the connector's keys, or the address of its key set
	Expires   time.Time
}

// Asserts reports whether the connector may authenticate by a key.
func (c *Connector) Asserts() bool { return len(c.Keys) > 0 || c.JWKS != "" }

// LiveKeys returns the keys whose assertions are taken at a time, oldest first. Those it publishes elsewhere are none of them.
func (c *Connector) LiveKeys(now time.Time) []PublicKey {
	return slices.DeleteFunc(slices.Clone(c.Keys), func(k PublicKey) bool { return !k.Expires.IsZero() && !k.Expires.After(now) })
}

// AddKey gives the connector another key. Those it has work until keep, and not at all when that is not after the new one
// was made; the oldest goes when there are more than MaxTokens. An error when it publishes its keys, or has this one already:
// the same one would end with the old and not take its place.
func (c *Connector) AddKey(k PublicKey, keep time.Time) error {
	if c.JWKS != "" {
		return fmt.Errorf("connector %s publishes its keys at %s: it rotates them there", c.Name, c.JWKS)
	}
	if slices.ContainsFunc(c.LiveKeys(k.Created), func(o PublicKey) bool { return o.ID == k.ID || o.JWK == k.JWK }) {
		return fmt.Errorf("key %s: it is registered already", k.ID)
	}
	var kept []PublicKey
	for _, old := range c.Keys {
		if old.Expires = until(old.Expires, keep); old.Expires.After(k.Created) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	c.Keys = kept[max(0, len(kept)-MaxTokens):]
	return c.Check()
}

// Grants reports whether an access token of the connector counts at a time: neither it nor what it was asked for with has ended.
func (c *Connector) Grants(a *ConnectorAccess, now time.Time) bool {
	if a.Connector != c.ID || !now.Before(a.Expires) {
		return false
	}
	if c.JWKS != "" {
		return a.By == c.JWKS
	}
	return slices.ContainsFunc(c.LiveKeys(now), func(k PublicKey) bool { return k.ID == a.By })
}

// LastHeard is what was last heard of a connector, kept to the minute, and the last that failed.
type LastHeard struct {
	At        time.Time
	What      string // as "POST Users"
	Status    int
	BadAt     time.Time // zero: nothing failed so far
	BadWhat   string
	BadStatus int
}

// maxSwitches bounds how many switches are kept; there are fewer to choose from.
const maxSwitches = 40

var switchForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// SwitchesText is how far the connector is bent to besides its preset: name=on or name=off, in order, with spaces between.
func (c *Connector) SwitchesText() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c.Switches)) {
		value := "off"
		if c.Switches[name] {
			value = "on"
		}
		words = append(words, name+"="+value)
	}
	return strings.Join(words, " ")
}

// ReadSwitches reads what SwitchesText wrote.
func ReadSwitches(text string) (map[string]bool, error) {
	var all map[string]bool
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		if !switchForm.MatchString(name) || value != "on" && value != "off" {
			return nil, fmt.Errorf("switch %q: want name=on or name=off", word)
		}
		if all == nil {
			all = map[string]bool{}
		}
		all[name] = value == "on"
	}
	return all, nil
}

// checkAccess reports the first thing wrong with what the connector authenticates by beside tokens, and with its switches.
func (c *Connector) checkAccess() error {
	if len(c.Keys) > MaxTokens {
		return fmt.Errorf("%d keys: at most %d live at a time", len(c.Keys), MaxTokens)
	}
	for i, k := range c.Keys {
		if err := k.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Keys[:i], func(o PublicKey) bool { return o.ID == k.ID }) {
			return fmt.Errorf("key %s: it is registered already", k.ID)
		}
	}
	if c.JWKS != "" {
		if len(c.Keys) > 0 {
			return errors.New("keys are registered here or published at an address, not both")
		}
		if err := checkReturn(c.JWKS); err != nil {
			return err
		}
	}
	if len(c.Switches) > maxSwitches {
		return fmt.Errorf("%d switches: at most %d", len(c.Switches), maxSwitches)
	}
	for name := range c.Switches {
		if !switchForm.MatchString(name) {
			return fmt.Errorf("switch %q: want small letters, digits and dashes", name)
		}
	}
	return nil
}
