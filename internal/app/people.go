package app

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/config"
	"github.com/regain-id/regain/internal/console"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/handoff"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/portal"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

// IDP is an identity provider people sign in at.
type IDP struct {
	signin.ProviderConfig
	Link   string   // attribute of the person that the provider's LinkClaim must equal at the first sign-in
	People []string // names of the connectors whose people it may speak for; none: everybody's
	// Subject is the attribute of the person that holds their subject there, for receivers of events; "" for none.
	Subject string
}

// idps returns the providers a configuration describes. It connects to nothing.
func idps(c config.Config) ([]IDP, error) {
	var out []IDP
	for _, i := range c.IDPs {
		p := IDP{Link: c.Link.SignIn.Person, People: i.People, Subject: i.SubjectAttribute, ProviderConfig: signin.ProviderConfig{
			Name: i.Name, Label: i.Label, Issuer: i.Issuer, ClientID: i.ClientID, ClientSecret: i.ClientSecret.Reveal(), KeyID: i.KeyID, Scopes: i.Scopes,
			StepUp:     signin.StepUp{Ask: signin.Ask(i.StepUp.Request), Accept: i.StepUp.Accept, Claim: string(i.StepUp.Claim), MaxAge: i.StepUp.MaxAge.Std(), Prompt: i.StepUp.Prompt},
			NoPassword: i.NoPassword, Claim: i.Claim, LinkClaim: c.Link.SignIn.Claim, RoleClaims: i.RoleClaims, AccountURL: i.AccountURL, AllowPrivate: i.AllowPrivate,
		}}
		if e := i.Events; e.On() {
			p.Events = &signin.Events{Issuer: e.Issuer, JWKS: e.JWKSURI, Audience: e.Audience, Token: e.Token.Reveal()}
		}
		var err error
		if p.RootCAs, err = authorities(i.CAFile); err != nil {
			return nil, fmt.Errorf("idps %s: ca_file: %w", i.Name, err)
		}
		if i.KeyFile != "" {
			text, err := os.ReadFile(i.KeyFile)
			if err == nil {
				p.Key, err = signin.ReadKey(text)
			}
			if err != nil {
				return nil, fmt.Errorf("idps %s: key_file: %w", i.Name, err)
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// proving are the names of the providers where a sign-in can be known to need no password.
func (s Setup) proving() []string {
	var out []string
	for _, p := range s.IDPs {
		if len(p.NoPassword) > 0 {
			out = append(out, p.Name)
		}
	}
	return out
}

// identities makes what knows who is signed in and what they may do: sessions, registering, roles.
func (srv *Server) identities() (err error) {
	s := srv.setup
	rules := map[string]session.Rule{}
	for _, p := range s.IDPs {
		rules[p.Name] = session.Rule{Link: p.Link, Connectors: p.People}
	}
	srv.Sessions, err = session.New(session.Config{Store: srv.Store, Limits: srv.Store, Keys: s.Ring, Providers: rules, Now: s.Now, Log: s.Log})
	if err != nil {
		return err
	}
	srv.Register, err = register.New(register.Config{
		Store: srv.Store, Limits: srv.Store, Keys: s.Ring, Policies: srv.Store, Passkeys: srv.passkeys, Kinds: srv.kinds, Corporate: s.Corporate,
		Region: s.Region, Organisation: s.Organisation.Name, Now: s.Now, Log: s.Log,
	})
	if err != nil {
		return err
	}
	srv.Staff, err = staff.New(srv.Store, s.Now)
	return err
}

// mountPeople adds the pages of the portal and, with an identity provider, the door that people come in by.
func (srv *Server) mountPeople() error {
	s := srv.setup
	c := portal.Config{
		Flow: srv.Flow, SignIn: s.Organisation.SignIn, Stories: s.Stories, Now: s.Now,
		Token: func() (string, []byte) { return keyring.NewToken("rgn_try") }, Hash: hashOf("rgn_try"), Account: portal.Account{Reads: srv.Store},
	}
	if len(s.IDPs) == 0 {
		return srv.mountHandoffs(portal.Mount(srv.Site, c))
	}
	var pages *portal.Pages // made below: the door and the pages lead to each other
	door := signin.Config{
		Sessions: srv.Sessions, Base: s.Base, Home: portal.PathSecurity, Now: s.Now, Log: s.Log,
		Arrived: func(r *web.Request, se *session.Session, f *session.Flow) (web.Page, error) {
			return pages.Arrived(r, se, f)
		},
		Proved: func(r *web.Request, f *session.Flow, who *account.Person, id session.Identity) (web.Page, error) {
			return pages.Proved(r, f, who, id)
		},
		Failed: func(r *web.Request, f *session.Flow, err error) (web.Page, error) { return pages.Failed(r, f, err) },
	}
	for _, p := range s.IDPs {
		door.Providers = append(door.Providers, p.ProviderConfig)
	}
	var err error
	if srv.Door, err = signin.New(door); err != nil {
		return err
	}
	c.Account = portal.Account{Door: srv.Door, Register: srv.Register, Sessions: srv.Sessions, Reads: srv.Store}
	pages = portal.Mount(srv.Site, c)
	srv.Door.Mount(srv.Site)
	if err := srv.mountHandoffs(pages); err != nil {
		return err
	}
	return console.Mount(srv.Site, console.Config{
		Base: strings.TrimRight(s.Base, "/"), Door: srv.Door, Staff: srv.Staff, Judge: srv.Flow, Store: srv.Store, Apps: srv.Store.Store, Teller: srv.Signal, Limits: srv.Store, Keys: s.Ring,
		Hash: hashOf("rgn_invite"), Now: s.Now, Rules: consoleRules,
	})
}

// consoleRules are the rules of a connector for its page.
func consoleRules(c *client.Connector) []console.Rule {
	var all []console.Rule
	for _, r := range Rules(c) {
		all = append(all, console.Rule{Name: r.Name, On: r.On, Own: r.Own})
	}
	return all
}

// issued tells the receivers of events how people are known where they sign in.
func (s Setup) issued() []signal.Issued {
	out := make([]signal.Issued, len(s.IDPs))
	for i, p := range s.IDPs {
		out[i] = signal.Issued{IDP: p.Name, Issuer: p.Issuer, Attribute: p.Subject, Connectors: p.People}
	}
	return out
}

// mountHandoffs adds the way by which apps send people to the pages and hear what happened. An app is read afresh each
// time: one that was disabled stops at once.
func (srv *Server) mountHandoffs(pages *portal.Pages) (err error) {
	s := srv.setup
	actions := slices.Clone(client.Actions)
	if len(s.IDPs) == 0 { // nobody can sign in to register
		actions = slices.DeleteFunc(actions, func(a client.Action) bool { return a == client.ActionRegister })
	}
	srv.Handoff, err = handoff.New(handoff.Config{
		Base: s.Base, SignIn: s.Organisation.SignIn, Store: srv.Store.Store, Once: srv.Store, Limits: srv.Store, Keys: s.Ring, Signing: srv.Store, Pages: pages,
		ClientCredentials: srv.Signal.ClientCredentials, Connectors: srv.Store, HTTP: egress.New(egress.Options{Allow: s.ConnectorNets}), Languages: srv.languages, Actions: actions, Now: s.Now, Log: s.Log,
	})
	if err != nil {
		return err
	}
	pages.Sent = srv.Handoff
	srv.Handoff.Mount(srv.Site)
	return nil
}

// sender is the app that waits for the person at a browser; nil when none does.
func (srv *Server) sender(r *web.Request) (*web.Sender, error) {
	if srv.Handoff == nil { // pages of something else than the portal
		return nil, nil
	}
	return srv.Handoff.Sender(r)
}

// keys makes what passkeys are made for: the host people type, and the organisation's name. An address has no passkeys
// (WebAuthn Level 3 §5.1.2: the RP ID is a domain); there the way is off.
func (s Setup) keys() *passkey.Relying {
	keys, err := passkey.New(host(s.Base), s.Base, s.Organisation.Name)
	if err != nil {
		s.Log.Info("passkeys are off", "why", err.Error())
		return nil
	}
	return keys
}

// kinds are the ways that are set up here.
func (srv *Server) kinds() []method.Kind {
	out := srv.setup.kinds()
	if srv.passkeys != nil {
		out = append(out, method.Passkey)
	}
	if len(srv.setup.proving()) > 0 {
		out = append(out, method.IDP)
	}
	return out
}

// hashOf returns the hash by which a token of one kind is looked up; nil when it is none.
func hashOf(prefix string) func(string) []byte {
	return func(token string) []byte {
		if got, ok := keyring.TokenPrefix(token); !ok || got != prefix {
			return nil
		}
		hash, _ := keyring.HashToken(token)
		return hash
	}
}

// checkProviders looks at each identity provider without signing in anywhere.
func checkProviders(ctx context.Context, c config.Config) []Finding {
	providers, err := idps(c)
	if err != nil {
		return []Finding{{Area: "sign-in", Verdict: Must, Text: err.Error()}}
	}
	if len(providers) == 0 {
		return []Finding{{Area: "sign-in", Verdict: May, Text: "no identity provider: people cannot register, and there is no console", Fix: "idps"}}
	}
	var out []Finding
	for _, p := range providers {
		for _, f := range signin.Look(ctx, p.ProviderConfig) {
			out = append(out, providerFinding("identity provider "+p.Name, f))
		}
	}
	return out
}

// providerFinding says what was found of a provider in the words of check.
func providerFinding(area string, f signin.Finding) Finding {
	verdict := map[signin.Level]Verdict{signin.Fine: Good, signin.Notice: May, signin.Warning: Should, signin.Fatal: Must}[f.Level]
	return Finding{Area: area, Verdict: verdict, Text: f.What + ": " + f.Text, Fix: f.Fix}
}
