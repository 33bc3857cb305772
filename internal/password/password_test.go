package password

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// good is 15 characters that no list and no rule objects to.
const good = "vellum-Otter-gq"

func codes(pw string, r Rules, l Lists) []Code {
	var out []Code
	for _, v := range Judge(pw, r, l) {
		out = append(out, v.Code)
	}
	return out
}

func expect(t *testing.T, pw string, r Rules, want ...Code) {
	t.Helper()
	if got := codes(pw, r, Lists{}); !slices.Equal(got, want) {
		t.Errorf("%.60q: got %v, want %v", pw, got, want)
	}
}

func TestFourteenCharactersAreRefusedAndFifteenAccepted(t *testing.T) {
	expect(t, good, Rules{})
	expect(t, good[:14], Rules{}, TooShort)
	expect(t, "kt7Wq-bz", Rules{MinLength: 8})
	expect(t, "kt7Wq-b", Rules{MinLength: 8}, TooShort)
	expect(t, "kt7Wq-b", Rules{MinLength: 1}, TooShort) // no rule goes below 8
	expect(t, "", Rules{}, TooShort)
}

func TestNoCompositionIsAsked(t *testing.T) {
	for _, pw := range []string{
		"wooden kettle hums", "flottebienewolke", "83 otter 19 lampe", "ЖирафНаКрышеСпит", "夜の図書館で静かに本を読む猫たち", "   a velvet walrus   ",
		strings.Repeat("quiet otters sing ", 56) + "now",
	} {
		expect(t, pw, Rules{})
	}
}

func TestACharacterIsACodePointAfterComposition(t *testing.T) {
	emoji := "otter pad vellu" // 15
	emoji = strings.Replace(emoji, " ", "🦦", 1)
	if utf8.RuneCountInString(emoji) != 15 {
		t.Fatal("the sample is wrong")
	}
	expect(t, emoji, Rules{})
	expect(t, strings.TrimSuffix(emoji, "u"), Rules{}, TooShort)
	nfc, nfd := "caf\u00e9-vellum-ott", "cafe\u0301-vellum-ott" // 15 and 16 code points as typed, 15 in form C
	if Normalise(nfc) != Normalise(nfd) || Normalise(nfc) != nfc {
		t.Errorf("é typed in two ways: %q and %q", Normalise(nfc), Normalise(nfd))
	}
	expect(t, nfc, Rules{})
	expect(t, nfd, Rules{})
	expect(t, nfd[:len(nfd)-1], Rules{}, TooShort)
	if got := Normalise("ﬁ²  x "); got != "ﬁ²  x " {
		t.Errorf("Normalise changed what a person sees: %q", got)
	}
}

func TestTooLongIsRefusedBeforeAnyWork(t *testing.T) {
	long := strings.Repeat("kettle otter vellum ", 100)
	expect(t, long[:1024], Rules{})
	expect(t, long[:1025], Rules{}, TooLong)
	expect(t, long[:65], Rules{MaxLength: 64}, TooLong)
	huge := strings.Repeat("a\u0301\xff", 350_000)
	start := time.Now()
	expect(t, huge, Rules{Organisation: []string{"Contoso"}}, TooLong)
	if d := time.Since(start); d > 5*time.Millisecond {
		t.Errorf("a megabyte took %s", d)
	}
}

func TestCharactersThatCannotBeTypedAreRefused(t *testing.T) {
	for _, c := range []string{"\x00", "\t", "\r\n", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\xff", "\ufffd"} {
		expect(t, "vellum-"+c+"-otter-gq", Rules{}, BadCharacters)
	}
	expect(t, "vellum-👩‍💻-otter", Rules{})
}

func TestRepetitionAndRunsAreRefused(t *testing.T) {
	for _, pw := range []string{
		"aaaaaaaaaaaaaaa", "abcdefghijklmno", "zyxwvutsrqponml", "123456789012345", "987654321098765", "qwertyuiopasdfg", "qwertzuiopasdfg", "1qaz2wsx3edc4rfv",
		"abc1abc1abc1abc1", "112233445566778899", "AAAABBBBCCCCDDDD", "kaffeekaffeekaffee", "!\"§$%&/()=!\"§$%&/()=", "ääääääääääääääää",
	} {
		expect(t, pw, Rules{}, Simple)
	}
	expect(t, "abcd vellum otter 123", Rules{})
}

