// Package policy decides who may reset, unlock and change, by how many proofs of which kinds.
//
// A policy is an ordered list of rules; the first whose groups and networks match applies, and none matching means
// nobody may. A floor for protected people can only raise what a rule asks for. Policies are versioned and live in the
// database only; a YAML file is input. One function decides, and it depends on a small standing, never on a store.
package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
)

// Action is what a person wants done.
type Action string

// The actions.
const (
	Reset  Action = "reset"
	Unlock Action = "unlock"
	Change Action = "change"

	Register Action = "register" // to add and remove ways; every rule allows it, under the conditions of its Registration
)

// Policy is one version of the rules. Version counts from 1; Hash is of the text it was read from.
type Policy struct {
	Version   int64     `yaml:"-" json:"version"`
	Hash      string    `yaml:"-" json:"hash"`
	By        string    `yaml:"-" json:"by"`
	Applied   time.Time `yaml:"-" json:"applied"`
	Protected Protected `yaml:"protected" json:"protected"`
	Rules     []Rule    `yaml:"rules" json:"rules"`
}

// Protected names the people for whom the floor holds, and the floor.
type Protected struct {
	Groups []string `yaml:"groups" json:"groups"`
	People []string `yaml:"people" json:"people"` // user names
	Deny   bool     `yaml:"deny" json:"deny"`     // true: no self-service at all
	Proofs int      `yaml:"proofs" json:"proofs"` // at least; 2 when unset
	Not    []string `yaml:"not_kinds" json:"not_kinds"`
}

// Rule says what holds for the people it matches. Durations are Go durations; zero values take the default.
type Rule struct {
	Name       string   `yaml:"name" json:"name"`
	Groups     []string `yaml:"groups" json:"groups"`     // any of these; empty matches everybody
	Except     []string `yaml:"except" json:"except"`     // but none of these
	Networks   []string `yaml:"networks" json:"networks"` // start only from these prefixes; empty: anywhere
	Allow      []string `yaml:"allow" json:"allow"`       // reset, unlock, change; empty: all three
	Proofs     Needs    `yaml:"proofs" json:"proofs"`
	Kinds      []string `yaml:"kinds" json:"kinds"`       // allowed, in the order offered; empty: the default kinds
	Required   []string `yaml:"required" json:"required"` // one of the proofs must be of one of these
	Register   int      `yaml:"register" json:"register"` // how many methods to register; 0: as many as proofs to reset
	MinLength  int      `yaml:"min_length" json:"min_length"`
	OtherLogin bool     `yaml:"second_factor_at_sign_in" json:"second_factor_at_sign_in"` // the IdP demands a second factor: 8 characters may do
	Hold       *Span    `yaml:"hold_new" json:"hold_new"`                                 // how long a new destination rests
	HoldAfter  *Span    `yaml:"hold_after_reset" json:"hold_after_reset"`                 // how long adding and removing rests after a reset
	Mature     *Span    `yaml:"mature_after" json:"mature_after"`                         // when a way that was added in a session is the person's own

	Registration Registration `yaml:"registration" json:"registration"`
}

// Needs is how many proofs each action asks for; zero takes the default: 2 to reset, 1 to unlock, 1 to change (beside
// the current password).
type Needs struct {
	Reset  int `yaml:"reset" json:"reset"`
	Unlock int `yaml:"unlock" json:"unlock"`
	Change int `yaml:"change" json:"change"`
}

// Span is a duration written as 24h or 0s.
type Span time.Duration

// UnmarshalYAML reads a Go duration.
func (s *Span) UnmarshalYAML(n *yaml.Node) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 || d > 30*24*time.Hour {
		return fmt.Errorf("line %d: %q is no duration between 0s and 720h", n.Line, n.Value)
	}
	*s = Span(d)
	return nil
}

// DefaultHold is how long new destinations, and changes after a reset, rest.
const DefaultHold = 24 * time.Hour

// DefaultKinds are allowed where a rule names none, in the order in which most people have them at hand. Kinds that no provider is set up for are left out
// by the caller.
var DefaultKinds = []method.Kind{method.Passkey, method.Email, method.SMS, method.Voice, method.TOTP, method.HOTP, method.RecoveryCode, method.IDP}

// Default is the policy of a new deployment: everybody, two proofs.
func Default() Policy { return Policy{Rules: []Rule{{Name: "everyone"}}} }

// MaxText is the largest policy text read, in bytes.
const MaxText = 256 << 10

// Parse reads a policy from YAML and reports every fault at once, each with its line or rule.
func Parse(text []byte) (Policy, error) {
	var p Policy
	if len(text) > MaxText {
		return p, fmt.Errorf("policy: %d bytes, at most %d", len(text), MaxText)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("policy: %w", err)
	}
	sum := sha256.Sum256(text)
	p.Hash = hex.EncodeToString(sum[:])
	return p, p.Check()
}

