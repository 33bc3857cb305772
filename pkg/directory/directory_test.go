package directory_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/directory"
)

func TestASecretIsNeverPrinted(t *testing.T) {
	const canary = "CaNaRy-secret-1"
	s := directory.NewSecret(canary)
	type outer struct {
		Shown  directory.Secret
		hidden directory.Secret
		deep   *struct{ s directory.Secret }
		any    any
	}
	o := outer{s, s, &struct{ s directory.Secret }{s}, s}
	req := directory.ResetRequest{New: s}
	var out bytes.Buffer
	for _, v := range []any{s, &s, o, &o, req, &req, []directory.Secret{s}, map[string]directory.Secret{"a": s}, map[directory.Secret]int{s: 1}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t", "%10.3s"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		text, _ = xml.Marshal(v)
		out.Write(text)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("x", "v", v, "s", s)
		}
	}
	fmt.Fprint(&out, errors.New("x"), s)
	fmt.Fprintln(&out, s)
	io.WriteString(&out, s.String()+s.GoString())
	hexed := fmt.Sprintf("%x", canary)
	for _, leak := range []string{canary, hexed, strings.ToUpper(hexed), strings.Trim(fmt.Sprint([]byte(canary)), "[]"), "Q2FOYVJ5"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("printed as %q", leak)
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing says that something was left out")
	}
}

func TestASecretComparesByTextAndIsEmptyOnceWiped(t *testing.T) {
	a, b := directory.NewSecret("one"), directory.NewSecret("one")
	if !a.Equal(b) || a.Equal(directory.NewSecret("two")) || a.Equal(directory.Secret{}) || !(directory.Secret{}).Equal(directory.NewSecret("")) {
		t.Error("Equal is wrong")
	}
	if any(a) == any(b) { // must not panic, and must not compare the text
		t.Error("== compares the text")
	}
	copied := a
	a.Wipe()
	if !copied.Empty() || copied.Reveal() != "" || b.Reveal() != "one" {
		t.Error("Wipe must empty all copies and nothing else")
	}
	(directory.Secret{}).Wipe()
}

func TestOutcomeOfTrustsOnlyWhatItKnows(t *testing.T) {
	e := func(kind error, o directory.Outcome) error {
		return &directory.Error{Op: "reset", Kind: kind, Outcome: o}
	}
	for name, c := range map[string]struct {
		err  error
		want directory.Outcome
	}{
		"nil":                          {nil, directory.Applied},
		"refused":                      {e(directory.ErrPolicy, directory.NotApplied), directory.NotApplied},
		"wrapped":                      {fmt.Errorf("attempt: %w", e(directory.ErrBusy, directory.NotApplied)), directory.NotApplied},
		"unknown":                      {e(directory.ErrUnknown, directory.Unknown), directory.Unknown},
		"unknown, outcome forgotten":   {e(directory.ErrUnknown, directory.NotApplied), directory.Unknown},
		"a known kind, outcome unsure": {e(directory.ErrUnavailable, directory.Unknown), directory.Unknown},
		"a bare sentinel":              {directory.ErrLocked, directory.NotApplied},
		"a bare unknown":               {directory.ErrUnknown, directory.Unknown},
		"anything else":                {errors.New("connection reset by peer"), directory.Unknown},
	} {
		if got := directory.OutcomeOf(c.err); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestAnErrorIsItsKindAndItsCauseAndKeepsTheServersTextToItself(t *testing.T) {
	err := fmt.Errorf("outer: %w", &directory.Error{
		Op: "reset", Kind: directory.ErrPolicy, Violations: []directory.Violation{{Code: directory.TooShort}, {Code: directory.NotComplex}},
		Native: directory.Native{Code: 19, Sub: "ppolicy 6", Message: "server text"}, Err: os.ErrDeadlineExceeded,
	})
	if !errors.Is(err, directory.ErrPolicy) || !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, directory.ErrBusy) {
		t.Error("errors.Is is wrong")
	}
	if got, want := err.Error(), "outer: reset: password rejected by directory policy: too_short, not_complex (19 ppolicy 6): i/o timeout"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(directory.ViolationsOf(err)) != 2 || directory.ViolationsOf(directory.ErrBusy) != nil || directory.ViolationsOf(directory.ErrPolicy)[0].Code != directory.Rejected {
		t.Error("ViolationsOf is wrong")
	}
	if got := (&directory.Error{Op: "find"}).Error(); got != "find" {
		t.Errorf("got %q", got)
	}
}

func TestCleanTextHasNoControlCharactersNoSecretsAndAnEnd(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\x00\x1b[31m\x7f":       "a  b  [31m",
		"bad pw value":                 "bad [redacted] value",
		"\xff ok":                      "? ok",
		"line\u2028sep\u0085next":      "line sep next",
		strings.Repeat("ä", 200):       strings.Repeat("ä", 150) + "…",
		"x" + strings.Repeat("ä", 200): "x" + strings.Repeat("ä", 149) + "…",
	} {
		if got := directory.Clean(in, directory.NewSecret("pw"), directory.Secret{}); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestThePackageImportsTheStandardLibraryOnly(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); strings.Contains(path, ".") {
				t.Errorf("%s imports %s", e.Name(), path)
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\nb", "b")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := directory.Clean(text, directory.NewSecret(secret))
		if strings.ContainsAny(got, "\r\n\x00\x1b\u2028") || len(got) > 310 {
			t.Errorf("got %q", got)
		}
	})
}
