package activedirectory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

const (
	// avoidFor is how long a controller that failed is tried last.
	avoidFor = 30 * time.Second
	// settle is how long the choice of a controller holds before a better one is looked for.
	settle = 5 * time.Minute
	// bindHold is how long a sign-in of the service account that was refused is not repeated: every try counts towards
	// the lockout of that account, which would outlive the mistake.
	bindHold = 30 * time.Second
	// mostControllers bounds what DNS may tell us.
	mostControllers = 32
)

// controllers remembers which one is in use. The zero value knows none.
type controllers struct {
	mu      sync.Mutex
	list    []string // as last found, in order of preference
	found   time.Time
	current string
	avoided map[string]time.Time // until

	refused     error
	refuseUntil time.Time
}

// is reports whether a connection to a server may be used: only those to the one controller in use.
func (d *controllers) is(server string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current == server
}

// others returns how many more controllers there are than the one in use.
func (d *controllers) others() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, len(d.list)-1)
}

func (d *controllers) avoid(server string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.avoided == nil {
		d.avoided = map[string]time.Time{}
	}
	d.avoided[server] = now.Add(avoidFor)
	if d.current == server {
		d.current = ""
	}
}

// use takes a server into use.
func (d *controllers) use(server string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current = server
	delete(d.avoided, server)
}

// knows reports whether a server is one of ours: a password goes to no other.
func (d *controllers) knows(server string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.list, server)
}

// order returns the controllers to try: the one in use, then the others as found, those that failed last.
func (a *Adapter) order(ctx context.Context) ([]string, error) {
	now := a.cfg.Now()
	a.dcs.mu.Lock()
	fresh := len(a.dcs.list) > 0 && now.Sub(a.dcs.found) < settle
	a.dcs.mu.Unlock()
	if !fresh {
		list, err := a.discover(ctx)
		a.dcs.mu.Lock()
		if err == nil {
			a.dcs.list = list
			if a.cfg.PDC || a.dcs.current != list[0] {
				a.dcs.current = "" // a better one may be back
			}
		}
		a.dcs.found = now // also after a failure: the old list serves until the next look
		if err != nil && len(a.dcs.list) == 0 {
			a.dcs.found = time.Time{}
			a.dcs.mu.Unlock()
			return nil, err
		}
		a.dcs.mu.Unlock()
	}
	a.dcs.mu.Lock()
	defer a.dcs.mu.Unlock()
	var good, bad []string
	for _, u := range a.dcs.list {
		switch {
		case u == a.dcs.current:
			good = append([]string{u}, good...)
		case now.Before(a.dcs.avoided[u]):
			bad = append(bad, u)
		default:
			good = append(good, u)
		}
	}
	return append(good, bad...), nil
}

// discover lists the controllers: as configured, or as DNS has them (MS-ADTS 6.3.2.3), those of the sites first. Priority
// and weight are those of RFC 2782, which the resolver has applied.
func (a *Adapter) discover(ctx context.Context) ([]string, error) {
	if a.cfg.Domain == "" {
		return a.cfg.URLs, nil
	}
	names := []string{}
	for _, site := range a.cfg.Sites {
		names = append(names, site+"._sites.dc._msdcs."+a.cfg.Domain)
	}
	var list []string
	var errs []error
	for _, name := range append(names, "dc._msdcs."+a.cfg.Domain) {
		_, records, err := a.cfg.Resolver.LookupSRV(ctx, "ldap", "tcp", name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, r := range records {
			// The port of the record is that of LDAP without TLS.
			u := "ldaps://" + strings.ToLower(strings.TrimSuffix(r.Target, "."))
			if wrongURL(u) == "" && !slices.Contains(list, u) && len(list) < mostControllers {
				list = append(list, u)
			}
		}
	}
	if len(list) == 0 {
		return nil, &ldapconn.TransportError{Sent: false, Err: fmt.Errorf("no domain controller of %s is in DNS: %w", a.cfg.Domain, errors.Join(errs...))}
	}
	return list, nil
}

// connect resolves a name by the configured resolver and connects to the first address that answers.
func (a *Adapter) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses := []string{host}
	if net.ParseIP(host) == nil {
		if addresses, err = a.cfg.Resolver.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	var errs []error
	for i, ip := range addresses {
		deadline, _ := ctx.Deadline()
		share, done := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addresses)-i))
		c, err := new(net.Dialer).DialContext(share, network, net.JoinHostPort(ip, port))
		done()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dialService opens a connection to the controller in use, or finds one to use.
