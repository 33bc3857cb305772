package signin

import (
	"cmp"
	"net/http"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// ChoosePage asks at which provider to sign in.
type ChoosePage struct{ Providers []Provider }

// Page renders the view.
func (v ChoosePage) Page() web.Page {
	return web.Page{Template: "signin-choose", Title: message.Key("signin.choose.heading"), Data: v}
}

// StepUpPage stands between a form and the provider: browsers let no form lead elsewhere, a link may.
type StepUpPage struct {
	Provider string
	Trust    bool // it is about trusting this browser
}

// Page renders the view.
func (v StepUpPage) Page() web.Page {
	return web.Page{Template: "signin-step-up", Title: v.Heading(), Data: v}
}

// Heading is the page's heading.
func (v StepUpPage) Heading() message.Message {
	if v.Trust {
		return message.Key("signin.trust.heading")
	}
	return message.Key("signin.step_up.heading")
}

// Lede says why.
func (v StepUpPage) Lede() message.Message {
	if v.Trust {
		return message.Key("signin.trust.lede", "Provider", v.Provider)
	}
	return message.Key("signin.step_up.lede", "Provider", v.Provider)
}

// SignedOutPage says that nobody is signed in here any more.
type SignedOutPage struct {
	Everywhere bool   // the provider came back from its own sign-out
	Provider   string // offers the sign-out there; "" for none
}

// Page renders the view.
func (v SignedOutPage) Page() web.Page {
	return web.Page{Template: "signin-out", Title: message.Key("signin.out.heading"), Data: v}
}

// NotePage says why a sign-in did not end well, and what to do.
type NotePage struct {
	Status   int
	Icon     string
	Tone     string // bad, warn or ""
	Heading  message.Message
	Lede     message.Message
	Again    string // a path to try again; "" for none
	SignIn   bool   // Again is signing in, and not the same once more
	Account  string // the provider's own page; "" for none
	Provider string
}

// Page renders the view.
func (v NotePage) Page() web.Page {
	return web.Page{Template: "signin-note", Title: v.Heading, Status: v.Status, Data: v}
}

// again is where to try once more: the page that asked for the sign-in, which asks again.
func again(f *session.Flow) string {
	if f == nil || f.Purpose == session.Proof {
		return ""
	}
	if f.Goto == "/" { // that one asks for nothing
		return PathSignIn
	}
	return cmp.Or(f.Goto, PathSignIn)
}

// signInAgain answers somebody whose session is over and whose post was therefore not taken.
func signInAgain() web.Page {
	return NotePage{Status: http.StatusForbidden, Icon: "log-in", Heading: message.Key("signin.again.heading"), Lede: message.Key("signin.again.lede"),
		Again: PathSignIn, SignIn: true}.Page()
}

// endedPage answers a sign-in that this browser did not begin, that was answered before, or whose time is up.
func endedPage() web.Page {
	return NotePage{Status: http.StatusGone, Icon: "clock", Tone: "warn", Heading: message.Key("signin.over.heading"), Lede: message.Key("signin.over"),
		Again: PathSignIn, SignIn: true}.Page()
}

// cancelledPage answers somebody who said no at the provider, or was told no.
func cancelledPage(f *session.Flow) web.Page {
	return NotePage{Status: http.StatusForbidden, Icon: "ban", Tone: "warn", Heading: message.Key("signin.cancelled.heading"), Lede: message.Key("signin.cancelled.lede"), Again: again(f)}.Page()
}

// refusedPage answers what is not to be believed, without saying which check failed.
func refusedPage(f *session.Flow) web.Page {
	return NotePage{Status: http.StatusForbidden, Icon: "circle-alert", Tone: "bad", Heading: message.Key("signin.failed.heading"), Lede: message.Key("signin.failed.lede"), Again: again(f)}.Page()
}

// deniedPage tells somebody who proved to be someone, but nobody here, why.
func deniedPage(err error) web.Page {
	kind, say := fault.Read(err)
	v := NotePage{Status: http.StatusForbidden, Icon: "circle-alert", Tone: "warn", Heading: message.Key("signin.refused.heading"), Lede: say, Again: PathSignIn, SignIn: true}
	if kind == fault.Over {
		v.Status, v.Icon, v.Heading = http.StatusGone, "clock", message.Key("signin.over.heading")
	}
	return v.Page()
}

// requires says what the organisation asks for that this sign-in did not bring.
func (d *Door) requires(p *provider, f *session.Flow) web.Page {
	v := NotePage{Status: http.StatusForbidden, Icon: "shield-alert", Tone: "warn", Heading: message.Key("signin.requires.heading"),
		Lede: message.Key("signin.requires.none"), Again: again(f)}
	if p != nil {
		v.Provider, v.Account = p.Label, p.AccountURL
		switch {
		case f != nil && f.Purpose == session.Proof && len(p.NoPassword) > 0:
			v.Lede = message.Key("signin.requires.no_password")
		case len(p.StepUp.Accept) > 0:
			v.Lede = message.Key("signin.requires.lede")
		}
	}
	return v.Page()
}
