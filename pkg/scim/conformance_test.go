package scim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim/schema"
	"github.com/regain-id/regain/pkg/scim/scimtest"
)

// tokenOf is a token of a bench for a preset with any switches: their names.
func tokenOf(_ *testing.T, c schema.Compat) string {
	name := "compat"
	for _, s := range schema.Switches() {
		if s.On(c) {
			name += " " + s.Name
		}
	}
	return name
}

// compatOf is what a token of tokenOf stands for.
func compatOf(token string) (c schema.Compat, ok bool) {
	names, ok := strings.CutPrefix(token, "compat")
	if !ok {
		return c, false
	}
	for _, name := range strings.Fields(names) {
		s, known := schema.SwitchNamed(name)
		if !known {
			panic(fmt.Sprintf("no switch %q", name))
		}
		c = s.Set(c, true)
	}
	return c, true
}

func TestTheServerConforms(t *testing.T) {
	scimtest.RunPresets(t, newBench(t).srv.URL+"/scim/v2", tokenOf)
}

func TestEveryRuleOfAPresetCanBeSwitchedByItself(t *testing.T) {
	scimtest.RunSwitches(t, newBench(t).srv.URL+"/scim/v2", tokenOf)
}
