package portal

import (
	"fmt"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/web"
)

// NothingPage helps when no code came: the same for everybody, whatever happened.
type NothingPage struct {
	Running
	Minutes int // a code works for
}

// Page renders the view.
func (v NothingPage) Page() web.Page {
	return web.Page{Template: "nothing", Title: message.Key("nothing.heading"), Data: v}
}

// AppCodePage takes the code an authenticator app shows; it comes after a first proof only.
type AppCodePage struct {
	Running
	Digits   int
	Name     string // what the person calls the app; may be ""
	Problems []web.Problem
}

// Page renders the view.
func (v AppCodePage) Page() web.Page {
	return web.Page{Template: "app-code", Title: message.Key("app_code.heading"), Data: v, Problems: v.Problems}
}

// RecoveryCodePage takes one code of a printed list.
type RecoveryCodePage struct {
	Running
	Problems []web.Problem
}

// Page renders the view.
func (v RecoveryCodePage) Page() web.Page {
	return web.Page{Template: "recovery-code", Title: message.Key("recovery_code.heading"), Data: v, Problems: v.Problems}
}

// CannotPage is honest with somebody who proved a first way and cannot finish: why, what to do, whom to ask.
type CannotPage struct {
	Running
	Why       []message.Message
	Resting   []Way // what will count, and from when
	Do        []message.Message
	Reference string
}

// Page renders the view.
func (v CannotPage) Page() web.Page {
	return web.Page{Template: "cannot", Title: message.Key("cannot.heading"), Data: v}
}

// Rule is one rule a new password must keep, shown before typing.
type Rule struct {
	Text message.Message
	// Length marks the rule that is ticked live while typing.
	Length bool
}

// NewPasswordPage takes the new password after enough proofs. With Old it asks for the current one as well.
type NewPasswordPage struct {
	Running
	Old        bool   // change: the current password goes along
	Login      string // for password managers
	MinLength  int    // characters
	Rules      []Rule
	Suggestion string // a passphrase, when asked for
	Refused    int    // how often the new password was refused already
	Left       int    // how many more are taken
	Problems   []web.Problem
}

// Heading is the page's heading.
func (v NewPasswordPage) Heading() message.Message {
	if v.Old {
		return message.Key("password.heading.change")
	}
	return message.Key("password.heading")
}

// Path is where the forms go.
func (v NewPasswordPage) Path() string {
	if v.Old {
		return PathOldPassword
	}
	return PathNewPassword
}

// ManagerRules is the passwordrules attribute, by which password managers make passwords that are accepted.
func (v NewPasswordPage) ManagerRules() string {
	return fmt.Sprintf("minlength: %d; allowed: unicode;", v.MinLength)
}

// Page renders the view.
func (v NewPasswordPage) Page() web.Page {
	return web.Page{Template: "password", Title: v.Heading(), Data: v, Problems: v.Problems}
}

// UnlockPage asks for the last word before an account is unlocked.
type UnlockPage struct {
	Running
	Login string
}

// Page renders the view.
func (v UnlockPage) Page() web.Page {
	return web.Page{Template: "unlock", Title: message.Key("unlock.heading"), Data: v}
}

// WritingPage is shown while the change is made and asks again by itself, without script.
type WritingPage struct {
	Action    policy.Action
	Reference string
	Again     time.Duration // until the browser asks again; 2 s when 0
}

// Page renders the view.
func (v WritingPage) Page() web.Page {
	if v.Again == 0 {
		v.Again = 2 * time.Second
	}
	return web.Page{Template: "writing", Title: message.Key("writing.heading"), Data: v, Refresh: v.Again}
}
