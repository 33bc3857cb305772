package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAConnectorIsToldWhatItMayDoAndUntilWhen(t *testing.T) {
	d := deployment(t)
	says(t, d, "works without end", "connector", "create", "hr")
	says(t, d, "https://account.example.org/scim/v2\n", "connector", "create", "--preset", "entra", "--use", "users, groups", "--rate", "25", "--expires", "90d", "entra")
	show := says(t, d, "may use    users, groups, 25 requests a second", "connector", "show", "entra")
	if !regexp.MustCompile(`token +made \S+ \S+, works until \d{4}-`).MatchString(show) {
		t.Errorf("got %s", show)
	}
	says(t, d, "may use    users, groups, methods, 5000 requests a second", "connector", "show", "hr")
	says(t, d, "", "connector", "change", "--read-only", "yes", "--use", "methods", "--rate", "0", "entra")
	says(t, d, "may read   methods, 5000 requests a second", "connector", "show", "entra")
	says(t, d, "", "connector", "change", "--trust", "all", "entra") // says nothing of the others, and changes nothing of them
	list := says(t, d, "uses methods              read-only true", "connector", "list")
	if !strings.Contains(list, "(one until ") || !strings.Contains(list, "uses users,groups,methods read-only false") || !strings.Contains(list, "last request never") {
		t.Errorf("got %s", list)
	}
	says(t, d, "", "connector", "change", "--use", "all", "entra")
	says(t, d, "users, groups, methods", "connector", "show", "entra")
	for want, args := range map[string][]string{
		`use "people": want users`:      {"connector", "change", "--use", "people", "hr"},
		`use "users": want users`:       {"connector", "change", "--use", "users,users", "hr"},
		`read-only "maybe": want yes`:   {"connector", "change", "--read-only", "maybe", "hr"},
		`rate "many": want a number`:    {"connector", "change", "--rate", "many", "hr"},
		"rate -1: want 1 to 100000":     {"connector", "change", "--rate=-1", "hr"},
		"rate 100001: want 1 to 100000": {"connector", "change", "--rate", "100001", "hr"},
		`"soon": want a time`:           {"connector", "create", "--expires", "soon", "later"},
		"2020-02-01 00:00 is over":      {"connector", "create", "--expires", "2020-01-31", "later"},
		`no connector "gone"`:           {"connector", "show", "gone"},
	} {
		says(t, d, want, args...)
	}
}

func TestATokenIsRotatedAndEndsWhenItWasSaid(t *testing.T) {
	d := deployment(t)
	first := says(t, d, "Secret token", "connector", "create", "hr")
	tokens := func() int { t.Helper(); return strings.Count(run(t, d, "connector", "show", "hr"), "token      made") }
	second := says(t, d, "What it had works until", "connector", "rotate", "hr")
	if first == second || tokens() != 2 {
		t.Errorf("%d tokens", tokens())
	}
	says(t, d, "works no more", "connector", "rotate", "--keep", "0", "--expires", "12h", "hr")
	if tokens() != 1 {
		t.Errorf("%d tokens", tokens())
	}
	says(t, d, "", "connector", "change", "--expires", "never", "hr")
	says(t, d, "works without end", "connector", "show", "hr")
	says(t, d, "", "connector", "change", "--expires", "1s", "hr")
	says(t, d, "until the next one is made", "connector", "change", "--token", "--expires", "2099-12-31 18:00", "hr")
	says(t, d, "works until 2099-12-31 18:00", "connector", "show", "hr")
	says(t, d, "is over", "connector", "rotate", "--expires", "2001-01-01", "hr")
}

func TestWhenSomethingEndsIsReadAsPeopleWriteIt(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"": {}, "never": {}, "18:00": now.Add(6 * time.Hour), "09:30": now.Add(-150 * time.Minute), "12h": now.Add(12 * time.Hour), "90m": now.Add(90 * time.Minute),
		"30d": now.AddDate(0, 0, 30), "2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.Local), "2027-01-31 18:00": time.Date(2027, 1, 31, 18, 0, 0, 0, time.Local),
		"2027-01-31T18:00:00+02:00": time.Date(2027, 1, 31, 16, 0, 0, 0, time.UTC),
	} {
		if got, err := until(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-1h", "0d", "-3d", "99999999d", "25:00", "2027-13-01", "tomorrow 9"} {
		if got, err := until(text, now); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestAWaveIsExpectedOrUndoneFromTheCommandLine(t *testing.T) {
	d := deployment(t)
	says(t, d, "Secret token", "connector", "create", "hr")
	says(t, d, "hr may disable or delete 4000 people until ", "connector", "expect", "hr", "--disable", "4000", "--until", "3h")
	says(t, d, "4000 people may leave until ", "connector", "show", "hr")
	for want, args := range map[string][]string{
		"nothing to undo":             {"connector", "undo", "hr"},
		`no connector "gone"`:         {"connector", "undo", "gone"},
		"0 people: want 1":            {"connector", "expect", "hr", "--disable", "0", "--until", "3h"},
		"want a time within the next": {"connector", "expect", "hr", "--disable", "5", "--until", "30d"},
		`"soon": want a time`:         {"connector", "expect", "hr", "--disable", "5", "--until", "soon"},
		`required flag(s) "until"`:    {"connector", "expect", "hr", "--disable", "5"},
	} {
		says(t, d, want, args...)
	}
}
