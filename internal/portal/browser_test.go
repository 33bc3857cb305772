package portal

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	chromium "github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/web"
)

func TestMain(m *testing.M) { os.Exit(chromium.Main(m)) }

// served is the site of the samples on loopback, under the address its policy expects, with more pages added by more.
func served(t *testing.T, from *web.Sender, more func(*web.Site)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	site := testSite(t, func(c *web.Config) {
		sentBy(from)(c)
		c.Base = base
	})
	if more != nil {
		more(site)
	}
	server.Config.Handler = site
	server.Start()
	t.Cleanup(server.Close)
	return base
}

func TestEveryPageOfSomebodySignedInIsAccessibleInEveryLookAndFitsATelephone(t *testing.T) {
	base := served(t, nil, nil)
	p := chromium.New(t)
	pictures := os.Getenv("REGAIN_TEST_SCREENSHOTS")
	for _, name := range slices.Sorted(maps.Keys(accountSamples())) {
		for _, lang := range []string{"en", "de"} {
			p.Language(lang)
			p.SetViewport(390, 844)
			p.Open(base + "/sample/" + name)
			if n := p.Overflow(); n > 0 {
				t.Errorf("%s in %s: %d pixels stand out sideways on a telephone", name, lang, n)
			}
			if lang == "de" || strings.HasPrefix(name, "hostile") {
				continue // the words differ, the page does not
			}
			p.MustAxe(name + " on a telephone")
			if pictures != "" {
				p.Screenshot(filepath.Join(pictures, "samples", name+"-phone.png"))
			}
			p.SetViewport(1280, 844)
			p.Dark(true)
			p.MustAxe(name + " in the dark")
			if pictures != "" {
				p.Screenshot(filepath.Join(pictures, "samples", name+"-dark.png"))
			}
			p.Dark(false)
			if pictures != "" {
				p.Screenshot(filepath.Join(pictures, "samples", name+"-light.png"))
			}
		}
	}
}

// widest is by how many pixels a part of a page is wider than the column all of them stand in.
const widest = `(() => {
	const column = document.querySelector("main .narrow, main.wide"), right = column.getBoundingClientRect().right;
	return Math.max(...[...column.children].map(c => c.getBoundingClientRect().right - right));
})()`

func TestEveryPageOfAHandoffIsAccessibleInEveryLookAndFitsATelephone(t *testing.T) {
	from := sender
	base := served(t, &from, nil)
	p := chromium.New(t)
	pictures := os.Getenv("REGAIN_TEST_SCREENSHOTS")
	shoot := func(name string) {
		if pictures != "" {
			p.Screenshot(filepath.Join(pictures, "handoff", name+".png"))
		}
	}
	// The words of the longer language and an app with the longest name and host: every page must hold them.
	p.Language("de")
	p.SetViewport(390, 844)
	for _, name := range slices.Sorted(maps.Keys(samples())) {
		p.Open(base + "/sample/" + name)
		if n := p.Overflow(); n > 0 {
			t.Errorf("%s: %d pixels stand out sideways on a telephone", name, n)
		}
		if n := chromium.Eval[float64](p, widest); n > 1 {
			t.Errorf("%s: something is %v pixels wider than its column", name, n)
		}
	}
	// What stands around a page is the same for all: one of each kind is enough to judge it.
	for _, name := range []string{"start-reset", "choose", "code-wrong", "security", "setup-asked", "done", "unresolved", "end-expired-reset", "setup-asked-on"} {
		looks := []web.Sender{sender}
		if name == "done" || name == "security" {
			looks = append(looks, sentOn)
		}
		for _, from = range looks {
			what := name + map[bool]string{true: "-back"}[from.Return != ""]
			p.SetViewport(390, 844)
			p.Open(base + "/sample/" + name)
			p.MustAxe(what + " on a telephone")
			shoot(what + "-phone")
			p.SetViewport(1280, 844)
			p.Dark(true)
			p.MustAxe(what + " in the dark")
			shoot(what + "-dark")
			p.Dark(false)
			shoot(what + "-light")
		}
	}
}

