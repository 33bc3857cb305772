package activedirectory

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// names is a resolver for one test: hosts by name, and the controllers that DNS names for a question.
type names struct {
	hosts       map[string]string
	controllers map[string][]string
	asked       []string
}

func (n *names) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	question := "_" + service + "._" + proto + "." + name
	n.asked = append(n.asked, question)
	var records []*net.SRV
	for _, host := range n.controllers[question] {
		records = append(records, &net.SRV{Target: host + ".", Port: 389})
	}
	if records == nil {
		return "", nil, &net.DNSError{Err: "no such host", Name: question, IsNotFound: true}
	}
	return question, records, nil
}

func (n *names) LookupHost(_ context.Context, host string) ([]string, error) {
	if ip, ok := n.hosts[strings.ToLower(host)]; ok {
		return []string{ip}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func ip(s *testserver.SambaServer) string { return strings.TrimSuffix(s.Addr, ":636") }

func TestAServerThatCannotBeTrustedIsErrTLS(t *testing.T) {
	past := []time.Time{time.Now().Add(-48 * time.Hour), time.Now().Add(-24 * time.Hour)}
	good := testserver.Samba(t)
	expired := testserver.Samba(t, func(c *testserver.SambaConfig) { c.CertValidity = past })
	for name, c := range map[string]struct {
		s      *testserver.SambaServer
		change func(*Config)
	}{
		"wrong name":      {good, func(c *Config) { c.ServerName = "dc2.ad.example.com" }},
		"wrong authority": {good, func(c *Config) { c.CAs = testserver.NewCA(t).Pool }},
		"expired":         {expired, func(*Config) {}},
		"another controller answers under the name": {good, func(c *Config) {
			c.URLs, c.Resolver = []string{"ldaps://dc2.ad.example.com"}, &names{hosts: map[string]string{"dc2.ad.example.com": ip(good)}}
		}},
	} {
		a := adapter(t, c.s, c.change)
		if err := a.Health(t.Context()); !errors.Is(err, directory.ErrTLS) {
			t.Errorf("%s: got %v, want ErrTLS", name, err)
		}
		if strings.Contains(c.s.Log(), "SUCCESS") {
			t.Errorf("%s: signed in all the same", name)
		}
	}
	if err := adapter(t, good, func(c *Config) { c.ServerName = good.Host }).Health(t.Context()); err != nil {
		t.Errorf("the right name: %v", err)
	}
}

func TestTheNextControllerIsTakenBeforeSomethingWasSentAndThenKept(t *testing.T) {
	s := testserver.Samba(t)
	one, two := testserver.NewProxy(t, s.Addr), testserver.NewProxy(t, s.Addr)
	urls := []string{"ldaps://127.0.0.1:1", "ldaps://" + one.Addr, "ldaps://" + two.Addr}
	now := time.Now()
	a := adapter(t, s, func(c *Config) { c.URLs, c.ServerName, c.Now = urls, s.Host, func() time.Time { return now } })
	u := person(t, s, a, "ada", nil)
	if u.Status.Server != urls[1] {
		t.Fatalf("got %s, want the first that answers", u.Status.Server)
	}
	// A black hole: connections stay open and nothing comes back.
	one.LoseRequests(true)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	res, err := a.Reset(ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(second)})
	if err != nil || res.Server != urls[2] || !s.SignIn(t, "ada", second) {
		t.Fatalf("got %+v, %v, want it written by the second", res, err)
	}
	one.LoseRequests(false)
	if st, err := a.Status(t.Context(), u.Ref); err != nil || st.Server != urls[2] {
		t.Errorf("got %s (%v), want the controller that was written to: the other may not know yet", st.Server, err)
	}
	now = now.Add(settle + time.Second)
	two.Cut()
	if st, err := a.Status(t.Context(), u.Ref); err != nil || st.Server != urls[1] {
		t.Errorf("got %s (%v), want the better one again", st.Server, err)
	}
	down := adapter(t, s, func(c *Config) { c.URLs = []string{"ldaps://127.0.0.1:1", "ldaps://127.0.0.1:2"} })
	if err := reset(t.Context(), down, u, second); !errors.Is(err, directory.ErrUnavailable) || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("all are down: got %v, want ErrUnavailable", err)
	}
}

func TestConnectionsThatDiedInThePoolAreReplacedBeforeAWrite(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	s.Restart(t)
	if err := reset(t.Context(), a, u, second); err != nil || !s.SignIn(t, "ada", second) {
		t.Fatalf("after a restart of the controller: %v", err)
	}
}

