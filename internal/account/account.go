// Package account holds people and groups as identity providers provision them and directories list them, and the one
// number that ends everything a person had open: the epoch.
//
// regain never invents a person. It learns of them by SCIM, or from a directory, and keeps what they were given.
package account

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
)

// Person is one SCIM User. Epoch is copied into every session, attempt and pass; each is valid only while equal.
type Person struct {
	ID         string // UUIDv7
	Version    int64
	Epoch      int64
	Connector  string // who provisions the person; "" for a directory or an import
	ExternalID string // the connector's own name for the person; case matters
	UserName   string
	Active     bool

	DisplayName string
	GivenName   string
	FamilyName  string
	Language    string // BCP 47, as provisioned; "" when unknown
	Emails      []Contact
	Phones      []Contact
	Attrs       json.RawMessage // the whole resource as it was stored; columns above are projections of it

	HoldUntil time.Time // ways added or removed before this are pending (24 h after a reset)
	Dispute   *Dispute  // set when the owner said "this was not me"
	Alerts    []Alert   // what identity providers said is wrong; those whose time is up may stand among them
	Created   time.Time
	Updated   time.Time
}

// Contact is one address an identity provider gave: an e-mail address or a telephone number, as it was given.
type Contact struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

// Dispute remembers a disputed act. Methods confirmed after Since, and those used in the act, do not count while it
// lasts.
type Dispute struct {
	Attempt string    `json:"attempt"`
	Since   time.Time `json:"since"` // start of the disputed attempt
	At      time.Time `json:"at"`
	Methods []string  `json:"methods"` // used as proof in the disputed act
}

// Group is one SCIM Group. Members are rows of their own and never loaded with it.
type Group struct {
	ID          string
	Version     int64
	Connector   string
	ExternalID  string
	DisplayName string
	Attrs       json.RawMessage
	Created     time.Time
	Updated     time.Time
}

// Membership is a group a person is in, directly or through other groups. Trusted says whether the connector that
// brought the group may select a weaker rule by it.
type Membership struct {
	Group   string // display name
	ID      string
	Trusted bool
}

// Member is one member of a group.
type Member struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"` // User or Group; "" when adding: whichever it is
	Display string `json:"-"`    // display name, filled when read
}

// MemberChange says what becomes of a group's members: Add alone when ReplaceAll, else what there was without Remove and
// with Add. Adding what is there and removing what is not moves nothing.
type MemberChange struct {
	Add, Remove []Member
	ReplaceAll  bool
}

// GroupOf is a group somebody is in, itself or through other groups.
type GroupOf struct {
	Membership
	Direct bool
}

// Beside says what is read beside a person's row.
type Beside struct {
	Methods bool // but for removed ones
	Groups  bool
}

// Known is a person with what was read beside the row: methods in order of id, groups too, which are not Trusted because
// nobody asked.
type Known struct {
	*Person
	Methods []method.Method
	In      []GroupOf
}

// MaxLogin is the longest login name looked at, in bytes.
const MaxLogin = 320

// Fold returns the form in which names are compared: NFC, Unicode case folding (full), trimmed of outer spaces. It is
// the only place where names are folded; the database compares the result bytewise.
func Fold(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(strings.TrimSpace(name))))
}

// Deactivate ends the person's use of everything: not active, and the epoch moves so that open attempts and sessions
// die in the same commit. It returns nothing when the person was not active.
func (p *Person) Deactivate(actor string, now time.Time) []event.Event {
	if !p.Active {
		return nil
	}
	p.Active = false
	p.Epoch++
	p.Updated = now
	return []event.Event{event.New(now, event.PersonDeactivated, actor, p.ID, "", event.Success)}
}

// Reactivate lets the person use regain again. Nothing that was open before comes back.
func (p *Person) Reactivate(actor string, now time.Time) []event.Event {
	if p.Active {
		return nil
	}
	p.Active = true
	p.Updated = now
	return []event.Event{event.New(now, event.PersonReactivated, actor, p.ID, "", event.Success)}
}

// Paused reports whether whoever provisions the person said that they may not reset by themselves: then no way of theirs
// counts, and none may be added that would.
func (p *Person) Paused() bool {
	var attrs struct {
		Regain struct {
			ResetAllowed *bool `json:"resetAllowed"`
		} `json:"urn:ietf:params:scim:schemas:extension:regain:2.0:User"`
	}
	if len(p.Attrs) == 0 || json.Unmarshal(p.Attrs, &attrs) != nil {
		return false
	}
	return attrs.Regain.ResetAllowed != nil && !*attrs.Regain.ResetAllowed
}

// NoticeAddresses returns every e-mail address the person was provisioned with, primary first, without repeats: the
// corporate mailbox is always told of what happened, though it is never a way to prove anything.
func (p *Person) NoticeAddresses() []string {
	var out []string
	add := func(c Contact) {
		if c.Value != "" && !slices.ContainsFunc(out, func(v string) bool { return Fold(v) == Fold(c.Value) }) {
			out = append(out, c.Value)
		}
	}
	for _, c := range p.Emails {
		if c.Primary {
			add(c)
		}
	}
	for _, c := range p.Emails {
		add(c)
	}
	if len(out) == 0 && strings.Contains(p.UserName, "@") {
		out = append(out, p.UserName)
	}
	return out
}

// Name returns what to call the person: the display name, else the given and family name, else the user name.
func (p *Person) Name() string {
	if p.DisplayName != "" {
		return p.DisplayName
	}
	if n := strings.TrimSpace(p.GivenName + " " + p.FamilyName); n != "" {
		return n
	}
	return p.UserName
}

// Claim returns the named attribute used to find the person's directory account: userName, externalId, or
// emails.work, the work address.
func (p *Person) Claim(name string) string {
	switch name {
	case "", "userName":
		return p.UserName
	case "externalId":
		return p.ExternalID
	case "emails.work":
		for _, c := range p.Emails {
			if c.Type == "work" {
				return c.Value
			}
		}
	}
	return ""
}
