package schema

// Compat says how far the server bends to a client. The zero value is Strict(): the RFCs and nothing else. Each field
// is one switch, so that a preset can be adjusted without code: see Switches.
type Compat struct {
	AnyCaseOps        bool // PATCH "op" in any letter case (Entra sends "Add")
	StringBooleans    bool // "True" and "False" for booleans, in bodies and filters (Entra, OneLogin)
	DottedKeys        bool // keys of a PATCH value without path are read as paths: "name.givenName", "urn:…:User:department"
	ScalarComplex     bool // a string for a complex attribute is its "value" (Entra's manager); an empty one removes it
	WrapSingle        bool // one object where a list belongs is a list of one
	DropDuplicates    bool // of several list elements with the same type and value the first stays, instead of refusing
	LooseSchemas      bool // unknown URNs in "schemas" are ignored; extensions not listed there are taken from the keys
	IgnoreUnknown     bool // unknown attributes in bodies are dropped, not refused
	BracketFilters    bool // a filter may go on after brackets, outside the grammar: emails[type eq "work"].value eq "x" (Entra)
	FirstPrimary      bool // POST and PUT with several primary values keep the first instead of refusing
	IgnoreLostMembers bool // references to resources that do not exist are dropped from lists, not refused
	PutKeepsAbsent    bool // PUT leaves attributes it does not name instead of clearing them

	// ReplaceCreates lets "replace" on a value path that matches nothing create the element, which Entra expects and
	// RFC 7644 §3.5.2.3 forbids (400 noTarget).
	ReplaceCreates bool
	// BriefPatch answers a PATCH of a resource with a Large attribute with 204 unless the request asks for attributes.
	BriefPatch bool
}

// Strict returns the preset that follows the RFCs to the letter.
func Strict() Compat { return Compat{} }

// Standard returns the preset for most clients: every tolerance that breaks no SHALL.
func Standard() Compat {
	return Compat{AnyCaseOps: true, StringBooleans: true, DottedKeys: true, ScalarComplex: true, WrapSingle: true, DropDuplicates: true,
		LooseSchemas: true, IgnoreUnknown: true, BracketFilters: true}
}

// Entra returns the preset for Microsoft Entra ID provisioning.
func Entra() Compat {
	c := Standard()
	c.FirstPrimary, c.IgnoreLostMembers, c.ReplaceCreates, c.BriefPatch = true, true, true, true
	return c
}

// Preset returns the preset called strict, standard or entra.
func Preset(name string) (Compat, bool) {
	switch name {
	case "strict":
		return Strict(), true
	case "standard":
		return Standard(), true
	case "entra":
		return Entra(), true
	}
	return Compat{}, false
}
