package message

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed texts/*.yaml
var embedded embed.FS

// generic is shown when a key has no text at all: a person never reads a key.
const generic = "error.internal"

// Catalogue holds the texts of every language. It is immutable and safe for concurrent use; With and Reporting return
// changed copies that share the texts.
type Catalogue struct {
	languages  []string // English first, the rest sorted
	matcher    language.Matcher
	texts      map[string]map[string]text // language → key → text
	localizers map[string]*i18n.Localizer
	standing   map[string]any
	report     func(Problem)
}

// Problem is a fault in the catalogue or in the code that uses it, for the log. It never holds an argument's value.
type Problem struct {
	Lang, Key string
	What      string // "no text", "no text in this language", "no argument NAME", …
}

func (p Problem) String() string { return fmt.Sprintf("message %q (%s): %s", p.Key, p.Lang, p.What) }

// Load reads every embedded text. It fails on a file not named AREA.LANG.yaml, on a key given twice for one language
// (in one file or in two), on a text that is more than words and {{.Name}} placeholders, and on a catalogue without
// English or without the generic text.
func Load() (*Catalogue, error) {
	sub, err := fs.Sub(embedded, "texts")
	if err != nil {
		return nil, fmt.Errorf("embedded texts: %w", err)
	}
	return load(sub)
}

func load(files fs.FS) (*Catalogue, error) {
	texts, err := readTexts(files)
	if err != nil {
		return nil, err
	}
	if _, ok := texts["en"][generic]; !ok {
		return nil, fmt.Errorf("no English text for %q, which is shown when another is missing", generic)
	}
	c := &Catalogue{texts: texts, localizers: map[string]*i18n.Localizer{}, report: func(Problem) {}}
	c.languages = slices.Sorted(maps.Keys(texts))
	slices.SortStableFunc(c.languages, func(a, b string) int { return rank(a) - rank(b) })

	bundle := i18n.NewBundle(language.English)
	tags := make([]language.Tag, 0, len(c.languages))
	for _, lang := range c.languages {
		tag, err := language.Parse(lang)
		if err != nil {
			return nil, fmt.Errorf("language %q: %w", lang, err)
		}
		tags = append(tags, tag)
		for key, t := range texts[lang] {
			if err := bundle.AddMessages(tag, t.message(key)); err != nil {
				return nil, fmt.Errorf("%s in %s: %w", key, lang, err)
			}
		}
	}
	for _, lang := range c.languages {
		c.localizers[lang] = i18n.NewLocalizer(bundle, lang)
	}
	c.matcher = language.NewMatcher(tags) // the first tag, English, is the answer when nothing matches
	return c, nil
}

func rank(lang string) int {
	if lang == "en" {
		return 0
	}
	return 1
}

// With returns a catalogue in which the given alternating names and values are arguments of every message, unless the
// message brings its own: cat.With("Organisation", "Contoso"). Like Key it panics on an odd count or a name that is no
// string.
func (c *Catalogue) With(pairs ...any) *Catalogue {
	d := *c
	d.standing = maps.Clone(c.standing)
	if d.standing == nil {
		d.standing = map[string]any{}
	}
	maps.Copy(d.standing, Key(generic, pairs...).Args)
	return &d
}

// Reporting returns a catalogue that tells report about missing texts and arguments. report may be called concurrently.
// Without it they are not told to anybody.
func (c *Catalogue) Reporting(report func(Problem)) *Catalogue {
	d := *c
	d.report = report
	return &d
}

// Languages returns the languages there are texts in, as BCP 47 tags, English first.
func (c *Catalogue) Languages() []string { return slices.Clone(c.languages) }

// Keys returns every key that has an English text, sorted.
func (c *Catalogue) Keys() []string { return slices.Sorted(maps.Keys(c.texts["en"])) }

// Has reports whether the key has an English text.
func (c *Catalogue) Has(key string) bool { _, ok := c.texts["en"][key]; return ok }

// Placeholders returns the names a key's text uses in a language, sorted, over all its plural forms.
func (c *Catalogue) Placeholders(lang, key string) []string {
	return slices.Clone(c.texts[lang][key].names)
}

// Limits on what strangers send as their languages. A browser sends far less.
const (
	maxAcceptBytes    = 512
	maxPreferredBytes = 35 // RFC 5646 §4.4.1: the longest tag a program must cope with
)

// Match picks one of Languages: the first preferred tag (a stored choice, ?lang=) that is spoken, else the best of an
// Accept-Language header (RFC 9110 §12.5.4), else English. Both may be any bytes from a stranger: what is too long or
// no tag is ignored; of a header over 512 bytes the first 512 count.
func (c *Catalogue) Match(acceptLanguage string, preferred ...string) string {
	for _, p := range preferred {
		if p == "" || len(p) > maxPreferredBytes {
			continue
		}
		if tag, err := language.Parse(strings.ReplaceAll(p, "_", "-")); err == nil {
			// The matcher alone would call English near enough for many languages; a choice must be the language itself.
			_, i, _ := c.matcher.Match(tag)
			if base, _ := tag.Base(); base.String() == baseOf(c.languages[i]) {
				return c.languages[i]
			}
		}
	}
	if len(acceptLanguage) > maxAcceptBytes {
		acceptLanguage = acceptLanguage[:maxAcceptBytes]
		acceptLanguage = acceptLanguage[:strings.LastIndexByte(acceptLanguage, ',')+1]
	}
	tags, _, err := language.ParseAcceptLanguage(strings.TrimRight(acceptLanguage, ", "))
	if err != nil || len(tags) == 0 {
		return c.languages[0]
	}
	_, i, _ := c.matcher.Match(tags...)
	return c.languages[i]
}

func baseOf(lang string) string {
	base, _ := language.Make(lang).Base()
	return base.String()
}
