package schema

// URNs of the schemas built in.
const (
	UserURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

func str(name, about string) *Attribute { return &Attribute{Name: name, Description: about} }

func ref(name, about string, to ...string) *Attribute {
	return &Attribute{Name: name, Type: Reference, CaseExact: true, ReferenceTypes: to, Description: about}
}

// plural returns a multi-valued attribute with the usual sub-attributes value, display, type and primary (RFC 7643 §2.4).
func plural(name, about string, value *Attribute, types ...string) *Attribute {
	value.Name = "value"
	kind := str("type", "What the value is used for.")
	kind.CanonicalValues = types
	return &Attribute{Name: name, Type: Complex, MultiValued: true, Description: about, SubAttributes: []*Attribute{
		value, str("display", "A name for people to read."), kind,
		{Name: "primary", Type: Boolean, Description: "Whether this is the preferred value; true at most once."},
	}}
}

// User returns a fresh copy of the User schema of RFC 7643 §4.1 and §8.7.1. The caller may change it before NewType.
func User() *Schema {
	userName := str("userName", "The name the person signs in with; unique.")
	userName.Required, userName.Uniqueness = true, Server
	password := str("password", "The clear text password; never returned.")
	password.Mutability, password.Returned, password.CaseExact = WriteOnly, Never, true
	groups := &Attribute{Name: "groups", Type: Complex, MultiValued: true, Mutability: ReadOnly,
		Description: "The groups the user belongs to, directly or by nesting.", SubAttributes: []*Attribute{
			{Name: "value", CaseExact: true, Mutability: ReadOnly, Description: "The id of the group."},
			{Name: "$ref", Type: Reference, CaseExact: true, ReferenceTypes: []string{"Group"}, Mutability: ReadOnly, Description: "The URI of the group."},
			{Name: "display", Mutability: ReadOnly, Description: "The name of the group."},
			{Name: "type", Mutability: ReadOnly, CanonicalValues: []string{"direct", "indirect"}, Description: "Direct or indirect."},
		}}
	emails := plural("emails", "E-mail addresses.", str("", "The address."), "work", "home", "other")
	photos := plural("photos", "URLs of photos.", ref("", "The URL.", "external"), "photo", "thumbnail")
	certs := plural("x509Certificates", "Certificates.", &Attribute{Type: Binary, CaseExact: true, Description: "DER in base64."})
	return &Schema{ID: UserURN, Name: "User", Description: "User account", Attributes: []*Attribute{
		userName,
		{Name: "name", Type: Complex, Description: "The parts of the person's name.", SubAttributes: []*Attribute{
			str("formatted", "The whole name."), str("familyName", "The family name."), str("givenName", "The given name."),
			str("middleName", "The middle names."), str("honorificPrefix", "A title before the name."),
			str("honorificSuffix", "A suffix after the name."),
		}},
		str("displayName", "The name to show."),
		str("nickName", "The casual name."),
		ref("profileUrl", "A URL of the person's profile.", "external"),
		str("title", "The person's title."),
		str("userType", "The relation to the organisation."),
		str("preferredLanguage", "The preferred language, as in Accept-Language."),
		str("locale", "The locale for dates and numbers."),
		str("timezone", "The time zone, as in the Olson database."),
		{Name: "active", Type: Boolean, Description: "Whether the account is in use."},
		password,
		emails,
		plural("phoneNumbers", "Phone numbers.", str("", "The number."), "work", "home", "mobile", "fax", "pager", "other"),
		plural("ims", "Instant messaging addresses.", str("", "The address."), "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"),
		photos,
		addresses(),
		groups,
		plural("entitlements", "Things the person may use.", str("", "The entitlement.")),
		plural("roles", "Roles of the person.", str("", "The role.")),
		certs,
	}}
}

func addresses() *Attribute {
	kind := str("type", "What the address is used for.")
	kind.CanonicalValues = []string{"work", "home", "other"}
	return &Attribute{Name: "addresses", Type: Complex, MultiValued: true, Description: "Postal addresses.",
		SubAttributes: []*Attribute{
			str("formatted", "The whole address."), str("streetAddress", "Street and number."), str("locality", "City."),
			str("region", "State or region."), str("postalCode", "Postal code."), str("country", "Country, ISO 3166-1 alpha-2."),
			kind, {Name: "primary", Type: Boolean, Description: "Whether this is the preferred address; true at most once."},
		}}
}

// Group returns a fresh copy of the Group schema of RFC 7643 §4.2 and §8.7.1. members is Large, and, because it holds ids,
// caseExact.
func Group() *Schema {
	name := str("displayName", "The name of the group.")
	name.Required = true
	return &Schema{ID: GroupURN, Name: "Group", Description: "Group", Attributes: []*Attribute{
		name,
		{Name: "members", Type: Complex, MultiValued: true, Large: true, Description: "The members of the group.",
			SubAttributes: []*Attribute{
				{Name: "value", CaseExact: true, Mutability: Immutable, Description: "The id of the member."},
				{Name: "$ref", Type: Reference, CaseExact: true, Mutability: Immutable, ReferenceTypes: []string{"User", "Group"}, Description: "The URI of the member."},
				{Name: "type", Mutability: Immutable, CanonicalValues: []string{"User", "Group"}, Description: "User or Group."},
				{Name: "display", Mutability: ReadOnly, Description: "The name of the member."},
			}},
	}}
}

// EnterpriseUser returns a fresh copy of the enterprise extension of RFC 7643 §4.3 and §8.7.1.
func EnterpriseUser() *Schema {
	return &Schema{ID: EnterpriseURN, Name: "EnterpriseUser", Description: "Enterprise User", Attributes: []*Attribute{
		str("employeeNumber", "The number in the organisation."),
		str("costCenter", "The cost center."),
		str("organization", "The organisation."),
		str("division", "The division."),
		str("department", "The department."),
		{Name: "manager", Type: Complex, Description: "The person's manager.", SubAttributes: []*Attribute{
			{Name: "value", CaseExact: true, Description: "The id of the manager."},
			{Name: "$ref", Type: Reference, CaseExact: true, ReferenceTypes: []string{"User"}, Description: "The URI of the manager."},
			{Name: "displayName", Mutability: ReadOnly, Description: "The name of the manager."},
		}},
	}}
}
