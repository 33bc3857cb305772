package method

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// What is wrong with a destination.
var (
	ErrAddress = errors.New("not one plain e-mail address in ASCII")
	ErrNumber  = errors.New("not one phone number that can be called")
	ErrPremium = errors.New("premium numbers, pagers and mailboxes take no codes")
)

// MaxAddress is the longest address, in bytes (RFC 5321 §4.5.3.1.3, less the brackets).
const MaxAddress = 254

// Address accepts one address and nothing else: no name, no list, no quoting, no comment, no second line. Codes go to what
// is accepted here, so everything two readers could read differently is ErrAddress.
func Address(value string) (string, error) {
	local, domain, ok := strings.Cut(value, "@")
	if !ok || len(value) > MaxAddress || len(local) > 64 || !dotted(local, isAtom) || !dotted(domain, isLabel) || !strings.Contains(domain, ".") {
		return "", ErrAddress
	}
	for label := range strings.SplitSeq(domain, ".") {
		if len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", ErrAddress
		}
	}
	return value, nil
}

// dotted reports whether s is parts of such bytes with single dots between them.
func dotted(s string, part func(byte) bool) bool {
	for p := range strings.SplitSeq(s, ".") {
		if p == "" {
			return false
		}
		for i := range len(p) {
			if !part(p[i]) {
				return false
			}
		}
	}
	return true
}

func isLabel(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// isAtom is atext of RFC 5322 §3.2.3.
func isAtom(c byte) bool { return isLabel(c) || strings.IndexByte("!#$%&'*+/=?^_`{|}~", c) >= 0 }

// Number reads a phone number as people write it and returns it in E.164; region is the country of one written without.
// Letters, extensions and numbers that exist nowhere are ErrNumber; those whose caller pays more than for a call are
// ErrPremium.
func Number(value, region string) (string, error) {
	text := strings.TrimPrefix(value, "tel:")
	if len(text) > 40 || strings.Trim(text, "0123456789+-.()/ ") != "" || strings.LastIndexByte(text, '+') > strings.IndexByte(text, '+') {
		return "", ErrNumber
	}
	n, err := phonenumbers.Parse(text, region)
	if err != nil || n.GetExtension() != "" || !phonenumbers.IsValidNumber(n) {
		return "", ErrNumber
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.PAGER, phonenumbers.UAN, phonenumbers.VOICEMAIL:
		return "", ErrPremium
	}
	to := phonenumbers.Format(n, phonenumbers.E164)
	if len(to) > 1+15 { // ITU-T E.164 §6.1; some numbering plans of the library know longer ones
		return "", ErrNumber
	}
	return to, nil
}
