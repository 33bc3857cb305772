package notify

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/message"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files")

func printer(t testing.TB) *Printer {
	t.Helper()
	c, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPrinter(c.Reporting(func(p message.Problem) { t.Errorf("catalogue: %s", p) }))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var contoso = Organisation{
	Name: "Contoso", Hue: 262, Host: "reset.contoso.example", From: "noreply@contoso.example",
	Help: map[string]Help{
		"en": {Text: "The help desk is happy to help.", Phone: "+49 30 1234", Hours: "Mon to Fri, 8 to 18", URL: "https://help.contoso.example/"},
		"de": {Text: "Die Hilfe-Stelle hilft gern.", Phone: "+49 30 1234", Hours: "Mo bis Fr, 8 bis 18 Uhr", URL: "https://help.contoso.example/"},
	},
}

var (
	when   = time.Date(2026, 11, 22, 14, 5, 0, 0, time.FixedZone("CET", 3600))
	origin = Origin{When: when, Browser: "Firefox, Windows", Network: "203.0.113.0/24", Country: "Germany"}
)

const notMeURL = "https://reset.contoso.example/not-me/KTRW49MP?t=abc&u=1"

func codeFor(lang string, p Purpose) (Envelope, Code) {
	return Envelope{"0198f3c2-code-1", lang, "ada@example.org"},
		Code{Purpose: p, Code: "73920146", Minutes: 10, Origin: origin, Reference: "KTRW-49MP", NotMe: notMeURL}
}

// everything is one of each letter and text there is.
func everything(lang string) (letters map[string]Letter, texts map[string]Text) {
	letters, texts = map[string]Letter{}, map[string]Text{}
	e := Envelope{"0198f3c2-1", lang, "ada@example.org"}
	s := Envelope{"0198f3c2-2", lang, "+4915112345678"}
	for _, p := range []Purpose{Reset, Unlock, Change} {
		_, c := codeFor(lang, p)
		d := Done{Purpose: p, Origin: origin, Reference: "KTRW-49MP", SignIn: "https://portal.contoso.example/", NotMe: notMeURL}
		letters["code "+string(p)], texts["code "+string(p)] = CodeLetter(e, c), CodeText(s, c)
		letters["done "+string(p)], texts["done "+string(p)] = DoneLetter(e, d), DoneText(s, d)
		letters["unknown "+string(p)], texts["unknown "+string(p)] = UnknownLetter(e, d), UnknownText(s, d)
		for _, done := range []bool{true, false} {
			x := Dispute{Purpose: p, Done: done, Origin: origin, Reference: "KTRW-49MP", Again: "https://reset.contoso.example/reset", Person: "Ada Lovelace"}
			letters[fmt.Sprintf("dispute %s %v", p, done)], texts["dispute"] = DisputeLetter(e, x), DisputeText(s, x)
			letters[fmt.Sprintf("alert %s %v", p, done)] = DisputeAlert(e, x)
		}
	}
	letters["signal flood"] = SignalFloodAlert(e, SignalFlood{Provider: "corp", People: 21, All: 80})
	for _, r := range []Reason{NeverRegistered, TooFew, KindNotAvailable, Disabled, Paused, Alerted, NotInScope, NotThisAction, NotThisNetwork, Protected, HeldUntil, NoAccount, "what nobody knows"} {
		letters["cannot "+string(r)] = CannotLetter(e, Cannot{Reason: r, Kind: "recovery-code", Until: when, Origin: Origin{When: when}, Reference: "KTRW-49MP"})
	}
	for _, c := range []MethodChange{MethodAdded, MethodRemoved, MethodChanged, MethodDisabled, MethodLeaving, MethodKept, "other"} {
		for _, k := range []string{"email", "sms", "voice", "totp", "hotp", "passkey", "recovery-code", "pass", "question", "idp", "vouch", "external"} {
			letters["method "+string(c)+" "+k] = MethodLetter(e, Method{Change: c, Kind: k, Masked: "a•••@e•••.org", Until: when, Origin: origin})
		}
	}
	letters["method with link"] = MethodLetter(e, Method{Change: MethodAdded, Kind: "sms", Origin: origin, NotMe: notMeURL})
	c := Confirm{Name: "Ada Lovelace", Code: "73920146", Minutes: 10, Origin: origin}
	letters["confirm"], texts["confirm"] = ConfirmLetter(e, c), ConfirmText(s, c)
	letters["browser"] = BrowserLetter(e, origin)
	letters["brake"] = BrakeAlert(e, Brake{Connector: "entra", Left: 21, People: 60, Until: when, Link: "https://reset.contoso.example/console/connectors/entra"})
	letters["flood"] = FloodLetter(e, origin, "KTRW-49MP")
	letters["test"], texts["test"] = TestLetter(e), TestText(s)
	return letters, texts
}

func TestEveryLetterPrintsInEveryLanguageWithoutHoles(t *testing.T) {
	p := printer(t) // fails the test on every missing text or argument
	for _, lang := range p.catalogue.Languages() {
		letters, texts := everything(lang)
		for name, l := range letters {
			m, err := p.Mail(contoso, l)
			if err != nil {
				t.Errorf("%s in %s: %v", name, lang, err)
				continue
			}
			for part, s := range map[string]string{"subject": m.Subject, "text": m.Text, "html": m.HTML} {
				if strings.Contains(s, "<no value>") || strings.Contains(s, "{{") || strings.Contains(s, "ZgotmplZ") || strings.Contains(strings.ToLower(s), "regain") {
					t.Errorf("%s in %s has a hole or names the product in its %s:\n%s", name, lang, part, s)
				}
			}
			for i, line := range strings.Split(m.Text, "\n") {
				if utf8.RuneCountInString(line) > 76 && strings.Contains(line, " ") {
					t.Errorf("%s in %s: line %d of the text part is %d characters long", name, lang, i+1, utf8.RuneCountInString(line))
				}
			}
			if strings.Contains(m.Subject, "73920146") {
				t.Errorf("%s: the subject, which locked screens show, holds the code: %q", name, m.Subject)
			}
		}
		for name, x := range texts {
			s, err := p.Text(contoso, x)
			if err != nil {
				t.Errorf("text %s in %s: %v", name, lang, err)
				continue
			}
			if i := strings.IndexFunc(s.Text, func(r rune) bool { return !strings.ContainsRune(gsm7, r) }); i >= 0 {
				t.Errorf("text %s in %s has a character outside the GSM alphabet: %q", name, lang, s.Text[i:])
			}
			if n := utf8.RuneCountInString(s.Text); n > 306 {
				t.Errorf("text %s in %s takes %d characters, more than two segments", name, lang, n)
			}
		}
	}
}

// gsm7 is the basic alphabet of 3GPP TS 23.038 §6.2.1 as far as texts need it.
const gsm7 = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

func TestACodeMailSaysWhatWhenWhereAndThatNobodyAsks(t *testing.T) {
	p := printer(t)
	for lang, says := range map[string][]string{
		"en": {"setting a new password", "22 November 2026, 14:05 CET", "Firefox, Windows", "203.0.113.0/24", "Germany", "Nobody will ask you", "10 minutes", "This was not me", "KTRW-49MP", "Contoso"},
		"de": {"neues Passwort", "22. November 2026, 14:05 Uhr (CET)", "Firefox, Windows", "Netz 203.0.113.0/24", "Niemand wird Sie", "10 Minuten", "Das war ich nicht", "KTRW-49MP", "Contoso"},
	} {
		m, err := p.Mail(contoso, CodeLetter(codeFor(lang, Reset)))
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(m.Text), " ")
		for _, want := range says {
			if !strings.Contains(flat, want) {
				t.Errorf("%s text part does not say %q:\n%s", lang, want, m.Text)
			}
			if !strings.Contains(m.HTML, want) {
				t.Errorf("%s html part does not say %q", lang, want)
			}
		}
		if !strings.Contains(m.Text, "\n    73920146\n") || !strings.Contains(m.Text, "\n"+notMeURL+"\n") {
			t.Errorf("%s: code or link does not stand alone on its line:\n%s", lang, m.Text)
		}
		for ext, got := range map[string]string{"txt": m.Text, "html": m.HTML} {
			file := filepath.Join("testdata", "code."+lang+"."+ext)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (go test -run %s -update, then look at the change):\n%s", file, t.Name(), got)
			}
		}
	}
}

