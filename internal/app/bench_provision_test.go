package app

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/regain-id/regain/internal/store"
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
	rows := rowsOf(b, store.PostgreSQL, onPostgres(b, database), func() string {
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

// provisioned is how many people BenchmarkProvisionMemory has beforehand, unless REGAIN_BENCH_PEOPLE says so.
const provisioned = 100_000

// BenchmarkProvisionMemory is what the program holds in memory while eight clients look people up by name, external id and
// id, and every fifth request creates somebody, on a database that has REGAIN_BENCH_PEOPLE people: the highest of what was
// resident during the load, and the peak since it started.
func BenchmarkProvisionMemory(b *testing.B) {
	people := provisioned
	if n, err := strconv.Atoi(os.Getenv("REGAIN_BENCH_PEOPLE")); err == nil && n > 0 {
		people = n
	}
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			p := crowded(b, kind, people)
			before, _ := p.resident()
			var serial atomic.Int64
			serial.Store(int64(people))
			var mu sync.Mutex
			highest := 0.0
			rate := storetest.Rate(b, 8, 20_000, func(ctx context.Context, i int) error {
				if i%100 == 0 {
					now, _ := p.resident()
					mu.Lock()
					highest = max(highest, now)
					mu.Unlock()
				}
				who := 1 + (i*7919)%people
				find := func(filter string) error {
					res, err := p.want(ctx, http.StatusOK, http.MethodGet, "/Users?filter="+url.QueryEscape(filter), "")
					if err == nil && !strings.Contains(string(res.body), `"totalResults":1,`) {
						err = fmt.Errorf("%s: %s", filter, res.body)
					}
					return err
				}
				switch i % 5 {
				case 0:
					_, err := p.want(ctx, http.StatusCreated, http.MethodPost, "/Users", newcomer(int(serial.Add(1))))
					return err
				case 1:
					return find(`externalId eq "0f8fad5b-d9cb-469f-a165-` + numbered(who) + `"`)
				case 2:
					_, err := p.want(ctx, http.StatusOK, http.MethodGet, fmt.Sprintf("/Users/0198a000-0000-7000-8000-%012x", who), "")
					return err
				}
				return find(`userName eq "` + numbered(who) + `@alder.example"`)
			})
			_, peak := p.resident()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(people), "people")
			b.ReportMetric(before, "start-MB")
			b.ReportMetric(highest, "load-MB")
			b.ReportMetric(peak, "peak-MB")
			b.ReportMetric(rate, "requests/s")
		})
	}
}

// crowded is the program on a database with very many people, each with the rows that POST writes of one.
func crowded(b *testing.B, kind store.Kind, people int) *process {
	b.Helper()
	database := filepath.Join(b.TempDir(), "regain.db")
	if kind == store.PostgreSQL {
		database = emptyOn(b, testserver.NewPostgres(b, true), "crowded")
	}
	in := install(b, database)
	p := in.serve(b)
	request := func() string {
		res, err := p.want(b.Context(), http.StatusCreated, http.MethodPost, "/Users", newcomer(0))
		if err != nil {
			b.Fatal(err)
		}
		return idOf(b, res)
	}
	const chunk = 50_000
	fill := func(rows *rowSet, exec func(string, ...any) error) {
		p.stop()
		for first := 1; first <= people; first += chunk {
			if err := rows.copyAll(kind, first, min(first+chunk-1, people), exec); err != nil {
				b.Fatal(err)
			}
		}
	}
	if kind == store.PostgreSQL {
		rows := rowsOf(b, kind, onPostgres(b, database), request)
		pool := rows.pool(b, database, 1)
		exec := func(query string, args ...any) error { _, err := pool.Exec(b.Context(), query, args...); return err }
		fill(rows, exec)
		if err := exec(`VACUUM ANALYZE`); err != nil {
			b.Fatal(err)
		}
	} else {
		db, err := sql.Open("sqlite", "file:"+database+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-262144)")
		if err != nil {
			b.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		fill(rowsOf(b, kind, onSQLite(b, db), request), func(query string, args ...any) error {
			_, err := db.ExecContext(b.Context(), query, args...)
			return err
		})
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return in.serve(b)
}
