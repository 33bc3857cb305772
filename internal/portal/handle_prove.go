package portal

import (
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// choose offers the ways: the same for everybody before the first proof, one's own after it.
func (p *Pages) choose(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
		return page, nil
	}
	page, err := p.choosing(r, a, "", nil)
	if r.Cookie(cookieNote) == noteSignIn {
		page.Cookies = append(page.Cookies, web.Cookie{Name: cookieNote, MaxAge: -1})
	}
	return page, err
}

func (p *Pages) choosing(r *web.Request, a *reset.Attempt, chosen string, problems []web.Problem) (web.Page, error) {
	w, err := p.Flow.Ways(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	var note message.Message
	if len(problems) == 0 && r.Cookie(cookieNote) == noteSignIn {
		note = message.Key("work_sign_in.failed")
	}
	if w.Uniform {
		if chosen == "" && len(w.Ways) > 0 {
			chosen = string(w.Ways[0].Kind)
		}
		return ChoosePage{Running: p.running(a, 2), Ways: ways(w.Ways, true), Needed: w.Needed, Chosen: chosen, Note: note, Problems: problems}.Page(), nil
	}
	if w.Cannot != "" {
		return p.cannotPage(a, w), nil
	}
	proved, err := p.Flow.Proved(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	if chosen == "" && len(w.Ways) > 0 {
		chosen = ways(w.Ways[:1], false)[0].Value
	}
	v := NextPage{Running: p.running(a, 2), Proved: ways(proved, false), Needed: w.Needed, Ways: ways(w.Ways, false), Resting: ways(w.Resting, false), Chosen: chosen, Note: note, Problems: problems}
	if len(w.Shared) > 0 {
		v.Missing = append(v.Missing, message.Key("reset.cannot.shared", "Ways", labels(w.Shared)))
	}
	return v.Page(), nil
}

// ask asks for a code of the way chosen. Whether anything is sent the page does not know.
func (p *Pages) ask(r *web.Request, a *reset.Attempt) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "way", Max: MaxWay})
	if err != nil {
		return web.Page{}, err
	}
	if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
		return page, nil
	}
	kind, id := method.Kind(form["way"]), ""
	if len(a.Proofs) > 0 {
		w, err := p.Flow.Ways(r.Context(), a)
		if err != nil {
			return web.Page{}, err
		}
		offered := ways(w.Ways, false)
		i := slices.IndexFunc(offered, func(w Way) bool { return w.Value == form["way"] })
		if i < 0 {
			return p.choosing(r, a, "", []web.Problem{{Field: "way", Say: message.Key("reset.way.choose")}})
		}
		kind, id = w.Ways[i].Kind, w.Ways[i].Method
	}
	c, err := p.Flow.Ask(r.Context(), a, origin(r), kind, id)
	if problems, ok := mendable(err); ok {
		return p.choosing(r, a, "", problems)
	}
	if err != nil {
		return web.Page{}, err
	}
	return web.Page{Goto: codePath(kind), Cookies: []web.Cookie{{Name: cookieCode, Value: c.ID, MaxAge: tryAge}}}, nil
}

func codePath(k method.Kind) string {
	switch k {
	case method.TOTP, method.HOTP:
		return PathAppCode
	case method.RecoveryCode:
		return PathRecoveryCode
	case method.Passkey:
		return PathPasskey
	case method.IDP:
		return PathWorkSignIn
	}
	return PathCode
}

// code shows the field for a code of the way asked for last.
func (p *Pages) code(kinds []method.Kind, problems []web.Problem) tryHandler {
	return func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
			return page, nil
		}
		w, err := p.Flow.Asked(r.Context(), a, r.Cookie(cookieCode))
		if err != nil {
			return web.Page{}, err
		}
		if w == nil || !slices.Contains(kinds, w.Kind) {
			return web.Page{Goto: PathChoose}, nil
		}
		run := p.running(a, 2)
		switch codePath(w.Kind) {
		case PathAppCode:
			digits := w.Digits
			if digits == 0 {
				digits = 6
			}
			return AppCodePage{Running: run, Digits: digits, Name: w.Label, Problems: problems}.Page(), nil
		case PathRecoveryCode:
			return RecoveryCodePage{Running: run, Problems: problems}.Page(), nil
		}
		return CodePage{Running: run, Way: ways([]reset.Way{*w}, false)[0], Digits: reset.CodeDigits, Minutes: int(reset.CodeLife.Minutes()), Problems: problems}.Page(), nil
	}
}

// check judges a code. Every refusal looks the same.
func (p *Pages) check(kinds []method.Kind) tryHandler {
	return func(r *web.Request, a *reset.Attempt) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "code", Max: MaxCode})
		if err != nil {
			return web.Page{}, err
		}
		if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
			return page, nil
		}
		if form["code"] == "" {
			return p.code(kinds, []web.Problem{{Field: "code", Say: message.Key("code.missing")}})(r, a)
		}
		after, err := p.Flow.Check(r.Context(), a, origin(r), r.Cookie(cookieCode), form["code"])
		if fault.Is(err, fault.Invalid) {
			problems, _ := mendable(err)
			return p.code(kinds, problems)(r, a)
		}
		if err != nil {
			return web.Page{}, err
		}
		return web.Page{Goto: p.next(after)}, nil
	}
}

func (p *Pages) nothing(_ *web.Request, a *reset.Attempt) (web.Page, error) {
	if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
		return page, nil
	}
	return NothingPage{Running: p.running(a, 2), Minutes: int(reset.CodeLife.Minutes())}.Page(), nil
}

// cannot explains to somebody who proved a first way what else is missing.
func (p *Pages) cannot(r *web.Request, a *reset.Attempt) (web.Page, error) {
	if page, ok := p.inStep(a, reset.Started, reset.Proving); !ok {
		return page, nil
	}
	if len(a.Proofs) == 0 {
		return web.Page{Goto: PathHelp}, nil
	}
	w, err := p.Flow.Ways(r.Context(), a)
	if err != nil {
		return web.Page{}, err
	}
	return p.cannotPage(a, w), nil
}

func (p *Pages) cannotPage(a *reset.Attempt, w *reset.Ways) web.Page {
	v := CannotPage{Running: p.running(a, 2), Resting: ways(w.Resting, false), Reference: a.Reference}
	switch w.Cannot {
	case "not_in_scope", "action", "network", "protected", "alerted":
		v.Why = append(v.Why, message.Message{Key: "reset.cannot." + w.Cannot})
	default:
		v.Why = append(v.Why, message.Key("reset.cannot.too_few", "Needed", w.Needed, "Have", w.Able))
		if len(w.Shared) > 0 {
			v.Why = append(v.Why, message.Key("reset.cannot.shared", "Ways", labels(w.Shared)))
		}
		if len(w.Resting) > 0 {
			v.Do = append(v.Do, message.Key("reset.cannot.do.wait"))
		}
		v.Do = append(v.Do, message.Key("reset.cannot.do.register"))
	}
	return v.Page()
}

// A hint travels through a cookie, whose characters are few.
func encodeHint(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decodeHint(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) > MaxLogin || !utf8.Valid(b) {
		return ""
	}
	return string(b)
}
