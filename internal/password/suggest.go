package password

import (
	"crypto/rand"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minWords is how many words a suggestion has at least: four of 7,776 are 2^51 possibilities.
const minWords = 4

// Suggest returns a passphrase for the default rules: SuggestFor(lang, Rules{}, Lists{}).
func Suggest(lang string) string { return SuggestFor(lang, Rules{}, Lists{}) }

// SuggestFor returns a passphrase that Judge accepts under the rules: at least four words drawn evenly from 7,776 or more
// by crypto/rand, as many as the least length needs, with hyphens between. lang is "de" (or "de-AT" …) for German words;
// anything else gives English ones. The first letter is a capital and a digit stands at the end, so that a directory that
// counts kinds of characters takes it, too; nothing is claimed for them. Safe for concurrent use. Show it, never store it.
func SuggestFor(lang string, r Rules, lists Lists) string {
	list := wordsEn()
	if base, _, _ := strings.Cut(strings.ToLower(lang), "-"); base == "de" {
		list = wordsDe()
	}
	for {
		s := phrase(list, r.min())
		// By chance a draw may hold names of the person or stand in a list; a rule too tight for any phrase (at most 20
		// characters) must not keep us here.
		if utf8.RuneCountInString(s) > r.max() || len(Judge(s, r, lists)) == 0 {
			return s
		}
	}
}

func phrase(list []string, length int) string {
	var b strings.Builder
	for n := 0; n < minWords || utf8.RuneCountInString(b.String())+2 < length; n++ {
		w := list[draw(len(list))]
		if n == 0 {
			w = string(unicode.ToUpper(rune(w[0]))) + w[1:] // the lists are ASCII
		} else {
			b.WriteByte('-')
		}
		b.WriteString(w)
	}
	b.WriteByte('-')
	b.WriteByte(byte('2' + draw(8))) // 0 and 1 look like letters
	return b.String()
}

func draw(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic("password: " + err.Error()) // crypto/rand does not fail
	}
	return int(i.Int64())
}
