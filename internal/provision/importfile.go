package provision

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// maxLine is the longest line of a file, as the longest body of a request.
const maxLine = 1 << 20

// JSONLines reads a file with one SCIM user a line, as a POST would bring them. Empty lines are passed over.
func JSONLines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		in := bufio.NewScanner(r)
		in.Buffer(make([]byte, 0, 64<<10), maxLine)
		for n := 1; in.Scan(); n++ {
			text := bytes.TrimSpace(bytes.TrimPrefix(in.Bytes(), []byte("\ufeff")))
			if len(text) == 0 {
				continue
			}
			body, err := schema.ParseJSON(text)
			if !yield(Line{n, body}, err) {
				return
			}
		}
		if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Line{}, fmt.Errorf("a line is longer than %d bytes", maxLine))
		} else if err != nil {
			yield(Line{}, err)
		}
	}
}

// CSV reads a file with one person a line and the names of attributes in the first: userName, externalId, active, displayName,
// name.givenName, emails.work (the address of type work), phoneNumbers.mobile, department or any other attribute of a
// user's schemas. Columns are parted by commas or semicolons. An empty cell says nothing.
func CSV(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		user, err := userSchemas()
		if err != nil {
			yield(Line{}, err)
			return
		}
		in := bufio.NewReaderSize(r, 64<<10)
		if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
			in.Discard(3)
		}
		file := csv.NewReader(in)
		file.ReuseRecord = true
		head, err := in.Peek(4 << 10)
		if err != nil && !errors.Is(err, io.EOF) {
			yield(Line{}, err)
			return
		}
		if first, _, _ := bytes.Cut(head, []byte("\n")); bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
			file.Comma = ';'
		}
		names, err := file.Read()
		if err != nil {
			yield(Line{}, fmt.Errorf("the line with the names of the columns: %w", err))
			return
		}
		columns, err := columnsOf(user, names)
		if err != nil {
			yield(Line{}, err)
			return
		}
		for {
			record, err := file.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var l Line
			switch {
			case errors.Is(err, csv.ErrFieldCount):
				l.Number, _ = file.FieldPos(0)
				err = fmt.Errorf("%d columns, want %d", len(record), len(columns))
			case err != nil: // where the next line begins is anybody's guess
				yield(l, err)
				return
			default:
				l.Number, _ = file.FieldPos(0)
				l.Body = scim.Object{}
				for i, put := range columns {
					if text := strings.TrimSpace(record[i]); text != "" {
						put(l.Body, strings.Clone(text))
					}
				}
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

func userSchemas() (*schema.Type, error) {
	return schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()}, schema.Extension{Schema: userExtension()})
}

// columnsOf returns how the text of each column is put into a body.
func columnsOf(user *schema.Type, names []string) ([]func(scim.Object, string), error) {
	var out []func(scim.Object, string)
	seen := map[string]bool{}
	for _, name := range names {
		name = strings.TrimSpace(name)
		put, err := columnOf(user, name)
		if err == nil && seen[schema.Fold(name)] {
			err = errors.New("is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		seen[schema.Fold(name)] = true
		out = append(out, put)
	}
	if !seen["username"] {
		return nil, errors.New("no column userName")
	}
	return out, nil
}

func columnOf(user *schema.Type, name string) (func(scim.Object, string), error) {
	p, part, err := attributeOf(user, name)
	if err != nil {
		return nil, err
	}
	within := func(o scim.Object) scim.Object { // the object the attribute stands in
		if p.Ext == nil {
			return o
		}
		return inner(o, p.Ext.ID)
	}
	a := p.Attr
	switch {
	case a.Type != schema.Complex && !a.MultiValued && part == "":
		return func(o scim.Object, text string) { within(o)[a.Name] = text }, nil
	case a.Type == schema.Complex && !a.MultiValued:
		sub := a.Sub(part)
		if part == "" {
			sub = a.Sub("value")
		}
		if sub == nil {
			return nil, fmt.Errorf("want one of its parts, such as %s.%s", a.Name, a.SubAttributes[0].Name)
		}
		return func(o scim.Object, text string) { inner(within(o), a.Name)[sub.Name] = text }, nil
	case a.Type == schema.Complex && a.Sub("value") != nil:
		return func(o scim.Object, text string) {
			e := scim.Object{"value": text}
			list, _ := within(o)[a.Name].([]any)
			if part != "" {
				e["type"] = part
			}
			if len(list) == 0 && a.Sub("primary") != nil {
				e["primary"] = true
			}
			within(o)[a.Name] = append(list, e)
		}, nil
	}
	return nil, errors.New("cannot be said in one column")
}

func inner(o scim.Object, name string) scim.Object {
	in, _ := o[name].(scim.Object)
	if in == nil {
		in = scim.Object{}
		o[name] = in
	}
	return in
}

// attributeOf finds the attribute of a column: of the core schema, or of an extension with or without its URN.
func attributeOf(user *schema.Type, name string) (p schema.Path, part string, err error) {
	for _, e := range user.Extensions {
		if rest, ok := strings.CutPrefix(schema.Fold(name), schema.Fold(e.Schema.ID)+":"); ok {
			if p, ok := user.Attr(e.Schema, rest); ok && p.Attr.Mutability != schema.ReadOnly {
				return p, "", nil
			}
		}
	}
	base, part, _ := strings.Cut(name, ".")
	if p, ok := user.Attr(nil, base); ok && p.Attr.Mutability != schema.ReadOnly {
		return p, part, nil
	}
	for _, e := range user.Extensions {
		if p, ok := user.Attr(e.Schema, base); ok && p.Attr.Mutability != schema.ReadOnly {
			return p, part, nil
		}
	}
	return p, "", errors.New("no attribute of a person that can be written")
}
