package app

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/demoidp"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/staff"
)

// What the demo is called at its own identity provider, and the provider here: demoIDP stands in paths and rows.
const (
	demoIDP       = "work"
	demoClient    = "demo"
	demoRoleClaim = "roles"
)

// idpServer is the demo's identity provider on its own port: another origin, as a real one is.
type idpServer struct {
	issuer   string
	secret   string // of the client, new with every run
	listener net.Listener
	server   *http.Server
}

// listenIDP takes a port for the identity provider: any where the demo took any, else the next free one. It is
// reached from this computer only, whatever the demo itself listens on.
func listenIDP(demo net.Listener, any bool) (*idpServer, error) {
	port := 0
	if a, ok := demo.Addr().(*net.TCPAddr); ok && !any {
		port = a.Port + 1
	}
	l, err := net.Listen("tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	for last := port + 100; err != nil && port > 0 && port < last; port++ {
		l, err = net.Listen("tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	}
	if err != nil {
		return nil, err
	}
	_, taken, _ := net.SplitHostPort(l.Addr().String())
	return &idpServer{issuer: "http://localhost:" + taken, secret: rand.Text() + rand.Text(), listener: l}, nil
}

// provider is how the demo's server knows its identity provider.
func (i *idpServer) provider() IDP {
	return IDP{Link: "userName", ProviderConfig: signin.ProviderConfig{
		Name: demoIDP, Label: "Alder Works", Issuer: i.issuer, ClientID: demoClient, ClientSecret: i.secret, Scopes: []string{"openid", "profile", "email"},
		StepUp:     signin.StepUp{Ask: signin.AskACRValues, Accept: []string{demoidp.SecondFactor, demoidp.Passwordless}, Claim: "acr", MaxAge: session.StepUpLife},
		NoPassword: []string{demoidp.Passwordless}, Claim: "oid", LinkClaim: "preferred_username", RoleClaims: []string{demoRoleClaim}, AccountURL: i.issuer + "/", AllowPrivate: true,
	}}
}

// serveIDP runs the provider until the returned function is called. It signs in the people of the demo: passwords are the
// directory's, so that one that was just reset works, and roles are claims.
func (d *demo) serveIDP() (stop func() error, err error) {
	var people []demoidp.Person
	for _, p := range d.state.People {
		who := demoidp.Person{Login: p.Login, Sub: "demo-" + p.uid, Oid: "demo-" + p.uid, Name: p.name(), Email: p.Login, Code: p.SecondFactor, Device: true, Groups: []string{"everyone"}}
		if p.Role != "user" {
			who.Roles = []string{p.Role}
		}
		people = append(people, who)
	}
	provider, err := demoidp.New(demoidp.Config{
		Issuer: d.idp.issuer, ClientID: demoClient, ClientSecret: d.idp.secret, RedirectURIs: []string{d.base + "/signin/" + demoIDP + "/callback"},
		PostLogout: []string{d.base + "/signed-out"}, People: people, AcceptPassword: d.accepts, Guide: d.base + "/demo/people",
	})
	if err != nil {
		return nil, err
	}
	d.idp.server = &http.Server{Handler: provider, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan error, 1)
	go func() { ended <- d.idp.server.Serve(d.idp.listener) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := d.idp.server.Shutdown(ctx)
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

// grantRoles makes those staff whose sign-in says so, which it does of Dana and Emil. Rules that are there stay as they are.
func (d *demo) grantRoles(ctx context.Context, srv *Server) error {
	now := srv.setup.Now()
	for _, role := range []staff.Role{staff.Helpdesk, staff.Administrator} {
		r := staff.Rule{ID: newID(), Role: role, Source: staff.FromClaim, IDP: demoIDP, Claim: demoRoleClaim, Value: string(role), Made: now, By: "system"}
		e := event.New(now, event.RoleGranted, "system", "", r.ID, event.Success).With("role", string(role)).With("source", string(r.Source)).
			With("idp", r.IDP).With("claim", r.Claim).With("value", r.Value)
		if _, err := srv.Store.PutRoleRule(ctx, &r, e); err != nil {
			return err
		}
	}
	return srv.Store.Refresh(ctx)
}
