package web

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/message"
)

var pages = fstest.MapFS{"p.html": {Data: []byte(
	`{{define "plain"}}<h1>{{.}}</h1>{{end}}{{define "broken"}}before {{.Missing.Field}}{{end}}` +
		`{{define "message"}}<p id="m">{{m .}}</p>{{end}}{{define "form"}}{{template "problems" .}}{{template "problem" problem . "code"}}{{end}}`)}}

type logBuffer struct{ bytes.Buffer }

func testSite(t *testing.T, change func(*Config)) (*Site, *logBuffer) {
	t.Helper()
	cat, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	c := Config{
		Base: "https://reset.example.org", Organisation: Organisation{Name: "Contoso"},
		Translator: cat.With("Organisation", "Contoso"), Templates: []fs.FS{pages}, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

func plain(*Request) (Page, error) {
	return Page{Template: "plain", Title: message.Key("home.heading"), Data: "hello"}, nil
}

func do(s http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", "null") // what browsers send under no-referrer
	return r
}

func TestAPageLeavesOnlyForWhatIsAnAddress(t *testing.T) {
	for to, want := range map[string]bool{
		"https://idp.example.org/authorize?x=1": true, "http://localhost:9000/a": true, "http://127.0.0.1:1/": true, "http://[::1]:1/": true,
		"http://idp.example.org/": false, "//evil.example": false, "/local": false, "javascript:alert(1)": false, "https://a@evil.example/": false,
		"https://idp.example.org\\@evil.example/": false, "https://idp.example.org/\r\nSet-Cookie: a=b": false, "": false,
	} {
		if got := elsewhere(to); got != want {
			t.Errorf("%q: got %t, want %t", to, got, want)
		}
	}
}

func TestEveryKindOfAnswerCarriesThePolicyHeaders(t *testing.T) {
	s, _ := testSite(t, nil)
	s.Handle("GET", "/page", plain)
	s.Handle("GET", "/panic", func(*Request) (Page, error) { panic("boom") })
	s.Handle("GET", "/internal", func(*Request) (Page, error) { return Page{}, errors.New("secret cause") })
	s.Handle("GET", "/limited", func(*Request) (Page, error) { return Page{}, Limited(90 * time.Second) })
	s.Handle("GET", "/broken", func(*Request) (Page, error) { return Page{Template: "broken", Data: struct{}{}}, nil })
	s.Handle("GET", "/elsewhere", func(*Request) (Page, error) { return Page{Goto: "//evil.example"}, nil })
	s.Handle("POST", "/form", func(r *Request) (Page, error) {
		if _, err := r.Form(Field{Name: "a"}); err != nil {
			return Page{}, err
		}
		return Page{Goto: "/page"}, nil
	})
	s.Mount("/machine/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	s.Mount("/machine-panic/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))

	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Cache-Control":                "no-store",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Strict-Transport-Security":    "max-age=31536000",
		"Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), " +
			"clipboard-write=(self), otp-credentials=(self), publickey-credentials-create=(self), publickey-credentials-get=(self)",
	}
	crossSite := post("/form", "a=1")
	crossSite.Header.Set("Sec-Fetch-Site", "cross-site")
	huge := post("/form", "a="+strings.Repeat("x", 1<<20))
	chunked := post("/form", "a="+strings.Repeat("x", 1<<20))
	chunked.ContentLength = -1
	json := post("/form", `{"a":1}`)
	json.Header.Set("Content-Type", "application/json")
	get := func(path string) *http.Request { return httptest.NewRequest("GET", path, nil) }
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"page", get("/page"), 200},
		{"head", httptest.NewRequest("HEAD", "/page", nil), 200},
		{"asset", get(s.assets.Style), 200},
		{"no asset", get("/assets/none.css"), 404},
		{"language", get("/page?lang=de"), 303},
		{"unknown path", get("/none"), 404},
		{"doubled slash", get("//page"), 404},
		{"dots", get("/x/../page"), 404},
		{"encoded dots", get("/x/%2e%2e/page"), 404},
		{"trailing slash", get("/page/"), 404},
		{"wrong method", httptest.NewRequest("DELETE", "/page", nil), 405},
		{"post to a page", post("/page", ""), 405},
		{"panic", get("/panic"), 500},
		{"unmarked error", get("/internal"), 500},
		{"template fault", get("/broken"), 500},
		{"redirect elsewhere", get("/elsewhere"), 500},
		{"limited", get("/limited"), 429},
		{"post", post("/form", "a=1"), 303},
		{"post with a query", post("/form?a=1", "a=1"), 400},
		{"twice", post("/form", "a=1&a=2"), 400},
		{"cross-site", crossSite, 403},
		{"too large", huge, 413},
		{"too large without a length", chunked, 413},
		{"json", json, 415},
		{"machine", get("/machine/x"), 200},
		{"machine panic", get("/machine-panic/x"), 500},
	} {
		w := do(s, c.r)
		if w.Code != c.status {
			t.Errorf("%s: got status %d, want %d", c.name, w.Code, c.status)
		}
		for name, value := range want {
			if name == "Cache-Control" && c.name == "asset" {
				value = "public, max-age=31536000, immutable"
			}
			if got := w.Header().Values(name); !slices.Equal(got, []string{value}) {
				t.Errorf("%s: %s is %q, want %q", c.name, name, got, value)
			}
		}
		if id := w.Header().Get("X-Request-Id"); len(id) != 10 {
			t.Errorf("%s: request id %q", c.name, id)
		}
		if c.status >= 400 && !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%s: the error is no page", c.name)
		}
		if body := w.Body.String(); strings.Contains(body, "boom") || strings.Contains(body, "secret cause") || strings.Contains(body, "before ") {
			t.Errorf("%s: the cause or half a page reached the reader", c.name)
		}
	}
}

