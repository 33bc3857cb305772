package languages

import (
	"errors"
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestTheSnippetsForOtherLanguagesRunInThem(t *testing.T) {
	needs.Group(t, errors.Join(needs.AnyOf("Debian's package python3", "python3"), needs.AnyOf("Debian's package mono-mcs", "mcs"), needs.AnyOf("Debian's package mono-runtime", "mono")))
}
