// Package activedirectory resets passwords in Active Directory, on Windows and on Samba domain controllers, by a
// delegated service account. It runs against Samba 4.17; it was not tried against a live Windows domain controller, and
// what is said of Windows here is from Microsoft's documents.
//
// A reset is one Modify (RFC 4511 §4.6) of the object itself, <GUID=…>, so that a rename or a move changes nothing, and
// carries everything that belongs to it, so that it happens as a whole or not at all:
//
//	search base <GUID=…>          on the same connection, right before: the state, and shows that the controller is alive
//	replace unicodePwd            MS-ADTS 3.1.1.3.1.5.1; the controller checks length and complexity
//	replace lockoutTime: 0        when asked to: a new password alone does not unlock
//	replace pwdLastSet: 0         when another one is to be chosen at the next sign-in
//	password policy hints         where the controller offers them: without them the history is not checked on a reset
//
// A change with the old password deletes that value of unicodePwd and adds the new one, on the service's connection, so
// that it also works for someone who cannot sign in because the password has expired or must be changed. A wrong old
// password counts towards the lockout there.
//
// # Domain controllers
//
// Only LDAPS is spoken: the passwords need it, and a name in the certificate tells controllers apart. The controllers are
// those of Config.URLs or those that DNS names for Config.Domain, the sites of Config.Sites first. All calls go to one of
// them as long as it answers, because what was written there is elsewhere only after replication; the PDC emulator, to
// which others forward passwords, is preferred where so configured. A controller that fails before anything was sent is
// left for the next one and avoided for a while; once a write was sent there is no other try: silence is Unknown.
// Read-only controllers and those that are not synchronized are passed over.
//
// # Rights
//
// The service account needs, on the people it may reset and nobody else: the control access right Reset Password, write on
// pwdLastSet and lockoutTime, read on the property set Account Restrictions; and where there are fine-grained policies, read
// on msDS-ResultantPSO and on the Password Settings Container. CheckRights says what is missing, and the commands that grant it.
//
// # What the directory does not say
//
// Windows refuses a password with one code for every rule, so the rule is worked out from the policy in force and marked
// Inferred. A password is still taken for an hour after it was replaced, at sign-ins by NTLM and by simple bind, unless the
// controllers are told otherwise.
package activedirectory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// Resolver looks up names; *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Config says where the directory is and what we may do there. BindName, BindPassword, BaseDN, and one of URLs and Domain
// are required.
type Config struct {
	Name   string   // for Ref.Adapter; default "activedirectory"
	URLs   []string // ldaps://host[:636] of domain controllers, tried in order
	Domain string   // instead: controllers are found in DNS under it
	Sites  []string // with Domain: controllers of these sites first, in this order
	PDC    bool     // prefer the PDC emulator; with URLs, if it is one of them

	CAFile     string         // PEM; default the system's authorities
	CAs        *x509.CertPool // instead of CAFile
	ServerName string         // expected in every certificate; default the host of each URL, and so best left out
	Resolver   Resolver       // default net.DefaultResolver

	BindName     string // the delegated service account: a DN, or a user principal name
	BindPassword directory.Secret

	BaseDN        string   // people are looked for below it and nowhere else
	UserFilter    string   // which objects are people; default (&(objectCategory=person)(objectClass=user))
	LoginAttrs    []string // attributes a login name may match; the first is the canonical one; default sAMAccountName, userPrincipalName, mail
	Return        []string // attributes to return; default mail, displayName
	GroupsBase    string   // below it groups are looked for by member, nested ones included; "" none
	GuardedFilter string   // which people are never touched, besides those with adminCount; "" no more

	DialTimeout time.Duration    // TCP and TLS together, and again for the sign-in; default 5s
	Timeout     time.Duration    // cap for a call whose context has no deadline; default 10s
	PoolSize    int              // connections, and so requests at once; default 4
	Now         func() time.Time // default time.Now
}