func TestHTTPOnLoopbackHasNoTransportSecurityAndPlainCookieNames(t *testing.T) {
	s, _ := testSite(t, func(c *Config) { c.Base = "http://localhost:8080" })
	s.Handle("GET", "/page", func(*Request) (Page, error) {
		return Page{Template: "plain", Cookies: []Cookie{{Name: "try", Value: "v"}, {Name: "x", Strict: true, MaxAge: -1}}}, nil
	})
	w := do(s, httptest.NewRequest("GET", "/page", nil))
	if got := w.Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("got %q", got)
	}
	want := []string{"regain-try=v; Path=/; HttpOnly; SameSite=Lax", "regain-x=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"}
	if diff := cmp.Diff(want, w.Header().Values("Set-Cookie")); diff != "" {
		t.Error(diff)
	}
	s, _ = testSite(t, nil)
	s.Handle("GET", "/page", func(*Request) (Page, error) {
		return Page{Template: "plain", Cookies: []Cookie{{Name: "try", Value: "v", MaxAge: time.Hour}}}, nil
	})
	w = do(s, httptest.NewRequest("GET", "/page", nil))
	want = []string{"__Host-try=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"}
	if diff := cmp.Diff(want, w.Header().Values("Set-Cookie")); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyHTTPSOrLoopbackIsABase(t *testing.T) {
	cat, _ := message.Load()
	for base, ok := range map[string]bool{
		"https://reset.example.org": true, "https://reset.example.org/": true, "http://localhost:8080": true, "http://127.0.0.1": true,
		"http://[::1]:80": true, "http://reset.example.org": false, "http://localhost.evil.example": false, "": false, "reset.example.org": false,
		"https://reset.example.org/path": false, "https://u:p@reset.example.org": false, "https://reset.example.org?x": false, "javascript:alert(1)": false,
	} {
		_, err := New(Config{Base: base, Organisation: Organisation{Name: "C"}, Translator: cat})
		if (err == nil) != ok {
			t.Errorf("%q: got %v, want accepted %v", base, err, ok)
		}
	}
}

