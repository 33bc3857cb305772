package activedirectory

import (
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/pkg/directory"
)

// Win32 error codes that stand before the text of an answer, in eight hexadecimal digits, MS-ERREF 2.2; a sign-in has them
// as "data 52e".
const (
	accessDenied     = "00000005"
	noPermission     = "00002098" // the right to a property is missing
	wrongOld         = "00000056" // ERROR_INVALID_PASSWORD
	restricted       = "0000052D" // ERROR_PASSWORD_RESTRICTION
	noSuchUser       = "525"
	logonFailure     = "52e"
	invalidHours     = "530" // the password was right
	invalidComputer  = "531" // the password was right
	expired          = "532"
	disabled         = "533"
	accountExpired   = "701"
	mustChange       = "773"
	lockedOut        = "775"
	changeOfDisabled = "00000533"
	changeOfExpired  = "00000701"
	changeOfLocked   = "00000775"
)

// answer puts into an error what a result code of the controller means. The library's error is not kept: it holds the
// whole packet.
func answer(e *directory.Error, l *ldap.Error) {
	e.Native.Sub = subCode(l)
	e.Kind = kindOf(l.ResultCode, e.Native.Sub, e.Native.Message)
}

// subCode returns the Win32 code in a text: "0000052D", or "data 52e" for a sign-in.
func subCode(l *ldap.Error) string {
	if l.Err == nil {
		return ""
	}
	text := l.Err.Error()
	if l.ResultCode == ldap.LDAPResultInvalidCredentials {
		if _, after, ok := strings.Cut(text, "data "); ok {
			if n := strings.IndexFunc(after, func(c rune) bool { return !isHex(c) }); n > 0 && n <= 8 {
				return "data " + strings.ToLower(after[:n])
			}
		}
		return ""
	}
	if len(text) > 8 && text[8] == ':' && strings.IndexFunc(text[:8], func(c rune) bool { return !isHex(c) }) < 0 {
		return strings.ToUpper(text[:8])
	}
	return ""
}

func isHex(c rune) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// kindOf translates result codes, RFC 4511 appendix A. The Win32 code decides where there is one: the same refusal comes as
// 19 or as 53.
func kindOf(code uint16, sub, text string) error {
	switch sub {
	case restricted:
		return directory.ErrPolicy
	case wrongOld:
		return directory.ErrWrongPassword
	case changeOfLocked, "data " + lockedOut:
		return directory.ErrLocked
	case changeOfDisabled, "data " + disabled:
		return directory.ErrDisabled
	case changeOfExpired, "data " + accountExpired:
		return directory.ErrAccountExpired
	case "data " + expired:
		return directory.ErrPasswordExpired
	case "data " + mustChange:
		return directory.ErrMustChange
	case "data " + noSuchUser, "data " + logonFailure:
		return directory.ErrWrongPassword
	case accessDenied, noPermission:
		return directory.ErrPermission
	}
	switch code {
	case ldap.LDAPResultSizeLimitExceeded:
		return directory.ErrAmbiguous
	case ldap.LDAPResultReferral:
		return directory.ErrReadOnly
	case ldap.LDAPResultUnavailableCriticalExtension:
		return directory.ErrUnsupported
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists:
		return directory.ErrConflict
	case ldap.LDAPResultNoSuchObject:
		return directory.ErrNotFound
	case ldap.LDAPResultInvalidCredentials:
		return directory.ErrWrongPassword
	case ldap.LDAPResultInsufficientAccessRights:
		return directory.ErrPermission
	case ldap.LDAPResultBusy, ldap.LDAPResultAdminLimitExceeded:
		return directory.ErrBusy
	case ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded, ldap.LDAPResultOther:
		return directory.ErrUnavailable
	}
	return directory.ErrConfig
}

// violations says which rule a refused password broke. Samba says so in words; Windows has one code for all, and then the
// policy decides. What no rule explains was used before, where the history was checked, or a password filter knows why.
func violations(e *entry, said string, inferred []directory.Violation, history, aged bool) []directory.Violation {
	v := directory.Violation{Code: directory.Rejected, Text: said}
	lower := strings.ToLower(said)
	has := func(text string) bool { return strings.Contains(lower, text) }
	switch {
	case has("too short"):
		v.Code, v.Limit = directory.TooShort, e.policy.MinLength
	case has("complexity"):
		v.Code = directory.NotComplex
	case has("already used"):
		v.Code, v.Limit = directory.InHistory, e.policy.History
	case has("too young"):
		v.Code = directory.TooYoung
		if p := e.policy; p.MinAge > 0 && !e.status.PasswordChangedAt.IsZero() {
			v.Until = e.status.PasswordChangedAt.Add(p.MinAge)
		}
	case len(inferred) > 0:
		for i := range inferred {
			inferred[i].Text = said
		}
		return inferred
	case history && !aged:
		v.Code, v.Limit, v.Inferred = directory.InHistory, e.policy.History, true
	}
	return []directory.Violation{v}
}
