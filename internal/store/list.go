package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/sqlfilter"
)

// listing is how rows of one kind are found for a SCIM list.
type listing struct {
	selects  string // SELECT … FROM … up to the WHERE
	counts   string // the same, counting
	always   string // a condition on all rows
	scope    string // the column with the connector
	id       string
	columns  map[string]sqlfilter.Column
	children map[string]sqlfilter.Child
}

// Attributes that are not here, such as whether an address is the primary one, are left to the engine: it has the whole
// resource. Absent values are NULL, which sqlfilter tells from empty ones.
var (
	peopleList = listing{
		selects: `SELECT ` + personColumns + ` FROM people p`,
		counts:  `SELECT count(*) FROM people p`,
		scope:   "p.connector",
		id:      "p.id",
		columns: map[string]sqlfilter.Column{
			"id":                {Expr: "p.id", NotNull: true},
			"externalId":        {Expr: "p.external_id"},
			"userName":          {Expr: "p.user_name_key", NotNull: true},
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
		selects: `SELECT ` + groupColumns + ` FROM groups g`,
		counts:  `SELECT count(*) FROM groups g`,
		scope:   "g.connector",
		id:      "g.id",
		columns: map[string]sqlfilter.Column{
			"id":                {Expr: "g.id", NotNull: true},
			"externalId":        {Expr: "g.external_id"},
			"displayName":       {Expr: "g.display_name_key"},
			"meta.created":      {Expr: "g.created", Time: true, NotNull: true},
			"meta.lastModified": {Expr: "g.updated", Time: true, NotNull: true},
		},
		children: map[string]sqlfilter.Child{
			"members": {From: "members b", On: "b.grp = g.id", Columns: map[string]sqlfilter.Column{"value": {Expr: "b.member"}}},
		},
	}
	methodsList = listing{
		selects: selectMethods + `JOIN people p ON p.id = m.person`,
		counts:  `SELECT count(*) FROM methods m JOIN people p ON p.id = m.person`,
		always:  "m.status <> 'removed'",
		scope:   "p.connector",
		id:      "m.id",
		columns: map[string]sqlfilter.Column{
			"id":           {Expr: "m.id", NotNull: true},
			"user.value":   {Expr: "m.person"},
			"type":         {Expr: "m.kind"},
			"status":       {Expr: "m.status"},
			"meta.created": {Expr: "m.created", Time: true, NotNull: true},
		},
	}
)

func contactsOf(alias, list string) sqlfilter.Child {
	return sqlfilter.Child{
		From: "contacts " + alias, On: alias + ".person = p.id and " + alias + ".list = '" + list + "'",
		Columns: map[string]sqlfilter.Column{"value": {Expr: alias + ".value_key"}, "type": {Expr: alias + ".type_key"}},
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
func (s *Store) ListMethods(ctx context.Context, connector string, q *scim.Query) (List[method.Method], error) {
	return list(ctx, s, methodsList, s.methodReader(), connector, q)
}

func list[T any](ctx context.Context, s *Store, l listing, read func(scanner) (T, error), connector string, q *scim.Query) (page List[T], err error) {
	c := sqlfilter.Compiler{Dialect: sqlfilter.SQLite, Columns: l.columns, Children: l.children}
	if s.Kind() == PostgreSQL {
		c.Dialect = sqlfilter.PostgreSQL
	}
	where, args, residual := c.Where(q.Filter, 1)
	order, sorted := c.Order(q.Sort, l.id)
	var place string
	var from []any
	if q.After != nil && residual == nil && sorted {
		place, from, sorted = c.After(q.After, q.Sort, l.id, 1+len(args))
	}
	page.Residual, page.Unsorted = residual, !sorted
	limit, offset := q.Count, max(q.Offset, 0)
	if residual != nil || !sorted {
		order, limit, offset = l.id, q.MaxScan+1, 0
	}
	condition := ` WHERE ($1 = '' OR ` + l.scope + ` = $1)`
	if connector != "" {
		condition = ` WHERE ` + l.scope + ` = $1`
	}
	for _, and := range []string{l.always, where} {
		if and != "" {
			condition += ` AND (` + and + `)`
		}
	}
	args = append([]any{connector}, args...)
	paged, all := condition, append(slices.Clone(args), from...)
	if place != "" {
		paged += ` AND ` + place
	}
	// One state of the database, so that the total fits the page. Its texts differ from filter to filter: a view does not
	// keep them compiled.
	err = s.db.view(ctx, func(r reader) (err error) {
		page.Rows, page.Total = nil, 0
		if limit > 0 {
			n := len(all)
			page.Rows, err = collect(ctx, r, read, l.selects+paged+` ORDER BY `+order+` LIMIT $`+strconv.Itoa(n+1)+` OFFSET $`+strconv.Itoa(n+2),
				append(slices.Clone(all), limit, offset)...)
			if err != nil {
				return err
			}
		}
		switch {
		case !q.WantTotal || residual != nil || !sorted:
		case q.After == nil && len(page.Rows) < limit && (len(page.Rows) > 0 || offset == 0): // the last page says how many there are
			page.Total = offset + len(page.Rows)
		default:
			return r.queryRow(ctx, l.counts+condition, args...).Scan(&page.Total)
		}
		return nil
	})
	if err != nil {
		return List[T]{}, fmt.Errorf("list: %w", err)
	}
	return page, nil
}
