package portal

import (
	"errors"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// password shows the rules that really apply, and the fields.
func (p *Pages) password(action policy.Action) tryHandler {
	return func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		if page, ok := p.inPassword(a, action); !ok {
			return page, nil
		}
		return p.passwordPage(r, a, "", nil)
	}
}

func (p *Pages) inPassword(a *reset.Attempt, action policy.Action) (web.Page, bool) {
	if page, ok := p.inStep(a, reset.Proved); !ok {
		return page, false
	}
	if a.Action != action {
		return web.Page{Goto: p.next(a)}, false
	}
	return web.Page{}, true
}

func (p *Pages) passwordPage(r *web.Request, a *reset.Attempt, suggestion string, problems []web.Problem) (web.Page, error) {
	sheet, err := p.Flow.Sheet(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	v := NewPasswordPage{
		Running: p.running(a, 3), Old: sheet.Old, Login: sheet.Login, MinLength: sheet.MinLength, Suggestion: suggestion,
		Refused: a.Refusals, Left: reset.MaxRefusals - a.Refusals, Problems: problems,
	}
	for i, rule := range sheet.Rules {
		v.Rules = append(v.Rules, Rule{Text: rule, Length: i == 0})
	}
	return v.Page(), nil
}

// setPassword takes the new password, or suggests one.
func (p *Pages) setPassword(action policy.Action) tryHandler {
	return func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "password", Max: MaxPassword}, web.Field{Name: "current", Max: MaxPassword},
			web.Field{Name: "username", Max: MaxLogin}, web.Field{Name: "suggest", Max: 3})
		if err != nil {
			return web.Page{}, err
		}
		if page, ok := p.inPassword(a, action); !ok {
			return page, nil
		}
		if form["suggest"] == "yes" {
			sheet, err := p.Flow.Sheet(r.Context(), a)
			if err != nil {
				return web.Page{}, err
			}
			return p.passwordPage(r, a, p.Flow.Suggest(sheet, r.Lang), nil)
		}
		after, err := p.Flow.SetPassword(r.Context(), a, origin(r), form["current"], form["password"])
		if refusal, ok := errors.AsType[*reset.Refusal](err); ok {
			problems := make([]web.Problem, len(refusal.Rules))
			for i, rule := range refusal.Rules {
				problems[i] = web.Problem{Field: field(refusal.Field), Say: rule}
			}
			a, lerr := p.Flow.Load(r.Context(), a.Cookie)
			if lerr != nil {
				return web.Page{}, lerr
			}
			return p.passwordPage(r, a, "", problems)
		}
		if err != nil {
			return p.notWritten(r, a, err)
		}
		return web.Page{Goto: p.next(after)}, nil
	}
}

// notWritten shows a failure after which the same form may be sent again as a problem of the form; what no form mends
// stays a fault.
func (p *Pages) notWritten(r *web.Request, a *reset.Attempt, err error) (web.Page, error) {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Unavailable && e.Kind != fault.Conflict {
		return web.Page{}, err
	}
	now, lerr := p.Flow.Load(r.Context(), a.Cookie)
	if lerr != nil || now.State != reset.Proved || now.Action == policy.Unlock {
		return web.Page{}, err
	}
	err = p.falter(r, err)
	page, perr := p.passwordPage(r, now, "", []web.Problem{{Field: "password", Say: e.Say}})
	if perr != nil {
		return web.Page{}, err
	}
	return page, nil
}

func field(name string) string {
	if name == "old" {
		return "current"
	}
	return name
}

func (p *Pages) unlockPage(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if page, ok := p.inPassword(a, policy.Unlock); !ok {
		return page, nil
	}
	sheet, err := p.Flow.Sheet(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	return UnlockPage{Running: p.running(a, 3), Login: sheet.Login}.Page(), nil
}

func (p *Pages) unlock(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if page, ok := p.inPassword(a, policy.Unlock); !ok {
		return page, nil
	}
	after, err := p.Flow.Unlock(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: p.next(after)}, nil
}

// progress shows what became of the try.
func (p *Pages) progress(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if end, ended := p.ended(a); ended {
		return end, nil
	}
	switch a.State {
	case reset.Writing:
		return WritingPage{Action: a.Action, Reference: a.Reference}.Page(), nil
	case reset.Unknown:
		return UnknownPage{Action: a.Action, Reference: a.Reference, Checking: true, SignIn: p.SignIn}.Page(), nil
	case reset.Unresolved:
		return UnresolvedPage{Action: a.Action, Reference: a.Reference, SignIn: p.SignIn, Again: !a.Again && p.Now().Before(a.Expires)}.Page(), nil
	case reset.Done:
		back, err := p.back(r)
		if err != nil {
			return web.Page{}, err
		}
		return DonePage{Action: a.Action, Reference: a.Reference, Systems: p.systems(a), SignIn: p.SignIn, Back: back}.Page(), nil
	}
	return web.Page{Goto: p.next(a)}, nil
}

// systems says which system takes the new password from when.
func (p *Pages) systems(a *reset.Attempt) []message.Message {
	for _, d := range p.Flow.Directories {
		if d.Name != a.Directory {
			continue
		}
		switch {
		case a.Action == policy.Unlock:
			return []message.Message{message.Key("reset.system.unlocked", "Directory", d.Label)}
		case d.After > 0:
			return []message.Message{message.Key("reset.system.old", "Directory", d.Label, "Minutes", int(d.After.Minutes()))}
		}
		return []message.Message{message.Key("reset.system", "Directory", d.Label)}
	}
	return nil
}

func (p *Pages) tryAgain(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	after, err := p.Flow.TryAgain(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: p.next(after)}, nil
}

func (p *Pages) extend(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	after, err := p.Flow.Extend(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	if after.State == reset.Started || after.State == reset.Proving { // back to the code field, where the button stood
		if w, err := p.Flow.Asked(r.Context(), after, r.Cookie(cookieCode)); err == nil && w != nil {
			return web.Page{Goto: codePath(w.Kind)}, nil
		}
	}
	return web.Page{Goto: p.next(after)}, nil
}

func (p *Pages) cancel(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	if _, err := p.Flow.Cancel(r.Context(), a); err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: PathProgress}, nil
}
