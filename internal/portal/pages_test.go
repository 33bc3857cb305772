package portal

import (
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

func get(t *testing.T, s *web.Site, path, lang string) (*httptest.ResponseRecorder, *html.Node) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept-Language", lang)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	doc, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	return w, doc
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func elements(doc *html.Node, tags ...string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (len(tags) == 0 || slices.Contains(tags, n.Data)) {
			out = append(out, n)
		}
	}
	return out
}

// everyPage runs check on every sample in every language, as people see it who came by themselves and those whom an app
// sent.
func everyPage(t *testing.T, check func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node)) {
	for who, from := range map[string]*web.Sender{"by themselves": nil, "sent": &sender, "sent, with an outcome": &sentOn} {
		t.Run(who, func(t *testing.T) {
			s := testSite(t, sentBy(from))
			for _, name := range slices.Sorted(maps.Keys(samples())) {
				for _, lang := range []string{"en", "de"} {
					w, doc := get(t, s, "/sample/"+name, lang)
					if w.Code >= 500 {
						t.Errorf("%s in %s: status %d", name, lang, w.Code)
						continue
					}
					check(t, name, lang, w, doc)
				}
			}
		})
	}
}

func TestEveryPageIsOneDocumentWithOneHeadingInItsLanguage(t *testing.T) {
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		if h := elements(doc, "h1"); len(h) != 1 || text(h[0]) == "" {
			t.Errorf("%s in %s: %d h1", name, lang, len(h))
		}
		if m := elements(doc, "main"); len(m) != 1 {
			t.Errorf("%s: %d main", name, len(m))
		}
		root := elements(doc, "html")[0]
		if got, _ := attr(root, "lang"); got != lang {
			t.Errorf("%s: lang is %q, want %q", name, got, lang)
		}
		page := samples()[name].Page()
		title := text(elements(doc, "title")[0])
		wrong := map[string]string{"en": "Error: ", "de": "Fehler: "}[lang]
		if strings.HasPrefix(title, wrong) != (len(page.Problems) > 0) || !strings.Contains(title, "Contoso") || strings.HasPrefix(title, " ·") {
			t.Errorf("%s: title %q with %d problems", name, title, len(page.Problems))
		}
		if wantStatus := map[bool]int{true: 422, false: max(page.Status, 200)}[len(page.Problems) > 0]; w.Code != wantStatus {
			t.Errorf("%s: status %d, want %d", name, w.Code, wantStatus)
		}
		seen := map[string]bool{}
		for _, n := range elements(doc) {
			if id, ok := attr(n, "id"); ok {
				if seen[id] || id == "" {
					t.Errorf("%s: id %q twice or empty", name, id)
				}
				seen[id] = true
			}
		}
		level := 0
		for _, h := range elements(doc, "h1", "h2", "h3") {
			if h.Data == "h3" && level < 2 {
				t.Errorf("%s: h3 without h2", name)
			}
			level = int(h.Data[1] - '0')
		}
	})
}

func TestNoPageHasAnythingInline(t *testing.T) {
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		for _, n := range elements(doc) {
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || a.Key == "srcdoc" {
					t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
					t.Errorf("%s: %s", name, a.Val)
				}
			}
			switch n.Data {
			case "script":
				if src, _ := attr(n, "src"); !strings.HasPrefix(src, "/assets/") || n.FirstChild != nil {
					t.Errorf("%s: inline or foreign script", name)
				}
			case "style", "iframe", "object", "embed", "base":
				t.Errorf("%s: <%s>", name, n.Data)
			case "link":
				if href, _ := attr(n, "href"); !strings.HasPrefix(href, "/assets/") {
					t.Errorf("%s: link to %s", name, href)
				}
			}
		}
		if body := w.Body.String(); strings.Contains(body, "<script>") || strings.Contains(body, "ZgotmplZ") || (strings.Contains(body, "{{") && !strings.HasPrefix(name, "hostile-")) {
			t.Errorf("%s: something was not escaped, or is refused by the template", name)
		}
	})
}

