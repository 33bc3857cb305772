package portal

import (
	"slices"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/web"
)

// The paths of the pages on which people manage their ways.
const (
	PathSecurity   = "/security-info"
	PathReviewed   = "/security-info/reviewed"  // POST
	PathAdd        = "/security-info/add"       // GET, POST kind
	PathAddPasskey = "/security-info/passkey"   // GET, POST id, answer
	PathAddApp     = "/security-info/app"       // GET, POST id, code
	PathAddEmail   = "/security-info/email"     // GET, POST destination
	PathAddPhone   = "/security-info/phone"     // GET, POST destination
	PathConfirm    = "/security-info/confirm"   // GET, POST id, code
	PathAgain      = "/security-info/again"     // POST id
	PathAddCodes   = "/security-info/codes"     // GET, POST id
	PathCodesFile  = "/security-info/codes.txt" // GET
	PathLeave      = "/security-info/leave"     // POST id
	PathRemove     = "/security-info/remove"    // GET ?id=, POST id
	PathRename     = "/security-info/rename"    // GET ?id=, POST id, name
	PathKeep       = "/security-info/keep"      // POST id
)

// Field limits of these forms, in bytes.
const (
	MaxID          = 64
	MaxDestination = 254
	MaxName        = 240      // 60 characters of four bytes
	MaxAnswer      = 16 << 10 // what a browser says of a passkey
)

// OwnWay is one of the person's ways in a list.
type OwnWay struct {
	ID     string
	Kind   method.Kind
	Name   string            // what they call it, or a masked destination
	Facts  []message.Message // when added, by whom, when last used
	Badges []Badge
	Change bool // they may name and remove it
	Keep   bool // it is going to be removed, and may be kept
}

// Badge is a short word on a way.
type Badge struct {
	Tone string // ok, warn, bad, or "" for neither
	Text message.Message
}

// Label names the kind of the way.
func (w OwnWay) Label() message.Message { return nameOf(w.Kind) }

// Icon is the picture of the way.
func (w OwnWay) Icon() string { return Way{Kind: w.Kind}.Icon() }

// nameOf names a kind as a thing somebody has, where Way.Label names it as a thing to do.
func nameOf(k method.Kind) message.Message {
	switch k {
	case method.SMS, method.Voice:
		return message.Key("way.phone")
	case method.RecoveryCode:
		return message.Key("way.codes")
	case method.Passkey:
		return message.Key("way.passkey")
	case method.Pass:
		return message.Key("way.pass")
	case method.External:
		return message.Key("way.external")
	}
	return Way{Kind: k}.Label()
}

// ownWay shows one way. now decides which of its ends are still ahead.
func ownWay(o register.Own, now time.Time) OwnWay {
	w := OwnWay{ID: o.ID, Kind: o.Kind, Name: o.Display, Change: o.Mine && o.Leaves.IsZero(), Keep: o.Leaves.After(now)}
	if o.Masked != "" {
		w.Name = o.Masked
	}
	if !o.Added.IsZero() {
		added := message.Key("way.added", "Day", web.Day(o.Added))
		if o.Source != "" {
			added = message.Key("way.added_by", "Day", web.Day(o.Added), "Source", o.Source)
		}
		w.Facts = append(w.Facts, added)
	}
	if !o.Used.IsZero() {
		w.Facts = append(w.Facts, message.Key("way.used", "Day", web.Day(o.Used)))
	}
	if o.Kind == method.RecoveryCode && !o.Disabled {
		tone := ""
		if o.CodesLeft < 3 {
			tone = "warn"
		}
		w.Badges = append(w.Badges, Badge{tone, message.Key("way.codes_left", "Left", o.CodesLeft)})
	}
	switch {
	case o.Disabled:
		w.Badges = append(w.Badges, Badge{"bad", message.Key("way.shut")})
	case o.Leaves.After(now):
		w.Badges = append(w.Badges, Badge{"warn", message.Key("way.leaves", "At", o.Leaves)})
	case o.Rests.After(now):
		w.Badges = append(w.Badges, Badge{"warn", message.Key("way.rests", "At", o.Rests)})
	case o.Matures.After(now):
		w.Badges = append(w.Badges, Badge{"", message.Key("way.matures", "At", o.Matures)})
	}
	return w
}

// Standing is whether somebody can get back in by themselves.
type Standing struct {
	Ready   bool // with what counts now
	Waiting bool // with what they have, once all of it counts
	Needed  int  // ways a reset asks for
	Missing int  // ways still to be set up for it
	More    int  // ways their organisation wants beyond that
	Have    int  // different ways set up, whether they count yet or not
	Wanted  int
}

// Tone is how the box looks.
func (s Standing) Tone() string {
	if s.Ready {
		return "ok"
	}
	return "warn"
}

// Icon is the picture of the box.
func (s Standing) Icon() string {
	switch {
	case s.Ready:
		return "circle-check"
	case s.Waiting:
		return "hourglass"
	}
	return "circle-alert"
}

