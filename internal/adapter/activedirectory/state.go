package activedirectory

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/ldapconn"
	"github.com/regain-id/regain/pkg/directory"
)

// Bits of userAccountControl and msDS-User-Account-Control-Computed, MS-ADTS 2.2.16.
const (
	accountDisabled      = 0x2
	accountLocked        = 0x10
	passwordNeverExpires = 0x10000
	smartcardRequired    = 0x40000
	passwordExpired      = 0x800000
)

// stateAttrs is what the state of an account is worked out from. Some are computed by the controller, which it does for a
// search of one object only.
var stateAttrs = []string{
	"objectGUID", "sAMAccountName", "displayName", "userAccountControl", "msDS-User-Account-Control-Computed", "pwdLastSet", "lockoutTime",
	"accountExpires", "msDS-UserPasswordExpiryTimeComputed", "adminCount", "msDS-ResultantPSO", "replPropertyMetaData", "uSNChanged",
	"nTSecurityDescriptor",
}

// daclOnly asks for the part of nTSecurityDescriptor that everybody may read, MS-ADTS 3.1.1.3.4.1.11.
func daclOnly() ldap.Control {
	return ldap.NewControlString("1.2.840.113556.1.4.801", true, "\x30\x03\x02\x01\x04")
}

// entry is an account as read at one moment on one controller.
type entry struct {
	*ldap.Entry
	id      string // objectGUID
	guarded bool
	status  directory.Status
	policy  directory.Policy
}

// byRef reads the account a ref names, wherever it has been renamed or moved to below BaseDN.
func (a *Adapter) byRef(ctx context.Context, c *ldapconn.Conn, op string, r directory.Ref, attrs ...string) (*entry, error) {
	if r.Adapter != a.cfg.Name || !isGUID(r.ID) {
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrNotFound)
	}
	req := base("<GUID="+r.ID+">", a.cfg.UserFilter, append(attrs, stateAttrs...)...)
	req.Controls = []ldap.Control{daclOnly()}
	res, err := c.Search(ctx, req)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) || err == nil && (len(res.Entries) != 1 || !below(res.Entries[0].DN, a.cfg.BaseDN)) {
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	e := &entry{Entry: res.Entries[0], id: guidText(res.Entries[0].GetRawAttributeValue("objectGUID"))}
	if e.GetAttributeValue("userAccountControl") == "" {
		return nil, ldapconn.Refuse(op, c.Server, directory.ErrPermission) // it may be disabled, and we could not tell
	}
	if e.guarded, err = a.guards(ctx, c, e); err != nil {
		return nil, err
	}
	if e.policy, err = a.policyFor(ctx, c, e); err != nil {
		return nil, err
	}
	e.status = e.state(c.Server, a.cfg.Now(), e.policy)
	return e, nil
}

// guards reports whether an account is out of bounds: protected by AdminSDHolder (MS-ADTS 3.1.1.6.1), which takes our right
// away behind our back; one of the guarded filter; or our own, which a reset would lock out of the directory.
func (a *Adapter) guards(ctx context.Context, c *ldapconn.Conn, e *entry) (bool, error) {
	if n := e.GetAttributeValue("adminCount"); n != "" && n != "0" {
		return true, nil
	}
	if inheritsNothing(e.GetRawAttributeValue("nTSecurityDescriptor")) {
		// It may be that we cannot read adminCount. Whoever inherits nothing has our rights only if they were given one by one.
		res, err := c.Search(ctx, base("<GUID="+e.id+">", "(objectClass=*)", "allowedAttributesEffective"))
		if err != nil {
			return false, err
		}
		if len(res.Entries) == 0 || !(&entry{Entry: res.Entries[0]}).mayWrite("lockoutTime") {
			return true, nil
		}
	}
	facts, err := a.domain(ctx, c)
	if err != nil || facts.own != "" && facts.own == e.id || a.cfg.GuardedFilter == "" {
		return facts.own != "" && facts.own == e.id, err
	}
	res, err := c.Search(ctx, base("<GUID="+e.id+">", a.cfg.GuardedFilter, "1.1"))
	return err == nil && len(res.Entries) > 0, err
}