func TestEveryInputHasALabelAndEveryReferenceATarget(t *testing.T) {
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		ids, labels := map[string]bool{}, map[string]bool{}
		for _, n := range elements(doc) {
			if id, ok := attr(n, "id"); ok {
				ids[id] = true
			}
			if f, ok := attr(n, "for"); ok && n.Data == "label" && text(n) != "" {
				labels[f] = true
			}
		}
		for _, n := range elements(doc) {
			for _, key := range []string{"aria-describedby", "aria-labelledby", "for", "form"} {
				if v, ok := attr(n, key); ok {
					for _, id := range strings.Fields(v) {
						if !ids[id] {
							t.Errorf("%s: %s names %q, which is not there", name, key, id)
						}
					}
				}
			}
			if href, _ := attr(n, "href"); n.Data == "a" && strings.HasPrefix(href, "#") && !ids[href[1:]] {
				t.Errorf("%s: link to %s, which is not there", name, href)
			}
			switch n.Data {
			case "input":
				kind, _ := attr(n, "type")
				id, _ := attr(n, "id")
				hidden, _ := attr(n, "aria-hidden")
				inLabel := n.Parent.Data == "label" && text(n.Parent) != ""
				if kind != "hidden" && hidden != "true" && !labels[id] && !inLabel {
					t.Errorf("%s: input %q has no label", name, id)
				}
				if hidden == "true" {
					if tab, _ := attr(n, "tabindex"); tab != "-1" {
						t.Errorf("%s: a hidden input can be reached", name)
					}
					if _, sent := attr(n, "name"); sent {
						t.Errorf("%s: a hidden input is sent", name)
					}
				}
				if _, ok := attr(n, "maxlength"); ok {
					t.Errorf("%s: maxlength cuts what is pasted", name)
				}
			case "button":
				label, _ := attr(n, "aria-label")
				if text(n) == "" && label == "" {
					t.Errorf("%s: a button says nothing", name)
				}
			case "a":
				if text(n) == "" {
					t.Errorf("%s: a link says nothing", name)
				}
			case "img":
				if _, ok := attr(n, "alt"); !ok {
					t.Errorf("%s: img without alt", name)
				}
			}
		}
	})
}

func TestInputsTellBrowsersWhatTheyAreFor(t *testing.T) {
	want := map[string]map[string]map[string]string{
		"start-reset": {"login": {"autocomplete": "username", "inputmode": "email", "autocapitalize": "none", "spellcheck": "false", "type": "text"}},
		"code-sms":    {"code": {"autocomplete": "one-time-code", "inputmode": "numeric", "type": "text", "data-from-sms": ""}},
		"app-code":    {"code": {"autocomplete": "one-time-code", "inputmode": "numeric"}},
		"password": {
			"password": {"autocomplete": "new-password", "type": "password", "minlength": "15", "passwordrules": "minlength: 15; allowed: unicode;"},
			"login":    {"autocomplete": "username", "value": "sam@contoso.example"},
		},
		"change":       {"current": {"autocomplete": "current-password"}, "password": {"autocomplete": "new-password"}},
		"change-wrong": {"current": {"aria-invalid": "true", "aria-describedby": "current-error"}},
		"code-wrong":   {"code": {"aria-invalid": "true", "aria-describedby": "code-hint code-error"}},
	}
	s := testSite(t, nil)
	for name, inputs := range want {
		_, doc := get(t, s, "/sample/"+name, "en")
		for id, attrs := range inputs {
			i := slices.IndexFunc(elements(doc, "input"), func(n *html.Node) bool { v, _ := attr(n, "id"); return v == id })
			if i < 0 {
				t.Errorf("%s: no input %s", name, id)
				continue
			}
			n := elements(doc, "input")[i]
			for key, value := range attrs {
				if got, ok := attr(n, key); !ok || got != value {
					t.Errorf("%s %s: %s is %q, want %q", name, id, key, got, value)
				}
			}
		}
	}
}

func TestProblemsStandFirstAndLeadToTheirInput(t *testing.T) {
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		problems := samples()[name].Page().Problems
		var alerts []*html.Node
		for _, n := range elements(doc) {
			if role, _ := attr(n, "role"); role == "alert" {
				alerts = append(alerts, n)
			}
		}
		if (len(alerts) == 1) != (len(problems) > 0) {
			t.Errorf("%s: %d alerts for %d problems", name, len(alerts), len(problems))
			return
		}
		if len(alerts) == 1 {
			if links := elements(alerts[0], "a"); len(links) != len(problems) {
				t.Errorf("%s: %d links for %d problems", name, len(links), len(problems))
			}
		}
	})
}

// ours are the places a page may lead to or post to.
var ours = []string{PathHome, PathReset, PathUnlock, PathChange, PathChoose, PathCode, PathAppCode, PathRecoveryCode, PathNothing, PathCannot,
	PathNewPassword, PathOldPassword, PathUnlockNow, PathProgress, PathExtend, PathCancel, PathNotMe, PathHelp,
	PathPasskey, PathWorkSignIn, PathWorkSignInGo, PathSecurity, PathReviewed, PathAdd, PathAddPasskey, PathAddApp, PathAddEmail, PathAddPhone, PathConfirm,
	PathAgain, PathAddCodes, PathCodesFile, PathLeave, PathRemove, PathRename, PathKeep, PathSetup, PathSetupGo, PathSetupNow, PathSetupLater, PathSetupRight,
	PathSetupOn, PathActivity, PathEndSession, PathEndOthers, PathForget, PathTrust, "/signout", pathCancel, pathReturn}

