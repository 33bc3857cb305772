package message

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"
)

func loadOrFail(t *testing.T) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// small builds a catalogue from file name → content; every one has the generic text.
func small(files map[string]string) (*Catalogue, error) {
	m := fstest.MapFS{"error.en.yaml": {Data: []byte("error.internal: \"Something went wrong.\"\n")}}
	for name, s := range files {
		m[name] = &fstest.MapFile{Data: []byte(s)}
	}
	return load(m)
}

func smallOrFail(t *testing.T, files map[string]string) *Catalogue {
	t.Helper()
	c, err := small(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryKeyIsInEveryLanguageWithTheSamePlaceholders(t *testing.T) {
	c := loadOrFail(t)
	if got, want := c.Languages(), []string{"en", "de"}; !slices.Equal(got, want) {
		t.Errorf("languages: got %v, want %v", got, want)
	}
	for _, lang := range c.Languages()[1:] {
		for _, key := range c.Keys() {
			if _, ok := c.texts[lang][key]; !ok {
				t.Errorf("%s has no text in %s", key, lang)
				continue
			}
			if got, want := c.Placeholders(lang, key), c.Placeholders("en", key); !slices.Equal(got, want) {
				t.Errorf("%s: %s has placeholders %v, English has %v", key, lang, got, want)
			}
			if got, want := c.texts[lang][key].by, c.texts["en"][key].by; got != want {
				t.Errorf("%s: %s counts by %q, English by %q", key, lang, got, want)
			}
		}
		for key := range c.texts[lang] {
			if !c.Has(key) {
				t.Errorf("%s is in %s and not in English", key, lang)
			}
		}
	}
}

func TestNoTextNamesTheProductOrLooksUntidy(t *testing.T) {
	c := loadOrFail(t)
	for lang, texts := range c.texts {
		for key, text := range texts {
			for _, s := range text.forms {
				if strings.Contains(strings.ToLower(s), "regain") {
					t.Errorf("%s (%s) names the product: people know only their organisation", key, lang)
				}
				if s != strings.TrimSpace(s) || strings.Contains(s, "  ") {
					t.Errorf("%s (%s) has stray spaces: %q", key, lang, s)
				}
			}
		}
	}
}

func TestFaultyTextFilesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"the same key in two files":   {map[string]string{"a.en.yaml": `k: "x"`, "b.en.yaml": `k: "y"`}, "already in a.en.yaml"},
		"the same key twice in one":   {map[string]string{"a.en.yaml": "k: \"x\"\nk: \"y\""}, "already defined"},
		"a file without language":     {map[string]string{"a.yaml": `k: "x"`}, "AREA.LANG.yaml"},
		"no such language":            {map[string]string{"a.zzzzzzzzzz.yaml": `k: "x"`}, "zzzzzzzzzz"},
		"a decision in a text":        {map[string]string{"a.en.yaml": `k: "{{if .A}}x{{end}}"`}, "words and"},
		"a call in a text":            {map[string]string{"a.en.yaml": `k: "{{printf .A}}"`}, ""},
		"a nested field":              {map[string]string{"a.en.yaml": `k: "{{.A.B}}"`}, "words and"},
		"a pipe in a text":            {map[string]string{"a.en.yaml": `k: "{{.A | len}}"`}, ""},
		"a half placeholder":          {map[string]string{"a.en.yaml": `k: "{{.A"`}, ""},
		"a nested map":                {map[string]string{"a.en.yaml": "k:\n  l: \"x\""}, "no plural form"},
		"plural forms without other":  {map[string]string{"a.en.yaml": "k:\n  one: \"x\""}, "no text"},
		"a number where text belongs": {map[string]string{"a.en.yaml": `k: 7`}, "want text"},
		"a list":                      {map[string]string{"a.en.yaml": `k: [x]`}, "want a text"},
	} {
		_, err := small(c.files)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := load(fstest.MapFS{"a.en.yaml": {Data: []byte(`k: "x"`)}}); err == nil {
		t.Error("a catalogue without the generic text was accepted")
	}
}

func TestTheLanguageIsMatched(t *testing.T) {
	c := loadOrFail(t)
	for _, x := range []struct {
		accept    string
		preferred []string
		want      string
	}{
		{"", nil, "en"},
		{"de-CH, fr;q=0.9", nil, "de"},
		{"fr, de;q=0.5, en;q=0.4", nil, "de"},
		{"ja", nil, "en"},
		{"de", []string{"en-GB"}, "en"},
		{"en", []string{"", "tlh", "de_AT"}, "de"},
		{"en", []string{strings.Repeat("de-", 40)}, "en"},
		{"de;q=bad,,;", nil, "en"},
		{strings.Repeat("xx-yy, ", 100_000) + "de", nil, "en"},
		{"de, " + strings.Repeat("x", 100_000), nil, "de"},
		{strings.Repeat("-", 511), nil, "en"},
		{"\x00\xff de", nil, "en"},
	} {
		if got := c.Match(x.accept, x.preferred...); got != x.want {
			t.Errorf("Match(%.40q, %.40q): got %s, want %s", x.accept, x.preferred, got, x.want)
		}
	}
}

func FuzzMatchAlwaysNamesALanguage(f *testing.F) {
	c, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("de-CH, fr;q=0.9", "de_AT")
	f.Add("*;q=1, -;;", "\xff")
	f.Fuzz(func(t *testing.T, accept, preferred string) {
		if got := c.Match(accept, preferred); !slices.Contains(c.Languages(), got) {
			t.Errorf("Match(%q, %q) = %q", accept, preferred, got)
		}
	})
}

func TestArgumentsAreDataAndNeverTemplates(t *testing.T) {
	c := smallOrFail(t, map[string]string{
		"a.en.yaml": "greet: \"Hello {{.Name}}.\"\nouter: \"{{.Org}} says: {{.Inner}}\"\n",
	}).With("Org", "Contoso {{.Name}}")
	for arg, want := range map[string]string{
		`{{.Code}}`:           `Hello {{.Code}}.`,
		`{{template "x"}}`:    `Hello {{template "x"}}.`,
		`=cmd()|' /C calc'!A`: `Hello =cmd()|' /C calc'!A.`,
		`<b>&amp;`:            `Hello <b>&amp;.`,
		"a\r\nBcc: b\x00c":    `Hello a  Bcc: b c.`,
		"a\u2028b\u0085c":     `Hello a b c.`,
		"\u202eevil\u2066":    `Hello evil.`,
		"bad\xffbyte":         `Hello badbyte.`,
		"ärm 👩‍👩‍👧":           "Hello ärm 👩‍👩‍👧.",
	} {
		if got := c.Render("en", Key("greet", "Name", arg)); got != want {
			t.Errorf("argument %q: got %q, want %q", arg, got, want)
		}
	}
	if got, want := c.Render("en", Key("outer", "Inner", Key("greet", "Name", "{{.Inner}}"))), "Contoso {{.Name}} says: Hello {{.Inner}}."; got != want {
		t.Errorf("nested: got %q, want %q", got, want)
	}
	if got := c.Render("en", Key("greet", "Name", strings.Repeat("é", 5000))); utf8.RuneCountInString(got) > 1020 {
		t.Errorf("a long argument was printed with %d runes", utf8.RuneCountInString(got))
	}
}

func TestAMissingTextFallsBackAndIsReportedAndNoKeyIsShown(t *testing.T) {
	var mu sync.Mutex
	var told []string
	c := smallOrFail(t, map[string]string{
		"a.en.yaml": "only.english: \"Hello {{.Name}}.\"",
		"a.de.yaml": "error.internal: \"Ein Fehler.\"",
	}).Reporting(func(p Problem) { mu.Lock(); told = append(told, p.String()); mu.Unlock() })
	for _, x := range []struct {
		lang string
		m    Message
		want string
		told string
	}{
		{"de", Key("only.english", "Name", "Ada"), "Hello Ada.", `message "only.english" (de): no text in this language`},
		{"de", Key("no.such"), "Ein Fehler.", `message "no.such" (de): no text`},
		{"en", Key("no.such"), "Something went wrong.", `message "no.such" (en): no text`},
		{"xx", Key("error.internal"), "Something went wrong.", `message "error.internal" (xx): no text in this language`},
		{"xx", Key("no.such"), "Something went wrong.", `message "no.such" (xx): no text`},
		{"en", Key("only.english"), "Hello .", `message "only.english" (en): no argument Name`},
		{"en", Message{}, "", ""},
	} {
		told = nil
		if got := c.Render(x.lang, x.m); got != x.want {
			t.Errorf("%s in %s: got %q, want %q", x.m.Key, x.lang, got, x.want)
		}
		if (x.told == "" && len(told) > 0) || (x.told != "" && !slices.Contains(told, x.told)) {
			t.Errorf("%s in %s: reported %q, want %q", x.m.Key, x.lang, told, x.told)
		}
	}
	loop := Message{Key: "only.english", Args: map[string]any{}}
	loop.Args["Name"] = &loop // a bug in our code must not take the process down
	told = nil
	if c.Render("en", loop); !strings.Contains(strings.Join(told, "\n"), "nested too deep") {
		t.Errorf("a message inside itself: reported %q", told)
	}
}

func TestPluralsTimesAndLists(t *testing.T) {
	c := loadOrFail(t)
	berlin := time.FixedZone("CET", 3600)
	for _, x := range []struct {
		lang string
		m    Message
		want string
	}{
		{"en", Key("error.limited", "Minutes", 1), "a minute"},
		{"en", Key("error.limited", "Minutes", 5), "5 minutes"},
		{"de", Key("error.limited", "Minutes", int64(1)), "eine Minute"},
		{"de", Key("error.limited", "Minutes", uint8(9)), "9 Minuten"},
		{"de", Key("error.limited", "Minutes", "many"), "many Minuten"},
	} {
		if got := c.Render(x.lang, x.m); !strings.Contains(got, x.want) {
			t.Errorf("%v: got %q, want it to say %q", x.m, got, x.want)
		}
	}
	s := smallOrFail(t, map[string]string{
		"a.en.yaml":    `at: "{{.When}}|{{.List}}|{{.Both}}|{{.N}}"`,
		"time.en.yaml": "time.moment: \"{{.Day}} {{.Month}} {{.Year}}, {{.Clock}} {{.Zone}}\"\ntime.month.3: \"March\"",
	})
	got := s.Render("en", Key("at", "When", time.Date(2026, 3, 5, 14, 5, 59, 0, berlin), "List", []string{"a", "b\n"},
		"Both", []Message{Key("time.month.3"), Key("time.month.3")}, "N", 1.5))
	if want := "5 March 2026, 14:05 CET|a, b |March, March|1.5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
