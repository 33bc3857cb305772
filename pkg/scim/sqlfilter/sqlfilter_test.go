package sqlfilter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
	"github.com/regain-id/regain/pkg/scim/sqlfilter"
)

func userType(t testing.TB) *schema.Type {
	t.Helper()
	typ, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func compiler(d sqlfilter.Dialect) *sqlfilter.Compiler {
	return &sqlfilter.Compiler{Dialect: d,
		Columns: map[string]sqlfilter.Column{
			"userName": {Expr: "u.un"}, "externalId": {Expr: "u.ext"}, "active": {Expr: "u.act"}, "meta.created": {Expr: "u.created", Time: true},
			"name.familyName": {Expr: "u.fam"}, schema.EnterpriseURN + ":department": {Expr: "u.dep"},
			"id": {Expr: "u.id", Convert: func(k string) (any, bool) { return nil, false }},
		},
		Children: map[string]sqlfilter.Child{"emails": {From: "e", On: "e.uid = u.id", Columns: map[string]sqlfilter.Column{"value": {Expr: "e.v"}, "type": {Expr: "e.ty"}}}},
	}
}

func TestFiltersBecomeSQL(t *testing.T) {
	typ := userType(t)
	for _, c := range []struct{ filter, pg, args, residual string }{
		{`userName eq "Ada"`, `(u.un = $3)`, `[ada]`, ""},
		{`externalId eq "Ada"`, `(u.ext = $3)`, `[Ada]`, ""},
		{`userName ne "Ada"`, `(u.un is distinct from $3)`, `[ada]`, ""},
		{`userName sw "Ad"`, `(u.un >= $3 and u.un < $4)`, `[ad ae]`, ""},
		{"userName sw \"a\U0010ffff\"", `(u.un >= $3 and u.un < $4)`, "[a\U0010ffff b]", ""},
		{"userName sw \"\ud7ff\"", `(u.un >= $3 and u.un < $4)`, "[\ud7ff \ue000]", ""},
		{"userName sw \"\U0010ffff\"", `(u.un >= $3)`, "[\U0010ffff]", ""},
		{`userName sw ""`, `(u.un is not null)`, `[]`, ""},
		{`userName co "D%_"`, `(strpos(u.un, $3) > 0)`, `[d%_]`, ""},
		{`userName ew "A"`, `(right(u.un, length($3::text)) = $3)`, `[a]`, ""},
		{`active eq true`, `(u.act = $3)`, `[true]`, ""},
		{`meta.created gt "1970-01-01T00:00:01Z"`, `(u.created > $3)`, `[1000000]`, ""},
		{`meta.created gt "1970-01-01T00:00:00.0000001Z"`, ``, `[]`, "meta"},
		{`userName pr`, `(u.un <> '')`, `[]`, ""},
		{`active pr`, `(u.act is not null)`, `[]`, ""},
		{`emails pr`, `exists (select 1 from e where e.uid = u.id)`, `[]`, ""},
		{`emails eq "A@x"`, `exists (select 1 from e where e.uid = u.id and (e.v = $3))`, `[a@x]`, ""},
		{`emails[type eq "work"].value eq "a"`, `exists (select 1 from e where e.uid = u.id and ((e.ty = $3) and (e.v = $4)))`, `[work a]`, ""},
		{`emails[not (type eq "work")]`, `exists (select 1 from e where e.uid = u.id and ((e.ty = $3) is not true))`, `[work]`, ""},
		{`emails.display eq "x"`, ``, `[]`, "emails"},
		{`title pr`, ``, `[]`, "title"},
		{`userName eq "a" and title pr and active eq false`, `(u.un = $3) and (u.act = $4)`, `[a false]`, "title"},
		{`userName eq "a" or title pr`, ``, `[]`, "userName title"},
		{`not (title pr)`, ``, `[]`, "title"},
		{`not (userName eq "a")`, `((u.un = $3) is not true)`, `[a]`, ""},
		{`userName eq "a" or userName eq "b" or userName eq "c"`, `((u.un = $3) or (u.un = $4) or (u.un = $5))`, `[a b c]`, ""},
		{schema.EnterpriseURN + `:department eq "D" and name.familyName eq "L"`, `(u.dep = $3) and (u.fam = $4)`, `[d l]`, ""},
		{`id eq "no uuid"`, `(1=0)`, `[]`, ""},
		{`id ne "no uuid"`, `(1=1)`, `[]`, ""},
		{`id sw "x"`, ``, `[]`, "id"},
	} {
		x, err := filter.Parse(typ, c.filter, schema.Standard())
		if err != nil {
			t.Fatal(err)
		}
		where, args, residual := compiler(sqlfilter.PostgreSQL).Where(x, 2)
		if where != c.pg || fmt.Sprint(args) != c.args || strings.Join(filter.Keys(residual), " ") != c.residual {
			t.Errorf("%s:\ngot  %s %v, residual %v\nwant %s %s, residual %s", c.filter, where, args, filter.Keys(residual), c.pg, c.args, c.residual)
		}
	}
	x, _ := filter.Parse(typ, `userName co "a" and userName ew "b" and active eq true`, schema.Strict())
	where, args, _ := compiler(sqlfilter.SQLite).Where(x, 0)
	if want := `(instr(u.un, $1) > 0) and (substr(u.un, -length($2)) = $2) and (u.act = $3)`; where != want || args[2] != int64(1) {
		t.Errorf("SQLite: got %s %v, want %s", where, args, want)
	}
	if where, args, residual := compiler(sqlfilter.SQLite).Where(nil, 0); where != "" || args != nil || residual != nil {
		t.Error("no filter became something")
	}
}

func TestNoValueBecomesText(t *testing.T) {
	typ := userType(t)
	evil := `x'); drop table u; --`
	for _, f := range []string{`userName eq %q`, `userName co %q`, `userName sw %q`, `userName ew %q`, `not (userName gt %q)`, `emails[value eq %q or type ne %[1]q]`} {
		x, err := filter.Parse(typ, fmt.Sprintf(f, evil), schema.Strict())
		if err != nil {
			t.Fatal(err)
		}
		if where, args, _ := compiler(sqlfilter.SQLite).Where(x, 0); strings.Contains(where, "drop") || len(args) == 0 {
			t.Errorf("%s: %s", f, where)
		}
	}
}

func TestWhatIsPushedAndWhatIsLeftAreTheWholeFilter(t *testing.T) {
	typ := userType(t)
	x, err := filter.Parse(typ, `userName eq "a" and (title pr or active eq true) and emails.display pr`, schema.Strict())
	if err != nil {
		t.Fatal(err)
	}
	_, _, residual := compiler(sqlfilter.PostgreSQL).Where(x, 0)
	r := &schema.Resource{Created: time.Now(), Attrs: schema.Object{"userName": "other", "active": true, "emails": []any{schema.Object{"value": "v", "display": "d"}}}}
	if !filter.Match(residual, r) {
		t.Error("the residual repeats what was pushed")
	}
	r.Attrs["active"] = false
	if filter.Match(residual, r) {
		t.Error("the residual lost a condition")
	}
}

func TestAnOrderNeedsColumns(t *testing.T) {
	typ := userType(t)
	key := func(by string) scim.SortKey {
		p, err := typ.Resolve(by, schema.InvalidPath)
		if err != nil {
			t.Fatal(errors.Join(err))
		}
		return scim.SortKey{Path: p}
	}
	c := compiler(sqlfilter.PostgreSQL)
	down := key("userName")
	down.Desc = true
	if got, ok := c.Order([]scim.SortKey{down, key("meta.created")}, "u.id"); !ok || got != "u.un desc nulls first, u.created nulls last, u.id" {
		t.Errorf("got %q, %v", got, ok)
	}
	if got, ok := c.Order(nil, "u.id"); !ok || got != "u.id" {
		t.Errorf("got %q, %v", got, ok)
	}
	for _, by := range []string{"title", "emails.value", "emails"} {
		if got, ok := c.Order([]scim.SortKey{key(by)}, "u.id"); ok {
			t.Errorf("%s: %s", by, got)
		}
	}
}

func TestAPageBeginsAfterAPlace(t *testing.T) {
	typ := userType(t)
	key := func(by string, desc bool) []scim.SortKey {
		p, err := typ.Resolve(by, schema.InvalidPath)
		if err != nil {
			t.Fatal(err)
		}
		return []scim.SortKey{{Path: p, Desc: desc}}
	}
	c := compiler(sqlfilter.PostgreSQL)
	un := c.Columns["userName"]
	un.NotNull = true
	c.Columns["id"] = un
	for _, w := range []struct {
		about string
		keys  []scim.SortKey
		value []any
		want  string
	}{
		{"id alone", nil, nil, "(u.id > $4)"},
		{"a value", key("userName", false), []any{"a"}, "((u.un >= $4 and (u.un > $4 or (u.id > $5))) or u.un is null)"},
		{"a value, down", key("userName", true), []any{"a"}, "((u.un <= $4 and (u.un < $4 or (u.id > $5))))"},
		{"no value", key("userName", false), []any{nil}, "((u.un is null and (u.id > $4)))"},
		{"no value, down", key("userName", true), []any{nil}, "(u.un is not null or (u.un is null and (u.id > $4)))"},
		{"a column without nulls", key("id", false), []any{"a"}, "((u.un >= $4 and (u.un > $4 or (u.id > $5))))"},
	} {
		got, args, ok := c.After(&scim.Keyset{Values: w.value, ID: "i"}, w.keys, "u.id", 3)
		if !ok || got != w.want || args[len(args)-1] != "i" {
			t.Errorf("%s: got %q, %v, %v; want %q", w.about, got, args, ok, w.want)
		}
	}
	for about, keys := range map[string][]scim.SortKey{"no column": key("title", false), "a list": key("emails", false)} {
		if got, _, ok := c.After(&scim.Keyset{Values: []any{"a"}, ID: "i"}, keys, "u.id", 0); ok {
			t.Errorf("%s: %s", about, got)
		}
	}
	if got, _, ok := c.After(&scim.Keyset{Values: []any{nil}, ID: "i"}, key("id", false), "u.id", 0); ok {
		t.Errorf("no value where every row has one: %s", got)
	}
}

// indexed is the compiler with what indexes find.
func indexed(d sqlfilter.Dialect) *sqlfilter.Compiler {
	c := compiler(d)
	c.Columns["userName"] = sqlfilter.Column{Expr: "u.un", NotNull: true, Unique: true, Indexed: true}
	c.Columns["externalId"] = sqlfilter.Column{Expr: "u.ext", Unique: true, Indexed: true}
	c.Children["emails"] = sqlfilter.Child{From: "e", On: "e.uid = u.id and e.l = 1", Of: "u.id", Owner: "e.uid", Where: "e.l = 1",
		Columns: map[string]sqlfilter.Column{"value": {Expr: "e.v", Indexed: true}, "type": {Expr: "e.ty"}}}
	return c
}

func TestWhatAnIndexFindsIsAskedForFirst(t *testing.T) {
	typ := userType(t)
	sqlite, postgres := indexed(sqlfilter.SQLite), indexed(sqlfilter.PostgreSQL)
	for _, c := range []struct {
		filter     string
		finds, one bool
		sqlite     string // where it matters
	}{
		{`userName eq "a"`, true, true, ""},
		{`userName eq "a" and title pr`, true, true, ""},
		{`userName eq "a" or externalId eq "b"`, true, false, ""},
		{`userName eq "a" or active eq true`, false, false, ""},
		{`userName ne "a"`, false, false, ""},
		{`userName sw "a"`, false, false, ""},
		{`not (userName eq "a")`, false, false, ""},
		{`emails.value eq "a"`, true, false, "(u.id in (select e.uid from e where e.l = 1 and (e.v = $1)))"},
		{`emails.value sw "a"`, false, false, "(u.id in (select e.uid from e where e.l = 1 and (e.v >= $1 and e.v < $2)))"},
		{`emails[type eq "work" and value eq "a"]`, true, false, "(u.id in (select e.uid from e where e.l = 1 and ((e.ty = $1) and (e.v = $2))))"},
		{`emails[type eq "work"]`, false, false, "exists (select 1 from e where e.uid = u.id and e.l = 1 and (e.ty = $1))"},
		{`emails[type eq "work" or value eq "a"]`, false, false, "exists (select 1 from e where e.uid = u.id and e.l = 1 and ((e.ty = $1) or (e.v = $2)))"},
		{`emails.value co "a"`, false, false, "exists (select 1 from e where e.uid = u.id and e.l = 1 and (instr(e.v, $1) > 0))"},
	} {
		x, err := filter.Parse(typ, c.filter, schema.Strict())
		if err != nil {
			t.Fatal(err)
		}
		if got := sqlite.Finds(x); got != c.finds {
			t.Errorf("%s: finds %v", c.filter, got)
		}
		if got := sqlite.One(x); got != c.one {
			t.Errorf("%s: one %v", c.filter, got)
		}
		if where, _, _ := sqlite.Where(x, 0); c.sqlite != "" && where != c.sqlite {
			t.Errorf("%s:\ngot  %s\nwant %s", c.filter, where, c.sqlite)
		}
		if where, _, _ := postgres.Where(x, 0); strings.Contains(where, " in (") {
			t.Errorf("%s: PostgreSQL finds that out by itself: %s", c.filter, where)
		}
	}
	if sqlite.Finds(nil) || sqlite.One(nil) {
		t.Error("everything is few")
	}
	name, err := typ.Resolve("userName", schema.InvalidPath)
	if err != nil {
		t.Fatal(err)
	}
	created, err := typ.Resolve("meta.created", schema.InvalidPath)
	if err != nil {
		t.Fatal(err)
	}
	for want, keys := range map[string][]scim.SortKey{
		"u.un":                             {{Path: name}},
		"u.un desc":                        {{Path: name, Desc: true}, {Path: created}},
		"u.created nulls last, u.un":       {{Path: created}, {Path: name}},
		"u.created desc nulls first, u.id": {{Path: created, Desc: true}},
	} {
		if got, ok := sqlite.Order(keys, "u.id"); !ok || got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPostgreSQLIsOfferedFewJoins(t *testing.T) {
	typ := userType(t)
	x, err := filter.Parse(typ, strings.Repeat(`emails.value eq "a" and `, 9)+`userName pr`, schema.Strict())
	if err != nil {
		t.Fatal(err)
	}
	where, _, _ := compiler(sqlfilter.PostgreSQL).Where(x, 0)
	if n := strings.Count(where, ") is true"); n != 5 {
		t.Errorf("%d of nine are evaluated row by row, want 5: %s", n, where)
	}
	if where, _, _ := compiler(sqlfilter.SQLite).Where(x, 0); strings.Contains(where, "is true") {
		t.Errorf("SQLite: %s", where)
	}
}