// state works out what the attributes mean now.
func (e *entry) state(server string, now time.Time, p directory.Policy) directory.Status {
	control, computed := e.number("userAccountControl"), e.number("msDS-User-Account-Control-Computed")
	st := directory.Status{
		Disabled:             control&accountDisabled != 0,
		Locked:               computed&accountLocked != 0,
		PasswordExpired:      computed&passwordExpired != 0,
		PasswordNeverExpires: control&(passwordNeverExpires|smartcardRequired) != 0,
		CannotChange:         deniesChange(e.GetRawAttributeValue("nTSecurityDescriptor")),
		PasswordChangedAt:    fileTime(e.number("pwdLastSet")),
		ExpiresAt:            fileTime(e.number("msDS-UserPasswordExpiryTimeComputed")),
		Marker:               e.marker(), Server: server,
	}
	// 0 demands a new password, unless the account is exempt from expiry.
	if e.GetAttributeValue("pwdLastSet") == "0" && !st.PasswordNeverExpires {
		st.MustChange, st.PasswordExpired = true, false // the controller counts it as expired, too
	}
	if at := fileTime(e.number("accountExpires")); !at.IsZero() && !now.Before(at) {
		st.AccountExpired = true
	}
	// lockoutTime alone does not tell: it stays after the lockout has run out.
	if since := fileTime(e.number("lockoutTime")); st.Locked && !since.IsZero() && p.LockoutDuration > 0 {
		st.LockedUntil = since.Add(p.LockoutDuration)
	}
	return st
}

func (e *entry) number(attr string) int64 {
	n, _ := strconv.ParseInt(e.GetAttributeValue(attr), 10, 64)
	return n
}

// marker differs after every write of the password: the version of unicodePwd that replication counts, together with
// pwdLastSet. Where that cannot be read it is pwdLastSet and the number of the last write to the object.
func (e *entry) marker() string {
	if n := passwordVersion(e.GetRawAttributeValue("replPropertyMetaData")); n > 0 {
		return fmt.Sprintf("v%d:%s", n, e.GetAttributeValue("pwdLastSet"))
	}
	if e.GetAttributeValue("pwdLastSet") == "" {
		return ""
	}
	return "u" + e.GetAttributeValue("uSNChanged") + ":" + e.GetAttributeValue("pwdLastSet")
}

// passwordVersion finds the version of unicodePwd in a PROPERTY_META_DATA_EXT_VECTOR, MS-DRSR 5.162: a header of 16 bytes,
// the count in the third word, and 48 bytes for each attribute. 0 when it is not there.
func passwordVersion(b []byte) uint32 {
	const unicodePwd = 0x0009005a
	if len(b) < 16 || binary.LittleEndian.Uint32(b) != 1 {
		return 0
	}
	for b = b[16:]; len(b) >= 48; b = b[48:] {
		if binary.LittleEndian.Uint32(b) == unicodePwd {
			return binary.LittleEndian.Uint32(b[4:])
		}
	}
	return 0
}

// fileTime reads a FILETIME, in units of 100 ns since 1601. 0 and the largest numbers are never, MS-ADTS 2.2.16 and 3.1.1.4.5.
func fileTime(n int64) time.Time {
	const epoch = 116444736000000000
	if n <= 0 || n >= 1<<63-1 {
		return time.Time{}
	}
	n -= epoch
	return time.Unix(n/1e7, n%1e7*100).UTC()
}

