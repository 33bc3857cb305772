package testserver_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/testserver"
)

func TestSlapdSignsInTheRightPasswordOnlyAndLocksOut(t *testing.T) {
	s := testserver.Slapd(t)
	dn := s.AddUser(t, testserver.SlapdUser{Login: "ada", Password: "a first password"})
	if !s.SignIn(t, "ada", "a first password") || s.SignIn(t, "ada", "another") {
		t.Fatal("want the right password to sign in and a wrong one not to")
	}
	s.LockOut(t, "ada")
	if s.SignIn(t, "ada", "a first password") || len(s.Get(t, dn, "pwdAccountLockedTime")) != 1 {
		t.Fatal("want the account locked out after three failures")
	}
}

func TestSlapdKeepsItsDataOverARestart(t *testing.T) {
	s := testserver.Slapd(t)
	s.AddUser(t, testserver.SlapdUser{Login: "ada", Password: "a first password"})
	s.Restart(t)
	if !s.SignIn(t, "ada", "a first password") {
		t.Fatal("want the person to be there after a restart")
	}
	if !strings.Contains(s.Log(), "BIND") {
		t.Fatal("want a log of operations")
	}
}

func TestCAIssuesCertificatesThatItsPoolTrustsForTheirHostsOnly(t *testing.T) {
	ca := testserver.NewCA(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, "server", "good.example")}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	for name, want := range map[string]bool{"good.example": true, "bad.example": false} {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", l.Addr().String(), &tls.Config{RootCAs: ca.Pool, ServerName: name})
		if (err == nil) != want {
			t.Errorf("%s: got %v, want trusted=%v", name, err, want)
		}
		if c != nil {
			c.Close()
		}
	}
}
