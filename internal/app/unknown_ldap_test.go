package app

import (
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// tap forwards connections and counts what the client sends, one message of LDAP being one write of TLS. At a message
// it was told of it does something first.
type tap struct {
	addr string

	mu   sync.Mutex
	seen int
	at   int
	do   func()
}

func newTap(t *testing.T, target string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: l.Addr().String()}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			running.Go(func() { p.pump(server, client, p.message) })
			running.Go(func() { p.pump(client, server, func() {}) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return p
}

// arm counts from here, and does something before the message of that number goes on.
func (p *tap) arm(at int, do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.at, p.do = 0, at, do
}

func (p *tap) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *tap) message() {
	p.mu.Lock()
	p.seen++
	var do func()
	if p.seen == p.at {
		do = p.do
	}
	p.mu.Unlock()
	if do != nil {
		do()
	}
}

func (p *tap) pump(to, from net.Conn, each func()) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			each()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wired is a world on a real slapd whose connection breaks at the very message that writes.
type wired struct {
	*world
	proxy *testserver.Proxy
	tap   *tap
	hook  *ldapAt
	at    int // which message of a reset is the one that writes
}

func newWired(t *testing.T, patience time.Duration) *wired {
	t.Helper()
	s := &wired{hook: &ldapAt{}}
	s.world = newWorld(t, scene{slapd: true, wire: func(w *world) {
		s.proxy = testserver.NewProxy(t, w.slapd.Addr)
		s.tap = newTap(t, s.proxy.Addr)
		a, err := ldap.New(ldap.Config{Name: "corp", URLs: []string{"ldaps://" + s.tap.addr}, CAFile: w.slapd.CAFile, BindDN: w.slapd.ServiceDN,
			BindPassword: directory.NewSecret(w.slapd.ServicePassword), BaseDN: w.slapd.PeopleDN, DefaultPolicyDN: w.slapd.DefaultPolicyDN})
		if err != nil {
			t.Fatal(err)
		}
		d := &w.setup.Directories[0]
		d.Timeout, d.Patience = 400*time.Millisecond, patience
		s.hook.Adapter, d.Adapter = a, s.hook
	}})
	// A first reset shows which message it is: the adapter reads the account, writes, and reads it again.
	dry := s.add("dry", method.Email, method.SMS)
	s.hook.before = func() { s.tap.arm(0, nil) }
	v := s.visitor()
	v.proveTwice(dry)
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged)
	n := s.tap.count()
	if n%2 == 0 {
		t.Fatalf("a reset takes %d messages: want reading, one write, and the same reading again", n)
	}
	s.at = (n + 1) / 2
	return s
}

// breaks does something at the message that writes, once.
func (s *wired) breaks(do func()) {
	s.hook.before = func() { s.tap.arm(s.at, do); s.hook.before = nil }
}

// operation names one request in slapd's log.
var operation = regexp.MustCompile(`conn=\d+ op=\d+`)

// writes counts how often the server was asked to write an account's password, whatever it answered. The lines of one
// request need not stand together: other connections write theirs between them.
func writes(s *testserver.SlapdServer, uid string) int {
	n, ours := 0, map[string]bool{}
	for line := range strings.SplitSeq(s.Log(), "\n") {
		op := operation.FindString(line)
		switch {
		case strings.Contains(line, `MOD dn="uid=`+uid+`,`):
			ours[op] = true
		case ours[op] && strings.Contains(line, "MOD attr=") && strings.Contains(line, "userPassword"):
			n++
			delete(ours, op)
		}
	}
	return n
}

func TestADirectoryThatAnswersAfterWeGaveUpIsReconciled(t *testing.T) {
	s := newWired(t, 8*time.Second)
	ada := s.add("ada", method.Email, method.SMS)
	v := s.visitor()
	v.proveTwice(ada)
	s.breaks(func() { s.slapd.Pause(t) })
	page := v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysUnknown, "may or may not be in place")
	if page.Header.Get("Refresh") == "" {
		t.Error("the page does not look again by itself")
	}
	eventually(t, "a notice that it may have been changed", func() bool { done, maybe := s.notices(ada.Login); return maybe == 1 && done == 0 })
	v.get("/progress").want(t, 200, "/progress", saysUnknown)
	s.slapd.Resume(t) // and with that it takes what lay in its socket
	s.told(ada, v.stands(saysChanged), ada.Password, fresh)
	eventually(t, "a notice that it was reset", func() bool { done, _ := s.notices(ada.Login); return done == 1 })
	if n := writes(s.slapd, "ada"); n != 1 {
		t.Errorf("the directory was written %d times, want 1", n)
	}
	if n := s.count(ada.ID, event.PasswordReset, event.WriteReconciled); n != 2 {
		t.Errorf("%d events say reset and reconciled, want one each", n)
	}
}

func TestALostAnswerIsFoundOutAndALostRequestIsNeverTakenForAWrite(t *testing.T) {
	t.Run("the answer is lost", func(t *testing.T) {
		s := newWired(t, 8*time.Second)
		ada := s.add("ada", method.Email, method.SMS)
		v := s.visitor()
		v.proveTwice(ada)
		s.breaks(func() { s.proxy.LoseAnswers(true) })
		v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysUnknown)
		s.proxy.LoseAnswers(false)
		s.proxy.Cut()
		s.told(ada, v.stands(saysChanged), ada.Password, fresh)
		if n := writes(s.slapd, "ada"); n != 1 {
			t.Errorf("the directory was written %d times, want 1", n)
		}
	})
	t.Run("the answer and every later one is lost, and the same password is tried again", func(t *testing.T) {
		s := newWired(t, 700*time.Millisecond)
		ada := s.add("ada", method.Email, method.SMS)
		v := s.visitor()
		v.proveTwice(ada)
		s.breaks(func() { s.proxy.LoseAnswers(true) })
		v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysUnknown)
		v.stands(saysUnresolved)
		s.proxy.Cut()
		s.proxy.LoseAnswers(false)
		v.post("/try-again").want(t, 200, "/new-password")
		// The directory refuses it as used before; that is no news for somebody whose password it is now.
		v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged)
		s.told(ada, v.get("/progress"), ada.Password, fresh)
		if n := s.count(ada.ID, event.PasswordReset); n != 1 {
			t.Errorf("%d events say that the password was reset, want 1", n)
		}
	})
	t.Run("the request is lost", func(t *testing.T) {
		s := newWired(t, 700*time.Millisecond)
		ada := s.add("ada", method.Email, method.SMS)
		v := s.visitor()
		v.proveTwice(ada)
		s.breaks(func() { s.proxy.LoseRequests(true) })
		v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysUnknown)
		s.proxy.Cut()
		s.proxy.LoseRequests(false)
		s.told(ada, v.stands(saysUnresolved), ada.Password, fresh)
		if n := writes(s.slapd, "ada"); n != 0 {
			t.Errorf("the directory was written %d times, want never", n)
		}
		v.post("/try-again").want(t, 200, "/new-password")
		s.told(ada, v.post("/new-password", "password", fresh).want(t, 200, "/progress", saysChanged), ada.Password, fresh)
		if done, maybe := s.notices(ada.Login); maybe != 1 || done > 1 {
			t.Errorf("%d notices that it may, %d that it was changed", maybe, done)
		}
	})
}
