package ldapconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/pkg/directory"
)

// Errors turns what went wrong into errors of package directory.
type Errors struct {
	Password directory.Secret // of the service account, kept out of the server's words
	// Answer sets Kind, and Native.Sub where there is one, by a result code that the server sent. Code and Message are set.
	Answer func(e *directory.Error, l *ldap.Error)
}

// Refuse returns an error that says nothing was written.
func Refuse(op, server string, kind error) *directory.Error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Native: directory.Native{Server: server}}
}

// Read turns an error of a call that only reads into one of package directory; nil stays nil, and so does one that is one
// already.
func (t Errors) Read(op, server string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*directory.Error](err); ok {
		return err
	}
	e := Refuse(op, server, directory.ErrUnavailable)
	if c, ok := errors.AsType[*BindError](err); ok {
		t.said(e, c.Err)
		e.Kind = directory.ErrConfig // wrong service password, or its account expired, is locked or must change
		return e
	}
	if c, ok := errors.AsType[*Untrusted](err); ok && isTrust(c.Err) {
		t.said(e, err)
		e.Kind, e.Err = directory.ErrTLS, err
		return e
	}
	switch {
	case errors.Is(err, ErrQueueFull):
		e.Kind, e.RetryAfter = directory.ErrBusy, time.Second
	case errors.Is(err, ErrClosed):
	case IsAnswer(err):
		t.said(e, err)
	default:
		e.Err = err
	}
	return e
}

// Write is Read for the request that writes. Silence after sending is Unknown. No secret is in what the server said.
func (t Errors) Write(op, server string, err error, secrets ...directory.Secret) error {
	e := Refuse(op, server, directory.ErrUnavailable)
	if c, ok := errors.AsType[*TransportError](err); ok {
		e.Err = c.Err
		if c.Sent {
			e.Kind, e.Outcome = directory.ErrUnknown, directory.Unknown
		}
		return e
	}
	t.said(e, err, secrets...)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultUnavailable, ldap.LDAPResultOther) {
		// A proxy in front of the server answers with these when it lost the server after passing the request on.
		e.Kind, e.Outcome = directory.ErrUnknown, directory.Unknown
	}
	return e
}

// Said fills in what the server said about something that was refused, and leaves the kind as it is.
func (t Errors) Said(e *directory.Error, err error, secrets ...directory.Secret) {
	kind := e.Kind
	t.said(e, err, secrets...)
	e.Kind = kind
}

func (t Errors) said(e *directory.Error, err error, secrets ...directory.Secret) {
	l, ok := errors.AsType[*ldap.Error](err)
	if !ok {
		return
	}
	e.Native.Code = int(l.ResultCode)
	if l.Err != nil {
		e.Native.Message = directory.Clean(l.Err.Error(), append(secrets, t.Password)...)
	}
	t.Answer(e, l)
}

// isTrust tells a handshake that was refused from one that was interrupted. A server that just hangs up counts as
// absent.
func isTrust(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if IsAnswer(err) { // StartTLS was refused
		return true
	}
	_, network := errors.AsType[*net.OpError](err)
	return !network && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// Sleep waits, or ends earlier with ctx and says so.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
