package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// fillCrowd fills a fresh database with n people of connector "big", each with an address, a number and a method, a group of
// twenty for every twenty of them, and a tenth as many people of connector "small". Names and addresses come in no order.
func fillCrowd(tb testing.TB, s *store.Store, n int) {
	tb.Helper()
	// i is a row, j its place in another order; ids are as long as ours and in order of i.
	text := strings.NewReplacer("{n}", fmt.Sprint(n), "{all}", fmt.Sprint(n+n/10),
		"{id}", "('01900000-0000-7000-8000-' || substr(CAST(1000000000000 + i AS TEXT), 2))",
		"{j}", "substr(CAST(10000000 + (CAST(i AS BIGINT) * 7919) % 9999991 AS TEXT), 2)",
		"{group}", "('01900000-0000-7000-9000-' || substr(CAST(1000000000000 + i / 20 AS TEXT), 2))",
		"{connector}", "CASE WHEN i <= "+fmt.Sprint(n)+" THEN 'big' ELSE 'small' END")
	rows := `WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {all})`
	if s.Kind() == store.PostgreSQL {
		rows = `WITH r (i) AS (SELECT * FROM generate_series(1, {all}))`
	}
	insert := []string{
		`INSERT INTO people (id, version, epoch, connector, external_id, user_name, user_name_key, active, display_name, display_name_key, given_name, given_name_key,
			family_name, family_name_key, language, emails, phones, attrs, hold_until, dispute, created, updated) ` + rows + `
			SELECT {id}, 1, 1, {connector}, 'ext-' || {j}, 'U' || {j} || '@corp.example', 'u' || {j} || '@corp.example', true, 'Name ' || {j}, 'name ' || {j}, 'Given', 'given',
				'Family', 'family', 'en', '[{"value":"u' || {j} || '@mail.example"}]', '[]',
				'{"userName":"U' || {j} || '@corp.example","displayName":"Name ' || {j} || '","name":{"givenName":"Given","familyName":"Family"},"emails":[{"value":"u' || {j} || '@mail.example","type":"work"}],"title":"Engineer of something","locale":"en"}',
				0, '', i, i FROM r`,
		`INSERT INTO contacts (person, list, position, value, value_key, type_key, is_primary) ` + rows + `
			SELECT {id}, 'emails', 0, 'u' || {j} || '@mail.example', 'u' || {j} || '@mail.example', 'work', true FROM r`,
		`INSERT INTO contacts (person, list, position, value, value_key, type_key, is_primary) ` + rows + `
			SELECT {id}, 'phoneNumbers', 0, '+49' || {j}, '+49' || {j}, 'mobile', true FROM r`,
		`INSERT INTO methods (id, version, person, kind, status, root_kind, root_id, sealed, since, attribute, is_primary, uses, created, confirmed, usable_from,
			removed_at, last_used, last_step, failures) ` + rows + `
			SELECT {id}, 1, {id}, 'sms', 'active', 'connector', 'big', '', 0, '', true, '', i, 0, 0, 0, 0, 0, 0 FROM r`,
		`INSERT INTO groups (id, version, connector, external_id, display_name, display_name_key, attrs, created, updated) ` + rows + `
			SELECT {group}, 1, {connector}, 'g-' || {j}, 'Group ' || {j}, 'group ' || {j}, '{}', i, i FROM r WHERE i % 20 = 0`,
		`INSERT INTO members (grp, member, kind) ` + rows + ` SELECT {group}, {id}, 'User' FROM r WHERE i >= 20`,
	}
	for i := range insert {
		insert[i] = text.Replace(insert[i])
	}
	must(tb, s.Load(tb.Context(), []string{"people", "contacts", "methods", "groups", "members"}, insert))
}

// someone of the crowd, and their group.
func (c crowded) someone(i int) (person, group, j string) {
	return fmt.Sprintf("01900000-0000-7000-8000-%012d", i), fmt.Sprintf("01900000-0000-7000-9000-%012d", i/20), fmt.Sprintf("%07d", i*7919%9999991)
}

// crowded is a crowd's lists.
type crowded struct {
	testing.TB
	s     *store.Store
	n     int
	types map[string]*schema.Type
}

