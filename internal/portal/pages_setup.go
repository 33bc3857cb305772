package portal

import (
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/web"
)

// The paths of being asked to set up ways at a sign-in.
const (
	PathSetup      = "/setup"       // GET ?return_to=: without it, the short address of the security info
	PathSetupGo    = "/setup/go"    // GET: on to where the person was going, unless something is to be asked first
	PathSetupNow   = "/setup/now"   // GET: asks
	PathSetupLater = "/setup/later" // POST
	PathSetupRight = "/setup/right" // POST
	PathSetupOn    = "/setup/on"    // GET: done, with a link onwards
)

// SetupPage stands between a sign-in and where the person was going, and asks them to set up ways, or whether those they
// have are still right.
type SetupPage struct {
	App   string // where they were going; "" when it is no app
	Asked bool   // an app asked for it and waits: the way out is the one back to it
	Due   register.Due
	Own   []OwnWay // what there is, to be looked through
}

// Reconfirm reports whether it is only to be looked through.
func (v SetupPage) Reconfirm() bool { return !v.Asked && v.Due.Why == register.Reconfirm }

// MayWait reports whether it may be put off.
func (v SetupPage) MayWait() bool {
	return !v.Asked && v.Due.Mode != policy.Required && v.Due.Snoozes > 0
}

// Heading is the page's heading.
func (v SetupPage) Heading() message.Message {
	switch {
	case v.Asked:
		return message.Key("setup.heading.asked")
	case v.App != "":
		return message.Key("setup.heading.app", "App", v.App)
	}
	return message.Key("setup.heading")
}

// Lede says why.
func (v SetupPage) Lede() message.Message {
	switch {
	case v.Reconfirm():
		return message.Key("setup.reconfirm")
	case v.Asked && v.Due.Missing == 0:
		return message.Key("setup.asked")
	}
	return message.Key("setup.missing", "Missing", max(v.Due.Missing, 1))
}

// Wait says for how long and how often it may be put off, or that it may not; nothing when an app asked.
func (v SetupPage) Wait() message.Message {
	if v.Asked {
		return message.Message{}
	}
	if !v.MayWait() {
		return message.Key("setup.required")
	}
	if v.Due.Snooze == 0 {
		return message.Key("setup.wait.next", "Left", v.Due.Snoozes)
	}
	days := max(int(v.Due.Snooze.Hours()+23)/24, 1)
	return message.Key("setup.wait", "Left", v.Due.Snoozes, "For", message.Key("setup.days", "Days", days))
}

// Page renders the view.
func (v SetupPage) Page() web.Page {
	return web.Page{Template: "setup", Title: v.Heading(), Data: v, Frame: &web.Frame{}}
}

// SetupOnPage leads on. It is a page of its own because a browser that sent a form here goes to another site by a link
// only.
type SetupOnPage struct {
	App   string          // "" when they were not going to an app
	Asked bool            // an app asked for it: the way on is the one back to it
	Note  message.Message // what was just done
}

// Page renders the view.
func (v SetupOnPage) Page() web.Page {
	return web.Page{Template: "setup-on", Title: message.Key("setup_on.heading"), Data: v, Frame: &web.Frame{}, Last: v.Asked}
}
