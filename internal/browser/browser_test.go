package browser

import (
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// site is a small page of the kind the portal has, under the same content security policy, and pages that are broken.
func site(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	page := func(pattern, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Small page</title><link rel="stylesheet" href="/style.css"><link rel="icon" href="data:,"><script type="module" src="/script.js"></script><main><h1>Small page</h1>%s</main></html>`, body)
		})
	}
	page("GET /{$}", `<form method="post" action="/"><label for="login">Name</label> <input id="login" name="login" value="old" autocomplete="username">
		<label><input type="radio" name="way" value="mail" id="mail"> Mail</label> <label><input type="radio" name="way" value="sms" id="sms"> SMS</label>
		<button id="go">Continue</button></form><p id="script">No script ran</p>`)
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Path: "/"})
		if r.FormValue("login") == "" {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `<!doctype html><html lang="en"><title>Error</title><link rel="icon" href="data:,"><main><h1>Enter a name</h1></main>`)
			return
		}
		http.Redirect(w, r, "/done?"+r.FormValue("login")+"-"+r.FormValue("way"), http.StatusSeeOther)
	})
	page("GET /done", `<p id="done">Done</p>`)
	page("GET /bad/contrast", `<p class="faint">Hardly to be read</p><img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">`)
	page("GET /bad/style", `<p style="color:red">red</p>`)
	page("GET /bad/inline", `<button onclick="alert(1)">x</button><script>document.title = "owned"</script>`)
	page("GET /bad/trusted", `<script type="module" src="/inner.js"></script>`)
	page("GET /bad/missing", `<img alt="nothing" src="/none.png">`)
	page("GET /bad/throws", `<script type="module" src="/throws.js"></script>`)
	page("GET /wide", `<div class="wide">wide</div>`)
	asset := func(path, kind, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, body)
		})
	}
	asset("/script.js", "text/javascript", `const p = document.getElementById("script"); if (p) p.textContent = "A script ran";`)
	asset("/inner.js", "text/javascript", `document.querySelector("main").innerHTML = "<b>x</b>";`)
	asset("/throws.js", "text/javascript", `throw new Error("planted");`)
	asset("/style.css", "text/css", `.faint{color:#eee;background:#fff} .wide{width:700px} @media (prefers-color-scheme: dark){body{background:#000;color:#fff}}`)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestAPersonTypesChoosesAndArrives(t *testing.T) {
	base, p := site(t), New(t)
	if status := p.Open(base + "/"); status != 200 || p.Title() != "Small page" {
		t.Fatalf("got status %d and title %q", status, p.Title())
	}
	p.WaitFor("#login")
	p.Fill("#login", "ada")
	p.Click("#sms")
	if got := p.Value("#login"); got != "ada" {
		t.Errorf("the field holds %q: want what was there replaced", got)
	}
	if status := p.Follow("#go"); status != 200 || p.URL() != base+"/done?ada-sms" || p.Text("#done") != "Done" {
		t.Errorf("got status %d at %s", status, p.URL())
	}
	p.Back()
	if p.Count("#login") != 1 || p.Count("#none") != 0 || p.Attribute("#go", "id") != "go" || p.Attribute("#go", "none") != "" {
		t.Error("back did not lead back")
	}
	if got := p.Text("#script"); got != "A script ran" {
		t.Errorf("got %q", got)
	}
}

func TestTheKeyboardIsEnough(t *testing.T) {
	base, p := site(t), New(t)
	p.Open(base + "/")
	p.Press("\t")
	if got := p.Focused(); got != "#login" {
		t.Fatalf("the first stop is %s", got)
	}
	p.Press("x\t ")
	if got := p.Focused(); got != "#mail" {
		t.Fatalf("the second stop is %s", got)
	}
	p.Press("\t")
	if status := p.PressFollow("\r"); status != 200 || !strings.HasSuffix(p.URL(), "x-mail") {
		t.Errorf("got status %d at %s", status, p.URL())
	}
}