func newCrowded(tb testing.TB, kind store.Kind, n int, change ...func(*store.Config)) crowded {
	tb.Helper()
	c := crowded{tb, storetest.Open(tb, kind, change...), n, map[string]*schema.Type{}}
	fillCrowd(tb, c.s, n)
	method := &schema.Schema{ID: "urn:test:Method", Name: "Method", Attributes: []*schema.Attribute{
		{Name: "user", Type: schema.Complex, SubAttributes: []*schema.Attribute{{Name: "value", CaseExact: true}}}, {Name: "type"}, {Name: "status"}}}
	for of, core := range map[string]*schema.Schema{"people": schema.User(), "groups": schema.Group(), "methods": method} {
		typ, err := schema.NewType(of, core)
		must(tb, err)
		c.types[of] = typ
	}
	return c
}

// look is a question put to a list.
type look struct {
	of, filter, sort string
	desc             bool
	after            int // the place of whom it begins behind; 0 for the first page
	want             int // rows
	pages            map[int]int
}

func (l look) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s by %s %v after %d", l.of, l.filter, l.sort, l.desc, l.after)), " ")
}

// spoken is a filter about the middle of the crowd.
func (c crowded) spoken(text string) string {
	person, group, j := c.someone(c.n/2 + 7)
	_, _, first := c.someone((c.n/2 + 7) / 20 * 20)
	return strings.NewReplacer("PERSON", person, "GROUP", group, "FIRST", first, "J", j).Replace(text)
}

func (c crowded) query(l look) *scim.Query {
	c.Helper()
	q := &scim.Query{Count: 100, MaxScan: 1000, WantTotal: true}
	typ := c.types[l.of]
	if l.filter != "" {
		x, err := filter.Parse(typ, c.spoken(l.filter), schema.Standard())
		must(c.TB, err)
		q.Filter = x
	}
	if l.sort != "" {
		p, err := typ.Resolve(l.sort, schema.InvalidPath)
		must(c.TB, err)
		q.Sort = []scim.SortKey{{Path: p, Desc: l.desc}}
	}
	if l.after > 0 {
		person, _, j := c.someone(l.after)
		q.After = &scim.Keyset{ID: person}
		if l.sort != "" {
			q.After.Values = []any{"u" + j + "@corp.example"}
		}
	}
	return q
}

var (
	few     = map[int]int{1000: 3, 20_000: 4, 100_000: 4, 1_000_000: 5}
	several = map[int]int{1000: 7, 20_000: 9, 100_000: 9, 1_000_000: 10}
	joined  = map[int]int{1000: 10, 20_000: 11, 100_000: 12, 1_000_000: 13} // the method, the key of the person, the person
)

// looks are what identity providers ask, and lists in pages.
var looks = []look{
	{of: "people", filter: `userName eq "uJ@CORP.example"`, want: 1, pages: few},
	{of: "people", filter: `externalId eq "ext-J"`, want: 1, pages: few},
	{of: "people", filter: `id eq "PERSON"`, want: 1, pages: few},
	{of: "people", filter: `emails.value eq "uJ@mail.example"`, want: 1, pages: several},
	{of: "people", filter: `emails eq "uJ@mail.example"`, want: 1, pages: several},
	{of: "people", filter: `emails[type eq "work"].value eq "uJ@mail.example"`, want: 1, pages: several},
	{of: "people", filter: `emails[type eq "work" and value eq "uJ@mail.example"]`, want: 1, pages: several},
	{of: "people", filter: `emails.value sw "uJ@"`, want: 1, pages: several},
	{of: "people", filter: `phoneNumbers.value eq "+49J"`, want: 1, pages: several},
	{of: "people", filter: `userName sw "uJ"`, want: 1, pages: few},
	{of: "people", filter: `userName eq "uJ@corp.example" and active eq true`, want: 1, pages: few},
	{of: "people", filter: `userName eq "uJ@corp.example" or externalId eq "ext-J"`, want: 1, pages: several},
	{of: "groups", filter: `displayName eq "group FIRST"`, want: 1, pages: few},
	{of: "groups", filter: `externalId eq "g-FIRST"`, want: 1, pages: few},
	{of: "groups", filter: `members eq "PERSON"`, want: 1, pages: several},
	{of: "groups", filter: `members.value eq "PERSON"`, want: 1, pages: several},
	{of: "groups", filter: `id eq "GROUP" and members eq "PERSON"`, want: 1, pages: several},
	{of: "methods", filter: `user.value eq "PERSON" and type eq "sms"`, want: 1, pages: joined},
	{of: "methods", filter: `id eq "PERSON"`, want: 1, pages: joined},
	{of: "people", want: 100},
	{of: "people", after: 9, want: 100},
	{of: "people", sort: "userName", want: 100},
	{of: "people", sort: "userName", desc: true, want: 100},
	{of: "people", sort: "userName", after: 9, want: -1},
	{of: "people", sort: "userName", desc: true, after: 9, want: -1},
	{of: "groups", want: -1},
}

