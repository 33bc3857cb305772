package console

import (
	"net/url"
	"strconv"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// Provider is a kind of identity provider whose administrators can be told where to click.
type Provider string

// The providers. What is said of one is docs/guides/scim-PROVIDER.md in short.
const (
	ProviderEntra     Provider = "entra"
	ProviderOkta      Provider = "okta"
	ProviderAuthentik Provider = "authentik"
	ProviderKeycloak  Provider = "keycloak"
	ProviderOther     Provider = "other"
)

// providers are all, in the order in which they are shown, with how many steps there are for each.
var providers = []struct {
	Provider
	steps int
}{{ProviderEntra, 6}, {ProviderOkta, 6}, {ProviderAuthentik, 5}, {ProviderKeycloak, 4}, {ProviderOther, 4}}

// steps is how many steps there are for a provider; 0 when it is none.
func (p Provider) steps() int {
	for _, known := range providers {
		if known.Provider == p {
			return known.steps
		}
	}
	return 0
}

// Name is what the provider is called.
func (p Provider) Name() message.Message {
	return message.Message{Key: "console.provider." + string(p)}
}

// About says what there is to know before it is chosen.
func (p Provider) About() message.Message {
	return message.Message{Key: "console.provider." + string(p) + ".text"}
}

// Preset is how far the server bends to it.
func (p Provider) Preset() client.Preset {
	if p == ProviderEntra {
		return client.PresetEntra
	}
	return client.PresetStandard
}

// Steps are what is to be done at the provider, in order.
func (p Provider) Steps() []message.Message {
	out := make([]message.Message, p.steps())
	for i := range out {
		out[i] = message.Message{Key: "console.steps." + string(p) + "." + strconv.Itoa(i+1)}
	}
	return out
}

// Box is one field of the provider's own form, under the provider's own name, and what to put there.
type Box struct {
	ID    string
	Label string // as the provider calls it, in whatever language: people look for these very words
	Value string
}

// boxes are the fields of the provider's form.
func (p Provider) boxes(address, secret string) []Box {
	switch p {
	case ProviderEntra:
		return []Box{{"address", "Tenant URL", address}, {"secret", "Secret token", secret}}
	case ProviderOkta:
		return []Box{{"address", "SCIM connector base URL", address}, {"unique", "Unique identifier field for users", "userName"}, {"secret", "HTTP Header: Authorization: Bearer", secret}}
	case ProviderAuthentik:
		return []Box{{"address", "URL", address}, {"secret", "Token", secret}}
	case ProviderKeycloak:
		return []Box{{"address", "endpoint", address}, {"secret", "auth-pass", secret}}
	}
	return []Box{{"address", "SCIM base URL", address}, {"secret", "Authorization: Bearer", secret}}
}

// ConnectedPage shows a new secret of a connector, this once, with what is typed beside it and where.
type ConnectedPage struct {
	Name     string
	Address  string
	Secret   string // gone once the page is left
	Preset   client.Preset
	Provider Provider  // whose steps are shown
	Ends     time.Time // of the secret; zero: no end
	Until    time.Time // when those before it end; zero with First or when they have ended
	First    bool
}

// Page renders the view.
func (v ConnectedPage) Page() web.Page {
	return web.Page{Template: "console-connected", Title: message.Key("console.new_secret.heading"), Data: v}
}

// Back is where the connector is shown.
func (v ConnectedPage) Back() string { return pathOf(v.Name, v.Provider) }

// pathOf is where a connector is shown, with the steps of a provider.
func pathOf(name string, p Provider) string {
	path := PathConnectors + "/" + name
	if p.steps() > 0 {
		path += "?with=" + url.QueryEscape(string(p))
	}
	return path
}

// PresetWords says whom the preset is for.
func (v ConnectedPage) PresetWords() message.Message { return presetWords(v.Preset) }

// Boxes are the fields of the provider's form.
func (v ConnectedPage) Boxes() []Box { return v.Provider.boxes(v.Address, v.Secret) }

// Guide is the steps of one provider, opened or not.
type Guide struct {
	Provider
	Open bool
}

// guides are the steps of all providers; that of one is open.
func guides(open Provider) []Guide {
	var all []Guide
	for _, p := range providers {
		all = append(all, Guide{p.Provider, p.Provider == open})
	}
	return all
}
