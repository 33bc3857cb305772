package password

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// lookAlikes are the replacements everybody makes, and every cracking tool. 1 and ! stand for i and for l, so there are
// two readings.
var (
	lookAlikes = strings.NewReplacer("0", "o", "1", "i", "!", "i", "|", "i", "3", "e", "4", "a", "@", "a", "5", "s", "$", "s",
		"7", "t", "+", "t", "8", "b", "9", "g", "6", "g", "2", "z", "(", "c", "€", "e", "£", "l")
	lookAlikesL = strings.NewReplacer("1", "l", "!", "l", "|", "l")
)

// fold returns s as a guesser reads it: compatibility forms, case and accents gone.
func fold(s string) string {
	s = cases.Fold().String(norm.NFKD.String(s))
	return norm.NFC.String(strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Mn, c) {
			return -1
		}
		return c
	}, norm.NFKD.String(s)))
}

// reading is one way a guesser reads a password. plain is the folded text, in the direction of text: it tells which
// letters were typed as letters, and has as many characters.
type reading struct{ text, plain string }

// readings returns a password folded, with look-alikes undone in two ways, and all of them backwards.
func readings(pw string) []reading {
	f := fold(pw)
	var out []reading
	for _, text := range []string{f, lookAlikes.Replace(f), lookAlikes.Replace(lookAlikesL.Replace(f))} {
		if !slices.ContainsFunc(out, func(r reading) bool { return r.text == text }) {
			out = append(out, reading{text, f})
		}
	}
	for _, r := range out[:len(out):len(out)] {
		out = append(out, reading{reverse(r.text), reverse(r.plain)})
	}
	return out
}

func reverse(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

// maxCommon is as long as two entries of the list can be; a test holds it to the list.
const maxCommon = 40

// common reports whether a reading is a common password: as it is; without the digits and punctuation around it; or made
// of at most two common ones, or one repeated, with digits and punctuation anywhere. Three common words are no longer
// common: a passphrase of them is what we suggest.
func (r reading) common() bool {
	text, plain := []rune(r.text), []rune(r.plain)
	start, end := 0, len(text)
	for start < end && !unicode.IsLetter(plain[start]) {
		start++
	}
	for end > start && !unicode.IsLetter(plain[end-1]) {
		end--
	}
	for _, part := range [][]rune{text, text[start:], text[:end], text[start:end]} {
		if listed(string(part)) {
			// What was cut off may be long and random: "love" and twelve digits is not "love".
			if 3*len(part) >= len(text) {
				return true
			}
		}
	}
	var letters []rune
	for i, c := range text {
		if unicode.IsLetter(plain[i]) {
			letters = append(letters, c)
		}
	}
	return 3*len(letters) >= len(text) && len(letters) >= minWord && listed(string(letters))
}

// listed reports whether s is a common password, one repeated, or two.
func listed(s string) bool {
	s = repeated(s)
	if len(s) > maxCommon {
		return false
	}
	if isCommon(s) {
		return true
	}
	// Shorter entries are left out of pairs: nearly any text is made of them.
	for i := minWord; i <= len(s)-minWord; i++ {
		if isCommon(s[:i]) && isCommon(s[i:]) {
			return true
		}
	}
	return false
}

// repeated returns the shortest text of which s is a repetition, the last time perhaps cut; s itself if it is none.
func repeated(s string) string {
	if s == "" {
		return s
	}
	// The failure function of Knuth, Morris and Pratt: linear, whatever the input.
	fail := make([]int, len(s))
	for i, k := 1, 0; i < len(s); i++ {
		for k > 0 && s[i] != s[k] {
			k = fail[k-1]
		}
		if s[i] == s[k] {
			k++
		}
		fail[i] = k
	}
	if unit := len(s) - fail[len(s)-1]; unit <= len(s)/2 {
		return s[:unit]
	}
	return s
}

// minSteps is how many characters a password must have once each run counts as one.
const minSteps = 6

// minUnit is how many characters must repeat before a repetition counts as more than its unit.
const minUnit = 8

// isSimple reports whether a password is only repetition (aaaa, abc1abc1abc1) or runs along the alphabet, the digits or
// the keyboard (abcdefg, 987654, qwertz, 1qaz2wsx).
func isSimple(pw string) bool {
	s := fold(pw)
	if unit := repeated(s); unit != s && utf8.RuneCountInString(unit) < minUnit {
		return true
	}
	runs, r := 0, []rune(s)
	for i := 0; i < len(r); runs++ {
		i += max(run(r[i:], 0, 1), run(r[i:], 0, -1), keyboardRun(r[i:]))
	}
	return runs < minSteps
}

// run returns how long r goes on with steps of a or b: 111222333 is one run of 0 and 1. A run has at least three.
func run(r []rune, a, b rune) int {
	n := 1
	for n < len(r) && (r[n]-r[n-1] == a || r[n]-r[n-1] == b) {
		n++
	}
	if n < 3 {
		return 1
	}
	return n
}

// keyboard holds the rows and columns of the usual layouts, in both directions.
var keyboard = func() (rows []string) {
	for _, row := range []string{
		"qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "wxcvbn",
		"1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "1qay", "6zhn", "!qaz", "@wsx", "#edc",
		"!\"§$%&/()=", "!@#$%^&*()",
	} {
		rows = append(rows, row, reverse(row))
	}
	return rows
}()

// keyboardRun returns how long r follows a row or column of keys; at least three, else 1.
func keyboardRun(r []rune) int {
	best := 1
	for _, row := range keyboard {
		at := strings.IndexRune(row, r[0])
		if at < 0 {
			continue
		}
		n := 0
		for _, k := range row[at:] {
			if n == len(r) || r[n] != k {
				break
			}
			n++
		}
		if n >= 3 {
			best = max(best, n)
		}
	}
	return best
}
