// Package app plugs the pieces together: a configuration becomes a running server, a demonstration, or one command.
//
//	Setup   what a server is made of, whatever brought it: a configuration, the demo, a test
//	Server  the store, the flow, the pages, SCIM and the workers, wired
//	Run     listens, serves until its context ends, and drains
//
// It is the only package that imports the store, the senders and the directory adapters; nothing else knows them.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/console"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/handoff"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/notify"
	"github.com/regain-id/regain/internal/passkey"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/portal"
	"github.com/regain-id/regain/internal/provision"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/signal"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/internal/work"
)

// Setup is what a server is made of. Base, Database, Ring, Organisation.Name and one directory are needed.
type Setup struct {
	Base          string // public URL: scheme and host
	Database      string
	Migrate       bool
	Ring          *keyring.Ring
	Organisation  web.Organisation
	Corporate     []string // corporate mail domains
	MailOn        bool     // the way email may be used: a mail server and the corporate domains are set
	Words         []string
	Help          web.Help
	Links         web.Links
	Language      string
	Proxies       []netip.Prefix
	Directories   []reset.Directory
	IDPs          []IDP // where people and staff sign in; none: nobody can
	Mail          notify.MailSender
	Text          notify.TextSender
	From          string // sender of mails
	Security      string
	Region        string // country of phone numbers written without one
	Rates         reset.Rates
	ReceiverNets  []netip.Prefix // private networks that receivers of events may stand in
	ConnectorNets []netip.Prefix // private networks that connectors may publish their keys in
	Lists         password.Lists
	Stories       []portal.Story
	Demo          *web.Demo
	Extra         func(*web.Site, *Server) error // more pages: the demo's
	Templates     []fs.FS                        // of those pages
	Lanes         int                            // of workers; 0 means 8
	Now           func() time.Time
	Zone          *time.Location
	Log           *slog.Logger
	Trace         func(sql string)
	Crash         func(point string) // nil but in tests that end the process between two steps

	textLimits textLimits
}

// Server is everything wired and not yet listening. Handler serves; Work runs the workers until its context ends.
type Server struct {
	Store     *store.Cached
	Flow      *reset.Service
	Sessions  *session.Service
	Register  *register.Service
	Staff     *staff.Service
	Door      *signin.Door // nil without an identity provider
	Handoff   *handoff.Service
	Signal    *signal.Service
	Site      *web.Site
	Handler   http.Handler
	setup     Setup
	passkeys  *passkey.Relying // nil where the host is an address
	languages []string
	pool      *work.Pool
	health    *health
	scim      *provision.Server
}

