package message

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
)

// text is what one key says in one language: one sentence, or one per plural form (CLDR names) chosen by an argument.
type text struct {
	forms map[string]string
	by    string   // the argument that counts; "" when there is one form only
	names []string // placeholders over all forms, sorted
}

// forms are the CLDR plural categories, https://www.unicode.org/reports/tr35/tr35-numbers.html#Language_Plural_Rules.
var pluralForms = []string{"zero", "one", "two", "few", "many", "other"}

func (t text) message(key string) *i18n.Message {
	return &i18n.Message{
		ID: key, Zero: t.forms["zero"], One: t.forms["one"], Two: t.forms["two"],
		Few: t.forms["few"], Many: t.forms["many"], Other: t.forms["other"],
	}
}

// readTexts reads AREA.LANG.yaml files: a flat map from key to a text, or to a map of plural forms with "other" always
// and "by" naming the argument that counts (default Count).
func readTexts(files fs.FS) (map[string]map[string]text, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("list texts: %w", err)
	}
	all := map[string]map[string]text{}
	from := map[string]string{} // language and key → file, to name both when one is given twice
	for _, e := range entries {
		parts := strings.Split(e.Name(), ".")
		if len(parts) != 3 || parts[0] == "" || parts[1] == "" || path.Ext(e.Name()) != ".yaml" {
			return nil, fmt.Errorf("%s: want AREA.LANG.yaml", e.Name())
		}
		lang := parts[1]
		raw, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Name(), err)
		}
		read, err := parseFile(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if all[lang] == nil {
			all[lang] = map[string]text{}
		}
		for key, t := range read {
			if other, taken := from[lang+" "+key]; taken {
				return nil, fmt.Errorf("%s: %s is already in %s", e.Name(), key, other)
			}
			from[lang+" "+key] = e.Name()
			all[lang][key] = t
		}
	}
	return all, nil
}

func parseFile(raw []byte) (map[string]text, error) {
	var nodes map[string]yaml.Node // decoding into a map refuses a key given twice
	if err := yaml.Unmarshal(raw, &nodes); err != nil {
		return nil, err
	}
	out := make(map[string]text, len(nodes))
	for key, n := range nodes {
		t, err := parseText(n)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", n.Line, key, err)
		}
		out[key] = t
	}
	return out, nil
}

func parseText(n yaml.Node) (text, error) {
	t := text{}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag != "!!str" {
			return t, fmt.Errorf("want text in quotes, have %s", n.Tag)
		}
		t.forms = map[string]string{"other": n.Value}
	case yaml.MappingNode:
		if err := n.Decode(&t.forms); err != nil {
			return t, err
		}
		t.by = t.forms["by"]
		if t.by == "" {
			t.by = "Count"
		}
		delete(t.forms, "by")
		for form := range t.forms {
			if !slices.Contains(pluralForms, form) {
				return t, fmt.Errorf("%q is no plural form", form)
			}
		}
	default:
		return t, fmt.Errorf("want a text or a map of plural forms")
	}
	if strings.TrimSpace(t.forms["other"]) == "" {
		return t, fmt.Errorf("no text")
	}
	names := map[string]bool{}
	for _, s := range t.forms {
		if err := placeholders(s, names); err != nil {
			return t, err
		}
	}
	t.names = slices.Sorted(maps.Keys(names))
	return t, nil
}

// placeholders collects the names a text uses and refuses everything but words and {{.Name}}: a text that decides or
// calls something would differ between languages in ways no test sees.
func placeholders(s string, names map[string]bool) error {
	trees, err := parse.Parse("text", s, "{{", "}}")
	if err != nil {
		return err
	}
	tree := trees["text"]
	if len(trees) > 1 || tree == nil || tree.Root == nil {
		return fmt.Errorf("a text holds words and {{.Name}} only")
	}
	for _, n := range tree.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			continue
		case *parse.ActionNode:
			if p := n.Pipe; len(p.Decl) == 0 && len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 {
				if f, ok := p.Cmds[0].Args[0].(*parse.FieldNode); ok && len(f.Ident) == 1 {
					names[f.Ident[0]] = true
					continue
				}
			}
		}
		return fmt.Errorf("a text holds words and {{.Name}} only, have %s", n)
	}
	return nil
}
