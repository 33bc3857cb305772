package schema

// Switch is one field of Compat under a name for command lines and files: the field's words in lower case with hyphens.
type Switch struct {
	Name  string
	About string // what a client may do while it is on, in one line

	field func(*Compat) *bool
}

// On reports whether the switch is on in c.
func (s Switch) On(c Compat) bool { return *s.field(&c) }

// Set returns c with the switch on or off and everything else as it was.
func (s Switch) Set(c Compat, on bool) Compat {
	*s.field(&c) = on
	return c
}

// Switches returns every switch, in the order of the fields of Compat.
func Switches() []Switch {
	return []Switch{
		{"any-case-ops", `PATCH operations in any letter case, such as "Add"`, func(c *Compat) *bool { return &c.AnyCaseOps }},
		{"string-booleans", `"True" and "False" for booleans, in bodies and filters`, func(c *Compat) *bool { return &c.StringBooleans }},
		{"dotted-keys", `keys of a PATCH value without path are paths: "name.givenName"`, func(c *Compat) *bool { return &c.DottedKeys }},
		{"scalar-complex", `a string for a complex attribute is its value; an empty one removes it`, func(c *Compat) *bool { return &c.ScalarComplex }},
		{"wrap-single", `one object where a list belongs is a list of one`, func(c *Compat) *bool { return &c.WrapSingle }},
		{"drop-duplicates", `of several elements with the same type and value the first stays`, func(c *Compat) *bool { return &c.DropDuplicates }},
		{"loose-schemas", `"schemas" may name what nobody knows and lack what is used`, func(c *Compat) *bool { return &c.LooseSchemas }},
		{"ignore-unknown", `unknown attributes in bodies are dropped`, func(c *Compat) *bool { return &c.IgnoreUnknown }},
		{"bracket-filters", `a filter goes on after brackets: emails[type eq "work"].value eq "x"`, func(c *Compat) *bool { return &c.BracketFilters }},
		{"first-primary", `of several primary values in POST and PUT the first one is it`, func(c *Compat) *bool { return &c.FirstPrimary }},
		{"ignore-lost-members", `members that do not exist are left out of lists`, func(c *Compat) *bool { return &c.IgnoreLostMembers }},
		{"put-keeps-absent", `a PUT leaves alone what it does not name`, func(c *Compat) *bool { return &c.PutKeepsAbsent }},
		{"replace-creates", `a PATCH replace creates the element its path describes`, func(c *Compat) *bool { return &c.ReplaceCreates }},
		{"brief-patch", `a PATCH of a group is answered without the group`, func(c *Compat) *bool { return &c.BriefPatch }},
	}
}

// SwitchNamed returns the switch of that name.
func SwitchNamed(name string) (Switch, bool) {
	for _, s := range Switches() {
		if s.Name == name {
			return s, true
		}
	}
	return Switch{}, false
}
