// Package method holds the ways a person can prove who they are: kinds, classes, roots, and when two proofs are two.
//
// Two proofs count as two only when their classes differ and their roots differ. A class is what a thief would have to
// steal (a mailbox, a phone, a device); a root is what the trust in the method stands on (the person themselves, or the
// session, pass, connector or import that brought it).
package method

import (
	"slices"
	"time"

	"github.com/regain-id/regain/internal/client"
)

// Kind is one kind of authentication method.
type Kind string

// The kinds.
const (
	Email        Kind = "email"
	SMS          Kind = "sms"
	Voice        Kind = "voice"
	TOTP         Kind = "totp"
	HOTP         Kind = "hotp"
	Passkey      Kind = "passkey"
	RecoveryCode Kind = "recovery-code"
	Pass         Kind = "pass"
	Question     Kind = "question"
	IDP          Kind = "idp"
	Vouch        Kind = "vouch"
	External     Kind = "external"
)

// Kinds lists every kind, strongest first.
var Kinds = []Kind{Passkey, RecoveryCode, TOTP, HOTP, Email, SMS, Voice, IDP, Pass, Vouch, Question, External}

// Known reports whether k is a kind at all.
func (k Kind) Known() bool { return slices.Contains(Kinds, k) }

// Class is what a proof of a kind shows possession of; two proofs of one class count once.
type Class string

// The classes.
const (
	Mail      Class = "mail"
	Phone     Class = "phone"
	App       Class = "app"
	Device    Class = "device"
	Printed   Class = "printed"
	Issued    Class = "issued"
	Knowledge Class = "knowledge"
	Federated Class = "federated"
	People    Class = "people"
)

// Class returns the class of the kind.
func (k Kind) Class() Class {
	switch k {
	case Email:
		return Mail
	case SMS, Voice:
		return Phone
	case TOTP, HOTP:
		return App
	case Passkey:
		return Device
	case RecoveryCode:
		return Printed
	case Pass:
		return Issued
	case Question:
		return Knowledge
	case IDP:
		return Federated
	case Vouch:
		return People
	}
	return ""
}

// First reports whether a proof of the kind may be the first of an attempt: one that cannot be guessed, or that costs a
// delivery to a stored address. The rest come only after a valid first proof, so that strangers can neither guess nor
// exhaust them.
func (k Kind) First() bool {
	switch k {
	case Email, SMS, Voice, Passkey, RecoveryCode, IDP:
		return true
	}
	return false
}

// Delivered reports whether proving the kind means reading a code sent to a stored destination.
func (k Kind) Delivered() bool { return k == Email || k == SMS || k == Voice }

// RootKind says what brought a method.
type RootKind string

// The kinds of roots.
const (
	ByPerson    RootKind = "person"    // confirmed by them under step-up, and matured
	BySession   RootKind = "session"   // added in a session and not yet matured
	ByPass      RootKind = "pass"      // added with a pass issued by staff
	ByConnector RootKind = "connector" // provisioned
	ByDirectory RootKind = "directory" // listed by a directory
	ByImport    RootKind = "import"    // imported from another system
	ByIDP       RootKind = "idp"       // a sign-in at an identity provider
)

// Root is what a method's trust stands on.
type Root struct {
	Kind RootKind `json:"kind"`
	ID   string   `json:"id"`
}

// Trusts tells how far each source is trusted. A source that is not listed has trust one.
type Trusts map[Root]client.Trust

// Of returns the trust of a root: all for the person's own confirmation.
func (t Trusts) Of(r Root) client.Trust {
	if r.Kind == ByPerson {
		return client.TrustAll
	}
	if v, ok := t[r]; ok {
		return v
	}
	return client.TrustOne
}

// Collide reports whether proofs standing on the two roots count once: the same pass, connector or import, unless that
// source is trusted for all. The root person never collides. Sessions collide with each other whichever they are: each
// step-up makes a new one, and whoever took somebody's sign-in over would else have two roots by stepping up twice.
func (t Trusts) Collide(a, b Root) bool {
	if a.Kind == BySession && b.Kind == BySession {
		return true
	}
	return a.Kind != ByPerson && a == b && t.Of(a) != client.TrustAll
}

