package ldap

import (
	"errors"
	"fmt"
	"strings"

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

// answer puts into an error what a result code of the server means. The library's error is not kept: it holds the whole
// packet.
func answer(e *directory.Error, l *ldap.Error) {
	e.Kind = kindOf(l)
	if p := policyOf(l); p != none {
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
