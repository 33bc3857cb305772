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

// quirk is one recorded conversation. In its maps by preset a name stands for a run: strict, standard and entra, or, when
// single switches are tried, strict+SWITCH and entra-SWITCH, which where they are not named answer as the preset they
// imitate.
type quirk struct {
	Row      int      `json:"row"`      // of the list of what identity providers send
	From     string   `json:"from"`     // who sends it
	About    string   `json:"about"`    // what is special
	Why      string   `json:"why"`      // why there is nothing to send
	Switches []string `json:"switches"` // the switches the conversation depends on, by name
	As       string   `json:"as"`       // strict with them answers like this preset; "switched" when no preset has them
	Steps    []step   `json:"steps"`
}

// step is one request and what must come back. In strings {{name}} stands for what an earlier step saved, {{run}} for a
// text no other run has used, {{n}} for the number of a repeated request.
type step struct {
	Send   string            `json:"send"` // method and path
	Header map[string]string `json:"header"`
	Body   json.RawMessage   `json:"body"`
	Quirk  bool              `json:"quirk"`    // it is what the conversation is about: answer and stored state are told for every preset
	Times  int               `json:"times"`    // how often it is sent, with {{n}} and a number after the name saved
	In     []string          `json:"in"`       // presets the step is for; all when empty
	Status json.RawMessage   `json:"status"`   // a number, or one by preset; absent: any 2xx
	Code   json.RawMessage   `json:"scimType"` // a string, or one by preset
	Save   string            `json:"save"`     // name for the id in the answer
	Want   json.RawMessage   `json:"want"`     // what the answer must contain; null wants absence
	Has    []string          `json:"has"`      // paths that must be there, such as bulk.maxOperations
	Lacks  []string          `json:"lacks"`    // texts the answer must not contain
	Same   string            `json:"same"`     // name of an earlier step's meta.version that must be unchanged, or that is kept if new
	// Stored is what a strict reader finds afterwards: by path the whole resource but for what is the server's, or null
	// where there is none; by path with a filter the list of those found. It may be one for all presets, or by preset.
	Stored map[string]json.RawMessage `json:"stored"`
}

// conversations reads what was recorded, by name of the file.
func conversations(t testing.TB) (names []string, all map[string]quirk) {
	t.Helper()
	files, err := fs.Glob(recorded, "testdata/quirks/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded requests: %v", err)
	}
	all = map[string]quirk{}
	for _, file := range files {
		data, err := recorded.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var q quirk
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(path.Base(file), ".json")
		names, all[name] = append(names, name), q
	}
	return names, all
}

// quirks replays every recorded conversation.
func (c *client) quirks(t *testing.T) {
	names, all := conversations(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { c.replay(t, all[name]) })
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
		for n := 1; n <= max(1, s.Times); n++ {
			vars["n"] = fmt.Sprint(n)
			about := fmt.Sprintf("%s: %s: step %d, %s, as %s", q.From, q.About, i+1, s.Send, c.run())
			c.step(t, about, s, vars, fill)
		}
	}
}

func (c *client) step(t *testing.T, about string, s step, vars map[string]string, fill func(string) string) {
	t.Helper()
	method, path, _ := strings.Cut(s.Send, " ")
	var header []string
	for k, v := range s.Header {
		header = append(header, k, v)
	}
	a := c.send(t, method, escape(fill(path)), fill(string(s.Body)), header...)
	var want int
	c.choose(t, s.Status, &want)
	if want == 0 && a.status/100 != 2 || want != 0 && a.status != want {
		t.Fatalf("%s: got %d, want %d: %s", about, a.status, want, a.body)
	}
	var code string
	if c.choose(t, s.Code, &code); code != "" && a.at("scimType") != code {
		t.Errorf("%s: scimType %v, want %q", about, a.at("scimType"), code)
	}
	if s.Save != "" && a.status/100 == 2 {
		name := s.Save
		if s.Times > 0 {
			name += vars["n"]
		}
		vars[name] = a.id(t)
	}
	if s.Want != nil {
		if diff := subset("", number(t, fill(string(s.Want))), a.json); diff != "" {
			t.Errorf("%s: %s\nin %s", about, diff, a.body)
		}
	}
	for _, p := range s.Has {
		if a.at(strings.Split(p, ".")...) == nil {
			t.Errorf("%s: %s is missing in %s", about, p, a.body)
		}
	}
	for _, text := range s.Lacks {
		if bytes.Contains(a.body, []byte(fill(text))) {
			t.Errorf("%s: the answer contains %s: %s", about, text, a.body)
		}
	}
	if s.Same != "" {
		version, _ := a.at("meta", "version").(string)
		if old, ok := vars["version "+s.Same]; ok && old != version {
			t.Errorf("%s: version %s, want %s as before", about, version, old)
		}
		vars["version "+s.Same] = version
	}
	for target, raw := range s.Stored {
		var state json.RawMessage
		if c.choose(t, raw, &state); state == nil {
			continue
		}
		c.stored(t, about, fill(target), number(t, fill(string(state))))
	}
}

