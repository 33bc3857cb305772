package portal

import (
	"errors"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// choices are the ways that can still be added, in the order they are offered: strongest first.
func choices(o *register.Overview) []Choice {
	out := make([]Choice, len(o.Kinds))
	for i, k := range o.Kinds {
		out[i] = Choice{k}
	}
	return out
}

// suggested is the strongest kind that would count beside what there is.
func suggested(o *register.Overview, all []Choice) method.Kind {
	have := classes(o.Own)
	for _, c := range all {
		if !slices.Contains(have, c.Kind.Class()) {
			return c.Kind
		}
	}
	if len(all) > 0 {
		return all[0].Kind
	}
	return ""
}

// adding is how far somebody is on the way to what their organisation wants.
func adding(o *register.Overview) Adding {
	s := standing(o)
	if s.Have >= s.Wanted {
		return Adding{}
	}
	return Adding{Have: s.Have, Of: s.Wanted}
}

// add asks which way to add.
func (p *Pages) add(r *web.Request, s *session.Session) (web.Page, error) {
	o, page, err := p.mayChange(r, s, PathAdd)
	if o == nil {
		return page, err
	}
	note, forget := noted(r)
	page = addPage(o, note, "", nil)
	page.Cookies = forget
	return page, nil
}

func addPage(o *register.Overview, note message.Message, chosen method.Kind, problems []web.Problem) web.Page {
	v := AddPage{Note: note, Adding: adding(o), Choices: choices(o), Chosen: chosen, Problems: problems}
	if chosen == "" {
		v.Chosen = suggested(o, v.Choices)
	}
	return v.Page()
}

// addChosen begins what needs no more than that, and asks for an address for the rest.
func (p *Pages) addChosen(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "kind", Max: MaxWay})
	if err != nil {
		return web.Page{}, err
	}
	o, page, err := p.mayChange(r, s, PathAdd)
	if o == nil {
		return page, err
	}
	kind := method.Kind(form["kind"])
	if !slices.Contains(choices(o), Choice{kind}) {
		return addPage(o, message.Message{}, "", []web.Problem{{Field: "kind", Say: message.Key("add.choose")}}), nil
	}
	switch kind {
	case method.Email:
		return web.Page{Goto: PathAddEmail}, nil
	case method.SMS:
		return web.Page{Goto: PathAddPhone}, nil
	}
	display := ""
	if kind == method.Passkey {
		display = web.Browser(r.UserAgent())
	}
	_, err = p.Register.Begin(r.Context(), s, origin(r), kind, register.Input{Display: display})
	if problems, ok := mendable(err); ok {
		return addPage(o, message.Message{}, kind, at("kind", problems)), nil
	}
	if err != nil {
		return p.changing(r, s, PathAdd, err)
	}
	return web.Page{Goto: stepPath(kind)}, nil
}

// leave gives up what was begun.
func (p *Pages) leave(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	if err := p.Register.Leave(r.Context(), s, form["id"]); err != nil {
		return web.Page{}, err
	}
	return going(PathAdd, noteLeft), nil
}

// open returns what was begun in this session, when it is of a kind that is finished at the path; otherwise where to go.
func (p *Pages) open(r *web.Request, s *session.Session, path string) (*register.Overview, web.Page, error) {
	o, err := p.Register.Overview(r.Context(), s)
	switch {
	case err != nil:
		return nil, web.Page{}, err
	case o.Open == nil:
		return nil, web.Page{Goto: PathAdd}, nil
	case stepPath(o.Open.Kind) != path:
		return nil, web.Page{Goto: stepPath(o.Open.Kind)}, nil
	}
	return o, web.Page{}, nil
}

// addPasskey shows the button by which the browser makes one.
func (p *Pages) addPasskey(problems []web.Problem) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		o, page, err := p.open(r, s, PathAddPasskey)
		if o == nil {
			return page, err
		}
		sheet, err := p.Register.Sheet(r.Context(), s, o.Open)
		if err != nil {
			return p.changing(r, s, PathAdd, err)
		}
		return AddPasskeyPage{Adding: adding(o), ID: o.Open.ID, Options: string(sheet.Options), Problems: problems}.Page(), nil
	}
}

func (p *Pages) passkeyMade(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID}, web.Field{Name: "answer", Max: MaxAnswer})
	if err != nil {
		return web.Page{}, err
	}
	wrong := p.addPasskey([]web.Problem{{Field: "passkey", Say: message.Key("add_passkey.wrong")}})
	if form["answer"] == "" {
		return wrong(r, s)
	}
	return p.finish(r, s, form["id"], form["answer"], func([]web.Problem) (web.Page, error) { return wrong(r, s) })
}

// addApp shows the secret of an app, and asks for the first code.
func (p *Pages) addApp(problems []web.Problem) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		o, page, err := p.open(r, s, PathAddApp)
		if o == nil {
			return page, err
		}
		sheet, err := p.Register.Sheet(r.Context(), s, o.Open)
		if err != nil {
			return p.changing(r, s, PathAdd, err)
		}
		return AddAppPage{Adding: adding(o), ID: o.Open.ID, URI: sheet.URI, Secret: sheet.Secret, QR: sheet.QR, Digits: 6, Problems: problems}.Page(), nil
	}
}

func (p *Pages) appShown(r *web.Request, s *session.Session) (web.Page, error) {
	return p.coded(r, s, p.addApp)
}

