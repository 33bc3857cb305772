package portal

import (
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// notMe shows what "this was not me" would do. It does nothing by itself: mail scanners open links.
func (p *pages) notMe(r *web.Request) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "t", Max: MaxToken})
	if err != nil {
		return web.Page{}, err
	}
	a, stage, err := p.Flow.Disputed(r.Context(), q["t"])
	if err != nil {
		return web.Page{}, err
	}
	switch stage {
	case reset.TooLate:
		return EndPage{End: Expired, Action: a.Action, Reference: a.Reference}.Page(), nil
	case reset.Stopped:
		return NotMeDonePage{Reference: a.Reference}.Page(), nil
	}
	at := a.Started
	if !a.Ended.IsZero() {
		at = a.Ended
	}
	return NotMePage{Token: q["t"], Action: a.Action, Reference: a.Reference, At: at, Finished: stage == reset.AfterOutcome}.Page(), nil
}

// dispute acts on it.
func (p *pages) dispute(r *web.Request) (web.Page, error) {
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
	if stage == reset.TooLate {
		return EndPage{End: Expired, Action: a.Action, Reference: a.Reference}.Page(), nil
	}
	return NotMeDonePage{Reference: a.Reference, Finished: stage == reset.AfterOutcome}.Page(), nil
}
