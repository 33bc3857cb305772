package client

import (
	"time"
)

// HandoffState is where a handoff stands.
type HandoffState string

// The states.
//
//	pushed ─ open ─ answered ─ redeemed
//	           └ ended
const (
	HandoffPushed   HandoffState = "pushed"   // the app deposited the request; no browser has it yet (RFC 9126)
	HandoffOpen     HandoffState = "open"     // one browser has it
	HandoffAnswered HandoffState = "answered" // the browser was sent back with a code
	HandoffRedeemed HandoffState = "redeemed" // the code was seen at the token endpoint; it opens nothing more
	HandoffEnded    HandoffState = "ended"    // the browser was sent back with an error
)

// How long things of a handoff last.
const (
	PushedLife  = 90 * time.Second // of a pushed request (RFC 9126 §2.2)
	OpenLife    = 30 * time.Minute // until a try begins
	HandoffLife = 4 * time.Hour    // from then on: longer than a try extended ten times lasts
	CodeLife    = 60 * time.Second // of a code (RFC 6749 §4.1.2 allows ten minutes)
	AccessLife  = 60 * time.Second // of an access token: it opens the userinfo endpoint, which tells the subject
)

// Handoff is one person sent here by an app, from the request to the one answer (RFC 6749 §4.1). It belongs to the browser
// that holds the secret of Cookie; an id, a code or a request URI of it is worth nothing in another one. Version guards
// every write of it.
type Handoff struct {
	ID      string // UUIDv7; no capability
	Version int64
	App     string // id
	Key     string // client_id: the app's key
	State   HandoffState
	Action  Action
	Request []byte // SHA-256 of the request URI; nil for a request that was not pushed
	Cookie  []byte // SHA-256 of what only the browser holds; nil while pushed

	// As the app asked; sealed at rest.
	Redirect  string // one of the app's, to the letter
	Param     string // state, sent back as it came
	Nonce     string
	Challenge string // of PKCE, S256 (RFC 7636)
	Hint      string // login name to write into the first field; never confirmed
	Lang      string // one of ours, from ui_locales; "" for the browser's

	Attempt string // the try it is about; "" until one begins, and for registering
	Person  string // set with the answer; ends with the person's epoch
	Epoch   int64
	Code    []byte    // SHA-256; set with the answer
	Token   []byte    // SHA-256 of the access token; set when the code is redeemed
	Until   time.Time // of code or token
	Result  Result
	Why     string // a word: why it ended without an answer

	Created time.Time
	Expires time.Time

	// Read with the handoff in one join, never written with it.
	LiveEpoch  int64
	LiveActive bool
}

// Result is what became of the try a person was sent for.
type Result struct {
	Action Action   `json:"action"`
	Status Status   `json:"status"`
	Proofs []string `json:"proofs,omitempty"` // classes, as mail or phone: what was proved, never by which address
	Time   int64    `json:"time"`             // seconds since 1970
	Txn    string   `json:"txn"`              // ties ID token, events and audit log together
	SignIn string   `json:"sign_in,omitempty"`
}

// Outcome is what the pages know of what a person was sent for. Without a status nothing was changed so far.
type Outcome struct {
	Person string
	Epoch  int64
	Status Status
	Proofs []string
	At     time.Time
	Txn    string
	Over   bool // nothing will be changed any more: the try ended, or there is none
}

// Status says whether something was changed. Nothing changed is no status but access_denied.
type Status string

// The statuses.
const (
	StatusDone    Status = "done"
	StatusPartial Status = "partial" // in some directories; others are to follow
	StatusUnknown Status = "unknown" // sent, and no answer came
)
