package portal

import (
	"embed"
	"io/fs"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
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

// The paths pages lead to and forms post to. Templates name them literally; a test holds the two together.
const (
	PathHome         = "/"
	PathReset        = "/reset"
	PathUnlock       = "/unlock"
	PathChange       = "/change"
	PathChoose       = "/choose"        // GET, POST way
	PathCode         = "/code"          // GET, POST code: of a mail or text message
	PathAppCode      = "/app-code"      // GET, POST code: of an authenticator app
	PathRecoveryCode = "/recovery-code" // GET, POST code: of a printed list
	PathNothing      = "/nothing-arrived"
	PathCannot       = "/cannot-finish"
	PathNewPassword  = "/new-password" // GET, POST password; POST suggest=yes
	PathOldPassword  = "/old-password" // GET, POST current, password; POST suggest=yes
	PathUnlockNow    = "/unlock-now"   // GET, POST
	PathProgress     = "/progress"     // the page that asks again by itself, and every outcome
	PathExtend       = "/extend"       // POST
	PathCancel       = "/cancel"       // POST
	PathNotMe        = "/not-me"       // GET ?t=, POST token
	PathHelp         = "/help"
)

// Field limits of the forms, in bytes.
const (
	MaxLogin    = 254
	MaxWay      = 64
	MaxCode     = 64
	MaxPassword = 4096
	MaxToken    = 256
)

// Running is what every page inside a try shows: how far it is, how long it lasts, and the ways out.
type Running struct {
	Action      policy.Action
	Step        int // 1 who, 2 prove it, 3 the password
	SecondsLeft int
	MayExtend   bool
}

// Steps is how many steps every try shows. It depends on nothing about the person.
const Steps = 3

// Total is Steps, for templates.
func (r Running) Total() int { return Steps }

// Reached tells for each step whether it is reached.
func (r Running) Reached() [Steps]bool {
	var out [Steps]bool
	for i := range out {
		out[i] = i < r.Step
	}
	return out
}

// MinutesLeft is the time left in whole minutes, at least one while there is any.
func (r Running) MinutesLeft() int { return max((r.SecondsLeft+30)/60, min(r.SecondsLeft, 1)) }

// HomePage offers what a person can do here.
type HomePage struct {
	SignIn  string // where people sign in; "" leaves the link out
	Account bool   // they can sign in here and see their ways
	Stories []Story
}

// Story is a box on the first page of a demonstration.
type Story struct {
	Name, Text message.Message
	URL        string
}

// Page renders the view.
func (v HomePage) Page() web.Page {
	return web.Page{Template: "home", Title: message.Key("home.heading"), Data: v}
}

// StartPage asks for the login name. It depends on nothing but the action.
type StartPage struct {
	Action   policy.Action
	Login    string // as typed, or from a link's hint
	Problems []web.Problem
}

// Heading is the page's heading.
func (v StartPage) Heading() message.Message {
	switch v.Action {
	case policy.Unlock:
		return message.Key("start.unlock.heading")
	case policy.Change:
		return message.Key("start.change.heading")
	}
	return message.Key("start.reset.heading")
}

// Lede says what will happen.
func (v StartPage) Lede() message.Message {
	switch v.Action {
	case policy.Unlock:
		return message.Key("start.unlock.lede")
	case policy.Change:
		return message.Key("start.change.lede")
	}
	return message.Key("start.reset.lede")
}

// Icon is the picture beside the heading.
func (v StartPage) Icon() string { return actionIcon(v.Action) }

// Path is where the form goes.
func (v StartPage) Path() string { return PathOf(v.Action) }

// PathOf returns the first page of an action.
func PathOf(a policy.Action) string {
	switch a {
	case policy.Unlock:
		return PathUnlock
	case policy.Change:
		return PathChange
	}
	return PathReset
}

func actionIcon(a policy.Action) string {
	switch a {
	case policy.Unlock:
		return "lock-open"
	case policy.Change:
		return "refresh-cw"
	}
	return "key-round"
}

// Page renders the view.
func (v StartPage) Page() web.Page {
	return web.Page{Template: "start", Title: v.Heading(), Data: v, Problems: v.Problems}
}

// Way is one way to prove it, offered as a radio button.
type Way struct {
	Kind   method.Kind
	Value  string // what the form sends: a kind before the first proof, an id of their own after it
	Masked string // where a code would go, masked; only after the first proof
	Name   string // what the person calls it; only after the first proof
	// Until, when set, is when it starts to count: it is shown and cannot be chosen.
	Until time.Time
}

// Label names the way.
func (w Way) Label() message.Message {
	switch w.Kind {
	case method.Email:
		return message.Key("kind.email")
	case method.SMS:
		return message.Key("kind.sms")
	case method.Voice:
		return message.Key("kind.voice")
	case method.TOTP, method.HOTP:
		return message.Key("kind.app")
	case method.RecoveryCode:
		return message.Key("kind.recovery_code")
	case method.Passkey:
		return message.Key("kind.passkey")
	case method.IDP:
		return message.Key("kind.sign_in")
	}
	return message.Key("kind.other")
}

// Hint says what choosing it does.
func (w Way) Hint() message.Message {
	switch w.Kind {
	case method.Email:
		if w.Masked != "" {
			return message.Key("kind.email.to", "Address", w.Masked)
		}
		return message.Key("kind.email.hint")
	case method.SMS:
		if w.Masked != "" {
			return message.Key("kind.sms.to", "Number", w.Masked)
		}
		return message.Key("kind.sms.hint")
	case method.Voice:
		if w.Masked != "" {
			return message.Key("kind.voice.to", "Number", w.Masked)
		}
		return message.Key("kind.voice.hint")
	case method.TOTP, method.HOTP:
		if w.Name != "" {
			return message.Key("kind.app.named", "Name", w.Name)
		}
		return message.Key("kind.app.hint")
	case method.RecoveryCode:
		return message.Key("kind.recovery_code.hint")
	case method.Passkey:
		if w.Name != "" {
			return message.Key("kind.passkey.named", "Name", w.Name)
		}
		return message.Key("kind.passkey.hint")
	case method.IDP:
		return message.Key("kind.sign_in.hint")
	}
	return message.Message{}
}

// Icon is the picture of the way.
func (w Way) Icon() string { return web.KindIcon(w.Kind) }

// ChoosePage asks how to prove it before anything is proved: the same for everybody. Needed comes from the policy as a
// whole, never from a person's rule.
type ChoosePage struct {
	Running
	Ways     []Way
	Needed   int             // how many ways the policy asks for at most
	Chosen   string          // the value chosen before; "" chooses none
	Note     message.Message // why they are here again, when a page of its own could not say it
	Problems []web.Problem
}

// Page renders the view.
func (v ChoosePage) Page() web.Page {
	return web.Page{Template: "choose", Title: message.Key("choose.heading"), Data: v, Problems: v.Problems}
}

// NextPage asks for the next way after a first valid proof, and is candid: their own ways, what does not count yet,
// what is missing, whom to ask.
type NextPage struct {
	Running
	Proved   []Way // done so far
	Needed   int
	Ways     []Way
	Resting  []Way             // with Until
	Missing  []message.Message // why what they have is not enough, or what does not count
	Chosen   string
	Note     message.Message
	Problems []web.Problem
}

// Remaining is how many more are needed.
func (v NextPage) Remaining() int { return max(v.Needed-len(v.Proved), 0) }

// Page renders the view.
func (v NextPage) Page() web.Page {
	return web.Page{Template: "next", Title: message.Key("next.heading"), Data: v, Problems: v.Problems}
}

// CodePage takes the code of a mail, a text message or a call. Masked is set only after a first proof; without it the
// page is the same for everybody.
type CodePage struct {
	Running
	Way      Way
	Digits   int // of the code
	Minutes  int // it works for
	Problems []web.Problem
}

// Heading says where to look.
func (v CodePage) Heading() message.Message {
	if v.Way.Kind == method.Email {
		return message.Key("code.heading.mail")
	}
	return message.Key("code.heading.phone")
}

// Lede says what is on its way.
func (v CodePage) Lede() message.Message {
	to := v.Way.Masked
	switch v.Way.Kind {
	case method.Email:
		if to != "" {
			return message.Key("code.sent.email", "Digits", v.Digits, "Address", to)
		}
		return message.Key("code.maybe.email", "Digits", v.Digits)
	case method.Voice:
		if to != "" {
			return message.Key("code.sent.voice", "Digits", v.Digits, "Number", to)
		}
		return message.Key("code.maybe.voice", "Digits", v.Digits)
	}
	if to != "" {
		return message.Key("code.sent.sms", "Digits", v.Digits, "Number", to)
	}
	return message.Key("code.maybe.sms", "Digits", v.Digits)
}

// SMS reports whether the code may fill itself in from a text message.
func (v CodePage) SMS() bool { return v.Way.Kind == method.SMS }

// Page renders the view.
func (v CodePage) Page() web.Page {
	return web.Page{Template: "code", Title: v.Heading(), Data: v, Problems: v.Problems}
}