func TestTheCommonestAreRefusedAlsoInDisguise(t *testing.T) {
	for _, pw := range []string{
		"password", "PASSWORD", "pässwörd", "p@ssw0rd", "drowssap", "dr0wss@p", "ｐａｓｓｗｏｒｄ", "sunshine1", "trustno1", "iloveyou!", "account1ng", "!!dragon99", "P@$$w0rd2026", "ba$eball", "michael.",
	} {
		expect(t, pw, Rules{MinLength: 8}, append(map[bool][]Code{true: {TooShort}}[len([]rune(pw)) < 8], Common)...)
	}
	for _, pw := range []string{
		"password1234567", "Password-Password", "passwordpasswordpassword", "baseballfootball", "Baseball-Football-1", "1234567-sunshine-7654321", "2026!Trustno1!!!", "llabtoof-llabesab",
		"--P@ssw0rd2026!--",
	} {
		expect(t, pw, Rules{}, Common)
	}
	for _, pw := range []string{"baseball football sunshine", "love 8391 7720 4451", "password is a bad choice", "dragon-kettle-otter"} {
		expect(t, pw, Rules{})
	}
}

func TestTheEmbeddedListsAreWholeAndSorted(t *testing.T) {
	for _, l := range []struct {
		name  string
		words []string
		least int
	}{{"common", common(), 10_000}, {"en", wordsEn(), 7776}, {"de", wordsDe(), 7776}} {
		if n := len(l.words); n < l.least {
			t.Errorf("%s: %d entries, want at least %d", l.name, n, l.least)
		}
		if !slices.IsSorted(l.words) || len(slices.Compact(slices.Clone(l.words))) != len(l.words) {
			t.Errorf("%s: not sorted, or an entry stands twice", l.name)
		}
		for _, w := range l.words {
			if w == "" || w != strings.ToLower(w) || strings.ContainsFunc(w, func(c rune) bool { return c <= ' ' || c > '~' }) {
				t.Errorf("%s: %q", l.name, w)
			}
			if l.name == "common" && 2*len(w) > maxCommon {
				t.Errorf("%q is longer than maxCommon allows for", w)
			}
			if l.name != "common" && len(w) < 3 {
				t.Errorf("%s: %q is too short for a passphrase", l.name, w)
			}
		}
	}
	for i, w := range common() {
		if i%97 == 0 && !slices.ContainsFunc(readings(w), reading.common) {
			t.Errorf("%q stands in the list and is not found", w)
		}
	}
}

func TestLittleMoreThanNamesIsRefused(t *testing.T) {
	r := Rules{
		Organisation: []string{"Contoso", "Fabrikam GmbH", "Bad Tölz"},
		Personal:     []string{"Ada Müller-Lovelace", "amuellerlov", "ada.lovelace@kontor.example"},
	}
	for _, pw := range []string{
		"Contoso-Contoso-2026", "contososummer2026", "C0nt0s0-2026-2027", "ososotnoC.2026.12", "Contosso-Contozo!!", "fabrikam+contoso+1", "+++fabrikAm 77 toelz",
		"C0nt0$0-4711-abc-!",
	} {
		expect(t, pw, r, OrganisationWord)
	}
	for _, pw := range []string{
		"Lovelace-1815-1852", "MuellerMueller1815", "müller.müller.1815", "ecalevoL-1815-1852", "adalovelace1815!!", "L0vel4ce1815-1852", "Lovelaze-Contoso-1", "kontor-kontor-1815", "Muller 1815 Muller",
	} {
		// Some surnames are common passwords as well; both is said then.
		if got := codes(pw, r, Lists{}); !slices.Contains(got, PersonalWord) || slices.Contains(got, OrganisationWord) {
			t.Errorf("%q: got %v, want %v", pw, got, PersonalWord)
		}
	}
	for _, pw := range []string{
		"Contoso velvet otter", "Lovelace hummed at the kettle", "ada vellum otter 9", "velvet otter kettle", // "ada" is too short to count
	} {
		expect(t, pw, r)
	}
	// Word by word these would be long enough: what stands before and behind the name is nobody's.
	expect(t, "ada.lovelace@kontor.example", r, PersonalWord)
	expect(t, " Ada@Velvet-Otter.example ", Rules{Personal: []string{"ada@velvet-otter.example"}}, PersonalWord)
	expect(t, "ada@velvet-otter.example 9", Rules{Personal: []string{"ada@velvet.example"}})
	// Half the least length is asked of what is left: less when less is asked of the whole.
	expect(t, "contoso-kettle", Rules{MinLength: 8, Organisation: []string{"contoso"}})
	expect(t, "contoso-abc", Rules{MinLength: 8, Organisation: []string{"contoso"}}, OrganisationWord)
}

func TestManyAndOddWordsStayCheap(t *testing.T) {
	var names []string
	for i := range 5000 {
		names = append(names, strings.Repeat(string(rune('a'+i%26)), 4+i%200)+"x@", strings.Repeat("@", i%7), "ÄÖÜß"+string(rune(0x4e00+i)))
	}
	r := Rules{Organisation: names, Personal: append(names[:100:100], "", " ", "\xff\xfe\xfd\xfc", strings.Repeat("é", 1<<16))}
	start := time.Now()
	for range 10 {
		Judge(strings.Repeat("aaaaaaab", 128), r, Lists{})
		Judge(strings.Repeat("kettle otter ", 9), r, Lists{})
	}
	if d := time.Since(start) / 20; d > 100*time.Millisecond { // about 10 ms on two cores; the margin is for -race
		t.Errorf("one judgement took %s", d)
	}
}