// New wires a server. The caller closes it.
func New(ctx context.Context, s Setup) (*Server, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Zone == nil {
		s.Zone = time.Local
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Crash == nil {
		s.Crash = func(string) {}
	}
	st, err := store.Open(ctx, store.Config{URL: s.Database, Now: s.Now, Ring: s.Ring, Log: s.Log, Migrate: s.Migrate, Trace: s.Trace})
	if err != nil {
		return nil, err
	}
	srv := &Server{Store: st.Cached(), setup: s}
	if err := srv.wire(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return srv, nil
}

func (srv *Server) wire(ctx context.Context) error {
	s := srv.setup
	if _, err := srv.Store.EnsurePolicy(ctx, "system", s.Now()); err != nil {
		return err
	}
	catalogue, err := message.Load()
	if err != nil {
		return err
	}
	catalogue = catalogue.With("Organisation", s.Organisation.Name)
	srv.languages = catalogue.Languages()
	srv.passkeys = s.keys()
	srv.Flow, err = reset.New(reset.Config{
		Store: srv.Store, Limits: srv.Store, Keys: s.Ring, Policies: srv.Store, Directories: s.Directories, Kinds: srv.kinds, Passkeys: srv.passkeys, SignIns: s.proving(),
		Passwords: reset.Passwords{Words: append([]string{s.Organisation.Name}, s.Words...), Lists: s.Lists},
		Corporate: s.Corporate, Rates: s.Rates, Now: s.Now, Log: s.Log, Crash: s.Crash,
	})
	if err != nil {
		return err
	}
	if err := srv.identities(); err != nil {
		return err
	}
	srv.Site, err = web.New(web.Config{
		Base: s.Base, Organisation: s.Organisation, Help: s.Help, Links: s.Links, Translator: preferred{catalogue, s.Language},
		Templates: append([]fs.FS{portal.Templates(), signin.Templates(), console.Templates(), handoff.Templates()}, s.Templates...), Proxies: s.Proxies, Location: s.Zone, Demo: s.Demo, Sender: srv.sender, Log: s.Log,
	})
	if err != nil {
		return err
	}
	// The receivers of events stand where an operator registered them; a private one only where the host allows it.
	srv.Signal, err = signal.New(signal.Config{
		Base: s.Base, Organisation: s.Organisation.Name, Store: srv.Store, Signing: srv.Store, Keys: s.Ring, HTTP: egress.New(egress.Options{Allow: s.ReceiverNets}),
		Issued: s.issued(), Limits: srv.Store, Now: s.Now, Log: s.Log,
	})
	if err != nil {
		return err
	}
	if err := srv.mountPeople(); err != nil {
		return err
	}
	srv.scim, err = provision.New(provision.Config{
		Store: srv.Store, Policies: srv.Store, Passwords: srv.Flow, Base: s.Base, Corporate: s.Corporate, Region: s.Region, Now: s.Now, Log: s.Log,
		Hash: srv.Store.DestinationHash, CursorKey: s.Ring.Hash("scim-cursor"), Crash: s.Crash,
	})
	if err != nil {
		return err
	}
	srv.Site.Mount("/scim/v2", srv.scim)
	srv.Site.Mount("/ssf/", srv.Signal.HTTP())
	srv.Site.Mount("/.well-known/ssf-configuration", srv.Signal.WellKnown())
	srv.health = &health{store: srv.Store.Store, now: s.Now}
	srv.Site.Mount("/healthz/", srv.health)
	if s.Extra != nil {
		if err := s.Extra(srv.Site, srv); err != nil {
			return err
		}
	}
	srv.Handler = srv.Site
	printer, err := notify.NewPrinter(catalogue)
	if err != nil {
		return err
	}
	post := &notify.Post{
		Flow: srv.Flow, Register: srv.Register, Book: srv.Store, Printer: printer, Mail: s.Mail, Text: s.Text, Guard: srv.guard(), BaseURL: s.Base, SignIn: s.Organisation.SignIn, Language: s.Language,
		Organisation: s.letterhead(srv.Site), Security: s.Security, Zone: s.Zone, Now: s.Now, Log: s.Log,
	}
	if err := post.Check(); err != nil {
		return err
	}
	handlers := post.Handlers()
	handlers[string(event.RouteReconcile)] = srv.reconcile
	handlers[string(event.RouteRetire)] = func(ctx context.Context, i event.Item) error { return srv.Flow.Retire(ctx, i.Ref) }
	maps.Copy(handlers, srv.Signal.Handlers())
	maps.Copy(handlers, srv.scim.Handlers()) // a request of a thousand operations lasts: it is set aside, too
	host, _ := os.Hostname()
	srv.pool = work.New(work.Config{Queue: queue{srv.Store.Store, s.Crash}, Handlers: handlers, Aside: append(slices.Clone(signal.Kinds), provision.Kind), Held: srv.Signal.Held, Owner: fmt.Sprintf("%s/%d", host, os.Getpid()), Lanes: s.Lanes, Now: s.Now, Log: s.Log})
	return nil
}

// guard keeps text messages within their countries and budgets; a setup without limits has none.
func (srv *Server) guard() notify.Guard {
	l := srv.setup.textLimits
	if l.perDay == 0 {
		return nil
	}
	return &notify.TextGuard{Budget: srv.Store, Hash: srv.setup.Ring.Hash, Countries: l.countries, PerRange: l.perRange, PerDay: l.perDay, Now: srv.setup.Now}
}

// kinds are the ways that are set up here.
func (s Setup) kinds() []method.Kind {
	out := []method.Kind{method.RecoveryCode, method.TOTP, method.HOTP}
	if s.Mail != nil && s.MailOn {
		out = append(out, method.Email)
	}
	if s.Text != nil {
		out = append(out, method.SMS)
	}
	return out
}

func (s Setup) letterhead(site *web.Site) notify.Organisation {
	hue := int(web.DefaultColour.Hue)
	if s.Organisation.Colour != nil {
		hue = int(s.Organisation.Colour.Hue)
	}
	o := notify.Organisation{Name: s.Organisation.Name, Hue: hue % 360, Host: host(s.Base), From: s.From, Help: map[string]notify.Help{}}
	for _, lang := range []string{"en", "de"} {
		h := site.Help()
		o.Help[lang] = notify.Help{Text: h.Text.In(lang, "en"), Phone: h.Phone, Hours: h.Hours.In(lang, "en"), URL: h.URL.In(lang, "en")}
	}
	return o
}

func (srv *Server) reconcile(ctx context.Context, i event.Item) error {
	err := srv.Flow.Reconcile(ctx, i.Ref)
	if errors.Is(err, reset.ErrNotYet) {
		return event.Later{After: 5 * time.Second, Class: "waiting"}
	}
	return err
}

// Work runs the workers and the sweeper until ctx ends.
func (srv *Server) Work(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { srv.sweep(ctx) })
	beside.Go(func() { srv.refresh(ctx) })
	srv.pool.Run(ctx)
	beside.Wait()
}

// refresh looks each second whether policy or trust changed on another replica or by the command line.
func (srv *Server) refresh(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := srv.setup.Ring.Reload(); err != nil { // another replica, or the command line, may have rotated
			srv.setup.Log.WarnContext(ctx, "key file not read", "err", err)
		}
		if err := srv.Store.Refresh(ctx); err != nil && ctx.Err() == nil {
			srv.setup.Log.WarnContext(ctx, "settings not read", "err", err)
		}
	}
}

