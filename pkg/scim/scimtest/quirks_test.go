package scimtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// rows is how many kinds of request identity providers are known to send; conversations with a higher number are our own.
const rows = 37

func TestEveryKnownRequestIsRecordedForEveryPreset(t *testing.T) {
	names, all := conversations(t)
	byRow := map[int][]string{}
	for _, name := range names {
		q := all[name]
		if byRow[q.Row] = append(byRow[q.Row], name); q.Row < 1 || !strings.HasPrefix(name, fmt.Sprintf("%02d-", q.Row)) {
			t.Errorf("%s says it is row %d", name, q.Row)
		}
		if q.From == "" || q.About == "" {
			t.Errorf("%s does not say who sends it, and what is special", name)
		}
		if q.Why != "" { // honest about what does not apply, and nothing pretended beside it
			if len(q.Steps) > 0 || len(q.Why) < 40 {
				t.Errorf("%s has steps, or no reason that says anything", name)
			}
			continue
		}
		for _, preset := range presets {
			requests, states := 0, 0
			for i, s := range q.Steps {
				if !s.Quirk || len(s.In) > 0 && !slices.Contains(s.In, preset) {
					continue
				}
				requests++
				if !told(s.Status, preset) {
					t.Errorf("%s: step %d does not tell the status for %s", name, i+1, preset)
				}
				for _, state := range s.Stored {
					if states++; !told(state, preset) {
						t.Errorf("%s: step %d does not tell what is stored for %s", name, i+1, preset)
					}
				}
			}
			if requests == 0 || states == 0 {
				t.Errorf("%s: %d requests and %d stored states for %s", name, requests, states, preset)
			}
		}
	}
	for row := 1; row <= rows; row++ {
		if len(byRow[row]) == 0 {
			t.Errorf("row %d has no recording", row)
		}
	}
}

// told reports whether raw says something for a preset.
func told(raw json.RawMessage, preset string) bool {
	if by, ok := byPreset(raw); ok {
		raw = by[preset]
	}
	return raw != nil
}

func TestEverySwitchIsTriedByItself(t *testing.T) {
	names, all := conversations(t)
	tried := map[string]bool{}
	for _, name := range names {
		q := all[name]
		differs := false
		for _, s := range q.Steps {
			differs = differs || s.differs()
		}
		if differs && len(q.Switches) == 0 {
			t.Errorf("%s: presets differ, and no switch is named that makes the difference", name)
		}
		on := schema.Strict()
		for _, s := range q.Switches {
			on = toggle(t, on, s, true)
			tried[s] = true
		}
		if preset, ok := schema.Preset(q.As); ok {
			for _, s := range q.Switches {
				if toggle(t, preset, s, false) == preset {
					t.Errorf("%s: the preset %s has no %s to be without", name, q.As, s)
				}
			}
		} else if len(q.Switches) > 0 && q.As != "switched" {
			t.Errorf("%s: as %q", name, q.As)
		}
	}
	for _, s := range schema.Switches() {
		if !tried[s.Name] {
			t.Errorf("no conversation depends on %s", s.Name)
		}
	}
}

// differs reports whether the step is answered differently by presets, but for the brevity of Entra's groups.
func (s step) differs() bool {
	by, ok := byPreset(s.Status)
	return ok && (string(by["strict"]) != string(by["standard"]) || string(by["entra"]) != "204" && string(by["strict"]) != string(by["entra"]))
}

func TestTheComparisonOfWhatIsStoredSeesWhatIsWrong(t *testing.T) {
	const got = `{"schemas":["urn:x"],"id":"1","meta":{"version":"1"},"active":true,"userName":"a","emails":[{"value":"x","type":"work"}],"groups":[{"value":"g"}],
		"urn:mine":{"x":1},"members":[{"value":"m","$ref":"https://x/m","display":"M","type":"User"}]}`
	for want, same := range map[string]bool{
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}]}`:                                           true,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m","type":"User"}],"active":true,"id":"1"}`:      true,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m","type":"Group"}]}`:                            false,
		`{"userName":"b","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}]}`:                                           false,
		`{"userName":"a","emails":[{"value":"x"}],"members":[{"value":"m"}]}`:                                                         false,
		`{"userName":"a","emails":[{"value":"x","type":"work","primary":true}],"members":[{"value":"m"}]}`:                            false,
		`{"userName":"a","emails":[],"members":[{"value":"m"}]}`:                                                                      false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}]}`:                                                                     false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"},{"value":"n"}]}`:                             false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}],"active":false}`:                            false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}],"title":"t"}`:                               false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}],"groups":[{"value":"other"}]}`:              false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}],"urn:mine":{"x":2}}`:                        false,
		`{"userName":"a","emails":[{"value":"x","type":"work"}],"members":[{"value":"m"}],"schemas":["urn:x","urn:y"],"active":true}`: false,
	} {
		w := number(t, want)
		if diff := exactly("", w, clients(number(t, got), w)); (diff == "") != same {
			t.Errorf("%s: %q", want, diff)
		}
	}
}
