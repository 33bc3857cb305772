package client

import "time"

// Request is what a connector sent and wants to be answered later. Body holds all of it and may hold secrets.
type Request struct {
	ID        string // the transaction's name; a UUIDv7
	Connector string // id; it may be gone by now
	At        time.Time
	Failures  int // how often carrying it out was broken off
	Body      []byte
}

// Bounds of what waits for one connector.
const (
	MaxRequests     = 1000     // requests
	MaxRequestBytes = 64 << 20 // of their bodies together
)
