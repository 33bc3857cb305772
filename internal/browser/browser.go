// Package browser drives a real Chromium for tests: what a person sees, types and clicks, with or without scripts, in
// light and dark, on a small screen, judged by axe-core, and with every error of the page's console counted as a fault.
//
// It is the one place that knows the driver's API. A test binary that uses it says so once and shares one browser:
//
//	func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }
//
//	p := browser.New(t) // a person with a browser of their own: no cookies, nothing remembered
//	p.Open(base + "/reset")
//	p.Fill("#login", "ada")
//	if status := p.Follow("button[type=submit]"); status != 200 { … }
//
// Where no Chromium is installed New skips the test; with REGAIN_REQUIRE_SERVERS=1 it fails it. It is for tests only:
// no package that is built into the program may import it.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one step. Two cores that race-test other packages meanwhile need far more than a person would wait.
const patience = 30 * time.Second

// shared is the browser of the test binary. It lives between Main and its end and starts with the first New.
var shared struct {
	sync.Mutex
	ready bool // Main runs
	ctx   context.Context
	close func()
}

// Find returns the path of a Chromium or Chrome, or an error that says what to install.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/usr/bin/chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium here: apt-get install chromium")
}

// Main runs the tests of a binary and then closes the browser they shared; it returns the exit code for os.Exit.
func Main(m *testing.M) int {
	shared.Lock()
	shared.ready = true
	shared.Unlock()
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.close != nil {
		shared.close()
	}
	return code
}

// start returns the browser's context, starting it at the first call.
func start() (context.Context, error) {
	shared.Lock()
	defer shared.Unlock()
	if !shared.ready {
		return nil, errors.New("browser.Main does not run: add func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }")
	}
	if shared.ctx != nil {
		return shared.ctx, nil
	}
	path, err := Find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "regain-browser-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900),
		// What a browser says to its maker unasked; a closed network refuses it many times a minute.
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		// Our pages are no-store and not kept for going back; with the cache on, going back fires no load event to wait for.
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,BackForwardCache"),
		// The same pixels on every machine.
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("lang", "en-US"),
	)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to run as root
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	closeAll := func() {
		closeBrowser()
		closeAllocator()
		os.RemoveAll(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		closeAll()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	shared.ctx, shared.close = ctx, closeAll
	return ctx, nil
}

// Page is one tab of one person's browser. Its methods fail the test when a step does not succeed in thirty seconds, and
// tell what stood on the page. A Page is for one goroutine.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []complaint
	opened     map[string]bool // addresses of documents, whose own status a test sees as a return value
}

// complaint is one error of the console.
type complaint struct {
	text     string
	response string // the address, when it is about the status of a response
}

// New opens an empty tab in a fresh profile: no cookies, no history, 1280 by 900, light, scripts on. When the test ends the
// tab closes, and every error of its console that Errors did not take fails the test.
func New(t testing.TB) *Page {
	t.Helper()
	if _, err := Find(); err != nil {
		if os.Getenv("REGAIN_REQUIRE_SERVERS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("browser tests left out: %v", err)
	}
	browser, err := start()
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{t: t, opened: map[string]bool{}}
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	p.ctx = ctx
	// The first run opens the tab and binds its life to the context given: it must be the long one.
	if err := chromedp.Do(ctx); err != nil {
		closeTab()
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		// A round trip: what the console said before it has arrived by then.
		p.try(chromedp.Evaluate[chromedp.Void]("1"))
		closeTab()
		for _, e := range p.Errors() {
			t.Errorf("the browser's console: %s", e)
		}
	})
	p.do("set up", media("light"))
	return p
}

// listen gathers what the console calls an error: failed scripts, refusals by the content security policy or Trusted
// Types, assets that do not load.
func (p *Page) listen(ev any) {
	var c complaint
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		c.text = ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			c.text += " " + ev.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type != runtime.ConsoleAPICalledTypeError && ev.Type != runtime.ConsoleAPICalledTypeAssert {
			return
		}
		for _, arg := range ev.Args {
			c.text += " " + strings.Trim(string(arg.Value), `"`) + arg.Description
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level != log.EntryLevelError {
			return
		}
		c.text = ev.Entry.Text + " (" + ev.Entry.URL + ")"
		if ev.Entry.Source == log.EntrySourceNetwork {
			c.response = ev.Entry.URL
		}
	default:
		return
	}
	p.mu.Lock()
	p.complaints = append(p.complaints, c)
	p.mu.Unlock()
}

// Errors returns what the console called an error since the last call, and forgets it: a test that expects one takes it.
// The status of a page itself is none: a page that answers 422 is not broken, and Open and Follow return it.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, c := range p.complaints {
		// The browser asks for /favicon.ico by itself when a page names no icon, as an error page of a server does.
		if c.response == "" || !p.opened[c.response] && !strings.HasSuffix(c.response, "/favicon.ico") {
			all = append(all, strings.TrimSpace(c.text))
		}
	}
	p.complaints = nil
	return all
}

// within returns a context for one step.
func (p *Page) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, patience)
}

func (p *Page) try(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := p.within()
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

func (p *Page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := p.try(steps...); err != nil {
		p.fail(what, err)
	}
}

// ask runs one action that returns a value.
func ask[T any](p *Page, what string, a chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.fail(what, err)
	}
	return v
}

// fail ends the test with what stood on the page, which is what one wants to know.
func (p *Page) fail(what string, cause error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if len(text) > 1500 {
		text = text[:1500] + " …"
	}
	p.t.Fatalf("%s: %v\nat %s\nconsole: %q\nthe page says:\n%s", what, cause, at, p.Errors(), text)
}

func media(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // pictures are taken of what has come to rest
		}})
		return err
	})
}

// Dark shows pages as to a person who prefers dark, or light again.
func (p *Page) Dark(dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.do("prefer "+scheme, media(scheme))
}

// DisableScripts turns the page's own scripts off, from the next Open on. Axe needs them on.
func (p *Page) DisableScripts() {
	p.t.Helper()
	p.do("disable scripts", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// Language makes the browser ask for pages in a language, such as de, from the next request on.
func (p *Page) Language(tag string) {
	p.t.Helper()
	p.do("prefer "+tag, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		if err == nil {
			_, err = chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": tag}})
		}
		return err
	}))
}

// Cookies returns the names of the cookies the browser would send to the page, those hidden from scripts included.
func (p *Page) Cookies() []string {
	p.t.Helper()
	var names []string
	p.do("read the cookies", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{})
		names = nil
		for _, c := range got.Cookies {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		return err
	}))
	return names
}

// SetViewport sets the size of the window in CSS pixels; 390 by 844 is a telephone.
func (p *Page) SetViewport(width, height int) {
	p.t.Helper()
	p.do("set the viewport", chromedp.EmulateViewport(int64(width), int64(height)))
}

// Screenshot writes a PNG of the whole page, folders included.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	png := ask(p, "take a screenshot", chromedp.FullScreenshot(100))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, png, 0o644)); err != nil {
		p.t.Fatal(err)
	}
}
