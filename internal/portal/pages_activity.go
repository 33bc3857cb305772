package portal

import (
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// The paths of what happened.
const (
	PathActivity   = "/activity"                 // GET ?before=
	PathEndSession = "/activity/sign-out"        // POST id
	PathEndOthers  = "/activity/sign-out-others" // POST
	PathForget     = "/activity/forget"          // POST id
	PathTrust      = "/activity/trust"           // POST
)

// PerPage is how many events one page of the activity shows.
const PerPage = 50

// ActivityPage is what happened to somebody's account, where they are signed in, and which browsers they trust.
type ActivityPage struct {
	Note     message.Message
	Sessions []SignedIn
	Browsers []Trusted
	Events   []Happened
	Older    string // id of the last event read, when there may be older ones
	MayTrust bool   // this browser is not trusted yet
	Further  bool   // not the first page: what is open now is left out
}

// SignedIn is one sign-in that is still open.
type SignedIn struct {
	ID      string
	Here    bool // in this very browser
	Agent   string
	Network string
	Started time.Time
	Seen    time.Time
}

// Trusted is a browser somebody said they trust.
type Trusted struct {
	ID      string
	Agent   string
	Network string
	Made    time.Time
	Expires time.Time
}

// Happened is one thing that happened, in words for people.
type Happened struct {
	At   time.Time
	Text message.Message
	From string // where from; "" when it is not known
	Icon string
	Tone string // "", ok, warn or bad: of the picture
}

// Others reports whether there is another sign-in than this one.
func (v ActivityPage) Others() bool {
	for _, s := range v.Sessions {
		if !s.Here {
			return true
		}
	}
	return false
}

// Page renders the view.
func (v ActivityPage) Page() web.Page {
	return web.Page{Template: "activity", Title: message.Key("activity.heading"), Data: v, Frame: rooms(PathActivity)}
}
