package console

import (
	"errors"
	"time"

	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

// cookieInvite holds the token of an invitation once it is out of the address.
const cookieInvite = "invite"

const maxToken = 128

// invite shows what an invitation is for. Its token moves from the address into a cookie first; looking at it uses nothing
// up, however many programs follow the link before a person does.
func (c *rooms) invite(r *web.Request) (web.Page, error) {
	q, err := r.Query(web.Field{Name: "t", Max: maxToken})
	if err != nil {
		return web.Page{}, err
	}
	if token := q["t"]; token != "" {
		return web.Page{Goto: PathInvite, Cookies: []web.Cookie{{Name: cookieInvite, Value: cookieSafe(token), MaxAge: staff.InviteLife}}}, nil
	}
	i, err := c.invited(r)
	if err != nil {
		return c.overOr(err)
	}
	s, err := c.Door.Session(r)
	if err != nil {
		return web.Page{}, err
	}
	if s == nil || !s.SteppedUp(c.Now(), session.StepUpLife) {
		return InvitePage{Role: i.Role}.Page(), nil
	}
	return c.choose(r, i, s, nil)
}

// begin goes off to sign in, as staff do.
func (c *rooms) begin(r *web.Request) (web.Page, error) {
	i, err := c.invited(r)
	if err != nil {
		return c.overOr(err)
	}
	return c.Door.Begin(r, session.Flow{Purpose: session.Staff, Goto: PathInvite, Invite: i.Hash})
}

// redeem writes down what makes people staff, and uses the invitation up.
func (c *rooms) redeem(r *web.Request) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "choice", Max: 64})
	if err != nil {
		return web.Page{}, err
	}
	i, err := c.invited(r)
	if err != nil {
		return c.overOr(err)
	}
	s, err := c.Door.Session(r)
	if err != nil {
		return web.Page{}, err
	}
	if s == nil {
		return InvitePage{Role: i.Role, Again: true}.Page(), nil
	}
	rule, err := c.Staff.Redeem(r.Context(), i.Hash, s, form["choice"])
	switch e, isFault := errors.AsType[*fault.Error](err); {
	case errors.Is(err, staff.ErrStepUp):
		return InvitePage{Role: i.Role, Again: true}.Page(), nil
	case isFault && e.Kind == fault.Invalid:
		return c.choose(r, i, s, []web.Problem{{Field: e.Field, Say: e.Say}})
	case err != nil:
		return c.overOr(err)
	}
	page := InviteDonePage{Rule: *rule}.Page()
	page.Cookies = []web.Cookie{{Name: cookieInvite, MaxAge: -time.Second}}
	page.Frame, err = c.frame(r.Context(), s)
	return page, err
}

// choose shows what came with the sign-in, to pick one of it.
func (c *rooms) choose(r *web.Request, i *staff.Invite, s *session.Session, problems []web.Problem) (web.Page, error) {
	choices, err := c.Staff.Choices(r.Context(), s)
	if err != nil {
		return web.Page{}, err
	}
	page := InviteChoosePage{Role: i.Role, Choices: choices, Claims: s.Claims, Problems: problems}.Page()
	page.Frame, err = c.frame(r.Context(), s)
	return page, err
}

// invited returns the invitation whose token the browser holds.
func (c *rooms) invited(r *web.Request) (*staff.Invite, error) {
	hash := c.Hash(r.Cookie(cookieInvite))
	if hash == nil {
		return nil, staff.Over()
	}
	return c.Staff.Invited(r.Context(), hash)
}

// overOr turns an invitation that is over into its page.
func (c *rooms) overOr(err error) (web.Page, error) {
	if !fault.Is(err, fault.Over) {
		return web.Page{}, err
	}
	page := InviteOverPage{}.Page()
	page.Cookies = []web.Cookie{{Name: cookieInvite, MaxAge: -time.Second}}
	return page, nil
}

// cookieSafe keeps a stranger's token out of a cookie's syntax: ours are letters, digits, - and _ only.
func cookieSafe(token string) string {
	for _, r := range token {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return "none"
		}
	}
	return token
}
