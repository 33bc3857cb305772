package web

import (
	"net/http"
	"time"

	"github.com/regain-id/regain/internal/message"
)

// Page is what a handler answers: a template with its data, or a place to go.
type Page struct {
	Template string          // the name of a {{define}}d body
	Title    message.Message // of the window; the organisation's name is appended
	Data     any             // the dot of the template
	// Problems are what is wrong with what was sent. With any, the status is 422 and the title says so; the template
	// shows them by {{template "problems" .Problems}}.
	Problems []Problem
	Status   int    // 0 means 200, 422 with Problems, or 303 with Goto
	Goto     string // a path of this site to see next; Template is not used
	// Leave is an absolute address of another site to go to: an identity provider's, an app's registered one. It is chosen
	// by us and never taken from a request. Chromium holds every hop after a post to form-action, so answer a post with a
	// page that links to a GET which leaves, or with a Template beside: that page is shown and goes on by itself, without
	// script, and neither this hop nor any after it is held to anything. It must have a link, too.
	Leave   string
	Refresh time.Duration // the browser asks for the page again after so long, without script; whole seconds
	Cookies []Cookie
	// JSON, when not nil, is written instead of a template: for a page that programs may ask for, too.
	JSON any
	// File, when not nil, is sent instead of a template, to be saved and not shown.
	File *File
	// Frame is what stands around the page of somebody who is signed in; nil: nothing does.
	Frame *Frame
	// Last says that nothing is left to do here: with a Sender the way back to it stands below what the page says, as its
	// main button, and no longer above.
	Last bool
}

// File is a text to save. Its name is one of ours, never a person's or a stranger's.
type File struct {
	Name string // like codes.txt
	Text string // plain text in UTF-8
}

// Frame is what stands around a page of somebody who is signed in: who they are, the way out, and the rooms beside it.
type Frame struct {
	Name  string // of the person
	Rooms []Room // with any, the page is a wide one with these links beside it; without, it is a narrow one: a step
}

// Sender is the app that sent somebody here by a handoff. It is shown on every page until they go back, with the way out,
// and forms may then lead to its origin: Chromium holds every hop after a post to form-action.
type Sender struct {
	Name   string // what people read
	Host   string // where they go back to
	Origin string // the same as scheme, host and port, for form-action; one that was registered. What is none is left out
	Cancel string // path that a post to goes back with nothing changed; "" leaves the button out: there is something to take back
	Return string // path that a post to goes back with what happened; "" while there is nothing
}

// Room is one of the places somebody who is signed in goes to and fro between.
type Room struct {
	Path string
	Icon string
	Text message.Message
	Here bool // the page is of this room
}

// Problem is one thing wrong with a form. Field is the id of the input at fault, "" for the form as a whole.
type Problem struct {
	Field string
	Say   message.Message
}

// Cookie is set with a page. Its name gets the prefix of the site's scheme (Site.CookieName). It is never readable by
// script, always for the whole site, and SameSite=Lax unless Strict: a Strict one does not come along when a link in a
// mail is followed.
type Cookie struct {
	Name   string
	Value  string
	MaxAge time.Duration // 0 ends with the browser, negative deletes
	Strict bool
}

// CookieName returns the name under which a cookie travels: __Host-NAME on https, where a browser then accepts it from
// this host over TLS only (RFC 6265bis §4.1.3.2), regain-NAME on loopback http.
func (s *Site) CookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return "regain-" + name
}

func (s *Site) setCookie(w http.ResponseWriter, c Cookie) {
	out := &http.Cookie{
		Name: s.CookieName(c.Name), Value: c.Value, Path: "/", HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
	if c.Strict {
		out.SameSite = http.SameSiteStrictMode
	}
	switch {
	case c.MaxAge < 0:
		out.MaxAge, out.Value = -1, ""
	case c.MaxAge > 0:
		out.MaxAge = int(c.MaxAge / time.Second)
	}
	http.SetCookie(w, out)
}
