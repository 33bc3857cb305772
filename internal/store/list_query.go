package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/sqlfilter"
)

// pageQuery is a list as SQL. Its texts differ from filter to filter.
type pageQuery struct {
	listing
	where    string // the condition on every row of the list
	args     []any
	place    string // the condition that a row comes after the last page, "" for none
	all      []any  // args, and those of place
	order    string
	limit    int
	offset   int
	residual filter.Expr
	unsorted bool
}

// plan compiles a query, as far as the database can answer it.
func (l listing) plan(kind Kind, connector string, q *scim.Query) *pageQuery {
	c := sqlfilter.Compiler{Dialect: sqlfilter.SQLite, Columns: l.columns, Children: l.children}
	if kind == PostgreSQL {
		c.Dialect = sqlfilter.PostgreSQL
	}
	p := &pageQuery{listing: l, limit: q.Count, offset: max(q.Offset, 0)}
	conditions := []string{l.always}
	if connector != "" {
		p.args = append(p.args, connector)
		conditions = append(conditions, l.scope+` = $1`)
	}
	where, args, residual := c.Where(q.Filter, len(p.args))
	p.args = append(p.args, args...)
	if where != "" {
		conditions = append(conditions, `(`+where+`)`)
	}
	for _, and := range conditions {
		switch {
		case and == "":
		case p.where == "":
			p.where = ` WHERE ` + and
		default:
			p.where += ` AND ` + and
		}
	}
	p.all = slices.Clone(p.args)
	order, sorted := c.Order(q.Sort, l.id)
	if q.After != nil && residual == nil && sorted {
		var from []any
		if p.place, from, sorted = c.After(q.After, q.Sort, l.id, len(p.all)); sorted {
			p.all = append(p.all, from...)
		}
	}
	switch {
	case connector != "" && c.One(q.Filter):
		order = "" // one row is in order
	case kind == SQLite && len(q.Sort) == 0 && c.Finds(q.Filter):
		order = `+` + order // no index is to serve the order: the few rows are found first, and sorted then
	}
	p.order, p.residual, p.unsorted = order, residual, !sorted
	if p.open() {
		p.order, p.place, p.all = l.id, "", slices.Clone(p.args)
		p.limit, p.offset = q.MaxScan+1, 0
	}
	return p
}

// open says that something is left to the engine.
func (p *pageQuery) open() bool { return p.residual != nil || p.unsorted }

// rows is the statement that reads columns of the page's rows.
func (p *pageQuery) rows(columns, from string) (sql string, args []any) {
	sql = `SELECT ` + columns + ` FROM ` + from + p.where
	if p.place != "" {
		sql += map[bool]string{true: ` AND `, false: ` WHERE `}[p.where != ""] + p.place
	}
	args = append(slices.Clone(p.all), p.limit)
	if p.order != "" {
		sql += ` ORDER BY ` + p.order
	}
	sql += ` LIMIT $` + strconv.Itoa(len(args))
	if p.offset > 0 {
		args = append(args, p.offset)
		sql += ` OFFSET $` + strconv.Itoa(len(args))
	}
	return sql, args
}

// whole is the statement that reads the page.
func (p *pageQuery) whole() (sql string, args []any) { return p.rows(p.reads, p.from) }

// ids is the statement that reads the ids of the page only.
func (p *pageQuery) ids() (sql string, args []any) { return p.rows(p.id, p.counted) }

// count is the statement that counts what the list has in all.
func (p *pageQuery) count() (sql string, args []any) {
	return `SELECT count(*) FROM ` + p.counted + p.where, p.args
}

// list reads a page. That is one statement and no transaction: a look-up by a unique value costs one round trip. Where the
// total cannot be seen from the page a second statement counts, perhaps a moment later, and says no less than was seen.
func list[T any](ctx context.Context, s *Store, l listing, read func(scanner) (T, error), connector string, q *scim.Query) (List[T], error) {
	p := l.plan(s.Kind(), connector, q)
	return finish(ctx, s, p, q, func() (rows []T, err error) {
		sql, args := p.whole()
		return rows, s.db.together(ctx, ask{sql, args, into(&rows, read)})
	})
}

// into collects the rows of an answer.
func into[T any](rows *[]T, read func(scanner) (T, error)) func(scanner) error {
	return func(row scanner) error {
		v, err := read(row)
		if err == nil {
			*rows = append(*rows, v)
		}
		return err
	}
}

// finish reads the rows of a page and says how many the list has.
func finish[T any](ctx context.Context, s *Store, p *pageQuery, q *scim.Query, rows func() ([]T, error)) (page List[T], err error) {
	page.Residual, page.Unsorted = p.residual, p.unsorted
	if p.limit > 0 {
		if page.Rows, err = rows(); err != nil {
			return List[T]{}, fmt.Errorf("list: %w", err)
		}
	}
	reached := 0
	if len(page.Rows) > 0 && q.After == nil {
		reached = p.offset + len(page.Rows)
	}
	switch {
	case !q.WantTotal || p.open():
	case q.After == nil && len(page.Rows) < p.limit && (reached > 0 || p.offset == 0): // the last page says how many there are
		page.Total = reached
	default:
		sql, args := p.count()
		err := s.db.together(ctx, ask{sql, args, func(row scanner) error { return row.Scan(&page.Total) }})
		if err != nil {
			return List[T]{}, fmt.Errorf("list: count: %w", err)
		}
		page.Total = max(page.Total, reached)
	}
	return page, nil
}

