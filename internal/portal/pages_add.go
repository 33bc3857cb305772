package portal

import (
	"html/template"
	"strings"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/web"
)

// Adding is how far somebody is who sets up as many ways as their organisation wants. The zero value shows nothing.
type Adding struct {
	Have int // different ways set up
	Of   int // how many are wanted; 0: they add one more of their own accord
}

// Number is the one being set up now.
func (a Adding) Number() int { return min(a.Have+1, a.Of) }

// Reached tells for each step whether it is reached.
func (a Adding) Reached() []bool {
	out := make([]bool, max(a.Of, 0))
	for i := range out {
		out[i] = i <= a.Have
	}
	return out
}

// Choice is a way that can be added.
type Choice struct{ Kind method.Kind }

// Label names it.
func (c Choice) Label() message.Message { return nameOf(c.Kind) }

// Icon is its picture.
func (c Choice) Icon() string { return Way{Kind: c.Kind}.Icon() }

// Hint says what it is.
func (c Choice) Hint() message.Message {
	switch c.Kind {
	case method.Passkey:
		return message.Key("add.passkey")
	case method.TOTP:
		return message.Key("add.app")
	case method.Email:
		return message.Key("add.email")
	case method.SMS:
		return message.Key("add.phone")
	case method.RecoveryCode:
		return message.Key("add.codes")
	}
	return message.Message{}
}

// AddPage asks which way to add, strongest first. With none there is nothing more to add.
type AddPage struct {
	Adding
	Note     message.Message // what was just done
	Choices  []Choice
	Chosen   method.Kind
	Problems []web.Problem
}

// Page renders the view.
func (v AddPage) Page() web.Page {
	return web.Page{Template: "add", Title: message.Key("add.heading"), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// AddPasskeyPage lets the browser make a passkey. It is the one page that needs script, and says so.
type AddPasskeyPage struct {
	Adding
	ID       string
	Options  string // JSON for the browser
	Problems []web.Problem
}

// Page renders the view.
func (v AddPasskeyPage) Page() web.Page {
	return web.Page{Template: "add-passkey", Title: message.Key("add_passkey.heading"), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// AddAppPage shows the secret of an app in three forms and asks for the first code.
type AddAppPage struct {
	Adding
	ID       string
	URI      string // otpauth:
	Secret   string // base32, in groups of four
	QR       register.QR
	Digits   int
	Problems []web.Problem
}

// Link opens the app on the phone in hand. Only an address of such apps becomes a link.
func (v AddAppPage) Link() template.URL {
	if !strings.HasPrefix(v.URI, "otpauth://") {
		return ""
	}
	return template.URL(v.URI)
}

// Page renders the view.
func (v AddAppPage) Page() web.Page {
	return web.Page{Template: "add-app", Title: message.Key("add_app.heading"), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// DestinationPage asks for an address or a number.
type DestinationPage struct {
	Adding
	Kind     method.Kind // email or sms
	Value    string
	Problems []web.Problem
}

// Mail reports whether an address is asked for, not a number.
func (v DestinationPage) Mail() bool { return v.Kind == method.Email }

// Heading is the page's heading.
func (v DestinationPage) Heading() message.Message {
	if v.Mail() {
		return message.Key("destination.heading.email")
	}
	return message.Key("destination.heading.phone")
}

// Action is where the form goes.
func (v DestinationPage) Action() string {
	if v.Mail() {
		return PathAddEmail
	}
	return PathAddPhone
}

// Page renders the view.
func (v DestinationPage) Page() web.Page {
	return web.Page{Template: "destination", Title: v.Heading(), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// ConfirmPage takes the code that was sent to an address, which is shown whole: whoever typed it sees whether it is right.
type ConfirmPage struct {
	Adding
	ID          string
	Kind        method.Kind
	Destination string
	Digits      int
	Minutes     int // the code still works for
	Sends       int // how many codes were asked for so far
	MayAgain    bool
	Lost        bool // the last code could not be sent
	Problems    []web.Problem
}

// SMS reports whether the code may fill itself in from a text message.
func (v ConfirmPage) SMS() bool { return v.Kind == method.SMS }

// Lede says what is on its way.
func (v ConfirmPage) Lede() message.Message {
	if v.SMS() {
		return message.Key("confirm.sent.sms", "Digits", v.Digits, "Number", v.Destination)
	}
	return message.Key("confirm.sent.email", "Digits", v.Digits, "Address", v.Destination)
}

// Heading says where to look.
func (v ConfirmPage) Heading() message.Message { return CodePage{Way: Way{Kind: v.Kind}}.Heading() }

// Change is where another address can be entered.
func (v ConfirmPage) Change() string { return DestinationPage{Kind: v.Kind}.Action() }

// Page renders the view.
func (v ConfirmPage) Page() web.Page {
	return web.Page{Template: "confirm", Title: v.Heading(), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// AddCodesPage shows a list of recovery codes, once. They count only after the person said that they saved them.
type AddCodesPage struct {
	Adding
	ID    string
	Codes []string
}

// Page renders the view.
func (v AddCodesPage) Page() web.Page {
	return web.Page{Template: "add-codes", Title: message.Key("add_codes.heading"), Data: v, Frame: &web.Frame{}}
}
