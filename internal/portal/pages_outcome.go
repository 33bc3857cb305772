package portal

import (
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/web"
)

// DonePage says what happened, which system takes the new password from when, what to update, and where to sign in.
// It signs nobody in.
type DonePage struct {
	Action    policy.Action
	Reference string            // like KTRW-49MP
	Systems   []message.Message // which system takes it from when
	Notices   int               // how many addresses were told; 0 leaves the sentence out
	SignIn    string            // URL; "" leaves the button out
	Back      Back
}

// Back leads back to the app a person came from. The zero value leads nowhere.
type Back struct {
	App string // its name
	URL string // one it is registered with
}

// Heading is the page's heading.
func (v DonePage) Heading() message.Message {
	if v.Action == policy.Unlock {
		return message.Key("done.heading.unlock")
	}
	return message.Key("done.heading")
}

// Changed reports whether there is a new password to update on devices.
func (v DonePage) Changed() bool { return v.Action != policy.Unlock }

// Page renders the view.
func (v DonePage) Page() web.Page {
	return web.Page{Template: "done", Title: v.Heading(), Data: v, Last: true}
}

// UnknownPage is honest when the answer of the system that keeps the password did not come: it may or may not have been
// changed. Checking says that we are still finding out, and the page asks again by itself.
type UnknownPage struct {
	Action    policy.Action
	Reference string
	Checking  bool
	SignIn    string
}

// Unlocking reports whether an account was to be unlocked rather than a password set.
func (v UnknownPage) Unlocking() bool { return v.Action == policy.Unlock }

// Page renders the view.
func (v UnknownPage) Page() web.Page {
	p := web.Page{Template: "unknown", Title: message.Key("unknown.heading"), Data: v, Last: true}
	if v.Checking {
		p.Refresh = 5 * time.Second
	}
	return p
}

// UnresolvedPage says that we could not find out in the end, and what to do.
type UnresolvedPage struct {
	Action    policy.Action
	Reference string
	SignIn    string
	Again     bool // the same password may be tried once more
}

// Unlocking reports whether an account was to be unlocked rather than a password set.
func (v UnresolvedPage) Unlocking() bool { return v.Action == policy.Unlock }

// Page renders the view.
func (v UnresolvedPage) Page() web.Page {
	return web.Page{Template: "unresolved", Title: message.Key("unresolved.heading"), Data: v, Last: true}
}

// EndPage says that a try is over: refused too often, expired, cancelled, or ended otherwise.
type EndPage struct {
	End       End
	Action    policy.Action
	Reference string
}

// End is how a try ended without an outcome.
type End string

// The ends.
const (
	Refused   End = "refused"   // the new password was refused too often
	Expired   End = "expired"   // nothing happened for too long
	Cancelled End = "cancelled" // by the person, on this browser
	Stopped   End = "stopped"   // by somebody or something else: the owner said it was not them, staff, a change of the account
	NoTry     End = "no-try"    // there is none in this browser
)

// Heading is the page's heading.
func (v EndPage) Heading() message.Message {
	switch v.End {
	case Refused:
		return message.Key("end.refused.heading")
	case Expired:
		return message.Key("end.expired.heading")
	case Cancelled:
		return message.Key("end.cancelled.heading")
	case NoTry:
		return message.Key("end.no_try.heading")
	}
	return message.Key("end.stopped.heading")
}

// Text says what it means.
func (v EndPage) Text() message.Message {
	switch v.End {
	case Refused:
		return message.Key("end.refused.text")
	case Expired:
		return message.Key("end.expired.text")
	case Cancelled:
		return message.Key("end.cancelled.text")
	case NoTry:
		return message.Key("end.no_try.text")
	}
	return message.Key("end.stopped.text")
}

// Sent says what it means to somebody whom an app sent here: from there they start again.
func (v EndPage) Sent() message.Message {
	switch v.End {
	case Refused:
		return message.Key("end.refused.sent")
	case Expired:
		return message.Key("end.expired.sent")
	case Cancelled:
		return message.Key("end.cancelled.text")
	case NoTry:
		return message.Key("end.no_try.sent")
	}
	return message.Key("end.stopped.sent")
}

// Icon is the picture beside the heading.
func (v EndPage) Icon() string {
	switch v.End {
	case Refused, Stopped:
		return "ban"
	case Cancelled:
		return "x"
	}
	return "clock"
}

// Again is where to start again.
func (v EndPage) Again() string { return PathOf(v.Action) }

// Page renders the view.
func (v EndPage) Page() web.Page {
	status := 200
	if v.End == Expired || v.End == NoTry {
		status = 410
	}
	return web.Page{Template: "end", Title: v.Heading(), Data: v, Status: status, Last: true}
}

// NotMePage asks whether something done in somebody's name was not them. Showing it does nothing; posting acts.
type NotMePage struct {
	Token     string
	Action    policy.Action
	Reference string
	At        time.Time
	Finished  bool // the password was changed already: a dispute; otherwise the try is stopped
}

// Event says what is in question.
func (v NotMePage) Event() message.Message {
	switch {
	case !v.Finished:
		return message.Key("not_me.event.started", "At", v.At)
	case v.Action == policy.Unlock:
		return message.Key("not_me.event.unlocked", "At", v.At)
	}
	return message.Key("not_me.event.changed", "At", v.At)
}

// Page renders the view.
func (v NotMePage) Page() web.Page {
	return web.Page{Template: "not-me", Title: message.Key("not_me.heading"), Data: v}
}

// NotMeDonePage says what saying so did.
type NotMeDonePage struct {
	Reference string
	Finished  bool
}

// Page renders the view.
func (v NotMeDonePage) Page() web.Page {
	return web.Page{Template: "not-me-done", Title: message.Key("not_me_done.heading"), Data: v}
}

// NotMeOverPage says that there is nothing to stop any more: it ended already, or it is too long ago.
type NotMeOverPage struct {
	Late      bool
	Reference string
}

// Page renders the view.
func (v NotMeOverPage) Page() web.Page {
	return web.Page{Template: "not-me-over", Title: message.Key("not_me_over.heading"), Data: v}
}

// OtherBrowserPage says that a link of a message works only in the browser that asked for it.
type OtherBrowserPage struct{}

// Page renders the view.
func (v OtherBrowserPage) Page() web.Page {
	return web.Page{Template: "other-browser", Title: message.Key("other_browser.heading"), Data: v}
}

// HelpPage shows whom to ask.
type HelpPage struct {
	Help      web.Help
	Reference string // of the try in this browser; may be ""
}

// Page renders the view.
func (v HelpPage) Page() web.Page {
	return web.Page{Template: "help", Title: message.Key("help.heading"), Data: v}
}