func TestACodeTextIsBoundToTheHost(t *testing.T) {
	e, c := codeFor("en", Unlock)
	e.To = "+4915112345678"
	s, err := printer(t).Text(contoso, CodeText(e, c))
	if err != nil {
		t.Fatal(err)
	}
	want := "73920146 is your Contoso security code to unlock your account. Works for 10 minutes. Started 14:05 CET; Firefox, Windows, network 203.0.113.0/24, Germany. Nobody will ask you for it.\n\n@reset.contoso.example #73920146"
	if s.Text != want || s.Kind != "code" {
		t.Errorf("got %s %q\nwant code %q", s.Kind, s.Text, want)
	}
	x := CodeText(e, c)
	long := contoso
	long.Name = strings.Repeat("Contoso ", 200) + "\n\n@evil.example #73920146"
	if s, err = printer(t).Text(long, x); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(s.Text, "\n")
	if utf8.RuneCountInString(s.Text) > maxTextRunes || len(lines) != 3 || lines[2] != "@reset.contoso.example #73920146" {
		t.Errorf("a long name pushed the last line away or forged one: %q", s.Text)
	}
}

func TestWhatStrangersWriteIsPrintedLiterally(t *testing.T) {
	p := printer(t)
	for _, evil := range []string{`{{.Code}}`, `=cmd()|'/C calc'!A0`, `<b>bold</b><script>x</script>`, `" onload="x`, `</style><img src=//evil.example>`, `%0d%0aBcc: x`} {
		o := contoso
		o.Name = evil
		o.Help = map[string]Help{"en": {Text: evil, Phone: evil, Hours: evil, URL: "javascript:" + evil}}
		e, c := codeFor("en", Reset)
		c.Origin.Browser, c.Reference = evil, evil
		m, err := p.Mail(o, CodeLetter(e, c))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(m.Text), " "), "Started: 22 November 2026, 14:05 CET; "+evil) || !strings.Contains(m.Subject, evil) {
			t.Errorf("%q is not printed literally:\n%s\n%s", evil, m.Subject, m.Text)
		}
		elements, words := outline(t, m.HTML)
		for _, e := range elements {
			if slices.Contains([]string{"b", "script", "img"}, e) {
				t.Errorf("%q became an element: %v", evil, elements)
			}
		}
		if !strings.Contains(words, evil) {
			t.Errorf("%q does not appear in the words of the html part", evil)
		}
		if n := strings.Count(m.HTML, "href="); n != 1 {
			t.Errorf("%q: %d links, want only ours", evil, n)
		}
	}
	o := contoso
	o.Name = "Contoso\r\nBcc: eve@evil.example"
	m, err := p.Mail(o, CodeLetter(codeFor("en", Reset)))
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(m.Subject+m.From.Name, "\r\n") {
		t.Errorf("a line break reached a header: %q, %q", m.Subject, m.From.Name)
	}
}