// stored compares what a strict reader finds with what must be there, and nothing else.
func (c *client) stored(t *testing.T, about, target string, want any) {
	t.Helper()
	reader := *c
	if c.reader != nil {
		reader.token = c.reader()
		defer c.restore()
	}
	a := reader.send(t, "GET", escape(target), "")
	if want == nil {
		if a.status != 404 {
			t.Errorf("%s: %s is there: %d %s", about, target, a.status, a.body)
		}
		return
	}
	got := a.json
	if list, ok := want.([]any); ok {
		if got = a.at("Resources"); got == nil && len(list) == 0 {
			got = []any{}
		}
	}
	if diff := exactly("", want, clients(got, want)); diff != "" || a.status != 200 {
		t.Errorf("%s: stored at %s: %s\nin %s", about, target, diff, a.body)
	}
}

// serverOwn are attributes a client does not decide on: what a server writes there is not compared.
var serverOwn = []string{"schemas", "id", "meta", "groups", "$ref", "display", "displayName", "type"}

// clients takes from what was read the attributes that are the server's, and extensions the conversation knows nothing of.
func clients(got, want any) any {
	switch g := got.(type) {
	case []any:
		out := make([]any, len(g))
		w, _ := want.([]any)
		for i, e := range g {
			if out[i] = e; i < len(w) {
				out[i] = clients(e, w[i])
			}
		}
		return out
	case map[string]any:
		out := map[string]any{}
		w, _ := want.(map[string]any)
		for k, v := range g {
			_, expected := w[k]
			switch {
			case expected:
				out[k] = clients(v, w[k])
			case g["meta"] != nil && (strings.HasPrefix(k, "urn:") && k != enterpriseURN || k == "active" && v == true):
				// an extension of this server's own; and whoever is not said to be otherwise may be active
			case g["meta"] != nil && slices.Contains(serverOwn[:4], k), refers(g) && slices.Contains(serverOwn[4:], k):
			default:
				out[k] = v
			}
		}
		return out
	}
	return got
}

// refers reports whether an object names another resource, of which a server may say more.
func refers(o map[string]any) bool { return o["$ref"] != nil }

// exactly reports how got differs from want.
func exactly(path string, want, got any) string {
	w, isObject := want.(map[string]any)
	g, _ := got.(map[string]any)
	if isObject && g != nil {
		for k := range g {
			if _, ok := w[k]; !ok {
				return fmt.Sprintf("%s/%s is there", path, k)
			}
		}
		for k := range w {
			if s := exactly(path+"/"+k, w[k], g[k]); s != "" {
				return s
			}
		}
		return ""
	}
	if list, ok := want.([]any); ok {
		have, _ := got.([]any)
		if len(have) != len(list) {
			return fmt.Sprintf("%s: got %v, want %v", path, got, want)
		}
		for i := range list {
			if s := exactly(fmt.Sprintf("%s/%d", path, i), list[i], have[i]); s != "" {
				return s
			}
		}
		return ""
	}
	return subset(path, want, got)
}

// run is the name of the run in maps by preset.
func (c *client) run() string {
	if c.variant != "" {
		return c.variant
	}
	return c.preset
}

// choose reads what is one for all runs, or one by run, into v.
func (c *client) choose(t *testing.T, raw json.RawMessage, v any) {
	t.Helper()
	if raw == nil {
		return
	}
	if by, ok := byPreset(raw); ok {
		if raw, ok = by[c.run()]; !ok {
			if raw, ok = by[c.preset]; !ok {
				return
			}
		}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

// byPreset reads an object whose keys are presets.
func byPreset(raw json.RawMessage) (by map[string]json.RawMessage, ok bool) {
	if json.Unmarshal(raw, &by) != nil {
		return nil, false
	}
	_, ok = by["strict"]
	return by, ok
}

// number decodes JSON with numbers as they are written.
func number(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
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
