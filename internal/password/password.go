// Package password judges a new password before it goes to a directory, offline, and says beforehand what it will ask.
//
// The rules are those of NIST SP 800-63B-4 §3.1.1.2: a length in characters, and lists. There are no composition rules
// and nothing expires. What a directory demands in addition is the directory's: Describe shows it beside ours.
//
//	Normalise ── length ── characters ── simple ── commonest ── organisation, personal ── breached
//
// A password is refused as common not only as it stands in the list: capitals, accents, look-alikes (p@ssw0rd), digits
// and punctuation around or between, backwards, and two common ones together are the same to whoever guesses.
//
// Words of the organisation and of the person do not forbid a password, they only count for little: as Entra's banned
// list does, each one found scores 1 and each letter that is left scores 1. Unlike Entra's, digits and punctuation score
// nothing, and the score wanted is half the least length rounded up, at least 5 (Entra: 5): "Contoso-Summer-2026!" fails.
package password

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/regain-id/regain/internal/message"
)

// Lengths in characters (Unicode code points after Normalise; an emoji may be several).
const (
	DefaultMinLength = 15   // NIST SP 800-63B-4 §3.1.1.2: a password that is the only factor
	LeastMinLength   = 8    // the same: one that is used only together with another factor
	MaxLength        = 1024 // directories set their own, lower limits
)

// maxBytes bounds the work before any is done. Each character takes at most 4 bytes; a decomposed form takes more, and
// nobody types 1,024 of those.
const maxBytes = 4 * MaxLength

// Rules are what a new password must satisfy. The zero value means 15 to 1,024 characters and no words.
type Rules struct {
	MinLength    int      // 0 means 15; less than 8 means 8
	MaxLength    int      // 0 or more than 1,024 means 1,024
	Organisation []string // names of organisation, brands, places, products; the first 1,000 count
	Personal     []string // names, login, addresses of the person; the first 100 count
}

func (r Rules) min() int {
	switch {
	case r.MinLength == 0:
		return DefaultMinLength
	case r.MinLength < LeastMinLength:
		return LeastMinLength
	}
	return r.MinLength
}

func (r Rules) max() int {
	if r.MaxLength <= 0 || r.MaxLength > MaxLength {
		return MaxLength
	}
	return r.MaxLength
}

// Lists are the lists beside the embedded one. The zero value has none.
type Lists struct {
	Breached *Breached  // nil when no file was imported
	Refused  *Blocklist // the operator's own; nil for none
}

// Code names the rule that was violated.
type Code string

// The codes.
const (
	TooShort         Code = "too_short"
	TooLong          Code = "too_long"
	BadCharacters    Code = "bad_characters"
	Simple           Code = "simple"       // repetition and sequences only
	Common           Code = "common"       // among the commonest, or such a one in disguise
	OrganisationWord Code = "organisation" // little more than names of the organisation
	PersonalWord     Code = "personal"     // little more than names of the person
	InBreach         Code = "breached"     // in the breached passwords
	Unchecked        Code = "unchecked"    // the breached passwords could not be read: refused, not waved through
)

// Violation is one rule a password breaks, and how to say so. It never holds a part of the password.
type Violation struct {
	Code    Code
	Message message.Message
}

// Normalise returns the form in which a password is judged and written: Unicode normalisation form C, so that é typed as
// one character or as e with an accent is one password on every keyboard. Nothing is trimmed, folded or cut. NIST asks
// for NFKC or NFKD; C is chosen because those change characters a person can see (ﬁ, ²), which the directory's other
// doors would not, and the person could not sign in there.
func Normalise(s string) string { return norm.NFC.String(s) }

// Judge returns every rule the password breaks, none when it may be used. It does not touch the network, takes at most a
// few milliseconds for any input, and never keeps or returns the password. pw need not be normalised; what is written
// must be Normalise(pw). Safe for concurrent use.
func Judge(pw string, r Rules, lists Lists) []Violation {
	tooLong := Violation{TooLong, message.Key("password.too_long", "Max", r.max())}
	if len(pw) > maxBytes {
		return []Violation{tooLong}
	}
	var out []Violation
	if !utf8.ValidString(pw) {
		return append(out, Violation{BadCharacters, message.Key("password.bad_characters")})
	}
	pw = Normalise(pw)
	n := utf8.RuneCountInString(pw)
	if n > r.max() {
		out = append(out, tooLong)
	}
	if n < r.min() {
		out = append(out, Violation{TooShort, message.Key("password.too_short", "Min", r.min())})
	}
	if strings.ContainsFunc(pw, forbidden) {
		out = append(out, Violation{BadCharacters, message.Key("password.bad_characters")})
	}
	if n == 0 {
		return out
	}
	readings := readings(pw)
	switch {
	case isSimple(pw):
		out = append(out, Violation{Simple, message.Key("password.simple")})
	case slices.ContainsFunc(readings, reading.common):
		out = append(out, Violation{Common, message.Key("password.common")})
	case lists.Refused != nil && slices.ContainsFunc(readings, lists.Refused.has):
		out = append(out, Violation{Common, message.Key("password.common")})
	}
	organisation, personal := words(r.Organisation, 1000), words(r.Personal, 100)
	// Word by word an address may look long: its domain is nobody's name.
	whole := slices.ContainsFunc(r.Personal[:min(len(r.Personal), 100)], func(own string) bool { return strings.EqualFold(strings.TrimSpace(own), strings.TrimSpace(pw)) })
	if whole {
		out = append(out, Violation{PersonalWord, message.Key("password.personal")})
	} else if own, ok := judgeWords(readings, organisation, personal, max(5, (r.min()+1)/2)); !ok {
		if own {
			out = append(out, Violation{PersonalWord, message.Key("password.personal")})
		} else {
			out = append(out, Violation{OrganisationWord, message.Key("password.organisation")})
		}
	}
	if lists.Breached != nil {
		found, err := lists.Breached.Contains(pw)
		switch {
		case err != nil:
			out = append(out, Violation{Unchecked, message.Key("password.unchecked")})
		case found:
			out = append(out, Violation{InBreach, message.Key("password.breached")})
		}
	}
	return out
}

// forbidden characters cannot be typed at every sign-in, or end a string in some directory. Format characters are
// allowed: emoji and several scripts need them.
func forbidden(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c == utf8.RuneError
}
