package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// forbidden is what no statement of ours may hold: folding and ordering people's text is done in Go, the time and ids
// are brought along, so that two engines and many replicas agree.
var forbidden = regexp.MustCompile(`(?i)\b(lower|upper|now|random|gen_random_uuid|datetime|strftime|unixepoch|julianday|clock_timestamp|statement_timestamp|transaction_timestamp)\s*\(` +
	`|\bI?LIKE\b|\bSIMILAR\s+TO\b|\bNOCASE\b|\bcitext\b|\bCURRENT_(TIMESTAMP|TIME|DATE)\b|\bLOCALTIME(STAMP)?\b|\bpg_(try_)?advisory|\bLISTEN\b|\bNOTIFY\b|\bnextval\b|\bSERIAL\b|\bAUTOINCREMENT\b`)

// askTheTime is the one file whose purpose is to ask for the time.
const askTheTime = "skew.go"

// looksLikeSQL keeps the scan from judging prose.
var looksLikeSQL = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WHERE|FROM|SET|VALUES|ORDER BY|PRAGMA)\b`)

// literals returns the string constants of a Go file, each with its line; those joined by + are one.
func literals(t *testing.T, path string) map[int]string {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			line := files.Position(lit.Pos()).Line
			all[line] += text + "\n"
		}
		return true
	})
	return all
}

func TestNoStatementFoldsTextOrAsksForTheTime(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	statements := 0
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for line, text := range literals(t, path) {
			if !looksLikeSQL.MatchString(text) {
				continue
			}
			statements++
			if found := forbidden.FindString(text); found != "" && path != askTheTime {
				t.Errorf("%s:%d: %q in %s", path, line, found, text)
			}
		}
	}
	migrations, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatal("no migrations to scan", err)
	}
	for _, path := range migrations {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.FindString(string(text)); found != "" {
			t.Errorf("%s: %q", path, found)
		}
	}
	if statements < 20 {
		t.Errorf("only %d statements found: the scan has gone blind", statements)
	}
}

func TestTheScanKnowsWhatItLooksFor(t *testing.T) {
	for _, bad := range []string{
		"SELECT * FROM p WHERE lower(name) = $1", "WHERE name LIKE $1", "where name ilike 'a%'", "ORDER BY name COLLATE NOCASE",
		"SET at = now()", "DEFAULT CURRENT_TIMESTAMP", "ORDER BY random()", "SELECT LOWER (x)", "VALUES (datetime('now'))", "NOTIFY work",
	} {
		if !forbidden.MatchString(bad) {
			t.Errorf("%q passes", bad)
		}
	}
	for _, good := range []string{"SELECT flower FROM unknown", "UPDATE work SET lease_until = $2", "SELECT not_before FROM work"} {
		if found := forbidden.FindString(good); found != "" {
			t.Errorf("%q is stopped by %q", good, found)
		}
	}
	asks := false
	for _, text := range literals(t, askTheTime) {
		asks = asks || forbidden.MatchString(text)
	}
	if !asks {
		t.Errorf("%s does not ask for the time any more: drop its exemption", askTheTime)
	}
}

// Only these files talk to a driver; everything else goes through reader and tx, which trace and judge errors.
func TestOnlyTheEnginesTalkToTheDrivers(t *testing.T) {
	engines := map[string]bool{"postgres.go": true, "sqlite.go": true, "writer.go": true, "migrate.go": true, "lately.go": true}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\.(QueryContext|QueryRowContext|ExecContext|Query|QueryRow|Exec|SendBatch|CopyFrom|PrepareContext)\(`)
	found := 0
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		calls := call.FindAllString(string(text), -1)
		if engines[path] {
			found += len(calls)
		} else if len(calls) > 0 {
			t.Errorf("%s calls a driver: %q", path, calls)
		}
	}
	if found == 0 {
		t.Error("no engine calls a driver: the scan has gone blind")
	}
}
