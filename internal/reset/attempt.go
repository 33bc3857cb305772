// Package reset is what regain exists for: a person who forgot a password proves who they are and gets back into their
// account, and everybody is told the truth about it.
//
//	started ─ proving ─ proved ─ writing ─ done
//	                      │ ▲       │
//	                      │ └───────┤ refused by a rule, which is shown (at most 5 times)
//	                      │         └ unknown ─ done │ proved (not written, or one more try) │ unresolved
//	                      └ expired │ cancelled │ blocked
//
// Until the first valid proof nothing a stranger can see depends on the account: not the words, not the bytes, not the
// statements sent to the database. After it the pages are candid. Nobody is signed in by a reset. A password is never
// stored, queued or logged; a write is sent once, and when no answer comes the outcome is unknown and said to be so.
package reset

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/directory"
)

// State is where an attempt stands.
type State string

// The states. Expired, Cancelled, Blocked, Done and Unresolved are ends; an unresolved one may be tried once more.
const (
	Started    State = "started"
	Proving    State = "proving"
	Proved     State = "proved"
	Writing    State = "writing"
	Unknown    State = "unknown"
	Done       State = "done"
	Unresolved State = "unresolved"
	Expired    State = "expired"
	Cancelled  State = "cancelled"
	Blocked    State = "blocked"
)

// Times and counts of an attempt (DESIGN: fifteen minutes after the last accepted step, up to ten times extended).
const (
	Life        = 15 * time.Minute // after the last accepted step
	MaxExtended = 10
	ProofLife   = 60 * time.Minute // an older proof is repeated
	MaxRefusals = 5
	MaxAsked    = 20 // challenges of one attempt
	CodeLife    = 10 * time.Minute
	CodeDigits  = 8
	MaxTries    = 5
	TypedLife   = 24 * time.Hour // the typed name is erased this long after the end
	DisputeLife = 72 * time.Hour
)

// Attempt is one try at reset, unlock or change. Version guards every write of it.
type Attempt struct {
	ID        string // UUIDv7; no capability
	Version   int64
	Reference string // 8 characters, no secret: KTRW-49MP
	Action    policy.Action
	State     State
	Cookie    []byte // SHA-256 of the secret only the starting browser holds

	Typed     string // as typed; sealed at rest
	TypedHash []byte // keyed hash of the folded name
	Person    string // "" until resolved, and for nobody
	Resolved  bool
	Epoch     int64 // the person's when resolved; the attempt is over when it moves

	Policy  int64 // version in force at the start
	Lang    string
	Network string // prefix the attempt started from
	Agent   string // browser family, for the words "where from"
	Trusts  string // the person whose trusted browser it started in; "" for any other
	By      string // who brought the password where it was not the person: connector:ID

	Proofs   []Proof
	Asked    int
	Extended int
	Refusals int
	Again    bool // the one more try after an unresolved write was taken
	Write    string
	Why      string // reason of the end, a word for explain

	Directory string
	Login     string // canonical login in the directory, known after the first proof

	Started time.Time
	Expires time.Time
	Ended   time.Time

	// Read with the attempt in one join, never written with it.
	LiveEpoch  int64
	LiveActive bool
}

// Proof is one method, verified inside this attempt.
type Proof struct {
	Method    string       `json:"method"`
	Kind      method.Kind  `json:"kind"`
	Class     method.Class `json:"class"`
	Root      method.Root  `json:"root"`
	Challenge string       `json:"challenge"`
	At        time.Time    `json:"at"`
}

// Origin is where a request came from.
type Origin struct {
	Addr  netip.Addr
	Agent string // browser family
	Lang  string
	// Trusts is the person whose trusted browser asks; "" for any other browser. It proves nothing: whoever has it is that
	// person to no limit but the number of first codes sent to them, where strangers cannot use up what is theirs.
	Trusts string
}

