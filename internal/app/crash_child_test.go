package app

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/egress"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/notify"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
	"github.com/regain-id/regain/pkg/directory"
)

// crashEnv holds, in a child process of the crash tests, what it is to serve and where it is to die.
const crashEnv = "REGAIN_TEST_CRASH"

type crashPlan struct {
	Base, Database, Ring                              string
	MailHost                                          string
	MailPort                                          int
	MailCA                                            string
	Texts                                             string
	LDAP, LDAPCA, BindDN, BindPassword, People, Rules string
	Lose                                              bool // the answer to a password write is lost
	Point                                             string
	Nth                                               int
}

// silentLDAP is a directory that writes and whose answer is lost.
type silentLDAP struct{ *ldap.Adapter }

func (s silentLDAP) Reset(ctx context.Context, r directory.ResetRequest) (directory.Result, error) {
	if res, err := s.Adapter.Reset(ctx, r); err != nil {
		return res, err
	}
	return directory.Result{Outcome: directory.Unknown}, &directory.Error{Op: "reset", Kind: directory.ErrUnknown, Outcome: directory.Unknown}
}

func (c crashPlan) directory() (reset.Directory, error) {
	a, err := ldap.New(ldap.Config{Name: "corp", URLs: []string{c.LDAP}, CAFile: c.LDAPCA, BindDN: c.BindDN,
		BindPassword: directory.NewSecret(c.BindPassword), BaseDN: c.People, DefaultPolicyDN: c.Rules})
	d := reset.Directory{Name: "corp", Label: "Alder directory", Claim: "userName", Attribute: "mail", Adapter: a, Timeout: 2 * time.Second, Patience: 400 * time.Millisecond}
	if c.Lose {
		d.Adapter = silentLDAP{a}
	}
	return d, err
}

// crashMain serves what production serves, on the listener it inherits, until it kills itself.
func crashMain(plan string) int {
	err := func() error {
		var c crashPlan
		if err := json.Unmarshal([]byte(plan), &c); err != nil {
			return err
		}
		ring, err := keyring.Open(c.Ring)
		if err != nil {
			return err
		}
		ca, err := os.ReadFile(c.MailCA)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		smtp, err := notify.NewSMTP(notify.SMTPConfig{Host: c.MailHost, Port: c.MailPort, TLS: "starttls", CA: pool, Timeout: 5 * time.Second})
		if err != nil {
			return err
		}
		hook, err := notify.NewWebhook(notify.WebhookConfig{URL: c.Texts, Secrets: []string{smsSecret}, Timeout: 3 * time.Second,
			Client: egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
		if err != nil {
			return err
		}
		d, err := c.directory()
		if err != nil {
			return err
		}
		var reached atomic.Int64
		srv, err := New(context.Background(), Setup{
			Base: c.Base, Database: c.Database, Ring: ring, Organisation: web.Organisation{Name: "Alder Works", SignIn: "https://login.alder.example/"},
			Corporate: []string{"alder.example"}, MailOn: true, Mail: smtp, Text: hook, From: "account@alder.example", Region: "DE", Zone: time.UTC, Lanes: 4,
			Directories: []reset.Directory{d}, Rates: reset.Rates{StartsPerOrigin: 1000, ChecksPerOrigin: 1000, SendsPerOrigin: 100, SendsPerPerson: 100},
			Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
			Crash: func(point string) {
				if point == c.Point && reached.Add(1) == int64(c.Nth) {
					syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			},
		})
		if err != nil {
			return err
		}
		l, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			return err
		}
		return srv.Serve(context.Background(), l)
	}()
	fmt.Fprintln(os.Stderr, "crash child:", err)
	return 1
}

// start runs the child and returns a channel that closes when it has killed itself.
func (c crashPlan) start(t *testing.T, l net.Listener) <-chan struct{} {
	t.Helper()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plan, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+string(plan))
	cmd.ExtraFiles = []*os.File{file}
	said := &logBuffer{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	died := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer close(died)
		err := cmd.Wait()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the child ended with %v\n%s", err, said.tail(20))
		}
	})
	t.Cleanup(func() {
		cmd.Process.Kill()
		waiting.Wait()
		if t.Failed() {
			t.Log(said.tail(40))
		}
	})
	return died
}