// attemptsKept is how long the rows of ended attempts stay; their events tell the story for longer.
const attemptsKept = 30 * 24 * time.Hour

// sweep removes what is of no more use, once an hour.
func (srv *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := srv.setup.Now()
		if _, err := srv.Store.SweepLimits(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "limits not swept", "err", err)
		}
		if _, err := srv.Store.SweepRemoved(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "old rows not swept", "err", err)
		}
		if _, err := srv.Store.SweepDepartures(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "people who left are still remembered", "err", err)
		}
		if _, err := srv.Store.SweepSignIns(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "old sign-ins not swept", "err", err)
		}
		if _, _, err := srv.Store.SweepSigning(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "signing keys not rotated", "err", err)
		}
		if _, err := srv.Store.SweepLeaving(ctx, now); err != nil {
			srv.setup.Log.WarnContext(ctx, "ways that were to be removed are still there", "err", err)
		}
		if _, err := srv.Store.SweepAttempts(ctx, now.Add(-attemptsKept)); err != nil {
			srv.setup.Log.WarnContext(ctx, "old attempts not swept", "err", err)
		}
		if _, err := srv.Store.Forget(ctx, now.Add(-30*24*time.Hour)); err != nil {
			srv.setup.Log.WarnContext(ctx, "dead letters not swept", "err", err)
		}
	}
}

// Close waits for writes on their way, at most as long as ctx, and closes the store.
func (srv *Server) Close(ctx context.Context) error {
	err := srv.Flow.Close(ctx)
	for _, d := range srv.setup.Directories {
		err = errors.Join(err, d.Adapter.Close())
	}
	srv.scim.Settle()
	return errors.Join(err, srv.Store.Close())
}

// preferred is the catalogue with the operator's language for browsers that ask for none we have.
type preferred struct {
	*message.Catalogue
	language string
}

// Match prefers the person's choices, then their browser's, then the operator's default.
func (p preferred) Match(accept string, choices ...string) string {
	if accept == "" && p.language != "" {
		choices = append(slices.Clone(choices), p.language)
	}
	return p.Catalogue.Match(accept, choices...)
}
