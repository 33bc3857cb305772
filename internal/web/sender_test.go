package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/message"
)

// shop is the app of these tests, under the name somebody who means ill would give it.
var shop = Sender{Name: `Shop <b>"&` + "\u202e", Host: "shop.example.org", Origin: "https://shop.example.org", Cancel: "/oauth2/cancel", Return: "/oauth2/return"}

// senderSite shows a page, a last page and faults to whoever an app sent here; from is that app, nil when there is none.
func senderSite(t *testing.T, from **Sender, err *error) (*Site, *logBuffer) {
	t.Helper()
	s, log := testSite(t, func(c *Config) {
		c.Sender = func(*Request) (*Sender, error) { return *from, *err }
	})
	page := func(p Page) Handler { return func(*Request) (Page, error) { return p, nil } }
	plain := Page{Template: "plain", Title: message.Key("home.heading"), Data: "hello"}
	last, wide := plain, plain
	last.Last = true
	wide.Frame = &Frame{Name: "Ada", Rooms: []Room{{Path: "/wide", Icon: "key-round", Text: message.Key("home.heading"), Here: true}}}
	s.Handle("GET", "/page", page(plain))
	s.Handle("GET", "/last", page(last))
	s.Handle("GET", "/wide", page(wide))
	s.Handle("GET", "/go", page(Page{Goto: "/page"}))
	s.Handle("GET", "/leave", page(Page{Leave: "https://idp.example.org/"}))
	s.Handle("GET", "/json", page(Page{JSON: 1}))
	s.Handle("GET", "/file", page(Page{File: &File{Name: "a.txt"}}))
	s.Handle("GET", "/fault", func(*Request) (Page, error) { return Page{}, errors.New("the cause") })
	s.Handle("GET", "/panic", func(*Request) (Page, error) { panic("boom") })
	s.Handle("POST", "/page", page(Page{Goto: "/page"}))
	return s, log
}

// formAction is where the policy of an answer lets forms lead to.
func formAction(t *testing.T, h http.Header) string {
	t.Helper()
	policies := h.Values("Content-Security-Policy")
	if len(policies) != 1 {
		t.Fatalf("%d policies", len(policies))
	}
	var found []string
	for d := range strings.SplitSeq(policies[0], "; ") {
		if to, ok := strings.CutPrefix(d, "form-action "); ok {
			found = append(found, to)
		}
	}
	if len(found) != 1 {
		t.Fatalf("form-action %d times in %s", len(found), policies[0])
	}
	if rest := strings.Replace(policies[0], "form-action "+found[0], "form-action 'self'", 1); rest != contentPolicy {
		t.Errorf("more of the policy changed than form-action: %s", policies[0])
	}
	return found[0]
}

func TestOnlyPagesOfAHandoffLetFormsLeadToTheAppAndToNothingElse(t *testing.T) {
	var from *Sender
	var broken error
	s, _ := senderSite(t, &from, &broken)
	with := func(path string) string {
		return formAction(t, do(s, httptest.NewRequest("GET", path, nil)).Header())
	}
	pages := []string{"/page", "/last", "/wide", "/fault", "/panic", "/none"}
	others := []string{"/go", "/leave", "/json", "/file", s.assets.Style, "/page?lang=de"}
	for _, path := range append(slices.Clone(pages), others...) {
		if got := with(path); got != "'self'" {
			t.Errorf("%s without an app: forms lead to %s", path, got)
		}
	}
	from = &shop
	for _, path := range pages {
		if got := with(path); got != "'self' https://shop.example.org" {
			t.Errorf("%s: forms lead to %s", path, got)
		}
	}
	for _, path := range others {
		if got := with(path); got != "'self'" {
			t.Errorf("%s is no page and lets forms lead to %s", path, got)
		}
	}
}

