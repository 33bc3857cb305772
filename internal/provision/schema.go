package provision

import (
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// URNs of regain's schemas.
const (
	userURN   = "urn:ietf:params:scim:schemas:extension:regain:2.0:User"
	methodURN = "urn:ietf:params:scim:schemas:extension:regain:2.0:AuthenticationMethod"
)

// Attributes of the extension of User. The first four are simple: identity providers whose editors know nothing else can
// write them.
const (
	recoveryEmail  = "recoveryEmail"
	recoveryPhone  = "recoveryPhone"
	alternatePhone = "alternatePhone"
	resetAllowed   = "resetAllowed"
	authMethods    = "authenticationMethods"
)

// inMethods are the attributes that are projections of methods and stand nowhere else.
var inMethods = []string{recoveryEmail, recoveryPhone, alternatePhone, authMethods}

// writable are the kinds a connector may bring.
var writable = []method.Kind{method.Email, method.SMS, method.Voice, method.TOTP, method.HOTP, method.External}

func kindNames(kinds []method.Kind) []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return names
}

var statusNames = []string{string(method.Pending), string(method.Active), string(method.Disabled)}

func userExtension() *schema.Schema {
	return &schema.Schema{ID: userURN, Name: "RegainUser", Description: "How a person can prove who they are when they forgot their password", Attributes: []*schema.Attribute{
		{Name: recoveryEmail, Description: "One plain e-mail address outside the organisation: the method of type email this client brought."},
		{Name: recoveryPhone, Description: "One phone number for text messages: the method of type sms this client brought."},
		{Name: alternatePhone, Description: "A second phone number for text messages."},
		{Name: resetAllowed, Type: schema.Boolean, Description: "false: no method of the person counts until it is true again or absent, and tries that are open end."},
		{Name: authMethods, Type: schema.Complex, MultiValued: true, Description: "The person's methods. Elements of type email, sms, voice and external may be added, and those this client brought be removed, by " +
			"whatever way it brought them. Methods of the person and of staff are shown without data and changed only by them.", SubAttributes: []*schema.Attribute{
			{Name: "type", Required: true, CanonicalValues: kindNames(method.Kinds), Description: "The kind of method."},
			{Name: "value", Description: "The address, the number or the name elsewhere, as it was given; only of methods this client brought."},
			{Name: "display", Description: "A name for people to read."},
			{Name: "primary", Type: schema.Boolean, Description: "Whether it is the one codes go to first."},
			{Name: "status", Mutability: schema.ReadOnly, CanonicalValues: statusNames, Description: "Whether it may be used."},
			{Name: "$ref", Type: schema.Reference, CaseExact: true, Mutability: schema.ReadOnly, ReferenceTypes: []string{"uri"}, Description: "The URI of the AuthenticationMethod."},
		}},
	}}
}

func methodSchema() *schema.Schema {
	fixed := func(name, about string, subs ...*schema.Attribute) *schema.Attribute {
		return &schema.Attribute{Name: name, Type: schema.Complex, Mutability: schema.Immutable, SubAttributes: subs,
			Description: about + " It never changes: another one is another method, which rests and is told to the person."}
	}
	return &schema.Schema{ID: methodURN, Name: "AuthenticationMethod", Description: "One way in which a person can prove who they are", Attributes: []*schema.Attribute{
		{Name: "user", Type: schema.Complex, Required: true, Mutability: schema.Immutable, Description: "Whose it is.", SubAttributes: []*schema.Attribute{
			{Name: "value", Required: true, CaseExact: true, Mutability: schema.Immutable, Description: "The id of the user."},
			{Name: "$ref", Type: schema.Reference, CaseExact: true, Mutability: schema.Immutable, ReferenceTypes: []string{"User"}, Description: "The URI of the user."},
			{Name: "display", Mutability: schema.ReadOnly, Description: "The user's name."},
		}},
		{Name: "type", Required: true, Mutability: schema.Immutable, CanonicalValues: kindNames(method.Kinds),
			Description: "The kind. A client may bring email, sms, voice, totp, hotp and external; the others are shown without data."},
		{Name: "status", CanonicalValues: statusNames, Closed: true, Description: "Whether it may be used. A client may set disabled; what is disabled is used again only when it is brought again."},
		{Name: "usage", MultiValued: true, CanonicalValues: []string{"reset"}, Closed: true, Description: "What it is for; reset is the only use."},
		{Name: "display", Description: "A name for people to read."},
		{Name: "primary", Type: schema.Boolean, Description: "Whether codes of this kind go there first."},
		fixed("phone", "The number of a method of type sms or voice.",
			&schema.Attribute{Name: "number", Required: true, Description: "The number, kept as it was given."},
			&schema.Attribute{Name: "kind", CanonicalValues: []string{"mobile", "alternateMobile", "office", "home"}, Description: "What kind of phone it is."}),
		fixed("email", "The address of a method of type email.",
			&schema.Attribute{Name: "address", Required: true, Description: "One plain address."}),
		fixed("totp", "The seed of a method of type totp or hotp.",
			&schema.Attribute{Name: "secret", CaseExact: true, Mutability: schema.WriteOnly, Returned: schema.Never, Description: "The seed in base32, 16 to 64 bytes (RFC 4226 section 4, R6)."},
			&schema.Attribute{Name: "algorithm", CanonicalValues: []string{"SHA1", "SHA256", "SHA512"}, Closed: true, Description: "The hash; SHA1 when absent."},
			&schema.Attribute{Name: "digits", Type: schema.Integer, Description: "6 to 8; 6 when absent."},
			&schema.Attribute{Name: "period", Type: schema.Integer, Description: "Seconds a code of type totp lasts, 15 to 120; 30 when absent."},
			&schema.Attribute{Name: "counter", Type: schema.Integer, Mutability: schema.WriteOnly, Returned: schema.Never, Description: "The next counter of type hotp; 0 when absent."}),
		fixed("external", "A method known elsewhere, of type external.",
			&schema.Attribute{Name: "system", Required: true, Description: "Where it is known."},
			&schema.Attribute{Name: "id", Required: true, CaseExact: true, Description: "Its name there."}),
		{Name: "createdBy", Mutability: schema.ReadOnly, Description: "What brought it: connector, person, session, pass, directory or import."},
		{Name: "lastUsed", Type: schema.DateTime, Mutability: schema.ReadOnly, Description: "When it last proved something."},
	}}
}