// walker is a person who goes on from wherever they stand, until the password is changed or the server dies.
type walker struct {
	w    *world
	p    *somebody
	v    *visitor
	died <-chan struct{} // nil: the server is not expected to die
}

// fresh gives the walker a browser that opens a connection for each request.
func (k *walker) fresh() {
	k.v = k.w.visitor()
	// What waits to be accepted when the server dies would wait for the next one: the listener is ours, too.
	k.v.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if died := k.died; err == nil && died != nil {
			go func() { <-died; c.Close() }()
		}
		return c, err
	}}
	k.v.client.Timeout = 20 * time.Second
}

func (k *walker) dead() bool {
	select {
	case <-k.died:
		return true
	default:
		return false
	}
}

// send is visitor.send for a server that may die: ok is false when it did.
func (k *walker) send(path string, pairs ...string) (s sight, ok bool) {
	if k.dead() {
		return s, false
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	old := k.v.w
	k.v.w = &world{t: dying{old.t, k}, base: old.base}
	defer func() { k.v.w = old }()
	if len(pairs) == 0 {
		return k.v.get(path), true
	}
	return k.v.post(path, pairs...), true // one "" is no field: a button alone
}

// dying turns a fatal error into a panic when the server was killed.
type dying struct {
	testing.TB
	k *walker
}

func (d dying) Fatal(args ...any) {
	if d.k.died != nil {
		select {
		case <-d.k.died:
			panic("the server died")
		case <-time.After(5 * time.Second):
		}
	}
	d.TB.Fatal(args...)
}

var smsWay = regexp.MustCompile(`value="([0-9a-f-]{36})"`)

// walk takes the steps, each from what the page shows, and returns the last page.
func (k *walker) walk() (s sight) {
	t := k.w.t
	for range 60 {
		var ok bool
		if s, ok = k.send("/progress"); !ok {
			return s
		}
		switch {
		case s.Status == http.StatusGone:
			s, ok = k.send("/reset", "login", k.p.Login)
		case s.H1 == saysChanged:
			if k.died == nil {
				return s
			}
			time.Sleep(20 * time.Millisecond) // the notices are still to come
		case s.H1 == saysUnresolved:
			k.w.told(k.p, s, k.p.Password, fresh)
			s, ok = k.send("/try-again", "")
		case s.Path == "/progress":
			time.Sleep(100 * time.Millisecond)
		case s.Path == "/new-password":
			s, ok = k.send("/new-password", "password", fresh)
		case s.Path == "/choose":
			way := "email"
			if !strings.Contains(s.HTML, `value="email"`) {
				m := smsWay.FindStringSubmatch(s.HTML)
				if m == nil {
					t.Fatalf("no way on the page: %s", s.Text)
				}
				way = m[1]
			}
			if s, ok = k.send("/choose", "way", way); ok && s.Path == "/code" {
				if code := k.code(); code != "" {
					s, ok = k.send("/code", "code", code)
				}
			}
		default:
			t.Fatalf("no way on from %s: %s", s.Path, s.Text)
		}
		if !ok {
			return s
		}
	}
	return s
}

// code waits for the code of the challenge the browser holds; "" when the server dies first.
func (k *walker) code() string {
	challenge := "none"
	for _, c := range k.v.client.Jar.Cookies(mustURL(k.w.t, k.w.base)) {
		if strings.HasSuffix(c.Name, "code") {
			challenge = c.Value
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && !k.dead(); time.Sleep(10 * time.Millisecond) {
		for _, l := range k.w.mail.Letters(k.p.Email) {
			if strings.Contains(l.Header.Get("Message-Id"), challenge) {
				return l.Code()
			}
		}
		for _, x := range k.w.sms.Texts(k.p.Phone) {
			if strings.Contains(x.ID, challenge) {
				return x.Code()
			}
		}
	}
	return ""
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