func TestTheStatusOfAPageIsReturnedAndNoFault(t *testing.T) {
	base, p := site(t), New(t)
	p.Open(base + "/")
	p.Fill("#login", "")
	if status := p.Follow("#go"); status != 422 || p.Text("h1") != "Enter a name" {
		t.Errorf("got status %d, %q", status, p.Text("h1"))
	}
	if status := p.Open(base + "/nowhere"); status != 404 {
		t.Errorf("got status %d, want 404", status)
	}
}

func TestWithoutScriptsTheSameWorks(t *testing.T) {
	base, p := site(t), New(t)
	p.DisableScripts()
	p.Open(base + "/")
	if got := p.Text("#script"); got != "No script ran" {
		t.Fatalf("got %q: scripts are not off", got)
	}
	p.Fill("#login", "ada")
	p.Click("#mail")
	if p.Follow("#go"); p.URL() != base+"/done?ada-mail" {
		t.Errorf("at %s", p.URL())
	}
}

func TestEveryErrorOfTheConsoleIsCaught(t *testing.T) {
	base := site(t)
	for path, want := range map[string]string{
		"/bad/style":   "style-src",
		"/bad/inline":  "script-src",
		"/bad/trusted": "TrustedHTML",
		"/bad/missing": "404",
		"/bad/throws":  "planted",
	} {
		p := New(t)
		p.Open(base + path)
		Eval[int](p, "new Promise(done => setTimeout(() => done(1), 50))")
		if errs := p.Errors(); !slices.ContainsFunc(errs, func(e string) bool { return strings.Contains(e, want) }) {
			t.Errorf("%s: got errors %q, want one with %q", path, errs, want)
		}
	}
	p := New(t)
	p.Open(base + "/")
	if errs := p.Errors(); len(errs) > 0 {
		t.Errorf("a page without faults: got %q", errs)
	}
}

func TestAxeFindsWhatIsPlantedAndNothingElse(t *testing.T) {
	base, p := site(t), New(t)
	p.Open(base + "/bad/contrast")
	found := strings.Join(p.Axe(), "\n")
	for _, want := range []string{"color-contrast (serious)", "image-alt (critical)", `<p class="faint">`} {
		if !strings.Contains(found, want) {
			t.Errorf("axe found\n%s\nwant %q in it", found, want)
		}
	}
	p.Open(base + "/")
	p.MustAxe("the small page")
}

func TestTwoTestsAreTwoPeople(t *testing.T) {
	base, one, other := site(t), New(t), New(t)
	one.Open(base + "/")
	one.Fill("#login", "x")
	one.Follow("#go")
	other.Open(base + "/")
	if got := Eval[string](one, "document.cookie"); got != "seen=1" {
		t.Errorf("the first has cookies %q", got)
	}
	if got := Eval[string](other, "document.cookie"); got != "" {
		t.Errorf("the second has cookies %q of the first", got)
	}
}

func TestASmallScreenAndTheDarkAreSeen(t *testing.T) {
	base, p := site(t), New(t)
	p.SetViewport(390, 844)
	p.Open(base + "/wide")
	if got := p.Overflow(); got < 300 {
		t.Errorf("700 px on 390: overflow %d", got)
	}
	p.Open(base + "/")
	if got := p.Overflow(); got != 0 {
		t.Errorf("overflow %d on a page that fits", got)
	}
	corner := func() uint32 {
		path := filepath.Join(t.TempDir(), "shots", "page.png")
		p.Screenshot(path)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if img.Bounds().Dx() != 390 {
			t.Errorf("the picture is %d wide, want 390", img.Bounds().Dx())
		}
		red, _, _, _ := img.At(389, 5).RGBA()
		return red >> 8
	}
	light := corner()
	p.Dark(true)
	if dark := corner(); light != 255 || dark != 0 {
		t.Errorf("got %d in the light and %d in the dark", light, dark)
	}
}
