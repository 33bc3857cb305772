package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"

	yamlv3 "go.yaml.in/yaml/v3"
)

// The comments of Config's fields are the operator's reference, so the source goes into the binary: what Render prints
// cannot say anything else than the code.
//
//go:embed config.go
var source string

// Render writes c as YAML with the comment of every key above it; Load reads it back to the same Config. With redact a
// secret that was given directly shows as "(hidden)" and a database address without its password, so the result may be
// pasted into a ticket but not be loaded; one from a file always shows as its _file twin.
func Render(c Config, redact bool) []byte {
	r := &renderer{redact: redact, docs: comments()}
	r.section(0, reflect.ValueOf(c))
	return bytes.TrimLeft(r.out.Bytes(), "\n")
}

type renderer struct {
	out    bytes.Buffer
	redact bool
	docs   map[string]string
}

func (r *renderer) section(depth int, v reflect.Value) {
	pad := strings.Repeat("  ", depth)
	for i := range v.NumField() {
		f, field := v.Type().Field(i), v.Field(i)
		key, doc := f.Tag.Get("key"), r.docs[v.Type().Name()+"."+f.Name]
		nested := field.Kind() == reflect.Struct && !isSecret(field)
		if nested && doc == "" {
			doc = r.docs[f.Type.Name()]
		}
		if depth == 0 {
			r.out.WriteByte('\n')
		}
		for line := range strings.Lines(doc) {
			fmt.Fprintf(&r.out, "%s# %s\n", pad, strings.TrimSpace(line))
		}
		switch {
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct && field.Type().Elem().PkgPath() == v.Type().PkgPath():
			r.sections(pad, key, field)
		case nested:
			fmt.Fprintf(&r.out, "%s%s:\n", pad, key)
			r.section(depth+1, field)
		default:
			name, value := r.leaf(key, field)
			fmt.Fprintf(&r.out, "%s%s: %s\n", pad, name, value)
		}
	}
}

// sections writes a list of sections: directories, providers.
func (r *renderer) sections(pad, key string, list reflect.Value) {
	if list.Len() == 0 {
		fmt.Fprintf(&r.out, "%s%s: []\n", pad, key)
		return
	}
	fmt.Fprintf(&r.out, "%s%s:\n", pad, key)
	for i := range list.Len() {
		fmt.Fprintf(&r.out, "%s  -\n", pad)
		r.section(len(pad)/2+2, list.Index(i))
	}
}

func isSecret(v reflect.Value) bool {
	switch v.Interface().(type) {
	case Secret, DSN:
		return true
	}
	return false
}

// leaf returns the name and the value of one key as they stand on its line.
func (r *renderer) leaf(key string, v reflect.Value) (name, value string) {
	switch x := v.Interface().(type) {
	case Secret:
		return r.secret(key, x, x.String())
	case DSN:
		return r.secret(key, x.Secret, x.String())
	case Duration:
		return key, x.String()
	case Size:
		return key, x.String()
	case Texts:
		return key, r.texts(x)
	case []netip.Prefix:
		quoted := make([]string, len(x))
		for i, p := range x {
			quoted[i] = strconv.Quote(p.String())
		}
		return key, "[" + strings.Join(quoted, ", ") + "]"
	case []string:
		quoted := make([]string, len(x))
		for i, s := range x {
			quoted[i] = quote(s)
		}
		return key, "[" + strings.Join(quoted, ", ") + "]"
	}
	if v.Kind() == reflect.String {
		return key, quote(v.String())
	}
	return key, fmt.Sprint(v.Interface())
}

func (r *renderer) secret(key string, s Secret, shown string) (name, value string) {
	switch {
	case s.file != "":
		return key + "_file", quote(s.file)
	case r.redact:
		return key, quote(shown)
	}
	return key, quote(s.value)
}

func (r *renderer) texts(t Texts) string {
	if text, everybody := t[""]; everybody && len(t) == 1 || len(t) == 0 {
		return quote(text)
	}
	var parts []string
	for _, tag := range sorted(t) {
		parts = append(parts, quote(tag)+": "+quote(t[tag]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// quote writes a text so that YAML reads exactly it: plain where nothing can be mistaken, else in double quotes.
func quote(s string) string {
	var back any
	if err := yamlv3.Unmarshal([]byte("[ "+s+" ]"), &back); err == nil && s != "" && !strings.ContainsAny(s, "\"'#&*!|>%@`{}[],\n\r\t:") {
		if list, ok := back.([]any); ok && len(list) == 1 && list[0] == s {
			return s
		}
	}
	node := yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!str", Style: yamlv3.DoubleQuotedStyle, Value: s}
	b, err := yamlv3.Marshal(&node)
	if err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// comments maps Type and Type.Field to their comments, read from the embedded source once.
var comments = sync.OnceValue(func() map[string]string {
	docs := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		panic("config: its own source does not parse: " + err.Error())
	}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		spec := group.Specs[0].(*ast.TypeSpec)
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		docs[spec.Name.Name] = withoutName(spec.Name.Name, group.Doc.Text())
		for _, f := range fields.Fields.List {
			docs[spec.Name.Name+"."+f.Names[0].Name] = f.Doc.Text()
		}
	}
	return docs
})

// withoutName turns "Mail is how mail leaves." into "How mail leaves.": an operator does not see Go's names.
func withoutName(name, doc string) string {
	for _, verb := range []string{" is ", " are ", " "} {
		if rest, ok := strings.CutPrefix(doc, name+verb); ok {
			return strings.ToUpper(rest[:1]) + rest[1:]
		}
	}
	return doc
}