// Check reports every fault of the policy at once.
func (p Policy) Check() error {
	var bad []error
	fault := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if len(p.Rules) == 0 {
		fault("rules: none; nobody could reset (write one rule without groups for everybody)")
	}
	if n := p.Protected.Proofs; n < 0 || n > 3 {
		fault("protected.proofs: want 1 to 3, have %d", n)
	}
	for _, k := range p.Protected.Not {
		if !method.Kind(k).Known() {
			fault("protected.not_kinds: no kind %q", k)
		}
	}
	seen := map[string]bool{}
	for i, r := range p.Rules {
		name := r.Name
		if name == "" {
			name = fmt.Sprintf("rule %d", i+1)
			fault("%s: name is missing", name)
		}
		if seen[name] {
			fault("%s: a second rule of that name", name)
		}
		seen[name] = true
		for _, n := range []int{r.Proofs.Reset, r.Proofs.Unlock, r.Proofs.Change} {
			if n < 0 || n > 3 {
				fault("%s: proofs: want 1 to 3, have %d", name, n)
			}
		}
		if (r.Proofs.Reset == 1) && len(r.Groups) == 0 {
			fault("%s: one proof to reset must name the groups it is for", name)
		}
		for _, k := range slices.Concat(r.Kinds, r.Required) {
			switch {
			case !method.Kind(k).Known():
				fault("%s: no kind %q", name, k)
			case method.Kind(k) == method.External:
				fault("%s: %s cannot be proved here", name, k)
			}
		}
		for _, a := range r.Allow {
			if a != string(Reset) && a != string(Unlock) && a != string(Change) {
				fault("%s: allow: %q is not reset, unlock or change", name, a)
			}
		}
		for _, n := range r.Networks {
			if _, err := netip.ParsePrefix(n); err != nil {
				fault("%s: networks: %q is no prefix like 10.0.0.0/8", name, n)
			}
		}
		floor := MinSingle
		if r.OtherLogin {
			floor = MinWithSecond
		}
		if r.MinLength != 0 && (r.MinLength < floor || r.MinLength > 128) {
			fault("%s: min_length: want %d to 128, have %d (8 needs second_factor_at_sign_in: true)", name, floor, r.MinLength)
		}
		if r.Register < 0 || r.Register > 5 {
			fault("%s: register: want 0 to 5, have %d", name, r.Register)
		}
		for _, err := range r.Registration.check() {
			fault("%s: registration: %w", name, err)
		}
	}
	return errors.Join(bad...)
}

// The least lengths of a password, in characters (NIST SP 800-63B-4 §3.1.1.2).
const (
	MinSingle     = 15 // the password is the only factor
	MinWithSecond = 8  // the identity provider asks for a second factor
)

// Standing is everything about a person that a decision depends on.
type Standing struct {
	UserName string
	Groups   []account.Membership
	Network  netip.Addr // where the attempt started
}

// Decision is what the policy asks of one person for one action.
type Decision struct {
	Version   int64         `json:"version"`
	Rule      string        `json:"rule"`
	Allowed   bool          `json:"allowed"`
	Why       string        `json:"why,omitempty"` // not_in_scope, action, network, protected
	Proofs    int           `json:"proofs"`
	Kinds     []method.Kind `json:"kinds"`
	Required  []method.Kind `json:"required,omitempty"`
	MinLength int           `json:"min_length"`
	HoldNew   time.Duration `json:"hold_new"`
	HoldAfter time.Duration `json:"hold_after"`
	Protected bool          `json:"protected,omitempty"`

	Registration Registering `json:"registration"`
}

// Decide applies the first matching rule. A group from a connector that is not trusted for it can only select a
// stricter rule: the decision without such groups is made as well, and the stricter of both holds.
func (p Policy) Decide(s Standing, a Action) Decision {
	d := p.decide(s, a, s.Groups)
	trusted := slices.DeleteFunc(slices.Clone(s.Groups), func(m account.Membership) bool { return !m.Trusted })
	if len(trusted) != len(s.Groups) {
		d = Stricter(d, p.decide(s, a, trusted))
	}
	return d
}

func (p Policy) decide(s Standing, a Action, groups []account.Membership) Decision {
	in := func(names []string) bool {
		return slices.ContainsFunc(groups, func(m account.Membership) bool {
			return slices.ContainsFunc(names, func(n string) bool { return account.Fold(n) == account.Fold(m.Group) })
		})
	}
	// Whether somebody is protected may rest on any group, trusted or not: protection only makes stricter.
	protected := slices.ContainsFunc(p.Protected.People, func(n string) bool { return account.Fold(n) == account.Fold(s.UserName) }) ||
		slices.ContainsFunc(s.Groups, func(m account.Membership) bool {
			return slices.ContainsFunc(p.Protected.Groups, func(n string) bool { return account.Fold(n) == account.Fold(m.Group) })
		})
	d := Decision{Version: p.Version, Why: "not_in_scope", Protected: protected}
	for _, r := range p.Rules {
		if (len(r.Groups) > 0 && !in(r.Groups)) || in(r.Except) {
			continue
		}
		d = r.decision(p.Version, a, s.Network)
		break
	}
	if !protected {
		return d
	}
	d.Protected = true
	if p.Protected.Deny {
		d.Allowed, d.Why = false, "protected"
	}
	d.Proofs = max(d.Proofs, p.Protected.Proofs, 2)
	d.MinLength = max(d.MinLength, MinSingle)
	d.Kinds = slices.DeleteFunc(slices.Clone(d.Kinds), func(k method.Kind) bool { return slices.Contains(p.Protected.Not, string(k)) })
	return d
}

