package portal

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// Config is what the pages need. Token makes a browser's secret and what is stored of it.
type Config struct {
	Account // of somebody who is signed in; the zero value leaves those pages out
	Flow    *reset.Service
	Sent    Sent   // nil: no app sends people here and waits for an answer
	SignIn  string // where people sign in when they are done
	Stories []Story
	Token   func() (secret string, hash []byte)
	Hash    func(secret string) []byte
	Now     func() time.Time
}

// Pages are the handlers. Arrived, Proved and Failed are for the door that signs people in; Begin, Outcome and Stop for the
// apps that send people here. Sent may be set after Mount, before the first request: each needs the other.
type Pages struct{ Config }

// The cookies of a try: the browser's secret, and which code was asked for last (no secret; it is bound to the try).
const (
	cookieTry  = "try"
	cookieCode = "code"
	cookieHint = "hint"
	cookieBack = "back"          // key of the app somebody came from: no address, no secret
	cookieOnto = "onto"          // a path of this site somebody was going to when they were asked something
	tryAge     = 4 * time.Hour   // longer than a try extended ten times lasts
	noteAge    = 2 * time.Minute // of a word to be said on the next page
)

// Mount adds every page of the portal to the site.
func Mount(s *web.Site, c Config) *Pages {
	p := &Pages{c}
	get, post := http.MethodGet, http.MethodPost
	s.Handle(get, PathHome, p.home)
	s.Handle(get, PathHelp, p.helpPage(s.Help()))
	for _, a := range []policy.Action{policy.Reset, policy.Unlock, policy.Change} {
		s.Handle(get, PathOf(a), p.start(a))
		s.Handle(post, PathOf(a), p.begin(a))
	}
	s.Handle(get, "/forgot", forgot)
	s.Handle(get, "/.well-known/change-password", goTo(PathChange, http.StatusFound))
	s.Handle(get, PathChoose, p.try(p.choose))
	s.Handle(post, PathChoose, p.try(p.ask))
	for path, kinds := range map[string][]method.Kind{
		PathCode: {method.Email, method.SMS, method.Voice}, PathAppCode: {method.TOTP, method.HOTP}, PathRecoveryCode: {method.RecoveryCode},
	} {
		s.Handle(get, path, p.try(p.code(kinds, nil)))
		s.Handle(post, path, p.try(p.check(kinds)))
	}
	s.Handle(get, PathNothing, p.try(p.nothing))
	s.Handle(get, PathCannot, p.try(p.cannot))
	s.Handle(get, PathNewPassword, p.try(p.password(policy.Reset)))
	s.Handle(post, PathNewPassword, p.try(p.setPassword(policy.Reset)))
	s.Handle(get, PathOldPassword, p.try(p.password(policy.Change)))
	s.Handle(post, PathOldPassword, p.try(p.setPassword(policy.Change)))
	s.Handle(get, PathUnlockNow, p.try(p.unlockPage))
	s.Handle(post, PathUnlockNow, p.try(p.unlock))
	s.Handle(get, PathProgress, p.try(p.progress))
	s.Handle(post, PathTryAgain, p.try(p.tryAgain))
	s.Handle(post, PathExtend, p.try(p.extend))
	s.Handle(post, PathCancel, p.try(p.cancel))
	s.Handle(get, PathNotMe, p.notMe)
	s.Handle(post, PathNotMe, p.dispute)
	s.Handle(get, PathPasskey, p.try(p.passkey(nil)))
	s.Handle(post, PathPasskey, p.try(p.checkPasskey))
	if p.Door != nil {
		p.mountAccount(s)
		s.Handle(get, PathWorkSignIn, p.try(p.workSignIn))
		s.Handle(get, PathWorkSignInGo, p.try(p.workSignInGo))
	}
	return p
}

// PathTryAgain takes a try whose outcome stayed unknown back to the password, once.
const PathTryAgain = "/try-again"

func goTo(path string, status int) web.Handler {
	return func(*web.Request) (web.Page, error) { return web.Page{Goto: path, Status: status}, nil }
}

// forgot is the short address of a reset. What a link brought along stays with it.
func forgot(r *web.Request) (web.Page, error) {
	to := url.URL{Path: PathReset, RawQuery: r.URL.RawQuery}
	return web.Page{Goto: to.String(), Status: http.StatusFound}, nil
}

