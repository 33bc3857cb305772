package password

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minWord is the least length of a word in characters: shorter ones stand in too many others.
const minWord = 4

// minFuzzy is from which length on a word is also found with one character wrong, missing or added.
const minFuzzy = 6

// maxWord and maxFuzzy bound the work: longer words are cut, longer passwords are searched exactly only.
const (
	maxWord  = 64
	maxFuzzy = 128
)

var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "ß", "ss")

// words splits names, logins and addresses into the words to look for, folded, longest first. "Müller-Lüdenscheidt" gives
// its parts and the whole, each with ü as u and as ue.
func words(names []string, most int) []string {
	seen := map[string]bool{}
	var out []string
	add := func(w string) {
		if r := []rune(w); len(r) > maxWord {
			w = string(r[:maxWord])
		} else if len(r) < minWord {
			return
		}
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	for _, name := range names[:min(len(names), most)] {
		if len(name) > 4*maxWord {
			name = strings.ToValidUTF8(name[:4*maxWord], "")
		}
		for _, spelling := range []string{name, umlauts.Replace(name)} {
			f := fold(spelling)
			local, domain, address := strings.Cut(f, "@")
			parts := strings.FieldsFunc(local, notWord)
			for _, p := range parts {
				add(p)
			}
			add(strings.Join(parts, ""))
			if address {
				labels := strings.FieldsFunc(domain, notWord)
				for _, l := range labels[:max(0, len(labels)-1)] { // the last says nothing: com, example
					add(l)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return out
}

func notWord(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }

// judgeWords scores every reading of a password and reports whether the lowest score is enough. own says that words of the
// person took it below, not only the organisation's. A password with none of the words is not judged here.
func judgeWords(readings []reading, organisation, personal []string, want int) (own, ok bool) {
	for _, r := range readings {
		rest, mine := take(r.text, personal)
		rest, theirs := take(rest, organisation)
		if mine+theirs == 0 {
			continue
		}
		score, plain := mine+theirs, []rune(r.plain)
		for i, c := range []rune(rest) {
			if c != taken && unicode.IsLetter(plain[i]) {
				score++
			}
		}
		if score < want {
			return mine > 0, false
		}
	}
	return false, true
}

// taken stands for each character of a word that was found, so that what is left and right of it does not become a word
// and places stay comparable. It is no character: nothing that folds gives it.
const taken = utf8.MaxRune

// take marks the words in s and returns it with how many were found.
func take(s string, words []string) (rest string, found int) {
	for _, w := range words {
		if n := strings.Count(s, w); n > 0 {
			found += n
			s = strings.ReplaceAll(s, w, strings.Repeat(string(taken), utf8.RuneCountInString(w)))
		}
	}
	if utf8.RuneCountInString(s) > maxFuzzy {
		return s, found
	}
	for _, w := range words {
		word := []rune(w)
		if len(word) < minFuzzy {
			continue
		}
		// With one character wrong, one half of the word is whole: most words end here.
		if half := len(word) / 2; !strings.Contains(s, string(word[:half])) && !strings.Contains(s, string(word[half:])) {
			continue
		}
		for text := []rune(s); ; found++ {
			from, to, ok := near(text, word)
			if !ok {
				s = string(text)
				break
			}
			for i := from; i < to; i++ {
				text[i] = taken
			}
		}
	}
	return s, found
}

// near finds w in s with at most one character replaced, missing or added.
func near(s, w []rune) (from, to int, ok bool) {
	for i := range s {
		for _, n := range [...]int{len(w), len(w) - 1, len(w) + 1} {
			if i+n <= len(s) && oneOff(s[i:i+n], w) {
				return i, i + n, true
			}
		}
	}
	return 0, 0, false
}

func oneOff(s, w []rune) bool {
	left := 0
	for left < len(s) && left < len(w) && s[left] == w[left] {
		left++
	}
	right := 0
	for right < len(s)-left && right < len(w)-left && s[len(s)-1-right] == w[len(w)-1-right] {
		right++
	}
	return max(len(s), len(w))-left-right <= 1 && !slices.Contains(s, taken)
}