// Status is a method's state.
type Status string

// The states.
const (
	Active   Status = "active"
	Pending  Status = "pending"  // added, not yet confirmed
	Disabled Status = "disabled" // not usable until bound again
	Removed  Status = "removed"  // kept 30 days, so that old addresses are still told
)

// Method is one way of one person. Destination and Secret are sealed at rest under the person's key.
type Method struct {
	ID      string // UUIDv7
	Version int64
	Person  string
	Kind    Kind
	Status  Status
	Root    Root

	Destination     string // e-mail address or E.164 number
	DestinationHash []byte // keyed hash of the folded destination; nil without one
	Secret          []byte // seed of an authenticator app
	Given           []byte // what a source gave, to the letter, in its own form; nil for methods made here
	Algorithm       string // SHA1, SHA256 or SHA512
	Digits          int    // 6 to 8
	Period          int    // seconds; 30 by default
	Display         string // what the person calls it
	Attribute       string // which provisioned attribute it came from; "" for one made by itself
	Primary         bool   // the one codes go to first
	Usage           []string

	Created    time.Time
	Confirmed  time.Time // by the person; zero until then
	UsableFrom time.Time // held until then; zero: at once
	Matures    time.Time // added in a session: the person's own from then on; zero: never
	Leaves     time.Time // will be removed then, for a hold after a reset; zero: stays
	RemovedAt  time.Time
	LastUsed   time.Time
	LastStep   int64 // last TOTP time step or HOTP counter accepted
	Failures   int   // wrong tries in a row behind a first proof
}

// MaxFailures is how many wrong tries in a row disable a method until it is bound again (NIST SP 800-63B-4 §3.2.2).
const MaxFailures = 100

// Owned is a method with what its person is called.
type Owned struct {
	Method
	Owner string
}

// Code is one of a printed set. Only a selector and a slow hash are kept.
type Code struct {
	ID       string
	Method   string
	Selector string
	Hash     string
	Used     time.Time
}

// Rests returns until when the method does not count yet; zero when it counts now.
func (m *Method) Rests(now time.Time) time.Time {
	if m.UsableFrom.After(now) {
		return m.UsableFrom
	}
	return time.Time{}
}

// Stands returns what the method's trust stands on now: what was added in a session is the person's own once it matured.
func (m *Method) Stands(now time.Time) Root {
	if m.Root.Kind == BySession && !m.Matures.IsZero() && !now.Before(m.Matures) {
		return Root{Kind: ByPerson, ID: m.Person}
	}
	return m.Root
}

// Gone reports whether the method was removed, or was to be removed by now.
func (m *Method) Gone(now time.Time) bool {
	return m.Status == Removed || !m.Leaves.IsZero() && !now.Before(m.Leaves)
}

// Mask returns the destination with most of it hidden and a fixed number of dots, as it may be shown after a first
// proof: s•••@e•••.net, •• 42.
func (m *Method) Mask() string { return Mask(m.Kind, m.Destination) }

// Mask hides most of a destination, with a fixed number of dots so that its length is not told.
func Mask(kind Kind, destination string) string {
	if destination == "" {
		return ""
	}
	switch kind {
	case SMS, Voice:
		r := []rune(destination)
		if len(r) < 4 {
			return "••"
		}
		return "•• " + string(r[len(r)-2:])
	case Email:
		at := -1
		for i, r := range destination {
			if r == '@' {
				at = i
			}
		}
		if at < 1 {
			return "•••"
		}
		local, domain := []rune(destination[:at]), []rune(destination[at+1:])
		out := string(local[:1]) + "•••@"
		if len(domain) > 0 {
			out += string(domain[:1]) + "•••"
		}
		for i := len(domain) - 1; i > 0; i-- {
			if domain[i] == '.' {
				return out + string(domain[i:])
			}
		}
		return out
	}
	return "•••"
}
