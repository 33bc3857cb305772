package console

import (
	"embed"
	"io/fs"
	"net/http"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

//go:embed templates/*.html
var templates embed.FS

// Templates are the bodies of all pages of this package, for web.Config.Templates.
func Templates() fs.FS {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// SearchPage is the box and what it found.
type SearchPage struct {
	Text     string
	Searched bool
	Try      *FoundTry
	People   []FoundPerson
	More     bool // than are shown
	Problems []web.Problem
}

// FoundPerson is one line of what was found.
type FoundPerson struct {
	ID     string
	Name   string
	Login  string
	Active bool
}

// Path is where the person is shown.
func (p FoundPerson) Path() string { return PathPeople + p.ID }

// FoundTry is the try whose reference was typed.
type FoundTry struct {
	Reference string
	What      message.Message
	State     message.Message
	Started   time.Time
}

// Path is where the try is shown.
func (t FoundTry) Path() string { return PathAttempts + t.Reference }

// Nothing reports whether a search found nothing.
func (v SearchPage) Nothing() bool { return v.Searched && v.Try == nil && len(v.People) == 0 }

// Page renders the view.
func (v SearchPage) Page() web.Page {
	return web.Page{Template: "console-search", Title: message.Key("console.search.heading"), Data: v, Problems: v.Problems}
}

// Note is one short thing to know, with its colour: ok, warn, bad, or none.
type Note struct {
	Tone string
	Say  message.Message
}

// Way is one of a person's ways.
type Way struct {
	Kind    method.Kind
	Masked  string
	Label   string // what the person calls it
	Source  message.Message
	Primary bool
	Added   time.Time
	Used    time.Time
	Notes   []Note
}

// AddedOn is the day the way was added; the hour helps nobody.
func (w Way) AddedOn() web.Day { return web.Day(w.Added) }

// UsedOn is the day it was last used.
func (w Way) UsedOn() web.Day { return web.Day(w.Used) }

// Name names the kind of way.
func (w Way) Name() message.Message { return kindWords(w.Kind) }

// Icon is the picture of the way.
func (w Way) Icon() string { return web.KindIcon(w.Kind) }

// GroupOf is one group somebody is in.
type GroupOf struct {
	Name     string
	Indirect bool // through another group
	Stricter bool // its connector may select a stricter rule by it only
}

// Dispute is what the owner said was not them.
type Dispute struct {
	At        time.Time
	Since     time.Time
	Reference string // of the try; "" once it is not kept any more
}

// Path is where the disputed try is shown.
func (d Dispute) Path() string { return PathAttempts + d.Reference }

// PersonPage is what staff may see of one person.
type PersonPage struct {
	Name      string
	Login     string
	Active    bool
	Source    string // name of the connector; "" when it is none, or gone
	Since     time.Time
	HoldUntil time.Time // zero: nothing rests
	Dispute   *Dispute
	Alerts    []Alert
	Ready     *reset.Readiness
	Ways      []Way
	Groups    []GroupOf
	Sessions  int
	Story     []Entry
	More      bool // there may be older events
}

// Kinds names the ways the policy takes.
func (v PersonPage) Kinds() []message.Message {
	var all []message.Message
	for _, k := range v.Ready.Decision.Kinds {
		all = append(all, kindWords(k))
	}
	return all
}

// WhyNot says why the person could not reset now.
func (v PersonPage) WhyNot() message.Message {
	switch r := v.Ready; r.Why {
	case "inactive":
		return message.Key("console.ready.inactive")
	case "not_in_scope":
		return message.Key("console.ready.not_in_scope")
	case "action":
		return message.Key("console.ready.action")
	case "protected":
		return message.Key("console.ready.protected")
	case "alerted":
		return message.Key("console.ready.alerted")
	case "never_registered":
		return message.Key("console.ready.never_registered")
	case "resting":
		return message.Key("console.ready.resting", "At", r.From)
	}
	return message.Key("console.ready.too_few", "Needed", v.Ready.Decision.Proofs, "Have", v.Ready.Together)
}

// Page renders the view.
func (v PersonPage) Page() web.Page {
	return web.Page{Template: "console-person", Title: message.Key("console.person.heading", "Name", v.Name), Data: v}
}

// AttemptPage is one try, step by step.
type AttemptPage struct {
	Reference     string
	What          message.Message
	State         message.Message
	Tone          string
	Person        *FoundPerson // nil while nobody is known, and for nobody
	Resolved      bool
	Administrator bool   // what was typed would be shown
	Typed         string // "" once it is not kept any more
	Network       string
	Agent         string
	Started       time.Time
	Ended         time.Time // zero: not yet
	Expires       time.Time
	Running       bool
	Story         []Entry
	More          bool // there are later events
}

// Page renders the view.
func (v AttemptPage) Page() web.Page {
	return web.Page{Template: "console-attempt", Title: message.Key("console.attempt.heading", "Reference", v.Reference), Data: v}
}

// RefusedPage tells somebody without a role so.
type RefusedPage struct {
	Claims []string // names of what came with their sign-in
}

// Page renders the view.
func (v RefusedPage) Page() web.Page {
	v.Claims = v.Claims[:min(len(v.Claims), maxClaims)]
	return web.Page{Template: "console-refused", Title: message.Key("console.refused.heading"), Data: v, Status: http.StatusForbidden}
}

// InvitePage says what an invitation is for and leads to the sign-in.
type InvitePage struct {
	Role  staff.Role
	Again bool // the sign-in was too long ago
}

// Lede says what the invitation is for.
func (v InvitePage) Lede() message.Message {
	if v.Role == staff.Administrator {
		return message.Key("console.invite.administrator")
	}
	return message.Key("console.invite.helpdesk")
}

// Page renders the view.
func (v InvitePage) Page() web.Page {
	return web.Page{Template: "console-invite", Title: message.Key("console.invite.heading"), Data: v}
}

// InviteChoosePage shows what came with the sign-in, to pick one of it.
type InviteChoosePage struct {
	Role     staff.Role
	Choices  []staff.Choice
	Claims   []string
	Problems []web.Problem
}

// Label says where a choice is from.
func (v InviteChoosePage) Label(c staff.Choice) message.Message {
	if c.Source == staff.FromGroup {
		return message.Key("console.invite.from_group")
	}
	return message.Key("console.invite.from_claim", "Claim", c.Claim)
}

// Lede says what picking one does.
func (v InviteChoosePage) Lede() message.Message {
	if v.Role == staff.Administrator {
		return message.Key("console.invite.choose.administrator")
	}
	return message.Key("console.invite.choose.helpdesk")
}

// Page renders the view.
func (v InviteChoosePage) Page() web.Page {
	v.Claims = v.Claims[:min(len(v.Claims), maxClaims)]
	return web.Page{Template: "console-invite-choose", Title: message.Key("console.invite.choose.heading"), Data: v, Problems: v.Problems}
}

// InviteDonePage says who is staff from now on.
type InviteDonePage struct{ Rule staff.Rule }

// Lede says it.
func (v InviteDonePage) Lede() message.Message {
	if v.Rule.Role == staff.Administrator {
		return message.Key("console.invite.done.administrator", "Value", v.Rule.Value)
	}
	return message.Key("console.invite.done.helpdesk", "Value", v.Rule.Value)
}

// Page renders the view.
func (v InviteDonePage) Page() web.Page {
	return web.Page{Template: "console-invite-done", Title: message.Key("console.invite.done.heading"), Data: v}
}

// InviteOverPage says that an invitation cannot be used, whatever the reason.
type InviteOverPage struct{}

// Page renders the view.
func (v InviteOverPage) Page() web.Page {
	return web.Page{Template: "console-invite-over", Title: message.Key("console.invite.over.heading"), Data: v, Status: http.StatusGone}
}
