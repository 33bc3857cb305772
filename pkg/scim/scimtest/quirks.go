package scimtest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/quirks/*.json
var recorded embed.FS

// quirk is one recorded conversation.
type quirk struct {
	From  string `json:"from"`  // who sends it
	About string `json:"about"` // what is special
	Steps []step `json:"steps"`
}

// step is one request and what must come back. In strings {{name}} stands for what an earlier step saved, {{run}} for a
// text no other run has used.
type step struct {
	Send   string            `json:"send"` // method and path
	Header map[string]string `json:"header"`
	Body   json.RawMessage   `json:"body"`
	In     []string          `json:"in"`       // presets the step is for; all when empty
	Status json.RawMessage   `json:"status"`   // a number, or one by preset; absent: any 2xx
	Code   json.RawMessage   `json:"scimType"` // a string, or one by preset
	Save   string            `json:"save"`     // name for the id in the answer
	Want   json.RawMessage   `json:"want"`     // what the answer must contain; null wants absence
	Same   string            `json:"same"`     // name of an earlier step's meta.version that must be unchanged, or that is kept if new
}

// quirks replays every recorded conversation.
func (c *client) quirks(t *testing.T) {
	files, err := fs.Glob(recorded, "testdata/quirks/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded requests: %v", err)
	}
	for _, name := range files {
		data, err := recorded.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(path.Base(name), ".json"), func(t *testing.T) {
			var q quirk
			d := json.NewDecoder(bytes.NewReader(data))
			d.DisallowUnknownFields()
			if err := d.Decode(&q); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			c.replay(t, q)
		})
	}
}

func (c *client) replay(t *testing.T, q quirk) {
	vars := map[string]string{"run": unique()}
	fill := func(s string) string {
		for k, v := range vars {
			s = strings.ReplaceAll(s, "{{"+k+"}}", v)
		}
		return s
	}
	for i, s := range q.Steps {
		if len(s.In) > 0 && !slices.Contains(s.In, c.preset) {
			continue
		}
		about := fmt.Sprintf("%s: %s: step %d, %s, preset %s", q.From, q.About, i+1, s.Send, c.preset)
		method, path, _ := strings.Cut(s.Send, " ")
		var header []string
		for k, v := range s.Header {
			header = append(header, k, v)
		}
		a := c.send(t, method, escape(fill(path)), fill(string(s.Body)), header...)
		want := number(t, s.Status, c.preset)
		if want == 0 && a.status/100 != 2 || want != 0 && a.status != want {
			t.Fatalf("%s: got %d, want %d: %s", about, a.status, want, a.body)
		}
		if code := choice(t, s.Code, c.preset); code != "" && a.at("scimType") != code {
			t.Errorf("%s: scimType %v, want %q", about, a.at("scimType"), code)
		}
		if s.Save != "" {
			vars[s.Save] = a.id(t)
		}
		if s.Want != nil {
			var want any
			d := json.NewDecoder(strings.NewReader(fill(string(s.Want))))
			d.UseNumber()
			if err := d.Decode(&want); err != nil {
				t.Fatalf("%s: %v", about, err)
			}
			if diff := subset("", want, a.json); diff != "" {
				t.Errorf("%s: %s\nin %s", about, diff, a.body)
			}
		}
		if s.Same != "" {
			version, _ := a.at("meta", "version").(string)
			if old, ok := vars["version "+s.Same]; ok && old != version {
				t.Errorf("%s: version %s, want %s as before", about, version, old)
			}
			vars["version "+s.Same] = version
		}
	}
}

// escape encodes the values of a query written as people read it.
func escape(target string) string {
	path, query, ok := strings.Cut(target, "?")
	if !ok {
		return path
	}
	var params []string
	for _, p := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		params = append(params, name+"="+url.QueryEscape(value))
	}
	return path + "?" + strings.Join(params, "&")
}

// number reads a status that may depend on the preset; 0 when there is none.
func number(t *testing.T, raw json.RawMessage, preset string) int {
	t.Helper()
	if raw == nil {
		return 0
	}
	var n int
	if json.Unmarshal(raw, &n) == nil {
		return n
	}
	var by map[string]int
	if err := json.Unmarshal(raw, &by); err != nil {
		t.Fatalf("status %s: %v", raw, err)
	}
	return by[preset]
}

// choice is number for texts.
func choice(t *testing.T, raw json.RawMessage, preset string) string {
	t.Helper()
	if raw == nil {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var by map[string]string
	if err := json.Unmarshal(raw, &by); err != nil {
		t.Fatalf("scimType %s: %v", raw, err)
	}
	return by[preset]
}