// origin is where a request came from, as the flow counts it.
func origin(r *web.Request) reset.Origin {
	return reset.Origin{Addr: r.Client, Agent: web.Browser(r.UserAgent()), Lang: r.Lang}
}

// tryHandler answers a request inside a try.
type tryHandler func(*web.Request, *reset.Attempt) (web.Page, error)

// try loads the try of the browser, evaluates the newest policy for it, and turns the end of a try into its page.
func (p *Pages) try(h tryHandler) web.Handler {
	return func(r *web.Request) (web.Page, error) {
		secret := r.Cookie(cookieTry)
		if secret == "" {
			return noTry(r), nil
		}
		hash := p.Hash(secret)
		if hash == nil {
			return noTry(r), nil
		}
		a, err := p.Flow.Load(r.Context(), hash)
		if fault.Is(err, fault.Over) {
			return noTry(r), nil
		}
		if err != nil {
			return web.Page{}, err
		}
		if a, err = p.Flow.Refresh(r.Context(), a); err == nil {
			var page web.Page
			if page, err = h(r, a); err == nil {
				return page, nil
			}
		}
		if !fault.Is(err, fault.Over) {
			return web.Page{}, p.falter(r, err)
		}
		// The step was not possible: show where the try stands now, whatever was posted.
		now, lerr := p.Flow.Load(r.Context(), hash)
		if lerr != nil {
			return noTry(r), nil
		}
		if end, ended := p.ended(now); ended {
			return end, nil
		}
		return web.Page{Goto: p.next(now)}, nil
	}
}

// noTry is the answer to a browser that holds no try: another one may.
func noTry(r *web.Request) web.Page {
	if r.Method == http.MethodGet && r.URL.Path != PathProgress {
		return OtherBrowserPage{}.Page()
	}
	return EndPage{End: NoTry, Action: policy.Reset}.Page()
}

// ended returns the page of a try that is over without an outcome.
func (p *Pages) ended(a *reset.Attempt) (web.Page, bool) {
	v := EndPage{Action: a.Action, Reference: a.Reference}
	switch {
	case a.State == reset.Expired:
		v.End = Expired
	case a.State == reset.Cancelled && a.Why == "not_me":
		v.End = Stopped
	case a.State == reset.Cancelled:
		v.End = Cancelled
	case a.State == reset.Blocked:
		v.End = Refused
	case a.Settled() || a.State == reset.Writing || a.State == reset.Unknown:
		return web.Page{}, false
	case a.Alive(p.Now()) != nil:
		v.End = Stopped
	default:
		return web.Page{}, false
	}
	return v.Page(), true
}

// next is the page a try stands at.
func (p *Pages) next(a *reset.Attempt) string {
	switch a.State {
	case reset.Started, reset.Proving:
		return PathChoose
	case reset.Proved:
		switch a.Action {
		case policy.Unlock:
			return PathUnlockNow
		case policy.Change:
			return PathOldPassword
		}
		return PathNewPassword
	}
	return PathProgress
}

func (p *Pages) running(a *reset.Attempt, step int) Running {
	return Running{Action: a.Action, Step: step, SecondsLeft: max(int(a.Expires.Sub(p.Now()).Seconds()), 0), MayExtend: a.Extended < reset.MaxExtended}
}

// inStep reports whether the try stands before its last word; otherwise where to go instead.
func (p *Pages) inStep(a *reset.Attempt, states ...reset.State) (web.Page, bool) {
	if end, ended := p.ended(a); ended {
		return end, false
	}
	for _, s := range states {
		if a.State == s {
			return web.Page{}, true
		}
	}
	return web.Page{Goto: p.next(a)}, false
}

// mendable turns a fault that the person can mend into the form shown again; other faults stay faults.
func mendable(err error) ([]web.Problem, bool) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Invalid {
		return nil, false
	}
	return []web.Problem{{Field: e.Field, Say: e.Say}}, true
}

func ways(in []reset.Way, uniform bool) []Way {
	out := make([]Way, len(in))
	for i, w := range in {
		out[i] = Way{Kind: w.Kind, Value: w.Method, Masked: w.Masked, Name: w.Label, Until: w.Until}
		if uniform || w.Method == "" { // a sign-in elsewhere has no row here
			out[i].Value = string(w.Kind)
		}
	}
	return out
}

// labels names ways in a sentence.
func labels(in []reset.Way) []message.Message {
	var out []message.Message
	for _, w := range ways(in, false) {
		out = append(out, w.Label())
	}
	return out
}