func TestWhatIsNoOriginMakesNoHoleInThePolicy(t *testing.T) {
	var from *Sender
	var broken error
	s, _ := senderSite(t, &from, &broken)
	for origin, taken := range map[string]bool{
		"https://shop.example.org": true, "http://localhost:8081": true, "http://127.0.0.1:1": true, "http://[::1]:8080": true, "https://a_b.xn--mnchen-3ya.example:8443": true,
		"": false, "*": false, "https:": false, "https://*.example.org": false, "https://shop.example.org/": false, "https://shop.example.org/cb": false,
		"https://shop.example.org;script-src 'unsafe-inline'": false, "https://shop.example.org https://evil.example": false, "https://shop.example.org,https://evil.example": false,
		"javascript:": false, "data:": false, "'unsafe-inline'": false, "https://a@evil.example": false, "https://shop.example.org\r\nX: y": false, "https://shop.example.org\n": false,
		"ftp://shop.example.org": false, "shop.example.org": false, "https://shop.example.org:123456": false,
	} {
		app := shop
		app.Origin = origin
		from = &app
		w := do(s, httptest.NewRequest("GET", "/page", nil))
		want := "'self'"
		if taken {
			want += " " + origin
		}
		if got := formAction(t, w.Header()); got != want || w.Code != 200 {
			t.Errorf("%q: %d, forms lead to %s", origin, w.Code, got)
		}
	}
}

func TestEveryPageSaysWhoSentThePersonAndHasOneWayBack(t *testing.T) {
	var from *Sender
	var broken error
	s, _ := senderSite(t, &from, &broken)
	const cancel, back = `action="/oauth2/cancel"`, `action="/oauth2/return"`
	for name, c := range map[string]struct {
		cancel, back string
		path         string
		want         string // the one form
		end          bool   // it stands at the end
		says         string
	}{
		"a page before anything happened":      {shop.Cancel, "", "/page", cancel, false, "Cancel and go back"},
		"a page once something happened":       {"", shop.Return, "/page", back, false, "Go back to Shop"},
		"a wide one":                           {shop.Cancel, "", "/wide", cancel, false, "Cancel and go back"},
		"a page with nothing of its own":       {shop.Cancel, "", "/none", cancel, false, "Cancel and go back"},
		"a fault":                              {shop.Cancel, "", "/fault", cancel, false, "Cancel and go back"},
		"the last page with nothing happened":  {shop.Cancel, "", "/last", cancel, true, "Go back to Shop"},
		"the last page with an outcome":        {"", shop.Return, "/last", back, true, "Go back to Shop"},
		"an outcome that can still be undone":  {shop.Cancel, shop.Return, "/page", back, false, "Go back to Shop"},
		"the last page of what can be undone":  {shop.Cancel, shop.Return, "/last", back, true, "Go back to Shop"},
		"a page while nothing can be answered": {"", "", "/page", "", false, ""},
	} {
		app := shop
		app.Cancel, app.Return = c.cancel, c.back
		from = &app
		body := do(s, httptest.NewRequest("GET", c.path, nil)).Body.String()
		if !strings.Contains(body, `<bdi>Shop &lt;b&gt;&#34;&amp;`) || !strings.Contains(body, "<bdi>shop.example.org</bdi>") || strings.Contains(body, "Shop <b>") {
			t.Errorf("%s: does not say who sent them, or says it as markup:\n%s", name, body)
		}
		if n := strings.Count(body, `action="/oauth2/`); n != map[bool]int{true: 1}[c.want != ""] || !strings.Contains(body, c.want) || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d ways back, want %s %q", name, n, c.want, c.says)
		}
		if c.want == "" {
			continue
		}
		if atEnd := strings.Index(body, c.want) > strings.Index(body, "<h1>"); atEnd != c.end {
			t.Errorf("%s: the way back stands after what the page says: %v, want %v", name, atEnd, c.end)
		}
	}
	from = nil
	for _, path := range []string{"/page", "/last", "/wide", "/none", "/fault"} {
		if body := do(s, httptest.NewRequest("GET", path, nil)).Body.String(); strings.Contains(body, "oauth2") || strings.Contains(body, `class="sent`) {
			t.Errorf("%s shows an app to somebody who came by themselves", path)
		}
	}
}

func TestTemplatesKnowWhetherAnAppSentThePerson(t *testing.T) {
	var from *Sender
	s, _ := testSite(t, func(c *Config) {
		c.Sender = func(*Request) (*Sender, error) { return from, nil }
	})
	if _, err := s.pages.Parse(`{{define "sent"}}sent {{sent}}{{end}}`); err != nil {
		t.Fatal(err)
	}
	s.Handle("GET", "/", func(*Request) (Page, error) { return Page{Template: "sent", Title: message.Key("home.heading")}, nil })
	for range 2 { // neither answer stays for the next person
		for _, lang := range []string{"en", "de"} {
			for _, app := range []*Sender{nil, &shop} {
				from = app
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Accept-Language", lang)
				body := do(s, r).Body.String()
				if want := map[bool]string{true: "sent true", false: "sent false"}[app != nil]; !strings.Contains(body, want) || !strings.Contains(body, `lang="`+lang+`"`) {
					t.Errorf("%s: no %q", lang, want)
				}
			}
		}
	}
}

