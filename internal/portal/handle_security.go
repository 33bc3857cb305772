package portal

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// security shows both halves: what is theirs here, and what is at their sign-in.
func (p *Pages) security(r *web.Request, s *session.Session) (web.Page, error) {
	o, err := p.Register.Overview(r.Context(), s)
	if err != nil {
		return web.Page{}, err
	}
	now := p.Now()
	note, forget := noted(r)
	v := SecurityPage{Note: note, Standing: standing(o), SignIn: p.signInHalf(s, o), Full: len(choices(o)) == 0, Reviewed: o.Record.Reviewed}
	if o.HoldUntil.After(now) {
		v.HoldUntil = o.HoldUntil
	}
	if e := o.Open; e != nil {
		v.Begun = &Begun{ID: e.ID, Kind: e.Kind, Until: e.Expires}
	}
	for _, own := range o.Own {
		v.Own = append(v.Own, ownWay(own, now))
	}
	back, err := p.back(r)
	if err != nil {
		return web.Page{}, err
	}
	v.Onward = back.App
	page := v.Page()
	page.Cookies = forget
	return page, nil
}

// signInHalf is what the provider said at this sign-in, and what it told us of otherwise.
func (p *Pages) signInHalf(s *session.Session, o *register.Overview) SignInHalf {
	half := SignInHalf{Today: amr(s.AMR)}
	for _, v := range p.Door.Providers() {
		if v.Name == s.IDP {
			half.Label, half.Account = v.Label, v.AccountURL
		}
	}
	for _, own := range o.Elsewhere {
		w := ownWay(own, p.Now())
		w.Change, w.Keep = false, false
		half.Known = append(half.Known, w)
	}
	return half
}

// amr says in words what a provider said of how somebody proved themselves (RFC 8176 §2, and what providers made of it).
// A value nobody knows is left out.
func amr(values []string) []message.Message {
	var out []message.Message
	add := func(m message.Message) {
		if !slices.ContainsFunc(out, func(o message.Message) bool { return o.Key == m.Key }) {
			out = append(out, m)
		}
	}
	for _, v := range values {
		switch strings.ToLower(v) {
		case "pwd", "password":
			add(message.Key("amr.password"))
		case "otp", "totp", "hotp":
			add(message.Key("amr.code"))
		case "sms":
			add(message.Key("amr.text"))
		case "tel":
			add(message.Key("amr.call"))
		case "email":
			add(message.Key("amr.mail"))
		case "fido", "fido2", "webauthn", "passkey", "phr", "phrh":
			add(message.Key("amr.passkey"))
		case "hwk", "pop":
			add(message.Key("amr.key"))
		case "sc":
			add(message.Key("amr.card"))
		case "fpt":
			add(message.Key("amr.finger"))
		case "face", "iris", "vbm", "retina":
			add(message.Key("amr.face"))
		case "pin":
			add(message.Key("amr.pin"))
		case "wia", "kerberos":
			add(message.Key("amr.computer"))
		}
	}
	return out
}

// reviewed notes that the person looked and all is right.
func (p *Pages) reviewed(r *web.Request, s *session.Session) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if err := p.Register.Reviewed(r.Context(), s); err != nil {
		return web.Page{}, err
	}
	return going(PathSecurity, noteRight), nil
}

// changing answers what a change of somebody's ways was refused for: a step-up is needed first, the policy does not let
// them, or what was begun is over. Everything else stays a fault. to is where a step-up leads back to.
func (p *Pages) changing(r *web.Request, s *session.Session, to string, err error) (web.Page, error) {
	if errors.Is(err, register.ErrStepUp) {
		o, err := p.Register.Overview(r.Context(), s)
		if err != nil {
			return web.Page{}, err
		}
		return p.Door.StepUp(r, s, to, o.Decision.Registration.ACR...)
	}
	kind, say := fault.Read(err)
	switch kind {
	case fault.Denied:
		return RefusedPage{Why: say}.Page(), nil
	case fault.Over:
		return OverPage{Why: say}.Page(), nil
	}
	return web.Page{}, err
}

// mayChange returns the overview of somebody who may change their ways now; otherwise the page that says why not, or that
// leads to the step-up.
func (p *Pages) mayChange(r *web.Request, s *session.Session, to string) (*register.Overview, web.Page, error) {
	o, err := p.Register.Overview(r.Context(), s)
	switch {
	case err != nil:
		return nil, web.Page{}, err
	case !o.Decision.Allowed:
		return nil, RefusedPage{Why: whyNot(o.Decision.Why)}.Page(), nil
	case !o.SteppedUp:
		page, err := p.Door.StepUp(r, s, to, o.Decision.Registration.ACR...)
		return nil, page, err
	}
	return o, web.Page{}, nil
}

// whyNot says what the organisation requires.
func whyNot(why string) message.Message {
	switch why {
	case "network":
		return message.Key("register.denied.network")
	case "protected":
		return message.Key("register.denied.protected")
	case "paused":
		return message.Key("register.denied.paused")
	case "alerted":
		return message.Key("register.denied.alerted")
	}
	return message.Key("register.denied.not_in_scope")
}

