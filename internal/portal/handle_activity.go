package portal

import (
	"cmp"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/web"
)

// How many events are read at a time, and how often at most: what is told to nobody lies between what is.
const (
	readAtOnce = 200
	maxReads   = 5
)

// activity shows what happened, and on the first page what is open now.
func (p *Pages) activity(r *web.Request, s *session.Session) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "before", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	note, forget := noted(r)
	v := ActivityPage{Note: note, Further: q["before"] != ""}
	if v.Events, v.Older, err = p.happened(r, s.Person, q["before"]); err != nil {
		return web.Page{}, err
	}
	if !v.Further {
		if v.Sessions, err = p.signedIn(r, s); err != nil {
			return web.Page{}, err
		}
		browsers, err := p.Sessions.Browsers(r.Context(), s.Person)
		if err != nil {
			return web.Page{}, err
		}
		for _, b := range browsers {
			v.Browsers = append(v.Browsers, Trusted{ID: b.ID, Agent: b.Agent, Network: b.Network, Made: b.Made, Expires: b.Expires})
		}
		this, err := p.Door.Browser(r)
		if err != nil {
			return web.Page{}, err
		}
		v.MayTrust = this == nil || this.Person != s.Person
	}
	page := v.Page()
	page.Cookies = forget
	return page, nil
}

// happened returns one page of what a person may read, and the event it ends with when there may be more.
func (p *Pages) happened(r *web.Request, person, before string) (out []Happened, older string, err error) {
	for range maxReads {
		events, err := p.Reads.EventsOf(r.Context(), person, before, readAtOnce)
		if err != nil {
			return nil, "", err
		}
		for _, e := range events {
			if len(out) == PerPage {
				return out, before, nil
			}
			before = e.ID
			if h, told := tell(e); told {
				h.At, h.From = e.At, from(e)
				out = append(out, h)
			}
		}
		if len(events) < readAtOnce {
			return out, "", nil
		}
	}
	return out, before, nil
}

// from says where something was done from, as far as it is kept.
func from(e event.Event) string {
	return strings.Join(slices.DeleteFunc([]string{e.Private["agent"], e.Private["network"]}, func(s string) bool { return s == "" }), " · ")
}

// signedIn returns the sign-ins that are open now: the one of this browser first, then by when they were last used.
func (p *Pages) signedIn(r *web.Request, s *session.Session) ([]SignedIn, error) {
	all, err := p.Sessions.Sessions(r.Context(), s.Person)
	if err != nil {
		return nil, err
	}
	var out []SignedIn
	for _, o := range all {
		if p.Now().Sub(o.Seen) >= session.Idle+session.SeenEvery && o.ID != s.ID { // it opens nothing any more
			continue
		}
		out = append(out, SignedIn{ID: o.ID, Here: o.ID == s.ID, Agent: o.Agent, Network: o.Network, Started: o.Started, Seen: o.Seen})
	}
	slices.SortStableFunc(out, func(a, b SignedIn) int {
		if a.Here != b.Here {
			return cmp.Compare(here(b), here(a))
		}
		return b.Seen.Compare(a.Seen)
	})
	return out, nil
}

func here(s SignedIn) int {
	if s.Here {
		return 1
	}
	return 0
}

// endSession signs another browser out.
func (p *Pages) endSession(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	if err := p.Sessions.EndOf(r.Context(), s, form["id"]); err != nil && !fault.Is(err, fault.NotFound) { // it ended meanwhile
		return web.Page{}, err
	}
	return going(PathActivity, noteEnded), nil
}

// endOthers signs every browser but this one out.
func (p *Pages) endOthers(r *web.Request, s *session.Session) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	all, err := p.Sessions.Sessions(r.Context(), s.Person)
	if err != nil {
		return web.Page{}, err
	}
	for _, o := range all {
		if o.ID == s.ID {
			continue
		}
		if err := p.Sessions.EndOf(r.Context(), s, o.ID); err != nil && !fault.Is(err, fault.NotFound) {
			return web.Page{}, err
		}
	}
	return going(PathActivity, noteEnded), nil
}

// forget ends the trust in a browser.
func (p *Pages) forget(r *web.Request, s *session.Session) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "id", Max: MaxID})
	if err != nil {
		return web.Page{}, err
	}
	if err := p.Sessions.ForgetBrowser(r.Context(), s, form["id"]); err != nil && !fault.Is(err, fault.NotFound) {
		return web.Page{}, err
	}
	return going(PathActivity, noteForgot), nil
}

// trust asks that this browser be trusted, which only a sign-in made for it does.
func (p *Pages) trust(r *web.Request, s *session.Session) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	return p.Door.Trust(r, s, PathActivity)
}
