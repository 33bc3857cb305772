package message_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/message/messagetest"
)

// standing are the arguments an edge gives to every message (Catalogue.With), so code need not bring them.
var standing = []string{"Organisation"}

func TestEveryKeyNamedInCodeOrTemplatesHasATextAndItsArguments(t *testing.T) {
	c, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal("this test must run inside the repository: ", err)
	}
	uses, err := messagetest.Uses(root)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(uses, func(u messagetest.Use) bool { return u.Key == "error.internal" }) {
		t.Error("the scan did not even find error.internal of package fault: it has gone blind")
	}
	for _, u := range uses {
		if !c.Has(u.Key) {
			t.Errorf("%s:%d: no text for %q", u.File, u.Line, u.Key)
			continue
		}
		if !u.Complete {
			continue
		}
		for _, name := range c.Placeholders("en", u.Key) {
			if !slices.Contains(u.Args, name) && !slices.Contains(standing, name) {
				t.Errorf("%s:%d: %q is said without %s", u.File, u.Line, u.Key, name)
			}
		}
	}
}

func TestTheScanFindsKeysInGoAndTemplates(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]string{
		"a.go": "package a\nimport \"github.com/regain-id/regain/internal/message\"\n" +
			"var x = message.Key(\"go.call\", \"Minutes\", 1)\nvar y = message.Message{Key: \"go.literal\"}\n" +
			"var z = message.Key(\"dyn.\" + s)\nvar v = message.Key(\"go.dynamic.args\", s, 1)\nvar w = other.Key(\"not.ours\")\n",
		"a_test.go":        "package a\nvar x = message.Key(\"from.a.test\")\n",
		"testdata/t.go":    "package t\nvar x = message.Key(\"from.testdata\")\n",
		"page.html":        "<h1>{{t \"html.plain\"}}</h1>\n<p title='{{- t \"html.args\" \"Name\" .X -}}'>{{template \"p\" (t \"html.nested\")}}{{.X | t \"piped\"}} not t \"text\" {{ .T \"html.method\"}}</p>",
		"templates/m.txt":  "{{t \"txt.root\"}}",
		"n/templates/m.tx": "{{t \"txt.plain\"}}",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	uses, err := messagetest.Uses(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range uses {
		got = append(got, u.Key)
		if complete := u.Key == "go.call"; u.Complete != complete {
			t.Errorf("%s: Complete is %v", u.Key, u.Complete)
		}
	}
	slices.Sort(got)
	want := []string{"go.call", "go.dynamic.args", "go.literal", "html.args", "html.method", "html.nested", "html.plain", "piped", "txt.plain", "txt.root"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
