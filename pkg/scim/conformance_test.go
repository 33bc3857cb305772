package scim_test

import (
	"testing"

	"github.com/regain-id/regain/pkg/scim/scimtest"
)

func TestTheServerConforms(t *testing.T) {
	for _, preset := range []string{"strict", "standard", "entra"} {
		t.Run(preset, func(t *testing.T) {
			scimtest.RunAs(t, newBench(t).srv.URL+"/scim/v2", preset, preset)
		})
	}
}
