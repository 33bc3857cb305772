package store

import (
	"context"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/sqlfilter"
)

// listing is how rows of one kind are found for a SCIM list.
type listing struct {
	reads    string // the columns of a row
	from     string // the tables they come from
	counted  string // what of the tables is enough to count rows
	always   string // a condition on all rows
	scope    string // the column with the connector
	id       string
	columns  map[string]sqlfilter.Column
	children map[string]sqlfilter.Child
}

// An external id is unique among what one connector brought, and so are no two of a list that is one connector's.
//
// Attributes that are not here, such as whether an address is the primary one, are left to the engine: it has the whole
// resource. Absent values are NULL, which sqlfilter tells from empty ones.
var (
	peopleList = listing{
		reads:   personColumns,
		from:    `people p`,
		counted: `people p`,
		scope:   "p.connector",
		id:      "p.id",
		columns: map[string]sqlfilter.Column{
			"id":                {Expr: "p.id", NotNull: true, Indexed: true, Unique: true},
			"externalId":        {Expr: "p.external_id", Indexed: true, Unique: true},
			"userName":          {Expr: "p.user_name_key", NotNull: true, Indexed: true, Unique: true},
			"displayName":       {Expr: "p.display_name_key"},
			"name.givenName":    {Expr: "p.given_name_key"},
			"name.familyName":   {Expr: "p.family_name_key"},
			"active":            {Expr: "p.active", NotNull: true},
			"meta.created":      {Expr: "p.created", Time: true, NotNull: true},
			"meta.lastModified": {Expr: "p.updated", Time: true, NotNull: true},
		},
		children: map[string]sqlfilter.Child{
			"emails":       contactsOf("e", "emails"),
			"phoneNumbers": contactsOf("n", "phoneNumbers"),
		},
	}
	groupsList = listing{
		reads:   groupColumns,
		from:    `groups g`,
		counted: `groups g`,
		scope:   "g.connector",
		id:      "g.id",
		columns: map[string]sqlfilter.Column{
			"id":                {Expr: "g.id", NotNull: true, Indexed: true, Unique: true},
			"externalId":        {Expr: "g.external_id", Indexed: true},
			"displayName":       {Expr: "g.display_name_key", Indexed: true},
			"meta.created":      {Expr: "g.created", Time: true, NotNull: true},
			"meta.lastModified": {Expr: "g.updated", Time: true, NotNull: true},
		},
		children: map[string]sqlfilter.Child{
			"members": {From: "members b", On: "b.grp = g.id", Of: "g.id", Owner: "b.grp",
				Columns: map[string]sqlfilter.Column{"value": {Expr: "b.member", Indexed: true}}},
		},
	}
	methodsList = listing{
		reads:   methodColumns,
		from:    methodTables + ` JOIN people p ON p.id = m.person`,
		counted: `methods m JOIN people p ON p.id = m.person`,
		always:  "m.status <> 'removed'",
		scope:   "p.connector",
		id:      "m.id",
		columns: map[string]sqlfilter.Column{
			"id":           {Expr: "m.id", NotNull: true, Indexed: true, Unique: true},
			"user.value":   {Expr: "m.person", Indexed: true},
			"type":         {Expr: "m.kind"},
			"status":       {Expr: "m.status"},
			"meta.created": {Expr: "m.created", Time: true, NotNull: true},
		},
	}
)

func contactsOf(alias, list string) sqlfilter.Child {
	of := alias + ".list = '" + list + "'"
	return sqlfilter.Child{
		From: "contacts " + alias, On: alias + ".person = p.id and " + of, Of: "p.id", Owner: alias + ".person", Where: of,
		Columns: map[string]sqlfilter.Column{"value": {Expr: alias + ".value_key", Indexed: true}, "type": {Expr: alias + ".type_key"}},
	}
}

// List is a page of rows.
type List[T any] = scim.Rows[T]

// ListPeople returns a page of a connector's people; of all when connector is empty.
func (s *Store) ListPeople(ctx context.Context, connector string, q *scim.Query) (List[*account.Person], error) {
	return list(ctx, s, peopleList, readPerson, connector, q)
}

// ListGroups returns a page of a connector's groups, without members; of all when connector is empty.
func (s *Store) ListGroups(ctx context.Context, connector string, q *scim.Query) (List[*account.Group], error) {
	return list(ctx, s, groupsList, readGroup, connector, q)
}

// ListMethods returns a page of the methods, but for removed ones, of a connector's people; of all when connector is
// empty.
func (s *Store) ListMethods(ctx context.Context, connector string, q *scim.Query) (List[method.Owned], error) {
	l, read := methodsList, s.methodReader()
	l.reads += `, p.user_name, p.display_name, p.given_name, p.family_name`
	return list(ctx, s, l, func(row scanner) (o method.Owned, err error) {
		var p account.Person
		o.Method, err = read(wider{row, []any{&p.UserName, &p.DisplayName, &p.GivenName, &p.FamilyName}})
		o.Owner = p.Name()
		return o, err
	}, connector, q)
}

// wider is a row that has more columns than who reads it knows.
type wider struct {
	scanner
	more []any
}

func (w wider) Scan(dest ...any) error { return w.scanner.Scan(append(dest, w.more...)...) }
