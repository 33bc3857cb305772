package app

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/portal"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/pkg/directory"
)

// DemoOptions say how the demonstration is run. It reads no configuration and no environment.
type DemoOptions struct {
	Listen  string // default localhost:8080, or the next free port when that is taken; port 0 takes any
	Data    string // a folder that keeps the state; "" takes a new one and removes it at the end
	JSON    bool   // one line of JSON when ready, for programs
	Expose  bool   // listen on other addresses than loopback: strangers could then read everybody's codes
	Fault   string // such as directory=timeout-after-write
	Version string
	Log     *slog.Logger
	Ready   chan<- DemoLine

	patience time.Duration // how long a directory that does not answer is waited for, and then keeps us waiting; 5 s when 0
}

// DemoLine is what the demonstration says when it is ready. Keys are only ever added.
type DemoLine struct {
	Contract       int       `json:"contract"`
	Version        string    `json:"version"`
	Base           string    `json:"base"`
	Portal         string    `json:"portal"`
	Console        string    `json:"console"`
	SCIM           string    `json:"scim"`
	SCIMToken      string    `json:"scim_token"`
	IDP            string    `json:"idp"`
	Mailbox        string    `json:"mailbox"`
	DirectoryCheck string    `json:"directory_check"`
	Metrics        string    `json:"metrics"`
	App            *demoApp  `json:"app"`
	People         []*person `json:"people"`
}

// demoStamp marks a database as the demonstration's: nothing real is ever served from it.
const demoStamp = "demo"

// demo is the parts of the demonstration that a real deployment brings itself.
type demo struct {
	base      string
	anyPort   bool // it took whichever was free, and so does what it says of the app
	idp       *idpServer
	patience  time.Duration
	fault     memory.Fault
	directory *memory.Directory
	mailbox   *mailbox
	server    *Server
	state     *demoState
}

//go:embed templates/*.html
var demoTemplates embed.FS

// Demo runs the demonstration until ctx ends: one process, SQLite, a directory in memory with a policy of its own,
// people with a story each, and a page where everything that is sent arrives.
func Demo(ctx context.Context, o DemoOptions, out io.Writer) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, err := parseFault(o.Fault)
	if err != nil {
		return err
	}
	l, err := demoListen(o)
	if err != nil {
		return err
	}
	defer l.Close()
	dir := o.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "regain-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	idp, err := listenIDP(l, strings.HasSuffix(o.Listen, ":0"))
	if err != nil {
		return err
	}
	defer idp.listener.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := &demo{base: "http://localhost:" + port, anyPort: strings.HasSuffix(o.Listen, ":0"), idp: idp, patience: cmp.Or(o.patience, 5*time.Second), fault: f}
	srv, err := d.open(ctx, dir, o.Log)
	if err != nil {
		return err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 35*time.Second)
		defer cancel()
		err = errors.Join(err, srv.Close(cctx))
	}()
	stop, err := d.serveIDP()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	d.directory.SetFault(d.fault)
	line := d.line(o.Version)
	if err := announce(out, o.JSON, line); err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready <- line
	}
	return srv.Serve(ctx, l)
}

// demoListen takes the address asked for. Without one it takes the first free port from 8080 on.
func demoListen(o DemoOptions) (net.Listener, error) {
	address := cmp.Or(o.Listen, "localhost:8080")
	h, p, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen %q: want HOST:PORT", address)
	}
	addr, perr := netip.ParseAddr(h)
	if !o.Expose && h != "localhost" && (perr != nil || !addr.IsLoopback()) {
		return nil, fmt.Errorf("listen %q: the demo shows everybody's codes, so it listens on localhost only (--expose-demo if you must)", address)
	}
	l, err := net.Listen("tcp", address)
	port, _ := strconv.Atoi(p)
	for next := port + 1; err != nil && o.Listen == "" && next < port+100; next++ {
		l, err = net.Listen("tcp", net.JoinHostPort(h, strconv.Itoa(next)))
	}
	return l, err
}

func parseFault(text string) (memory.Fault, error) {
	if text == "" {
		return memory.Fault{}, nil
	}
	const prefix = "directory="
	if len(text) <= len(prefix) || text[:len(prefix)] != prefix {
		return memory.Fault{}, fmt.Errorf("fault %q: want directory=KIND", text)
	}
	return memory.ParseFault(text[len(prefix):])
}

