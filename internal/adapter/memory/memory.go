// Package memory is a password directory in memory: for `regain demo`, and for tests that want a directory that behaves
// like one. It has a policy of its own, counts failed attempts and locks out, knows disabled, guarded and admin-locked
// accounts, and can be told to fail in the ways real servers do, see [Fault]. It implements every optional interface of
// package directory and passes its kit.
//
// Passwords are kept as salted PBKDF2 hashes, never in clear. With Config.File the state survives a restart in a JSON
// file that only its owner may read.
package memory

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

// Config is a directory's configuration; the zero value works and enforces nothing.
type Config struct {
	Name       string           // for Ref.Adapter; default "memory"
	File       string           // path of the JSON file that keeps the state; "" keeps none. Mode 0600 is required
	Policy     directory.Policy // Source and Partial are ignored
	LoginAttrs []string         // attributes that a login name may match besides the login itself; default mail
	Iterations int              // of PBKDF2 for new hashes; default 20,000
	Timeout    time.Duration    // cap for calls whose context has no deadline; default 10s
	Now        func() time.Time // for policy, not for faults; default time.Now
}

// Account is one person as put into the directory.
type Account struct {
	Login    string
	Name     string              // display name; the complexity rule refuses passwords with parts of it
	Password string              // "" keeps the one there is; not checked against the policy
	Attrs    map[string][]string // for example mail
	Groups   []string

	Disabled, AdminLocked, Guarded, MustChange, CannotChange bool

	ExpiresAt         time.Time // of the account; zero never
	PasswordChangedAt time.Time // zero means now, when Password is set
}

// Directory is a password directory in memory. All methods are safe for concurrent use.
type Directory struct {
	cfg Config

	mu       sync.Mutex
	accounts map[string]*record // by id
	closed   bool
	fault    Fault
	turned   chan struct{} // closed when fault is replaced or the directory is closed
	late     sync.WaitGroup
}

var (
	_ directory.Adapter        = (*Directory)(nil)
	_ directory.Changer        = (*Directory)(nil)
	_ directory.Unlocker       = (*Directory)(nil)
	_ directory.ForceChanger   = (*Directory)(nil)
	_ directory.PolicyReader   = (*Directory)(nil)
	_ directory.Lister         = (*Directory)(nil)
	_ directory.PasswordTester = (*Directory)(nil)
	_ directory.Reconciler     = (*Directory)(nil)
)

// New returns a directory with the accounts of cfg.File, if that exists, and none otherwise. Returns an error when the
// file is damaged or readable by others.
func New(cfg Config) (*Directory, error) {
	cfg.Name = cmp.Or(cfg.Name, "memory")
	cfg.Iterations = cmp.Or(cfg.Iterations, 20_000)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if cfg.LoginAttrs == nil {
		cfg.LoginAttrs = []string{"mail"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Directory{cfg: cfg, accounts: map[string]*record{}, turned: make(chan struct{})}
	if cfg.File != "" {
		if err := d.load(); err != nil {
			return nil, fmt.Errorf("memory directory: %w", err)
		}
	}
	return d, nil
}

// Put adds an account, or replaces the one of that login (compared without case) and keeps its ref, password history
// and, without a new one, its password. Returns an error when the login is empty or the file cannot be written.
func (d *Directory) Put(a Account) error {
	if a.Login == "" {
		return fmt.Errorf("memory directory: %w: an account needs a login", directory.ErrConfig)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	r := &record{ID: rand.Text(), Created: now}
	if old := d.byLogin(a.Login); old != nil {
		r = old.clone()
	}
	r.Login, r.Name, r.Attrs, r.Groups, r.Changed = a.Login, a.Name, maps.Clone(a.Attrs), slices.Clone(a.Groups), now
	r.Disabled, r.AdminLocked, r.Guarded, r.CannotChange, r.AccountExpires = a.Disabled, a.AdminLocked, a.Guarded, a.CannotChange, a.ExpiresAt
	r.MustChange = a.MustChange
	if a.Password != "" {
		d.store(r, a.Password)
		if !a.PasswordChangedAt.IsZero() {
			r.PasswordChanged = a.PasswordChangedAt
		}
	}
	return d.commit(r)
}

// Remove deletes the account of that login, if there is one.
func (d *Directory) Remove(login string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.byLogin(login)
	if r == nil {
		return nil
	}
	delete(d.accounts, r.ID)
	if err := d.save(); err != nil {
		d.accounts[r.ID] = r
		return err
	}
	return nil
}

// SignIn reports whether a password signs in, without counting a failure: for a page on which anyone may check. Locks
// are respected. A password that must be changed signs in.
func (d *Directory) SignIn(login, password string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.byLogin(login)
	return r != nil && d.usable(r) == nil && r.Hash.matches(password)
}

// Authenticate tries a password as a sign-in does: failures count and lock the account out, success forgets them.
// Errors as [Directory.Verify]; ErrNotFound when there is no such login.
func (d *Directory) Authenticate(login, password string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.byLogin(login); r != nil {
		return d.authenticate("sign in", r, password)
	}
	return refuse("sign in", directory.ErrNotFound)
}

// Close ends the directory: later calls of the adapter return ErrUnavailable, writes that a fault holds back are
// dropped. It may be called more than once.
func (d *Directory) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.turned)
	}
	d.mu.Unlock()
	d.late.Wait()
	return nil
}

// Describe says what the directory can do: everything.
func (d *Directory) Describe(ctx context.Context) (directory.Description, error) {
	if err := d.enter(ctx, "describe"); err != nil {
		return directory.Description{}, err
	}
	return directory.Description{
		Name: "memory", Version: "1.0", API: directory.API, Server: "memory",
		Caps: directory.Capabilities{
			Change: true, ChangeExpired: true,
			Unlock: true, AtomicUnlock: true,
			MustChange: true, AtomicMustChange: true,
			Policy:               true,
			ResetEnforcesQuality: true, ResetEnforcesHistory: d.cfg.Policy.History > 0, ViolationDetail: true,
			NestedGroups: false, Verify: true, Marker: true, WritesEverywhereVisible: true,
			MaxConcurrentPerUser: 1, SuggestedConcurrency: 4,
		},
	}, nil
}

// Health returns nil unless the directory is closed or a fault says otherwise.
func (d *Directory) Health(ctx context.Context) error { return d.enter(ctx, "health") }

// byLogin returns the account with that login, or nil.
func (d *Directory) byLogin(login string) *record {
	for _, r := range d.accounts {
		if strings.EqualFold(r.Login, login) {
			return r
		}
	}
	return nil
}

// byRef returns the account or ErrNotFound.
func (d *Directory) byRef(op string, ref directory.Ref) (*record, error) {
	if r := d.accounts[ref.ID]; r != nil && ref.Adapter == d.cfg.Name {
		return r, nil
	}
	return nil, refuse(op, directory.ErrNotFound)
}

// refuse returns an error that says nothing was written.
func refuse(op string, kind error) *directory.Error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Native: directory.Native{Server: "memory"}}
}
