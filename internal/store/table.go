package store

import (
	"fmt"
	"strconv"
	"strings"
)

// table is a table that many rows are written to at once.
type table struct {
	name    string
	columns []column
}

type column struct{ name, kind string } // kind: text, bigint, boolean or bytea

// tableOf reads a table from its name and its columns with their types.
func tableOf(name, columns string) table {
	t := table{name: name}
	for c := range strings.SplitSeq(columns, ",") {
		f := strings.Fields(c)
		t.columns = append(t.columns, column{f[0], f[1]})
	}
	return t
}

func (t table) names() []string {
	all := make([]string, len(t.columns))
	for i, c := range t.columns {
		all[i] = c.name
	}
	return all
}

// insertRows is the statement that writes n rows, given by their arguments one after the other.
func (t table) insertRows(n int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO ` + t.name + ` (` + strings.Join(t.names(), ", ") + `) VALUES `)
	for i := range n * len(t.columns) {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(t.columns) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	return b.String() + ")"
}

// insertOne is insertRows of one.
func (t table) insertOne() string { return t.insertRows(1) }

// insertMany is the statement of PostgreSQL that writes any number of rows, each with a text of its own beside it that the
// condition knows as v.whose. Its text does not depend on how many rows there are.
func (t table) insertMany(condition string) string {
	arrays := make([]string, 0, len(t.columns)+1)
	for i, c := range append(t.columns[:len(t.columns):len(t.columns)], whose) {
		arrays = append(arrays, "$"+strconv.Itoa(i+1)+"::"+c.kind+"[]")
	}
	names := strings.Join(t.names(), ", ")
	return t.insertFrom(`unnest(`+strings.Join(arrays, ", ")+`) AS v (`+names+`, whose)`, condition)
}

// whose is the column beside those of a table.
var whose = column{"whose", "text"}

func (t table) insertFrom(source, condition string) string {
	names := strings.Join(t.names(), ", ")
	return `INSERT INTO ` + t.name + ` (` + names + `) SELECT ` + names + ` FROM ` + source + ` WHERE ` + condition
}

// stage is the table rows are copied to before they are merged.
func (t table) stage() string { return "stage_" + t.name }

// makeStage is the statement that makes it for one transaction. It has no index and no condition, and is not logged.
func (t table) makeStage() string {
	columns := make([]string, 0, len(t.columns)+1)
	for _, c := range append(t.columns[:len(t.columns):len(t.columns)], whose) {
		columns = append(columns, c.name+" "+c.kind)
	}
	return `CREATE TEMP TABLE ` + t.stage() + ` (` + strings.Join(columns, ", ") + `) ON COMMIT DROP`
}

// arrays are the arguments of insertMany: one array a column, and whose.
func (t table) arrays(rows [][]any, whose []string) []any {
	args := make([]any, 0, len(t.columns)+1)
	for i, c := range t.columns {
		switch c.kind {
		case "text":
			args = append(args, arrayOf(rows, i, func(v any) *string { s := v.(string); return &s }))
		case "bigint":
			args = append(args, arrayOf(rows, i, func(v any) *int64 { n := integer(v); return &n }))
		case "boolean":
			args = append(args, arrayOf(rows, i, func(v any) *bool { b := v.(bool); return &b }))
		case "bytea":
			args = append(args, arrayOf(rows, i, func(v any) []byte { return v.([]byte) }))
		default:
			panic("store: no column of kind " + c.kind)
		}
	}
	return append(args, whose)
}

func arrayOf[T any](rows [][]any, i int, cast func(any) T) []T {
	out := make([]T, len(rows))
	for n, row := range rows {
		if row[i] != nil {
			out[n] = cast(row[i])
		}
	}
	return out
}

func integer(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int:
		return int64(v)
	}
	panic(fmt.Sprintf("store: %T is no integer", v))
}