// confirm takes the code that was sent to an address.
func (p *Pages) confirm(problems []web.Problem) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		o, page, err := p.open(r, s, PathConfirm)
		if o == nil {
			return page, err
		}
		sheet, err := p.Register.Sheet(r.Context(), s, o.Open)
		if err != nil {
			return p.changing(r, s, PathAdd, err)
		}
		return ConfirmPage{
			Adding: adding(o), ID: o.Open.ID, Kind: o.Open.Kind, Destination: sheet.Address, Digits: register.CodeDigits,
			Minutes: sheet.Minutes, Sends: o.Open.Sends, MayAgain: sheet.Again, Lost: sheet.Lost, Problems: problems,
		}.Page(), nil
	}
}

func (p *Pages) confirmed(r *web.Request, s *session.Session) (web.Page, error) {
	return p.coded(r, s, p.confirm)
}

// coded judges a code that was typed on a page, and shows the page again when it is wrong.
func (p *Pages) coded(r *web.Request, s *session.Session, page func([]web.Problem) Handler) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID}, web.Field{Name: "code", Max: MaxCode})
	if err != nil {
		return web.Page{}, err
	}
	if strings.TrimSpace(form["code"]) == "" {
		return page([]web.Problem{{Field: "code", Say: message.Key("code.missing")}})(r, s)
	}
	return p.finish(r, s, form["id"], form["code"], func(problems []web.Problem) (web.Page, error) {
		return page(at("code", problems))(r, s)
	})
}

// finish confirms what was begun and goes on: to the next way while more are wanted, else to where the person came from.
func (p *Pages) finish(r *web.Request, s *session.Session, id, answer string, again func([]web.Problem) (web.Page, error)) (web.Page, error) {
	_, err := p.Register.Confirm(r.Context(), s, origin(r), id, answer)
	if problems, ok := mendable(err); ok {
		return again(problems)
	}
	if err != nil {
		return p.changing(r, s, PathSecurity, err)
	}
	o, err := p.Register.Overview(r.Context(), s)
	if err != nil {
		return web.Page{}, err
	}
	asked, err := p.registering(r)
	if err != nil {
		return web.Page{}, err
	}
	switch {
	case adding(o).Of > 0 && len(choices(o)) > 0:
		return going(PathAdd, noteAdded), nil
	case asked, r.Cookie(cookieBack) != "" || r.Cookie(cookieOnto) != "":
		return going(PathSetupOn, noteAdded), nil
	}
	return going(PathSecurity, noteAdded), nil
}

// destination asks for an address or a number.
func (p *Pages) destination(kind method.Kind) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		o, page, err := p.mayChange(r, s, DestinationPage{Kind: kind}.Action())
		if o == nil {
			return page, err
		}
		if !slices.Contains(choices(o), Choice{kind}) {
			return web.Page{Goto: PathAdd}, nil
		}
		v := DestinationPage{Adding: adding(o), Kind: kind}
		if e := o.Open; e != nil && e.Kind == kind {
			v.Value = e.Destination
		}
		return v.Page(), nil
	}
}

func (p *Pages) destinationGiven(kind method.Kind) Handler {
	return func(r *web.Request, s *session.Session) (web.Page, error) {
		form, err := r.Form(web.Field{Name: "destination", Max: MaxDestination})
		if err != nil {
			return web.Page{}, err
		}
		here := DestinationPage{Kind: kind}.Action()
		o, page, err := p.mayChange(r, s, here)
		if o == nil {
			return page, err
		}
		_, err = p.Register.Begin(r.Context(), s, origin(r), kind, register.Input{Destination: form["destination"]})
		if problems, ok := mendable(err); ok {
			return DestinationPage{Adding: adding(o), Kind: kind, Value: form["destination"], Problems: at("destination", problems)}.Page(), nil
		}
		if err != nil {
			return p.changing(r, s, here, err)
		}
		return web.Page{Goto: PathConfirm}, nil
	}
}

// again sends the code once more.
func (p *Pages) again(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	err = p.Register.Again(r.Context(), s, origin(r), form["id"])
	if problems, ok := mendable(err); ok {
		return p.confirm(at("code", problems))(r, s)
	}
	if err != nil {
		return p.changing(r, s, PathAdd, err)
	}
	return web.Page{Goto: PathConfirm}, nil
}

// codes returns the list that was begun, whole.
func (p *Pages) codes(r *web.Request, s *session.Session) (*register.Overview, []string, web.Page, error) {
	o, page, err := p.open(r, s, PathAddCodes)
	if o == nil {
		return nil, nil, page, err
	}
	sheet, err := p.Register.Sheet(r.Context(), s, o.Open)
	if err != nil {
		page, err := p.changing(r, s, PathAdd, err)
		return nil, nil, page, err
	}
	return o, sheet.Codes, web.Page{}, nil
}

func (p *Pages) addCodes(r *web.Request, s *session.Session) (web.Page, error) {
	o, codes, page, err := p.codes(r, s)
	if o == nil {
		return page, err
	}
	return AddCodesPage{Adding: adding(o), ID: o.Open.ID, Codes: codes}.Page(), nil
}

// codesFile is the list as a text file. It names no account: whoever finds it must not learn whose it is.
func (p *Pages) codesFile(r *web.Request, s *session.Session) (web.Page, error) {
	o, codes, page, err := p.codes(r, s)
	if o == nil {
		return page, err
	}
	return web.Page{File: &web.File{Name: "codes.txt", Text: strings.Join(codes, "\r\n") + "\r\n"}}, nil
}

// codesSaved is the word that makes them count.
func (p *Pages) codesSaved(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	return p.finish(r, s, form["id"], "saved", func([]web.Problem) (web.Page, error) {
		return web.Page{}, errors.New("codes shown were refused")
	})
}
