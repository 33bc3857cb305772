// Package house holds the rules of the house as tests: who may import whom, what must be said in a comment, how long a file
// may be, and that what ends with a person does end. They read the tree themselves with go/parser: a test that asks `go
// list` in a child process is cached and goes blind.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/regain-id/regain/"

// The layers, for the table below: words ← rules ← edges ← app.
const (
	words = " event fault limit keyring message "
	rules = " account client session method passkey policy password register reset staff "
)

// mayImport is the whole architecture: package → what of ours it may import. Names without a slash are of internal/. A
// package that is not listed fails: say here first what it is for.
var mayImport = map[string]string{
	// words: what everything is said in
	"internal/event":   "fault message",
	"internal/fault":   "message",
	"internal/keyring": "fault message",
	"internal/limit":   "fault message",
	"internal/message": "",

	// rules: what regain believes; no HTTP, SQL, SCIM, OIDC; of pkg only pkg/directory
	"internal/account":  words + "client method policy pkg/directory",
	"internal/client":   words,
	"internal/method":   words + "client",
	"internal/password": words + "pkg/directory",
	"internal/passkey":  words + "method",
	"internal/policy":   words + "account client method password",
	"internal/register": words + "account client method passkey policy reset session",
	"internal/reset":    words + "account client method passkey policy password pkg/directory",
	"internal/session":  words + "account client method policy",
	"internal/staff":    words + "account client method policy reset session",

	// edges in: each translates one way of asking
	"internal/console":   words + rules + "signin web",
	"internal/handoff":   words + rules + "web",
	"internal/portal":    words + rules + "signin web pkg/directory",
	"internal/provision": words + rules + "pkg/scim pkg/scim/filter pkg/scim/patch pkg/scim/schema pkg/scim/sqlfilter",
	"internal/signin":    words + rules + "egress web",
	"internal/web":       words + rules,

	// edges out: each translates one thing needed
	"internal/adapter/child":           "pkg/directory pkg/directory/plugin",
	"internal/adapter/activedirectory": "ldapconn pkg/directory",
	"internal/adapter/ldap":            "ldapconn pkg/directory",
	"internal/adapter/memory":          "pkg/directory",
	"internal/egress":                  words,
	"internal/ldapconn":                "pkg/directory",
	"internal/notify":                  words + rules + "egress pkg/directory",
	"internal/signal":                  words + rules + "egress",
	"internal/store":                   words + rules + "pkg/directory pkg/scim pkg/scim/filter pkg/scim/patch pkg/scim/schema pkg/scim/sqlfilter",
	"internal/store/migrations":        "",
	"internal/work":                    words + rules,

	// app plugs the pieces together
	"internal/app":     words + rules + "adapter/activedirectory adapter/child adapter/ldap adapter/memory config console demoidp egress handoff notify portal provision signal signin store store/migrations web work pkg/directory pkg/scim pkg/scim/filter pkg/scim/patch pkg/scim/schema pkg/scim/sqlfilter api examples/app",
	"internal/config":  "",
	"internal/demoidp": "",
	"cmd/regain":       "app config egress",
	"api":              "",

	// for strangers: nothing of internal
	"pkg/directory":               "",
	"pkg/directory/directorytest": "pkg/directory",
	"pkg/directory/plugin":        "pkg/directory",
	"pkg/scim":                    "pkg/scim/filter pkg/scim/patch pkg/scim/schema",
	"pkg/scim/filter":             "pkg/scim/schema",
	"pkg/scim/memstore":           "pkg/scim pkg/scim/filter pkg/scim/patch pkg/scim/schema",
	"pkg/scim/patch":              "pkg/scim/filter pkg/scim/schema",
	"pkg/scim/schema":             "",
	"pkg/scim/scimtest":           "pkg/scim pkg/scim/filter pkg/scim/patch pkg/scim/schema pkg/scim/memstore",
	"pkg/scim/sqlfilter":          "pkg/scim pkg/scim/filter pkg/scim/schema",

	// for tests only
	"internal/browser":                "",
	"internal/house":                  "config",
	"internal/house/needs":            "",
	"internal/house/needs/chromium":   "house/needs browser",
	"internal/house/needs/languages":  "house/needs",
	"internal/house/needs/node":       "house/needs",
	"internal/house/needs/openldap":   "house/needs",
	"internal/house/needs/postgresql": "house/needs",
	"internal/house/needs/samba":      "house/needs",
	"internal/house/needs/webservers": "house/needs",
	"internal/message/messagetest":    "message",
	"internal/store/storetest":        words + rules + "store store/migrations testserver",
	"internal/testserver":             "",
}

