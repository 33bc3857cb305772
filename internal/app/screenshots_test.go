package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/regain-id/regain/internal/browser"
)

// album returns what takes a picture of a page in every look, or skips the test: pictures are for people who asked.
func album(t *testing.T) func(p *browser.Page, folder, name string) {
	t.Helper()
	dir := os.Getenv("REGAIN_TEST_SCREENSHOTS")
	if dir == "" {
		t.Skip("no pictures asked for: make screenshots")
	}
	return func(p *browser.Page, folder, name string) {
		t.Helper()
		for _, l := range looks {
			p.SetViewport(l.width, 844)
			p.Dark(l.dark)
			p.Screenshot(filepath.Join(dir, folder, name+"-"+l.name+".png"))
		}
		p.Dark(false)
		p.SetViewport(1280, 844)
	}
}

func TestScreenshotsOfEveryPage(t *testing.T) {
	shoot := album(t)
	for lang := range sayings {
		for name := range tours {
			t.Run(lang+" "+name, func(t *testing.T) {
				t.Parallel()
				takeTour(t, name, func(p *browser.Page) { p.Language(lang) }, func(p *browser.Page, page string) { shoot(p, lang, page) })
			})
		}
	}
}

func TestScreenshotsOfTheDemo(t *testing.T) {
	shoot := album(t)
	for lang := range sayings {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			takeDemoTour(t, func(p *browser.Page) { p.Language(lang) }, func(p *browser.Page, page string) { shoot(p, lang, "demo-"+page) })
		})
	}
}
