package event

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write api/events.md anew")

// contract is api/events.md: what programs that read the audit log may rely on.
func contract() string {
	var b strings.Builder
	b.WriteString(`# Events

Every fact regain records, by type. A type is never renamed and never changes its meaning; types and facts are added.
Each event carries id, at (UTC, microseconds), type, actor, subject, txn, outcome (success, failure or unknown), data
without personal data, and personal data sealed under the subject's own key. No secret stands in an event.

An event with routes brings work along, in the same commit.

| type | routes | meaning |
|---|---|---|
`)
	for _, t := range slices.Sorted(maps.Keys(Catalogue)) {
		e := Catalogue[t]
		var routes []string
		for _, r := range e.Routes {
			routes = append(routes, string(r))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", t, strings.Join(routes, " "), e.About)
	}
	return b.String()
}

func TestTheGeneratedContractIsUpToDate(t *testing.T) {
	const path = "../../api/events.md"
	want := contract()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the catalogue says (%v): go test ./internal/event -update", path, err)
	}
}

func TestEveryTypeHasAMeaningAndAStableForm(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	for typ, e := range Catalogue {
		if !form.MatchString(string(typ)) || e.About == "" {
			t.Errorf("%q: want a form like noun.verb and a meaning, have %q", typ, e.About)
		}
	}
}

func TestAnEventBringsOneRowOfWorkForEachRoute(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	e := New(now, AttemptDisputed, "person:ada", "ada", "try", Success)
	if w := e.Work(); len(w) != 3 || w[0].Ref != "try" || !w[0].NotBefore.Equal(now) || !w[0].NotAfter.Equal(now.Add(DefaultLife)) {
		t.Errorf("got %+v", w)
	}
	e = New(now, CodeAsked, "stranger", "", "try", Success)
	e.Ref, e.Until = "challenge", now.Add(10*time.Minute)
	if w := e.Work(); len(w) != 1 || w[0].Ref != "challenge" || !w[0].NotAfter.Equal(e.Until) {
		t.Errorf("got %+v", w)
	}
	if w := New(now, LinkMade, "system", "ada", "", Success).Work(); len(w) != 0 {
		t.Errorf("an event without routes brought %+v", w)
	}
}

func TestATypeOutsideTheCatalogueIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unknown type was made")
		}
	}()
	New(time.Now(), "attempt.flown", "", "", "", Success)
}

func TestDataIsBounded(t *testing.T) {
	e := New(time.Now(), LinkMade, "system", "ada", "", Success).With("x", strings.Repeat("y", MaxData))
	if _, err := e.DataJSON(); err == nil {
		t.Error("an event of more than 8 KiB was taken")
	}
}
