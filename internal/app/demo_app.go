package app

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// demoApp is the app that the demo registers, of its JSON line: the programs of examples/app are it. It stays the same for
// a data folder.
type demoApp struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURI  string `json:"redirect_uri"`
}

// demoAppPort is where the examples listen.
const demoAppPort = "8085"

// registerApp registers the demo's app, which may ask for everything. Where the demo took any port, the app gets one that
// was free a moment ago.
func registerApp(ctx context.Context, srv *Server, anyPort bool) (*demoApp, error) {
	port := demoAppPort
	if anyPort {
		l, err := net.Listen("tcp", "localhost:0")
		if err != nil {
			return nil, err
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	now := srv.setup.Now()
	secret, hash := keyring.NewToken("rgn_app")
	a := &client.App{ID: newID(), Version: 1, Key: "example-shop", Name: "Example shop", Returns: []string{"http://localhost:" + port + "/"}, Created: now, Updated: now,
		Redirects: []string{"http://localhost:" + port + "/callback"}, Actions: client.Actions, Auth: client.AuthSecret, Secrets: []client.Token{{ID: newID(), Hash: hash, Created: now}},
		Alg: keyring.ES256, Subject: client.Pairwise, Sector: "localhost", Initiate: "http://localhost:" + port + "/forgot"}
	if err := a.Check(); err != nil {
		return nil, err
	}
	// One whose secret nobody remembers is of no use: the last run ended before it was written down.
	if old, err := srv.Store.Store.App(ctx, a.Key); err != nil {
		return nil, err
	} else if old != nil {
		gone := event.New(now, event.AppDeleted, "system", "", old.ID, event.Success).With("key", old.Key).With("name", old.Name).With("returns", old.Returns)
		if err := srv.Store.DeleteApp(ctx, old.Key, gone); err != nil {
			return nil, err
		}
	}
	e := event.New(now, event.AppCreated, "system", "", a.ID, event.Success).With("key", a.Key).With("name", a.Name).With("returns", a.Returns)
	if err := srv.Store.CreateApp(ctx, a, e); err != nil {
		return nil, err
	}
	if err := srv.Store.EnsureSigning(ctx, keyring.ForIDTokens, a.Alg, now); err != nil {
		return nil, err
	}
	return &demoApp{ClientID: a.Key, ClientSecret: secret, RedirectURI: a.Redirects[0]}, srv.Store.Refresh(ctx)
}

// environment is the line that an example reads, for a shell.
func (a *demoApp) environment(issuer, signIn string) string {
	return fmt.Sprintf("export ISSUER=%s CLIENT_ID=%s CLIENT_SECRET=%s REDIRECT_URI=%s SIGN_IN=%s", issuer, a.ClientID, a.ClientSecret, a.RedirectURI, signIn)
}

// appView is the page of the story "an app sends people here".
type appView struct {
	Environment string
	URL         string // of the app, once it runs
}

func (d *demo) appPage(*web.Request) (web.Page, error) {
	a := d.state.App
	return web.Page{Template: "demo-app", Title: message.Key("demo.app.heading"),
		Data: appView{Environment: a.environment(d.base, d.idp.issuer+"/"), URL: strings.TrimSuffix(a.RedirectURI, "callback")}}, nil
}