// ListKnown is ListPeople with what is wanted beside each row, in the same round trip where the database has one.
func (s *Store) ListKnown(ctx context.Context, connector string, q *scim.Query, want account.Beside) (List[*account.Known], error) {
	p := peopleList.plan(s.Kind(), connector, q)
	return finish(ctx, s, p, q, func() (rows []*account.Known, err error) {
		sql, args := p.whole()
		page := ask{sql, args, into(&rows, readKnown)}
		if s.Kind() == PostgreSQL && !p.open() {
			of, args := p.ids()
			b := s.beside(want, of, args)
			if err := s.db.together(ctx, append(b.asks, page)...); err != nil {
				return nil, err
			}
			b.give(rows)
			return rows, nil
		}
		if err := s.db.together(ctx, page); err != nil || p.open() && len(rows) > q.MaxScan { // too many: the engine refuses
			return rows, err
		}
		for some := range slices.Chunk(rows, chunkOfKnown) {
			of, args := placeholders(some)
			b := s.beside(want, of, args)
			if err := s.db.together(ctx, b.asks...); err != nil {
				return nil, err
			}
			b.give(some)
		}
		return rows, nil
	})
}

// KnownPerson is PersonOf with what is wanted beside the row, in the same round trip where the database has one.
func (s *Store) KnownPerson(ctx context.Context, id, connector string, want account.Beside) (*account.Known, error) {
	args := []any{storable(id)}
	var rows []*account.Known
	b := s.beside(want, `$1`, args)
	if err := s.db.together(ctx, append(b.asks, ask{selectPerson + `WHERE id = $1`, args, into(&rows, readKnown)})...); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, notFound("person", id)
	}
	if _, err := personIn(rows[0].Person, nil)(id, connector); err != nil {
		return nil, err
	}
	b.give(rows)
	return rows[0], nil
}

func readKnown(row scanner) (*account.Known, error) {
	p, err := readPerson(row)
	return &account.Known{Person: p}, err
}

// chunkOfKnown is for how many people it is asked at once what stands beside them.
const chunkOfKnown = 200

func placeholders(rows []*account.Known) (of string, args []any) {
	for i, k := range rows {
		if i > 0 {
			of += `, `
		}
		of += `$` + strconv.Itoa(i+1)
		args = append(args, k.ID)
	}
	return of, args
}

// besides is what is asked beside the rows of people, and the answers.
type besides struct {
	asks    []ask
	methods map[string][]method.Method
	groups  map[string][]account.GroupOf
}

// beside asks about the people whose ids the text of says: a subquery or placeholders. Nobody who is asked about is left
// out of the answers, so they may hold more than who was read.
func (s *Store) beside(want account.Beside, of string, args []any) *besides {
	b := &besides{methods: map[string][]method.Method{}, groups: map[string][]account.GroupOf{}}
	if want.Methods {
		read := s.methodReader()
		b.asks = append(b.asks, ask{selectMethods + `WHERE m.person IN (` + of + `) AND m.status <> 'removed' ORDER BY m.id`, args, func(row scanner) error {
			m, err := read(row)
			b.methods[m.Person] = append(b.methods[m.Person], m)
			return err
		}})
	}
	if want.Groups {
		b.asks = append(b.asks, ask{groupsOfMany(of, len(args)+1), append(slices.Clone(args), maxNesting), func(row scanner) error {
			var g account.GroupOf
			var member string
			var depth int
			err := row.Scan(&member, &g.ID, &g.Group, &depth)
			g.Direct = depth == 1
			b.groups[member] = append(b.groups[member], g)
			return err
		}})
	}
	return b
}

func (b *besides) give(rows []*account.Known) {
	for _, k := range rows {
		k.Methods, k.In = b.methods[k.ID], b.groups[k.ID]
	}
}

// groupsOfMany reads the groups several people are in, directly or through others. How far the groups are trusted it does
// not say: nothing is decided by it.
func groupsOfMany(of string, depth int) string {
	return `WITH RECURSIVE up (member, grp, depth) AS (
		SELECT m.member, m.grp, 1 FROM members m WHERE m.member IN (` + of + `)
		UNION
		SELECT up.member, m.grp, up.depth + 1 FROM up JOIN members m ON m.member = up.grp WHERE up.depth < $` + strconv.Itoa(depth) + `)
	SELECT up.member, g.id, g.display_name, min(up.depth) FROM up JOIN groups g ON g.id = up.grp
	GROUP BY up.member, g.id, g.display_name ORDER BY up.member, g.id`
}
