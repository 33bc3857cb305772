package portal

import (
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/web"
)

// The paths of the ways that are proved by the browser and by an identity provider.
const (
	PathPasskey      = "/passkey"         // GET, POST answer
	PathWorkSignIn   = "/work-sign-in"    // GET
	PathWorkSignInGo = "/work-sign-in/go" // GET ?idp=
)

// PasskeyPage asks the browser for a passkey inside a try. Before the first proof it names none, so that it is the same
// for everybody.
type PasskeyPage struct {
	Running
	Options  string // JSON for the browser
	Problems []web.Problem
}

// Page renders the view.
func (v PasskeyPage) Page() web.Page {
	return web.Page{Template: "passkey", Title: message.Key("passkey.heading"), Data: v, Problems: v.Problems}
}

// WorkSignInPage leads to the identity providers a sign-in at which may prove something.
type WorkSignInPage struct {
	Running
	Providers []signin.Provider
}

// Page renders the view.
func (v WorkSignInPage) Page() web.Page {
	return web.Page{Template: "work-sign-in", Title: message.Key("work_sign_in.heading"), Data: v}
}
