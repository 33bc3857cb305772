package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/testserver"
)

func letterOrFail(t *testing.T, o Organisation, l Letter) Mail {
	t.Helper()
	m, err := printer(t).Mail(o, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sender(t *testing.T, s *testserver.SMTPServer, change ...func(*SMTPConfig)) *SMTP {
	t.Helper()
	c := SMTPConfig{Host: s.Host, Port: s.Port, CA: s.CA.Pool, Hello: "reset.contoso.example"}
	for _, f := range change {
		f(&c)
	}
	out, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestALetterArrivesAsItWasPrinted(t *testing.T) {
	for name, x := range map[string]struct {
		server testserver.SMTPOptions
		client func(*SMTPConfig)
		tls    bool
	}{
		"starttls":                 {testserver.SMTPOptions{}, func(*SMTPConfig) {}, true},
		"starttls and credentials": {testserver.SMTPOptions{User: "regain", Password: "s3cret"}, func(c *SMTPConfig) { c.Username, c.Password = "regain", "s3cret" }, true},
		"tls from the first byte":  {testserver.SMTPOptions{ImplicitTLS: true}, func(c *SMTPConfig) { c.TLS = "tls" }, true},
		"no tls on loopback":       {testserver.SMTPOptions{Plain: true}, func(c *SMTPConfig) { c.TLS = "none" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := testserver.SMTP(t, x.server)
			client := sender(t, server, x.client, func(c *SMTPConfig) { c.EnvelopeFrom = "bounces@contoso.example" })
			o := contoso
			o.Name = `Contoso "Grün" & Söhne`
			m := letterOrFail(t, o, CodeLetter(codeFor("de", Reset)))
			if err := client.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := server.WaitFor("ada@example.org", 1)[0]
			if got.From != "bounces@contoso.example" || len(got.To) != 1 || got.TLS != x.tls || got.User != x.server.User {
				t.Errorf("envelope: %q → %q, tls %v, user %q", got.From, got.To, got.TLS, got.User)
			}
			if got.Subject != m.Subject || got.HTML != m.HTML || got.Text != m.Text {
				t.Errorf("what arrived differs from what was printed:\n%s\n%s\n%s", got.Subject, got.Text, got.HTML)
			}
			if got.Code() != "73920146" || len(got.Links()) != 2 || got.Links()[0] != notMeURL {
				t.Errorf("code %q, links %q", got.Code(), got.Links())
			}
			for header, want := range map[string]string{
				"Message-Id": "<0198f3c2-code-1@reset.contoso.example>", "X-Entity-Ref-Id": "0198f3c2-code-1", "Auto-Submitted": "auto-generated",
				"Content-Language": "de", "To": "<ada@example.org>", "User-Agent": "", "X-Mailer": "", "Cc": "", "Bcc": "", "Reply-To": "", "Disposition-Notification-To": "",
			} {
				if h := got.Header.Get(header); h != want {
					t.Errorf("%s: got %q, want %q", header, h, want)
				}
			}
			from, err := mail.ParseAddress(got.Header.Get("From"))
			if err != nil || from.Name != o.Name || from.Address != "noreply@contoso.example" {
				t.Errorf("from: got %v, %v", from, err)
			}
			if at, err := got.Header.Date(); err != nil || time.Since(at).Abs() > time.Minute {
				t.Errorf("date: got %v, %v", at, err)
			}
		})
	}
}

func TestEachWayAMailServerFailsHasItsKind(t *testing.T) {
	server := testserver.SMTP(t)
	client := sender(t, server)
	m := letterOrFail(t, contoso, CodeLetter(codeFor("en", Reset)))
	for name, x := range map[string]struct {
		fault testserver.SMTPFault
		want  Kind
		kept  int
	}{
		"sender refused for now":          {testserver.SMTPFault{Mail: 451}, Temporary, 0},
		"our sender refused":              {testserver.SMTPFault{Mail: 550}, Temporary, 0},
		"our credentials are asked for":   {testserver.SMTPFault{Mail: 530}, Temporary, 0},
		"mailbox busy":                    {testserver.SMTPFault{Rcpt: 450}, Temporary, 0},
		"mailbox unknown":                 {testserver.SMTPFault{Rcpt: 550}, Permanent, 0},
		"greylisted":                      {testserver.SMTPFault{Rcpt: 421}, Temporary, 0},
		"letter refused for now":          {testserver.SMTPFault{Data: 452}, Temporary, 0},
		"letter refused":                  {testserver.SMTPFault{Data: 554}, Permanent, 0},
		"cut in the middle of the letter": {testserver.SMTPFault{CutInData: true}, Temporary, 0},
		"cut after the letter":            {testserver.SMTPFault{CutAfterData: true}, Uncertain, 1},
		"no answer after the letter":      {testserver.SMTPFault{HangAfterData: true}, Uncertain, 1},
		"no answer to MAIL":               {testserver.SMTPFault{HangAtMail: true}, Temporary, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server.Fault(x.fault)
			before := len(server.Letters(""))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if x.fault.HangAfterData || x.fault.HangAtMail {
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			big := m
			if x.fault.CutInData { // more than socket buffers hold, so that the client notices before its final dot
				big.Text = strings.Repeat("x y z\n", 4<<20/6)
			}
			err := client.Send(ctx, big)
			if err == nil || KindOf(err) != x.want {
				t.Errorf("got %v, want %s", err, x.want)
			}
			if kept := len(server.Letters("")) - before; kept != x.kept {
				t.Errorf("the server kept %d letters, want %d", kept, x.kept)
			}
		})
	}
	server.Fault(testserver.SMTPFault{})
	if err := client.Send(t.Context(), m); err != nil {
		t.Errorf("after the faults: %v", err)
	}
}

func TestNoLetterLeavesOverAConnectionThatIsNotTrusted(t *testing.T) {
	m := letterOrFail(t, contoso, CodeLetter(codeFor("en", Reset)))
	plain := testserver.SMTP(t, testserver.SMTPOptions{Plain: true})
	good := testserver.SMTP(t)
	locked := testserver.SMTP(t, testserver.SMTPOptions{User: "u", Password: "right"})
	for name, client := range map[string]*SMTP{
		"a server that offers no starttls":     sender(t, plain),
		"a certificate of another authority":   sender(t, good, func(c *SMTPConfig) { c.CA = x509.NewCertPool() }),
		"wrong credentials":                    sender(t, locked, func(c *SMTPConfig) { c.Username, c.Password = "u", "wrong" }),
		"no credentials where they are needed": sender(t, locked),
	} {
		if err := client.Send(t.Context(), m); err == nil || KindOf(err) != Temporary {
			t.Errorf("%s: got %v, want a temporary error", name, err)
		}
	}
	for name, s := range map[string]*testserver.SMTPServer{"plain": plain, "good": good, "locked": locked} {
		if n := len(s.Letters("")); n != 0 {
			t.Errorf("server %s got %d letters", name, n)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	nobody, err := NewSMTP(SMTPConfig{Host: "127.0.0.1", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Send(t.Context(), m); KindOf(err) != Temporary {
		t.Errorf("nobody listens: got %v, want a temporary error", err)
	}
}

func TestNoAddressOrHeaderReachesASecondMailbox(t *testing.T) {
	server := testserver.SMTP(t)
	client := sender(t, server)
	good := letterOrFail(t, contoso, CodeLetter(codeFor("en", Reset)))
	for _, to := range []string{
		"ada@example.org,eve@evil.example", "ada@example.org;eve@evil.example", "ada@example.org\r\nRCPT TO:<eve@evil.example>",
		"ada@example.org\nBcc: eve@evil.example", "Ada <ada@example.org>", "ada@example.org> <eve@evil.example", "", "all: ada@example.org, eve@evil.example;",
	} {
		m := good
		m.To = to
		if err := client.Send(t.Context(), m); KindOf(err) != Permanent || !errors.Is(err, ErrRecipient) {
			t.Errorf("to %q: got %v, want ErrRecipient", to, err)
		}
	}
	for name, change := range map[string]func(*Mail){
		"id":     func(m *Mail) { m.ID = "x>\r\nBcc: <eve@evil.example" },
		"host":   func(m *Mail) { m.Host = "h>\r\nBcc: <eve@evil.example" },
		"sender": func(m *Mail) { m.From.Address = "a@b.example>\r\nBcc: <eve@evil.example" },
	} {
		m := good
		change(&m)
		if err := client.Send(t.Context(), m); err == nil || KindOf(err) != Permanent {
			t.Errorf("line break in the %s: got %v, want a permanent error", name, err)
		}
	}
	if n := len(server.Letters("")); n != 0 {
		t.Fatalf("%d letters arrived", n)
	}
	// What the printer would have cleaned, given to the sender as it is: the encoding must hold on its own.
	m := good
	m.Subject = "Hello\r\nBcc: eve@evil.example\r\n\r\nbody"
	m.From.Name = "Contoso\r\nBcc: eve@evil.example"
	m.Text = "before\r\n.\r\nMAIL FROM:<eve@evil.example>\r\nafter\n"
	if err := client.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all := server.Letters("")
	if len(all) != 1 || len(all[0].To) != 1 || all[0].Header.Get("Bcc") != "" {
		t.Fatalf("got %d letters, to %q, bcc %q", len(all), all[0].To, all[0].Header.Get("Bcc"))
	}
	if want := "before\n.\nMAIL FROM:<eve@evil.example>\nafter\n"; strings.TrimRight(all[0].Text, "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("text: got %q, want %q", all[0].Text, want)
	}
}

func TestAMailConfigurationIsCheckedAndKeepsItsSecret(t *testing.T) {
	for name, c := range map[string]SMTPConfig{
		"no host":                  {},
		"no tls beyond loopback":   {Host: "mail.example.org", TLS: "none"},
		"unknown tls":              {Host: "mail.example.org", TLS: "maybe"},
		"user without password":    {Host: "mail.example.org", Username: "u"},
		"password without user":    {Host: "mail.example.org", Password: "p"},
		"two envelope senders":     {Host: "mail.example.org", EnvelopeFrom: "a@b.example,c@d.example"},
		"a port that is no number": {Host: "mail.example.org", Port: 70000},
	} {
		if _, err := NewSMTP(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := SMTPConfig{Host: "h.example", Username: "u", Password: "hunter2"}
	s, err := NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	if s.config.Port != 587 || s.config.TLS != "starttls" {
		t.Errorf("defaults: %v", s.config)
	}
	for _, f := range []string{"%v", "%+v", "%s", "%#v"} {
		if out := fmt.Sprintf(f, c); strings.Contains(out, "hunter2") {
			t.Errorf("%s prints the password: %s", f, out)
		}
	}
}