func TestAnAppThatCannotBeLookedUpIsAFaultAndNeverHalfAPage(t *testing.T) {
	from, broken := (*Sender)(nil), errors.New("the database is away")
	s, log := senderSite(t, &from, &broken)
	for path, want := range map[string]int{"/page": 500, "/last": 500, "/fault": 500, "/none": 404} {
		w := do(s, httptest.NewRequest("GET", path, nil))
		if w.Code != want || strings.Contains(w.Body.String(), "hello") || strings.Contains(w.Body.String(), "database") || !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%s: got %d, want %d:\n%s", path, w.Code, want, w.Body)
		}
		if got := formAction(t, w.Header()); got != "'self'" {
			t.Errorf("%s: forms lead to %s", path, got)
		}
	}
	if !strings.Contains(log.String(), "the database is away") {
		t.Error("the cause is not in the log")
	}
	if w := do(s, post("/page", "")); w.Code != 303 {
		t.Errorf("an answer without a page needs no app: %d", w.Code)
	}
}

func TestAPostFromElsewhereIsTakenWhereItIsOpenAndThereOnly(t *testing.T) {
	s, _ := testSite(t, nil)
	acted := ""
	act := func(r *Request) (Page, error) {
		acted = r.URL.Path
		if r.Method == http.MethodPost {
			if _, err := r.Form(Field{Name: "a", Max: maxBodyBytes}); err != nil {
				return Page{}, err
			}
		}
		return Page{Goto: "/"}, nil
	}
	s.HandleOpen("/open", act)
	s.Handle("POST", "/closed", act)
	s.Handle("GET", "/closed", act)
	elsewhere := func(path, body string) *http.Request {
		r := post(path, body)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://shop.example.org")
		return r
	}
	for _, c := range []struct {
		name string
		r    *http.Request
		want int
		acts string
	}{
		{"open, from elsewhere", elsewhere("/open", "a=1"), 303, "/open"},
		{"open, from here", post("/open", "a=1"), 303, "/open"},
		{"open, by a link", httptest.NewRequest("GET", "/open", nil), 303, "/open"},
		{"open, looked at", httptest.NewRequest("HEAD", "/open", nil), 303, "/open"},
		{"closed, from elsewhere", elsewhere("/closed", "a=1"), 403, ""},
		{"closed, from here", post("/closed", "a=1"), 303, "/closed"},
		{"open, with a query", elsewhere("/open?b=1", "a=1"), 400, ""},
		{"open, twice", elsewhere("/open", "a=1&a=2"), 400, "/open"},
		{"open, and huge", elsewhere("/open", "a="+strings.Repeat("x", maxBodyBytes)), 413, ""},
		{"open, as large as may be", elsewhere("/open", "a="+strings.Repeat("x", maxBodyBytes-2)), 303, "/open"},
		{"open, replaced", httptest.NewRequest("PUT", "/open", nil), 405, ""},
		{"a path below it", elsewhere("/open/x", "a=1"), 404, ""},
	} {
		acted = ""
		w := do(s, c.r)
		if w.Code != c.want || acted != c.acts {
			t.Errorf("%s: got %d and acted on %q, want %d and %q", c.name, w.Code, acted, c.want, c.acts)
		}
		if c.want == 405 && w.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: Allow %q", c.name, w.Header().Get("Allow"))
		}
		if formAction(t, w.Header()) != "'self'" {
			t.Errorf("%s: the policy is another", c.name)
		}
	}
	huge := elsewhere("/open", "a="+strings.Repeat("x", 1<<20))
	huge.ContentLength = -1 // sent in pieces
	if w := do(s, huge); w.Code != 413 {
		t.Errorf("huge, without saying so: %d", w.Code)
	}
	json := elsewhere("/open", `{"a":1}`)
	json.Header.Set("Content-Type", "application/json")
	if w := do(s, json); w.Code != 415 {
		t.Errorf("json: %d", w.Code)
	}
}
