// Package notify is what goes out to people: letters by mail and text messages.
//
//	compose   CodeLetter, DoneLetter, … say what a letter holds, in keys of the catalogue
//	print     Printer.Mail and Printer.Text turn it into words, in the person's language and the organisation's name
//	send      SMTP.Send and Webhook.Send hand it over, once, and say how sure they are
//
// Post does all three for a row of work. Whoever calls a sender decides about trying again from KindOf(err): Temporary
// may be tried again, Permanent is a dead letter, Uncertain may have arrived. A notice is sent again when uncertain,
// under the same id; a text message, which costs money, is not.
package notify

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"

	"golang.org/x/net/idna"
)

// Kind says what a failed delivery means.
type Kind int

// The kinds. Uncertain is the zero value: an error nobody judged may have happened after the message was handed over.
const (
	Uncertain Kind = iota // handed over, no answer: it may have arrived
	Temporary             // not delivered; the same message may be accepted later
	Permanent             // refused for good, or not fit to be sent: a dead letter
)

func (k Kind) String() string {
	switch k {
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	}
	return "uncertain"
}

// Error is a delivery that failed. Its text is for operators and names no code and no secret; a mail server's answer,
// which it may quote, can name the address.
type Error struct {
	Kind  Kind
	Cause error
}

func (e *Error) Error() string { return e.Kind.String() + ": " + e.Cause.Error() }

func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns what an error of a sender or of the printer means for the next step.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Uncertain
}

func permanent(format string, args ...any) error {
	return &Error{Permanent, fmt.Errorf(format, args...)}
}

// ErrRecipient is a stored address that is not exactly one plain address.
var ErrRecipient = errors.New("not one plain address")

// Address returns the one address s holds, its domain in ASCII (RFC 5890). It refuses, with ErrRecipient, everything
// that could reach a second mailbox or a header: lists, names, comments, groups, routes, quoted local parts, address
// literals, spaces, control characters and invisible ones. At most 254 bytes (RFC 5321 §4.5.3.1).
func Address(s string) (string, error) {
	if len(s) > 254 {
		return "", fmt.Errorf("%w: %d bytes", ErrRecipient, len(s))
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r == '\uFFFD' || strings.ContainsRune(`,;:<>()[]\"`, r) || (r > 0x7f && !visible(r)) {
			return "", fmt.Errorf("%w: character %U", ErrRecipient, r)
		}
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || strings.Count(s, "@") != 1 {
		return "", ErrRecipient
	}
	local, domain, _ := strings.Cut(s, "@")
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || len(local) > 64 || !hostname.MatchString(strings.ToLower(ascii)) {
		return "", fmt.Errorf("%w: domain or length", ErrRecipient)
	}
	return local + "@" + ascii, nil
}

// hostname is a DNS name in lower-case ASCII without a trailing dot (RFC 1123 §2.1).
var hostname = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// e164 is a phone number with country code (ITU-T E.164).
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// plainID may stand left of the @ in a Message-ID (RFC 5322 §3.6.4) and in a webhook-id, which must hold no dot.
var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,120}$`)