// sizes are of the crowds; the large ones take minutes.
func sizes() []int {
	if os.Getenv("REGAIN_TEST_CROWDS") != "" {
		return []int{1000, 20_000, 100_000, 1_000_000}
	}
	return []int{1000, 20_000}
}

func TestLookUpsTouchFewPagesAndNoWholeTable(t *testing.T) {
	for _, n := range sizes() {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var address string
			c := newCrowded(t, store.PostgreSQL, n, func(c *store.Config) { address = c.URL })
			conn, err := pgx.Connect(t.Context(), address)
			must(t, err)
			defer conn.Close(context.Background())
			for i, l := range looks {
				text, args := c.s.PageSQL(l.of, "big", c.query(l))
				name := fmt.Sprint("q", i)
				must(t, tell(conn, `PREPARE `+name+` AS `+text))
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} { // a statement that is kept gets the second in time
					if mode == "force_generic_plan" && strings.Contains(l.filter, " sw ") {
						continue // it cannot know how few rows that is, so the first looks better to it
					}
					must(t, tell(conn, `SET plan_cache_mode = `+mode))
					postgresPlan(t, conn, name, args) // a connection reads the catalogue once
					p := postgresPlan(t, conn, name, args)
					if p.seq != "" {
						t.Errorf("%s: %s reads all of %s:\n%s", l, mode, p.seq, p.text)
					}
					if most := l.pages[n]; most > 0 && p.pages > most {
						t.Errorf("%s: %s touches %d pages, want at most %d:\n%s", l, mode, p.pages, most, p.text)
					}
					if l.want >= 0 && p.rows != l.want {
						t.Errorf("%s: %d rows, want %d", l, p.rows, l.want)
					}
					if l.pages != nil && mode == "force_custom_plan" {
						t.Logf("%2d pages: %s", p.pages, l)
					}
				}
			}
		})
	}
}

func tell(conn *pgx.Conn, sql string) error {
	_, err := conn.Exec(context.Background(), sql)
	return err
}

// plan is what EXPLAIN says.
type plan struct {
	pages, rows int
	seq         string // a table read as a whole
	text        string
}

func postgresPlan(t *testing.T, conn *pgx.Conn, name string, args []any) plan {
	t.Helper()
	var values []string
	for _, a := range args {
		switch a := a.(type) {
		case string:
			values = append(values, "'"+strings.ReplaceAll(a, "'", "''")+"'")
		default:
			values = append(values, fmt.Sprint(a))
		}
	}
	var text []byte
	must(t, conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE `+name+` (`+strings.Join(values, ", ")+`)`).Scan(&text))
	type node struct {
		Type  string  `json:"Node Type"`
		Table string  `json:"Relation Name"`
		Index string  `json:"Index Name"`
		Cond  string  `json:"Index Cond"`
		Hit   int     `json:"Shared Hit Blocks"`
		Read  int     `json:"Shared Read Blocks"`
		Rows  float64 `json:"Actual Rows"`
		Plans []node
	}
	var out []struct{ Plan node }
	must(t, json.Unmarshal(text, &out))
	top := out[0].Plan
	p := plan{pages: top.Hit + top.Read, rows: int(top.Rows)}
	var walk func(node, string)
	walk = func(n node, indent string) {
		if n.Type == "Seq Scan" && n.Hit+n.Read > 3 { // of less an index would read as much
			p.seq = n.Table
		}
		p.text += fmt.Sprintf("%s%s %s %s %s: %d pages, %v rows\n", indent, n.Type, n.Table, n.Index, n.Cond, n.Hit+n.Read, n.Rows)
		for _, m := range n.Plans {
			walk(m, indent+"  ")
		}
	}
	walk(top, "")
	return p
}

func TestLookUpsInSQLiteReadNoWholeTableAndSortNothing(t *testing.T) {
	var path string
	c := newCrowded(t, store.SQLite, 1000, func(c *store.Config) { path = c.URL })
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, err)
	defer db.Close()
	for _, l := range looks {
		text, args := c.s.PageSQL(l.of, "big", c.query(l))
		rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+text, args...)
		must(t, err)
		var steps []string
		for rows.Next() {
			var a, b, n int
			var step string
			must(t, rows.Scan(&a, &b, &n, &step))
			steps = append(steps, step)
		}
		must(t, rows.Err())
		plan := strings.Join(steps, "\n")
		if strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") && l.filter == "" || strings.Contains(plan, "(connector=?)") && l.filter != "" {
			t.Errorf("%s:\n%s\n%s", l, plan, text)
		}
	}
}