// forTests may be imported by _test files and by each other, never by what is built into the program.
var forTests = []string{"internal/browser", "internal/house", "internal/house/needs", "internal/house/needs/chromium", "internal/house/needs/languages", "internal/house/needs/node", "internal/house/needs/openldap", "internal/house/needs/postgresql", "internal/house/needs/samba", "internal/house/needs/webservers", "internal/testserver", "internal/store/storetest", "internal/message/messagetest"}

// onlyApp are the packages whose choice is app's alone.
func onlyApp(pkg string) bool {
	return pkg == "internal/store" || pkg == "internal/notify" || strings.HasPrefix(pkg, "internal/adapter/")
}

// file is one Go file of the tree.
type file struct {
	path, dir string // from the root, with slashes
	test      bool
	lines     int
	ast       *ast.File
}

// root is the folder of go.mod, seen from this package.
const root = "../.."

// tree parses every Go file of the module, testdata and hidden folders left out.
func tree(t *testing.T) []file {
	t.Helper()
	var all []file
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		src, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, file{path: p, dir: path.Dir(p), test: strings.HasSuffix(name, "_test.go"),
			lines: strings.Count(string(src), "\n"), ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d Go files: the test looks in the wrong place", len(all))
	}
	return all
}

// imports returns what of ours a file imports, as folders from the root.
func (f file) imports() []string {
	var ours []string
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if rest, ok := strings.CutPrefix(p, module); ok {
			ours = append(ours, rest)
		}
	}
	return ours
}

// allowed returns the folders a package may import.
func allowed(pkg string) []string {
	var dirs []string
	for name := range strings.FieldsSeq(mayImport[pkg]) {
		if !strings.HasPrefix(name, "pkg/") && !strings.HasPrefix(name, "examples/") && name != "api" {
			name = "internal/" + name
		}
		dirs = append(dirs, name)
	}
	return dirs
}

func TestEveryPackageImportsOnlyWhatTheTableAllows(t *testing.T) {
	for _, f := range tree(t) {
		if _, listed := mayImport[f.dir]; !listed && !strings.HasPrefix(f.dir, "examples/") {
			t.Errorf("%s: package %s is not in mayImport: say there first what it is for", f.path, f.dir)
			continue
		}
		for _, to := range f.imports() {
			for _, why := range forbidden(f.dir, to, f.test) {
				t.Errorf("%s imports %s: %s", f.path, to, why)
			}
		}
	}
}

// forbidden says why a package may not import another, or nothing.
func forbidden(from, to string, test bool) (why []string) {
	say := func(when bool, text string) {
		if when {
			why = append(why, text)
		}
	}
	inPkg := strings.HasPrefix(from, "pkg/")
	say(inPkg && !strings.HasPrefix(to, "pkg/"), "pkg is for strangers and imports nothing of internal")
	say(strings.HasPrefix(from, "examples/") && !strings.HasPrefix(to, "pkg/"), "an example shows what a stranger can do: only pkg")
	if test || strings.HasPrefix(from, "examples/") {
		return why // tests prefer the real thing, wherever it is
	}
	say(slices.Contains(forTests, to) && !slices.Contains(forTests, from), "it is for tests only")
	say(onlyApp(to) && from != "internal/app" && !slices.Contains(forTests, from), "only app plugs pieces together")
	say(!slices.Contains(allowed(from), to), "mayImport does not allow it")
	return why
}

func TestTheTableItselfKeepsTheDirection(t *testing.T) {
	layer := func(pkg string) int {
		name := strings.TrimPrefix(pkg, "internal/")
		switch {
		case strings.Contains(words, " "+name+" "):
			return 0
		case strings.Contains(rules, " "+name+" "):
			return 1
		case pkg == "internal/app" || pkg == "internal/config" || strings.HasPrefix(pkg, "cmd/"):
			return 3
		}
		return 2
	}
	for from := range mayImport {
		if slices.Contains(forTests, from) || strings.HasPrefix(from, "pkg/") {
			continue
		}
		for _, to := range allowed(from) {
			if strings.HasPrefix(to, "pkg/") {
				if layer(from) <= 1 && to != "pkg/directory" || layer(from) == 0 {
					t.Errorf("%s may import %s: words know no pkg, rules only pkg/directory", from, to)
				}
				continue
			}
			if layer(to) > layer(from) {
				t.Errorf("%s may import %s: the direction is words ← rules ← edges ← app", from, to)
			}
			// Two edges do not lean on each other, but for the shared ways out and in.
			if layer(from) == 2 && layer(to) == 2 && to != "internal/web" && to != "internal/signin" && to != "internal/egress" && to != "internal/ldapconn" && !strings.HasPrefix(to, from+"/") {
				t.Errorf("%s may import %s: an edge imports no edge but web, signin, egress and ldapconn", from, to)
			}
		}
	}
}

