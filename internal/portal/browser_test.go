package portal

import (
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	chromium "github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/web"
)

func TestMain(m *testing.M) { os.Exit(chromium.Main(m)) }

// served is the site of the samples on loopback, under the address its policy expects.
func served(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	server.Config.Handler = testSite(t, func(c *web.Config) { c.Base = base })
	server.Start()
	t.Cleanup(server.Close)
	return base
}

func TestEveryPageOfSomebodySignedInIsAccessibleInEveryLookAndFitsATelephone(t *testing.T) {
	base := served(t)
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
