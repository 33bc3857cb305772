package client

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// SetRedirects puts redirect URIs in the place of those there are. The sector of an app that knows people by a name of its
// own is their host: on another one it knows everybody by another name. Check says what is wrong with them.
func (a *App) SetRedirects(redirects []string) {
	a.Redirects = slices.Clone(redirects)
	a.sector()
}

// SetSubject makes the app know people by another kind of name.
func (a *App) SetSubject(s Subject) {
	a.Subject = s
	a.sector()
}

func (a *App) sector() {
	a.Sector = ""
	if a.Subject != Pairwise || len(a.Redirects) == 0 {
		return
	}
	if u, err := url.Parse(a.Redirects[0]); err == nil {
		a.Sector = u.Hostname()
	}
}

// SetAuth makes the app authenticate in one way. What it had for the other opens nothing any more; it needs a secret or a
// key of its own before it can ask again.
func (a *App) SetAuth(auth Auth) {
	if a.Auth == auth {
		return
	}
	a.Auth, a.Secrets, a.Keys = auth, nil, nil
}

// AddSecret gives the app another secret. Those it has work until keep, and not at all when that is not after the new one
// was made; the oldest goes when there are more than MaxTokens. An error when the app authenticates by a key.
func (a *App) AddSecret(k Token, keep time.Time) error {
	if a.Auth != AuthSecret {
		return fmt.Errorf("app %s authenticates by %q and has no secret", a.Key, a.Auth)
	}
	var kept []Token
	for _, old := range a.Secrets {
		if old.Expires = until(old.Expires, keep); old.Expires.After(k.Created) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	a.Secrets = kept[max(0, len(kept)-MaxTokens):]
	return a.Check()
}

// AddKey gives the app another key to sign its assertions with, as AddSecret does. An error when the app authenticates by a
// secret, or has the key already: the same one would end with the old and not take its place.
func (a *App) AddKey(k PublicKey, keep time.Time) error {
	if a.Auth != AuthKey {
		return fmt.Errorf("app %s authenticates by %q and has no key", a.Key, a.Auth)
	}
	if slices.ContainsFunc(a.LiveKeys(k.Created), func(o PublicKey) bool { return o.ID == k.ID || o.JWK == k.JWK }) {
		return fmt.Errorf("key %s: it is registered already", k.ID)
	}
	var kept []PublicKey
	for _, old := range a.Keys {
		if old.Expires = until(old.Expires, keep); old.Expires.After(k.Created) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, k)
	a.Keys = kept[max(0, len(kept)-MaxTokens):]
	return a.Check()
}

// LiveSecrets returns the secrets that open something at a time, oldest first.
func (a *App) LiveSecrets(now time.Time) []Token {
	return slices.DeleteFunc(slices.Clone(a.Secrets), func(k Token) bool { return !k.Expires.IsZero() && !k.Expires.After(now) })
}

// LiveKeys returns the keys whose assertions are taken at a time, oldest first.
func (a *App) LiveKeys(now time.Time) []PublicKey {
	return slices.DeleteFunc(slices.Clone(a.Keys), func(k PublicKey) bool { return !k.Expires.IsZero() && !k.Expires.After(now) })
}

// Disable lets the app ask no more, and sends nobody back to it, or takes that back. It reports whether that changed
// anything.
func (a *App) Disable(disabled bool) bool {
	changed := a.Disabled != disabled
	a.Disabled = disabled
	return changed
}
