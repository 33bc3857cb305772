package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time written with its unit: 90s, 10m, 24h, 7d, 1h30m. A bare number is refused, because nobody
// can tell whether 30 means seconds or minutes; only 0 needs none.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d as UnmarshalText reads it.
func (d Duration) String() string {
	if day := Duration(24 * time.Hour); d != 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := time.Duration(d).String() // 1h0m0s
	for _, tail := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, tail) {
			s = s[:len(s)-2]
		}
	}
	return s
}

var days = regexp.MustCompile(`^(\d{1,5})d`)

// UnmarshalText reads a duration of zero or more.
func (d *Duration) UnmarshalText(b []byte) error {
	text, whole := string(b), time.Duration(0)
	if m := days.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		whole, text = time.Duration(n)*24*time.Hour, text[len(m[0]):]
		if text == "" {
			*d = Duration(whole)
			return nil
		}
	}
	part, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("want a time with its unit, such as 30s, 10m, 24h or 7d")
	}
	if part < 0 || whole > math.MaxInt64-part {
		return errors.New("want a time from now on, not before")
	}
	*d = Duration(whole + part)
	return nil
}

// Size is a number of bytes written with its unit: 512B, 64KiB, 1MiB, 2GiB (steps of 1024) or 64kB, 1MB (of 1000).
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1}}

// String writes s as UnmarshalText reads it, in the largest step of 1024 that is exact.
func (s Size) String() string {
	for _, u := range units {
		if n := int64(s); strings.HasSuffix(u.name, "iB") && n != 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// UnmarshalText reads a size of zero or more.
func (s *Size) UnmarshalText(b []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(b), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return errors.New("want a size with its unit, such as 64KiB or 1MiB")
}

// hidden is what a secret shows instead of itself.
const hidden = "(hidden)"

// Secret is a value that no log, error or print shows: every way of printing it gives "(hidden)", or nothing when it is
// empty. The zero value is no secret.
type Secret struct {
	value string
	file  string // where it was read from; "" when it was given directly
}

// NewSecret returns a secret that was not read from a file.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the secret itself. The caller must not print or keep it.
func (s Secret) Reveal() string { return s.value }

// Set reports whether there is a secret.
func (s Secret) Set() bool { return s.value != "" }

// String returns "(hidden)", or "" when there is none.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return hidden
}

// Format keeps every verb of fmt from the value, also %#v and %d.
func (s Secret) Format(w fmt.State, _ rune) { io.WriteString(w, s.String()) }

// LogValue keeps the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps the value from encoders; so a Secret cannot be written and read back by one.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// DSN names a database. Its print shows the host and the name but not the password.
type DSN struct{ Secret }

// Postgres reports whether the database is PostgreSQL; else it is the path of a SQLite file.
func (d DSN) Postgres() bool {
	return strings.HasPrefix(d.value, "postgres://") || strings.HasPrefix(d.value, "postgresql://")
}

// String returns the DSN without what lets anybody in. Query parameters are left out: pgx takes a password there too.
func (d DSN) String() string {
	if !d.Postgres() {
		return d.value
	}
	u, err := url.Parse(d.value)
	if err != nil {
		return hidden
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if name := u.User.Username(); name != "" {
		shown.User = url.User(name)
	}
	return shown.String()
}

// Format keeps every verb of fmt from the password.
func (d DSN) Format(w fmt.State, _ rune) { io.WriteString(w, d.String()) }

// LogValue keeps the password from slog.
func (d DSN) LogValue() slog.Value { return slog.StringValue(d.String()) }

// MarshalText keeps the password from encoders.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Texts is one text for everybody, under the key "", or one for each language.
type Texts map[string]string

// In returns the text in the first of the wanted languages that has one, then the one for everybody, then that of the
// first language in the alphabet; "" when there is none. A wanted de-AT also takes de.
func (t Texts) In(wanted ...string) string {
	for _, tag := range wanted {
		if text, ok := t[tag]; ok {
			return text
		}
		if base, _, ok := strings.Cut(tag, "-"); ok && t[base] != "" {
			return t[base]
		}
	}
	if text, ok := t[""]; ok || len(t) == 0 {
		return text
	}
	return t[slices.Min(slices.Collect(maps.Keys(t)))]
}
