package config

// setDefaults fills what a listed directory left out; Load calls it for each before the file is read into it.
func (d *Directory) setDefaults() {
	*d = Directory{
		Kind:            DirectoryLDAP,
		UserFilter:      "(objectClass=inetOrgPerson)",
		LoginAttributes: []string{"uid", "mail"},
		Timeouts:        DirectoryTimeouts{Connect: 5e9, Request: 10e9},
	}
}

// setDefaultsOf fills what differs from one kind to the other.
func (d *Directory) setDefaultsOf(kind string) {
	if DirectoryKind(kind) == DirectoryActiveDirectory {
		d.UserFilter = "(&(objectCategory=person)(objectClass=user))"
		d.LoginAttributes = []string{"sAMAccountName", "userPrincipalName", "mail"}
	}
}
