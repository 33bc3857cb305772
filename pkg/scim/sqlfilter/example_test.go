package sqlfilter_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
	"github.com/regain-id/regain/pkg/scim/sqlfilter"
)

// badges is a scim.Store in SQL. The resource stands as JSON in doc; beside it is a column for each attribute that is unique,
// sorted by, or looked for often. A filter on any other attribute is left to the engine, under a bound.
type badges struct {
	db  *sql.DB
	typ *schema.Type
}

const badgeTable = `CREATE TABLE badges (id TEXT PRIMARY KEY, version INTEGER NOT NULL, created INTEGER NOT NULL,
	modified INTEGER NOT NULL, number_key TEXT NOT NULL UNIQUE, floor INTEGER, doc TEXT NOT NULL)`

var badgeColumns = sqlfilter.Compiler{Dialect: sqlfilter.SQLite, Columns: map[string]sqlfilter.Column{
	"id":     {Expr: "id", NotNull: true},
	"number": {Expr: "number_key", NotNull: true}, // schema.Fold of the number: letter case does not count
	"floor":  {Expr: "floor"},
}}

func badgeSchema() *schema.Schema {
	return &schema.Schema{ID: "urn:example:params:scim:schemas:2.0:Badge", Name: "Badge", Attributes: []*schema.Attribute{
		{Name: "number", Required: true, Uniqueness: schema.Server},
		{Name: "floor", Type: schema.Integer},
		{Name: "note"},
	}}
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *badges) find(ctx context.Context, q querier, rest string, args ...any) (found []*scim.Resource, err error) {
	rows, err := q.QueryContext(ctx, `SELECT id, version, created, modified, doc FROM badges WHERE `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, version, doc string
		var created, modified int64
		if err := rows.Scan(&id, &version, &created, &modified, &doc); err != nil {
			return nil, err
		}
		body, err := schema.ParseJSON([]byte(doc))
		if err != nil {
			return nil, err
		}
		r, _, err := s.typ.Decode(body, schema.Standard()) // gives every value its type
		if err != nil {
			return nil, err
		}
		r.ID, r.Version, r.Created, r.LastModified = id, version, time.UnixMicro(created), time.UnixMicro(modified)
		found = append(found, r)
	}
	return found, rows.Err()
}

// columnsOf are the columns of a resource but for id, version and created, in the order of the table.
func columnsOf(r *scim.Resource) ([]any, error) {
	body := maps.Clone(r.Attrs)
	body["externalId"] = r.ExternalID
	doc, err := json.Marshal(body)
	return []any{r.LastModified.UnixMicro(), schema.Fold(r.Text("number")), r.Get("floor"), string(doc)}, err
}

func (s *badges) one(ctx context.Context, q querier, id string) (*scim.Resource, error) {
	found, err := s.find(ctx, q, `id = $1`, id)
	if err == nil && len(found) == 0 {
		err = scim.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Get implements scim.Store. More than was selected may be returned: the engine shows what may be shown.
func (s *badges) Get(ctx context.Context, id string, _ scim.Selection) (*scim.Resource, error) {
	return s.one(ctx, s.db, id)
}

// List implements scim.Store.
func (s *badges) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	where, args, residual := badgeColumns.Where(q.Filter, 0)
	where = cmp.Or(where, "TRUE")
	order, sorted := badgeColumns.Order(q.Sort, "id")
	page := &scim.Page{Residual: residual, Unsorted: !sorted}
	var err error
	if residual != nil || !sorted { // the engine does the rest, and the paging, with every candidate
		page.Resources, err = s.find(ctx, s.db, fmt.Sprintf(`%s ORDER BY id LIMIT %d`, where, q.MaxScan+1), args...)
		return page, err
	}
	if q.WantTotal {
		if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM badges WHERE `+where, args...).Scan(&page.Total); err != nil {
			return nil, err
		}
	}
	if q.After != nil {
		after, more, ok := badgeColumns.After(q.After, q.Sort, "id", len(args))
		if !ok {
			return nil, errors.New("a cursor that leads nowhere")
		}
		where, args = where+" AND "+after, append(args, more...)
	}
	page.Resources, err = s.find(ctx, s.db, fmt.Sprintf(`%s ORDER BY %s LIMIT %d OFFSET %d`, where, order, q.Count, q.Offset), args...)
	return page, err
}

// Create implements scim.Store.
func (s *badges) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	r = r.Clone()
	r.ID, r.Version, r.Created = rand.Text(), "1", time.Now().Truncate(time.Microsecond)
	r.LastModified = r.Created
	columns, err := columnsOf(r)
	if err != nil {
		return nil, err
	}
	res, err := s.db.ExecContext(ctx, `INSERT INTO badges VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number_key) DO NOTHING`,
		append([]any{r.ID, 1, r.Created.UnixMicro()}, columns...)...)
	return r, hit(res, err)
}

// hit is the error of a statement that writes one row, unless somebody else has the number.
func hit(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, error(&scim.ConflictError{Attr: "number"}))
	}
	return nil
}

// Update implements scim.Store. fn is the engine's: it runs on the row as it is, inside the transaction.
func (s *badges) Update(ctx context.Context, id string, pre scim.Precondition, _ scim.Selection, fn scim.UpdateFunc) (*scim.Resource, error) {
	tx, err := s.db.BeginTx(ctx, nil) // one connection: nobody else writes meanwhile
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	cur, err := s.one(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if err := pre.Check(cur.Version); err != nil {
		return nil, err
	}
	change, err := fn(cur)
	if err != nil || change.NoOp {
		return cur, err
	}
	next := change.Next.Clone()
	s.typ.KeepSecrets(cur, next, change.Ops) // what is writeOnly is not in Next unless it was sent
	version, err := strconv.Atoi(cur.Version)
	if err != nil {
		return nil, err
	}
	next.ID, next.Created, next.Version, next.LastModified = id, cur.Created, strconv.Itoa(version+1), time.Now().Truncate(time.Microsecond)
	columns, err := columnsOf(next)
	if err != nil {
		return nil, err
	}
	res, err := tx.ExecContext(ctx, `UPDATE OR IGNORE badges SET version = $2, modified = $3, number_key = $4, floor = $5, doc = $6 WHERE id = $1`,
		append([]any{id, version + 1}, columns...)...)
	if err := hit(res, err); err != nil {
		return nil, err
	}
	return next, tx.Commit()
}

// Delete implements scim.Store.
func (s *badges) Delete(ctx context.Context, id string, pre scim.Precondition) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	cur, err := s.one(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := pre.Check(cur.Version); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM badges WHERE id = $1`, id); err != nil {
		return err
	}
	return tx.Commit()
}

