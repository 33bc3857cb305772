package handoff

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// NotePage says that an app's link does not work, or that what it began has ended. It leads nobody away by itself.
type NotePage struct {
	Status  int
	Icon    string
	Heading message.Message
	Lede    message.Message
	App     string // name of the app
	Again   string // where the app says somebody may start again (OIDC Core §4); "" for nowhere
}

// Page renders the view.
func (v NotePage) Page() web.Page {
	return web.Page{Template: "handoff-note", Title: v.Heading, Status: v.Status, Data: v}
}

// broken answers a request whose client or redirect URI is not known to be good: nobody is sent anywhere (RFC 6749 §4.1.2.1).
func broken() web.Page {
	return NotePage{Status: http.StatusBadRequest, Icon: "circle-alert", Heading: message.Key("handoff.broken.heading"), Lede: message.Key("handoff.broken")}.Page()
}

// ended answers whoever comes with a handoff that was answered, expired, or is another browser's. app may be nil.
func (s *Service) ended(app *client.App) web.Page {
	v := NotePage{Status: http.StatusGone, Icon: "clock", Heading: message.Key("handoff.over.heading"), Lede: message.Key("handoff.over")}
	if app != nil && app.Initiate != "" && !app.Disabled {
		v.App, v.Again = app.Name, withQuery(app.Initiate, url.Values{"iss": {s.Base}})
	}
	page := v.Page()
	page.Cookies = []web.Cookie{s.Forget()}
	return page
}

// answerTo is a redirect URI with an answer: whatever is said to an app, it is said who says it (RFC 9207) and the app's
// state comes with it.
func (s *Service) answerTo(redirect, state string, answer url.Values) string {
	answer.Set("iss", s.Base)
	if state != "" {
		answer.Set("state", state)
	}
	return withQuery(redirect, answer)
}

// deny sends a browser back with an error. app may be nil.
func (s *Service) deny(r *web.Request, app *client.App, redirect, state string, e *refusal) web.Page {
	return s.leave(r, app, s.answerTo(redirect, state, url.Values{"error": {e.code}, "error_description": {e.description}}))
}

// leave sends a browser on to an app. Chromium and Safari hold every hop after a form of ours to form-action, the hops that
// the app adds included: one that answers its callback by leading on to a sign-in elsewhere, as many do, would leave the
// person standing here without a word, and the code spent. So a browser that sent a form gets a page that goes on by itself;
// whatever else asks gets the redirect.
func (s *Service) leave(r *web.Request, app *client.App, to string) web.Page {
	page := web.Page{Leave: to}
	own := r.URL.Path == PathReturn || r.URL.Path == PathCancel
	if own && r.Header.Get("Sec-Fetch-Dest") == "document" {
		v := LeavingPage{To: to}
		if app != nil {
			v.App = app.Name
		}
		page = v.Page()
	}
	page.Cookies = []web.Cookie{s.Forget()}
	return page
}

// LeavingPage goes on to an app by itself, and has a link for whoever stays.
type LeavingPage struct {
	App string // its name
	To  string // one of its addresses, with the answer
}

// Page renders the view.
func (v LeavingPage) Page() web.Page {
	return web.Page{Template: "handoff-leaving", Title: message.Key("handoff.leaving.heading", "App", v.App), Leave: v.To, Data: v}
}

// withQuery adds to the query of a registered address and leaves what is there as it is (RFC 6749 §3.1.2).
func withQuery(address string, more url.Values) string {
	glue := "?"
	if strings.Contains(address, "?") {
		glue = "&"
		if strings.HasSuffix(address, "?") || strings.HasSuffix(address, "&") {
			glue = ""
		}
	}
	return address + glue + more.Encode()
}

// Forget returns the cookie that ends the tie of this browser: what somebody does from now on is for no app.
func (s *Service) Forget() web.Cookie { return web.Cookie{Name: cookieName, MaxAge: -time.Second} }
