package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A figure nobody can measure again is no figure: each command of the page runs a benchmark that exists.
func TestTheCommandsOfThePageOnPerformanceRunSomething(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`go test \./(\S+) .*-bench (\w+)`).FindAllStringSubmatch(string(page), -1)
	if len(commands) < 5 {
		t.Fatalf("%d commands: the test looks for something else than is there", len(commands))
	}
	files := tree(t)
	for _, c := range commands {
		found := false
		for _, f := range files {
			if !f.test || f.dir != c[1] {
				continue
			}
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Benchmark") && strings.Contains(fn.Name.Name, c[2]) {
					found = true
				}
			}
		}
		if !found {
			t.Errorf("%s: %s has no such benchmark", c[0], c[1])
		}
	}
}
