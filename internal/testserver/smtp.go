package testserver

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// waitLimit is how long the WaitFor methods wait. It is reached only by a test that fails.
const waitLimit = 15 * time.Second

// SMTPServer is a mail server on loopback that keeps what it gets. It speaks real SMTP with STARTTLS (or TLS from the first
// byte), refuses mail outside TLS, and can be told to misbehave. Safe for concurrent use.
type SMTPServer struct {
	Host string // 127.0.0.1
	Port int
	CA   *CA // signed its certificate, for 127.0.0.1 and localhost

	t      testing.TB
	server *smtp.Server
	user   string
	pass   string

	mu      sync.Mutex
	fault   SMTPFault
	letters []Letter
	arrived chan struct{} // closed and replaced on every letter
	stop    chan struct{}
}

// SMTPFault is how the server misbehaves from now on. The zero value is a good server. A code is an SMTP reply code,
// 400 to 599, given at that step.
type SMTPFault struct {
	Mail, Rcpt, Data int
	HangAtMail       bool // never answer MAIL
	HangAfterData    bool // take the whole letter and never answer
	CutInData        bool // close the connection in the middle of the letter: it was not delivered
	CutAfterData     bool // take and keep the whole letter, then close without an answer
}

// SMTPOptions change how the server starts. The zero value is STARTTLS on a free port without authentication.
type SMTPOptions struct {
	User, Password string // when set, a client must authenticate by PLAIN
	ImplicitTLS    bool   // TLS from the first byte (RFC 8314 §3)
	Plain          bool   // no TLS at all
	CA             *CA    // nil: one of its own
}

// SMTP runs a mail server until the test ends.
func SMTP(t testing.TB, options ...SMTPOptions) *SMTPServer {
	t.Helper()
	var o SMTPOptions
	if len(options) > 0 {
		o = options[0]
	}
	if o.CA == nil {
		o.CA = NewCA(t)
	}
	s := &SMTPServer{Host: "127.0.0.1", CA: o.CA, t: t, user: o.User, pass: o.Password, arrived: make(chan struct{}), stop: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &smtpSession{server: s, conn: c, plain: o.Plain}, nil
	}))
	s.server.Domain = "sink.test"
	s.server.MaxRecipients = 10
	s.server.MaxMessageBytes = 1 << 20
	s.server.ErrorLog = log.New(io.Discard, "", 0) // cut connections are what tests ask for
	s.server.EnableSMTPUTF8 = true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{o.CA.Certificate(t, "smtp", "127.0.0.1", "localhost")}}
	switch {
	case o.ImplicitTLS:
		listener = tls.NewListener(listener, config)
	case o.Plain:
		s.server.AllowInsecureAuth = true
	default:
		s.server.TLSConfig = config
	}
	done := make(chan struct{})
	go func() { defer close(done); s.server.Serve(listener) }()
	t.Cleanup(func() { close(s.stop); s.server.Close(); listener.Close(); <-done })
	return s
}

// Fault changes how the server behaves for commands it gets from now on.
func (s *SMTPServer) Fault(f SMTPFault) { s.mu.Lock(); s.fault = f; s.mu.Unlock() }

func (s *SMTPServer) now() SMTPFault { s.mu.Lock(); defer s.mu.Unlock(); return s.fault }

func (s *SMTPServer) keep(l Letter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = append(s.letters, l)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// Letters returns what arrived for an address, oldest first; with "" what arrived for anybody.
func (s *SMTPServer) Letters(to string) []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Letter
	for _, l := range s.letters {
		if to == "" || slices.Contains(l.To, to) {
			out = append(out, l)
		}
	}
	return out
}

// WaitFor returns the letters for an address as soon as there are n, and fails the test when they do not come.
func (s *SMTPServer) WaitFor(to string, n int) []Letter {
	s.t.Helper()
	limit := time.After(waitLimit)
	for {
		s.mu.Lock()
		arrived := s.arrived
		s.mu.Unlock()
		if got := s.Letters(to); len(got) >= n {
			return got
		}
		select {
		case <-arrived:
		case <-limit:
			s.t.Fatalf("got %d letters for %q after %s, want %d", len(s.Letters(to)), to, waitLimit, n)
		}
	}
}

