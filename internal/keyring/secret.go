package keyring

import "log/slog"

// LogValue returns "[redacted]".
func (redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }

// hidden keeps a value out of reach of fmt. Methods do not help where a secret lies in an unexported field of somebody's
// struct: there fmt reads the memory itself. It prints pointers it meets as addresses, except that a verb that does not
// suit (%s) makes it follow one pointer to a struct, array, slice or map: hence two.
type hidden[T any] struct{ p **T }

func hide[T any](v T) hidden[T] {
	p := &v
	return hidden[T]{&p}
}

func (h hidden[T]) isZero() bool { return h.p == nil }

// get returns the value; it panics when there is none.
func (h hidden[T]) get() T { return **h.p }

// Secret is a secret text, such as an SMTP password from the configuration, that shows itself only to Reveal. The zero
// value is the empty secret.
type Secret struct {
	redacted
	text hidden[string]
}

// NewSecret returns s as a secret.
func NewSecret(s string) Secret { return Secret{text: hide(s)} }

// Reveal returns the secret itself. Call it once, where it leaves the process.
func (s Secret) Reveal() string {
	if s.text.isZero() {
		return ""
	}
	return s.text.get()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// UnmarshalText takes the text as the secret, so that configuration can be read into it.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