// open brings up the server in a data folder and seeds it the first time.
func (d *demo) open(ctx context.Context, dir string, log *slog.Logger) (*Server, error) {
	database := filepath.Join(dir, "regain.db")
	if err := refuseForeign(ctx, dir, database); err != nil {
		return nil, err
	}
	keys := filepath.Join(dir, "regain.key")
	ring, err := keyring.Open(keys)
	if errors.Is(err, fs.ErrNotExist) {
		ring, err = keyring.Create(keys)
	}
	if err != nil {
		return nil, err
	}
	d.mailbox = &mailbox{now: time.Now}
	d.directory, err = memory.New(memory.Config{Name: "demo", File: filepath.Join(dir, "directory.json"), Policy: directory.Policy{
		MinLength: 12, History: 5, Complexity: directory.ComplexityNone, LockoutThreshold: 10, LockoutDuration: 15 * time.Minute}})
	if err != nil {
		return nil, err
	}
	demoPages, err := fs.Sub(demoTemplates, "templates")
	if err != nil {
		return nil, err
	}
	srv, err := New(ctx, Setup{
		Base: d.base, Database: database, Migrate: true, Ring: ring,
		Organisation: web.Organisation{Name: "Alder Works", SignIn: d.idp.issuer + "/"},
		Corporate:    []string{demoDomain}, MailOn: true, Words: []string{"alder"},
		Help: web.Help{Text: web.Localised{"en": "This is a demonstration; nobody answers the telephone.", "de": "Dies ist eine Vorführung; niemand nimmt das Telefon ab."},
			Phone: "+49 30 23125 000", Hours: web.Localised{"en": "Monday to Friday, 8 to 18", "de": "Montag bis Freitag, 8 bis 18 Uhr"}},
		Directories: []reset.Directory{{Name: "demo", Label: "Alder Works", Adapter: d.adapter(), Claim: "userName", Attribute: "mail", Timeout: d.patience}},
		IDPs:        []IDP{d.idp.provider()},
		Mail:        mailTo{d.mailbox}, Text: textTo{d.mailbox}, From: "account@" + demoDomain, Security: "security@" + demoDomain, Region: "DE",
		Stories: d.stories(), Demo: d.footer(), Extra: d.mount, Templates: []fs.FS{demoPages}, Zone: time.Local, Log: log,
	})
	if err != nil {
		return nil, err
	}
	d.server = srv
	if err := d.settle(ctx, srv, dir); err != nil {
		return nil, errors.Join(err, srv.Store.Close())
	}
	return srv, nil
}

// refuseForeign returns an error when a folder holds a database that is not the demo's, before anything in it is touched.
func refuseForeign(ctx context.Context, dir, database string) error {
	foreign := fmt.Errorf("%s holds a database that is not the demo's; it is left alone", dir)
	if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	have, _, err := store.Versions(ctx, store.Config{URL: database})
	if err != nil || have == 0 {
		return err
	}
	st, err := store.Open(ctx, store.Config{URL: database})
	if errors.Is(err, store.ErrOlder) { // its stamp cannot be read before it is brought up to date
		if _, serr := os.Stat(filepath.Join(dir, "demo.json")); serr != nil {
			return foreign
		}
		return nil
	}
	if err != nil {
		return err
	}
	stamp, err := st.Stamp(ctx)
	if err == nil && stamp != demoStamp {
		err = foreign
	}
	return errors.Join(err, st.Close())
}

// patient is a directory that, after an answer was lost, also takes its time to say what became of the write: without
// that the honest page would be gone before anybody has read it.
type patient struct {
	*memory.Directory
	wait time.Duration
}

// Reconcile waits, then looks.
func (p patient) Reconcile(ctx context.Context, r directory.Ref, before directory.Status, secret directory.Secret) (directory.Outcome, error) {
	select {
	case <-time.After(p.wait):
	case <-ctx.Done():
	}
	return p.Directory.Reconcile(ctx, r, before, secret)
}

func (d *demo) adapter() directory.Adapter {
	if d.fault.Kind == memory.TimeoutAfterWrite || d.fault.Kind == memory.TimeoutBeforeWrite {
		return patient{d.directory, d.patience}
	}
	return d.directory
}

// settle stamps a new database and seeds it.
func (d *demo) settle(ctx context.Context, srv *Server, dir string) error {
	err := srv.Store.SetStamp(ctx, demoStamp)
	if err != nil {
		return err
	}
	if d.state, err = readDemoState(dir); err != nil {
		return err
	}
	if d.state == nil {
		if err := d.apply(ctx, srv, demoPolicy); err != nil {
			return err
		}
		if d.state, err = d.seed(ctx, srv); err != nil {
			return err
		}
	} else if p, err := srv.Store.Policy(ctx); err != nil {
		return err
	} else if p.Hash == "demo" { // of a folder from before people could register
		if err := d.apply(ctx, srv, demoPolicy); err != nil {
			return err
		}
	}
	if err := d.grantRoles(ctx, srv); err != nil {
		return err
	}
	if d.state.App == nil { // also of a folder from before apps could ask
		if d.state.App, err = registerApp(ctx, srv, d.anyPort); err != nil {
			return err
		}
	}
	d.state.complete()
	return d.state.write(dir)
}

