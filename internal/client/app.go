package client

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// App is a program that sends people here and gets them back. Links name it by its key and never by an address.
type App struct {
	ID       string
	Version  int64
	Key      string   // what return_to names: small letters, digits and dashes, 1 to 40
	Name     string   // what people read, 1 to 60 characters
	Returns  []string // where people may go back to by a plain link; the first is where they do
	Disabled bool
	Created  time.Time
	Updated  time.Time

	// What follows is for an app that asks by OpenID Connect and gets a signed answer; without redirects it does not.
	Redirects []string    // redirect URIs, compared to the letter (RFC 9700 §2.1)
	Actions   []Action    // what it may ask for
	Auth      Auth        // how it authenticates
	Secrets   []Token     // of Auth secret: at most MaxTokens live, so that they can be rotated
	Keys      []PublicKey // of Auth private_key_jwt: at most MaxTokens
	Alg       string      // of its ID tokens: RS256, ES256 or EdDSA
	Subject   Subject     // what it gets to know people by
	Sector    string      // host of the redirect URIs: apps of one sector know a person by one name (OIDC Core §8.1)
	Initiate  string      // where somebody whose try expired may start again; "" for nowhere (OIDC Core §4)
	PushOnly  bool        // takes pushed requests only (RFC 9126 §6)
}

// Action is what an app may ask for. As a scope it is "regain." and the action.
type Action string

// The actions.
const (
	ActionReset    Action = "reset"    // a forgotten password
	ActionChange   Action = "change"   // a known one
	ActionUnlock   Action = "unlock"   // an account locked after wrong tries
	ActionRegister Action = "register" // the ways by which somebody proves who they are
)

// Actions are all of them, in the order in which they are told.
var Actions = []Action{ActionReset, ActionChange, ActionUnlock, ActionRegister}

// Auth is how an app authenticates at the token endpoint (OIDC Core §9).
type Auth string

// The ways. A secret is sent in the header or the body, as the app's library does it.
const (
	AuthSecret Auth = "client_secret"
	AuthKey    Auth = "private_key_jwt"
)

// PublicKey is one key an app signs its assertions with.
type PublicKey struct {
	ID      string    `json:"kid"` // thumbprint (RFC 7638), unless the app named it
	JWK     string    `json:"jwk"` // RFC 7517, public members only
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"` // zero: no end
}

// Subject is what an app gets to know people by (OIDC Core §8).
type Subject string

// The subjects.
const (
	Pairwise Subject = "pairwise" // another name for a person in every sector
	Public   Subject = "public"   // the person's id, as SCIM knows it
)

// Asks reports whether the app asks by OpenID Connect.
func (a *App) Asks() bool { return len(a.Redirects) > 0 }

// MaxReturns is how many addresses one app may have.
const MaxReturns = 10

var keyForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// IsKey reports whether s has the form of a key.
func IsKey(s string) bool { return keyForm.MatchString(s) }

// KeyOf makes a key of a name: what is no letter or digit becomes a dash. "" when nothing is left.
func KeyOf(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
			b.WriteByte('-')
		}
	}
	key := strings.Trim(b.String(), "-")
	return strings.Trim(key[:min(len(key), 40)], "-")
}

// Check reports the first thing wrong with the app.
func (a *App) Check() error {
	if !keyForm.MatchString(a.Key) {
		return fmt.Errorf("key %q: want 1 to 40 small letters, digits or dashes", a.Key)
	}
	if n := len([]rune(a.Name)); n < 1 || n > 60 || strings.ContainsFunc(a.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("name %q: want 1 to 60 characters on one line", a.Name)
	}
	if n := len(a.Returns) + len(a.Redirects); n < 1 || len(a.Returns) > MaxReturns || len(a.Redirects) > MaxReturns {
		return fmt.Errorf("%d addresses to go back to: want at least 1, and at most %d of a kind", n, MaxReturns)
	}
	for _, r := range a.Returns {
		if err := checkReturn(r); err != nil {
			return err
		}
	}
	if !a.Asks() {
		if len(a.Actions)+len(a.Secrets)+len(a.Keys) > 0 || a.Auth != "" || a.Alg != "" || a.Subject != "" || a.Sector != "" || a.Initiate != "" || a.PushOnly {
			return errors.New("no redirect URI: without one an app asks for nothing, and has no way to authenticate")
		}
		return nil
	}
	return a.checkAsking()
}

