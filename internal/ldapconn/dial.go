package ldapconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/pkg/directory"
)

// Dialer opens connections. Safe for concurrent use as long as nobody changes it.
type Dialer struct {
	TLS      *tls.Config   // without a ServerName the host of the URL is expected in the certificate
	Timeout  time.Duration // for TCP and TLS together, and again for the sign-in
	BindName string        // of the service account: a DN, or what else the server takes
	Password directory.Secret
	Controls []ldap.Control // sent with the service account's sign-in
	// Network connects to an address as net.Dialer does; nil for that.
	Network func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial opens a connection with TLS to the first of some servers that answers, ldaps://HOST[:PORT], or ldap://HOST[:PORT]
// for StartTLS. It is not signed in. Errors are *TransportError, not sent.
func (d *Dialer) Dial(ctx context.Context, urls ...string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	var errs []error
	for i, u := range urls {
		// Each server gets its share of the time, so that a black hole leaves some for the next.
		deadline, _ := ctx.Deadline()
		share, done := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(urls)-i))
		c, err := d.dialOne(share, u)
		done()
		if err == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", u, err))
	}
	return nil, &TransportError{false, errors.Join(errs...)}
}

func (d *Dialer) dialOne(ctx context.Context, raw string) (*Conn, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	port, host := u.Port(), u.Hostname()
	if port == "" {
		port = map[string]string{"ldap": ldap.DefaultLdapPort, "ldaps": ldap.DefaultLdapsPort}[u.Scheme]
	}
	network := d.Network
	if network == nil {
		network = new(net.Dialer).DialContext
	}
	plain, err := network(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	cfg := d.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	c := &Conn{wire: &wire{Conn: plain}, Server: raw}
	if u.Scheme == "ldap" {
		if err := startTLS(ctx, c.wire); err != nil {
			plain.Close()
			return nil, err
		}
	}
	secure := tls.Client(c.wire, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, &Untrusted{err}
	}
	c.LDAP = ldap.NewConn(secure, true)
	c.LDAP.Start()
	return c, nil
}

// startTLS asks for TLS on a plain connection, RFC 4511 §4.14. By hand, because the library reduces what goes wrong in
// the handshake afterwards to a text, and an untrusted server has to be told from an absent one.
func startTLS(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	message := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", ""))
	message.AppendChild(request)
	if _, err := c.Write(message.Bytes()); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(io.LimitReader(c, 64<<10)) // reads no byte too many: the next ones are TLS
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	if err := ldap.GetLDAPError(answer); err != nil {
		return &Untrusted{err}
	}
	if !stop() {
		return ctx.Err()
	}
	return nil
}

// DialService is Dial and the sign-in of the service account. A server that refuses that is a *BindError.
func (d *Dialer) DialService(ctx context.Context, urls ...string) (*Conn, error) {
	c, err := d.Dial(ctx, urls...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if _, err := c.Bind(ctx, d.BindName, d.Password.Reveal(), d.Controls...); err != nil {
		c.Close()
		if IsAnswer(err) {
			return nil, &BindError{err}
		}
		return nil, &TransportError{false, err} // nothing of the caller's request was sent
	}
	return c, nil
}

// Untrusted is a connection whose TLS failed.
type Untrusted struct{ Err error }

func (e *Untrusted) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *Untrusted) Unwrap() error { return e.Err }

// BindError is a service account that cannot sign in.
type BindError struct{ Err error }

func (e *BindError) Error() string { return "service account: " + e.Err.Error() }

// Unwrap returns the server's answer.
func (e *BindError) Unwrap() error { return e.Err }
