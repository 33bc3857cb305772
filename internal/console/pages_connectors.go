package console

import (
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// ConnectorsPage lists the connectors and asks for another.
type ConnectorsPage struct {
	Connectors []client.Connector
	Heard      map[string]client.LastHeard // what was last heard of each, by its id
	Name       string                      // that was typed
	Provider   Provider                    // that was chosen
	Problems   []web.Problem
	Now        time.Time
}

// Page renders the view.
func (v ConnectorsPage) Page() web.Page {
	return web.Page{Template: "console-connectors", Title: message.Key("console.connectors.heading"), Data: v, Problems: v.Problems}
}

func (v ConnectorsPage) wrong(key string) ConnectorsPage {
	v.Problems = []web.Problem{{Field: "name", Say: message.Message{Key: key}}}
	return v
}

// Path is where a connector is shown.
func (v ConnectorsPage) Path(name string) string { return PathConnectors + "/" + name }

// Light says whether a connector was heard of.
func (v ConnectorsPage) Light(c client.Connector) Note { return light(c.Last, v.Heard[c.ID], v.Now) }

// Ends is when the next of a connector's secrets ends; zero when none does.
func (v ConnectorsPage) Ends(c client.Connector) time.Time { return c.NextEnd(v.Now) }

// Dead reports whether a connector has no secret and no key that works.
func (v ConnectorsPage) Dead(c client.Connector) bool {
	return len(c.Live(v.Now))+len(c.LiveKeys(v.Now)) == 0 && c.JWKS == ""
}

// PresetWords says whom a preset is for.
func (v ConnectorsPage) PresetWords(p client.Preset) message.Message { return presetWords(p) }

// Providers are what can be chosen.
func (v ConnectorsPage) Providers() []Guide { return guides(v.Provider) }

// presets are what can be chosen of one that is there.
var presets = []client.Preset{client.PresetStandard, client.PresetEntra, client.PresetStrict}

func presetWords(p client.Preset) message.Message {
	switch p {
	case client.PresetEntra:
		return message.Key("console.preset.entra")
	case client.PresetStrict:
		return message.Key("console.preset.strict")
	}
	return message.Key("console.preset.standard")
}

// ConnectorPage shows one connector. Until it is heard of for the first time the page asks again by itself.
type ConnectorPage struct {
	Connector client.Connector
	Address   string
	Heard     client.LastHeard
	Lost      client.LastHeard // of whoever came with a secret that is nobody's
	Rules     []Rule           // how far it is bent to; nil: that is not changed here
	Provider  Provider         // whose steps are open
	Wave      *client.Wave     // very many people it took away; nil for none
	Held      int              // how many of them can be brought back
	Now       time.Time
}

// Rule is one rule by which the server bends to a connector.
type Rule struct {
	Name string
	On   bool // as it is
	Own  bool // by a switch of the connector, whatever its preset says
}

// Field is the rule's field in the form.
func (r Rule) Field() string { return ruleField + r.Name }

// ruleField begins the fields of rules.
const ruleField = "rule-"

// Words says what the rule does.
func (r Rule) Words() message.Message { return message.Message{Key: "console.rule." + r.Name} }

// Choice is what is chosen: "preset", "on" or "off".
func (r Rule) Choice() string {
	switch {
	case !r.Own:
		return "preset"
	case r.On:
		return "on"
	}
	return "off"
}

// How often, and for how long after the secret was made, the page asks again. It does not for ever: a desk that was left is
// not kept open by it.
const (
	lookEvery = 5 * time.Second
	lookFor   = 10 * time.Minute
)

// Waits reports whether the page asks again by itself.
func (v ConnectorPage) Waits() bool {
	n := len(v.Connector.Tokens)
	return v.Connector.Last.IsZero() && n > 0 && v.Now.Sub(v.Connector.Tokens[n-1].Created) < lookFor
}

// Path is where the connector is shown.
func (v ConnectorPage) Path() string { return PathConnectors + "/" + v.Connector.Name }

// Again is the same page.
func (v ConnectorPage) Again() string { return pathOf(v.Connector.Name, v.Provider) }

// Guides are the steps of all providers; once it is connected and gets on, none of them is open.
func (v ConnectorPage) Guides() []Guide {
	if !v.Connector.Last.IsZero() && !v.Failing() {
		return guides("")
	}
	return guides(v.Provider)
}

// Presets are what can be chosen.
func (v ConnectorPage) Presets() []Preset {
	var all []Preset
	for _, p := range presets {
		all = append(all, Preset{p, presetWords(p), p == v.Connector.Preset})
	}
	return all
}

// Preset is one that can be chosen.
type Preset struct {
	Name    client.Preset
	Words   message.Message
	Checked bool
}

// OwnRules is how many rules are its own.
func (v ConnectorPage) OwnRules() int {
	n := 0
	for _, r := range v.Rules {
		if r.Own {
			n++
		}
	}
	return n
}

// Failing reports whether the last that was heard of it failed.
func (v ConnectorPage) Failing() bool { return goesWrong(v.Heard, v.Now) }

// Failure says what its last failure means, mostly.
func (v ConnectorPage) Failure() message.Message {
	switch v.Heard.BadStatus {
	case 400, 401, 403, 413, 415, 429:
		return message.Message{Key: "console.failed." + strconv.Itoa(v.Heard.BadStatus)}
	}
	if v.Heard.BadStatus >= 500 {
		return message.Key("console.failed.ours")
	}
	return message.Key("console.failed.other")
}

// Stray says that somebody came with a secret that is nobody's, while this connector was not heard of or lately failed: it may
// have been its provider. An empty key when nobody did.
func (v ConnectorPage) Stray() message.Message {
	if v.Lost.BadAt.IsZero() || v.Now.Sub(v.Lost.BadAt) > strayFor || v.Lost.BadAt.Before(v.Connector.Last) {
		return message.Message{}
	}
	if v.Lost.BadWhat == "mistyped" {
		return message.Key("console.stray.mistyped", "At", v.Lost.BadAt)
	}
	return message.Key("console.stray.unknown", "At", v.Lost.BadAt)
}

// strayFor is how long somebody is told of who came with a secret that is nobody's.
const strayFor = time.Hour

// Keyed reports whether it signs with keys.
func (v ConnectorPage) Keyed() bool { return v.Connector.Asserts() }

// Keys are the keys it signs with, by what can be told of them.
func (v ConnectorPage) Keys() []Secret {
	var all []Secret
	for _, k := range v.Connector.Keys {
		all = append(all, Secret{Name: k.ID, Made: k.Created, Ends: k.Expires, Now: v.Now})
	}
	return all
}

// Version is what a change has to name.
func (v ConnectorPage) Version() int64 { return v.Connector.Version }

// Light says whether the connector was heard of.
func (v ConnectorPage) Light() Note { return light(v.Connector.Last, v.Heard, v.Now) }

// PresetWords says whom its preset is for.
func (v ConnectorPage) PresetWords() message.Message { return presetWords(v.Connector.Preset) }

// TrustWords says how its contacts count.
func (v ConnectorPage) TrustWords() message.Message {
	return message.Message{Key: "console.trust." + string(v.Connector.Trust)}
}

// Uses are what it may use, in words.
func (v ConnectorPage) Uses() []message.Message {
	var all []message.Message
	for _, u := range client.Uses {
		if v.Connector.May(u) {
			all = append(all, message.Message{Key: "console.use." + string(u)})
		}
	}
	return all
}

// Rate is how many requests a second are taken of it.
func (v ConnectorPage) Rate() int { return v.Connector.PerSecond() }

// Ends is when a wave can no longer be undone.
func (v ConnectorPage) Ends() time.Time { return v.Wave.Last.Add(client.BrakeKeeps) }

// Secrets are the connector's secrets, by what can be told of them.
func (v ConnectorPage) Secrets() []Secret {
	var all []Secret
	for _, k := range v.Connector.Tokens {
		all = append(all, Secret{Made: k.Created, Ends: k.Expires, Now: v.Now})
	}
	return all
}

// Page renders the view.
func (v ConnectorPage) Page() web.Page {
	p := web.Page{Template: "console-connector", Title: message.Key("console.connector.title", "Name", v.Connector.Name), Data: v}
	if v.Waits() {
		p.Refresh = lookEvery
	}
	return p
}

// quietAfter is how long a connector may say nothing before its light goes out: identity providers come by every hour or so.
const quietAfter = 24 * time.Hour

// goesWrong reports whether the last that was heard of a connector failed, within the time after which it counts as quiet.
func goesWrong(h client.LastHeard, now time.Time) bool {
	return !h.BadAt.IsZero() && !h.BadAt.Before(h.At) && now.Sub(h.BadAt) < quietAfter
}

// light says in a word whether a connector was heard of, and whether it gets on.
func light(last time.Time, h client.LastHeard, now time.Time) Note {
	switch {
	case goesWrong(h, now):
		return Note{"bad", message.Key("console.light.failing")}
	case last.IsZero():
		return Note{"warn", message.Key("console.light.never")}
	case now.Sub(last) < quietAfter:
		return Note{"ok", message.Key("console.light.on")}
	}
	return Note{"", message.Key("console.light.quiet")}
}