// newBadges is a server over a fresh table in a file, and what sends it a request.
func newBadges(file string) (send func(method, path, body string) (status int, answer string), err error) {
	typ, err := schema.NewType("Badge", badgeSchema())
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(badgeTable); err != nil {
		return nil, err
	}
	srv, err := scim.NewServer(scim.Config{
		BaseURL: "https://id.example.org/scim/v2",
		Auth: func(*http.Request) (*scim.Principal, error) {
			return &scim.Principal{Subject: "example", Compat: schema.Standard()}, nil
		},
		Types: []scim.ResourceType{{Name: "Badge", Endpoint: "/Badges", Schema: typ.Core, Store: &badges{db, typ}}},
	})
	return func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}, err
}

// A Store in SQL, whole: filters, order and pages are worked out by the database as far as it has columns for them.
func Example_store() {
	send, err := newBadges(":memory:")
	if err != nil {
		panic(err)
	}
	for i, number := range []string{"A-17", "a-18", "B-1"} {
		status, _ := send("POST", "/Badges", fmt.Sprintf(`{"number":%q,"floor":%d,"note":"visitor"}`, number, i))
		fmt.Println(status)
	}
	status, _ := send("POST", "/Badges", `{"number":"b-1"}`)
	fmt.Println(status)
	_, answer := send("GET", `/Badges?count=0&filter=number+sw+"A-"+and+floor+gt+0`, "") // all of it is SQL
	fmt.Println(answer)
	_, answer = send("GET", `/Badges?count=0&filter=number+sw+"A-"+and+note+eq+"VISITOR"`, "") // the note is the engine's
	fmt.Println(answer)
	// Output:
	// 201
	// 201
	// 201
	// 409
	// {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":1,"startIndex":1,"itemsPerPage":0,"Resources":[]}
	// {"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"startIndex":1,"itemsPerPage":0,"Resources":[]}
}

// What people copy has to keep the promises of a store.
func TestTheStoreOfTheExampleKeepsItsPromises(t *testing.T) {
	send, err := newBadges(filepath.Join(t.TempDir(), "badges.db"))
	if err != nil {
		t.Fatal(err)
	}
	want := func(status int, method, path, body string) map[string]any {
		t.Helper()
		got, answer := send(method, path, body)
		if got != status {
			t.Fatalf("%s %s: got %d, want %d: %s", method, path, got, status, answer)
		}
		var o map[string]any
		if answer != "" && json.Unmarshal([]byte(answer), &o) != nil {
			t.Fatalf("%s %s: %s", method, path, answer)
		}
		return o
	}
	first := "/Badges/" + want(201, "POST", "/Badges", `{"number":"A-1","externalId":"x","floor":3}`)["id"].(string)
	second := "/Badges/" + want(201, "POST", "/Badges", `{"number":"A-2"}`)["id"].(string)
	patch := func(op string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + op + `]}`
	}
	r := want(200, "PATCH", first, patch(`{"op":"replace","path":"note","value":"lost"},{"op":"remove","path":"floor"}`))
	if r["note"] != "lost" || r["floor"] != nil || r["externalId"] != "x" || r["meta"].(map[string]any)["version"] != `W/"2"` {
		t.Errorf("after a PATCH: %v", r)
	}
	if r = want(200, "PATCH", first, patch(`{"op":"replace","path":"note","value":"lost"}`)); r["meta"].(map[string]any)["version"] != `W/"2"` {
		t.Errorf("nothing changed, but: %v", r)
	}
	want(409, "PATCH", second, patch(`{"op":"replace","path":"number","value":"a-1"}`))
	page := want(200, "GET", "/Badges?sortBy=number&sortOrder=descending&count=1&cursor=", "")
	next := want(200, "GET", "/Badges?sortBy=number&sortOrder=descending&count=1&cursor="+page["nextCursor"].(string), "")
	number := func(page map[string]any) any { return page["Resources"].([]any)[0].(map[string]any)["number"] }
	if got := fmt.Sprintln(number(page), number(next), next["nextCursor"]); got != "A-2 A-1 <nil>\n" {
		t.Errorf("by cursor: %s", got)
	}
	want(204, "DELETE", first, "")
	want(404, "GET", first, "")
}