func TestAFormLeadsBackToTheAppInARealBrowserAndNowhereElse(t *testing.T) {
	var arrived atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cb" {
			arrived.Add(1)
			if r.Method != http.MethodGet || r.Header.Get("Referer") != "" || r.URL.RawQuery != "code=c&state=s" {
				t.Errorf("came as %s %s from %q", r.Method, r.URL, r.Header.Get("Referer"))
			}
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>The app</title><h1>Back</h1>")
	}))
	t.Cleanup(app.Close)
	from := sender
	base := served(t, &from, func(s *web.Site) {
		back := func(r *web.Request) (web.Page, error) {
			if _, err := r.Form(); err != nil {
				return web.Page{}, err
			}
			return web.Page{Leave: app.URL + "/cb?code=c&state=s"}, nil
		}
		s.Handle("POST", pathCancel, back)
		s.Handle("POST", pathReturn, back)
	})
	for _, c := range []struct {
		page   string
		from   web.Sender
		origin string // what the policy of the page lets forms lead to
		script bool
		goes   bool
	}{
		{"choose", sender, app.URL, true, true},
		{"done", sentOn, app.URL, false, true},
		{"end-expired-reset", sender, app.URL, true, true},
		// That the origin is there is what lets the browser through: with another, or none, the same button leads nowhere.
		{"choose", sender, "https://elsewhere.contoso.example", true, false},
		{"done", sentOn, "", true, false},
	} {
		p := chromium.New(t)
		if !c.script {
			p.DisableScripts()
		}
		from = c.from
		from.Origin = c.origin
		before := arrived.Load()
		button := "form[action='" + cmp.Or(from.Return, from.Cancel) + "'] button"
		p.Open(base + "/sample/" + c.page)
		if c.goes {
			p.Follow(button)
			if p.URL() != app.URL+"/cb?code=c&state=s" || p.Text("h1") != "Back" || arrived.Load() != before+1 {
				t.Errorf("%s: at %s", c.page, p.URL())
			}
			continue
		}
		p.Click(button)
		var said []string
		for deadline := time.Now().Add(20 * time.Second); len(said) == 0 && time.Now().Before(deadline); {
			p.Text("h1") // a round trip to the browser
			said = p.Errors()
		}
		if !strings.Contains(strings.Join(said, " "), "form-action") || arrived.Load() != before || !strings.HasPrefix(p.URL(), base) {
			t.Errorf("%s with origin %q: at %s, the browser says %q", c.page, c.origin, p.URL(), said)
		}
	}
}

// A browser shows the answer to the latest form it sent. The way back has one answer, which went to the first.
func TestADoubleClickOnTheWayBackIsOne(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>The app</title><h1>Back</h1>")
	}))
	t.Cleanup(app.Close)
	for path, from := range map[string]web.Sender{pathReturn: sentOn, pathCancel: sender} {
		from.Origin = app.URL
		var posts atomic.Int64
		clicked := make(chan struct{})
		base := served(t, &from, func(s *web.Site) {
			s.Handle("POST", path, func(*web.Request) (web.Page, error) {
				if posts.Add(1) > 1 {
					return EndPage{End: Stopped}.Page(), nil
				}
				<-clicked
				return web.Page{Leave: app.URL + "/cb"}, nil
			})
		})
		both := sync.OnceFunc(func() { close(clicked) })
		t.Cleanup(both) // before the server closes, which waits for its answers
		p := chromium.New(t)
		p.Open(base + "/sample/done")
		chromium.Eval[bool](p, fmt.Sprintf(`new Promise(done => {
			const button = document.querySelector("form[action='%s'] button");
			button.click();
			setTimeout(() => { button.click(); done(true); }, 100); // as fast as people click
		})`, path))
		both()
		for deadline := time.Now().Add(20 * time.Second); strings.HasPrefix(p.URL(), base+"/sample/") && time.Now().Before(deadline); {
			p.Text("h1") // a round trip to the browser
		}
		if n := posts.Load(); n != 1 || p.URL() != app.URL+"/cb" {
			t.Errorf("%s: sent %d times, at %s: %q", path, n, p.URL(), p.Text("h1"))
		}
	}
}
