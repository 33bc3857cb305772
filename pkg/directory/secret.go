package directory

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// redacted is what a Secret shows of itself.
const redacted = "[redacted]"

// Secret holds a password. Every way of printing or marshalling it gives a placeholder, also from inside an unexported
// field of a printed struct: the text lies behind pointers, which fmt does not follow there. It cannot be unmarshalled.
// Copies share the text. == compares identity and says nothing about the text; use Equal. The zero Secret is empty.
// Safe for concurrent use, Wipe excepted.
type Secret struct{ text *secretText }

// secretText is a second pointer, because fmt does follow the first one where it complains about a wrong verb: "%s" of a
// struct with an unexported Secret in it would print the bytes.
type secretText struct{ b *[]byte }

// NewSecret returns a Secret holding s.
func NewSecret(s string) Secret {
	b := []byte(s)
	return Secret{&secretText{&b}}
}

func (s Secret) bytes() []byte {
	if s.text == nil {
		return nil
	}
	return *s.text.b
}

// Reveal returns the text. Call it where the text is put on the wire, and nowhere else.
func (s Secret) Reveal() string { return string(s.bytes()) }

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return len(s.bytes()) == 0 }

// Equal compares two secrets in time that depends on their lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.bytes(), other.bytes()) == 1
}

// Wipe overwrites the text in this Secret and all its copies; it is empty afterwards. Strings that Reveal returned
// remain: Go gives no way to overwrite those. Not safe while another goroutine uses a copy.
func (s Secret) Wipe() {
	if s.text == nil {
		return
	}
	clear(*s.text.b)
	*s.text.b = nil
}

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// Format writes a placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Scrub returns text with every secret in it replaced by a placeholder: for messages of a server that may quote what it
// was sent. Empty secrets are ignored.
func Scrub(text string, secrets ...Secret) string {
	for _, s := range secrets {
		if !s.Empty() {
			text = strings.ReplaceAll(text, s.Reveal(), redacted)
		}
	}
	return text
}
