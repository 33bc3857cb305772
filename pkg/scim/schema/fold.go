package schema

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the key by which strings that are not caseExact are compared and ordered: Unicode full case folding
// between two passes of NFC. A store that keeps keys in columns must use this function, or sqlfilter.Compiler.Fold.
func Fold(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 {
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
		} else if 'A' <= c && c <= 'Z' {
			return foldASCII(s, i)
		}
	}
	return s
}

func foldASCII(s string, from int) string {
	b := []byte(s)
	for i := from; i < len(b); i++ {
		switch c := b[i]; {
		case c >= 0x80:
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Key returns the comparison key of a string value of attribute a.
func (a *Attribute) Key(s string) string {
	if a.CaseExact {
		return s
	}
	return Fold(s)
}
