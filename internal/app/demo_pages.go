package app

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/portal"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// personView is somebody of the demo on the page of people.
type personView struct {
	*person
	Ways []message.Message
}

func (d *demo) people(*web.Request) (web.Page, error) {
	var all []personView
	for _, p := range d.state.People {
		v := personView{person: p}
		for _, kind := range p.Methods {
			v.Ways = append(v.Ways, portal.Way{Kind: method.Kind(kind)}.Label())
		}
		all = append(all, v)
	}
	return web.Page{Template: "demo-people", Title: message.Key("demo.people.heading"), Data: all}, nil
}

// attackView is the page of the story "under attack".
type attackView struct {
	Login  string
	Starts int
	Done   bool
}

// The stranger's tries, and the addresses they come from: enough to meet the limit of each, and to leave some codes of
// the day for the owner.
const (
	demoStarts    = 40
	demoAddresses = 3
)

func (d *demo) victim() string {
	for _, p := range d.state.People {
		if p.Story == "under attack" {
			return p.Login
		}
	}
	return ""
}

func (v attackView) page() web.Page {
	return web.Page{Template: "demo-attack", Title: message.Key("demo.attack.heading"), Data: v}
}

func (d *demo) attackPage(*web.Request) (web.Page, error) {
	return attackView{Login: d.victim(), Starts: demoStarts}.page(), nil
}

// attack does what a stranger with many addresses would: it starts tries for somebody else and asks for codes.
func (d *demo) attack(r *web.Request) (web.Page, error) {
	if _, err := r.Form(); err != nil {
		return web.Page{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	for i := range demoStarts {
		from := reset.Origin{Addr: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", 1+i%demoAddresses)), Agent: "curl", Lang: r.Lang}
		_, hash := keyring.NewToken("rgn_try")
		a, err := d.server.Flow.Start(ctx, from, policy.Reset, d.victim(), hash)
		if err != nil {
			break // the limiter has had enough of this network: just what the story is about
		}
		if _, err := d.server.Flow.Ask(ctx, a, from, method.Email, ""); err != nil {
			break
		}
	}
	return attackView{Login: d.victim(), Starts: demoStarts, Done: true}.page(), nil
}
