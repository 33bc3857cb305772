package keyring

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"
)

// A token is PREFIX_SECRET_CHECK: a prefix that says what it opens ("rgn_scim"), 32 random bytes as 43 characters of
// base64url, and the CRC-32 (IEEE) of all before as 8 hexadecimal digits. The prefix lets secret scanners find a leaked
// token, the check lets them and us tell a token from a look-alike without the database.
const (
	secretChars = 43
	checkChars  = 8
	maxPrefix   = 64
)

var b64url = base64.RawURLEncoding.Strict()

// NewToken returns a token and the hash to store in its place (SHA-256: 256 random bits need no slow hash). The token is
// shown once. prefix is lower-case letters, digits and single underscores, starts with a letter, at most 64 characters;
// anything else panics.
func NewToken(prefix string) (token string, hash []byte) {
	if !goodPrefix(prefix) {
		panic(fmt.Sprintf("keyring: token prefix %q", prefix))
	}
	token = prefix + "_" + b64url.EncodeToString(random(secretSize))
	token += "_" + checksum(token)
	h := sha256.Sum256([]byte(token))
	return token, h[:]
}

// HashToken returns the hash by which a token is looked up, or false when it is no token: cut, extended, mistyped. It
// says nothing about whether the token is known. The hash covers the prefix, so a token of one kind is none of another.
func HashToken(token string) ([]byte, bool) {
	if _, ok := TokenPrefix(token); !ok {
		return nil, false
	}
	h := sha256.Sum256([]byte(token))
	return h[:], true
}

// TokenPrefix returns the prefix of a well-formed token.
func TokenPrefix(token string) (prefix string, ok bool) {
	n := len(token) - (1 + secretChars + 1 + checkChars)
	if n < 1 || n > maxPrefix {
		return "", false
	}
	prefix, body, check := token[:n], token[:len(token)-1-checkChars], token[len(token)-checkChars:]
	if token[n] != '_' || token[len(body)] != '_' || !goodPrefix(prefix) || checksum(body) != check {
		return "", false
	}
	if _, err := b64url.DecodeString(body[n+1:]); err != nil {
		return "", false
	}
	return prefix, true
}

func checksum(s string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s))) }

func goodPrefix(s string) bool {
	if s == "" || len(s) > maxPrefix || s[0] < 'a' || s[0] > 'z' || strings.Contains(s, "__") || strings.HasSuffix(s, "_") {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
