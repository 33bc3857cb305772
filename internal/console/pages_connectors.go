package console

import (
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// ConnectorsPage lists the connectors and asks for another.
type ConnectorsPage struct {
	Connectors []client.Connector
	Name       string // that was typed
	Preset     client.Preset
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
func (v ConnectorsPage) Light(c client.Connector) Note { return light(c.Last, v.Now) }

// Ends is when the next of a connector's secrets ends; zero when none does.
func (v ConnectorsPage) Ends(c client.Connector) time.Time { return c.NextEnd(v.Now) }

// Dead reports whether a connector has no secret that works.
func (v ConnectorsPage) Dead(c client.Connector) bool { return len(c.Live(v.Now)) == 0 }

// PresetWords says whom a preset is for.
func (v ConnectorsPage) PresetWords(p client.Preset) message.Message { return presetWords(p) }

// Presets are what can be chosen.
func (v ConnectorsPage) Presets() []client.Preset {
	return []client.Preset{client.PresetStandard, client.PresetEntra, client.PresetStrict}
}

func presetWords(p client.Preset) message.Message {
	switch p {
	case client.PresetEntra:
		return message.Key("console.preset.entra")
	case client.PresetStrict:
		return message.Key("console.preset.strict")
	}
	return message.Key("console.preset.standard")
}

// ConnectedPage shows a new secret of a connector, this once, with what is typed beside it.
type ConnectedPage struct {
	Name    string
	Address string
	Secret  string // gone once the page is left
	Preset  client.Preset
	Ends    time.Time // of the secret; zero: no end
	Until   time.Time // when those before it end; zero with First or when they have ended
	First   bool
}

// Page renders the view.
func (v ConnectedPage) Page() web.Page {
	return web.Page{Template: "console-connected", Title: message.Key("console.new_secret.heading"), Data: v}
}

// Back is where the connector is shown.
func (v ConnectedPage) Back() string { return PathConnectors + "/" + v.Name }

// PresetWords says whom the preset is for.
func (v ConnectedPage) PresetWords() message.Message { return presetWords(v.Preset) }

// ConnectorPage shows one connector. Until it is heard of for the first time the page asks again by itself.
type ConnectorPage struct {
	Connector client.Connector
	Address   string
	Wave      *client.Wave // very many people it took away; nil for none
	Held      int          // how many of them can be brought back
	Now       time.Time
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

// Version is what a change has to name.
func (v ConnectorPage) Version() int64 { return v.Connector.Version }

// Light says whether the connector was heard of.
func (v ConnectorPage) Light() Note { return light(v.Connector.Last, v.Now) }

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

// light says in a word whether a connector was heard of.
func light(last, now time.Time) Note {
	switch {
	case last.IsZero():
		return Note{"warn", message.Key("console.light.never")}
	case now.Sub(last) < quietAfter:
		return Note{"ok", message.Key("console.light.on")}
	}
	return Note{"", message.Key("console.light.quiet")}
}
