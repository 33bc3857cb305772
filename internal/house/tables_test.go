package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// endRules says, for every table bound to a person, how its rows end when the person's sessions and attempts must:
//
//	epoch    a row counts only while its epoch is the person's (one join); it has the column
//	cascade  what the person is or has: it goes with the person's row
//	attempt  it belongs to an attempt and ends with that; it has the column
//	kept     on purpose, for the reason given
//
// A new table with a column person, subject or member needs a line here, and with it an answer.
var endRules = map[string]string{
	"attempts":        "epoch",
	"browsers":        "epoch",
	"contacts":        "cascade",
	"departures":      "kept: whom a connector took away of late, sealed under their own key, so that a wave can be undone; minutes, or seven days",
	"enrolments":      "epoch",
	"events":          "kept: the audit log; sealed parts end with the person's key",
	"handoffs":        "epoch",
	"identities":      "cascade",
	"links":           "cascade",
	"logins":          "cascade",
	"members":         "kept: a group may name members before they exist (SCIM); the groups of a person are looked up by id",
	"methods":         "cascade",
	"person_keys":     "kept: erasing it is how a person is forgotten; it outlives the row so that events can be explained for 30 days",
	"recovery_codes":  "cascade",
	"registrations":   "cascade",
	"sessions":        "epoch",
	"signal_counts":   "cascade",
	"stream_subjects": "cascade",
	"writes":          "attempt",
}

var (
	createTable = regexp.MustCompile(`(?is)CREATE TABLE (?:IF NOT EXISTS )?(\w+)\s*\((.*?)\n\)`)
	bound       = regexp.MustCompile(`(?m)^\s*(person|subject|member)\s`)
	cascades    = regexp.MustCompile(`(?mi)^\s*person\s.*REFERENCES people \(id\) ON DELETE CASCADE`)
	epochColumn = regexp.MustCompile(`(?m)^\s*epoch\s`)
	tryColumn   = regexp.MustCompile(`(?m)^\s*attempt\s`)
)

func TestEveryTableBoundToAPersonHasAnEndRule(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "internal/store/migrations/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations found: %v", err)
	}
	found := 0
	for _, name := range files {
		sql, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range createTable.FindAllStringSubmatch(string(sql), -1) {
			if bound.MatchString(table[2]) {
				found++
			}
			if why := brokenEndRule(table[1], table[2]); why != "" {
				t.Errorf("%s: table %s %s", filepath.Base(name), table[1], why)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d tables are bound to a person: the test reads the SQL wrongly", found)
	}
}

func brokenEndRule(table, columns string) string {
	if !bound.MatchString(columns) {
		return ""
	}
	switch rule, _, _ := strings.Cut(endRules[table], ":"); {
	case rule == "epoch" && !epochColumn.MatchString(columns):
		return "is said to end with the epoch and has no such column"
	case rule == "cascade" && !cascades.MatchString(columns):
		return "is said to go with the person and does not: want REFERENCES people (id) ON DELETE CASCADE"
	case rule == "attempt" && !tryColumn.MatchString(columns):
		return "is said to end with an attempt and has no such column"
	case rule == "":
		return "is bound to a person and has no end rule: add it to endRules"
	}
	return ""
}

func TestATableWithoutAnEndRuleIsFound(t *testing.T) {
	for _, test := range []struct {
		table, columns, want string
	}{
		{"nowhere", "\n\tperson TEXT NOT NULL", "no end rule"},
		{"attempts", "\n\tperson TEXT NOT NULL", "no such column"},
		{"methods", "\n\tperson TEXT NOT NULL,\n\tid TEXT", "does not"},
		{"settings", "\n\tname TEXT", ""},
	} {
		if got := brokenEndRule(test.table, test.columns); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.table, got, test.want)
		}
	}
}
