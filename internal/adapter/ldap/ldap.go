// Package ldap resets passwords in OpenLDAP with the ppolicy overlay, by a delegated service account.
//
// A reset is one Modify (RFC 4511 §4.6) and carries everything that belongs to it, so that it happens as a whole or not
// at all:
//
//	entryUUID → DN                       in the same connection, right before: immune to renames, and shows it is alive
//	assertion control, critical          RFC 4528: same entry, no administrator's lock, not disabled, marker unmoved
//	replace userPassword, pwdReset       ppolicy checks quality and history, unless our privilege is too high
//	password policy control              which rule was broken (draft-behera-ldap-password-policy-10 §6)
//
// The assertion matters: ppolicy clears pwdAccountLockedTime with every password, an administrator's 000001010000Z too,
// and a status read before the write could be out of date.
//
// A connection carries one request at a time. Requests are counted where they are put on the wire, below TLS: a write
// that fails before a byte of it left is NotApplied, one that was sent and not answered is Unknown, and its connection is
// closed. Writes are never repeated. Referrals are never followed: a stranger's server gets no password from us.
//
// # Rights
//
// The service account needs, on the people it may reset and nobody else: write and authenticate on userPassword (=xw,
// not manage: that bypasses the password policy), write on pwdReset and pwdAccountLockedTime, read on everything that is
// searched, returned or asserted (entryUUID, entryCSN, the pwd… attributes), and read on the pwdPolicy entries. People
// need =xw on their own userPassword; a plain =w lets OpenLDAP refuse a change with the old password. CheckRights says
// what is missing.
//
// # Change
//
// A change with the old password is the Password Modify operation (RFC 3062) on the service's connection, so that it
// also works for someone who cannot sign in because the password has expired.
package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// OpenLDAP is the flavour of server this adapter knows.
const OpenLDAP = "openldap"

// Config says where the directory is and what we may do there. URLs, BindDN, BindPassword and BaseDN are required.
type Config struct {
	Name    string   // for Ref.Adapter; default "ldap"
	Flavour string   // default OpenLDAP, and no other yet
	URLs    []string // ldaps://host[:636], or ldap://host[:389] which always does StartTLS; tried in order

	CAFile     string         // PEM; default the system's authorities
	CAs        *x509.CertPool // instead of CAFile
	ServerName string         // expected in the certificate; default the host of the URL

	BindDN       string // the delegated service account
	BindPassword directory.Secret

	BaseDN         string   // people are looked for below it and nowhere else
	UserFilter     string   // which entries are people; default (objectClass=person)
	LoginAttrs     []string // attributes a login name may match; the first is the canonical one; default uid, mail
	Return         []string // attributes to return; default mail, cn
	GroupAttr      string   // attribute of a person that names groups, as memberOf; "" none
	GroupsBase     string   // below it groups are looked for by member; "" none
	MemberAttr     string   // of such groups; default member
	DisabledFilter string   // which people are disabled, as (employeeType=left); "" none. OpenLDAP has no such state itself
	GuardedFilter  string   // which people are never touched, as (memberOf=cn=admins,…); "" none

	DefaultPolicyDN string // of the policy for people without pwdPolicySubentry; OpenLDAP tells it to nobody

	DialTimeout time.Duration    // TCP, TLS and bind together; default 5s
	Timeout     time.Duration    // cap for a call whose context has no deadline; default 10s
	PoolSize    int              // connections, and so requests at once; default 4
	Now         func() time.Time // default time.Now
}

