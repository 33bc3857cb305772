package app

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
)

// appGuide is the guide to apps, and a world in which it is followed to the letter: the app it registers exists.
type appGuide struct {
	t      *testing.T
	w      *world
	app    *asker
	text   string
	blocks []guideBlock
	known  map[string]string // what stands in curly braces
	next   int
}

const appGuideBase = "https://account.example.org"

// step returns the next block, which has to be of a kind.
func (g *appGuide) step(info string) guideBlock {
	g.t.Helper()
	if g.next >= len(g.blocks) || g.blocks[g.next].info != info {
		g.t.Fatalf("block %d is no %q", g.next, info)
	}
	g.next++
	return g.blocks[g.next-1]
}

// fill puts what is known by now into a text of the guide.
func (g *appGuide) fill(text string) string {
	for name, value := range g.known {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	if left := regexp.MustCompile(`\{[a-z_:]+\}`).FindString(text); left != "" {
		g.t.Fatalf("nobody knows %s in %s", left, text)
	}
	return text
}

// call sends a request as it stands in the guide, and holds the answer to what stands there after it.
func (g *appGuide) call() map[string]any {
	g.t.Helper()
	b := g.step("http app")
	head, body, _ := strings.Cut(g.fill(b.text), "\n\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		g.t.Fatalf("apps.md:%d: %v", b.line, err)
	}
	sent, err := http.NewRequestWithContext(g.t.Context(), r.Method, g.w.base+r.URL.Path, strings.NewReader(strings.TrimSpace(body)))
	if err != nil || r.Host != "account.example.org" {
		g.t.Fatalf("apps.md:%d: %v to %s", b.line, err, r.Host)
	}
	sent.Header = r.Header
	res, err := http.DefaultClient.Do(sent)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		g.t.Fatalf("apps.md:%d: %d %s", b.line, res.StatusCode, got)
	}
	return g.likens(g.step("json app"), got)
}

