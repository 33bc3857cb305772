package portal

import (
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// notMe shows what "this was not me" would do. It does nothing by itself: mail scanners open links.
func (p *Pages) notMe(r *web.Request) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "t", Max: MaxToken})
	if err != nil {
		return web.Page{}, err
	}
	a, stage, err := p.Flow.Disputed(r.Context(), q["t"])
	if err != nil {
		return web.Page{}, err
	}
	if page, over := nothingToStop(a, stage); over {
		return page, nil
	}
	at := a.Started
	if !a.Ended.IsZero() {
		at = a.Ended
	}
	return NotMePage{Token: q["t"], Action: a.Action, Reference: a.Reference, At: at, Finished: stage == reset.AfterOutcome}.Page(), nil
}

// dispute acts on it.
func (p *Pages) dispute(r *web.Request) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "token", Max: MaxToken})
	if err != nil {
		return web.Page{}, err
	}
	a, _, err := p.Flow.Disputed(r.Context(), form["token"])
	if err != nil {
		return web.Page{}, err
	}
	stage, err := p.Flow.Dispute(r.Context(), form["token"])
	if err != nil {
		return web.Page{}, err
	}
	if page, over := nothingToStop(a, stage); over {
		return page, nil
	}
	return NotMeDonePage{Reference: a.Reference, Finished: stage == reset.AfterOutcome}.Page(), nil
}

// nothingToStop is the page for a link that does nothing any more. It must not say that nothing was changed: after 72
// hours something was.
func nothingToStop(a *reset.Attempt, stage reset.Stage) (web.Page, bool) {
	if stage != reset.TooLate && stage != reset.Stopped {
		return web.Page{}, false
	}
	return NotMeOverPage{Late: stage == reset.TooLate, Reference: a.Reference}.Page(), true
}