func TestMethodNotAllowedNamesTheMethods(t *testing.T) {
	s, _ := testSite(t, nil)
	s.Handle("GET", "/both", plain)
	s.Handle("POST", "/both", plain)
	s.Handle("POST", "/post", plain)
	for path, want := range map[string]string{"/both": "GET, HEAD, POST", "/post": "POST"} {
		w := do(s, httptest.NewRequest("DELETE", path, nil))
		if w.Code != 405 || w.Header().Get("Allow") != want {
			t.Errorf("%s: got %d with Allow %q, want 405 with %q", path, w.Code, w.Header().Get("Allow"), want)
		}
	}
}

func TestTheFaultTable(t *testing.T) {
	s, log := testSite(t, nil)
	var now error
	s.Handle("GET", "/", func(*Request) (Page, error) { return Page{}, now })
	say := message.Key("error.conflict")
	for kind, want := range map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 400, fault.NotFound: 404, fault.Conflict: 409, fault.Denied: 403,
		fault.Limited: 429, fault.Unavailable: 503, fault.Over: 410, fault.Kind(99): 500,
	} {
		log.Reset()
		now = fmt.Errorf("layer: %w", fault.Wrap(kind, say, errors.New("the cause")))
		w := do(s, httptest.NewRequest("GET", "/", nil))
		if w.Code != want {
			t.Errorf("%v: got %d, want %d", kind, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "the cause") || !strings.Contains(log.String(), "the cause") {
			t.Errorf("%v: the cause belongs into the log and not on the page", kind)
		}
		if (w.Header().Get("Retry-After") != "") != (kind == fault.Unavailable) {
			t.Errorf("%v: Retry-After %q", kind, w.Header().Get("Retry-After"))
		}
	}
	now = Limited(61 * time.Second)
	w := do(s, httptest.NewRequest("GET", "/", nil))
	if w.Header().Get("Retry-After") != "61" || !strings.Contains(w.Body.String(), "wait 2 minutes") {
		t.Errorf("limited: Retry-After %q, body %s", w.Header().Get("Retry-After"), w.Body)
	}
}

