package keyring

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Hash returns a keyed hash of parts for one purpose: 32 bytes that are equal when the parts are and tell nothing of
// them without the key file. For equality of destinations and keys of limits. The same parts for another purpose give
// another hash; parts are length-prefixed, so moving a boundary does too.
func (r *Ring) Hash(purpose string, parts ...string) []byte {
	return mac(r.state.Load().hash, append([]string{purpose}, parts...)...)
}

// Code returns the code of a challenge: digits decimal digits, leading zeros kept. It is stored nowhere; every replica
// derives the same. digits is 6 to 12, anything else panics.
//
// Bias: 64 bits of HMAC output are reduced modulo 10^digits, so some codes are likelier than others by a factor of at
// most 1 + 10^digits/2^64: 5.4e-12 for 8 digits. Guessing gains nothing from it in five tries.
func (r *Ring) Code(challenge string, digits int) string {
	if digits < 6 || digits > 12 {
		panic(fmt.Sprintf("keyring: a code of %d digits", digits))
	}
	modulus := uint64(1)
	for range digits {
		modulus *= 10
	}
	n := binary.BigEndian.Uint64(mac(r.state.Load().code, "code", strconv.Itoa(digits), challenge))
	return fmt.Sprintf("%0*d", digits, n%modulus)
}

// Ticket returns a proof that we sent the browser to exactly these parts (an attempt, a step, an epoch): 43 characters
// of base64url. It is not enough alone: the browser must also hold the attempt's cookie.
func (r *Ring) Ticket(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(mac(r.state.Load().ticket, parts...))
}

// CheckTicket reports, in time that does not depend on where they differ, whether ticket is the one for these parts.
// Only the exact text passes: nothing before, after, or differently encoded.
func (r *Ring) CheckTicket(ticket string, parts ...string) bool {
	return hmac.Equal([]byte(ticket), []byte(r.Ticket(parts...)))
}