// Adapter is a directory.Adapter for Active Directory. It implements Changer, Unlocker, ForceChanger, PolicyReader,
// PasswordTester and Reconciler as well. Safe for concurrent use.
type Adapter struct {
	cfg    Config
	dialer *ldapconn.Dialer
	pool   *ldapconn.Pool
	errs   ldapconn.Errors
	dcs    controllers
	known  policyCache

	factsLock sync.Mutex
	facts     domainFacts          // zero until they were read
	roots     map[string]rootEntry // by controller

	// beforeWrite, when a test sets it, runs after everything was looked up and before the request is sent.
	beforeWrite func()
}

var (
	_ directory.Adapter        = (*Adapter)(nil)
	_ directory.Changer        = (*Adapter)(nil)
	_ directory.Unlocker       = (*Adapter)(nil)
	_ directory.ForceChanger   = (*Adapter)(nil)
	_ directory.PolicyReader   = (*Adapter)(nil)
	_ directory.PasswordTester = (*Adapter)(nil)
	_ directory.Reconciler     = (*Adapter)(nil)
)

// New checks the configuration and returns an adapter; it does not connect. Every fault is reported at once, each
// wrapping directory.ErrConfig.
func New(cfg Config) (*Adapter, error) {
	cfg.Name = cmp.Or(cfg.Name, "activedirectory")
	cfg.UserFilter = cmp.Or(cfg.UserFilter, "(&(objectCategory=person)(objectClass=user))")
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.PoolSize = cmp.Or(cfg.PoolSize, 4)
	if len(cfg.LoginAttrs) == 0 {
		cfg.LoginAttrs = []string{"sAMAccountName", "userPrincipalName", "mail"}
	}
	if cfg.Return == nil {
		cfg.Return = []string{"mail", "displayName"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	var bad []error
	fault := func(format string, args ...any) {
		bad = append(bad, fmt.Errorf("active directory: %w: "+format, append([]any{directory.ErrConfig}, args...)...))
	}
	switch {
	case len(cfg.URLs) == 0 && cfg.Domain == "":
		fault("no url and no domain")
	case len(cfg.URLs) > 0 && cfg.Domain != "":
		fault("urls and a domain: want one of them")
	case len(cfg.Sites) > 0 && cfg.Domain == "":
		fault("sites without a domain")
	}
	for _, u := range cfg.URLs {
		if why := wrongURL(u); why != "" {
			fault("url %q: %s", u, why)
		}
	}
	for what, name := range map[string]string{"domain": cfg.Domain, "sites": strings.Join(cfg.Sites, "")} {
		if strings.ContainsAny(name, " /:@") {
			fault("%s %q: want names as they are in DNS", what, name)
		}
	}
	if cfg.BaseDN == "" {
		fault("no base dn")
	}
	for what, dn := range map[string]string{"base dn": cfg.BaseDN, "groups base": cfg.GroupsBase} {
		if _, err := ldap.ParseDN(dn); err != nil {
			fault("%s %q: %v", what, dn, err)
		}
	}
	if _, err := ldap.ParseDN(cfg.BindName); cfg.BindName == "" || err != nil && !strings.Contains(cfg.BindName, "@") {
		fault("bind name %q: want a DN or a user principal name", cfg.BindName)
	}
	if cfg.BindPassword.Empty() { // an empty one would be an anonymous bind that succeeds, RFC 4513 §5.1.2
		fault("no bind password")
	}
	for what, f := range map[string]string{"user filter": cfg.UserFilter, "guarded filter": cfg.GuardedFilter} {
		if f != "" {
			if _, err := ldap.CompileFilter(f); err != nil {
				fault("%s %q: %v", what, f, err)
			}
		}
	}
	for _, attr := range append(append([]string{}, cfg.LoginAttrs...), cfg.Return...) {
		if !isAttr(attr) {
			fault("attribute %q", attr)
		}
	}
	if cfg.PoolSize < 1 || cfg.DialTimeout < 0 || cfg.Timeout < 0 {
		fault("pool size and timeouts must be positive")
	}
	if cfg.CAFile != "" && cfg.CAs == nil {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			fault("ca file: %v", err)
		} else if cfg.CAs = x509.NewCertPool(); !cfg.CAs.AppendCertsFromPEM(text) {
			fault("ca file %s: no certificate in it", cfg.CAFile)
		}
	}
	if err := errors.Join(bad...); err != nil {
		return nil, err
	}
	a := &Adapter{cfg: cfg, errs: ldapconn.Errors{Password: cfg.BindPassword, Answer: answer}}
	a.dialer = &ldapconn.Dialer{
		TLS:     &tls.Config{RootCAs: cfg.CAs, ServerName: cfg.ServerName, MinVersion: tls.VersionTLS12},
		Timeout: cfg.DialTimeout, BindName: cfg.BindName, Password: cfg.BindPassword, Network: a.connect,
	}
	a.pool = ldapconn.NewPool(cfg.PoolSize, a.dialService)
	a.pool.Fits = func(c *ldapconn.Conn) bool { return a.dcs.is(c.Server) }
	return a, nil
}

// wrongURL says what is wrong with the address of a controller.
func wrongURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return "want ldaps://host"
	case u.Scheme != "ldaps":
		return "want ldaps://host: Active Directory takes passwords over TLS only, and StartTLS is not spoken here"
	case u.Port() == "3268" || u.Port() == "3269":
		return "this is the port of the global catalog, which takes no writes: want 636"
	case u.Port() == "389":
		return "this is the port without TLS: want 636"
	}
	return ""
}