func TestProblemsAre422AndTheTitleSaysSo(t *testing.T) {
	s, _ := testSite(t, nil)
	problems := []Problem{{Field: "code", Say: message.Key("code.missing")}, {Say: message.Key("error.conflict")}}
	s.Handle("POST", "/code", func(*Request) (Page, error) {
		return Page{Template: "form", Title: message.Key("code.heading.mail"), Data: problems, Problems: problems}, nil
	})
	w := do(s, post("/code", ""))
	if w.Code != 422 {
		t.Errorf("got %d, want 422", w.Code)
	}
	for _, want := range []string{"<title>Error: Check your email · Contoso account help</title>", `role="alert"`, `<a href="#code">Enter the code</a>`, `id="code-error"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in %s", want, w.Body)
		}
	}
}

func TestLanguageIsChosenByCookieThenHeaderAndKeptByALink(t *testing.T) {
	s, _ := testSite(t, nil)
	var lang string
	s.Handle("GET", "/not-me", func(r *Request) (Page, error) { lang = r.Lang; return plain(r) })
	ask := func(target, accept string, cookies ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("Accept-Language", accept)
		for _, c := range cookies {
			r.Header.Add("Cookie", c)
		}
		lang = ""
		return do(s, r)
	}
	for _, c := range []struct{ accept, cookie, want string }{
		{"", "", "en"}, {"de-AT,de;q=0.9", "", "de"}, {"fr", "", "en"}, {"en", "__Host-lang=de", "de"}, {"en", "regain-lang=de", "en"},
		{"de", "__Host-lang=xx", "de"}, {"de", "__Host-lang=en; __Host-lang=de", "de"}, {"en", "__Host-lang=en; __Host-lang=de", "en"},
	} {
		w := ask("/not-me", c.accept, c.cookie)
		if lang != c.want || !strings.Contains(w.Body.String(), `<html lang="`+c.want+`">`) {
			t.Errorf("accept %q cookie %q: got %q, want %q", c.accept, c.cookie, lang, c.want)
		}
	}
	w := ask("/not-me?token=a%26b&lang=de", "en")
	if w.Code != 303 || w.Header().Get("Location") != "/not-me?token=a%26b" || lang != "" {
		t.Errorf("got %d to %q", w.Code, w.Header().Get("Location"))
	}
	if got := w.Header().Get("Set-Cookie"); got != "__Host-lang=de; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("got cookie %q", got)
	}
	for _, target := range []string{"/not-me?lang=xx", "/not-me?lang=de&lang=en", "/not-me?lang=" + strings.Repeat("d", 5000)} {
		if w := ask(target, "en"); w.Code != 200 || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%.30s: got %d with cookie %q", target, w.Code, w.Header().Get("Set-Cookie"))
		}
	}
}

func TestForgedHostsAndForwardingHeadersLeaveEveryLinkAndByteUnchanged(t *testing.T) {
	s, _ := testSite(t, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	s.Handle("GET", "/page", func(r *Request) (Page, error) {
		return Page{Template: "plain", Data: s.Link("/not-me", url.Values{"token": {"a b"}})}, nil
	})
	s.Handle("GET", "/go", func(r *Request) (Page, error) { return Page{Goto: "/page"}, nil })
	want := do(s, httptest.NewRequest("GET", "/page", nil)).Body.String()
	if !strings.Contains(html.UnescapeString(want), "https://reset.example.org/not-me?token=a+b") {
		t.Fatalf("the link is not from the base URL: %s", want)
	}
	for _, name := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
		"Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Host", "Origin", "Referer", "X-Forwarded-For", "X-Real-IP", "X-HTTP-Method-Override"} {
		for _, value := range []string{"evil.example", "https://evil.example/", "host=evil.example;proto=http", "/evil"} {
			for _, path := range []string{"/page", "/go"} {
				r := httptest.NewRequest("GET", path, nil)
				r.Header.Set(name, value)
				if name == "Host" {
					r.Host = value
				}
				w := do(s, r)
				if path == "/page" && w.Body.String() != want {
					t.Errorf("%s: %s changed the page", name, value)
				}
				if path == "/go" && w.Header().Get("Location") != "/page" {
					t.Errorf("%s: %s changed the redirect to %s", name, value, w.Header().Get("Location"))
				}
			}
		}
	}
	r := httptest.NewRequest("GET", "http://evil.example/page", nil)
	if w := do(s, r); w.Body.String() != want {
		t.Error("an absolute request target changed the page")
	}
}

func TestPostsFromElsewhereAreRefused(t *testing.T) {
	s, _ := testSite(t, nil)
	acted := false
	s.Handle("POST", "/act", func(*Request) (Page, error) { acted = true; return Page{Goto: "/"}, nil })
	for _, c := range []struct {
		site, origin string
		ok           bool
	}{
		{"same-origin", "null", true}, {"same-origin", "https://reset.example.org", true}, {"none", "", true},
		{"", "https://reset.example.org", true}, // an older browser behind a proxy that changes Host
		{"", "", true},                          // no browser at all
		{"cross-site", "null", false}, {"cross-site", "https://evil.example", false}, {"same-site", "https://other.example.org", false},
		{"", "null", false}, {"", "https://evil.example", false}, {"", "http://reset.example.org.evil.example", false},
	} {
		r := post("/act", "")
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Del("Origin")
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		acted = false
		w := do(s, r)
		if acted != c.ok || (w.Code == 403) == c.ok {
			t.Errorf("Sec-Fetch-Site %q, Origin %q: got %d, acted %v", c.site, c.origin, w.Code, acted)
		}
	}
}

func TestGotoStaysHere(t *testing.T) {
	for to, want := range map[string]bool{
		"/": true, "/code": true, "/not-me?token=a%26b": true, "//evil.example": false, "/\\evil.example": false, "https://evil.example": false,
		"javascript:x": false, "": false, "code": false, "/a\r\nSet-Cookie: x": false, "/a\\b": false,
	} {
		if got := local(to); got != want {
			t.Errorf("%q: got %v, want %v", to, got, want)
		}
	}
}

func TestAPageAsksAgainByItself(t *testing.T) {
	s, _ := testSite(t, nil)
	s.Handle("GET", "/", func(*Request) (Page, error) { return Page{Template: "plain", Refresh: 2500 * time.Millisecond}, nil })
	if got := do(s, httptest.NewRequest("GET", "/", nil)).Header().Get("Refresh"); got != "2" {
		t.Errorf("got %q, want 2", got)
	}
}

func TestTimesAreShownInTheZoneOfTheSite(t *testing.T) {
	zone := time.FixedZone("XST", 2*3600)
	s, _ := testSite(t, func(c *Config) { c.Location = zone })
	at := time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
	s.Handle("GET", "/", func(*Request) (Page, error) {
		return Page{Template: "message", Data: message.Key("resting.from", "At", at)}, nil
	})
	if got, want := do(s, httptest.NewRequest("GET", "/", nil)).Body.String(), "works from 23 November 2026, 01:30 XST"; !strings.Contains(got, want) {
		t.Errorf("no %q in %s", want, got)
	}
}

func TestTheLogHoldsTheRouteAndNoSecretOfTheURL(t *testing.T) {
	s, log := testSite(t, nil)
	s.Handle("GET", "/link/{token}", plain)
	do(s, httptest.NewRequest("GET", "/link/s3cret?also=s3cret", nil))
	do(s, httptest.NewRequest("GET", "/unknown/s3cret", nil))
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "/link/{token}") {
		t.Error(log.String())
	}
}

func TestAssetsHaveHashedNamesAndTheThemeHoldsNumbersOnly(t *testing.T) {
	s, _ := testSite(t, func(c *Config) { c.Organisation.Colour = &Colour{Hue: 25.5, Chroma: 0.2, Radius: 0} })
	body := do(s, httptest.NewRequest("GET", s.assets.Theme, nil)).Body.String()
	if want := ":root {\n  --brand-h: 25.5;\n  --brand-c: 0.2;\n  --radius: 0rem;\n}\n"; body != want {
		t.Errorf("got %q, want %q", body, want)
	}
	if !regexp.MustCompile(`^/assets/theme\.[0-9a-f]{16}\.css$`).MatchString(s.assets.Theme) {
		t.Errorf("got %s", s.assets.Theme)
	}
	css := do(s, httptest.NewRequest("GET", s.assets.Style, nil)).Body.String()
	font := regexp.MustCompile(`url\("([^"]+)"\)`).FindStringSubmatch(css)
	if font == nil {
		t.Fatal("no font in the style sheet")
	}
	if w := do(s, httptest.NewRequest("GET", "/assets/"+font[1], nil)); w.Code != 200 || w.Header().Get("Content-Type") != "font/woff2" {
		t.Errorf("font %s: %d %s", font[1], w.Code, w.Header().Get("Content-Type"))
	}
	for _, bad := range []Colour{{Hue: 361}, {Hue: -1}, {Chroma: 1}, {Radius: 9}} {
		if (Organisation{Name: "C", Colour: &bad}).check() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestALogoIsBelievedByItsBytes(t *testing.T) {
	png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
	dir := t.TempDir()
	for _, c := range []struct {
		name, body string
		ok         bool
	}{
		{"a.png", png, true}, {"named.svg", png, true}, {"a.webp", "RIFF\x1a\x00\x00\x00WEBPVP8L" + strings.Repeat("\x00", 20), true},
		{"script.png", `<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`, false}, {"cut.png", png[:12], false},
		{"page.jpg", "<html>", false}, {"empty.png", "", false}, {"large.png", png + strings.Repeat("x", maxLogoBytes), false},
	} {
		file := filepath.Join(dir, c.name)
		if err := os.WriteFile(file, []byte(c.body), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := loadAssets(Organisation{Name: "C", Logo: file})
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v, want accepted %v", c.name, err, c.ok)
		}
		if c.ok && strings.HasSuffix(a.Logo, ".svg") {
			t.Errorf("%s is served as %s", c.name, a.Logo)
		}
	}
	if _, err := loadAssets(Organisation{Name: "C", Logo: filepath.Join(dir, "none.png")}); err == nil {
		t.Error("a missing logo was accepted")
	}
}