// Adapter is a directory.Adapter for OpenLDAP. It implements Changer, Unlocker, ForceChanger, PolicyReader,
// PasswordTester and Reconciler as well. Safe for concurrent use.
type Adapter struct {
	cfg      Config
	dialer   *ldapconn.Dialer
	pool     *ldapconn.Pool
	errs     ldapconn.Errors
	policies policyCache

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
	cfg.Name = cmp.Or(cfg.Name, "ldap")
	cfg.Flavour = cmp.Or(cfg.Flavour, OpenLDAP)
	cfg.UserFilter = cmp.Or(cfg.UserFilter, "(objectClass=person)")
	cfg.MemberAttr = cmp.Or(cfg.MemberAttr, "member")
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 5*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.PoolSize = cmp.Or(cfg.PoolSize, 4)
	if len(cfg.LoginAttrs) == 0 {
		cfg.LoginAttrs = []string{"uid", "mail"}
	}
	if cfg.Return == nil {
		cfg.Return = []string{"mail", "cn"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var bad []error
	fault := func(format string, args ...any) {
		bad = append(bad, fmt.Errorf("ldap directory: %w: "+format, append([]any{directory.ErrConfig}, args...)...))
	}
	if cfg.Flavour != OpenLDAP {
		fault("flavour %q: want %s", cfg.Flavour, OpenLDAP)
	}
	if len(cfg.URLs) == 0 {
		fault("no url")
	}
	for _, u := range cfg.URLs {
		if p, err := url.Parse(u); err != nil || p.Hostname() == "" || p.Scheme != "ldap" && p.Scheme != "ldaps" || strings.Trim(p.Path, "/") != "" || p.User != nil {
			fault("url %q: want ldaps://host or ldap://host", u)
		}
	}
	for what, dn := range map[string]string{"bind dn": cfg.BindDN, "base dn": cfg.BaseDN} {
		if dn == "" {
			fault("no %s", what)
		}
	}
	for what, dn := range map[string]string{"bind dn": cfg.BindDN, "base dn": cfg.BaseDN, "groups base": cfg.GroupsBase, "default policy dn": cfg.DefaultPolicyDN} {
		if _, err := ldap.ParseDN(dn); err != nil {
			fault("%s %q: %v", what, dn, err)
		}
	}
	if cfg.BindPassword.Empty() { // an empty one would be an anonymous bind that succeeds, RFC 4513 §5.1.2
		fault("no bind password")
	}
	for what, f := range map[string]string{"user filter": cfg.UserFilter, "disabled filter": cfg.DisabledFilter, "guarded filter": cfg.GuardedFilter} {
		if f != "" {
			if _, err := ldap.CompileFilter(f); err != nil {
				fault("%s %q: %v", what, f, err)
			}
		}
	}
	for _, attr := range append(append([]string{cfg.MemberAttr}, cfg.LoginAttrs...), cfg.Return...) {
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
	a := &Adapter{cfg: cfg, errs: ldapconn.Errors{Password: cfg.BindPassword, Answer: answer}, dialer: &ldapconn.Dialer{
		TLS:     &tls.Config{RootCAs: cfg.CAs, ServerName: cfg.ServerName, MinVersion: tls.VersionTLS12},
		Timeout: cfg.DialTimeout, BindName: cfg.BindDN, Password: cfg.BindPassword, Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
	}}
	a.pool = ldapconn.NewPool(cfg.PoolSize, func(ctx context.Context) (*ldapconn.Conn, error) { return a.dialer.DialService(ctx, cfg.URLs...) })
	return a, nil
}

// Health reads the root entry on a pooled connection.
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

// read runs something that only reads on a pooled connection. A connection that turns out to be dead, as a server that
// was restarted leaves them, is replaced once.
func (a *Adapter) read(ctx context.Context, op string, f func(context.Context, *ldapconn.Conn) error) error {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	for try := 0; ; try++ {
		c, err := a.pool.Get(ctx)
		if err != nil {
			return a.errs.Read(op, "", err)
		}
		err = f(ctx, c)
		used := c.Reused
		a.pool.Put(c)
		if err != nil && ldapconn.IsTransport(err) && used && try < a.cfg.PoolSize && ctx.Err() == nil {
			continue
		}
		return a.errs.Read(op, c.Server, err)
	}
}

// isAttr reports whether text can be an attribute description, RFC 4512 §2.5.
func isAttr(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '-' || c == ';' || c == '.')) {
			return false
		}
	}
	return text != ""
}