func TestFormsPostAndEveryPlaceIsKnown(t *testing.T) {
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		for _, n := range elements(doc, "form", "a") {
			to, _ := attr(n, "action")
			if n.Data == "a" {
				to, _ = attr(n, "href")
			} else if m, _ := attr(n, "method"); m != "post" {
				t.Errorf("%s: form by %q", name, m)
			}
			u, err := url.Parse(to)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Host == "" && u.Scheme == "" && u.Path != "" && !strings.HasPrefix(u.Path, "/sample/") && !slices.Contains(ours, u.Path) {
				t.Errorf("%s: leads to %s, which is no page", name, to)
			}
		}
		for _, f := range elements(doc, "form") {
			for _, inner := range elements(f, "form") {
				t.Errorf("%s: a form inside a form: %v", name, inner.Attr)
			}
		}
	})
}

func TestEveryStepCanBeLeftAndProlonged(t *testing.T) {
	s := testSite(t, nil)
	for _, name := range []string{"choose", "next", "code-sms", "nothing", "app-code", "recovery", "cannot", "password", "change", "unlock"} {
		_, doc := get(t, s, "/sample/"+name, "en")
		var actions []string
		for _, f := range elements(doc, "form") {
			a, _ := attr(f, "action")
			actions = append(actions, a)
		}
		if !slices.Contains(actions, PathCancel) || !slices.Contains(actions, PathExtend) {
			t.Errorf("%s: forms go to %v", name, actions)
		}
		if !strings.Contains(text(doc), "Time left: 14 minutes") {
			t.Errorf("%s does not say the time left", name)
		}
	}
}

func TestPagesBeforeTheFirstProofHoldNothingOfAPerson(t *testing.T) {
	// The view models of these pages have no field that could differ between people of one policy, but Masked of Way:
	// without it the same bytes must come out whatever else a way carries.
	s := testSite(t, nil)
	uniformWay := CodePage{Running: running, Way: Way{Kind: "email"}, Digits: 8, Minutes: 10}
	named := CodePage{Running: running, Way: Way{Kind: "email", Value: "id", Name: "Ada's"}, Digits: 8, Minutes: 10}
	s.Handle("GET", "/a", func(*web.Request) (web.Page, error) { return uniformWay.Page(), nil })
	s.Handle("GET", "/b", func(*web.Request) (web.Page, error) { return named.Page(), nil })
	a, _ := get(t, s, "/a", "en")
	b, _ := get(t, s, "/b", "en")
	if strings.ReplaceAll(a.Body.String(), "/a?", "/b?") != b.Body.String() {
		t.Error("the uniform code page depends on more than the kind")
	}
	if !strings.Contains(a.Body.String(), "If the details match") {
		t.Error("the uniform code page claims that a code was sent")
	}
}

func TestWaysAreRadioButtonsEvenASingleOne(t *testing.T) {
	s := testSite(t, nil)
	for name, want := range map[string]int{"choose": 3, "choose-one": 1, "next": 2, "next-one": 1} {
		_, doc := get(t, s, "/sample/"+name, "en")
		var radios, checked int
		for _, n := range elements(doc, "input") {
			if kind, _ := attr(n, "type"); kind == "radio" {
				radios++
				if _, ok := attr(n, "checked"); ok {
					checked++
				}
			}
		}
		if radios != want || len(elements(doc, "fieldset")) != 1 || len(elements(doc, "legend")) != 1 {
			t.Errorf("%s: %d radio buttons, want %d in one fieldset", name, radios, want)
		}
		if wantChecked := map[bool]int{true: 1}[name == "next"]; checked != wantChecked {
			t.Errorf("%s: %d checked, want %d", name, checked, wantChecked)
		}
	}
}

func TestShowingNotMeDoesNothingWithoutThePost(t *testing.T) {
	s := testSite(t, nil)
	_, doc := get(t, s, "/sample/not-me", "en")
	f := elements(doc, "form")
	if len(f) != 1 {
		t.Fatalf("%d forms", len(f))
	}
	if a, _ := attr(f[0], "action"); a != PathNotMe {
		t.Errorf("goes to %s", a)
	}
	for _, n := range elements(doc, "a", "img", "script", "link") {
		for _, key := range []string{"href", "src"} {
			if v, _ := attr(n, key); strings.Contains(v, "token=") {
				t.Errorf("%s leads on with the token", v)
			}
		}
	}
}