// deniesChange reports whether a security descriptor denies everybody the control access right User-Change-Password: what
// the box "User cannot change password" sets, MS-ADTS 5.1.3.2.1. A descriptor that cannot be read denies nothing.
func deniesChange(sd []byte) bool {
	const (
		accessDeniedObject = 6 // MS-DTYP 2.4.4.5
		controlAccess      = 0x100
		everyone           = "\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"                 // S-1-1-0
		changePassword     = "\x53\x1a\x72\xab\x2f\x1e\xd0\x11\x98\x19\x00\xaa\x00\x40\x52\x9b" // ab721a53-1e2f-11d0-9819-00aa0040529b
	)
	if len(sd) < 20 {
		return false
	}
	at := binary.LittleEndian.Uint32(sd[16:])
	if at == 0 || uint64(at)+8 > uint64(len(sd)) {
		return false
	}
	acl := sd[at:]
	count := int(binary.LittleEndian.Uint16(acl[4:]))
	for acl = acl[8:]; count > 0 && len(acl) >= 4; count-- {
		size := int(binary.LittleEndian.Uint16(acl[2:]))
		if size < 4 || size > len(acl) {
			return false
		}
		// header 4, mask 4, flags 4, object type 16, SID
		if ace := acl[:size]; ace[0] == accessDeniedObject && size >= 28+len(everyone) && binary.LittleEndian.Uint32(ace[4:])&controlAccess != 0 &&
			binary.LittleEndian.Uint32(ace[8:]) == 1 && string(ace[12:28]) == changePassword && string(ace[28:28+len(everyone)]) == everyone {
			return true
		}
		acl = acl[size:]
	}
	return false
}

// inheritsNothing reports whether a security descriptor shuts out what its parents grant: SE_DACL_PROTECTED, MS-DTYP 2.4.6.
func inheritsNothing(sd []byte) bool {
	return len(sd) >= 20 && binary.LittleEndian.Uint16(sd[2:])&0x1000 != 0
}

// guidText writes an objectGUID, which is little-endian in its first three parts, MS-DTYP 2.3.4.2. "" for anything else.
func guidText(b []byte) string {
	if len(b) != 16 {
		return ""
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:])
}

// guidFilter writes a GUID as the value of a filter; "" for anything else.
func guidFilter(text string) string {
	text = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	if !isGUID(text) {
		return ""
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil {
		return ""
	}
	var f strings.Builder
	for _, i := range []int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		fmt.Fprintf(&f, `\%02x`, b[i])
	}
	return f.String()
}

// isGUID reports whether text is a GUID as guidText writes them: nothing that could mean something else in a DN.
func isGUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// below reports whether dn lies in the subtree of parent.
func below(dn, parent string) bool {
	d, err1 := ldap.ParseDN(dn)
	p, err2 := ldap.ParseDN(parent)
	return err1 == nil && err2 == nil && p.AncestorOfFold(d)
}

// domain returns what does not change, and reads it once.
func (a *Adapter) domain(ctx context.Context, c *ldapconn.Conn) (domainFacts, error) {
	a.factsLock.Lock()
	known := a.facts
	a.factsLock.Unlock()
	if known.root != "" {
		return known, nil
	}
	res, err := c.Search(ctx, rootDSE("defaultNamingContext", "configurationNamingContext"))
	if err != nil {
		return known, err
	}
	if len(res.Entries) != 1 || res.Entries[0].GetAttributeValue("defaultNamingContext") == "" {
		return domainFacts{}, ldapconn.Refuse("connect", c.Server, directory.ErrConfig) // no Active Directory
	}
	known.root = res.Entries[0].GetAttributeValue("defaultNamingContext")
	partitions := ldap.NewSearchRequest("CN=Partitions,"+res.Entries[0].GetAttributeValue("configurationNamingContext"), ldap.ScopeSingleLevel, ldap.NeverDerefAliases,
		2, 0, false, "(nCName="+ldap.EscapeFilter(known.root)+")", []string{"nETBIOSName"}, nil)
	if res, err = c.Search(ctx, partitions); err == nil && len(res.Entries) == 1 {
		known.netBIOS = res.Entries[0].GetAttributeValue("nETBIOSName")
	} else if err != nil && !ldapconn.IsAnswer(err) {
		return known, err
	}
	own := base(a.cfg.BindName, "(objectClass=*)", "objectGUID")
	if strings.Contains(a.cfg.BindName, "@") {
		own = ldap.NewSearchRequest(known.root, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
			"(userPrincipalName="+ldap.EscapeFilter(a.cfg.BindName)+")", []string{"objectGUID"}, nil)
	}
	if res, err = c.Search(ctx, own); err == nil && len(res.Entries) == 1 {
		known.own = guidText(res.Entries[0].GetRawAttributeValue("objectGUID"))
	} else if err != nil && !ldapconn.IsAnswer(err) {
		return known, err
	}
	a.factsLock.Lock()
	defer a.factsLock.Unlock()
	a.facts = known
	return known, nil
}
