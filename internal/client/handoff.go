package client

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"regexp"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
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
	About     string // subject of an ID token we gave the app before (id_token_hint): the answer is about nobody else; "" for anybody

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
	LiveTry    int64 // epoch of the try: once something is known to be changed, the one that this moved its person to
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
	Down   bool // with Over: something needed was not answering, so that nothing could be changed
}

// Status says whether something was changed. Nothing changed is no status but access_denied.
type Status string

// The statuses.
const (
	StatusDone    Status = "done"
	StatusPartial Status = "partial" // in some directories; others are to follow
	StatusUnknown Status = "unknown" // sent, and no answer came
)

// The words for why a handoff ended without an answer. The app hears none of them.
const (
	WhyCancelled = "cancelled" // by the person
	WhyNothing   = "nothing"   // the try ended with nothing changed
	WhyDown      = "down"      // something needed was not answering
	WhyExpired   = "expired"
	WhyApp       = "app"          // the app was disabled, or may not ask for this any more
	WhyOther     = "other-person" // than the one the app asked about
)

// The words for why a code was refused. The app hears none of them.
const (
	RefusedUsed     = "used-before" // somebody has a copy of it
	RefusedClient   = "other-client"
	RefusedApp      = "app-disabled"
	RefusedLate     = "expired"
	RefusedRedirect = "redirect-uri"
	RefusedVerifier = "verifier"
	RefusedPerson   = "person" // disabled, or changed something important since
)

// Held reports whether the browser that holds the handoff still may answer it.
func (h *Handoff) Held(now time.Time) bool { return h.State == HandoffOpen && now.Before(h.Expires) }

// Open gives the handoff to the one browser that holds the secret of cookie, for OpenLife.
func (h *Handoff) Open(cookie []byte, now time.Time) []event.Event {
	pushed := len(h.Request) > 0
	h.State, h.Cookie, h.Expires = HandoffOpen, cookie, now.Add(OpenLife)
	return []event.Event{h.event(now, event.HandoffOpened, "stranger", event.Success).With("pushed", pushed)}
}

// Begin ties the handoff to the try that began in its browser, for HandoffLife. A later try takes the place of an earlier
// one. fault.Over when the handoff is not held any more.
func (h *Handoff) Begin(attempt string, now time.Time) error {
	if !h.Held(now) {
		return over()
	}
	h.Attempt, h.Expires, h.Why = attempt, now.Add(HandoffLife), ""
	return nil
}

// Falter notes that something needed was not answering while the person worked, so that whoever gives up because of it is
// told apart from somebody who changed their mind (temporarily_unavailable, RFC 6749 §4.1.2.1). It may be repeated; a new try forgets it.
func (h *Handoff) Falter(now time.Time) error {
	if !h.Held(now) {
		return over()
	}
	h.Why = WhyDown
	return nil
}

// Answer ends the handoff with a code, because something was changed. code is its hash. fault.Over when the handoff is not
// held any more: there is one answer.
func (h *Handoff) Answer(code []byte, o Outcome, signIn string, now time.Time) ([]event.Event, error) {
	if !h.Held(now) || o.Status == "" || o.Person == "" {
		return nil, over()
	}
	h.State, h.Code, h.Person, h.Epoch = HandoffAnswered, code, o.Person, o.Epoch
	h.Result = Result{Action: h.Action, Status: o.Status, Proofs: o.Proofs, Time: o.At.Unix(), Txn: o.Txn, SignIn: signIn}
	h.Until = now.Add(CodeLife)
	return []event.Event{h.event(now, event.HandoffAnswered, "person:"+o.Person, event.Success).With("status", string(o.Status))}, nil
}

// End ends the handoff with nothing changed, for one of the words above. fault.Over when it is not open.
func (h *Handoff) End(why string, now time.Time) ([]event.Event, error) {
	if h.State != HandoffOpen {
		return nil, over()
	}
	h.State, h.Why = HandoffEnded, why
	return []event.Event{h.event(now, event.HandoffEnded, "stranger", event.Failure).With("why", why)}, nil
}