// RefuseDemo returns an error for a database that the demonstration made.
func RefuseDemo(ctx context.Context, s *store.Store) error {
	stamp, err := s.Stamp(ctx)
	if err == nil && stamp == demoStamp {
		err = errors.New("this database was made by the demo: its people and passwords are public; use another one")
	}
	return err
}

func (d *demo) line(version string) DemoLine {
	return DemoLine{
		Contract: 1, Version: version, Base: d.base, Portal: d.base + "/", Console: d.base + "/console", SCIM: d.base + "/scim/v2", SCIMToken: d.state.Token,
		IDP: d.idp.issuer, Mailbox: d.base + "/demo/mailbox", DirectoryCheck: d.base + "/demo/directory-check", Metrics: d.base + "/metrics", App: d.state.App, People: d.state.People,
	}
}

func announce(out io.Writer, asJSON bool, l DemoLine) error {
	if asJSON {
		return json.NewEncoder(out).Encode(l)
	}
	_, err := fmt.Fprintf(out, `
  The demo is running. Open  %s

  Everything that is sent arrives at  %s

`, l.Portal, l.Mailbox)
	for _, p := range l.People {
		if err == nil {
			_, err = fmt.Fprintf(out, "  %-20s %-14s password %-30s second factor %s\n", p.Login, p.Role, p.Password, p.SecondFactor)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "\n  An app that sends people here, for a second terminal (examples/app):\n\n%s\n", l.App.environment(l.Base, l.IDP+"/"))
	}
	if err == nil {
		_, err = fmt.Fprintln(out, "\n  Ctrl-C ends it. Ways need no waiting time here; a real deployment lets new ones rest for a day.")
	}
	return err
}

func (d *demo) footer() *web.Demo {
	return &web.Demo{Text: message.Key("demo.footer"), Links: []web.DemoLink{
		{Text: message.Key("demo.mailbox.heading"), URL: "/demo/mailbox"}, {Text: message.Key("demo.people.heading"), URL: "/demo/people"},
	}}
}

func (d *demo) stories() []portal.Story {
	return []portal.Story{
		{Name: message.Key("demo.story.forgot"), Text: message.Key("demo.story.forgot.text"), URL: "/demo/people"},
		{Name: message.Key("demo.story.attack"), Text: message.Key("demo.story.attack.text"), URL: "/demo/attack"},
		{Name: message.Key("demo.story.never"), Text: message.Key("demo.story.never.text"), URL: "/setup"},
		{Name: message.Key("demo.story.app"), Text: message.Key("demo.story.app.text"), URL: "/demo/app"},
		{Name: message.Key("demo.story.helpdesk"), Text: message.Key("demo.story.helpdesk.text"), URL: "/console"},
		{Name: message.Key("demo.story.policy"), Text: message.Key("demo.story.policy.text"), URL: "/demo/policy"},
	}
}

// mount adds the demo's own pages.
func (d *demo) mount(s *web.Site, srv *Server) error {
	s.Handle(http.MethodGet, "/demo/people", d.people)
	s.Handle(http.MethodGet, "/demo/app", d.appPage)
	s.Handle(http.MethodGet, "/demo/attack", d.attackPage)
	s.Handle(http.MethodPost, "/demo/attack", d.attack)
	s.Handle(http.MethodGet, "/demo/policy", d.policyPage)
	s.Handle(http.MethodPost, "/demo/policy", d.changePolicy)
	s.Handle(http.MethodGet, "/demo/mailbox", d.mailbox.page)
	s.Mount("/demo/directory-check", http.HandlerFunc(d.directoryCheck))
	s.Mount("/metrics", metrics(srv, "demo"))
	return nil
}

// accepts asks the directory whether it takes a password, for a login name as the demo shows it or as the directory
// knows it.
func (d *demo) accepts(login, password string) bool {
	return d.directory.SignIn(strings.TrimSuffix(login, "@"+demoDomain), password)
}

// directoryCheck tells programs whether the directory takes a password, without counting towards a lockout.
func (d *demo) directoryCheck(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]bool{"accepted": d.accepts(r.PostForm.Get("login"), r.PostForm.Get("password"))}) //nolint:errcheck // the reader is gone
}