// Prefix returns the network a limit counts: one IPv4 address, or an IPv6 /64.
func (o Origin) Prefix() netip.Prefix {
	a := o.Addr.Unmap()
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// Wide returns the wider network a looser limit counts: IPv4 /24, IPv6 /48.
func (o Origin) Wide() netip.Prefix {
	a, bits := o.Addr.Unmap(), 24
	if a.Is6() {
		bits = 48
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

const referenceLetters = "BCDFGHJKMNPQRTVWXYZ23456789"

// NewReference returns eight characters in two groups, without vowels or look-alikes. It is no secret.
func NewReference() string {
	b := make([]byte, 0, 9)
	for len(b) < 9 {
		if len(b) == 4 {
			b = append(b, '-')
		}
		var r [1]byte
		rand.Read(r[:])
		if limit := 256 - 256%len(referenceLetters); int(r[0]) < limit {
			b = append(b, referenceLetters[int(r[0])%len(referenceLetters)])
		}
	}
	return string(b)
}

// Over returns the error every step answers with once an attempt has ended.
func Over(why string) error { return fault.New(fault.Over, message.Key("reset.over."+why)) }

// Alive returns nil while the attempt may take a step: it has not ended, its time is not up, and the person's epoch has
// not moved since it was resolved (a reset elsewhere, a dispute, or the identity provider disabling them).
func (a *Attempt) Alive(now time.Time) error {
	switch a.State {
	case Expired:
		return Over("expired")
	case Cancelled:
		return Over("cancelled")
	case Blocked:
		return Over("blocked")
	case Done:
		return Over("done")
	}
	// Before the first proof this would tell a stranger something about the account; Prove refuses there.
	if len(a.Proofs) > 0 && !a.live() {
		return Over("changed")
	}
	if !now.Before(a.Expires) && a.State != Writing && a.State != Unknown {
		return Over("expired")
	}
	return nil
}

func (a *Attempt) live() bool { return a.LiveEpoch == a.Epoch && a.LiveActive }

// Settled reports whether the attempt has ended for good.
func (a *Attempt) Settled() bool {
	return slices.Contains([]State{Done, Expired, Cancelled, Blocked, Unresolved}, a.State)
}

func (a *Attempt) event(now time.Time, t event.Type, outcome event.Outcome) event.Event {
	actor := "stranger"
	switch {
	case a.By != "":
		actor = a.By
	case len(a.Proofs) > 0:
		actor = "person:" + a.Person
	}
	return event.New(now, t, actor, a.Person, a.ID, outcome).With("reference", a.Reference).With("action", string(a.Action))
}

// Resolve ties the attempt to a person, or to nobody, once; later calls change nothing.
func (a *Attempt) Resolve(p *account.Person, now time.Time) []event.Event {
	if a.Resolved {
		return nil
	}
	a.Resolved = true
	outcome := event.Failure
	if p != nil {
		a.Person, a.Epoch, a.LiveEpoch, a.LiveActive = p.ID, p.Epoch, p.Epoch, p.Active
		outcome = event.Success
	}
	return []event.Event{a.event(now, event.AttemptResolved, outcome)}
}

// Counts reports whether a method would add to the proofs the attempt has: another class and another root.
func (a *Attempt) Counts(m *method.Method, trusts method.Trusts) bool {
	if trusts.Of(m.Root) == client.TrustNone {
		return false
	}
	return !slices.ContainsFunc(a.Proofs, func(p Proof) bool {
		return p.Class == m.Kind.Class() || trusts.Collide(p.Root, m.Root)
	})
}

// Prove adds a proof and moves on when the decision is met. A proof that does not count beside the ones there are, or
// whose challenge was used before, is refused.
func (a *Attempt) Prove(m *method.Method, challenge string, d policy.Decision, trusts method.Trusts, now time.Time) ([]event.Event, error) {
	if err := a.Alive(now); err != nil {
		return nil, err
	}
	if a.State != Started && a.State != Proving {
		return nil, Over("step")
	}
	if slices.ContainsFunc(a.Proofs, func(p Proof) bool { return p.Challenge == challenge }) {
		return nil, WrongCode()
	}
	if !a.live() || m.Person != a.Person || len(a.Proofs) == 0 && !m.Kind.First() || !a.Counts(m, trusts) {
		return nil, WrongCode()
	}
	a.Proofs = append(a.Proofs, Proof{Method: m.ID, Kind: m.Kind, Class: m.Kind.Class(), Root: m.Root, Challenge: challenge, At: now})
	a.State = Proving
	a.Expires = now.Add(Life)
	out := []event.Event{a.event(now, event.ProofRight, event.Success).With("kind", string(m.Kind)).With("method", m.ID).With("policy", d.Version).With("rule", d.Rule)}
	if a.Meets(d) {
		a.State = Proved
		out = append(out, a.event(now, event.AttemptProved, event.Success).With("proofs", len(a.Proofs)).With("rule", d.Rule).With("policy", d.Version))
	}
	return out, nil
}

// Meets reports whether the proofs satisfy the decision.
func (a *Attempt) Meets(d policy.Decision) bool {
	if !d.Allowed || len(a.Proofs) < d.Proofs {
		return false
	}
	for _, p := range a.Proofs {
		if !slices.Contains(d.Kinds, p.Kind) {
			return false
		}
	}
	return len(d.Required) == 0 || slices.ContainsFunc(a.Proofs, func(p Proof) bool { return slices.Contains(d.Required, p.Kind) })
}

// Fresh drops proofs that are older than ProofLife, or of a kind the policy no longer allows, and goes back a step
// when those that are left do not meet the decision any more. The stricter policy wins in the middle of an attempt.
func (a *Attempt) Fresh(d policy.Decision, now time.Time) bool {
	before := len(a.Proofs)
	a.Proofs = slices.DeleteFunc(a.Proofs, func(p Proof) bool {
		return now.Sub(p.At) > ProofLife || !slices.Contains(d.Kinds, p.Kind)
	})
	state := a.State
	switch {
	case a.State == Proved && !a.Meets(d):
		a.State = Proving
	case a.State == Proving && a.Meets(d):
		a.State = Proved
	}
	return before != len(a.Proofs) || state != a.State
}

// Extend adds fifteen minutes, up to ten times.
func (a *Attempt) Extend(now time.Time) ([]event.Event, error) {
	if err := a.Alive(now); err != nil {
		return nil, err
	}
	if a.Extended >= MaxExtended {
		return nil, fault.New(fault.Limited, message.Key("reset.extended_enough"))
	}
	a.Extended++
	a.Expires = now.Add(Life)
	return []event.Event{a.event(now, event.AttemptExtended, event.Success).With("times", a.Extended)}, nil
}

// End closes the attempt with a reason. An attempt whose write is on its way cannot be ended: its outcome is awaited.
func (a *Attempt) End(state State, why, actor string, now time.Time) ([]event.Event, error) {
	if a.Settled() || a.State == Writing || a.State == Unknown {
		return nil, Over("step")
	}
	a.State, a.Why, a.Ended = state, why, now
	t := map[State]event.Type{Expired: event.AttemptExpired, Cancelled: event.AttemptCancelled, Blocked: event.AttemptBlocked}[state]
	e := a.event(now, t, event.Failure).With("why", why)
	if actor != "" {
		e.Actor = actor
	}
	return []event.Event{e}, nil
}

// WrongCode is the one answer to a wrong, expired, replayed, foreign or unsent code, and to a kind the person does not
// have: the same words for all.
func WrongCode() error {
	return &fault.Error{Kind: fault.Invalid, Say: message.Key("reset.code.wrong"), Field: "code"}
}

// Challenge is one code asked for, or one question put, inside an attempt. Its tries are counted before anything is
// checked, in a commit of their own, so that nothing can refund them.
type Challenge struct {
	ID      string // UUIDv7; the code of a delivered kind is derived from it with a key and stored nowhere
	Attempt string
	Kind    method.Kind
	Method  string // chosen by the person after a first proof, else by the worker that sends
	Tries   int
	Send    SendState
	Created time.Time
	Expires time.Time
}

// SendState says what became of the delivery of a challenge's code.
type SendState string

// The states of a delivery. A code counts only once it is sending or sent: a code that was never sent cannot be right.
const (
	NotSent  SendState = "none"    // nothing to deliver, or not delivered (nobody there, budget spent)
	Asked    SendState = "asked"   // waiting for the worker
	Sending  SendState = "sending" // claimed; a text message is not sent a second time from here
	Sent     SendState = "sent"
	SendLost SendState = "failed"
)

// NewChallenge returns a challenge of the attempt that lives ten minutes.
func NewChallenge(a *Attempt, kind method.Kind, methodID string, now time.Time) *Challenge {
	c := &Challenge{ID: uuid.Must(uuid.NewV7()).String(), Attempt: a.ID, Kind: kind, Method: methodID, Send: NotSent, Created: now, Expires: now.Add(CodeLife)}
	if kind.Delivered() {
		c.Send = Asked
	}
	return c
}

// Write is one password write, recorded before it is sent. While it is writing no other write of the same account
// starts on any replica. It never holds the password.
type Write struct {
	ID        string // the operation id given to the adapter
	Attempt   string
	Person    string
	Directory string
	Ref       string // immutable reference of the account
	Action    policy.Action
	Server    string    // which server was asked; reconciliation asks the same
	Marker    string    // the account's marker before the write
	Changed   time.Time // when the directory said, before the write, that the password was last changed
	State     WriteState
	Lease     time.Time // after this the sender is taken for dead and the outcome for unknown
	Created   time.Time
	Ended     time.Time
}

// changedSince reports whether the directory shows another time of the last password change than before the write, or,
// when it shows none, another marker.
func (w *Write) changedSince(now directory.Status) bool {
	if w.Changed.IsZero() && now.PasswordChangedAt.IsZero() {
		return w.Marker != now.Marker
	}
	return w.Changed.UnixMicro() != now.PasswordChangedAt.UnixMicro() // as precise as it was kept
}

// WriteState says what is known of a write.
type WriteState string

// The states of a write.
const (
	WriteSending    WriteState = "writing"
	WriteUnknown    WriteState = "unknown"
	WriteApplied    WriteState = "applied"
	WriteNotApplied WriteState = "not-applied"
	WriteUnresolved WriteState = "unresolved"
)

// Link ties a person to one account of one directory, by the account's immutable reference.
type Link struct {
	Person    string
	Directory string
	Ref       string
	Login     string
	Made      time.Time
}
