package client

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAConnectorIsChecked(t *testing.T) {
	good := Connector{Name: "hr.system-1", Trust: TrustOne, Preset: PresetEntra}
	if err := good.Check(); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, spoil := range map[string]func(*Connector){
		"no name": func(c *Connector) { c.Name = "" }, "a name with a space": func(c *Connector) { c.Name = "h r" }, "a name that is a path": func(c *Connector) { c.Name = "../x" },
		"a trust nobody knows": func(c *Connector) { c.Trust = "some" }, "a preset nobody knows": func(c *Connector) { c.Preset = "okta" },
		"a use nobody knows": func(c *Connector) { c.Uses = []Use{"people"} }, "a use twice": func(c *Connector) { c.Uses = []Use{UseUsers, UseUsers} },
		"a negative rate": func(c *Connector) { c.Rate = -1 }, "a rate without end": func(c *Connector) { c.Rate = MaxRate + 1 },
		"three tokens": func(c *Connector) { c.Tokens = make([]Token, MaxTokens+1) },
	} {
		c := good
		spoil(&c)
		if c.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestATokenComesBesideTheNewestThatLives(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	in := func(h int) time.Time { return now.Add(time.Duration(h) * time.Hour) }
	for _, c := range []struct {
		have  []Token
		until time.Time
		want  string
	}{
		{nil, time.Time{}, "new"},
		{[]Token{{ID: "a"}}, time.Time{}, "a, new"},
		{[]Token{{ID: "a"}, {ID: "b"}}, time.Time{}, "b, new"},
		{[]Token{{ID: "a"}, {ID: "b", Expires: now}}, time.Time{}, "a, new"}, // what has ended makes way before what works
		{[]Token{{ID: "a"}}, in(24), "a until 2026-11-23T12:00:00Z, new"},
		{[]Token{{ID: "a", Expires: in(1)}}, in(24), "a until 2026-11-22T13:00:00Z, new"}, // nothing lives longer by a rotation
		{[]Token{{ID: "a"}, {ID: "b"}}, now, "new"},
	} {
		v := Connector{Tokens: c.have}
		before := fmt.Sprint(c.have)
		v.AddToken(Token{ID: "new"}, c.until, now)
		if got := tokensText(v.Tokens); got != c.want {
			t.Errorf("%v until %v: got %s, want %s", c.have, c.until, got, c.want)
		}
		if fmt.Sprint(c.have) != before {
			t.Errorf("what was handed over was changed: %v", c.have)
		}
	}
	if got := (&Connector{Tokens: []Token{{Expires: in(3)}, {}, {Expires: in(2)}, {Expires: in(-1)}}}).NextEnd(now); !got.Equal(in(2)) {
		t.Errorf("the next end is %v", got)
	}
}

func TestAChangeTellsOldAndNewAndNoSecret(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	was := Connector{ID: "c", Name: "hr", Trust: TrustOne, Preset: PresetEntra, Tokens: []Token{{ID: "t", Hash: []byte("S3CRET")}}}
	c := was
	c.Trust, c.Uses, c.ReadOnly, c.SetPassword, c.Rate = TrustAll, []Use{UseGroups, UseUsers}, true, true, 7
	c.Tokens = []Token{{ID: "t", Hash: []byte("S3CRET"), Expires: now}}
	data, err := c.Changed(&was, "cli:x", now).DataJSON()
	want := `{"name":"hr","rate":[0,7],"read_only":[false,true],"set_password":[false,true],"tokens":["t","t until 2026-11-22T12:00:00Z"],"trust":["one","all"],"uses":["users,groups,methods","users,groups"]}`
	if string(data) != want || err != nil {
		t.Errorf("got  %s\nwant %s, %v", data, want, err)
	}
	if made, _ := c.Made("cli:x", now).DataJSON(); !strings.Contains(string(made), `"uses":"users,groups"`) || strings.Contains(string(made), "S3CRET") {
		t.Errorf("made: %s", made)
	}
}