// smtpSession is one connection.
type smtpSession struct {
	server *SMTPServer
	conn   *smtp.Conn
	plain  bool
	user   string
	from   string
	to     []string
}

var errCut = errors.New("cut by the test")

func (s *smtpSession) Reset()        { s.from, s.to = "", nil }
func (s *smtpSession) Logout() error { return nil }

// AuthMechanisms and Auth make the session an smtp.AuthSession.
func (s *smtpSession) AuthMechanisms() []string {
	if s.server.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, pass string) error {
		if user != s.server.user || pass != s.server.pass {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

func reply(code int) error {
	if code == 0 {
		return nil
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "as the test asked"}
}

func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if _, secured := s.conn.TLSConnectionState(); !secured && !s.plain {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	}
	if s.server.user != "" && s.user == "" {
		return smtp.ErrAuthRequired
	}
	f := s.server.now()
	if f.HangAtMail {
		<-s.server.stop
		return errCut
	}
	s.from = from
	return reply(f.Mail)
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return reply(s.server.now().Rcpt)
}

func (s *smtpSession) Data(r io.Reader) error {
	f := s.server.now()
	if f.CutInData {
		io.ReadFull(r, make([]byte, 100))
		s.conn.Conn().Close()
		return errCut
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if f.Data != 0 {
		return reply(f.Data)
	}
	l, err := parseLetter(raw)
	if err != nil {
		s.server.t.Errorf("a letter that mail programs could not read: %v\n%s", err, raw)
		return reply(554)
	}
	_, l.TLS = s.conn.TLSConnectionState()
	l.From, l.To, l.User = s.from, slices.Clone(s.to), s.user
	s.server.keep(l)
	switch {
	case f.HangAfterData:
		<-s.server.stop
		return errCut
	case f.CutAfterData:
		s.conn.Conn().Close()
		return errCut
	}
	return nil
}

// Letter is one mail as it arrived.
type Letter struct {
	From    string   // envelope sender
	To      []string // envelope recipients
	User    string   // who authenticated, "" for nobody
	TLS     bool
	Header  mail.Header
	Subject string // decoded
	Text    string // the text/plain part, decoded, lines end in \n
	HTML    string // the text/html part, decoded
	Raw     []byte
}

var codeLine = regexp.MustCompile(`(?m)^\s*([0-9]{6,10})\s*$`)

// Code returns the code that stands alone on a line of the text part, or "".
func (l Letter) Code() string {
	if m := codeLine.FindStringSubmatch(l.Text); m != nil {
		return m[1]
	}
	return ""
}

var linkLine = regexp.MustCompile(`(?m)^\s*(https?://\S+)\s*$`)

// Links returns the addresses that stand alone on a line of the text part.
func (l Letter) Links() []string {
	var out []string
	for _, m := range linkLine.FindAllStringSubmatch(l.Text, -1) {
		out = append(out, m[1])
	}
	return out
}

func parseLetter(raw []byte) (Letter, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Letter{}, err
	}
	l := Letter{Header: m.Header, Raw: raw}
	if l.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return l, fmt.Errorf("subject: %w", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return l, fmt.Errorf("content type: %w", err)
	}
	if kind != "multipart/alternative" {
		return l, fmt.Errorf("content type is %s, not multipart/alternative", kind)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		if err := l.part(p); err != nil {
			return l, err
		}
	}
}

func (l *Letter) part(p *multipart.Part) error {
	kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if cs := strings.ToLower(params["charset"]); cs != "utf-8" {
		return fmt.Errorf("charset %q", cs)
	}
	if e := strings.ToLower(p.Header.Get("Content-Transfer-Encoding")); e != "quoted-printable" {
		return fmt.Errorf("transfer encoding %q", e)
	}
	b, err := io.ReadAll(quotedprintable.NewReader(p))
	if err != nil {
		return err
	}
	body := strings.ReplaceAll(string(b), "\r\n", "\n")
	switch kind {
	case "text/plain":
		l.Text = body
	case "text/html":
		l.HTML = body
	default:
		return fmt.Errorf("a part of type %s", kind)
	}
	return nil
}
