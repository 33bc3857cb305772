package house

import (
	"go/ast"
	"strings"
	"testing"
)

// mayCallOut are the packages that make connections for HTTP themselves: the one client, and the judge of SCIM servers,
// which is no part of the program.
var mayCallOut = []string{"internal/egress", "pkg/scim/scimtest"}

// ownWays are the names of net/http that reach another machine without the one client: it alone judges the address it is
// about to dial.
var ownWays = []string{"Client", "DefaultClient", "Transport", "Get", "Head", "Post", "PostForm", "ProxyFromEnvironment"}

func TestEveryRequestToAnotherMachineGoesThroughTheOneClient(t *testing.T) {
	made := 0
	for _, f := range tree(t) {
		if f.test || strings.HasPrefix(f.dir, "examples/") || in(f.dir, forTests) {
			continue
		}
		for _, what := range goesOut(f.ast) {
			if in(f.dir, mayCallOut) {
				made++
				continue
			}
			t.Errorf("%s uses http.%s: take the client of internal/egress", f.path, what)
		}
	}
	if made == 0 {
		t.Error("nobody goes out at all: the test looks in the wrong place")
	}
}

// goesOut returns the own ways of a file. Naming the type *http.Client, as a parameter does, is no way out.
func goesOut(f *ast.File) (out []string) {
	types := map[ast.Expr]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			types[n.X] = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "http" && in(n.Sel.Name, ownWays) && !types[n] {
				out = append(out, n.Sel.Name)
			}
		}
		return true
	})
	return out
}

func in(s string, all []string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}