func (r Rule) decision(version int64, a Action, from netip.Addr) Decision {
	d := Decision{Version: version, Rule: r.Name, Allowed: true, MinLength: r.MinLength, HoldNew: DefaultHold, HoldAfter: DefaultHold, Kinds: kinds(r.Kinds), Required: kinds(r.Required)}
	if len(r.Kinds) == 0 {
		d.Kinds = slices.Clone(DefaultKinds)
	}
	if d.MinLength == 0 {
		d.MinLength = MinSingle
		if r.OtherLogin {
			d.MinLength = MinWithSecond
		}
	}
	if r.Hold != nil {
		d.HoldNew = time.Duration(*r.Hold)
	}
	if r.HoldAfter != nil {
		d.HoldAfter = time.Duration(*r.HoldAfter)
	}
	d.Registration = r.registering()
	if a == Register {
		// Where a try may start says nothing of where ways may be registered: that has networks of its own.
		d.Proofs = cmp.Or(r.Proofs.Reset, 2)
		if !within(r.Registration.Networks, from) {
			d.Allowed, d.Why = false, "network"
		}
		return d
	}
	switch a {
	case Reset:
		d.Proofs = r.Proofs.Reset
		if d.Proofs == 0 {
			d.Proofs = 2
		}
	case Unlock:
		d.Proofs = max(r.Proofs.Unlock, 1)
	case Change:
		d.Proofs = max(r.Proofs.Change, 1)
	}
	if len(r.Allow) > 0 && !slices.Contains(r.Allow, string(a)) {
		d.Allowed, d.Why = false, "action"
	}
	if !within(r.Networks, from) {
		d.Allowed, d.Why = false, "network"
	}
	return d
}

// within reports whether an address is in one of the networks, or none is named.
func within(networks []string, from netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(n string) bool {
		prefix, err := netip.ParsePrefix(n)
		return err == nil && from.IsValid() && prefix.Contains(from.Unmap())
	})
}

func kinds(names []string) []method.Kind {
	var out []method.Kind
	for _, n := range names {
		out = append(out, method.Kind(n))
	}
	return out
}

// Stricter joins two decisions so that both are kept: more proofs, fewer kinds, the longer password and the longer
// hold, and no where either says no.
func Stricter(a, b Decision) Decision {
	out := a
	if a.Allowed && !b.Allowed {
		out.Allowed, out.Why = false, b.Why
	}
	out.Version = max(a.Version, b.Version)
	if b.Rule != "" && !strings.Contains(a.Rule, b.Rule) {
		out.Rule = strings.TrimPrefix(a.Rule+" + "+b.Rule, " + ")
	}
	out.Proofs = max(a.Proofs, b.Proofs)
	out.MinLength = max(a.MinLength, b.MinLength)
	out.HoldNew = max(a.HoldNew, b.HoldNew)
	out.HoldAfter = max(a.HoldAfter, b.HoldAfter)
	out.Protected = a.Protected || b.Protected
	out.Registration = stricterRegistering(a.Registration, b.Registration)
	out.Kinds = slices.DeleteFunc(slices.Clone(a.Kinds), func(k method.Kind) bool { return !slices.Contains(b.Kinds, k) })
	switch {
	case len(a.Required) == 0:
		out.Required = slices.Clone(b.Required)
	case len(b.Required) > 0:
		out.Required = slices.DeleteFunc(slices.Clone(a.Required), func(k method.Kind) bool { return !slices.Contains(b.Required, k) })
		if len(out.Required) == 0 { // nothing satisfies both: refuse rather than let one rule fall away
			out.Allowed, out.Why = false, "action"
		}
	}
	return out
}

// Offered returns the union of kinds over all rules that may be a first proof, in the order first named: what a page
// may offer before it knows, or may tell, who is asking.
func (p Policy) Offered() []method.Kind {
	var out []method.Kind
	for _, r := range p.Rules {
		ks := kinds(r.Kinds)
		if len(ks) == 0 {
			ks = DefaultKinds
		}
		for _, k := range ks {
			if k.First() && !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	return out
}

// Most returns the most proofs any rule asks for the action: what a uniform page may say.
func (p Policy) Most(a Action) int {
	most := 0
	for _, r := range p.Rules {
		most = max(most, r.decision(0, a, netip.Addr{}).Proofs)
	}
	return max(most, p.Protected.Proofs, 1)
}