// find returns one of the person's own ways that they may change.
func find(o *register.Overview, id string) (register.Own, bool) {
	i := slices.IndexFunc(o.Own, func(own register.Own) bool { return own.ID == id && own.Mine })
	if i < 0 || id == "" {
		return register.Own{}, false
	}
	return o.Own[i], true
}

var errNoWay = fault.New(fault.NotFound, message.Key("error.not_found"))

// remove asks first, and says what it means.
func (p *Pages) remove(r *web.Request, s *session.Session) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	o, page, err := p.mayChange(r, s, withID(PathRemove, q["id"]))
	if o == nil {
		return page, err
	}
	own, ok := find(o, q["id"])
	if !ok {
		return web.Page{}, errNoWay
	}
	v := RemovePage{Way: ownWay(own, p.Now()), Drops: drops(o, own.ID)}
	if o.HoldUntil.After(p.Now()) {
		v.Held = o.HoldUntil
	}
	return v.Page(), nil
}

func withID(path, id string) string { return path + "?" + url.Values{"id": {id}}.Encode() }

// drops reports whether somebody who can get back in by themselves no longer could without one of their ways.
func drops(o *register.Overview, id string) bool {
	if o.Needed < 1 || o.Counting < o.Needed {
		return false
	}
	rest := slices.DeleteFunc(slices.Clone(o.Own), func(own register.Own) bool { return own.ID == id })
	// A source may be trusted for all it brings. Whether it is shows in what counts now: when roots are thought to collide
	// and more counts than could, they do not.
	roots := together(o.Own, o.Needed, true) >= o.Counting
	return together(rest, o.Needed, roots) < o.Needed
}

// together returns how many proofs, at most most, the ways that count now can be: one of them a first proof, of different
// classes and, with roots, standing on different roots. People have few ways, and a policy asks for three at most.
func together(own []register.Own, most int, roots bool) int {
	var taken []register.Own
	var grow func(from int) int
	grow = func(from int) int {
		best := 0
		if slices.ContainsFunc(taken, func(t register.Own) bool { return t.Kind.First() }) {
			best = len(taken)
		}
		for i := from; i < len(own) && len(taken) < most && best < most; i++ {
			o := own[i]
			if o.Disabled || !o.Rests.IsZero() || o.Kind.Class() == "" || slices.ContainsFunc(taken, func(t register.Own) bool {
				return t.Kind.Class() == o.Kind.Class() || roots && t.Root == o.Root && o.Root.Kind != method.ByPerson
			}) {
				continue
			}
			taken = append(taken, o)
			best = max(best, grow(i+1))
			taken = taken[:len(taken)-1]
		}
		return best
	}
	return grow(0)
}

// removed removes, now or once the hold has ended.
func (p *Pages) removed(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	o, page, err := p.mayChange(r, s, withID(PathRemove, form["id"]))
	if o == nil {
		return page, err
	}
	if err := p.Register.Remove(r.Context(), s, origin(r), form["id"]); err != nil {
		return p.changing(r, s, withID(PathRemove, form["id"]), err)
	}
	if o.HoldUntil.After(p.Now()) {
		return going(PathSecurity, noteLeaving), nil
	}
	return going(PathSecurity, noteRemoved), nil
}

// keep takes back that a way is to be removed.
func (p *Pages) keep(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	if err := p.Register.Keep(r.Context(), s, origin(r), form["id"]); err != nil {
		return p.changing(r, s, PathSecurity, err)
	}
	return going(PathSecurity, noteKept), nil
}

// rename asks for another name.
func (p *Pages) rename(problems []web.Problem) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		q, err := r.Query(web.Field{Name: "id", Max: MaxID})
		if err != nil {
			return web.Page{}, err
		}
		return p.renamePage(r, s, q["id"], "", problems)
	}
}

func (p *Pages) renamePage(r *web.Request, s *session.Session, id, typed string, problems []web.Problem) (web.Page, error) {
	o, page, err := p.mayChange(r, s, withID(PathRename, id))
	if o == nil {
		return page, err
	}
	own, ok := find(o, id)
	if !ok {
		return web.Page{}, errNoWay
	}
	v := RenamePage{Way: ownWay(own, p.Now()), Name: typed, Problems: problems}
	if len(problems) == 0 {
		v.Name = own.Display
	}
	return v.Page(), nil
}

func (p *Pages) renamed(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID}, web.Field{Name: "name", Max: MaxName})
	if err != nil {
		return web.Page{}, err
	}
	err = p.Register.Rename(r.Context(), s, origin(r), form["id"], form["name"])
	if problems, ok := mendable(err); ok {
		return p.renamePage(r, s, form["id"], form["name"], at("name", problems))
	}
	if err != nil {
		return p.changing(r, s, withID(PathRename, form["id"]), err)
	}
	return going(PathSecurity, noteRenamed), nil
}

// at puts problems beside the one input of a page.
func at(input string, problems []web.Problem) []web.Problem {
	for i := range problems {
		problems[i].Field = input
	}
	return problems
}
