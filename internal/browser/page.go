package browser

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Down is the arrow key that goes to the next of several radio buttons, for Press.
const Down = kb.ArrowDown

// css keeps the driver from what it does with a plain string: search the page for that text.
func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// Open goes to an address and returns the status of the document that came, after redirects.
func (p *Page) Open(url string) int {
	p.t.Helper()
	p.expect(url)
	return p.arrived(ask(p, "open "+url, chromedp.NavigateResponse(url)))
}

// Follow clicks what the selector names, waits for the page it leads to, and returns its status. For a click that leads
// nowhere else use Click.
func (p *Page) Follow(selector string) int {
	p.t.Helper()
	return p.arrive("follow "+selector, chromedp.Click(css(selector), chromedp.NodeVisible))
}

// PressFollow presses keys where the focus is, waits for the page they lead to, and returns its status.
func (p *Page) PressFollow(keys string) int {
	p.t.Helper()
	return p.arrive("press "+strconv.Quote(keys), chromedp.KeyEvent(keys))
}

// Back goes back as the browser's button does.
func (p *Page) Back() {
	p.t.Helper()
	p.do("go back", chromedp.NavigateBack())
}

// Reload loads the page again and returns its status.
func (p *Page) Reload() int {
	p.t.Helper()
	return p.arrive("reload", chromedp.Reload())
}

func (p *Page) arrive(what string, step chromedp.Action[chromedp.Void]) int {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	response, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		p.fail(what, err)
	}
	return p.arrived(response)
}

func (p *Page) arrived(response *network.Response) int {
	if response == nil {
		return 0 // a document without a request, such as about:blank
	}
	p.expect(response.URL)
	return int(response.Status)
}

// expect marks an address as that of a document.
func (p *Page) expect(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened[url] = true
}

// Fill replaces what stands in a field by typing, as a person does who selects it all first.
func (p *Page) Fill(selector, text string) {
	p.t.Helper()
	if text == "" {
		text = kb.Delete
	}
	p.do("fill "+selector, chromedp.WaitVisible(css(selector)), chromedp.Focus(css(selector)),
		chromedp.Evaluate[chromedp.Void]("document.activeElement.select()"), chromedp.KeyEvent(text))
}

// Click clicks what the selector names: a radio button, a box, anything that leads to no other page.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.Click(css(selector), chromedp.NodeVisible))
}

// Press presses keys where the focus is: text, "\t" for Tab, " " for Space. Use PressFollow for an Enter that submits.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.do("press "+strconv.Quote(keys), chromedp.KeyEvent(keys))
}

// WaitFor waits until the selector names something that can be seen.
func (p *Page) WaitFor(selector string) {
	p.t.Helper()
	p.do("wait for "+selector, chromedp.WaitVisible(css(selector)))
}

// Text returns what can be read in the first element of the selector, waiting for it.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return ask(p, "read "+selector, chromedp.Text(css(selector)))
}

// Value returns what stands in a field.
func (p *Page) Value(selector string) string {
	p.t.Helper()
	return ask(p, "read the field "+selector, chromedp.Value(css(selector)))
}

// Attribute returns an attribute of the first element of the selector; "" when it has none of that name.
func (p *Page) Attribute(selector, name string) string {
	p.t.Helper()
	return ask(p, "read "+name+" of "+selector, chromedp.AttributeValue(css(selector), name)).Value
}

// Count returns how many elements the selector names now, without waiting.
func (p *Page) Count(selector string) int {
	p.t.Helper()
	return Eval[int](p, "document.querySelectorAll("+strconv.Quote(selector)+").length")
}

// Title returns the title of the page.
func (p *Page) Title() string {
	p.t.Helper()
	return ask(p, "read the title", chromedp.Title())
}

// URL returns the address of the page.
func (p *Page) URL() string {
	p.t.Helper()
	return ask(p, "read the address", chromedp.Location())
}

// Lands waits until the browser stands at a page whose address begins with prefix, after a page that goes on by itself, and
// the page has been loaded.
func (p *Page) Lands(prefix string) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	at := ""
	for ctx.Err() == nil {
		// A step that meets a page on its way out fails; the next one meets what came.
		one, done := context.WithTimeout(ctx, time.Second)
		found, err := chromedp.Run(one, chromedp.Evaluate[string]("document.readyState === 'complete' ? location.href : ''"))
		done()
		if err == nil {
			if at = found; strings.HasPrefix(at, prefix) {
				p.expect(at)
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.fail("land at "+prefix, fmt.Errorf("at %q", at))
}

// HTML returns the page as it is now, scripts having run.
func (p *Page) HTML() string {
	p.t.Helper()
	return ask(p, "read the page", chromedp.OuterHTML(css("html")))
}

// Focused returns where the keyboard is: "#id" of the element, else its tag name in lower case.
func (p *Page) Focused() string {
	p.t.Helper()
	return Eval[string](p, `(e => e.id ? "#" + e.id : e.tagName.toLowerCase())(document.activeElement)`)
}

// Overflow returns by how many CSS pixels the page is wider than the window; 0 means nobody scrolls sideways.
func (p *Page) Overflow() int {
	p.t.Helper()
	return Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// Eval runs JavaScript in the page as the developer tools do, past its content security policy, and returns its value.
func Eval[T any](p *Page, script string) T {
	p.t.Helper()
	return ask(p, "evaluate", chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// Do runs actions of the driver that have no method here, such as a virtual authenticator's.
func (p *Page) Do(act func(context.Context) error) {
	p.t.Helper()
	p.do("act", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error { return act(ctx) }))
}
