package portal

import (
	"context"
	"net/http"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/web"
)

// Door signs people in at their identity provider; signin.Door is one.
type Door interface {
	// In answers whoever is signed in; others are sent to sign in and back to this very path.
	In(h signin.Handler) web.Handler
	// Session returns the session of the browser; nil when nobody is signed in.
	Session(r *web.Request) (*session.Session, error)
	// StepUp asks the person to sign in once more, more strongly, and to go on at a path of this site. A post is answered by
	// a page that links to it.
	StepUp(r *web.Request, s *session.Session, to string, want ...string) (web.Page, error)
	// Trust answers a post by which somebody asks that this browser be trusted: they step up first, and go on at a path.
	Trust(r *web.Request, s *session.Session, to string) (web.Page, error)
	// Browser returns the trusted browser that asks; nil when it is none.
	Browser(r *web.Request) (*session.Browser, error)
	// Begin leaves for the provider of the flow. It answers a GET only.
	Begin(r *web.Request, f session.Flow) (web.Page, error)
	Providers() []signin.Provider
}

// Handler answers a request of somebody who is signed in.
type Handler = signin.Handler

// Registrar is what people do to their own ways; register.Service is one.
type Registrar interface {
	Overview(ctx context.Context, s *session.Session) (*register.Overview, error)
	Begin(ctx context.Context, s *session.Session, o reset.Origin, kind method.Kind, in register.Input) (*register.Enrolment, error)
	Sheet(ctx context.Context, s *session.Session, e *register.Enrolment) (*register.Sheet, error)
	Again(ctx context.Context, s *session.Session, o reset.Origin, id string) error
	Confirm(ctx context.Context, s *session.Session, o reset.Origin, id, answer string) (*register.Own, error)
	Leave(ctx context.Context, s *session.Session, id string) error
	// Resume takes what was begun in the session named over into the one a step-up made of it.
	Resume(ctx context.Context, s *session.Session, from string) error
	Remove(ctx context.Context, s *session.Session, o reset.Origin, methodID string) error
	Keep(ctx context.Context, s *session.Session, o reset.Origin, methodID string) error
	Rename(ctx context.Context, s *session.Session, o reset.Origin, methodID, name string) error
	Reviewed(ctx context.Context, s *session.Session) error
	Snooze(ctx context.Context, s *session.Session, o reset.Origin) error
	Due(ctx context.Context, s *session.Session, o reset.Origin) (register.Due, error)
}

// Sessions are a person's own sign-ins and browsers; session.Service is one.
type Sessions interface {
	Sessions(ctx context.Context, person string) ([]session.Session, error)
	// EndOf ends another session of the same person; fault.NotFound when they have none of that id.
	EndOf(ctx context.Context, by *session.Session, id string) error
	Browsers(ctx context.Context, person string) ([]session.Browser, error)
	ForgetBrowser(ctx context.Context, by *session.Session, id string) error
}

// Reads are the few things the pages look up by themselves. They decide nothing.
type Reads interface {
	// Person returns somebody by their id; nil when there is nobody.
	Person(ctx context.Context, id string) (*account.Person, error)
	// App returns a registered app, disabled or not; nil when there is none of that key.
	App(ctx context.Context, key string) (*client.App, error)
	// Methods returns all ways of a person in order of id, whatever their status.
	Methods(ctx context.Context, person string) ([]method.Method, error)
	// EventsOf returns the latest events about a person, newest first, older than the event named before, at most n.
	EventsOf(ctx context.Context, person, before string, n int) ([]event.Event, error)
}

// Account is what the pages of somebody who is signed in need. The zero value leaves those pages out: there is no identity
// provider to sign in at.
type Account struct {
	Door     Door
	Register Registrar
	Sessions Sessions
	Reads    Reads
}

