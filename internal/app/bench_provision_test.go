package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/internal/testserver"
)

// pattern stands wherever the number of a person does: in their names and addresses, and so in all that is made of these.
const pattern = "bench0000000"

func numbered(i int) string { return fmt.Sprintf("bench%07d", i) }

// newcomer is a user as Microsoft Entra ID provisions one with the attributes it maps by default: about 1.1 KB.
func newcomer(i int) string {
	return strings.ReplaceAll(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
"externalId":"0f8fad5b-d9cb-469f-a165-`+pattern+`","userName":"`+pattern+`@alder.example","active":true,"displayName":"Ada Brandt `+pattern+`",
"title":"Senior Engineer","preferredLanguage":"de-DE","name":{"givenName":"Ada","familyName":"Brandt","formatted":"Ada Brandt"},
"emails":[{"type":"work","primary":true,"value":"`+pattern+`@alder.example"}],
"phoneNumbers":[{"type":"work","value":"+49 30 23125 1234"},{"type":"mobile","value":"+49 171 3920001"}],
"addresses":[{"type":"work","formatted":"Invalidenstrasse 116\n10115 Berlin","streetAddress":"Invalidenstrasse 116","locality":"Berlin","region":"Berlin","postalCode":"10115","country":"DE"}],
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"`+pattern+`","department":"Research and Development","costCenter":"4711","organization":"Alder Works","division":"Engines"}}`,
		pattern, numbered(i))
}

// benchRounds is how often a measurement and what it is compared with take turns.
const benchRounds = 5

// BenchmarkProvisionPost is POST /Users of regain, a process of its own on a PostgreSQL that really syncs, beside a transaction
// of the bare driver that writes the very same rows into the very same tables and indexes of a twin database on that server:
// one batch, so one round trip, on as many connections as there are clients. cpu-ms/post is the server's processor time
// alone. Each figure is the median of five rounds in which the two take turns; how many are done does not depend on -benchtime.
func BenchmarkProvisionPost(b *testing.B) {
	server := testserver.NewPostgres(b, true)
	database, twin := emptyOn(b, server, "measured"), emptyOn(b, server, "twin")
	in := install(b, database)
	install(b, twin)
	p := in.serve(b)
	var serial atomic.Int64
	post := func(ctx context.Context, _ int) error {
		_, err := p.want(ctx, http.StatusCreated, http.MethodPost, "/Users", newcomer(int(serial.Add(1))))
		return err
	}
	if err := post(b.Context(), 0); err != nil { // what the first request of a connector costs is no part of it
		b.Fatal(err)
	}
	rows := rowsOf(b, database, func() string {
		res, err := p.want(b.Context(), http.StatusCreated, http.MethodPost, "/Users", newcomer(0))
		if err != nil {
			b.Fatal(err)
		}
		return idOf(b, res)
	})
	for _, workers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("postgresql/c=%d", workers), func(b *testing.B) {
			bare := rows.pool(b, twin, workers)
			each := 600 * min(workers, 4)
			var rates, bares, ratios, costs []float64
			for round := range benchRounds + 1 {
				spent := p.processor()
				rate := storetest.Rate(b, workers, each, post)
				spent = p.processor() - spent
				limit := storetest.Rate(b, workers, each, func(ctx context.Context, _ int) error { return rows.write(ctx, bare, int(serial.Add(1))) })
				if round == 0 {
					continue // connections are opened, statements prepared
				}
				rates, bares, ratios = append(rates, rate), append(bares, limit), append(ratios, rate/limit)
				costs = append(costs, float64(spent.Microseconds())/1000/float64(each))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates), "posts/s")
			b.ReportMetric(median(bares), "bare/s")
			b.ReportMetric(median(ratios), "of-bare")
			b.ReportMetric(median(costs), "cpu-ms/post")
		})
	}
}

// emptyOn makes a database on a server and returns its address.
func emptyOn(tb testing.TB, server *testserver.PostgresServer, name string) string {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	if _, err := conn.Exec(tb.Context(), `CREATE DATABASE `+name+` TEMPLATE template0`); err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func idOf(tb testing.TB, res retort) string {
	tb.Helper()
	var r struct{ ID string }
	if err := json.Unmarshal(res.body, &r); err != nil || r.ID == "" {
		tb.Fatalf("no id: %v %s", err, res.body)
	}
	return r.ID
}

// rowSet is the rows that one request writes.
type rowSet struct {
	person string // the id of whom they are about
	tables []tableRows
}

// tableRows is what of them goes into one table.
type tableRows struct {
	name    string
	columns []string
	rows    [][]any
	insert  string
}

// rowsOf finds out which rows a request adds by looking at every table before and after: nobody can forget one that a later
// migration brings.
func rowsOf(tb testing.TB, database string, request func() string) *rowSet {
	tb.Helper()
	ctx := tb.Context()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	ask := func(sql string) (all [][]any, columns []string) {
		rows, err := conn.Query(ctx, sql)
		if err != nil {
			tb.Fatal(err)
		}
		defer rows.Close()
		for _, f := range rows.FieldDescriptions() {
			columns = append(columns, f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, values)
		}
		if rows.Err() != nil {
			tb.Fatal(rows.Err())
		}
		return all, columns
	}
	tables, _ := ask(`SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
	before := map[string][][]any{}
	for _, t := range tables {
		before[t[0].(string)], _ = ask(`SELECT * FROM ` + t[0].(string))
	}
	set := &rowSet{person: request()}
	for name, was := range before {
		now, columns := ask(`SELECT * FROM ` + name)
		if len(now) <= len(was) {
			continue
		}
		t := tableRows{name: name, columns: columns}
		for _, row := range now {
			if text := fmt.Sprint(row); !slices.ContainsFunc(was, func(old []any) bool { return fmt.Sprint(old) == text }) {
				t.rows = append(t.rows, row)
			}
		}
		if len(t.rows) != len(now)-len(was) {
			tb.Fatalf("%s: rows were changed meanwhile", name)
		}
		var groups []string
		n := 0
		for range t.rows {
			var holders []string
			for range columns {
				n++
				holders = append(holders, fmt.Sprintf("$%d", n))
			}
			groups = append(groups, "("+strings.Join(holders, ", ")+")")
		}
		t.insert = `INSERT INTO ` + name + ` (` + strings.Join(columns, ", ") + `) VALUES ` + strings.Join(groups, ", ")
		set.tables = append(set.tables, t)
	}
	slices.SortFunc(set.tables, func(x, y tableRows) int { // what others refer to comes first
		if (x.name == "people") != (y.name == "people") {
			return map[bool]int{true: -1, false: 1}[x.name == "people"]
		}
		return strings.Compare(x.name, y.name)
	})
	for _, t := range set.tables {
		tb.Logf("a POST writes %d of %s", len(t.rows), t.name)
	}
	if len(set.tables) < 3 || set.tables[0].name != "people" {
		tb.Fatal("a user is a row of people, one they are found by and an event at least")
	}
	return set
}

// renamed is a value of these rows as another person has it; own is the id of a row of which only the person's is known.
func (s *rowSet) renamed(column string, v any, person, number string, own func() string) any {
	text, ok := v.(string)
	switch {
	case !ok:
		return v
	case text == s.person:
		return person
	case column == "id":
		return own()
	}
	return strings.ReplaceAll(text, pattern, number)
}

func (s *rowSet) pool(tb testing.TB, database string, connections int) *pgxpool.Pool {
	tb.Helper()
	c, err := pgxpool.ParseConfig(database)
	if err != nil {
		tb.Fatal(err)
	}
	c.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// write is the least that can write those rows durably: a batch is a transaction and one round trip.
func (s *rowSet) write(ctx context.Context, pool *pgxpool.Pool, i int) error {
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	person, number := newID(), numbered(i)
	var batch pgx.Batch
	for _, t := range s.tables {
		args := make([]any, 0, len(t.rows)*len(t.columns))
		for _, row := range t.rows {
			for c, v := range row {
				args = append(args, s.renamed(t.columns[c], v, person, number, newID))
			}
		}
		batch.Queue(t.insert, args...)
	}
	return pool.SendBatch(ctx, &batch).Close()
}