// Health reads the root entry of the controller in use.
func (a *Adapter) Health(ctx context.Context) error {
	return a.read(ctx, "health", func(ctx context.Context, c *ldapconn.Conn) error {
		_, err := c.Search(ctx, rootDSE("1.1"))
		return err
	})
}

// Close closes the connections that are idle, and those in use when their call ends.
func (a *Adapter) Close() error {
	a.pool.Close()
	return nil
}

// bound gives a context without a deadline one.
func (a *Adapter) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, a.cfg.Timeout)
}

// read runs something that only reads, and returns what went wrong as an error of package directory.
func (a *Adapter) read(ctx context.Context, op string, f func(context.Context, *ldapconn.Conn) error) error {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	c, err := a.looking(ctx, f)
	if c == nil {
		return a.errs.Read(op, "", err)
	}
	a.pool.Put(c)
	return a.errs.Read(op, c.Server, err)
}

// looking runs something that only reads, and returns the connection it ran on, for the pool to take back. A connection
// that turns out to be dead is replaced, and a controller that does not answer by the next one: each gets a share of the
// time.
func (a *Adapter) looking(ctx context.Context, f func(context.Context, *ldapconn.Conn) error) (*ldapconn.Conn, error) {
	for stale, others := 0, a.dcs.others(); ; {
		c, err := a.pool.Get(ctx)
		if err != nil {
			return nil, err
		}
		share, done := ctx, context.CancelFunc(func() {})
		if deadline, _ := ctx.Deadline(); others > 0 {
			share, done = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(others+1))
		}
		err = f(share, c)
		done()
		switch {
		case err == nil || !ldapconn.IsTransport(err) || ctx.Err() != nil:
			return c, err
		case c.Reused && share.Err() == nil && stale < a.cfg.PoolSize:
			stale++ // a restart of the controller leaves connections like this one
		case others > 0:
			others--
			a.dcs.avoid(c.Server, a.cfg.Now())
		default:
			return c, err
		}
		a.pool.Put(c)
	}
}

// isAttr reports whether text can be an attribute description, RFC 4512 §2.5.
func isAttr(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '-')) {
			return false
		}
	}
	return text != ""
}

func rootDSE(attrs ...string) *ldap.SearchRequest { return base("", "(objectClass=*)", attrs...) }

// base is a search for one object, by DN or <GUID=…>.
func base(dn, filter string, attrs ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, filter, attrs, nil)
}

// domainFacts is what does not change while we run.
type domainFacts struct {
	root    string // DN of the domain
	netBIOS string // the name before the backslash of DOMAIN\login, "" when it cannot be read
	own     string // objectGUID of the service account, "" when it cannot be read
}