func TestTheRulesOfImportBite(t *testing.T) {
	for _, test := range []struct {
		from, to string
		test     bool
		want     bool
	}{
		{"internal/reset", "internal/store", false, true},
		{"internal/reset", "internal/account", false, false},
		{"internal/portal", "internal/notify", false, true},
		{"internal/app", "internal/store", false, false},
		{"internal/app", "internal/browser", false, true},
		{"internal/app", "internal/browser", true, false},
		{"internal/web", "internal/testserver", false, true},
		{"pkg/scim", "internal/fault", true, true},
		{"pkg/scim", "pkg/directory", false, true},
		{"examples/adapter", "internal/fault", false, true},
		{"internal/fault", "internal/account", false, true},
	} {
		if got := len(forbidden(test.from, test.to, test.test)) > 0; got != test.want {
			t.Errorf("%s imports %s (in a test: %t): forbidden %t, want %t", test.from, test.to, test.test, got, test.want)
		}
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for _, f := range tree(t) {
		for _, part := range strings.Split(f.dir, "/") {
			if slices.Contains([]string{"util", "utils", "common", "helpers", "helper", "models", "model", "service", "services", "misc", "base"}, part) {
				t.Errorf("%s: a package is a noun with a purpose, and %q is none", f.path, part)
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	docs, seen := map[string][]string{}, map[string]bool{}
	for _, f := range tree(t) {
		if f.test && f.dir != "internal/house" || f.dir == "." {
			continue
		}
		seen[f.dir] = true
		if doc := f.ast.Doc.Text(); doc != "" {
			docs[f.dir] = append(docs[f.dir], f.path)
			want := "Package " + f.ast.Name.Name + " "
			if f.ast.Name.Name == "main" {
				want = "Command " + path.Base(f.dir) + " "
			}
			if !strings.HasPrefix(doc, want) {
				t.Errorf("%s: the package comment begins %.40q, want %q", f.path, doc, want)
			}
		}
	}
	for dir := range seen {
		if n := len(docs[dir]); n != 1 {
			t.Errorf("%s has %d package comments %v, want one", dir, n, docs[dir])
		}
	}
}

func TestEveryExportedNameHasAComment(t *testing.T) {
	for _, f := range tree(t) {
		if f.test || f.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: %s has no comment that starts with its name", f.path, name)
			}
		}
	}
}

// undocumented returns the exported names of a declaration without a comment. A comment over a group of constants or
// variables serves for all of it; methods that a standard interface explains may go without.
func undocumented(decl ast.Decl) (names []string) {
	starts := func(doc *ast.CommentGroup, name string) bool {
		text := doc.Text()
		for _, article := range []string{"", "A ", "An ", "The "} {
			if strings.HasPrefix(text, article+name) {
				return true
			}
		}
		return strings.HasPrefix(text, "Deprecated:")
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || starts(d.Doc, d.Name.Name) {
			return nil
		}
		if d.Recv != nil {
			wellKnown := []string{"Error", "Unwrap", "String", "Len", "Less", "Swap", "Is", "As", "ServeHTTP", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "LogValue", "GoString", "Format", "Read", "Write", "Close"}
			if slices.Contains(wellKnown, d.Name.Name) || !exportedReceiver(d.Recv.List[0].Type) {
				return nil
			}
		}
		return []string{d.Name.Name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && !starts(s.Doc, s.Name.Name) && !(len(d.Specs) == 1 && starts(d.Doc, s.Name.Name)) {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

func exportedReceiver(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.StarExpr:
		return exportedReceiver(e.X)
	case *ast.IndexExpr:
		return exportedReceiver(e.X)
	case *ast.IndexListExpr:
		return exportedReceiver(e.X)
	case *ast.Ident:
		return e.IsExported()
	}
	return false
}

func TestEveryFileCanBeReadInOneSitting(t *testing.T) {
	const most = 500
	for _, f := range tree(t) {
		if !f.test && f.lines > most && !ast.IsGenerated(f.ast) {
			t.Errorf("%s has %d lines, at most %d", f.path, f.lines, most)
		}
	}
}

func TestNothingHappensAtInit(t *testing.T) {
	for _, f := range tree(t) {
		for _, decl := range f.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				t.Errorf("%s has an init: nothing happens before somebody asks for it", f.path)
			}
		}
	}
}