func TestAViolationNeverHoldsThePassword(t *testing.T) {
	for _, pw := range []string{"hunter2", "password1234567", strings.Repeat("hunter2", 1000), "hunter2\x00"} {
		for _, v := range Judge(pw, Rules{Personal: []string{"hunter"}}, Lists{}) {
			if v.Message.IsZero() {
				t.Errorf("%s says nothing", v.Code)
			}
			for name, a := range v.Message.Args {
				if _, ok := a.(int); !ok {
					t.Errorf("%s: argument %s is %T", v.Code, name, a)
				}
			}
		}
	}
}

func TestSuggestionsPassInBothLanguages(t *testing.T) {
	r := Rules{Organisation: []string{"Contoso"}, Personal: []string{"Ada Lovelace"}}
	for lang, times := range map[string]int{"en": 1000, "de": 1000, "de-AT": 50, "fr": 50, "": 50} {
		list := wordsEn()
		if strings.HasPrefix(lang, "de") {
			list = wordsDe()
		}
		seen := map[string]bool{}
		for range times {
			s := SuggestFor(lang, r, Lists{})
			if seen[s] {
				t.Fatalf("%s: %q came up twice", lang, s)
			}
			seen[s] = true
			if v := Judge(s, r, Lists{}); len(v) > 0 {
				t.Fatalf("%s: %q is %v", lang, s, v)
			}
			n := 0
			for w := range strings.SplitSeq(strings.ToLower(s[:len(s)-2]), "-") {
				if _, ok := slices.BinarySearch(list, w); !ok {
					t.Fatalf("%s: %q of %q is not in the list", lang, w, s)
				}
				n++
			}
			if n < minWords {
				t.Fatalf("%s: %q has %d words", lang, s, n)
			}
		}
	}
	if s := SuggestFor("de", Rules{MinLength: 60}, Lists{}); utf8.RuneCountInString(s) < 60 {
		t.Errorf("%q has %d characters, want 60", s, utf8.RuneCountInString(s))
	}
	if s := Suggest("en"); len(Judge(s, Rules{}, Lists{})) > 0 {
		t.Errorf("%q does not pass the default rules", s)
	}
}

func TestASuggestionThatTheRulesRefuseIsDrawnAgain(t *testing.T) {
	// Nearly all words name the organisation, so most draws say little else, and are refused.
	var names []string
	for chunk := range slices.Chunk(wordsEn()[:6500], 20) {
		names = append(names, strings.Join(chunk, " "))
	}
	r := Rules{Organisation: names}
	refused := 0
	for range 20 {
		if len(Judge(phrase(wordsEn(), r.min()), r, Lists{})) > 0 {
			refused++
		}
		if s := SuggestFor("en", r, Lists{}); len(Judge(s, r, Lists{})) > 0 {
			t.Fatalf("%q does not pass", s)
		}
	}
	if refused == 0 {
		t.Error("no draw was refused: the test proves nothing")
	}
	if s := SuggestFor("en", Rules{MaxLength: 10}, Lists{}); s == "" {
		t.Error("nothing suggested under an impossible rule")
	}
}

func FuzzJudge(f *testing.F) {
	for _, s := range []string{"", "password", "a\u0301", "\xff\x00", "ﬀﬁ", "ß", "ı", "İ", "🦦", "1qaz", "\U0010ffff\U0010ffff", "ΐ", "각"} {
		f.Add(s, s, 8)
	}
	f.Fuzz(func(t *testing.T, pw, word string, least int) {
		r := Rules{MinLength: least, Organisation: []string{word}, Personal: []string{word, pw}}
		start := time.Now()
		out := Judge(pw, r, Lists{})
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %s", d)
		}
		if (len(pw) == 0 || !utf8.ValidString(pw)) && len(out) == 0 {
			t.Errorf("%q was accepted", pw)
		}
		if utf8.ValidString(pw) && !slices.Equal(codes(pw, r, Lists{}), codes(Normalise(pw), r, Lists{})) && len(pw) <= maxBytes {
			t.Errorf("%q is judged otherwise than its normal form", pw)
		}
		if len(out) == 0 && utf8.RuneCountInString(Normalise(pw)) < max(least, LeastMinLength) && least != 0 {
			t.Errorf("%q is too short and was accepted", pw)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	r := Rules{Organisation: []string{"Contoso", "Fabrikam"}, Personal: []string{"Ada Lovelace", "ada.lovelace@example.org"}}
	for b.Loop() {
		Judge("Velvet-otter-kettle-moon-7", r, Lists{})
	}
}
