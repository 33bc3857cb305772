package provision

import (
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// given is what a connector said of a method in its own words, so that it reads back as it was written. It is sealed with
// the method, in Given.
type given struct {
	Value  string `json:"value,omitempty"`  // address or number as given; the name elsewhere
	Kind   string `json:"kind,omitempty"`   // phone.kind
	System string `json:"system,omitempty"` // external.system
}

func (g given) seal() []byte {
	b, err := json.Marshal(g)
	if err != nil {
		panic(err) // three strings
	}
	return b
}

// givenOf reads what was given for a method. One that came another way has its destination.
func givenOf(m *method.Method) given {
	g := given{}
	if m.Kind == method.TOTP || m.Kind == method.HOTP {
		return g
	}
	if json.Unmarshal(m.Given, &g) != nil || g.Value == "" {
		g.Value = m.Destination
	}
	return g
}

// wanted is one method a connector asks for.
type wanted struct {
	attribute string // where it is written
	kind      method.Kind
	to        string // normalised destination; "" for kinds without
	given     given
	display   string
	primary   bool
}

// is reports whether m is that method already, whatever it is called.
func (w wanted) is(m *method.Method) bool {
	if m.Kind != w.kind {
		return false
	}
	if w.kind == method.External {
		return givenOf(m) == w.given
	}
	return account.Fold(m.Destination) == account.Fold(w.to)
}

// destination normalises an address or number of a kind. attr names the attribute for the 400.
func (s *service) destination(attr string, kind method.Kind, value string) (string, error) {
	switch kind {
	case method.Email:
		return plainAddress(attr, value)
	case method.SMS, method.Voice:
		return s.number(attr, value)
	}
	return "", nil
}

// maxAddress is the longest address, in bytes (RFC 5321 §4.5.3.1.3, less the brackets).
const maxAddress = 254

// plainAddress accepts one address and nothing else: no name, no list, no quoting, no comment, no second line. Codes go to
// what is accepted here, so everything two readers could read differently is refused.
func plainAddress(attr, value string) (string, error) {
	refuse := schema.Invalid(schema.InvalidValue, attr, "want one plain e-mail address such as ada@example.org, in ASCII")
	local, domain, ok := strings.Cut(value, "@")
	if !ok || len(value) > maxAddress || len(local) > 64 || !dotted(local, isAtom) || !dotted(domain, isLabel) || !strings.Contains(domain, ".") {
		return "", refuse
	}
	for label := range strings.SplitSeq(domain, ".") {
		if len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", refuse
		}
	}
	return value, nil
}

// dotted reports whether s is parts of such bytes with single dots between them.
func dotted(s string, part func(byte) bool) bool {
	for p := range strings.SplitSeq(s, ".") {
		if p == "" {
			return false
		}
		for i := range len(p) {
			if !part(p[i]) {
				return false
			}
		}
	}
	return true
}

func isLabel(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// isAtom is atext of RFC 5322 §3.2.3.
func isAtom(c byte) bool { return isLabel(c) || strings.IndexByte("!#$%&'*+/=?^_`{|}~", c) >= 0 }

// number reads a phone number as people write it and returns it in E.164. Letters, extensions and numbers that exist
// nowhere are refused, and so are those whose caller pays more than for a call.
func (s *service) number(attr, value string) (string, error) {
	refuse := schema.Invalid(schema.InvalidValue, attr, "want one phone number that can be called, such as +49 171 3920001")
	text := strings.TrimPrefix(value, "tel:")
	if len(text) > 40 || strings.Trim(text, "0123456789+-.()/ ") != "" || strings.LastIndexByte(text, '+') > strings.IndexByte(text, '+') {
		return "", refuse
	}
	n, err := phonenumbers.Parse(text, s.Region)
	if err != nil || n.GetExtension() != "" || !phonenumbers.IsValidNumber(n) {
		return "", refuse
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.PAGER, phonenumbers.UAN, phonenumbers.VOICEMAIL:
		return "", schema.Invalid(schema.InvalidValue, attr, "premium numbers, pagers and mailboxes take no codes")
	}
	to := phonenumbers.Format(n, phonenumbers.E164)
	if len(to) > 1+15 { // ITU-T E.164 §6.1; some numbering plans of the library know longer ones
		return "", refuse
	}
	return to, nil
}

// seed reads the secret of an authenticator app (RFC 4648 §6; padding, spaces and letter case are free).
func seed(value string) ([]byte, error) {
	text := strings.TrimRight(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(value)), "=")
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(b) < 16 || len(b) > 64 {
		return nil, schema.Invalid(schema.InvalidValue, "totp.secret", "want base32 of 16 to 64 bytes")
	}
	return b, nil
}

// simple returns the method a simple attribute asks for; none when it is absent.
func (s *service) simple(attr string, r *scim.Resource) (*wanted, error) {
	value, _ := r.Extension(userURN)[attr].(string)
	if value == "" {
		return nil, nil
	}
	w := &wanted{attribute: attr, kind: method.SMS, given: given{Value: value}, primary: attr != alternatePhone}
	if attr == recoveryEmail {
		w.kind = method.Email
	}
	var err error
	w.to, err = s.destination(userURN+":"+attr, w.kind, value)
	return w, err
}

// listed returns the method an element of authenticationMethods asks for; none when it only repeats one that is shown
// without data.
func (s *service) listed(o scim.Object, have []method.Method) (*wanted, error) {
	at := authMethods
	name, _ := o["type"].(string)
	kind := method.Kind(strings.ToLower(name))
	value, _ := o["value"].(string)
	if err := mayWrite(at+".type", kind); err != nil {
		if value == "" && slices.ContainsFunc(have, func(m method.Method) bool { return m.Kind == kind && m.Status != method.Removed }) {
			return nil, nil
		}
		return nil, err
	}
	w := &wanted{attribute: authMethods, kind: kind, given: given{Value: value}}
	w.display, _ = o["display"].(string)
	w.primary = o["primary"] == true
	switch {
	case value == "" && slices.ContainsFunc(have, func(m method.Method) bool { return m.Kind == kind && m.Status != method.Removed }):
		return nil, nil
	case kind == method.TOTP || kind == method.HOTP:
		return nil, schema.Invalid(schema.InvalidValue, at+".type", "a seed is needed: create a method of type %s at /AuthenticationMethods", kind)
	case value == "":
		return nil, schema.Invalid(schema.InvalidValue, at+".value", "a value is required")
	}
	var err error
	w.to, err = s.destination(at+".value", kind, value)
	return w, err
}

// mayWrite refuses kinds that are the person's own business or staff's.
func mayWrite(attr string, kind method.Kind) error {
	switch {
	case slices.Contains(writable, kind):
		return nil
	case kind.Known():
		return schema.Invalid(schema.InvalidValue, attr, "a client may bring email, sms, voice, totp, hotp and external; %s comes from the person or from staff", kind)
	}
	return schema.Invalid(schema.InvalidValue, attr, "want one of %s", strings.Join(kindNames(writable), ", "))
}