func TestPagesThatWaitAskAgainWithoutScript(t *testing.T) {
	s := testSite(t, nil)
	for name, want := range map[string]string{"writing": "2", "unknown": "5", "unknown-unlock": "", "done": ""} {
		w, _ := get(t, s, "/sample/"+name, "en")
		if got := w.Header().Get("Refresh"); got != want {
			t.Errorf("%s: Refresh %q, want %q", name, got, want)
		}
	}
}

func TestFootLinksAreThereOnlyWhenConfigured(t *testing.T) {
	s := testSite(t, nil)
	_, en := get(t, s, "/sample/home", "en")
	_, de := get(t, s, "/sample/home", "de")
	if got := text(elements(en, "footer")[0]); got != "Get help Privacy Deutsch" {
		t.Errorf("got %q", got)
	}
	if got := text(elements(de, "footer")[0]); got != "Hilfe bekommen Datenschutz Barrierefreiheit English" {
		t.Errorf("got %q", got)
	}
	s = testSite(t, func(c *web.Config) {
		c.Links = web.Links{}
		c.Demo = &web.Demo{Text: message.Key("help.heading"), Links: []web.DemoLink{{Text: message.Key("help.url"), URL: "http://localhost:1/mailbox"}}}
	})
	_, en = get(t, s, "/sample/home", "en")
	if got := text(elements(en, "footer")[0]); got != "Get help Deutsch Get help On the web" {
		t.Errorf("got %q", got)
	}
}

func TestWhatTheOrganisationWritesIsShownInTheLanguage(t *testing.T) {
	s := testSite(t, nil)
	_, en := get(t, s, "/sample/help", "en")
	_, de := get(t, s, "/sample/help", "de")
	for _, want := range []string{"floor 2", "+1 (206) 555-0100", "Monday to Friday", "https://help.contoso.example/", "KTRW-49MP"} {
		if !strings.Contains(text(en), want) {
			t.Errorf("English help has no %q", want)
		}
	}
	if !strings.Contains(text(de), "2. Stock") || strings.Contains(text(de), "Monday") {
		t.Errorf("German help: %s", text(de))
	}
	i := slices.IndexFunc(elements(en, "a"), func(n *html.Node) bool { v, _ := attr(n, "href"); return v == "tel:+12065550100" })
	if i < 0 {
		t.Error("the phone number cannot be dialled")
	}
}

// Words people must not meet: our own terms, and the name of the software.
var unsaid = map[string]*regexp.Regexp{
	"en": regexp.MustCompile(`(?i)\b(regain|methods?|proofs?|attempts?|challenges?|epoch|connector|adapter|policy|provision\w*|tenant|credentials?|factors?|verification|authenticate)\b`),
	"de": regexp.MustCompile(`(?i)\b(regain|Methoden?|Challenge|Epoche|Konnektor|Adapter|Richtlinie|provision\w*|Mandant|Faktor(en)?|Verifizierung|authentifizieren)\b`),
}

func TestTextsUsePeoplesWordsAndNeverOurs(t *testing.T) {
	for lang, re := range unsaid {
		raw := texts(t, lang)
		for _, line := range strings.Split(raw, "\n") {
			_, said, ok := strings.Cut(line, ": \"")
			if found := re.FindString(said); ok && found != "" {
				t.Errorf("%s says %q: %s", lang, found, line)
			}
		}
	}
	everyPage(t, func(t *testing.T, name, lang string, w *httptest.ResponseRecorder, doc *html.Node) {
		if strings.Contains(strings.ToLower(w.Body.String()), "regain") {
			t.Errorf("%s names the software", name)
		}
	})
}

// texts are all our texts of a language.
func texts(t *testing.T, lang string) string {
	t.Helper()
	var all strings.Builder
	for _, area := range []string{"portal", "security", "activity"} {
		raw, err := os.ReadFile(filepath.Join("..", "message", "texts", area+"."+lang+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}

func TestEveryTextOfThePagesIsUsed(t *testing.T) {
	raw := texts(t, "en")
	var source strings.Builder
	for _, pattern := range []string{"*.go", "templates/*.html", "../web/*.go", "../web/templates/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_.]+):`).FindAllStringSubmatch(raw, -1) {
		if !strings.Contains(source.String(), `"`+m[1]+`"`) && m[1] != "password.missing" && m[1] != "code.missing" {
			t.Errorf("nobody says %s", m[1])
		}
	}
}