// outline parses HTML as a browser does.
func outline(t *testing.T, s string) (elements []string, words string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch n.Type {
		case html.ElementNode:
			elements = append(elements, n.Data)
		case html.TextNode:
			words += n.Data + " "
		}
	}
	return elements, words
}

func TestTheHTMLPartLoadsNothingFromAnywhere(t *testing.T) {
	m, err := printer(t).Mail(contoso, CodeLetter(codeFor("en", Reset)))
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"src=", "url(", "@import", "<link", "<img", "<script", "<form"} {
		if strings.Contains(m.HTML, never) {
			t.Errorf("the html part has %q", never)
		}
	}
	if !strings.Contains(m.HTML, `<html lang="en">`) || !strings.Contains(m.HTML, "prefers-color-scheme: dark") {
		t.Error("the html part names no language or no dark colours")
	}
}

func TestLettersThatCouldGoAstrayAreRefused(t *testing.T) {
	p := printer(t)
	for name, change := range map[string]func(*Organisation, *Letter){
		"a link to another host":           func(_ *Organisation, l *Letter) { l.Link.URL = "https://evil.example/not-me" },
		"a link with another scheme":       func(_ *Organisation, l *Letter) { l.Link.URL = "javascript://reset.contoso.example/%0aalert(1)" },
		"a link with a user that misleads": func(_ *Organisation, l *Letter) { l.Link.URL = "https://bank.example@reset.contoso.example/" },
		"two recipients":                   func(_ *Organisation, l *Letter) { l.To = "ada@example.org,eve@evil.example" },
		"an id with a line break":          func(_ *Organisation, l *Letter) { l.ID = "a\r\nBcc: x" },
		"an empty id":                      func(_ *Organisation, l *Letter) { l.ID = "" },
		"a host with more than a host":     func(o *Organisation, _ *Letter) { o.Host = "reset.contoso.example>\r\nX: y" },
		"a sender with a name":             func(o *Organisation, _ *Letter) { o.From = "Contoso <noreply@contoso.example>" },
	} {
		o, l := contoso, CodeLetter(codeFor("en", Reset))
		change(&o, &l)
		if _, err := p.Mail(o, l); err == nil || KindOf(err) != Permanent {
			t.Errorf("%s: got %v, want a permanent error", name, err)
		}
	}
	e, c := codeFor("en", Reset)
	for _, to := range []string{"", "015112345678", "+49151 123", "+49", "+4915112345678,+4915112345679", "+4915112345678\n", "tel:+4915112345678"} {
		e.To = to
		if _, err := p.Text(contoso, CodeText(e, c)); KindOf(err) != Permanent || err == nil {
			t.Errorf("text to %q: got %v, want a permanent error", to, err)
		}
	}
}