func TestControllersAreFoundInDNSTheSitesFirst(t *testing.T) {
	s := testserver.Samba(t, func(c *testserver.SambaConfig) { c.CertHosts = []string{"dc2.ad.example.com", "dc3.ad.example.com"} })
	there := testserver.FreeLoopback(t)
	testserver.NewProxyAt(t, there+":636", s.Addr)
	dns := &names{
		hosts: map[string]string{"dc1.ad.example.com": ip(s), "dc2.ad.example.com": there, "dc3.ad.example.com": ip(s)},
		controllers: map[string][]string{
			"_ldap._tcp.dc._msdcs.ad.example.com":                   {"dc3.ad.example.com", "DC2.ad.example.com"},
			"_ldap._tcp.Hamburg._sites.dc._msdcs.ad.example.com":    {"gone.ad.example.com", "dc2.ad.example.com"},
			"_ldap._tcp.Everywhere._sites.dc._msdcs.ad.example.com": nil,
		},
	}
	in := func(change func(*Config)) *Adapter {
		return adapter(t, s, func(c *Config) {
			c.URLs, c.Domain, c.Resolver = nil, s.Domain, dns
			change(c)
		})
	}
	near := in(func(c *Config) { c.Sites = []string{"Everywhere", "Hamburg"} })
	u := person(t, s, near, "ada", nil)
	if u.Status.Server != "ldaps://dc2.ad.example.com" {
		t.Errorf("got %s, want the one of Hamburg that answers", u.Status.Server)
	}
	if want := "_ldap._tcp.Everywhere._sites.dc._msdcs.ad.example.com"; dns.asked[0] != want || len(dns.asked) != 3 {
		t.Errorf("asked %q, want %s first, and each once", dns.asked, want)
	}
	if got := find(t, in(func(*Config) {}), "ada").Status.Server; got != "ldaps://dc3.ad.example.com" {
		t.Errorf("without a site: got %s, want the first that DNS names", got)
	}
	// The PDC emulator is not among those of the site, and is one of the domain.
	pdc := in(func(c *Config) { c.Sites, c.PDC = []string{"Hamburg"}, true })
	if got := find(t, pdc, "ada").Status.Server; got != "ldaps://dc1.ad.example.com" {
		t.Errorf("preferring the PDC emulator: got %s, want dc1", got)
	}
	if err := reset(t.Context(), pdc, u, second); err != nil || !s.SignIn(t, "ada", second) {
		t.Errorf("reset: %v", err)
	}
	if got, err := pdc.Reconcile(t.Context(), u.Ref, u.Status, directory.NewSecret(second)); got != directory.Applied || err != nil {
		t.Errorf("reconcile on another controller of the domain: got %v, %v", got, err)
	}
	u.Status.Server = "ldaps://dc1.ad.example.com.evil.example"
	if got, err := pdc.Reconcile(t.Context(), u.Ref, u.Status, directory.NewSecret(second)); got != directory.Unknown || !errors.Is(err, directory.ErrConfig) {
		t.Errorf("reconcile elsewhere: got %v, %v, want ErrConfig", got, err)
	}
	nobody := in(func(c *Config) { c.Domain = "other.example" })
	if err := nobody.Health(t.Context()); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("a domain without controllers: got %v, want ErrUnavailable", err)
	}
}

func TestAListedPDCEmulatorIsPreferredAndAnUnlistedOneNotUsed(t *testing.T) {
	s := testserver.Samba(t, func(c *testserver.SambaConfig) { c.CertHosts = []string{"dc2.ad.example.com"} })
	there := testserver.FreeLoopback(t)
	testserver.NewProxyAt(t, there+":636", s.Addr)
	dns := &names{hosts: map[string]string{"dc1.ad.example.com": ip(s), "dc2.ad.example.com": there}}
	for _, c := range []struct {
		urls []string
		pdc  bool
		want string
	}{
		{[]string{"ldaps://dc2.ad.example.com", "ldaps://DC1.ad.example.com:636"}, true, "ldaps://DC1.ad.example.com:636"},
		{[]string{"ldaps://dc2.ad.example.com", "ldaps://dc1.ad.example.com"}, false, "ldaps://dc2.ad.example.com"},
		{[]string{"ldaps://dc2.ad.example.com"}, true, "ldaps://dc2.ad.example.com"},
	} {
		a := adapter(t, s, func(cfg *Config) { cfg.URLs, cfg.PDC, cfg.Resolver = c.urls, c.pdc, dns })
		if err := a.Health(t.Context()); err != nil || !a.dcs.is(c.want) {
			t.Errorf("%v, prefer the PDC emulator %v: got %q, %v, want %s", c.urls, c.pdc, a.dcs.current, err, c.want)
		}
	}
}

// Every sign-in that fails counts towards the lockout of the service account, at every controller.
func TestAWrongServicePasswordIsNotTriedAgainAndAgain(t *testing.T) {
	s := testserver.Samba(t)
	proxy := testserver.NewProxy(t, s.Addr)
	now := time.Now()
	a := adapter(t, s, func(c *Config) {
		c.URLs, c.ServerName = []string{s.URL, "ldaps://" + proxy.Addr}, s.Host
		c.BindPassword, c.Now = directory.NewSecret("wrong-service-canary"), func() time.Time { return now }
	})
	for range 5 {
		err := a.Health(t.Context())
		if !errors.Is(err, directory.ErrConfig) || errors.Is(err, directory.ErrWrongPassword) || strings.Contains(err.Error(), "canary") {
			t.Fatalf("got %v, want ErrConfig", err)
		}
	}
	if got := s.Get(t, s.ServiceDN, "badPwdCount"); got[0] != "1" {
		t.Errorf("five calls cost %s failed sign-ins, want 1", got)
	}
	now = now.Add(bindHold + time.Second)
	a.Health(t.Context())
	if got := s.Get(t, s.ServiceDN, "badPwdCount"); got[0] != "2" {
		t.Errorf("half a minute later: got %s, want one more", got)
	}
}

func TestReconcileAsksConfiguredServersOnly(t *testing.T) {
	s := testserver.Samba(t)
	a := adapter(t, s)
	u := person(t, s, a, "ada", nil)
	u.Status.Server = "ldaps://127.0.0.1:1"
	if got, err := a.Reconcile(t.Context(), u.Ref, u.Status, directory.Secret{}); got != directory.Unknown || !errors.Is(err, directory.ErrConfig) {
		t.Errorf("got %v, %v, want unknown and ErrConfig", got, err)
	}
}