// Redemption is what an authenticated app shows at the token endpoint.
type Redemption struct {
	App      *App
	Redirect string // redirect_uri
	Verifier string // code_verifier
}

// Redeem burns the code at first sight, whatever is wrong with what came with it (RFC 6749 §4.1.2, RFC 9700 §4.5), and
// says why it is refused, "" when it is not. token is the hash of the access token that a code which is not refused opens.
// A code that was used before ends that token: one of the two who showed it is a thief, and nobody knows which.
func (h *Handoff) Redeem(r Redemption, token []byte, now time.Time) (refused string, events []event.Event) {
	again := h.State != HandoffAnswered
	refused = h.refuse(r, now)
	h.State, h.Token = HandoffRedeemed, nil
	if refused == "" {
		if h.known() {
			h.Result.Status, h.Epoch = StatusDone, h.LiveTry
		}
		h.Token, h.Until = token, now.Add(AccessLife)
		return "", []event.Event{h.event(now, event.HandoffRedeemed, "app:"+r.App.Key, event.Success)}
	}
	if again && h.Why == RefusedUsed { // told once: who shows it a thousand times fills no log
		return refused, nil
	}
	h.Why = refused
	return refused, []event.Event{h.event(now, event.HandoffRefused, "app:"+r.App.Key, event.Failure).With("why", refused)}
}

func (h *Handoff) refuse(r Redemption, now time.Time) string {
	switch {
	case h.State != HandoffAnswered:
		return RefusedUsed
	case r.App.ID != h.App:
		return RefusedClient
	case r.App.Disabled:
		return RefusedApp
	case !now.Before(h.Until):
		return RefusedLate
	case r.Redirect != h.Redirect:
		return RefusedRedirect
	case !proves(r.Verifier, h.Challenge):
		return RefusedVerifier
	case !h.live():
		return RefusedPerson
	}
	return ""
}

// live reports whether the person is as they were when the browser was sent back: active, and nothing important changed
// since, but for the very thing that was asked for, when nobody knew yet what became of it.
func (h *Handoff) live() bool { return h.LiveActive && (h.LiveEpoch == h.Epoch || h.known()) }

// known reports whether what was unknown is known to be done by now.
func (h *Handoff) known() bool {
	return h.Result.Status == StatusUnknown && h.LiveTry > h.Epoch && h.LiveEpoch == h.LiveTry
}

var (
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) // RFC 7636 §4.1
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)       // of SHA-256, §4.2
)

// IsChallenge reports whether s has the form of a code challenge made by S256.
func IsChallenge(s string) bool { return challengeForm.MatchString(s) }

// proves reports whether verifier is what challenge was made of (RFC 7636 §4.6). Without a challenge nothing is: a
// verifier that nobody asked for is a downgrade (RFC 9700 §4.8.2).
func proves(verifier, challenge string) bool {
	if !verifierForm.MatchString(verifier) || !IsChallenge(challenge) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// Tells reports whether the access token of the handoff still opens what it opens: it ends with the person's epoch.
func (h *Handoff) Tells(now time.Time) bool {
	return h.State == HandoffRedeemed && len(h.Token) > 0 && now.Before(h.Until) && h.live()
}

// event is a fact about the handoff. What ties it to the others is the try, once there is one.
func (h *Handoff) event(now time.Time, t event.Type, actor string, outcome event.Outcome) event.Event {
	return event.New(now, t, actor, h.Person, cmp.Or(h.Result.Txn, h.Attempt, h.ID), outcome).
		With("handoff", h.ID).With("app", h.Key).With("action", string(h.Action))
}

// over is the fault of whoever comes to a handoff that was answered, has ended, or is another's; they cannot be told apart.
func over() error { return fault.New(fault.Over, message.Key("handoff.over")) }
