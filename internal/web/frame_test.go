package web

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/message"
)

func TestWhoeverIsSignedInSeesTheirNameAndTheWayOut(t *testing.T) {
	s, _ := testSite(t, nil)
	room := Room{Path: "/security-info", Icon: "shield-check", Text: message.Key("home.heading"), Here: true}
	for path, f := range map[string]*Frame{"/none": nil, "/step": {Name: "Ada <b>"}, "/room": {Name: "Ada <b>", Rooms: []Room{room}}} {
		s.Handle("GET", path, func(*Request) (Page, error) {
			return Page{Template: "plain", Title: message.Key("home.heading"), Data: "hello", Frame: f}, nil
		})
	}
	for path, want := range map[string][3]bool{"/none": {}, "/step": {true, true, false}, "/room": {true, true, true}} {
		body := do(s, httptest.NewRequest("GET", path, nil)).Body.String()
		got := [3]bool{
			strings.Contains(body, "Ada &lt;b&gt;"), strings.Contains(body, `<form method="post" action="/signout">`),
			strings.Contains(body, `<a href="/security-info" aria-current="page">`),
		}
		if got != want {
			t.Errorf("%s: name, way out, rooms are %v, want %v", path, got, want)
		}
	}
}

func TestAFileIsSavedAndNotShownUnderThePolicyOfEveryPage(t *testing.T) {
	s, _ := testSite(t, nil)
	s.Handle("GET", "/f", func(*Request) (Page, error) { return Page{File: &File{Name: "codes.txt", Text: "<b>1\r\n2"}}, nil })
	w := do(s, httptest.NewRequest("GET", "/f", nil))
	for name, want := range map[string]string{
		"Content-Disposition": "attachment; filename=codes.txt", "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "Content-Length": "7",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if w.Code != 200 || w.Body.String() != "<b>1\r\n2" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestADayIsTheOneInTheZoneOfTheSite(t *testing.T) {
	s, _ := testSite(t, func(c *Config) { c.Location = time.FixedZone("CET", 3600) })
	m := message.Key("resting.from", "At", Day(time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)))
	for lang, want := range map[string]string{"en": "works from 23 November 2026", "de": "gilt ab 23. November 2026"} {
		if got := s.say(lang, m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