// mountAccount adds the pages of somebody who is signed in.
func (p *Pages) mountAccount(s *web.Site) {
	get, post := http.MethodGet, http.MethodPost
	in := func(method, path string, h Handler) { s.Handle(method, path, p.Door.In(p.framed(h))) }
	in(get, PathSecurity, p.security)
	in(post, PathReviewed, p.reviewed)
	in(get, PathAdd, p.add)
	in(post, PathAdd, p.addChosen)
	in(post, PathLeave, p.leave)
	in(get, PathAddPasskey, p.addPasskey(nil))
	in(post, PathAddPasskey, p.passkeyMade)
	in(get, PathAddApp, p.addApp(nil))
	in(post, PathAddApp, p.appShown)
	in(get, PathAddEmail, p.destination(method.Email))
	in(post, PathAddEmail, p.destinationGiven(method.Email))
	in(get, PathAddPhone, p.destination(method.SMS))
	in(post, PathAddPhone, p.destinationGiven(method.SMS))
	in(get, PathConfirm, p.confirm(nil))
	in(post, PathConfirm, p.confirmed)
	in(post, PathAgain, p.again)
	in(get, PathAddCodes, p.addCodes)
	in(post, PathAddCodes, p.codesSaved)
	in(get, PathCodesFile, p.codesFile)
	in(get, PathRemove, p.remove)
	in(post, PathRemove, p.removed)
	in(get, PathRename, p.rename(nil))
	in(post, PathRename, p.renamed)
	in(post, PathKeep, p.keep)

	s.Handle(get, PathSetup, p.setup)
	in(get, PathSetupGo, p.setupGo)
	in(get, PathSetupNow, p.setupNow)
	in(post, PathSetupLater, p.setupLater)
	in(post, PathSetupRight, p.setupRight)
	in(get, PathSetupOn, p.setupOn)

	in(get, PathActivity, p.activity)
	in(post, PathEndSession, p.endSession)
	in(post, PathEndOthers, p.endOthers)
	in(post, PathForget, p.forget)
	in(post, PathTrust, p.trust)
}

// framed puts the name of whoever is signed in above a page, and sends a change that needs a step-up to one.
func (p *Pages) framed(h Handler) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		page, err := h(r, s)
		if err != nil || page.Template == "" {
			return page, err
		}
		who, err := p.Reads.Person(r.Context(), s.Person)
		if err != nil {
			return web.Page{}, err
		}
		if page.Frame == nil {
			page.Frame = &web.Frame{}
		}
		if who != nil {
			page.Frame.Name = who.Name()
		}
		return page, nil
	}
}

// rooms are the places somebody who is signed in goes to and fro between; here is the path of the one they are in.
func rooms(here string) *web.Frame {
	f := &web.Frame{Rooms: []web.Room{
		{Path: PathSecurity, Icon: "shield-check", Text: message.Key("security.heading")},
		{Path: PathActivity, Icon: "history", Text: message.Key("activity.heading")},
		{Path: PathChange, Icon: "key-round", Text: message.Key("security.room.password")},
	}}
	for i := range f.Rooms {
		f.Rooms[i].Here = f.Rooms[i].Path == here
	}
	return f
}

// The notes say on the page after a post what was done. A cookie carries the word, so that no link can claim it.
const (
	cookieNote  = "note"
	noteAdded   = "added"
	noteRemoved = "removed"
	noteLeaving = "leaving"
	noteKept    = "kept"
	noteRenamed = "renamed"
	noteRight   = "right"
	noteLeft    = "left"
	noteEnded   = "ended"
	noteForgot  = "forgotten"
	noteSignIn  = "signin"
)

// going leads on with a note.
func going(to, note string) web.Page {
	return web.Page{Goto: to, Cookies: []web.Cookie{{Name: cookieNote, Value: note, MaxAge: noteAge}}}
}

// noted returns what is to be said first, and forgets it.
func noted(r *web.Request) (message.Message, []web.Cookie) {
	word := r.Cookie(cookieNote)
	if word == "" {
		return message.Message{}, nil
	}
	forget := []web.Cookie{{Name: cookieNote, MaxAge: -1}}
	switch word {
	case noteAdded:
		return message.Key("security.note.added"), forget
	case noteRemoved:
		return message.Key("security.note.removed"), forget
	case noteLeaving:
		return message.Key("security.note.leaving"), forget
	case noteKept:
		return message.Key("security.note.kept"), forget
	case noteRenamed:
		return message.Key("security.note.renamed"), forget
	case noteRight:
		return message.Key("security.note.right"), forget
	case noteLeft:
		return message.Key("security.note.left"), forget
	case noteEnded:
		return message.Key("activity.note.ended"), forget
	case noteForgot:
		return message.Key("activity.note.forgotten"), forget
	}
	return message.Message{}, forget
}
