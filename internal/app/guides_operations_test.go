package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

func TestTheGuideToOperationsNamesEveryMetric(t *testing.T) {
	w := newWorld(t, scene{noWork: true})
	ada := w.add("ada", method.Email)
	v := w.visitor()
	v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
	v.post("/choose", "way", "email").want(t, 200, "/code") // a message that nobody sends
	out := httptest.NewRecorder()
	metrics(w.srv, "test").ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, _ := guide(t, "operations.md")
	find := func(pattern, in string) (names []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(in, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	there, said := find(`(?m)^# TYPE (regain_\w+) `, out.Body.String()), find("(?m)^\\| `(regain_\\w+)` \\|", text)
	if !slices.Equal(there, said) || len(there) < 3 {
		t.Errorf("the program has %v, the guide names %v", there, said)
	}
}

func TestTheGuideToOperationsSaysHowLongThingsAreKept(t *testing.T) {
	text, _ := guide(t, "operations.md")
	days := func(d time.Duration) string { return fmt.Sprintf("%d days", d/(24*time.Hour)) }
	for _, row := range []string{
		"| tries, with their challenges and writes | " + days(attemptsKept) + " |",
		"| the name somebody typed | a day after",
		fmt.Sprintf("for %d minutes |", reset.CodeLife/time.Minute),
		fmt.Sprintf("| a sign-in under way; a way that is being added | %d minutes; %d |", session.FlowLife/time.Minute, register.Life/time.Minute),
		"| trusted browsers | " + days(session.BrowserLife) + " |",
	} {
		if !strings.Contains(text, row) {
			t.Errorf("the guide does not say %q", row)
		}
	}
	if reset.TypedLife != 24*time.Hour {
		t.Errorf("typed names are kept for %s, and the guide says a day", reset.TypedLife)
	}
}
