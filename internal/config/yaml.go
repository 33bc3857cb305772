package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// placeNodes notes the line of every key of the file. It reports whether the values are worth reading: not when the text
// is no YAML, and not when it uses what would make lines or sizes lie (a second document, anchors, a key twice).
func (l *loader) placeNodes(path string, b []byte) bool {
	d := yamlv3.NewDecoder(bytes.NewReader(b))
	var doc, second yamlv3.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return false // an empty file sets nothing
	case err != nil:
		l.found = append(l.found, &Fault{Where: path, Say: err.Error()})
		return false
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		l.found = append(l.found, &Fault{Where: path, Say: "a second document after ---: everything must stand in the first"})
		return false
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yamlv3.MappingNode {
		if len(doc.Content) == 1 && doc.Content[0].Tag == "!!null" {
			return false // only comments
		}
		l.found = append(l.found, &Fault{Where: path, Say: "want keys and values, such as listen: localhost:8080"})
		return false
	}
	before := len(l.found)
	l.placeNode(path, "", doc.Content[0])
	return len(l.found) == before
}

func (l *loader) placeNode(path, key string, n *yamlv3.Node) {
	at := func(line int) origin { return origin{where: fmt.Sprintf("%s:%d", path, line), line: line} }
	bad := func(key string, line int, say string) {
		l.found = append(l.found, &Fault{Where: at(line).where, Key: key, Say: say, line: line})
	}
	if n.Anchor != "" || n.Kind == yamlv3.AliasNode {
		bad(key, n.Line, "anchors and aliases (& and *) are not taken: write the value out")
		return
	}
	switch n.Kind {
	case yamlv3.MappingNode:
		if len(n.Content) > 2*maxKeys {
			// The parser compares every key with every other; thousands would keep it busy for minutes.
			bad(key, n.Line, fmt.Sprintf("%d keys in one section, at most %d", len(n.Content)/2, maxKeys))
			return
		}
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			inner := join(key, name.Value)
			if name.Kind != yamlv3.ScalarNode || name.Tag != "!!str" || strings.Contains(name.Value, ".") {
				bad(key, name.Line, fmt.Sprintf("%q cannot be a key: want a plain word", name.Value))
				continue
			}
			if first, twice := seen[name.Value]; twice {
				bad(inner, name.Line, fmt.Sprintf("stands here a second time, first in line %d", first))
				continue
			}
			seen[name.Value] = name.Line
			l.origin[inner] = at(name.Line)
			l.placeNode(path, inner, value)
		}
	case yamlv3.SequenceNode:
		for i, value := range n.Content {
			inner := join(key, strconv.Itoa(i))
			l.origin[inner] = at(value.Line)
			l.placeNode(path, inner, value)
		}
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func parent(key string) string {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)]
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// split returns what errors.Join joined.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// cause leaves out the path that an error of os repeats.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
