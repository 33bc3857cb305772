package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/pkg/directory"
)

// policyResponse is what the password policy overlay said, draft-behera-ldap-password-policy-10 §6.2. none when it said
// nothing.
type policyResponse int

const (
	none             policyResponse = -1
	passwordExpired  policyResponse = 0
	accountLocked    policyResponse = 1
	changeAfterReset policyResponse = 2
	modNotAllowed    policyResponse = 3
	mustSupplyOld    policyResponse = 4
	badQuality       policyResponse = 5
	tooShort         policyResponse = 6
	tooYoung         policyResponse = 7
	inHistory        policyResponse = 8
	tooLong          policyResponse = 9 // OpenLDAP 2.5
)

func policyIn(controls []ldap.Control) policyResponse {
	for _, c := range controls {
		if p, ok := c.(*ldap.ControlBeheraPasswordPolicy); ok && p.Error >= 0 {
			return policyResponse(p.Error)
		}
	}
	return none
}

// policyOf digs the response control out of an error: the library decodes controls of successes only.
func policyOf(err error) policyResponse {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || e.Packet == nil || len(e.Packet.Children) < 3 {
		return none
	}
	return policyIn(controls(e.Packet.Children[2]))
}

func controls(p *ber.Packet) []ldap.Control {
	var found []ldap.Control
	for _, child := range p.Children {
		if c, err := ldap.DecodeControl(child); err == nil {
			found = append(found, c)
		}
	}
	return found
}

// fail turns an error of a call that only reads into one of package directory; nil stays nil.
func (a *Adapter) fail(op, server string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*directory.Error](err); ok {
		return err
	}
	e := &directory.Error{Op: op, Outcome: directory.NotApplied, Native: directory.Native{Server: server}}
	if c, ok := errors.AsType[*bindError](err); ok {
		e.Kind = directory.ErrConfig // wrong service password, or its account expired or must change
		a.native(e, c.err)
		return e
	}
	if c, ok := errors.AsType[*untrusted](err); ok && isTrust(c.err) {
		e.Kind, e.Err = directory.ErrTLS, err
		a.native(e, err)
		return e
	}
	switch {
	case errors.Is(err, errQueueFull):
		e.Kind, e.RetryAfter = directory.ErrBusy, time.Second
	case errors.Is(err, errPoolClosed):
		e.Kind = directory.ErrUnavailable
	case isAnswer(err):
		e.Kind = kindOf(err)
		a.native(e, err)
	default:
		e.Kind, e.Err = directory.ErrUnavailable, err
	}
	return e
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
	if isAnswer(err) { // StartTLS was refused
		return true
	}
	_, network := errors.AsType[*net.OpError](err)
	return !network && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// failWrite is fail for the request that writes. Silence after sending is Unknown.
func (a *Adapter) failWrite(op, server string, err error, secrets ...directory.Secret) error {
	if t, ok := errors.AsType[*transportError](err); ok {
		e := &directory.Error{Op: op, Kind: directory.ErrUnavailable, Outcome: directory.NotApplied, Native: directory.Native{Server: server}, Err: t.err}
		if t.sent {
			e.Kind, e.Outcome = directory.ErrUnknown, directory.Unknown
		}
		return e
	}
	e := &directory.Error{Op: op, Kind: kindOf(err), Outcome: directory.NotApplied, Native: directory.Native{Server: server}}
	a.native(e, err, secrets...)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultUnavailable, ldap.LDAPResultOther) {
		// A proxy in front of the server answers with these when it lost the server after passing the request on.
		e.Kind, e.Outcome = directory.ErrUnknown, directory.Unknown
	}
	return e
}

// native fills in what the server said. The library's error is not kept: it holds the whole packet.
func (a *Adapter) native(e *directory.Error, err error, secrets ...directory.Secret) {
	l, ok := errors.AsType[*ldap.Error](err)
	if !ok {
		return
	}
	e.Native.Code = int(l.ResultCode)
	if l.Err != nil {
		e.Native.Message = directory.Clean(l.Err.Error(), append(secrets, a.cfg.BindPassword)...)
	}
	if p := policyOf(err); p != none {
		e.Native.Sub = fmt.Sprintf("ppolicy %d", p)
	}
}

// kindOf translates result codes, RFC 4511 appendix A, as OpenLDAP uses them.
func kindOf(err error) error {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok {
		return directory.ErrUnavailable
	}
	switch e.ResultCode {
	case ldap.LDAPResultSizeLimitExceeded:
		return directory.ErrAmbiguous
	case ldap.LDAPResultReferral:
		return directory.ErrReadOnly
	case ldap.LDAPResultUnavailableCriticalExtension:
		return directory.ErrUnsupported
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultAssertionFailed:
		return directory.ErrConflict // the first two: another write to the history at the same time
	case ldap.LDAPResultNoSuchObject:
		return directory.ErrNotFound
	case ldap.LDAPResultInvalidCredentials:
		return directory.ErrWrongPassword
	case ldap.LDAPResultInsufficientAccessRights:
		if p := policyOf(err); p == mustSupplyOld || p == changeAfterReset {
			return directory.ErrConfig // pwdSafeModify applies to us, or our own password must be changed
		}
		return directory.ErrPermission
	case ldap.LDAPResultBusy, ldap.LDAPResultAdminLimitExceeded:
		return directory.ErrBusy
	case ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultOther:
		return directory.ErrUnavailable
	case ldap.LDAPResultUnwillingToPerform:
		if l := strings.ToLower(e.Err.Error()); strings.Contains(l, "restricted") || strings.Contains(l, "read-only") || strings.Contains(l, "shadow") {
			return directory.ErrReadOnly
		}
		return directory.ErrConfig
	case ldap.LDAPResultConstraintViolation:
		return directory.ErrPolicy
	}
	return directory.ErrConfig
}

// refuse returns an error that says nothing was written.
func refuse(op, server string, kind error) *directory.Error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Native: directory.Native{Server: server}}
}

// violation names the rule behind a constraint violation.
func violation(code policyResponse, p directory.Policy, st directory.Status, text string) (directory.Violation, bool) {
	v := directory.Violation{Code: directory.Rejected, Text: text}
	switch code {
	case tooShort:
		v.Code, v.Limit = directory.TooShort, p.MinLength
	case tooLong:
		v.Code, v.Limit = directory.TooLong, p.MaxLength
	case badQuality:
		v.Code = directory.NotComplex
	case inHistory:
		v.Code, v.Limit = directory.InHistory, p.History
	case tooYoung:
		v.Code = directory.TooYoung
		if p.MinAge > 0 && !st.PasswordChangedAt.IsZero() {
			v.Until = st.PasswordChangedAt.Add(p.MinAge)
		}
	case none:
	default:
		return v, false
	}
	return v, true
}
