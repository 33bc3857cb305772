package app

import (
	"testing"

	"github.com/regain-id/regain/internal/browser"
)

func takeDemoTour(t *testing.T, prepare func(*browser.Page), see func(p *browser.Page, name string)) {
}
