package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/wneessen/go-mail"
)

// SMTPConfig is how the organisation's mail server is reached. It prints without its password.
type SMTPConfig struct {
	Host         string
	Port         int            // 0: 587, or 465 with TLS "tls"
	TLS          string         // starttls (default, mandatory), tls (from the first byte), none (loopback only)
	Username     string         // "": no authentication
	Password     string         // never printed
	CA           *x509.CertPool // nil: the system's
	EnvelopeFrom string         // where bounces go; "": the letter's sender
	Hello        string         // our name in EHLO; "": the host name of this machine
	Timeout      time.Duration  // for one whole delivery; default 30 s
}

// String tells where letters go, without the password.
func (c SMTPConfig) String() string {
	return fmt.Sprintf("smtp %s:%d %s user %q", c.Host, c.Port, c.TLS, c.Username)
}

// GoString is String, so that %#v does not print the password either.
func (c SMTPConfig) GoString() string { return c.String() }

// SMTP hands letters to a mail server, one connection each. Safe for concurrent use.
type SMTP struct {
	config  SMTPConfig
	options []mail.Option
}

// NewSMTP checks a configuration and fills in its defaults. It does not connect.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	if c.TLS == "" {
		c.TLS = "starttls"
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == "tls" {
			c.Port = 465
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.EnvelopeFrom != "" {
		from, err := Address(c.EnvelopeFrom)
		if err != nil {
			return nil, fmt.Errorf("envelope sender: %w", err)
		}
		c.EnvelopeFrom = from
	}
	if (c.Username == "") != (c.Password == "") {
		return nil, errors.New("smtp user and password: want both or none")
	}
	options := []mail.Option{
		mail.WithPort(c.Port),
		mail.WithTimeout(c.Timeout),
		mail.WithTLSConfig(&tls.Config{ServerName: c.Host, RootCAs: c.CA, MinVersion: tls.VersionTLS12}),
		mail.WithoutNoop(),
		mail.WithoutRset(),
	}
	switch c.TLS {
	case "starttls":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		if !loopback(c.Host) {
			return nil, fmt.Errorf("smtp without tls to %s: only to loopback", c.Host)
		}
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("smtp tls %q: want starttls, tls or none", c.TLS)
	}
	if c.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.Username), mail.WithPassword(c.Password))
	}
	if c.Hello != "" {
		options = append(options, mail.WithHELO(c.Hello))
	}
	if _, err := mail.NewClient(c.Host, options...); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return &SMTP{config: c, options: options}, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Send delivers one letter to one mailbox. nil means that the mail server took it. Every error is an *Error: Permanent
// when the server refused this letter or recipient for good (5xx) or the letter is not fit to be sent; Temporary when it
// is sure that the server did not take it and it may later (4xx, no connection, no TLS, our sender or credentials
// refused);
// Uncertain when the whole letter was sent and no answer came. A deadline or an end of ctx ends the delivery at once.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	msg, err := s.message(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	// The library looks at ctx while it dials only. Closing the connection makes every later step end with it, too; and
	// it closes what the library leaves open when TLS or authentication fails.
	var conn net.Conn
	options := append([]mail.Option{mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = s.dial(dialing, network, address)
		if err == nil { // dialing ends with the dial, ctx with the delivery
			context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	})}, s.options...)
	client, err := mail.NewClient(s.config.Host, options...)
	if err != nil {
		return &Error{Temporary, err}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return &Error{Temporary, fmt.Errorf("connect to mail server: %w", err)}
	}
	if err := client.SendWithSMTPClient(session, msg); err != nil {
		return &Error{judge(err), fmt.Errorf("hand over letter: %w", err)}
	}
	_ = session.Quit() // the letter is delivered, whatever the server says to good-bye
	return nil
}

func (s *SMTP) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.config.TLS == "tls" {
		d := tls.Dialer{Config: &tls.Config{ServerName: s.config.Host, RootCAs: s.config.CA, MinVersion: tls.VersionTLS12}}
		return d.DialContext(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// message builds what goes over the wire. The printer has checked everything; addresses are checked once more, because
// this is the last place that can stop a second recipient.
func (s *SMTP) message(m Mail) (*mail.Msg, error) {
	to, err := Address(m.To)
	if err != nil {
		return nil, permanent("recipient: %w", err)
	}
	if _, err := Address(m.From.Address); err != nil {
		return nil, permanent("sender: %w", err)
	}
	if !plainID.MatchString(m.ID) || !hostname.MatchString(m.Host) {
		return nil, permanent("letter id %q at %q", m.ID, m.Host)
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP))
	msg.FromMailAddress(&m.From)
	if s.config.EnvelopeFrom != "" {
		if err := msg.EnvelopeFrom(s.config.EnvelopeFrom); err != nil {
			return nil, permanent("envelope sender: %w", err)
		}
	}
	if err := msg.To(to); err != nil {
		return nil, permanent("recipient: %w", err)
	}
	if n := len(msg.GetTo()); n != 1 {
		return nil, permanent("recipient: %w: %d", ErrRecipient, n)
	}
	msg.Subject(m.Subject)
	msg.SetDate()
	msg.SetMessageIDWithValue(m.ID + "@" + m.Host)
	msg.SetGenHeader("X-Entity-Ref-ID", m.ID)
	msg.SetGenHeader(mail.HeaderContentLang, m.Lang)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: no out-of-office replies
	msg.SetGenHeader(mail.HeaderXAutoResponseSuppress, "All")
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	return msg, nil
}

// judge tells what a failed conversation means for the letter.
func judge(err error) Kind {
	e, ok := errors.AsType[*mail.SendError](err)
	if !ok {
		return Uncertain
	}
	switch code := e.ErrorCode(); {
	case e.Reason == mail.ErrSMTPMailFrom, code == 530, code == 535:
		// Refused before the recipient was named: about our sender address or credentials (RFC 4954 §6). A mistake in the
		// configuration must not make dead letters of all notices; they wait until it is mended or they are worthless.
		return Temporary
	case code >= 500:
		return Permanent
	case code >= 400:
		return Temporary
	}
	if e.Reason == mail.ErrSMTPDataClose {
		return Uncertain // the final dot was sent, the answer did not come
	}
	return Temporary // a letter without its final dot is not delivered (RFC 5321 §4.1.1.4)
}