// likens holds a JSON object to one of the guide: the same members, and the same values but for what is cut short by "…".
func (g *appGuide) likens(b guideBlock, got []byte) map[string]any {
	g.t.Helper()
	var want, have map[string]any
	if err := json.Unmarshal([]byte(b.text), &want); err != nil {
		g.t.Fatalf("apps.md:%d: %v", b.line, err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		g.t.Fatalf("%v: %s", err, got)
	}
	g.alike(fmt.Sprintf("apps.md:%d", b.line), want, have)
	return have
}

func (g *appGuide) alike(where string, want, have map[string]any) {
	g.t.Helper()
	for name := range have {
		if _, told := want[name]; !told {
			g.t.Errorf("%s does not tell of %q: %v", where, name, have[name])
		}
	}
	for name, w := range want {
		h, there := have[name]
		switch v := w.(type) {
		case map[string]any:
			inner, _ := h.(map[string]any)
			g.alike(where+" "+name, v, inner)
			continue
		case string:
			begins, _, cut := strings.Cut(v, "…")
			text, _ := h.(string)
			if cut && strings.HasPrefix(text, begins) && text != "" || cut && (name == "sub" || name == "jti" || name == "txn") && text != "" {
				continue
			}
			w = strings.ReplaceAll(strings.ReplaceAll(v, appGuideBase, g.w.base), "https://login.example.org/", "https://login.alder.example/")
		case float64:
			if at, ok := h.(float64); ok && v > 1e9 && at > 1e9 { // a time
				continue
			}
		}
		if a, b := fmt.Sprint(w), fmt.Sprint(h); !there || a != b {
			g.t.Errorf("%s: %s is %s, and the guide says %s", where, name, b, a)
		}
	}
}

func TestTheGuideToAppsIsTrueStepByStep(t *testing.T) {
	t.Parallel()
	g := &appGuide{t: t, w: newWorld(t, scene{}), known: map[string]string{}}
	g.text, g.blocks = guide(t, "apps.md", "http app", "json app", "json claims", "text browser", "text callback")
	g.app = g.w.asker(func(a *client.App) {
		a.Key, a.Redirects, a.Actions = "example-shop", []string{"https://shop.example.org/callback"}, []client.Action{"reset", "unlock"}
		a.Initiate = "https://shop.example.org/forgot"
	})
	g.known["client_id:client_secret"] = base64.StdEncoding.EncodeToString([]byte(g.app.Key + ":" + g.app.secret))
	g.known["request_uri"] = g.call()["request_uri"].(string)
	v := g.w.visitor().stopAtApps()
	at := v.get(strings.TrimPrefix(strings.TrimSpace(g.fill(g.step("text browser").text)), appGuideBase)).want(t, http.StatusOK, "/reset")
	if !strings.Contains(at.HTML, `lang="de"`) || !strings.Contains(at.HTML, `value="ada@alder.example"`) {
		t.Errorf("the language or the hint did not arrive:\n%s", at.Text)
	}
	for _, part := range []string{"Example shop", "shop.example.org", `action="/oauth2/cancel"`} { // "the name of your app, the host they go back to, and a button"
		if !strings.Contains(at.HTML, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	v.get("/reset?lang=en")
	v.proveTwice(g.w.newcomer())
	v.post("/new-password", "password", fresh).want(t, http.StatusOK, "/progress", "Your password is changed")
	back := v.goBack().Header.Get("Location")
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	g.known["code"] = u.Query().Get("code")
	if want := strings.ReplaceAll(strings.TrimSpace(g.fill(g.step("text callback").text)), url.QueryEscape(appGuideBase), url.QueryEscape(g.w.base)); back != want {
		t.Errorf("sent back to\n%s, and the guide says\n%s", back, want)
	}
	token := g.call()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token["id_token"].(string), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := g.likens(g.step("json claims"), payload)
	// The table tells of every claim, and of none that does not come.
	var told []string
	_, table, _ := strings.Cut(g.text, "| claim | what it says |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			told = append(told, strings.Trim(name, "`"))
		}
	}
	var come []string
	for name := range claims {
		come = append(come, name)
	}
	for name := range claims["urn:regain:claim:result"].(map[string]any) {
		come = append(come, name)
	}
	slices.Sort(told)
	slices.Sort(come)
	if !slices.Equal(told, come) {
		t.Errorf("the table tells of %q, and what comes is %q", told, come)
	}
	if exp, iat := claims["exp"].(float64), claims["iat"].(float64); exp-iat != 300 { // "five minutes later"
		t.Errorf("it is good for %v seconds", exp-iat)
	}
	if info := (&suite{t: t, w: g.w}).call("GET", "/oauth2/userinfo", nil, bearer(token["access_token"].(string))); len(info.body) != 1 || info.body["sub"] != claims["sub"] {
		t.Errorf("userinfo says %v", info.body)
	}
}

// Every error of the table comes about as the table says.
func TestTheGuideToAppsTellsOfTheErrorsThatCome(t *testing.T) {
	t.Parallel()
	text, _ := guide(t, "apps.md")
	_, table, _ := strings.Cut(text, "| `error` | when | what to do |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range strings.Split(row[1], ", ") {
			told[strings.Trim(name, "`")] = false
		}
	}
	w := newWorld(t, scene{})
	s := &suite{t: t, w: w, app: w.asker(nil)}
	came := func(want string, q question) {
		t.Helper()
		s.v = w.visitor().stopAtApps()
		if got := s.refused(q); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if _, there := told[want]; !there {
			t.Errorf("the table does not tell of %s", want)
		}
		told[want] = true
	}
	q := s.app.ask(client.ActionReset)
	came("interaction_required", q.with("prompt", "none"))
	came("invalid_scope", q.with("scope", "openid regain.reset regain.change"))
	came("invalid_scope", q.with("scope", "regain.reset"))
	came("invalid_request", q.with("code_challenge_method", "plain"))
	came("invalid_request", q.with("response_mode", "fragment"))
	came("unsupported_response_type", q.with("response_type", "id_token"))
	came("request_not_supported", q.with("request", "e30."))
	came("request_uri_not_supported", q.with("request_uri", "https://shop.example.org/request"))
	push := w.asker(func(a *client.App) { a.PushOnly = true })
	came("invalid_request", push.ask(client.ActionReset))
	some := w.asker(func(a *client.App) { a.Actions = []client.Action{"reset"} })
	came("invalid_scope", some.ask(client.ActionUnlock))
	off := w.asker(func(a *client.App) { a.Disabled = true })
	came("unauthorized_client", off.ask(client.ActionReset))
	s.v = w.visitor().stopAtApps()
	s.open(q)
	if back := s.v.post("/oauth2/cancel").answer(t, q.form.Get("redirect_uri")); back.Get("error") != "access_denied" || back.Get("iss") != w.base {
		t.Errorf("stopped: %v", back)
	}
	told["access_denied"] = true
	for name, came := range told {
		if !came && name != "temporarily_unavailable" && name != "server_error" { // those need something of ours to be down
			t.Errorf("nothing here brings about %s", name)
		}
	}
	// Until client and redirect URI are good nobody is sent anywhere.
	for _, bad := range []question{q.with("client_id", "nobody"), q.with("redirect_uri", "https://evil.example/")} {
		if at := w.visitor().stopAtApps().get("/oauth2/authorize?" + bad.form.Encode()); at.Status != http.StatusBadRequest || at.Header.Get("Location") != "" {
			t.Errorf("%v: %d to %q", bad.form, at.Status, at.Header.Get("Location"))
		}
	}
	for _, test := range []struct {
		form   url.Values
		dress  func(*http.Request)
		status int
		want   string
	}{
		{url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, nil, 401, "invalid_client"},
		{url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}, s.basic, 400, "invalid_grant"},
		{url.Values{"grant_type": {"password"}}, s.basic, 400, "unsupported_grant_type"},
	} {
		if got := s.call("POST", "/oauth2/token", test.form, test.dress); got.status != test.status || got.body["error"] != test.want || !strings.Contains(text, "`"+test.want+"`") {
			t.Errorf("%v: %d %v, want %d %s, told in the guide", test.form, got.status, got.body, test.status, test.want)
		}
	}
}

func TestTheExcerptsOfTheGuideToAppsStandInTheExamples(t *testing.T) {
	for i, info := range []string{"go example", "ts example"} {
		source := exampleApps[i].text(t)
		_, found := guide(t, "apps.md", info)
		for _, b := range found {
			if !strings.Contains(source, b.text) {
				t.Errorf("apps.md:%d: not so in %s", b.line, exampleApps[i].file)
			}
		}
	}
	_, demos := guide(t, "apps.md", "text demo")
	var out bytes.Buffer
	if err := announce(&out, false, DemoLine{Base: "http://localhost:8080", IDP: "http://localhost:8081",
		App: &demoApp{ClientID: "example-shop", ClientSecret: "…", RedirectURI: "http://localhost:" + demoAppPort + "/callback"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\n"+demos[0].text) {
		t.Errorf("the demo prints another line:\n%s", out.String())
	}
}