// checkAsking reports the first thing wrong with what an app needs to ask by OpenID Connect.
func (a *App) checkAsking() error {
	for i, r := range a.Redirects {
		if err := checkReturn(r); err != nil {
			return err
		}
		if slices.Contains(a.Redirects[:i], r) {
			return fmt.Errorf("redirect URI %q: want each once", r)
		}
		u, err := url.Parse(r)
		if err != nil || u.Host != strings.ToLower(u.Host) { // browsers write a host in small letters, and sectors are compared
			return fmt.Errorf("redirect URI %q: want the host in small letters", r)
		}
		for _, ours := range []string{"code", "state", "iss", "error", "error_description"} {
			if u.Query().Has(ours) { // the answer would have it twice, and which one counts is chance
				return fmt.Errorf("redirect URI %q: %s is added by the answer", r, ours)
			}
		}
		if a.Subject == Pairwise && u.Hostname() != a.Sector {
			return fmt.Errorf("redirect URI %q: all must be on one host (%s), or people would have two names at one app", r, a.Sector)
		}
	}
	if len(a.Actions) == 0 {
		return errors.New("no action: want at least one of reset, change, unlock and register")
	}
	for i, x := range a.Actions {
		if !slices.Contains(Actions, x) || slices.Contains(a.Actions[:i], x) {
			return fmt.Errorf("action %q: want reset, change, unlock or register, each once", x)
		}
	}
	if err := a.checkCredentials(); err != nil {
		return err
	}
	switch a.Alg {
	case "RS256", "ES256", "EdDSA":
	default:
		return fmt.Errorf("algorithm %q: want RS256, ES256 or EdDSA", a.Alg)
	}
	if a.Subject != Pairwise && a.Subject != Public {
		return fmt.Errorf("subject %q: want %s or %s", a.Subject, Pairwise, Public)
	}
	if a.Initiate != "" {
		return checkReturn(a.Initiate)
	}
	return nil
}

// checkCredentials reports the first thing wrong with what an app authenticates by.
func (a *App) checkCredentials() error {
	switch {
	case a.Auth != AuthSecret && a.Auth != AuthKey:
		return fmt.Errorf("authentication %q: want %s or %s", a.Auth, AuthSecret, AuthKey)
	case len(a.Secrets) > MaxTokens || len(a.Keys) > MaxTokens:
		return fmt.Errorf("at most %d secrets or keys live at a time", MaxTokens)
	}
	for _, k := range a.Secrets {
		if len(k.Hash) != sha256.Size {
			return fmt.Errorf("a secret whose hash is %d bytes long", len(k.Hash)) // none matches it, and an empty one must match nothing
		}
	}
	for i, k := range a.Keys {
		if err := k.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(a.Keys[:i], func(o PublicKey) bool { return o.ID == k.ID }) {
			return fmt.Errorf("key %s: it is registered already", k.ID)
		}
	}
	return nil
}

// Longest parts of a public key.
const (
	maxKeyID = 200
	maxJWK   = 4 << 10
)

// private are the members of a JWK that are secret (RFC 7518 §6).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

func (k PublicKey) check() error {
	if k.ID == "" || len(k.ID) > maxKeyID || !visible(k.ID) {
		return fmt.Errorf("key id %q: want 1 to %d characters without spaces", k.ID, maxKeyID)
	}
	var members map[string]any
	if len(k.JWK) > maxJWK || json.Unmarshal([]byte(k.JWK), &members) != nil {
		return fmt.Errorf("key %s: want a JWK of at most %d bytes", k.ID, maxJWK)
	}
	switch members["kty"] {
	case "RSA", "EC", "OKP":
	default:
		return fmt.Errorf("key %s: want a public key, of type RSA, EC or OKP", k.ID)
	}
	for _, name := range private {
		if _, there := members[name]; there {
			return fmt.Errorf("key %s: that is the private key, which stays with the app", k.ID)
		}
	}
	return nil
}

// checkReturn takes https, or http on loopback, without user, fragment or anything a browser reads another way.
func checkReturn(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" || len(s) > 500 || strings.ContainsAny(s, "\\ \t\r\n") || u.String() != s {
		return fmt.Errorf("address %q: want https://host/path without user or fragment", s)
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("address %q: want https; http is for loopback only", s)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
