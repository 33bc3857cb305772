package client

import "testing"

func TestAConnectorIsChecked(t *testing.T) {
	good := Connector{Name: "hr.system-1", Trust: TrustOne, Preset: PresetEntra}
	if err := good.Check(); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, spoil := range map[string]func(*Connector){
		"no name": func(c *Connector) { c.Name = "" }, "a name with a space": func(c *Connector) { c.Name = "h r" }, "a name that is a path": func(c *Connector) { c.Name = "../x" },
		"a trust nobody knows": func(c *Connector) { c.Trust = "some" }, "a preset nobody knows": func(c *Connector) { c.Preset = "okta" },
		"three tokens": func(c *Connector) { c.Tokens = make([]Token, MaxTokens+1) },
	} {
		c := good
		spoil(&c)
		if c.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
