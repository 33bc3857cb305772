package client

import (
	"slices"
	"time"
)

// Scope is what an access token of a receiver is good for.
type Scope string

// The scopes (CAEP interoperability profile 1.0 §2.7.2).
const (
	ScopeManage Scope = "ssf.manage" // make, change and delete streams, and what ScopeRead is for
	ScopeRead   Scope = "ssf.read"   // read streams, and poll
)

// Access is an access token of a receiver (RFC 6749 §4.4). It ends with its time, with the secret it was asked for with,
// and with the receiver. It is a statement of what was granted; whether receiver and secret still live is for the reader.
type Access struct {
	Hash     []byte // SHA-256 of the token
	Receiver string // id
	Secret   string // id of one of the receiver's secrets
	Scopes   []Scope
	Expires  time.Time
}

// AccessTime is how long an access token of a receiver lives: less than the 60 minutes that the CAEP interoperability
// profile calls short.
const AccessTime = 30 * time.Minute

// Allows reports whether the token is good for one of the scopes.
func (a *Access) Allows(any ...Scope) bool {
	return slices.ContainsFunc(any, func(s Scope) bool { return slices.Contains(a.Scopes, s) })
}