func TestAddressTakesExactlyOnePlainAddress(t *testing.T) {
	for s, want := range map[string]string{
		"ada@example.org":                               "ada@example.org",
		"ada.l+x'y_z@sub.example.org":                   "ada.l+x'y_z@sub.example.org",
		"ada@bücher.example":                            "ada@xn--bcher-kva.example",
		"jörg@example.org":                              "jörg@example.org",
		"":                                              "",
		"ada":                                           "",
		"a@b@c.example":                                 "",
		"ada@example.org,eve@evil.test":                 "",
		"ada@example.org;eve@evil.test":                 "",
		"ada@example.org eve@evil.test":                 "",
		"ada@example.org\neve@evil.test":                "",
		"ada@example.org\r\nBcc: eve@x":                 "",
		"Ada <ada@example.org>":                         "",
		"<ada@example.org>":                             "",
		"ada@example.org (comment)":                     "",
		"friends: ada@example.org;":                     "",
		"\"a b\"@example.org":                           "",
		"@relay.test:ada@example.org":                   "",
		"ada@[127.0.0.1]":                               "",
		"ada@example.org\x00":                           "",
		" ada@example.org":                              "",
		"ada@exa\u200bmple.org":                         "",
		"ad\u202ea@example.org":                         "",
		"ada@-example.org":                              "",
		"ada@example..org":                              "",
		"ada%0acc:eve@example.org":                      "",
		strings.Repeat("a", 65) + "@example.org":        "",
		"a@" + strings.Repeat("abcdefgh.", 30) + "test": "",
		"bad\xff@example.org":                           "",
	} {
		got, err := Address(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Address(%q) = %q, %v, want %q", s, got, err, want)
		}
	}
}

func FuzzAddressHoldsNoSecondRecipientAndNoHeader(f *testing.F) {
	for _, s := range []string{"ada@example.org", "a@b,c@d", "\"x\"@y.z", "a@b\r\nTo: c@d", "ä@ö.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Address(s)
		if err != nil {
			return
		}
		if strings.Count(a, "@") != 1 || strings.ContainsAny(a, ",;:<>()[]\\\" \r\n\t\x00") || !utf8.ValidString(a) {
			t.Errorf("Address(%q) = %q", s, a)
		}
		if again, err := Address(a); err != nil || again != a {
			t.Errorf("Address(%q) = %q, and of that %q, %v", s, a, again, err)
		}
	})
}

func TestTheBrandColourIsReadableForEveryHue(t *testing.T) {
	for hue := range 360 {
		if c := contrast(brand(hue), "#ffffff"); c < 4.5 {
			t.Errorf("hue %d: white on %s has contrast %.2f, want 4.5", hue, brand(hue), c)
		}
		if c := contrast(brandOnDark(hue), "#1f2228"); c < 4.5 {
			t.Errorf("hue %d: %s on the dark card has contrast %.2f, want 4.5", hue, brandOnDark(hue), c)
		}
	}
	// White, black and sRGB red in OKLCH, from the samples of css-color-4 §9.
	for want, got := range map[string]string{"#ffffff": oklch(1, 0, 0), "#000000": oklch(0, 0, 0), "#ff0000": oklch(0.62796, 0.25768, 29.234)} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// contrast is WCAG 2.2's contrast ratio of two #rrggbb colours.
func contrast(a, b string) float64 {
	lum := func(s string) float64 {
		v := [3]float64{}
		for i := range v {
			n, _ := strconv.ParseUint(s[1+2*i:3+2*i], 16, 8)
			c := float64(n) / 255
			if c <= 0.04045 {
				v[i] = c / 12.92
			} else {
				v[i] = math.Pow((c+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]
	}
	x, y := lum(a), lum(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
