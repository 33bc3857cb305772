package chromium

import (
	"testing"

	"github.com/regain-id/regain/internal/browser"
	"github.com/regain-id/regain/internal/house/needs"
)

func TestPagesAreUsedInARealBrowser(t *testing.T) {
	_, err := browser.Find()
	needs.Group(t, err)
}
