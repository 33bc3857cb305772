package client

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// App is a program that sends people here and gets them back. Links name it by its key and never by an address.
type App struct {
	ID       string
	Version  int64
	Key      string   // what return_to names: small letters, digits and dashes, 1 to 40
	Name     string   // what people read, 1 to 60 characters
	Returns  []string // where people may go back to; the first is where they do
	Disabled bool
	Created  time.Time
	Updated  time.Time
}

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
	if len(a.Returns) < 1 || len(a.Returns) > MaxReturns {
		return fmt.Errorf("%d addresses to go back to: want 1 to %d", len(a.Returns), MaxReturns)
	}
	for _, r := range a.Returns {
		if err := checkReturn(r); err != nil {
			return err
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
