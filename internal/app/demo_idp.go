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
)

// What the demo is called at its own identity provider, and the provider here: demoIDP stands in paths and rows.
const (
	demoIDP    = "work"
	demoClient = "demo"
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

// serve runs the provider until the returned function is called. It signs in the people of the demo: passwords are the
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