// Heading says where they stand.
func (s Standing) Heading() message.Message {
	switch {
	case s.Ready:
		return message.Key("security.ready")
	case s.Waiting:
		return message.Key("security.waiting")
	}
	return message.Key("security.missing", "Missing", s.Missing)
}

// Texts say what it means and what to do.
func (s Standing) Texts() []message.Message {
	have := message.Key("security.have", "Have", s.Have)
	if s.Have == 0 {
		have = message.Key("security.have.none")
	}
	out := []message.Message{message.Key("security.needed", "Needed", s.Needed, "Have", have)}
	switch {
	case s.Waiting:
		out = append(out, message.Key("security.waiting.text"))
	case !s.Ready:
		out = append(out, message.Key("security.missing.text"))
	case s.More > 0:
		out = append(out, message.Key("security.more", "More", s.More))
	}
	return out
}

// standing judges an overview. What rests and what has not matured is set up all the same; a class counts once.
func standing(o *register.Overview) Standing {
	s := Standing{Needed: max(o.Needed, 1), Have: len(classes(o.Own))}
	s.Wanted = max(o.Wanted, s.Needed)
	s.Ready = o.Counting >= s.Needed
	s.Waiting = !s.Ready && s.Have >= s.Needed && settles(o.Own)
	s.Missing = max(s.Needed-s.Have, 1)
	s.More = max(s.Wanted-s.Have, 0)
	return s
}

// settles reports whether more will count by itself: something rests or has not matured, and something is there to begin
// with.
func settles(own []register.Own) bool {
	stays := func(o register.Own) bool { return !o.Disabled && o.Leaves.IsZero() }
	return slices.ContainsFunc(own, func(o register.Own) bool { return stays(o) && (!o.Rests.IsZero() || !o.Matures.IsZero()) }) &&
		slices.ContainsFunc(own, func(o register.Own) bool { return stays(o) && o.Kind.First() })
}

// classes are what the ways that stay and are not shut show possession of.
func classes(own []register.Own) []method.Class {
	var out []method.Class
	for _, o := range own {
		if c := o.Kind.Class(); c != "" && !o.Disabled && o.Leaves.IsZero() && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// SignInHalf is what is known of how somebody signs in at their identity provider.
type SignInHalf struct {
	Label   string            // of the provider
	Today   []message.Message // how they proved themselves there this time
	Known   []OwnWay          // what it told us of
	Account string            // where to manage it; "" when it is not known
}

// Begun is an adding that was not finished.
type Begun struct {
	ID    string
	Kind  method.Kind
	Until time.Time
}

// Label names what was begun.
func (b Begun) Label() message.Message { return nameOf(b.Kind) }

// Path is the page it stands at.
func (b Begun) Path() string { return stepPath(b.Kind) }

// stepPath is the page on which something begun is finished.
func stepPath(k method.Kind) string {
	switch k {
	case method.Passkey:
		return PathAddPasskey
	case method.TOTP, method.HOTP:
		return PathAddApp
	case method.RecoveryCode:
		return PathAddCodes
	}
	return PathConfirm
}

// SecurityPage is everything somebody is shown of their own ways: yours here, and at your sign-in.
type SecurityPage struct {
	Note      message.Message // what was just done
	Standing  Standing
	HoldUntil time.Time // what is changed rests until then; zero: nothing does
	Begun     *Begun
	Own       []OwnWay
	SignIn    SignInHalf
	Full      bool      // nothing more can be added
	Reviewed  time.Time // when they last said that all is right
	Onward    string    // name of the app they came from
}

// Page renders the view.
func (v SecurityPage) Page() web.Page {
	return web.Page{Template: "security", Title: message.Key("security.heading"), Data: v, Frame: rooms(PathSecurity)}
}

// RemovePage asks before a way is removed, and says what that means.
type RemovePage struct {
	Way   OwnWay
	Drops bool      // then they can no longer get back in by themselves
	Held  time.Time // it will only be removed then; zero: at once
}

// Page renders the view.
func (v RemovePage) Page() web.Page {
	return web.Page{Template: "remove", Title: message.Key("remove.heading"), Data: v, Frame: &web.Frame{}}
}

// RenamePage asks for another name of a way.
type RenamePage struct {
	Way      OwnWay
	Name     string // as typed, or as it is
	Problems []web.Problem
}

// Page renders the view.
func (v RenamePage) Page() web.Page {
	return web.Page{Template: "rename", Title: message.Key("rename.heading"), Data: v, Problems: v.Problems, Frame: &web.Frame{}}
}

// RefusedPage says what the organisation requires before ways may be changed.
type RefusedPage struct{ Why message.Message }

// Page renders the view.
func (v RefusedPage) Page() web.Page {
	return web.Page{Template: "refused", Title: message.Key("refused.heading"), Data: v, Status: 403, Frame: &web.Frame{}}
}

// OverPage says that what was begun has ended.
type OverPage struct{ Why message.Message }

// Page renders the view.
func (v OverPage) Page() web.Page {
	return web.Page{Template: "over", Title: message.Key("fault.heading.over"), Data: v, Status: 410, Frame: &web.Frame{}}
}
