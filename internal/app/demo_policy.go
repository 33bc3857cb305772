package app

import (
	"context"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// demoPolicy is what the demo starts with: it waits for nothing, and says so.
const demoPolicy = `rules:
  - name: everyone
    proofs: {reset: 2}
    hold_new: 0s
    hold_after_reset: 0s
    mature_after: 0s
    registration: {mode: invited}
`

// strictPolicy is what the administrator of the story wants instead.
const strictPolicy = `rules:
  - name: everyone
    kinds: [passkey, email, sms, totp, recovery-code]
    proofs: {reset: 3}
    hold_new: 0s
    hold_after_reset: 0s
    mature_after: 0s
    registration: {mode: invited}
`

// apply makes a text the policy in force, by the way every policy takes.
func (d *demo) apply(ctx context.Context, srv *Server, text string) error {
	p, err := policy.Parse([]byte(text))
	if err != nil {
		return err
	}
	if _, err := srv.Store.ApplyPolicy(ctx, p, "system", srv.setup.Now()); err != nil {
		return err
	}
	return srv.Store.Refresh(ctx)
}

// policyView is the page of the story "administrator changes the policy".
type policyView struct {
	Text    string // the new rule, as a file
	Version int64  // in force
	Strict  bool   // it is the new one
	Changed bool   // just now
	People  []policyPerson
	Lose    int // people who can reset under the old rule and not under the new one
}

// policyPerson is what the rules come to for somebody.
type policyPerson struct {
	Login         string
	Before, After policyVerdict
}

// policyVerdict says whether somebody could reset, and how many proofs of those needed they could show together.
type policyVerdict struct {
	Can          bool
	Have, Needed int
}

// onePolicy is a policy to judge by that may not be in force.
type onePolicy policy.Policy

func (o onePolicy) Policy(context.Context) (policy.Policy, error) { return policy.Policy(o), nil }
func (o onePolicy) PolicyVersion(context.Context, int64) (policy.Policy, error) {
	return policy.Policy(o), nil
}

// judge says what a policy comes to for a person, by the rules a real try goes by.
func (d *demo) judge(ctx context.Context, text, login string) (v policyVerdict, err error) {
	p, err := policy.Parse([]byte(text))
	if err != nil {
		return v, err
	}
	who, err := d.server.Store.FindPerson(ctx, account.Fold(login))
	if err != nil {
		return v, err
	}
	cfg := d.server.Flow.Config
	cfg.Policies = onePolicy(p)
	flow, err := reset.New(cfg)
	if err != nil {
		return v, err
	}
	r, err := flow.Readiness(ctx, who, policy.Reset)
	if err != nil {
		return v, err
	}
	return policyVerdict{Can: r.Capable, Have: r.Together, Needed: r.Decision.Proofs}, nil
}

func (d *demo) policyPage(r *web.Request) (web.Page, error) { return d.showPolicy(r.Context(), false) }

func (d *demo) showPolicy(ctx context.Context, changed bool) (web.Page, error) {
	now, err := d.server.Store.Policy(ctx)
	if err != nil {
		return web.Page{}, err
	}
	strict, err := policy.Parse([]byte(strictPolicy))
	if err != nil {
		return web.Page{}, err
	}
	v := policyView{Text: strictPolicy, Version: now.Version, Strict: now.Hash == strict.Hash, Changed: changed}
	for _, p := range d.state.People {
		one := policyPerson{Login: p.Login}
		if one.Before, err = d.judge(ctx, demoPolicy, p.Login); err != nil {
			return web.Page{}, err
		}
		if one.After, err = d.judge(ctx, strictPolicy, p.Login); err != nil {
			return web.Page{}, err
		}
		if one.Before.Can && !one.After.Can {
			v.Lose++
		}
		v.People = append(v.People, one)
	}
	return web.Page{Template: "demo-policy", Title: message.Key("demo.policy.heading"), Data: v}, nil
}

// changePolicy puts the new rule in force, or the old one again.
func (d *demo) changePolicy(r *web.Request) (web.Page, error) {
	form, err := r.Form(web.Field{Name: "rule", Max: 10})
	if err != nil {
		return web.Page{}, err
	}
	text, ok := map[string]string{"new": strictPolicy, "old": demoPolicy}[form["rule"]]
	if !ok {
		return web.Page{}, fault.New(fault.Invalid, message.Key("error.bad_request"))
	}
	if err := d.apply(r.Context(), d.server, text); err != nil {
		return web.Page{}, err
	}
	return d.showPolicy(r.Context(), true)
}