func (a *Adapter) dialService(ctx context.Context) (*ldapconn.Conn, error) {
	if err := a.held(); err != nil {
		return nil, err
	}
	urls, err := a.order(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	var last error
	for i, u := range urls {
		share, done := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			share, done = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(urls)-i))
		}
		c, err := a.dialOne(share, u)
		done()
		if err == nil {
			if a.cfg.PDC && !a.dcs.is(u) {
				c = a.toPDC(ctx, c)
			}
			a.dcs.use(c.Server)
			return c, nil
		}
		if _, refused := errors.AsType[*ldapconn.BindError](err); refused {
			a.hold(err)
			return nil, err // every controller would say the same, and count it
		}
		if ctx.Err() == nil {
			a.dcs.avoid(u, a.cfg.Now())
		}
		last = err
		errs = append(errs, fmt.Errorf("%s: %w", u, err))
	}
	if refusal, ok := errors.AsType[*directory.Error](last); ok && len(urls) == 1 {
		return nil, refusal
	}
	return nil, &ldapconn.TransportError{Sent: false, Err: errors.Join(errs...)}
}

// dialOne connects to one controller, signs in, and refuses one that takes no writes.
func (a *Adapter) dialOne(ctx context.Context, u string) (*ldapconn.Conn, error) {
	c, err := a.dialer.DialService(ctx, u)
	if err != nil {
		return nil, err
	}
	if a.dcs.is(u) {
		return c, nil // looked at before
	}
	res, err := c.Search(ctx, rootDSE("supportedCapabilities", "isSynchronized"))
	if err == nil && len(res.Entries) == 1 {
		root := res.Entries[0]
		if slices.Contains(root.GetAttributeValues("supportedCapabilities"), "1.2.840.113556.1.4.1920") || // MS-ADTS 3.1.1.3.4.3: a read-only one
			strings.EqualFold(root.GetAttributeValue("isSynchronized"), "FALSE") {
			err = ldapconn.Refuse("connect", u, directory.ErrReadOnly)
		}
	}
	if err != nil {
		c.Quit()
		return nil, err
	}
	return c, nil
}

// toPDC returns a connection to the PDC emulator instead of c, when it is another controller that we may use and that
// answers; else c.
func (a *Adapter) toPDC(ctx context.Context, c *ldapconn.Conn) *ldapconn.Conn {
	u, err := a.pdc(ctx, c)
	if err != nil || u == "" || u == c.Server {
		return c
	}
	a.dcs.mu.Lock()
	avoided := a.cfg.Now().Before(a.dcs.avoided[u])
	if a.cfg.Domain != "" && strings.HasSuffix(hostOf(u), "."+strings.ToLower(a.cfg.Domain)) && !slices.Contains(a.dcs.list, u) {
		a.dcs.list = append(a.dcs.list, u) // of another site
	}
	a.dcs.mu.Unlock()
	if avoided || !a.dcs.knows(u) {
		return c
	}
	share := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var done context.CancelFunc
		share, done = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer done()
	}
	better, err := a.dialOne(share, u)
	if err != nil {
		a.dcs.avoid(u, a.cfg.Now())
		return c
	}
	c.Quit()
	return better
}

// pdc returns the URL of the PDC emulator: fSMORoleOwner of the domain names the settings of the controller that has the
// role, and the object above has its name in DNS (MS-ADTS 3.1.1.1.11).
func (a *Adapter) pdc(ctx context.Context, c *ldapconn.Conn) (string, error) {
	facts, err := a.domain(ctx, c)
	if err != nil {
		return "", err
	}
	res, err := c.Search(ctx, base(facts.root, "(objectClass=*)", "fSMORoleOwner"))
	if err != nil || len(res.Entries) != 1 {
		return "", err
	}
	settings, err := ldap.ParseDN(res.Entries[0].GetAttributeValue("fSMORoleOwner"))
	if err != nil || len(settings.RDNs) < 2 {
		return "", err
	}
	server := &ldap.DN{RDNs: settings.RDNs[1:]}
	if res, err = c.Search(ctx, base(server.String(), "(objectClass=*)", "dNSHostName")); err != nil || len(res.Entries) != 1 {
		return "", err
	}
	host := strings.ToLower(res.Entries[0].GetAttributeValue("dNSHostName"))
	a.dcs.mu.Lock()
	defer a.dcs.mu.Unlock()
	for _, u := range a.dcs.list { // with its port, if one is configured
		if strings.EqualFold(hostOf(u), host) {
			return u, nil
		}
	}
	if u := "ldaps://" + host; host != "" && wrongURL(u) == "" {
		return u, nil
	}
	return "", nil
}

func hostOf(u string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(u, "ldaps://"), ":")
	return strings.TrimSuffix(host, "/")
}

// hold remembers that the service account was refused.
func (a *Adapter) hold(err error) {
	a.dcs.mu.Lock()
	defer a.dcs.mu.Unlock()
	a.dcs.refused, a.dcs.refuseUntil = err, a.cfg.Now().Add(bindHold)
}

func (a *Adapter) held() error {
	a.dcs.mu.Lock()
	defer a.dcs.mu.Unlock()
	if a.dcs.refused != nil && a.cfg.Now().Before(a.dcs.refuseUntil) {
		return a.dcs.refused
	}
	return nil
}
