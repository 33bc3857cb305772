package provision

import (
	"encoding/base32"
	"encoding/json"
	"errors"
	"slices"
	"strings"

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

// plainAddress accepts one address and nothing else.
func plainAddress(attr, value string) (string, error) {
	to, err := method.Address(value)
	if err != nil {
		return "", schema.Invalid(schema.InvalidValue, attr, "want one plain e-mail address such as ada@example.org, in ASCII")
	}
	return to, nil
}

// number reads a phone number as people write it and returns it in E.164.
func (s *service) number(attr, value string) (string, error) {
	to, err := method.Number(value, s.Region)
	switch {
	case errors.Is(err, method.ErrPremium):
		return "", schema.Invalid(schema.InvalidValue, attr, "premium numbers, pagers and mailboxes take no codes")
	case err != nil:
		return "", schema.Invalid(schema.InvalidValue, attr, "want one phone number that can be called, such as +49 171 3920001")
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
	w := &wanted{attribute: attr, kind: kindOf(attr), given: given{Value: value}, primary: attr != alternatePhone}
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
