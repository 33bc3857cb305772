// Package messagetest finds the keys that Go files and HTML templates name, so that a test can hold them against the
// catalogue. Keys built while running cannot be seen here; the catalogue reports those when they have no text.
package messagetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Use is one place that names a key.
type Use struct {
	File string // relative to the root that was scanned
	Line int
	Key  string
	// Args are the argument names given with the key. They are known only when Complete is true: for message.Key with
	// literal names.
	Args     []string
	Complete bool
}

// Uses walks root and returns every literal key in Go files, as message.Key("…") or message.Message{Key: "…"}, and in
// HTML and text templates (*.html, *.txt, *.tmpl below a templates folder), as {{t "…"}}. Tests and testdata are left
// out: they may name keys that do not exist. root is a folder of the working tree.
func Uses(root string) ([]Use, error) {
	var uses []Use
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		var found []Use
		switch {
		case strings.HasSuffix(name, "_test.go"):
			return nil
		case strings.HasSuffix(name, ".go"):
			found, err = inGo(path)
		case strings.HasSuffix(name, ".html"), strings.Contains("/"+filepath.ToSlash(rel), "/templates/"):
			found, err = inTemplate(path)
		}
		for _, u := range found {
			u.File = rel
			uses = append(uses, u)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("scan for keys: %w", err)
	}
	return uses, nil
}

func inGo(path string) ([]Use, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var uses []Use
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if key, ok := literal(n.Args, 0); ok && named(n.Fun, file.Name.Name, "Key") {
				u := Use{Line: set.Position(n.Pos()).Line, Key: key, Complete: !n.Ellipsis.IsValid()}
				for i := 1; i < len(n.Args); i += 2 {
					arg, ok := literal(n.Args, i)
					u.Complete = u.Complete && ok
					u.Args = append(u.Args, arg)
				}
				uses = append(uses, u)
			}
		case *ast.CompositeLit:
			if !named(n.Type, file.Name.Name, "Message") {
				return true
			}
			for _, e := range n.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "Key" {
					if key, ok := literal([]ast.Expr{kv.Value}, 0); ok {
						uses = append(uses, Use{Line: set.Position(n.Pos()).Line, Key: key})
					}
				}
			}
		}
		return true
	})
	return uses, nil
}

// named reports whether an expression is message.NAME, or NAME inside package message.
func named(e ast.Expr, pkg, name string) bool {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "message" && e.Sel.Name == name
	case *ast.Ident:
		return pkg == "message" && e.Name == name
	}
	return false
}

func literal(args []ast.Expr, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	lit, ok := args[i].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

var (
	action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	keyed  = regexp.MustCompile(`(?:\{\{-?\s*|[\s(|])\$?\.?[tT]\s+"([^"]+)"`)
)

func inTemplate(path string) ([]Use, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var uses []Use
	for _, at := range action.FindAllIndex(raw, -1) {
		for _, m := range keyed.FindAllSubmatch(raw[at[0]:at[1]], -1) {
			line := 1 + strings.Count(string(raw[:at[0]]), "\n")
			uses = append(uses, Use{Line: line, Key: string(m[1])})
		}
	}
	return uses, nil
}
